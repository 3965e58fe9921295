"""An untrained policy, exported as a trained one is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_policy.observation import CAMERAS, Observation


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder of two members with random parameters."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from vla_policy.export import export
    from vla_policy.nets import Member

    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    export([Member(), Member()], folder, {})
    return folder


@pytest.fixture
def observation() -> Observation:
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (256, 256, 3), dtype=np.uint8) for name in CAMERAS}
    return Observation(images, np.array([0.4, 0.0, 0.2]), np.eye(3), 0.08, "put the red cube in the basket", (7, 50))
