"""The ONNX back end: member 0 acts, the others look at its path; bad weights are refused by name."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_node.backends import Inference, load
from policy_node.backends.onnx import OnnxBackend
from vla_policy.observation import Observation
from vla_uq.contracts import Space
from vla_uq.errors import InputError
from vla_uq.uncertainty.vfd import vfd


@pytest.fixture(scope="module")
def backend(weights: Path) -> OnnxBackend:
    opened = load("onnx", weights)
    assert isinstance(opened, OnnxBackend)
    return opened


@pytest.fixture
def altered(weights: Path, tmp_path: Path) -> Any:
    """Copies the weights with fields of the manifest changed."""

    def alter(**fields: Any) -> Path:
        folder = tmp_path / "weights"
        shutil.copytree(weights, folder)
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        return folder

    return alter


def decide(backend: OnnxBackend, observation: Observation, seed: int) -> Inference:
    backend.reset(observation.instruction, seed)
    return backend.act(observation)


def test_a_seed_gives_the_same_chunk_twice(backend: OnnxBackend, observation: Observation) -> None:
    first, again, other = (decide(backend, observation, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.actions, again.actions)
    assert not np.array_equal(first.actions, other.actions)
    backend.reset(observation.instruction, 3)
    np.testing.assert_array_equal(backend.act(observation).actions, first.actions)
    assert not np.array_equal(backend.act(observation).actions, first.actions)


def test_chunk_is_in_metres_and_radians_within_one_step(backend: OnnxBackend, observation: Observation) -> None:
    inference = decide(backend, observation, 0)
    assert (backend.info.space, backend.info.dim, backend.info.execute_steps) == (Space.EE_DELTA, 6, 6)
    assert inference.actions.shape == (16, 6)
    assert inference.actions.dtype == inference.gripper.dtype == np.float32
    assert np.abs(inference.actions[:, :3]).max() <= 0.05 + 1e-7
    assert np.abs(inference.actions[:, 3:]).max() <= 0.5 + 1e-7
    assert set(inference.gripper.tolist()) <= {0.0, 1.0}


def test_fields_of_all_members_are_taken_on_member_0s_path(backend: OnnxBackend, observation: Observation) -> None:
    inference = decide(backend, observation, 0)
    tensors = backend.introspect(inference)
    assert set(tensors) == set(backend.info.tensors)
    assert {name: value.dtype for name, value in tensors.items()} == dict.fromkeys(tensors, np.dtype(np.float32))
    assert tensors["features"].shape == (96 + 18 + 160 + 160,)
    np.testing.assert_allclose(tensors["flow_times"], np.arange(1, 10) / 10, atol=1e-7)
    assert tensors["velocities"].shape == (1, 2, 1, 9, 16, 7)
    memory: Any = inference.memory
    for member in range(2):
        field = backend.field(member, backend.prefix(member, memory.inputs))
        for node, t in enumerate(tensors["flow_times"]):
            alone = field(memory.trace.states[node + 1], np.full(1, t, np.float32))[0]
            np.testing.assert_allclose(tensors["velocities"][0, member, 0, node], alone, atol=1e-4)
    assert vfd(tensors["velocities"], tensors["flow_times"]) > 0


def test_members_that_agree_have_no_disagreement(altered: Any, observation: Observation) -> None:
    folder = altered()
    content = json.loads((folder / "manifest.json").read_text())
    for kind in ("encoder", "velocity"):
        shutil.copy(folder / f"{kind}_0.onnx", folder / f"{kind}_1.onnx")
        content["files"][f"{kind}_1.onnx"] = content["files"][f"{kind}_0.onnx"]
    (folder / "manifest.json").write_text(json.dumps(content))
    backend = OnnxBackend(folder)
    tensors = backend.introspect(decide(backend, observation, 0))
    assert vfd(tensors["velocities"], tensors["flow_times"]) < 1e-6


def test_the_policy_sees_its_own_last_gripper_command(backend: OnnxBackend, observation: Observation) -> None:
    def command() -> float:
        return float(backend.inputs(observation)["proprio"][0, 10])

    backend.reset("x", 0)
    assert command() == -1.0
    backend.reset("x", 0)
    assert float(backend.inputs(replace(observation, width=0.03))["proprio"][0, 10]) == 1.0
    inference = backend.act(observation)
    assert command() == 1.0 - 2.0 * inference.gripper[backend.info.execute_steps - 1]


def test_fingerprint_is_the_contents(backend: OnnxBackend, weights: Path, altered: Any) -> None:
    assert backend.info.fingerprint == OnnxBackend(weights).info.fingerprint
    assert len(backend.info.fingerprint) == 16
    assert OnnxBackend(altered(execute_steps=5)).info.fingerprint != backend.info.fingerprint


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"schema": 9}, "schema"),
        ({"context": 200}, "encoder_0.onnx"),
        ({"horizon": 8}, "velocity_0.onnx"),
        ({"horizon": "16"}, "horizon"),
        ({"members": 3}, "encoder_2.onnx"),
        ({"action_scale": [1.0] * 6}, "action_scale"),
        ({"action_scale": [float("nan")] * 7}, "action_scale"),
        ({"feature_slice": [5, 500]}, "feature_slice"),
        ({"execute_steps": 17}, "execute_steps"),
        ({"image_size": 128}, "image_size"),
        ({"step_duration": 0}, "step_duration"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_by_field(altered: Any, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        OnnxBackend(altered(**fields))


def test_a_changed_graph_is_refused(altered: Any) -> None:
    folder = altered()
    with (folder / "velocity_1.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match=r"velocity_1\.onnx"):
        OnnxBackend(folder)


def test_missing_weights_are_refused(tmp_path: Path, altered: Any) -> None:
    with pytest.raises(InputError, match=r"manifest\.json"):
        load("onnx", tmp_path / "nowhere")
    folder = altered()
    (folder / "encoder_1.onnx").unlink()
    with pytest.raises(InputError, match=r"encoder_1\.onnx"):
        load("onnx", folder)


def test_unknown_back_end_and_device_are_refused(weights: Path) -> None:
    with pytest.raises(InputError, match=r"back_end.*expected.*onnx"):
        load("nonesuch", weights)
    with pytest.raises(InputError, match="device"):
        load("onnx", weights, device="abacus")
