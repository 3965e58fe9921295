"""Observations are put together from streams, by stamp, and refused when old or malformed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from policy_node.assembly import ObservationAssembler, image_digest
from vla_uq.errors import InputError

CAMERAS = ("agentview", "wrist")
JOINTS = ("fr3_joint1", "left", "right")
IDENTITY = (0.0, 0.0, 0.0, 1.0)
BLACK = np.zeros((4, 4, 3), np.uint8)


class Feed:
    """Feeds an assembler; stamps are given in milliseconds."""

    def __init__(self, tolerance: float = 0.0, max_age: float = 0.3) -> None:
        self.assembler = ObservationAssembler(CAMERAS, JOINTS[1:], tolerance, max_age)

    def state(self, stamp: int, now: float, width: float = 0.08, x: float = 0.0) -> None:
        self.assembler.joint_state(_stamp(stamp), JOINTS, (0.1, width / 2, width / 2), now)
        self.assembler.pose(_stamp(stamp), (x, 0.0, 0.2), IDENTITY, now)

    def images(self, stamp: int, now: float, cameras: tuple[str, ...] = CAMERAS) -> None:
        for camera in cameras:
            self.assembler.image(camera, _stamp(stamp), BLACK + np.uint8(stamp % 256), now)

    def get(self, now: float) -> Any:
        return self.assembler.assemble("stack", now)


def _stamp(milliseconds: int) -> tuple[int, int]:
    return milliseconds // 1000, milliseconds % 1000 * 1_000_000


def test_parts_of_equal_stamp_make_an_observation() -> None:
    feed = Feed()
    feed.state(1000, 5.0, width=0.05, x=0.3)
    feed.images(1000, 5.01)
    got = feed.get(5.02)
    assert got.oldest == 5.0
    assert got.observation.stamp == (1, 0)
    assert got.observation.width == pytest.approx(0.05)
    assert got.observation.instruction == "stack"
    np.testing.assert_allclose(got.observation.position, [0.3, 0.0, 0.2])
    np.testing.assert_allclose(got.observation.rotation, np.eye(3))
    assert set(got.observation.images) == set(CAMERAS)
    assert feed.assembler.problem == ""


def test_the_newest_complete_moment_wins_and_halves_are_not_mixed() -> None:
    feed = Feed()
    for stamp in (1000, 1050):
        feed.state(stamp, stamp / 1000, x=stamp / 1000)
    feed.images(1000, 1.0)
    feed.images(1050, 1.05, ("agentview",))
    assert feed.get(1.06).observation.stamp == (1, 0)
    feed.images(1050, 1.06, ("wrist",))
    assert feed.get(1.06).observation.position[0] == pytest.approx(1.05)


def test_the_nearest_state_within_tolerance_is_taken() -> None:
    feed = Feed(tolerance=0.02)
    for stamp in range(1000, 1100, 10):
        feed.state(stamp, stamp / 1000)
    feed.images(1043, 1.1)
    assert feed.get(1.1).observation.stamp == (1, 40_000_000)
    feed = Feed(tolerance=0.02)
    feed.state(1000, 1.0)
    feed.images(1043, 1.1)
    assert feed.get(1.1) is None
    assert "0.02 s" in feed.assembler.problem


def test_what_is_missing_or_old_is_said() -> None:
    feed = Feed()
    feed.state(1000, 1.0)
    feed.images(1000, 1.0, ("agentview",))
    assert feed.get(1.0) is None
    assert feed.assembler.problem == "nothing received on wrist"
    feed.images(1000, 1.25, ("wrist",))
    assert feed.get(1.26) is not None
    assert feed.get(1.31) is None
    assert "s old" in feed.assembler.problem
    feed.assembler.clear()
    assert feed.get(1.26) is None


def test_wild_stamps_do_not_matter_for_age() -> None:
    feed = Feed()
    feed.state(4_000_000_000, 1.0)
    feed.images(4_000_000_000, 1.0)
    assert feed.get(1.1) is not None
    feed.state(0, 1.2)
    feed.images(0, 1.2)
    assert feed.get(1.2).observation.stamp == (0, 0)


@pytest.mark.parametrize(
    ("names", "positions", "named"),
    [
        (("fr3_joint1",), (0.0,), "left, right"),
        (JOINTS, (0.0, 0.04), "right"),
        (JOINTS, (float("nan"), 0.04, 0.04), "finite"),
    ],
)
def test_malformed_joint_states_are_refused(names: Any, positions: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        Feed().assembler.joint_state((0, 0), names, positions, 0.0)


def test_joints_are_mapped_by_name() -> None:
    feed = Feed()
    feed.assembler.joint_state((0, 0), ("right", "fr3_joint1", "left"), (0.01, 5.0, 0.02), 0.0)
    feed.assembler.pose((0, 0), (0.0, 0.0, 0.0), IDENTITY, 0.0)
    feed.images(0, 0.0)
    assert feed.get(0.0).observation.width == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("position", "quaternion"),
    [
        ((float("inf"), 0.0, 0.0), IDENTITY),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (1.0, 1.0, 0.0, 0.0)),
    ],
)
def test_malformed_poses_are_refused(position: Any, quaternion: Any) -> None:
    with pytest.raises(InputError, match="current_pose"):
        Feed().assembler.pose((0, 0), position, quaternion, 0.0)


def test_rotation_is_that_of_the_quaternion() -> None:
    feed = Feed()
    half = np.sqrt(0.5)
    feed.state(0, 0.0)
    feed.assembler.pose((0, 0), (0.0, 0.0, 0.0), (0.0, 0.0, half, half), 0.0)
    feed.images(0, 0.0)
    quarter_about_z = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(feed.get(0.0).observation.rotation, quarter_about_z, atol=1e-12)


def test_image_digest_survives_float32_and_tells_images_apart() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(200)]
    digests = image_digest({str(i): image for i, image in enumerate(images)})
    assert digests.dtype == np.float32
    assert len(set(digests.tolist())) == 200
    assert all(value == int(value) < 2**24 for value in digests.tolist())
    np.testing.assert_array_equal(image_digest({"a": images[0], "b": images[0].copy()})[0], digests[0])


def test_a_finger_that_counts_the_other_way_is_taken_off() -> None:
    """A WidowX's right finger mirrors the left: their distance is the difference."""
    assembler = ObservationAssembler(CAMERAS, ("left", "-right"), 0.0, 0.3)
    assembler.joint_state((1, 0), ("left", "right"), (0.03, -0.03), 0.0)
    assembler.pose((1, 0), (0.0, 0.0, 0.2), IDENTITY, 0.0)
    for camera in CAMERAS:
        assembler.image(camera, (1, 0), BLACK, 0.0)
    assembled = assembler.assemble("stack", 0.1)
    assert assembled is not None and assembled.observation.width == pytest.approx(0.06)
    with pytest.raises(InputError, match="right"):
        assembler.joint_state((2, 0), ("left",), (0.03,), 0.0)
