"""Records of open-pi-zero and FIPER, from files that were written as their recorders write them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
