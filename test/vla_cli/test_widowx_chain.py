"""The WidowX in lockstep: the supervisor's adapter and inverse kinematics between an expert and the bed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("mujoco")
pytest.importorskip("pink")

from policy_node.backends.base import Inference, PolicySpec
from sim_node.bed import Bed
from sim_node.expert import POSITION_STEP, ROTATION_STEP, act
from supervisor_node.arms import open_arm
from vla_cli.chain import Chain
from vla_cli.episodes import Episode
from vla_cli.robots import ROBOTS
from vla_uq.contracts import Array, Reference, Space

STEPS = 2


class Demonstrator:
    """The scripted expert in a policy's place: what it would do now, for the steps until it is asked again."""

    info = PolicySpec(
        fingerprint="demonstrator",
        back_end="test",
        members=1,
        space=Space.EE_DELTA,
        reference=Reference.MEASURED,
        names=("x", "y", "z", "rx", "ry", "rz"),
        horizon=4,
        dim=6,
        step_duration=0.05,
        execute_steps=STEPS,
        tensors=("features",),
    )

    def __init__(self, bed: Bed) -> None:
        self.bed = bed

    def reset(self, instruction: str, seed: int | None) -> None:
        """It has no memory."""

    def act(self, observation: Any) -> Inference:
        action = np.clip(act(self.bed.scene, self.bed.task.goals), -1, 1)
        delta = np.concatenate([POSITION_STEP * action[:3], ROTATION_STEP * action[3:6]]).astype(np.float32)
        return Inference(np.tile(delta, (4, 1)), np.full(4, action[6] < 0, np.float32), observation)

    def introspect(self, inference: Inference) -> dict[str, Array]:
        return {"features": inference.actions[0]}


@pytest.fixture(scope="module")
def chain():
    bed = Bed(render=False, robot="widowx")
    return Chain(bed, Demonstrator(bed))


@pytest.mark.parametrize(
    "task",
    [
        "put the carrot on the plate",
        "put the spoon on the cloth",
        "stack the green block on the yellow block",
        "put the eggplant in the basket",
    ],
)
def test_deltas_through_the_adapter_solve_the_task(chain, task):
    record = chain.run(Episode(task, 900_201))
    assert record.success, record.reason


def test_profiles_of_the_simulation_are_those_of_the_model():
    from sim_node.widowx.model import FINGER_CLOSED, FINGER_OPEN, GRIP, LOWER, UPPER, WIDOWX

    profile = open_arm(ROBOTS["widowx"].profile).profile
    assert profile.joints.names == WIDOWX.joints
    assert (profile.joints.lower >= LOWER).all() and (profile.joints.upper <= UPPER).all()
    assert profile.joints.lower == pytest.approx(LOWER, abs=1e-3)
    assert profile.gripper.width == pytest.approx(FINGER_OPEN - FINGER_CLOSED)
    bed = Bed(render=False, robot="widowx")
    bed.reset("put the carrot on the plate", 0)
    pose = open_arm(ROBOTS["widowx"].profile).pose(bed.joints())
    assert pose.position == pytest.approx(bed.pose()[0], abs=1e-6) and pytest.approx(GRIP) == 0.0936
    assert pose.rotation == pytest.approx(bed.pose()[1], abs=1e-6)
