"""The simulated Franka commissioned in simulated time: what ships in its profile is what this gives on any machine."""

from __future__ import annotations

import numpy as np
import pytest

from sim_node.bed import CONTROL_DT, Bed
from sim_node.control import SUBSTEPS
from sim_node.crisp import CrispArm as SimulatedArm
from sim_node.tasks import FRANKA, tasks_of
from supervisor_node.arms import open_arm
from supervisor_node.commissioning.course import Course
from supervisor_node.commissioning.figures import Evidence, Sample
from supervisor_node.commissioning.findings import find
from supervisor_node.commissioning.procedure import Procedure, Seen
from supervisor_node.rest import JointHistory
from supervisor_node.values import Command, Measured, Pose
from vla_uq.geometry import quaternion

pytestmark = [pytest.mark.drill, pytest.mark.timeout(240)]
PER_TICK = 5
"""Joint states in a control step: 100 Hz, as the node publishes them."""


class Lab:
    """The simulated arm without a node: commands reach it at once, and time is the simulation's."""

    def __init__(self, profile: str) -> None:
        self.arm = open_arm(profile)
        bed = Bed(render=False, robot=FRANKA)
        bed.build()
        self.sim, self.history, self.now = SimulatedArm(bed), JointHistory(), 0.0
        self.samples: list[Sample] = []
        self.sim.reset(next(iter(tasks_of(FRANKA))), 0, "none")

    def tick(self) -> Seen:
        for _ in range(PER_TICK):
            self.sim.advance(SUBSTEPS // PER_TICK)
            self.now += CONTROL_DT / PER_TICK
            q = np.array(self.sim.bed.joints())
            self.samples.append((self.now, q))
            self.history.add(self.now, q)
        taken, self.samples = tuple(self.samples), []
        q, place = taken[-1][1], Pose(*self.sim.bed.pose())
        scene = self.sim.bed.scene
        opening = float(scene.data.qpos[scene.fingers].sum()) / self.arm.profile.gripper.width
        return Seen(self.now, Measured(q, self.history.velocity(q), place, opening), taken, confirmed=True)

    def send(self, command: Command | None) -> None:
        if command is None:
            return
        motion = command.motion
        if motion.joints is not None:
            self.sim.target_joint(self.arm.profile.joints.names, motion.joints.tolist())
        elif motion.pose is not None:
            self.sim.target_pose(motion.pose.position.tolist(), quaternion(motion.pose.rotation).tolist())
        if command.gripper is not None:
            self.sim.gripper([command.gripper])

    def run(self) -> Evidence:
        for _ in range(10):
            seen = self.tick()
        procedure = Procedure(self.arm, Course(), seen)
        steps = procedure.run()
        act = next(steps)
        while True:
            self.send(act.command)
            try:
                act = steps.send(self.tick())
            except StopIteration:
                return procedure.evidence


def test_the_franka_of_the_bed_is_what_its_profile_says() -> None:
    lab = Lab("franka_crisp_sim")
    profile = lab.arm.profile
    found = find(profile, lab.run(), "2026-01-31")
    assert found.deceleration == pytest.approx(profile.braking.deceleration, rel=0.02)
    assert found.lead == pytest.approx(profile.braking.lead, rel=0.02)
    assert found.tolerance == pytest.approx(profile.rest.tolerance, rel=0.02)
    ships = profile.commissioned
    assert ships is not None
    assert found.commissioned.rest.worst == pytest.approx(ships.rest.worst, abs=0.02)
    assert found.commissioned.silence.worst == pytest.approx(ships.silence.worst, abs=0.05)
