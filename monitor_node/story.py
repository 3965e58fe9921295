"""The running episode as people see it: what to show in 2D and in 3D, kept apart from when it is drawn. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from monitor_node.markers import MarkerSpec, describe
from monitor_node.overlay import Picture, View
from vla_uq.contracts import Chunk, Score

LONGEST = 400
"""Scores of an episode that are shown at most."""


class Story:
    """Collects chunks, scores, the measured position and the supervisor's state."""

    def __init__(self) -> None:
        self._chunks: deque[Chunk] = deque(maxlen=8)
        self._scores: deque[Score] = deque(maxlen=LONGEST)
        self._state, self._detail, self._takeover = "", "", False
        self.position: NDArray[np.float64] | None = None
        """Measured grip point (3,) m."""

    def chunk(self, chunk: Chunk) -> None:
        """Take a chunk; its score comes later."""
        self._chunks.append(chunk)

    def score(self, score: Score) -> None:
        """Take a score; one of another episode begins a new page."""
        if self._scores and self._scores[-1].key.episode_id != score.key.episode_id:
            self._scores.clear()
        self._scores.append(score)

    def state(self, name: str, detail: str, takeover: bool) -> None:
        """Take the supervisor's state.

        :param detail: its reason in words.
        """
        self._state, self._detail, self._takeover = name, detail, takeover

    @property
    def frame_id(self) -> str:
        """Frame of :meth:`markers`."""
        return self._chunks[-1].frame_id if self._chunks else ""

    def markers(self) -> list[MarkerSpec]:
        """Of the newest score, when its chunk and the position are known."""
        if not self._scores or self.position is None:
            return []
        score = self._scores[-1]
        chunk = next((c for c in reversed(self._chunks) if c.key == score.key), None)
        return [] if chunk is None else describe(chunk, score, self.position)

    def view(self, images: Mapping[str, Picture], cameras: Sequence[str]) -> View:
        """What the overlay shows now.

        :param images: camera name to its newest picture.
        :param cameras: names from left to right.
        """
        return View(
            images=images,
            cameras=cameras,
            scores=tuple(self._scores),
            state=self._state,
            detail=self._detail,
            instruction=self._chunks[-1].instruction if self._chunks else "",
            takeover=self._takeover,
        )
