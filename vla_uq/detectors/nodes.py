"""Detectors that look at the nodes of the policy's own path: the members' fields there, or what the last layer saw.

The scale of their scores depends on the tensor's shape and on the flow times, so both are noted at fitting, and later
inferences with others are refused.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.artefact import field
from vla_uq.detectors.base import Progress, StreamingDetector, Tensors, take
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout
from vla_uq.uncertainty.inputs import Field, Floats

TOLERANCE = 1e-5
"""By how much flow times may differ from those that were fitted to."""
N = TypeVar("N", bound="NodeDetector")


class NodeDetector(StreamingDetector):
    """A score of a tensor that has an axis of nodes, and of their flow times.

    :cvar tensor: its name in a trace.
    :cvar axes: how many it has at one inference.
    :cvar node_axis: which of them is the nodes'.
    :cvar parameters: the constructor's parameters besides the aggregator, with their types; kept in the state. A None
        is kept as it is.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    tensor: ClassVar[str] = "velocities"
    axes: ClassVar[int] = 6
    node_axis: ClassVar[int] = 3
    parameters: ClassVar[Mapping[str, type]] = {}

    def __init__(self, aggregator: str = "running_mean") -> None:
        super().__init__(aggregator)
        self.needs = (self.tensor, "flow_times")
        self._shape: tuple[int | None, ...] = (None,) * self.axes
        self._times: NDArray[np.float32] | None = None

    @abstractmethod
    def measure(self, values: Field, times: Field) -> Floats:
        """Scores (T,) of T inferences.

        :param values: of the tensor, (T, ...), finite.
        :param times: (node,).
        :raises InputError: naming the shape that does not fit.
        """

    def fit(self, rollouts: Iterable[Rollout], progress: Progress | None = None) -> None:
        """Note shape and flow times of the first rollout's first inference, and learn whatever else the score needs.

        :raises InputError: when there are no rollouts, or they lack a tensor or have a shape that cannot be scored.
        """
        listed = list(rollouts)
        if not listed:
            raise InputError("no rollouts to fit to", where=self.name)
        values = take({self.tensor: listed[0].tensor(self.tensor)[0]}, self.tensor, (None,) * self.axes)
        nodes = values.shape[self.node_axis]
        times = take({"flow_times": listed[0].tensor("flow_times")[0]}, "flow_times", (nodes,)).astype(np.float32)
        self._times, self._shape = None, values.shape
        self._learn(listed, times, progress)
        self.measure(np.zeros((1, *values.shape), np.float32), times)
        self._times = times

    def _learn(self, rollouts: Sequence[Rollout], times: Field, progress: Progress | None) -> None:
        """What a score learns besides shape and times."""
        if progress is not None:
            progress(1, 1, self.name)

    def step(self, tensors: Tensors) -> float:
        """The score of one inference by itself; NaN when the tensor or the times are not finite."""
        values = take(tensors, self.tensor, self._shape)
        times = take(tensors, "flow_times", (values.shape[self.node_axis],))
        return float(self._scores(values[None], times[None])[0])

    def episode(self, tensors: Tensors) -> Floats:
        """See :meth:`StreamingDetector.episode`."""
        return self._scores(*self._checked(tensors))

    def _checked(self, tensors: Tensors) -> tuple[Field, Field]:
        """The tensor and the times of an episode, of the shapes that were noted."""
        values = take(tensors, self.tensor, (None, *self._shape))
        return values, take(tensors, "flow_times", (len(values), values.shape[self.node_axis + 1]))

    def _scores(self, values: Field, times: Field) -> Floats:
        scores = np.full(len(values), np.nan)
        usable = np.isfinite(values).reshape(len(values), -1).all(axis=1) & np.isfinite(times).all(axis=1)
        if usable.any():
            nodes = times[usable][0] if self._times is None else self._times
            same_times(times[usable], nodes)
            scores[usable] = self.measure(values[usable], nodes)
        return scores

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`.

        :raises InputError: before :meth:`fit`.
        """
        if self._times is None:
            raise InputError("is not fitted", where=self.name)
        settings = {name: getattr(self, name) for name in self.parameters}
        config = {"version": self.version, "aggregator": self.aggregator, **settings, "shape": list(self._shape)}
        return {"flow_times": self._times}, config

    @classmethod
    def from_state(cls: type[N], tensors: Tensors, config: Mapping[str, Any], where: str = "") -> N:
        """See :meth:`Detector.from_state`."""
        settings = {
            name: None if config.get(name, 0) is None else field(config, name, kind, where)
            for name, kind in cls.parameters.items()
        }
        detector = cls(field(config, "aggregator", str, where), **settings)
        shape = field(config, "shape", list, where)
        if len(shape) != cls.axes or not all(isinstance(n, int) and n > 0 for n in shape):
            raise InputError("is wrong", where=f"{where}: shape", expected=f"{cls.axes} positive sizes", found=shape)
        detector._shape = tuple(shape)
        times = take(tensors, "flow_times", (shape[cls.node_axis],)).astype(np.float32)
        detector._restore(tensors, where)
        # Refuse at loading what would otherwise fail at the first score.
        detector.measure(np.zeros((1, *shape), np.float32), times)
        detector._times = times
        return detector

    def _restore(self, tensors: Tensors, where: str) -> None:
        """Take what :meth:`_learn` learnt from the state's tensors."""


def same_times(times: Field, fitted: Field) -> None:
    """Refuse flow times (T, node) that are not those of the fit (node,).

    :raises InputError: showing the first that differ.
    """
    off = np.abs(times - fitted).max(axis=1) > TOLERANCE
    if off.any():
        raise InputError("differ from the calibrated ones", where="flow_times", expected=fitted, found=times[off][0])
