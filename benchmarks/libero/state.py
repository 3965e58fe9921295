"""A policy on LIBERO that is told where things are: the same flow head and recipe, with a perfect eye in place of the
encoder. It needs no rendering, so it is there in minutes, and it works well enough to fail now and then.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.libero import rollouts
from benchmarks.libero.recordings import RECORDED, recordings
from benchmarks.libero.told import Told
from vla_cli.console import Console
from vla_cli.episodes import Episode
from vla_cli.parallel import run_jobs
from vla_policy.instruction import embed
from vla_policy.manifest import ACTION_SCALE
from vla_uq.flow.quadrature import grid

if TYPE_CHECKING:
    from benchmarks.experts.contexts import Demonstrations
    from benchmarks.experts.heads import Heads
    from sim_node.libero.tasks import LiberoTask

Floats = NDArray[np.float32]
DISTURBED = ("outside", "arm")
"""Lights mean nothing to a policy without cameras."""
STEPS, EXECUTED, DRAWS = 8000, 6, 10


@dataclass(frozen=True)
class Job:
    """Episodes of one task, to play."""

    task: LiberoTask
    task_id: int
    episodes: tuple[Episode, ...]
    folder: Path
    heads: Path


def collect(folder: Path, console: Console, *, nominal: int = 17, disturbed: int = 5, processes: int = 2) -> Path:
    """Demonstrations, two experts, rollouts: what is missing of each, below ``folder``.

    :param nominal: episodes a task, and ``disturbed`` of each disturbance.
    :returns: the rollout store.
    :raises InputError: when LIBERO or its assets are missing.
    """
    from sim_node.libero.tasks import benchmark_tasks
    from vla_uq.rollouts.store import RolloutStore

    tasks = benchmark_tasks()
    demonstrations = recordings(tasks, folder / RECORDED, processes, console)
    heads = folder / "state_policy.safetensors"
    if not heads.exists():
        _train(demonstrations, heads, console)
    store = RolloutStore(folder / "state_rollouts")
    options = rollouts.Options(heads, nominal, disturbed)
    jobs = []
    for i, task in enumerate(tasks):
        wanted = [e for e in rollouts.episodes(task.instruction, options) if e.disturbance in ("none", *DISTURBED)]
        left = tuple(e for e in wanted if e.id not in store)
        if left:
            jobs.append(Job(task, i, left, store.folder, heads))
    with console.progress("rollouts", sum(len(job.episodes) for job in jobs)) as advance:
        for job, wins in run_jobs(_play_task, jobs, processes):
            advance(len(job.episodes), f"{wins} of {len(job.episodes)} succeed: {job.task.instruction}")
    return store.folder


def _train(demonstrations: Sequence[Demonstrations], out: Path, console: Console) -> None:
    from benchmarks.experts.heads import Heads, Training, train

    with console.progress("training two experts", 2 * STEPS) as advance:
        train(Heads([0, 1]), [(1.0, demonstrations)], Training(STEPS), 0, advance).save(out)


def _play_task(job: Job) -> int:
    from vla_policy.manifest import sha256
    from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore

    told, store, wins = _told(), RolloutStore(job.folder), 0
    for episode in job.episodes:
        told.enter(episode.task, episode.seed, disturbance=episode.disturbance)
        success, tensors = _play(told, _heads(job.heads), episode.seed)
        meta = RolloutMeta(
            episode_id=episode.id,
            task=episode.task,
            seed=episode.seed,
            disturbance=episode.disturbance,
            success=success,
            steps=told.bed.step,
            policy_fingerprint=sha256(job.heads)[:16],
            execute_steps=EXECUTED,
            step_duration=0.05,
            extra={"suite": job.task.suite, "task_id": job.task_id, "horizon": told.bed.horizon},
        )
        store.add(Rollout(meta, tensors))
        wins += success
    return wins


def _play(told: Told, heads: Heads, seed: int) -> tuple[bool, dict[str, Floats]]:
    """One episode that has just begun; tensors are (T, …), one entry an inference."""
    rows: list[Mapping[str, Floats]] = []
    while told.left > 0:
        rows.append(_infer(heads, told.context(), 1000 * seed + len(rows)))
        chunk = np.clip(rows[-1]["samples"][0, 0] * np.asarray(ACTION_SCALE), -1, 1)
        if any(told.act(action) for action in chunk[: min(EXECUTED, told.left)]):
            return True, _stacked(rows)
    return False, _stacked(rows)


def _infer(heads: Heads, context: Floats, seed: int) -> dict[str, Floats]:
    """One inference: draws of both members from the same noise, both fields on the acting one's first path."""
    from benchmarks.estimators.sampling import disagreement, noise, paths
    from vla_policy.nets import FEATURE

    c = context[None].astype(np.float64)
    found = paths(heads, c, noise(heads, 1, DRAWS, seed, shared=True), grid())
    velocities = disagreement(heads, c, found, 1)[0][:, :, :1]
    kept = found.hidden[1:, 0, 0].numpy()
    features = np.concatenate([context[FEATURE : -len(embed(""))], found.hidden[0, 0, 0].numpy(), kept[-1]])
    return {
        "features": features,
        "flow_times": grid()[1:].astype(np.float32),
        "velocities": velocities,
        "samples": found.final[:, 0],
        "last_layer": kept[:, None],
    }


def _stacked(rows: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.stack([row[name] for row in rows]).astype(np.float32) for name in rows[0]}


@functools.lru_cache(maxsize=1)
def _told() -> Told:
    from sim_node.libero.bed import LiberoBed

    return Told(LiberoBed(render=False))


@functools.lru_cache(maxsize=1)
def _heads(path: Path) -> Heads:
    import torch

    from benchmarks.experts.heads import Heads

    torch.set_num_threads(1)
    return Heads.restore(path)
