"""The LIBERO bed: equal to robosuite, behind the embedded bed's interface. Needs LIBERO and its assets."""

from __future__ import annotations

import numpy as np
import pytest

from vla_uq.errors import InputError

SOUP = "pick up the alphabet soup and place it in the basket"
STEPS = np.array([0.05] * 3 + [0.5] * 3)


def _task(instruction: str):
    from sim_node.libero.tasks import task_of

    return task_of(instruction)


@pytest.fixture(scope="module")
def bed():
    from sim_node.libero.bed import LiberoBed
    from sim_node.libero.package import load

    try:
        load()
    except InputError as error:
        pytest.skip(str(error))
    made = LiberoBed()
    yield made
    made.close()


def test_a_reset_is_what_task_seed_and_disturbance_say(bed):
    starts = {}
    for disturbance in ("none", "outside", "arm", "lights"):
        for _ in range(2):
            bed.reset(SOUP, 7, disturbance)
            state = bed.world.data.qpos.copy()
            np.testing.assert_array_equal(starts.setdefault(disturbance, state), state)
        assert not bed.success()
        assert bed.step == 0
    address = bed.world.free_address("alphabet_soup_1")
    moved = np.linalg.norm((starts["outside"] - starts["none"])[address : address + 2])
    assert 0.05 < moved < 0.11
    assert np.abs((starts["arm"] - starts["none"])[bed.world.controller.arm.qpos]).max() > 0.05
    np.testing.assert_array_equal(starts["lights"], starts["none"])


def test_unknown_task_disturbance_and_suite_are_refused(bed):
    from sim_node.libero.tasks import suite_tasks

    for refused in (lambda: bed.reset("fly", 0), lambda: bed.reset(SOUP, 0, "storm"), lambda: suite_tasks("libero_1")):
        with pytest.raises(InputError, match="unknown"):
            refused()


def test_it_observes_as_the_embedded_bed_does(bed):
    from vla_policy.observation import initial_gripper

    bed.reset(SOUP, 0)
    seen = bed.observe()
    assert {name: image.shape for name, image in seen.images.items()} == dict.fromkeys(
        ("agentview", "wrist"), (128, 128, 3)
    )
    assert all(image.std() > 10 for image in seen.images.values())
    assert seen.instruction == bed.instruction == SOUP
    assert initial_gripper(seen) == 1.0
    bright = seen.images["agentview"].mean()
    bed.reset(SOUP, 0, "lights")
    assert bed.observe().images["agentview"].mean() < 0.7 * bright


def test_a_pose_target_and_a_displacement_are_the_same_step(bed):
    from vla_uq.geometry import compose

    delta = np.array([0.02, -0.03, 0.01, 0.1, -0.05, 0.08])
    bed.reset(SOUP, 1)
    bed.step_delta(delta, 0.0)
    displaced = bed.world.data.qpos.copy()
    bed.reset(SOUP, 1)
    bed.step_pose(*compose(*bed.pose(), delta), 0.0)
    np.testing.assert_allclose(bed.world.data.qpos, displaced, atol=1e-9)


def test_the_controller_equals_robosuites(bed):
    """40 random actions from one state, ours and robosuite's own step: the grip point parts by less than 1e-6 m."""
    mujoco = pytest.importorskip("mujoco")
    rng = np.random.default_rng(0)
    moves = rng.uniform(-1, 1, (40, 6)) * [1, 1, 0.6, 0.3, 0.3, 0.5]
    actions = np.concatenate([moves, np.where(rng.random((40, 1)) < 0.5, -1.0, 1.0)], 1)
    actions[5, 3:6] = 0  # robosuite keeps the last rotation then
    bed.reset(SOUP, 0)
    world, ours = bed.world, []
    world.lay_out(world.states[0])
    for action in actions:
        bed.step_delta(action[:6] * STEPS, (1 - action[6]) / 2)
        ours.append(world.controller.position)
    inner = world.env.env
    robot = inner.robots[0]
    world.env.set_init_state(world.states[0])
    robot.controller.update_initial_joints(np.array(robot.init_qpos))
    robot.gripper.current_action = np.zeros(2)
    world.env.set_init_state(world.states[0])
    robot.controller.update(force=True)
    robot.controller.reset_goal()
    for action, position in zip(actions, ours, strict=True):
        inner.step(action)
        mujoco.mj_kinematics(world.model, world.data)  # robosuite's last substep has moved what was computed before it
        np.testing.assert_allclose(world.controller.position, position, rtol=0, atol=1e-6)


def test_the_expert_solves_a_task_though_it_is_pushed(bed):
    from sim_node.libero.demonstrations import demonstrate

    episode = demonstrate(bed, _task(SOUP), 0)
    assert episode is not None and bed.success()
    chunks = len(episode["action"])
    assert 10 < chunks < bed.step / 3 + 1
    assert episode["action"].shape == (chunks, 16, 7) and np.abs(episode["action"]).max() <= 1
    assert episode["proprio"].shape == (chunks, 11)
    assert episode["geometry"].shape == (chunks, 18)
    assert episode["wrist"].shape == (chunks, 64, 64, 3)
    thing = np.linalg.norm(episode["geometry"][:, :3] / 5, axis=1)
    assert thing[-1] < 0.15 < thing[0]


def test_rollouts_are_kept_and_played_once(bed, tmp_path):
    """A policy of random weights, one episode: what the store holds, and that it is not asked for again."""
    torch = pytest.importorskip("torch")
    from benchmarks.libero import rollouts
    from vla_policy.export import export
    from vla_policy.nets import Member
    from vla_uq.rollouts.store import RolloutStore

    torch.manual_seed(0)
    export([Member().eval(), Member().eval()], tmp_path / "policy", {})
    episodes = tuple(rollouts.episodes(SOUP, rollouts.Options(tmp_path / "policy", nominal=1, disturbed=0)))
    job = rollouts.Job(_task(SOUP), 0, episodes, tmp_path / "policy", 3, tmp_path / "store")
    assert rollouts.play_task(job) == 0
    (rollout,) = RolloutStore(tmp_path / "store")
    assert rollout.meta.extra == {"suite": "libero_object", "task_id": 0, "horizon": 240}
    assert (rollout.meta.steps, rollout.meta.success, rollout.meta.execute_steps) == (240, False, 6)
    assert rollout.tensor("samples").shape == (40, 2, 3, 16, 7)
    assert rollout.tensor("features").shape[0] == 40
    assert len(rollouts.summary(tmp_path / "store").rows) == 2
