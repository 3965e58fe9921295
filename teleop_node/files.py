"""Reads a device's map; whatever is wrong with it is named with file, field, what was expected and what was found."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from teleop_node.device import DIRECTIONS, Device, Grip, Input, Leader, Term, Tracked, Velocity
from teleop_node.values import Wish
from vla_uq.configuration import find
from vla_uq.errors import InputError

KEYBOARD = "keyboard"
_SECTIONS = ("inputs", "timeout", "frozen", "deadman", "clutch", "velocity", "pose", "joints", "gripper", "buttons")
_MOTIONS = ("velocity", "pose", "joints")


def load_device(name: str, types: Iterable[str]) -> Device:
    """Read a map by its name (``joy``) or the path of its file.

    :param types: message types that can be read.
    :raises InputError: no such file, or a field is missing, unknown, of the wrong kind or impossible.
    """
    path = find_device(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError("not YAML", where=str(path), found=str(error).splitlines()[0]) from None
    return _Reader(str(path), (*types, KEYBOARD)).device(path.stem, content)


def find_device(name: str) -> Path:
    """Path of a map: a file as it stands, else a name of ``config/teleop``.

    :raises InputError: when there is none.
    """
    return find("teleop", name, "teleop map", "map")


class _Reader:
    """One file; every method takes the path of its field within it, for messages."""

    def __init__(self, file: str, types: tuple[str, ...]) -> None:
        self._file, self._types = file, types
        self._inputs: dict[str, Input] = {}

    def device(self, name: str, content: Any) -> Device:
        sections = self._mapping(content, "", _SECTIONS, needed=("inputs", "timeout", "deadman"))
        inputs = self._mapping(sections["inputs"], "inputs", None)
        self._inputs = {str(key): self._input(value, f"inputs.{key}") for key, value in inputs.items()}
        chosen = [motion for motion in _MOTIONS if motion in sections]
        if len(chosen) != 1:
            raise self._wrong("", f"exactly one of {', '.join(_MOTIONS)}", ", ".join(chosen) or "none")
        motion = getattr(self, f"_{chosen[0]}")(sections[chosen[0]])
        gripper = self._mapping(sections.get("gripper", {}), "gripper", ("close", "open", "toggle", "opening"))
        if {*gripper} not in (set(), {"close", "open"}, {"toggle"}, {"opening"}):
            raise self._wrong("gripper", "close and open, or toggle, or opening", ", ".join(gripper))
        buttons = self._mapping(sections.get("buttons", {}), "buttons", tuple(wish.value for wish in Wish))
        deadman = self._term(sections["deadman"], "deadman")
        for used in {deadman, *(t for terms in getattr(motion, "axes", {}).values() for t in terms)}:
            if self._inputs[used.input].silent:
                raise self._wrong(f"inputs.{used.input}.silent", "false for a velocity and for the deadman", True)
        return Device(
            name,
            self._inputs,
            self._number(sections["timeout"], "timeout", above=0.0),
            self._number(sections.get("frozen", 0.0), "frozen", least=0.0),
            deadman,
            motion,
            self._term(sections["clutch"], "clutch") if "clutch" in sections else None,
            Grip(**{key: self._term(value, f"gripper.{key}") for key, value in gripper.items()}),
            {Wish(key): self._term(value, f"buttons.{key}") for key, value in buttons.items()},
        )

    # -- what moves ------------------------------------------------------------------------------------------------
    def _velocity(self, content: Any) -> Velocity:
        fields = self._mapping(content, "velocity", ("axes", "deadzone", "leash"), needed=("axes", "leash"))
        axes = self._mapping(fields["axes"], "velocity.axes", DIRECTIONS)
        terms = {key: self._terms(value, f"velocity.axes.{key}") for key, value in axes.items()}
        deadzone = self._number(fields.get("deadzone", 0.0), "velocity.deadzone", least=0.0)
        return Velocity(terms, deadzone, self._pair(fields["leash"], "velocity.leash"))

    def _pose(self, content: Any) -> Tracked:
        fields = self._mapping(content, "pose", ("input", "mode", "scale", "max_join"), needed=("input", "mode"))
        if fields["input"] not in self._inputs:
            raise self._wrong("pose.input", ", ".join(self._inputs), fields["input"])
        if fields["mode"] not in ("absolute", "relative"):
            raise self._wrong("pose.mode", "absolute or relative", fields["mode"])
        absolute = fields["mode"] == "absolute"
        if absolute and "scale" in fields:
            raise self._wrong("pose.scale", "no scale for an absolute device", fields["scale"])
        if absolute != ("max_join" in fields):
            raise self._wrong("pose.max_join", "given for absolute devices, and for no other", fields.get("max_join"))
        scale = self._number(fields.get("scale", 1.0), "pose.scale", above=0.0)
        join = self._pair(fields["max_join"], "pose.max_join") if absolute else (math.inf, math.inf)
        return Tracked(fields["input"], absolute, scale, join)

    def _joints(self, content: Any) -> Leader:
        fields = self._mapping(content, "joints", ("base", "tip", "names", "max_join"), all_needed=True)
        names = self._mapping(fields["names"], "joints.names", None)
        if not names:
            raise self._wrong("joints.names", "the follower's joints", "none")
        terms = {str(key): self._term(value, f"joints.names.{key}") for key, value in names.items()}
        base, tip = self._text(fields["base"], "joints.base"), self._text(fields["tip"], "joints.tip")
        return Leader(base, tip, terms, self._number(fields["max_join"], "joints.max_join", above=0.0))

    # -- parts -----------------------------------------------------------------------------------------------------
    def _input(self, content: Any, path: str) -> Input:
        fields = self._mapping(content, path, ("topic", "type", "silent"), needed=("type",))
        if fields["type"] not in self._types:
            raise self._wrong(f"{path}.type", ", ".join(self._types), fields["type"])
        if (fields["type"] == KEYBOARD) == ("topic" in fields):
            raise self._wrong(f"{path}.topic", "a topic, but for a keyboard", fields.get("topic", "none"))
        if not isinstance(fields.get("silent", False), bool):
            raise self._wrong(f"{path}.silent", "true or false", fields["silent"])
        return Input(
            self._text(fields.get("topic", KEYBOARD), f"{path}.topic"), fields["type"], fields.get("silent", False)
        )

    def _terms(self, content: Any, path: str) -> tuple[Term, ...]:
        if not isinstance(content, list):
            return (self._term(content, path),)
        return tuple(self._term(each, f"{path}[{i}]") for i, each in enumerate(content))

    def _term(self, content: Any, path: str) -> Term:
        """A channel by its name, or a mapping with its scale and offset."""
        fields = {"channel": content} if isinstance(content, str) else content
        fields = self._mapping(fields, path, ("channel", "scale", "offset"), needed=("channel",))
        channel = self._text(fields["channel"], f"{path}.channel")
        name, _, rest = channel.partition(".")
        if name not in self._inputs or not rest:
            raise self._wrong(path, f"<input>.<channel>, inputs are {', '.join(self._inputs)}", channel)
        scale = self._number(fields.get("scale", 1.0), f"{path}.scale")
        return Term(name, rest, scale, self._number(fields.get("offset", 0.0), f"{path}.offset"))

    def _pair(self, content: Any, path: str) -> tuple[float, float]:
        fields = self._mapping(content, path, ("translation", "rotation"), all_needed=True)
        first, second = (self._number(fields[k], f"{path}.{k}", above=0.0) for k in ("translation", "rotation"))
        return first, second

    def _mapping(
        self,
        content: Any,
        path: str,
        known: tuple[str, ...] | None,
        needed: tuple[str, ...] = (),
        all_needed: bool = False,
    ) -> dict[str, Any]:
        if not isinstance(content, dict):
            raise self._wrong(path, "a mapping", type(content).__name__)
        expected = ", ".join(known or ())
        unknown = sorted(str(key) for key in content if known is not None and key not in known)
        missing = [key for key in ((known or ()) if all_needed else needed) if key not in content]
        for names, what in ((unknown, "unknown field"), (missing, "field is missing")):
            if names:
                raise InputError(what, where=self._where(path), expected=expected, found=", ".join(names))
        return content

    def _number(self, value: Any, path: str, above: float | None = None, least: float | None = None) -> float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        fits = number and (above is None or value > above) and (least is None or value >= least)
        if not fits:
            limit = f" above {above:g}" if above is not None else f" of at least {least:g}" if least is not None else ""
            raise self._wrong(path, f"a finite number{limit}", value)
        return float(value)

    def _text(self, value: Any, path: str) -> str:
        if not isinstance(value, str) or not value:
            raise self._wrong(path, "a text", value)
        return value

    def _wrong(self, path: str, expected: str, found: object) -> InputError:
        return InputError("impossible value", where=self._where(path), expected=expected, found=found)

    def _where(self, path: str) -> str:
        return f"{self._file}: {path}" if path else self._file
