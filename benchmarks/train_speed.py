"""Training the SAFE detectors beside the published loop on the same data, and what a step costs on the robot.

What is compared is the time until the selection AUC (on episodes that train neither, over equally many steps of all
episodes of a task) is at least the published loop's last one less .005. That loop takes a thousand epochs and keeps its
last state; looking at the selection episodes on the way is a cost of ours alone. Times are processor times of one
thread, so that other work on the machine does not count.

``--quick`` takes about 3 minutes. The full run, 500 rollouts of 100 steps with 1024 features, takes 2 to 3 hours, most
of them the published loop with the LSTM.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import score_cost
from benchmarks.report import Options, Result, command
from benchmarks.safe_data import Material
from vla_cli.console import Console
from vla_cli.surroundings import require
from vla_uq.detectors import SafeLstm, SafeLstmTraining, SafeMlp, SafeTraining
from vla_uq.detectors.aggregate import aggregate
from vla_uq.detectors.safe import Array, SafeDetector
from vla_uq.detectors.safe_lstm import RecurrentNetwork
from vla_uq.detectors.safe_mlp import Network

EPOCHS, LOOKS = 1000, 50
TOLERANCE = 0.005
STARTS = 3
"""Initial states of ours that are timed against one run of the published loop."""
RATES, REGULARISER = {"safe_mlp": 3e-4, "safe_lstm": 1e-4}, 1e-1
"""Of the published loop, from the paper's grids: with larger rates or less regularisation its LSTM learns this data by
heart, and its last state would be no target at all. Ours has the same regulariser and its own rate."""
FEATURES, HIDDEN, STEPS = 1024, 256, 2000
"""Of the timing of a step."""
COLUMNS = ("what", "n", "median", "p95", "spread", "unit", "note")


@dataclass(frozen=True)
class Size:
    """How much is trained on, and on how many draws of it the published loop runs."""

    rollouts: int
    steps: int
    features: int
    draws: Mapping[str, int]


FULL = Size(500, 100, 1024, {"safe_mlp": 1, "safe_lstm": 1})
QUICK = Size(120, 20, 64, {"safe_mlp": 3, "safe_lstm": 1})


def run(options: Options, console: Console) -> Result:
    """Both trainings and the cost of their steps, then the other scores."""
    require("train")
    size = QUICK if options.quick else FULL
    rows: list[dict[str, Any]] = []
    headline: dict[str, float] = {}
    with threadpool_limits(1):
        for name, draws in size.draws.items():
            found = Samples(name)
            for draw in range(draws):
                console.say(f"{name}: {size.rollouts} x {size.steps} x {size.features}, draw {draw + 1} of {draws}")
                material = Material.draw(size.rollouts, size.steps, size.features, options.seed + draw)
                compare(name, material, options.seed, found, console)
            for cost in step_costs(fresh(name)):
                found.add(f"a step with {FEATURES} features", "us", cost)
            rows += found.rows()
            short = name.removeprefix("safe_")
            headline[f"{short}_speedup"] = found.median("speed-up")
            headline[f"{short}_step_us"] = found.median(f"a step with {FEATURES} features")
    console.say("the scores of a flow policy, step by step")
    others, costs = score_cost.measure(options.quick)
    title = f"Training SAFE on {size.rollouts} x {size.steps} x {size.features}, and what a step costs; one thread"
    return Result(title, COLUMNS, rows + others, {**headline, **costs})


class Samples:
    """Numbers of one detector, several of each kind."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._values: dict[str, list[float]] = {}
        self._described: dict[str, tuple[str, str]] = {}

    def add(self, what: str, unit: str, value: float, note: str = "") -> None:
        """Note a number."""
        self._values.setdefault(what, []).append(value)
        self._described[what] = unit, note

    def median(self, what: str) -> float:
        """Of the numbers of a kind."""
        return float(np.median(self._values[what]))

    def rows(self) -> list[dict[str, Any]]:
        """A row for each kind: median, 95th percentile, smallest to largest."""
        found = []
        for what, values in self._values.items():
            unit, note = self._described[what]
            spread = f"{min(values):.3g}–{max(values):.3g}"
            median, p95 = self.median(what), float(np.percentile(values, 95))
            stated = {"n": len(values), "median": median, "p95": p95, "spread": spread, "unit": unit, "note": note}
            found.append({"what": f"{self._name}: {what}", **stated})
        return found


