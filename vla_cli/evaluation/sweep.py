"""Every candidate of every row on every split, in parallel; what is done is kept for an interrupted comparison."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vla_cli.cluster import run_on_ray
from vla_cli.console import Console
from vla_cli.parallel import run_jobs
from vla_uq.detectors import DETECTORS
from vla_uq.errors import InputError
from vla_uq.evaluation.episodes import open_store
from vla_uq.evaluation.results import RunResult, best
from vla_uq.evaluation.runner import ALPHAS, Job, run
from vla_uq.evaluation.selection import Row, described
from vla_uq.evaluation.splits import Split
from vla_uq.evaluation.table import Comparison
from vla_uq.rollouts.store import RolloutMeta, RolloutStore

RESULTS = 2
"""Version of what a kept result says; raise it when the same fit would give another result."""


@dataclass(frozen=True)
class Plan:
    """What to compare, and how.

    :param store: folder of the rollouts.
    :param kept: JSON lines with the results so far.
    :param processes: on this machine; not used with ``ray``.
    :param ray: run on a Ray cluster, whose machines must all see ``store`` under the same path.
    """

    store: Path
    splits: Sequence[Split]
    rows: Sequence[Row]
    kept: Path
    alphas: tuple[float, ...] = ALPHAS
    processes: int = 1
    ray: bool = False


def compare(plan: Plan, console: Console) -> Comparison:
    """Evaluate what has not been evaluated yet.

    :raises InputError: when the store lacks an episode of a split, or Ray is asked for and not installed.
    """
    metas = {name: rollout.meta for name, rollout in open_store(plan.store).items()}
    _check(plan, metas)
    files = {split.name: contents(plan.store, split) for split in plan.splits}
    fits = [(row, split, candidate) for row in plan.rows for split in plan.splits for candidate in row.candidates]
    store = plan.store.resolve()  # the working directory of another process may be another
    jobs = [Job(store, split, replace(row, candidates=(one,)), plan.alphas) for row, split, one in fits]
    keys = [key(job, files[job.split.name]) for job in jobs]
    done = kept(plan.kept)
    missing = {name: job for name, job in zip(keys, jobs, strict=True) if name not in done}
    if len(missing) < len(jobs):
        console.say(f"{len(jobs) - len(missing)} of {len(jobs)} fits are kept in {plan.kept}")
    _evaluate(plan, missing, done, console)
    groups: dict[tuple[str, str], list[RunResult]] = {}
    for name, job in zip(keys, jobs, strict=True):
        groups.setdefault((job.row.name, job.split.name), []).append(done[name])
    return Comparison([best(candidates) for candidates in groups.values()], plan.splits, metas)


def _evaluate(plan: Plan, missing: Mapping[str, Job], done: dict[str, RunResult], console: Console) -> None:
    """Run jobs by their keys; each result is kept as it comes."""
    # Each process has one core: numeric libraries that start threads of their own would fight over it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    work = list(missing.items())
    found = run_on_ray(_keyed, work) if plan.ray else run_jobs(_keyed, work, plan.processes)
    plan.kept.parent.mkdir(parents=True, exist_ok=True)
    with plan.kept.open("a") as file, console.progress("fits", len(missing)) as advance:
        for (name, job), result in found:
            done[name] = result
            file.write(json.dumps({"key": name, "result": result.document()}, allow_nan=False) + "\n")
            file.flush()
            advance(1, f"{job.row.name}, {job.split.name}{': left out' if result.refused else ''}")


def _keyed(job: tuple[str, Job]) -> RunResult:
    return run(job[1])


def key(job: Job, files: str) -> str:
    """Fingerprint of everything that a result depends on.

    :param files: fingerprint of the episodes' files.
    """
    row = {**asdict(job.row), "candidates": [described(candidate) for candidate in job.row.candidates]}
    facts = [RESULTS, files, job.split.digest, row, DETECTORS[job.row.detector].version, job.alphas]
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=12).hexdigest()


def contents(folder: Path, split: Split) -> str:
    """Fingerprint of a split's files in a store, by size and time: files that were made again are other files."""
    store = RolloutStore(folder)
    paths = [store.path(name) for name in sorted({name for names in split.parts.values() for name in names})]
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=12).hexdigest()


def kept(path: Path) -> dict[str, RunResult]:
    """Results of earlier runs by key; a line that was cut off while it was written is not one."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            document = json.loads(line)
            found[document["key"]] = RunResult.from_document(document["result"])
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _check(plan: Plan, metas: Mapping[str, RolloutMeta]) -> None:
    """Refuse manifests that the store cannot serve, and rows or splits of the same name, which would be mixed up."""
    for split in plan.splits:
        split.check(metas.keys())
    for what, names in (("rows", [r.name for r in plan.rows]), ("splits", [s.name for s in plan.splits])):
        doubled = next((name for name in names if names.count(name) > 1), None)
        if doubled is not None:
            raise InputError(f"two {what} have the same name", where="evaluate", found=doubled)
