"""Writes rollouts as SAFE's fork of OpenVLA does: a pickle with torch tensors, and a table of what was logged."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

TOKENS = 7


def write(
    suite: Path,
    *,
    task: int = 3,
    episode: int = 0,
    success: bool = True,
    steps: int = 5,
    dim: int = 16,
    as_list: bool = False,
    several: bool = False,
    table: bool = True,
    pickled: bool = True,
) -> dict[str, np.ndarray]:
    """One episode into ``<note>/<suite>``; what it holds, as float32.

    :param as_list: hidden states as a list of tensors instead of one.
    :param several: the table of ten draws a step, which has their spread and no tokens.
    """
    suite.mkdir(parents=True, exist_ok=True)
    stem = f"task{task}--ep{episode}--succ{int(success)}"
    generator = torch.Generator().manual_seed(100 * task + episode)
    # As generate() gives them: a tensor for each token, stacked to (7, D), moved to the CPU, then stacked over time.
    states = [torch.randn(TOKENS, dim, generator=generator).to(torch.bfloat16).detach().cpu() for _ in range(steps)]
    record = {
        "hidden_states": states if as_list else torch.stack(states, dim=0),
        "task_suite_name": suite.name,
        "task_id": task,
        "task_description": f"do task {task}",
        "eposide_idx": episode,
        "episode_success": success,
        "mp4_path": str(suite / f"{stem}.mp4"),
    }
    rng = np.random.default_rng(episode)
    rows = [_row(rng, 10 + t, several) for t in range(steps)]
    if pickled:
        with (suite / f"{stem}.pkl").open("wb") as file:
            pickle.dump(record, file)
    if table:
        with (suite / f"{stem}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    (suite / f"{stem}.mp4").write_bytes(b"no film")
    columns = {name: np.array([row[name] for row in rows], np.float32) for name in rows[0]}
    return {"hidden_states": torch.stack(states).float().numpy(), **columns}


def _row(rng: np.random.Generator, t: int, several: bool) -> dict[str, Any]:
    action = rng.normal(size=7)
    names = ("dx", "dy", "dz", "droll", "dpitch", "dyaw", "dgripper")
    row: dict[str, Any] = {"action/timestep": t}
    if several:
        spread = ("total_var", "general_var", "pos_var", "rot_var", "gripper_var", "entropy_linkage.01")
        row |= {f"action/{name}": float(rng.random()) for name in (*spread, "entropy_linkage.05")}
    else:
        for i in range(TOKENS):
            row |= {f"action/token_{i}_entropy": float(rng.random()), f"action/token_{i}_prob": float(rng.random())}
    row |= {f"action/{name}": float(value) for name, value in zip(names, action, strict=True)}
    return row | {"pose/cum_pos": float(rng.random())}
