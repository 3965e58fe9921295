"""Every uncertainty score of this package as data: what it is, where it is from, what it needs and what it costs.

Costs are network evaluations (one velocity of one member for one chunk) beyond the K that the policy spends on the
chunk it executes. M members, N draws, K Euler steps; a KL weight is zero at the first node, so K − 1 nodes count. What
a member evaluates on a finished path goes in one batched call; samples take K calls, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sizes:
    """What a cost depends on.

    :param members: M.
    :param draws: N, of what the score looks at.
    :param steps: K.
    """

    members: int
    draws: int
    steps: int


@dataclass(frozen=True)
class Cost:
    """:param formula: of the extra evaluations, in M, N and K."""

    formula: str
    evaluations: Callable[[Sizes], int]


FREE = Cost("0", lambda s: 0)
DRAWS = Cost("(N−1)K", lambda s: (s.draws - 1) * s.steps)
CHUNKS = Cost("(MN−1)K", lambda s: (s.members * s.draws - 1) * s.steps)
ONE_WAY = Cost(
    "(N−1)K + (M−1)(K−1)N",
    lambda s: (s.draws - 1) * s.steps + (s.members - 1) * (s.steps - 1) * s.draws,
)
TWO_WAY = Cost(
    "(MN−1)K + M(M−1)(K−1)N",
    lambda s: (s.members * s.draws - 1) * s.steps + s.members * (s.members - 1) * (s.steps - 1) * s.draws,
)
ONE_NODE = Cost("(N−1)K + (M−1)N", lambda s: (s.draws - 1) * s.steps + (s.members - 1) * s.draws)
THREE_NODES = Cost("(N−1)K + 3N", lambda s: (s.draws - 1) * s.steps + 3 * s.draws)
LIKELIHOOD = Cost("(N−1)K + 140N", lambda s: (s.draws - 1) * s.steps + 140 * s.draws)
"""With the defaults of 20 steps and 3 probes, 2 evaluations each."""

EACH = "each inference by itself"
BEFORE = "against the inference before; 0 at the first"
LIVE = "each inference by itself, where the network runs"


@dataclass(frozen=True)
class Score:
    """One score of an inference.

    :param formula: one line.
    :param source: paper, or module with the derivation.
    :param tensors: of a trace (contract of ``PolicyTrace``); empty where no trace carries what it needs.
    :param streaming: what it looks at when it runs.
    :param detector: the name of the detector that computes it from traces; empty where none can.
    :param options: keyword arguments of that detector.
    :param live: the function that computes it where the network runs, for those that no trace allows.
    """

    name: str
    formula: str
    source: str
    tensors: tuple[str, ...]
    cost: Cost
    streaming: str = EACH
    detector: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    live: str = ""


FIELDS = ("velocities", "flow_times")
CHUNK = ("samples",)
PAPER = "arXiv 2606.18043"
SAFE = "arXiv 2506.09937, baselines"

CATALOGUE: tuple[Score, ...] = (
    Score("vfd", "Σ_k W_k ‖v_1 − v_j‖² on member 1's path, mean over j", PAPER, FIELDS, ONE_WAY, detector="vfd"),
    Score(
        "vfd_uniform",
        "Σ_k Δt_k ‖v_1 − v_j‖² on member 1's path: bounds W2",
        f"{PAPER}, weight 1",
        FIELDS,
        ONE_WAY,
        detector="vfd",
        options={"weight": "uniform"},
    ),
    Score(
        "vfd_two_way",
        "mean over ordered pairs of Σ_k W_k ‖v_i − v_j‖² on member i's path",
        PAPER,
        FIELDS,
        TWO_WAY,
        detector="vfd_two_way",
    ),
    Score(
        "last_layer_vfd",
        "Σ_k W_k · outputs · Σ_h φᵀ H⁻¹ φ",
        "vla_uq.uncertainty.last_layer",
        ("last_layer", "flow_times"),
        FREE,
        detector="last_layer_vfd",
    ),
    Score(
        "action_l2",
        "mean ‖a_1 − a_j‖ over draws of the same noise",
        f"{PAPER}, baselines, noise shared",
        CHUNK,
        CHUNKS,
        detector="action_l2",
    ),
    Score(
        "action_l2_all_pairs",
        "mean ‖a_1 − a_j‖ over all pairs of draws",
        f"{PAPER}, baselines",
        CHUNK,
        CHUNKS,
        detector="action_l2",
        options={"shared_noise": False},
    ),
    Score(
        "ace",
        "entropy of the cells that N draws occupy, mean over the chunk; cells from fitting episodes",
        "FIPER",
        CHUNK,
        DRAWS,
        detector="ace",
    ),
    Score(
        "ace_per_observation",
        "the same, cells from the draws themselves",
        f"{PAPER}, code",
        CHUNK,
        DRAWS,
        detector="ace",
        options={"ranges_of": "observation"},
    ),
    Score(
        "decu",
        "−1/M Σ_i ln(1/M Σ_j exp(−‖v_i − v_j‖²)) at the last node",
        "Berry et al. 2024; there at t = .995",
        FIELDS,
        ONE_NODE,
        detector="decu",
    ),
    Score(
        "decu_kl",
        "−1/M Σ_i ln(1/M Σ_j exp(−VFD_ij))",
        "vla_uq.uncertainty.decu",
        FIELDS,
        TWO_WAY,
        detector="decu_kl",
    ),
    Score("gu", "Σ ln(Var over members + 1e-8), shared noise", PAPER, CHUNK, CHUNKS, detector="gu"),
    Score(
        "gu_jazbec",
        "½ Σ ln(Var over members + σ²) + const",
        "Jazbec et al. 2025",
        CHUNK,
        CHUNKS,
        detector="gu_jazbec",
    ),
    Score(
        "entropy",
        "mean entropy of the action tokens",
        f"{PAPER}, baselines; {SAFE}",
        ("token_entropies",),
        FREE,
        detector="token_avg_entropy",
    ),
    Score(
        "perplexity", "exp(−mean ln p) of the action tokens", PAPER, ("token_logprobs",), FREE, detector="perplexity"
    ),
    Score("total_variance", "Σ Var over draws", SAFE, CHUNK, DRAWS, detector="total_variance"),
    Score("cluster_entropy", "entropy of the clusters of draws", SAFE, CHUNK, DRAWS, detector="cluster_entropy"),
    Score("stac", "MMD² of consecutive chunks where they overlap, β = 1", SAFE, CHUNK, DRAWS, BEFORE, "stac"),
    Score("stac_median", "the same, β by the median heuristic", "Sentinel", CHUNK, DRAWS, BEFORE, "stac_median"),
    Score("stac_single", "distance of consecutive executed chunks", SAFE, CHUNK, FREE, BEFORE, "stac_single"),
    Score(
        "flow_likelihood",
        "−ln N(x_0) + ∫ div v dt along the reversed path",
        "change of variables; Hutchinson's estimate",
        (),
        LIKELIHOOD,
        LIVE,
        live="density.negative_log_likelihood",
    ),
    Score(
        "flow_entropy",
        "½ D (1 + ln 2π) + ∫ E[div v] dt; a negative control",
        "vla_uq.uncertainty.density",
        (),
        DRAWS,
        LIVE,
        live="density.entropy",
    ),
    Score(
        "terminal_norm",
        "mean ‖v(a, t)‖ at t = .7, .75, .8",
        f"{PAPER}, code",
        (),
        THREE_NODES,
        LIVE,
        live="terminal.terminal_norm",
    ),
    Score(
        "mode_distance",
        "mean (1 − t) ‖v(a, t)‖ at t = 0, .1, .2",
        f"{PAPER}, code",
        (),
        THREE_NODES,
        LIVE,
        live="terminal.mode_distance",
    ),
)
