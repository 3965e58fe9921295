"""What a policy server says when a connection opens, and what policy it is by that."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policy_node.backends.base import PolicySpec
from policy_node.backends.openpi_presets import Preset
from policy_node.backends.openpi_settings import BACK_END, Settings
from vla_policy.openpi_wire import INTROSPECTION, Announcement
from vla_uq.contracts import Reference, Space
from vla_uq.errors import InputError

ONLY_ACTIONS = "none: a stock server, of which nothing but its actions can be checked"
GUESSED = "of address, preset and metadata: other weights at that address look the same"


@dataclass(frozen=True)
class Greeting:
    """The metadata of a server.

    :param announcement: of a server of ours; None: a stock server.
    :param tensors: names of what ``introspect`` is offered.
    :param digest: of the message, 16 hexadecimal digits.
    """

    announcement: Announcement | None
    tensors: tuple[str, ...]
    digest: str

    @classmethod
    def read(cls, metadata: Mapping[Any, Any], message: bytes) -> Greeting:
        """:raises InputError: when it contradicts itself."""
        announcement, offered = Announcement.read(metadata), metadata.get(INTROSPECTION, [])
        if not (isinstance(offered, list) and all(isinstance(name, str) for name in offered)):
            raise InputError("wrong field", where=f"metadata: {INTROSPECTION}", expected="a list of names")
        tensors = tuple(offered) if announcement else ()
        return cls(announcement, tensors, hashlib.blake2b(message, digest_size=8).hexdigest())

    def same(self, other: Greeting) -> bool:
        """Whether both are of one policy, as far as they tell."""
        if self.announcement is None:
            return self.digest == other.digest
        return (self.announcement, self.tensors) == (other.announcement, other.tensors)

    def spec(self, settings: Settings, preset: Preset, shape: tuple[int, ...]) -> PolicySpec:
        """The policy by its announcement, or by the preset and its first answer.

        :param shape: (horizon, dim) of that answer.
        :raises InputError: when it does not fit the announcement.
        """
        told = self.announcement
        spec = self._assumed(settings, preset, shape) if told is None else self._announced(settings, told)
        if shape != (spec.horizon, spec.dim) or not 1 <= spec.execute_steps <= spec.horizon:
            raise InputError(
                "actions do not have the shape that was announced",
                where=settings.url,
                expected=f"({spec.horizon}, {spec.dim}), at least {spec.execute_steps} to be executed",
                found=shape,
            )
        return spec

    def _announced(self, settings: Settings, told: Announcement) -> PolicySpec:
        if told.space not in Space.__members__ or told.reference not in Reference.__members__:
            found = f"{told.space}, {told.reference}"
            expected = f"{', '.join(Space.__members__)}; {', '.join(Reference.__members__)}"
            raise InputError("unknown space or reference", where=settings.url, expected=expected, found=found)
        if not told.step_duration > 0:
            raise InputError("wrong field", where="step_duration", expected="a time above 0", found=told.step_duration)
        return PolicySpec(
            fingerprint=told.fingerprint,
            back_end=BACK_END,
            members=told.members,
            space=Space[told.space],
            reference=Reference[told.reference],
            names=told.names,
            horizon=told.horizon,
            dim=len(told.names),
            step_duration=told.step_duration,
            execute_steps=told.execute_steps,
            tensors=self.tensors,
            remarks={**told.remarks, "server": settings.url},
        )

    def _assumed(self, settings: Settings, preset: Preset, shape: tuple[int, ...]) -> PolicySpec:
        text = f"{settings.url} {settings.preset} {self.digest}"
        guess = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        names = preset.names or settings.joints
        return PolicySpec(
            fingerprint=settings.fingerprint or guess,
            back_end=BACK_END,
            members=1,
            space=preset.space,
            reference=preset.reference,
            names=names,
            horizon=shape[0],
            dim=len(names),
            step_duration=preset.step_duration,
            execute_steps=settings.execute_steps or preset.execute_steps,
            tensors=(),
            remarks={
                "server": settings.url,
                "introspection": ONLY_ACTIONS,
                "fingerprint": "as given" if settings.fingerprint else GUESSED,
            },
        )
