"""The section ``commissioned`` of a profile: whole, and not in contradiction to the limits that rest on it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from supervisor_node.arms.parts import Commissioned, Sampled
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from supervisor_node.arms.profile import Profile

Vector = NDArray[np.float64]
SLIP = 0.05
"""Growth of a held gripper's opening (0 to 1) that is still a grip: sensors and pads give a little."""
_PER_JOINT = ("noise", "droop", "distance", "deceleration", "lag")
_STOPS = ("speed", "distance", "deceleration", "lag", "data_sheet")
_ALONE = ("rest", "silence", "grip")


def check_evidence(profile: Profile, file: str) -> None:
    """Check what a profile says of its own tests.

    :raises InputError: a figure is incomplete or impossible, or a limit of the profile is laxer than was measured.
    """
    found = profile.commissioned
    if found is None:
        return
    for field, expected, value, holds in (*_whole(found, len(profile.joints.names)), *_kept(profile, found)):
        if not holds:
            raise InputError(
                "does not agree with what was measured", where=f"{file}: {field}", expected=expected, found=value,
                remedy="run vla-monitor commission again: numbers of this arm are not to be guessed",
            )  # fmt: skip


def _whole(found: Commissioned, count: int) -> Iterator[tuple[str, str, object, bool]]:
    """Field, what is expected, what is there, and whether that is so."""
    yield "commissioned.date", "YYYY-MM-DD", found.date, _is_date(found.date)
    stops = [name for name in _STOPS if getattr(found, name) is not None]
    yield "commissioned", f"all or none of {', '.join(_STOPS)}", stops, len(stops) in (0, len(_STOPS))
    for name in (*_PER_JOINT, *_ALONE):
        each, size = getattr(found, name), count if name in _PER_JOINT else 1
        if each is None:
            continue
        yield f"commissioned.{name}.n", "a whole number, at least 1", each.n, each.n >= 1 and each.n == int(each.n)
        right = len(each.worst) == len(each.spread) == size and bool((each.spread >= 0).all())
        yield f"commissioned.{name}", f"{size} numbers for worst and spread", _plain(each), right
    for name in ("noise", "droop", "distance", "rest", "silence", "grip"):
        worst = np.zeros(0) if getattr(found, name) is None else getattr(found, name).worst
        yield f"commissioned.{name}.worst", "numbers of at least 0", worst.tolist(), bool((worst >= 0).all())
    for name, vector in (("speed", found.speed), ("data_sheet", found.data_sheet)):
        right = vector is None or (len(vector) == count and bool((vector > 0).all()))
        yield f"commissioned.{name}", f"{count} numbers above 0", None if vector is None else vector.tolist(), right


def _kept(profile: Profile, found: Commissioned) -> Iterator[tuple[str, str, object, bool]]:
    """Limits of the profile against the worst that was measured."""
    rest, braking, escalation = profile.rest, profile.braking, profile.escalation
    yield _than("rest.noise", "more than", rest.noise, found.noise.worst, bool((rest.noise > found.noise.worst).all()))
    droop = found.droop.worst
    yield _than("rest.tolerance", "more than", rest.tolerance, droop, bool((rest.tolerance > droop).all()))
    if found.deceleration is not None and found.data_sheet is not None:
        hardest = np.minimum(found.deceleration.worst, found.data_sheet)
        slower = bool((braking.deceleration <= hardest).all())
        yield _than("braking.deceleration", "at most", braking.deceleration, hardest, slower)
    if found.lag is not None and found.speed is not None:
        lag = found.lag.worst * found.speed
        yield _than("braking.lead", "at least", braking.lead, lag, bool((braking.lead >= lag).all()))
    verified = found.rest.worst[0] + rest.window
    verdict = verified <= escalation.switch
    yield _than("escalation.switch", "at least rest and rest.window,", escalation.switch, verified, verdict)
    text, silence = f"at most escalation.fault, {escalation.fault:g} s", float(found.silence.worst[0])
    yield "commissioned.silence.worst", text, silence, silence <= escalation.fault
    slip = float(found.grip.worst[0])
    yield "commissioned.grip.worst", f"at most {SLIP:g} of the opening", slip, slip <= SLIP


def _than(field: str, word: str, value: object, measured: object, holds: bool) -> tuple[str, str, object, bool]:
    return field, f"{word} {np.round(np.asarray(measured), 5).tolist()}", np.asarray(value).tolist(), holds


def _plain(each: Sampled) -> str:
    return f"{each.worst.tolist()}, {each.spread.tolist()}"


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
