"""The operator's seat: calls the services that a person would call, and watches what becomes of it."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from vla_monitor.msg import FailureScore, SimState, SupervisorState
from vla_monitor.srv import EndEpisode, ResetScene, StartEpisode

from vla_cli.robots import FRANKA, ROBOTS, Robot
from vla_uq.contracts import Score

if TYPE_CHECKING:
    from typing_extensions import Self

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CALL_TIMEOUT = 10.0
RETRY = 2.0
RECOVERY = 10.0
HELD = {"hardware", "adapter"}
"""Guards that fail while the hold controller has the arm."""
DISCOVERY = 3.0
"""Seconds until every process, the recorder too, hears a new publisher (measured: up to 2.6 s)."""


class DemoError(RuntimeError):
    """Something did not happen in time, or was refused: the demo cannot go on."""


@dataclass
class Seen:
    """What the director has seen.

    :param joints: (steady time s, (7,) rad), the last ten seconds.
    :param scores: of the current episode.
    :param states: that the supervisor went through in the current episode.
    """

    state: Any = None
    sim: Any = None
    tripped: bool = False
    joints: deque[tuple[float, NDArray[np.float64]]] = field(default_factory=lambda: deque(maxlen=1000))
    scores: list[Score] = field(default_factory=list)
    states: list[int] = field(default_factory=list)


class Director:
    """A node that plays the operator; everything happens in the caller's thread, inside :meth:`wait`."""

    def __init__(self, domain: int, robot: Robot = ROBOTS[FRANKA]) -> None:
        self._arm_joints = robot.joints
        self._context = rclpy.Context()
        # Ctrl-C stays Python's: it must unwind through the caller, who ends the other processes.
        rclpy.init(context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node("director", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.seen = Seen()
        self.check: Callable[[], None] | None = None
        """Called while something is waited for; raises when waiting has become pointless."""
        self._services: dict[str, Any] = {}
        subscribe = self.node.create_subscription
        subscribe(SupervisorState, "supervisor_node/state", self._on_state, LATCHED)
        subscribe(FailureScore, "monitor_node/score", self._on_score, 10)
        subscribe(SimState, "sim_node/sim_state", lambda m: setattr(self.seen, "sim", m), qos_profile_sensor_data)
        subscribe(Bool, "deadman_node/tripped", lambda m: setattr(self.seen, "tripped", m.data), LATCHED)
        subscribe(JointState, robot.joint_states, self._on_joints, qos_profile_sensor_data)

    # -- watching --------------------------------------------------------------------------------------------------
    def _on_state(self, message: Any) -> None:
        before, self.seen.state = self.seen.state, message
        if before is not None and before.episode_id != message.episode_id:
            self.seen.states.clear()
        if not self.seen.states or self.seen.states[-1] != message.state:
            self.seen.states.append(int(message.state))

    def _on_joints(self, message: Any) -> None:
        self.seen.joints.append((time.monotonic(), np.asarray(message.position[: self._arm_joints], np.float64)))

    def _on_score(self, message: Any) -> None:
        score = Score.from_message(message)
        if self.seen.scores and self.seen.scores[-1].key.episode_id != score.key.episode_id:
            self.seen.scores.clear()
        self.seen.scores.append(score)

    @property
    def state(self) -> int:
        """The supervisor's state; UNKNOWN while there is none."""
        message = self.seen.state
        return int(SupervisorState.UNKNOWN if message is None else message.state)

    def wait(self, until: Callable[[], bool], timeout: float, what: str) -> None:
        """Spin until something is so.

        :raises DemoError: when it is not so in time, saying ``what`` was waited for.
        """
        if not self.watch(until, timeout):
            raise DemoError(f"waited {timeout:g} s for {what}{self._because()}")

    def watch(self, until: Callable[[], bool], timeout: float) -> bool:
        """Spin until something is so, at most ``timeout`` seconds; whether it was."""
        checked = time.monotonic()
        deadline = checked + timeout
        while not until():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.05)
            if self.check is not None and time.monotonic() > checked + 0.5:
                checked = time.monotonic()
                self.check()
        return True

    def wait_state(self, *states: int, timeout: float) -> None:
        """Spin until the supervisor is in one of these states."""
        names = " or ".join(state_name(state) for state in states)
        self.wait(lambda: self.state in states, timeout, f"the supervisor to be {names}")

    def wait_ready(self, timeout: float) -> None:
        """Spin until an episode could be started: the supervisor is idle and no guard fails.

        Where an escalation or the deadman switched to the hold controller, the arm is given back on the way.
        """

        def ready() -> bool:
            return self.state == SupervisorState.IDLE and not self.seen.state.failing_guards

        deadline = time.monotonic() + timeout
        while not self.watch(ready, RETRY):
            if time.monotonic() > deadline:
                raise DemoError(f"waited {timeout:g} s for the supervisor to be ready{self._because()}")
            self._give_back()

    def _give_back(self) -> None:
        """Give the arm back to its own controller, where the hold controller has it.

        Who waits for that asks again: a killed supervisor's service looks alive for a while, and never answers.
        """
        if self.seen.state is not None and HELD & set(self.seen.state.failing_guards):
            with contextlib.suppress(DemoError):
                self.call(Trigger, "supervisor_node/recover_robot", Trigger.Request(), timeout=RETRY)

    def _because(self) -> str:
        message = self.seen.state
        if message is None:
            return "; no supervisor seen"
        guards = ", ".join(message.failing_guards)
        return f"; supervisor is {state_name(message.state)}: {message.text}{f' ({guards})' if guards else ''}"

    # -- acting ----------------------------------------------------------------------------------------------------
    def call(self, kind: Any, name: str, request: Any, timeout: float = CALL_TIMEOUT) -> Any:
        """Call a service and return its response.

        :raises DemoError: when nobody answers.
        """
        if name not in self._services:
            self._services[name] = self.node.create_client(kind, name)
        client = self._services[name]
        self.wait(client.service_is_ready, CALL_TIMEOUT, f"service {name}")
        future = client.call_async(request)
        self.wait(future.done, timeout, f"an answer of {name}")
        return future.result()

    def ask(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service that answers ``ok`` or ``success``.

        :raises DemoError: when the answer is no, with its message.
        """
        response = self.call(kind, name, request)
        if not (response.ok if hasattr(response, "ok") else response.success):
            raise DemoError(f"{name} was refused: {response.message}")
        return response

    def set_parameter(self, node: str, name: str, value: bool | int | str) -> None:
        """Set a parameter of another node.

        A killed node's service looks alive until its lease ends: what the new one did not hear is asked again.
        """
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        deadline = time.monotonic() + CALL_TIMEOUT
        while True:
            try:
                result = self.call(SetParameters, f"{node}/set_parameters", request, timeout=RETRY).results[0]
                break
            except DemoError:
                if time.monotonic() > deadline:
                    raise
        if not result.successful:
            raise DemoError(f"{node} did not take {name} = {value}: {result.reason}")

    def reset_scene(self, task: str, seed: int, disturbance: str) -> Any:
        """Put the scene to a start."""
        request = ResetScene.Request(task=task, seed=seed, disturbance=disturbance)
        return self.ask(ResetScene, "sim_node/reset_scene", request)

    def start_episode(self, instruction: str) -> str:
        """Start an episode and return its id."""
        request = StartEpisode.Request(instruction=instruction)
        return str(self.ask(StartEpisode, "supervisor_node/start_episode", request).episode_id)

    def end_episode(self, label: int, note: str = "") -> None:
        """Close the episode with a label, after a reset where the arm did not come to rest in time."""
        request = EndEpisode.Request(label=label, note=note)
        if not self.call(EndEpisode, "supervisor_node/end_episode", request).ok:
            self.recover()
            self.ask(EndEpisode, "supervisor_node/end_episode", request)

    def recover(self) -> None:
        """In FAULT: reset, as soon as the arm rests; HALTED follows. Nothing to do in other states.

        :raises DemoError: when it does not rest.
        """
        deadline = time.monotonic() + RECOVERY
        while self.state == SupervisorState.FAULT:
            self._give_back()
            response = self.call(Trigger, "supervisor_node/reset", Trigger.Request())
            if not response.success and time.monotonic() > deadline:
                raise DemoError(f"the fault stays: {response.message}")
            self.watch(lambda: self.state != SupervisorState.FAULT, RETRY / 4)

    def advertise(self, kind: type[Any], topic: str) -> Any:
        """A publisher that everybody has had the time to find."""
        publisher = self.node.create_publisher(kind, topic, 1)
        self.watch(lambda: False, DISCOVERY)
        return publisher

    # -- end -------------------------------------------------------------------------------------------------------
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()


def state_name(state: int) -> str:
    """The constant's name in ``SupervisorState``."""
    from supervisor_node.states import State

    return State(state).name
