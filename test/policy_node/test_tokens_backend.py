"""The token back end: what it records is what its own network says of the tokens it chose."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_node.backends import Inference, load
from policy_node.backends.tokens import TokensBackend
from vla_policy.observation import Observation
from vla_policy.tokens import BINS, LIMITS, Tokeniser
from vla_uq.contracts import Space
from vla_uq.errors import InputError


@pytest.fixture(scope="module")
def backend(token_policy: tuple[Path, Any]) -> TokensBackend:
    opened = load("", token_policy[0])
    assert isinstance(opened, TokensBackend)
    return opened


def decide(backend: TokensBackend, observation: Observation, seed: int | None = 0) -> Inference:
    backend.reset(observation.instruction, seed)
    return backend.act(observation)


def test_actions_are_bin_centres_within_one_step(backend: TokensBackend, observation: Observation) -> None:
    inference = decide(backend, observation)
    info = backend.info
    memory: Any = inference.memory
    assert (info.back_end, info.members, info.space, info.horizon, info.dim) == ("tokens", 1, Space.EE_DELTA, 8, 6)
    assert (info.execute_steps, info.step_duration) == (6, 0.05)
    assert inference.actions.shape == (8, 6) and inference.actions.dtype == np.float32
    tokens = memory.tokens.reshape(8, 7)
    centres = np.linspace(-1, 1, BINS)[tokens] * LIMITS * [0.6, 0.6, 0.6, 0.15, 0.15, 0.15, 1.0]
    np.testing.assert_allclose(inference.actions, centres[:, :6] * ([0.05] * 3 + [0.5] * 3), atol=1e-6)
    np.testing.assert_array_equal(inference.gripper, np.where(centres[:, 6] > 0, 0, 1))


def test_token_scores_are_those_of_teacher_forcing_the_chosen_tokens(
    token_policy: tuple[Path, Any], backend: TokensBackend, observation: Observation
) -> None:
    """The step-by-step graphs against all places at once in torch."""
    torch = pytest.importorskip("torch")
    inference = decide(backend, observation)
    tensors = backend.introspect(inference)
    context, tokens = (torch.from_numpy(getattr(inference.memory, name))[None] for name in ("context", "tokens"))
    levels = torch.from_numpy(Tokeniser().levels(tokens.numpy()))
    with torch.no_grad():
        logs = token_policy[1].head.teach(context, levels)[0].log_softmax(1)
    expected = logs.gather(1, tokens[0, :, None])[:, 0]
    np.testing.assert_allclose(tensors["token_logprobs"], expected, atol=1e-4)
    np.testing.assert_allclose(tensors["token_entropies"], -(logs.exp() * logs).sum(1), atol=1e-4)
    np.testing.assert_array_equal(logs.argmax(1), tokens[0])


def test_token_scores_are_within_their_bounds(backend: TokensBackend, observation: Observation) -> None:
    tensors = backend.introspect(decide(backend, observation))
    assert set(tensors) == set(backend.info.tensors)
    assert {value.dtype for value in tensors.values()} == {np.dtype(np.float32)}
    assert tensors["features"].shape == (96 + 18 + 160,)
    for name in ("token_logprobs", "token_entropies"):
        assert tensors[name].shape == (8 * 7,)
    assert (tensors["token_entropies"] >= 0).all() and (tensors["token_entropies"] <= math.log(BINS) + 1e-6).all()
    # The most probable of n is at least 1/n probable.
    assert (tensors["token_logprobs"] <= 0).all() and (tensors["token_logprobs"] >= -math.log(BINS) - 1e-6).all()


def test_an_observation_decides_the_chunk_whatever_the_seed(backend: TokensBackend, observation: Observation) -> None:
    first, again, other = (decide(backend, observation, seed) for seed in (0, 1, None))
    np.testing.assert_array_equal(first.actions, again.actions)
    np.testing.assert_array_equal(first.actions, other.actions)
    tensors = backend.introspect(first)
    backend.reset("open the drawer", 0)
    for name, value in backend.introspect(backend.act(observation)).items():
        assert not np.array_equal(value, tensors[name]), name


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"members": 2}, "members"),
        ({"bins": 64}, "head_0.onnx"),
        ({"bins": 1}, "bins"),
        ({"limits": [1.0] * 6}, "limits"),
        ({"limits": [0.0] * 7}, "limits"),
        ({"horizon": 9}, "head_0.onnx"),
        ({"last_layer": 161}, "encoder_0.onnx"),
        ({"back_end": "onnx"}, "bins"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_by_field(
    token_policy: tuple[Path, Any], tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(token_policy[0], folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(InputError, match=named):
        load("tokens", folder)


def test_weights_of_the_other_kind_are_refused(token_policy: tuple[Path, Any], weights: Path) -> None:
    with pytest.raises(InputError, match="another back end"):
        load("onnx", token_policy[0])
    with pytest.raises(InputError, match="another back end"):
        load("tokens", weights)
    with pytest.raises(InputError, match="tokens has no such option"):
        load("", token_policy[0], draws=3)
