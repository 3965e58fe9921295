"""``vla-monitor train``: detectors and thresholds from a rollout store into one bundle."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vla_cli.console import Console, Report
from vla_cli.episodes import SEEDS, SPAN, TRAINED_ON
from vla_cli.shipped import policy_folder
from vla_cli.surroundings import require, versions
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from vla_uq.detectors import Progress
    from vla_uq.rollouts.store import RolloutMeta

ALPHA = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From which rollouts, into which file, with which false-alarm rate."""
    parser.add_argument("--rollouts", type=Path, required=True, metavar="DIR", help="store of `vla-monitor rollouts`")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the bundle to write")
    parser.add_argument("--policy", type=Path, metavar="DIR", help="exported policy (default: the shipped one)")
    parser.add_argument("--alpha", type=float, default=ALPHA, help=f"false alarms an episode (default: {ALPHA})")
    parser.add_argument("--seed", type=int, default=0, help="of the split and of training (default: 0)")
    parser.add_argument(
        "--train-on",
        default=",".join(TRAINED_ON),
        metavar="A,B",
        help=f"disturbances to learn from (default: {','.join(TRAINED_ON)})",
    )


def run(args: argparse.Namespace, console: Console) -> Report:
    """Train on the rollouts with training seeds, calibrate on the nominal ones with calibration seeds."""
    require("policy", "train")
    from policy_node import backends
    from vla_uq.bundle import PolicyIdentity
    from vla_uq.calibration.build import build_bundle
    from vla_uq.rollouts.store import RolloutStore

    store = RolloutStore(args.rollouts)
    learnt = tuple(args.train_on.split(","))
    training = store.select(lambda meta: _serves(meta, "train") and meta.disturbance in learnt)
    calibration = store.select(lambda meta: _serves(meta, "calibrate") and meta.nominal)
    for name, part in (("training", training), ("calibration", calibration)):
        if not part:
            purpose = "train" if name == "training" else "calibrate"
            raise InputError(
                f"no {name} rollouts",
                where=str(args.rollouts),
                remedy=f"make them with: vla-monitor rollouts --purpose {purpose} --out {args.rollouts}",
            )
    policy = backends.load("onnx", policy_folder(args.policy)).info
    with _shown(console) as progress:
        bundle = build_bundle(
            PolicyIdentity.of(policy),
            training,
            calibration,
            alpha=args.alpha,
            seed=args.seed,
            provenance={"versions": versions()},
            progress=progress,
        )
    bundle.save(args.out)
    facts = {
        "bundle": str(args.out),
        "digest": bundle.digest,
        "policy": bundle.policy.fingerprint,
        "detectors": ", ".join(bundle.detectors),
        "alpha": bundle.alpha,
        "n_calibration": bundle.n_calibration,
        "realised_bound": bundle.realised_bound,
        "training_episodes": len(training),
    }
    return Report("Monitor bundle", ("field", "value"), [{"field": k, "value": v} for k, v in facts.items()], facts)


def _serves(meta: RolloutMeta, purpose: str) -> bool:
    first = SEEDS[purpose].first
    return first <= meta.seed < first + SPAN


@contextmanager
def _shown(console: Console) -> Iterator[Progress]:
    """Progress of a number of stages, told as they come."""
    shown: dict[str, int] = {}

    def progress(done: int, total: int, what: str) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth > shown.get(what, -1):
            shown[what] = tenth
            console.say(f"{what}: {done}/{total}")

    yield progress
