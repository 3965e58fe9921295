"""The node ``sim_node``: a simulated arm behind the topics of its real driver (contracts.md §8)."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from vla_monitor.msg import SimState
from vla_monitor.srv import ResetScene

from sim_node import messages
from sim_node.bed import CONTROL_DT, Bed
from sim_node.cameras import CAMERAS
from sim_node.control import SUBSTEPS
from sim_node.drives import ArmDriver
from sim_node.franka.driver import CrispDriver
from sim_node.pacing import Lockstep, Pace
from sim_node.scene import TIMESTEP
from sim_node.studio import Images, Studio
from sim_node.tasks import FRANKA, tasks_of
from sim_node.widowx.driver import XsDriver
from vla_uq.errors import InputError

DRIVERS: dict[str, type[CrispDriver] | type[XsDriver]] = {FRANKA: CrispDriver, "widowx": XsDriver}
"""Each robot's driver."""
STATE_RATES = (20, 40, 100, 200)
"""Hz: whole numbers of physics steps, and of state messages between two images."""
REPEAT = 0.1
"""Lockstep: seconds until a standing observation is published again, for those who joined or missed it."""
DIAGNOSTICS = 1.0


class SimNode:
    """One thread simulates, publishes and takes commands; the studio's thread renders.

    :raises InputError: on a wrong parameter, an unknown task, or when nothing can be rendered.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        text = "rate of joint_states and current_pose in real time (Hz): 20, 40, 100 or 200"
        rate = self._parameter("state_rate", 100, text, (STATE_RATES[0], STATE_RATES[-1]))
        if rate not in STATE_RATES:
            raise InputError("rate does not fit", where="state_rate", expected=STATE_RATES, found=rate)
        self._lockstep = self._parameter("lockstep", False, "wait for the commands of each observation")
        with_clock = self._parameter("publish_clock", False, "publish the stamps on /clock")
        robot = self._parameter("robot", FRANKA, "arm on the table: franka or widowx")
        task = self._parameter("task", "", "instruction of the first scene's task; empty: the robot's first")
        seed = self._parameter("seed", 0, "seed of the first scene")
        disturbance = self._parameter("disturbance", "none", "disturbance of the first scene")
        bed = Bed(render=False, robot=robot)
        scenes = bed.build()
        self._lock = Lockstep(round(CONTROL_DT * 1e9))
        self.driver: ArmDriver = DRIVERS[robot](node, bed, lambda: self._lock if self._locked else None)
        if self._lockstep and not self.driver.lockstep:
            raise InputError("not with this robot's driver", where="lockstep", expected=False, found=True)
        self.arm = self.driver.arm
        self.arm.reset(task or next(iter(tasks_of(robot))), seed, disturbance)
        self._studio = Studio(scenes)
        self._substeps = SUBSTEPS * 20 // rate
        self._ticks, self._ticks_per_image = 0, rate // 20
        self._pace = Pace(1 / rate, time.monotonic)
        self._standing: list[tuple[Any, Any]] = []
        self._repeat_at = self._diagnose_at = 0.0
        self._dropped = 0.0
        self._offer(with_clock)

    def _parameter(self, name: str, default: Any, description: str, limits: tuple[int, int] = (0, 2**63 - 1)) -> Any:
        ranges = [IntegerRange(from_value=limits[0], to_value=limits[1])] if type(default) is int else []
        descriptor = ParameterDescriptor(description=description, read_only=True, integer_range=ranges)
        return self.node.declare_parameter(name, default, descriptor).value

    def _offer(self, with_clock: bool) -> None:
        sensor = qos_profile_sensor_data
        self._images = {name: self.node.create_publisher(Image, f"{name}/image_raw", sensor) for name in CAMERAS}
        self._state = self.node.create_publisher(SimState, "~/sim_state", 1)
        self._diagnostics = self.node.create_publisher(DiagnosticArray, "diagnostics", 10)
        self._clock = self.node.create_publisher(Clock, "/clock", 1) if with_clock else None
        self.node.create_service(ResetScene, "~/reset_scene", self._on_reset)

    def _on_reset(self, request: ResetScene.Request, response: ResetScene.Response) -> ResetScene.Response:
        self._studio.wait()
        try:
            self.arm.reset(request.task, request.seed, request.disturbance or "none")
        except InputError as error:
            response.message = str(error)
            return response
        self.driver.begun()
        bed = self.arm.bed
        response.ok, response.instruction, response.horizon = True, bed.instruction, bed.horizon
        if self._lockstep:
            self._lock.begin()
            self._observe_locked()
        self._pace.restart()
        return response

    # -- simulating ------------------------------------------------------------------------------------------------
    @property
    def _locked(self) -> bool:
        """Lockstep begins with the first reset: until then nodes find each other in real time."""
        return self._lockstep and self._lock.episode > 0

    def turn(self) -> float:
        """Do what is due.

        :return: time (s) to listen for commands until the next turn.
        """
        now = time.monotonic()
        if now >= self._diagnose_at:
            self._diagnose_at = now + DIAGNOSTICS
            self._diagnose()
        if not self._locked:
            while self._pace.due():
                self._period()
            return self._pace.wait()
        if self._lock.step():
            self.arm.advance(SUBSTEPS)
            self._observe_locked()
        elif now >= self._repeat_at:
            self._publish_standing()
        return max(0.0, self._repeat_at - time.monotonic())

    def _period(self) -> None:
        """Real time: one period of the physics, and what is measured after it."""
        self.arm.advance(self._substeps)
        self._ticks += 1
        if self._lockstep:
            self._lock.tick(round(self._substeps * TIMESTEP * 1e9))
        stamp = self._stamp()
        if self._ticks % self._ticks_per_image == 0:
            shot = self._studio.shoot(self.arm.bed.scene)
            if shot is not None:
                shot.add_done_callback(lambda done: self._publish_images(done, stamp))
            self._state.publish(messages.sim_state(self.arm.bed, stamp))
        for publisher, message in self._proprioception(stamp):
            publisher.publish(message)

    def _observe_locked(self) -> None:
        """Lockstep: measure and publish the observation that now stands."""
        bed, stamp = self.arm.bed, self._stamp()
        shot = self._studio.shoot(bed.scene)
        assert shot is not None, "the last picture was waited for"
        pictures = [(self._images[name], messages.image(p, name, stamp)) for name, p in shot.result().items()]
        state = (self._state, messages.sim_state(bed, stamp))
        self._standing = [*pictures, state, *self._proprioception(stamp)]
        self._publish_standing()

    def _publish_standing(self) -> None:
        self._repeat_at = time.monotonic() + REPEAT
        for publisher, message in self._standing:
            publisher.publish(message)

    def _proprioception(self, stamp: Time) -> list[tuple[Any, Any]]:
        measured = self.driver.measured(stamp)
        return measured if self._clock is None else [(self._clock, Clock(clock=stamp)), *measured]

    def _publish_images(self, shot: Future[Images], stamp: Time) -> None:
        """In the studio's thread."""
        for name, picture in shot.result().items():
            self._images[name].publish(messages.image(picture, name, stamp))

    def _stamp(self) -> Time:
        if self._lockstep:
            sec, nanosec = self._lock.stamp
            return Time(sec=sec, nanosec=nanosec)
        return self.node.get_clock().now().to_msg()

    # -- the rest --------------------------------------------------------------------------------------------------
    def _diagnose(self) -> None:
        dropped, worst = self._pace.dropped - self._dropped, self._pace.take_worst()
        self._dropped = self._pace.dropped
        problem = self.driver.problem()
        status = DiagnosticStatus(name="sim_node: arm", hardware_id=f"simulated_{self.arm.bed.robot.name}")
        if problem:
            status.level, status.message = DiagnosticStatus.ERROR, problem
        elif dropped > 0:
            status.level, status.message = DiagnosticStatus.WARN, f"slower than real time: {dropped:.3f} s dropped"
        values = {
            "mode": "lockstep" if self._locked else "real time",
            "dropped_s": f"{self._pace.dropped:.3f}",
            "worst_delay_ms": f"{1e3 * worst:.1f}",
            "pictures_skipped": self._studio.skipped,
            "commands_out_of_step": self._lock.unasked,
            **{f"commands_ignored: {reason}": n for reason, n in sorted(self.arm.ignored.items())},
        }
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        header = messages.header(self.node.get_clock().now().to_msg(), "")
        self._diagnostics.publish(DiagnosticArray(header=header, status=[status]))

    def close(self) -> None:
        """End the studio's thread."""
        self._studio.close()
