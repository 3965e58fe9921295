"""``vla-monitor export``: a LeRobot policy as ONNX graphs, which run beside ROS without LeRobot or torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from vla_cli.console import Console, Report
from vla_cli.surroundings import require
from vla_uq.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What, to where."""
    parser.add_argument("path", type=Path, help="folder with ensemble.json")
    parser.add_argument("--policy", choices=("lerobot",), default="lerobot", help="default: lerobot")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the weights folder to make")
    parser.add_argument(
        "--preset", default="table_top", help="what the arm's observation is called: table_top, libero or droid"
    )


def run(args: argparse.Namespace, console: Console) -> Report:
    """Export in LeRobot's environment, and compare before anything is written."""
    require("policy", "train")
    from policy_node.backends.openpi_presets import PRESETS
    from vla_server.lerobot.export import export

    if args.preset not in PRESETS:
        raise InputError("unknown preset", where="--preset", expected=" or ".join(PRESETS), found=args.preset)
    console.say(f"{args.path}: exporting, which takes minutes for a large policy")
    manifest, gap = export(args.path, args.out, args.preset)
    rows = [{"file": name, "megabytes": (args.out / name).stat().st_size / 1e6} for name in manifest.files]
    return Report(
        f"{manifest.members} members in {args.out}, fingerprint {manifest.fingerprint}",
        ("file", "megabytes"),
        rows,
        data={"fingerprint": manifest.fingerprint, "actions": gap.actions, "batched": gap.batched},
        notes=["", f"largest difference from LeRobot: actions {gap.actions:.1e}, velocities {gap.batched:.1e}"],
    )
