"""Rollouts from bags that our nodes recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from supervisor_node.states import Label, Mode
from vla_cli.bag.episodes import TRACE, Recording, Span, collect, spans
from vla_cli.bag.reader import ends_with, topics
from vla_uq.contracts import Chunk, Trace
from vla_uq.errors import InputError
from vla_uq.rollouts.importers import Episode, Format
from vla_uq.rollouts.importers.base import episode_id
from vla_uq.rollouts.importers.records import stack
from vla_uq.rollouts.store import NOMINAL, Rollout, RolloutMeta

NAME = "bags"
PICTURES = ("image_raw", "image_raw/compressed")
T = TypeVar("T")


def find(root: Path) -> Iterator[Episode]:
    """The episodes of all bags below a folder; one that was labelled as not to be used is none."""
    for bag in sorted({path.parent for path in root.resolve().rglob("metadata.yaml")}):
        size = sum(path.stat().st_size for path in bag.iterdir())
        try:
            found = list(spans(bag))
        except InputError as error:
            yield Episode(episode_id(NAME, bag.name), bag.name, size, partial(_refuse, error))
            continue
        for span in found:
            if span.label is not Label.DISCARD:
                source = f"{bag.name}/{span.episode}"
                yield Episode(episode_id(NAME, source), source, size, partial(_read, span, source, size))


FORMAT = Format(NAME, "rosbag2 folders with metadata.yaml, recorded by our nodes", find)


def _refuse(error: InputError) -> Rollout:
    raise error


def _read(span: Span, source: str, size: int) -> Rollout:
    """One rollout.

    :raises InputError: when the recording lacks something, or its parts do not fit together.
    """
    found = collect(span)
    traces = _inferences(found)
    chunks = [found.chunks[trace.key] for trace in traces]
    first = _one("instruction, space or rate", {_kind(chunk): chunk for chunk in chunks})
    mode = _one("mode", {mode: mode for mode in found.modes})
    tensors = stack([trace.tensors for trace in traces])
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].tobytes())
    tensors |= _scores(traces, found)
    meta = RolloutMeta(
        episode_id=episode_id(NAME, source),
        task=first.instruction,
        seed=int(found.scene.seed) if found.scene is not None else 0,
        disturbance=str(found.scene.disturbance) if found.scene is not None else NOMINAL,
        success={Label.SUCCESS: True, Label.FAILURE: False}.get(span.label),
        steps=first.execute_steps * len(traces),
        policy_fingerprint=_one("policy", {trace.fingerprint: trace.fingerprint for trace in traces}),
        halted=found.interrupted,
        mode="guard" if mode is Mode.GUARD else "shadow",
        execute_steps=first.execute_steps,
        step_duration=first.step_duration,
        extra={
            "format": NAME,
            "source": source,
            "bytes": size,
            "sha256": digest.hexdigest(),
            "cameras": _cameras(span.bag, tensors),
            "policy": {"space": first.space.name, "horizon": first.horizon, "dim": len(first.names)},
        },
    )
    return Rollout(meta, tensors)


def _inferences(found: Recording) -> list[Trace]:
    """The policy's inferences from its reset at the episode's start to the next reset, or to the end.

    :raises InputError: when one was not recorded, or its chunk was not.
    """
    traces: list[Trace] = []
    for trace in found.traces:
        step = len(traces)
        if traces and (trace.key.run_id != traces[0].key.run_id or trace.key.step == 0):
            break
        if trace.key.step != step:
            raise InputError("inference was not recorded", where=str(trace.key), expected=f"step {step}")
        chunk = found.chunks.get(trace.key)
        if chunk is None or chunk.digest != trace.chunk_digest:
            raise InputError("chunk of a trace was not recorded", where=str(trace.key))
        traces.append(trace)
    if not traces:
        raise InputError("no inference was recorded", where=TRACE, remedy="record the policy's traces")
    return traces


def _kind(chunk: Chunk) -> tuple[object, ...]:
    """What must not change within an episode."""
    return (
        *(chunk.instruction, chunk.space.name, chunk.reference.name, chunk.names),
        *(chunk.horizon, chunk.step_duration, chunk.execute_steps),
    )


def _one(what: str, found: Mapping[Any, T]) -> T:
    """The only value.

    :raises InputError: when there are several, or none.
    """
    if len(found) != 1:
        raise InputError(
            f"episode is not of one {what}", expected="one", found=" and ".join(map(str, found)) or "none recorded"
        )
    return next(iter(found.values()))


def _scores(traces: Sequence[Trace], found: Recording) -> dict[str, NDArray[Any]]:
    """What the monitor that ran said of each inference, (T,); nothing where it did not score them all."""
    scores = [found.scores[trace.key] for trace in traces if trace.key in found.scores]
    if len(scores) < len(traces):
        return {}
    return {
        "monitor/nonconformity": np.array([score.nonconformity for score in scores], np.float32),
        "monitor/threshold": np.array([score.threshold for score in scores], np.float32),
    }


def _cameras(bag: Path, tensors: Mapping[str, NDArray[Any]]) -> list[str]:
    """The recorded cameras; where no pictures are recorded, as many numbers as the policy looked through."""
    pictures = {topic.removesuffix("/compressed") for topic in topics(bag) if ends_with(topic, PICTURES)}
    looked = tensors["image_digest"].shape[1] if "image_digest" in tensors else 0
    return sorted(pictures) or [f"camera {number + 1}" for number in range(looked)]
