"""One fitted detector in one safetensors file: what training leaves behind for calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vla_uq import artefact
from vla_uq.detectors import Detector, detector_from_state
from vla_uq.errors import InputError
from vla_uq.rollouts.store import RolloutMeta

KIND = "detector"
SCHEMA = 1


@dataclass(frozen=True, eq=False)
class FittedDetector:
    """A detector and what it has seen.

    :param detector: fitted.
    :param episodes: ids of the episodes that it was fitted to or selected on; none of them may calibrate it.
    :param policy_fingerprint: of the policy that acted in them.
    :param provenance: JSON values: how it was made.
    """

    detector: Detector
    episodes: tuple[str, ...]
    policy_fingerprint: str
    provenance: Mapping[str, Any] = field(default_factory=dict)


def fitted_to(
    detector: Detector, metas: Iterable[RolloutMeta], provenance: Mapping[str, Any] | None = None
) -> FittedDetector:
    """A detector with a note of the episodes that it was fitted to.

    :raises InputError: when there are none, or they are of several policies.
    """
    listed = list(metas)
    policies = sorted({meta.policy_fingerprint for meta in listed})
    if len(policies) != 1:
        raise InputError(
            "episodes are not of one policy", where="policy_fingerprint", expected="one", found=", ".join(policies)
        )
    return FittedDetector(detector, tuple(sorted(m.episode_id for m in listed)), policies[0], dict(provenance or {}))


def save_detector(path: Path | str, fitted: FittedDetector) -> None:
    """Write atomically.

    :raises InputError: when the detector is not fitted or the file cannot be written.
    """
    tensors, config = fitted.detector.state()
    document = {
        "name": fitted.detector.name,
        "config": config,
        "episodes": list(fitted.episodes),
        "policy_fingerprint": fitted.policy_fingerprint,
        "provenance": dict(fitted.provenance),
    }
    artefact.write(Path(path), KIND, SCHEMA, document, tensors)


def load_detector(path: Path | str) -> FittedDetector:
    """Read a detector that is ready to score.

    :raises InputError: naming file and field, when the file is missing, broken, of another kind or schema, or holds a
        detector that this version does not know.
    """
    path = Path(path)
    document = artefact.read_document(path, KIND, SCHEMA)
    name = artefact.field(document, "name", str, str(path))
    config = artefact.field(document, "config", dict, str(path))
    detector = detector_from_state(name, artefact.read_tensors(path), config, where=f"{path}: {name}")
    episodes = artefact.field(document, "episodes", list, str(path))
    return FittedDetector(
        detector,
        tuple(map(str, episodes)),
        artefact.field(document, "policy_fingerprint", str, str(path)),
        artefact.field(document, "provenance", dict, str(path)),
    )
