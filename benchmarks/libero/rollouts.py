"""Rollouts of a policy on LIBERO into a rollout store: nominal starts no demonstration used, and disturbed ones."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vla_cli.console import Console, Report
from vla_cli.episodes import NOMINAL, Episode
from vla_cli.parallel import run_jobs
from vla_cli.surroundings import require
from vla_uq.wire import Array

if TYPE_CHECKING:
    from policy_node.backends import Backend
    from sim_node.libero.bed import LiberoBed
    from sim_node.libero.tasks import LiberoTask

DISTURBED = ("outside", "arm", "lights")
NOMINAL_EPISODES, DISTURBED_EPISODES = 17, 4
"""Episodes a task: nominal, and of each disturbance."""


@dataclass(frozen=True)
class Options:
    """:param policy: folder of an exported policy.
    :param nominal: nominal episodes a task, at most the initial states that no demonstration used.
    :param disturbed: episodes a task and disturbance.
    :param draws: chunks to sample at each inference; the first is executed.
    """

    policy: Path
    nominal: int = NOMINAL_EPISODES
    disturbed: int = DISTURBED_EPISODES
    draws: int = 10
    processes: int = 2


@dataclass(frozen=True)
class Job:
    """The missing episodes of one task, played one after the other: a world takes seconds to build."""

    task: LiberoTask
    task_id: int
    episodes: tuple[Episode, ...]
    policy: Path
    draws: int
    store: Path


def collect(out: Path, options: Options, console: Console) -> Path:
    """Make the rollouts that the store does not hold yet.

    :param out: folder of the store.
    :returns: the same folder.
    :raises InputError: when LIBERO, its assets, a GL library or the policy are missing.
    """
    require("sim", "policy")
    from sim_node.libero.tasks import benchmark_tasks
    from vla_policy.manifest import Manifest
    from vla_uq.rollouts.store import RolloutStore

    Manifest.load(options.policy)
    store = RolloutStore(out)
    jobs, total = [], 0
    for task_id, task in enumerate(benchmark_tasks()):
        wanted = episodes(task.instruction, options)
        missing = tuple(episode for episode in wanted if episode.id not in store)
        total += len(wanted)
        if missing:
            jobs.append(Job(task, task_id, missing, options.policy, options.draws, out))
    left = sum(len(job.episodes) for job in jobs)
    if left < total:
        console.say(f"{total - left} of {total} rollouts are there already")
    with console.progress("rollouts", left) as advance:
        for job, wins in run_jobs(play_task, jobs, options.processes):
            advance(len(job.episodes), f"{wins} of {len(job.episodes)} succeed: {job.task.instruction}")
    return out


def episodes(instruction: str, options: Options) -> list[Episode]:
    """What is played of one task: initial states that no demonstration used, in turn."""
    from sim_node.libero.demonstrations import STATES as USED
    from sim_node.libero.tasks import STATES

    starts = range(USED, STATES)
    nominal = [Episode(instruction, seed) for seed in starts[: options.nominal]]
    return nominal + [Episode(instruction, seed, name) for name in DISTURBED for seed in starts[: options.disturbed]]


def play_task(job: Job) -> int:
    """Play and write the episodes of a job; returns how many succeeded. Runs in a process of its own."""
    from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore

    bed, backend = _room(job.policy, job.draws)
    store, policy, wins = RolloutStore(job.store), backend.info, 0
    for episode in job.episodes:
        bed.reset(episode.task, episode.seed, episode.disturbance)
        success, tensors = play(bed, backend, episode.seed)
        meta = RolloutMeta(
            episode_id=episode.id,
            task=episode.task,
            seed=episode.seed,
            disturbance=episode.disturbance,
            success=success,
            steps=bed.step,
            policy_fingerprint=policy.fingerprint,
            execute_steps=policy.execute_steps,
            step_duration=policy.step_duration,
            extra={"suite": job.task.suite, "task_id": job.task_id, "horizon": bed.horizon},
        )
        store.add(Rollout(meta, tensors))
        wins += success
    return wins


def play(bed: LiberoBed, backend: Backend, seed: int) -> tuple[bool, dict[str, Array]]:
    """One episode, from a bed that has just been reset to its success or its horizon.

    Every action starts from the pose measured at its step, as the policy was trained.

    :returns: success, and tensor name to (T, ...), one entry an inference.
    """
    backend.reset(bed.instruction, seed)
    rows: list[Mapping[str, Array]] = []
    success = False
    while bed.step < bed.horizon and not success:
        inference = backend.act(bed.observe())
        rows.append(backend.introspect(inference))
        for delta, opening in list(zip(inference.actions, inference.gripper, strict=True))[
            : backend.info.execute_steps
        ]:
            bed.step_delta(np.asarray(delta, float), float(opening))
            success = bed.success()
            if success or bed.step >= bed.horizon:
                break
    return success, {name: np.stack([row[name] for row in rows]) for name in rows[0]}


@functools.lru_cache(maxsize=1)
def _room(policy: Path, draws: int) -> tuple[LiberoBed, Backend]:
    """A bed and a policy, made once a process."""
    from policy_node import backends
    from sim_node.libero.bed import LiberoBed

    return LiberoBed(), backends.load("", policy, draws=draws, last_layer=True)


def summary(folder: Path) -> Report:
    """Success by suite and disturbance, and by task in nominal scenes."""
    from vla_uq.evaluation.intervals import wilson
    from vla_uq.rollouts.store import RolloutStore

    outcomes: dict[tuple[str, str, str], list[bool]] = {}
    for meta in RolloutStore(folder).metas():
        suite = str(meta.extra.get("suite", ""))
        for key in ((suite, meta.disturbance, "all"), *([(suite, NOMINAL, meta.task)] if meta.nominal else [])):
            outcomes.setdefault(key, []).append(bool(meta.success))
    rows: list[dict[str, Any]] = []
    for (suite, disturbance, task), wins in _ordered(outcomes):
        low, high = wilson(sum(wins), len(wins))
        rows.append({
            "suite": suite, "disturbance": disturbance, "task": task,
            "n": len(wins), "success": sum(wins) / len(wins), "low": low, "high": high,
        })  # fmt: skip
    columns = ("suite", "disturbance", "task", "n", "success", "low", "high")
    return Report(f"Rollouts in {folder} (95 % Wilson intervals)", columns, rows, data={"store": str(folder)})


def _ordered(outcomes: Mapping[tuple[str, str, str], list[bool]]) -> Iterable[tuple[tuple[str, str, str], list[bool]]]:
    """The lines over all tasks first."""
    return sorted(outcomes.items(), key=lambda item: (item[0][2] != "all", item[0]))
