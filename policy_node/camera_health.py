"""How well a camera delivers: its real rate, and the frames that never came. Pure; the clock is given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Stamp = tuple[int, int]

WINDOW = 5.0
"""Seconds over which rate and losses are judged."""
SLOW, LOSSY = 0.8, 0.05
"""Below this part of the nominal rate a camera is slow; above this part of missing frames it loses too many."""
JUMP = 1.0
"""Seconds by which the distances of stamps and of receipts may differ before a clock must have been set."""


class CameraHealth:
    """Counts the frames of one camera, those received and, by the gaps between stamps, those missing.

    Stamps tell what was lost on the way, receipts tell the rate. A gap that the receipts do not show at all is a clock
    that was set, or a bed that was reset, and nothing was lost in it.

    :param rate: frames in a second that the camera should send.
    :param clock: steady seconds.
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._nominal, self._clock = rate, clock
        self._start = clock()
        self._last: tuple[float, float] | None = None
        self._recent: deque[tuple[float, int]] = deque()
        self.received, self.missing = 0, 0

    def took(self, stamp: Stamp) -> None:
        """A frame has arrived, decodable or not."""
        now, at = self._clock(), stamp[0] + stamp[1] * 1e-9
        lost = 0
        if self._last is not None:
            received, stamped = now - self._last[0], at - self._last[1]
            if abs(stamped - received) < JUMP:
                lost = max(round(stamped * self._nominal) - 1, 0)
        self._last = (now, at)
        self._recent.append((now, lost))
        self.received += 1
        self.missing += lost
        self._forget(now)

    @property
    def rate(self) -> float:
        """Frames in a second, over the last seconds."""
        now = self._clock()
        self._forget(now)
        return len(self._recent) / max(min(WINDOW, now - self._start), 1 / self._nominal)

    def report(self, paced: bool = True) -> tuple[str, str]:
        """Level (``OK`` or ``WARN``) and text of diagnostics.

        :param paced: whether frames are due in real time; in lockstep they come when they are asked for.
        """
        rate = self.rate
        lost = sum(lost for _, lost in self._recent)
        text = f"{rate:.1f} Hz of {self._nominal:g}, {self.missing} of {self.received + self.missing} frames missing"
        problems = []
        if paced and not self._recent:
            problems.append(f"no frame in {WINDOW:g} s" if self.received else "no frame yet")
        elif paced and rate < SLOW * self._nominal:
            problems.append("slow")
        if lost > LOSSY * (lost + len(self._recent)):
            problems.append("loses frames")
        return "WARN" if problems else "OK", "; ".join([*problems, text])

    def _forget(self, now: float) -> None:
        while self._recent and now - self._recent[0][0] > WINDOW:
            self._recent.popleft()
