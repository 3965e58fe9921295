"""From a pile of episodes to a bundle: which detectors it supports, and which episode serves what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from vla_uq.bundle import Bundle, PolicyIdentity
from vla_uq.calibration.build import build_from
from vla_uq.calibration.division import Division, divide
from vla_uq.contracts import Space
from vla_uq.detectors import DETECTORS, Detector, SafeMlp, SafeTraining, Vfd
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

Make = Callable[..., Rollout]
POLICY = PolicyIdentity("p1", Space.EE_DELTA, horizon=4, dim=3, step_duration=0.05, execute_steps=2)
TASKS = ("open the drawer", "close the drawer")


def pile(make: Make, successes: int, failures: int, **meta: Any) -> list[Rollout]:
    """Two tasks in turn; every other failure is of a push."""
    good = [make(i, task=TASKS[i % 2], **meta) for i in range(successes)]
    bad = [
        make(i, task=TASKS[i % 2], success=False, disturbance="push" if i % 2 else "none", **meta)
        for i in range(1000, 1000 + failures)
    ]
    return good + bad


def without(rollouts: Iterable[Rollout], *names: str) -> list[Rollout]:
    return [Rollout(r.meta, {n: t for n, t in r.tensors.items() if n not in names}) for r in rollouts]


def seventy_percent(successes: int, detectors: int) -> int:
    return successes - int(0.3 * successes)


def division(episodes: list[Rollout], alpha: float = 0.1, detectors: list[Detector] | None = None) -> Division:
    return divide(episodes, alpha, 0, seventy_percent, detectors)


def ids(rollouts: Iterable[Rollout]) -> set[str]:
    return {r.meta.episode_id for r in rollouts}


def test_the_first_day_has_vfd_alone_and_every_success_calibrates(make_rollout: Make) -> None:
    episodes = pile(make_rollout, 30, 9)
    parts = division(episodes)
    assert [d.name for d in parts.detectors] == ["vfd"]
    assert parts.why == ("vfd: needs successes alone", "safe_mlp: left out: 9 of at least 10 failures")
    assert parts.training == ()
    assert ids(parts.calibration) == ids(episodes[:30])


def test_safe_joins_with_enough_failures_and_no_episode_serves_both(make_rollout: Make) -> None:
    episodes = pile(make_rollout, 40, 10)
    parts = division(episodes)
    assert [d.name for d in parts.detectors] == ["vfd", "safe_mlp"]
    assert parts.why[1] == "safe_mlp: learns from 10 failures and 12 of 40 successes"
    assert not ids(parts.training) & ids(parts.calibration)
    assert ids(parts.training) | ids(parts.calibration) == ids(episodes)
    assert all(r.meta.success and r.meta.nominal for r in parts.calibration)
    taught = [r.meta.task for r in parts.training if r.meta.success]
    assert [taught.count(task) for task in TASKS] == [6, 6]
    assert ids(division(episodes[::-1]).training) == ids(parts.training)


@pytest.mark.parametrize(
    ("successes", "alpha", "why"),
    [
        (28, 0.1, "8 of at least 10 successes, a third of all"),
        (40, 0.02, "it would leave 20 of at least 49 episodes for the threshold"),
    ],
)
def test_safe_is_left_out_when_it_would_cost_too_much(
    make_rollout: Make, successes: int, alpha: float, why: str
) -> None:
    parts = division(pile(make_rollout, successes, 20), alpha)
    assert parts.why[1] == f"safe_mlp: left out: {why}"
    assert len(parts.calibration) == successes


def test_other_policies_have_other_detectors(make_rollout: Make) -> None:
    episodes = pile(make_rollout, 40, 10)
    alone = [
        Rollout(r.meta, {**r.tensors, "velocities": r.tensor("velocities")[:, :, :1]}) for r in episodes
    ]  # one member
    assert [d.name for d in division(alone).detectors] == ["stac_single", "safe_mlp"]
    assert [d.name for d in division(without(episodes, "velocities", "samples")).detectors] == ["safe_mlp"]
    bare = without(episodes, "velocities", "samples", "features")
    with pytest.raises(InputError, match=r"no detector fits these episodes; found vfd: left out: no velocities .*"):
        division(bare)


def test_detectors_that_are_asked_for(make_rollout: Make) -> None:
    episodes = pile(make_rollout, 30, 0)
    assert division(episodes, detectors=[Vfd()]).training == ()
    parts = division(episodes, detectors=[Vfd(), DETECTORS["mahalanobis"]()])
    assert parts.why == ("vfd: as asked for", "mahalanobis: as asked for")
    assert (len(parts.training), len(parts.calibration)) == (10, 20)


def built(episodes: list[Rollout], **options: Any) -> Bundle:
    return build_from(POLICY, episodes, **{"alpha": 0.1, "seed": 0, **options})


def test_a_bundle_from_a_pile(make_rollout: Make) -> None:
    bundle = built(pile(make_rollout, 30, 9))
    assert list(bundle.detectors) == ["vfd"]
    assert bundle.n_calibration == 21
    assert bundle.provenance["choice"][1] == "safe_mlp: left out: 9 of at least 10 failures"
    assert bundle.provenance["training"]["episodes"] == 0
    crossed = built(pile(make_rollout, 10, 0), method="cross")
    assert (crossed.n_calibration, crossed.nonconformity.method) == (10, "cross")


def test_of_what_is_recorded_next_a_share_teaches(make_rollout: Make) -> None:
    pytest.importorskip("torch")
    bundle = built(pile(make_rollout, 60, 12), detectors=[Vfd(), SafeMlp(training=SafeTraining(iterations=5))])
    assert bundle.provenance["training"]["episodes"] == 12 + 20
    assert bundle.n_calibration == 28
    first = bundle.provenance["more_successes"][0]
    assert (first["alpha"], first["bound"] <= 0.2, first["successes"]) == (0.1, True, 60 + first["more"])
    # two thirds of them calibrate, of those 70 %
    more = built(pile(make_rollout, 60 + first["more"], 12), detectors=bundle_detectors())
    assert more.realised_bound == pytest.approx(first["bound"])


def bundle_detectors() -> list[Detector]:
    return [Vfd(), SafeMlp(training=SafeTraining(iterations=5))]


def test_thresholds_per_task(make_rollout: Make) -> None:
    bundle = built(pile(make_rollout, 40, 0), per_task=True, method="cross")
    assert bundle.per_task is not None
    assert set(bundle.per_task.own) == set(TASKS)
    assert bundle.n_calibration == 20
    assert bundle.nonconformity.n_calibration == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy_fingerprint": "p2"}, "episode-0500: policy_fingerprint"),
        ({"mode": "guard"}, "episode-0500: mode"),
        ({"execute_steps": 7}, "episode-0500: execute_steps: episode was recorded at another rate"),
        ({"step_duration": 0.02}, "episode-0500: step_duration: episode was recorded at another rate"),
        ({"extra": {"cameras": ["front"]}}, r"episode-0500: cameras: episodes are a mixture; expected \['front', 'w"),
        ({"success": None}, "episode-0500: episode has no outcome"),
    ],
)
def test_a_mixture_is_refused_by_name(make_rollout: Make, change: dict[str, Any], message: str) -> None:
    cameras = {"cameras": ["front", "wrist"]}
    with pytest.raises(InputError, match=message):
        built([*pile(make_rollout, 20, 0, extra=cameras), make_rollout(500, **{"extra": cameras, **change})])


def test_shapes_are_compared_without_reading_tensors(make_rollout: Make, tmp_path: Any) -> None:
    from vla_uq.rollouts.store import RolloutStore

    store = RolloutStore(tmp_path)
    for rollout in pile(make_rollout, 20, 0):
        store.add(rollout)
    odd = make_rollout(500)
    store.add(Rollout(odd.meta, {**odd.tensors, "velocities": odd.tensor("velocities")[:, :, :, :, 1:]}))
    with pytest.raises(
        InputError, match=r"episode-0500: velocities: .*expected 1 x 2 x 1 x 9 x .* found 1 x 2 x 1 x 8"
    ):
        built(list(store))


def test_no_episodes_at_all() -> None:
    with pytest.raises(InputError, match="no episodes"):
        built([])


def test_false_alarms_of_a_pile_with_training_stay_at_alpha(make_rollout: Make) -> None:
    pytest.importorskip("torch")
    bundle = built(pile(make_rollout, 60, 12), detectors=bundle_detectors(), alpha=0.2)
    fresh = [make_rollout(i) for i in range(5000, 5100)]
    alarms = [bundle.nonconformity.alarm_step(bundle.scores(r)) is not None for r in fresh]
    assert np.mean(alarms) <= bundle.realised_bound + 3 * np.sqrt(0.2 * 0.8 / 100)
