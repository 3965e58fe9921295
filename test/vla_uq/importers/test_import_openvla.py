"""OpenVLA's records, from files that were written as its recorder writes them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vla_uq.errors import InputError
from vla_uq.rollouts.aggregation import aggregate
from vla_uq.rollouts.importers import FORMATS, format_of
from vla_uq.rollouts.store import Rollout, RolloutStore


def read(root: Path, name: str = "") -> list[Rollout]:
    return [episode.read() for episode in (FORMATS[name] if name else format_of(root)).find(root)]


def only(root: Path, name: str = "") -> Rollout:
    (rollout,) = read(root, name)
    return rollout


@pytest.mark.parametrize("as_list", [False, True])
def test_openvla(tmp_path: Path, writers: SimpleNamespace, as_list: bool) -> None:
    truth = writers.openvla(tmp_path / "note" / "libero_10", task=3, episode=7, success=False, as_list=as_list)
    rollout = only(tmp_path)
    states = truth["hidden_states"]
    for operation in ("mean", 0.0, 1.0):
        np.testing.assert_array_equal(rollout.tensor(f"features/token_{operation}"), aggregate(states, operation))
    np.testing.assert_array_equal(rollout.tensor("features"), states.mean(axis=1))
    assert {value.dtype for value in rollout.tensors.values()} == {np.dtype(np.float32)}
    samples = rollout.tensor("samples")
    assert samples.shape == (5, 1, 1, 1, 7)
    np.testing.assert_allclose(samples[:, 0, 0, 0, 5], truth["action/dyaw"], rtol=1e-6)
    np.testing.assert_allclose(rollout.tensor("token_logprobs")[:, 2], np.log(truth["action/token_2_prob"]), rtol=1e-5)
    np.testing.assert_allclose(rollout.tensor("token_entropies")[:, 6], truth["action/token_6_entropy"], rtol=1e-6)
    meta = rollout.meta
    assert meta.episode_id == "safe_openvla-note-libero_10-task3--ep7--succ0"
    assert (meta.task, meta.success, meta.steps, meta.nominal) == ("do task 3", False, 5, True)
    assert (meta.execute_steps, meta.step_duration, meta.policy_fingerprint) == (1, 0.05, "safe_openvla:note")
    assert (meta.extra["suite"], meta.extra["task_id"], meta.extra["episode"]) == ("libero_10", 3, 7)
    assert meta.extra["source"] == "note/libero_10/task3--ep7--succ0"
    RolloutStore(tmp_path / "store").add(rollout)


def test_openvla_of_several_draws_has_their_spread(tmp_path: Path, writers: SimpleNamespace) -> None:
    truth = writers.openvla(tmp_path / "multi" / "libero_10", several=True, pickled=False)
    rollout = only(tmp_path)
    assert "features" not in rollout.tensors and "token_logprobs" not in rollout.tensors
    np.testing.assert_allclose(rollout.tensor("scores/rot_var")[:, 0], truth["action/rot_var"], rtol=1e-6)
    assert rollout.tensor("samples").shape == (5, 1, 1, 1, 7)
    assert (rollout.meta.task, rollout.meta.extra["task_id"], rollout.meta.success) == ("3", 3, True)


def test_openvla_on_the_widowx(tmp_path: Path, writers: SimpleNamespace) -> None:
    folder = tmp_path / "openvla_widowx" / "20250401_lift_the_eggplant"
    writers.openvla(folder, task=4, episode=2, table=False)
    path = folder / "task4--ep2--succ1.pkl"
    path.rename(folder / "task_lift_eggplant--ep2--succ1.pkl")
    meta = only(tmp_path).meta
    assert (meta.extra["task_id"], meta.step_duration, meta.task) == (4, 0.2, "do task 4")
    assert meta.episode_id.endswith("task_lift_eggplant--ep2--succ1")


def test_openvla_pickle_and_table_must_fit(tmp_path: Path, writers: SimpleNamespace) -> None:
    suite = tmp_path / "note" / "libero_10"
    writers.openvla(suite, steps=5)
    table = suite / "task3--ep0--succ1.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]))
    with pytest.raises(InputError, match=r"differ in length; found \[4, 5\]"):
        only(tmp_path)
    table.write_text("\n".join([*lines[:-1], "1,2"]))
    with pytest.raises(InputError, match=r"task3--ep0--succ1.csv: is no table"):
        only(tmp_path)


def test_an_outcome_that_contradicts_the_name_is_no_outcome(tmp_path: Path, writers: SimpleNamespace) -> None:
    suite = tmp_path / "note" / "libero_10"
    writers.openvla(suite, table=False)
    (suite / "task3--ep0--succ1.pkl").rename(suite / "task3--ep0--succ0.pkl")
    with pytest.raises(InputError, match="episode_success: outcome is not clear"):
        only(tmp_path)
