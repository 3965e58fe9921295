"""What the comparison of ensembles stands on, made once and kept: rollouts, their contexts, heads, other actors.

The rollouts are those of ``benchmarks.failure_detection``, in the same folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.calibration.ensembles_heads import FAMILIES, alone, contexts, heads_of, shipped
from benchmarks.calibration.ensembles_replay import Job as Again
from benchmarks.calibration.ensembles_replay import replay
from benchmarks.experts.contexts import Demonstrations
from benchmarks.experts.heads import Heads, Training
from benchmarks.experts.play import Episode as Turn
from benchmarks.experts.play import play
from benchmarks.failure.beds import collect as rollouts_of
from sim_node.demonstrations import collect
from sim_node.tasks import of_split
from vla_cli.console import Console
from vla_cli.episodes import NOMINAL, Episode, episodes
from vla_cli.parallel import run_jobs
from vla_policy.manifest import FlowManifest
from vla_policy.nets import Velocity
from vla_uq.rollouts.store import RolloutStore

FIRST_PLAYED = 470_000
"""Seed of the first episode in which another member acts."""


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    :param seeds: of the rollouts, for each pair of task and condition.
    :param demonstrations: of each trained task, as the shipped policy had.
    :param played: undisturbed episodes of each trained task in which another member acts.
    """

    seeds: range
    demonstrations: int = 100
    training: Training = Training(proprio_noise=0.0)  # noqa: RUF009 - frozen
    played: int = 4
    processes: int = 2


@dataclass(frozen=True, eq=False)
class Material:
    """Everything that is made once.

    :param first: member 0's head.
    :param heads: of each family, kept in ``trained``.
    :param frames: training contexts (n, 173) and chunks (n, 112), each frame once.
    :param contexts: store of the contexts of the rollouts.
    """

    first: Velocity
    heads: dict[str, Heads]
    trained: Path
    frames: tuple[np.ndarray, np.ndarray]
    rollouts: Path
    contexts: Path
    names: list[str]


def prepare(plan: Plan, policy: Path, store: Path, out: Path, folder: Path, console: Console) -> Material:
    """Make what is missing.

    :param out: of all benchmarks: demonstrations are shared with others.
    :param folder: of what is this comparison's alone.
    """
    torch.set_num_threads(1)
    names = rollouts_of(store, policy, plan.seeds, True, console, processes=plan.processes)
    folder = folder / FlowManifest.load(policy).fingerprint
    source, replayed = RolloutStore(store), RolloutStore(folder / "contexts")
    missing = [Again(source.path(name), policy, replayed.folder) for name in names if name not in replayed]
    with console.progress("episodes played again", len(missing)) as advance:
        for job, _ in run_jobs(replay, missing, plan.processes):
            advance(1, job.source.stem)
    tasks = of_split("trained")
    raw = out / "experts" / f"demonstrations_{plan.demonstrations}"
    with console.progress("demonstrations", len(tasks)) as advance:
        files = collect(tasks, plan.demonstrations, raw, plan.processes, lambda path: advance(1, path.stem))
    encoder, first = shipped(policy, 0)
    seen: list[list[Demonstrations]] = []
    with console.progress("contexts of demonstrations", len(files)) as advance:
        for file in files:
            seen.append(contexts(encoder, file, folder / f"demonstrations_{plan.demonstrations}"))
            advance(1, file.stem)
    trained = folder / f"heads_{plan.demonstrations}_{plan.training.steps}"
    data, heads = [copy for copies in seen for copy in copies], dict[str, Heads]()
    with console.progress("heads", sum(family.heads for family in FAMILIES) * plan.training.steps) as advance:
        for family in FAMILIES:
            heads[family.name] = heads_of(family, first, data, plan.training, trained, advance)
    once = [copies[0] for copies in seen]
    frames = np.concatenate([d.context for d in once]), np.concatenate([d.chunk for d in once])
    return Material(first, heads, trained, frames, store, replayed.folder, names)


def others_acting(plan: Plan, policy: Path, material: Material, console: Console) -> dict[str, list[bool]]:
    """Undisturbed episodes in which member 0, member 1 or the first head beside it acts; kept as they are done."""
    nets = material.trained / "acting"
    acting: dict[str, tuple[int, Heads]] = {"one_model": (0, alone(material.first))}
    acting["own_encoders"] = 1, alone(shipped(policy, 1)[1])
    acting |= {f.name: (0, material.heads[f.name].member(0)) for f in FAMILIES if f.fresh is None}
    for encoder in (0, 1):
        weights = {name: value.contiguous() for name, value in shipped(policy, encoder)[0].state_dict().items()}
        nets.mkdir(parents=True, exist_ok=True)
        save_file(weights, _encoder(nets, encoder))
    kept = nets / "episodes.jsonl"
    lines = kept.read_text().splitlines() if kept.exists() else []
    done = {(d["who"], d["task"], d["seed"]): bool(d["success"]) for d in map(json.loads, lines)}
    for name, (_, heads) in acting.items():
        heads.save(nets / f"{name}.safetensors")
    scenes = episodes((NOMINAL,), range(FIRST_PLAYED, FIRST_PLAYED + plan.played))
    jobs = {_turn(nets, name, acting[name][0], scene): (name, scene) for name in acting for scene in scenes}
    missing = [job for job, (name, scene) in jobs.items() if (name, scene.task, scene.seed) not in done]
    with console.progress("episodes with other members acting", len(missing)) as advance, kept.open("a") as file:
        for job, outcome in run_jobs(play, missing, plan.processes):
            name, scene = jobs[job]
            done[name, scene.task, scene.seed] = outcome.success
            line = {"who": name, "task": scene.task, "seed": scene.seed, "success": outcome.success}
            file.write(json.dumps(line) + "\n")
            file.flush()
            advance(1, name)
    return {name: [done[name, scene.task, scene.seed] for scene in scenes] for name in acting}


def _turn(nets: Path, name: str, encoder: int, scene: Episode) -> Turn:
    return Turn(_encoder(nets, encoder), nets / f"{name}.safetensors", scene.task, scene.seed)


def _encoder(nets: Path, member: int) -> Path:
    return nets / f"encoder_{member}.safetensors"
