"""How often the shipped policy succeeds, and what the shipped monitor makes of it: episodes never used elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Options, Result, command
from vla_cli.console import Console
from vla_cli.episodes import HELD_OUT, NOMINAL, SEEDS, TRAINED_ON, Episode, episodes
from vla_cli.parallel import run_jobs
from vla_cli.shipped import bundle_file, policy_folder
from vla_cli.surroundings import require

EPISODES, QUICK_EPISODES = 20, 2
COLUMNS = (
    "disturbance", "task", "n", "success", "low", "high", "mean_vfd",
    "failures", "detected", "median_alarm_step", "successes", "flagged",
)  # fmt: skip


@dataclass(frozen=True)
class Played:
    """What is kept of an episode.

    :param vfd: mean over its inferences.
    :param alarm_step: None when the monitor stayed silent.
    """

    id: str
    disturbance: str
    task: str
    seed: int
    success: bool
    steps: int
    vfd: float
    alarm_step: int | None
    identity: str

    @property
    def flagged(self) -> bool:
        return self.alarm_step is not None


@dataclass(frozen=True)
class Job:
    """One episode, and what to play it with."""

    episode: Episode
    policy: Path
    bundle: Path


def play(job: Job) -> Played:
    """Play one episode in shadow mode: what the guard would have stopped is seen, and so is how it would have ended."""
    from vla_cli.chain import open_chain
    from vla_uq.uncertainty.vfd import vfd

    chain = open_chain(job.policy, job.bundle)
    record = chain.run(job.episode)
    tensors = record.tensors
    each = [float(vfd(v, t)) for v, t in zip(tensors["velocities"], tensors["flow_times"], strict=True)]
    episode = job.episode
    return Played(
        episode.id,
        episode.disturbance,
        episode.task,
        episode.seed,
        record.success,
        record.steps,
        float(np.mean(each)),
        record.alarm_step,
        identity(job),
    )


def identity(job: Job) -> str:
    """Which policy and bundle a kept result belongs to."""
    from vla_policy.manifest import Manifest
    from vla_uq.bundle import Bundle

    return f"{Manifest.load(job.policy).fingerprint}/{Bundle.load(job.bundle).digest}"


def run(options: Options, console: Console) -> Result:
    """Play what has not been played yet, and put it into a table."""
    require("sim", "policy")
    from vla_uq.bundle import Bundle

    policy, bundle = policy_folder(None), bundle_file(None)
    count = QUICK_EPISODES if options.quick else EPISODES
    wanted = episodes((*TRAINED_ON, *HELD_OUT), range(options.seed, options.seed + count))
    jobs = [Job(episode, policy, bundle) for episode in wanted]
    cache = options.out / "policy.episodes.jsonl"
    done = kept(cache, identity(jobs[0]))
    missing = [job for job in jobs if job.episode.id not in done]
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.open("a") as file, console.progress("episodes", len(missing)) as advance:
        for job, played in run_jobs(play, missing, processes=2):
            done[job.episode.id] = played
            file.write(json.dumps(asdict(played)) + "\n")
            file.flush()
            advance(1, f"{'success' if played.success else 'failure'}: {played.id}")
    result = table([done[job.episode.id] for job in jobs], Bundle.load(bundle).alpha)
    cache.unlink()  # kept for an interrupted run only: a new one plays everything again
    return result


def kept(path: Path, belongs: str) -> dict[str, Played]:
    """Episodes played earlier with the same policy and bundle: an interrupted run goes on where it was."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = [Played(**json.loads(line)) for line in lines if line.endswith("}")]
    return {played.id: played for played in found if played.identity == belongs}


def table(played: Sequence[Played], alpha: float) -> Result:
    """One row a disturbance, then one a task in nominal scenes; the headline from the first ones."""
    disturbances = list(dict.fromkeys(p.disturbance for p in played))
    rows = [row([p for p in played if p.disturbance == name], name, "all") for name in disturbances]
    nominal = [p for p in played if p.disturbance == NOMINAL]
    tasks = list(dict.fromkeys(p.task for p in nominal))
    rows += [row([p for p in nominal if p.task == task], NOMINAL, task) for task in tasks]
    held_out = [p for p in played if p.disturbance in HELD_OUT]
    disturbed = [p for p in played if p.disturbance != NOMINAL]
    headline = {
        "tasks": len(tasks),
        "nominal_success_wilson_low": row(nominal, NOMINAL, "all")["low"],
        "false_alarm_rate": _flagged(p for p in nominal if p.success),
        "alpha": alpha,
        "detection_rate_ood": _flagged(p for p in held_out if not p.success),
        "halted_would_be_successes": _flagged(p for p in disturbed if p.success),
    }
    title = "Shipped policy and bundle, shadow mode (95 % Wilson intervals; flagged: successes that would be halted)"
    return Result(title, COLUMNS, rows, headline)


def row(played: Sequence[Played], disturbance: str, task: str) -> dict[str, Any]:
    """Counts and rates of some episodes."""
    from vla_uq.evaluation.intervals import wilson

    wins, losses = ([p for p in played if p.success], [p for p in played if not p.success])
    low, high = wilson(len(wins), len(played))
    return {
        "disturbance": disturbance,
        "task": task,
        "n": len(played),
        "success": len(wins) / len(played),
        "low": low,
        "high": high,
        "mean_vfd": float(np.mean([p.vfd for p in played])),
        "failures": len(losses),
        "detected": sum(p.flagged for p in losses),
        "median_alarm_step": _median(p.alarm_step for p in losses if p.alarm_step is not None),
        "successes": len(wins),
        "flagged": sum(p.flagged for p in wins),
    }


def _median(steps: Iterable[int]) -> float:
    """Median inference (from 0) of the alarm; NaN of none."""
    values = list(steps)
    return float(np.median(values)) if values else float("nan")


def _flagged(played: Iterable[Played]) -> float:
    """Share of the episodes with an alarm; NaN of none."""
    flags = [p.flagged for p in played]
    return float(np.mean(flags)) if flags else float("nan")


if __name__ == "__main__":
    sys.exit(command("policy", run, SEEDS["benchmark"].first))
