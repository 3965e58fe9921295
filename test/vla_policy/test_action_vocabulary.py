"""The words that language models write actions with, against the published schemes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_policy.action_vocabulary import BinVocabulary, FastVocabulary, Quantiles, vocabulary, written_state
from vla_uq.detectors.token_statistics import OPENVLA, PI0_FAST
from vla_uq.errors import InputError


def test_the_ids_are_those_that_token_scores_look_at() -> None:
    assert BinVocabulary().ids == OPENVLA
    assert FastVocabulary().ids == PI0_FAST


@pytest.mark.parametrize(
    ("token", "action"),
    [(31_999, -254 / 255), (31_998, -252 / 255), (31_872, 0.0), (31_745, 254 / 255), (31_744, 254 / 255)],
)
def test_openvla_ids_are_bin_centres_downwards(token: int, action: float) -> None:
    assert BinVocabulary().decode(token) == pytest.approx(action, abs=1e-12)


@pytest.mark.parametrize(
    ("action", "token"), [(-1.0, 31_999), (-7.0, 31_999), (0.0, 31_872), (1.0, 31_744), (9, 31_744)]
)
def test_openvla_actions_are_ids(action: float, token: int) -> None:
    assert BinVocabulary().encode(action) == token


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20))
def test_an_action_comes_back_within_half_a_bin(actions: list[float]) -> None:
    words = BinVocabulary()
    np.testing.assert_allclose(words.decode(words.encode(actions)), actions, atol=1 / 255 + 1e-12)


@pytest.mark.parametrize("token", [31_743, 32_000, 2, -1])
def test_a_word_is_no_action(token: int) -> None:
    with pytest.raises(InputError, match=str(token)):
        BinVocabulary().decode([31_900, token])


@pytest.mark.parametrize(("fast", "token"), [(0, 257_023), (1, 257_022), (2047, 254_976)])
def test_fast_tokens_are_ids_downwards(fast: int, token: int) -> None:
    words = FastVocabulary()
    assert words.id_of(fast) == token and words.fast_of(token) == fast


@pytest.mark.parametrize("token", [257_024, 254_975, 1])
def test_what_is_skipped_is_no_fast_token(token: int) -> None:
    with pytest.raises(InputError, match=str(token)):
        FastVocabulary().fast_of([token])


def test_fast_text_of_known_chunks() -> None:
    """A constant column has its first coefficient alone: the value times the root of the horizon, in tenths."""
    words = FastVocabulary()
    zero = chr(354)
    assert words.write(np.zeros((4, 2))) == zero * 8
    assert words.write(np.full((4, 1), 0.5)) == chr(354 + 10) + zero * 3
    assert words.write([[1.0], [-1.0]]) == zero + chr(354 + 14)
    np.testing.assert_allclose(words.read(chr(364) + zero * 3, 4, 1), np.full((4, 1), 0.5), atol=1e-12)


def test_the_cosine_transform_is_scipys() -> None:
    fft = pytest.importorskip("scipy.fft")
    chunk = np.random.default_rng(0).uniform(-1, 1, (10, 7))
    fine = FastVocabulary(scale=1e4, lowest=-50_000)
    expected = np.rint(fft.dct(chunk, axis=0, norm="ortho") * 1e4).astype(int) + 50_000
    assert fine.write(chunk) == "".join(map(chr, expected.ravel()))
    np.testing.assert_allclose(fine.read(fine.write(chunk), 10, 7), chunk, atol=1e-3)


@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_a_chunk_comes_back_within_what_rounding_costs(horizon: int, dim: int, seed: int) -> None:
    words = FastVocabulary()
    chunk = np.random.default_rng(seed).uniform(-1, 1, (horizon, dim))
    error = words.read(words.write(chunk), horizon, dim) - chunk
    assert (np.linalg.norm(error, axis=0) <= 0.05 * np.sqrt(horizon) + 1e-9).all()


@pytest.mark.parametrize("text", ["", "a" * 13, "a" * 15, "a" * 13 + "\N{REPLACEMENT CHARACTER}"])
def test_a_text_that_is_no_chunk_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="actions"):
        FastVocabulary().read(text, 2, 7)


def test_vocabularies_are_data() -> None:
    assert vocabulary({"name": "openvla"}, "m") == BinVocabulary()
    assert vocabulary({"name": "openvla", "size": 60, "bins": 16}, "m").ids == slice(44, 60)
    assert vocabulary({"name": "pi0_fast", "size": 100, "skipped": 4, "tokens": 20}, "m").ids == slice(76, 96)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "m: name"),
        ({"name": "words"}, "m: name"),
        ({"name": "openvla", "width": 3}, "width"),
        ({"name": "openvla", "bins": 1}, "m: bins"),
        ({"name": "openvla", "bins": "8"}, "m: bins"),
        ({"name": "pi0_fast", "tokens": 300_000}, "m: tokens"),
        ({"name": "pi0_fast", "scale": 0}, "m: scale"),
    ],
)
def test_a_wrong_vocabulary_is_refused_by_field(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        vocabulary(fields, "m")


def test_quantiles_go_both_ways() -> None:
    statistics = Quantiles((-0.02, 0.0, 3.0), (0.04, 1.0, 3.0), (True, False, True))
    restored = statistics.restore([[-1.0, 0.25, -1.0], [1.0, 1.0, -1.0], [0.0, 0.0, -1.0]])
    np.testing.assert_allclose(restored, [[-0.02, 0.25, 3.0], [0.04, 1.0, 3.0], [0.01, 0.0, 3.0]], atol=1e-12)
    np.testing.assert_allclose(statistics.normalise(restored)[:, 0], [-1, 1, 0], atol=1e-12)
    np.testing.assert_array_equal(statistics.normalise(restored)[:, 2], -1)
    np.testing.assert_allclose(Quantiles((0.0,), (2.0,)).restore([0.5]), [1.5])


def test_a_state_is_written_in_bins() -> None:
    assert written_state([-1.0, -0.9999, 0.0, 0.999, 1.0, 2.0, -1.5]) == "0 0 128 255 255 255 -1"
