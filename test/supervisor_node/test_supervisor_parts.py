"""The small parts: rotations, rest, lease, gripper, parameters, deadman, answers."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor_node.answers import Front
from supervisor_node.arms import open_arm
from supervisor_node.deadman.backstop import Backstop
from supervisor_node.deadman.watch import Watch
from supervisor_node.gripper import GripperPass
from supervisor_node.lease import Lease
from supervisor_node.parameters import PARAMETERS, config_of
from supervisor_node.rest import JointHistory
from supervisor_node.rivals import Rivals
from supervisor_node.senses import Clock
from supervisor_node.states import Mode, State
from supervisor_node.values import Inputs, Pose, Reply, Request, Wish
from vla_uq.errors import InputError
from vla_uq.geometry import compose, matrix_of, quaternion, rotation_matrix, rotation_vector

ARM = open_arm("franka_crisp_sim")
turns = st.tuples(*[st.floats(-2.0, 2.0)] * 3).map(np.array).filter(lambda v: np.linalg.norm(v) < 3.1)


# -- rotations -------------------------------------------------------------------------------------------------------
@given(turns)
def test_rotation_vector_and_back(turn: Any) -> None:
    matrix = rotation_matrix(turn)
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-12) and np.linalg.det(matrix) == pytest.approx(1)
    assert np.allclose(rotation_vector(matrix), turn, atol=1e-8)
    assert np.allclose(matrix_of(quaternion(matrix)), matrix, atol=1e-12)


def test_rotation_of_known_angles() -> None:
    quarter = rotation_matrix([0, 0, math.pi / 2])
    assert np.allclose(quarter @ [1, 0, 0], [0, 1, 0])
    assert np.allclose(quaternion(quarter), [0, 0, math.sqrt(0.5), math.sqrt(0.5)])
    assert np.allclose(np.abs(rotation_vector(rotation_matrix([math.pi, 0, 0]))), [math.pi, 0, 0])
    assert np.allclose(rotation_matrix([1e-6, 0, 0])[2, 1], 1e-6, rtol=1e-9)


def test_compose_multiplies_from_the_left() -> None:
    start = rotation_matrix([0.3, 0, 0])
    position, rotation = compose(np.array([1.0, 2, 3]), start, [0.1, 0, 0, 0, 0, 0.2])
    assert np.allclose(position, [1.1, 2, 3]) and np.allclose(rotation, rotation_matrix([0, 0, 0.2]) @ start)


@pytest.mark.parametrize("q", [[0, 0, 0, 0], [0, 0, 0, 2], [math.nan, 0, 0, 1]])
def test_quaternion_that_is_none(q: list[float]) -> None:
    assert np.isnan(matrix_of(q)).all()


# -- rest ------------------------------------------------------------------------------------------------------------
def test_rest_needs_the_whole_window() -> None:
    history = JointHistory()
    for i in range(15):
        history.add(0.01 * i, np.array([1.0, 2.0]))
    assert history.span(0.14, 0.2) is None
    for i in range(15, 25):
        history.add(0.01 * i, np.array([1.0, 2.0 + 0.001 * i]))
    assert np.allclose(history.span(0.24, 0.2), [0, 0.024])
    assert history.span(0.24, 0.2, since=0.1) is None, "what was before the halt is no rest on the hold"


def test_velocity_from_positions() -> None:
    history = JointHistory()
    for i in range(20):
        history.add(0.01 * i, np.array([0.5 * 0.01 * i]))
    assert history.velocity(np.array([0.5 * 0.19])) == pytest.approx(0.5)
    assert JointHistory().velocity(np.zeros(3)).tolist() == [0, 0, 0]


def test_clock_never_runs_back() -> None:
    clock = Clock()
    readings = [clock.read(t) for t in (1.0, 2.0, 1.5, 1.6, 3.0)]
    assert [jumped for _, jumped in readings] == [False, False, True, False, False]
    assert [t for t, _ in readings] == pytest.approx([1.0, 2.0, 2.0, 2.1, 3.5])


# -- lease and gripper -----------------------------------------------------------------------------------------------
def test_lease_life() -> None:
    lease, pose = Lease(0.2), Pose(np.zeros(3), np.eye(3))
    assert "no lease" in lease.refuses(0.0)
    lease.take(1.0, Inputs(lease=True, teleop_pose=pose))
    assert "not released" in lease.refuses(1.0)
    lease.take(1.1, Inputs(lease=False, teleop_pose=pose))
    assert "not held" in lease.refuses(1.1) and lease.let_go
    lease.take(1.2, Inputs(lease=True, teleop_pose=pose))
    assert not lease.refuses(1.2) and not lease.lost(1.4)
    assert "no lease" in lease.lost(1.401)
    lease.restart()
    assert "not released" in lease.refuses(1.2)


def test_gripper_of_another_hand_passes_after_it_met_the_gripper() -> None:
    gripper = GripperPass()
    assert gripper.command(0.0, 1.0) == 0.0, "the first source of an episode passes"
    gripper.change_source()
    assert gripper.command(1.0, 0.5) == 0.0, "an open trigger drops nothing"
    assert gripper.command(0.8, 0.5) == 0.0
    assert gripper.command(0.4, 0.5) == 0.4, "it crossed the measured opening"
    assert gripper.command(1.0, 0.5) == 1.0


@pytest.mark.parametrize(("wanted", "measured"), [(1.0, 0.97), (0.0, 0.4), (1.0, 0.01), (1.0, math.nan)])
def test_gripper_passes_at_once_where_nothing_can_be_dropped(wanted: float, measured: float) -> None:
    gripper = GripperPass()
    gripper.command(0.0, 1.0)
    gripper.change_source()
    assert gripper.command(wanted, measured) == wanted


def test_gripper_hold_never_opens() -> None:
    gripper = GripperPass()
    assert gripper.hold(0.5) == 0.0 and gripper.hold(0.99) == 1.0 and gripper.hold(math.nan) is None
    gripper.command(0.3, 0.9)
    assert gripper.hold(0.9) == 0.3 and gripper.command(None, 0.9) == 0.3


def test_parameters_make_a_config() -> None:
    values = {name: default for name, (default, _) in PARAMETERS.items()}
    assert config_of(values).mode is Mode.GUARD and config_of({**values, "mode": "Shadow"}).mode is Mode.SHADOW
    with pytest.raises(InputError, match="guard or shadow"):
        config_of({**values, "mode": "careful"})
    assert config_of({**values, "estop_topic": "estop"}).require_estop


# -- deadman, rivals, services ---------------------------------------------------------------------------------------
def test_deadman_trips_once_after_silence_of_what_moved() -> None:
    watch = Watch(0.3)
    assert not watch.check(10.0), "never heard: nothing moves"
    for state in (State.UNKNOWN, State.IDLE, State.RESUMING):
        watch.saw(11.0, state)
        assert not watch.check(15.0)
    watch.saw(20.0, State.AUTONOMOUS)
    assert not watch.check(20.29) and watch.check(20.31) and watch.tripped and not watch.check(20.4)
    watch.saw(21.0, State.AUTONOMOUS)
    assert watch.tripped, "it never resumes by itself"
    watch.saw(22.0, State.IDLE)
    assert not watch.tripped


@pytest.mark.parametrize("state", [State.HALTED, State.FAULT, State.SHUTDOWN])
def test_deadman_lets_a_held_arm_be(state: State) -> None:
    watch = Watch(0.3)
    watch.saw(1.0, State.TELEOP)
    watch.saw(1.1, state)
    assert not watch.check(9.0)


def test_deadman_watches_a_halt_until_it_is_verified() -> None:
    watch = Watch(0.3)
    watch.saw(1.0, State.AUTONOMOUS)
    watch.saw(1.1, State.HALTING)
    assert watch.check(1.5)


def test_backstop_holds_once_and_again_only_if_that_failed() -> None:
    asked: list[Any] = []
    backstop = Backstop(Watch(0.3), asked.append)
    backstop.watch.saw(1.0, State.AUTONOMOUS)
    assert not backstop.check(1.2) and not asked and backstop.text == "armed"
    assert backstop.check(1.31) and len(asked) == 1
    assert not backstop.check(1.6) and len(asked) == 1, "an answer is waited for, but not for long by anybody else"
    asked[0]("nobody offers hold")
    assert not backstop.check(1.7) and len(asked) == 2 and "nobody offers hold" in backstop.text
    asked[1]("")
    backstop.check(9.0)
    assert len(asked) == 2 and backstop.text.endswith("it is held")


def test_backstop_without_a_hold_says_what_the_arm_does() -> None:
    backstop = Backstop(Watch(0.3), None)
    backstop.watch.saw(1.0, State.TELEOP)
    assert backstop.check(2.0) and backstop.text.endswith("keeps its last target")


def test_one_message_is_no_rival() -> None:
    rivals = Rivals(b"own")
    assert not rivals.take(b"own", 5)
    assert not rivals.take(b"other", 90), "it may be the latched last word of a process that hangs"
    assert rivals.take(b"other", 91)
    assert rivals.older_than(12) and not rivals.older_than(500)


class FakeNode:
    """rclpy's services as far as they matter: the callback's response is handed to ``send_response``."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, str]] = []

    def create_service(self, kind: Any, name: str, callback: Any) -> Any:
        self.callback = callback
        service = type("Service", (), {"send_response": staticmethod(lambda r, h: self.sent.append((r, h)))})()
        self.service = service
        return service

    def call(self, header: str) -> Any:
        response = dataclasses.make_dataclass("Response", ["success", "message"])(False, "")
        self.service.send_response(self.callback(None, response), header)
        return response


def test_answers_come_at_once_or_later() -> None:
    node, asked = FakeNode(), []
    front = Front(node, asked.append)
    front.offer(None, "halt", lambda request: (Wish.HALT, {}))
    first, second = node.call("a"), node.call("b")
    assert not node.sent and asked == [Request(1, Wish.HALT), Request(2, Wish.HALT)]
    front.reply(Reply(2, True, "rests"))
    front.reply(Reply(2, False, "twice"))
    assert node.sent == [(second, "b")] and second.success and second.message == "rests"
    front.reply(Reply(1, False, "no"))
    assert node.sent[1] == (first, "a") and not first.success
    at_once = Front(node, lambda request: at_once.reply(Reply(request.id, True, "so already")))
    at_once.offer(None, "halt", lambda request: (Wish.HALT, {}))
    assert node.call("c").message == "so already" and node.sent[-1][1] == "c"
