"""``vla-monitor inspect``: what a bundle or a rollout file holds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vla_cli.console import Console, Report
from vla_uq.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file."""
    parser.add_argument("file", type=Path, help="a bundle or a rollout (.safetensors)")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Print the file's own description; a bundle is verified on the way."""
    from vla_uq import artefact, bundle
    from vla_uq.rollouts import store

    try:
        artefact.read_document(args.file, bundle.KIND, bundle.SCHEMA)
    except InputError as error:
        if error.found != store.KIND:
            raise
        return _rollout(args.file)
    return _bundle(args.file)


def _bundle(path: Path) -> Report:
    from vla_uq.bundle import Bundle

    bundle = Bundle.load(path)
    facts = {
        "digest": bundle.digest,
        **{f"policy.{name}": value for name, value in asdict(bundle.policy).items()},
        "policy.space": bundle.policy.space.name,
        "detectors": ", ".join(f"{name} v{detector.version}" for name, detector in bundle.detectors.items()),
        "alpha": bundle.alpha,
        "threshold": bundle.nonconformity.threshold(),
        "threshold after an intervention": bundle.nonconformity.threshold(constant=True),
        "n_calibration": bundle.n_calibration,
        "realised_bound": bundle.realised_bound,
        **{f"provenance.{name}": value for name, value in bundle.provenance.items()},
    }
    return _report(f"Monitor bundle {path}", facts)


def _rollout(path: Path) -> Report:
    from vla_uq.rollouts.store import open_rollout

    rollout = open_rollout(path)
    shapes = {f"tensor {name}": " x ".join(map(str, rollout.tensor(name).shape)) for name in sorted(rollout.tensors)}
    return _report(f"Rollout {path}", {**asdict(rollout.meta), **shapes})


def _report(title: str, facts: Mapping[str, Any]) -> Report:
    rows = [
        {"field": name, "value": json.dumps(value, default=str) if isinstance(value, (dict, list, tuple)) else value}
        for name, value in facts.items()
    ]
    return Report(title, ("field", "value"), rows, data=dict(facts))
