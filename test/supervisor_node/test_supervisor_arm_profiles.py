"""Profiles and descriptions of the arms that take joint targets, and how their grippers are led."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from supervisor_node.arms import open_arm
from supervisor_node.arms.description import KNOWN, urdf_of
from supervisor_node.arms.joint import JointArm
from supervisor_node.arms.parts import GripperPwm
from supervisor_node.arms.profile import find_profile, load_profile
from supervisor_node.drivers.services import interfaces
from supervisor_node.grasp import OneGoal, Squeeze
from vla_uq.errors import InputError


def test_another_robots_limits_are_refused() -> None:
    pytest.importorskip("pink")
    profile = load_profile("franka_jtc")
    assert profile.kinematics is not None
    problem = JointArm(profile).describe(urdf_of("panda", profile.joints.names, profile.kinematics.tip))
    assert "fr3_joint2" in problem and "joint limits are not the robot's" in problem
    assert "not in robot_description" in JointArm(profile).describe(urdf_of("fr3", [f"j{i}" for i in range(7)], "tip"))
    assert "not a robot description" in JointArm(profile).describe("<robot")
    with pytest.raises(InputError, match="unknown description"):
        urdf_of("ur5", ["a"], "tip")
    assert KNOWN == ("panda", "fr3", "wx250s")


def profile_of(tmp_path: Path, base: str, **changes: Any) -> str:
    content = yaml.safe_load(find_profile(base).read_text(encoding="utf-8"))
    for name, value in changes.items():
        section, _, field = name.partition("__")
        if value is None:
            del content[section]
        elif field:
            content[section][field] = value
        else:
            content[section] = value
    file = tmp_path / "arm.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(file)


def test_a_profile_may_bring_its_description(tmp_path: Path) -> None:
    pytest.importorskip("pink")
    assert not open_arm(profile_of(tmp_path, "widowx_xs", kinematics__description="wx250s")).lacks
    profile = load_profile("widowx_xs")
    (tmp_path / "mine.urdf").write_text(urdf_of("wx250s", profile.joints.names, "wx250s/ee_gripper_link"))
    assert not open_arm(profile_of(tmp_path, "widowx_xs", kinematics__description="mine.urdf")).lacks
    with pytest.raises(InputError, match="no such description"):
        open_arm(profile_of(tmp_path, "widowx_xs", kinematics__description="other.urdf"))
    assert "robot_description" in open_arm("widowx_xs").lacks


@pytest.mark.parametrize(
    ("base", "field", "value", "named"),
    [
        ("widowx_xs", "xs", None, "xs"),
        ("widowx_xs", "xs__reach", 2.0, "xs.reach"),
        ("widowx_xs", "xs__reach", 0.01, "xs.reach"),
        ("widowx_xs", "xs__acceleration", 0.1, "xs.acceleration"),
        ("widowx_xs", "kinematics", None, "sources.pose"),
        ("widowx_xs", "kinematics__posture", [9.0] * 6, "kinematics.posture"),
        ("widowx_xs", "gripper_pwm__hold", 100.0, "gripper_pwm"),
        ("franka_jtc", "jtc__reach", 0.5, "jtc.reach"),
        ("franka_jtc", "manager", None, "manager"),
        ("franka_jtc", "gripper_action__hysteresis", 0.0, "gripper_action.hysteresis"),
        ("widowx_jtc", "gripper_controller__open", 0.015, "gripper_controller.open"),
        ("widowx_jtc", "sources__joint_states", [], "sources.joint_states"),
        ("widowx_jtc", "jtc__surplus", 1.0, "surplus"),
    ],
)
def test_profile_that_cannot_be_names_the_field(tmp_path: Path, base: str, field: str, value: Any, named: str) -> None:
    with pytest.raises(InputError) as caught:
        load_profile(profile_of(tmp_path, base, **{field: value}))
    assert "arm.yaml" in str(caught.value) and named in str(caught.value)


def test_a_message_package_that_is_missing_names_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def absent(name: str, *rest: Any) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"apt install ros-.ROS_DISTRO-control-msgs"):
        interfaces("control_msgs.msg")


# -- grippers ------------------------------------------------------------------------------------------------------
def test_one_goal_at_a_time_and_only_for_a_real_change() -> None:
    goals = OneGoal(0.1)
    assert goals.want(0.0) == 0.0
    assert goals.want(1.0) is None, "a closing grasp is not cancelled"
    assert goals.done() == 1.0 and goals.done() is None
    assert goals.want(0.95) is None and goals.want(0.5) == 0.5
    goals.failed()
    assert goals.want(0.5) == 0.5, "a goal that was not taken is sent again"


PWM = GripperPwm("gripper", close=-250.0, open=250.0, hold=-150.0, band=0.05, stall=0.3)


def test_closing_on_an_object_ends_in_the_holding_pwm() -> None:
    squeeze, opening, sent = Squeeze(PWM), 1.0, []
    for tick in range(40):
        sent.append(squeeze.lead(0.05 * tick, 0.0, opening))
        opening = max(opening - 0.05, 0.4)
    assert sent[0] == -250.0 and sent[-1] == -150.0
    assert squeeze.hold() == -150.0, "a grip stays through a halt"
    assert squeeze.lead(2.1, 1.0, 0.4) == 250.0


def test_opening_ends_before_the_stop_and_at_a_halt() -> None:
    squeeze, opening, sent = Squeeze(PWM), 0.2, []
    for tick in range(40):
        sent.append(squeeze.lead(0.05 * tick, 1.0, opening))
        opening = min(opening + (0.05 if sent[-1] > 0 else 0.0), 1.0)
    assert sent[0] == 250.0 and sent[-1] == 0.0 and opening < 1.0
    squeeze = Squeeze(PWM)
    assert squeeze.lead(0.0, 1.0, 0.2) == 250.0 and squeeze.hold() == 0.0
    assert squeeze.lead(0.1, 1.0, math.nan) == 0.0, "nothing moves blindly"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1) | st.just(math.nan), st.booleans()), max_size=30))
def test_a_halt_never_opens(steps: list[tuple[float, float, bool]]) -> None:
    squeeze = Squeeze(PWM)
    for tick, (wanted, opening, holding) in enumerate(steps):
        pwm = squeeze.hold() if holding else squeeze.lead(0.05 * tick, wanted, opening)
        assert pwm in (-250.0, -150.0, 0.0, 250.0)
        assert not (holding and pwm > 0)
        assert not (pwm > 0 and wanted < opening)
