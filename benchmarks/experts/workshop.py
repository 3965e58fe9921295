"""What the benchmarks of experts begin with: demonstrations, the backbone, and contexts. Made once, kept, resumed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
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
    :param files: of the raw demonstrations.
    :param demonstrations: of each task.
    """

    backbone: Path
    files: tuple[Path, ...]
    demonstrations: dict[str, Demonstrations]


def open_workshop(folder: Path, tasks: Sequence[Task], count: int, iterations: int, console: Console) -> Workshop:
    """Collect ``count`` demonstrations of each task, train the backbone on all of them, and encode them.

    Everything is kept below ``folder``, by what it depends on: a second call reads it.

    :param iterations: of the backbone's training; 0 takes the shipped policy's encoder as it is.
    """
    raw = folder / f"demonstrations_{count}"
    with console.progress("demonstrations", len(tasks)) as advance:
        files = collect(tasks, count, raw, 2, lambda path: advance(1, path.stem))
    names = hashlib.sha256(" ".join(sorted(file.stem for file in files)).encode()).hexdigest()[:8]
    weights = folder / f"backbone_{count}_{names}_{iterations}.safetensors"
    if not weights.exists() and not iterations:
        backbone.take_shipped(weights)
    elif not weights.exists():
        with console.progress("backbone", iterations) as advance:
            backbone.train(files, weights, Schedule(iterations=iterations), 0, lambda step, losses: advance(100))
    with console.progress("contexts", len(files)) as advance:
        return _encoded(weights, files, lambda: advance(1))


@functools.lru_cache(maxsize=1)
def restore(weights: Path, files: tuple[Path, ...]) -> Workshop:
    """The same in another process: contexts are read, not made again."""
    return _encoded(weights, files, lambda: None)


def _encoded(weights: Path, files: Sequence[Path], encoded: Callable[[], None]) -> Workshop:
    encoder = backbone.restore(weights)
    found = {}
    for file in files:
        demos = encode(encoder, file, weights.with_suffix(""))
        found[demos.task] = demos
        encoded()
    return Workshop(weights, tuple(files), found)
