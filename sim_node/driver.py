"""The executable ``sim_node``, and how a node of this package lives and ends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from vla_uq.errors import InputError


class Turning(Protocol):
    """What :func:`run` runs."""

    def turn(self) -> float:
        """Do what is due; the time (s) to listen until the next turn."""
        ...

    def close(self) -> None:
        """Let go of everything; the node still lives."""
        ...


def run(name: str, make: Callable[[Node], Turning], arguments: Sequence[str] | None = None) -> int:
    """Be a process with one node and one thread for it: 0 after SIGINT or SIGTERM, 2 with one line on wrong input.

    rclpy's own signal handlers would invalidate the context under a callback that publishes: ours only take note.
    """
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, _: received.append(signum))
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(name)
    try:
        _spin(node, make(node), lambda: bool(received))
        return 0
    except (InputError, ParameterException) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _spin(node: Node, turning: Turning, stopped: Callable[[], bool]) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stopped():
            executor.spin_once(timeout_sec=turning.turn())
    finally:
        executor.shutdown()
        turning.close()


def _make(node: Node) -> Turning:
    from sim_node.node import SimNode  # no MuJoCo or no GL is an InputError here, and one line

    return SimNode(node)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the executable ``sim_node``."""
    return run("sim_node", _make, arguments)


if __name__ == "__main__":
    sys.exit(main())
