"""The ``controller_manager``: which controllers are active, as it tells by itself (jazzy) and when it is asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import State

from supervisor_node.arms.parts import Manager
from supervisor_node.drivers.services import interfaces
from supervisor_node.switching import STRICT

ASKED_EVERY = 0.5
"""Seconds from one look at the controllers to the next: humble publishes no activity."""
_SWITCH = 0.5
"""Seconds that the manager has for a switch."""


class Controllers:
    """Watches the controllers of one arm, and makes them active again on request.

    :param driver: of the arm; its clients and its caller are used.
    """

    def __init__(self, driver: Any, part: Manager) -> None:
        kinds, self._part, self._driver = interfaces("controller_manager_msgs.srv"), part, driver
        activity = interfaces("controller_manager_msgs.msg").ControllerManagerActivity
        self._kinds = kinds
        self._list = driver.client(kinds.ListControllers, f"{part.name}/list_controllers")
        self._switch = driver.client(kinds.SwitchController, f"{part.name}/switch_controller")
        self._set = driver.client(kinds.SetHardwareComponentState, f"{part.name}/set_hardware_component_state")
        driver.subscribe(activity, f"{part.name}/activity", self._on_activity, driver.qualities.latched)
        self._states: dict[str, str] = {}
        self._hardware: dict[str, str] = {}
        self._asked_at = -float("inf")

    def look(self) -> None:
        """Ask again now and then."""
        if time.monotonic() - self._asked_at >= ASKED_EVERY:
            self._asked_at = time.monotonic()
            self._driver.caller.ask(self._list, self._kinds.ListControllers.Request(), self._on_list)

    def _on_list(self, answer: Any) -> None:
        self._states = {each.name: each.state for each in answer.controller}

    def _on_activity(self, message: Any) -> None:
        self._states = {each.name: each.state.label for each in message.controllers}
        self._hardware = {each.name: each.state.label for each in message.hardware_components}

    @property
    def unknown(self) -> str:
        """Why nothing is known of the controllers yet, or ""."""
        return "" if self._states else f"nothing is known of the controllers of {self._part.name}"

    @property
    def broken(self) -> str:
        """What is not active and should be, or "" (also while nothing is known)."""
        hardware = self._hardware.get(self._part.hardware, "active")
        if hardware != "active":
            return f"hardware {self._part.hardware} is {hardware}"
        for name in self._part.controllers if self._states else ():
            if self._states.get(name, "not loaded") != "active":
                return f"controller {name} is {self._states.get(name, 'not loaded')}"
        return ""

    def activate_hardware(self, done: Callable[[str], None]) -> None:
        """Make the hardware component active again."""
        if not self._part.hardware:
            done("")
            return
        target = State(id=State.PRIMARY_STATE_ACTIVE, label="active")
        request = self._kinds.SetHardwareComponentState.Request(name=self._part.hardware, target_state=target)
        text = f"hardware {self._part.hardware} was not activated"
        self._driver.caller.ask(self._set, request, lambda answer: done("" if answer.ok else text), done, 5.0)

    def activate(self, instead_of: str, done: Callable[[str], None]) -> None:
        """Make the arm's controllers active in one STRICT switch.

        :param instead_of: hold controller that goes off with it, if it is on.
        """
        wanted = [name for name in self._part.controllers if self._states.get(name) != "active"]
        off = [instead_of] if self._states.get(instead_of) == "active" else []
        if not (wanted or off):
            done("")
            return
        request = self._kinds.SwitchController.Request(
            activate_controllers=wanted, deactivate_controllers=off, strictness=STRICT, activate_asap=True
        )
        request.timeout.nanosec = int(_SWITCH * 1e9)

        def answered(answer: Any) -> None:
            # humble answers with ok alone.
            self._asked_at = -float("inf")
            text = getattr(answer, "message", "") or "refused"
            done("" if answer.ok else f"{' '.join(wanted)} not activated: {text}")

        self._driver.caller.ask(self._switch, request, answered, done, 5.0)
