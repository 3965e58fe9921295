"""The hold controller: the switch to it and back, for the escalation and for the deadman.

A profile's ``hold_controller`` names a controller of the ``controller_manager``, switched STRICT against the active
controllers that claim the same interfaces, so that the arm is never without one; or, with a slash in it, a
``std_srvs/SetBool`` service that does the same, with a latched ``std_msgs/Bool`` beside it on ``<service>/active``.
Clients are made at once, for discovery takes seconds; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from supervisor_node.arms.profile import Profile
from vla_uq.errors import InputError

Done = Callable[[str], None]
"""Takes what went wrong, or ""."""
STRICT = 2


class HoldSwitch(Protocol):
    """The switch of one arm. ``active``: the hold controller holds the arm, as far as is known."""

    @property
    def active(self) -> bool: ...

    def look(self) -> None:
        """Ask for the state of the controllers; called now and then."""
        ...

    def hold(self, done: Done) -> None:
        """Switch to the hold controller."""
        ...

    def back(self, done: Done) -> None:
        """Switch back to what was active before."""
        ...


def open_switch(node: Any, profile: Profile, latched: Any) -> HoldSwitch | None:
    """The switch to a profile's hold controller; None where there is none.

    :param node: the ROS node.
    :param latched: quality of service of latched topics.
    :raises InputError: the message package that it needs is not installed.
    """
    hold = profile.hold_controller
    if not hold:
        return None
    if "/" in hold:
        return ServiceSwitch(node, hold, latched)
    assert profile.manager is not None  # the profile's own check
    return ManagerSwitch(node, hold, profile.manager.name)


class ServiceSwitch:
    """A hold behind a ``std_srvs/SetBool`` service."""

    def __init__(self, node: Any, service: str, latched: Any) -> None:
        from std_msgs.msg import Bool
        from std_srvs.srv import SetBool

        self._kind, self._client = SetBool, node.create_client(SetBool, service)
        self.active = False
        node.create_subscription(Bool, f"{service}/active", self._on_active, latched)

    def _on_active(self, message: Any) -> None:
        self.active = bool(message.data)

    def look(self) -> None:
        """The topic tells."""

    def hold(self, done: Done) -> None:
        """Switch to the hold."""
        self._call(True, done)

    def back(self, done: Done) -> None:
        """Switch back."""
        self._call(False, done)

    def _call(self, active: bool, done: Done) -> None:
        def answered(answer: Any) -> None:
            self.active = active if answer.success else self.active
            done("" if answer.success else f"{self._client.srv_name}: {answer.message or 'refused'}")

        _ask(self._client, self._kind.Request(data=active), answered, done)


class ManagerSwitch:
    """A controller of the ``controller_manager``."""

    def __init__(self, node: Any, controller: str, manager: str) -> None:
        try:
            from controller_manager_msgs.srv import ListControllers, SwitchController
        except ImportError:
            raise InputError(
                "message package is not installed",
                where="hold_controller",
                expected="controller_manager_msgs",
                remedy="install ros2_control's message packages, or leave hold_controller empty",
            ) from None
        self._controller, self._list_kind, self._switch_kind = controller, ListControllers, SwitchController
        self._list = node.create_client(ListControllers, f"{manager}/list_controllers")
        self._switch = node.create_client(SwitchController, f"{manager}/switch_controller")
        self._rivals: tuple[str, ...] = ()
        self._replaced: tuple[str, ...] = ()
        self.active = False
        self._known = False

    def look(self) -> None:
        """Ask which controllers are active; the answer is kept for the moment of the switch."""
        _ask(self._list, self._list_kind.Request(), self._on_list, lambda problem: None)

    def _on_list(self, answer: Any) -> None:
        found = {each.name: each for each in answer.controller}
        ours = found.get(self._controller)
        self._known = ours is not None
        if ours is None:
            return
        self.active = ours.state == "active"
        wanted = set(ours.required_command_interfaces)
        self._rivals = tuple(
            each.name
            for each in answer.controller
            if each.name != self._controller and each.state == "active" and wanted & set(each.claimed_interfaces)
        )

    def hold(self, done: Done) -> None:
        """One STRICT switch: the hold controller on, whoever claims its interfaces off."""
        if not self._known:
            done(f"{self._controller}: not among the loaded controllers")
            return
        self._replaced = self._rivals or self._replaced
        self._change((self._controller,), self._rivals, True, done)

    def back(self, done: Done) -> None:
        """One STRICT switch back to the controllers that were replaced."""
        if not self._replaced:
            done(f"{self._controller}: not known which controllers it replaced: switch by hand")
            return
        self._change(self._replaced, (self._controller,), False, done)

    def _change(self, on: tuple[str, ...], off: tuple[str, ...], active: bool, done: Done) -> None:
        request = self._switch_kind.Request(
            activate_controllers=list(on), deactivate_controllers=list(off), strictness=STRICT, activate_asap=True
        )
        request.timeout.nanosec = 500_000_000

        def answered(answer: Any) -> None:
            self.active = active if answer.ok else self.active
            done("" if answer.ok else f"{self._switch.srv_name}: {getattr(answer, 'message', '') or 'refused'}")

        _ask(self._switch, request, answered, done)


def _ask(client: Any, request: Any, answered: Callable[[Any], None], failed: Done) -> None:
    """Call without waiting; a service that is not there has failed at once."""
    if not client.service_is_ready():
        failed(f"nobody offers {client.srv_name}")
        return

    def on_done(future: Any) -> None:
        if future.exception() is None:
            answered(future.result())
        else:
            failed(f"{client.srv_name}: {future.exception()}")

    client.call_async(request).add_done_callback(on_done)
