"""The two controls: right in batch and streaming, and refused wherever a robot could get them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vla_uq.bundle import PolicyIdentity
from vla_uq.calibration.build import build_bundle
from vla_uq.contracts import Space
from vla_uq.detectors import Counter, Detector, Difficulty, detector_from_state
from vla_uq.detectors.file import fitted_to, save_detector
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

Make = Callable[..., Rollout]
CONTROLS: tuple[type[Detector], ...] = (Counter, Difficulty)


def length(rollout: Rollout) -> int:
    return len(rollout.tensor("features"))


def tasks(make_rollout: Make) -> list[Rollout]:
    """Four episodes of an easy task, one failed, and two of a hard one, both failed."""
    outcomes = {"easy": (True, True, False, True), "hard": (False, False)}
    return [
        make_rollout(10 * i + k, success=won, task=task)
        for i, (task, each) in enumerate(outcomes.items())
        for k, won in enumerate(each)
    ]


def test_counter_counts_inferences(make_rollout: Make) -> None:
    detector, rollout = Counter(), make_rollout(1)
    detector.fit([])
    assert detector.needs == ()
    expected = list(range(length(rollout)))
    for _ in range(2):
        assert [detector.update({}) for _ in expected] == expected
        assert detector.score(rollout).tolist() == expected
        detector.reset()


def test_difficulty_is_the_tasks_failure_rate(make_rollout: Make) -> None:
    detector = Difficulty()
    detector.fit(tasks(make_rollout))
    for task, rate in (("easy", 0.25), ("hard", 1.0), ("unseen", 0.5)):
        rollout = make_rollout(99, task=task)
        np.testing.assert_array_equal(detector.score(rollout), np.full(length(rollout), rate))
        detector.reset(task)
        assert [detector.update({}) for _ in range(3)] == [rate] * 3
    detector.reset()
    assert detector.update({}) == 0.5


def test_difficulty_keeps_the_tasks_of_suites_apart(make_rollout: Make) -> None:
    detector = Difficulty()
    detector.fit([make_rollout(i, success=i > 0, extra={"suite": f"suite {i}"}) for i in range(2)])
    scores = [detector.score(make_rollout(9, extra={"suite": f"suite {i}"}))[0] for i in range(3)]
    assert scores == [1.0, 0.0, 0.5]


def test_difficulty_needs_outcomes(make_rollout: Make) -> None:
    with pytest.raises(InputError, match="episode-0001: episode has no outcome"):
        Difficulty().fit([make_rollout(1, success=None)])
    with pytest.raises(InputError, match="difficulty: no rollouts"):
        Difficulty().fit([])
    with pytest.raises(InputError, match="difficulty: is not fitted"):
        Difficulty().score(make_rollout(1))


@pytest.mark.parametrize("kind", CONTROLS)
def test_controls_are_refused_by_bundles_and_files(kind: type[Detector], make_rollout: Make, tmp_path: Path) -> None:
    detector = kind()
    refusal = f"{kind.name}: is a control for evaluation and cannot go into a bundle.*leave it out"
    rollouts = [make_rollout(i) for i in range(100, 130)]
    policy = PolicyIdentity("p1", Space.EE_DELTA, 4, 7, 0.1, 2)
    with pytest.raises(InputError, match=refusal):
        build_bundle(policy, tasks(make_rollout), rollouts, alpha=0.1, seed=0, detectors=[detector]).save(
            tmp_path / "bundle.safetensors"
        )
    with pytest.raises(InputError, match=refusal):
        save_detector(tmp_path / "d.safetensors", fitted_to(detector, [rollouts[0].meta]))
    with pytest.raises(InputError, match="is a control for evaluation"):
        detector_from_state(kind.name, {}, {"version": 1}, "bundle: detectors")
    assert not list(tmp_path.iterdir())
