"""Frames that never came are counted by the gaps between stamps, and a camera that is slow or silent is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_node.camera_health import WINDOW, CameraHealth

RATE = 30.0


class Feed:
    """A camera and the clock that its frames are received by."""

    def __init__(self, start: float = 100.0) -> None:
        self.now = start
        self.health = CameraHealth(RATE, lambda: self.now)

    def take(self, stamp: float, now: float) -> None:
        self.now = now
        self.health.took((int(stamp), round(stamp % 1 * 1e9)))


@given(
    st.lists(st.booleans(), min_size=1, max_size=200),
    st.lists(st.floats(-0.2, 0.2), min_size=200, max_size=200),
    st.floats(0.0, 0.3),
)
def test_every_frame_between_two_that_came_is_counted(came: list[bool], jitter: list[float], delay: float) -> None:
    """Whatever the stamps' jitter, up to a fifth of a period, and the transport's delay."""
    feed = Feed()
    frames = [i for i, here in enumerate(came) if here]
    for i in frames:
        stamp = 50.0 + (i + jitter[i]) / RATE
        feed.take(stamp, max(feed.now, 100.0 + i / RATE + delay * jitter[i] ** 2))
    assert feed.health.received == len(frames)
    assert feed.health.missing == (frames[-1] - frames[0] + 1 - len(frames) if frames else 0)


def test_what_arrives_in_a_burst_is_not_lost() -> None:
    feed = Feed()
    for i in range(30):
        feed.take(i / RATE, 100.0 + (i // 10 + 1) * 10 / RATE)
    assert feed.health.missing == 0


@pytest.mark.parametrize("jump", [3600.0, -3600.0, -1.5])
def test_a_clock_that_is_set_or_a_bed_that_is_reset_loses_nothing(jump: float) -> None:
    feed = Feed()
    for i in range(60):
        feed.take(5000.0 + i / RATE + (jump if i >= 30 else 0.0), 100.0 + i / RATE)
    assert feed.health.missing == 0


def test_a_camera_that_was_unplugged_for_a_minute_missed_a_minute() -> None:
    feed = Feed()
    feed.take(10.0, 100.0)
    feed.take(70.0, 160.0)
    assert feed.health.missing == 60 * RATE - 1
    assert feed.health.rate == pytest.approx(1 / WINDOW), "the rate forgets"


def test_rate_and_reports() -> None:
    feed = Feed()
    assert feed.health.report() == ("WARN", "no frame yet; 0.0 Hz of 30, 0 of 0 frames missing")
    for i in range(300):
        feed.take(i / RATE, 100.0 + i / RATE)
    assert feed.health.rate == pytest.approx(RATE, rel=0.01)
    assert feed.health.report() == ("OK", "30.2 Hz of 30, 0 of 300 frames missing")
    for i in range(300, 600, 2):
        feed.take(i / RATE, 100.0 + i / RATE)
    assert feed.health.report()[1].startswith("slow; loses frames; 15.")
    for i in range(600, 900):
        if i % 10:
            feed.take(i / RATE, 100.0 + i / RATE)
    level, text = feed.health.report()
    assert level == "WARN" and text.startswith("loses frames; 27")
    feed.now += 20.0
    assert feed.health.report()[1].startswith("no frame in 5 s")
    assert feed.health.report(paced=False)[0] == "OK", "in lockstep nothing is due"
