"""Checkpoints of transformers: opened where they lie, with the library's own code.

Nothing is fetched and nothing in a folder is run, unless the caller names the digest of the code that a checkpoint
brings along (OpenVLA's does): who read it knows it, and other code has another one.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

from vla_policy.manifest import sha256
from vla_uq.errors import InputError


def code_digest(folder: Path) -> str:
    """SHA-256 over the Python files of a checkpoint, names and contents; empty where there is none."""
    files = sorted(folder.rglob("*.py"))
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return total.hexdigest() if files else ""


def brings_code(folder: Path, code: str) -> bool:
    """Whether the checkpoint's own code is to be run.

    :param code: its digest, as the caller knows it; empty: none may be run.
    :raises InputError: when it needs code that is not the one that was named.
    """
    needed = False
    for path in sorted(folder.glob("*config.json")):
        references = _read(path).get("auto_map", {})
        if any("--" in str(one) for one in references.values()):
            raise InputError("code is elsewhere", where=f"{path}: auto_map", remedy="copy its files into this folder")
        needed = needed or bool(references)
    found = code_digest(folder)
    if needed and (not found or found != code):
        raise InputError(
            "this checkpoint runs code that it brings along",
            where=str(folder),
            expected=f"remote_code={code!r}" if code else "none",
            found=found or "none",
            remedy="read that code; then give its digest as remote_code",
        )
    return needed


def open_model(folder: Path, code: str) -> Any:
    """The model in a checkpoint, in the precision that it was saved in.

    :raises InputError: when there is none that can be used.
    """
    foreign, transformers = brings_code(folder, code), library()
    content = _read(folder / "config.json")
    try:
        if foreign:
            references = {name: one for name, one in content["auto_map"].items() if name.startswith("AutoModel")}
            loader = importlib.import_module("transformers.dynamic_module_utils").get_class_from_dynamic_module
            kind = loader(next(iter(references.values())), str(folder), local_files_only=True)
        else:
            kind = getattr(transformers, content["architectures"][0])
        if not issubclass(kind, transformers.PreTrainedModel):
            raise TypeError(f"{kind.__name__} is no model")
        # Weights lie in safetensors: other formats can run code when they are read.
        return kind.from_pretrained(folder, local_files_only=True, dtype="auto", use_safetensors=True)
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError, RuntimeError, StopIteration) as error:
        raise unusable(folder, error) from error


def library() -> Any:
    """Transformers.

    :raises InputError: when it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise InputError(
            "transformers is not installed",
            where="back_end transformers_ar",
            found=str(error),
            remedy="pip install 'vla-monitor[transformers]'",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError("not a checkpoint", where=str(path), found=str(error)) from error


def unusable(folder: Path, error: Exception) -> InputError:
    """What to say of a checkpoint that the library cannot open."""
    found = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return InputError("checkpoint cannot be used", where=str(folder), found=found[:300])
