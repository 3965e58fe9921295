"""When the policy infers: on the steady clock in real time, by the stamps in lockstep."""

from __future__ import annotations

import numpy as np
import pytest

from policy_node.schedule import InferenceSchedule

DT, STEPS = 0.05, 6


def schedule(lockstep: bool) -> InferenceSchedule:
    made = InferenceSchedule(STEPS, DT, lockstep)
    made.reset()
    return made


def offer(schedule: InferenceSchedule, step: int, now: float) -> bool:
    """Whether an inference starts at ``now`` on the observation of a control step."""
    seconds, steps = divmod(step, 20)
    return schedule.due(now) and schedule.start((seconds, steps * 50_000_000), now)


@pytest.mark.parametrize("lockstep", [False, True])
def test_nothing_is_due_before_a_reset_and_after_a_stop(lockstep: bool) -> None:
    fresh = InferenceSchedule(STEPS, DT, lockstep)
    assert not offer(fresh, 0, 1.0)
    fresh.reset()
    assert fresh.running
    assert offer(fresh, 1, 1.05)
    fresh.stop()
    assert not fresh.running
    assert not offer(fresh, 100, 9.0)


def test_real_time_takes_every_sixth_image_in_spite_of_jitter() -> None:
    rng = np.random.default_rng(0)
    real = schedule(lockstep=False)
    now = [DT * (step + 1) + rng.uniform(-0.008, 0.008) for step in range(120)]
    started = [step for step in range(120) if offer(real, step, now[step])]
    assert started == list(range(0, 120, STEPS))


def test_real_time_ignores_stamps_but_acts_once_on_an_observation() -> None:
    real = schedule(lockstep=False)
    assert offer(real, 1000, 0.1)
    assert real.due(1.0)
    assert not real.start((50, 0), 0.1), "the same observation once more"
    assert offer(real, 3, 1.0)


def test_real_time_waits_for_a_picture_rather_than_act_on_an_old_one() -> None:
    """Pins: a joint state that came when an inference was due started it on a picture up to 50 ms old."""
    real = schedule(lockstep=False)
    assert offer(real, 0, 0.0)
    assert real.due(0.29)
    assert not real.start((0, 250_000_000), 0.25), "the picture before the due one"
    assert real.start((0, 300_000_000), 0.30)


def test_lockstep_counts_control_steps_and_ignores_the_clock() -> None:
    locked = schedule(lockstep=True)
    started = [step for step in range(40, 80) if offer(locked, step, step * 1e-4)]
    assert started == list(range(40, 80, STEPS))
    assert not offer(locked, 60, 1e9), "an old observation that is published again"


@pytest.mark.parametrize("lockstep", [False, True])
def test_a_reset_makes_the_next_inference_due_at_once(lockstep: bool) -> None:
    one = schedule(lockstep)
    assert offer(one, 0, 0.01)
    assert not offer(one, 1, 0.06)
    one.reset()
    assert offer(one, 1, 0.06)


def test_after_a_failure_the_next_observation_is_due_and_then_every_sixth_again() -> None:
    real, locked = schedule(lockstep=False), schedule(lockstep=True)
    assert offer(real, 0, 0.0) and offer(locked, 0, 0.0)
    real.retry()
    locked.retry()
    assert not offer(real, 0, 0.0), "the same picture fails again"
    assert offer(locked, 0, 0.0), "the robot waits with this one"
    assert [step for step in range(1, 14) if offer(real, step, step * DT)] == [1, 7, 13]
    assert [step for step in range(1, 14) if offer(locked, step, 0.0)] == [6, 12]
