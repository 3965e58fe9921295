"""Rollouts on disk: lazy, atomic, and clear about what is broken."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from vla_uq import artefact
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutStore, open_rollout, read_meta, write

Make = Callable[..., Rollout]


@pytest.fixture
def file(tmp_path: Path, make_rollout: Make) -> Path:
    path = tmp_path / "rollout-a.safetensors"
    write(path, make_rollout(1))
    return path


def test_round_trip(tmp_path: Path, make_rollout: Make) -> None:
    rollout = make_rollout(3, success=None, extra={"note": "ü", "numbers": [1, 2.5]}, mode="guard", halted=True)
    path = tmp_path / "new" / "folder" / "r.safetensors"
    write(path, rollout)
    back = open_rollout(path)
    assert back.meta == rollout.meta
    assert set(back.tensors) == set(rollout.tensors)
    for name in rollout.tensors:
        np.testing.assert_array_equal(back.tensor(name), rollout.tensor(name))


def test_memory_layout_does_not_matter(tmp_path: Path, make_rollout: Make) -> None:
    value = np.arange(24, dtype=np.float32).reshape(4, 6).T
    write(tmp_path / "r", Rollout(make_rollout(1).meta, {"features": value, "pushed": np.ones(6, np.uint8)}))
    back = open_rollout(tmp_path / "r")
    np.testing.assert_array_equal(back.tensor("features"), value)
    assert back.tensor("pushed").dtype == np.uint8


def test_equal_content_gives_equal_bytes(tmp_path: Path, make_rollout: Make) -> None:
    write(tmp_path / "a", make_rollout(1))
    write(tmp_path / "b", make_rollout(1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tensors_are_read_one_by_one_when_asked_for(
    file: Path, make_rollout: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[str] | None] = []
    original = artefact.read_tensors

    def spy(path: Path, names: list[str] | None = None) -> dict[str, Any]:
        read.append(names)
        return original(path, names)

    monkeypatch.setattr(artefact, "read_tensors", spy)
    rollout = open_rollout(file)
    assert "features" in rollout.tensors
    assert not read
    rollout.tensor("features")
    assert read == [["features"]]


def test_store_filters_by_metadata_without_reading_tensors(
    tmp_path: Path, make_rollout: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RolloutStore(tmp_path)
    for i in reversed(range(6)):
        store.add(make_rollout(i, success=i % 2 == 0, disturbance="none" if i < 4 else "push"))
    assert (tmp_path / "rollout-episode-0003.safetensors").exists()
    monkeypatch.setattr(artefact, "read_tensors", None)
    assert [r.meta.seed for r in store.select(lambda meta: bool(meta.success))] == [0, 2, 4]
    assert [r.meta.seed for r in store.select(lambda meta: not meta.nominal)] == [4, 5]
    assert [meta.seed for meta in store.metas()] == [r.meta.seed for r in store] == list(range(6))
    assert len(store) == 6
    assert "episode-0005" in store
    assert "episode-0006" not in store
    store.add(make_rollout(0, disturbance="dim"))
    assert len(store) == 6
    assert len(RolloutStore(tmp_path / "empty")) == 0


def test_a_failed_write_leaves_the_old_file(file: Path, make_rollout: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(InputError, match=r"rollout-a.safetensors: cannot be written; found No space left"):
        write(file, make_rollout(2))
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_a_file_where_the_folder_should_be_is_a_clear_error(tmp_path: Path, make_rollout: Make) -> None:
    """Removing the temporary file, which could not be made either, used to raise NotADirectoryError instead."""
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "taken" / "rollout-a.safetensors", make_rollout(0))


def test_unfinished_files_are_no_rollouts(tmp_path: Path) -> None:
    (tmp_path / ".rollout-x.safetensors.77.tmp").write_bytes(b"half")
    assert list(RolloutStore(tmp_path)) == []


@pytest.mark.parametrize("cut", [0, 5, 200, -1])
def test_a_cut_file_is_named(file: Path, cut: int) -> None:
    file.write_bytes(file.read_bytes()[:cut])
    for read in (open_rollout, read_meta):
        with pytest.raises(InputError, match=r"rollout-a.safetensors"):
            read(file)
    with pytest.raises(InputError, match=r"rollout-a.safetensors"):
        RolloutStore(file.parent).select(lambda meta: True)


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file"):
        open_rollout(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        open_rollout(tmp_path)
    save_file({"features": np.zeros(3)}, tmp_path / "foreign")
    with pytest.raises(InputError, match="foreign: metadata vla_monitor: not a file of this project"):
        open_rollout(tmp_path / "foreign")


def test_other_kind_and_schema_are_named(file: Path, make_rollout: Make) -> None:
    document = dataclasses.asdict(make_rollout(1).meta)
    tensors = make_rollout(1).tensors
    artefact.write(file, "bundle", 1, document, tensors)
    with pytest.raises(InputError, match=r"kind: is another kind of file; expected rollout; found bundle"):
        open_rollout(file)
    artefact.write(file, "rollout", 2, document, tensors)
    with pytest.raises(InputError, match="schema: has another schema; expected 1; found 2"):
        open_rollout(file)


def test_each_wrong_field_is_named(file: Path, make_rollout: Make) -> None:
    document = dataclasses.asdict(make_rollout(1).meta)
    # Stores of before these two existed are read, too.
    needed = [name for name in document if name not in ("execute_steps", "step_duration")]
    wrong = [{k: v for k, v in document.items() if k != name} for name in needed]
    wrong += [{**document, name: [None]} for name in document]
    for name, changed in zip([*needed, *document], wrong, strict=True):
        artefact.write(file, "rollout", 1, changed, make_rollout(1).tensors)
        with pytest.raises(InputError, match=f"rollout-a.safetensors: {name}: "):
            read_meta(file)
    with pytest.raises(InputError, match="mode: unknown mode; expected shadow or guard; found maybe"):
        write(file, make_rollout(1, mode="maybe"))


def test_refuses_what_it_could_not_read_back(tmp_path: Path, make_rollout: Make) -> None:
    meta = make_rollout(1).meta
    for tensors in ({}, {"a": np.zeros((3, 1)), "b": np.zeros((4, 1))}, {"a": np.zeros((0, 2))}, {"a": np.zeros(())}):
        with pytest.raises(InputError, match="one value an inference"):
            write(tmp_path / "r", Rollout(meta, tensors))
    with pytest.raises(InputError, match="metadata is not JSON"):
        write(tmp_path / "r", make_rollout(1, extra={"nan": float("nan")}))
    for bad in ("", "../up", ".hidden", "a b"):
        with pytest.raises(InputError, match="episode_id"):
            RolloutStore(tmp_path).path(bad)
    with pytest.raises(InputError, match="episode-0001: features: rollout lacks a tensor"):
        Rollout(meta, {}).tensor("features")
    assert not list(tmp_path.iterdir())


def test_header_is_plain_json(file: Path) -> None:
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert json.loads(header["__metadata__"]["vla_monitor"])["document"]["task"] == "put the cube on the plate"
