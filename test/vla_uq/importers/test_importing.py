"""Imports that are stopped, repeated, or meet something broken."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from vla_uq.errors import InputError
from vla_uq.rollouts.importers import FORMATS, Episode
from vla_uq.rollouts.importing import import_episodes
from vla_uq.rollouts.store import RolloutStore

Fill = Callable[[Path], list[Episode]]


@pytest.fixture
def fill(writers: SimpleNamespace) -> Fill:
    """Six episodes of OpenVLA."""

    def written(root: Path) -> list[Episode]:
        for number in range(6):
            writers.openvla(root / "note" / "libero_10", episode=number, success=number % 2 == 0)
        return list(FORMATS["safe_openvla"].find(root))

    return written


def test_an_import_that_is_repeated_keeps_what_is_there(tmp_path: Path, fill: Fill) -> None:
    episodes, store, told = fill(tmp_path / "data"), RolloutStore(tmp_path / "store"), list[str]()
    first = import_episodes(episodes[:4], store, done=told.append)
    assert (len(first.written), first.kept, first.broken) == (4, [], [])
    before = {path: path.stat().st_mtime_ns for path in store.folder.iterdir()}
    again = import_episodes(episodes, store, done=told.append)
    assert (len(again.written), again.kept, again.broken) == (2, first.written, [])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert told == [e.source for e in episodes[:4]] + [e.source for e in episodes]
    assert sorted(meta.episode_id for meta in store.metas()) == sorted(e.id for e in episodes)


def test_where_a_rollout_comes_from_is_kept(tmp_path: Path, fill: Fill) -> None:
    import hashlib

    episodes, store = fill(tmp_path), RolloutStore(tmp_path / "store")
    import_episodes(episodes[:1], store)
    (meta,) = store.metas()
    files = [tmp_path / "note" / "libero_10" / f"task3--ep0--succ1.{kind}" for kind in ("pkl", "csv")]
    data = b"".join(path.read_bytes() for path in files)
    assert meta.extra["sha256"] == hashlib.sha256(data).hexdigest()
    assert (meta.extra["bytes"], meta.extra["format"]) == (len(data), "safe_openvla")
    assert meta.extra["source"] == "note/libero_10/task3--ep0--succ1"


def test_broken_episodes_are_named_and_left_out(tmp_path: Path, fill: Fill) -> None:
    episodes, store = fill(tmp_path), RolloutStore(tmp_path / "store")
    folder = tmp_path / "note" / "libero_10"
    cut, hostile = folder / "task3--ep1--succ0.pkl", folder / "task3--ep4--succ1.pkl"
    cut.write_bytes(cut.read_bytes()[:1000])
    hostile.write_bytes(pickle.dumps(print))
    outcome = import_episodes(episodes, store)
    assert (len(outcome.written), len(store)) == (4, 4)
    assert "note/libero_10/task3--ep1--succ0: task3--ep1--succ0.pkl: pickle cannot be read" in outcome.broken[0]
    assert "found builtins.print" in outcome.broken[1]
    with pytest.raises(InputError, match=r"task3--ep1--succ0.pkl: pickle cannot be read"):
        import_episodes(episodes, RolloutStore(tmp_path / "strict"), strict=True)
    assert len(RolloutStore(tmp_path / "strict")) == 1


def test_another_episode_of_the_same_name_is_not_taken_for_this_one(
    tmp_path: Path, fill: Fill, writers: SimpleNamespace
) -> None:
    episodes, store = fill(tmp_path / "a"), RolloutStore(tmp_path / "store")
    import_episodes(episodes, store)
    writers.openvla(tmp_path / "b" / "note" / "libero_10", steps=9)
    others = list(FORMATS["safe_openvla"].find(tmp_path / "b"))
    (line,) = import_episodes(others, store).broken
    assert "another episode of this name is in the store" in line and "import into another store" in line
    shutil.copytree(tmp_path / "a" / "note", tmp_path / "a" / "copy" / "note")
    twice = list(FORMATS["safe_openvla"].find(tmp_path / "a"))
    outcome = import_episodes(twice, store)
    assert (len(outcome.kept), outcome.written, len(outcome.broken)) == (6, [], 6)
    assert "another episode has the same name" in outcome.broken[0]


def test_half_written_files_of_the_dead_are_removed(tmp_path: Path, fill: Fill) -> None:
    episodes, store = fill(tmp_path), RolloutStore(tmp_path / "store")
    store.folder.mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover = store.folder / f".rollout-x.safetensors.{dead.pid}.tmp"
    living = store.folder / ".rollout-y.safetensors.1.tmp"
    for path in (leftover, living):
        path.write_bytes(b"half")
    import_episodes(episodes, store)
    assert not leftover.exists() and living.exists()
    assert len(store) == 6


PEAK = """
import re, sys
from pathlib import Path
from vla_uq.rollouts.importers import FORMATS
from vla_uq.rollouts.importing import import_episodes
from vla_uq.rollouts.store import RolloutStore

def peak():  # of this program: what getrusage tells begins with the peak of the one that started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

episodes = list(FORMATS[sys.argv[1]].find(Path(sys.argv[2])))
before = peak()
outcome = import_episodes(episodes, RolloutStore(sys.argv[3]))
assert len(outcome.written) == len(episodes) and not outcome.broken
print(peak() - before)
"""


def peak(name: str, root: Path) -> float:
    """MB by which a process grows that imports everything below a folder."""
    command = [sys.executable, "-c", PEAK, name, str(root), str(root / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    return float(done.stdout) / 1024


def test_memory_does_not_grow_with_the_number_of_episodes(tmp_path: Path, writers: SimpleNamespace) -> None:
    """Records of pi0 are read one at a time (20 of 1.3 MB an episode), those of OpenVLA an episode at a time (9 MB)."""
    for root, number in ((tmp_path / "one", 1), (tmp_path / "many", 6)):
        writer = writers.openpi(root / "run", dim=1024)
        for episode in range(number):
            writer.episode(episode=episode, inferences=20, horizon=32)
            writers.openvla(root / "note" / "libero_10", episode=episode, steps=160, dim=4096)
    size = sum(path.stat().st_size for path in (tmp_path / "many" / "run").rglob("*.pkl")) / 2**20
    assert size > 120
    assert peak("safe_openpi", tmp_path / "many") < peak("safe_openpi", tmp_path / "one") + 3
    one, many = (peak("safe_openvla", tmp_path / folder) for folder in ("one", "many"))
    assert many < one + 3
    assert one < 8 * 160 * 7 * 4096 * 2 / 2**20
