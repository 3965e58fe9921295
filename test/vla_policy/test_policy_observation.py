"""Observation and instruction encoding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_policy.instruction import TEXT, embed
from vla_policy.observation import Observation, initial_gripper, policy_image, proprioception, small_image
from vla_uq.errors import InputError


def observation(width: float = 0.08) -> Observation:
    return Observation({}, np.array([0.1, -0.2, 0.3]), np.eye(3), width, "put the red cube on the plate")


def test_word_order_around_the_preposition_matters() -> None:
    a, b = embed("stack the red cube on the green cube"), embed("stack the green cube on the red cube")
    assert np.abs(a - b).max() > 0.1


def test_articles_and_case_do_not_matter() -> None:
    np.testing.assert_array_equal(embed("Put THE plate on a table"), embed("put plate on the a table"))


@given(st.text(alphabet="abc on in", max_size=40))
def test_each_half_has_length_two_or_is_empty(instruction: str) -> None:
    vector = embed(instruction)
    assert vector.shape == (TEXT,) and vector.dtype == np.float32
    for half in np.split(vector, 2):
        assert np.linalg.norm(half) == pytest.approx(2, abs=1e-5) or not half.any()


def test_the_embedding_is_the_one_the_shipped_weights_were_trained_with() -> None:
    golden = embed("put the red cube in the basket")[[0, 1, 24, 47]]
    np.testing.assert_allclose(golden, [0.1120156, 0.1997966, 0.1566778, -0.0941178], atol=1e-6)


def test_proprioception_is_position_two_axes_width_and_command() -> None:
    vector = proprioception(observation(), gripper_command=0.0)
    np.testing.assert_allclose(vector, [0.1, -0.2, 0.3, 1, 0, 0, 0, 1, 0, 0.8, 1.0], atol=1e-6)
    assert proprioception(observation(), gripper_command=1.0)[-1] == -1


def test_fingers_that_are_kept_together_mean_a_closed_gripper_after_a_reset() -> None:
    assert initial_gripper(observation(0.08)) == 1.0
    assert initial_gripper(observation(0.05)) == 0.0


def test_images_shrink_by_area() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 200
    np.testing.assert_array_equal(small_image(stripes), np.full((64, 64, 3), 100))
    image = policy_image(stripes)
    assert image.shape == (3, 64, 64) and image.dtype == np.float32
    assert image.max() == pytest.approx(100 / 255)


@pytest.mark.parametrize("bad", [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.float32)])
def test_what_is_no_rgb_image_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="RGB"):
        policy_image(bad)
