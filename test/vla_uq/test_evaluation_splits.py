"""Manifests: the published splits id for id, disjoint parts, and refusals."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_uq.errors import InputError
from vla_uq.evaluation.safe_splits import BEDS, safe_split, shuffled_tasks
from vla_uq.evaluation.splits import PARTS, PUBLISHED, Ratios, Split, deal, stratified, task_key
from vla_uq.rollouts.store import RolloutMeta


def meta(task: int, episode: int, success: bool | None = True, **more: object) -> RolloutMeta:
    known = {"seed": 0, "disturbance": "none", "steps": 9, "policy_fingerprint": "p"}
    extra = {"task_id": task}
    return RolloutMeta(f"t{task}-e{episode}", f"task {task}", success=success, extra=extra, **{**known, **more})


def library(tasks: int, episodes: int) -> list[RolloutMeta]:
    return [meta(t, e, success=e % 3 != 0) for t in range(tasks) for e in range(episodes)]


@pytest.mark.parametrize(
    ("bed", "tasks", "unseen"),
    [
        ("libero", 10, [{3, 0, 5}, {7, 8, 5}, {6, 9, 8}]),
        ("simpler", 4, [{0}, {1}, {0}]),
        ("franka", 13, [{0, 5, 12}, {8, 11, 5}, {6, 12, 8}, {9, 8, 10}, {5, 7, 10}]),
        ("widowx", 8, [{5, 4}, {3, 5}, {5, 0}]),
    ],
)
def test_unseen_tasks_of_the_paper(bed: str, tasks: int, unseen: list[set[int]]) -> None:
    for seed, expected in enumerate(unseen):
        assert set(shuffled_tasks(range(tasks), seed, BEDS[bed].unseen)[1]) == expected
        split = safe_split(library(tasks, 4), seed, bed)
        assert set(split.unseen_tasks) == {f"task {number}" for number in expected}


def test_episodes_of_the_paper_by_its_own_generators() -> None:
    """The published procedure in its own words: global numpy shuffle of tasks, torch permutation of episodes."""
    torch = pytest.importorskip("torch")
    metas, seed = library(10, 50), 1
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
    ids = list(set(range(10)))
    np.random.shuffle(ids)
    train, held = [], []
    for task in ids[: 10 - round(0.3 * 10)]:
        order = torch.randperm(50).tolist()
        train += [f"t{task}-e{i}" for i in order[: int(0.6 * 50)]]
        held += [f"t{task}-e{i}" for i in order[int(0.6 * 50) :]]
    split = safe_split(metas, seed, "libero")
    assert split.parts["train"] == tuple(sorted(train)) and len(train) == 210
    assert all(split.parts[part] == tuple(sorted(held)) for part in ("select", "calibrate", "test_seen"))
    assert len(split.parts["unseen"]) == 150


def test_the_published_parts_overlap_and_ours_may_not() -> None:
    """B10: the published calibration part is the selection part. Its manifest says so; any other is refused."""
    metas = library(10, 5)
    split = safe_split(metas, 0, "libero")
    split.check({m.episode_id for m in metas})
    relabelled = Split(split.name, 0, "stratified", split.unseen_tasks, split.parts)
    with pytest.raises(InputError, match="in two parts"):
        relabelled.check({m.episode_id for m in metas})
    assert split.scheme == PUBLISHED


def test_franka_tasks_are_numbered_by_their_sorted_descriptions() -> None:
    metas = library(13, 4)
    unnumbered = [RolloutMeta(**{**vars(m), "extra": {}, "task": f"{25 - int(m.task[5:]):02}"}) for m in metas]
    assert set(safe_split(unnumbered, 0, "franka").unseen_tasks) == {"13", "18", "25"}


def test_stratified_parts_hold_their_share_of_every_stratum() -> None:
    metas = [
        meta(t, 1000 * d + e, success=e % 4 != 0, disturbance=name)
        for t in range(10)
        for d, name in enumerate(("none", "push"))
        for e in range(40)
    ]
    split = stratified(metas, seed=3)
    split.check({m.episode_id for m in metas})
    by_id = {m.episode_id: m for m in metas}
    assert sum(map(len, split.parts.values())) == len(metas) and len(split.unseen_tasks) == 3
    shares = {"train": 0.5, "select": 0.15, "calibrate": 0.15, "test_seen": 0.2}
    seen = {m.task for m in metas} - set(split.unseen_tasks)
    for part, share in shares.items():
        for task in seen:
            chosen = [by_id[name] for name in split.parts[part] if by_id[name].task == task]
            assert len(chosen) == pytest.approx(80 * share, abs=3)
            for disturbance in ("none", "push"):
                failures = [m for m in chosen if not m.success and m.disturbance == disturbance]
                assert len(failures) == pytest.approx(10 * share, abs=1.6)
    assert {by_id[name].task for name in split.parts["unseen"]} == set(split.unseen_tasks)


def test_a_split_does_not_depend_on_the_order_of_files() -> None:
    metas = library(5, 8)
    assert stratified(metas, 0) == stratified(metas[::-1], 0) != stratified(metas, 1)
    assert safe_split(metas, 0, "simpler") == safe_split(metas[::-1], 0, "simpler")


@given(st.integers(0, 60), st.floats(0, 1), st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)))
def test_dealing_loses_and_doubles_nothing(count: int, offset: float, shares: tuple[float, float]) -> None:
    names = [f"{i:02}" for i in range(count)]
    parts = deal(names, shares, offset)
    assert sorted(name for part in parts for name in part) == names
    for part, share in zip(parts, shares, strict=False):
        assert abs(len(part) - share * count) <= 3


def test_a_manifest_comes_back_from_disk(tmp_path: Path) -> None:
    split = stratified(library(4, 6), 2)
    split.save(tmp_path / "deep" / "split.json")
    again = Split.load(tmp_path / "deep" / "split.json")
    assert again == split and again.digest == split.digest
    assert tuple(again.parts) == PARTS


def test_a_manifest_of_another_store_is_refused(tmp_path: Path) -> None:
    metas = library(4, 6)
    split = stratified(metas, 0)
    lost = split.parts["train"][0]
    with pytest.raises(InputError, match=rf"seed 0: train: 1 of \d+ episodes are not in the store.*{lost}"):
        split.check({m.episode_id for m in metas} - {lost})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "no split manifest"),
        ('{"kind": "rollout", "schema": 1}', "no split manifest"),
        ('{"kind": "split manifest", "schema": 1, "name": "a", "seed": 0, "scheme": "s"}', "parts: is missing"),
    ],
)
def test_a_broken_manifest_names_the_field(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(InputError, match=message):
        Split.load(tmp_path / "m.json")
    with pytest.raises(InputError, match="cannot be read"):
        Split.load(tmp_path / "none.json")


def test_episodes_without_an_outcome_cannot_be_split() -> None:
    with pytest.raises(InputError, match="t0-e1: episode has no outcome"):
        stratified([meta(0, 0), meta(0, 1, success=None)], 0)
    with pytest.raises(InputError, match="no episodes"):
        stratified([], 0)
    with pytest.raises(InputError, match="unknown bed"):
        safe_split(library(2, 2), 0, "moon")


def test_one_task_has_nothing_unseen_and_suites_tell_tasks_apart() -> None:
    assert stratified(library(1, 9), 0, Ratios(unseen=0.9)).parts["unseen"] == ()
    one, other = (RolloutMeta(**{**vars(meta(0, 0)), "extra": {"suite": s}}) for s in ("goal", "object"))
    assert task_key(one) != task_key(other)
