"""What a policy sees on one kind of robot, as data: the files of ``config/observations``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import cv2
import numpy as np
import yaml

from policy_node.backends.openpi_images import fit
from vla_uq.configuration import find
from vla_uq.errors import InputError
from vla_uq.images import Image, decode, decode_compressed


@dataclass(frozen=True)
class Transport:
    """How images travel: kind of message, what is added to the topic, and what reads one."""

    message: str
    suffix: str
    decode: Callable[[Any, str, tuple[int, int] | None], Image]


TRANSPORTS = {
    "raw": Transport("Image", "", decode),
    "compressed": Transport("CompressedImage", "/compressed", decode_compressed),
}


def by_area(image: Image, side: int) -> Image:
    """The whole image in a square of ``side`` pixels; its proportions are lost, and every pixel is averaged in."""
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


RESIZES: dict[str, Callable[[Image, int], Image]] = {"none": lambda image, side: image, "area": by_area, "pad": fit}
"""``pad`` keeps the proportions, and the rest is black: openpi's rule, with its filter."""
ORDERS = ("rgb", "bgr")


@dataclass(frozen=True)
class Camera:
    """One camera.

    :param topic: without what the transport adds.
    :param size: (height, width) in pixels of what it sends; anything else is refused.
    :param rate: frames in a second that it should send.
    :param order: of the channels, as the policy was trained.
    :param resize: key of :data:`RESIZES`.
    :param side: pixels of the square that the image becomes; 0 without a resize.
    """

    topic: str
    transport: str
    size: tuple[int, ...]
    rate: float
    order: str
    resize: str
    side: int = 0

    def read(self, message: Any, name: str) -> Image:
        """The image of a message, (height, width, 3) RGB.

        :raises InputError: when it is not what this camera sends.
        """
        return TRANSPORTS[self.transport].decode(message, name, (self.size[0], self.size[1]))

    def prepare(self, image: Image) -> Image:
        """The image as the policy was trained to see it."""
        resized = RESIZES[self.resize](image, self.side)
        return resized if self.order == "rgb" else np.ascontiguousarray(resized[:, :, ::-1])


@dataclass(frozen=True)
class Preset:
    """What an observation is put together from.

    :param tolerance: largest distance (s) of stamps within one observation.
    :param max_age: oldest part (s since receipt) that is acted on.
    :param joint_states: topics; the first is the arm's, whose stamp a chunk echoes.
    :param pose: topic of the measured grip pose.
    :param cameras: by the names that policies know; the first, in whose moments observations are made, is the slowest.
    """

    tolerance: float
    max_age: float
    joint_states: tuple[str, ...]
    pose: str
    cameras: Mapping[str, Camera]


def load_observation(name: str) -> Preset:
    """Read a preset by its name (``droid``) or the path of its file.

    :raises InputError: no such file, or a field is missing, unknown, of the wrong kind or impossible.
    """
    path = find("observations", name, "observation", "observation")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError("not YAML", where=str(path), found=str(error).splitlines()[0]) from None
    cameras = content.get("cameras") if isinstance(content, dict) else None
    if isinstance(cameras, dict) and cameras:
        read = {str(key): _build(Camera, value, path, f"cameras.{key}") for key, value in cameras.items()}
        content = {**content, "cameras": read}
    preset: Preset = _build(Preset, content, path)
    _check(preset, path)
    return preset


def _build(kind: Any, content: Any, path: Path, place: str = "") -> Any:
    """A dataclass from a mapping, by the types that its fields declare."""
    where, hints = f"{path}: {place}" if place else str(path), get_type_hints(kind)
    if not isinstance(content, dict):
        raise InputError("not a mapping", where=where, expected=", ".join(hints), found=type(content).__name__)
    needed = {field.name for field in fields(kind)} - {"side"}
    for names, what in ((needed - content.keys(), "field is missing"), (content.keys() - hints, "unknown field")):
        if names:
            found = ", ".join(sorted(map(str, names)))
            raise InputError(what, where=where, expected=", ".join(hints), found=found)
    values = {}
    for name, value in content.items():
        expected, fits = _KINDS[hints[name]]
        if not fits(value):
            place_of_it = f"{where}.{name}" if place else f"{where}: {name}"
            raise InputError("wrong kind of value", where=place_of_it, expected=expected, found=repr(value)[:80])
        values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6


_KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    str: ("a text", lambda value: isinstance(value, str) and bool(value)),
    int: ("a number of pixels", lambda value: type(value) is int and 0 <= value <= 4096),
    float: ("a number above 0", _positive),
    tuple[int, ...]: (
        "[height, width]",
        lambda value: isinstance(value, list) and len(value) == 2 and all(type(n) is int and n > 0 for n in value),
    ),
    tuple[str, ...]: (
        "a list of topics",
        lambda value: isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value),
    ),
    Mapping[str, Camera]: ("name: camera", lambda value: isinstance(value, dict) and bool(value)),
}
"""What a declared type is in a file, and how it is known."""


def _check(preset: Preset, path: Path) -> None:
    """Refuse what cannot work: choices that there are not, times in which no observation can come together."""

    def demand(holds: bool, field: str, expected: str, found: object) -> None:
        if not holds:
            raise InputError("impossible value", where=f"{path}: {field}", expected=expected, found=found)

    for name, camera in preset.cameras.items():
        place, period = f"cameras.{name}", 1 / camera.rate
        for field, known in (("transport", TRANSPORTS), ("resize", RESIZES), ("order", ORDERS)):
            found = getattr(camera, field)
            demand(found in known, f"{place}.{field}", " or ".join(known), repr(found))
        demand(
            (camera.side > 0) == (camera.resize != "none"), f"{place}.side", "pixels where it is resized", camera.side
        )
        small = camera.resize != "area" or camera.side <= min(camera.size)
        demand(small, f"{place}.side", f"at most {min(camera.size)}: averaging makes nothing larger", camera.side)
        # Cameras that nothing synchronises are half a period apart, and a frame stays the newest for a whole one.
        half = f"at least half a period of {name}, {period / 2:.3g} s"
        demand(preset.tolerance >= period / 2, "tolerance", half, preset.tolerance)
        demand(preset.max_age > period, "max_age", f"above a period of {name}, {period:.3g} s", preset.max_age)
