"""What watching an ensemble costs beside its plain policy: both back ends, two nets, all nodes and the last 3.

The plain policy is member 0 acting and nothing else; the watched one acts, and all members then say what they think of
the path. Each pair is one inference, right after another of the same policy so that caches are warm alike, and the
ratio is the median of the pairs. In processor time of the thread that infers, which is wall time where the thread has a
core to itself; on a GPU in wall time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.report import Options, Result, command
from vla_cli.console import Console
from vla_cli.surroundings import require
from vla_policy.observation import CAMERAS, Observation

MEMBERS = (1, 2, 4)
LAST = 3
REPETITIONS = {"mlp_1m": (200, 40), "transformer_5m": (40, 10)}
"""Of each net, and with ``--quick``."""
SMOLVLA_REPETITIONS = (4, 1)
WARM_UP = 3
COLUMNS = (
    "back_end",
    "net",
    "members",
    "nodes",
    "encoders",
    "n",
    "plain_ms",
    "watched_ms",
    "ratio",
    "spread",
    "without_prefix",
)
VARIANTS = {"cpu": "", "cuda": "cuda"}
NOTES = (
    "ratio: (acting and introspection of all members) / (acting), median of n pairs.",
    "without_prefix: the same when images, encoder and instruction are taken off both: sampling and comparing alone.",
)
HEADLINE = {
    "mlp_1m_m2": ("mlp_1m", 2, "all"),
    "mlp_1m_m4": ("mlp_1m", 4, "all"),
    "transformer_5m_m2": ("transformer_5m", 2, "all"),
    "transformer_5m_m2_last3": ("transformer_5m", 2, f"last {LAST}"),
}
"""Each is a ratio on ONNX, where members share their encoder."""


@dataclass(frozen=True)
class Variant:
    """A policy to be measured.

    :param nodes: 0: all.
    """

    back_end: str
    net: str
    members: int
    nodes: int = 0
    shared: bool = True


def variants(net: str) -> list[Variant]:
    """Every back end and size; with the last nodes, and with encoders of their own, where there is another member."""
    found = [Variant(b, net, m, n) for b in ("onnx", "torch") for m in MEMBERS for n in ((0, LAST) if m > 1 else (0,))]
    return [*found, *(Variant("onnx", net, m, 0, False) for m in MEMBERS[1:])]


def measure(folder: Path, net: str, repetitions: int, device: str, rng: np.random.Generator) -> list[dict[str, Any]]:
    """A row for each variant of a net."""
    wanted = variants(net)
    opened = open_all(folder, net, wanted, device)
    clock = time.thread_time if device == "cpu" else time.perf_counter
    acted: dict[Variant, list[float]] = {variant: [] for variant in wanted}
    watched: dict[Variant, list[float]] = {variant: [] for variant in wanted}
    looked: dict[Variant, list[float]] = {variant: [] for variant in wanted}
    for turn in range(WARM_UP + repetitions):
        observation = noise(rng)
        for index in rng.permutation(len(wanted)):
            variant = wanted[index]
            backend = opened[variant]
            backend.introspect(backend.act(observation))
            first, inference = timed(clock, partial(backend.act, observation))
            second, _ = timed(clock, partial(backend.introspect, inference))
            before, _ = timed(clock, partial(look, backend, observation))
            if turn >= WARM_UP:
                acted[variant].append(first)
                watched[variant].append(first + second)
                looked[variant].append(before)
    return [row(v, acted[v], watched[v], looked[v]) for v in wanted]


def open_all(folder: Path, net: str, wanted: Sequence[Variant], device: str) -> dict[Variant, Any]:
    """Untrained policies, each in the back end that would run it."""
    from benchmarks.ensemble_nets import Policy, put_together, write
    from policy_node.backends import load

    write(folder, net, max(MEMBERS))
    policies = {(v.back_end, v.members, v.shared) for v in wanted}
    folders = {key: put_together(folder, Policy(net, *key[1:]), key[0]) for key in policies}
    opened: dict[Variant, Any] = {}
    for variant in wanted:
        path = folders[variant.back_end, variant.members, variant.shared]
        opened[variant] = load("", path, device=device, nodes=variant.nodes)
        opened[variant].reset("put the red cube on the plate", 0)
    return opened


def look(backend: Any, observation: Observation) -> Any:
    """What an inference does before its first step."""
    return backend.prefix(0, backend.inputs(observation))


def timed(clock: Callable[[], float], work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of a call, and its result."""
    started = clock()
    found = work()
    return 1e3 * (clock() - started), found


