"""The strategies of the comparison, as data, on an ensemble of experts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.estimators.posterior import Posteriors
from benchmarks.estimators.scores import SCORES, Question
from benchmarks.experts.contexts import Demonstrations
from benchmarks.experts.heads import Heads
from vla_uq.acquisition import Amf, Candidate, Diversity, Random, Save, Strategy

Floats = NDArray[np.float64]
FRAMES = 24
"""Of a demonstration, evenly spaced, that AMF looks at."""


@dataclass(frozen=True)
class Situation:
    """The policy and the data before a round.

    :param frames: (173,) context of each candidate's first frame.
    :param demonstration: all frames of a candidate.
    :param trained: everything that the policy was trained on so far.
    """

    heads: Heads
    frames: Mapping[str, NDArray[np.float32]]
    demonstration: Callable[[Candidate], Demonstrations]
    trained: Sequence[Demonstrations]
    seed: int


def _save(name: str, score: str, temperature: float, shifted: bool = False) -> Callable[[Situation, int], Strategy]:
    def make(s: Situation, budget: int) -> Strategy:
        def scores(candidates: Sequence[Candidate]) -> Floats:
            contexts = np.stack([s.frames[c.episode_id] for c in candidates]).astype(np.float64)
            return SCORES[score](Question(s.heads, contexts, s.seed, _posteriors(s), "delta"))

        return Save(scores, budget=budget, temperature=temperature, shifted=shifted, seed=s.seed, name=name)

    return make


def _posteriors(s: Situation) -> Posteriors:
    context = np.concatenate([d.context for d in s.trained]).astype(np.float64)
    chunk = np.concatenate([d.chunk for d in s.trained]).astype(np.float64)
    return Posteriors(s.heads.member(0), (context, chunk), s.seed)


def _amf(s: Situation, budget: int) -> Strategy:
    draw = torch.Generator().manual_seed(s.seed)
    acting = s.heads.member(0)

    @torch.no_grad()
    def gradients(candidate: Candidate) -> Floats:
        """(frames, 112 · 160): vec of the flow-matching loss's gradient of the last layer."""
        demo = s.demonstration(candidate)
        rows = np.linspace(0, len(demo.chunk) - 1, FRAMES).round().astype(int)
        chunk, context = torch.from_numpy(demo.chunk[rows]), torch.from_numpy(demo.context[rows])
        t, noise = torch.rand(FRAMES, generator=draw), torch.randn(chunk.shape, generator=draw)
        velocity, phi = acting(((1 - t[:, None]) * noise + t[:, None] * chunk)[None], t[None], context[None])
        residual = (velocity[0] - (chunk - noise)) * (2 / chunk.shape[1])
        return torch.einsum("fo,fd->fod", residual, phi[0]).flatten(1).double().numpy()

    return Amf(gradients, budget, seed=s.seed)


STRATEGIES: dict[str, Callable[[Situation, int], Strategy]] = {
    "random": lambda s, budget: Random(budget, s.seed),
    "diversity": lambda s, budget: Diversity(s.frames, budget, s.seed),
    "amf": _amf,
    "save_action_l2": _save("save_action_l2", "action_l2", 1.5),
    "save_gu": _save("save_gu", "gu", 1.0, shifted=True),
    "save_vfd": _save("save_vfd", "vfd_one_way", 2.5),
    "save_last_layer_vfd": _save("save_last_layer_vfd", "last_layer_vfd", 2.5),
}
"""Temperatures are the paper's; last-layer VFD takes that of VFD."""
