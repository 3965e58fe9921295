"""What a robot and its controllers say of themselves, and their recovery: the same for every arm whose profile has a
section ``manager``, whatever topic its targets go to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervisor_node.drivers.controllers import Controllers
from supervisor_node.drivers.franka import FrankaState
from supervisor_node.switching import Done


class Health:
    """Watches the ``controller_manager`` and the Franka's own state, where the profile names them.

    :param driver: of the arm; its clients and its caller are used.
    :param changed: called when the robot's state changes, which cannot wait for the next look.
    """

    def __init__(self, driver: Any, changed: Callable[[], None]) -> None:
        profile = driver.profile
        self._hold: str = profile.hold_controller
        self._controllers = Controllers(driver, profile.manager) if profile.manager is not None else None
        self._robot = FrankaState(driver, profile.franka, changed) if profile.franka is not None else None

    @property
    def recovers(self) -> bool:
        """There is somebody to ask for a recovery."""
        return self._controllers is not None

    def look(self) -> None:
        """Ask again now and then."""
        if self._controllers is not None:
            self._controllers.look()

    @property
    def unknown(self) -> str:
        """Of what nothing is known yet, or ""."""
        watched = (self._controllers, self._robot)
        return next((each.unknown for each in watched if each is not None and each.unknown), "")

    def broken(self, switched: bool) -> str:
        """What does not work, or "".

        :param switched: we switched to the hold controller, so that the arm's own controllers are off.
        """
        text = self._robot.broken if self._robot is not None else ""
        if text or switched or self._controllers is None:
            return text
        return self._controllers.broken

    def recover(self, done: Done) -> None:
        """The robot's error recovery, then its hardware, then its controllers; the supervisor stays in FAULT."""
        controllers = self._controllers
        if controllers is None:
            done("nobody manages the controllers of this arm")
            return

        def on_hardware(problem: str) -> None:
            if problem:
                done(problem)
            else:
                controllers.activate(self._hold, done)

        def on_recovered(problem: str) -> None:
            if problem:
                done(problem)
            else:
                controllers.activate_hardware(on_hardware)

        if self._robot is None:
            on_recovered("")
        else:
            self._robot.recover(on_recovered)
