"""Messages find their way into observations: by topic, at the right moment, or not at all and with the reason."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_node.assembly import ObservationAssembler
from policy_node.loop import InferenceLoop
from policy_node.observations import Preset, load_observation
from policy_node.streams import Stream, Streams
from vla_uq.errors import InputError

ARM, HAND = "franka/joint_states", "franka_gripper/joint_states"
FINGERS = ("fr3_finger_joint1", "fr3_finger_joint2")
SIZE = (48, 64)


class Bench:
    """Streams of a preset, with small cameras, over a loop that only stores."""

    def __init__(self, preset: Preset | None = None) -> None:
        preset = preset or load_observation("droid")
        small = {name: replace(camera, size=SIZE) for name, camera in preset.cameras.items()}
        self.preset = replace(preset, cameras=small)
        prepare = {name: camera.prepare for name, camera in small.items()}
        self.assembler = ObservationAssembler(
            tuple(small), FINGERS, preset.tolerance, preset.max_age, preset.joint_states, prepare
        )
        self.now, self.complaints = 100.0, list[str]()
        loop = SimpleNamespace(take=self._take, complain=self.complaints.append)
        self.streams = Streams(self.preset, self.assembler, cast(InferenceLoop, loop), lambda: self.now)
        self.by_topic: dict[str, Stream] = {stream.topic: stream for stream in self.streams.all()}

    def _take(self, store: Any, *values: Any) -> None:
        try:
            store(*values, self.now)
        except InputError as error:
            self.complaints.append(str(error))

    def give(self, topic: str, stamp: float, **fields: Any) -> None:
        header = SimpleNamespace(stamp=SimpleNamespace(sec=int(stamp), nanosec=round(stamp % 1 * 1e9)))
        self.by_topic[topic].take(SimpleNamespace(header=header, **fields))

    def state(self, stamp: float) -> None:
        self.give(ARM, stamp, name=["fr3_joint1"], position=[0.5])
        self.give(HAND, stamp, name=list(FINGERS), position=[0.01, 0.02])
        self.pose(stamp)

    def pose(self, stamp: float) -> None:
        p, q = SimpleNamespace(x=0.4, y=0.0, z=0.2), SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
        self.give("current_pose", stamp, pose=SimpleNamespace(position=p, orientation=q))

    def image(self, camera: str, stamp: float, size: tuple[int, int] = SIZE, level: int = 200) -> None:
        picture = np.zeros((*size, 3), np.uint8)
        picture[:, :, 2] = level  # red, as OpenCV takes it
        data = cv2.imencode(".png", picture)[1].tobytes()
        self.give(f"{camera}/image_raw/compressed", stamp, format="rgb8; png compressed bgr8", data=data)

    def assemble(self) -> Any:
        return self.assembler.assemble("stack", self.now)


def test_topics_and_kinds_of_droid() -> None:
    assert {stream.topic: stream.kind for stream in Bench().by_topic.values()} == {
        ARM: "JointState",
        HAND: "JointState",
        "current_pose": "PoseStamped",
        "agentview/image_raw/compressed": "CompressedImage",
        "wrist/image_raw/compressed": "CompressedImage",
    }


def test_arm_and_gripper_make_one_observation_with_the_stamp_of_the_arm() -> None:
    bench = Bench()
    bench.state(1.0)
    bench.give(ARM, 1.01, name=["fr3_joint1"], position=[0.7])
    for camera in ("agentview", "wrist"):
        bench.image(camera, 1.01)
    got = bench.assemble().observation
    assert got.joints == {"fr3_joint1": 0.7, "fr3_finger_joint1": 0.01, "fr3_finger_joint2": 0.02}
    assert (got.stamp, got.width) == ((1, 10_000_000), 0.03)
    assert got.images["wrist"].shape == (224, 224, 3)
    np.testing.assert_array_equal(got.images["wrist"][112, 112], [200, 0, 0])
    np.testing.assert_array_equal(got.images["wrist"][0, 0], [0, 0, 0])


def test_fingers_that_nobody_names_are_missing() -> None:
    bench = Bench()
    bench.give(ARM, 1.0, name=["fr3_joint1"], position=[0.5])
    assert not bench.complaints, "the gripper has not spoken yet"
    bench.give(HAND, 1.0, name=["thumb"], position=[0.5])
    assert "expected fr3_finger_joint1, fr3_finger_joint2; found thumb" in bench.complaints[0]
    assert bench.assemble() is None


def test_a_state_without_fingers_is_not_acted_on() -> None:
    """The gripper's first words were stored before anybody could know that nobody names the fingers."""
    bench = Bench()
    bench.give(HAND, 1.0, name=["thumb"], position=[0.5])
    for _ in range(2):  # the first of the arm's is refused: as far as anybody knows, there are no fingers
        bench.state(1.04)
    for camera in ("agentview", "wrist"):
        bench.image(camera, 1.01)
    assert bench.assemble() is None
    assert bench.assembler.problem == "fingers are missing among the joints fr3_joint1, thumb"
    for camera in ("agentview", "wrist"):
        bench.image(camera, 1.04)
    assert bench.assemble().observation.width == 0.03


def test_an_image_of_another_size_is_named_counted_and_never_acted_on() -> None:
    bench = Bench()
    bench.state(1.0)
    bench.image("agentview", 1.0)
    bench.image("wrist", 1.0, size=(24, 32))
    assert bench.complaints == [
        "image of wrist: wrong size; expected 64x48; found 32x24; set the camera driver's resolution, or the size in "
        "the file that the parameter observation names"
    ]
    assert bench.assemble() is None and "wrist" in bench.assembler.problem
    assert bench.streams.cameras["wrist"].received == 1


# Multiples of 3 ms: none is at the tolerance of 50 ms exactly.
offsets = st.lists(st.integers(-33, 33).map(lambda n: n * 0.003), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(("arm", "hand", "agentview", "wrist"), offsets)), st.floats(0.0, 0.6))
def test_parts_of_an_observation_are_of_one_moment_and_young(given: dict[str, list[float]], age: float) -> None:
    """Whatever came when: there is an observation when an image of the first camera has a part of its moment in every
    stream, of the newest such moment, and only while all parts are young.
    """
    bench, base = Bench(), 50.0
    for number, at in enumerate(sorted(given["agentview"])):
        bench.pose(base + at)
        bench.image("agentview", base + at, level=100 + number)
    for number, at in enumerate(sorted(given["wrist"])):
        bench.image("wrist", base + at, level=100 + number)
    for at in given["arm"]:
        bench.give(ARM, base + at, name=["fr3_joint1"], position=[at])
    for at in given["hand"]:
        bench.give(HAND, base + at, name=list(FINGERS), position=[at, 1.0])
    bench.now += age
    got, tolerance = bench.assemble(), bench.preset.tolerance
    others = [given[name] for name in ("arm", "hand", "wrist")]
    moments = [at for at in given["agentview"] if all(min(abs(at - b) for b in other) < tolerance for other in others)]
    if not moments or age > bench.preset.max_age:
        assert got is None and bench.assembler.problem
        return
    seen = got.observation
    moment, wrist = (sorted(given[name])[int(seen.images[name][112, 112, 0]) - 100] for name in ("agentview", "wrist"))
    assert moment == max(moments)
    for part in (seen.joints["fr3_joint1"], seen.joints["fr3_finger_joint1"], wrist):
        assert abs(part - moment) < tolerance
    assert bench.now - got.oldest <= bench.preset.max_age
