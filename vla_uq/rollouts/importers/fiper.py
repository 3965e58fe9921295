"""Rollouts of FIPER (utiasDSL/fiper): success, observation embeddings and batches of chunks, one pickle an episode."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.rollouts.importers.base import Episode, Files, Format, episode_id
from vla_uq.rollouts.importers.records import float_array, record_field, stack, step_duration
from vla_uq.rollouts.store import NOMINAL, Rollout, RolloutMeta

NAME = "fiper"
FAMILIAR = ("id", "ca", "na", "calibration", None)
"""Subtypes of rollouts that are in the distribution of the calibration; the others name a change."""
EXECUTE = {"push_t": 8, "sorting": 4, "stacking": 4, "pretzel": 8, "push_chair": 4}
"""Actions executed between two inferences, where the metadata do not say it."""
_FILE = re.compile(r"episode_(?:(?P<outcome>[sf])_)?(?P<episode>\d+)(?:_task(?P<task>\d+))?\.pkl")


def find(root: Path) -> Iterator[Episode]:
    """``<task>/rollouts/{calibration,test}/episode_{s|f}_{N}.pkl``."""
    for path in sorted(root.resolve().rglob("episode_*.pkl")):
        name = _FILE.fullmatch(path.name)
        if name is not None and path.parts[-3] == "rollouts":
            files = Files(NAME, (path.parts[-4], path.parts[-2], path.stem), [path])
            yield files.episode(partial(_read, name))


FORMAT = Format(NAME, "<task>/rollouts/{calibration|test}/episode_{s|f}_{N}.pkl", find)


def _read(name: re.Match[str], files: Files) -> Rollout:
    """One rollout.

    :raises InputError: when the file is broken, or name and metadata differ in the outcome.
    """
    task, split, _ = files.source.split("/")
    path = files.paths[0]
    content = files.pickle(path)
    metadata, steps = _parts(content, path.name)
    tensors = stack([_tensors(step) for step in steps])
    tensors["samples"] = _samples(steps)
    subtype = metadata.get("rollout_subtype")
    said = metadata.get("successful")
    named = {"s": True, "f": False}.get(name["outcome"] or "")
    if said is named is None or (None not in (said, named) and bool(said) is not named):
        raise InputError("outcome is not clear", where=path.name, expected=f"{named} as in the name", found=said)
    execute = int(metadata.get("action_execution_horizon") or EXECUTE.get(task, 0))
    task_id = int(name["task"]) if name["task"] else 0
    return Rollout(
        RolloutMeta(
            episode_id=episode_id(NAME, files.source),
            task=task if name["task"] is None else f"{task} {task_id}",
            seed=int(name["episode"]),
            disturbance=NOMINAL if subtype in FAMILIAR else str(subtype),
            success=bool(named if said is None else said),
            steps=execute * len(steps),
            policy_fingerprint=f"{NAME}:{task}",
            execute_steps=execute,
            step_duration=step_duration(task),
            extra=files.extra(suite=task, task_id=task_id, episode=int(name["episode"]), split=split, subtype=subtype),
        ),
        tensors,
    )


def _parts(content: Any, where: str) -> tuple[Mapping[str, Any], list[Any]]:
    """Metadata and steps: of a dict of the two, or of a list of steps that may begin with the metadata."""
    if isinstance(content, Mapping):
        return record_field(content, "metadata", dict), record_field(content, "rollout", list)
    if isinstance(content, list) and content and isinstance(content[0], Mapping):
        begins = bool(content[0].get("metadata"))
        return (content[0], content[1:]) if begins else ({}, content)
    raise InputError(
        "is no rollout", where=where, expected="metadata and a list of steps", found=type(content).__name__
    )


def _tensors(step: Any) -> dict[str, NDArray[np.float32]]:
    """What one inference left, but its chunks.

    :raises InputError: naming the field.
    """
    found = {"features": float_array(_of_one_robot(step, "obs_embedding"), "obs_embedding", 1)}
    found["features/obs_embedding"] = found["features"]
    state = _of_one_robot(step, "state_embedding")
    if state is not None:
        found["features/state_embedding"] = float_array(state, "state_embedding", 1)
    return found


def _of_one_robot(step: Any, name: str) -> Any:
    """A field of a step; recorders for several robots keep a list with an entry each."""
    value = step.get(name) if isinstance(step, Mapping) else None
    if isinstance(value, list):
        if len(value) != 1:
            raise InputError("rollout is of several robots", where=name, expected=1, found=len(value))
        return value[0]
    return value


def _samples(steps: Sequence[Any]) -> NDArray[np.float32]:
    """The chunks (T, 1, B, H, A) of which the first was executed; the others keep their order.

    :raises InputError: when it is not known which was.
    """
    drawn = [float_array(_of_one_robot(step, "action_pred"), "action_pred", 3) for step in steps]
    numbers = [_executed(step, chunks) for step, chunks in zip(steps, drawn, strict=True)]
    known = [n for n in numbers if n is not None]
    if len(known) == len(steps):
        moved = [
            np.concatenate([chunks[n : n + 1], np.delete(chunks, n, 0)]) for n, chunks in zip(known, drawn, strict=True)
        ]
        return np.stack(moved)[:, None]
    executed = [float_array(_of_one_robot(step, "action"), "action", 2)[None] for step in steps]
    if any(one.shape[1:] != chunks.shape[1:] for one, chunks in zip(executed, drawn, strict=True)):
        raise InputError("executed chunk is none of the draws", where="action", expected=drawn[0].shape[1:])
    return np.stack([np.concatenate(pair) for pair in zip(executed, drawn, strict=True)])[:, None]


def _executed(step: Any, drawn: NDArray[np.float32]) -> int | None:
    """Number of the draw (B, H, A) that was executed, wholly or from one of its actions on; None: none of them was."""
    if "action_selection_idx" in step:
        return int(step["action_selection_idx"])
    executed = float_array(_of_one_robot(step, "action"), "action", 2)
    for first in range(drawn.shape[1] - len(executed) + 1):
        part = drawn[:, first : first + len(executed)]
        if part.shape[2] == executed.shape[1]:
            same = np.isclose(part, executed, rtol=1e-5, atol=1e-6).all(axis=(1, 2))
            if same.any():
                return int(np.argmax(same))
    return None
