"""``vla-monitor calibrate``: from a lab's bags, or from rollouts, to the bundle that a monitor runs."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_cli.console import Console, Report
from vla_cli.episodes import SEEDS, SPAN, TRAINED_ON
from vla_cli.shipped import policy_folder
from vla_cli.surroundings import require, versions
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from vla_uq.bundle import Bundle, PolicyIdentity
    from vla_uq.detectors import Progress
    from vla_uq.rollouts.store import Rollout, RolloutMeta

ALPHA = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From which episodes, with which detectors and which promise, into which file."""
    from vla_uq.calibration.methods import METHODS

    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--rollouts", type=Path, metavar="DIR", help="a rollout store")
    source.add_argument("--bags", type=Path, metavar="DIR", help="bags of our nodes; everything below it is looked at")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the bundle to write")
    parser.add_argument(
        "--detector", type=Path, nargs="+", default=[], metavar="FILE", help="of `train` (default: what the data allow)"
    )
    parser.add_argument("--alpha", type=float, default=ALPHA, help=f"false alarms an episode (default: {ALPHA})")
    parser.add_argument("--method", choices=METHODS, default=METHODS[0], help=f"default: {METHODS[0]}")
    parser.add_argument("--per-task", action="store_true", help="a threshold of its own for each task with enough data")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of training (default: 0)")
    parser.add_argument("--store", type=Path, metavar="DIR", help="where bags are imported to (default: beside --out)")
    parser.add_argument("--strict", action="store_true", help="stop at the first broken episode of a bag")
    parser.add_argument("--policy", type=Path, metavar="DIR", help="the policy, where rollouts do not describe it")
    parser.add_argument(
        "--train-on",
        default=",".join(TRAINED_ON),
        metavar="A,B",
        help=f"disturbances to learn from, where seeds tell what is for training (default: {','.join(TRAINED_ON)})",
    )


def run(args: argparse.Namespace, console: Console) -> Report:
    """Exit code 1 when the bundle is written, but something broken was left out of it."""
    store, broken, found = _found(args, console)
    episodes, left_out = _usable(found, store)
    policy = _identity(args, [rollout.meta for rollout in episodes])
    bundle = _bundle(args, policy, episodes, console.stages())
    bundle.save(args.out)
    facts: dict[str, Any] = {
        "bundle": str(args.out),
        "digest": bundle.digest,
        "policy": bundle.policy.fingerprint,
        "detectors": ", ".join(bundle.detectors),
        "alpha": bundle.alpha,
        "method": bundle.nonconformity.method,
        "n_calibration": bundle.n_calibration,
        "realised_bound": bundle.realised_bound,
        "rollouts": str(store),
        "episodes": len(episodes),
    }
    notes = [
        *bundle.provenance.get("choice", []),
        *(_advice(row, bundle) for row in bundle.provenance.get("more_successes", [])),
        *(f"left out: {line}" for line in [*left_out, *broken]),
    ]
    data = {**facts, "more_successes": bundle.provenance.get("more_successes", []), "left_out": [*left_out, *broken]}
    rows = [{"field": name, "value": value} for name, value in facts.items()]
    return Report("Monitor bundle", ("field", "value"), rows, data, ["", *notes], exit_code=int(bool(broken)))


def _found(args: argparse.Namespace, console: Console) -> tuple[Path, list[str], list[Rollout]]:
    """The store, what of the bags could not be read, and the rollouts: all of the store, or those of the bags."""
    from vla_uq.rollouts.store import RolloutStore, open_rollout

    if args.bags is None:
        return args.rollouts, [], list(RolloutStore(args.rollouts))
    require("bag")
    from vla_cli.bag.rollouts import FORMAT
    from vla_cli.verbs.import_ import import_into

    store = RolloutStore(args.store or args.out.with_name(f"{args.out.name.split('.')[0]}.rollouts"))
    outcome = import_into(store.folder, args.bags, FORMAT, console, strict=args.strict)
    ids = sorted([*outcome.written, *outcome.kept])
    return store.folder, outcome.broken, [open_rollout(store.path(one)) for one in ids]


def _usable(found: Sequence[Rollout], store: Path) -> tuple[list[Rollout], list[str]]:
    """Episodes that say something about the policy, all of one kind, and a line on each sort of the others.

    :raises InputError: when there are none, or they are a mixture.
    """
    reasons: dict[str, Callable[[RolloutMeta], bool]] = {
        "halted, or taken over by a human": lambda meta: meta.halted,
        "without an outcome": lambda meta: meta.success is None,
    }
    kept = [r for r in found if not any(applies(r.meta) for applies in reasons.values())]
    if not kept:
        raise InputError("no usable rollouts", where=str(store), found=f"{len(found)} rollouts")
    _check_kind([r.meta for r in kept], store)
    counts = {reason: sum(applies(r.meta) for r in found) for reason, applies in reasons.items()}
    return kept, [f"{n} episodes {reason}" for reason, n in counts.items() if n]


