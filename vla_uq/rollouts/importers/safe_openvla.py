"""Rollouts of OpenVLA as SAFE's fork records them (vla-safe/openvla, ``run_libero_eval.py``; the WidowX release)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.rollouts.aggregation import Operation, aggregate
from vla_uq.rollouts.importers.base import Episode, Files, Format, episode_id
from vla_uq.rollouts.importers.records import float_array, outcome, record_field, step_duration
from vla_uq.rollouts.store import NOMINAL, Rollout, RolloutMeta

NAME = "safe_openvla"
AGGREGATIONS: tuple[Operation, ...] = ("mean", 0.0, 1.0)
"""Over the seven tokens; the first is the default."""
TOKENS = 7
_FILE = re.compile(r"task_?(?P<task>.+?)--ep(?P<episode>\d+)--succ(?P<success>[01])")
_ACTION = [f"action/d{axis}" for axis in ("x", "y", "z", "roll", "pitch", "yaw", "gripper")]
_SPREAD = ("total_var", "general_var", "pos_var", "rot_var", "gripper_var", "entropy_linkage.01", "entropy_linkage.05")


def find(root: Path) -> Iterator[Episode]:
    """``<note>/<suite>/task{T}--ep{E}--succ{S}.{csv,pkl}``; one of the two may be missing."""
    stems = {path.with_suffix("") for kind in ("*.pkl", "*.csv") for path in root.resolve().rglob(f"task{kind}")}
    for stem in sorted(stems):
        match = _FILE.fullmatch(stem.name)
        if match is not None and stem.parent.name != "env_records":
            paths = [path for kind in (".pkl", ".csv") if (path := stem.parent / f"{stem.name}{kind}").is_file()]
            yield Files(NAME, stem.parts[-3:], paths).episode(partial(_read, match))


FORMAT = Format(NAME, "<note>/<suite>/task{T}--ep{E}--succ{0|1}.pkl and .csv", find)


def _read(name: re.Match[str], files: Files) -> Rollout:
    """One rollout.

    :raises InputError: when a file is broken, or the two do not fit together.
    """
    note, suite, _ = files.source.split("/")
    numbered = {"task_id": int(name["task"])} if name["task"].isdigit() else {}
    episode, success, task = int(name["episode"]), name["success"] == "1", name["task"]
    tensors: dict[str, NDArray[np.float32]] = {}
    for path in files.paths:
        if path.suffix == ".csv":
            tensors |= _logged(files.table(path))
            continue
        record = files.pickle(path)
        states = record_field(record, "hidden_states", (np.ndarray, list))
        states = float_array(np.stack(states) if isinstance(states, list) else states, "hidden_states", 3)
        for operation in AGGREGATIONS:
            tensors[f"features/token_{operation}"] = aggregate(states, operation)
        tensors["features"] = tensors[f"features/token_{AGGREGATIONS[0]}"]
        success = outcome(record, "episode_success", success)
        episode = record_field(record, ("episode_idx", "eposide_idx"), int)
        numbered = {"task_id": record_field(record, "task_id", int)}
        task = record_field(record, "task_description", str)
        suite = record_field(record, "task_suite_name", str)
    lengths = {len(value) for value in tensors.values()}
    if len(lengths) != 1:
        raise InputError("hidden states and table differ in length", found=sorted(lengths) or "neither")
    meta = RolloutMeta(
        episode_id=episode_id(NAME, files.source),
        task=task,
        seed=episode,
        disturbance=NOMINAL,
        success=success,
        steps=lengths.pop(),
        policy_fingerprint=f"{NAME}:{note}",
        execute_steps=1,
        step_duration=step_duration(suite, note.removeprefix("openvla_")),
        extra=files.extra(suite=suite, episode=episode, **numbered),
    )
    return Rollout(meta, tensors)


def _logged(table: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float32]]:
    """What the table adds: the executed action, and of several draws their spread, else what tokens were likely.

    The recorder logs the most likely token's probability, over a slice of the vocabulary that lacks the first of the
    action's bins and has a token too many behind the last. It decodes greedily: the sampled token is the likeliest.
    """
    tensors = {}
    if set(_ACTION) <= set(table):
        tensors["samples"] = np.stack([table[name] for name in _ACTION], axis=-1)[:, None, None, None, :]
    for name in _SPREAD:
        if f"action/{name}" in table:
            tensors[f"scores/{name}"] = table[f"action/{name}"][:, None]
    likely = [table[name] for i in range(TOKENS) if (name := f"action/token_{i}_prob") in table]
    entropies = [table[name] for i in range(TOKENS) if (name := f"action/token_{i}_entropy") in table]
    if len(likely) == len(entropies) == TOKENS:
        with np.errstate(divide="ignore"):
            tensors["token_logprobs"] = np.log(np.stack(likely, axis=-1))
        tensors["token_entropies"] = np.stack(entropies, axis=-1)
    return {name: value.astype(np.float32) for name, value in tensors.items()}
