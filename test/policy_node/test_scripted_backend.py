"""A policy whose disagreement is known: what a flow back end records, against closed forms; and faults on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_node.backends import BackendError, Inference, load
from vla_policy.manifest import normaliser
from vla_policy.observation import Observation
from vla_uq.bundle import PolicyIdentity
from vla_uq.errors import InputError
from vla_uq.flow.convention import TIMES, VELOCITIES, Convention
from vla_uq.flow.quadrature import grid, weights
from vla_uq.uncertainty.vfd import vfd

Folder = Callable[..., Path]
KNOWN = 5.4011
"""Σ W_k · 16 · 7 · (0.1² + 0.2²) / 2 over ten steps."""


def act(backend: Any, observation: Observation, seed: int = 0) -> Inference:
    backend.reset(observation.instruction, seed)
    found: Inference = backend.act(observation)
    return found


def found_vfd(backend: Any, observation: Observation, seed: int = 0) -> float:
    tensors = backend.introspect(act(backend, observation, seed))
    return vfd(tensors["velocities"], tensors["flow_times"])


def test_vfd_is_the_analytic_one_whatever_the_noise(scripted: Folder, observation: Observation) -> None:
    backend = load("", scripted())
    assert weights(grid()).sum() * 16 * 7 * (0.01 + 0.04) / 2 == pytest.approx(KNOWN, abs=5e-5)
    for seed in range(3):
        assert found_vfd(backend, observation, seed) == pytest.approx(KNOWN, abs=5e-4)
    inference = act(backend, observation)
    np.testing.assert_allclose(inference.actions[:, 0], 0.5 * 0.6 * 0.05, atol=1e-6)
    assert set(inference.gripper.tolist()) == {0.0}


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("velocity", VELOCITIES)
def test_every_convention_gives_the_same_policy(
    scripted: Folder, observation: Observation, time: str, velocity: str
) -> None:
    """The members of this back end speak in the convention that the manifest claims."""
    ours, theirs = load("", scripted()), load("", scripted(time=time, velocity=velocity))
    first, second = act(ours, observation), act(theirs, observation)
    np.testing.assert_allclose(first.actions, second.actions, atol=1e-6)
    for name, value in ours.introspect(first).items():
        np.testing.assert_allclose(theirs.introspect(second)[name], value, atol=1e-4, err_msg=name)
    usual = (time, velocity) == (TIMES[0], VELOCITIES[0])
    assert (theirs.info.fingerprint == ours.info.fingerprint) == usual


@given(st.floats(0.0, 1.0, width=32))
def test_a_convention_names_the_same_moment_and_direction(t: float) -> None:
    x, time = np.ones((1, 2, 3), np.float32), np.full(1, t, np.float32)
    field = Convention("to_noise", "to_noise").canonical(lambda x, t: x * t[:, None, None])
    np.testing.assert_allclose(field(x, time), -(1 - time[0]) * x, atol=1e-6)


def test_padding_is_sliced_off_before_anything_is_compared(scripted: Folder, observation: Observation) -> None:
    """Columns beyond the real ones may hold anything."""
    wide = load("", scripted(padded_dim=32, chunk=(0.5, 0.0, -0.5, 0.0, 0.0, 0.0, 1.0, *[900.0] * 25)), draws=2)
    inference = act(wide, observation)
    tensors = wide.introspect(inference)
    assert tensors["velocities"].shape == (1, 3, 1, 9, 16, 7) and tensors["samples"].shape == (3, 2, 16, 7)
    assert vfd(tensors["velocities"], tensors["flow_times"]) == pytest.approx(KNOWN, abs=5e-4)
    np.testing.assert_allclose(inference.actions[:, 0], 0.5 * 0.6 * 0.05, atol=1e-6)


@pytest.mark.parametrize(("nodes", "share"), [(3, "79.5 %"), (5, "92.5 %"), (9, "100.0 %")])
def test_the_last_nodes_hold_the_share_that_is_said(
    scripted: Folder, observation: Observation, nodes: int, share: str
) -> None:
    backend = load("", scripted(), nodes=nodes)
    assert backend.info.remarks["share of VFD's weight"] == share
    tensors = backend.introspect(act(backend, observation))
    np.testing.assert_allclose(tensors["flow_times"], grid()[-nodes:], atol=1e-7)
    assert tensors["velocities"].shape == (1, 3, 1, nodes, 16, 7)
    part = vfd(tensors["velocities"], tensors["flow_times"]) / KNOWN
    assert 100 * part == pytest.approx(float(share[:-2]), abs=0.06)


def test_further_paths_are_compared_and_leave_the_executed_one_alone(
    scripted: Folder, observation: Observation
) -> None:
    folder = scripted()
    one, more = load("", folder), load("", folder, paths=4, draws=2)
    first, second = act(one, observation), act(more, observation)
    np.testing.assert_array_equal(first.actions, second.actions)
    alone, tensors = one.introspect(first), more.introspect(second)
    assert tensors["velocities"].shape == (1, 3, 4, 9, 16, 7) and tensors["samples"].shape == (3, 2, 16, 7)
    np.testing.assert_allclose(tensors["velocities"][:, :, :1], alone["velocities"], atol=1e-5)
    # Fields that differ by constants differ by the same on every path.
    assert vfd(tensors["velocities"], tensors["flow_times"]) == pytest.approx(KNOWN, abs=5e-4)
    assert len(np.unique(tensors["velocities"][0, 0, :, 0, 0, 0])) == 4


def test_another_subset_is_another_policy_to_a_bundle(scripted: Folder) -> None:
    folder = scripted()
    options: list[dict[str, int]] = [{}, {"nodes": 9}, {"draws": 3}, {"nodes": 3}, {"nodes": 4}, {"paths": 2}]
    found = [load("", folder, **one).info.fingerprint for one in options]
    assert found[0] == found[1] == found[2], "all nodes, or chunks for other scores, change no VFD"
    assert len(set(found)) == 4
    calibrated = PolicyIdentity.of(load("", folder, nodes=3).info)
    assert calibrated.mismatches(load("", folder, nodes=3).info) == []
    assert [line.partition(":")[0] for line in calibrated.mismatches(load("", folder).info)] == ["fingerprint"]


@pytest.mark.parametrize(
    ("fields", "options", "named"),
    [
        ({}, {"nodes": 10}, "nodes"),
        ({}, {"nodes": -1}, "nodes"),
        ({}, {"paths": 0}, "paths"),
        ({}, {"last_layer": True}, "last_layer"),
        ({"chunk": (0.0,) * 6}, {}, "chunk"),
        ({"offsets": (0.0, 1.0)}, {}, "offsets"),
        ({"faults": {"0": "explode"}}, {}, "faults"),
        ({"faults": {"0": "late"}}, {}, "faults"),
        ({"faults": {"0": "late soon"}}, {}, "faults"),
        ({"faults": {"0": "nan 3"}}, {}, "faults"),
        ({"flow_steps": 1}, {}, "flow_steps"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    scripted: Folder, fields: dict[str, Any], options: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        load("", scripted(**fields), **options)


def test_members_of_other_statistics_are_refused_by_member_and_hashes(scripted: Folder) -> None:
    own, other = normaliser((0.6, 0.6, 0.6, 0.15, 0.15, 0.15, 1.0)), normaliser((0.5,) * 7)
    load("", scripted(normalisers=(own,) * 3))
    with pytest.raises(InputError, match=f"member 2 .*expected {own}; found {other}"):
        load("", scripted(normalisers=(own, own, other)))


def test_faults_come_when_they_are_told_to(scripted: Folder, observation: Observation) -> None:
    backend = load("", scripted(faults={"1": "raise", "2": "nan", "3": "mute", "4": "late 0.05", "5": "hang"}))
    good = act(backend, observation)
    with pytest.raises(BackendError):
        backend.act(observation)
    assert np.isnan(backend.act(observation).actions).all()
    mute = backend.act(observation)
    np.testing.assert_allclose(mute.actions, good.actions, atol=1e-7)
    with pytest.raises(BackendError):
        backend.introspect(mute)
    np.testing.assert_allclose(backend.act(observation).actions, good.actions, atol=1e-7)
    threading.Timer(0.05, backend.close).start()
    with pytest.raises(BackendError, match="hang"):
        backend.act(observation)
