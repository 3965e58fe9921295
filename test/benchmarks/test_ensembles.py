"""What an ensemble may share: episodes are had again as they were, heads share what they should, rows say so."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("mujoco")

from benchmarks.calibration import ensembles, ensembles_scores, ensembles_table  # noqa: E402
from benchmarks.calibration.ensembles_cost import milliseconds, spread  # noqa: E402
from benchmarks.calibration.ensembles_heads import (  # noqa: E402
    FAMILIES,
    LAST_LAYERS,
    alone,
    contexts,
    fresh_parameters,
    heads_of,
    shipped,
)
from benchmarks.calibration.ensembles_replay import Job, replay  # noqa: E402
from benchmarks.calibration.ensembles_table import Episodes  # noqa: E402
from benchmarks.experts.contexts import Demonstrations  # noqa: E402
from benchmarks.experts.heads import Heads, Training  # noqa: E402
from policy_node.backends.onnx import OnnxBackend  # noqa: E402
from sim_node.bed import Bed  # noqa: E402
from vla_cli.chain import Chain  # noqa: E402
from vla_cli.episodes import Episode  # noqa: E402
from vla_policy.instruction import TEXT  # noqa: E402
from vla_policy.manifest import WEIGHTS  # noqa: E402
from vla_policy.nets import CONTEXT  # noqa: E402
from vla_policy.observation import CAMERAS, PROPRIO  # noqa: E402
from vla_uq.errors import InputError  # noqa: E402
from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore, open_rollout  # noqa: E402
from vla_uq.uncertainty.last_layer import LastLayerPosterior  # noqa: E402
from vla_uq.uncertainty.vfd import contributions  # noqa: E402

SCENE = Episode("open the front drawer", 990_000)
RNG = np.random.default_rng(0)


def meta(name: str, success: bool | None, task: str = "a", condition: str = "none") -> RolloutMeta:
    return RolloutMeta(name, task, 0, condition, success, 6, "f")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rollout, Path]:
    """A real episode of the shipped policy, and the store that holds it."""
    folder = tmp_path_factory.mktemp("rollouts")
    chain = Chain(Bed(), OnnxBackend(WEIGHTS, draws=2, last_layer=True))
    record = chain.run(SCENE)
    told = RolloutMeta(SCENE.id, SCENE.task, SCENE.seed, "none", record.success, record.steps, "f")
    return open_rollout(RolloutStore(folder).add(Rollout(told, record.tensors))), folder


def test_shipped_networks_are_the_graphs() -> None:
    backend = OnnxBackend(WEIGHTS)
    images = {name: RNG.random((1, 3, 64, 64), dtype=np.float32) for name in CAMERAS}
    inputs = images | {"proprio": np.ones((1, PROPRIO), np.float32), "text": np.ones((1, TEXT), np.float32)}
    x, t = RNG.normal(size=(3, 16, 7)).astype(np.float32), np.array([0.1, 0.5, 0.9], np.float32)
    for member in (0, 1):
        encoder, velocity = shipped(WEIGHTS, member)
        context = backend.prefix(member, inputs)
        with torch.no_grad():
            ours = encoder(*(torch.from_numpy(value) for value in inputs.values()))
            field, _ = velocity(torch.from_numpy(x).flatten(1), torch.from_numpy(t), ours.repeat(3, 1))
        np.testing.assert_allclose(ours, context, atol=1e-4)
        np.testing.assert_allclose(field.reshape(3, 16, 7), backend.field(member, context)(x, t), atol=1e-4)


def test_a_recorded_episode_is_had_again(played: tuple[Rollout, Path], tmp_path: Path) -> None:
    rollout, folder = played
    replay(Job(RolloutStore(folder).path(SCENE.id), WEIGHTS, tmp_path))
    (steps,) = ensembles_scores.read(folder, tmp_path, [SCENE.id])
    assert steps.context.shape == (len(rollout.tensor("position")), CONTEXT)
    head = alone(shipped(WEIGHTS, 0)[1])
    ensembles_scores.check(steps, head)
    # Itself is no other opinion; the second member is, and its VFD is that of the trace.
    np.testing.assert_allclose(ensembles_scores.shared_encoder(steps, head), 0.0, atol=1e-6)
    whole = contributions(rollout.tensor("velocities"), steps.times).sum(axis=(-2, -1))
    np.testing.assert_allclose(ensembles_scores.own_encoders(steps)[:, 0], whole)
    steps.context[:, -1] += 1.0
    with pytest.raises(InputError, match="cannot be had again"):
        ensembles_scores.check(steps, head)


def test_an_episode_that_goes_elsewhere_is_refused(played: tuple[Rollout, Path], tmp_path: Path) -> None:
    rollout, _ = played
    for name, change in (("samples", -1.0), ("position", 1.1)):
        tensors = {key: rollout.tensor(key) * (change if key == name else 1) for key in rollout.tensors}
        store = RolloutStore(tmp_path / name)
        with pytest.raises(InputError, match="does not repeat itself"):
            replay(Job(store.add(Rollout(rollout.meta, tensors)), WEIGHTS, tmp_path / "out"))
    assert not list((tmp_path / "out").glob("*"))


def test_an_ensemble_is_the_mean_of_its_pairs() -> None:
    heads, members = Heads([1, 2, 3]), 4
    steps = SimpleNamespace(
        context=RNG.normal(size=(2, CONTEXT)).astype(np.float32),
        states=RNG.normal(size=(2, 3, 112)).astype(np.float32),
        velocities=RNG.normal(size=(2, 1, 3, 16, 7)).astype(np.float32),
        times=np.array([0.2, 0.5, 0.8], np.float32),
    )
    with torch.no_grad():
        x, c = torch.from_numpy(steps.states), torch.from_numpy(steps.context)
        fields = [net(x[:, k], torch.full((2,), steps.times[k]), c)[0] for net in heads.nets for k in range(3)]
    others = torch.stack(fields).reshape(3, 3, 2, 16, 7).permute(2, 0, 1, 3, 4).numpy()
    everybody = np.concatenate([steps.velocities, others], axis=1)
    assert everybody.shape[1] == members
    whole = contributions(everybody[:, None, :, None], steps.times).sum(axis=(-2, -1))
    pairs = ensembles_scores.shared_encoder(steps, heads)  # type: ignore[arg-type]
    assert pairs.shape == (2, 3)
    np.testing.assert_allclose(pairs.mean(axis=1), whole, rtol=1e-4)


def test_heads_share_what_they_should_and_are_kept(tmp_path: Path) -> None:
    first = shipped(WEIGHTS, 0)[1]
    data = [
        Demonstrations(
            "a", RNG.normal(size=(40, CONTEXT)).astype(np.float32), RNG.normal(size=(40, 112)).astype(np.float32),
            np.zeros(40, np.int64),
        )
    ]  # fmt: skip
    for family in FAMILIES:
        heads = heads_of(family, first, data, Training(steps=2, batch=8), tmp_path)
        assert heads.members == family.heads
        layers = () if family.fresh is None else LAST_LAYERS[: family.fresh]
        changed = 0
        for name, mine in heads.nets[0].named_parameters():
            theirs = first.get_parameter(name)
            new = family.fresh is None or name.startswith(layers)
            assert new or torch.equal(mine, theirs), name
            changed += mine.numel() if new else 0
        if family.fresh is not None:
            assert changed == fresh_parameters(family.fresh)
        last = heads.get_parameter("nets.0.leave.weight")
        assert not torch.equal(last, first.leave.weight)
        again = heads_of(family, first, [], Training(steps=2), tmp_path)  # would fail, were it trained again
        assert torch.equal(again.get_parameter("nets.0.leave.weight"), last)
    several = heads_of(FAMILIES[0], first, [], Training(), tmp_path)
    assert not torch.equal(several.get_parameter("nets.0.leave.weight"), several.get_parameter("nets.1.leave.weight"))


def test_contexts_are_noisy_copies_and_are_kept(tmp_path: Path) -> None:
    from sim_node.demonstrations import collect_task
    from sim_node.tasks import task_of

    encoder, _ = shipped(WEIGHTS, 0)
    source = collect_task(task_of(SCENE.task), 1, tmp_path)
    first, second = contexts(encoder, source, tmp_path / "kept")
    assert first.context.shape == second.context.shape == (len(first.chunk), CONTEXT)
    assert 0 < np.abs(first.context[:, :-TEXT] - second.context[:, :-TEXT]).mean() < 0.2
    np.testing.assert_array_equal(first.context[:, -TEXT:], second.context[:, -TEXT:])
    np.testing.assert_array_equal(contexts(encoder, source, tmp_path / "kept")[1].context, second.context)


def test_rows_on_scores_that_know_everything_and_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensembles_table, "DRAWS", 20)
    metas, curves = [], {}
    for condition, tasks in (("none", "abc"), ("outside", "abc"), ("push", "abc")):
        for place, task in enumerate(tasks):
            for i in range(8):
                failed = condition != "none" and i <= 2 * place
                name = f"{condition}{task}{i}"
                metas.append(meta(name, not failed, task, condition))
                # Undisturbed episodes are four steps long: what comes later is not read.
                late = [] if condition == "none" else [100.0 - 100 * failed]
                curves[name] = np.array([float(failed)] * 4 + late)
    episodes = Episodes(metas, {name: len(curve) for name, curve in curves.items()})
    assert episodes.counts() == {"none": (0, 24), "outside": (9, 15), "push": (9, 15)}
    found = episodes.detection([curves])
    assert set(found) == {"all", "within", "outside", "push"}
    assert all(one.value == one.low == one.high == 1.0 for one in found.values())
    assert episodes.calibration([curves], 0).value == pytest.approx(1.0)
    assert episodes.within_conditions([curves]) == {"outside": pytest.approx(1.0)}
    levels = episodes.levels([curves])
    assert levels["none"] == {"success": 0.0} and levels["push"] == {"success": 0.0, "failure": 1.0}
    flat = {name: np.ones(len(curve)) for name, curve in curves.items()}
    assert episodes.detection([flat])["all"].value == 0.5
    lead = episodes.lead([flat], [curves])
    assert lead.value == -0.5 and episodes.lead([curves], [curves]).value == 0
    # Several equivalent ensembles: their mean.
    assert episodes.detection([flat, curves])["all"].value == pytest.approx(0.75)


def test_parts_are_pairs_or_the_whole() -> None:
    scores = {"e": np.array([[1.0, 3.0, 8.0]])}
    pairs, whole = (ensembles.Way("w", "s", members) for members in (2, 4))
    assert [part["e"][0] for part in ensembles.parts_of(pairs, scores)] == [1, 3, 8]
    assert [part["e"][0] for part in ensembles.parts_of(whole, scores)] == [4]


def test_parameters_and_cost_grow_with_what_is_not_shared() -> None:
    kept = {way.name: ensembles.parameters(way) for way in ensembles.WAYS}
    order = ["one_model", "last_layer_vfd", "new_last_layer", "new_last_2_layers", "new_last_3_layers"]
    order += ["shared_encoder_2", "shared_encoder_4", "own_encoders"]
    assert sorted(order, key=lambda name: kept[name])[:6] == order[:6]
    assert kept["own_encoders"] == 2 * kept["one_model"]
    posterior = LastLayerPosterior(np.eye(161), 112)
    ways = {way.name: way.extra for way in ensembles.WAYS}
    times = milliseconds(WEIGHTS, ways, posterior, 15, 0)
    assert all(values.shape == (15,) for values in times.values())
    least = {name: values.min() for name, values in times.items()}
    assert least["one_model"] < least["shared_encoder_2"] < least["own_encoders"]
    assert spread(np.arange(11.0)) == (5.0, 1.0, 9.0)


def test_the_command_compares_ensembles_when_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from benchmarks.calibration import __main__ as calibration
    from benchmarks.report import Result, command

    seen: list[Any] = []

    def instead(options: Any, console: Any) -> Result:
        seen.append(options.own["ensembles"])
        return Result("t", ("a",), [{"a": 1}], {}, variant="ensembles")

    monkeypatch.setattr(ensembles, "run", instead)
    argv = ["--ensembles", "--quick", "--out", str(tmp_path)]
    assert command("calibration", calibration.run, 0, argv, calibration.own) == 0
    assert seen == [True] and (tmp_path / "calibration_ensembles.json").exists()
