"""What an ensemble may share: own encoders, one encoder with several heads, or one model and its last layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.calibration.ensembles_cost import Extra, milliseconds, spread
from benchmarks.calibration.ensembles_heads import FAMILIES, alone, fresh_parameters
from benchmarks.calibration.ensembles_material import Material, Plan, others_acting, prepare
from benchmarks.calibration.ensembles_scores import check, last_layer, own_encoders, read, shared_encoder
from benchmarks.calibration.ensembles_table import CONDITIONS, LATER, Curves, Episodes, columns_of
from benchmarks.estimators.posterior import Posteriors
from benchmarks.estimators.sampling import Array
from benchmarks.experts.heads import Training
from benchmarks.failure.beds import FIRST, SEEDS
from benchmarks.report import Options, Result
from vla_cli.console import Console
from vla_cli.shipped import policy_folder
from vla_policy.nets import WIDTH, Encoder, Velocity
from vla_uq.evaluation.intervals import wilson
from vla_uq.rollouts.store import RolloutMeta

QUICK_SEEDS = 1
PRIORS = {"last_layer_vfd": 1.0, "last_layer_vfd_prior_100": 100.0}
REPETITIONS = (1000, 200)
"""Inferences timed, and with ``--quick``."""
CONDITIONS_SHOWN = tuple(name for name in CONDITIONS if name != "none")
COLUMNS = (
    "ensemble", "members", "parameters", "encoder_runs", "head_runs", "ms", "ms_low", "ms_high", "times_plain",
    "success", "other_acting", "other_acting_low", "other_acting_high",
    *(f"{name}{end}" for name in ("calibration", "calibration_at_once") for end in ("", "_low", "_high")),
    "calibration_within_condition",
    *(f"{name}{end}" for name in ("all", "lead_on_own", "within", *CONDITIONS_SHOWN) for end in ("", "_low", "_high")),
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """One way to share.

    :param source: of its scores, and of who else can act; empty where there is nothing to score with.
    """

    name: str
    source: str
    members: int
    extra: Extra = Extra()  # noqa: RUF009 - frozen


WAYS = (
    Way("one_model", "", 1),
    Way("own_encoders", "own_encoders", 2, Extra(encoders=1, heads=1)),
    Way("shared_encoder_2", "shared_encoder", 2, Extra(heads=1)),
    Way("shared_encoder_4", "shared_encoder", 4, Extra(heads=3)),
    *(Way(family.name, family.name, 2, Extra(heads=1)) for family in FAMILIES if family.fresh is not None),
    *(Way(name, name, 1, Extra(posterior=True)) for name in PRIORS),
)


def run(options: Options, console: Console) -> Result:
    """Make what is missing, score every episode in every way, and time them."""
    policy, first_seed = policy_folder(None), FIRST + options.seed
    plan = Plan(range(first_seed, first_seed + SEEDS["flow"]), processes=options.own.get("processes", 2))
    if options.quick:
        training = Training(300, proprio_noise=0.0)
        seeds = range(first_seed, first_seed + QUICK_SEEDS)
        plan = replace(plan, seeds=seeds, demonstrations=8, training=training, played=1)
    size = "quick" if options.quick else "full"
    store, folder = options.out / "failure_detection" / size / "flow", options.out / "ensembles"
    material = prepare(plan, policy, store, options.out, folder, console)
    context, chunk = (part.astype(np.float64) for part in material.frames)
    posteriors = Posteriors(alone(material.first), (context, chunk), options.seed)
    episodes, scores = _scored(material, posteriors, console)
    acting = others_acting(plan, policy, material, console)
    ways = {way.name: way.extra for way in WAYS}
    times = milliseconds(policy, ways, posteriors.full(1.0), REPETITIONS[options.quick], options.seed)
    rows = []
    with console.progress("rows", len(WAYS)) as advance:
        for way in WAYS:
            rows.append(_row(way, times, acting, episodes, scores, options.seed))
            advance(1, way.name)
    title = f"What an ensemble may share: {len(episodes.metas)} episodes of one acting member, scored in every way"
    return Result(title, COLUMNS, rows, _headline(rows), notes=_notes(episodes, acting, times), variant="ensembles")


def _scored(
    material: Material, posteriors: Posteriors, console: Console
) -> tuple[Episodes, dict[str, dict[str, Array]]]:
    """Every episode's scores, (T, heads), by source."""
    fitted = {name: posteriors.full(prior) for name, prior in PRIORS.items()}
    scores: dict[str, dict[str, Array]] = {name: {} for name in ("own_encoders", *material.heads, *PRIORS)}
    metas, lengths, first = list[RolloutMeta](), dict[str, int](), alone(material.first)
    with console.progress("episodes scored", len(material.names)) as advance:
        for steps in read(material.rollouts, material.contexts, material.names):
            name = steps.meta.episode_id
            check(steps, first)
            scores["own_encoders"][name] = own_encoders(steps)
            for family, heads in material.heads.items():
                scores[family][name] = shared_encoder(steps, heads)
            for prior, posterior in fitted.items():
                scores[prior][name] = last_layer(steps, posterior)
            metas.append(steps.meta)
            lengths[name] = len(steps.context)
            advance(1)
    return Episodes(metas, lengths), scores


