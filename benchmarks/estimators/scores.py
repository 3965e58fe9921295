"""Every score of the comparison, at every condition of the grid. Each makes the samples it needs, so that its cost
is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.estimators.ensemble import Ensemble
from benchmarks.estimators.posterior import Posteriors
from benchmarks.estimators.sampling import Array, disagreement, last_layers, noise, paths, trace_of, velocities_at
from vla_uq.flow.quadrature import grid, log, reference
from vla_uq.uncertainty import ace, density, gu, terminal
from vla_uq.uncertainty.action_l2 import action_l2
from vla_uq.uncertainty.decu import BRANCH, decu, pairwise_information
from vla_uq.uncertainty.vfd import vfd


@dataclass(frozen=True)
class Question:
    """What every score is asked: an ensemble whose member 0 acts, and the conditions (C, …).

    :param motion: what the first columns of an action are, for ACE: ``absolute`` positions or ``delta``.
    """

    ensemble: Ensemble
    c: Array
    seed: int
    posteriors: Posteriors
    motion: str = "absolute"


Score = Callable[[Question], Array]


def _vfd(
    q: Question,
    *,
    times: Array | None = None,
    draws: int = 5,
    two_way: bool = False,
    shared: bool = False,
    weight: str = "kl",
    quadrature: str = "left",
) -> Array:
    nodes = reference() if times is None else times
    found = paths(q.ensemble, q.c, noise(q.ensemble, len(q.c), draws, q.seed, shared=shared), nodes)
    velocities = disagreement(q.ensemble, q.c, found, q.ensemble.members if two_way else 1)
    kept = nodes[nodes > 0]
    return np.array([vfd(v, kept, weight=weight, quadrature=quadrature) for v in velocities])


def _last_layer(q: Question, *, draws: int = 5, prior: float = 1.0, diagonal: bool = False) -> Array:
    found = paths(q.ensemble.member(0), q.c, noise(q.ensemble.member(0), len(q.c), draws, q.seed), reference())
    posterior = q.posteriors.diagonal(prior) if diagonal else q.posteriors.full(prior)
    kept = found.times[found.times > 0]
    return np.array([[posterior.score(one, kept) for one in each] for each in last_layers(found, len(q.c))]).mean(1)


def _chunks(q: Question, draws: int, *, shared: bool = False) -> Array:
    """Samples of all members, (C, M, N, H, A)."""
    found = paths(q.ensemble, q.c, noise(q.ensemble, len(q.c), draws, q.seed, shared=shared), grid())
    return found.final.swapaxes(0, 1).astype(np.float64)


def _action_l2(q: Question, *, draws: int = 5, shared: bool = False) -> Array:
    return np.array([action_l2(s, shared_noise=shared) for s in _chunks(q, draws, shared=shared)])


def _gu(q: Question, summary: Callable[[Array], float]) -> Array:
    return np.array([summary(s) for s in _chunks(q, 5, shared=True)])


def _decu(q: Question, *, branch: float = BRANCH) -> Array:
    nodes = np.append(grid()[grid() < branch], branch)
    trunk = paths(q.ensemble.member(0), q.c, noise(q.ensemble.member(0), len(q.c), 5, q.seed), nodes)
    v = velocities_at(q.ensemble, q.c, trunk.states[-1, 0], branch)
    return np.array([decu(v[:, i]) for i in range(len(q.c))])


def _decu_kl(q: Question) -> Array:
    """PaiDE on the divergences that VFD estimates."""
    members = q.ensemble.members
    found = paths(q.ensemble, q.c, noise(q.ensemble, len(q.c), 5, q.seed), reference())
    kept = found.times[found.times > 0]
    out = []
    for v in disagreement(q.ensemble, q.c, found, members):
        matrix = np.zeros((members, members))
        for i in range(members):
            for j in range(members):
                if i != j:
                    matrix[i, j] = vfd(v[i : i + 1, [i, j]], kept)
        out.append(pairwise_information(matrix))
    return np.array(out)


def _ace(q: Question, *, draws: int = 32, calibrated: bool = True) -> Array:
    places = ace.positions(_chunks(q, draws)[:, 0], q.motion)
    return ace.ace(places, np.ptp(places, axis=(0, 1, 2)) if calibrated else None)


def _entropy(q: Question) -> Array:
    found = paths(q.ensemble.member(0), q.c, noise(q.ensemble.member(0), len(q.c), 5, q.seed), reference())
    return np.array([density.entropy(trace_of(found, 0, i)) for i in range(len(q.c))])


def _at_the_end(q: Question, summary: Callable[..., float]) -> Array:
    """Scores of the other members' fields at member 0's finished chunks."""
    chunks = _chunks(q, 5)[:, 0]

    def field(i: int, x: Array, t: Array) -> Array:
        import torch

        states = torch.from_numpy(x.reshape(len(x), -1)).float()
        found = velocities_at(q.ensemble, q.c[i : i + 1], states, float(t[0]))[1:, 0]
        return np.asarray(found.mean(axis=0), np.float64)

    return np.array([summary(partial(field, i), chunk) for i, chunk in enumerate(chunks)])


FIVE_NODES = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.9])

SCORES: dict[str, Score] = {
    "vfd_two_way": partial(_vfd, two_way=True),
    "vfd_one_way": _vfd,
    "vfd_two_way_shared_noise": partial(_vfd, two_way=True, shared=True),
    "vfd_two_way_1_draw": partial(_vfd, two_way=True, draws=1),
    "vfd_one_way_1_draw": partial(_vfd, draws=1),
    "vfd_two_way_16_draws": partial(_vfd, two_way=True, draws=16),
    "vfd_two_way_uniform": partial(_vfd, two_way=True, weight="uniform"),
    "vfd_two_way_plain_10": partial(_vfd, two_way=True, times=grid(10)),
    "vfd_two_way_plain_4": partial(_vfd, two_way=True, times=grid(4)),
    "vfd_two_way_log_.95": partial(_vfd, two_way=True, times=log(16), quadrature="log"),
    "vfd_one_way_5_nodes_8_draws": partial(_vfd, draws=8, times=FIVE_NODES),
    "last_layer_vfd": _last_layer,
    "last_layer_vfd_prior_100": partial(_last_layer, prior=100.0),
    "last_layer_vfd_1_draw": partial(_last_layer, draws=1),
    "last_layer_vfd_diagonal": partial(_last_layer, diagonal=True),
    "action_l2": _action_l2,
    "action_l2_shared_noise": partial(_action_l2, shared=True),
    "ace": _ace,
    "ace_per_observation": partial(_ace, calibrated=False),
    "decu": _decu,
    "decu_.9": partial(_decu, branch=0.9),
    "decu_kl": _decu_kl,
    "gu": partial(_gu, summary=gu.log_variance),
    "gu_jazbec": partial(_gu, summary=gu.gaussian_entropy),
    "entropy": _entropy,
    "terminal_norm": partial(_at_the_end, summary=terminal.terminal_norm),
    "mode_distance": partial(_at_the_end, summary=terminal.mode_distance),
}
"""``entropy``, of the flow's own distribution, is a negative control."""
