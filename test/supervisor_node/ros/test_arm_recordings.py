"""Recordings of arms behind doubles of their drivers, and of the simulated WidowX, audited: what went well passes, what
was tampered with is named.

The supervisor is killed at the end, so that the deadman's own commands are in the recordings too.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arm_bench import KINDS, SLOW, ArmBench, Kind

from supervisor_node.arms import description_topic
from vla_cli.bag.reader import scan
from vla_cli.bag.writer import BagWriter
from vla_cli.verbs.audit import audit_bag
from vla_uq.errors import InputError

pytestmark = [pytest.mark.ros, pytest.mark.drill, pytest.mark.timeout(180)]
pytest.importorskip("pink", reason="inverse kinematics is not installed: pip install 'vla_monitor[ik]'")
DISCOVERY = 3.0
"""Seconds until the recorder hears everybody."""
Change = Callable[[str, Any], Any]
SIMULATED = Kind("widowx_xs", "widowx_xs_sim", "", "wx250s/commands/joint_group", SLOW)


class Simulated:
    """Stands in for a rig of doubles: the simulation is a process of its own."""

    def __init__(self, spawn: Any) -> None:
        self._spawn = spawn

    def widowx_xs(self, description: str) -> None:
        pytest.importorskip("mujoco")
        self._spawn("sim_node.driver", params={"robot": "widowx"})

    def start(self) -> None:
        """It has begun."""


@pytest.fixture(params=["franka_jtc", "widowx_xs", "widowx_jtc", "franka_crisp_fr3", "simulated"])
def recorded(request: pytest.FixtureRequest, rig: Any, ros: Any, spawn: Any, tmp_path: Path) -> tuple[ArmBench, Path]:
    """An episode with a halt, a resume and a gripper that closes; then the supervisor is killed while the arm moves."""
    from vla_monitor.msg import SupervisorState as State

    simulated = request.param == "simulated"
    kind, robots = (SIMULATED, Simulated(spawn)) if simulated else (KINDS[request.param], rig)
    bench = ArmBench(kind, robots, ros, tmp_path)
    robot = {"robot": str(bench.profile_file)}
    recorder = spawn("vla_cli.bag.node", params={"bag": str(tmp_path / "bag"), "pictures": False, **robot})
    supervisor = spawn("supervisor_node.node", params=bench.parameters)
    spawn("supervisor_node.deadman.node", params=robot)
    bench.ros.spin_until(lambda: bench.pose is not None, 60.0, "a pose of the arm")
    bench.ros.spin_until(lambda: ros.node.count_subscribers("policy_node/chunk") > 1, 30.0, "the recorder to listen")
    bench.run(DISCOVERY)
    bench.goal, bench.gripper = bench.grip + [0.0, 0.10, 0.0], 0.0
    bench.start()
    start = bench.grip.copy()
    bench.go_on(lambda: float(np.linalg.norm(bench.grip - start)) > 0.03, "the arm moves")
    bench.trigger("halt")
    bench.until(State.HALTED)
    bench.run(0.6)
    assert bench.trigger("resume").success
    bench.go_on(
        lambda: float(np.linalg.norm(bench.grip - start)) > 0.06 and bench.state == State.AUTONOMOUS,
        "the arm moves again",
    )
    supervisor.process.kill()
    bench.run(1.5)
    assert recorder.stop(signal.SIGINT) == 0
    return bench, tmp_path / "bag"


def rewritten(bag: Path, name: str, change: Change) -> Path:
    """A copy of a bag; ``change`` gives each message back, or None to leave it out."""
    copy = bag.with_name(name)
    writer, known = BagWriter(copy), set()
    for one in scan(bag):
        message = change(one.topic, one.message)
        if message is None:
            continue
        if one.topic not in known:
            known.add(one.topic)
            writer.add([(one.topic, message.__msgtype__)])
        writer.write_message(one.topic, one.time_ns, message)
    writer.close()
    return copy


def without(suffix: str) -> Change:
    return lambda topic, message: None if topic.endswith(suffix) else message


def once(fits: Callable[[str, Any], bool], bend: Callable[[Any], None]) -> Change:
    """Bend the first message that fits."""
    done: list[Any] = []

    def change(topic: str, message: Any) -> Any:
        if not done and fits(topic, message):
            bend(message)
            done.append(message)
        return message

    return change


def bend(owner: Any, field: str) -> None:
    """Change a number, or the first of several."""
    value = getattr(owner, field)
    step = 1e-3 if np.isscalar(value) else np.eye(1, len(value))[0] * 1e-3
    object.__setattr__(owner, field, value + step if np.isscalar(value) else (value + step).astype(value.dtype))


def bend_record(record: Any) -> None:
    if len(record.joints):
        bend(record, "joints")
    else:
        bend(record.target.position, "x")


def bend_target(message: Any) -> None:
    if hasattr(message, "pose"):
        bend(message.pose.position, "x")
    elif hasattr(message, "points"):
        bend(message.points[0], "positions")
    else:
        bend(message, "cmd")


def test_a_recording_passes_and_a_tampered_one_does_not(recorded: tuple[ArmBench, Path]) -> None:
    bench, bag = recorded
    arm, profile = str(bench.profile_file), bench.arm.profile
    report = audit_bag(bag, arm)
    assert report.ok, report.violations[:10]
    assert report.policy_commands > 5 and report.holds > 3 and report.chunks_executed > 1
    assert report.unscored_chunks_executed == 0 and report.largest_derivation_error < 1e-6
    assert report.unrecorded == 0 and report.unseen < 5 and report.unattested <= report.policy_commands / 4
    assert report.deadman_holds == (0 if profile.kind == "crisp" else 1), "a second publisher would freeze CRISP's arm"

    bent = once(lambda topic, message: topic.endswith("supervisor_node/command") and message.source == 1, bend_record)
    found = audit_bag(rewritten(bag, "bent", bent), arm)
    assert found.violated("derived") >= 1 and found.violated("I1") == 1, "the record follows from nothing, nor the wire"
    foreign = once(lambda topic, _: topic.endswith(bench.kind.command), bend_target)
    found = audit_bag(rewritten(bag, "foreign", foreign), arm)
    assert found.unrecorded == len(found.violations) == 1, found.violations
    if profile.kind != "crisp":
        found = audit_bag(rewritten(bag, "unsigned", without("deadman_node/command")), arm)
        assert found.unrecorded == len(found.violations) == 1, found.violations
    if description_topic(profile):
        with pytest.raises(InputError, match="description is needed"):
            audit_bag(rewritten(bag, "undescribed", without("robot_description")), arm)
