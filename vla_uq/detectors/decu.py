"""DECU as a failure detector: what the members' fields say of each other, at most ln M."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vla_uq.detectors.nodes import NodeDetector
from vla_uq.detectors.vfd import every_actor
from vla_uq.uncertainty.decu import decu, decu_kl
from vla_uq.uncertainty.inputs import Field, Floats


class Decu(NodeDetector):
    """DECU at the last node of the policy's own path, see :func:`vla_uq.uncertainty.decu.decu`.

    The published one looks at t = .995, where no sampler stops; with ten Euler steps the last node is t = .9 (on the
    2-D toy that loses nothing). The score hardly leaves ln M where chunks have many dimensions: where it saturates,
    ties are all that it says.
    """

    name: ClassVar[str] = "decu"

    def measure(self, values: Field, times: Field) -> Floats:
        """See :meth:`NodeDetector.measure`."""
        return np.array([decu(v) for v in values[:, 0, :, :, -1]])


class DecuKl(NodeDetector):
    """DECU on the divergences that VFD estimates instead, from the paths of all members."""

    name: ClassVar[str] = "decu_kl"

    def measure(self, values: Field, times: Field) -> Floats:
        """See :meth:`NodeDetector.measure`."""
        return np.array([decu_kl(v, times) for v in every_actor(values)])
