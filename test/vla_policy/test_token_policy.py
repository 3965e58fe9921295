"""Action tokens, and the training of the head that says them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_cli.main import main
from vla_policy.manifest import TOKEN_WEIGHTS, WEIGHTS, Manifest, TokenManifest
from vla_policy.tokens import BINS, LIMITS, Tokeniser

torch = pytest.importorskip("torch")
from vla_policy.nets import Encoder  # noqa: E402 - needs torch
from vla_policy.token_nets import TOKENS, TokenHead  # noqa: E402
from vla_policy.token_training import TokenRecipe, encode, train_tokens  # noqa: E402
from vla_policy.training import Recipe, load, save, train  # noqa: E402


@given(st.lists(st.floats(-3, 3, width=32), min_size=7, max_size=7))
def test_a_token_is_the_nearest_bin(action: list[float]) -> None:
    tokeniser, limits = Tokeniser(), np.asarray(LIMITS)
    tokens = tokeniser.encode(np.asarray(action))
    assert tokens.dtype == np.int64 and tokens.min() >= 0 and tokens.max() < BINS
    error = np.abs(tokeniser.decode(tokens) - np.clip(action, -limits, limits))
    assert (error <= limits / (BINS - 1) + 1e-6).all()


def test_rest_and_full_speed_are_bins() -> None:
    tokeniser = Tokeniser()
    tokens = tokeniser.encode(np.stack([np.zeros(7), LIMITS, -np.asarray(LIMITS)]))
    assert tokens.tolist() == [[32] * 7, [64] * 7, [0] * 7]
    np.testing.assert_allclose(tokeniser.decode(tokens)[1], LIMITS, rtol=1e-6)
    np.testing.assert_array_equal(tokeniser.levels(tokens)[:, 0], [0, 1, -1])


def test_one_token_after_another_is_teacher_forcing() -> None:
    torch.manual_seed(0)
    head = TokenHead().eval()
    context, levels = torch.randn(3, 173), torch.rand(3, TOKENS) * 2 - 1
    with torch.no_grad():
        expected = head.teach(context, levels)
        code, memory, level = head.code(context), torch.zeros(3, 160), torch.zeros(3)
        for index in range(TOKENS):
            logits, memory, _ = head(code, memory, level, torch.full((3,), index))
            torch.testing.assert_close(logits, expected[:, index], rtol=1e-4, atol=1e-4)
            level = levels[:, index]


def test_a_token_does_not_depend_on_later_ones() -> None:
    torch.manual_seed(0)
    head, context = TokenHead().eval(), torch.randn(1, 173)
    levels = torch.rand(1, TOKENS)
    other = levels.clone()
    other[:, 20:] = -1
    with torch.no_grad():
        a, b = head.teach(context, levels), head.teach(context, other)
    torch.testing.assert_close(a[:, :21], b[:, :21], rtol=0, atol=0)
    assert not torch.allclose(a[:, 21:], b[:, 21:])


def test_a_seed_gives_the_same_head_twice_and_leaves_the_encoder_alone(demonstrations: Path) -> None:
    data, recipe = load([demonstrations]), TokenRecipe(iterations=100, batch=8, copies=2)
    torch.manual_seed(3)
    encoder = Encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    heads, losses, counts = [], [], []
    for seed in (0, 0, 1):
        contexts = encode(data, encoder, seed, recipe, counts.append)
        assert contexts.shape == (2, 19, 173)
        assert not torch.equal(contexts[0], contexts[1])
        policy = train_tokens(data["chunk"], contexts, encoder, seed, recipe, lambda _, found: losses.append(found))
        heads.append(policy.head)
    assert sum(counts) == 3 * 2 * 19
    assert losses[0]["nats a token"] < np.log(BINS)
    for x, y in zip(heads[0].parameters(), heads[1].parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0)
    assert any(not torch.equal(x, z) for x, z in zip(heads[0].parameters(), heads[2].parameters(), strict=True))
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_command_trains_and_exports_a_token_policy(
    demonstrations: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, member = load([demonstrations]), tmp_path / "members" / "member_0.safetensors"
    member.parent.mkdir()
    save(train(data, 0, Recipe(iterations=1, batch=2), lambda *_: None), member, 0)
    arguments = ["train-policy", "--head", "tokens", "--demonstrations", str(demonstrations.parent)]
    out = ["--out", str(tmp_path / "out"), "--iterations", "2"]
    assert main([*arguments, *out]) == 2
    assert "--encoder" in capsys.readouterr().err
    assert main([*arguments, *out, "--encoder", str(demonstrations)]) == 2
    assert "not a member's weights" in capsys.readouterr().err
    assert main([*arguments, *out, "--encoder", str(member), "--members", "2"]) == 2
    assert "--members" in capsys.readouterr().err
    assert main([*arguments, *out, "--encoder", str(member)]) == 0
    manifest = Manifest.load(tmp_path / "out")
    assert isinstance(manifest, TokenManifest)
    assert (manifest.horizon, manifest.bins, manifest.training["samples"]) == (8, BINS, 19)
    assert set(manifest.files) == {"encoder_0.onnx", "head_0.onnx"}
    assert manifest.fingerprint in capsys.readouterr().out


def test_the_shipped_token_policy_is_small_and_acts_as_the_flow_policy_does() -> None:
    tokens, flow = Manifest.load(TOKEN_WEIGHTS), Manifest.load(WEIGHTS)
    assert isinstance(tokens, TokenManifest)
    assert sum(path.stat().st_size for path in TOKEN_WEIGHTS.iterdir()) < 2.5e6
    for name in ("action_scale", "execute_steps", "step_duration", "position_step", "rotation_step"):
        assert getattr(tokens, name) == getattr(flow, name)
    assert (tokens.bins, tokens.limits) == (BINS, LIMITS)
