"""How a policy counts flow time and which way its network points, and the one place where both become ours.

Ours: t = 0 at noise z and t = 1 at the action a, and a velocity that points to the action, E[a - z | x_t].
"""

from __future__ import annotations

from dataclasses import dataclass

from vla_uq.errors import InputError
from vla_uq.flow.sampling import Array, VelocityField

TIMES = ("from_noise", "to_noise")
VELOCITIES = ("to_action", "to_noise")


@dataclass(frozen=True)
class Convention:
    """A policy's own convention; the default is ours.

    LeRobot's and openpi's pi0, pi0.5 and SmolVLA are ``to_noise`` in both; GR00T and diffusion transformers have ours.

    :param time: ``from_noise``: 0 at noise, 1 at the action; ``to_noise``: 0 at the action, 1 at noise.
    :param velocity: what the network gives: ``to_action`` a - z, ``to_noise`` z - a. It does not follow from ``time``.
    :raises InputError: when one of them is unknown.
    """

    time: str = "from_noise"
    velocity: str = "to_action"

    def __post_init__(self) -> None:
        for name, known in (("time", TIMES), ("velocity", VELOCITIES)):
            if getattr(self, name) not in known:
                raise InputError(
                    "unknown convention", where=name, expected=" or ".join(known), found=repr(getattr(self, name))
                )

    def canonical(self, field: VelocityField) -> VelocityField:
        """A network's field as ours: v(x, t) = ± network(x, t or 1 - t)."""
        if self == Convention():
            return field
        backwards, sign = self.time == "to_noise", -1 if self.velocity == "to_noise" else 1

        def velocity(x: Array, t: Array) -> Array:
            return sign * field(x, 1 - t if backwards else t)

        return velocity
