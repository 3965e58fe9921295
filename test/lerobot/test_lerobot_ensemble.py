"""Ensembles of LeRobot's own policies: sharing changes the cost and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_policies import HORIZON, REAL, STEPS, Make, batch, noise

from vla_uq.errors import InputError
from vla_uq.flow.quadrature import weights

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.lerobot
MODEL = ("vlm.", "paligemma.")


def experts(make_policy: Make, family: str, count: int) -> list[Any]:
    """Members with one vision-language model and experts (and state projections) of their own."""
    members = [make_policy(family, seed) for seed in range(count)]
    model = {k: v for k, v in members[0].state_dict().items() if any(f"expert.{m}" in k for m in MODEL)}
    assert model
    for member in members[1:]:
        member.load_state_dict(model, strict=False)
    return members


def test_a_shared_prefix_is_the_members_own(family: str, make_policy: Make) -> None:
    from vla_server.lerobot.ensemble import Ensemble

    shared = Ensemble(experts(make_policy, family, 3))
    own = Ensemble(experts(make_policy, family, 3), share=False)
    assert shared.shared == (True, True) and own.shared == (False, False)
    start = noise()[0].numpy()
    results = [ensemble.velocities(ensemble.sample(batch(), start)) for ensemble in (shared, own)]
    assert results[0].shape == (1, 3, 1, STEPS - 1, HORIZON, REAL)
    np.testing.assert_allclose(results[0], results[1], atol=1e-5)
    assert np.abs(results[0][0, 0] - results[0][0, 1]).max() > 0.05  # the members do differ
    again = shared.velocities(shared.sample(batch(), start))
    np.testing.assert_array_equal(again, results[0])


def test_the_state_reaches_every_member(make_policy: Make) -> None:
    from vla_server.lerobot.ensemble import Ensemble
    from vla_server.lerobot.sharing import arguments_for
    from vla_server.lerobot.tap import FlowTap

    first, second = experts(make_policy, "smolvla", 2)
    ensemble = Ensemble([first, second])
    sampled, tap = ensemble.sample(batch(), noise()[0].numpy()), FlowTap(second)
    states, times = torch.cat(sampled.passage.states), torch.cat(sampled.passage.times)
    own = tap.velocities(tap.prefix(batch()).arguments, states, times)
    shared = arguments_for(tap, sampled.passage.arguments, batch())
    assert shared is not None
    assert (tap.velocities(shared, states, times) - own).abs().max() <= 1e-5
    # Taken as it is, the actor's prefix is wrong by far more than rounding: the check above sees the token.
    assert (tap.velocities(sampled.passage.arguments, states, times) - own).abs().max() > 1e-4


def test_padding_behind_the_state_is_not_shared(make_policy: Make) -> None:
    from vla_server.lerobot.ensemble import Ensemble

    members = [make_policy("smolvla", 0, prefix_length=40), make_policy("smolvla", 0, prefix_length=40)]
    ensemble = Ensemble(members)
    velocities = ensemble.velocities(ensemble.sample(batch(), noise()[0].numpy()))
    np.testing.assert_allclose(velocities[0, 1], velocities[0, 0], atol=1e-5)


def test_other_models_are_not_shared(family: str, make_policy: Make) -> None:
    from vla_server.lerobot.ensemble import Ensemble

    members = [make_policy(family, seed) for seed in range(2)]
    ensemble = Ensemble(members)
    assert ensemble.shared == (False,)
    sampled = ensemble.sample(batch(), noise()[0].numpy())
    alone = Ensemble([members[1]])
    other = alone._taps[0]
    states, times = torch.cat(sampled.passage.states[1:]), torch.cat(sampled.passage.times[1:])
    expected = other.velocities(other.prefix(batch()).arguments, states, times)
    np.testing.assert_allclose(ensemble.velocities(sampled)[0, 1, 0], -expected[..., :REAL].numpy(), atol=1e-6)


def test_velocities_lead_to_the_actions(family: str, make_policy: Make) -> None:
    from vla_server.lerobot.ensemble import Ensemble

    ensemble = Ensemble([make_policy(family, 0)])
    sampled = ensemble.sample(batch(), noise()[0].numpy())
    own = ensemble.velocities(sampled)[0, 0, 0]
    second = sampled.passage.states[1][0, :, :REAL].numpy()
    np.testing.assert_allclose(second + own.sum(0) / STEPS, sampled.actions[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(ensemble.flow_times(), np.arange(1, STEPS) / STEPS, atol=1e-6)
    assert ensemble.layers(sampled).shape[:2] == (STEPS, HORIZON)
    assert ensemble.prefix(sampled).ndim == 1


def test_fewer_nodes_say_how_much_weight_they_hold(make_policy: Make) -> None:
    from vla_server.lerobot.ensemble import Ensemble

    members = [make_policy("smolvla", seed) for seed in range(2)]
    full, last = Ensemble(members), Ensemble(members, nodes=3)
    assert full.weight_share == pytest.approx(1)
    assert last.weight_share == pytest.approx(0.795, abs=5e-4)
    sampled = full.sample(batch(), noise()[0].numpy())
    np.testing.assert_allclose(last.velocities(sampled), full.velocities(sampled)[:, :, :, -3:], atol=1e-5)
    np.testing.assert_allclose(weights(last.flow_times()), weights(full.flow_times())[-3:], rtol=1e-5)


def test_members_that_do_not_fit_are_refused(make_policy: Make) -> None:
    from vla_server.lerobot.ensemble import Ensemble

    with pytest.raises(InputError, match="members differ"):
        Ensemble([make_policy("smolvla", 0), make_policy("smolvla", 1, num_steps=5)])
    with pytest.raises(InputError, match="nodes"):
        Ensemble([make_policy("smolvla", 0)], nodes=STEPS)
