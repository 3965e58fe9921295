"""The manifest of an exported policy: what its graphs take and give, and the hash of every file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vla_uq.errors import InputError

SCHEMA = 1
FILE = "manifest.json"
WEIGHTS = Path(__file__).parent / "weights"
"""The policy that ships."""
ACTION_SCALE = (0.6, 0.6, 0.6, 0.15, 0.15, 0.15, 1.0)
"""The normaliser, one for all members: action = normalised × scale."""


@dataclass(frozen=True)
class Manifest:
    """:param files: file name to SHA-256.
    :param feature_slice: the part of a context that belongs to the monitor's features.
    :param position_step: metres of displacement at |action| = 1; ``rotation_step`` radians.
    :param training: seeds, recipe, demonstrations: for people.
    """

    members: int
    horizon: int
    action_dim: int
    flow_steps: int
    execute_steps: int
    step_duration: float
    context: int
    last_layer: int
    feature_slice: tuple[int, int]
    action_scale: tuple[float, ...]
    position_step: float
    rotation_step: float
    image_size: int
    files: dict[str, str]
    training: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def fingerprint(self) -> str:
        """Identity of the policy: 16 hexadecimal digits of BLAKE2b over all that decides its actions."""
        content = {name: value for name, value in asdict(self).items() if name != "training"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def save(self, directory: Path) -> None:
        """Write ``manifest.json``."""
        (directory / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Manifest:
        """Read a weights folder's manifest and check every file against it.

        :raises InputError: missing or changed file, unknown schema, missing field.
        """
        path = directory / FILE
        if not path.is_file():
            raise InputError(
                "no policy weights here",
                where=str(path),
                expected=FILE,
                found="nothing",
                remedy="give the folder that `vla-monitor train-policy` wrote",
            )
        try:
            content = json.loads(path.read_text())
            if content.get("schema") != SCHEMA:
                raise InputError(
                    "unknown schema", where=f"{path}: schema", expected=SCHEMA, found=content.get("schema")
                )
            manifest = cls(**content | {name: tuple(content[name]) for name in ("feature_slice", "action_scale")})
        except (json.JSONDecodeError, AttributeError, TypeError, KeyError) as error:
            raise InputError("not a policy manifest", where=str(path), found=str(error)) from error
        for name, digest in manifest.files.items():
            check_file(directory / name, digest)
        return manifest


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_file(path: Path, digest: str) -> None:
    """:raises InputError: when the file is missing or not the one that the manifest was written for."""
    if not path.is_file():
        raise InputError("missing weights", where=str(path), remedy="copy the whole weights folder")
    if sha256(path) != digest:
        raise InputError(
            "file does not match its manifest", where=str(path), expected=digest[:12], found=sha256(path)[:12]
        )
