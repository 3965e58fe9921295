"""What LeRobot's own files do not say: which members there are, what their numbers move, and who they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vla_uq.contracts import Reference, Space
from vla_uq.errors import InputError

FILE = "ensemble.json"
SCHEMA = 1
WEIGHTS, ADAPTER, ADAPTER_CONFIG = "model.safetensors", "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True, kw_only=True)
class EnsembleManifest:
    """``ensemble.json``.

    :param members: folders that LeRobot's trainer wrote, or adapters on ``base``; relative to the file. The first acts.
    :param base: folder of the policy that adapters are put on; empty: there are none.
    :param cameras: name in the observation map to LeRobot's ``observation.images.…``.
    :param state: name in the observation map of what LeRobot calls ``observation.state``.
    :param space: of the actions, a name in :class:`Space`; ``reference``: in :class:`Reference`.
    :param names: of the action columns, without the gripper's.
    :param gripper: ``{"column": int, "closed": number, "open": number}``: where a chunk holds it and what it means
        there; empty: the policy moves none.
    :param step_duration: seconds from one action to the next.
    :param execute_steps: actions executed before the next inference is due.
    """

    members: list[str]
    cameras: dict[str, str]
    space: str
    names: list[str]
    step_duration: float
    execute_steps: int
    state: str = "observation/state"
    reference: str = Reference.MEASURED.name
    base: str = ""
    gripper: dict[str, float] = field(default_factory=dict)
    schema: int = SCHEMA

    @classmethod
    def load(cls, folder: Path) -> EnsembleManifest:
        """Read and check the file of a folder.

        :raises InputError: naming the field that is missing or wrong.
        """
        path = folder / FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            manifest = cls(**content)
        except (OSError, ValueError, TypeError) as error:
            expected = ", ".join(f.name for f in fields(cls))
            raise InputError("cannot be read", where=str(path), expected=expected, found=str(error)) from error
        for name, (fits, expected) in manifest._rules().items():
            if not fits:
                found = repr(getattr(manifest, name))
                raise InputError("wrong field", where=f"{path}: {name}", expected=expected, found=found)
        for part in (*manifest.members, *([manifest.base] if manifest.base else [])):
            if not any((folder / part / name).is_file() for name in (WEIGHTS, ADAPTER)):
                raise InputError("no weights here", where=str(folder / part), expected=f"{WEIGHTS} or {ADAPTER}")
        return manifest

    def _rules(self) -> dict[str, tuple[bool, str]]:
        """Field to whether it is right, and what would be."""
        duration, steps = self.step_duration, self.execute_steps
        number = (int, float)
        return {
            "schema": (self.schema == SCHEMA, str(SCHEMA)),
            "members": (_texts(self.members) and bool(self.members), "a list of folders"),
            "base": (isinstance(self.base, str), "a folder"),
            "cameras": (isinstance(self.cameras, dict) and _texts(list(self.cameras.values())), "names to names"),
            "state": (isinstance(self.state, str), "a name"),
            "space": (self.space in Space.__members__, ", ".join(Space.__members__)),
            "reference": (self.reference in Reference.__members__, ", ".join(Reference.__members__)),
            "names": (_texts(self.names), "a list of names"),
            "step_duration": (isinstance(duration, number) and 0 < duration < 60, "seconds"),
            "execute_steps": (type(steps) is int and steps > 0, "a positive integer"),
            "gripper": (not self.gripper or _gripper(self.gripper), '{"column": int, "closed": …, "open": …}'),
        }

    def fingerprint(self, folder: Path, settings: Mapping[str, Any]) -> str:
        """Identity of the policy: 16 hexadecimal digits over all weights, configurations and settings."""
        state = hashlib.blake2b(digest_size=8)
        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("members", "base")}
        state.update(json.dumps([content, dict(settings)], sort_keys=True).encode())
        for part in (*self.members, *([self.base] if self.base else [])):
            for path in sorted((folder / part).iterdir()):
                if path.suffix in (".safetensors", ".json"):
                    state.update(path.name.encode())
                    with path.open("rb") as file:
                        while block := file.read(2**22):
                            state.update(block)
        return state.hexdigest()


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _gripper(value: Any) -> bool:
    numbers = isinstance(value, dict) and all(type(one) in (int, float) for one in value.values())
    known = numbers and value.keys() == {"column", "closed", "open"}
    return known and type(value["column"]) is int and value["column"] >= 0 and value["closed"] != value["open"]
