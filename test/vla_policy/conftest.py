"""A handful of made-up demonstrations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file


@pytest.fixture
def demonstrations(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    lengths = np.array([20, 17], np.int32)
    frames = int(sum((n + 1) // 2 for n in lengths))
    total = int(lengths.sum())
    tensors = {
        "action": rng.uniform(-1, 1, (total, 7)).astype(np.float32),
        "proprio": rng.normal(size=(total, 11)).astype(np.float32),
        "geometry": rng.normal(size=(total, 18)).astype(np.float32),
        "agentview": rng.integers(0, 255, (frames, 64, 64, 3), np.uint8),
        "wrist": rng.integers(0, 255, (frames, 64, 64, 3), np.uint8),
        "length": lengths,
    }
    path = tmp_path / "task.safetensors"
    save_file(tensors, path, {"instruction": "open the drawer", "stride": "2"})
    return path
