"""A profile's text with the measured limits in it; all other lines and comments of the template stay."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from supervisor_node.arms.parts import Commissioned, Sampled
from supervisor_node.arms.profile import Profile, parse_profile
from supervisor_node.commissioning.findings import BRAKE, DROOP, LEAD, NOISE, Findings
from vla_uq.errors import InputError

Vector = NDArray[np.float64]
_UNMEASURED = re.compile(r"^# Not measured on hardware: .*$", re.MULTILINE)
_MEASURED = '# Measured by `vla-monitor commission`, see `commissioned`; numbers marked "default" were not.'
_SECTION = "commissioned"
_UNITS = {
    "noise": "rad, span over rest.window of the held arm",
    "droop": "rad, distance from the hold at rest",
    "speed": "rad/s, slowest speed from which the fastest stops began",
    "distance": "rad, of these stops",
    "deceleration": "rad/s^2: as asked where these stops kept to their hold, else v^2/2d",
    "lag": "s behind the target, at that speed",
    "rest": "s from a hold to rest",
    "silence": "s from the last command to rest, when nobody sends a hold",
    "grip": "growth of the opening, 0 to 1, while a closed gripper was held",
    "data_sheet": "rad/s^2, braking.deceleration before the tests",
}


def write_out(template: str, found: Findings, file: str) -> str:
    """The text of the commissioned profile; read again and compared before anybody gets it.

    :param template: text of the profile that the tests ran with, in blocks as those of ``config/arms``.
    :param file: named in messages.
    :raises InputError: the measured arm does not do for its own profile, or the template is written too freely.
    """
    lines = _without(template.splitlines(), _SECTION)
    sheet, passed = "at least the template's", "where a stop passed its hold"
    changes = {
        ("rest", "noise"): (found.noise, f"rad, span over the window: {NOISE:g} x worst, {sheet}"),
        ("rest", "tolerance"): (found.tolerance, f"rad, distance from the hold: {DROOP:g} x worst, {sheet}"),
        ("braking", "deceleration"): (found.deceleration, f"rad/s^2: {BRAKE:g} x worst {passed}"),
        ("braking", "lead"): (found.lead, f"rad, reference ahead: {LEAD:g} x worst lag, and a step at full speed"),
    }
    for (section, field), (vector, comment) in changes.items():
        if section == "braking" and found.commissioned.deceleration is None:
            continue
        _replace(lines, section, field, f"  {field}: {_numbers(vector)}   # {comment}", file)
    text = "\n".join([_UNMEASURED.sub(_MEASURED, "\n".join(lines).rstrip()), "", *_section(found.commissioned), ""])
    _same(parse_profile(text, file), found, file)
    return text


def _same(read: Profile, found: Findings, file: str) -> None:
    pairs = (
        (read.rest.noise, found.noise),
        (read.rest.tolerance, found.tolerance),
        (read.braking.deceleration, found.deceleration),
        (read.braking.lead, found.lead),
    )
    if not all(np.allclose(a, b, rtol=1e-2) for a, b in pairs):  # three digits
        raise InputError("measured limits were not written where they belong", where=file)


def _without(lines: Iterable[str], section: str) -> list[str]:
    """Lines that do not belong to a section."""
    kept, inside = [], False
    for line in lines:
        if line and not line[0].isspace():
            inside = line.startswith(f"{section}:")
        if not inside:
            kept.append(line)
    return kept


def _replace(lines: list[str], section: str, field: str, line: str, file: str) -> None:
    inside = False
    for at, each in enumerate(lines):
        if each and not each[0].isspace():
            inside = each.startswith(f"{section}:")
        elif inside and each.startswith(f"  {field}: [") and each.split("#")[0].rstrip().endswith("]"):
            lines[at] = line
            return
    raise InputError(
        "the template's layout is not understood", where=f"{file}: {section}.{field}",
        expected="a list on one line, indented by two, as in config/arms",
    )  # fmt: skip


def _section(found: Commissioned) -> list[str]:
    lines = [f"{_SECTION}:            # what was measured on this arm; limits above may be stricter, never laxer"]
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        if value is None:
            continue
        if isinstance(value, Sampled):
            lines += [
                f"  {field.name}:   # {_UNITS[field.name]}",
                f"    n: {value.n:g}",
                f"    worst: {_numbers(value.worst)}",
                f"    spread: {_numbers(value.spread)}",
            ]
        elif isinstance(value, str):
            lines.append(f'  {field.name}: "{value}"')
        else:
            lines.append(f"  {field.name}: {_numbers(value)}   # {_UNITS[field.name]}")
    return lines


def _numbers(vector: Vector) -> str:
    """Three digits; YAML 1.1 takes 1e-05 for a text, so that small ones are written out."""
    return f"[{', '.join(_number(float(value)) for value in vector)}]"


def _number(value: float) -> str:
    text = f"{value:.3g}"
    if "e-" in text:
        return f"{float(text):.8f}".rstrip("0").rstrip(".")
    return f"{float(text):.1f}" if "e" in text else text
