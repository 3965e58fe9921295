"""The tap on LeRobot's own code: nothing changes, and what is heard is what happened."""

from __future__ import annotations

import pytest
from tiny_policies import HORIZON, PADDED, REAL, STEPS, Make, batch, noise

from vla_server.lerobot.environment import check_version
from vla_uq.errors import InputError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.lerobot


def test_tapped_actions_are_the_untapped_ones(family: str, make_policy: Make) -> None:
    from vla_server.lerobot.tap import FlowTap

    policy = make_policy(family, 0)
    before = policy.predict_action_chunk(batch(), noise=noise())
    actions, _ = FlowTap(policy).sample(batch(), noise())
    after = policy.predict_action_chunk(batch(), noise=noise())
    assert torch.equal(actions, before)
    assert torch.equal(after, before)
    assert "denoise_step" not in vars(policy.model)


def test_velocities_replay_the_path(family: str, make_policy: Make) -> None:
    from vla_server.lerobot.tap import FlowTap

    actions, passage = FlowTap(make_policy(family, 0)).sample(batch(), noise())
    assert len(passage.states) == len(passage.velocities) == len(passage.layers) == STEPS
    assert torch.equal(passage.states[0], noise())
    times = torch.cat(passage.times)
    torch.testing.assert_close(times, 1 - torch.arange(STEPS) / STEPS)
    for k in range(STEPS):
        later = passage.states[k] - passage.velocities[k] / STEPS
        expected = passage.states[k + 1] if k + 1 < STEPS else actions
        assert (later[..., : expected.shape[-1]] - expected).abs().max() <= 1e-6
    assert actions.shape == (1, HORIZON, REAL)
    assert passage.states[0].shape == (1, HORIZON, PADDED)
    assert passage.prefix is not None and passage.prefix.ndim == 2


def test_layers_are_what_the_head_reads(family: str, make_policy: Make) -> None:
    from vla_server.lerobot.tap import FlowTap

    policy = make_policy(family, 0)
    _, passage = FlowTap(policy).sample(batch(), noise())
    for layer, velocity in zip(passage.layers, passage.velocities, strict=True):
        assert torch.equal(policy.model.action_out_proj(layer), velocity)


def test_batched_velocities_are_the_sequential_ones(family: str, make_policy: Make) -> None:
    from vla_server.lerobot.tap import FlowTap

    tap = FlowTap(make_policy(family, 0))
    _, passage = tap.sample(batch(), noise())
    for arguments in (passage.arguments, tap.prefix(batch()).arguments):
        batched = tap.velocities(arguments, torch.cat(passage.states), torch.cat(passage.times))
        assert (batched - torch.cat(passage.velocities)).abs().max() <= 1e-5
    assert batched.std() > 0.01  # not equal because nothing happens


def test_the_network_sees_the_flow_time(family: str, make_policy: Make) -> None:
    from vla_server.lerobot.tap import FlowTap

    tap = FlowTap(make_policy(family, 0))
    _, passage = tap.sample(batch(), noise())
    state = passage.states[0].expand(2, -1, -1)
    early, late = tap.velocities(passage.arguments, state, torch.tensor([0.2, 0.8]))
    assert (early - late).abs().max() > 1e-4


def test_real_time_chunking_is_heard_raw(family: str, make_policy: Make) -> None:
    from lerobot.policies.rtc.configuration_rtc import RTCConfig

    from vla_server.lerobot.tap import FlowTap

    policy = make_policy(family, 0, rtc_config=RTCConfig(enabled=True, execution_horizon=2))
    tap, left = FlowTap(policy), torch.full((1, HORIZON, PADDED), 2.0)
    guidance = {"inference_delay": 1, "prev_chunk_left_over": left}
    expected = policy.predict_action_chunk(batch(), noise=noise(), **guidance)
    actions, passage = tap.sample(batch(), noise(), **guidance)
    assert torch.equal(actions, expected)
    raw = tap.velocities(passage.arguments, torch.cat(passage.states), torch.cat(passage.times))
    assert (raw - torch.cat(passage.velocities)).abs().max() <= 1e-5
    guided = (passage.states[0] - passage.states[1]) * STEPS
    assert (guided - passage.velocities[0]).abs().max() > 1e-2
    assert not any(value.requires_grad for value in passage.velocities + passage.states + passage.layers)


def test_a_compiled_policy_is_refused(make_policy: Make) -> None:
    from vla_server.lerobot.tap import FlowTap

    policy = make_policy("smolvla", 0)
    policy.config.compile_model = True
    with pytest.raises(InputError, match="compile_model"):
        FlowTap(policy)


@pytest.mark.parametrize(("name", "reason"), [("pi0", "grows at every step"), ("pi05", "never sees the flow time")])
def test_pi_is_refused_on_the_versions_that_are_wrong_for_it(name: str, reason: str) -> None:
    check_version(name, (0, 6))
    with pytest.raises(InputError, match=reason):
        check_version(name, (0, 4))


def test_a_policy_without_these_places_is_refused() -> None:
    with pytest.raises(InputError, match="no policy that can be tapped"):
        check_version("act", (0, 6))
