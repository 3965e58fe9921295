"""Real time drops what it cannot catch up with; lockstep takes exactly one answer for each observation."""

from __future__ import annotations

import pytest

from sim_node.pacing import EPISODE_SPAN, MAX_BACKLOG, Lockstep, Pace

STEP = 50_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def count(pace: Pace) -> int:
    n = 0
    while pace.due():
        n += 1
    return n


def test_pace_keeps_the_rate():
    clock = Clock()
    pace = Pace(0.01, clock)
    periods = 0
    for _ in range(1000):
        clock.now += 0.0037
        periods += count(pace)
    assert periods in (369, 370)  # 3.7 s
    assert pace.dropped == 0 and pace.take_worst() < 0.0037
    assert pace.worst == 0


def test_short_backlog_is_caught_up_with():
    clock = Clock()
    pace = Pace(0.01, clock)
    clock.now += 0.045
    assert count(pace) == 4 and pace.dropped == 0
    assert pace.wait() == pytest.approx(0.005)


def test_long_backlog_is_dropped_and_counted():
    clock = Clock()
    pace = Pace(0.01, clock)
    clock.now += 2.0
    assert count(pace) == 1
    assert pace.dropped == pytest.approx(1.99) and MAX_BACKLOG < 1.99
    clock.now += 0.0101
    assert count(pace) == 1


def test_restart_forgets_what_passed():
    clock = Clock()
    pace = Pace(0.01, clock)
    clock.now += 2.0
    pace.restart()
    assert count(pace) == 0 and pace.dropped == 0


def test_lockstep_waits_for_one_target_and_one_gripper_command():
    lock = Lockstep(STEP)
    lock.begin()
    stamp = lock.stamp
    assert stamp == (EPISODE_SPAN, 0)
    assert not lock.step()
    assert lock.wants_target(stamp)
    assert not lock.step(), "wanting is not taking: the command may be malformed"
    lock.took_target()
    assert not lock.wants_target(stamp), "a second target"
    assert not lock.step()
    assert lock.wants_gripper()
    lock.took_gripper()
    assert not lock.wants_gripper()
    assert lock.step()
    assert lock.stamp == (EPISODE_SPAN, STEP)
    assert not lock.wants_target(stamp), "an old stamp"
    assert lock.unasked == 3


def test_stamps_depend_on_episode_and_step_alone():
    def stamps(idle: int) -> list[tuple[int, int]]:
        lock, found = Lockstep(STEP), []
        for _ in range(idle):
            lock.tick(10_000_000)
        for episode in range(2):
            lock.begin()
            for _ in range(25 + 10 * episode):
                found.append(lock.stamp)
                lock.took_target()
                lock.took_gripper()
                assert lock.step()
        return found

    first = stamps(3)
    assert first == stamps(700) and first == sorted(set(first))


def test_stamps_never_run_backwards():
    lock = Lockstep(STEP)
    lock.tick((EPISODE_SPAN + 5) * 10**9 + 1)
    before = lock.stamp
    lock.begin()
    assert lock.stamp == (EPISODE_SPAN + 6, 0) > before
