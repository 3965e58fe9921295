"""The executable ``scripted_teleop_node``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rclpy.node import Node

from sim_node.driver import Turning, run


def _make(node: Node) -> Turning:
    from sim_node.teleop.node import TeleopNode  # no MuJoCo is an InputError here, and one line

    return TeleopNode(node)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the executable ``scripted_teleop_node``."""
    return run("scripted_teleop_node", _make, arguments)


if __name__ == "__main__":
    sys.exit(main())
