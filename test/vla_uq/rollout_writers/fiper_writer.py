"""Writes rollouts of FIPER: metadata and a list of steps, in a dict or with the metadata in front of the list."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np


def write(
    task: Path,
    *,
    episode: int = 0,
    split: str = "test",
    success: bool = True,
    inferences: int = 4,
    as_list: bool = False,
    executed: int = 2,
    robots: int = 0,
    subtype: str | None = "na",
    name: str = "",
    **changed: Any,
) -> list[dict[str, Any]]:
    """One episode into ``<task>/rollouts/<split>``; its steps.

    :param executed: number of the draw that is executed; -1: a chunk that is none of the draws.
    :param robots: each array in a list of so many; 0: not in a list.
    :param changed: fields of the metadata that differ.
    """
    folder = task / "rollouts" / split
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(episode)
    steps: list[dict[str, Any]] = []
    for number in range(inferences):
        drawn = rng.normal(size=(6, 16, 3)).astype(np.float32)
        step: dict[str, Any] = {
            "rgb": rng.integers(0, 255, (24, 24, 3), dtype=np.uint8),
            "action": drawn[executed].copy() if executed >= 0 else drawn[0] + 1,
            "action_pred": drawn,
            "obs_embedding": rng.normal(size=64).astype(np.float32),
            "state_embedding": rng.normal(size=20).astype(np.float32),
        }
        if robots:
            step = {name: [value] * robots for name, value in step.items()}
        steps.append({**step, "agent_pos": None, "timestamp": 1.6 * number, "step": number})
    metadata = {
        "metadata": True,
        "task": task.name,
        "episode": episode,
        "num_robots": 1,
        "num_steps": inferences,
        "successful": success,
        "rollout_type": split,
        "rollout_subtype": subtype,
        "action_execution_horizon": 8,
        **changed,
    }
    content = [metadata, *steps] if as_list else {"metadata": metadata, "rollout": steps}
    with (folder / (name or f"episode_{'s' if success else 'f'}_{episode:04d}.pkl")).open("wb") as file:
        pickle.dump(content, file)
    return steps
