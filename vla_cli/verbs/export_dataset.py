"""``vla-monitor export-dataset``: recorded episodes as a LeRobot data set, to fine-tune a policy on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vla_cli.console import Console, Report
from vla_cli.surroundings import require
from vla_uq.errors import InputError

FINGERS = "fr3_finger_joint1,fr3_finger_joint2"
RATE = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which episodes, as what."""
    parser.add_argument("source", type=Path, metavar="SRC", help="a folder of bags; everything below it is looked at")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the data set to make")
    parser.add_argument(
        "--chosen",
        type=Path,
        metavar="FILE",
        help="only what `select --out` wrote, by the episodes' names in its store",
    )
    parser.add_argument(
        "--preset", default="table_top", help="how states and images are made: table_top, libero or droid"
    )
    parser.add_argument("--rate", type=int, default=RATE, metavar="HZ", help=f"frames a second (default: {RATE})")
    parser.add_argument(
        "--fingers", default=FINGERS, help="joints that add up to the fingers' distance, as a,-b (default: the FR3's)"
    )


def run(args: argparse.Namespace, console: Console) -> Report:
    """Write all usable episodes; exit code 1 when something was left out."""
    require("bag")
    from policy_node.backends.openpi_presets import PRESETS
    from vla_cli.bag.demonstrations import Demonstration, bags_below, usable
    from vla_cli.bag.episodes import spans
    from vla_cli.bag.rollouts import NAME
    from vla_server.lerobot.dataset import DatasetWriter
    from vla_uq.rollouts.importers.base import episode_id

    if args.preset not in PRESETS:
        raise InputError("unknown preset", where="--preset", expected=" or ".join(PRESETS), found=args.preset)
    if not 1 <= args.rate <= 1000:
        raise InputError("out of range", where="--rate", expected="1 to 1000", found=args.rate)
    found = [span for bag in bags_below(args.source) for span in spans(bag) if usable(span.label)]
    names = {span.episode: episode_id(NAME, f"{span.bag.name}/{span.episode}") for span in found}
    if args.chosen is not None:
        chosen = _chosen(args.chosen)
        missing = sorted(chosen - set(names.values()))
        if missing:
            raise InputError("chosen but not recorded", where=str(args.source), found=", ".join(missing)[:200])
        found = [span for span in found if names[span.episode] in chosen]
    fingers = [name for name in args.fingers.split(",") if name]
    rows, left_out = list[dict[str, Any]](), list[str]()
    with DatasetWriter(args.out, args.rate) as writer, console.progress("episodes", len(found)) as advance:
        for span in found:
            try:
                one = Demonstration(span, PRESETS[args.preset], fingers, args.rate)
            except InputError as error:
                left_out.append(f"{span.episode}: {error}")
            else:
                count, human = writer.add(one.task, int(one.label), one.names, one.frames())
                if count:
                    label = one.label.name.lower()
                    row = {"episode": names[span.episode], "task": one.task, "label": label}
                    rows.append(row | {"frames": count, "intervention": human})
                else:
                    left_out.append(f"{span.episode}: the arm was not moved, or not seen, in it")
            advance(1, span.episode)
        if not rows:
            found_text = "; ".join(left_out)[:300] or "none"
            raise InputError("no episode can be learnt from", where=str(args.source), found=found_text)
    return Report(
        f"{len(rows)} episodes, {sum(row['frames'] for row in rows)} frames in {args.out}",
        ("episode", "task", "label", "frames", "intervention"),
        rows,
        data={"dataset": str(args.out), "left_out": left_out},
        notes=["", "left out:", *(f"  {line}" for line in left_out)] if left_out else [],
        exit_code=int(bool(left_out)),
    )


def _chosen(path: Path) -> set[str]:
    from vla_uq.acquisition.rounds import acquired, read_rounds

    return {candidate.episode_id for candidate in acquired(read_rounds(path))}
