"""Fit, select, calibrate, test: each on its own part, with a detector whose score can be followed by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_uq.detectors import DETECTORS
from vla_uq.detectors.base import Progress, StreamingDetector, Tensors
from vla_uq.errors import InputError
from vla_uq.evaluation import runner
from vla_uq.evaluation.episodes import Material, Remembered, inferences
from vla_uq.evaluation.grids import CONTROLS, ORACLE, quick, rows, with_features
from vla_uq.evaluation.maps import pca, points, tsne
from vla_uq.evaluation.protocol import CutOffs
from vla_uq.evaluation.results import RunResult
from vla_uq.evaluation.runner import Job
from vla_uq.evaluation.selection import Row, choose, described, with_aggregator
from vla_uq.evaluation.splits import Split, stratified
from vla_uq.evaluation.table import Comparison, table
from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore


class Axis(StreamingDetector):
    """One feature, times a sign; remembers whom it was fitted to."""

    name: ClassVar[str] = "axis"
    version: ClassVar[int] = 1
    needs: tuple[str, ...] = ("features",)
    fitted_to: ClassVar[list[list[str]]] = []

    def __init__(self, aggregator: str = "none", axis: int = 0, sign: float = 1.0) -> None:
        super().__init__(aggregator)
        self.axis, self.sign = axis, sign

    def fit(
        self,
        rollouts: Iterable[Rollout],
        progress: Progress | None = None,
        selection: Iterable[Rollout] | None = None,
    ) -> None:
        self.fitted_to.append([r.meta.episode_id for r in rollouts])
        self.fitted_to.append([r.meta.episode_id for r in selection or ()])

    def step(self, tensors: Tensors) -> float:
        return self.sign * float(tensors["features"][self.axis])

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        return {}, {"version": 1, "aggregator": self.aggregator, "axis": self.axis, "sign": self.sign}

    @classmethod
    def from_state(cls, tensors: Tensors, config: Mapping[str, Any], where: str = "") -> Axis:
        return cls(config["aggregator"], config["axis"], config["sign"])


def episode(task: int, number: int, *, success: bool) -> Rollout:
    """Axis 0 is higher in failures from the beginning, axis 1 is noise; failures are longer."""
    rng = np.random.default_rng(1000 * task + number)
    steps = int(rng.integers(6, 9)) if success else 12
    features = rng.normal(size=(steps, 3)).astype(np.float32)
    features[:, 0] += 0 if success else 1
    known = {"policy_fingerprint": "p", "execute_steps": 6, "step_duration": 0.05}
    meta = RolloutMeta(f"t{task}-{number:03}", f"task {task}", number, "none", success, 6 * steps, **known)
    return Rollout(meta, {"features": features})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(DETECTORS, "axis", Axis)  # type: ignore[arg-type]
    Axis.fitted_to.clear()
    made = RolloutStore(tmp_path / "store")
    for task in range(4):
        for number in range(60):
            made.add(episode(task, number, success=number % 3 != 0))
    return made.folder


ROW = Row("axis", "axis", ({"axis": 1}, {"axis": 0}, {"axis": 0, "sign": -1.0}), ("none", "cumsum"))


def split_of(store: Path, seed: int = 0) -> Split:
    return stratified(RolloutStore(store).metas(), seed)


def test_the_best_candidate_is_chosen_and_tested(store: Path) -> None:
    split = split_of(store)
    result = runner.run(Job(store, split, ROW))
    assert result.chosen["candidate"] == {"axis": 0}
    assert result.chosen["aggregator"] == "cumsum" and result.chosen["tried"] == 6
    comparison = Comparison([result], [split], {m.episode_id: m for m in RolloutStore(store).metas()})
    (row,) = table(comparison, 0.1)
    assert row["unseen_roc_auc"] > 0.8 and row["seen_roc_auc"] > 0.8
    assert row["unseen_mixed_tasks"] == [1]
    assert row["unseen_detection_seconds"] == pytest.approx(0.05 * row["unseen_detection_steps"])
    assert row["unseen_roc_auc_low"] <= row["unseen_roc_auc"] <= row["unseen_roc_auc_high"]
    assert row["to_best"] == 0.0 and comparison.best() == "axis"
    assert row["unseen_tnr"] > 0.7 and row["unseen_bands_refused"] == 0


def test_b10_selection_sees_neither_calibration_nor_test_episodes(store: Path) -> None:
    split = split_of(store)
    runner.run(Job(store, split, ROW))
    learnt = {name for names in Axis.fitted_to for name in names}
    assert learnt == {*split.parts["train"], *split.parts["select"]}
    assert [tuple(names) for names in Axis.fitted_to[:2]] == [split.parts["train"], split.parts["select"]]
    swapped = {**split.parts, "calibrate": split.parts["test_seen"], "test_seen": split.parts["calibrate"]}
    other = Split(split.name, split.seed, split.scheme, split.unseen_tasks, swapped)
    one, two = runner.run(Job(store, split, ROW)), runner.run(Job(store, other, ROW))
    assert one.chosen == two.chosen


def test_b6_controls_show_what_length_and_difficulty_give_away(store: Path) -> None:
    """Failures are as frequent in all tasks here, so even the oracle gains nothing; the counter gains when it leaks."""
    split = split_of(store)
    results = [runner.run(Job(store, split, row)) for row in rows(["counter", "difficulty", ORACLE])]
    comparison = Comparison(results, [split], {m.episode_id: m for m in RolloutStore(store).metas()})
    found = {row["row"]: row for row in table(comparison, 0.1)}
    assert found["counter"]["unseen_leaky"] == 1.0 and found["counter"]["unseen_roc_auc"] < 0.6
    assert found["difficulty"]["unseen_roc_auc"] == 0.5 == found[ORACLE]["unseen_roc_auc_within"]
    assert comparison.best() is None  # controls are never the best detector


def test_cut_offs_come_from_the_training_part(store: Path) -> None:
    split = split_of(store)
    material = Material(runner.open_store(store), split)
    (unseen,) = split.unseen_tasks
    cuts = material.cut_offs("train")
    lengths = {task: [] for task in material.cut_offs().by_task}  # type: ignore[var-annotated]
    for rollout in material.part("train"):
        lengths[rollout.meta.task].append(inferences(rollout))
    assert unseen not in cuts.by_task and unseen in material.cut_offs().by_task
    assert cuts.by_task == {task: min(found) for task, found in lengths.items() if found}
    assert cuts.of(unseen) == min(map(min, filter(None, lengths.values())))


def test_a_row_without_its_tensor_says_so(store: Path) -> None:
    result = runner.run(Job(store, split_of(store), Row("vfd", "vfd", aggregators=("none",))))
    assert "rollouts lack a tensor" in result.refused and "velocities" in result.refused
    metas = {m.episode_id: m for m in RolloutStore(store).metas()}
    comparison = Comparison([result], [split_of(store)], metas)
    assert comparison.names() == [] and list(comparison.refused()) == ["vfd"] and table(comparison, 0.1) == []


def test_a_band_with_too_few_successes_is_refused_not_invented(store: Path) -> None:
    result = runner.run(Job(store, split_of(store), ROW, alphas=(0.001, 0.2)))
    tight, wide = result.bands
    assert "too few" in tight.refused and not wide.refused and wide.n > 5
    assert set(wide.reports) == {"test_seen", "unseen"} and set(wide.reports["unseen"]) == {"matched", "leaky"}


def test_results_come_back_from_json(store: Path) -> None:
    result = runner.run(Job(store, split_of(store), ROW, alphas=(0.001, 0.2)))
    text = json.dumps(result.document(), allow_nan=False)
    again = RunResult.from_document(json.loads(text))
    assert again.bands[1] == result.bands[1] and again.document() == result.document()
    silent = RunResult("r", "d", False, "s", peaks={"unseen": {"leaky": [math.inf, 1.0]}}, refused="why")
    back = RunResult.from_document(json.loads(json.dumps(silent.document())))
    assert back.peaks["unseen"]["leaky"] == [math.inf, 1.0] and math.isnan(back.fit_seconds)


def test_an_aggregator_is_exchanged_without_fitting_again() -> None:
    detector = DETECTORS["safe_mlp"]
    assert "aggregator" in detector.__init__.__code__.co_varnames
    axis = Axis("none", 0)
    rollout = episode(0, 1, success=True)
    summed = np.cumsum(axis.score(rollout))
    try:
        DETECTORS["axis"] = Axis  # type: ignore[index]
        np.testing.assert_allclose(with_aggregator(axis, "cumsum").score(rollout), summed)
    finally:
        del DETECTORS["axis"]  # type: ignore[attr-defined]


def test_choosing_needs_candidates(store: Path) -> None:
    with pytest.raises(InputError, match="no candidates"):
        choose(Row("axis", "axis", ()), [], [], CutOffs({}, None))
    with pytest.raises(InputError, match="unknown detector"):
        Row("x", "nothing").make({})


def test_every_row_of_the_grid_can_be_made() -> None:
    """A renamed parameter of a detector shows here, not in the middle of a comparison."""
    for row in rows():
        for candidate in (*row.candidates, *with_features(row, ("features/a", "features/b")).candidates):
            assert row.make(candidate).name == row.detector
        assert quick(row).candidates == row.candidates[:1]
        json.dumps([described(candidate) for candidate in row.candidates])
    names = [row.name for row in rows()]
    assert set(names) == {*DETECTORS, ORACLE} and len(names) == len(set(names))
    assert [row.control for row in rows()] == sorted(row.control for row in rows())
    assert {row.name for row in rows() if row.control} == {*CONTROLS, ORACLE}
    with pytest.raises(InputError, match="unknown detector"):
        rows(["nothing"])


def test_feature_tensors_are_one_more_hyper_parameter() -> None:
    (row,) = rows(["safe_mlp"])
    (plain,) = rows(["vfd"])
    assert len(with_features(row, ("a", "b")).candidates) == 2 * len(row.candidates)
    assert with_features(plain, ("a", "b")) == plain


def test_tensors_are_read_once_and_dropped() -> None:
    class Disk(dict[str, NDArray[Any]]):
        reads = 0

        def __getitem__(self, name: str) -> NDArray[Any]:
            Disk.reads += 1
            return super().__getitem__(name)

    tensors = Remembered(Disk(a=np.zeros(1), b=np.zeros(1)))
    tensors["a"], tensors["a"], tensors["b"]
    assert Disk.reads == 2 and set(tensors) == {"a", "b"} and len(tensors) == 2
    tensors.forget(but=("b",))
    tensors["b"], tensors["a"]
    assert Disk.reads == 3


def test_the_feature_map_is_length_matched(make_rollout: Callable[..., Rollout]) -> None:
    short, long = (Rollout(make_rollout(1).meta, {"features": np.ones((n, 3), np.float32)}) for n in (4, 9))
    long.tensors["features"][4:] = 99
    cuts = CutOffs({short.meta.task: 4}, None)
    assert np.ptp(points([short, long], cuts), axis=0).max() == 0
    values = np.random.default_rng(0).normal(size=(30, 5)) * [9, 1, 0.1, 0.1, 0.1]
    flat, share = pca(values)
    assert flat.shape == (30, 2) and share > 0.99
    assert abs(np.corrcoef(flat[:, 0], values[:, 0])[0, 1]) > 0.99
    pytest.importorskip("sklearn")
    assert tsne(values).shape == (30, 2)
    with pytest.raises(InputError, match="too few"):
        tsne(values[:3])
