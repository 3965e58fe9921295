"""The fault rows about the robot, its driver and everybody else on its topics; the numbers are the specification's."""

from __future__ import annotations

import array
import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from supervisor_node.inbox import incompatible
from supervisor_node.reports import Reports
from supervisor_node.states import Reason, State
from supervisor_node.values import Wish
from vla_uq.contracts import FROZEN_CAMERA, MAX_TENSOR, Chunk, Trace
from vla_uq.errors import InputError

S = State


def row(number: int) -> Any:
    return pytest.mark.faults(row=number, tier="U")


# -- 8: what the policy sees -----------------------------------------------------------------------------------------
@row(8)
def test_8_frozen_camera_halts_and_the_reason_says_so(bench: Any, score_of: Any) -> None:
    bench.to(S.AUTONOMOUS)
    chunk = [content for _, content in bench.trace if isinstance(content, Chunk)][-1]
    bench.step(score=score_of(chunk, 0.1, alarm=True, detectors={FROZEN_CAMERA: (1.0, 0.0)}))
    assert bench.state is S.HALTING and bench.shown.reason is Reason.FROZEN_CAMERA
    assert bench.shown.takeover_requested and bench.moments.count("ALARM") == 1
    bench.until(S.HALTED)
    bench.advance(0.6)
    bench.ask(Wish.RESUME)
    bench.until(S.AUTONOMOUS)
    bench.value = lambda key: 3.0
    bench.until(S.HALTED)
    assert bench.shown.reason is Reason.ALERT, "the camera of before is no reason of now"


# -- 15, 18: who else is there ---------------------------------------------------------------------------------------
@row(15)
@pytest.mark.parametrize(
    ("inputs", "guard"),
    [
        ({"publishers": {"target_pose": 2}}, "sole_publisher: 2 publishers on target_pose"),
        ({"other_supervisor": True}, "sole_supervisor"),
    ],
)
def test_15_somebody_else_on_the_robots_topics(bench: Any, inputs: dict[str, Any], guard: str) -> None:
    bench.to(S.AUTONOMOUS)
    out = bench.step(**inputs)
    assert out.state.state is S.HALTING and out.state.reason is Reason.FOREIGN_PUBLISHER and guard in out.state.text


