"""Records of pi0 and pi0-FAST, from files that were written as their recorder writes them."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vla_uq.errors import InputError
from vla_uq.rollouts.importers import FORMATS, format_of
from vla_uq.rollouts.store import Rollout


def read(root: Path, name: str = "") -> list[Rollout]:
    return [episode.read() for episode in (FORMATS[name] if name else format_of(root)).find(root)]


def only(root: Path, name: str = "") -> Rollout:
    (rollout,) = read(root, name)
    return rollout


def test_pi0(tmp_path: Path, writers: SimpleNamespace) -> None:
    records = writers.openpi(tmp_path / "run").episode(task=2, episode=5, success=False)
    rollout = only(tmp_path)
    states = np.stack([record["pre_velocity"] for record in records])
    first, last = states[:, :, 0], states[:, :, -1]
    np.testing.assert_array_equal(rollout.tensor("features/h_0.0.t_1.0"), first[:, -1])
    both = np.concatenate([first[:, 0], last[:, 0]], axis=-1)
    np.testing.assert_array_equal(rollout.tensor("features/h_concat-2.t_0.0"), both)
    np.testing.assert_array_equal(rollout.tensor("features"), both)
    # The horizon goes first, then the flow steps: both ends of both, in this order.
    ends = [first[:, 0], last[:, 0], first[:, -1], last[:, -1]]
    np.testing.assert_array_equal(rollout.tensor("features/h_concat-2.t_concat-2"), np.concatenate(ends, axis=-1))
    assert len([name for name in rollout.tensors if name.startswith("features/")]) == 9
    actions = np.stack([record["actions"] for record in records])
    np.testing.assert_allclose(rollout.tensor("samples"), actions[:, None, None], rtol=1e-6)
    meta = rollout.meta
    assert (meta.success, meta.steps, meta.execute_steps, meta.inference_period) == (False, 18, 5, 0.25)
    assert (meta.task, meta.policy_fingerprint) == ("do task 2", "safe_openpi:run")
    assert {name: meta.extra[name] for name in ("suite", "task_id", "episode")} == {
        "suite": "libero_10",
        "task_id": 2,
        "episode": 5,
    }


@pytest.mark.parametrize("draws", [1, 6])
def test_pi0_recorded_with_an_axis_of_draws(tmp_path: Path, writers: SimpleNamespace, draws: int) -> None:
    records = writers.openpi(tmp_path / "run", draws=draws).episode()
    samples = only(tmp_path).tensor("samples")
    assert samples.shape == (4, 1, draws, 10, 7)
    np.testing.assert_allclose(samples[:, 0, 0], np.stack([r["actions"][0] for r in records]), rtol=1e-6)


def test_pi0_fast(tmp_path: Path, writers: SimpleNamespace) -> None:
    records = writers.openpi(tmp_path / "run", "pi0_fast").episode()
    rollout = only(tmp_path)
    for layer in ("encoded", "pre_logits"):
        states = [record[layer].astype(np.float32) for record in records]
        np.testing.assert_array_equal(rollout.tensor(f"features/{layer}.token_0.0"), np.stack([s[0] for s in states]))
        np.testing.assert_array_equal(rollout.tensor(f"features/{layer}.token_1.0"), np.stack([s[-1] for s in states]))
        mean = np.stack([s.mean(axis=0) for s in states])
        np.testing.assert_allclose(rollout.tensor(f"features/{layer}.token_mean"), mean, rtol=1e-6)
    np.testing.assert_array_equal(rollout.tensor("features"), rollout.tensor("features/pre_logits.token_mean"))


def test_b15_tokens_that_are_no_actions_are_left_out(tmp_path: Path, writers: SimpleNamespace) -> None:
    records = writers.openpi(tmp_path / "run", "pi0_fast").episode(inferences=3)
    rollout = only(tmp_path)
    logprobs, entropies = rollout.tensor("token_logprobs"), rollout.tensor("token_entropies")
    longest = max(len(record["raw_actions"]) for record in records) - 5  # "Action: " is three, the bar, the end
    assert logprobs.shape == entropies.shape == (3, longest)
    for t, record in enumerate(records):
        tokens = record["raw_actions"].astype(int) - record["action_start_index_in_vocab"]
        rows = torch.tensor(record["logits"].astype(np.float32)).log_softmax(dim=-1)
        own = [float(rows[j, tokens[j]]) for j in range(3, len(tokens) - 2)]
        spread = [float(-(rows[j].exp() * rows[j]).sum()) for j in range(3, len(tokens) - 2)]
        np.testing.assert_allclose(logprobs[t, : len(own)], own, rtol=1e-5)
        np.testing.assert_allclose(entropies[t, : len(own)], spread, rtol=1e-5)
        assert np.isnan(logprobs[t, len(own) :]).all() and np.isnan(entropies[t, len(own) :]).all()


def test_pi0_fast_of_several_draws_has_chunks_only(tmp_path: Path, writers: SimpleNamespace) -> None:
    writers.openpi(tmp_path / "run", "pi0_fast", draws=4).episode()
    rollout = only(tmp_path)
    assert set(rollout.tensors) == {"samples"}
    assert rollout.tensor("samples").shape == (4, 1, 4, 10, 7)


def test_b19_records_are_paired_by_episode_not_by_order(tmp_path: Path, writers: SimpleNamespace) -> None:
    writer = writers.openpi(tmp_path / "run")
    writer.episode(episode=0, inferences=2, crashed=True)  # its three records would shift all that follow
    wanted = [writer.episode(episode=0, inferences=4), writer.episode(episode=1, success=False, inferences=3)]
    rollouts = read(tmp_path)
    assert [len(rollout.tensor("features")) for rollout in rollouts] == [4, 3]
    for rollout, records in zip(rollouts, wanted, strict=True):
        actions = np.stack([record["actions"] for record in records])
        np.testing.assert_allclose(rollout.tensor("samples")[:, 0, 0], actions, rtol=1e-6)


def test_b19_clients_side_by_side(tmp_path: Path, writers: SimpleNamespace) -> None:
    writer = writers.openpi(tmp_path / "run")
    writer.episode(episode=0)
    writer.episode(episode=1)
    folder = tmp_path / "run" / "policy_records"
    names = sorted(folder.iterdir(), key=lambda path: int(path.name.split("--")[0][5:]))
    expected = [rollout.tensor("samples") for rollout in read(tmp_path)]
    for number, path in enumerate(names):  # the two interleaved: 0, 4, 1, 5, ...
        order = 2 * (number % 4) + number // 4
        path.rename(folder / path.name.replace(f"step_{number}--", f"step_{100 + order}--"))
    for rollout, samples in zip(read(tmp_path), expected, strict=True):
        np.testing.assert_array_equal(rollout.tensor("samples"), samples)


def test_b19_another_run_in_the_same_folder(tmp_path: Path, writers: SimpleNamespace) -> None:
    writer = writers.openpi(tmp_path / "run")
    writer.episode(note="warm_up", crashed=True)
    records = writer.episode()
    rollout = only(tmp_path)
    assert rollout.meta.policy_fingerprint == "safe_openpi:run"
    np.testing.assert_allclose(rollout.tensor("samples")[0, 0, 0], records[0]["actions"], rtol=1e-6)
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"policy records are of several runs; expected moved; found .*warm_up"):
        only(tmp_path)


def test_b19_what_does_not_make_up_an_episode_is_refused(tmp_path: Path, writers: SimpleNamespace) -> None:
    missing = writers.openpi(tmp_path / "a" / "missing")
    missing.episode(skip=1)
    with pytest.raises(InputError, match="do not make up the episode; expected one sequence of 4; found 3"):
        only(tmp_path / "a")
    path = next((tmp_path / "a" / "missing" / "policy_records").glob("*t_25*"))
    shutil.copy(path, path.with_name(path.name.replace("t_25", "t_26").replace("step_3", "step_9")))
    with pytest.raises(InputError, match="do not follow each other; expected environment step 15; found 20"):
        only(tmp_path / "a")
    twice = writers.openpi(tmp_path / "b" / "twice")
    twice.episode()
    twice.episode()
    with pytest.raises(InputError, match="expected one sequence of 4; found 4 and 4"):
        only(tmp_path / "b")
    writers.openpi(tmp_path / "c" / "lost").episode(inferences=0)
    with pytest.raises(InputError, match="expected one sequence of 0; found none"):
        only(tmp_path / "c")


def test_openpi_on_the_franka(tmp_path: Path, writers: SimpleNamespace) -> None:
    """The records of the real robot count no inferences and are named a little differently."""
    writers.openpi(tmp_path / "run", "pi0_fast").episode(task=1, episode=3)
    path = tmp_path / "run" / "env_records" / "task1--ep3--succ1.pkl"
    env = pickle.loads(path.read_bytes())
    for name in ("model_infer_times", "num_steps_wait", "step_done"):
        del env[name]
    env["episode_success"] = 1
    env["task_suite_name"] = "droid"
    path.with_name("task1--ep3--succ1--meta.pkl").write_bytes(pickle.dumps(env))
    path.unlink()
    meta = only(tmp_path).meta
    assert (meta.success, meta.steps, meta.step_duration) == (True, 20, 0.0)
    assert meta.episode_id.endswith("run-task1--ep3--succ1")
