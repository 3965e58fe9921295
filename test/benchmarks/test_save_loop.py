"""SAVE's loop: rounds are kept and resumed, runs of a seed share their start, savings are counted as in the paper."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from benchmarks.experts import backbone
from benchmarks.experts.contexts import Demonstrations
from benchmarks.experts.heads import Heads, Training
from benchmarks.experts.workshop import Workshop
from benchmarks.save import table
from benchmarks.save.loop import Plan, RoundResult, Run, rounds_of
from benchmarks.save.strategies import STRATEGIES
from vla_cli.shipped import policy_folder
from vla_policy.nets import ACTION, CONTEXT, HORIZON, Encoder

KNOWN, WANTED = "open the front drawer", "close the front drawer"
FEW = Training(steps=3, batch=8)
PLAN = Plan((KNOWN,), (KNOWN, WANTED), 2, budget=2, pretraining=3, offered=3, episodes=1, first=FEW, tuning=FEW)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Demonstrations of noise, and a backbone that was never trained: what is chosen matters here, not how well."""
    weights = tmp_path_factory.mktemp("workshop") / "backbone.safetensors"
    torch.manual_seed(0)
    save_file({name: value.contiguous() for name, value in Encoder().state_dict().items()}, weights)
    rng = np.random.default_rng(0)

    def demonstrations(task: str) -> Demonstrations:
        contexts = rng.normal(size=(90, CONTEXT)).astype(np.float32)
        chunks = rng.normal(size=(90, HORIZON * ACTION)).astype(np.float32)
        return Demonstrations(task, contexts, chunks, np.repeat(np.arange(3), 30))

    return Workshop(weights, (), {task: demonstrations(task) for task in (KNOWN, WANTED)})


def test_an_interrupted_run_goes_on_and_runs_of_a_seed_share_their_start(workshop: Workshop, tmp_path: Path) -> None:
    first = Run(workshop, PLAN, "save_vfd", 0, tmp_path)
    first.advance()
    first.advance()
    (tmp_path / "save_vfd_0.part").write_text('{"strategy": "save_vfd", "see')  # killed while writing
    again = Run(workshop, PLAN, "save_vfd", 0, tmp_path)
    assert [r.index for r in rounds_of(tmp_path, "save_vfd", 0)] == [0, 1]
    again.advance()
    assert [r.index for r in rounds_of(tmp_path, "save_vfd", 0)] == [0, 1, 2]
    before = (tmp_path / "pretrained_0.safetensors").stat().st_mtime_ns
    other = Run(workshop, PLAN, "random", 0, tmp_path).advance()
    assert other.success == rounds_of(tmp_path, "save_vfd", 0)[0].success
    assert (tmp_path / "pretrained_0.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_spends_its_budget_and_says_why(name: str, workshop: Workshop, tmp_path: Path) -> None:
    run = Run(workshop, PLAN, name, 0, tmp_path)
    situation = run._situation(Heads([0, 1]), [])
    decision = STRATEGIES[name](situation, PLAN.budget).choose(0, run.candidates, [])
    assert len(decision.chosen) == PLAN.budget
    assert set(decision.chosen) <= set(run.candidates)
    json.dumps(dict(decision.log))


def test_savings_are_counted_as_the_paper_counts_them() -> None:
    """One minus the ratio of the rounds, summed over the thresholds that both reach."""
    slow, fast = np.linspace(0.0, 1.0, 11)[None], np.minimum(np.linspace(0.0, 2.0, 11), 1.0)[None]
    found = {"fast": fast, "slow": slow}
    assert table.rounds_to(slow[0], 0.5) == 5 and table.rounds_to(fast[0], 0.5) == 3
    rounds = {name: [table.rounds_to(curve[0], t) for t in table.THRESHOLDS] for name, curve in found.items()}
    assert table.saved(found, "fast", "slow") == pytest.approx(100 * (1 - sum(rounds["fast"]) / sum(rounds["slow"])))
    never = {"fast": fast, "slow": np.zeros((1, 11))}
    assert np.isnan(table.saved(never, "fast", "slow"))


def test_curves_are_by_seed_and_round() -> None:
    made = [RoundResult("a", seed, i, {"x": (seed + i) / 10}, [], {}) for seed in (1, 0) for i in range(3)]
    assert table.curves(made)["a"].tolist() == [[0.0, 0.1, 0.2], [0.1, 0.2, 0.3]]


def test_the_shipped_encoder_as_a_backbone_is_the_shipped_encoder(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(policy_folder(None) / "encoder_0.onnx", providers=["CPUExecutionProvider"])
    backbone.take_shipped(tmp_path / "backbone.safetensors")
    draw = torch.Generator().manual_seed(0)
    shapes = {one.name: [n if isinstance(n, int) else 2 for n in one.shape] for one in session.get_inputs()}
    given = {name: torch.rand(shape, generator=draw) for name, shape in shapes.items()}
    (expected,) = session.run(None, {name: value.numpy() for name, value in given.items()})
    with torch.no_grad():
        found = backbone.restore(tmp_path / "backbone.safetensors")(**given)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)
