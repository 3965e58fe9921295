"""From what was measured to the limits of a profile, with the safety factors that stand here and nowhere else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from supervisor_node.arms.parts import Commissioned, Sampled
from supervisor_node.arms.profile import Profile
from supervisor_node.commissioning.course import top_speed
from supervisor_node.commissioning.figures import REACHED, Evidence, Stop
from vla_uq.errors import InputError

Vector = NDArray[np.float64]
NOISE, DROOP, BRAKE, LEAD = 3.0, 2.0, 0.8, 1.2
"""Safety factors: of the worst noise, the worst distance from a hold, the weakest deceleration, the longest lag."""


@dataclass(frozen=True, eq=False)
class Findings:
    """The measured limits (n,): rad, rad, rad/s², rad; and what they rest on."""

    noise: Vector
    tolerance: Vector
    deceleration: Vector
    lead: Vector
    commissioned: Commissioned


def find(profile: Profile, evidence: Evidence, date: str) -> Findings:
    """The limits that the evidence makes of a profile's.

    :param profile: that the tests ran with; one that was commissioned before hands its data sheet on.
    :raises InputError: a joint was not stopped at its fastest speed, or the arm did not come to rest.
    """
    _all_rested(profile, evidence)
    found = Commissioned(
        date=date,
        noise=_rows(evidence.noise),
        droop=_rows(evidence.droop),
        rest=_one([stop.rest for stop in evidence.stops if not stop.sweep.silent]),
        silence=_one([stop.rest for stop in evidence.stops if stop.sweep.silent]),
        grip=_one(evidence.grips),
    )
    return limits(profile, found if evidence.leads is False else _with_stops(profile, evidence, found))


def limits(profile: Profile, found: Commissioned) -> Findings:
    """What the figures make of the limits of the profile that the tests ran with.

    Noise and tolerance: three times the worst noise, twice the worst distance from a hold, where that is more than the
    profile's: tests from one place with one load may widen these, not narrow them. Deceleration: the profile's where
    the fastest stops kept to their hold, else 0.8 of v²/2d of the worst. Lead: 1.2 of the way of the longest lag, and
    of the step that a new target is ahead, at the speed that the step limit allows; at most ``max_ahead`` of that.
    """
    braking, top = profile.braking, top_speed(profile)
    deceleration, lead = braking.deceleration, braking.lead
    if found.deceleration is not None and found.lag is not None:
        shown = found.deceleration.worst
        deceleration = np.where(shown < deceleration, BRAKE * shown, deceleration)
        lead = np.minimum(LEAD * (found.lag.worst + profile.period) * top, profile.max_ahead * top)
    return Findings(
        noise=np.maximum(NOISE * found.noise.worst, profile.rest.noise),
        tolerance=np.maximum(DROOP * found.droop.worst, profile.rest.tolerance),
        deceleration=deceleration,
        lead=lead,
        commissioned=found,
    )


def _decelerations(profile: Profile, stops: list[list[Stop]]) -> list[list[float]]:
    asked, noise = profile.braking.deceleration.tolist(), profile.rest.noise.tolist()
    return [[stop.deceleration(asked[axis], noise[axis]) for stop in each] for axis, each in enumerate(stops)]


def _with_stops(profile: Profile, evidence: Evidence, found: Commissioned) -> Commissioned:
    """What the braking rests on, too."""
    stops = [_fastest(profile, evidence, axis) for axis in range(len(profile.joints.names))]
    return dataclasses.replace(
        found,
        speed=np.array([min(stop.speed for stop in each) for each in stops]),
        distance=_joints([[stop.distance for stop in each] for each in stops]),
        deceleration=_joints(_decelerations(profile, stops), worst=min),
        lag=_joints([[stop.lag for stop in each] for each in stops]),
        data_sheet=_sheet(profile),
    )


def _sheet(profile: Profile) -> Vector:
    """The deceleration before any test: one that was commissioned before hands it on."""
    before = profile.commissioned
    return profile.braking.deceleration if before is None or before.data_sheet is None else before.data_sheet


def rows(profile: Profile, found: Findings) -> list[dict[str, Any]]:
    """The table for people: one line a joint."""
    c = found.commissioned
    table: list[dict[str, Any]] = [
        {"joint": name, "noise_mrad": 1e3 * float(c.noise.worst[i]), "droop_mrad": 1e3 * float(c.droop.worst[i])}
        for i, name in enumerate(profile.joints.names)
    ]
    if c.speed is None or c.distance is None or c.deceleration is None or c.lag is None or c.data_sheet is None:
        return table
    for i, row in enumerate(table):
        row |= {
            "speed_rad_s": float(c.speed[i]),
            "stop_mrad": 1e3 * float(c.distance.worst[i]),
            "stop_spread": 1e3 * float(c.distance.spread[i]),
            "brake_rad_s2": float(found.deceleration[i]),
            "data_sheet": float(c.data_sheet[i]),
            "lag_ms": 1e3 * float(c.lag.worst[i]),
            "lead_rad": float(found.lead[i]),
            "n": int(c.deceleration.n),
        }
    return table


def notes(profile: Profile, found: Findings, evidence: Evidence) -> list[str]:
    """What the table does not say."""
    c = found.commissioned
    seconds = [f"{each.worst[0]:.2f} s (n {each.n:g}, spread {each.spread[0]:.2f} s)" for each in (c.rest, c.silence)]
    lines = [
        f"at rest {seconds[0]} after a hold, {seconds[1]} after the last command where nobody sends a hold",
        f"a closed gripper opened by {100 * c.grip.worst[0]:.1f} % while the arm was held",
    ]
    if c.speed is None:
        lines.append("joint targets do not move this arm: it was tested along lines, braking is still the data sheet's")
    else:
        share = 100 * c.speed / top_speed(profile)
        lines.append(
            f"tested at {share.min():.0f} to {share.max():.0f} % of the speed that step.joints allows, "
            "without a load unless you gave it one"
        )
    if evidence.skipped:
        lines.append(f"{len(evidence.skipped)} ways were not gone: they lead to the edge of the workspace")
    return [*lines, "this is no safety function: the emergency stop is the robot's own"]


def _fastest(profile: Profile, evidence: Evidence, axis: int) -> list[Stop]:
    """Stops of a joint from the fastest speed that count."""
    found = [stop for stop in evidence.fastest(axis) if stop.speed >= REACHED * stop.sweep.speed]
    if found:
        return found
    reached = [f"{stop.speed:.2f} of {stop.sweep.speed:.2f} rad/s" for stop in evidence.fastest(axis)]
    raise InputError(
        "a joint was not stopped at its fastest speed", where=profile.joints.names[axis],
        expected=f"at least {100 * REACHED:g} % of the speed asked for",
        found=", ".join(reached) or "no way inside the workspace",
        remedy="bring the arm to where it has room, then begin again",
    )  # fmt: skip


def _all_rested(profile: Profile, evidence: Evidence) -> None:
    for silent, what in ((False, "a stop"), (True, "a silence")):
        stops = [stop for stop in evidence.stops if stop.sweep.silent is silent]
        never = sum(math.isnan(stop.rest) for stop in stops)
        if never or not stops:
            found = f"{never} of {len(stops)} did not end at rest"
            raise InputError(f"{what} did not end at rest", where=profile.name, expected="rest after each", found=found)


def _rows(vectors: Sequence[Vector]) -> Sampled:
    stacked = np.stack(vectors)
    return Sampled(float(len(stacked)), stacked.max(axis=0), stacked.max(axis=0) - stacked.min(axis=0))


def _joints(lists: list[list[float]], worst: Any = max) -> Sampled:
    n = min(len(each) for each in lists)
    extremes = np.array([worst(each) for each in lists])
    return Sampled(float(n), extremes, np.array([max(each) - min(each) for each in lists]))


def _one(values: list[float]) -> Sampled:
    if not values:
        raise InputError("nothing was measured of the gripper", where="gripper", expected="joints of the fingers")
    return Sampled(float(len(values)), np.array([max(values)]), np.array([max(values) - min(values)]))
