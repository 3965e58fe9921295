"""What all formats have in common."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vla_uq.errors import InputError
from vla_uq.rollouts.importers import FORMATS, format_of
from vla_uq.rollouts.store import Rollout


def read(root: Path, name: str = "") -> list[Rollout]:
    return [episode.read() for episode in (FORMATS[name] if name else format_of(root)).find(root)]


def only(root: Path, name: str = "") -> Rollout:
    (rollout,) = read(root, name)
    return rollout


Write = Callable[[Path, SimpleNamespace], Any]
EACH: dict[str, Write] = {
    "safe_openvla": lambda root, writers: writers.openvla(root / "note" / "libero_10"),
    "safe_openpi": lambda root, writers: writers.openpi(root / "run").episode(),
    "open_pi_zero": lambda root, writers: writers.open_pi_zero(root / "ckpt" / "widowx_stack_cube"),
    "fiper": lambda root, writers: writers.fiper(root / "push_t"),
}


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_format_is_told_by_what_lies_where(tmp_path: Path, writers: SimpleNamespace, name: str) -> None:
    EACH[name](tmp_path / "data", writers)
    assert format_of(tmp_path).name == name
    others = [other for other in FORMATS if other != name]
    assert not [other for other in others if list(FORMATS[other].find(tmp_path))]


def test_a_folder_of_two_formats_or_none_is_refused(tmp_path: Path, writers: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="holds no known format"):
        format_of(tmp_path)
    for name in ("fiper", "safe_openvla"):
        EACH[name](tmp_path, writers)
    with pytest.raises(InputError, match=r"holds several formats; .*found safe_openvla, fiper; name it with --format"):
        format_of(tmp_path)
    assert only(tmp_path, "fiper").meta.extra["format"] == "fiper"


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_episode_keeps_its_id_wherever_an_import_starts(
    tmp_path: Path, writers: SimpleNamespace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    EACH[name](tmp_path / "data", writers)
    (episode,) = FORMATS[name].find(tmp_path)
    below = next(path for path in (tmp_path / "data").iterdir())
    monkeypatch.chdir(below)
    (again,) = FORMATS[name].find(Path())
    assert (again.id, again.source, again.size) == (episode.id, episode.source, episode.size)
    assert again.read().meta == episode.read().meta == episode.read().meta
    assert str(tmp_path) not in json.dumps(episode.read().meta.extra)


def test_a_hostile_record_is_named_with_its_file(tmp_path: Path, writers: SimpleNamespace) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return exec, ("raise SystemExit",)

    writers.openpi(tmp_path / "run").episode()
    path = next((tmp_path / "run" / "policy_records").glob("*t_20*"))
    path.write_bytes(pickle.dumps({"actions": Hostile()}))
    with pytest.raises(InputError, match=r"step_2--run--task_0--ep_0--t_20--meta.pkl: .*found builtins.exec"):
        only(tmp_path)
