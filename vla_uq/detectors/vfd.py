"""VFD as a failure detector: it needs no failures to learn from, and alarms on anything new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.detectors.base import Progress, StreamingDetector, Tensors, take
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout
from vla_uq.uncertainty.vfd import Field, Floats, contributions

TOLERANCE = 1e-5
"""By how much flow times may differ from those that were fitted to."""


class Vfd(StreamingDetector):
    """Velocity-field disagreement of each inference, aggregated over the episode.

    Fitting learns no weights: it notes the shape of the velocities and the flow times, because the score's scale
    depends on both, and later inferences with others are refused.

    :param aggregator: running mean by default: single inferences near a contact are noisy.
    :param weight: ``kl`` or ``uniform``.
    :param quadrature: ``left`` or ``log``.
    :param steps: only the first so many actions of a chunk.
    """

    name: ClassVar[str] = "vfd"
    version: ClassVar[int] = 1
    needs: tuple[str, ...] = ("velocities", "flow_times")

    def __init__(
        self,
        aggregator: str = "running_mean",
        weight: str = "kl",
        quadrature: str = "left",
        steps: int | None = None,
    ) -> None:
        super().__init__(aggregator)
        self.weight, self.quadrature, self.steps = weight, quadrature, steps
        self._shape: tuple[int | None, ...] = (None,) * 6
        self._times: NDArray[np.float32] | None = None

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        """Note shape and flow times of the first rollout's first inference.

        :raises InputError: when there is none, or it lacks a tensor.
        """
        first = next(iter(rollouts), None)
        if first is None:
            raise InputError("no rollouts to fit to", where=self.name)
        velocities = take({"velocities": first.tensor("velocities")[0]}, "velocities", (None,) * 6)
        times = take({"flow_times": first.tensor("flow_times")[0]}, "flow_times", (velocities.shape[3],))
        self._measure(velocities[None], times)
        self._shape, self._times = velocities.shape, times.astype(np.float32)
        if progress is not None:
            progress(1, 1, self.name)

    def step(self, tensors: Tensors) -> float:
        """VFD of one inference by itself; NaN when the fields are not finite."""
        velocities = take(tensors, "velocities", self._shape)
        times = take(tensors, "flow_times", (velocities.shape[3],))
        return float(self._scores(velocities[None], times[None])[0])

    def episode(self, tensors: Tensors) -> Floats:
        """See :meth:`StreamingDetector.episode`."""
        velocities = take(tensors, "velocities", (None, *self._shape))
        times = take(tensors, "flow_times", (len(velocities), velocities.shape[4]))
        return self._scores(velocities, times)

    def _scores(self, velocities: Field, times: Field) -> Floats:
        """VFD of T inferences, (T,)."""
        values = np.full(len(velocities), np.nan)
        usable = np.isfinite(velocities).all(axis=(1, 2, 3, 4, 5, 6)) & np.isfinite(times).all(axis=1)
        if not usable.any():
            return values
        nodes = times[usable][0] if self._times is None else self._times
        off = np.abs(times[usable] - nodes).max(axis=1) > TOLERANCE
        if off.any():
            found = times[usable][off][0]
            raise InputError("differ from the calibrated ones", where="flow_times", expected=nodes, found=found)
        values[usable] = self._measure(velocities[usable], nodes)
        return values

    def _measure(self, velocities: Field, times: Field) -> Floats:
        parts = contributions(velocities, times, weight=self.weight, quadrature=self.quadrature, steps=self.steps)
        total: Floats = parts.sum(axis=(-2, -1))
        return total

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`.

        :raises InputError: before :meth:`fit`.
        """
        if self._times is None:
            raise InputError("is not fitted", where=self.name)
        config = {
            "version": self.version,
            "aggregator": self.aggregator,
            "weight": self.weight,
            "quadrature": self.quadrature,
            "steps": self.steps,
            "shape": list(self._shape),
        }
        return {"flow_times": self._times}, config

    @classmethod
    def from_state(cls, tensors: Tensors, config: Mapping[str, Any], where: str = "vfd") -> Vfd:
        """See :meth:`Detector.from_state`."""
        steps = None if config.get("steps", 0) is None else field(config, "steps", int, where)
        names = ("aggregator", "weight", "quadrature")
        detector = cls(**{name: field(config, name, str, where) for name in names}, steps=steps)
        shape = field(config, "shape", list, where)
        if len(shape) != 6 or not all(isinstance(n, int) and n > 0 for n in shape):
            raise InputError("is wrong", where=f"{where}: shape", expected="6 positive sizes", found=shape)
        detector._shape = tuple(shape)
        times = take(tensors, "flow_times", (shape[3],))
        # Refuse at loading what would otherwise fail at the first score.
        detector._measure(np.zeros((1, *shape), np.float32), times)
        detector._times = times.astype(np.float32)
        return detector
