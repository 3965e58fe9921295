"""Each format, read from files that were written as its recorder writes them."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vla_uq.errors import InputError
from vla_uq.rollouts.aggregation import aggregate
from vla_uq.rollouts.importers import FORMATS, format_of
from vla_uq.rollouts.store import Rollout, RolloutStore


def read(root: Path, name: str = "") -> list[Rollout]:
    return [episode.read() for episode in (FORMATS[name] if name else format_of(root)).find(root)]


def only(root: Path, name: str = "") -> Rollout:
    (rollout,) = read(root, name)
    return rollout


# -- OpenVLA -------------------------------------------------------------------------------------------------------
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


# -- openpi --------------------------------------------------------------------------------------------------------
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


# -- open-pi-zero --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_open_pi_zero(tmp_path: Path, writers: SimpleNamespace, dtype: torch.dtype) -> None:
    writers.open_pi_zero(tmp_path / "ckpt" / "widowx_carrot_on_plate", success=False)
    records = writers.open_pi_zero(tmp_path / "ckpt" / "widowx_stack_cube", episode=4, success=True, dtype=dtype)
    rollout = read(tmp_path)[1]
    last = torch.stack([record["sampled_action_embeds"][-1] for record in records]).float().numpy()
    np.testing.assert_array_equal(rollout.tensor("features/h_1.0.t_0.0"), last[:, 0, -1])
    np.testing.assert_allclose(rollout.tensor("features/h_mean.t_mean"), last.mean(axis=2).mean(axis=1), atol=1e-6)
    assert len([name for name in rollout.tensors if name.startswith("features/")]) == 16
    np.testing.assert_array_equal(rollout.tensor("features"), rollout.tensor("features/h_concat-2.t_0.0"))
    drawn = np.stack([record["sampled_actions"] for record in records])
    samples = rollout.tensor("samples")
    assert samples.shape == (3, 1, 4, 4, 7)
    np.testing.assert_array_equal(samples[:, 0, 0], drawn[:, -1])
    np.testing.assert_array_equal(samples[:, 0, 1:], drawn[:, :-1])
    meta = rollout.meta
    assert (meta.task, meta.success, meta.steps, meta.seed) == ("do widowx_stack_cube", True, 11, 4)
    assert (meta.execute_steps, meta.step_duration, meta.extra["task_id"]) == (4, 0.2, 1)
    assert meta.policy_fingerprint == "open_pi_zero:ckpt"


def test_open_pi_zero_needs_its_description(tmp_path: Path, writers: SimpleNamespace) -> None:
    folder = tmp_path / "ckpt" / "google_robot_open_drawer"
    writers.open_pi_zero(folder)
    assert only(tmp_path).meta.execute_steps == 2
    meta = folder / "episode_0_success_True_meta.json"
    meta.write_text(json.dumps({"task": "open it", "episode_id": 0, "success": False}))
    with pytest.raises(InputError, match="success: outcome is not clear"):
        only(tmp_path)
    meta.write_text("{")
    with pytest.raises(InputError, match=r"meta\.json: is not JSON"):
        only(tmp_path)
    meta.unlink()
    with pytest.raises(InputError, match=r"episode_0_success_True\.pkl: has no description"):
        only(tmp_path)


# -- FIPER ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("changed", [{}, {"as_list": True}, {"robots": 1}])
def test_fiper(tmp_path: Path, writers: SimpleNamespace, changed: dict[str, Any]) -> None:
    steps = writers.fiper(tmp_path / "push_t", episode=12, success=False, **changed)
    rollout = only(tmp_path)

    def of(step: dict[str, Any], name: str) -> np.ndarray:
        return step[name][0] if changed.get("robots") else step[name]

    np.testing.assert_array_equal(rollout.tensor("features"), np.stack([of(s, "obs_embedding") for s in steps]))
    np.testing.assert_array_equal(
        rollout.tensor("features/state_embedding"), np.stack([of(s, "state_embedding") for s in steps])
    )
    samples, drawn = rollout.tensor("samples"), np.stack([of(s, "action_pred") for s in steps])
    assert samples.shape == (4, 1, 6, 16, 3)
    np.testing.assert_array_equal(samples[:, 0, 0], drawn[:, 2])
    np.testing.assert_array_equal(samples[:, 0, 1:], drawn[:, [0, 1, 3, 4, 5]])
    meta = rollout.meta
    assert (meta.task, meta.success, meta.execute_steps, meta.step_duration) == ("push_t", False, 8, 0.2)
    assert meta.nominal and meta.extra["split"] == "test"
    assert meta.episode_id == "fiper-push_t-test-episode_f_0012"


def test_fiper_in_other_words(tmp_path: Path, writers: SimpleNamespace) -> None:
    writers.fiper(
        tmp_path / "pretzel", name="episode_3.pkl", episode=3, split="calibration", action_execution_horizon=None
    )
    writers.fiper(tmp_path / "stacking", subtype="eb", name="episode_s_0007_task09.pkl")
    pretzel, stacking = (rollout.meta for rollout in read(tmp_path))
    assert (pretzel.success, pretzel.execute_steps, pretzel.extra["split"]) == (True, 8, "calibration")
    assert (stacking.disturbance, stacking.task, stacking.extra["task_id"]) == ("eb", "stacking 9", 9)


def test_fiper_executed_chunk(tmp_path: Path, writers: SimpleNamespace) -> None:
    steps = writers.fiper(tmp_path / "push_t", executed=-1)
    samples = only(tmp_path).tensor("samples")
    assert samples.shape == (4, 1, 7, 16, 3)
    np.testing.assert_array_equal(samples[:, 0, 0], np.stack([step["action"] for step in steps]))
    path = tmp_path / "push_t" / "rollouts" / "test" / "episode_s_0000.pkl"
    for step in steps:  # diffusion policy executes a part from the second action on
        step["action"] = step["action_pred"][4, 1:9]
    path.write_bytes(pickle.dumps(steps))
    np.testing.assert_array_equal(
        only(tmp_path).tensor("samples")[:, 0, 0], np.stack([step["action_pred"][4] for step in steps])
    )
    steps[1]["action"] = steps[1]["action"] + 1
    path.write_bytes(pickle.dumps(steps))
    with pytest.raises(InputError, match="action: executed chunk is none of the draws"):
        only(tmp_path)
    for step in steps:
        step["action_selection_idx"] = 3
    path.write_bytes(pickle.dumps(steps))
    np.testing.assert_array_equal(only(tmp_path).tensor("samples")[1, 0, 0], steps[1]["action_pred"][3])


def test_fiper_is_refused_where_it_is_not_clear(tmp_path: Path, writers: SimpleNamespace) -> None:
    writers.fiper(tmp_path / "a" / "push_t", robots=2)
    with pytest.raises(InputError, match="rollout is of several robots"):
        only(tmp_path / "a")
    writers.fiper(tmp_path / "b" / "push_t", successful=False)
    with pytest.raises(InputError, match="outcome is not clear"):
        only(tmp_path / "b")
    writers.fiper(tmp_path / "c" / "pretzel", name="episode_1.pkl", successful=None)
    with pytest.raises(InputError, match="outcome is not clear"):
        only(tmp_path / "c")


# -- all -----------------------------------------------------------------------------------------------------------
Write = Callable[[Path, SimpleNamespace], Any]
EACH: dict[str, Write] = {
    "safe_openvla": lambda root, writers: writers.openvla(root / "note" / "libero_10"),
    "safe_openpi": lambda root, writers: writers.openpi(root / "run").episode(),
    "open_pi_zero": lambda root, writers: writers.open_pi_zero(root / "ckpt" / "widowx_stack_cube"),
    "fiper": lambda root, writers: writers.fiper(root / "push_t"),
}


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_format_is_told_by_what_lies_where(tmp_path: Path, writers: SimpleNamespace, name: str) -> None:
    EACH[name](tmp_path / "data", writers)
    assert format_of(tmp_path).name == name
    others = [other for other in FORMATS if other != name]
    assert not [other for other in others if list(FORMATS[other].find(tmp_path))]


def test_a_folder_of_two_formats_or_none_is_refused(tmp_path: Path, writers: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="holds no known format"):
        format_of(tmp_path)
    for name in ("fiper", "safe_openvla"):
        EACH[name](tmp_path, writers)
    with pytest.raises(InputError, match=r"holds several formats; .*found safe_openvla, fiper; name it with --format"):
        format_of(tmp_path)
    assert only(tmp_path, "fiper").meta.extra["format"] == "fiper"


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_episode_keeps_its_id_wherever_an_import_starts(
    tmp_path: Path, writers: SimpleNamespace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    EACH[name](tmp_path / "data", writers)
    (episode,) = FORMATS[name].find(tmp_path)
    below = next(path for path in (tmp_path / "data").iterdir())
    monkeypatch.chdir(below)
    (again,) = FORMATS[name].find(Path())
    assert (again.id, again.source, again.size) == (episode.id, episode.source, episode.size)
    assert again.read().meta == episode.read().meta == episode.read().meta
    assert str(tmp_path) not in json.dumps(episode.read().meta.extra)


def test_a_hostile_record_is_named_with_its_file(tmp_path: Path, writers: SimpleNamespace) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return exec, ("raise SystemExit",)

    writers.openpi(tmp_path / "run").episode()
    path = next((tmp_path / "run" / "policy_records").glob("*t_20*"))
    path.write_bytes(pickle.dumps({"actions": Hostile()}))
    with pytest.raises(InputError, match=r"step_2--run--task_0--ep_0--t_20--meta.pkl: .*found builtins.exec"):
        only(tmp_path)
