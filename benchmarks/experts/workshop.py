"""What the benchmarks of experts begin with: demonstrations, the backbone, and contexts. Made once, kept, resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.experts import backbone
from benchmarks.experts.contexts import Demonstrations, encode
from sim_node.demonstrations import collect
from sim_node.tasks import Task
from vla_cli.console import Console
from vla_policy.training import Schedule


@dataclass(frozen=True)
class Workshop:
    """Of some tasks.

    :param backbone: file of the frozen backbone.
    :param demonstrations: of each task.
    """

    backbone: Path
    demonstrations: dict[str, Demonstrations]


def open_workshop(folder: Path, tasks: Sequence[Task], count: int, iterations: int, console: Console) -> Workshop:
    """Collect ``count`` demonstrations of each task, train the backbone on all of them, and encode them.

    Everything is kept below ``folder``, by what it depends on: a second call reads it.

    :param iterations: of the backbone's training.
    """
    from benchmarks.experts.backbone import restore

    raw = folder / f"demonstrations_{count}"
    with console.progress("demonstrations", len(tasks)) as advance:
        files = collect(tasks, count, raw, 2, lambda path: advance(1, path.stem))
    weights = folder / f"backbone_{count}_{len(tasks)}_{iterations}.safetensors"
    if not weights.exists():
        with console.progress("backbone", iterations) as advance:
            backbone.train(files, weights, Schedule(iterations=iterations), 0, lambda step, losses: advance(100))
    encoder = restore(weights)
    with console.progress("contexts", len(files)) as advance:
        found = {}
        for file in files:
            demos = encode(encoder, file, folder / weights.stem)
            found[demos.task] = demos
            advance(1)
    return Workshop(weights, found)
