"""What every benchmark shares: its arguments, its JSON file and its table."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_cli.console import Console, Report, finite
from vla_cli.surroundings import versions
from vla_uq.errors import InputError


@dataclass(frozen=True)
class Result:
    """The outcome of a benchmark.

    :param rows: of the table; each says its n.
    :param headline: the numbers that others quote.
    :param device: what it ran on.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    headline: Mapping[str, float]
    device: str = "cpu"


@dataclass(frozen=True)
class Options:
    """The arguments of every benchmark."""

    quick: bool
    seed: int
    out: Path


Benchmark = Callable[[Options, Console], Result]


def command(name: str, benchmark: Benchmark, seed: int, argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, run, write ``<out>/<name>.json``, print the table.

    :param seed: the default of ``--seed``.
    :return: 0, or 2 on wrong input (one line on stderr).
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: for a look, not for a table")
    parser.add_argument("--seed", type=int, default=seed, help=f"first seed (default: {seed})")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"), metavar="DIR")
    args = parser.parse_args(argv)
    options = Options(args.quick, args.seed, args.out)
    try:
        result = benchmark(options, Console())
    except InputError as error:
        print(f"benchmarks.{name}: {error}", file=sys.stderr)
        return 2
    path = options.out / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(finite(document(name, options, result)), indent=1, allow_nan=False) + "\n")
    headline = [f"{key}: {value:.4g}" for key, value in result.headline.items()]
    Console().show(Report(result.title, result.columns, result.rows, notes=["", *headline, f"written: {path}"]))
    return 0


def document(name: str, options: Options, result: Result) -> dict[str, Any]:
    """What is written, the same keys for every benchmark."""
    quick = " --quick" if options.quick else ""
    return {
        "name": name,
        "command": f"python -m benchmarks.{name}{quick} --seed {options.seed}",
        "quick": options.quick,
        "seed": options.seed,
        "versions": versions(),
        "device": f"{result.device}: {platform.machine()} {platform.processor()}".strip(),
        "rows": [dict(row) for row in result.rows],
        "headline": dict(result.headline),
    }
