"""What drivers share: the hold controller, and the way back from it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

HELD = "controller: sim_node/hold holds the arm: call recover_robot"


class Switch:
    """A hold controller of which is known what was asked about it before."""

    def __init__(self) -> None:
        self.active = False
        self.done: Any = None

    def look(self) -> None:
        """Asked for now and then."""

    def hold(self, done: Any) -> None:
        self.done = done

    back = hold


def test_the_arm_is_given_back_when_the_hold_controller_is_seen_off() -> None:
    from supervisor_node.arms import open_arm
    from supervisor_node.drivers.base import Driver

    driver = Driver(MagicMock(), open_arm("franka_crisp_sim"), SimpleNamespace(latched=1, sensor=1), lambda **_: None)
    switch, answers = Switch(), []
    driver.hold_switch = switch  # type: ignore[assignment]
    driver.switch("hold")
    switch.active = True
    assert (driver.report()["adapter"], driver.report()["hardware"]) == (HELD, ""), "we switched: no fault"
    driver.recover(answers.append)
    switch.done("refused")
    assert answers == ["refused"] and driver.report()["adapter"] == HELD
    driver.recover(answers.append)
    switch.done("")
    assert answers == ["refused", ""]
    assert driver.report()["hardware"] == "", "what is known is of before: no fault of a controller that goes"
    switch.active = False
    assert driver.report() == {"adapter": "", "hardware": "", "foreign_goal": ""}
    switch.active = True
    assert driver.report()["hardware"] == HELD, "now somebody else switched"
