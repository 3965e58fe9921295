"""CRISP's command interface over a bed, with the quirks of the real one (robots_and_peers.md A1). Pure; no clock in it.

The newest command wins whatever its kind, nothing expires, and two publishers on one target topic freeze all targets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim_node.bed import Bed
from sim_node.control import HOLD_STIFFNESS, Controller
from sim_node.panda import JOINTS
from vla_uq.geometry import matrix_of_unit

Vector = NDArray[np.float64]
HELD = "the hold controller is active"


class CrispArm:
    """Takes targets as they arrive and runs the bed's physics towards the newest.

    Until the first target of an episode the arm holds its joints and the episode's steps do not count, so that a push
    in mid-episode finds the arm at work.

    :param bed: already reset to a task.
    """

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.ignored: Counter[str] = Counter()
        """Commands that changed nothing, by reason."""
        self._commanded = False
        self.held = False
        """The hold controller is active, CRISP's own is not."""

    def reset(self, task: str, seed: int, disturbance: str) -> None:
        """Begin an episode; the arm holds still.

        :raises InputError: on an unknown task or disturbance; the scene then stays as it was.
        """
        self.bed.reset(task, seed, disturbance)
        self._commanded = self.held = False

    @property
    def _controller(self) -> Controller:
        controller = self.bed.controller
        assert isinstance(controller, Controller), "CRISP drives the Franka"
        return controller

    # -- commands, each returns whether it was taken -----------------------------------------------------------------
    def target_pose(self, position: Sequence[float], quaternion: Sequence[float], publishers: int = 1) -> bool:
        """Follow a pose of the grip frame with the low-gain operational-space controller.

        :param position: (3,) m, base frame.
        :param quaternion: (4,) x, y, z, w.
        :param publishers: of the topic that it came on, as the graph shows them.
        """
        if self.held:
            return self._ignore(HELD)
        p, q = np.asarray(position, float), np.asarray(quaternion, float)
        if self._refused(publishers, p, q, lengths=(3, 4)):
            return False
        norm = np.linalg.norm(q)
        if norm < 1e-6:
            return self._ignore("not a rotation")
        self.bed.controller.follow_pose(p, matrix_of_unit(q / norm))
        self._commanded = True
        return True

    def target_joint(self, names: Sequence[str], positions: Sequence[float], publishers: int = 1) -> bool:
        """Hold joint positions.

        :param names: the arm's joints in any order, or none for the arm's own order.
        :param positions: (7,) rad.
        """
        if self.held:
            return self._ignore(HELD)
        q = np.asarray(positions, float)
        if self._refused(publishers, q, lengths=(len(JOINTS),)):
            return False
        if names:
            if sorted(names) != sorted(JOINTS):
                return self._ignore("unknown joints")
            q = q[[list(names).index(name) for name in JOINTS]]
        self.bed.controller.hold_joints(q)
        self._commanded = True
        return True

    def gripper(self, values: Sequence[float]) -> bool:
        """Command the opening: one value, 0 closed to 1 open, clipped."""
        opening = np.asarray(values, float)
        if self._refused(1, opening, lengths=(1,)):
            return False
        self.bed.controller.gripper = float(np.clip(opening[0], 0, 1))
        return True

    def hold(self, active: bool) -> None:
        """Switch to a joint hold with high gain, or back to CRISP's controller; both begin at the measured joints."""
        if active and not self.held:
            self._controller.hold_joints(self.bed.joints(), HOLD_STIFFNESS)
        elif self.held and not active:
            self.bed.controller.hold_joints(self.bed.joints())
        self.held = active

    def _refused(self, publishers: int, *vectors: Vector, lengths: tuple[int, ...]) -> bool:
        if publishers > 1:
            self._ignore("several publishers")
        elif tuple(map(len, vectors)) != lengths:
            self._ignore("wrong length")
        elif not all(np.isfinite(vector).all() for vector in vectors):
            self._ignore("not finite")
        else:
            return False
        return True

    def _ignore(self, reason: str) -> bool:
        self.ignored[reason] += 1
        return False

    # -- physics -----------------------------------------------------------------------------------------------------
    def advance(self, substeps: int) -> None:
        """Run the physics towards the newest target."""
        if self._commanded:
            self.bed.advance(substeps)
        else:
            self.bed.controller.advance(substeps)
