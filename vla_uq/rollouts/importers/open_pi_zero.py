"""Rollouts of open-pi-zero in SimplerEnv (pi0* in the SAFE paper; the layout as SAFE's loader reads it)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.rollouts.aggregation import Operation, aggregate
from vla_uq.rollouts.importers.base import Episode, Files, Format, episode_id
from vla_uq.rollouts.importers.records import float_array, outcome, record_field, stack, step_duration
from vla_uq.rollouts.store import NOMINAL, Rollout, RolloutMeta

NAME = "open_pi_zero"
AGGREGATIONS: tuple[Operation, ...] = ("concat-2", 0.0, 1.0, "mean")
"""Over the actions of the chunk, then over the flow steps."""
DEFAULT = "features/h_concat-2.t_0.0"
TASKS = (
    "widowx_carrot_on_plate",
    "widowx_put_eggplant_in_basket",
    "widowx_spoon_on_towel",
    "widowx_stack_cube",
    "google_robot_move_near_v0",
    "google_robot_open_drawer",
    "google_robot_close_drawer",
    "google_robot_place_apple_in_closed_top_drawer",
)
"""SAFE numbers those that are present in this order."""
EXECUTE = {"widowx": 4, "google_robot": 2}
_FILE = re.compile(r"episode_(?P<episode>\d+)_success_(?P<success>True|False)\.pkl")


def find(root: Path) -> Iterator[Episode]:
    """``<checkpoint>/<environment>/episode_{i}_success_{True|False}.pkl`` and ``_meta.json``."""
    for path in sorted(root.resolve().rglob("episode_*_success_*.pkl")):
        name = _FILE.fullmatch(path.name)
        meta = path.with_name(f"{path.stem}_meta.json")
        if name is not None:
            files = Files(NAME, (*path.parts[-3:-1], path.stem), [path, meta] if meta.is_file() else [path])
            yield files.episode(partial(_read, name))


FORMAT = Format(NAME, "<checkpoint>/<environment>/episode_{i}_success_{True|False}.pkl and _meta.json", find)


def _read(name: re.Match[str], files: Files) -> Rollout:
    """One rollout.

    :raises InputError: when a file is broken or missing.
    """
    if len(files.paths) < 2:
        raise InputError("has no description", where=files.paths[0].name, expected="a file _meta.json beside it")
    meta = files.json(files.paths[1])
    checkpoint, environment, _ = files.source.split("/")
    records = files.pickle(files.paths[0])
    if not isinstance(records, list):
        raise InputError("is no list of inferences", where=files.paths[0].name, found=type(records).__name__)
    tensors = stack([_tensors(record) for record in records])
    tensors["features"] = tensors[DEFAULT]
    execute = next((n for start, n in EXECUTE.items() if environment.startswith(start)), 0)
    episode = record_field(meta, "episode_id", int)
    present = [task for task in TASKS if (files.paths[0].parents[1] / task).is_dir()]
    numbered = {"task_id": present.index(environment)} if environment in present else {}
    return Rollout(
        RolloutMeta(
            episode_id=episode_id(NAME, files.source),
            task=record_field(meta, "task", str),
            seed=episode,
            disturbance=NOMINAL,
            success=outcome(meta, "success", name["success"] == "True"),
            steps=meta.get("final_timestep") or execute * len(records),
            policy_fingerprint=f"{NAME}:{checkpoint}",
            execute_steps=execute,
            step_duration=step_duration(environment),
            extra=files.extra(suite="simplerenv", environment=environment, episode=episode, **numbered),
        ),
        tensors,
    )


def _tensors(record: Any) -> dict[str, NDArray[np.float32]]:
    """What one inference left.

    :raises InputError: naming the field.
    """
    embedded = float_array(record_field(record, "sampled_action_embeds", np.ndarray), "sampled_action_embeds", 4)
    samples = float_array(record_field(record, "sampled_actions", np.ndarray), "sampled_actions", 3)
    # It executes the last of its draws: that one's embedding counts, and it goes to the front.
    found = {"samples": np.roll(samples, 1, axis=0)[None]}
    for h in AGGREGATIONS:
        chunk = aggregate(embedded[-1], h)
        found |= {f"features/h_{h}.t_{t}": aggregate(chunk, t) for t in AGGREGATIONS}
    return found
