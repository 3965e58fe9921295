"""The same instruction in other words, from the trained one (level 1) to one far from it (level 5), by rule."""

from __future__ import annotations

from sim_node.tasks import Task

LEVELS = 5
_TEMPLATES = {
    "put": (
        "put the {what} {at} the {target}",
        "place the {what} {at} the {target}",
        "move the {what} so that it ends {at} the {target}",
        "take the {what} and leave it {at} the {target} please",
        "I would like to have the {what} {at} this {target} now",
    ),
    "stack": (
        "stack the {what} on the {target}",
        "place the {what} on the {target}",
        "build a tower with the {what} on the {target}",
        "take the {what} and balance it on the {target} please",
        "I would like to see the {what} on top of this {target} now",
    ),
    "open": (
        "open the {what}",
        "pull the {what}",
        "pull out the {what} for me",
        "take the handle and pull the {what} please",
        "I would like to look into this {what} now",
    ),
    "close": (
        "close the {what}",
        "push the {what}",
        "push the {what} shut for me",
        "take the handle and push the {what} please",
        "I would like to have this {what} shut now",
    ),
}


def paraphrases(task: Task) -> tuple[str, ...]:
    """Five instructions for a task of one part, nearest first; the first is its own."""
    goal = task.goals[0]
    verb = "stack" if task.instruction.startswith("stack") else "put" if goal.verb in ("in", "on") else goal.verb
    return tuple(t.format(what=goal.what, at=goal.verb, target=goal.target) for t in _TEMPLATES[verb])
