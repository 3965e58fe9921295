"""What two computers say to each other: real messages of each policy, serialised, times how often they are sent.

Payload as DDS, or the websocket, is given it: RTPS, UDP and IP headers add some 100 bytes to a packet. A DDS message
goes once to every process on the other computer that subscribes to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import Options, Result, command
from vla_cli.console import Console
from vla_cli.robots import FRANKA, ROBOTS
from vla_cli.shipped import policy_folder
from vla_cli.surroundings import require
from vla_policy.manifest import TOKEN_WEIGHTS

if TYPE_CHECKING:
    from sim_node.bed import Bed

SEED = 0
COLUMNS = ("policy", "message", "bytes", "hz", "kB_s", "way")
TO_POLICY, TO_ARM, STAYS = "arm to policy", "policy to arm", "stays with the policy"
HEARTBEAT = 10.0
"""Hz, of announcements and of the supervisor's state."""
STATE_RATE = 100.0
"""Hz, joint states and pose of the simulated arms; a Franka's may be 1000."""
PICTURE_QUALITY = 95
"""Of JPEG: the default of image_transport's compressed plug-in."""

NOTES = (
    "A computer with policy and monitor; cameras beside the arm. Cameras on the policy's computer send nothing across.",
    "JPEG, quality 95, of rendered pictures that were enlarged: those of a real camera are several times larger.",
    "policy_box_mbit_s: of the policy that ships, without cameras; trace_mbit_s: more, if the monitor ran by the arm.",
    "server_mbit_s: a policy server behind a websocket instead, raw pictures included.",
)


@dataclass(frozen=True)
class Stream:
    """One kind of message.

    :param way: between the policy's computer and the arm's.
    """

    policy: str
    message: str
    bytes: int
    hz: float
    way: str

    @property
    def kilobytes(self) -> float:
        """In a second."""
        return self.bytes * self.hz / 1000

    def row(self) -> Mapping[str, Any]:
        return {**asdict(self), "hz": round(self.hz, 2), "kB_s": self.kilobytes}


def run(options: Options, console: Console) -> Result:
    """Serialise one message of each kind."""
    require("ros", "sim", "policy")
    streams: list[Stream] = []
    for robot in ROBOTS:
        bed = _bed(robot, options.seed)
        names = {robot: policy_folder(None, robot)} | ({"tokens": TOKEN_WEIGHTS} if robot == FRANKA else {})
        for name, folder in names.items():
            console.say(f"{name}: messages of {folder.name}")
            streams += of_policy(name, folder, bed)
        if robot == FRANKA:
            streams += [*of_arm(bed), *of_cameras(bed), *of_servers(bed)]
    return Result("Messages between two computers", COLUMNS, [s.row() for s in streams], headline(streams), notes=NOTES)


def headline(streams: Sequence[Stream]) -> dict[str, float]:
    """Megabits in a second, for the policy that ships."""

    def total(policy: str, *ways: str) -> float:
        return sum(s.kilobytes for s in streams if s.policy == policy and s.way in ways) * 8 / 1000

    server = next(s for s in streams if s.policy == "server table_top" and s.way == TO_POLICY)
    both = total(FRANKA, TO_ARM) + total("any", TO_ARM, TO_POLICY)
    return {
        "policy_box_mbit_s": both,
        "trace_mbit_s": total(FRANKA, STAYS),
        "raw_cameras_mbit_s": total("cameras tabletop, raw", TO_POLICY),
        "jpeg_cameras_mbit_s": total("cameras tabletop, compressed", TO_POLICY),
        "server_mbit_s": server.kilobytes * 8 / 1000,
    }


