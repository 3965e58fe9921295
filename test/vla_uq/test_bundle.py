"""The bundle: what it keeps, what it refuses, and which policies it does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_uq import artefact
from vla_uq.bundle import Bundle, PolicyIdentity
from vla_uq.calibration.build import build_bundle
from vla_uq.contracts import Space
from vla_uq.detectors import Detector, SafeMlp, Vfd
from vla_uq.detectors.safe_mlp import Network
from vla_uq.errors import InputError
from vla_uq.rollouts.store import Rollout

Make = Callable[..., Rollout]
POLICY = PolicyIdentity("p1", Space.EE_DELTA, horizon=4, dim=3, step_duration=0.05, execute_steps=2)


def network() -> Network:
    rng = np.random.default_rng(0)
    floats = [rng.normal(size=s).astype(np.float32) for s in ((6,), (5, 6), (5,), (1, 5), (1,))]
    return Network(floats[0], np.ones(6, np.float32), ((floats[1], floats[2]), (floats[3], floats[4])))


class Fitted(SafeMlp):
    """SAFE-MLP with weights at hand, so that no test here trains."""

    def fit(self, rollouts: Any, progress: Any = None) -> None:
        self.network = network()


@pytest.fixture
def bundle(make_rollout: Make) -> Bundle:
    detectors: list[Detector] = [Vfd(), Fitted()]
    return build_bundle(
        POLICY,
        [make_rollout(i, success=i % 2 == 0) for i in range(4)],
        [make_rollout(i) for i in range(100, 120)],
        alpha=0.1,
        seed=0,
        detectors=detectors,
        provenance={"bed": "tabletop"},
    )


@pytest.fixture
def file(bundle: Bundle, tmp_path: Path) -> Path:
    path = tmp_path / "monitor.safetensors"
    bundle.save(path)
    return path


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the document and sign it anew, as a careless tool would."""
    from vla_uq.bundle import _digest

    document, tensors = artefact.read_document(path, "bundle", 1), artefact.read_tensors(path)
    document.pop("digest")
    change(document)
    artefact.write(path, "bundle", 1, {**document, "digest": _digest(document, tensors)}, tensors)


def test_round_trip(bundle: Bundle, file: Path, make_rollout: Make) -> None:
    back = Bundle.load(file)
    assert back.digest == bundle.digest
    assert back.policy == bundle.policy
    assert list(back.detectors) == ["vfd", "safe_mlp"]
    assert (back.alpha, back.n_calibration, back.realised_bound) == (0.1, 14, bundle.realised_bound)
    assert back.provenance == bundle.provenance
    rollout = make_rollout(500)
    for constant in (False, True):
        np.testing.assert_array_equal(
            back.nonconformity.curve(back.scores(rollout), constant=constant),
            bundle.nonconformity.curve(bundle.scores(rollout), constant=constant),
        )
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_thresholds_per_task_and_the_method_survive(make_rollout: Make, tmp_path: Path) -> None:
    tasks = ("open", "close", "lift")
    rollouts = [make_rollout(i, task=tasks[i % 2]) for i in range(24)] + [make_rollout(99, task="lift")]
    made = build_bundle(POLICY, [], rollouts, alpha=0.1, seed=0, detectors=[Vfd()], method="cross", per_task=True)
    made.save(tmp_path / "b.safetensors")
    back = Bundle.load(tmp_path / "b.safetensors")
    assert back.digest == made.digest
    assert (back.nonconformity.method, back.nonconformity.n_calibration) == ("cross", 25)
    assert back.n_calibration == 12
    assert back.realised_bound == max(n.realised_bound for n in back.per_task.own.values())
    for task, n, why in (
        ("open", 12, ""),
        ("lift", 25, "task 'lift' has 1 of 9 calibration episodes: threshold of all tasks"),
        ("dance", 25, "task 'dance' is not in the calibration: threshold of all tasks"),
    ):
        judge, reason = back.decide(task)
        assert (judge.n_calibration, reason) == (n, why)
        assert judge.threshold() == made.decide(task)[0].threshold()
    rewrite(tmp_path / "b.safetensors", lambda d: d["per_task"]["own"][0].update(alpha=0.2))
    with pytest.raises(InputError, match="per_task: tasks differ in alpha"):
        Bundle.load(tmp_path / "b.safetensors")


def test_without_thresholds_per_task_every_task_is_judged_alike(bundle: Bundle) -> None:
    assert bundle.decide("anything") == (bundle.nonconformity, "")


def test_a_bundle_from_before_there_was_a_choice_keeps_its_digest(bundle: Bundle, file: Path) -> None:
    document = artefact.read_document(file, "bundle", 1)
    assert "per_task" not in document
    assert "method" not in document["nonconformity"]
    shipped = Path(__file__).parents[2] / "vla_policy" / "weights" / "bundle.safetensors"
    assert Bundle.load(shipped).digest == artefact.read_document(shipped, "bundle", 1)["digest"]


