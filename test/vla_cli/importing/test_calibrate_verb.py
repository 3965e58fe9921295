"""``vla-monitor calibrate``: one command from bags, or from rollouts, to a bundle; mixtures are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_cli.main import main
from vla_uq.bundle import Bundle
from vla_uq.contracts import Space
from vla_uq.detectors import Vfd
from vla_uq.detectors.file import fitted_to, save_detector
from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore

Record = Callable[..., Path]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The verb's JSON, and its exit code under ``code``."""

    def call(*arguments: object) -> dict[str, Any]:
        code = main(["calibrate", *map(str, arguments), "--json"])
        captured = capsys.readouterr()
        return {**(json.loads(captured.out) if captured.out else {}), "code": code, "err": captured.err}

    return call


def test_from_bags_to_a_bundle(tmp_path: Path, record: Record, played: Any, run: Run) -> None:
    record(tmp_path / "bags" / "monday", [played(f"m-{n:02d}", steps=6 + n % 3) for n in range(10)])
    record(tmp_path / "bags" / "tuesday", [played(f"t-{n:02d}") for n in range(6)] + [played("t-90", label=2)])
    told = run("--bags", tmp_path / "bags", "--alpha", 0.1, "--out", tmp_path / "my.bundle.safetensors")
    assert told["code"] == 0, told["err"]
    bundle = Bundle.load(tmp_path / "my.bundle.safetensors")
    assert list(bundle.detectors) == ["vfd"]
    policy = bundle.policy
    assert (policy.fingerprint, policy.space, policy.horizon, policy.dim) == ("p1", Space.EE_DELTA, 4, 6)
    assert (policy.execute_steps, policy.step_duration) == (6, pytest.approx(0.05))
    assert bundle.policy.tensors["velocities"] == (1, 2, 1, 3, 4, 7)
    assert (bundle.alpha, told["alpha"], told["episodes"]) == (0.1, 0.1, 17)
    assert told["realised_bound"] == pytest.approx(bundle.realised_bound)
    assert any("safe_mlp: left out: 1 of at least 10 failures" in line for line in bundle.provenance["choice"])
    assert {row["alpha"] for row in told["more_successes"]} >= {0.1}
    assert all(row["more"] > 0 for row in told["more_successes"])
    assert len(RolloutStore(tmp_path / "my.rollouts")) == 17


def test_the_table_says_what_more_successes_would_buy(
    tmp_path: Path, record: Record, played: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "bags", [played(f"m-{n:02d}") for n in range(16)])
    arguments = ["calibrate", "--bags", str(tmp_path / "bags"), "--alpha", "0.1", "--out", str(tmp_path / "b")]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "vfd: needs successes alone" in shown
    assert "more successes (" in shown and "realised rate below" in shown and "alpha 0.05 becomes possible" in shown


@pytest.mark.slow
def test_safe_joins_as_soon_as_there_are_failures(tmp_path: Path, record: Record, played: Any, run: Run) -> None:
    record(tmp_path / "bags" / "good", [played(f"g-{n:02d}") for n in range(40)])
    record(tmp_path / "bags" / "bad", [played(f"f-{n:02d}", label=2) for n in range(12)])
    told = run("--bags", tmp_path / "bags", "--alpha", 0.1, "--out", tmp_path / "b")
    bundle = Bundle.load(tmp_path / "b")
    assert list(bundle.detectors) == ["vfd", "safe_mlp"], told["err"]
    failures = [r for r in RolloutStore(tmp_path / "b.rollouts") if not r.meta.success]
    alarms = [bundle.nonconformity.alarm_step(bundle.scores(r)) is not None for r in failures]
    assert sum(alarms) > 8
    again = run("--rollouts", tmp_path / "b.rollouts", "--alpha", 0.1, "--out", tmp_path / "c")
    assert again["digest"] == told["digest"]


def test_what_cannot_calibrate_is_left_out_and_counted(tmp_path: Path, record: Record, played: Any, run: Run) -> None:
    record(tmp_path / "bags" / "a", [played(f"m-{n:02d}") for n in range(16)])
    others = [played("x-1", halted=3), played("x-2", label=0), played("x-3", label=3), played("x-4", lost=2)]
    record(tmp_path / "bags" / "b", others)
    told = run("--bags", tmp_path / "bags", "--alpha", 0.1, "--out", tmp_path / "b")
    assert (told["code"], told["episodes"]) == (1, 16)  # 1: one episode is broken
    assert told["left_out"][:2] == ["1 episodes halted, or taken over by a human", "1 episodes without an outcome"]
    assert "b/x-4" in told["left_out"][2] and "inference was not recorded" in told["left_out"][2]
    strict = run("--bags", tmp_path / "bags", "--alpha", 0.1, "--out", tmp_path / "c", "--strict")
    assert strict["code"] == 2 and "b/x-4" in strict["err"]


