"""Bags of our nodes as rollouts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_cli.bag.rollouts import FORMAT
from vla_uq.errors import InputError
from vla_uq.rollouts.importers import format_of
from vla_uq.rollouts.store import Rollout, RolloutStore

Record = Callable[..., Path]


def only(root: Path) -> Rollout:
    (episode,) = FORMAT.find(root)
    return episode.read()


def test_an_episode_as_it_was_recorded(tmp_path: Path, record: Record, played: Any) -> None:
    episode = played("ab12-0003", score=True, pictures=("/agentview/image_raw", "/wrist/image_raw"))
    bag = record(tmp_path / "monday", [episode])
    rollout = only(tmp_path)
    for name, value in episode.trace(0).tensors.items():
        expected = np.stack([episode.trace(step).tensors[name] for step in range(8)])
        np.testing.assert_array_equal(rollout.tensor(name), expected, err_msg=name)
        assert rollout.tensor(name).dtype == value.dtype
    np.testing.assert_array_equal(rollout.tensor("monitor/nonconformity"), 0.5 + np.arange(8))
    np.testing.assert_array_equal(rollout.tensor("monitor/threshold"), np.full(8, 2.0))
    meta = rollout.meta
    assert meta.episode_id == "bags-monday-ab12-0003"
    assert (meta.task, meta.success, meta.mode, meta.halted) == ("put the cube on the plate", True, "shadow", False)
    assert (meta.policy_fingerprint, meta.execute_steps, meta.steps) == ("p1", 6, 48)
    assert meta.step_duration == pytest.approx(0.05)
    assert meta.inference_period == pytest.approx(0.3)
    assert meta.extra["cameras"] == ["/agentview/image_raw", "/wrist/image_raw"]
    assert meta.extra["policy"] == {"space": "EE_DELTA", "horizon": 4, "dim": 6}
    assert meta.extra["source"] == "monday/ab12-0003"
    assert meta.extra["bytes"] == sum(path.stat().st_size for path in bag.iterdir())
    RolloutStore(tmp_path / "store").add(rollout)
    assert format_of(tmp_path, [FORMAT]) is FORMAT


def test_labels_modes_and_halts(tmp_path: Path, record: Record, played: Any) -> None:
    record(
        tmp_path / "bags" / "b",
        [
            played("e-1"),
            played("e-2", label=2, mode=1, disturbance="push"),
            played("e-3", label=3),
            played("e-4", label=0, halted=4),
            played("e-5", steps=1),
        ],
    )
    metas = [episode.read().meta for episode in FORMAT.find(tmp_path)]
    assert [meta.episode_id[-3:] for meta in metas] == ["e-1", "e-2", "e-4", "e-5"]  # what is to be discarded is
    assert [meta.success for meta in metas] == [True, False, None, True]
    assert [meta.mode for meta in metas] == ["shadow", "guard", "shadow", "shadow"]
    assert [meta.halted for meta in metas] == [False, False, True, False]
    assert [meta.steps for meta in metas] == [48, 48, 30, 6]  # five inferences before the halt, of eight
    assert [meta.disturbance for meta in metas] == ["none", "push", "none", "none"]
    assert [meta.seed for meta in metas] == [0, 7, 0, 0]
    assert [meta.extra["cameras"] for meta in metas] == [["camera 1", "camera 2"]] * 4


def test_what_was_not_recorded_as_a_whole_is_named(tmp_path: Path, record: Record, played: Any) -> None:
    record(tmp_path / "lost", [played("e-1", lost=3)])
    with pytest.raises(InputError, match=r"e-1#4: inference was not recorded; expected step 3"):
        only(tmp_path / "lost")

    def part(name: str, keep: Callable[[tuple[Any, ...]], bool]) -> Path:
        episode = played(f"{name}-1")

        @dataclasses.dataclass(frozen=True)
        class Part:
            def rows(self, types: Any, start: int) -> Any:
                return (row for row in episode.rows(types, start) if keep(row))

        return record(tmp_path / name, [Part()])

    cases = {
        "late": (lambda row: not (row[3].get("event") == 0 and "events" in row[1]), "began before the recording"),
        "cut": (lambda row: row[3].get("event") != 5, "was not ended in the recording"),
        "traceless": (lambda row: "trace" not in row[1], "no inference was recorded"),
        "chunkless": (lambda row: "chunk" not in row[1], "chunk of a trace was not recorded"),
        "stateless": (lambda row: "state" not in row[1], "not of one mode; expected one; found none recorded"),
    }
    for name, (keep, reason) in cases.items():
        part(name, keep)
        with pytest.raises(InputError, match=reason):
            only(tmp_path / name)


def test_an_operators_wish_between_episodes_is_no_episode(tmp_path: Path, record: Record, played: Any) -> None:
    episode = played("e-1")

    class Asked:
        def rows(self, types: Any, start: int) -> Any:
            yield start - 10, "/supervisor_node/events", "vla_monitor/msg/EpisodeEvent", {"event": 6, "text": "mode"}
            yield from episode.rows(types, start)

    record(tmp_path / "bag", [Asked()])
    assert only(tmp_path).meta.episode_id == "bags-bag-e-1"


def test_a_bag_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path, record: Record, played: Any) -> None:
    record(tmp_path / "good", [played("e-1")])
    broken = record(tmp_path / "broken", [played("e-2")])
    next(broken.glob("*.mcap")).write_bytes(b"no bag")
    broken_one, good = FORMAT.find(tmp_path)
    assert good.read().meta.success
    with pytest.raises(InputError, match="bag cannot be read"):
        broken_one.read()
    assert broken_one.source == "broken"


def test_an_episode_is_read_alone(tmp_path: Path, record: Record, played: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a bag with many episodes only one is in memory."""
    import vla_cli.bag.episodes as module

    record(tmp_path / "bag", [played(f"e-{number}") for number in range(5)])
    seen: list[str] = []
    original = module.scan

    def spy(*arguments: Any) -> Any:
        for recorded in original(*arguments):
            if recorded.topic.endswith("trace"):
                seen.append(recorded.message.key.episode_id)
            yield recorded

    monkeypatch.setattr(module, "scan", spy)
    list(FORMAT.find(tmp_path))[3].read()
    assert set(seen) == {"e-3"}
