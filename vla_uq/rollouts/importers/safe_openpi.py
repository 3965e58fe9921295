"""Rollouts of pi0 and pi0-FAST as SAFE's fork of openpi records them (vla-safe/openpi, ``policy.py``, ``main.py``).

The environment writes one record an episode, the policy's server one an inference. SAFE's loaders pair them by the
order in which all of them were written, which one crash shifts for good. Here the policy's records are found by run,
task and episode, and must follow each other at the distance of ``replan_steps`` environment steps.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.token_statistics import token_statistics
from vla_uq.errors import InputError
from vla_uq.rollouts.aggregation import Operation, aggregate
from vla_uq.rollouts.importers.base import Episode, Files, Format, episode_id
from vla_uq.rollouts.importers.records import float_array, outcome, record_field, stack, step_duration
from vla_uq.rollouts.store import NOMINAL, Rollout, RolloutMeta

NAME = "safe_openpi"
FLOW: tuple[Operation, ...] = ("concat-2", 0.0, 1.0)
"""Of pi0's ``pre_velocity``, over the actions of the chunk, then over the flow steps."""
TOKEN: tuple[Operation, ...] = ("mean", 0.0, 1.0)
"""Of pi0-FAST's ``encoded`` and ``pre_logits``, over the tokens."""
DEFAULTS = ("features/h_concat-2.t_0.0", "features/pre_logits.token_mean")
"""The features where nothing else is asked for, of pi0 and of pi0-FAST."""

_ENV = re.compile(r"task(?P<task>\d+)--ep(?P<episode>\d+)--succ(?P<success>[01])(--meta)?\.pkl")
_POLICY = re.compile(
    r"step_(?P<order>\d+)--(?P<run>.*)--task_(?P<task>\d+)--ep_(?P<episode>\d+)--t_(?P<t>\d+)--meta\.pkl"
)


@dataclass(frozen=True, order=True)
class _Inference:
    """A record of the policy, by its name.

    :param order: how many records the server had written before.
    :param t: environment step.
    """

    order: int
    t: int
    run: str
    path: Path


def find(root: Path) -> Iterator[Episode]:
    """``<run>/env_records/task{T}--ep{E}--succ{S}.pkl`` beside ``<run>/policy_records/step_…--meta.pkl``."""
    for env_folder in sorted(path for path in root.resolve().rglob("env_records") if path.is_dir()):
        yield from _run(env_folder)


FORMAT = Format(NAME, "<run>/env_records/task{T}--ep{E}--succ{0|1}.pkl and <run>/policy_records/*--meta.pkl", find)


def _run(env_folder: Path) -> Iterator[Episode]:
    recorded: dict[tuple[int, int], list[_Inference]] = defaultdict(list)
    for path in (env_folder.parent / "policy_records").glob("*--meta.pkl"):
        if (name := _POLICY.fullmatch(path.name)) is not None:
            inference = _Inference(int(name["order"]), int(name["t"]), name["run"], path)
            recorded[int(name["task"]), int(name["episode"])].append(inference)
    for path in sorted(env_folder.glob("*.pkl")):
        if (name := _ENV.fullmatch(path.name)) is not None:
            inferences = sorted(recorded[int(name["task"]), int(name["episode"])])
            files = [path, *(inference.path for inference in inferences)]
            stem = path.stem.removesuffix("--meta")
            names = (env_folder.parent.parent.name, env_folder.parent.name, stem)
            yield Files(NAME, names, files).episode(partial(_read, name, inferences))


