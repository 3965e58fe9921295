"""How large the nets of RND, LogpZO and RND-OE have to be: smaller and larger ones on the same made-up episodes.

The published nets have 62 to 92 million parameters. Here each detector's default is compared with nets of fewer and of
many more units, by the ROC-AUC on tasks seen in fitting and on others, both over the same number of steps.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.report import Options, Result, command
from vla_cli.console import Console
from vla_cli.surroundings import require
from vla_uq.detectors import Detector, LogpZo, Rnd, RndOe
from vla_uq.evaluation.metrics import roc_auc
from vla_uq.rollouts.store import Rollout, RolloutMeta

LATENT, HIDDEN, FEATURES, HORIZON, DIM = 24, 256, 1024, 16, 7
SEEN, TASKS = 10, 14
SHORTEST, LONGEST = 20, 40
FITTING, TESTED = 150, 120
"""Episodes to fit to, and of each kind to test on."""
COLUMNS = ("detector", "units", "parameters", "n", "seen", "unseen", "step_ms", "default")

CANDIDATES: dict[str, tuple[Callable[..., Detector], tuple[dict[str, Any], ...]]] = {
    "rnd": (Rnd, ({"hidden": 32}, {"hidden": 128}, {"hidden": 1024})),
    "logpzo": (LogpZo, ({"hidden": 32}, {"hidden": 128}, {"hidden": 1024})),
    "rnd_oe": (
        RndOe,
        (
            {"target": (32,), "predictor": (32, 32)},
            {"target": (128,), "predictor": (128, 128)},
            {"target": (256, 512, 1024), "predictor": (256, 512, 1024, 512, 256)},
        ),
    ),
}
"""Sizes of each detector's nets: smaller, the default, larger."""


@dataclass(frozen=True, eq=False)
class World:
    """Episodes of tasks that are paths through a space of latent states, which features and actions show.

    A failure leaves its path at some step in one of a few directions. Features are a random net of the state, with
    noise; chunks are linear in it.
    """

    rng: np.random.Generator
    nets: tuple[np.ndarray, np.ndarray]
    actions: np.ndarray
    starts: np.ndarray
    paths: np.ndarray
    directions: np.ndarray
    rates: np.ndarray

    @classmethod
    def make(cls, seed: int) -> World:
        """Another world for each seed."""
        rng = np.random.default_rng(seed)
        return cls(
            rng,
            (
                1.2 * rng.normal(size=(LATENT, HIDDEN)) / LATENT**0.5,
                rng.normal(size=(HIDDEN, FEATURES)) / HIDDEN**0.5,
            ),
            rng.normal(size=(LATENT, HORIZON * DIM)) / LATENT**0.5,
            0.5 * rng.normal(size=(TASKS, LATENT)),
            0.5 * rng.normal(size=(TASKS, LATENT)),
            rng.normal(size=(5, LATENT)),
            rng.uniform(0.15, 0.6, TASKS),
        )

    def episodes(self, tasks: range, count: int) -> list[Rollout]:
        """Episodes of these tasks, failed at each task's rate."""
        return [self._episode(int(self.rng.choice(tasks)), number) for number in range(count)]

    def _episode(self, task: int, number: int) -> Rollout:
        rng = self.rng
        length, failed = int(rng.integers(SHORTEST, LONGEST + 1)), bool(rng.random() < self.rates[task])
        off = 0.4 * rng.normal(size=LATENT)
        states = np.empty((length, LATENT))
        for t in range(length):
            off = 0.9 * off + 0.25 * rng.normal(size=LATENT)
            states[t] = self.starts[task] + t / length * self.paths[task] + off
        if failed:
            onset = int(rng.integers(2, SHORTEST // 2))
            ramp = np.minimum(np.arange(length - onset) / 10, 1)[:, None]
            states[onset:] += ramp * self.directions[rng.integers(5)] * rng.uniform(0.5, 1.5)
        features = np.tanh(states @ self.nets[0]) @ self.nets[1] + 0.3 * rng.normal(size=(length, FEATURES))
        chunks = (states + 0.3 * rng.normal(size=states.shape)) @ self.actions
        meta = RolloutMeta(f"episode-{number:04d}", f"task {task}", number, "none", not failed, length, "synthetic")
        samples = chunks.reshape(length, 1, 1, HORIZON, DIM).astype(np.float32)
        return Rollout(meta, {"features": features.astype(np.float32), "samples": samples})


def auc(detector: Detector, rollouts: Sequence[Rollout]) -> float:
    """ROC-AUC of an episode's largest score over as many steps as every episode has."""
    peaks = [float(detector.score(rollout)[:SHORTEST].max()) for rollout in rollouts]
    return roc_auc(peaks, [not rollout.meta.success for rollout in rollouts])


def step_ms(detector: Detector, rollout: Rollout) -> float:
    """Median processor time of one streaming step."""
    found = []
    for t in range(len(rollout.tensors["features"])):
        step = {name: value[t] for name, value in rollout.tensors.items()}
        started = time.thread_time()
        detector.update(step)
        found.append(1e3 * (time.thread_time() - started))
    return float(np.median(found))


def parameters(detector: Detector) -> int:
    """Numbers that a state keeps of the nets."""
    return sum(value.size for name, value in detector.state()[0].items() if "layer" in name)


def run(options: Options, console: Console) -> Result:
    """The benchmark."""
    require("train")
    seeds = range(options.seed, options.seed + (1 if options.quick else 3))
    worlds = [World.make(seed) for seed in seeds]
    data = [
        (w.episodes(range(SEEN), FITTING), w.episodes(range(SEEN), TESTED), w.episodes(range(SEEN, TASKS), TESTED))
        for w in worlds
    ]
    rows = list[dict[str, Any]]()
    for name, (kind, sizes) in CANDIDATES.items():
        for number, changes in enumerate(sizes):
            found = []
            for fitting, seen, unseen in data:
                detector = kind(**changes)
                detector.fit(fitting)
                found.append((auc(detector, seen), auc(detector, unseen)))
            means = np.mean(found, axis=0)
            rows.append(
                {
                    "detector": name,
                    "units": " ".join(f"{key} {value}" for key, value in changes.items()),
                    "parameters": parameters(detector),
                    "n": 2 * TESTED * len(data),
                    "seen": float(means[0]),
                    "unseen": float(means[1]),
                    "step_ms": step_ms(detector, seen[0]),
                    "default": number == 1,
                }
            )
    headline = {
        f"{row['detector']}_{part}": float(row[part]) for row in rows if row["default"] for part in ("seen", "unseen")
    }
    return Result("Nets of the distilled and flow detectors, by size", COLUMNS, rows, headline)


if __name__ == "__main__":
    sys.exit(command("net_sizes", run, 0))