def row(variant: Variant, plain: Sequence[float], watched: Sequence[float], prefix: Sequence[float]) -> dict[str, Any]:
    """Medians of a variant, the median and the spread (10th to 90th percentile) of its pairs, and the ratio that is
    left when what comes before the first step is taken off both.
    """
    pairs = np.array(watched) / np.array(plain)
    low, ratio, high = (float(value) for value in np.percentile(pairs, [10, 50, 90]))
    alone = np.array(watched) - np.median(prefix), np.array(plain) - np.median(prefix)
    return {
        "back_end": variant.back_end,
        "net": variant.net,
        "members": variant.members,
        "nodes": f"last {variant.nodes}" if variant.nodes else "all",
        "encoders": "one" if variant.shared else "own",
        "n": len(plain),
        "plain_ms": float(np.median(plain)),
        "watched_ms": float(np.median(watched)),
        "ratio": ratio,
        "spread": f"{low:.3g}–{high:.3g}",
        "without_prefix": float(np.median(alone[0] / alone[1])),
    }


def noise(rng: np.random.Generator) -> Observation:
    """An observation of nothing: what a network costs does not depend on what it sees."""
    images = {name: rng.integers(0, 256, (256, 256, 3), dtype=np.uint8) for name in CAMERAS}
    return Observation(images, np.zeros(3), np.eye(3), 0.08, "")


def headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The ratios that others quote."""
    found = {
        (r["net"], r["members"], r["nodes"]): r["ratio"]
        for r in rows
        if (r["back_end"], r["encoders"]) == ("onnx", "one")
    }
    return {name: found[key] for name, key in HEADLINE.items()}


def smolvla(options: Options, console: Console) -> tuple[list[dict[str, Any]], str]:
    """Rows of a full-size SmolVLA in an environment of its own, and what to say of it."""
    python = options.own["lerobot_python"]
    if python is None:
        return [], "SmolVLA: not measured: neither --lerobot-python nor LEROBOT_PYTHON was given."
    console.say("SmolVLA: full size, random parameters")
    words = [python, "-m", "benchmarks.ensemble_smolvla", "--seed", str(options.seed)]
    words += ["--repetitions", str(SMOLVLA_REPETITIONS[options.quick])]
    root, alone = Path(__file__).parents[1], {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=root, env=alone)
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.CalledProcessError) as error:
        why = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        return [], f"SmolVLA: not measured: {why}"
    shared = "the members share the state's token, too; spread: the whole range"
    return found["rows"], f"SmolVLA: full size, random parameters, LeRobot {found['lerobot']}; {shared}."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The device, and where LeRobot lives."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument(
        "--lerobot-python",
        default=os.environ.get("LEROBOT_PYTHON"),
        metavar="FILE",
        help="interpreter of LeRobot's environment (default: LEROBOT_PYTHON; without, SmolVLA is left out)",
    )


def run(options: Options, console: Console) -> Result:
    """The benchmark."""
    require("policy", "train")
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    device, rng = options.own["device"], np.random.default_rng(options.seed)
    rows: list[dict[str, Any]] = []
    for net, repetitions in REPETITIONS.items():
        console.say(f"{net}: {repetitions[options.quick]} repetitions of each variant")
        with TemporaryDirectory() as folder:
            rows += measure(Path(folder), net, repetitions[options.quick], device, rng)
    numbers = headline(rows)
    more, note = smolvla(options, console)
    numbers["smolvla_shared_prefix_m2"] = more[0]["ratio"] if more else math.nan
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu, one thread"
    title = "Watching an ensemble beside its plain policy (10 steps, 16 actions of 7)"
    return Result(title, COLUMNS, [*rows, *more], numbers, device=name, notes=[note, *NOTES], variant=VARIANTS[device])


if __name__ == "__main__":
    sys.exit(command("ensemble_cost", run, 0, own=arguments))