def _read(name: re.Match[str], recorded: Sequence[_Inference], files: Files) -> Rollout:
    """One rollout.

    :raises InputError: when a record is broken, or the policy's do not make up the episode.
    """
    env = files.pickle(files.paths[0])
    success = outcome(env, "episode_success", name["success"] == "1")
    replan = record_field(env, "replan_steps", int)
    chosen = _belonging(env, replan, recorded, files.paths[0].parent.parent.name)
    # One at a time: a record of pi0 has 2 MB, an episode 100 of them.
    tensors = stack([_tensors(files, inference.path) for inference in chosen])
    default = next((default for default in DEFAULTS if default in tensors), None)
    if default is not None:
        tensors["features"] = tensors[default]
    suite, task_id = record_field(env, "task_suite_name", str), record_field(env, "task_id", int)
    episode = record_field(env, ("episode_idx", "eposide_idx"), int)
    return Rollout(
        RolloutMeta(
            episode_id=episode_id(NAME, files.source),
            task=record_field(env, "task_description", str),
            seed=episode,
            disturbance=NOMINAL,
            success=success,
            steps=len(env["step_done"]) if "step_done" in env else len(chosen) * replan,
            policy_fingerprint=f"{NAME}:{chosen[0].run}",
            execute_steps=replan,
            step_duration=step_duration(suite),
            extra=files.extra(suite=suite, task_id=task_id, episode=episode, run=chosen[0].run),
        ),
        tensors,
    )


def _belonging(env: Any, replan: int, recorded: Sequence[_Inference], run: str) -> list[_Inference]:
    """The policy's records of an episode, each ``replan`` environment steps after the one before.

    :param recorded: all of this task and episode, in the order of writing; an episode that was broken off and played
        again, or was played in another run too, has more than one sequence.
    :raises InputError: when none is complete, or more than one is.
    """
    runs = sorted({inference.run for inference in recorded})
    if len(runs) > 1 and run not in runs:
        raise InputError("policy records are of several runs", where="policy_records", expected=run, found=runs)
    sequences: list[list[_Inference]] = []
    for inference in recorded:
        if len(runs) > 1 and inference.run != run:
            continue
        if not sequences or inference.t <= sequences[-1][-1].t:
            sequences.append([])
        sequences[-1].append(inference)
    times = env.get("model_infer_times")
    complete = [s for s in sequences if times is None or len(s) == times]
    if len(complete) != 1:
        raise InputError(
            "policy records do not make up the episode",
            where="policy_records",
            expected=f"one sequence of {'some' if times is None else times}",
            found=f"{' and '.join(str(len(s)) for s in sequences) or 'none'}",
        )
    first = env.get("num_steps_wait", complete[0][0].t)
    for k, inference in enumerate(complete[0]):
        if inference.t != first + k * replan:
            raise InputError(
                "policy records do not follow each other",
                where=inference.path.name,
                expected=f"environment step {first + k * replan}",
                found=inference.t,
            )
    return complete[0]


def _tensors(files: Files, path: Path) -> dict[str, NDArray[np.float32]]:
    """What one record of the policy holds.

    :raises InputError: naming the file and the field.
    """
    record = files.pickle(path)
    try:
        actions = record_field(record, "actions", np.ndarray)
        # The recorder wrote (H, A) before it could draw several chunks, and executes the first.
        actions = float_array(actions[None] if actions.ndim == 2 else actions, "actions", 3)
        found = {"samples": actions[None]}
        if "pre_velocity" in record:
            states = float_array(record["pre_velocity"], "pre_velocity", 3)
            for h in FLOW:
                chunk = aggregate(states, h)
                found |= {f"features/h_{h}.t_{t}": aggregate(chunk, t) for t in FLOW}
        for layer in ("encoded", "pre_logits"):
            if layer in record:
                states = float_array(record[layer], layer, 2)
                found |= {f"features/{layer}.token_{t}": aggregate(states, t) for t in TOKEN}
        if "logits" in record:
            found |= _tokens(record)
        return found
    except InputError as error:
        raise error.at(path.name) from error


def _tokens(record: Any) -> dict[str, NDArray[np.float32]]:
    """How likely the sampled action tokens were among all action tokens: the record holds no others' logits."""
    logits = float_array(record["logits"], "logits", 2)
    tokens = float_array(np.atleast_2d(record_field(record, "raw_actions", np.ndarray)), "raw_actions", 2)[0]
    sampled = tokens.astype(np.int64) - record_field(record, "action_start_index_in_vocab", int)
    found = token_statistics(logits, slice(0, logits.shape[1]), sampled)
    return {"token_logprobs": found.logprobs, "token_entropies": found.entropies}
