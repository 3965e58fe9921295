"""Demonstrations of the scripted expert, and the ensemble trained on them by the recipe of the shipped policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vla_cli.console import Console
from vla_cli.parallel import run_jobs
from vla_cli.surroundings import require, versions
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from sim_node.libero.tasks import LiberoTask
    from vla_policy.nets import Member
    from vla_policy.training import Recipe

DEMONSTRATIONS, ITERATIONS, BATCH = 20, 5000, 64
"""Demonstrations a task, and what differs from the shipped policy's recipe: half of its batch."""


@dataclass(frozen=True)
class _Job:
    task: LiberoTask
    number: int
    folder: Path


def demonstrations(folder: Path, number: int, processes: int, console: Console) -> list[Path]:
    """Record the tasks that are not there yet.

    :param number: initial states to start from, a task.
    :raises InputError: when LIBERO, its assets or a GL library are missing.
    """
    require("sim")
    from sim_node.libero.tasks import benchmark_tasks

    jobs = [_Job(task, number, folder) for task in benchmark_tasks()]
    paths = []
    with console.progress("tasks", len(jobs)) as advance:
        for job, path in run_jobs(_demonstrate, jobs, processes):
            advance(1, job.task.instruction)
            paths.append(path)
    return sorted(paths)


def _demonstrate(job: _Job) -> Path:
    from sim_node.libero.demonstrations import collect_task

    return collect_task(job.task, job.number, job.folder)


def train(source: Path, folder: Path, seeds: Sequence[int], iterations: int, console: Console) -> str:
    """Train the members that are not there yet, export all, and return the policy's fingerprint.

    :param source: folder of demonstrations.
    :param seeds: one a member; the first one acts.
    :raises InputError: when there are no demonstrations.
    """
    paths = sorted(source.glob("*.safetensors"))
    if not paths:
        remedy = "make them with: python -m benchmarks.libero demonstrations"
        raise InputError("no demonstrations", where=str(source), remedy=remedy)
    require("train", "policy")
    from vla_policy.export import export
    from vla_policy.training import Recipe, load

    recipe = Recipe(iterations=iterations, batch=BATCH)
    data = load(paths)
    members = [
        _member(data, seed, recipe, folder / "members" / f"member_{seed}.safetensors", console) for seed in seeds
    ]
    training = {
        "seeds": list(seeds),
        "recipe": asdict(recipe),
        "demonstrations": [path.stem for path in paths],
        "samples": len(data["chunk"]),
        "versions": versions(),
    }
    return export(members, folder, training).fingerprint


def _member(data: Mapping[str, Tensor], seed: int, recipe: Recipe, path: Path, console: Console) -> Member:
    from vla_policy.training import restore, save, train

    if path.exists():
        console.say(f"member {seed} is there already: {path}")
        return restore(path)
    with console.progress(f"member {seed}", recipe.iterations) as advance:
        done = 0

        def progress(iteration: int, losses: Mapping[str, float]) -> None:
            nonlocal done
            advance(iteration - done, " ".join(f"{name} {loss:.3f}" for name, loss in losses.items()))
            done = iteration

        member = train(data, seed, recipe, progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    save(member, partial, seed)
    partial.replace(path)
    return member