def parts_of(way: Way, scores: Mapping[str, Array]) -> list[Curves]:
    """The curves of each ensemble of this kind that the heads make: member 0 with one of them, or with all."""
    heads = next(iter(scores.values())).shape[1]
    if way.members == 2:
        return [{name: values[:, j] for name, values in scores.items()} for j in range(heads)]
    return [{name: values.mean(axis=1) for name, values in scores.items()}]


def _row(
    way: Way,
    times: Mapping[str, Array],
    acting: Mapping[str, Sequence[bool]],
    episodes: Episodes,
    scores: Mapping[str, Mapping[str, Array]],
    seed: int,
) -> dict[str, Any]:
    ms, low, high = spread(times[way.name])
    row: dict[str, Any] = {
        "ensemble": way.name,
        "members": way.members,
        "parameters": parameters(way),
        "encoder_runs": 1 + way.extra.encoders,
        "head_runs": 10 + 9 * way.extra.heads,
        "ms": ms,
        "ms_low": low,
        "ms_high": high,
        "times_plain": ms / spread(times["one_model"])[0],
        "success": float(np.mean([bool(m.success) for m in episodes.metas if m.nominal])),
    }
    wins = acting.get(way.source or way.name)
    if wins:
        row |= {"other_acting": float(np.mean(wins))}
        row["other_acting_low"], row["other_acting_high"] = wilson(sum(wins), len(wins))
    if not way.source:
        return row
    parts, own = parts_of(way, scores[way.source]), parts_of(WAYS[1], scores["own_encoders"])
    at_once = [name for name in CONDITIONS if name != LATER]
    row |= columns_of("calibration", episodes.calibration(parts, seed))
    row |= columns_of("calibration_at_once", episodes.calibration(parts, seed, at_once))
    row["calibration_by_condition"] = within = episodes.within_conditions(parts)
    row["calibration_within_condition"] = float(np.mean(list(within.values())))
    row |= columns_of("lead_on_own", episodes.lead(parts, own) if way.name != "own_encoders" else None)
    detection = episodes.detection(parts)
    for name in ("all", "within", *CONDITIONS):
        row |= columns_of(name, detection.get(name))
    each = [{name: found.value for name, found in episodes.detection([curves]).items()} for curves in parts]
    return row | {"ensembles": len(parts), "of_each": each, "median_score": episodes.levels(parts)}


def parameters(way: Way) -> int:
    """Numbers that are kept for acting and scoring."""
    encoder, head = (sum(p.numel() for p in net.parameters()) for net in (Encoder(), Velocity()))
    fresh = next((family.fresh for family in FAMILIES if family.name == way.source), None)
    if way.extra.posterior:
        return encoder + head + (WIDTH + 1) * (WIDTH + 2) // 2
    if fresh is not None:
        return encoder + head + fresh_parameters(fresh)
    return (1 + way.extra.encoders) * encoder + way.members * head


def _headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        kept = [name for name in ("all", "calibration", "times_plain") if name in row]
        found |= {f"{row['ensemble']}_{name}": row[name] for name in kept}
    return found


def _notes(episodes: Episodes, acting: Mapping[str, Sequence[bool]], times: Mapping[str, Array]) -> list[str]:
    counts = ", ".join(f"{name} {failed}/{won}" for name, (failed, won) in episodes.counts().items())
    pairs = {(m.task, m.disturbance) for m in episodes.metas}
    at_once = sum(condition != LATER for _, condition in pairs)
    return [
        "Member 0 of the shipped policy acts in every row, and every row reads the same episodes: success "
        "(undisturbed) is the same by construction.",
        f"Failures/successes: {counts}. A condition with fewer than three of either has no column.",
        f"other_acting: success when another member acts, {len(acting['one_model'])} undisturbed episodes without a "
        "supervisor (95 % Wilson); in the first row that is member 0 itself.",
        f"ms: an inference, acting and scoring, processor time, median and 10th to 90th percentile of "
        f"{len(times['one_model'])}, all rows in turn; head_runs are rows, the 9 of a second member go in one call.",
        f"calibration: −Spearman of mean first-frame score with success over {len(pairs)} pairs of task and condition "
        f"(95 % over tasks); at_once: without {LATER}, which no first frame can know of ({at_once} pairs); "
        "within_condition: over the tasks of one condition, mean over conditions (each in the JSON).",
        "Detection: ROC-AUC of failure by the highest running mean, episodes read up to the shortest undisturbed one "
        "of their task (95 % bootstrap over episodes); within: pairs of the same task and condition; lead_on_own: all "
        "minus that of own_encoders, on the same draws.",
        "Rows with several equivalent ensembles (shared_encoder_2: each of three heads with head 0) give their mean. "
        "In the JSON: each of them (of_each), and the median score of each condition's successes and failures.",
    ]