def _check_kind(metas: Sequence[RolloutMeta], store: Path) -> None:
    """Refuse a mixture, telling what is mixed with what; what nobody noted counts as nothing."""
    kinds: dict[str, Callable[[RolloutMeta], str]] = {
        "policies": lambda meta: meta.policy_fingerprint,
        "modes": lambda meta: meta.mode,
        "rates": lambda m: f"{m.execute_steps} actions of {m.step_duration:g} s" if m.inference_period else "",
        "sets of cameras": lambda meta: " ".join(meta.extra.get("cameras", [])),
    }
    for what, kind in kinds.items():
        members: dict[str, list[str]] = defaultdict(list)
        for meta in metas:
            members[kind(meta)].append(meta.episode_id)
        members.pop("", None)
        if len(members) > 1:
            found = "; ".join(f"{name} ({len(ids)} episodes, such as {ids[0]})" for name, ids in members.items())
            remedy = "calibrate each by itself, from a folder of its own"
            raise InputError(
                f"rollouts of several {what}", where=str(store), expected="one", found=found, remedy=remedy
            )


def _identity(args: argparse.Namespace, metas: Sequence[RolloutMeta]) -> PolicyIdentity:
    """The policy as the rollouts describe it, or its files do."""
    from vla_uq.bundle import PolicyIdentity
    from vla_uq.contracts import Space

    first = metas[0]
    described = first.extra.get("policy")
    if described is not None:
        space, horizon, dim = Space[described["space"]], described["horizon"], described["dim"]
        return PolicyIdentity(first.policy_fingerprint, space, horizon, dim, first.step_duration, first.execute_steps)
    require("policy")
    from policy_node import backends

    folder = policy_folder(args.policy)
    policy = PolicyIdentity.of(backends.load("", folder).info)
    if policy.fingerprint != first.policy_fingerprint:
        raise InputError(
            "rollouts do not describe their policy, and it is not this one",
            where=str(folder),
            expected=first.policy_fingerprint,
            found=policy.fingerprint,
            remedy="give --policy the folder of the policy that acted",
        )
    return policy


def _bundle(
    args: argparse.Namespace, policy: PolicyIdentity, episodes: Sequence[Rollout], progress: Progress
) -> Bundle:
    """Detectors that are fitted already, or the parts that seeds tell, or parts of one pile."""
    from vla_uq.calibration.build import build_bundle, build_from, calibrate
    from vla_uq.detectors.file import load_detector

    settings: dict[str, Any] = {
        "alpha": args.alpha,
        "seed": args.seed,
        "method": args.method,
        "per_task": args.per_task,
        "provenance": {"versions": versions()},
        "progress": progress,
    }
    learnt = args.train_on.split(",")
    training = [r for r in episodes if _serves(r.meta, "train") and r.meta.disturbance in learnt]
    nominal = [r for r in episodes if r.meta.nominal]
    calibration = [r for r in nominal if _serves(r.meta, "calibrate")]
    if args.detector:
        fitted = [load_detector(path) for path in args.detector]
        for path, one in zip(args.detector, fitted, strict=True):
            if one.policy_fingerprint != policy.fingerprint:
                raise InputError(
                    "detector was trained on another policy",
                    where=str(path),
                    expected=policy.fingerprint,
                    found=one.policy_fingerprint,
                )
        seen = {episode for one in fitted for episode in one.episodes}
        rest = [r for r in calibration or nominal if r.meta.episode_id not in seen]
        return calibrate(policy, [one.detector for one in fitted], rest, trained_on=seen, **settings)
    if training and calibration:
        return build_bundle(policy, training, calibration, **settings)
    return build_from(policy, episodes, **settings)


def _serves(meta: RolloutMeta, purpose: str) -> bool:
    first = SEEDS[purpose].first
    return first <= meta.seed < first + SPAN


def _advice(row: dict[str, Any], bundle: Bundle) -> str:
    """A line on what more successes would buy."""
    line = f"{row['more']} more successes ({row['successes']} in all)"
    if row["alpha"] < bundle.alpha:
        return f"{line}: alpha {row['alpha']:g} becomes possible"
    return f"{line}: realised rate below {row['bound']:.3g}, now {bundle.realised_bound:.3g} (95 %)"
