"""From the state of the bed to the messages of a real driver (contracts.md §8)."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from numpy.typing import NDArray
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header
from vla_monitor.msg import SimState

from sim_node.bed import Bed
from sim_node.engine import mujoco

FRAME = "base"


def header(stamp: Time, frame: str = FRAME) -> Header:
    """A header."""
    return Header(stamp=stamp, frame_id=frame)


def joint_states(bed: Bed, stamp: Time) -> JointState:
    """The arm's joints (rad, rad/s), then two fingers (m, m/s)."""
    scene, robot = bed.scene, bed.robot
    fingers = scene.data.qpos[scene.fingers], scene.data.qvel[scene.finger_dof]
    return JointState(
        header=header(stamp),
        name=[*robot.joints, *robot.fingers],
        position=array("d", np.concatenate([scene.joints, fingers[0]])),
        velocity=array("d", np.concatenate([scene.joint_velocities, fingers[1]])),
    )


def current_pose(bed: Bed, stamp: Time) -> PoseStamped:
    """The measured pose of the grip frame."""
    return PoseStamped(header=header(stamp), pose=pose(*bed.pose()))


def image(picture: NDArray[np.uint8], camera: str, stamp: Time) -> Image:
    """A camera image (height, width, 3), rgb8."""
    height, width = picture.shape[:2]
    return Image(
        header=header(stamp, f"{camera}_optical_frame"),
        height=height,
        width=width,
        encoding="rgb8",
        step=3 * width,
        data=array("B", picture.tobytes()),
    )


def sim_state(bed: Bed, stamp: Time) -> SimState:
    """All there is to know of the scene; for tools and the teleop device, never for the policy."""
    scene, data = bed.scene, bed.scene.data
    return SimState(
        header=header(stamp),
        task=bed.instruction,
        instruction=bed.instruction,
        seed=bed.seed,
        disturbance=bed.disturbance,
        step=bed.step,
        success=bed.success(),
        qpos=array("d", data.qpos),
        qvel=array("d", data.qvel),
        objects=list(scene.things),
        poses=[pose(scene.place(name), scene.turn(name)) for name in scene.things],
        gripper_command=float(scene.opening),
        disturbed=bed.disturbed,
        home_xy=array("d", bed.home_xy),
    )


def pose(position: NDArray[Any], rotation: NDArray[Any]) -> Pose:
    """A pose from a position (3,) m and a rotation (3, 3)."""
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(rotation).ravel())
    w, x, y, z = map(float, quaternion)
    return Pose(
        position=Point(**dict(zip("xyz", map(float, position), strict=True))),
        orientation=Quaternion(x=x, y=y, z=z, w=w),
    )
