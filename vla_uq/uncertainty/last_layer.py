"""Last-layer VFD: the disagreement of an ensemble that need not exist (extends arXiv 2606.18043).

The last layer of a flow policy is linear, v = W φ(x, t, c), so a Laplace approximation of its posterior is Gaussian
with the same covariance for every output dimension: Cov = H⁻¹, H = (n/σ²) E[φφᵀ] + λ I over training inputs, φ with a
constant for the bias. The expected squared difference between the policy and a draw of that posterior is then closed
form, and with the weights of VFD

    score = Σ_k W_k · outputs · Σ_h φ_khᵀ H⁻¹ φ_kh

on the policy's own path. No second network, no further evaluation: φ is the input of the last layer, which the policy
computes anyway. The full covariance matters: its diagonal alone ranks poorly (spec of this project, 2-D toy).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.flow.quadrature import weights
from vla_uq.flow.schedules import Schedule
from vla_uq.uncertainty.inputs import Field, Floats


@dataclass(frozen=True, eq=False)
class LastLayerPosterior:
    """The posterior of the last layer, up to what scoring needs.

    :param root: (D+1, D+1) lower triangular L with L Lᵀ = H⁻¹.
    :param outputs: output dimensions of the layer for one φ: A where φ belongs to an action, H·A where to the chunk.
    """

    root: Floats
    outputs: int

    @classmethod
    def fit(
        cls, moment: Floats, *, chunks: float, outputs: int, residual: float = 1.0, prior: float = 1.0
    ) -> LastLayerPosterior:
        """From the second moment of φ over training inputs, met in one pass.

        :param moment: (D+1, D+1) E[φφᵀ], φ with a last element of 1.
        :param chunks: n, the number of effectively independent training chunks.
        :param residual: σ², mean squared residual of one output of the trained field.
        :param prior: λ.
        :raises InputError: when the moment is not square, symmetric and finite, or a number is not positive.
        """
        m = np.asarray(moment, np.float64)
        if m.ndim != 2 or m.shape[0] != m.shape[1] or not np.isfinite(m).all() or not np.allclose(m, m.T):
            raise InputError("not a moment matrix", where="moment", expected="finite, symmetric", found=m.shape)
        for name, value in (("chunks", chunks), ("outputs", outputs), ("residual", residual), ("prior", prior)):
            if not value > 0:
                raise InputError("must be positive", where=name, found=value)
        hessian = (chunks / residual) * m + prior * np.eye(len(m))
        return cls(np.linalg.cholesky(np.linalg.inv(hessian)), outputs)

    def variance(self, features: Field) -> Floats:
        """φᵀ H⁻¹ φ of each feature vector, (..., D) → (...).

        :raises InputError: when D does not fit.
        """
        phi = np.asarray(features, np.float64)
        if phi.shape[-1] != len(self.root) - 1:
            raise InputError("size does not fit", where="last_layer", expected=len(self.root) - 1, found=phi.shape[-1])
        projected = phi @ self.root[:-1] + self.root[-1]
        variances: Floats = np.einsum("...d,...d->...", projected, projected)
        return variances

    def score(
        self,
        last_layer: Field,
        flow_times: NDArray[np.floating[Any]],
        *,
        weight: str = "kl",
        quadrature: str = "left",
        schedule: Schedule | None = None,
        prediction: str = "velocity",
    ) -> float:
        """Last-layer VFD of one inference.

        :param last_layer: (node, H, D) input of the last layer at the nodes of the policy's own path; H = 1 where one
            φ makes the whole chunk.
        :param flow_times: (node,) ascending in [0, 1).
        :param weight: this and the rest as :func:`vla_uq.flow.quadrature.weights`; ``prediction`` is what the layer
            puts out.
        :raises InputError: naming the shape that does not fit.
        """
        phi = np.asarray(last_layer)
        if phi.ndim != 3 or phi.shape[0] != len(flow_times):
            raise InputError(
                "last layer has the wrong shape",
                where="last_layer",
                expected=f"({len(flow_times)}, H, D)",
                found=phi.shape,
            )
        node_weights = weights(np.asarray(flow_times), quadrature, weight, schedule, prediction)
        return float(self.outputs * (node_weights @ self.variance(phi).sum(axis=1)))


class MomentAccumulator:
    """E[φφᵀ] over any number of batches, in double and bounded memory."""

    def __init__(self, size: int) -> None:
        self._sum = np.zeros((size + 1, size + 1))
        self.count = 0

    def add(self, features: Field) -> None:
        """Take feature vectors (..., D)."""
        phi = np.asarray(features, np.float64).reshape(-1, len(self._sum) - 1)
        extended = np.concatenate([phi, np.ones((len(phi), 1))], axis=1)
        self._sum += extended.T @ extended
        self.count += len(phi)

    @property
    def moment(self) -> Floats:
        """The mean so far, (D+1, D+1).

        :raises InputError: before anything was added.
        """
        if not self.count:
            raise InputError("no features were added", where="moment")
        return self._sum / self.count
