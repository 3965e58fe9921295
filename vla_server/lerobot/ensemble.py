"""Several LeRobot policies on one observation: the first acts, and the others look at its path afterwards.

The other members evaluate the nodes of the path in one batched call each. Members whose vision-language model is the
same one share its pass over the observation. All leaves in this project's convention: t = 0 at noise, velocities that
point to the action, and without the columns that pad a chunk, which nothing ever taught anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_server.lerobot.sharing import arguments_for, share_model
from vla_server.lerobot.tap import FlowTap, Passage
from vla_uq.errors import InputError
from vla_uq.flow.quadrature import grid, weights
from vla_uq.wire import Array


@dataclass(frozen=True, eq=False)
class Sampled:
    """What the ensemble keeps of an inference.

    :param batch: the preprocessed observation.
    :param actions: (1, H, A) of the first member, normalised.
    """

    batch: Mapping[str, Any]
    actions: Tensor
    passage: Passage


class Ensemble:
    """Policies of one kind and size.

    :param policies: LeRobot policies; the first one acts.
    :param nodes: compare members at the last so many steps; 0: at all but t = 0, whose weight is zero.
    :param share: whether members with the same vision-language model share its pass.
    :raises InputError: when one of them cannot be tapped, or they do not fit together.
    """

    def __init__(self, policies: Sequence[Any], nodes: int = 0, share: bool = True) -> None:
        self._taps = [FlowTap(policy) for policy in policies]
        first, shapes = self._taps[0], [_shape(tap) for tap in self._taps]
        if any(shape != shapes[0] for shape in shapes):
            raise InputError("members differ", where="policy, horizon, dims, steps", expected=shapes[0], found=shapes)
        _, self.horizon, self.dim, self.width, self.steps = shapes[0]
        if not 0 <= nodes < self.steps:
            raise InputError("out of range", where="nodes", expected=f"0 to {self.steps - 1}", found=nodes)
        self.nodes = nodes or self.steps - 1
        self.shared = tuple(share and share_model(first, tap) for tap in self._taps[1:])

    @property
    def members(self) -> int:
        """How many policies there are."""
        return len(self._taps)

    @property
    def weight_share(self) -> float:
        """Part of VFD's weight that lies on the nodes compared."""
        held = weights(grid(self.steps))
        return float(held[-self.nodes :].sum() / held.sum())

    def sample(self, batch: Mapping[str, Any], noise: Array, **guidance: Any) -> Sampled:
        """The first member's chunk.

        :param batch: as LeRobot's preprocessor leaves it, batch size 1.
        :param noise: (H, width) padded.
        :param guidance: of real-time chunking; velocities are the network's own nevertheless.
        """
        start = torch.from_numpy(np.ascontiguousarray(noise, np.float32))[None].to(self._device)
        return Sampled(batch, *self._taps[0].sample(batch, start, **guidance))

    def flow_times(self) -> Array:
        """Where members are compared, (node,)."""
        return grid(self.steps)[-self.nodes :].astype(np.float32)

    def velocities(self, sampled: Sampled) -> Array:
        """Every member's velocity on the first one's path, (1, member, 1, node, H, A), normalised."""
        passage, kept = sampled.passage, slice(-self.nodes, None)
        states, times = torch.cat(passage.states[kept]), torch.cat(passage.times[kept])
        fields = [torch.cat(passage.velocities[kept])]
        for tap, shared in zip(self._taps[1:], self.shared, strict=True):
            known = arguments_for(tap, passage.arguments, sampled.batch) if shared else None
            fields.append(tap.velocities(known or tap.prefix(sampled.batch).arguments, states, times))
        # LeRobot's velocities point to the noise.
        return -_numbers(torch.stack(fields)[None, :, None, ..., : self.dim])

    def layers(self, sampled: Sampled) -> Array:
        """Last hidden layer of the first member's action expert, (step, H, D), t = 0 included."""
        return _numbers(torch.cat(sampled.passage.layers))

    def prefix(self, sampled: Sampled) -> Array:
        """Last hidden layer of the vision-language model, mean over the tokens that are there, (D,)."""
        passage = sampled.passage
        if passage.prefix is None:
            raise RuntimeError("the policy sampled without looking")
        return _numbers(passage.prefix[passage.arguments["prefix_pad_masks"][0].bool()].float().mean(0))

    @property
    def _device(self) -> torch.device:
        return next(iter(self._taps[0].policy.parameters())).device


def _shape(tap: FlowTap) -> tuple[str, int, int, int, int]:
    """Family, horizon, real columns, padded columns, flow steps."""
    config = tap.policy.config
    steps = config.num_steps if tap.family == "smolvla" else config.num_inference_steps
    dim = config.output_features["action"].shape[0]
    return tap.family, int(config.chunk_size), int(dim), int(config.max_action_dim), int(steps)


def _numbers(value: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = value.detach().float().cpu().numpy()
    return array
