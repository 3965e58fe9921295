"""Messages: every field explained, and nothing lost between the plain values and the wire."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.contracts import Chunk, Key, Reference, Score, Space, Trace

ROOT = Path(__file__).parents[2]
INTERFACES = sorted([*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")])
FIELD = re.compile(r"^[\w/]+(\[\d*\])? +\w+(=\S+)? +# \S")
KEY = Key(bytes(range(16)), 2**63 + 5, "episode-7", 3)


def over_the_wire(message: Any) -> Any:
    serialization = pytest.importorskip("rclpy.serialization")
    return serialization.deserialize_message(serialization.serialize_message(message), type(message))


@pytest.fixture(scope="module")
def msg() -> Any:
    return pytest.importorskip("vla_monitor.msg")


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.name)
def test_every_line_is_explained(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# "), "the first line says what it is"
    bare = [line for line in lines if line and not line.startswith("#") and line != "---" and not FIELD.match(line)]
    assert not bare, f"without a comment: {bare}"


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.name)
def test_built_messages_are_those_of_the_tree(path: Path) -> None:
    """An editable install holds copies: this fails when a definition was changed and not built again."""
    package = pytest.importorskip(f"vla_monitor.{path.parent.name}")
    built = getattr(package, path.stem)
    parts = [built.Request, built.Response] if path.suffix == ".srv" else [built]
    for part, text in zip(parts, path.read_text(encoding="utf-8").split("\n---\n"), strict=True):
        fields = [
            line.split()[1] for line in text.splitlines() if line and line[0] != "#" and "=" not in line.split()[1]
        ]
        assert list(part.get_fields_and_field_types()) == fields


def test_enums_agree(msg: Any) -> None:
    assert {space.name: space.value for space in Space} == {s.name: getattr(msg.ActionChunk, s.name) for s in Space}
    assert {r.name: r.value for r in Reference} == {r.name: getattr(msg.ActionChunk, r.name) for r in Reference}


@given(
    horizon=st.integers(1, 20),
    dim=st.integers(1, 9),
    gripper=st.booleans(),
    sequence=st.integers(0, 2**64 - 1),
    seed=st.integers(0, 99),
)
def test_chunk(msg: Any, horizon: int, dim: int, gripper: bool, sequence: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    chunk = Chunk(
        key=Key(rng.bytes(16), sequence, "é 7", 4),
        space=Space.EE_DELTA,
        reference=Reference.MEASURED,
        names=tuple(f"n{i}" for i in range(dim)),
        actions=rng.normal(size=(horizon, dim)).astype(np.float32),
        gripper=rng.random(horizon if gripper else 0).astype(np.float32),
        step_duration=0.05,
        execute_steps=6,
        frame_id="base",
        instruction="put the mug on the plate",
        observation_age=0.0123,
        observation_stamp=(12, 345678901),
    )
    read = Chunk.from_message(over_the_wire(chunk.fill(msg.ActionChunk())))
    assert read.claimed_digest == read.digest == chunk.digest
    for name in ("key", "space", "reference", "names", "execute_steps", "frame_id", "instruction", "observation_stamp"):
        assert getattr(read, name) == getattr(chunk, name), name
    np.testing.assert_array_equal(read.actions, chunk.actions)
    np.testing.assert_array_equal(read.gripper, chunk.gripper)
    assert read.step_duration == pytest.approx(0.05, abs=1e-9)
    assert read.observation_age == pytest.approx(0.0123, abs=1e-9)


def test_trace(msg: Any) -> None:
    rng = np.random.default_rng(0)
    shapes = {"features": (434,), "velocities": (1, 2, 1, 9, 16, 7), "samples": (1, 1, 16, 7), "scores/vfd": (1,)}
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    trace = Trace(KEY, 2**64 - 1, "abc", tensors)
    read = Trace.from_message(over_the_wire(trace.fill(msg.PolicyTrace(), msg.Tensor)))
    assert (read.key, read.chunk_digest, read.fingerprint) == (KEY, 2**64 - 1, "abc")
    assert list(read.tensors) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(read.tensors[name], tensor)


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf")])
def test_score(msg: Any, value: float) -> None:
    score = Score(
        KEY, 7, value, 1.25, False, {"vfd": (2.0, 3.0), "safe_mlp": (0.25, 0.5)}, False, "resumed", 0.125, 0.25
    )
    read = Score.from_message(over_the_wire(score.fill(msg.FailureScore(), msg.DetectorScore)))
    assert read.passes is (value == 0.5)
    assert repr(read) == repr(score)  # NaN differs from itself
