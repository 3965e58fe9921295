"""Where a policy server is, and what its metadata does not say: the ``manifest.json`` that stands for its weights."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vla_policy.manifest import FILE, SCHEMA, back_end_of
from vla_uq.errors import InputError

BACK_END = "openpi"
API_KEY = "VLA_POLICY_API_KEY"
"""Environment variable with the key, where no file is named."""
JOINTS = tuple(f"fr3_joint{number}" for number in range(1, 8))
OPEN_WIDTH = 0.08
"""Distance (m) between a Franka hand's open fingers."""


@dataclass(frozen=True)
class Settings:
    """How a server is reached and spoken to.

    :param url: ``ws://host:port``, or ``wss://host:port`` with TLS.
    :param preset: what it is sent, and what its answers mean: a key of ``openpi_presets.PRESETS``.
    :param timeout: seconds that an answer may take; 0: as long as a chunk lasts, after which it is of no use.
    :param warm_up: seconds that the server and its first inference may take, which a compiler often makes long.
    :param execute_steps: actions executed before the next inference is due; 0: the preset's.
    :param fingerprint: of a policy whose server does not tell one; empty: made of address, preset and metadata.
    :param api_key_file: file with the key, beside the manifest unless absolute; empty: see ``API_KEY``.
    :param joints: of the arm, in the order in which the policy knows them.
    :param open_width: distance (m) between the open fingers.
    :param base: (3,) m, the arm's base in the frame of the positions that the policy was trained with.
    """

    url: str
    preset: str
    timeout: float = 0.0
    warm_up: float = 120.0
    execute_steps: int = 0
    fingerprint: str = ""
    api_key_file: str = ""
    joints: tuple[str, ...] = JOINTS
    open_width: float = OPEN_WIDTH
    base: tuple[float, ...] = (0.0, 0.0, 0.0)

    def save(self, folder: Path) -> None:
        """Write the manifest."""
        content = {"schema": SCHEMA, "back_end": BACK_END} | {f.name: getattr(self, f.name) for f in fields(self)}
        (folder / FILE).write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Settings:
        """Read the manifest of a folder.

        :raises InputError: when there is none, it is made for another back end, or a field cannot be right.
        """
        where, kind = folder / FILE, back_end_of(folder)
        if kind != BACK_END:
            raise InputError("manifest is made for another back end", where=str(where), expected=BACK_END, found=kind)
        content = json.loads(where.read_text())
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {name: value for name, value in content.items() if name not in ("schema", "back_end")}
        wrong = sorted(set(values) - known) or [name for name in ("url", "preset") if name not in values]
        if wrong:
            raise InputError("fields are unknown or missing", where=str(where), found=", ".join(wrong))
        for name, value in values.items():
            expected = _misfit(name, value)
            if expected:
                raise InputError("wrong field", where=f"{where}: {name}", expected=expected, found=repr(value)[:80])
        return cls(**{name: _frozen(value) for name, value in values.items()})

    def api_key(self, folder: Path) -> str:
        """The key that the server asks for; empty: none.

        :raises InputError: when the file that should hold it cannot be read, or holds none.
        """
        if not self.api_key_file:
            return os.environ.get(API_KEY, "").strip()
        path = folder / self.api_key_file
        try:
            key = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError("API key cannot be read", where=str(path), found=str(error)) from error
        if not key or not key.isprintable():
            raise InputError("not an API key", where=str(path), expected="one line of text")
        return key


def _misfit(name: str, value: Any) -> str:
    """What a field should have been, or nothing."""
    if name in ("timeout", "warm_up", "open_width"):
        least = 0.0 if name == "timeout" else 1e-6
        return "" if _finite(value) and value >= least else f"a number, at least {least:g}"
    if name == "execute_steps":
        return "" if type(value) is int and value >= 0 else "a number of actions"
    if name == "joints":
        return "" if isinstance(value, list) and all(isinstance(one, str) for one in value) else "a list of names"
    if name == "base":
        return "" if isinstance(value, list) and len(value) == 3 and all(map(_finite, value)) else "three numbers"
    if name == "url":
        return "" if isinstance(value, str) and value.startswith(("ws://", "wss://")) else "ws://host:port"
    return "" if isinstance(value, str) else "text"


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
