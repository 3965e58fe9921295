"""Training, export and manifest of the small policy, on a handful of made-up demonstrations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vla_policy.manifest import FILE, OPEN_WIDTH, Manifest
from vla_uq.errors import InputError

torch = pytest.importorskip("torch")
from vla_policy.export import export  # noqa: E402 - needs torch
from vla_policy.nets import ACTION, HORIZON, Member  # noqa: E402
from vla_policy.training import Recipe, load, open_width_of, restore, save, train  # noqa: E402


def test_chunks_start_at_frames_and_end_at_rest(demonstrations: Path) -> None:
    data = load([demonstrations])
    assert len(data["chunk"]) == 10 + 9
    chunk = data["chunk"].reshape(-1, HORIZON, ACTION)
    last_start = chunk[9]  # starts at step 18 of 20: two real actions, then rest
    assert last_start[1, :6].any() and not last_start[2:, :6].any()
    assert (last_start[2:, 6] == last_start[1, 6]).all()


def test_a_seed_gives_the_same_weights_twice_and_another_seed_others(demonstrations: Path, tmp_path: Path) -> None:
    data, recipe = load([demonstrations]), Recipe(iterations=2, batch=4, draws=2)
    a, b, c = (train(data, seed, recipe, lambda *_: None) for seed in (0, 0, 1))
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0)
    assert any(not torch.equal(x, z) for x, z in zip(a.parameters(), c.parameters(), strict=True))
    save(a, tmp_path / "a.safetensors", 0)
    for x, y in zip(a.parameters(), restore(tmp_path / "a.safetensors").parameters(), strict=True):
        assert torch.equal(x, y)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    export([Member().eval()], directory, {})
    return directory


def test_the_manifest_names_every_file_and_the_fingerprint_is_theirs(exported: Path) -> None:
    manifest = Manifest.load(exported)
    assert set(manifest.files) == {"encoder_0.onnx", "velocity_0.onnx"}
    assert manifest == Manifest.load(exported) and len(manifest.fingerprint) == 16
    assert manifest.fingerprint != replace(manifest, execute_steps=8).fingerprint


def test_a_robots_open_width_counts_only_where_it_is_another(exported: Path, demonstrations: Path) -> None:
    manifest = Manifest.load(exported)
    assert manifest.open_width == OPEN_WIDTH == open_width_of([demonstrations])
    content = json.loads((exported / FILE).read_text())
    del content["open_width"]  # as in manifests that were written before
    assert type(manifest)(**content).fingerprint == manifest.fingerprint
    assert replace(manifest, open_width=0.06).fingerprint != manifest.fingerprint


def test_a_changed_graph_is_refused_by_name(exported: Path, tmp_path: Path) -> None:
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "velocity_0.onnx").write_bytes(b"other")
    with pytest.raises(InputError, match=r"velocity_0\.onnx"):
        Manifest.load(tmp_path)
    (tmp_path / "velocity_0.onnx").unlink()
    with pytest.raises(InputError, match="missing weights"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 99}', '{"schema": 1}'])
def test_what_is_no_manifest_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match="manifest"):
        Manifest.load(tmp_path)


def test_an_empty_folder_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train-policy"):
        Manifest.load(tmp_path)


def test_the_shipped_manifest_is_json_with_hashes() -> None:
    from vla_policy.manifest import WEIGHTS

    manifest = Manifest.load(WEIGHTS)
    assert manifest.members >= 2
    assert json.loads((WEIGHTS / FILE).read_text())["training"]["seeds"]
