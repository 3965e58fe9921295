"""What the simulation's node asks of a simulated arm, and of what puts it behind a real driver's topics."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

from builtin_interfaces.msg import Time

from sim_node.bed import Bed


class SimulatedArm(Protocol):
    """Takes commands as they arrive, checks what the real one checks, and runs the bed's physics."""

    bed: Bed
    ignored: Counter[str]
    """Commands that changed nothing, by reason."""

    def reset(self, task: str, seed: int, disturbance: str) -> None:
        """Begin an episode; the arm holds still.

        :raises InputError: on an unknown task or disturbance; the scene then stays as it was.
        """

    def advance(self, substeps: int) -> None:
        """Run the physics towards the newest target."""


class ArmDriver(Protocol):
    """Topics and services around one arm.

    :ivar lockstep: whether commands can be told apart by the observations that they answer.
    """

    lockstep: bool

    @property
    def arm(self) -> SimulatedArm: ...

    def begun(self) -> None:
        """The scene was reset."""

    def measured(self, stamp: Time) -> list[tuple[Any, Any]]:
        """What the robot says of itself now: publishers and their messages."""

    def problem(self) -> str:
        """Why the arm does not follow, or ""."""
