"""The whole system as it is delivered: every node a process of its own, and a recorder, on a private ROS domain."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vla_cli.demo.director import DemoError, Director
from vla_cli.demo.domain import environment_of, private_domain
from vla_cli.demo.processes import Processes
from vla_cli.robots import FRANKA, robot_of
from vla_uq.errors import InputError

NODES = {
    "sim_node": "sim_node.driver",
    "policy_node": "policy_node.node",
    "monitor_node": "monitor_node.node",
    "supervisor_node": "supervisor_node.node",
    "deadman_node": "supervisor_node.deadman.node",
    "scripted_teleop_node": "sim_node.teleop.driver",
}
"""Process name to the module whose ``main`` it runs."""
RECORDER = "recorder"
READY = 30.0
WRONG_INPUT = 2


@dataclass
class System:
    """The running system.

    :param bag: where it is recorded; readable once the recording was finished.
    """

    processes: Processes
    director: Director
    bag: Path

    def finish(self) -> None:
        """End the recording.

        :raises DemoError: when the recorder failed.
        """
        self.director.check = None
        if self.processes.stop(RECORDER) != 0:
            raise DemoError(f"the recorder failed: {self.processes.last_words(RECORDER)}")


@contextmanager
def running(
    out: Path, policy: Path, bundle: Path, say: Callable[[str], None], pictures: bool = True, robot: str = FRANKA
) -> Iterator[System]:
    """Start everything, wait until the supervisor is ready, and end everything on the way out.

    All parameters but these keep their defaults: what is shown is what ships.

    :param out: holds ``bag`` and ``logs``.
    :param policy: weights folder of the policy.
    :param bundle: the monitor's bundle.
    :param pictures: record cameras and overlay; without, the monitor draws none, for nobody looks.
    :param robot: that is simulated.
    :raises DemoError: when it does not become ready in time.
    :raises InputError: when a process refuses what it was given (no GL, a broken file).
    """
    with private_domain() as domain:
        # This process takes part in the same graph, and must be found as the others are.
        os.environ.update(environment_of(domain))
        with Processes(out / "logs") as processes, Director(domain, robot_of(robot)) as director:
            given = {
                RECORDER: [
                    *(f"bag:={(out / 'bag').resolve()}", f"pictures:={str(pictures).lower()}"),
                    f"robot:={robot_of(robot).profile}",
                ],
                "policy_node": [f"weights:={policy.resolve()}"],
                "monitor_node": [f"bundle:={bundle.resolve()}"],
            }
            for name, module in {RECORDER: "vla_cli.bag.node", **NODES}.items():
                rules = [word for rule in given.get(name, ()) for word in ("-p", rule)]
                rules += robot_of(robot).arguments.get(name, ())
                processes.start(name, module, ["--ros-args", *rules] if rules else [])
            director.check = lambda: _all_alive(processes)
            say(f"{len(NODES) + 1} processes on ROS domain {domain}, logs in {out / 'logs'}")
            director.wait_ready(READY)
            yield System(processes, director, out / "bag")


def _all_alive(processes: Processes) -> None:
    """:raises InputError: when a process refused its input (exit code 2), in its own words.
    :raises DemoError: when one ended by itself otherwise.
    """
    for name, code in processes.ended().items():
        words = processes.last_words(name)
        if code == WRONG_INPUT:
            raise InputError(words.removeprefix(f"{name}: "), where=name)
        raise DemoError(f"{name} ended by itself (exit {code}): {words}")
