"""What is kept of one detector on one split: JSON in, JSON out, so that a long comparison can go on where it was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vla_uq.evaluation.alarms import AlarmReport
from vla_uq.evaluation.protocol import Protocol

TESTED = ("test_seen", "unseen")


@dataclass(frozen=True)
class Example:
    """The scores of one test episode, to be drawn."""

    episode: str
    task: str
    part: str
    failed: bool
    curve: tuple[float, ...]


@dataclass(frozen=True)
class Band:
    """A functional band, and what its alarms are worth.

    :param n: calibration curves that its factor rests on.
    :param upper: (T,) its upper end.
    :param reports: part to protocol (``matched`` or ``leaky``) to rates.
    :param refused: why there is none; then the rest is empty.
    """

    alpha: float
    n: int = 0
    upper: tuple[float, ...] = ()
    reports: Mapping[str, Mapping[str, AlarmReport]] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True)
class Alarms:
    """First alarms of the test episodes under a threshold from nominal successes.

    :param threshold: one of :data:`vla_uq.evaluation.thresholds.THRESHOLDS`.
    :param n: successes that it was calibrated on.
    :param first: part to the index of each episode's first alarm in the manifest's order, -1 where there is none.
    :param refused: why there is no threshold; then the rest is empty.
    """

    threshold: str
    alpha: float
    n: int = 0
    first: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    refused: str = ""


@dataclass(frozen=True)
class RunResult:
    """One row of the table on one split.

    :param peaks: part to protocol to the score of each episode, in the manifest's order.
    :param read: part to the inferences of each episode that the protocol ``matched`` reads.
    :param short: part to the number of its episodes that are shorter than their cut-off.
    :param chosen: hyper-parameters, aggregator, selection AUC and the number of combinations tried.
    :param fit_seconds: fitting and selection of all candidates.
    :param step_microseconds: median over test episodes of scoring a whole episode, per inference.
    :param refused: why the detector could not be fitted; then the rest is empty.
    """

    row: str
    detector: str
    control: bool
    split: str
    chosen: Mapping[str, Any] = field(default_factory=dict)
    peaks: Mapping[str, Mapping[Protocol, Sequence[float]]] = field(default_factory=dict)
    read: Mapping[str, Sequence[int]] = field(default_factory=dict)
    short: Mapping[str, int] = field(default_factory=dict)
    bands: Sequence[Band] = ()
    alarms: Sequence[Alarms] = ()
    examples: Sequence[Example] = ()
    fit_seconds: float = math.nan
    step_microseconds: float = math.nan
    refused: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON values: infinite scores become ``"inf"``, NaN null."""
        return _jsonable(asdict(self))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> RunResult:
        """The inverse of :meth:`document`."""
        values = _numbers(dict(document))
        values["bands"] = [_band(band) for band in values["bands"]]
        values["alarms"] = [_alarms(alarms) for alarms in values["alarms"]]
        values["examples"] = [Example(**{**e, "curve": tuple(e["curve"])}) for e in values["examples"]]
        return cls(**values)


def best(candidates: Sequence[RunResult]) -> RunResult:
    """The result of the candidate with the highest selection AUC, the first of equals, as that of the whole grid.

    Candidates that could not be fitted are left out; when none could, the first says why.

    :param candidates: results of one row on one split, each of one candidate.
    """
    fitted = [result for result in candidates if not result.refused]
    if not fitted:
        return candidates[0]
    aucs = [float(result.chosen["select_auc"]) for result in fitted]
    chosen = fitted[max(range(len(fitted)), key=lambda i: aucs[i] if math.isfinite(aucs[i]) else -math.inf)]
    return replace(
        chosen,
        chosen={**chosen.chosen, "tried": sum(result.chosen["tried"] for result in fitted)},
        fit_seconds=sum(result.fit_seconds for result in fitted),
    )


def _band(values: dict[str, Any]) -> Band:
    reports = {
        part: {protocol: AlarmReport(**report) for protocol, report in by_protocol.items()}
        for part, by_protocol in values["reports"].items()
    }
    return Band(**{**values, "upper": tuple(values["upper"]), "reports": reports})


def _alarms(values: dict[str, Any]) -> Alarms:
    return Alarms(**{**values, "first": {part: tuple(first) for part, first in values["first"].items()}})


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    return math.nan if value is None else float(value) if value in ("inf", "-inf") else value
