"""What an inference costs with every way to share, on the graphs that ship, in one run and in turn.

In processor time of the thread that infers (the graphs run on it), which is wall time where the thread has a core to
itself. A head is a head: those that share an encoder are timed with the second member's graph.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policy_node.backends.onnx import OnnxBackend
from vla_policy.observation import CAMERAS, Observation
from vla_uq.flow.ensemble import cross_evaluate
from vla_uq.flow.sampling import euler
from vla_uq.uncertainty.last_layer import LastLayerPosterior
from vla_uq.uncertainty.vfd import contributions
from vla_uq.wire import Array

Times = NDArray[np.float64]

WARM_UP = 20


@dataclass(frozen=True)
class Extra:
    """What an inference does beyond sampling its chunk.

    :param encoders: of other members that see the observation.
    :param heads: of other members that look at the path.
    :param posterior: a quadratic form of the last hidden layers.
    """

    encoders: int = 0
    heads: int = 0
    posterior: bool = False


def milliseconds(
    policy: Path, ways: Mapping[str, Extra], posterior: LastLayerPosterior, repetitions: int, seed: int
) -> dict[str, Times]:
    """Milliseconds of each inference, acting and scoring, (repetitions,) for each way; all of them take turns."""
    backend, rng = OnnxBackend(policy), np.random.default_rng(seed)
    backend.reset("put the red cube on the plate", seed)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(WARM_UP + repetitions):
        observation = _observation(rng)
        for name in rng.permutation(list(ways)).tolist():
            started = time.thread_time()
            _infer(backend, observation, ways[name], posterior, rng)
            if turn >= WARM_UP:
                found[name].append(1e3 * (time.thread_time() - started))
    return {name: np.array(values) for name, values in found.items()}


def spread(values: Times) -> tuple[float, float, float]:
    """Median, and 10th and 90th percentile."""
    low, median, high = (float(value) for value in np.percentile(values, [10, 50, 90]))
    return median, low, high


def _infer(
    backend: OnnxBackend,
    observation: Observation,
    extra: Extra,
    posterior: LastLayerPosterior,
    rng: np.random.Generator,
) -> float:
    inputs = backend.inputs(observation)
    context, layers = backend.prefix(0, inputs), list[Array]()
    noise = rng.standard_normal((1, backend.info.horizon, backend.info.dim + 1), dtype=np.float32)
    own = backend.field(0, context, layers)
    path = euler(own, noise, backend.times)
    times = path.times[1:]
    if extra.posterior:
        return posterior.score(np.stack(layers[1:])[:, None], times)
    if not extra.heads:
        return 0.0
    other = [backend.prefix(1, inputs) for _ in range(extra.encoders)] or [context]
    others = [backend.field(1, other[0]) for _ in range(extra.heads)]
    return float(contributions(cross_evaluate([own, *others], path)[None], times).sum())


def _observation(rng: np.random.Generator) -> Observation:
    """Noise: what a network costs does not depend on what it sees."""
    images = {name: rng.integers(0, 256, (256, 256, 3), dtype=np.uint8) for name in CAMERAS}
    return Observation(images, np.zeros(3), np.eye(3), 0.08, "")
