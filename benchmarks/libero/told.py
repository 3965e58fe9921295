"""LIBERO as a policy sees it that is told where things are: a perfect eye in place of the encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vla_policy.instruction import embed
from vla_policy.observation import initial_gripper, proprioception

if TYPE_CHECKING:
    from sim_node.libero.bed import LiberoBed

Floats = NDArray[np.float32]


def context_of(geometry: Floats, proprio: Floats, text: Floats) -> Floats:
    """A context of the small policy without an encoder's features: (…, 173), zeros where those would be."""
    from vla_policy.nets import FEATURE

    shape = geometry.shape[:-1]
    parts = (np.zeros((*shape, FEATURE)), np.clip(geometry, -5, 5), proprio, np.broadcast_to(text, (*shape, len(text))))
    return np.concatenate(parts, axis=-1).astype(np.float32)


class Told:
    """A bed, one episode after the other (see :class:`benchmarks.experts.play.Room`)."""

    def __init__(self, bed: LiberoBed) -> None:
        self.bed = bed

    def enter(self, task: str, seed: int, said: str = "", disturbance: str = "none") -> None:
        """Begin an episode.

        :param said: what the policy is told, where that is not the task's own instruction.
        """
        self.bed.reset(task, seed, disturbance)
        world = self.bed.world
        self._goals = tuple(goal for goal in world.goals if goal.verb == "close" or not world.holds(goal))
        self._text, self._opening = embed(said or task), initial_gripper(self.bed.observe())

    @property
    def left(self) -> int:
        """Control steps until the time is up."""
        return self.bed.horizon - self.bed.step

    def context(self) -> Floats:
        """What the policy sees now, (173,)."""
        from sim_node.libero.demonstrations import geometry

        where = geometry(self.bed.world, self._goals)
        return context_of(where, proprioception(self.bed.observe(), self._opening), self._text)

    def act(self, action: NDArray[np.floating]) -> bool:
        """Execute one action (7,) in [−1, 1]; returns whether the task is done."""
        from sim_node.libero.demonstrations import STEPS

        self._opening = 0.0 if action[6] > 0 else 1.0
        self.bed.step_delta(action[:6] * STEPS, self._opening)
        return self.bed.success()
