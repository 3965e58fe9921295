"""A fitted detector in a file, and its aggregator exchanged: what training and selection do with every detector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_uq import artefact
from vla_uq.detectors import SafeTraining
from vla_uq.detectors.aggregate import aggregate
from vla_uq.detectors.file import KIND, SCHEMA, fitted_to, load_detector, save_detector
from vla_uq.detectors.safe_lstm import SafeLstmTraining
from vla_uq.errors import InputError
from vla_uq.evaluation.grids import rows
from vla_uq.evaluation.selection import with_aggregator
from vla_uq.rollouts.store import Rollout

MakeRollout = Callable[..., Rollout]
QUICK: dict[str, dict[str, Any]] = {
    "safe_mlp": {"training": SafeTraining(iterations=4, hidden=8)},
    "safe_lstm": {"training": SafeLstmTraining(iterations=4, hidden=8)},
    "rnd": {"iterations": 4},
    "logpzo": {"iterations": 4},
    "rnd_oe": {"epochs": 2},
}
"""Training that is only to be over soon."""


@pytest.fixture(name="episodes")
def _episodes(make_rollout: MakeRollout) -> list[Rollout]:
    """Episodes with every tensor that any detector needs."""
    made = []
    for number in range(24):
        rollout = make_rollout(number, success=number % 3 != 0, execute_steps=2, step_duration=0.05)
        rng, steps = np.random.default_rng(number), len(rollout.tensor("features"))
        more = {
            "features": rollout.tensor("features"),
            "velocities": rng.normal(size=(steps, 2, 2, 1, 9, 4, 7)),
            "flow_times": rollout.tensor("flow_times"),
            "samples": rng.normal(size=(steps, 2, 4, 4, 7)),
            "last_layer": rng.normal(size=(steps, 9, 4, 5)),
            "token_logprobs": -rng.random((steps, 5)),
            "token_entropies": rng.random((steps, 5)),
        }
        made.append(Rollout(rollout.meta, {name: value.astype(np.float32) for name, value in more.items()}))
    return made


@pytest.mark.parametrize("name", [row.name for row in rows() if row.aggregators])
def test_every_detector_takes_another_aggregator_and_goes_through_a_file(
    name: str, episodes: list[Rollout], tmp_path: Path
) -> None:
    (row,) = rows([name])
    detector = row.make(QUICK.get(name, row.candidates[0]))
    detector.fit(episodes)
    single = with_aggregator(detector, "none")
    save_detector(tmp_path / "d", fitted_to(with_aggregator(detector, "cumsum"), [r.meta for r in episodes]))
    summed = load_detector(tmp_path / "d").detector
    for rollout in episodes[:4]:
        steps = single.score(rollout)
        np.testing.assert_allclose(summed.score(rollout), aggregate("cumsum", steps), rtol=1e-9, atol=1e-9)
        assert steps.shape == (len(rollout.tensor("features")),) and np.isfinite(steps).all()


def test_a_file_knows_its_episodes(episodes: list[Rollout], tmp_path: Path) -> None:
    (row,) = rows(["vfd"])
    detector = row.make({})
    detector.fit(episodes)
    path = tmp_path / "deep" / "vfd.safetensors"
    save_detector(path, fitted_to(detector, [r.meta for r in episodes[::-1]], {"seed": 3}))
    fitted = load_detector(path)
    assert fitted.episodes == tuple(sorted(r.meta.episode_id for r in episodes))
    assert (fitted.policy_fingerprint, fitted.provenance) == ("p1", {"seed": 3})


def test_what_is_no_detector_is_refused(episodes: list[Rollout], tmp_path: Path) -> None:
    (row,) = rows(["vfd"])
    with pytest.raises(InputError, match="is not fitted"):
        save_detector(tmp_path / "d", fitted_to(row.make({}), [r.meta for r in episodes]))
    assert not (tmp_path / "d").exists()
    with pytest.raises(InputError, match="not of one policy"):
        fitted_to(row.make({}), [])
    artefact.write(tmp_path / "bundle", "bundle", 1, {}, {})
    with pytest.raises(InputError, match="is another kind of file; expected detector"):
        load_detector(tmp_path / "bundle")
    content = {"name": "oracle", "config": {}, "episodes": [], "policy_fingerprint": "p", "provenance": {}}
    artefact.write(tmp_path / "unknown", KIND, SCHEMA, content, {})
    with pytest.raises(InputError, match="unknown detector"):
        load_detector(tmp_path / "unknown")
    artefact.write(tmp_path / "old", KIND, SCHEMA, {**content, "name": "vfd", "config": {"version": 0}}, {})
    with pytest.raises(InputError, match="another version"):
        load_detector(tmp_path / "old")
    del content["episodes"]
    artefact.write(tmp_path / "short", KIND, SCHEMA, {**content, "name": "vfd"}, {})
    with pytest.raises(InputError, match=r"version|episodes"):
        load_detector(tmp_path / "short")
