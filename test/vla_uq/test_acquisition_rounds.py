"""The rounds of an acquisition on disk, and candidates read from a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_uq.acquisition import Candidate
from vla_uq.acquisition.recorded import Pool
from vla_uq.acquisition.rounds import acquired, read_rounds, write_rounds
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore

ROUNDS = [
    {"round": 0, "chosen": [{"task": "open", "episode_id": "a", "u": 0.5}]},
    {"round": 3, "chosen": [{"task": "close", "episode_id": "b"}, {"task": "open", "episode_id": "a"}]},
]


def test_rounds_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rounds.json"
    write_rounds(path, ROUNDS)
    assert read_rounds(path) == ROUNDS and list(path.parent.iterdir()) == [path]
    assert acquired(ROUNDS) == [Candidate("open", "a"), Candidate("close", "b"), Candidate("open", "a")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "kind: is another kind of file"),
        ({"kind": "split manifest"}, "kind: is another kind of file; expected acquisition; found split manifest"),
        ({"kind": "acquisition", "schema": 2}, "schema"),
        ({"kind": "acquisition", "schema": 1}, "rounds: is missing"),
        ([1], r"rounds\[0\]: is not a round"),
        ([{"chosen": []}], r"rounds\[0\]: round: is missing"),
        ([{"round": 0}], r"rounds\[0\]: chosen: is missing"),
        ([{"round": 0, "chosen": ["a"]}], "chosen: is not a candidate; found str"),
        ([{"round": 0, "chosen": [{"task": "open"}]}], "chosen: episode_id: is missing"),
        ([{"round": 0, "chosen": [{"task": 1, "episode_id": "a"}]}], "task: has the wrong type"),
        (ROUNDS[::-1], "rounds: do not ascend"),
        ([ROUNDS[0], ROUNDS[0]], "rounds: do not ascend"),
    ],
)
def test_broken_files_are_named(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rounds.json"
    document = {"kind": "acquisition", "schema": 1, "rounds": content} if isinstance(content, list) else content
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(InputError, match=f"rounds.json.*{message}"):
        read_rounds(path)


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_rounds(tmp_path / "file" / "rounds.json", ROUNDS)
    with pytest.raises(InputError, match="cannot be written"):
        write_rounds(tmp_path, ROUNDS)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_same_instruction_of_two_suites_is_two_tasks(tmp_path: Path) -> None:
    store = RolloutStore(tmp_path)
    for number, suite in enumerate(("spatial", "goal")):
        meta = RolloutMeta(f"e{number}", "open", number, "none", None, 6, "p", extra={"suite": suite})
        store.add(Rollout(meta, {"features": np.full((3, 2), float(number))}))
    pool = Pool.open(store)
    assert pool.policy == "p" and {c.task for c in pool.rollouts} == {"spatial: open", "goal: open"}
    frames = {c.episode_id: frame["features"].tolist() for c, frame in pool.first_frames(["features"])}
    assert frames == {"e0": [0.0, 0.0], "e1": [1.0, 1.0]}
