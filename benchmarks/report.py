"""What every benchmark shares: its arguments, its JSON file and its table."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vla_cli.console import Console, Report, finite
from vla_cli.surroundings import versions
from vla_uq.errors import InputError


@dataclass(frozen=True)
class Table:
    """A further table of a benchmark."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Result:
    """The outcome of a benchmark.

    :param rows: of the table; each says its n.
    :param headline: the numbers that others quote.
    :param device: what it ran on.
    :param notes: lines to be read with the table.
    :param tables: further ones, below the first.
    :param variant: told apart in the file's name from the same benchmark run on something else; may be empty.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    headline: Mapping[str, float]
    device: str = "cpu"
    notes: Sequence[str] = ()
    variant: str = ""
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Options:
    """The arguments of every benchmark.

    :param own: those of this one alone, by name.
    """

    quick: bool
    seed: int
    out: Path
    own: Mapping[str, Any] = field(default_factory=dict)


Benchmark = Callable[[Options, Console], Result]


def command(
    name: str,
    benchmark: Benchmark,
    seed: int,
    argv: Sequence[str] | None = None,
    own: Callable[[argparse.ArgumentParser], None] | None = None,
) -> int:
    """Parse the arguments, run, write ``<out>/<name>.json``, print the table.

    :param seed: the default of ``--seed``.
    :param own: adds the benchmark's own arguments.
    :return: 0, or 2 on wrong input (one line on stderr).
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: for a look, not for a table")
    parser.add_argument("--seed", type=int, default=seed, help=f"first seed (default: {seed})")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"), metavar="DIR")
    if own is not None:
        own(parser)
    args = vars(parser.parse_args(argv))
    options = Options(args.pop("quick"), args.pop("seed"), args.pop("out"), args)
    differing = {key.replace("_", "-"): value for key, value in args.items() if value != parser.get_default(key)}
    given = [f"--{key}" if value is True else f"--{key} {value}" for key, value in differing.items()]
    try:
        result = benchmark(options, Console())
    except InputError as error:
        print(f"benchmarks.{name}: {error}", file=sys.stderr)
        return 2
    path = options.out / f"{name}{f'_{result.variant}' if result.variant else ''}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(finite(document(name, options, result, given)), indent=1, allow_nan=False) + "\n")
    headline = [f"{key}: {value:.4g}" for key, value in result.headline.items()]
    notes = ["", *result.notes, *headline, f"written: {path}"]
    Console().show(Report(result.title, result.columns, result.rows))
    for table in result.tables:
        Console().show(Report(f"\n{table.title}", table.columns, table.rows))
    Console().show(Report("", notes=notes))
    return 0


def document(name: str, options: Options, result: Result, given: Sequence[str] = ()) -> dict[str, Any]:
    """What is written, the same keys for every benchmark; ``tables`` where there are further ones.

    :param given: the benchmark's own arguments, where they are not the defaults.
    """
    words = ["python -m", f"benchmarks.{name}", *(["--quick"] if options.quick else []), *given]
    return {
        "name": name,
        "title": result.title,
        "command": " ".join([*words, f"--seed {options.seed}"]),
        "quick": options.quick,
        "seed": options.seed,
        "versions": versions(),
        "device": f"{result.device}: {platform.machine()} {platform.processor()}".strip(),
        "columns": list(result.columns),
        "rows": [dict(row) for row in result.rows],
        "notes": list(result.notes),
        "headline": dict(result.headline),
        **({"tables": [asdict(table) for table in result.tables]} if result.tables else {}),
    }
