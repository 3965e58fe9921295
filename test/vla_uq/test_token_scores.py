"""Token scores: the published numbers, the right tokens, and ragged counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.detectors import (
    Detector,
    Perplexity,
    TokenAvgEntropy,
    TokenAvgProb,
    TokenMaxEntropy,
    TokenMaxProb,
    detector_from_state,
)
from vla_uq.detectors.token_statistics import OPENVLA, PI0_FAST, token_statistics
from vla_uq.detectors.tokens import TokenDetector
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutMeta

KINDS: tuple[type[TokenDetector], ...] = (TokenMaxProb, TokenAvgProb, TokenMaxEntropy, TokenAvgEntropy, Perplexity)
META = RolloutMeta("e0", "push", 0, "none", True, 10, "p")


def rollout(rows: list[list[float]]) -> Rollout:
    """Token values of each inference, filled up with NaN."""
    values = np.full((len(rows), max(map(len, rows))), math.nan, np.float32)
    for row, tokens in zip(values, rows, strict=True):
        row[: len(tokens)] = tokens
    return Rollout(META, {"token_logprobs": -values, "token_entropies": values})


def stream(detector: Detector, episode: Rollout) -> list[float]:
    detector.reset()
    return [detector.update({n: v[t] for n, v in episode.tensors.items()}) for t in range(2)]


def test_golden_scores_of_two_tokens() -> None:
    # The published numbers take the most probable token for the one that was sampled.
    found = token_statistics(np.array([[2.0, 0, 0], [1, 1, 0]]), slice(0, 3)).tensors()
    expected = (0.861995, 0.550770, 1.017357, 0.841465, math.exp(0.550770))
    for kind, value in zip(KINDS, expected, strict=True):
        assert kind("none").update(found) == pytest.approx(value, abs=2e-6)
    np.testing.assert_allclose(found["token_mass"], 1)


def test_b15_the_sampled_tokens_probability_not_the_largest() -> None:
    logits = np.log([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    found = token_statistics(logits, slice(0, 3), np.array([1, 2]))
    np.testing.assert_allclose(np.exp(found.logprobs), [0.2, 0.6], rtol=1e-6)


def test_b15_tokens_that_frame_the_actions_do_not_count() -> None:
    rng = np.random.default_rng(0)
    logits, sampled = rng.normal(size=(5, 10)), np.array([1, 6, 8, 2, 0])
    found, alone = token_statistics(logits, slice(5, 9), sampled), token_statistics(logits[1:3], slice(5, 9), [6, 8])
    for name, value in found.tensors().items():
        assert value.shape == (2,)
        np.testing.assert_array_equal(value, alone.tensors()[name])
    p = np.exp(logits[1:3])
    np.testing.assert_allclose(found.mass, p[:, 5:9].sum(axis=1) / p.sum(axis=1), rtol=1e-6)


def test_b15_openvlas_slice_is_that_of_its_256_bins() -> None:
    bins = np.linspace(-1, 1, 256)
    ids = 32_000 - np.digitize(np.linspace(-1, 1, 2001), bins)
    assert (OPENVLA.start, OPENVLA.stop) == (ids.min(), ids.max() + 1) == (31_744, 32_000)
    logits = np.zeros((1, 32_064))
    logits[0, 31_744] = 5.0  # the id that the published slice leaves out
    logits[0, 32_000] = 9.0  # the column that it takes in
    found = token_statistics(logits, OPENVLA, np.array([31_744]))
    assert found.logprobs[0] == pytest.approx(5 - math.log(math.exp(5) + 255), abs=1e-6)


def test_b15_pi0_fasts_slice_is_that_of_its_2048_tokens() -> None:
    ids = 257_152 - 1 - 128 - np.arange(2048)
    assert (PI0_FAST.start, PI0_FAST.stop) == (ids.min(), ids.max() + 1) == (254_976, 257_024)


@given(st.integers(0, 1000), st.floats(-1000, 1000))
def test_statistics_are_probabilities_and_do_not_depend_on_the_logits_origin(seed: int, shift: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 20, (4, 12))
    found = token_statistics(logits, slice(2, 10))
    assert (found.logprobs <= 0).all()
    assert (found.entropies >= 0).all()
    assert (found.entropies <= math.log(8) + 1e-6).all()
    assert (found.mass <= 1 + 1e-6).all()
    moved = token_statistics(logits + shift, slice(2, 10))
    np.testing.assert_allclose(moved.logprobs, found.logprobs, atol=1e-4)
    np.testing.assert_allclose(moved.entropies, found.entropies, atol=1e-4)


def test_a_token_that_cannot_be_sampled_adds_no_entropy() -> None:
    found = token_statistics(np.array([[0.0, 0.0, -np.inf]]), slice(0, 3))
    assert found.entropies[0] == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("logits", "vocabulary", "sampled", "message"),
    [
        (np.zeros((2, 3)), slice(0, 4), None, r"logits: logits do not hold .* columns 0 to 3; found \(2, 3\)"),
        (np.zeros(3), slice(0, 3), None, "logits: logits do not hold"),
        (np.zeros((2, 3)), slice(0, 3), [0], "sampled: tokens do not fit"),
        (np.zeros((2, 9)), slice(0, 3), [5, 6], "sampled: no token is an action's; expected 0 to 2"),
    ],
)
def test_wrong_logits_are_named(logits: np.ndarray, vocabulary: slice, sampled: list[int] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        token_statistics(logits, vocabulary, None if sampled is None else np.array(sampled))


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_count_and_batch_equals_streaming(kind: type[TokenDetector]) -> None:
    episode = rollout([[1.0, 3.0], [2.0, 4.0, 9.0]])
    expected = [3.0, 9.0] if kind.largest else [2.0, 5.0]
    expected = [math.exp(mean) for mean in expected] if kind is Perplexity else expected
    assert kind("none").score(episode).tolist() == expected
    for rule in ("none", "running_mean", "sliding_max:2"):
        detector = kind(rule)
        detector.fit([episode])
        assert detector.score(episode).tolist() == stream(detector, episode)
        twin = detector_from_state(kind.name, *detector.state())
        assert twin.score(episode).tolist() == detector.score(episode).tolist()
    # What a policy publishes carries no padding.
    live = {name: value[0, :2] for name, value in episode.tensors.items()}
    assert kind("none").update(live) == expected[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "values", [[math.nan, 1.0], [1.0, math.nan, 2.0, math.nan], [math.nan, math.nan], [math.inf], [-math.inf, 1.0]]
)
def test_any_other_value_that_is_not_finite_gives_nan(kind: type[TokenDetector], values: list[float]) -> None:
    assert math.isnan(kind("none").update({kind.tensor: np.array(values, np.float32)}))


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_tensors_are_named(kind: type[TokenDetector]) -> None:
    detector = kind()
    for wrong in (np.zeros((2, 2), np.float32), np.zeros(0, np.float32), np.zeros(3, np.int32)):
        with pytest.raises(InputError, match=f"^{kind.tensor}: tensor has the wrong shape or type"):
            detector.update({kind.tensor: wrong})
    with pytest.raises(InputError, match=f"e0: {kind.tensor}: rollout lacks a tensor.*flow or diffusion"):
        detector.fit([Rollout(META, {"features": np.zeros((2, 3), np.float32)})])
