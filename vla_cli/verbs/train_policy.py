"""``vla-monitor train-policy``: trains the ensemble from demonstrations and exports it."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vla_cli.console import Console, Report
from vla_cli.surroundings import require, versions
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from vla_policy.nets import Member
    from vla_policy.training import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From which demonstrations, into which folder."""
    parser.add_argument("--demonstrations", type=Path, required=True, metavar="DIR", help="from `vla-monitor collect`")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the weights folder to write")
    parser.add_argument("--members", type=int, default=2, metavar="N", help="each with its own seed (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the first member (default: 0)")
    parser.add_argument("--iterations", type=int, metavar="N", help="default: as the shipped weights")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Train the members that are not there yet, then export all."""
    paths = sorted(args.demonstrations.glob("*.safetensors"))
    if not paths:
        raise InputError(
            "no demonstrations", where=str(args.demonstrations), remedy="make them with: vla-monitor collect"
        )
    if args.members < 2:
        raise InputError("out of range", where="--members", expected="at least 2", found=args.members)
    require("train", "policy")
    from vla_policy.export import export
    from vla_policy.training import Recipe, load

    recipe = Recipe() if args.iterations is None else replace(Recipe(), iterations=args.iterations)
    data = load(paths)
    folder = args.out / "members"
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(args.seed, args.seed + args.members)
    members = [_member(data, seed, recipe, folder / f"member_{seed}.safetensors", console) for seed in seeds]
    training = {
        "seeds": list(seeds),
        "recipe": asdict(recipe),
        "demonstrations": [path.stem for path in paths],
        "samples": len(data["chunk"]),
        "versions": versions(),
    }
    manifest = export(members, args.out, training)
    rows = [{"file": name, "kilobytes": (args.out / name).stat().st_size / 1e3} for name in manifest.files]
    return Report(
        f"Policy {manifest.fingerprint} in {args.out}",
        ("file", "kilobytes"),
        rows,
        data={"fingerprint": manifest.fingerprint, "training": training},
    )


def _member(data: Mapping[str, Tensor], seed: int, recipe: Recipe, path: Path, console: Console) -> Member:
    from vla_policy.training import restore, save, train

    if path.exists():
        console.say(f"member {seed} is there already: {path}")
        return restore(path)
    with console.progress(f"member {seed}", recipe.iterations) as advance:
        done = 0

        def progress(iteration: int, flow: float, geometry: float) -> None:
            nonlocal done
            advance(iteration - done, f"flow {flow:.3f} geometry {geometry:.3f}")
            done = iteration

        member = train(data, seed, recipe, progress)
    save(member, path, seed)
    return member
