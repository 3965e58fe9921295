"""What watching costs: VFD beside the plain policy, a monitor's step, the way of a chunk and of an alarm over DDS."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.report import Options, Result, command
from benchmarks.wire import over_dds
from vla_cli.console import Console
from vla_cli.episodes import SEEDS
from vla_cli.shipped import bundle_file, policy_folder
from vla_cli.surroundings import require

REPETITIONS, QUICK_REPETITIONS = 2000, 400
TRIALS, QUICK_TRIALS = 100, 20
TASK = "put the red cube in the basket"
COLUMNS = ("what", "n", "median", "p95", "p99", "spread", "unit")


def run(options: Options, console: Console) -> Result:
    """Measure in this process, then over DDS."""
    require("ros", "sim", "policy", "bag")
    policy, bundle = policy_folder(None), bundle_file(None)
    repetitions = QUICK_REPETITIONS if options.quick else REPETITIONS
    trials = QUICK_TRIALS if options.quick else TRIALS
    console.say(f"in this process, {repetitions} repetitions, each variant in turn")
    samples = in_process(policy, bundle, options.seed, repetitions)
    with TemporaryDirectory() as folder:
        samples |= over_dds(Path(folder), policy, bundle, options.seed, trials, console)
    rows = [row(what, values) for what, values in samples.items()]
    return Result("Latency (ratios: medians of pairs measured side by side)", COLUMNS, rows, headline(samples))


def in_process(policy: Path, bundle: Path, seed: int, repetitions: int) -> dict[str, list[float]]:
    """Times (ms) and ratios of the policy's and the monitor's parts on one observation."""
    from monitor_node.engine import ScoringEngine
    from policy_node.backends.onnx import OnnxBackend
    from policy_node.session import PolicySession
    from sim_node.bed import Bed
    from vla_uq.bundle import Bundle
    from vla_uq.flow.ensemble import cross_evaluate
    from vla_uq.flow.sampling import euler

    bed = Bed()
    bed.reset(TASK, seed)
    observation = bed.observe()
    backend, engine = OnnxBackend(policy), ScoringEngine(Bundle.load(bundle))
    session = PolicySession(backend, "base")
    session.reset("latency", bed.instruction, seed)
    inputs = backend.inputs(observation)
    fields = [backend.field(i, backend.prefix(i, inputs)) for i in range(backend.info.members)]
    decision = session.decide(observation)
    noise = np.random.default_rng(seed).standard_normal((1, backend.info.horizon, 7), dtype=np.float32)
    path = euler(fields[0], noise, backend.times)
    found: dict[str, list[float]] = {}

    def measure(what: str, work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        elapsed = 1e3 * (time.perf_counter() - started)
        found.setdefault(what, []).append(elapsed)
        return elapsed

    for repetition in range(repetitions + 20):
        if repetition == 20:
            found.clear()  # caches and the allocator are warm now
        plain = measure("sampling_ms", lambda: euler(fields[0], noise, backend.times))
        extra = measure("other_members_ms", lambda: cross_evaluate(fields, path))
        found.setdefault("vfd_extra_ratio", []).append(extra / plain)
        whole = measure("inference_ms", lambda: backend.act(observation))
        watched = measure("introspection_ms", lambda: backend.introspect(decision.inference))
        found.setdefault("inference_extra_ratio", []).append(watched / whole)
        trace = session.trace(session.decide(observation))
        measure("monitor_step_ms", partial(engine.score, trace))
    return found


def row(what: str, values: Sequence[float]) -> Mapping[str, Any]:
    """Median, tail and spread (10th to 90th percentile) of a measurement."""
    low, median, p90, p95, p99 = np.percentile(values, [10, 50, 90, 95, 99])
    name, _, unit = what.rpartition("_")
    return {
        "what": name.replace("_", " "),
        "n": len(values),
        "median": float(median),
        "p95": float(p95),
        "p99": float(p99),
        "spread": f"{low:.3g}–{p90:.3g}",
        "unit": unit,
    }


def headline(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The numbers that others quote."""
    numbers = {name: float(np.median(samples[name])) for name in ("vfd_extra_ratio", "inference_extra_ratio")}
    for name in ("monitor_step_ms", "publish_to_command_ms", "alarm_to_hold_ms"):
        for percent in (50, 99):
            numbers[f"{name}_p{percent}"] = float(np.percentile(samples[name], percent))
    numbers["alarm_to_rest_ms_p95"] = float(np.percentile(samples["alarm_to_rest_ms"], 95))
    return numbers


if __name__ == "__main__":
    sys.exit(command("latency", run, SEEDS["benchmark"].first))
