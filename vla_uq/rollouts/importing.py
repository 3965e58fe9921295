"""Fills a store from a folder of records: one episode at a time, goes on where it was stopped, names what is broken."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from vla_uq.errors import InputError
from vla_uq.rollouts.importers.base import Episode
from vla_uq.rollouts.store import Rollout, RolloutStore, read_meta


@dataclass
class Outcome:
    """What became of the episodes.

    :param written: ids that are new in the store.
    :param kept: ids that were in the store already, from the same files.
    :param broken: why they were not imported, one line an episode, which it names.
    """

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def import_episodes(
    episodes: Sequence[Episode], store: RolloutStore, *, strict: bool = False, done: Callable[[str], None] | None = None
) -> Outcome:
    """Read the episodes that the store does not hold yet, each whole or not at all.

    Only one is in memory at a time. What is stopped half-way, by whatever, is complete after another call.

    :param strict: stop at the first broken one.
    :param done: told after each episode.
    :raises InputError: for a broken episode when ``strict``; when the store cannot be written.
    """
    _sweep(store)
    outcome, seen = Outcome(), set[str]()
    for episode in episodes:
        try:
            rollout = _read(episode, store, seen)
        except InputError as error:
            if strict:
                raise
            outcome.broken.append(str(error))
        else:
            if rollout is None:
                outcome.kept.append(episode.id)
            else:
                store.add(rollout)
                outcome.written.append(episode.id)
            del rollout  # not kept while the next one is read
        if done is not None:
            done(episode.source)
    return outcome


def _read(episode: Episode, store: RolloutStore, seen: set[str]) -> Rollout | None:
    """The rollout; None when the store has it from the same files."""
    if episode.id in seen:
        raise InputError("another episode has the same name", where=episode.source)
    seen.add(episode.id)
    if episode.id not in store:
        try:
            return episode.read()
        except InputError as error:
            raise error.at(episode.source) from error
    held = read_meta(store.path(episode.id)).extra.get("bytes")
    if held != episode.size:
        raise InputError(
            "another episode of this name is in the store",
            where=episode.source,
            expected=f"{held} bytes of files",
            found=episode.size,
            remedy="import into another store, or remove the rollout",
        )
    return None


def _sweep(store: RolloutStore) -> None:
    """Remove what writers that were killed have left half-written."""
    for path in store.folder.glob(".rollout-*.tmp"):
        with suppress(ValueError, PermissionError):
            try:
                os.kill(int(path.suffixes[-2][1:]), 0)
            except ProcessLookupError:
                path.unlink(missing_ok=True)