@row(15)
def test_15_two_policies_at_once(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    other = dataclasses.replace(bench.info, run_id=b"Q" * 16)
    out = bench.step(policy=other)
    assert out.state.state is S.HALTING and "one_policy: 2 processes" in out.state.text


@row(15)
def test_15_a_ghost_of_a_killed_policy_does_not_block(bench: Any) -> None:
    """The graph shows it for 20 s more; what counts is who still speaks."""
    bench.to(S.IDLE)
    bench.policy = False
    bench.advance(0.6)
    bench.info, bench.policy = dataclasses.replace(bench.info, run_id=b"Q" * 16), True
    bench.advance(0.3)
    bench.ask(Wish.START)
    bench.until(S.AUTONOMOUS)


def _quality(reliability: str, durability: str) -> Any:
    return SimpleNamespace(reliability=SimpleNamespace(name=reliability), durability=SimpleNamespace(name=durability))


@row(18)
@pytest.mark.parametrize("asked", ["RELIABLE VOLATILE", "RELIABLE TRANSIENT_LOCAL", "BEST_EFFORT VOLATILE"])
@pytest.mark.parametrize("offered", ["RELIABLE VOLATILE", "RELIABLE TRANSIENT_LOCAL", "BEST_EFFORT VOLATILE"])
def test_18_which_qualities_of_service_match(asked: str, offered: str) -> None:
    """DDS's own rule: the one who offers must offer at least as much."""
    strength = {"RELIABLE": 1, "BEST_EFFORT": 0, "TRANSIENT_LOCAL": 1, "VOLATILE": 0}
    enough = all(strength[o] >= strength[a] for a, o in zip(asked.split(), offered.split(), strict=True))
    assert (incompatible(_quality(*asked.split()), _quality(*offered.split())) == "") is enough


@row(18)
def test_18_publisher_that_cannot_be_heard_refuses_to_arm(bench: Any) -> None:
    bench.to(S.IDLE)
    text = "policy_node/chunk of rogue: reliability: expected RELIABLE, found BEST_EFFORT"
    bench.step(qos=text)
    started = bench.ask(Wish.START)
    assert bench.replies[started].message == f"quality_of_service: {text}"
    bench.step(qos="")
    bench.ask(Wish.START)
    bench.until(S.AUTONOMOUS)


# -- 16, 19, 24: the robot falls silent ------------------------------------------------------------------------------
@row(16)
def test_16_cut_and_healed_network_leaves_the_arm_halted(bench: Any) -> None:
    """Nothing is heard for three seconds, then all of it again."""
    bench.to(S.AUTONOMOUS)
    bench.robot = bench.policy = bench.monitor = False
    bench.until(S.HALTING, 0.6)
    bench.until(S.FAULT)
    bench.robot = bench.policy = bench.monitor = True
    bench.advance(2.0)
    assert bench.state is S.FAULT, "heal does not resume"
    assert bench.replies[bench.ask(Wish.RESET)].ok and bench.state is S.HALTED
    bench.advance(1.0)
    assert bench.state is S.HALTED and bench.audit().ok


@row(19)
def test_19_absent_driver_leaves_everything_unsent(bench: Any) -> None:
    bench.robot = False
    bench.advance(3.0)
    assert bench.state is S.UNKNOWN and not bench.commands
    assert bench.shown.failing_guards[:2] == ("joint_states", "current_pose")
    bench.robot = True
    bench.until(S.IDLE)


@row(19)
@row(24)
def test_24_joint_states_that_stop_are_a_fault_with_the_hold_sent(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    last = bench.supervisor._m.senses.measured.q
    bench.robot = False
    out = bench.until(S.HALTING, 0.3)
    assert out.state.reason is Reason.ROBOT_STALE and out.command is not None
    assert np.abs(out.command.motion.joints - last).max() < 0.1, "near the last known joints"
    first = len(bench.outputs)
    out = bench.until(S.FAULT, 1.2)
    assert out.state.reason is Reason.ROBOT_STALE and any(o.cancel for o in bench.outputs[first:])
    bench.robot = True
    bench.advance(1.0)
    assert bench.state is S.FAULT
    assert bench.replies[bench.ask(Wish.RESET)].ok and bench.state is S.HALTED


# -- 26, 28: buttons -------------------------------------------------------------------------------------------------
@row(26)
@row(28)
def test_26_halt_button_that_stays_pressed_refuses_what_would_move_the_arm(bench: Any) -> None:
    bench.to(S.AUTONOMOUS)
    out = bench.step(halt=True)
    assert out.state.state is S.HALTING and out.state.reason is Reason.OPERATOR
    bench.until(S.HALTED)
    bench.advance(0.6)
    bench.hold_device()
    for wish in (Wish.RESUME, Wish.TAKE):
        assert bench.replies[bench.ask(wish)].message == "halt_button: still pressed"
    bench.step(halt=False)
    assert bench.state is S.HALTED, "a button that is let go starts nothing"
    bench.lease = None
    bench.ask(Wish.RESUME)
    bench.until(S.AUTONOMOUS)


# -- 35, 37: messages and loggers ------------------------------------------------------------------------------------
@row(35)
def test_35_trace_that_is_too_large_is_refused_before_it_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    import vla_uq.contracts as contracts

    copied: list[int] = []
    monkeypatch.setattr(contracts, "floats", lambda data: copied.append(len(data)))
    huge = SimpleNamespace(name="features", shape=[10_000_000], data=array.array("f", bytes(4 * 10_000_000)))
    key = SimpleNamespace(run_id=bytes(16), sequence=0, episode_id="", step=0)
    with pytest.raises(InputError, match=f"at most {MAX_TENSOR}"):
        Trace.from_message(SimpleNamespace(key=key, chunk_digest=0, fingerprint="", tensors=[huge]))
    assert not copied


class _Full:
    """A node whose publishers raise, as on a full disk or a closed context."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def create_publisher(self, *_: Any) -> Any:
        def publish(message: Any) -> None:
            raise OSError("no space left on device")

        return SimpleNamespace(publish=publish, get_subscription_count=lambda: 1)

    def get_logger(self) -> Any:
        return SimpleNamespace(warning=lambda text, **_: self.warnings.append(text))


@pytest.mark.ros
@pytest.mark.faults(row=37, tier="L")
def test_37_reports_that_cannot_be_published_change_nothing(bench: Any) -> None:
    from builtin_interfaces.msg import Time

    node: Any = _Full()
    clock = SimpleNamespace(now=lambda: SimpleNamespace(to_msg=Time))
    node.get_clock, node.get_fully_qualified_name = lambda: clock, lambda: "/supervisor_node"
    reports = Reports(node, bytes(16), "base", None, None, None)
    bench.to(S.HALTED)
    reports.state(bench.shown)
    reports.health(bench.shown, ())
    for out in bench.outputs:
        for happening in out.happenings:
            reports.event(happening)
    assert node.warnings and "no space left" in node.warnings[0]
