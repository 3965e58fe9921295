"""``vla-monitor rollouts``: shadow-mode episodes of a policy into a rollout store, the raw material of a bundle."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_cli.console import Console, Report
from vla_cli.episodes import NOMINAL, SEEDS, Episode, episodes, seeds_for
from vla_cli.parallel import run_jobs
from vla_cli.robots import FRANKA, ROBOTS
from vla_cli.shipped import policy_folder
from vla_cli.surroundings import require

SUITE = "tabletop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which episodes, of which policy, into which folder."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the rollout store to fill")
    parser.add_argument("--robot", choices=tuple(ROBOTS), default=FRANKA, help=f"default: {FRANKA}")
    parser.add_argument("--policy", type=Path, metavar="DIR", help="exported policy (default: the shipped one)")
    parser.add_argument(
        "--disturbances", default=NOMINAL, metavar="A,B", help=f"see `vla-monitor tasks` (default: {NOMINAL})"
    )
    parser.add_argument("--tasks", default="", metavar="TEXT,TEXT", help="instructions to play (default: all)")
    parser.add_argument("--purpose", choices=tuple(SEEDS), default="train", help="whose seeds to use (default: train)")
    parser.add_argument(
        "--episodes", type=int, default=20, metavar="N", help="seeds for each task and disturbance (default: 20)"
    )
    parser.add_argument(
        "--draws",
        type=int,
        default=1,
        metavar="N",
        help="chunks to sample at each inference, for sample consistency; the first is executed (default: 1)",
    )
    parser.add_argument("--last-layer", action="store_true", help="record the policy's last hidden layer as well")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="default: 2")


@dataclass(frozen=True)
class Job:
    """One rollout to make.

    :param options: of the policy's back end.
    """

    episode: Episode
    policy: Path
    store: Path
    options: Mapping[str, Any]
    robot: str = FRANKA


def run(args: argparse.Namespace, console: Console) -> Report:
    """Make the rollouts that the store does not hold yet."""
    require("sim", "policy")
    from vla_uq.rollouts.store import RolloutStore

    seeds = seeds_for(args.purpose, args.episodes)
    wanted = episodes(_split(args.disturbances), seeds, _split(args.tasks), robot=args.robot)
    store, policy = RolloutStore(args.out), policy_folder(args.policy, args.robot)
    asked = {"draws": (args.draws, 1), "last_layer": (args.last_layer, False)}
    options = {name: value for name, (value, usual) in asked.items() if value != usual}
    missing = [Job(episode, policy, args.out, options, args.robot) for episode in wanted if episode.id not in store]
    if len(missing) < len(wanted):
        console.say(f"{len(wanted) - len(missing)} of {len(wanted)} rollouts are there already")
    with console.progress("rollouts", len(missing)) as advance:
        for job, success in run_jobs(make, missing, args.processes):
            advance(1, f"{'success' if success else 'failure'}: {job.episode.id}")
    return summary(args.out, wanted)


def make(job: Job) -> bool:
    """Play one episode and write it; runs in a process of its own."""
    from sim_node.tasks import tasks_of
    from vla_cli.chain import open_chain
    from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore

    episode, chain = job.episode, open_chain(job.policy, robot=job.robot, **job.options)
    record, policy = chain.run(episode), chain.backend.info
    meta = RolloutMeta(
        episode_id=episode.id,
        task=episode.task,
        seed=episode.seed,
        disturbance=episode.disturbance,
        success=record.success,
        steps=record.steps,
        policy_fingerprint=policy.fingerprint,
        halted=record.halted,
        mode=episode.mode,
        execute_steps=policy.execute_steps,
        step_duration=policy.step_duration,
        extra={"horizon": record.horizon, "suite": SUITE, "task_id": list(tasks_of(job.robot)).index(episode.task)},
    )
    RolloutStore(job.store).add(Rollout(meta, record.tensors))
    return record.success


def summary(folder: Path, wanted: Iterable[Episode]) -> Report:
    """Success of the rollouts asked for, by disturbance."""
    from vla_uq.evaluation.intervals import wilson
    from vla_uq.rollouts.store import RolloutStore, read_meta

    store = RolloutStore(folder)
    outcomes: dict[str, list[bool]] = {}
    for episode in wanted:
        outcomes.setdefault(episode.disturbance, []).append(bool(read_meta(store.path(episode.id)).success))
    rows = []
    for name, wins in outcomes.items():
        low, high = wilson(sum(wins), len(wins))
        rows.append({"disturbance": name, "n": len(wins), "success": sum(wins) / len(wins), "low": low, "high": high})
    return Report(
        f"Rollouts in {folder} (95 % Wilson intervals)",
        ("disturbance", "n", "success", "low", "high"),
        rows,
        data={"store": str(folder)},
    )


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
