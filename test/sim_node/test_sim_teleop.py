"""The scripted teleop device against a small stand-in of the supervisor, without DDS."""

from __future__ import annotations

import numpy as np
import pytest

messages = pytest.importorskip("vla_monitor.msg", reason="messages are not built; run: make setup")

from builtin_interfaces.msg import Time  # noqa: E402

from sim_node.bed import Bed  # noqa: E402
from sim_node.messages import sim_state  # noqa: E402
from sim_node.teleop.mirror import Mirror  # noqa: E402
from sim_node.teleop.operator import RETRY, TRIES, Handling, Operator, Wish  # noqa: E402
from vla_uq.errors import InputError  # noqa: E402

State = messages.SupervisorState
DELAY = 0.5
STOPPING = 0.3


class Supervisor:
    """Grants what the real one would, and moves the arm as it would."""

    def __init__(self, bed: Bed, refuses: int = 0) -> None:
        self.bed, self.refuses = bed, refuses
        self.message = State(state=State.HALTED, takeover_requested=True, episode_id="first")
        self.hold, self.gripper = bed.joints(), bed.controller.gripper
        self.released, self.now, self.stopped_at = False, 0.0, -1.0
        self.wishes: list[tuple[float, Wish]] = []
        self.farthest = 0.0

    def take(self, handling: Handling) -> None:
        self.released |= not handling.active
        if handling.wish is not None:
            self.wishes.append((self.now, handling.wish))
            self._grant(handling)
        state = self.message.state
        if state == State.TELEOP and not handling.active:
            pytest.fail("the lease was lost")
        if state == State.TELEOP and handling.target is not None:
            self.farthest = max(self.farthest, float(np.linalg.norm(handling.target[0] - self.bed.pose()[0])))
            self.bed.step_pose(*handling.target, handling.gripper)
            self.hold, self.gripper = self.bed.joints(), handling.gripper
        else:
            self.bed.step_joint(self.hold, self.gripper)
        self.now += 0.05
        if state == State.HALTING and self.now >= self.stopped_at:
            self.message.state = State.HALTED

    def _grant(self, handling: Handling) -> None:
        wish, state = handling.wish, self.message.state
        if wish is Wish.TAKE:
            assert state == State.HALTED and handling.active and self.released
            assert np.linalg.norm(handling.target[0] - self.bed.pose()[0]) < 0.01
            self.refuses -= 1
            if self.refuses < 0:
                self.message.state = State.TELEOP
        elif wish is Wish.GIVE:
            assert state == State.TELEOP
            self.message.state, self.stopped_at = State.HALTING, self.now + STOPPING
        else:
            assert state == State.HALTED and not handling.active
            self.message.state = State.RESUMING


def play(supervisor: Supervisor, operator: Operator, seconds: float, until: tuple[int, ...] = ()) -> None:
    mirror, end = Mirror(), supervisor.now + seconds
    while supervisor.now < end and supervisor.message.state not in until:
        mirror.update(sim_state(supervisor.bed, Time()))
        supervisor.take(operator.step(supervisor.now, mirror, supervisor.message))


def names(supervisor: Supervisor) -> list[str]:
    return [wish.name for _, wish in supervisor.wishes]


def pushed(bed: Bed, expert, task: str, seed: int) -> str:
    """Play until the push and a moment longer; the thing that was pushed."""
    bed.reset(task, seed, "push")
    while not bed.disturbed:
        expert.step()
    expert.play(3)
    return bed.task.movable


@pytest.mark.parametrize(
    ("task", "seed"),
    [
        ("put the soup can in the basket", 500),
        ("put the black bowl on the plate", 501),
        ("put the red cube on the plate", 2),
    ],
)
def test_pushed_thing_is_put_back_and_the_policy_asked_to_go_on(bed, expert, task, seed):
    thing = pushed(bed, expert, task, seed)
    supervisor = Supervisor(bed)
    play(supervisor, Operator(DELAY), 15, until=(State.RESUMING,))
    assert names(supervisor) == ["TAKE", "GIVE", "RESUME"]
    assert supervisor.wishes[0][0] >= DELAY, "a person needs a moment"
    assert np.linalg.norm(bed.scene.place(thing)[:2] - bed.home_xy) < 0.02
    assert np.linalg.norm(bed.pose()[0] - bed.robot.above) < 0.03 and bed.scene.width > 0.076
    assert supervisor.farthest < 0.06


