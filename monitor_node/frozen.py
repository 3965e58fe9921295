"""A camera that shows the same picture again and again while the arm moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_uq.wire import Array


@dataclass
class _Shown:
    """:param count: inferences in a row that saw this digest.
    :param position: grip point (m) at the first of them; None where the policy does not tell it.
    """

    digest: float
    count: int
    position: Array | None


class FrozenCameras:
    """Counts equal image digests of each camera over an episode's inferences.

    A simulated scene at rest gives equal pictures rightly, so the arm must have moved meanwhile, where the trace says
    where it was. Detectors cannot see this: a policy's latents change with proprioception alone.

    :param limit: equal pictures in a row.
    :param moved: metres that the grip point must have moved since the first of them.
    """

    def __init__(self, limit: int = 3, moved: float = 0.01) -> None:
        self._limit, self._moved = limit, moved
        self._shown: list[_Shown] = []

    def reset(self) -> None:
        """Begin an episode."""
        self._shown = []

    def update(self, digests: Array, position: Array | None) -> list[int]:
        """Take the next inference's digests.

        :param digests: (cameras,).
        :param position: grip point (3,) m, if known.
        :returns: indices of the cameras that are frozen.
        """
        before, self._shown = self._shown, []
        for index, digest in enumerate(digests.ravel().tolist()):
            same = index < len(before) and before[index].digest == digest
            shown = before[index] if same else _Shown(digest, 0, position)
            shown.count += 1
            self._shown.append(shown)
        return [index for index, shown in enumerate(self._shown) if self._is_frozen(shown, position)]

    def _is_frozen(self, shown: _Shown, position: Array | None) -> bool:
        if shown.count < self._limit:
            return False
        if position is None or shown.position is None or position.shape != shown.position.shape:
            return True
        return float(np.linalg.norm(position - shown.position)) > self._moved
