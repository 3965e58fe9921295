"""The manifest of language models that act: read as written, and refused by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_node.backends import load
from vla_policy.action_vocabulary import BinVocabulary, FastVocabulary, Quantiles
from vla_policy.generation_manifest import FAST_FILE, GenerationManifest, listing
from vla_policy.manifest import back_end_of
from vla_uq.errors import InputError

BRIDGE = GenerationManifest(
    members=2,
    vocabulary={"name": "openvla"},
    prompt="In: What action should the robot take to {instruction}?\nOut:",
    append=(29_871,),
    cameras=("agentview",),
    horizon=1,
    execute_steps=1,
    step_duration=0.2,
    actions=Quantiles((-0.03,) * 7, (0.03,) * 7, (True,) * 6 + (False,)),
    position_unit=1.0,
    rotation_unit=1.0,
    rotation="euler",
    gripper_open=1.0,
    gripper_closed=0.0,
    files={},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("member_0/config.json", "member_1/config.json", FAST_FILE):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    save(tmp_path)
    return tmp_path


def save(folder: Path, **fields: Any) -> None:
    GenerationManifest(**{**vars(BRIDGE), "files": listing(folder), **fields}).save(folder)


def test_it_comes_back_as_it_was_written(folder: Path) -> None:
    found = GenerationManifest.load(folder)
    assert found.actions == BRIDGE.actions and found.append == (29_871,) and found.words == BinVocabulary()
    assert set(found.files) == {"member_0/config.json", "member_1/config.json", FAST_FILE}
    assert back_end_of(folder) == "transformers_ar"
    assert [path.name for path in folder.glob("*") if path.is_file()] == ["manifest.json"]


def test_what_may_be_left_out(folder: Path) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    for name in ("append", "state", "rotation", "most_tokens", "training"):
        del content[name]
    path.write_text(json.dumps(content))
    found = GenerationManifest.load(folder)
    assert (found.append, found.state, found.rotation, found.most_tokens) == ((), None, "vector", 256)


def test_pi0_fast_reads_a_state(folder: Path) -> None:
    state = Quantiles((-1.0,) * 8, (1.0,) * 8)
    save(folder, vocabulary={"name": "pi0_fast"}, prompt="Task: {instruction}, State: {state};", state=state)
    found = GenerationManifest.load(folder)
    assert found.state == state and found.words == FastVocabulary()


def test_the_fingerprint_follows_what_decides(folder: Path) -> None:
    first = GenerationManifest.load(folder).fingerprint
    save(folder, training={"from": "nowhere"})
    assert GenerationManifest.load(folder).fingerprint == first
    save(folder, position_unit=0.5)
    second = GenerationManifest.load(folder).fingerprint
    (folder / "member_1" / "config.json").write_text("other weights")
    save(folder)
    assert len({first, second, GenerationManifest.load(folder).fingerprint}) == 3


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"members": 0}, "members"),
        ({"members": "2"}, "members"),
        ({"vocabulary": {"name": "words"}}, "vocabulary"),
        ({"vocabulary": 3}, "vocabulary"),
        ({"prompt": "go"}, "prompt"),
        ({"prompt": "{instruction} {state}"}, "prompt"),
        ({"cameras": ["behind"]}, "cameras"),
        ({"cameras": "wrist"}, "cameras"),
        ({"cameras": []}, "cameras"),
        ({"execute_steps": 2}, "execute_steps"),
        ({"step_duration": 0.0}, "step_duration"),
        ({"step_duration": float("nan")}, "step_duration"),
        ({"actions": {"low": [0.0] * 6, "high": [1.0] * 7}}, "actions"),
        ({"actions": {"low": [2.0] * 7, "high": [1.0] * 7}}, "actions"),
        ({"actions": {"low": [0.0] * 7, "high": [1.0] * 7, "scaled": [True]}}, "actions"),
        ({"actions": {"lower": []}}, "actions"),
        ({"actions": None}, "actions"),
        ({"rotation": "quaternion"}, "rotation"),
        ({"gripper_closed": 1.0}, "gripper"),
        ({"append": [1.5]}, "append"),
        ({"state": {"low": [0.0] * 8, "high": [1.0] * 8}}, "prompt"),
        ({"extra": 1}, "extra"),
        ({"schema": 2}, "schema"),
        ({"back_end": "onnx"}, "back end"),
        ({"files": {}}, "files"),
        ({"files": {"member_0/absent": "0"}}, "absent"),
    ],
)
def test_what_does_not_fit_is_refused_by_field(folder: Path, fields: dict[str, Any], named: str) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(InputError, match=named):
        GenerationManifest.load(folder)


def test_a_changed_file_is_refused(folder: Path) -> None:
    (folder / "member_1" / "config.json").write_text("changed")
    with pytest.raises(InputError, match=r"member_1/config\.json"):
        GenerationManifest.load(folder)
    save(folder)
    (folder / "member_1" / "more.py").write_text("print()")
    with pytest.raises(InputError, match=r"member_1/more\.py"):
        GenerationManifest.load(folder)


def test_fast_needs_its_tokenizer(folder: Path) -> None:
    (folder / FAST_FILE).unlink()
    save(folder, vocabulary={"name": "pi0_fast"})
    with pytest.raises(InputError, match="files"):
        GenerationManifest.load(folder)


@pytest.mark.parametrize(("missing", "named"), [("torch", "PyTorch"), ("transformers", "transformers")])
def test_what_is_not_installed_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str, named: str
) -> None:
    import sys

    if missing == "transformers":
        pytest.importorskip("torch")
    for name in [name for name in sys.modules if name == "vla_policy.generation"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("vla_policy.generation", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=rf"{named} is not installed.*vla-monitor\[transformers\]"):
        load("", folder)


def test_an_unknown_device_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="device"):
        load("", folder, device="tpu")


@pytest.mark.parametrize(
    ("angles", "vector"),
    [((0.1, 0.0, 0.0), (0.1, 0.0, 0.0)), ((0.0, 0.0, -0.4), (0.0, 0.0, -0.4)), ((0.1, 0.2, 0.3), None)],
)
def test_roll_pitch_and_yaw_are_a_rotation_vector(
    angles: tuple[float, float, float], vector: tuple[float, float, float] | None
) -> None:
    from policy_node.backends.transformers_ar import rotation_of

    found = rotation_of(*angles)
    if vector is None:
        turn = pytest.importorskip("scipy.spatial.transform").Rotation.from_euler("xyz", angles)
        vector = turn.as_rotvec()
    np.testing.assert_allclose(found, vector, atol=1e-12)