def test_second_takeover_of_an_episode_finishes_the_task(bed, expert):
    pushed(bed, expert, "put the red cube on the plate", 2)
    supervisor, operator = Supervisor(bed), Operator(DELAY)
    play(supervisor, operator, 15, until=(State.RESUMING,))
    play_on = names(supervisor)
    mirror = Mirror()
    mirror.update(sim_state(bed, Time()))
    assert not operator.step(supervisor.now, mirror, supervisor.message).active
    supervisor.message.state, supervisor.released = State.HALTED, False
    play(supervisor, operator, 15)
    assert names(supervisor) == [*play_on, "TAKE", "GIVE"]
    assert bed.success()


@pytest.mark.parametrize("task", ["put the yellow mug in the basket", "open the front drawer"])
def test_elsewhere_the_task_is_finished_and_the_device_left(bed, expert, task):
    bed.reset(task, 7)
    expert.play(12)
    supervisor = Supervisor(bed)
    play(supervisor, Operator(DELAY), 14)
    assert names(supervisor) == ["TAKE", "GIVE"]
    assert bed.success() and supervisor.message.state == State.HALTED


def test_without_a_request_or_without_auto_nothing_is_touched(bed):
    bed.reset("open the front drawer", 7)
    for auto, requested in ((True, False), (False, True)):
        supervisor = Supervisor(bed)
        supervisor.message.takeover_requested = requested
        play(supervisor, Operator(DELAY, auto), 2)
        assert not supervisor.wishes


def test_refusals_are_met_with_patience_and_then_left(bed):
    bed.reset("open the front drawer", 7)
    supervisor = Supervisor(bed, refuses=2)
    play(supervisor, Operator(DELAY), 5, until=(State.TELEOP,))
    times = [now for now, _ in supervisor.wishes]
    assert len(times) == 3 and min(np.diff(times)) >= RETRY - 1e-9
    supervisor = Supervisor(bed, refuses=100)
    play(supervisor, Operator(DELAY), 8)
    assert 0 < len(supervisor.wishes) <= TRIES + 1


def test_gripper_is_met_before_it_is_moved(bed, expert):
    """The supervisor passes a new source's gripper only once it has met the last command."""
    bed.reset("put the red cube on the plate", 7)
    while not (bed.scene.place("red cube")[2] > 0.05):
        expert.step()
    operator, mirror, supervisor = Operator(DELAY), Mirror(), Supervisor(bed)
    seen = []
    while len(seen) < 5:
        mirror.update(sim_state(bed, Time()))
        handling = operator.step(supervisor.now, mirror, supervisor.message)
        supervisor.take(handling)
        if supervisor.message.state == State.TELEOP:
            seen.append(handling.gripper)
    assert seen == [0.0] * 5


def test_mirror_refuses_a_state_of_another_scene(bed):
    bed.reset("open the front drawer", 0)
    state = sim_state(bed, Time())
    state.task = "put the red cube in the basket"
    with pytest.raises(InputError, match="qpos"):
        Mirror().update(state)


def test_mirror_equals_the_scene(bed, expert):
    bed.reset("put the red cube on the plate", 7)
    expert.play(20)
    mirror = Mirror()
    mirror.update(sim_state(bed, Time()))
    assert mirror.scene is not bed.scene
    assert mirror.scene.position == pytest.approx(bed.pose()[0], abs=1e-9)
    assert mirror.scene.place("red cube") == pytest.approx(bed.scene.place("red cube"), abs=1e-9)
    assert mirror.scene.opening == bed.scene.opening
