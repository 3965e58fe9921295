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
from vla_uq.flow.sampling import euler
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


def test_further_draws_change_nothing_that_is_executed_or_recorded(
    weights: Path, backend: OnnxBackend, observation: Observation
) -> None:
    more = load("onnx", weights, draws=4, last_layer=True)
    assert more.info.fingerprint == backend.info.fingerprint
    assert set(more.info.tensors) - set(backend.info.tensors) == {"samples", "last_layer"}
    for policy in (backend, more):
        policy.reset(observation.instruction, 3)
    for _ in range(3):
        plain, rich = backend.act(observation), more.act(observation)
        np.testing.assert_array_equal(plain.actions, rich.actions)
        np.testing.assert_array_equal(plain.gripper, rich.gripper)
        recorded = more.introspect(rich)
        assert set(recorded) == set(more.info.tensors)
        for name, value in backend.introspect(plain).items():
            assert value.tobytes() == recorded[name].tobytes(), name


def test_samples_begin_with_the_executed_chunk_and_share_noise(weights: Path, observation: Observation) -> None:
    backend = OnnxBackend(weights, draws=4)
    inference = decide(backend, observation, 0)
    samples = backend.introspect(inference)["samples"]
    memory: Any = inference.memory
    assert samples.shape == (2, 4, 16, 7) and samples.dtype == np.float32
    np.testing.assert_array_equal(samples[0, 0], memory.trace.final[0])
    scaled = np.clip(samples[0, 0, :, :6] * [0.6, 0.6, 0.6, 0.15, 0.15, 0.15], -1, 1)
    np.testing.assert_allclose(scaled * ([0.05] * 3 + [0.5] * 3), inference.actions, atol=1e-6)
    for member in range(2):
        field = backend.field(member, backend.prefix(member, memory.inputs))
        noises = np.concatenate([memory.trace.states[0], memory.noise])
        for draw, noise in enumerate(noises):
            alone = euler(field, noise[None], backend.times).final[0]
            np.testing.assert_allclose(samples[member, draw], alone, atol=1e-4)
    assert len(np.unique(samples.reshape(8, -1), axis=0)) == 8
    np.testing.assert_array_equal(backend.introspect(inference)["samples"], samples)
    other = decide(backend, observation, 1)
    assert not np.array_equal(backend.introspect(other)["samples"][:, 1:], samples[:, 1:])


def test_last_layer_is_what_member_0s_velocity_is_linear_in(weights: Path, observation: Observation) -> None:
    backend = OnnxBackend(weights, last_layer=True)
    found = [backend.introspect(decide(backend, observation, seed)) for seed in range(25)]
    layers = np.concatenate([tensors["last_layer"] for tensors in found])
    assert layers.shape == (25 * 9, 1, 160)
    velocities = np.concatenate([tensors["velocities"][0, 0, 0] for tensors in found]).reshape(len(layers), -1)
    inputs = np.column_stack([layers[:, 0], np.ones(len(layers))])
    head = np.linalg.lstsq(inputs, velocities, rcond=None)[0]
    np.testing.assert_allclose(inputs @ head, velocities, atol=1e-3)
    np.testing.assert_array_equal(found[0]["features"][-160:], found[0]["last_layer"][-1, 0])


def test_wrong_options_are_refused(weights: Path) -> None:
    with pytest.raises(InputError, match=r"draws.*at least 1"):
        load("onnx", weights, draws=0)
    with pytest.raises(InputError, match=r"temper.*no such option.*draws"):
        load("onnx", weights, temper=1)


def test_the_manifest_names_the_back_end(weights: Path, altered: Any) -> None:
    assert isinstance(load("", weights), OnnxBackend)
    with pytest.raises(InputError, match=r"back_end.*nonesuch"):
        load("", altered(back_end="nonesuch"))


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
        ({"members": 3, "normalisers": []}, "encoder_2.onnx"),
        ({"members": 3}, "normalisers"),
        ({"normalisers": ["0" * 16] * 2}, "member 0 .*normaliser"),
        ({"time": "backwards"}, "time"),
        ({"velocity": "sideways"}, "velocity"),
        ({"padded_dim": 5}, "padded_dim"),
        ({"padded_dim": 32}, "velocity_0.onnx"),
        ({"encoders": [0]}, "encoders"),
        ({"encoders": [0, 7]}, "encoders"),
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
