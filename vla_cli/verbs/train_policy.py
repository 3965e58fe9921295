"""``vla-monitor train-policy``: trains a policy from demonstrations and exports it.

Two heads: an ensemble of flow-matching members, each with an encoder of its own, or one autoregressive head over
action tokens on the encoder of a flow member.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_cli.console import Console, Report
from vla_cli.surroundings import require, versions
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from vla_policy.manifest import Manifest
    from vla_policy.nets import Member
    from vla_policy.training import Progress, Recipe

MEMBERS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From which demonstrations, into which folder."""
    parser.add_argument("--demonstrations", type=Path, required=True, metavar="DIR", help="from `vla-monitor collect`")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the weights folder to write")
    parser.add_argument(
        "--head",
        choices=("flow", "tokens"),
        default="flow",
        help="flow: an ensemble of flow-matching members; tokens: one autoregressive policy (default: flow)",
    )
    parser.add_argument("--members", type=int, metavar="N", help=f"flow: each with its own seed (default: {MEMBERS})")
    parser.add_argument(
        "--encoder", type=Path, metavar="FILE", help="tokens: a flow member, members/member_<seed>.safetensors"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first member (default: 0)")
    parser.add_argument("--iterations", type=int, metavar="N", help="default: as the shipped weights")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Train what is not there yet, then export all."""
    paths = _demonstrations(args)
    if not paths:
        raise InputError(
            "no demonstrations", where=str(args.demonstrations), remedy="make them with: vla-monitor collect"
        )
    _check_head(args)
    require("train", "policy")
    from vla_policy.training import load

    data = load(paths)
    training = {
        "demonstrations": [path.stem for path in paths],
        "samples": len(data["chunk"]),
        "versions": versions(),
    }
    make = _tokens if args.head == "tokens" else _flow
    manifest = make(args, data, training, console)
    rows = [{"file": name, "kilobytes": (args.out / name).stat().st_size / 1e3} for name in manifest.files]
    return Report(
        f"Policy {manifest.fingerprint} in {args.out}",
        ("file", "kilobytes"),
        rows,
        data={"fingerprint": manifest.fingerprint, "training": manifest.training},
    )


def _demonstrations(args: argparse.Namespace) -> list[Path]:
    return sorted(args.demonstrations.glob("*.safetensors"))


def _check_head(args: argparse.Namespace) -> None:
    """:raises InputError: when an option does not go with the head, or the encoder is missing."""
    if args.head == "flow":
        if args.encoder is not None:
            raise InputError("only for --head tokens", where="--encoder", remedy="a flow member trains its own")
        if args.members is not None and args.members < 2:
            raise InputError("out of range", where="--members", expected="at least 2", found=args.members)
    else:
        if args.members is not None:
            raise InputError("only for --head flow", where="--members", remedy="a token policy has one member")
        if args.encoder is None or not args.encoder.is_file():
            raise InputError(
                "--head tokens needs the encoder of a flow member",
                where="--encoder",
                found=str(args.encoder or "nothing"),
                remedy="train one with --head flow and give its members/member_0.safetensors",
            )


def _flow(args: argparse.Namespace, data: Mapping[str, Tensor], training: dict[str, Any], console: Console) -> Manifest:
    from vla_policy.export import export
    from vla_policy.training import Recipe, open_width_of

    recipe = Recipe() if args.iterations is None else replace(Recipe(), iterations=args.iterations)
    folder = args.out / "members"
    folder.mkdir(parents=True, exist_ok=True)
    seeds: Sequence[int] = range(args.seed, args.seed + (args.members or MEMBERS))
    members = [_member(data, seed, recipe, folder / f"member_{seed}.safetensors", console) for seed in seeds]
    training = {"seeds": list(seeds), "recipe": asdict(recipe), **training}
    return export(members, args.out, training, open_width_of(_demonstrations(args)))


def _member(data: Mapping[str, Tensor], seed: int, recipe: Recipe, path: Path, console: Console) -> Member:
    from vla_policy.training import restore, save, train

    if path.exists():
        console.say(f"member {seed} is there already: {path}")
        return restore(path)
    with _shown(console, f"member {seed}", recipe.iterations) as progress:
        member = train(data, seed, recipe, progress)
    save(member, path, seed)
    return member


def _tokens(
    args: argparse.Namespace, data: Mapping[str, Tensor], training: dict[str, Any], console: Console
) -> Manifest:
    from vla_policy.export import export_tokens
    from vla_policy.manifest import sha256
    from vla_policy.token_training import TokenRecipe, encode, train_tokens
    from vla_policy.training import restore

    recipe = TokenRecipe() if args.iterations is None else replace(TokenRecipe(), iterations=args.iterations)
    encoder = restore(args.encoder).encoder
    with console.progress("images encoded", recipe.copies * len(data["chunk"])) as advance:
        contexts = encode(data, encoder, args.seed, recipe, lambda count: advance(count, ""))
    with _shown(console, "token head", recipe.iterations) as progress:
        policy = train_tokens(data["chunk"], contexts, encoder, args.seed, recipe, progress)
    origin = {"seeds": [args.seed], "recipe": asdict(recipe), "encoder": sha256(args.encoder)}
    return export_tokens(policy, args.out, {**origin, **training})


@contextmanager
def _shown(console: Console, label: str, iterations: int) -> Iterator[Progress]:
    """Progress of an optimisation, with its losses."""
    with console.progress(label, iterations) as advance:
        done = 0

        def progress(iteration: int, losses: Mapping[str, float]) -> None:
            nonlocal done
            advance(iteration - done, " ".join(f"{name} {loss:.3f}" for name, loss in losses.items()))
            done = iteration

        yield progress
