"""The manifest of a policy that is a language model of transformers: its prompt, its vocabulary, what actions mean.

The folder holds one checkpoint for each member, ``member_0`` the one that acts, as transformers saves them: config,
safetensors, and for member 0 its processor. For pi0-FAST also ``fast/tokenizer.json``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vla_policy.action_vocabulary import FastVocabulary, Quantiles, Vocabulary, vocabulary
from vla_policy.manifest import FILE, SCHEMA, check_file, sha256
from vla_policy.observation import CAMERAS
from vla_uq.errors import InputError

TRANSFORMERS = "transformers_ar"
"""The back end that it is written for."""
ACTION = ("x", "y", "z", "rx", "ry", "rz", "gripper")
STATE = (*ACTION[:6], "finger", "other_finger")
FAST_FILE = "fast/tokenizer.json"
_OPTIONAL: dict[str, Any] = {"append": (), "state": None, "rotation": "vector", "most_tokens": 256, "training": {}}


@dataclass(frozen=True, kw_only=True)
class GenerationManifest:
    """What a folder's ``manifest.json`` says.

    :param files: file name, within the folder, to SHA-256.
    :param vocabulary: see :func:`vla_policy.action_vocabulary.vocabulary`.
    :param prompt: with ``{instruction}``, lower case, and ``{state}`` where the policy reads it.
    :param append: ids that the prompt ends with, put there where the tokenizer did not (OpenVLA: 29871).
    :param cameras: in the order in which the policy sees them.
    :param actions: statistics of position, rotation and gripper.
    :param state: statistics of grip position, rotation vector and the two fingers; None where the prompt has no state.
    :param position_unit: metres that an action of 1 moves the grip; ``rotation_unit`` radians.
    :param rotation: ``vector``, or ``euler`` for roll, pitch and yaw about fixed axes.
    :param gripper_open: the gripper's number that opens it; ``gripper_closed`` the one that closes it.
    :param most_tokens: that may be generated, where their number varies.
    :param training: where the weights are from: for people.
    """

    members: int
    vocabulary: dict[str, Any]
    prompt: str
    cameras: tuple[str, ...]
    horizon: int
    execute_steps: int
    step_duration: float
    actions: Quantiles
    position_unit: float
    rotation_unit: float
    gripper_open: float
    gripper_closed: float
    files: dict[str, str]
    append: tuple[int, ...] = ()
    state: Quantiles | None = None
    rotation: str = "vector"
    most_tokens: int = 256
    training: dict[str, Any] = field(default_factory=dict)
    back_end: str = TRANSFORMERS
    schema: int = SCHEMA

    @property
    def words(self) -> Vocabulary:
        """:raises InputError: when the vocabulary is unknown or out of range."""
        return vocabulary(self.vocabulary, "vocabulary")

    @property
    def fingerprint(self) -> str:
        """Identity of the policy: 16 hexadecimal digits of BLAKE2b over all that decides its actions."""
        content = asdict(self)
        del content["training"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``manifest.json``, whole or not at all."""
        temporary = folder / f".{FILE}.{os.getpid()}.tmp"
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        temporary.replace(folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> GenerationManifest:
        """Read and check a folder's manifest, and every file against it.

        :raises InputError: naming the file and the field that is missing or does not fit.
        """
        path = folder / FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError("not a policy manifest", where=str(path), found=str(error)) from error
        if not isinstance(content, dict) or content.get("back_end") != TRANSFORMERS or content.get("schema") != SCHEMA:
            raise InputError(
                "manifest is made for another back end", where=str(path), expected=f"{TRANSFORMERS}, schema {SCHEMA}"
            )
        manifest = cls(**_typed(content, path))
        manifest._check(path)
        for name, digest in manifest.files.items():
            check_file(folder / name, digest)
        if missing := [name for name in _names(folder) if name not in manifest.files]:
            raise InputError("files are not listed", where=f"{path}: files", expected=", ".join(missing)[:200])
        return manifest

    def _check(self, path: Path) -> None:
        words = vocabulary(self.vocabulary, f"{path}: vocabulary")
        columns = {"actions": (self.actions, ACTION)} | ({"state": (self.state, STATE)} if self.state else {})
        rules = {
            "members": self.members >= 1,
            "horizon": self.horizon >= 1,
            "execute_steps": 1 <= self.execute_steps <= self.horizon,
            "step_duration": self.step_duration > 0,
            "position_unit": self.position_unit > 0,
            "rotation_unit": self.rotation_unit > 0,
            "gripper_open": self.gripper_open != self.gripper_closed,
            "rotation": self.rotation in ("vector", "euler"),
            "most_tokens": self.most_tokens >= 1,
            "cameras": len(self.cameras) > 0 and set(self.cameras) <= set(CAMERAS),
            "prompt": "{instruction}" in self.prompt and ("{state}" in self.prompt) == (self.state is not None),
            "files": FAST_FILE in self.files or not isinstance(words, FastVocabulary),
            **{name: _fits(statistics, len(names)) for name, (statistics, names) in columns.items()},
        }
        for name, fits in rules.items():
            if not fits:
                raise InputError("wrong field", where=f"{path}: {name}", found=str(getattr(self, name))[:120])


def listing(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a policy's folder, for its manifest."""
    return {name: sha256(folder / name) for name in _names(folder)}


def _names(folder: Path) -> list[str]:
    found = (path for part in ("member_*", "fast") for path in folder.glob(f"{part}/**/*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _typed(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The manifest's fields from JSON; integers pass for floats.

    :raises InputError: naming the field that is missing, unknown or of another type.
    """
    known = {one.name: str(one.type) for one in fields(GenerationManifest)}
    content = {**_OPTIONAL, **content}
    wrong = sorted(set(known) ^ set(content))
    values: dict[str, Any] = {}
    for name in () if wrong else known:
        try:
            values[name] = _read(content[name], known[name])
        except (TypeError, AttributeError):
            wrong = [name]
            break
    if wrong:
        raise InputError("missing, unknown or of the wrong type", where=f"{path}: {wrong[0]}")
    return values


def _read(value: Any, kind: str) -> Any:
    if kind.startswith("Quantiles"):
        if value is None and kind.endswith("None"):
            return None
        return Quantiles(**{name: tuple(part) for name, part in value.items()})
    if kind.startswith("tuple"):
        element = str if "str" in kind else int
        if isinstance(value, str) or any(type(one) is not element for one in value):
            raise TypeError(kind)
        return tuple(value)
    types = {"int": (int,), "float": (int, float), "str": (str,)}.get(kind, (dict,))
    if type(value) not in types or (kind == "float" and not math.isfinite(value)):
        raise TypeError(kind)
    return value


def _fits(statistics: Quantiles, columns: int) -> bool:
    bounds = statistics.low, statistics.high
    numbers = all(type(one) in (int, float) and math.isfinite(one) for bound in bounds for one in bound)
    counts = [len(bound) for bound in bounds] == [columns] * 2 and len(statistics.scaled) in (0, columns)
    return numbers and counts and all(low <= high for low, high in zip(*bounds, strict=True))
