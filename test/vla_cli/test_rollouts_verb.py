"""``vla-monitor rollouts``: what is recorded of both shipped policies, and that a seed repeats it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco")

from vla_cli.main import main
from vla_policy.manifest import TOKEN_WEIGHTS, WEIGHTS, Manifest
from vla_uq.rollouts.store import Rollout, RolloutStore

TASK = "close the front drawer"
ONE = ("--tasks", TASK, "--purpose", "benchmark", "--episodes", "1", "--processes", "1")


def rollout(folder: Path, *options: str) -> Rollout:
    assert main(["rollouts", "--out", str(folder), *ONE, *options]) == 0
    return next(iter(RolloutStore(folder)))


@pytest.mark.parametrize(
    ("weights", "inference"),
    [
        (WEIGHTS, {"features": (434,), "flow_times": (9,), "velocities": (1, 2, 1, 9, 16, 7)}),
        (TOKEN_WEIGHTS, {"features": (274,), "token_logprobs": (56,), "token_entropies": (56,)}),
    ],
    ids=["flow", "tokens"],
)
def test_a_seed_gives_the_same_rollout_twice(
    weights: Path, inference: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    first, again = (rollout(tmp_path / name, "--policy", str(weights)) for name in "ab")
    assert first.meta == again.meta
    assert {name: first.tensor(name).shape[1:] for name in inference} == inference
    assert set(first.tensors) == {*inference, "image_digest", "position"}
    for name in first.tensors:
        assert first.tensor(name).tobytes() == again.tensor(name).tobytes(), name
    meta = first.meta
    assert meta.policy_fingerprint == Manifest.load(weights).fingerprint
    assert (meta.task, meta.seed, meta.execute_steps, meta.step_duration) == (TASK, 400_000, 6, 0.05)
    assert meta.extra["suite"] == "tabletop" and isinstance(meta.extra["task_id"], int)
    assert -(-meta.steps // meta.execute_steps) == len(first.tensor("features"))


def test_draws_and_last_layer_are_recorded_beside_the_same_episode(tmp_path: Path) -> None:
    plain, rich = rollout(tmp_path / "a"), rollout(tmp_path / "b", "--draws", "3", "--last-layer")
    assert plain.meta == rich.meta
    for name in plain.tensors:
        np.testing.assert_array_equal(plain.tensor(name), rich.tensor(name))
    assert set(rich.tensors) - set(plain.tensors) == {"samples", "last_layer"}
    assert rich.tensor("samples").shape[1:] == (2, 3, 16, 7)
    assert rich.tensor("last_layer").shape[1:] == (9, 1, 160)


def test_what_a_policy_cannot_record_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollouts", "--out", str(tmp_path), *ONE, "--policy", str(TOKEN_WEIGHTS), "--draws", "3"]) == 2
    assert "tokens has no such option" in capsys.readouterr().err
