"""A bed for tests: compiled once, reset by each test."""

from __future__ import annotations

import numpy as np
import pytest

from sim_node.actions import target_of
from sim_node.bed import Bed
from sim_node.expert import act


@pytest.fixture(scope="session")
def bed() -> Bed:
    """A bed that does not render; every test resets it."""
    return Bed(render=False)


class Expert:
    """Plays the expert on a bed, as a policy would."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed

    def step(self) -> None:
        action = np.clip(act(self.bed.scene, self.bed.task.goals), -1, 1)
        self.bed.step_pose(*target_of(action, *self.bed.pose()))

    def play(self, steps: int | None = None) -> bool:
        """Play until the goal holds, for at most ``steps`` (or the task's horizon); whether it does."""
        for _ in range(self.bed.horizon if steps is None else steps):
            if self.bed.success():
                return True
            self.step()
        return self.bed.success()


@pytest.fixture
def expert(bed: Bed) -> Expert:
    return Expert(bed)
