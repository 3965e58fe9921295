"""``vla-monitor select``: which demonstrations to collect next, from candidates that the policy has looked at."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vla_cli.console import Console, Report
from vla_cli.selection import READING, describe, explain
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vla_uq.acquisition import Candidate, Strategy
    from vla_uq.acquisition.recorded import Frame, Pool
    from vla_uq.acquisition.uncertainties import Uncertainty
    from vla_uq.detectors import Detector

OF_SAVE = ("score", "detector", "temperature", "steps", "dims")
OWNERS = {**dict.fromkeys(OF_SAVE, "save"), "feature": "diversity"}
"""Options that mean something to one strategy alone."""
T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From which candidates, how many, by which rule."""
    parser.add_argument(
        "--candidates",
        type=Path,
        required=True,
        metavar="DIR",
        help="a rollout store: one candidate an episode, judged by its first inference",
    )
    parser.add_argument("--budget", type=int, default=5, metavar="N", help="demonstrations to choose (default: 5)")
    parser.add_argument("--strategy", choices=tuple(READING), default="save", help="default: save")
    parser.add_argument(
        "--score", metavar="NAME", help="what save goes by: vfd, action_l2, gu, or a detector's name (default: vfd)"
    )
    parser.add_argument(
        "--detector", type=Path, metavar="FILE", help="a detector or bundle whose score to go by, as last_layer_vfd"
    )
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="0 is uniform (default: vfd 2.5, action_l2 1.5, others 1)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="score only the first N actions of a chunk")
    parser.add_argument("--dims", type=int, metavar="N", help="score only the first N columns: leave padding out")
    parser.add_argument("--feature", metavar="NAME", help="tensor that diversity covers (default: features)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    parser.add_argument("--round", type=int, metavar="N", help="default: the one after those of --acquired, or 0")
    parser.add_argument("--acquired", type=Path, metavar="FILE", help="earlier rounds: what --out wrote")
    parser.add_argument(
        "--repeat",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="whether earlier choices stay eligible (default: no, a real scene is not there twice)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the earlier rounds and this one as JSON")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Choose one round and explain it."""
    from vla_uq.acquisition.recorded import Pool
    from vla_uq.acquisition.rounds import acquired, read_rounds, write_rounds
    from vla_uq.rollouts.store import RolloutStore

    _check_options(args)
    rounds = [] if args.acquired is None else read_rounds(args.acquired)
    index, shown = _round(args.round, rounds), acquired(rounds)
    pool = Pool.open(RolloutStore(args.candidates))
    eligible = len(pool.rollouts) if args.repeat else len(set(pool.rollouts) - set(shown))
    if not 1 <= args.budget <= eligible:
        raise InputError(
            "cannot be met",
            where="--budget",
            expected=f"1 or more, and no more than the {eligible} of {len(pool.rollouts)} candidates that are eligible",
            found=args.budget,
            remedy="offer new initial states" if args.budget > 0 else "",
        )
    decided = _strategy(args, pool, console).choose(index, list(pool.rollouts), shown)
    settings = {"strategy": args.strategy, "seed": args.seed, "budget": args.budget, "repeat": args.repeat}
    document = describe(decided, pool, settings)
    if args.out is not None:
        write_rounds(args.out, [*rounds, document])
    return explain(document, pool, shown)


def _check_options(args: argparse.Namespace) -> None:
    for option, strategy in OWNERS.items():
        if getattr(args, option) is not None and args.strategy != strategy:
            raise InputError(f"is an option of --strategy {strategy}", where=f"--{option}", found=args.strategy)
    if args.strategy == "diversity" and args.repeat:
        raise InputError("never repeats what it has covered", where="--strategy diversity", found="--repeat")
    if args.detector is not None and (args.steps is not None or args.dims is not None):
        raise InputError("takes whole chunks", where="--detector", found="--steps or --dims")


def _round(asked: int | None, rounds: Sequence[Mapping[str, Any]]) -> int:
    following = int(rounds[-1]["round"]) + 1 if rounds else 0
    index = following if asked is None else asked
    if index < following:
        raise InputError(
            "would draw an earlier round's numbers again", where="--round", expected=f">= {following}", found=index
        )
    return index


def _strategy(args: argparse.Namespace, pool: Pool, console: Console) -> Strategy:
    import numpy as np

    from vla_uq.acquisition import Diversity, Random, Save

    if args.strategy == "random":
        return Random(args.budget, args.seed, allow_repeat=args.repeat)
    if args.strategy == "diversity":
        name = args.feature or "features"
        points = _each(pool, (name,), lambda c, frame: _point(frame[name], f"{c.episode_id}: {name}"), console)
        return Diversity({c.episode_id: point for c, point in points.items()}, args.budget, args.seed)
    score = _uncertainty(args, pool, console)
    values = _each(pool, score.needs, lambda c, frame: score.of(frame, c.episode_id), console)
    return Save(
        lambda candidates: np.array([values[candidate] for candidate in candidates]),
        budget=args.budget,
        temperature=score.temperature if args.temperature is None else args.temperature,
        shifted=score.shifted,
        allow_repeat=args.repeat,
        seed=args.seed,
        name=score.name,
    )


def _each(
    pool: Pool, needs: Sequence[str], measure: Callable[[Candidate, Frame], T], console: Console
) -> dict[Candidate, T]:
    """Something of each candidate's first inference, with a progress bar."""
    found = {}
    with console.progress("candidates", len(pool.rollouts)) as advance:
        for candidate, frame in pool.first_frames(needs):
            found[candidate] = measure(candidate, frame)
            advance()
    return found


def _point(feature: NDArray[Any], where: str) -> NDArray[Any]:
    import numpy as np

    if not np.isfinite(feature).all():
        raise InputError("is not finite", where=where, remedy="leave the episode out")
    return feature.reshape(-1)


def _uncertainty(args: argparse.Namespace, pool: Pool, console: Console) -> Uncertainty:
    from vla_uq.acquisition.uncertainties import from_detector, from_tensors

    if args.detector is None:
        return from_tensors(args.score or "vfd", args.steps, args.dims)
    policy, detectors, seen = _detectors(args.detector)
    if policy != pool.policy:
        raise InputError("belongs to another policy", where=str(args.detector), expected=pool.policy, found=policy)
    name = args.score or (next(iter(detectors)) if len(detectors) == 1 else "")
    if name not in detectors:
        raise InputError(
            "is not in the file",
            where="--score",
            expected=", ".join(detectors),
            found=name or "none",
            remedy="name one",
        )
    known = sum(candidate.episode_id in seen for candidate in pool.rollouts)
    if known:
        console.say(
            f"{known} candidates are among the episodes that {name} was fitted to: they look too familiar to it"
        )
    return from_detector(detectors[name])


def _detectors(path: Path) -> tuple[str, Mapping[str, Detector], Sequence[str]]:
    """The policy, the detectors by name, and the episodes that they have seen as far as the file tells."""
    from vla_uq import artefact
    from vla_uq.bundle import KIND, SCHEMA, Bundle
    from vla_uq.detectors import file

    try:
        artefact.read_document(path, KIND, SCHEMA)
    except InputError as error:
        if error.found != file.KIND:
            raise
        fitted = file.load_detector(path)
        return fitted.policy_fingerprint, {fitted.detector.name: fitted.detector}, fitted.episodes
    bundle = Bundle.load(path)
    return bundle.policy.fingerprint, bundle.detectors, ()