def test_realised_bound_beside_alpha(make_rollout: Make) -> None:
    """alpha = .1 promises .22 at n = 20, .17 at 50, .15 at 100."""
    for n, bound in ((20, 0.22), (50, 0.17), (100, 0.15)):
        made = build_bundle(
            POLICY, [], [make_rollout(i) for i in range(n)], alpha=0.1, seed=0, detectors=[Vfd()], method="cross"
        )
        assert made.n_calibration == n
        assert made.realised_bound == pytest.approx(bound, abs=0.005)


def test_equal_bundles_are_equal_files(bundle: Bundle, file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    Bundle.load(file).save(again)
    assert again.read_bytes() == file.read_bytes()


def test_identity_knows_the_tensors(bundle: Bundle) -> None:
    assert bundle.policy.tensors == {"features": (6,), "flow_times": (9,), "velocities": (1, 2, 1, 9, 4, 3)}


def test_any_changed_byte_of_a_tensor_is_noticed(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"monitor.safetensors: digest: content does not match its digest"):
        Bundle.load(file)


def test_any_changed_field_is_noticed(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'\\"alpha\\": 0.1', b'\\"alpha\\": 0.2'))
    with pytest.raises(InputError, match="digest"):
        Bundle.load(file)


@pytest.mark.parametrize("cut", [0, 100, -1])
def test_a_cut_file_is_named(file: Path, cut: int) -> None:
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"monitor.safetensors: cannot be read"):
        Bundle.load(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("policy"), "monitor.safetensors: policy: is missing"),
        (lambda d: d["policy"].pop("horizon"), "monitor.safetensors: policy: horizon: is missing"),
        (lambda d: d["policy"].update(dim="six"), "policy: dim: has the wrong type; expected int; found str"),
        (lambda d: d["policy"].update(space="JUMP"), "policy: space: is unknown"),
        (lambda d: d["nonconformity"].pop("thresholds"), "nonconformity: thresholds: is missing"),
        (lambda d: d["nonconformity"].update(alpha=0.01), "which allows alpha >="),
        (lambda d: d["nonconformity"].update(detectors=["oracle"]), "nonconformity: varying/oracle/mean"),
        (lambda d: d["detectors"].pop("vfd"), "detectors: vfd: is missing"),
        (lambda d: d["detectors"]["vfd"].update(version=0), "detectors/vfd: version"),
        (lambda d: d["detectors"]["vfd"].update(shape=[1, 2]), "detectors/vfd: shape"),
        (lambda d: d["detectors"]["safe_mlp"].update(layers=3), "detectors/safe_mlp: layer2/weight"),
        (lambda d: d.pop("provenance"), "provenance: is missing"),
    ],
)
def test_each_wrong_field_is_named(file: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    rewrite(file, change)
    with pytest.raises(InputError, match=message):
        Bundle.load(file)


def test_detectors_without_a_band_are_refused(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="detectors and bands differ"):
        Bundle(bundle.policy, {"vfd": bundle.detectors["vfd"]}, bundle.nonconformity)


def running(**changes: Any) -> SimpleNamespace:
    """What a policy announces, as in a PolicyInfo message."""
    info = {
        "fingerprint": "p1",
        "space": 3,
        "horizon": 4,
        "dim": 3,
        "step_duration": SimpleNamespace(sec=0, nanosec=50_000_000),
        "execute_steps": 2,
        "tensors": ["features", "flow_times", "velocities", "image_digest"],
    }
    return SimpleNamespace(**{**info, **changes})


def test_the_policy_it_was_made_for_fits(bundle: Bundle) -> None:
    assert bundle.mismatches(running()) == []
    assert bundle.mismatches(running(step_duration=0.05)) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"fingerprint": ""}, "fingerprint: expected p1, found nothing"),
        ({"space": 0}, "space: expected EE_DELTA, found JOINT_POSITION"),
        ({"space": 9}, "space: expected EE_DELTA, found 9"),
        ({"horizon": 8}, "horizon: expected 4, found 8"),
        ({"dim": 7}, "dim: expected 3, found 7"),
        ({"step_duration": 0.1}, "step_duration: expected 0.05 s, found 0.1 s"),
        ({"step_duration": math.nan}, "step_duration: expected 0.05 s, found nan s"),
        ({"execute_steps": 4}, "execute_steps: expected 2, found 4"),
        ({"tensors": ["features"]}, "tensors: expected flow_times, velocities, found features"),
        ({"tensors": []}, "tensors: expected features, flow_times, velocities, found none"),
    ],
)
def test_each_mismatch_is_named(bundle: Bundle, changes: dict[str, Any], line: str) -> None:
    assert bundle.mismatches(running(**changes)) == [line]


def test_all_mismatches_are_named_at_once(bundle: Bundle) -> None:
    assert len(bundle.mismatches(running(fingerprint="p2", dim=7, tensors=[]))) == 3


def test_identity_of_a_back_end() -> None:
    assert PolicyIdentity.of(running(), {"features": (6,)}) == PolicyIdentity(
        "p1", Space.EE_DELTA, 4, 3, 0.05, 2, {"features": (6,)}
    )
