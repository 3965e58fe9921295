"""The ROS side of commissioning: the arm's own driver, the joints as they come, and a person who can break off."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions

from supervisor_node.arms.base import Arm
from supervisor_node.commissioning.course import Course
from supervisor_node.commissioning.figures import Evidence, Sample
from supervisor_node.commissioning.procedure import Procedure, Seen
from supervisor_node.config import Config
from supervisor_node.driver import open_driver
from supervisor_node.guards import OF_THE_ROBOT, Situation, failures
from supervisor_node.senses import Senses
from supervisor_node.sight import Sight
from supervisor_node.states import Mode
from supervisor_node.values import Command, Inputs
from vla_uq.errors import InputError

_LOOK = 0.2
_NEEDED = OF_THE_ROBOT | {"quality_of_service", "listeners"}
_PATIENCE = 20.0
"""Seconds for the driver to be found and ready: discovery alone takes three."""
_HELD = 1.0
"""Seconds that the hold is repeated when somebody breaks off."""


class CommissioningNode:
    """Sends what a :class:`Procedure` yields, on the robot's topics, of which it must be the only publisher.

    :param confirmed: asked at every tick: did the person say yes.
    :param say: takes a line for the person.
    """

    def __init__(self, node: Node, arm: Arm, confirmed: Callable[[], bool], say: Callable[[str], None]) -> None:
        self._node, self._arm, self._confirmed, self._say = node, arm, confirmed, say
        self._config = Config(mode=Mode.SHADOW, require_policy=False, require_monitor=False, joints_timeout=0.5)
        self._senses = Senses(arm.profile)
        self._samples: list[Sample] = []
        self._driver = open_driver(node, arm, self._take)
        self._subscriptions: list[Any] = []
        self._sight = Sight(
            node, arm, self._take, lambda stamp: None, self._subscribe, qos_profile_sensor_data, lockstep=False
        )
        self._looked_at = 0.0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)

    # -- in --------------------------------------------------------------------------------------------------------
    def _subscribe(self, kind: Any, topic: str, take: Callable[[Any], None], quality: Any) -> None:
        self._subscriptions.append(self._node.create_subscription(kind, topic, take, quality))

    def _take(self, **inputs: Any) -> None:
        now = time.monotonic()
        self._senses.take(now, Inputs(**inputs))
        measured = self._senses.measured
        if "joints" in inputs and not self._senses.joints_problem and measured is not None:
            self._samples.append((now, measured.q.copy()))

    def _look(self) -> None:
        """As the supervisor's node does, some times a second."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK:
            self._looked_at = now
            seen = {"publishers": self._driver.publishers(), "subscribers": self._driver.subscribers()}
            self._take(**seen, **self._driver.report())

    def _problem(self) -> str:
        """The first guard of the robot that does not hold, or ""."""
        situation = Situation(time.monotonic(), self._senses, self._arm, self._config, Mode.SHADOW)
        return next((str(each) for each in failures(situation) if each.name in _NEEDED), "")

    def _spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)
        self._look()

    def _seen(self) -> Seen:
        samples, self._samples = tuple(self._samples), []
        measured = self._senses.measured
        assert measured is not None, "guards hold"
        return Seen(time.monotonic(), measured, samples, self._confirmed())

    # -- the tests -------------------------------------------------------------------------------------------------
    def commission(self, course: Course) -> Evidence:
        """Wait for the arm, and lead it through the course; however that ends, the arm is held.

        :raises InputError: a guard of the robot does not hold, or the arm cannot be tested.
        """
        self._await_arm()
        procedure = Procedure(self._arm, course, self._seen())
        try:
            self._follow(procedure)
        except BaseException:
            self._leave(procedure.hold())
            raise
        return procedure.evidence

    def _await_arm(self) -> None:
        end, rest = time.monotonic() + _PATIENCE, self._arm.profile.rest.window
        while problem := self._problem() or self._senses.unrest(time.monotonic()):
            if time.monotonic() > end:
                raise InputError("the arm is not ready", where=self._arm.profile.name, found=problem)
            self._spin(max(rest / 4, 0.05))

    def _follow(self, procedure: Procedure) -> None:
        steps, asked = procedure.run(), ""
        act = next(steps)
        due = time.monotonic()
        while True:
            for text in (act.tell, act.ask if act.ask != asked else ""):
                if text:
                    self._say(text)
            asked = act.ask
            if act.command is not None:
                self._driver.send(act.command)
            due = max(due + self._arm.profile.period, time.monotonic())
            self._spin(due - time.monotonic())
            problem = self._problem()
            if problem:
                raise InputError("broken off, the arm is held", where=self._arm.profile.name, found=problem)
            try:
                act = steps.send(self._seen())
            except StopIteration:
                return

    def _leave(self, hold: Command) -> None:
        """Repeat one hold for a while."""
        end = time.monotonic() + _HELD
        while time.monotonic() < end:
            self._driver.send(hold)
            self._spin(self._arm.profile.period)

    def close(self) -> None:
        """Let go of everything."""
        self._executor.shutdown()
        self._driver.close()
        self._sight.close()
        for each in self._subscriptions:
            self._node.destroy_subscription(each)


def commission(
    arm: Arm,
    course: Course,
    confirmed: Callable[[], bool],
    say: Callable[[str], None],
    arguments: Sequence[str] = (),
) -> Evidence:
    """Run the tests in a process that has no other use for ROS.

    :param arguments: of ROS.
    :raises InputError: see :meth:`CommissioningNode.commission`.
    :raises KeyboardInterrupt: somebody broke off; the arm was held before.
    """
    # rclpy's own handlers would invalidate the context, and the hold could not be published any more.
    rclpy.init(args=list(arguments), signal_handler_options=SignalHandlerOptions.NO)
    before = signal.signal(signal.SIGTERM, _interrupted)
    node = rclpy.create_node("commissioning_node")
    made: CommissioningNode | None = None
    try:
        made = CommissioningNode(node, arm, confirmed, say)
        return made.commission(course)
    finally:
        if made is not None:
            made.close()
        node.destroy_node()
        rclpy.try_shutdown()
        signal.signal(signal.SIGTERM, before)


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
