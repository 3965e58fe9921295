"""VFD as a failure detector: it needs no failures to learn from, and alarms on anything new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vla_uq.detectors.nodes import NodeDetector
from vla_uq.errors import InputError
from vla_uq.uncertainty.inputs import Field, Floats
from vla_uq.uncertainty.vfd import contributions


class Vfd(NodeDetector):
    """Velocity-field disagreement on the path of the policy that acts, aggregated over the episode (one-way).

    :param aggregator: running mean by default: single inferences near a contact are noisy.
    :param weight: ``kl`` or ``uniform``.
    :param quadrature: ``left`` or ``log``.
    :param steps: only the first so many actions of a chunk.
    """

    name: ClassVar[str] = "vfd"
    parameters: ClassVar[Mapping[str, type]] = {"weight": str, "quadrature": str, "steps": int}

    def __init__(
        self,
        aggregator: str = "running_mean",
        weight: str = "kl",
        quadrature: str = "left",
        steps: int | None = None,
    ) -> None:
        super().__init__(aggregator)
        self.weight, self.quadrature, self.steps = weight, quadrature, steps

    def measure(self, values: Field, times: Field) -> Floats:
        """See :meth:`NodeDetector.measure`; of further actors' paths, where a trace has some, nothing is seen."""
        return self._sum(values[:, :1], times)

    def _sum(self, velocities: Field, times: Field) -> Floats:
        parts = contributions(velocities, times, weight=self.weight, quadrature=self.quadrature, steps=self.steps)
        total: Floats = parts.sum(axis=(-2, -1))
        return total


class VfdTwoWay(Vfd):
    """VFD on the paths of all members, mean over ordered pairs: symmetric, and the calibration tables' variant.

    The other members have to sample, too, which a policy that runs does not do by itself: M K N evaluations and
    M (M − 1) K' N more, where one-way VFD takes (M − 1) K' N.
    """

    name: ClassVar[str] = "vfd_two_way"

    def measure(self, values: Field, times: Field) -> Floats:
        """See :meth:`NodeDetector.measure`."""
        return self._sum(every_actor(values), times)


def every_actor(velocities: Field) -> Field:
    """Velocities (T, actor, member, ...) whose actors are all members.

    :raises InputError: when a member's path was not recorded.
    """
    actors, members = velocities.shape[1:3]
    if actors != members:
        raise InputError(
            "every member's own path is needed",
            where="velocities",
            expected=f"{members} actors of {members} members",
            found=f"{actors}",
            remedy="use vfd, which needs the acting member's path alone",
        )
    return velocities
