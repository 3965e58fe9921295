"""``vla-monitor import``: rollouts that others recorded, or bags of our nodes, into a rollout store."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vla_cli.console import Console, Report
from vla_cli.surroundings import require
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from vla_uq.rollouts.importers import Format
    from vla_uq.rollouts.importing import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From where, in which format, to where."""
    parser.add_argument(
        "source", type=Path, metavar="SRC", help="a folder of records; everything below it is looked at"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the rollout store to fill")
    parser.add_argument(
        "--format", choices=tuple(formats()), help="default: told by what lies in SRC, if that is clear"
    )
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first broken episode instead of leaving it out"
    )


def run(args: argparse.Namespace, console: Console) -> Report:
    """Exit code 0 when all is in the store, 1 when something broken was left out."""
    require("bag")
    from vla_uq.rollouts.importers import format_of

    if not args.source.is_dir():
        raise InputError("no such folder", where=str(args.source))
    known = formats()
    chosen = known[args.format] if args.format else format_of(args.source, known.values())
    outcome = import_into(args.out, args.source, chosen, console, strict=args.strict)
    counts = {"written": len(outcome.written), "there already": len(outcome.kept), "broken": len(outcome.broken)}
    return Report(
        f"{chosen.name} from {args.source} in {args.out}",
        ("episodes", "n"),
        [{"episodes": name, "n": n} for name, n in counts.items()],
        data={"store": str(args.out), "format": chosen.name, "left_out": outcome.broken},
        notes=["", "left out:", *(f"  {line}" for line in outcome.broken)] if outcome.broken else [],
        exit_code=int(bool(outcome.broken)),
    )


def formats() -> Mapping[str, Format]:
    """Everything that can be imported, by name."""
    from vla_cli.bag import rollouts
    from vla_uq.rollouts.importers import FORMATS

    return {**FORMATS, rollouts.NAME: rollouts.FORMAT}


def import_into(store: Path, source: Path, chosen: Format, console: Console, *, strict: bool = False) -> Outcome:
    """Import all episodes of a folder, with a progress bar.

    :raises InputError: when there are none, or, if ``strict``, for the first broken one.
    """
    from vla_uq.rollouts.importing import import_episodes
    from vla_uq.rollouts.store import RolloutStore

    found = list(chosen.find(source))
    if not found:
        raise InputError("holds nothing of this format", where=str(source), expected=f"{chosen.name}: {chosen.layout}")
    with console.progress("import", len(found)) as advance:
        return import_episodes(found, RolloutStore(store), strict=strict, done=lambda name: advance(1, name))
