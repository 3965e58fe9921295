"""What the verbs read that turn recordings into rollouts and bundles: others' formats, and bags of our nodes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_uq.contracts import Chunk, Key, Reference, Score, Space, Trace

WRITERS = Path(__file__).parents[2] / "vla_uq" / "importers" / "conftest.py"
OURS = "vla_monitor/msg/"
PERIOD, MS = 300_000_000, 1_000_000
"""Between two inferences, and a millisecond, in ns."""
RUN_ID = bytes(range(16))
NODES, HORIZON, DIM, FEATURES = 3, 4, 7, 6
IDLE, AUTONOMOUS, HALTING, HALTED, RESUMING = 1, 2, 3, 4, 6
ALERT, OPERATOR, EPISODE_END = 1, 2, 17
SUCCESS, FAILURE, DISCARD = 1, 2, 3


@pytest.fixture(scope="session")
def writers() -> SimpleNamespace:
    """See the conftest of the importers' own tests."""
    spec = importlib.util.spec_from_file_location("importers_conftest", WRITERS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: SimpleNamespace = module.all_writers()
    return made


@dataclass(frozen=True)
class Played:
    """An episode as it was played.

    :param halted: number of the inference at which an operator halted the arm; -1: none.
    :param lost: number of the inference whose trace was not recorded; -1: none.
    """

    name: str
    steps: int = 8
    label: int = SUCCESS
    mode: int = 0
    fingerprint: str = "p1"
    execute_steps: int = 6
    cameras: int = 2
    halted: int = -1
    lost: int = -1
    score: bool = False
    disturbance: str = "none"
    pictures: tuple[str, ...] = ()

    def key(self, step: int) -> Key:
        number = int("".join(filter(str.isdigit, self.name)) or 0)
        return Key(RUN_ID, 1000 * number + step, self.name, step)

    def chunk(self, step: int) -> Chunk:
        rng = np.random.default_rng([step, *self.name.encode()])
        actions = rng.normal(size=(HORIZON, 6)).astype(np.float32)
        names = ("x", "y", "z", "rx", "ry", "rz")
        return Chunk(
            key=self.key(step),
            space=Space.EE_DELTA,
            names=names,
            actions=actions,
            gripper=np.ones(HORIZON, np.float32),
            step_duration=0.05,
            execute_steps=self.execute_steps,
            reference=Reference.MEASURED,
            instruction="put the cube on the plate",
        )

    def trace(self, step: int) -> Trace:
        """Members that differ more, and features that move away, in an episode that fails."""
        rng = np.random.default_rng([step, *self.name.encode()])
        failing = self.label == FAILURE
        velocities = rng.normal(size=(1, 2, 1, NODES, HORIZON, DIM)).astype(np.float32)
        velocities[0, 1] = velocities[0, 0] + (0.6 if failing else 0.2) * velocities[0, 1]
        tensors = {
            "features": (rng.normal(size=FEATURES) + 3 * failing).astype(np.float32),
            "velocities": velocities,
            "flow_times": np.array([0.2, 0.5, 0.8], np.float32),
            "samples": rng.normal(size=(1, 1, HORIZON, DIM)).astype(np.float32),
            "image_digest": rng.random(self.cameras).astype(np.float32),
        }
        return Trace(self.key(step), self.chunk(step).digest, self.fingerprint, tensors)

    def rows(self, types: Any, start: int) -> Iterator[tuple[int, str, str, dict[str, Any]]]:
        """Its messages: (time ns, topic, type, fields)."""
        name, end = {"episode_id": self.name}, start + (self.steps + 1) * PERIOD
        state = {**name, "mode": self.mode}

        def said(time: int, event: int, **more: Any) -> tuple[int, str, str, dict[str, Any]]:
            return time, "/supervisor_node/events", OURS + "EpisodeEvent", {**name, "event": event, **more}

        def was(time: int, number: int, reason: int = 0) -> tuple[int, str, str, dict[str, Any]]:
            fields = {**state, "state": number, "reason": reason}
            return time, "/supervisor_node/state", OURS + "SupervisorState", fields

        yield said(start, 0)
        yield was(start, RESUMING)
        if self.disturbance != "none":
            fields = {"disturbance": self.disturbance, "seed": 7}
            yield start + MS, "/sim_node/sim_state", OURS + "SimState", fields
        for step in range(self.steps):
            time = start + (step + 1) * PERIOD
            yield time, "/policy_node/chunk", OURS + "ActionChunk", chunk_fields(self.chunk(step))
            if step != self.lost:
                yield time + MS, "/policy_node/trace", OURS + "PolicyTrace", trace_fields(self.trace(step), types)
            if self.score:
                score = Score(self.key(step), self.chunk(step).digest, 0.5 + step, 2.0, False)
                yield time + 2 * MS, "/monitor_node/score", OURS + "FailureScore", score_fields(score)
            yield was(time + 3 * MS, AUTONOMOUS)
            if step == self.halted:
                yield was(time + 4 * MS, HALTING, OPERATOR)
                yield said(time + 5 * MS, 2)
                yield was(time + 5 * MS, HALTED, OPERATOR)
            for camera in self.pictures:
                yield time, f"{camera}/compressed", "sensor_msgs/msg/CompressedImage", {}
        yield was(end, HALTING, EPISODE_END)
        yield said(end + MS, 2)
        yield said(end + MS, 5, label=self.label)
        yield was(end + MS, IDLE, EPISODE_END)


def key_fields(key: Key) -> dict[str, Any]:
    run = np.frombuffer(key.run_id, np.uint8)
    names = {"run_id": run, "sequence": key.sequence, "episode_id": key.episode_id, "step": key.step}
    return {f"key.{name}": value for name, value in names.items()}


def chunk_fields(chunk: Chunk) -> dict[str, Any]:
    return {
        **key_fields(chunk.key),
        "digest": chunk.digest,
        "instruction": chunk.instruction,
        "space": int(chunk.space),
        "reference": int(chunk.reference),
        "names": list(chunk.names),
        "horizon": chunk.horizon,
        "dim": chunk.actions.shape[1],
        "actions": chunk.actions.ravel(),
        "gripper": chunk.gripper,
        "step_duration.nanosec": round(chunk.step_duration * 1e9),
        "execute_steps": chunk.execute_steps,
    }


def trace_fields(trace: Trace, types: Any) -> dict[str, Any]:
    made = types.types[OURS + "Tensor"]
    tensors = [
        made(name=name, shape=np.array(value.shape, np.uint32), data=value.ravel())
        for name, value in trace.tensors.items()
    ]
    fingerprint = {"chunk_digest": trace.chunk_digest, "fingerprint": trace.fingerprint}
    return {**key_fields(trace.key), **fingerprint, "tensors": tensors}


def score_fields(score: Score) -> dict[str, Any]:
    numbers = {"nonconformity": score.nonconformity, "threshold": score.threshold, "alarm": score.alarm}
    return {**key_fields(score.key), "chunk_digest": score.chunk_digest, **numbers}


Record = Callable[[Path, Iterable[Played]], Path]


@pytest.fixture
def record(write_bag: Any) -> Record:
    """Writes episodes one after the other into a bag."""
    from vla_cli.bag.types import recording_types

    def written(folder: Path, episodes: Iterable[Played]) -> Path:
        types, rows, start = recording_types(), [], 10**18
        for episode in episodes:
            rows += episode.rows(types, start)
            start = rows[-1][0] + 10 * PERIOD
        folder.parent.mkdir(parents=True, exist_ok=True)
        return write_bag(folder, rows)

    return written


@pytest.fixture
def played() -> type[Played]:
    """An episode to be recorded."""
    return Played
