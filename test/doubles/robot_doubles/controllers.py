"""controller_manager: who is active, and who refuses to be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller_manager_msgs.msg import (
    ControllerManagerActivity,
    ControllerState,
    HardwareComponentState,
    NamedLifecycleState,
)
from controller_manager_msgs.srv import (
    ListControllers,
    ListHardwareComponents,
    SetHardwareComponentState,
    SwitchController,
)
from lifecycle_msgs.msg import State
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from robot_doubles.answers import Answers

LABELS = {
    State.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    State.PRIMARY_STATE_INACTIVE: "inactive",
    State.PRIMARY_STATE_ACTIVE: "active",
    State.PRIMARY_STATE_FINALIZED: "finalized",
}
ACTIVE, INACTIVE, UNCONFIGURED = (
    State.PRIMARY_STATE_ACTIVE,
    State.PRIMARY_STATE_INACTIVE,
    State.PRIMARY_STATE_UNCONFIGURED,
)


@dataclass
class Controller:
    """One controller.

    :param claims: command interfaces; no two active controllers share one.
    :param hardware: component that must be active while this one is; "" for none.
    """

    type: str
    claims: tuple[str, ...] = ()
    hardware: str = ""
    active: bool = True
    on_change: Callable[[bool], object] = field(default=lambda on: None)


class ControllerManagerDouble:
    """The manager's node; its services are named after it.

    :param publish_activity: Jazzy publishes ``~/activity``, Humble does not.
    """

    def __init__(self, node: Node, *, publish_activity: bool = True) -> None:
        self.node = node
        self.controllers: dict[str, Controller] = {}
        self.hardware: dict[str, int] = {}
        self.on_hardware: list[Callable[[str, int], object]] = []
        """Called with each component's new state."""
        self.answers: defaultdict[str, Answers] = defaultdict(lambda: Answers(node))
        """How each service behaves, by its name."""
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._activity = (
            node.create_publisher(ControllerManagerActivity, "~/activity", latched) if publish_activity else None
        )
        for service_type, name, handle in (
            (ListControllers, "list_controllers", self._list),
            (ListHardwareComponents, "list_hardware_components", self._list_hardware),
            (SwitchController, "switch_controller", self._switch),
            (SetHardwareComponentState, "set_hardware_component_state", self._set_hardware),
        ):
            self.answers[name].serve(service_type, f"~/{name}", handle)

    # -- the script ------------------------------------------------------------------------------------------------
    def add_hardware(self, name: str) -> None:
        """An active component."""
        self._set(name, ACTIVE)

    def add(
        self,
        name: str,
        type_: str,
        claims: Sequence[str] = (),
        *,
        active: bool = True,
        hardware: str = "",
        on_change: Callable[[bool], object] = lambda on: None,
    ) -> None:
        """A loaded and configured controller."""
        self.controllers[name] = Controller(type_, tuple(claims), hardware, active, on_change)
        self._publish()

    def deactivate(self, *names: str) -> None:
        """Somebody else deactivates controllers."""
        self._apply((), names)

    def fail_hardware(self, name: str) -> None:
        """The component's read or write failed: it is unconfigured, its controllers are deactivated."""
        self._apply((), [n for n, c in self.controllers.items() if c.hardware == name and c.active])
        self._set(name, UNCONFIGURED)

    def switch(self, activate: Sequence[str], deactivate: Sequence[str], strictness: int) -> str:
        """What the service does; why nothing was switched, or ""."""
        wrong = {name: self._refuses(name, True, deactivate) for name in activate}
        wrong |= {name: self._refuses(name, False, ()) for name in deactivate}
        problems = [f"{name}: {why}" for name, why in wrong.items() if why]
        if problems and strictness != SwitchController.Request.BEST_EFFORT:
            return "; ".join(problems)
        self._apply([n for n in activate if not wrong[n]], [n for n in deactivate if not wrong[n]])
        return ""

    # -- the manager -----------------------------------------------------------------------------------------------
    def _refuses(self, name: str, activate: bool, leaving: Sequence[str]) -> str:
        controller = self.controllers.get(name)
        if controller is None:
            return "not loaded"
        if controller.active == activate:
            return "already active" if activate else "not active"
        if not activate:
            return ""
        if controller.hardware and self.hardware.get(controller.hardware) != ACTIVE:
            return f"{controller.hardware} is not active"
        for other, holder in self.controllers.items():
            taken = set(holder.claims) & set(controller.claims)
            if holder.active and other not in leaving and taken:
                return f"{sorted(taken)[0]} is claimed by {other}"
        return ""

    def _apply(self, activate: Sequence[str], deactivate: Sequence[str]) -> None:
        for names, on in ((deactivate, False), (activate, True)):
            for name in names:
                self.controllers[name].active = on
                self.controllers[name].on_change(on)
        self._publish()

    def _set(self, name: str, state: int) -> None:
        self.hardware[name] = state
        for callback in self.on_hardware:
            callback(name, state)
        self._publish()

    def _publish(self) -> None:
        if self._activity is None:
            return
        message = ControllerManagerActivity()
        message.header.stamp = self.node.get_clock().now().to_msg()
        for name, controller in self.controllers.items():
            message.controllers.append(_named(name, ACTIVE if controller.active else INACTIVE))
        for name, state in self.hardware.items():
            message.hardware_components.append(_named(name, state))
        self._activity.publish(message)

    # -- services --------------------------------------------------------------------------------------------------
    def _list(self, request: Any, response: Any) -> Any:
        for name, controller in self.controllers.items():
            claimed = list(controller.claims) if controller.active else []
            state = "active" if controller.active else "inactive"
            one = ControllerState(name=name, type=controller.type, state=state, claimed_interfaces=claimed)
            one.required_command_interfaces = list(controller.claims)
            response.controller.append(one)
        return response

    def _list_hardware(self, request: Any, response: Any) -> Any:
        for name, state in self.hardware.items():
            response.component.append(HardwareComponentState(name=name, type="system", state=_state(state)))
        return response

    def _switch(self, request: Any, response: Any) -> Any:
        strictness = request.strictness or SwitchController.Request.BEST_EFFORT
        response.message = self.switch(request.activate_controllers, request.deactivate_controllers, strictness)
        response.ok = not response.message
        return response

    def _set_hardware(self, request: Any, response: Any) -> Any:
        wanted = request.target_state.id or next(
            (number for number, label in LABELS.items() if label == request.target_state.label), 0
        )
        if request.name in self.hardware and wanted in LABELS:
            self._set(request.name, wanted)
            response.ok = True
        response.state = _state(self.hardware.get(request.name, 0))
        return response


def _state(number: int) -> State:
    return State(id=number, label=LABELS.get(number, "unknown"))


def _named(name: str, state: int) -> NamedLifecycleState:
    return NamedLifecycleState(name=name, state=_state(state))
