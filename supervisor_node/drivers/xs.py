"""A WidowX behind interbotix ``xs_sdk``: position targets of the joint group, under a short time profile.

There is no client here for anything that takes torque away (``torque_enable``, ``set_operating_modes``,
``reboot_motors``): the arm would fall. The services that are used answer nothing of use, so that what was set is read
back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sensor_msgs.msg import JointState

from supervisor_node.arms.base import Arm
from supervisor_node.drivers.base import Driver, Qualities
from supervisor_node.drivers.services import interfaces
from supervisor_node.drivers.wire import group_command
from supervisor_node.grasp import Squeeze
from supervisor_node.states import Source
from supervisor_node.values import Command

_ASKED_EVERY = 1.0
_UNREAD = "not read yet"
_TOLERANCE = 2e-3
"""Difference (rad) between limits that travelled as float32 of rounded degrees."""
_HEALTHY = {"Hardware_Error_Status": 0, "Torque_Enable": 1}
"""Registers of every motor of the arm, and what they hold while all is well."""


class XsDriver(Driver):
    """See :class:`supervisor_node.drivers.base.Driver`."""

    def __init__(self, node: Any, arm: Arm, qualities: Qualities, step: Callable[..., None]) -> None:
        super().__init__(node, arm, qualities, step)
        part = self.profile.xs
        kinds, services = interfaces("interbotix_xs_msgs.msg"), interfaces("interbotix_xs_msgs.srv")
        assert part is not None
        self._part, self._single, self._registers = part, kinds.JointSingleCommand, services.RegisterValues
        self._group = self.publish_on(kinds.JointGroupCommand, f"{part.prefix}/commands/joint_group")
        self._info = self.client(services.RobotInfo, f"{part.prefix}/get_robot_info")
        self._get = self.client(services.RegisterValues, f"{part.prefix}/get_motor_registers")
        self._set = self.client(services.RegisterValues, f"{part.prefix}/set_motor_registers")
        self._question = services.RobotInfo.Request(cmd_type="group", name=part.group)
        pwm = self.profile.gripper_pwm
        self._squeeze = Squeeze(pwm) if pwm is not None else None
        if pwm is not None:
            self._gripper_name = pwm.joint
            self._gripper = self.publish_on(kinds.JointSingleCommand, f"{part.prefix}/commands/joint_single")
            for topic in self.profile.sources.joint_states:
                self.subscribe(JointState, topic, self._on_joints, qualities.sensor)
        self._wanted = {"Profile_Velocity": part.reach, "Profile_Acceleration": part.acceleration}
        self._problems = dict.fromkeys(("get_robot_info", *self._wanted), _UNREAD)
        self._motors: dict[str, str] = {}
        self._asked_at = -np.inf
        self._opening = math.nan

    # -- out -------------------------------------------------------------------------------------------------------
    def move(self, command: Command) -> None:
        """A target of the group; the gripper's motor is led at every command, for it knows no end of its own."""
        q = command.motion.joints
        assert q is not None, "this arm takes joint targets"
        self._group.publish(group_command(self._part.group, q))
        if self._squeeze is None or command.gripper is None:
            return
        if command.source is Source.NONE:
            pwm = self._squeeze.hold()
        else:
            pwm = self._squeeze.lead(time.monotonic(), command.gripper, self._opening)
        self._gripper.publish(self._single(name=self._gripper_name, cmd=pwm))

    # -- in --------------------------------------------------------------------------------------------------------
    def _on_joints(self, message: JointState) -> None:
        fingers, places = self.profile.gripper, dict(zip(message.name, message.position, strict=False))
        if all(name in places for name in fingers.joints):
            self._opening = (sum(places[name] for name in fingers.joints) - fingers.closed) / fingers.width

    def report(self) -> dict[str, str]:
        """See :meth:`Driver.report`. Names, limits and registers are asked for again: the driver may start anew."""
        found, now = super().report(), time.monotonic()
        if now - self._asked_at >= _ASKED_EVERY:
            self._asked_at = now
            self.caller.ask(self._info, self._question, self._on_info, self._on_silence)
            for register in (*self._wanted, *_HEALTHY):
                self._read(register)
        unready = next((f"{name}: {text}" for name, text in self._problems.items() if text), "")
        found["adapter"] = found["adapter"] or unready
        found["hardware"] = next((text for text in self._motors.values() if text), found["hardware"])
        return found

    def _on_silence(self, problem: str) -> None:
        self._problems["get_robot_info"] = problem

    def _on_info(self, answer: Any) -> None:
        self._problems["get_robot_info"] = self._mismatch(answer)

    def _mismatch(self, info: Any) -> str:
        """What the driver says of the arm that the profile does not, or ""."""
        joints, found = self.profile.joints, tuple(info.joint_names)
        if info.num_joints != len(joints.names) or found != joints.names:  # a group command goes by place
            return f"joint_names: expected {' '.join(joints.names)}, found {' '.join(found)}"
        if (info.mode, info.profile_type) != ("position", "time"):
            return f"mode, profile_type: expected position, time, found {info.mode}, {info.profile_type}"
        for i, name in enumerate(joints.names):
            at = found.index(name)
            lower, upper = info.joint_lower_limits[at], info.joint_upper_limits[at]
            if joints.lower[i] < lower - _TOLERANCE or joints.upper[i] > upper + _TOLERANCE:
                found_limits = f"{joints.lower[i]:g} to {joints.upper[i]:g}"
                return f"limits of {name}: expected inside of {lower:.4f} to {upper:.4f}, found {found_limits}"
        return ""

    def _read(self, register: str) -> None:
        request = self._registers.Request(cmd_type="group", name=self._part.group, reg=register)
        self.caller.ask(self._get, request, lambda answer: self._on_register(register, answer.values))

    def _on_register(self, register: str, values: Any) -> None:
        if not len(values):
            return  # a driver that cannot read it: for a profile register that stays "not read yet"
        if register in _HEALTHY:
            expected = _HEALTHY[register]
            wrong = [int(value) for value in values if value != expected]
            self._motors[register] = f"{register}: expected {expected}, found {wrong[0]}" if wrong else ""
            return
        wanted = round(self._wanted[register] * 1000)
        wrong = [int(value) for value in values if value != wanted]
        self._problems[register] = f"expected {wanted} ms, found {wrong[0]}" if wrong else ""
        if wrong:
            request = self._registers.Request(cmd_type="group", name=self._part.group, reg=register, value=wanted)
            # Read back at once: the answer to a write says nothing.
            self.caller.ask(self._set, request, lambda answer: self._read(register))