def compare(name: str, material: Material, seed: int, found: Samples, console: Console) -> None:
    """Train on the same episodes the published way and, from several initial states, ours."""
    import torch

    from benchmarks.safe_reference import ReferenceLstm, ReferenceMlp, reference_scores, train_reference

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    size = material.training.features[0].shape[1]
    net = ReferenceMlp(size, HIDDEN) if name == "safe_mlp" else ReferenceLstm(size, HIDDEN)

    def judge(trained: ReferenceMlp | ReferenceLstm) -> float:
        return material.auc(partial(reference_scores, trained), material.selection)

    epochs = []
    with console.progress(f"{name}: the published loop", EPOCHS) as advance:
        for epoch in train_reference(net, material.training, RATES[name], REGULARISER, EPOCHS, LOOKS, judge):
            epochs.append(epoch)
            advance(1)
    last = epochs[-1]
    target = last.auc - TOLERANCE
    found.add("published, an epoch", "s", last.seconds / EPOCHS)
    found.add(f"published, {EPOCHS} epochs", "s", last.seconds)
    first = next(epoch.seconds for epoch in epochs if epoch.auc >= target)
    found.add("published, first as good as at its end", "s", first, "it does not know; looked at 50 times")
    found.add("published, selection AUC at its end", "", last.auc)
    found.add("published, test AUC at its end", "", material.auc(partial(reference_scores, net), material.test))
    for start in range(STARTS):
        ours(name, material, seed + start, target, last.seconds, found)


def ours(name: str, material: Material, seed: int, target: float, published: float, found: Samples) -> None:
    """Train ours once; a target that it misses counts as a speed-up of 0."""
    detector = unfitted(name, seed)
    looked: list[float] = []
    began = time.thread_time()
    history = detector.learn(
        material.training, material.selection, lambda *_: looked.append(time.thread_time() - began)
    )
    reached = next((s for s, check in zip(looked, history, strict=True) if check.auc >= target), math.inf)
    passes = history[-1].iteration / math.ceil(len(material.training) / detector.training.batch)

    def scores(features: Array) -> np.ndarray[Any, Any]:
        return aggregate(detector.aggregator, detector.scorer.probabilities(features))

    found.add("ours, a pass, looks at the selection included", "s", looked[-1] / passes)
    found.add("ours, as good as the published one at its end", "s", reached)
    found.add("ours, until it stops by itself", "s", looked[-1], "a lab does not know the target either")
    found.add("ours, selection AUC", "", max(check.auc for check in history), "the best, which is kept")
    found.add("ours, test AUC", "", material.auc(scores, material.test))
    found.add("speed-up", "×", published / reached, "published in all / ours as good")
    found.add("speed-up until ours stops", "×", published / looked[-1])


def unfitted(name: str, seed: int) -> SafeMlp | SafeLstm:
    """A detector that scores as the published one does."""
    if name == "safe_mlp":
        return SafeMlp("cumsum", SafeTraining(hidden=HIDDEN, regulariser=REGULARISER, seed=seed))
    return SafeLstm("none", SafeLstmTraining(hidden=HIDDEN, regulariser=REGULARISER, seed=seed))


def fresh(name: str) -> SafeDetector:
    """A detector with random weights: what a step costs does not depend on them."""
    rng = np.random.default_rng(0)

    def array(*shape: int) -> Array:
        return (rng.normal(size=shape) / math.sqrt(shape[-1])).astype(np.float32)

    mean, scale = np.zeros(FEATURES, np.float32), np.ones(FEATURES, np.float32)
    if name == "safe_mlp":
        return SafeMlp(
            network=Network(mean, scale, ((array(HIDDEN, FEATURES), array(HIDDEN)), (array(1, HIDDEN), array(1))))
        )
    gates = array(4 * HIDDEN, FEATURES), array(4 * HIDDEN, HIDDEN), array(4 * HIDDEN)
    return SafeLstm(network=RecurrentNetwork(mean, scale, *gates, array(HIDDEN), array(1)))


def step_costs(detector: SafeDetector) -> Iterator[float]:
    """Microseconds of ``update``, after as many that warm the caches."""
    steps = np.random.default_rng(1).normal(size=(STEPS, FEATURES)).astype(np.float32)
    for warm in (True, False):
        detector.reset()
        for features in steps:
            began = time.thread_time()
            detector.update({"features": features})
            if not warm:
                yield 1e6 * (time.thread_time() - began)


if __name__ == "__main__":
    sys.exit(command("train_speed", run, 0))