def of_policy(name: str, folder: Path, bed: Bed) -> Iterator[Stream]:
    """Chunk, trace and score of an inference, and the policy's announcement."""
    from vla_monitor.msg import ActionChunk, DetectorScore, FailureScore, PolicyInfo, PolicyTrace, Tensor

    from policy_node.announce import fill_info
    from policy_node.backends import load
    from policy_node.session import PolicySession
    from vla_uq.contracts import Score

    backend = load("", folder)
    session = PolicySession(backend, "base", bytes(16))
    session.reset("00000000-1", bed.instruction, SEED)
    decision = session.decide(bed.observe())
    trace = session.trace(decision)
    score = Score(trace.key, trace.chunk_digest, 0.1, 1.0, False, {"vfd": (0.1, 1.0), "safe_mlp": (0.1, 1.0)})
    rate = 1 / (backend.info.execute_steps * backend.info.step_duration)
    yield Stream(name, "chunk", size(decision.chunk.fill(ActionChunk())), rate, TO_ARM)
    yield Stream(name, "score, two detectors", size(score.fill(FailureScore(), DetectorScore)), rate, TO_ARM)
    yield Stream(name, "policy's announcement", size(fill_info(PolicyInfo(), session, "base", 0.1)), HEARTBEAT, TO_ARM)
    yield Stream(name, "trace", size(trace.fill(PolicyTrace(), Tensor)), rate, STAYS)
    backend.close()


def of_arm(bed: Bed) -> Iterator[Stream]:
    """What arm, supervisor and monitor say, whichever policy runs."""
    from builtin_interfaces.msg import Time
    from vla_monitor.msg import MonitorInfo, SupervisorState

    from sim_node.messages import current_pose, joint_states

    joints, pose = size(joint_states(bed, Time())), size(current_pose(bed, Time()))
    announcement = MonitorInfo(policy_fingerprint="0" * 16, bundle_digest="0" * 16, detectors=["vfd", "safe_mlp"])
    yield Stream("any", "joint states", joints, STATE_RATE, TO_POLICY)
    yield Stream("any", "pose", pose, STATE_RATE, TO_POLICY)
    yield Stream("any", "supervisor's state", size(SupervisorState(episode_id="00000000-1")), HEARTBEAT, TO_POLICY)
    yield Stream("any", "monitor's announcement", size(announcement), HEARTBEAT, TO_ARM)


def of_cameras(bed: Bed) -> Iterator[Stream]:
    """The cameras of each preset of ``config/observations``, raw and as JPEG; once for each process that subscribes."""
    import cv2
    from builtin_interfaces.msg import Time
    from sensor_msgs.msg import CompressedImage

    from policy_node.observations import load_observation
    from sim_node.messages import image
    from vla_uq.configuration import folders

    for preset in sorted(path.stem for path in folders("observations")[0].glob("*.yaml")):
        for name, camera in load_observation(preset).cameras.items():
            picture = cv2.resize(bed.images()[name], (camera.size[1], camera.size[0]), interpolation=cv2.INTER_CUBIC)
            coded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, PICTURE_QUALITY])[1]
            messages = {
                "raw": image(np.ascontiguousarray(picture), name, Time()),
                "compressed": CompressedImage(format="rgb8; jpeg compressed bgr8", data=coded.tobytes()),
            }
            for transport, message in messages.items():
                what = f"{name} {camera.size[1]} × {camera.size[0]}"
                yield Stream(f"cameras {preset}, {transport}", what, size(message), camera.rate, TO_POLICY)


def of_servers(bed: Bed) -> Iterator[Stream]:
    """A policy server in place of a policy's computer: what it is asked over the websocket, and a bare answer."""
    from policy_node.backends.openpi_presets import PRESETS
    from policy_node.backends.openpi_settings import Settings
    from vla_policy.openpi_wire import ACTIONS, pack

    observation = bed.observe()
    for name, preset in PRESETS.items():
        settings = Settings("ws://localhost:8000", name, joints=tuple(list(observation.joints)[:7]))
        rate = 1 / (preset.execute_steps * preset.step_duration)
        yield Stream(f"server {name}", "request", len(pack(preset.request(observation, settings))), rate, TO_POLICY)
        answer = {ACTIONS: np.zeros((16, len(preset.scale) + 1), np.float32)}
        yield Stream(f"server {name}", "answer, 16 actions", len(pack(answer)), rate, TO_ARM)


def size(message: Any) -> int:
    """Bytes of a message as DDS carries it."""
    from rclpy.serialization import serialize_message

    return len(serialize_message(message))


def _bed(robot: str, seed: int) -> Bed:
    """A scene of the robot, as its cameras see it."""
    from sim_node.bed import Bed
    from sim_node.tasks import of_split

    bed = Bed(robot=robot)
    bed.reset(of_split("trained", robot)[0].instruction, seed)
    return bed


if __name__ == "__main__":
    sys.exit(command("bandwidth", run, SEED))
