"""Listening to a LeRobot flow policy while it samples.

SmolVLA, pi0 and pi0.5 have the same three places, and none of them is part of the result: ``denoise_step`` gets the
state and the time and gives the velocity, ``action_out_proj`` is given the expert's last hidden layer, and the
``forward`` of ``vlm_with_expert`` or ``paligemma_with_expert`` gives that of the prefix. It is called by name, so that
no hook of torch fires and the attribute is replaced while the tap listens. LeRobot counts time from 1 at noise to 0 at
the action, and its velocities point to the noise; what leaves here still does.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vla_server.lerobot.cache import rows
from vla_server.lerobot.environment import check_version, prepare
from vla_uq.errors import InputError

EXPERTS = {"smolvla": "vlm_with_expert", "pi0": "paligemma_with_expert", "pi05": "paligemma_with_expert"}
"""Policy to its module that holds the vision-language model and the action expert."""


@dataclass(eq=False)
class Passage:
    """What was heard of one sampling, batch size 1, in LeRobot's convention; K steps, chunks padded to W columns.

    :param arguments: of ``denoise_step`` besides state and time: what the policy knows of the observation.
    :param prefix: (L, D) last hidden layer of the vision-language model at every token.
    :param states: K times (1, H, W), before the step.
    :param times: K times (1,).
    :param velocities: K times (1, H, W); the network's own, also where real-time chunking then guides it.
    :param layers: K times (1, H, D) last hidden layer of the action expert.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    prefix: Tensor | None = None
    states: list[Tensor] = field(default_factory=list)
    times: list[Tensor] = field(default_factory=list)
    velocities: list[Tensor] = field(default_factory=list)
    layers: list[Tensor] = field(default_factory=list)


class _EnoughError(Exception):
    """The prefix is known, and no step is wanted."""


class FlowTap:
    """Listens to one policy; what the policy does is bit for bit what it does without.

    :param policy: a LeRobot ``SmolVLAPolicy``, ``PI0Policy`` or ``PI05Policy``.
    :raises InputError: when it is none, is wrong in this version of LeRobot, or is compiled as a whole.
    """

    def __init__(self, policy: Any) -> None:
        self.policy, self.family = policy, str(policy.name)
        check_version(self.family, prepare())
        for name, right in (("compile_model", False), ("use_cache", True)):
            if getattr(policy.config, name, right) != right:
                remedy = f"load it with {name}={right}"
                where = f"config.{name}"
                raise InputError("cannot be listened to", where=where, expected=right, found=not right, remedy=remedy)
        self.model = policy.model
        self.expert = getattr(self.model, EXPERTS[self.family])
        self._step = inspect.signature(self.model.denoise_step)

    def sample(self, batch: Mapping[str, Any], noise: Tensor, **guidance: Any) -> tuple[Tensor, Passage]:
        """As ``policy.predict_action_chunk``.

        :param noise: (1, H, W).
        :param guidance: of real-time chunking.
        :returns: actions (1, H, A), and what was heard.
        """
        passage = Passage()
        with torch.no_grad(), self._listening(passage):
            actions = self.policy.predict_action_chunk(dict(batch), noise=noise, **guidance)
        return actions, passage

    def prefix(self, batch: Mapping[str, Any]) -> Passage:
        """Only what the policy makes of an observation, without any flow step."""
        passage = Passage()
        with torch.no_grad(), self._listening(passage, steps=False), suppress(_EnoughError):
            self.policy.predict_action_chunk(dict(batch))
        return passage

    def velocities(self, arguments: Mapping[str, Any], states: Tensor, times: Tensor) -> Tensor:
        """The velocities (N, H, W) at states (N, H, W) and times (N,), in one call.

        :param arguments: see :class:`Passage`; of this policy, or of one that knows the same of the observation.
        """
        with torch.no_grad():
            step = self.model.denoise_step(**rows(arguments, len(states)), x_t=states, timestep=times)
        return step.detach()

    @contextmanager
    def _listening(self, passage: Passage, steps: bool = True) -> Iterator[None]:
        step, forward = self.model.denoise_step, self.expert.forward

        def heard_step(*args: Any, **kwargs: Any) -> Tensor:
            arguments = self._step.bind(*args, **kwargs).arguments
            state, time = arguments.pop("x_t"), arguments.pop("timestep")
            passage.arguments = arguments
            if not steps:
                raise _EnoughError
            # Copies: openpi's own loop counts its time down in place.
            passage.states.append(state.detach().clone())
            passage.times.append(time.detach().clone())
            velocity = step(*args, **kwargs)
            passage.velocities.append(velocity.detach())
            return velocity

        def heard_forward(*args: Any, **kwargs: Any) -> Any:
            result = forward(*args, **kwargs)
            if passage.prefix is None and result[0][0] is not None:
                passage.prefix = result[0][0][0].detach()
            return result

        def heard_layer(module: Any, args: tuple[Tensor, ...]) -> None:
            passage.layers.append(args[0].detach())

        hook = self.model.action_out_proj.register_forward_pre_hook(heard_layer)
        try:
            with replaced(self.model, "denoise_step", heard_step), replaced(self.expert, "forward", heard_forward):
                yield
        finally:
            hook.remove()


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An instance's attribute is another one for a while, and afterwards exactly what it was, its class's included."""
    own = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        delattr(owner, name) if own is None else setattr(owner, name, own)
