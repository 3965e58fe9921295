"""The supervisor's conduct over time: states, sources, alarms and scores (I1, I2, I4, I5, I7, I9)."""

from __future__ import annotations

import math
from collections import deque

from supervisor_node.audit.contents import Announced
from supervisor_node.audit.report import Report, Violation
from supervisor_node.states import HOLDING, Mode, Moment, Source, State
from supervisor_node.values import Command, Happening, Snapshot
from vla_uq.contracts import Key, Score

_LATCHED = (State.HALTED, State.FAULT)
_SILENCE = 0.15
"""The shortest silence (s) of the supervisor that the deadman's parameter lets it act on."""
_ALLOWED = {Source.POLICY: {State.AUTONOMOUS}, Source.TELEOP: {State.TELEOP}, Source.NONE: set(HOLDING)}


class Conduct:
    """Follows states and events, and checks each command against them.

    :param reaction: seconds that an alarm may take to stop the policy.
    :param announcement: seconds that a change of state may take to be announced.
    """

    def __init__(self, report: Report, reaction: float, announcement: float) -> None:
        self._report, self._reaction, self._announcement = report, reaction, announcement
        self._now: Snapshot | None = None
        self._run: bytes | None = None
        self._at = -math.inf
        self._granted = False
        self._left: Violation | None = None
        self._blended: Violation | None = None
        self._passed: dict[tuple[Key, int], float] = {}
        self._alarm: tuple[float, Key] | None = None
        self._unannounced: deque[tuple[float, State]] = deque()
        self._previous: Command | None = None
        self._executed: dict[tuple[Key, int], bool] = {}

    @property
    def mode(self) -> Mode:
        """Mode announced last; guard until one is."""
        return self._now.mode if self._now is not None else Mode.GUARD

    # -- what is followed ------------------------------------------------------------------------------------------
    def state(self, time: float, announced: Announced) -> bool:
        """A state was announced.

        :return: another process announces itself than before.
        """
        snapshot, before = announced.snapshot, self._now
        restarted = self._run is not None and announced.run_id != self._run
        if restarted:
            before, self._previous, self._alarm = None, None, None
            self._unannounced.clear()
        elif before is not None:
            self._report.largest_state_gap = max(self._report.largest_state_gap, time - self._at)
        if before is None or before.state is not snapshot.state:
            self._latch(time, before, snapshot)
        if snapshot.state is not State.AUTONOMOUS:
            self._alarm = None
        self._announce(time, snapshot.state)
        self._now, self._at, self._run = snapshot, time, announced.run_id
        return restarted

    def _latch(self, time: float, before: Snapshot | None, snapshot: Snapshot) -> None:
        """I4: a latched state is left on a request, which may be recorded a moment after the state that it led to."""
        self._convict()
        free = snapshot.state in (State.FAULT, State.SHUTDOWN)
        if before is not None and before.state in _LATCHED and not free and not self._granted:
            text = f"{before.state.name} was left for {snapshot.state.name} without a request"
            self._left = Violation("I4", time, text)
        if snapshot.state in _LATCHED:
            self._granted = False

    def _convict(self) -> None:
        self._report.violations += [one for one in (self._left, self._blended) if one is not None]
        self._left = self._blended = None

    def happening(self, time: float, happening: Happening) -> None:
        """An event was published."""
        if happening.moment is Moment.OPERATOR:
            self._granted = True
            if self._left is not None and time - self._left.time <= self._announcement:
                self._left = None
        blended = self._blended
        if happening.moment is Moment.TAKEOVER and blended is not None:
            self._blended = None if time - blended.time <= self._announcement else blended
        if not happening.episode_id:
            return
        counts = self._report.episode(happening.episode_id)
        counts.alarms += happening.moment is Moment.ALARM
        counts.halts += happening.moment is Moment.HALTED
        counts.takeovers += happening.moment is Moment.TAKEOVER
        counts.resumes += happening.moment is Moment.RESUMED

    def score(self, time: float, score: Score) -> None:
        """A score was published."""
        if score.passes:
            self._passed.setdefault((score.key, score.chunk_digest), time)
        elif self._concerns(score.key) and self._alarm is None:
            self._alarm = (time, score.key)

    def _concerns(self, key: Key) -> bool:
        """The inference belongs to what the policy is doing now: scores of a session before may come late."""
        now = self._now
        if now is None or now.state is not State.AUTONOMOUS or now.mode is not Mode.GUARD:
            return False
        return key.run_id == now.released.run_id and key.sequence >= now.released.sequence

    # -- what is checked -------------------------------------------------------------------------------------------
    def command(self, time: float, command: Command) -> None:
        """A command was sent."""
        if command.state not in _ALLOWED[command.source]:
            self._break("I1", time, f"a command of {command.source.name} in {command.state.name}")
        self._sources(time, command)
        if self._now is None or self._now.state is not command.state:
            self._unannounced.append((time, command.state))
        if command.source is Source.POLICY:
            self._scored(time, command)
            if self._alarm is not None and time > self._alarm[0] + self._reaction:
                self._break("I5", time, f"{command.key} was executed {time - self._alarm[0]:.3f} s after an alarm")
        self._previous = command

    def backed(self, time: float) -> None:
        """The deadman sent a target."""
        if time - self._at < _SILENCE:
            self._break("I1", time, f"the deadman held the arm {time - self._at:.3f} s after the supervisor spoke")

    def _sources(self, time: float, command: Command) -> None:
        before = self._previous
        if before is None or Source.NONE in (before.source, command.source) or before.source is command.source:
            return
        text = f"{command.source.name} follows {before.source.name} without a hold between"
        if (before.source, command.source) == (Source.POLICY, Source.TELEOP):
            # A takeover that blends is said to be one, though maybe a moment after its first command.
            self._blended = self._blended or Violation("I2", time, text)
        else:
            self._break("I2", time, text)

    def _scored(self, time: float, command: Command) -> None:
        """I9, counted once a chunk."""
        report, counts = self._report, self._report.episode(command.key.episode_id)
        chunk = (command.key, command.digest)
        passed = self._passed.get(chunk, math.inf) <= time
        counts.commands += 1
        if chunk not in self._executed:
            self._executed[chunk] = True
            report.chunks_executed += 1
            counts.chunks_executed += 1
        if passed or not self._executed[chunk]:
            return
        self._executed[chunk] = False
        if self.mode is Mode.SHADOW:
            report.unscored_chunks_in_shadow += 1
            return
        report.unscored_chunks_executed += 1
        counts.unscored_chunks_executed += 1
        self._break("I9", time, f"chunk {command.key} was executed without a passing score before")

    def _announce(self, time: float, state: State) -> None:
        """I7: the states of past commands were announced, the newest of them with this message at the latest."""
        while self._unannounced:
            sent, needed = self._unannounced[0]
            late = time - sent > self._announcement
            if needed is state and not late:
                self._unannounced.popleft()
            elif late:
                self._unannounced.popleft()
                self._break("I7", sent, f"{needed.name} was not announced within {self._announcement:g} s")
            else:
                return

    def finish(self) -> None:
        """The recording ended: what was not announced by its last moment may be cut off."""
        self._convict()
        self._unannounced.clear()

    def _break(self, rule: str, time: float, text: str) -> None:
        self._report.violations.append(Violation(rule, time, text))
