"""From a store of traces to a table of every uncertainty score with its cost."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_cli.main import DONE, WRONG_INPUT, main
from vla_uq.detectors import DETECTORS
from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore
from vla_uq.uncertainty import catalogue
from vla_uq.uncertainty.catalogue import CATALOGUE, Sizes

MEMBERS, DRAWS, STEPS, HORIZON, DIM = 2, 5, 10, 4, 7


def fill(folder: Path, *, first: int = 0, actors: int = MEMBERS, tokens: bool = True) -> Path:
    """Rollouts whose failures the members disagree about."""
    store = RolloutStore(folder)
    for number in range(first, first + 24):
        rng, success = np.random.default_rng(number), number // 2 % 3 != 0
        steps = int(rng.integers(5, 8)) if success else 10
        velocities = rng.normal(size=(steps, actors, MEMBERS, 1, STEPS - 1, HORIZON, DIM))
        velocities[:, :, 0] *= 0.5 if success else 1.0
        tensors = {
            "velocities": velocities,
            "flow_times": np.tile(np.arange(1, STEPS) / STEPS, (steps, 1)),
            "samples": rng.normal(size=(steps, MEMBERS, DRAWS, HORIZON, DIM)),
            "last_layer": rng.normal(size=(steps, STEPS - 1, 1, 6)),
        }
        if tokens:
            tensors |= {"token_logprobs": -rng.random((steps, 8)), "token_entropies": rng.random((steps, 8))}
        meta = RolloutMeta(
            f"e{number:03}", f"task {number % 2}", number, "none", success, 6 * steps, "p", execute_steps=2
        )
        store.add(Rollout(meta, {name: value.astype(np.float32) for name, value in tensors.items()}))
    return folder


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Path:
    return fill(tmp_path / "store")


def table(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main(["scores", *map(str, words), "--json"]) == DONE
    return json.loads(capsys.readouterr().out)


def test_all_scores_that_traces_allow_in_one_command(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = table(capsys, store)
    rows = {row["score"]: row for row in made["rows"]}
    assert list(rows) == [score.name for score in CATALOGUE if score.detector]
    assert set(made["left_out"]) == {score.name for score in CATALOGUE if score.live}
    assert all("call vla_uq.uncertainty." in why for why in made["left_out"].values())
    vfd = rows["vfd"]
    assert vfd["AUC"] == 1.0 and vfd["failures"] > vfd["successes"] > 0
    assert (vfd["M"], vfd["N"], vfd["K"], vfd["extra_evaluations"]) == (2, 1, 10, 9)
    assert rows["last_layer_vfd"]["extra_evaluations"] == 0 and rows["gu"]["extra_evaluations"] == 90
    assert rows["entropy"]["M"] is None and rows["entropy"]["extra_evaluations"] is None
    for row in rows.values():
        assert row["us"] > 0 and row["episodes"] == 12 and 0 <= row["AUC"] <= 1 and row["formula"] and row["source"]


def test_the_score_of_an_episode_is_the_mean_of_its_first_inferences(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = table(capsys, store)
    scored = list(RolloutStore(store))[::2]
    detector = DETECTORS["gu"]("none")  # type: ignore[call-arg]
    detector.fit(scored)
    means: dict[bool, list[float]] = {True: [], False: []}
    for rollout in scored:
        read = min(len(r.tensor("samples")) for r in scored if r.meta.task == rollout.meta.task)
        means[bool(rollout.meta.success)].append(float(detector.score(rollout)[:read].mean()))
    (row,) = [row for row in made["rows"] if row["score"] == "gu"]
    assert row["successes"] == pytest.approx(np.mean(means[True])) and row["failed_episodes"] == len(means[False])
    assert row["failures"] == pytest.approx(np.mean(means[False]))


def test_what_the_traces_lack_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = fill(tmp_path / "one way", actors=1, tokens=False)
    assert main(["scores", str(folder)]) == DONE
    text = capsys.readouterr().out
    assert re.search(r"left out: vfd_two_way: velocities: every member's own path is needed", text)
    assert "left out: entropy: rollouts lack a tensor; expected token_entropies" in text
    assert re.search(r"^decu +0\.\d+ .* 1 +\d", text, re.MULTILINE) and "length" not in text.split("\n")[1]


def test_episodes_to_learn_from_may_be_others(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = fill(tmp_path / "other", first=12)  # half of them are in the store, too, and do not count
    made = table(capsys, store, "--learn-from", other)
    assert made["title"].startswith("24 episodes") and made["title"].endswith("12 others to learn from")
    few = table(capsys, store, "--limit", 6)
    assert few["title"].startswith("3 episodes") and few["title"].endswith("3 others to learn from")


def test_nothing_to_score(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scores", str(store), "--limit", "1"]) == WRONG_INPUT
    assert main(["scores", str(store), "--learn-from", str(store)]) == WRONG_INPUT
    assert main(["scores", str(tmp_path)]) == WRONG_INPUT
    bare = RolloutStore(tmp_path / "bare")
    for number in range(2):
        meta = RolloutMeta(f"e{number}", "task", number, "none", bool(number), 6, "p")
        bare.add(Rollout(meta, {"features": np.zeros((3, 2), np.float32)}))
    assert main(["scores", str(bare.folder)]) == WRONG_INPUT
    said = capsys.readouterr().err
    assert said.count("vla-monitor: scores: too few episodes") == 2 and "no score can be computed" in said


class TestCatalogue:
    def test_names_are_unique_and_each_score_can_be_had_somewhere(self) -> None:
        names = [score.name for score in CATALOGUE]
        assert len(names) == len(set(names))
        for score in CATALOGUE:
            assert bool(score.detector) != bool(score.live)

    @pytest.mark.parametrize("score", [s for s in CATALOGUE if s.detector], ids=lambda s: s.name)
    def test_tensors_are_those_of_the_detector(self, score: catalogue.Score) -> None:
        options: dict[str, Any] = {"aggregator": "none", **score.options}
        assert DETECTORS[score.detector](**options).needs == score.tensors

    @pytest.mark.parametrize("score", [s for s in CATALOGUE if s.live], ids=lambda s: s.name)
    def test_live_scores_exist(self, score: catalogue.Score) -> None:
        import importlib

        module, name = score.live.split(".")
        assert callable(getattr(importlib.import_module(f"vla_uq.uncertainty.{module}"), name))

    def test_costs(self) -> None:
        """One way of two members with one draw: 9 in one batched call; two ways with 5 draws, by hand."""
        found = {score.name: score.cost.evaluations for score in CATALOGUE}
        one, five = Sizes(2, 1, 10), Sizes(2, 5, 10)
        assert (found["vfd"](one), found["vfd"](five)) == (9, 40 + 45)
        assert found["vfd_two_way"](five) == 10 * 10 - 10 + 2 * 9 * 5 == found["decu_kl"](five)
        assert (found["decu"](one), found["action_l2"](five), found["ace"](Sizes(1, 32, 10))) == (1, 90, 310)
        assert found["last_layer_vfd"](Sizes(1, 1, 10)) == found["perplexity"](one) == found["stac_single"](five) == 0

    @pytest.mark.parametrize("score", CATALOGUE, ids=lambda s: s.name)
    def test_the_formula_says_what_is_counted(self, score: catalogue.Score) -> None:
        """The text, read as arithmetic."""
        code = score.cost.formula.replace("−", "-").replace(")(", ")*(")
        code = re.sub(r"(?<=[\dMNK)])(?=[MNK(])", "*", code)
        for sizes in (Sizes(2, 1, 10), Sizes(5, 8, 4)):
            values = {"M": sizes.members, "N": sizes.draws, "K": sizes.steps}
            assert score.cost.evaluations(sizes) == eval(code, {"__builtins__": {}}, values)
            assert not math.isnan(score.cost.evaluations(sizes))
