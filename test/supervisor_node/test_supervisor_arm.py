"""The arm behind CRISP's topics, and profiles."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from supervisor_node.arms import open_arm
from supervisor_node.arms.profile import find_profile, load_profile
from supervisor_node.values import Measured, Motion, Pose
from vla_uq.contracts import Chunk, Key, Space
from vla_uq.errors import InputError
from vla_uq.geometry import rotation_matrix

ARM = open_arm("franka_crisp_sim")


def measured(q: Any = None, qd: Any = None, position: Any = (0, 0, 0.3)) -> Measured:
    home = np.array([0, -0.161, 0, -2.4446, 0, 2.2268, math.pi / 4]) if q is None else np.asarray(q, float)
    return Measured(
        home, np.zeros(7) if qd is None else np.asarray(qd, float), Pose(np.array(position, float), np.eye(3))
    )


def chunk(space: Space, actions: Any, names: tuple[str, ...] = ("x", "y", "z", "rx", "ry", "rz")) -> Chunk:
    values = np.asarray(actions, np.float32)
    return Chunk(Key(bytes(16), 0, "e", 0), space, names, values, np.ones(len(values), np.float32), 0.05, 1)


@given(st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6))
def test_delta_adds_to_the_measured_pose_within_the_limits(values: list[float]) -> None:
    now = measured()
    motion = ARM.plan(chunk(Space.EE_DELTA, [values]), 0, now, Motion(Pose(np.ones(3), np.eye(3))))
    assert motion.pose is not None
    step = motion.pose.position - now.pose.position
    delta = np.asarray(np.float32(values), float)
    assert np.linalg.norm(step) <= 0.09 + 1e-9
    if np.linalg.norm(delta[:3]) <= 0.09 and np.linalg.norm(delta[3:]) <= 0.9:
        assert np.allclose(step, delta[:3]) and not motion.limited
        assert np.allclose(motion.pose.rotation, rotation_matrix(delta[3:]))
    else:
        assert motion.limited


def test_workspace_bounds_the_target() -> None:
    low = ARM.plan(chunk(Space.EE_DELTA, [[0, 0, -0.08, 0, 0, 0]]), 0, measured(position=(0, 0, 0.03)), None)
    assert low.pose is not None and low.pose.position[2] == ARM.profile.workspace.lower[2] and low.limited


def test_absolute_poses_are_stepped_from_the_last_target() -> None:
    far = chunk(Space.EE_POSE, [[0.3, 0, 0.3, 0, 0, 0]] * 2)
    first = ARM.plan(far, 0, measured(), None)
    second = ARM.plan(far, 1, measured(), first)
    assert first.pose is not None and second.pose is not None
    assert first.pose.position[0] == pytest.approx(0.09) and second.pose.position[0] == pytest.approx(0.18)


def test_joint_chunks_go_by_name() -> None:
    names = ARM.profile.joints.names[::-1]
    now = measured()
    motion = ARM.plan(chunk(Space.JOINT_POSITION, [now.q[::-1] + 0.05], names), 0, now, None)
    assert motion.joints is not None and np.allclose(motion.joints, now.q + 0.05, atol=1e-6)
    leap = ARM.plan(chunk(Space.JOINT_POSITION, [now.q[::-1] + 0.5], names), 0, now, None)
    assert leap.joints is not None and np.allclose(leap.joints, now.q + 0.1, atol=1e-6) and leap.limited


def test_brake_is_ahead_of_what_moves() -> None:
    still = measured()
    assert np.array_equal(ARM.brake(still, None), still.q)
    moving = measured(qd=[1.0, -0.5, 0, 0, 0, 0, 0])
    braking = ARM.profile.braking
    first, second = braking.deceleration[:2]
    assert np.allclose(ARM.brake(moving, None) - moving.q, [0.5 / first, -0.125 / second, 0, 0, 0, 0, 0])
    fast = measured(qd=[10.0, 0, 0, 0, 0, 0, 0])
    assert ARM.brake(fast, None)[0] == pytest.approx(braking.lead[0]), "no farther than the lead"


def test_brake_starts_from_a_known_joint_reference() -> None:
    now = measured()
    near = Motion(joints=now.q + 0.02)
    assert np.allclose(ARM.brake(now, near), now.q + 0.02)
    farthest = now.q + ARM.profile.braking.lead
    assert np.allclose(ARM.brake(now, Motion(joints=now.q + 1.0)), np.minimum(farthest, ARM.profile.joints.upper))


def test_brake_stays_inside_the_limits() -> None:
    edge = measured(q=ARM.profile.joints.upper, qd=np.ones(7))
    assert (ARM.brake(edge, None) <= ARM.profile.joints.upper).all()


def profile_with(tmp_path: Path, **changes: Any) -> Path:
    content = yaml.safe_load(find_profile("franka_crisp_sim").read_text(encoding="utf-8"))
    for path, value in changes.items():
        target, parts = content, path.split("__")
        for part in parts[:-1]:
            target = target[part]
        if value is None:
            del target[parts[-1]]
        else:
            target[parts[-1]] = value
    file = tmp_path / "arm.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate", 0.0),
        ("rate", "fast"),
        ("rate", math.nan),
        ("rate", None),
        ("max_ahead", 0.01),
        ("joints__lower", [0.0] * 6),
        ("joints__lower", [5.0] * 7),
        ("joints__names", ["a"] * 7),
        ("rest__noise", [0.003] * 6 + [0.0]),
        ("rest__tolerance", [0.003] * 8),
        ("braking__deceleration", "10"),
        ("escalation__switch", 0.1),
        ("escalation__surplus", 1.0),
        ("workspace__lower", [1.0, 1.0, 1.0]),
        ("step__malformed", 0.5),
        ("join", [1.0]),
    ],
)
def test_profile_that_cannot_be_names_the_field(tmp_path: Path, field: str, value: Any) -> None:
    file = profile_with(tmp_path, **{field: value})
    with pytest.raises(InputError) as caught:
        load_profile(str(file))
    assert "arm.yaml" in str(caught.value) and field.split("__")[-1] in str(caught.value)


def test_profile_that_is_not_there_or_not_yaml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such arm profile"):
        load_profile("panda")
    broken = tmp_path / "broken.yaml"
    broken.write_text("rate: [1,", encoding="utf-8")
    with pytest.raises(InputError, match="not YAML"):
        load_profile(str(broken))
    with pytest.raises(InputError, match="unknown kind"):
        open_arm(str(profile_with(tmp_path, kind="hexapod")))
