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
from vla_cli.console import Console
from vla_cli.episodes import Episode
from vla_cli.parallel import run_jobs
from vla_policy.instruction import embed
from vla_policy.manifest import ACTION_SCALE
from vla_policy.observation import CAMERAS, IMAGE_SIZE, initial_gripper, proprioception
from vla_uq.flow.quadrature import grid

if TYPE_CHECKING:
    from benchmarks.experts.heads import Heads
    from sim_node.libero.bed import LiberoBed
    from sim_node.libero.tasks import LiberoTask

Floats = NDArray[np.float32]
DISTURBED = ("outside", "arm")
"""Lights mean nothing to a policy without cameras."""
DEMONSTRATIONS, STEPS, EXECUTED, DRAWS = 25, 8000, 6, 10


@dataclass(frozen=True)
class Job:
    """Episodes of one task, to demonstrate or to play."""

    task: LiberoTask
    task_id: int
    episodes: tuple[Episode, ...]
    folder: Path
    heads: Path | None = None


def collect(folder: Path, console: Console, *, nominal: int = 17, disturbed: int = 5, processes: int = 2) -> Path:
    """Demonstrations, two experts, rollouts: what is missing of each, below ``folder``.

    :param nominal: episodes a task, and ``disturbed`` of each disturbance.
    :returns: the rollout store.
    :raises InputError: when LIBERO or its assets are missing.
    """
    from sim_node.libero.tasks import benchmark_tasks
    from vla_uq.rollouts.store import RolloutStore

    tasks = benchmark_tasks()
    demos, heads = folder / "state_demonstrations", folder / "state_policy.safetensors"
    missing = [Job(t, i, (), demos) for i, t in enumerate(tasks) if not _file(demos, t).exists()]
    with console.progress("demonstrations", len(missing)) as advance:
        for job, wins in run_jobs(_demonstrate, missing, processes):
            advance(1, f"{wins} of {DEMONSTRATIONS}: {job.task.instruction}")
    if not heads.exists():
        _train([_file(demos, t) for t in tasks], heads, console)
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


# -- demonstrations and training -----------------------------------------------------------------------------------
def _file(folder: Path, task: LiberoTask) -> Path:
    return folder / f"{task.suite}-{task.index}.npz"


def _demonstrate(job: Job) -> int:
    """Successful demonstrations of a task: contexts and chunks."""
    from sim_node.libero.bed import LiberoBed
    from sim_node.libero.demonstrations import HOLD, demonstrate

    blank = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    bed = LiberoBed(render=False, hold=HOLD)
    bed.images = lambda: dict.fromkeys(CAMERAS, blank)  # type: ignore[method-assign]
    found = [demonstrate(bed, job.task, seed) for seed in range(DEMONSTRATIONS)]
    bed.close()
    kept = [episode for episode in found if episode is not None]
    text = embed(job.task.instruction)
    context = [context_of(e["geometry"], e["proprio"], text) for e in kept]
    chunk = [(e["action"] / np.asarray(ACTION_SCALE)).reshape(len(e["action"]), -1) for e in kept]
    job.folder.mkdir(parents=True, exist_ok=True)
    partial = _file(job.folder, job.task).with_suffix(".part.npz")
    np.savez(partial, context=np.concatenate(context), chunk=np.concatenate(chunk).astype(np.float32))
    partial.replace(_file(job.folder, job.task))
    return len(kept)


def context_of(geometry: Floats, proprio: Floats, text: Floats) -> Floats:
    """A context of the small policy without an encoder's features: (…, 173), zeros where those would be."""
    from vla_policy.nets import FEATURE

    shape = geometry.shape[:-1]
    parts = (np.zeros((*shape, FEATURE)), np.clip(geometry, -5, 5), proprio, np.broadcast_to(text, (*shape, len(text))))
    return np.concatenate(parts, axis=-1).astype(np.float32)


def _train(files: Sequence[Path], out: Path, console: Console) -> None:
    from benchmarks.experts.contexts import Demonstrations
    from benchmarks.experts.heads import Heads, Training, train

    data = []
    for file in files:
        columns = np.load(file)
        data.append(
            Demonstrations(file.stem, columns["context"], columns["chunk"], np.zeros(len(columns["chunk"]), np.int64))
        )
    with console.progress("training two experts", 2 * STEPS) as advance:
        train(Heads([0, 1]), [(1.0, data)], Training(STEPS), 0, advance).save(out)


# -- rollouts ------------------------------------------------------------------------------------------------------
def _play_task(job: Job) -> int:
    from vla_policy.manifest import sha256
    from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore

    assert job.heads is not None
    bed, store, wins = _bed(), RolloutStore(job.folder), 0
    for episode in job.episodes:
        bed.reset(episode.task, episode.seed, episode.disturbance)
        success, tensors = _play(bed, _heads(job.heads), episode.seed)
        meta = RolloutMeta(
            episode_id=episode.id,
            task=episode.task,
            seed=episode.seed,
            disturbance=episode.disturbance,
            success=success,
            steps=bed.step,
            policy_fingerprint=sha256(job.heads)[:16],
            execute_steps=EXECUTED,
            step_duration=0.05,
            extra={"suite": job.task.suite, "task_id": job.task_id, "horizon": bed.horizon},
        )
        store.add(Rollout(meta, tensors))
        wins += success
    return wins


def _play(bed: LiberoBed, heads: Heads, seed: int) -> tuple[bool, dict[str, Floats]]:
    """One episode from a bed that was just reset; tensors are (T, …), one entry an inference."""
    from sim_node.libero.demonstrations import STEPS as SCALE
    from sim_node.libero.demonstrations import geometry

    text, opening = embed(bed.instruction), initial_gripper(bed.observe())
    goals = tuple(g for g in bed.world.goals if g.verb == "close" or not bed.world.holds(g))
    rows: list[Mapping[str, Floats]] = []
    while bed.step < bed.horizon:
        context = context_of(geometry(bed.world, goals), proprioception(bed.observe(), opening), text)
        rows.append(_infer(heads, context, 1000 * seed + len(rows)))
        chunk = np.clip(rows[-1]["samples"][0, 0] * np.asarray(ACTION_SCALE), -1, 1)
        for action in chunk[:EXECUTED]:
            opening = 0.0 if action[6] > 0 else 1.0
            bed.step_delta(action[:6] * SCALE, opening)
            if bed.success():
                return True, _stacked(rows)
            if bed.step >= bed.horizon:
                break
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
def _bed() -> LiberoBed:
    from sim_node.libero.bed import LiberoBed

    return LiberoBed(render=False)


@functools.lru_cache(maxsize=1)
def _heads(path: Path) -> Heads:
    import torch

    from benchmarks.experts.heads import Heads

    torch.set_num_threads(1)
    return Heads.restore(path)