MIXTURES = {
    "policies": ({"fingerprint": "p2"}, "p1 (16 episodes, such as bags-a-m-00); p2 (2 episodes"),
    "modes": ({"mode": 1}, "shadow (16 episodes, such as bags-a-m-00); guard (2 episodes"),
    "rates": ({"execute_steps": 4}, "6 actions of 0.05 s (16 episodes"),
    "sets of cameras": ({"cameras": 3}, "camera 1 camera 2 (16 episodes"),
}


@pytest.mark.parametrize("what", list(MIXTURES))
def test_a_mixture_is_refused_by_name(tmp_path: Path, record: Record, played: Any, run: Run, what: str) -> None:
    changed, found = MIXTURES[what]
    record(tmp_path / "bags" / "a", [played(f"m-{n:02d}") for n in range(16)])
    record(tmp_path / "bags" / "b", [played(f"x-{n}", **changed) for n in range(2)])
    told = run("--bags", tmp_path / "bags", "--out", tmp_path / "b")
    assert told["code"] == 2
    assert f"rollouts of several {what}; expected one" in told["err"] and found in told["err"]
    assert "bags-b-x-0" in told["err"]
    assert not (tmp_path / "b").exists()


def test_bags_of_guarded_episodes_are_refused(tmp_path: Path, record: Record, played: Any, run: Run) -> None:
    record(tmp_path / "bags", [played(f"m-{n:02d}", mode=1) for n in range(16)])
    told = run("--bags", tmp_path / "bags", "--out", tmp_path / "b")
    assert "episode was guarded; expected shadow" in told["err"]


def test_too_few_successes_are_told_how_many_are_missing(tmp_path: Path, record: Record, played: Any, run: Run) -> None:
    record(tmp_path / "bags", [played(f"m-{n:02d}") for n in range(8)])
    told = run("--bags", tmp_path / "bags", "--alpha", 0.05, "--out", tmp_path / "b")
    assert told["code"] == 2
    assert "too few nominal successes" in told["err"] and "more" in told["err"]
    one_more = run("--bags", tmp_path / "bags", "--alpha", 0.12, "--method", "cross", "--out", tmp_path / "b")
    assert one_more["code"] == 0, one_more["err"]


def test_a_store_beside_the_bundle_may_hold_other_bags(tmp_path: Path, record: Record, played: Any, run: Run) -> None:
    record(tmp_path / "a", [played(f"m-{n:02d}") for n in range(16)])
    record(tmp_path / "b", [played(f"x-{n:02d}", fingerprint="p2") for n in range(16)])
    store = ["--store", tmp_path / "store", "--alpha", 0.1]
    first = run("--bags", tmp_path / "a", "--out", tmp_path / "a.bundle", *store)
    second = run("--bags", tmp_path / "b", "--out", tmp_path / "b.bundle", *store)
    assert (first["policy"], second["policy"]) == ("p1", "p2")
    assert len(RolloutStore(tmp_path / "store")) == 32


# -- rollouts ------------------------------------------------------------------------------------------------------
def rollout(number: int, *, seed: int, success: bool = True, disturbance: str = "none", **extra: Any) -> Rollout:
    rng = np.random.default_rng(number)
    steps = int(rng.integers(6, 10))
    velocities = rng.normal(size=(steps, 1, 2, 1, 3, 4, 7)).astype(np.float32)
    meta = RolloutMeta(
        episode_id=f"r-{number:03d}",
        task="put the cube on the plate",
        seed=seed,
        disturbance=disturbance,
        success=success,
        steps=6 * steps,
        policy_fingerprint="p1",
        execute_steps=6,
        step_duration=0.05,
        extra={"policy": {"space": "EE_DELTA", "horizon": 4, "dim": 6}, **extra},
    )
    features = rng.normal(size=(steps, 6)).astype(np.float32) + 2 * (not success)
    times = np.tile(np.array([0.2, 0.5, 0.8], np.float32), (steps, 1))
    return Rollout(meta, {"features": features, "velocities": velocities, "flow_times": times})


