"""Plays one episode after the other: in shadow, then guarded, with an operator's help or a killed process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from vla_monitor.msg import SupervisorState as S
from vla_monitor.srv import EndEpisode as Label

from vla_cli.demo.director import DISCOVERY, DemoError, Director, state_name
from vla_cli.demo.processes import Processes
from vla_cli.demo.rest import rest_time
from vla_cli.demo.results import Outcome
from vla_cli.demo.scenarios import Planned
from vla_cli.demo.system import READY

START = 15.0
STOPS = (S.HALTED, S.FAULT)
STEP = 0.05
"""Seconds of a control step."""
SLACK = 10.0
"""Seconds beyond an episode's horizon after which something must be wrong."""
HELP = 60.0
"""Seconds that the operator has, beside the policy's own."""
KILL_AFTER = 0.8
"""Seconds of autonomy before a process is killed."""
MOVING = 0.02
"""A process is killed while some joint turned by so much (rad) in the last 0.2 s."""
WATCH, QUIET = 8.0, 1.5
"""Seconds that the arm is watched after a kill at most, and that it must stay at rest."""


class Player:
    """Plays planned episodes on the running system.

    :param spare_seeds: for episodes that must be repeated.
    """

    def __init__(
        self, director: Director, processes: Processes, spare_seeds: Iterator[int], say: Callable[[str], None]
    ) -> None:
        self.director, self.processes, self._say = director, processes, say
        self._spare_seeds = spare_seeds

    def play(self, planned: Planned) -> Outcome:
        """One line of the table.

        :raises DemoError: when the system does not answer as it must.
        """
        scenario = planned.scenario
        outcome = Outcome(scenario.name, planned.task, planned.seed, scenario.disturbance)
        if scenario.kills:
            self._killed(planned, outcome)
        else:
            outcome.shadow_success = self._shadow(planned, outcome)
            self._guarded(planned, outcome)
        return outcome

    # -- kinds of episodes -----------------------------------------------------------------------------------------
    def _shadow(self, planned: Planned, outcome: Outcome) -> bool:
        self._begin(planned, "shadow", outcome)
        self._until_over()
        success = self._succeeded
        self._end(success, "shadow")
        self._say(f"  in shadow: {_word(success)}")
        return success

    def _guarded(self, planned: Planned, outcome: Outcome) -> None:
        director = self.director
        self._begin(planned, "guard", outcome, operator=True)
        if self._until_over():
            director.recover()
            halt = director.seen.state
            outcome.halted, outcome.reason = bool(halt.halt_verified), halt.text
            outcome.alarm_to_rest_ms = _milliseconds(halt.alarm_to_rest)
            outcome.alarm_step = next((score.key.step for score in director.seen.scores if not score.passes), None)
            self._say(f"  halted: {halt.text}")
            self._helped(outcome)
        outcome.success = self._succeeded
        self._end(outcome.success)
        self._say(f"  guarded: {_word(outcome.success)}")

    def _helped(self, outcome: Outcome) -> None:
        """Watch the operator: takes the lease, restores the scene for the policy or finishes the task, gives back."""
        director = self.director

        def driven() -> list[int]:
            """States from the takeover on."""
            states = director.seen.states
            return states[states.index(S.TELEOP) :] if S.TELEOP in states else []

        def over() -> bool:
            return self._succeeded and bool(driven()) and director.state in (S.AUTONOMOUS, S.HALTED)

        director.watch(over, HELP + self._horizon)
        outcome.takeover = bool(driven())
        outcome.resumed = S.AUTONOMOUS in driven() if outcome.takeover else None
        if outcome.takeover:
            self._say(f"  operator took over{', policy resumed' if outcome.resumed else ''}")

    def _killed(self, planned: Planned, outcome: Outcome) -> None:
        """Kill a process while the policy moves the arm; an episode halted before that is repeated with a new seed."""
        director, victim, earlier = self.director, planned.scenario.kills, ""
        while not self._under_way(planned, outcome):
            earlier += f"; seed {planned.seed} was halted before: {director.seen.state.text}"
            self._say(f"  halted before the kill: {director.seen.state.text}")
            director.end_episode(Label.Request.DISCARD, "halted before the kill")
            planned = replace(planned, seed=next(self._spare_seeds))
            self._say(f"  again with seed {planned.seed}")
        self.processes.kill(victim)
        rest = self._rest_after(time.monotonic())
        outcome.seed, outcome.halted = planned.seed, rest is not None
        outcome.alarm_to_rest_ms = None if rest is None else 1000 * rest
        tripped = f"deadman {'tripped' if director.seen.tripped else 'did not trip'}"
        outcome.reason = (tripped if victim == "supervisor_node" else director.seen.state.text) + earlier
        self._say(f"  killed: arm {'at rest' if outcome.halted else 'NOT at rest'}, {outcome.reason}")
        self._restart(victim)

    def _under_way(self, planned: Planned, outcome: Outcome) -> bool:
        """Start an episode and wait until the policy moves the arm; False when it was halted before."""
        director = self.director
        self._begin(planned, "guard", outcome)
        director.wait_state(S.AUTONOMOUS, *STOPS, timeout=START)
        director.watch(lambda: director.state in STOPS, KILL_AFTER)
        director.wait(lambda: self._moving() or director.state in (S.HALTING, *STOPS), SLACK, "the arm to move")
        if director.state == S.HALTING:
            director.wait_state(*STOPS, timeout=START)
        return director.state not in STOPS

    def _rest_after(self, start: float) -> float | None:
        """Seconds from ``start`` until the arm rested, as far as it was watched; None when it never did."""
        joints = self.director.seen.joints

        def rest() -> float | None:
            after = [(t, q) for t, q in joints if t >= start]
            return rest_time([t for t, _ in after], [q for _, q in after])

        def settled() -> bool:
            at_rest = rest()
            return at_rest is not None and time.monotonic() > at_rest + QUIET

        while not settled() and time.monotonic() < start + WATCH:
            self.director.watch(lambda: False, 0.25)
        found = rest()
        return None if found is None else found - start

    # -- parts -----------------------------------------------------------------------------------------------------
    def _begin(self, planned: Planned, mode: str, outcome: Outcome, operator: bool = False) -> None:
        """Set the scene and start the episode; ``operator``: the teleop device answers takeover requests."""
        director = self.director
        director.wait_ready(READY)
        director.set_parameter("supervisor_node", "mode", mode)
        director.set_parameter("policy_node", "seed", planned.seed)
        director.set_parameter("scripted_teleop_node", "auto", operator)
        scene = director.reset_scene(planned.task, planned.seed, planned.scenario.disturbance)
        self._horizon = scene.horizon * STEP
        director.seen.sim = None
        director.wait(lambda: director.seen.sim is not None, START, "the scene")
        outcome.episode_ids = (*outcome.episode_ids, director.start_episode(scene.instruction))

    def _until_over(self) -> bool:
        """Wait for success, the horizon or a halt; whether it was a halt."""
        director = self.director

        def over() -> bool:
            return director.state in STOPS or self._succeeded or director.seen.sim.step * STEP >= self._horizon

        director.wait(over, self._horizon + SLACK, "the episode to end")
        if director.state == S.HALTING:
            director.wait_state(*STOPS, timeout=START)
        return director.state in STOPS

    @property
    def _succeeded(self) -> bool:
        return bool(self.director.seen.sim.success)

    def _end(self, success: bool, note: str = "") -> None:
        self.director.end_episode(Label.Request.SUCCESS if success else Label.Request.FAILURE, note)
        self.director.wait_state(S.IDLE, timeout=START)

    def _moving(self) -> bool:
        recent = [q for t, q in self.director.seen.joints if t > time.monotonic() - 0.2]
        return len(recent) > 2 and float(np.ptp(np.stack(recent), axis=0).max()) > MOVING

    def _restart(self, victim: str) -> None:
        director = self.director
        before = bytes(director.seen.state.run_id)
        self.processes.restart(victim)
        if victim != "supervisor_node":
            director.end_episode(Label.Request.DISCARD, f"{victim} was killed")
            director.wait_ready(READY)
            director.watch(lambda: False, DISCOVERY)
            return
        director.wait(lambda: bytes(director.seen.state.run_id) != before, READY, "the new supervisor")
        if director.state not in (S.UNKNOWN, S.IDLE):
            raise DemoError(f"the new supervisor began in {state_name(director.state)}")


def _milliseconds(seconds: float) -> float | None:
    return None if np.isnan(seconds) else 1000 * float(seconds)


def _word(success: bool) -> str:
    return "success" if success else "failure"
