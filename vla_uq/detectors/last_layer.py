"""Last-layer VFD as a failure detector: the disagreement of an ensemble that need not exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_uq.detectors.base import Progress, Tensors
from vla_uq.detectors.learnt import learnt, positive, single
from vla_uq.detectors.nodes import NodeDetector, same_times
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout
from vla_uq.uncertainty.inputs import Field, Floats
from vla_uq.uncertainty.last_layer import LastLayerPosterior, MomentAccumulator


class LastLayerVfd(NodeDetector):
    """Last-layer VFD, see :mod:`vla_uq.uncertainty.last_layer`: one model, no further evaluation.

    The posterior is meant to be the layer's given its inputs φ at the *training* data, random noise and times. A
    rollout has none of those: here the φ of the fitting episodes that did not fail stand in for them, at the nodes of
    the policy's own paths. So it measures how far the features of an inference lie outside those of episodes that went
    well, in the metric in which the last layer would be undetermined. What the demonstrations had and these episodes
    lack looks new to it; what the policy met in them and came through does not.

    The state holds the root of H⁻¹: the Hessian, in the form that scoring needs.

    :param aggregator: running mean by default, as VFD's.
    :param prior: λ of H = n/σ² E[φφᵀ] + λ I: a direction of φ counts as not met where its second moment is below
        λ σ²/n.
    :param residual: σ², mean squared residual of one output of the field: of order 1 for normalised actions. No
        rollout tells it.
    :param chunks: n, effectively independent chunks; 0: the inferences of the fitting episodes, which are fewer in
        effect.
    :param outputs: numbers that one φ makes: H·A where it makes the chunk, A where an action. Only a factor on the
        scores, which a calibrated threshold does not see; give it to compare with VFD.
    :param weight: ``kl`` or ``uniform``.
    :param quadrature: ``left`` or ``log``.
    """

    name: ClassVar[str] = "last_layer_vfd"
    tensor: ClassVar[str] = "last_layer"
    axes: ClassVar[int] = 3
    node_axis: ClassVar[int] = 0
    parameters: ClassVar[Mapping[str, type]] = {
        **dict.fromkeys(("prior", "residual", "chunks"), float),
        "outputs": int,
        **dict.fromkeys(("weight", "quadrature"), str),
    }

    def __init__(
        self,
        aggregator: str = "running_mean",
        prior: float = 1.0,
        residual: float = 1.0,
        chunks: float = 0.0,
        outputs: int = 1,
        weight: str = "kl",
        quadrature: str = "left",
    ) -> None:
        super().__init__(aggregator)
        positive(self.name, prior=prior, residual=residual, outputs=outputs)
        if not chunks >= 0:
            raise InputError("is wrong", where=f"{self.name}: chunks", expected="0 or more", found=chunks)
        self.prior, self.residual, self.chunks, self.outputs = prior, residual, chunks, outputs
        self.weight, self.quadrature = weight, quadrature
        self._posterior: LastLayerPosterior | None = None

    def measure(self, values: Field, times: Field) -> Floats:
        """See :meth:`NodeDetector.measure`."""
        score = self._fitted().score
        return np.array([score(phi, times, weight=self.weight, quadrature=self.quadrature) for phi in values])

    def _learn(self, rollouts: Sequence[Rollout], times: Field, progress: Progress | None) -> None:
        """Add up the moments of φ over the episodes that did not fail, in one pass."""
        usable = [rollout for rollout in rollouts if rollout.meta.success is not False]
        if not usable:
            raise InputError("needs episodes that did not fail", where=self.name, found="failures only")
        moments, inferences = MomentAccumulator(int(self._shape[-1] or 0)), 0
        for i, rollout in enumerate(usable):
            try:
                phi, own_times = self._checked({name: rollout.tensor(name) for name in self.needs})
                same_times(own_times, times)
                if not np.isfinite(phi).all():
                    raise InputError("is not finite", where=self.tensor)
            except InputError as error:
                raise error.at(rollout.meta.episode_id) from error
            moments.add(phi)
            inferences += len(phi)
            if progress is not None:
                progress(i + 1, len(usable), f"fitting {self.name}")
        found = LastLayerPosterior.fit(
            moments.moment,
            chunks=self.chunks or inferences,
            outputs=self.outputs,
            residual=self.residual,
            prior=self.prior,
        )
        self._posterior = LastLayerPosterior(single(found.root), self.outputs)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """See :meth:`Detector.state`."""
        tensors, config = super().state()
        return {**tensors, "root": self._fitted().root.astype(np.float32)}, config

    def _restore(self, tensors: Tensors, where: str) -> None:
        size = int(self._shape[-1] or 0) + 1
        self._posterior = LastLayerPosterior(learnt(tensors, "root", (size, size), where), self.outputs)

    def _fitted(self) -> LastLayerPosterior:
        if self._posterior is None:
            raise InputError("is not fitted", where=self.name)
        return self._posterior
