"""Untrained policies, exported as trained ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def token_policy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A weights folder of a token policy with random parameters, and the torch module it was exported from."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from vla_policy.export import export_tokens
    from vla_policy.nets import Encoder
    from vla_policy.token_nets import TokenPolicy

    torch.set_num_threads(1)
    torch.manual_seed(0)
    policy = TokenPolicy(Encoder())
    with torch.no_grad():
        policy.head.leave.weight *= 8  # as decided as a trained one
    folder = tmp_path_factory.mktemp("token_weights")
    export_tokens(policy, folder, {})
    return folder, policy


@pytest.fixture
def observation() -> Observation:
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (256, 256, 3), dtype=np.uint8) for name in CAMERAS}
    return Observation(images, np.array([0.4, 0.0, 0.2]), np.eye(3), 0.08, "put the red cube in the basket", (7, 50))
