"""A robot of doubles as a process of its own, to be killed: parameter ``robot`` names one of Rig's.

Its node ``doubles_settings`` takes parameters at any time: ``silent`` (joint states stop), ``run_away`` and ``sagging``
(rad/s).
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

from rcl_interfaces.msg import SetParametersResult

from robot_doubles.rig import Rig


def main() -> int:
    """Run until SIGINT or SIGTERM."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    rig = Rig(arguments=sys.argv[1:])
    settings = rig.node("doubles_settings")
    robot = getattr(rig, settings.declare_parameter("robot", "franka_jtc").value)()
    for name, value in (("silent", False), ("run_away", 0.0), ("sagging", 0.0)):
        settings.declare_parameter(name, value)

    def change(parameters: list[Any]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name == "silent":
                robot.states.silent = parameter.value
            elif parameter.name == "sagging":
                robot.plant.sagging = parameter.value
            elif parameter.name == "run_away":
                robot.plant.run_away(parameter.value) if parameter.value else robot.plant.obey()
        return SetParametersResult(successful=True)

    settings.add_on_set_parameters_callback(change)
    rig.start()
    ended.wait()
    rig.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
