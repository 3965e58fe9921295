"""What the members' chunks differ in, as failure detectors: Action-L2 and GU. All members have to sample.

In traces of this project draw n of every member begins at the same noise, and different draws at independent noise.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vla_uq.detectors.learnt import positive
from vla_uq.detectors.samples import SpreadDetector
from vla_uq.uncertainty.action_l2 import action_l2
from vla_uq.uncertainty.chunks import Chunks, Floats
from vla_uq.uncertainty.gu import gaussian_entropy, log_variance


class MembersDetector(SpreadDetector):
    """A score of one inference's draws of all members, 2 or more.

    :param aggregator: running mean by default, as VFD's.
    """

    axes: ClassVar[int] = 4

    def __init__(self, aggregator: str = "running_mean") -> None:
        super().__init__(aggregator)

    @abstractmethod
    def inference(self, samples: Chunks) -> float:
        """The score of (member, draw, H, A)."""

    def measure(self, samples: Chunks) -> Floats:
        """See :meth:`SpreadDetector.measure`."""
        return np.array([self.inference(each) for each in samples])


class ActionL2(MembersDetector):
    """Action-L2, see :func:`vla_uq.uncertainty.action_l2.action_l2`.

    :param shared_noise: compare draw n with draw n alone, which began at the same noise; else all pairs of draws, as
        published, of which a share of 1 / draws then has the same noise.
    """

    name: ClassVar[str] = "action_l2"
    parameters: ClassVar[Mapping[str, type]] = {"shared_noise": bool}

    def __init__(self, aggregator: str = "running_mean", shared_noise: bool = True) -> None:
        super().__init__(aggregator)
        self.shared_noise = shared_noise

    def inference(self, samples: Chunks) -> float:
        """See :meth:`MembersDetector.inference`."""
        return action_l2(samples, shared_noise=self.shared_noise)


class Gu(MembersDetector):
    """GU by the sum of log variances, see :func:`vla_uq.uncertainty.gu.log_variance`."""

    name: ClassVar[str] = "gu"

    def inference(self, samples: Chunks) -> float:
        """See :meth:`MembersDetector.inference`."""
        return log_variance(samples)


class GuJazbec(MembersDetector):
    """GU by the entropy of a Gaussian with a floor, see :func:`vla_uq.uncertainty.gu.gaussian_entropy`.

    :param noise: σ², the floor of a variance.
    """

    name: ClassVar[str] = "gu_jazbec"
    parameters: ClassVar[Mapping[str, type]] = {"noise": float}

    def __init__(self, aggregator: str = "running_mean", noise: float = 1e-3) -> None:
        super().__init__(aggregator)
        positive(self.name, noise=noise)
        self.noise = noise

    def inference(self, samples: Chunks) -> float:
        """See :meth:`MembersDetector.inference`."""
        return gaussian_entropy(samples, self.noise)
