"""What scoring an inference costs: every detector that a flow policy's trace allows, step by step on one thread.

In processor time of the thread that scores, which is wall time where the thread has a core to itself, and says the same
on a machine that others use too.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from benchmarks.report import Options, Result, command
from vla_cli.console import Console
from vla_cli.surroundings import require
from vla_uq.detectors import DETECTORS, Ace, CosineKnn, Detector, RndOe
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutMeta

FEATURES, DRAWS, HORIZON, DIM, NODES = 1024, 10, 16, 7, 9
EPISODES, LENGTH = 200, 100
REPETITIONS = (300, 60)
"""Steps measured, and with ``--quick``."""
RANK = 100
"""Directions in which features vary, besides a little noise."""
COLUMNS = ("what", "n", "median", "p95", "spread", "unit", "note")


def measure(quick: bool, seed: int = 0) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Streaming cost a step of cosine kNN over 20,000 x 1024, of each detector, and of all of them together.

    The trace is that of a flow policy with two members that draws ten chunks: 1024 features, samples (1, 10, 16, 7),
    velocities at 9 nodes. Detectors are fitted to 20,000 such steps with their defaults, only that nets are hardly
    trained: what they cost does not depend on it. Detectors that need other tensors are named, and why.

    :returns: a row for each, times in ms, and the headline.
    """
    repetitions = REPETITIONS[quick]
    with threadpool_limits(1):
        rollouts = list(episodes(seed))
        knn = CosineKnn(max_points=EPISODES * LENGTH)
        knn.fit(rollouts)
        steps = list(traces(seed + 1, repetitions))
        rows = [
            row("cosine_knn over 20,000 x 1024", timed({"": knn}, steps)[""]),
            row("the same search by scikit-learn", by_scikit_learn(rollouts, steps[:20])),
        ]
        fitted, refused = fit_all(rollouts)
        times = timed(fitted, steps)
    rows += [row(name, values) for name, values in times.items()]
    together = row(f"all {len(times)} scores", [sum(step) for step in zip(*times.values(), strict=True)])
    rows += [{"what": name, "n": 0, "note": why} for name, why in refused.items()]
    return [*rows, together], {"cosine_knn_step_ms": rows[0]["median"], "flow_score_set_ms": together["median"]}


def fit_all(rollouts: Sequence[Rollout]) -> tuple[dict[str, Detector], dict[str, str]]:
    """Every detector that needs no tokens and is no control, fitted; and why the others could not be."""
    fitted, refused = dict[str, Detector](), dict[str, str]()
    for name, kind in DETECTORS.items():
        detector = hardly_trained(kind)
        if not detector.needs or any(tensor.startswith("token_") for tensor in detector.needs):
            continue
        try:
            detector.fit(rollouts)
            detector.score(rollouts[0])
        except InputError as error:
            refused[name] = str(error)
        else:
            fitted[name] = detector
    return fitted, refused


def hardly_trained(kind: Callable[..., Detector]) -> Detector:
    """A detector with its defaults, except that its nets are trained as briefly as they can be."""
    accepted = inspect.signature(kind).parameters
    if "parts" in accepted:
        return kind(parts=(hardly_trained(RndOe), Ace()))
    changes: dict[str, Any] = {name: 1 for name in ("iterations", "epochs") if name in accepted}
    if "training" in accepted:
        changes["training"] = dataclasses.replace(kind().training, iterations=1)  # type: ignore[attr-defined]
    return kind(**changes)


def timed(detectors: Mapping[str, Detector], steps: Sequence[Mapping[str, np.ndarray]]) -> dict[str, list[float]]:
    """Milliseconds of each detector's ``update`` at each step, all of them in turn as on a robot."""
    found: dict[str, list[float]] = {name: [] for name in detectors}
    for warm in (True, False):
        for detector in detectors.values():
            detector.reset()
        for step in steps[:5] if warm else steps:
            for name, detector in detectors.items():
                started = time.thread_time()
                detector.update(step)
                if not warm:
                    found[name].append(1e3 * (time.thread_time() - started))
    return found


def by_scikit_learn(rollouts: Sequence[Rollout], steps: Sequence[Mapping[str, np.ndarray]]) -> list[float]:
    """Milliseconds of one query each of a brute-force search, the only one there for the cosine."""
    points = np.concatenate([rollout.tensor("features") for rollout in rollouts])
    search = NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute", n_jobs=1).fit(points)
    found = []
    for step in steps:
        started = time.thread_time()
        search.kneighbors(step["features"][None])
        found.append(1e3 * (time.thread_time() - started))
    return found


def episodes(seed: int) -> Iterator[Rollout]:
    """Episodes to fit to, a third of them failures; the samples and velocities are the same in all, to save memory."""
    rng = np.random.default_rng(seed)
    others = trace(rng, LENGTH)
    for number in range(EPISODES):
        meta = RolloutMeta(
            episode_id=f"episode-{number:04d}",
            task=f"task {number % 10}",
            seed=number,
            disturbance="none",
            success=number % 3 != 0,
            steps=8 * LENGTH,
            policy_fingerprint="synthetic",
            execute_steps=8,
            step_duration=0.05,
        )
        yield Rollout(meta, {**others, "features": features(rng, LENGTH)})


def traces(seed: int, count: int) -> Iterator[dict[str, np.ndarray]]:
    """What a policy publishes at ``count`` inferences."""
    rng = np.random.default_rng(seed)
    whole = {**trace(rng, count), "features": features(rng, count)}
    for t in range(count):
        yield {name: value[t] for name, value in whole.items()}


def features(rng: np.random.Generator, count: int) -> np.ndarray:
    """Correlated features, (count, FEATURES)."""
    latent = rng.normal(size=(count, RANK)) @ np.random.default_rng(0).normal(size=(RANK, FEATURES))
    return (latent + rng.normal(size=latent.shape)).astype(np.float32)


def trace(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """All other tensors of ``count`` inferences."""
    return {
        "samples": rng.normal(size=(count, 1, DRAWS, HORIZON, DIM)).astype(np.float32),
        "velocities": rng.normal(size=(count, 1, 2, 1, NODES, HORIZON, DIM)).astype(np.float32),
        "flow_times": np.tile(np.arange(1, NODES + 1, dtype=np.float32) / 10, (count, 1)),
        "position": rng.normal(size=(count, 3)).astype(np.float32),
    }


def row(what: str, values: Sequence[float]) -> dict[str, Any]:
    """Median, tail and spread (10th to 90th percentile) of times in ms."""
    low, median, p90, p95 = (float(value) for value in np.percentile(values, [10, 50, 90, 95]))
    spread = f"{low:.3g}–{p90:.3g}"
    return {"what": what, "n": len(values), "median": median, "p95": p95, "spread": spread, "unit": "ms", "note": ""}


def run(options: Options, console: Console) -> Result:
    """The benchmark."""
    require("train")
    rows, headline = measure(options.quick, options.seed)
    return Result("Streaming cost of one inference, one thread", COLUMNS, rows, headline)


if __name__ == "__main__":
    sys.exit(command("score_cost", run, 0))
