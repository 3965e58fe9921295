"""Untrained policies, exported as trained ones are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_policy.manifest import ACTION_SCALE, ScriptedManifest
from vla_policy.observation import CAMERAS, IMAGE_SIZE, Observation


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
def scripted(tmp_path: Path) -> Callable[..., Path]:
    """Writes the folder of a scripted policy: three members, offsets 0, 0.1 and 0.2, other fields as given."""

    def write(**fields: Any) -> Path:
        manifest = ScriptedManifest(
            **{
                "members": 3,
                "horizon": 16,
                "action_dim": 7,
                "execute_steps": 6,
                "step_duration": 0.05,
                "context": 11,
                "last_layer": 1,
                "feature_slice": (0, 11),
                "action_scale": ACTION_SCALE,
                "position_step": 0.05,
                "rotation_step": 0.5,
                "image_size": IMAGE_SIZE,
                "files": {},
                "flow_steps": 10,
                "chunk": (0.5, 0.0, -0.5, 0.0, 0.0, 0.0, 1.0),
                "offsets": (0.0, 0.1, 0.2),
                **fields,
            }
        )
        folder = tmp_path / f"scripted_{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        manifest.save(folder)
        return folder

    return write


@pytest.fixture
def observation() -> Observation:
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (256, 256, 3), dtype=np.uint8) for name in CAMERAS}
    return Observation(images, np.array([0.4, 0.0, 0.2]), np.eye(3), 0.08, "put the red cube in the basket", (7, 50))