@pytest.fixture
def store(tmp_path: Path) -> RolloutStore:
    """As `vla-monitor rollouts` leaves it: seeds for training and seeds for calibration."""
    store = RolloutStore(tmp_path / "store")
    for number in range(24):
        kind = "none" if number % 2 else "push"
        store.add(rollout(number, seed=100_000 + number, success=number % 3 > 0, disturbance=kind))
    for number in range(100, 130):
        store.add(rollout(number, seed=200_000 + number, success=number % 10 > 0))
    store.add(rollout(200, seed=200_500, disturbance="push", success=False))
    store.add(rollout(201, seed=100_500, disturbance="unseen", success=False))
    return store


@pytest.mark.slow
def test_seeds_tell_what_trains_and_what_calibrates(store: RolloutStore, tmp_path: Path, run: Run) -> None:
    told = run("--rollouts", store.folder, "--alpha", 0.1, "--out", tmp_path / "b")
    assert told["code"] == 0, told["err"]
    notes = Bundle.load(tmp_path / "b").provenance
    assert told["detectors"] == "vfd, safe_mlp"
    assert (notes["training"]["episodes"], notes["training"]["seeds"]) == (24, [100_000, 100_023])
    assert (notes["calibration"]["episodes"], notes["calibration"]["seeds"]) == (30, [200_100, 200_129])
    assert set(notes["training"]["disturbances"]) == {"none", "push"}
    assert notes["calibration"]["disturbances"] == {"none": 30}
    fewer = run("--rollouts", store.folder, "--alpha", 0.1, "--train-on", "none", "--out", tmp_path / "c")
    assert Bundle.load(tmp_path / "c").provenance["training"]["episodes"] == 12, fewer["err"]


def test_detectors_that_are_fitted_already(store: RolloutStore, tmp_path: Path, run: Run) -> None:
    seen = [r for r in store if r.meta.seed < 200_000]
    vfd = Vfd()
    vfd.fit(seen)
    save_detector(tmp_path / "vfd", fitted_to(vfd, [r.meta for r in seen]))
    told = run("--rollouts", store.folder, "--detector", tmp_path / "vfd", "--alpha", 0.1, "--out", tmp_path / "b")
    assert told["code"] == 0, told["err"]
    bundle = Bundle.load(tmp_path / "b")
    assert list(bundle.detectors) == ["vfd"]
    one = next(iter(store))
    np.testing.assert_allclose(bundle.scores(one)["vfd"], vfd.score(one), rtol=1e-6)
    assert bundle.provenance["calibration"]["episodes"] == 30
    # What a detector has seen calibrates nothing, whatever its seed.
    some = [r for r in store if 200_100 <= r.meta.seed < 200_110]
    save_detector(tmp_path / "other", fitted_to(vfd, [r.meta for r in some]))
    run("--rollouts", store.folder, "--detector", tmp_path / "other", "--alpha", 0.1, "--out", tmp_path / "c")
    assert Bundle.load(tmp_path / "c").provenance["calibration"]["episodes"] == 20


def test_a_detector_of_another_policy_is_refused(store: RolloutStore, tmp_path: Path, run: Run) -> None:
    import dataclasses

    seen = list(store)[:3]
    vfd = Vfd()
    vfd.fit(seen)
    metas = [dataclasses.replace(r.meta, policy_fingerprint="p9") for r in seen]
    save_detector(tmp_path / "vfd", fitted_to(vfd, metas))
    told = run("--rollouts", store.folder, "--detector", tmp_path / "vfd", "--out", tmp_path / "b")
    assert told["code"] == 2
    assert "detector was trained on another policy; expected p1; found p9" in told["err"]


def test_rollouts_that_do_not_describe_their_policy_need_it(store: RolloutStore, tmp_path: Path, run: Run) -> None:
    for number, one in enumerate(list(store)):
        store.add(rollout(number, seed=one.meta.seed, policy=None))
    told = run("--rollouts", store.folder, "--out", tmp_path / "b")
    assert told["code"] == 2
    assert "rollouts do not describe their policy" in told["err"] and "give --policy" in told["err"]


def test_one_source_is_needed(tmp_path: Path, run: Run) -> None:
    assert run("--out", tmp_path / "b")["code"] == 2
    assert run("--rollouts", tmp_path, "--bags", tmp_path, "--out", tmp_path / "b")["code"] == 2
    assert "no usable rollouts" in run("--rollouts", tmp_path, "--out", tmp_path / "b")["err"]
    assert "holds nothing of this format" in run("--bags", tmp_path, "--out", tmp_path / "b")["err"]
