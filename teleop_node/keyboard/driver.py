"""A keyboard at the teleop node: held keys are its device's channels."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rclpy.node import Node
from vla_monitor.msg import SimState

from teleop_node.files import KEYBOARD
from teleop_node.keyboard.keys import NAMES, Keys
from teleop_node.node import TeleopNode, spin
from teleop_node.values import Reading
from vla_uq.errors import InputError

SIMULATION = 5.0
"""Seconds to wait for a simulated arm."""


class KeyboardTeleop:
    """Reads the keyboard at every turn.

    :param simulated: the keyboard may move a simulated arm only.
    :raises InputError: the map is none for a keyboard.
    """

    def __init__(self, node: Node, keys: Keys, simulated: bool) -> None:
        self._keys, self._teleop = keys, TeleopNode(node)
        inputs = [name for name, given in self._teleop.device.inputs.items() if given.type == KEYBOARD]
        if not inputs:
            where = f"{self._teleop.device.name}: inputs"
            raise InputError("not a map for a keyboard", where=where, expected=f"an input of type {KEYBOARD}")
        self._input = inputs[0]
        self._seen = not simulated
        self._patience = time.monotonic() + SIMULATION
        if simulated:
            node.create_subscription(SimState, "sim_node/sim_state", self._on_simulation, 1)

    def _on_simulation(self, state: SimState) -> None:
        self._seen = True

    def turn(self) -> None:
        """Hand on which keys are held; nothing before a simulated arm was seen, where one is needed.

        :raises InputError: no simulated arm, or the keyboard is gone.
        """
        now = time.monotonic()
        try:
            held = self._keys.held(now)
        except OSError as error:
            raise InputError("the keyboard cannot be read any more", found=error.strerror or str(error)) from None
        if self._seen:
            self._teleop.take(self._input, Reading({name: float(name in held) for name in NAMES}))
        elif now > self._patience:
            raise InputError(
                "a terminal has no key-up: it may move the simulated arm only",
                where="sim_node/sim_state",
                expected="a simulated arm",
                found=f"none within {SIMULATION:g} s",
                remedy="give this user access to /dev/input, or use another device",
            )

    def close(self) -> None:
        """Let go."""
        self._teleop.close()


def run(keys: Keys, simulated: bool, arguments: Sequence[str]) -> None:
    """Be the keyboard's process until SIGINT or SIGTERM.

    :param arguments: ROS arguments.
    :raises InputError: see :class:`KeyboardTeleop`.
    """
    spin(lambda node: KeyboardTeleop(node, keys, simulated), arguments)
