"""The guided tests, one after the other, as a generator: it yields what to do, and is sent what was seen."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from supervisor_node.arms.base import Arm
from supervisor_node.arms.limits import Limits
from supervisor_node.commissioning.course import LED_BY_POSES, Course, Sweep, inside, plan, top_speed
from supervisor_node.commissioning.figures import REACHED, Evidence, Sample, Stop, distance, rest_after, spans
from supervisor_node.gripper import GripperPass
from supervisor_node.states import Source, State
from supervisor_node.values import Command, Measured, Motion, Pose
from vla_uq.errors import InputError

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """What a tick brings.

    :param now: s, on any clock that runs evenly.
    :param samples: joints since the tick before.
    :param confirmed: the person said yes since the tick before.
    """

    now: float
    measured: Measured
    samples: tuple[Sample, ...] = ()
    confirmed: bool = False


@dataclass(frozen=True, eq=False)
class Act:
    """What to do until the next tick.

    :param command: to be sent; None: nothing, on purpose.
    :param ask: what the person is to agree to; the procedure waits, and the arm is held.
    :param tell: what is being done, when that is new.
    """

    command: Command | None
    ask: str = ""
    tell: str = ""


Steps = Generator[Act, Seen, None]
_TRIES = 4
"""Attempts at a sweep: one at whose end this computer or the network was late tells of them, not of the arm."""
_NEAR = 0.15
"""Seconds before the stop from which being late counts."""


class Procedure:
    """Leads one arm through the course; ``evidence`` fills.

    :param seen: the arm as it stands before anything is sent.
    :raises InputError: it cannot be tested from there (see :func:`plan`).
    """

    def __init__(self, arm: Arm, course: Course, seen: Seen) -> None:
        self.evidence = Evidence()
        self._arm, self._course, self._limits = arm, course, Limits(arm.profile)
        self._sweeps = plan(arm, seen.measured, course)
        self._seen, self._home, self._hold = seen, seen.measured.q.copy(), seen.measured.q.copy()
        self._samples: list[Sample] = []
        self._late = self._spoiled = 0.0
        self._heard_at = seen.now
        self._gripper = GripperPass()

    def run(self) -> Steps:
        """The tests: yields an :class:`Act` a tick, to be sent the next :class:`Seen`.

        :raises InputError: the arm does not come to rest on its hold.
        """
        course = self._course
        yield from self._ask(f"1 of 4: the arm holds still for {course.watch:g} s; nothing is to touch it")
        yield from self._watch()
        stops = [sweep for sweep in self._sweeps if not sweep.silent]
        far = max(sweep.travel for sweep in stops if not sweep.line)
        yield from self._ask(f"2 of 4: {len(stops)} short motions of up to {far:.2f} rad with a stop each: keep clear")
        for number, sweep in enumerate(stops, 1):
            yield from self._sweep(sweep, f"{number}/{len(stops)} {self._name(sweep)}")
        yield from self._ask("3 of 4: the gripper opens and closes, then the arm is held")
        yield from self._grip()
        silences = [sweep for sweep in self._sweeps if sweep.silent]
        yield from self._ask(f"4 of 4: {len(silences)} motions whose commands cease, as if the supervisor had died")
        for number, sweep in enumerate(silences, 1):
            yield from self._sweep(sweep, f"{number}/{len(silences)} silence after {self._name(sweep)}")

    def hold(self) -> Command:
        """The hold, for whoever breaks off: where the arm comes to rest from now, captured once a call."""
        self._hold = self._arm.brake(self._seen.measured, None)
        return self._held()

    # -- tests -----------------------------------------------------------------------------------------------------
    def _watch(self) -> Steps:
        yield from self._stay(self._course.settle)
        self._samples.clear()
        yield from self._stay(self._course.watch)
        self.evidence.noise += [span for _, span in spans(self._samples, self._arm.profile.rest.window)]
        self.evidence.droop.append(np.max([np.abs(q - self._hold) for _, q in self._samples], axis=0))

    def _sweep(self, sweep: Sweep, label: str) -> Steps:
        """Out, a stop or silence, and home again."""
        if any(_same_way(sweep, each) for each in self.evidence.skipped):
            return
        if not sweep.line and self.evidence.leads is False:
            return
        for attempt in range(1, _TRIES + 1):
            if sweep in self.evidence.skipped:
                return
            again = f"{label}, again: {1000 * self._spoiled:.0f} ms late" if attempt > 1 else label
            self._late, stops = 0.0, len(self.evidence.stops)
            yield from self._once(sweep, again)
            if self._spoiled <= self._arm.profile.period:
                return
            if attempt < _TRIES:
                del self.evidence.stops[stops:]

    def _once(self, sweep: Sweep, label: str) -> Steps:
        home = self._seen.measured.pose
        begin, last, tell = self._seen.now, None, label
        # Stopped while the target still moves: the next one would be the last of the way.
        while (gone := sweep.along(self._seen.now - begin + self._arm.profile.period)) < sweep.travel:
            if not inside(self._arm.profile, self._seen.measured.pose.position, self._course.edge):
                self.evidence.skipped.append(sweep)
                yield from self._capture(last, f"{label}: at the edge of the workspace, not gone further")
                yield from self._back()
                return
            if sweep.travel - gone > _NEAR * sweep.speed:
                self._late = 0.0
            last = self._target(sweep, home, gone, last)
            yield from self._tick(self._moving(last), tell)
            tell = ""
        yield from self._stop(sweep, last)
        if sweep.line:
            yield from self._back_along(home)
        yield from self._back()

    def _back_along(self, home: Pose) -> Steps:
        """By poses, for joint targets may not do it."""
        profile, begin = self._arm.profile, self._seen.now
        start = self._seen.measured.pose
        way = home.position - start.position
        seconds, last = max(float(np.linalg.norm(way)) / self._course.line, profile.period), None
        while self._seen.now - begin < seconds + self._course.settle:
            share = min((self._seen.now - begin + profile.period) / seconds, 1.0)
            pose = Pose(start.position + share * way, home.rotation)
            last = self._arm.follow(pose, self._seen.measured, last)
            yield from self._tick(self._moving(last))

    def _stop(self, sweep: Sweep, last: Motion | None) -> Steps:
        measured, now, rest = self._seen.measured, self._seen.now, self._arm.profile.rest
        ahead = math.nan
        if last is not None and last.joints is not None:
            ahead = sweep.way * float(last.joints[sweep.axis] - measured.q[sweep.axis]) / sweep.speed
        self._samples.clear()
        if sweep.silent:
            escalation = self._arm.profile.escalation
            self._spoiled = self._late
            while self._seen.now - now < escalation.fault:
                yield from self._tick(None)
        else:
            yield from self._capture(last)
            yield from self._stay(rest.window)
            self._spoiled = self._late
            yield from self._stay(self._course.settle - rest.window)
        resting = rest_after(self._samples, now, rest.window, rest.noise)
        over = math.nan
        if not sweep.silent:
            over = distance(sweep, self._samples, self._hold)
            self.evidence.droop.append(np.abs(self._seen.measured.q - self._hold))
        speed, gone = abs(float(measured.qd[sweep.axis])), distance(sweep, self._samples, measured.q)
        if sweep.line:
            speed = gone = over = math.nan
        elif self.evidence.leads is None and self._arm.profile.kind in LED_BY_POSES:
            self.evidence.leads = speed >= REACHED * sweep.speed
            if not self.evidence.leads:
                return
        self.evidence.stops.append(Stop(sweep, speed, gone, over, resting, ahead))

    def _grip(self) -> Steps:
        """Open, close, hold: a grip must not open while the arm is held."""
        yield from self._finger(1.0)
        yield from self._ask("   an object between the fingers, if there is one at hand; they close now")
        yield from self._finger(0.0)
        before = self._seen.measured.opening
        most, end = before, self._seen.now + self._course.grip
        while self._seen.now < end:
            yield from self._tick(self._held(self._gripper.hold(self._seen.measured.opening)))
            most = max(most, self._seen.measured.opening)
        if math.isfinite(before):
            self.evidence.grips.append(most - before)

    # -- motions ---------------------------------------------------------------------------------------------------
    def _tick(self, command: Command | None, tell: str = "", ask: str = "") -> Steps:
        before = self._seen.now
        self._seen = yield Act(command, ask, tell)
        self._samples += self._seen.samples
        heard = [self._heard_at, *(at for at, _ in self._seen.samples)]
        self._heard_at = heard[-1]
        tick = self._seen.now - before - self._arm.profile.period
        self._late = max(self._late, tick, float(np.max(np.diff(heard), initial=0.0)))

    def _ask(self, text: str) -> Steps:
        """Hold until the person agrees."""
        yield from self._tick(self._held(), ask=text)
        while not self._seen.confirmed:
            yield from self._tick(self._held(), ask=text)

    def _stay(self, seconds: float) -> Steps:
        end = self._seen.now + seconds
        while self._seen.now < end:
            yield from self._tick(self._held())

    def _capture(self, last: Motion | None, tell: str = "") -> Steps:
        """The supervisor's own stop: the hold is where the arm comes to rest from its reference, captured once."""
        known = None if self._arm.profile.kind in LED_BY_POSES else last
        self._hold = self._arm.brake(self._seen.measured, known)
        yield from self._tick(self._held(), tell)

    def _back(self) -> Steps:
        """Slowly home, and wait for rest there."""
        profile, begin, start = self._arm.profile, self._seen.now, self._seen.measured.q.copy()
        slow = self._course.back * top_speed(profile)
        seconds = float(np.max(np.abs(self._home - start) / slow))
        last = Motion(joints=start)
        while self._seen.now - begin < seconds:
            share = min((self._seen.now - begin + profile.period) / seconds, 1.0)
            assert last.joints is not None
            last = self._limits.joint_step(start + share * (self._home - start), last.joints)
            yield from self._tick(self._moving(last))
        self._hold = self._home.copy()
        yield from self._rested()

    def _rested(self) -> Steps:
        """:raises InputError: the arm does not come to rest at home, within the time that makes a halt a fault."""
        profile, begin = self._arm.profile, self._seen.now
        self._samples.clear()
        while self._seen.now - begin < profile.rest.window:
            yield from self._tick(self._held())
        while math.isnan(rest_after(self._samples, begin, profile.rest.window, profile.rest.noise)):
            if self._seen.now - begin > profile.escalation.fault:
                raise InputError(
                    "the arm does not come to rest on its hold", where=profile.name,
                    expected=f"within {profile.escalation.fault:g} s", remedy="see the arm's driver, then begin again",
                )  # fmt: skip
            yield from self._tick(self._held())

    def _finger(self, opening: float) -> Steps:
        end = self._seen.now + self._course.grip
        while self._seen.now < end:
            wanted = self._gripper.command(opening, self._seen.measured.opening)
            yield from self._tick(self._moving(Motion(joints=self._hold), wanted))

    def _target(self, sweep: Sweep, home: Pose, gone: float, last: Motion | None) -> Motion:
        if sweep.line:
            place = home.position.copy()
            place[sweep.axis] += sweep.way * gone
            return self._arm.follow(Pose(place, home.rotation), self._seen.measured, last)
        q = self._home.copy()
        q[sweep.axis] += sweep.way * gone
        assert last is None or last.joints is not None
        return self._limits.joint_step(q, self._home if last is None or last.joints is None else last.joints)

    # -- commands --------------------------------------------------------------------------------------------------
    def _moving(self, motion: Motion, gripper: float | None = None) -> Command:
        return self._command(Source.TELEOP, State.TELEOP, motion, gripper)

    def _held(self, gripper: float | None = None) -> Command:
        return self._command(Source.NONE, State.HALTED, Motion(joints=self._hold), gripper)

    def _command(self, source: Source, state: State, motion: Motion, gripper: float | None) -> Command:
        measured = self._seen.measured
        return Command(source, state, motion, gripper, measured.stamp, measured.pose, measured.pose)

    # -- words -----------------------------------------------------------------------------------------------------
    def _name(self, sweep: Sweep) -> str:
        what = f"line along {'xyz'[sweep.axis]}" if sweep.line else self._arm.profile.joints.names[sweep.axis]
        unit = "m/s" if sweep.line else "rad/s"
        return f"{what} {'+' if sweep.way > 0 else '-'} at {sweep.speed:.2g} {unit}"


def _same_way(a: Sweep, b: Sweep) -> bool:
    return (a.axis, a.way, a.line) == (b.axis, b.way, b.line)
