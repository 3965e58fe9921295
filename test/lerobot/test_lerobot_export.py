"""SmolVLA as ONNX graphs: as LeRobot to the last digits, or not written at all."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_lerobot_policy import ensemble  # noqa: F401
from tiny_policies import HORIZON, IMAGE, REAL, STEPS, Make

from vla_uq.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.lerobot
MADE: list[Path] = []


@pytest.fixture
def preset(monkeypatch: pytest.MonkeyPatch) -> str:
    """A robot of the tiny policies' sizes: its state is the position and both fingers."""
    from policy_node.backends import openpi_presets

    table = openpi_presets.PRESETS["table_top"]
    tiny = replace(table, state={"observation/state": (openpi_presets.position, openpi_presets.fingers)})
    monkeypatch.setitem(openpi_presets.PRESETS, "tiny", tiny)
    return "tiny"


@pytest.fixture
def weights(preset: str, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The ensemble's graphs, a copy of what the first test that asked for them exported."""
    from vla_server.lerobot.export import export

    if not MADE:
        folder = tmp_path.parent / "exported"
        manifest, gap = export(request.getfixturevalue("ensemble"), folder, preset)
        assert gap.actions <= 1e-5 and gap.batched <= 2e-5
        assert manifest.encoders == (0, 1)  # the state's projection is each one's own
        MADE.append(folder)
    return shutil.copytree(MADE[0], tmp_path / "weights")


def observation() -> Any:
    from vla_policy.observation import Observation

    rng = np.random.default_rng(3)
    images = {name: rng.integers(0, 256, (IMAGE, IMAGE, 3), np.uint8) for name in ("agentview", "wrist")}
    return Observation(images, rng.normal(size=3), np.eye(3), 0.06, "")


def test_graphs_act_and_show_what_lerobot_does(weights: Path, ensemble: Path) -> None:  # noqa: F811
    from policy_node.backends import load
    from vla_server.served import open_policy

    exported: Any = load("", weights)
    served: Any = open_policy("lerobot", ensemble)
    assert exported.info.names == ("a", "b") and exported.info.members == 2
    exported.reset("pick up the cube", 7)
    seen = observation()
    inference = exported.act(seen)
    tensors = exported.introspect(inference)
    state = np.concatenate([seen.position, [0.03, -0.03]])
    given = {"observation/image": seen.images["agentview"], "observation/state": state, "prompt": "pick up the cube"}
    # The same noise for the served policy: what the back end's first state is.
    noise = inference.memory.trace.states[0][0]
    sampled = served._ensemble.sample(served._before(served._seen(given)), noise)
    expected = served._after(sampled.actions)[0].numpy()
    np.testing.assert_allclose(inference.actions, expected[:, :2], atol=2e-5)
    np.testing.assert_allclose(inference.gripper, np.clip((expected[:, 2] - 1) / -2, 0, 1), atol=2e-5)
    theirs = served.introspect(sampled, ["features", "flow_times", "velocities", "prefix"])
    assert set(tensors) == {*theirs} == set(exported.info.tensors)
    assert tensors["velocities"].shape == (1, 2, 1, STEPS - 1, HORIZON, REAL)
    for name, value in theirs.items():
        np.testing.assert_allclose(tensors[name], value, atol=5e-5, err_msg=name)


def test_last_nodes_and_draws_are_offered_too(weights: Path) -> None:
    from policy_node.backends import load

    exported: Any = load("lerobot_onnx", weights, nodes=3, draws=2, last_layer=True)
    exported.reset("up", 0)
    tensors = exported.introspect(exported.act(observation()))
    assert tensors["velocities"].shape[3] == 3
    assert tensors["samples"].shape == (2, 2, HORIZON, REAL)
    assert exported.info.remarks["share of VFD's weight"] == "79.5 %"


def test_an_image_of_another_size_is_an_error_of_the_policy(weights: Path) -> None:
    from policy_node.backends import BackendError, load

    exported = load("", weights)
    exported.reset("up", 0)
    seen = observation()
    larger = {name: np.zeros((64, 64, 3), np.uint8) for name in seen.images}
    with pytest.raises(BackendError, match="wrong image"):
        exported.act(replace(seen, images=larger))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"preset": "submarine"}, "preset"),
        ({"cameras": {"elsewhere": ["observation.images.top", IMAGE, IMAGE]}}, "cameras"),
        ({"normalisers": ["0", "1"]}, "normalisers"),
        ({"velocity": "sideways"}, "velocity"),
        ({"last_layer": 7}, "member 0"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(weights: Path, change: dict[str, Any], where: str) -> None:
    from policy_node.backends import load

    path = weights / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=where):
        load("", weights)


def test_a_changed_graph_is_refused(weights: Path) -> None:
    from policy_node.backends import load

    with (weights / "velocity_1.onnx").open("ab") as file:
        file.write(b"0")
    with pytest.raises(InputError, match=r"velocity_1\.onnx"):
        load("", weights)


def test_what_differs_from_lerobot_is_not_written(
    ensemble: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vla_server.lerobot import comparison, export

    monkeypatch.setattr(comparison, "ACTIONS", 1e-12)
    with pytest.raises(InputError, match="actions differ"):
        export.export(ensemble, tmp_path / "weights", "table_top")
    assert not list(tmp_path.glob("*weights*"))


def test_experts_that_look_alike_share_an_encoder(ensemble: Path, make_policy: Make, tmp_path: Path) -> None:  # noqa: F811
    from test_lerobot_policy import save

    from vla_server.lerobot.export import export

    first, second = make_policy("smolvla", 0), make_policy("smolvla", 1)
    eyes = {k: v for k, v in first.state_dict().items() if "expert.vlm." in k or "state_proj" in k}
    second.load_state_dict(eyes, strict=False)
    save(second, ensemble / "second")
    manifest, _ = export(ensemble, tmp_path / "weights", "table_top")
    assert manifest.encoders == (0, 0)
    assert "encoder_1.onnx" not in manifest.files
