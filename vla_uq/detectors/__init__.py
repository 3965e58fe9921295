"""Failure detectors: one protocol, and the table of those that exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vla_uq.detectors.ace import Ace
from vla_uq.detectors.base import Detector, Progress, Tensors
from vla_uq.detectors.cluster_entropy import ClusterEntropy
from vla_uq.detectors.controls import Counter, Difficulty
from vla_uq.detectors.decu import Decu, DecuKl
from vla_uq.detectors.fiper import RndOeAndAce, RndOeOrAce
from vla_uq.detectors.knn import CosineKnn, EuclideanKnn
from vla_uq.detectors.last_layer import LastLayerVfd
from vla_uq.detectors.logpzo import LogpZo
from vla_uq.detectors.mahalanobis import Mahalanobis
from vla_uq.detectors.members import ActionL2, Gu, GuJazbec
from vla_uq.detectors.pca_kmeans import PcaKmeans
from vla_uq.detectors.rnd import Rnd
from vla_uq.detectors.rnd_oe import RndOe
from vla_uq.detectors.safe_lstm import SafeLstm, SafeLstmTraining
from vla_uq.detectors.safe_mlp import SafeMlp, SafeTraining
from vla_uq.detectors.stac import Stac, StacMedian, StacSingle
from vla_uq.detectors.tokens import Perplexity, TokenAvgEntropy, TokenAvgProb, TokenMaxEntropy, TokenMaxProb
from vla_uq.detectors.variance import GripperVariance, RotationVariance, TotalVariance, TranslationVariance
from vla_uq.detectors.vfd import Vfd, VfdTwoWay
from vla_uq.errors import InputError

__all__ = [
    "DETECTORS",
    "Ace",
    "ActionL2",
    "ClusterEntropy",
    "CosineKnn",
    "Counter",
    "Decu",
    "DecuKl",
    "Detector",
    "Difficulty",
    "EuclideanKnn",
    "GripperVariance",
    "Gu",
    "GuJazbec",
    "LastLayerVfd",
    "LogpZo",
    "Mahalanobis",
    "PcaKmeans",
    "Perplexity",
    "Progress",
    "Rnd",
    "RndOe",
    "RndOeAndAce",
    "RndOeOrAce",
    "RotationVariance",
    "SafeLstm",
    "SafeLstmTraining",
    "SafeMlp",
    "SafeTraining",
    "Stac",
    "StacMedian",
    "StacSingle",
    "Tensors",
    "TokenAvgEntropy",
    "TokenAvgProb",
    "TokenMaxEntropy",
    "TokenMaxProb",
    "TotalVariance",
    "TranslationVariance",
    "Vfd",
    "VfdTwoWay",
    "detector_from_state",
]

KINDS: tuple[type[Detector], ...] = (
    *(Vfd, SafeMlp, SafeLstm),
    *(VfdTwoWay, LastLayerVfd, ActionL2, Decu, DecuKl, Gu, GuJazbec),
    *(TokenMaxProb, TokenAvgProb, TokenMaxEntropy, TokenAvgEntropy, Perplexity),
    *(Mahalanobis, EuclideanKnn, CosineKnn, PcaKmeans, Rnd, LogpZo),
    *(TotalVariance, TranslationVariance, RotationVariance, GripperVariance, ClusterEntropy),
    *(Stac, StacMedian, StacSingle, Ace, RndOe, RndOeAndAce, RndOeOrAce),
    *(Counter, Difficulty),
)
DETECTORS: Mapping[str, type[Detector]] = {detector.name: detector for detector in KINDS}


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
