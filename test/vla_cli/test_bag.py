"""Bags are read in order of time whatever the file's order, and a damaged one is wrong input, not a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_cli.bag.reader import read
from vla_cli.bag.writer import BagWriter
from vla_uq.errors import InputError

WriteBag = Callable[[Path, Any], Path]
SCORE = "vla_monitor/msg/FailureScore"


@pytest.fixture
def bag(tmp_path: Path, write_bag: WriteBag) -> Path:
    rows = [(t, "/robot/monitor_node/score", SCORE, {"nonconformity": float(t)}) for t in (3, 1, 2)]
    rows.append((2, "/other", "std_msgs/msg/Bool", {"data": True}))
    return write_bag(tmp_path / "bag", rows)


def test_messages_come_in_order_of_time(bag: Path) -> None:
    found = read(bag)
    assert [recorded.time_ns for recorded in found] == [1, 2, 2, 3]
    assert found[0].message.nonconformity == 1.0


def test_topics_are_chosen_by_their_end_in_any_namespace(bag: Path) -> None:
    assert {recorded.topic for recorded in read(bag, ["monitor_node/score"])} == {"/robot/monitor_node/score"}
    assert read(bag, ["node/score"]) == []


def test_arrays_survive(tmp_path: Path, write_bag: WriteBag) -> None:
    data = np.arange(5, dtype=np.float32)
    bag = write_bag(tmp_path / "b", [(1, "/t", "vla_monitor/msg/Tensor", {"name": "x", "data": data})])
    message = read(bag)[0].message
    assert message.name == "x" and message.data.tobytes() == data.tobytes()


def test_a_missing_bag_is_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no bag"):
        read(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "metadata", "gone"])
def test_a_damaged_bag_is_wrong_input(bag: Path, damage: str) -> None:
    content = next(bag.glob("*.mcap"))
    if damage == "cut":
        content.write_bytes(content.read_bytes()[:-200])
    elif damage == "gone":
        content.unlink()
    else:
        (bag / "metadata.yaml").write_text("{ not yaml")
    with pytest.raises(InputError):
        read(bag)


def test_a_folder_that_is_there_is_not_overwritten(bag: Path) -> None:
    with pytest.raises(InputError, match="not there yet"):
        BagWriter(bag)
