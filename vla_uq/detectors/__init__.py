"""Failure detectors: one protocol, and the table of those that exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vla_uq.detectors.base import Detector, Progress, Tensors
from vla_uq.detectors.safe_mlp import SafeMlp, SafeTraining
from vla_uq.detectors.vfd import Vfd
from vla_uq.errors import InputError

__all__ = ["DETECTORS", "Detector", "Progress", "SafeMlp", "SafeTraining", "Tensors", "Vfd", "detector_from_state"]

DETECTORS: Mapping[str, type[Detector]] = {detector.name: detector for detector in (Vfd, SafeMlp)}


def detector_from_state(name: str, tensors: Tensors, config: Mapping[str, Any], where: str = "") -> Detector:
    """A fitted detector from what its ``state()`` returned.

    :raises InputError: when the detector is unknown, of another version, or its state is wrong.
    """
    if name not in DETECTORS:
        raise InputError("unknown detector", where=where, expected=", ".join(DETECTORS), found=name)
    detector = DETECTORS[name]
    if config.get("version") != detector.version:
        raise InputError(
            "has another version",
            where=f"{where}: version",
            expected=detector.version,
            found=config.get("version"),
            remedy="train and calibrate again with this version",
        )
    return detector.from_state(tensors, config, where)
