"""Which episodes a detector is fitted to, selected on, calibrated with and tested on: a manifest of episode ids.

The parts are disjoint. ``unseen`` holds every episode of the tasks that no other part has; the others share the seen
tasks. Selection has a part of its own, because a band calibrated on the episodes that chose the detector promises less
than it says (the published protocol of SAFE uses one part for selection, calibration and the test on seen tasks: see
:mod:`vla_uq.evaluation.safe_splits`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_uq.artefact import field
from vla_uq.errors import InputError
from vla_uq.rollouts.store import RolloutMeta

KIND = "split manifest"
SCHEMA = 1
PARTS = ("train", "select", "calibrate", "test_seen", "unseen")
PUBLISHED = "safe"
"""The scheme whose parts overlap, because the published one does."""
STRIDE = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Split:
    """A manifest: sorted episode ids of each part.

    :param scheme: how it was made: ``stratified``, or ``safe`` for the published splits.
    :param unseen_tasks: keys of the tasks (:func:`task_key`) that only ``unseen`` has.
    :param parts: ids of each of :data:`PARTS`.
    """

    name: str
    seed: int
    scheme: str
    unseen_tasks: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]

    @property
    def digest(self) -> str:
        """Fingerprint of the content, 16 hex digits."""
        return hashlib.blake2b(json.dumps(asdict(self), sort_keys=True).encode(), digest_size=8).hexdigest()

    def check(self, present: Collection[str]) -> None:
        """Check that a store holds what the manifest names, and that no episode serves two purposes.

        :raises InputError: naming the part and the first ids.
        """
        held, taken = set(present), dict[str, str]()
        for part, names in self.parts.items():
            missing = [name for name in names if name not in held]
            if missing:
                raise InputError(
                    f"{len(missing)} of {len(names)} episodes are not in the store",
                    where=f"{self.name}: {part}",
                    found=f"no {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}",
                    remedy="give the store that the manifest was made for, or make a new manifest",
                )
            for name in names:
                if taken.setdefault(name, part) != part and self.scheme != PUBLISHED:
                    raise InputError("episode is in two parts", where=f"{self.name}: {taken[name]}, {part}", found=name)

    def save(self, path: Path | str) -> None:
        """Write as JSON, atomically."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps({"kind": KIND, "schema": SCHEMA, **asdict(self)}, indent=1) + "\n")
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path | str) -> Split:
        """Read a manifest.

        :raises InputError: naming file and field.
        """
        try:
            document = json.loads(Path(path).read_text())
        except OSError as error:
            raise InputError("cannot be read", where=str(path), found=error.strerror) from error
        except ValueError as error:
            raise InputError("is not JSON", where=str(path), found=error) from error
        if not isinstance(document, dict) or (document.get("kind"), document.get("schema")) != (KIND, SCHEMA):
            raise InputError("is no split manifest", where=str(path), expected=f"kind {KIND}, schema {SCHEMA}")
        where = str(path)
        parts = field(document, "parts", dict, where)
        return cls(
            name=field(document, "name", str, where),
            seed=field(document, "seed", int, where),
            scheme=field(document, "scheme", str, where),
            unseen_tasks=_texts(document, "unseen_tasks", where),
            parts={part: _texts(parts, part, f"{where}: parts") for part in PARTS},
        )


@dataclass(frozen=True)
class Ratios:
    """Shares of the tasks (``unseen``) and of the seen tasks' episodes (the others; the rest is ``test_seen``)."""

    unseen: float = 0.3
    train: float = 0.5
    select: float = 0.15
    calibrate: float = 0.15


def task_key(meta: RolloutMeta) -> str:
    """What counts as one task: the instruction, and the suite where there are suites (instructions recur in them)."""
    suite = meta.extra.get("suite", "")
    return f"{suite}: {meta.task}" if suite else meta.task


def stratified(metas: Iterable[RolloutMeta], seed: int, ratios: Ratios = Ratios()) -> Split:
    """Split by a seed: whole tasks are unseen, the episodes of the others are dealt out evenly.

    Every part gets its share of each task, condition and outcome, as far as their counts can be divided. The same
    episodes, in whatever order, give the same split.

    :raises InputError: when an episode has no outcome, or there is none.
    """
    listed = outcomes_known(metas)
    rng = np.random.default_rng(seed)
    tasks = sorted({task_key(meta) for meta in listed})
    hidden = set(rng.permutation(tasks)[: round(ratios.unseen * len(tasks)) if len(tasks) > 1 else 0].tolist())
    strata: dict[tuple[str, str, bool | None], list[str]] = {}
    for meta in listed:
        if task_key(meta) not in hidden:
            strata.setdefault((task_key(meta), meta.disturbance, meta.success), []).append(meta.episode_id)
    dealt = [name for key in sorted(strata) for name in rng.permutation(strata[key]).tolist()]
    parts = deal(dealt, (ratios.train, ratios.select, ratios.calibrate), float(rng.random()))
    unseen = tuple(meta.episode_id for meta in listed if task_key(meta) in hidden)
    named = dict(zip(PARTS, (*parts, unseen), strict=True))
    return Split(f"seed {seed}", seed, "stratified", tuple(sorted(hidden)), named)


def deal(names: Sequence[str], shares: Sequence[float], offset: float) -> list[tuple[str, ...]]:
    """Deal a list out to parts so that each stretch of it is divided by the shares; the last part takes the rest.

    The position of the i-th in a sequence of low discrepancy (multiples of the golden ratio, modulo 1) names its part:
    unlike rounding each stretch by itself, this does not give all remainders to the same part.
    """
    position = (offset + STRIDE * np.arange(len(names))) % 1
    owner = np.searchsorted(np.cumsum(shares), position, side="right")
    return [tuple(sorted(names[i] for i in np.flatnonzero(owner == part).tolist())) for part in range(len(shares) + 1)]


def outcomes_known(metas: Iterable[RolloutMeta]) -> list[RolloutMeta]:
    """The metadata in order of their ids.

    :raises InputError: when there are none, or an episode has no outcome.
    """
    listed = sorted(metas, key=lambda meta: meta.episode_id)
    if not listed:
        raise InputError("no episodes", where="split")
    for meta in listed:
        if meta.success is None:
            raise InputError("episode has no outcome", where=meta.episode_id, expected="success or failure")
    return listed


def _texts(document: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    values = field(document, name, list, where)
    if not all(isinstance(value, str) for value in values):
        raise InputError("is not a list of texts", where=f"{where}: {name}")
    return tuple(values)
