"""``vla-monitor inspect``: what a bundle, a detector, a rollout or a store of rollouts holds."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vla_cli.console import Console, Report
from vla_uq.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file or folder."""
    parser.add_argument(
        "file", type=Path, help="a bundle, a detector, a rollout (.safetensors), or a folder of rollouts"
    )


def run(args: argparse.Namespace, console: Console) -> Report:
    """Print the file's own description; a bundle is verified on the way."""
    from vla_uq import artefact, bundle
    from vla_uq.detectors import file
    from vla_uq.rollouts import store

    if args.file.is_dir():
        return _store(args.file)
    try:
        artefact.read_document(args.file, bundle.KIND, bundle.SCHEMA)
    except InputError as error:
        if error.found == store.KIND:
            return _rollout(args.file)
        if error.found == file.KIND:
            return _detector(args.file)
        raise
    return _bundle(args.file)


def _store(folder: Path) -> Report:
    """Outcomes by task and condition; every file's header is read, and so a broken one is found."""
    from vla_uq.evaluation.splits import task_key
    from vla_uq.rollouts.store import RolloutStore

    store = RolloutStore(folder)
    metas = list(store.metas())
    if not metas:
        raise InputError("no rollouts in the folder", where=str(folder), expected="rollout-*.safetensors")
    counts = Counter((task_key(meta), meta.disturbance, meta.success) for meta in metas)
    rows = [
        {
            "task": task,
            "condition": condition,
            "n": sum(counts[task, condition, outcome] for outcome in (True, False, None)),
            "successes": counts[task, condition, True],
            "failures": counts[task, condition, False],
            "unlabelled": counts[task, condition, None],
        }
        for task, condition in sorted({(task, condition) for task, condition, _ in counts})
    ]
    tensors = Counter(name for rollout in store for name in rollout.tensors)
    facts = {
        "episodes": len(metas),
        "failures": sum(meta.success is False for meta in metas),
        "policies": dict(Counter(meta.policy_fingerprint for meta in metas)),
        "modes": dict(Counter(meta.mode for meta in metas)),
        "halted": sum(meta.halted for meta in metas),
        "tensors": dict(sorted(tensors.items())),
    }
    notes = ["", *(f"{name}: {json.dumps(value)}" for name, value in facts.items())]
    return Report(f"Rollouts in {folder}", tuple(rows[0]), rows, facts, notes)


def _detector(path: Path) -> Report:
    from vla_uq.detectors.file import load_detector

    fitted = load_detector(path)
    tensors, config = fitted.detector.state()
    facts = {
        "detector": f"{fitted.detector.name} v{fitted.detector.version}",
        "needs": ", ".join(fitted.detector.needs),
        "policy": fitted.policy_fingerprint,
        "episodes": len(fitted.episodes),
        **{f"config.{name}": value for name, value in config.items() if name != "version"},
        **{f"tensor {name}": " x ".join(map(str, value.shape)) for name, value in sorted(tensors.items())},
        **{f"provenance.{name}": value for name, value in fitted.provenance.items()},
    }
    return _report(f"Detector {path}", facts)


def _bundle(path: Path) -> Report:
    from vla_uq.bundle import Bundle

    bundle = Bundle.load(path)
    facts = {
        "digest": bundle.digest,
        **{f"policy.{name}": value for name, value in asdict(bundle.policy).items()},
        "policy.space": bundle.policy.space.name,
        "detectors": ", ".join(f"{name} v{detector.version}" for name, detector in bundle.detectors.items()),
        "method": bundle.nonconformity.method,
        "alpha": bundle.alpha,
        "threshold": bundle.nonconformity.threshold(),
        "threshold after an intervention": bundle.nonconformity.threshold(constant=True),
        "n_calibration": bundle.n_calibration,
        "realised_bound": bundle.realised_bound,
        **({} if bundle.per_task is None else {"tasks with a threshold of their own": sorted(bundle.per_task.own)}),
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
