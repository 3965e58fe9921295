"""How ``vla-monitor select`` tells what it chose: the round as a document, and that as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vla_cli.console import Report, render

if TYPE_CHECKING:
    from vla_uq.acquisition import Candidate, Round
    from vla_uq.acquisition.recorded import Pool

READING = {
    "save": (
        "u: score at an episode's first inference, mean u: over the task's episodes, P: chance of the first draw.",
        "Tasks are drawn one after the other, and each gives its episodes of highest u; rank: among its own.",
    ),
    "random": ("Every episode is as likely as any other, whatever the policy knows.",),
    "diversity": ("distance: in feature space, to the nearest episode before it in the order that covers them all.",),
}
"""How to read the tables, by strategy."""


def describe(decided: Round, pool: Pool, settings: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values of a round: what was chosen, by which settings, and the strategy's log with every u and P."""
    ranks = _ranks(decided.log.get("episodes", {}), pool)
    chosen = []
    for candidate in decided.chosen:
        meta, name = pool.rollouts[candidate].meta, candidate.episode_id
        one = {"task": candidate.task, "episode_id": name, "seed": meta.seed, "condition": meta.disturbance}
        if name in ranks:
            one |= {"u": decided.log["episodes"][name], "rank": ranks[name]}
        if "distances" in decided.log:
            one["distance"] = decided.log["distances"][name]
        chosen.append(one)
    return {"round": decided.index, **settings, "policy": pool.policy, "chosen": chosen, "log": dict(decided.log)}


def explain(document: Mapping[str, Any], pool: Pool, shown: Sequence[Candidate]) -> Report:
    """The tasks as a table, the chosen episodes below it."""
    log, earlier = document["log"], Counter(c.task for c in set(shown) if c in pool.rollouts)
    drawn = Counter(one["task"] for one in document["chosen"])
    first = log["draws"][0]["P"] if "draws" in log else {}
    episodes = Counter(candidate.task for candidate in pool.rollouts)
    rows = [
        {
            "task": task,
            "episodes": count,
            "shown_before": earlier[task],
            **({"mean_u": log["tasks"][task], "P": first.get(task, 0.0)} if first else {}),
            "drawn": drawn[task],
        }
        for task, count in episodes.items()
    ]
    rows.sort(key=lambda row: (-row.get("mean_u", 0.0), row["task"]))
    by = f" on {log['uncertainty']}, temperature {log['temperature']:g}" if first else ""
    title = (
        f"Round {document['round']}: {document['budget']} of {len(pool.rollouts)} candidates "
        f"by {document['strategy']}{by}, seed {document['seed']}"
    )
    notes = ["", render(_demonstrations(document["chosen"], episodes)), "", *READING[document["strategy"]]]
    if log.get("lift"):
        notes.append(f"u is {log['uncertainty']} plus {log['lift']:.4g}, so that the smallest is slightly above 0.")
    columns = [name for name in rows[0] if name != "shown_before" or earlier]
    return Report(title, columns, rows, data=document, notes=notes)


def _ranks(u: Mapping[str, float], pool: Pool) -> dict[str, int]:
    """Place of each scored episode within its task, from 1 for the highest u, ties in order of their names."""
    ranks, seen = {}, Counter[str]()
    scored = [candidate for candidate in pool.rollouts if candidate.episode_id in u]
    for candidate in sorted(scored, key=lambda c: (-u[c.episode_id], c)):
        seen[candidate.task] += 1
        ranks[candidate.episode_id] = seen[candidate.task]
    return ranks


def _demonstrations(chosen: Sequence[Mapping[str, Any]], episodes: Mapping[str, int]) -> Report:
    rows = []
    for number, one in enumerate(chosen, 1):
        row = {
            "demonstration": number,
            "task": one["task"],
            "episode": one["episode_id"],
            "condition": one["condition"],
        }
        if "u" in one:
            row |= {"u": one["u"], "rank": f"{one['rank']} of {episodes[one['task']]}"}
        if "distance" in one:
            row["distance"] = one["distance"]
        rows.append(row)
    return Report("Demonstrate", tuple(rows[0]), rows)
