"""The splits of the SAFE paper (arXiv 2506.09937), from its seeds, episode for episode.

The published code shuffles the task numbers with numpy's global generator and each task's episodes with torch's. Both
are Mersenne twisters, so numpy alone repeats them. It has three parts: one to train on, the held-out episodes of the
same tasks (on which it selects, calibrates and tests), and the unseen tasks. The manifest says so by its scheme, and
its parts overlap. The published order of episodes follows the file system; ours is sorted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_uq.errors import InputError
from vla_uq.evaluation.splits import PARTS, PUBLISHED, Split, outcomes_known, task_key
from vla_uq.rollouts.store import RolloutMeta


class Bed(NamedTuple):
    """Ratios of one of the paper's beds.

    :param unseen: share of the tasks.
    :param train: share of each seen task's episodes.
    """

    unseen: float
    train: float


BEDS = {"libero": Bed(0.3, 0.6), "simpler": Bed(0.25, 0.66), "franka": Bed(0.25, 0.75), "widowx": Bed(0.25, 0.66)}


def safe_split(metas: Iterable[RolloutMeta], seed: int, bed: str) -> Split:
    """The paper's split of episodes with one of its seeds.

    :param bed: one of :data:`BEDS`.
    :raises InputError: when the bed is unknown, an episode has no outcome or there is none.
    """
    if bed not in BEDS:
        raise InputError("unknown bed", where="safe split", expected=", ".join(BEDS), found=bed)
    listed = outcomes_known(metas)
    numbers = task_numbers(listed)
    by_task: dict[int, list[RolloutMeta]] = {}
    for meta, number in zip(listed, numbers, strict=True):
        by_task.setdefault(number, []).append(meta)
    seen, unseen = shuffled_tasks(by_task, seed, BEDS[bed].unseen)
    twister = np.random.RandomState(seed)
    train: list[str] = []
    held: list[str] = []
    for task in seen:
        names = sorted((meta.episode_id for meta in by_task[task]), key=_natural)
        order = torch_permutation(len(names), twister)
        cut = int(BEDS[bed].train * len(names))
        train += [names[i] for i in order[:cut]]
        held += [names[i] for i in order[cut:]]
    rest = sorted(meta.episode_id for task in unseen for meta in by_task[task])
    tasks = tuple(sorted({task_key(meta) for task in unseen for meta in by_task[task]}))
    parts = {part: tuple(sorted(held)) for part in PARTS} | {"train": tuple(sorted(train)), "unseen": tuple(rest)}
    return Split(f"SAFE {bed}, seed {seed}", seed, PUBLISHED, tasks, parts)


def shuffled_tasks(numbers: Iterable[int], seed: int, share: float) -> tuple[list[int], list[int]]:
    """Seen and unseen task numbers, both in the order of the shuffle."""
    tasks = sorted(numbers)
    np.random.RandomState(seed).shuffle(tasks)
    cut = len(tasks) - round(share * len(tasks))
    return tasks[:cut], tasks[cut:]


def torch_permutation(n: int, twister: np.random.RandomState) -> NDArray[np.int64]:
    """What ``torch.randperm(n)`` draws on a CPU from a twister in the same state: n - 1 exchanges, forwards."""
    order = np.arange(n)
    for i in range(n - 1):
        other = i + int.from_bytes(twister.bytes(4), "little") % (n - i)
        order[i], order[other] = order[other], order[i]
    return order


def task_numbers(metas: Sequence[RolloutMeta]) -> list[int]:
    """The importer's ``task_id`` of each episode; where one lacks it, all get their task's place in sorted order."""
    numbers = [meta.extra.get("task_id") for meta in metas]
    known = [number for number in numbers if isinstance(number, int)]
    if len(known) == len(metas):
        return known
    place = {task: i for i, task in enumerate(sorted({task_key(meta) for meta in metas}))}
    return [place[task_key(meta)] for meta in metas]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts runs of digits by their value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
