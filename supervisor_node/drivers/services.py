"""Services and message packages of robots: asked without waiting, imported when they are needed."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

from vla_uq.errors import InputError

_REMEDIES = {
    "control_msgs": "apt install ros-$ROS_DISTRO-control-msgs",
    "controller_manager_msgs": "apt install ros-$ROS_DISTRO-controller-manager-msgs",
    "franka_msgs": "build franka_ros2 in your workspace, and source it",
    "interbotix_xs_msgs": "build interbotix_ros_core in your workspace, and source it",
}


def interfaces(module: str) -> Any:
    """A module of a robot's message package (``control_msgs.action``).

    :raises InputError: the package is not installed.
    """
    package = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            "message package is not installed", where=package, found=module, remedy=_REMEDIES.get(package, "")
        ) from None


class Caller:
    """Calls services; each is answered once, if only with what went wrong."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[float, Callable[[str], None], str]] = {}
        self._count = 0

    def ask(
        self,
        client: Any,
        request: Any,
        answered: Callable[[Any], None],
        failed: Callable[[str], None] = lambda problem: None,
        patience: float = 1.0,
    ) -> None:
        """Call a service.

        :param patience: seconds after which it has failed, at the next :meth:`look`; a later answer is passed over.
        """
        name = client.srv_name
        if not client.service_is_ready():
            failed(f"nobody offers {name}")
            return
        self._count += 1
        number = self._count
        self._open[number] = (time.monotonic() + patience, failed, f"{name} gave no answer within {patience:g} s")

        def on_done(future: Any) -> None:
            if self._open.pop(number, None) is None:
                return
            if future.exception() is None:
                answered(future.result())
            else:
                failed(f"{name}: {future.exception()}")

        client.call_async(request).add_done_callback(on_done)

    def look(self) -> None:
        """Give up what is overdue; called now and then."""
        now = time.monotonic()
        for number in [number for number, (end, _, _) in self._open.items() if now > end]:
            _, failed, problem = self._open.pop(number)
            failed(problem)
