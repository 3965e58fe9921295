"""Demonstrations as a policy learns from them that is told where things are: recorded once a task, and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.libero.told import context_of
from vla_cli.console import Console
from vla_cli.parallel import run_jobs
from vla_policy.instruction import embed
from vla_policy.manifest import ACTION_SCALE
from vla_policy.observation import CAMERAS, IMAGE_SIZE
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from benchmarks.experts.contexts import Demonstrations
    from sim_node.libero.tasks import LiberoTask

ATTEMPTS = 25
"""Demonstrations of a task, of which the successes are kept."""
RECORDED = "state_demonstrations"
"""Their folder, below that of everything about LIBERO."""


@dataclass(frozen=True)
class _Job:
    task: LiberoTask
    path: Path


def recordings(tasks: Sequence[LiberoTask], folder: Path, processes: int, console: Console) -> list[Demonstrations]:
    """The demonstrations of each task; those that are not in ``folder`` yet are recorded.

    :raises InputError: when LIBERO or its assets are missing, or the scripted expert never solves a task.
    """
    jobs = [_Job(task, folder / f"{task.suite}-{task.index}.npz") for task in tasks]
    missing = [job for job in jobs if not job.path.exists()]
    with console.progress("demonstrations", len(missing)) as advance:
        for job, kept in run_jobs(_record, missing, processes):
            advance(1, f"{kept} of {ATTEMPTS}: {job.task.instruction}")
    return [_read(job) for job in jobs]


def _record(job: _Job) -> int:
    """Runs in a process of its own; returns how many demonstrations succeeded."""
    from sim_node.libero.bed import LiberoBed
    from sim_node.libero.demonstrations import HOLD, demonstrate

    blank = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    bed = LiberoBed(render=False, hold=HOLD)
    bed.images = lambda: dict.fromkeys(CAMERAS, blank)  # type: ignore[method-assign]
    found = [demonstrate(bed, job.task, seed) for seed in range(ATTEMPTS)]
    bed.close()
    kept = [episode for episode in found if episode is not None]
    if not kept:
        raise InputError("the expert never succeeds", where=job.task.instruction, found=f"0 of {ATTEMPTS}")
    text = embed(job.task.instruction)
    context = [context_of(e["geometry"], e["proprio"], text) for e in kept]
    chunk = [(e["action"] / np.asarray(ACTION_SCALE)).reshape(len(e["action"]), -1) for e in kept]
    job.path.parent.mkdir(parents=True, exist_ok=True)
    partial = job.path.with_suffix(".part.npz")
    np.savez(
        partial,
        context=np.concatenate(context),
        chunk=np.concatenate(chunk).astype(np.float32),
        episode=np.repeat(np.arange(len(kept)), [len(c) for c in chunk]),
    )
    partial.replace(job.path)
    return len(kept)


def _read(job: _Job) -> Demonstrations:
    from benchmarks.experts.contexts import Demonstrations

    with np.load(job.path) as columns:
        return Demonstrations(job.task.instruction, columns["context"], columns["chunk"], columns["episode"])
