"""Plays one kill after the other on the running system, as an operator would who restarts what died."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from vla_monitor.msg import MonitorInfo, PolicyInfo, SupervisorState
from vla_monitor.srv import EndEpisode

from benchmarks.soak.motion import FAST, Motion
from benchmarks.soak.schedule import Kill
from benchmarks.soak.states import rearmed
from sim_node.tasks import of_split
from supervisor_node.arms import open_arm
from vla_cli.demo.director import LATCHED, DemoError
from vla_cli.demo.system import System

S = SupervisorState
ARM = "franka_crisp_sim"
STOPS = (S.HALTED, S.FAULT)
READY, START = 60.0, 15.0
GHOST = 4.0
"""Seconds that a dead supervisor's publishers stay in the graph of those who knew it (3 s of lease, config/dds). The
arm's controller is among them and freezes its targets, a hold's too; the new supervisor is not, and would arm."""
FASTER = 6.0
"""Seconds that the arm has to become fast enough, before another episode is tried."""
WATCH, AFTER = 2.0, 1.5
"""Seconds that the arm is watched after the signal, and again after the new process was heard."""
BEFORE = 1.0
"""Seconds before the signal over which the simulation must have kept pace, beside those up to rest."""
MOST_UNFIT = 12
"""Episodes in a row."""
PACE = 0.95
"""Smallest real-time factor around a kill that counts."""


@dataclass(frozen=True)
class Outcome:
    """What became of one kill; times in seconds.

    :param speed: of the fastest joint at the signal (rad/s).
    :param noticed: from the signal to the supervisor's stop; None where it is the supervisor that died.
    :param rest: from the signal to rest by the simulator's true joint speeds, and to stay there until somebody asked
        for motion, the new process's first seconds included (:meth:`Motion.rest_after`); None: it never rested.
    :param factor: simulated over real time, from a second before the signal to rest.
    :param rearmed: times that a supervisor armed by itself.
    """

    kill: Kill
    seed: int
    speed: float
    noticed: float | None
    rest: float | None
    factor: float
    rearmed: int
    reason: str

    @property
    def slow(self) -> bool:
        """The simulation fell behind: what was measured says nothing of real time."""
        return self.factor < PACE


class Soak:
    """Kills what the schedule says.

    :param seeds: of scenes; an episode that is over before the arm is fast enough takes the next.
    """

    def __init__(self, system: System, seeds: Iterator[int], say: Callable[[str], None]) -> None:
        self._system, self._director, self._seeds, self._say = system, system.director, seeds, say
        profile = open_arm(ARM).profile
        self.motion = Motion(profile.rest.noise / profile.rest.window)
        self._joints = len(profile.joints.names)
        self._states: list[tuple[float, int]] = []
        self._runs: dict[str, bytes] = {}
        self._haunted = 0.0
        self.unfit = 0
        """Episodes that were over before the arm was fast enough."""
        subscribe, all_of_them = self._director.node.create_subscription, ReliabilityPolicy.BEST_EFFORT
        subscribe(JointState, "joint_states", self._on_joints, QoSProfile(depth=1000, reliability=all_of_them))
        subscribe(SupervisorState, "supervisor_node/state", self._on_state, LATCHED)
        for name, kind in (("policy_node", PolicyInfo), ("monitor_node", MonitorInfo)):
            subscribe(kind, f"{name}/info", lambda message, name=name: self._on_info(name, message), LATCHED)
        self._director.set_parameter("scripted_teleop_node", "auto", False)

    def _on_joints(self, message: JointState) -> None:
        stamp = message.header.stamp
        self.motion.take(stamp.sec + 1e-9 * stamp.nanosec, message.velocity)

    def _on_state(self, message: SupervisorState) -> None:
        self._states.append((message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec, int(message.state)))
        self._on_info("supervisor_node", message)

    def _on_info(self, name: str, message: SupervisorState | PolicyInfo | MonitorInfo) -> None:
        self._runs[name] = bytes(bytearray(message.run_id))

    def play(self, kill: Kill) -> Outcome:
        """Kill once, watch, restart.

        :raises DemoError: when the system does not come back.
        """
        seed = self._under_way(kill)
        self._states.clear()
        signalled, speed = self._strike(kill)
        if kill.victim == "supervisor_node":
            self._haunted = signalled + GHOST
        self._director.watch(lambda: False, WATCH)
        reason = self._reason(kill)
        if kill.hangs:
            self._system.processes.kill(kill.victim)
        self._restart(kill.victim)
        rest = self.motion.rest_after(signalled)
        factor = self.motion.factor(signalled - BEFORE, signalled + (WATCH if rest is None else max(rest, 0.5)))
        armed = rearmed(state for _, state in self._states)
        outcome = Outcome(kill, seed, speed, self._noticed(signalled), rest, factor, armed, reason)
        if kill.victim != "supervisor_node":
            self._director.end_episode(EndEpisode.Request.DISCARD, f"{kill.victim}: {kill.signal}")
        return outcome

    # -- parts -----------------------------------------------------------------------------------------------------
    def _under_way(self, kill: Kill) -> int:
        """Start episodes until in one the policy moves the arm fast enough; the scene's seed.

        :raises DemoError: when that does not come.
        """
        for _ in range(MOST_UNFIT):
            seed = next(self._seeds)
            self._begin(seed)
            if self._fast_enough(kill):
                return seed
            self.unfit += 1
            self._say(f"  seed {seed} is over before the kill: {self._director.seen.state.text or 'too slow'}")
            self._director.end_episode(EndEpisode.Request.DISCARD, "over before the kill")
        raise DemoError(f"{MOST_UNFIT} episodes in a row were over before the kill: {self._director.seen.state.text}")

    def _begin(self, seed: int) -> None:
        director, tasks = self._director, of_split("trained")
        director.watch(lambda: time.time() >= self._haunted, GHOST)
        director.wait_ready(READY)
        director.set_parameter("policy_node", "seed", seed)
        scene = director.reset_scene(tasks[seed % len(tasks)].instruction, seed, "none")
        director.start_episode(scene.instruction)

    def _fast_enough(self, kill: Kill) -> bool:
        """Wait for the moment; False when the episode was halted, or the arm stays slow."""
        director = self._director
        director.wait_state(S.AUTONOMOUS, *STOPS, timeout=START)
        director.watch(lambda: director.state != S.AUTONOMOUS, kill.delay)
        director.watch(lambda: director.state != S.AUTONOMOUS or self._speed() > FAST, FASTER)
        if director.state == S.HALTING:
            director.wait_state(*STOPS, timeout=START)
        return director.state == S.AUTONOMOUS and self._speed() > FAST

    def _speed(self) -> float:
        return self.motion.speed(time.time())

    def _strike(self, kill: Kill) -> tuple[float, float]:
        """Send the signal; when (s, wall clock: that of the samples), and how fast the arm was."""
        speed, processes = self._speed(), self._system.processes
        signalled = time.time()
        (processes.freeze if kill.hangs else processes.kill)(kill.victim)
        return signalled, speed

    def _noticed(self, signalled: float) -> float | None:
        """When the supervisor stopped the arm, by its own stamp."""
        return next((stamp - signalled for stamp, state in self._states if state == S.HALTING), None)

    def _reason(self, kill: Kill) -> str:
        seen = self._director.seen
        if kill.victim == "supervisor_node":
            return f"deadman {'tripped' if seen.tripped else 'did not trip'}"
        return str(seen.state.text)

    def _restart(self, victim: str) -> None:
        """Start the process again, and go on watching for a while: nothing may move."""
        director, before = self._director, self._runs[victim]
        self._system.processes.restart(victim)
        director.wait(lambda: self._runs[victim] != before, READY, f"the new {victim}")
        director.watch(lambda: False, AFTER)
        if victim == "supervisor_node" and director.state not in (S.UNKNOWN, S.IDLE):
            raise DemoError(f"the new supervisor is in state {director.state}")
