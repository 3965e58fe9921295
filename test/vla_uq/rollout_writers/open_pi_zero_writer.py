"""Writes rollouts of open-pi-zero in SimplerEnv as SAFE's loader reads them: torch embeddings, numpy chunks."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch


def write(
    environment: Path,
    *,
    episode: int = 0,
    success: bool = True,
    inferences: int = 3,
    draws: int = 4,
    dim: int = 8,
    dtype: torch.dtype = torch.bfloat16,
) -> list[dict[str, Any]]:
    """One episode into ``<checkpoint>/<environment>``; what was recorded at each inference."""
    environment.mkdir(parents=True, exist_ok=True)
    stem = f"episode_{episode}_success_{success}"
    generator, rng = torch.Generator().manual_seed(episode), np.random.default_rng(episode)
    records = [
        {
            "sampled_action_embeds": torch.randn(draws, 10, 4, dim, generator=generator).to(dtype),
            "sampled_actions": rng.normal(size=(draws, 4, 7)).astype(np.float32),
            "img_embeds": torch.randn(2, 3, generator=generator),
        }
        for _ in range(inferences)
    ]
    with (environment / f"{stem}.pkl").open("wb") as file:
        pickle.dump(records, file)
    meta = {
        "task": f"do {environment.name}",
        "episode_id": episode,
        "success": success,
        "final_timestep": 4 * inferences - 1,
    }
    (environment / f"{stem}_meta.json").write_text(json.dumps(meta))
    (environment / f"{stem}.mp4").write_bytes(b"no film")
    return records
