"""The bed: a seed gives the same bytes, tasks can be done, disturbances do what they say, stops are short."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from sim_node.bed import PUSH_FROM, PUSH_TO, Bed
from sim_node.control import SUBSTEPS
from sim_node.disturbances import DIMMED, PUSH_MAX, PUSH_MIN
from sim_node.objects import COLOURS
from sim_node.placement import OUTSIDE_MAX, OUTSIDE_MIN, box_of
from sim_node.scene import TIMESTEP
from sim_node.tasks import TASKS, of_split
from vla_uq.errors import InputError

CUBE = "put the red cube in the basket"


def digest(bed: Bed, expert: object, disturbance: str, steps: int = 30) -> str:
    found = hashlib.sha256()
    bed.reset(CUBE, 11, disturbance)
    for _ in range(steps):
        expert.step()  # type: ignore[attr-defined]
        found.update(bed.scene.data.qpos.tobytes() + bed.scene.data.qvel.tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("disturbance", ["none", "push"])
def test_seed_gives_the_same_bytes_whatever_was_played_before(bed, expert, disturbance):
    first = digest(bed, expert, disturbance)
    bed.reset("open the front drawer", 5)
    expert.play(20)
    assert digest(bed, expert, disturbance) == first


def test_two_beds_share_nothing(bed):
    other = Bed(render=False)
    bed.reset(CUBE, 1)
    before = bed.scene.data.qpos.copy()
    other.reset(CUBE, 2)
    other.step_joint(other.joints(), 0.0)
    assert np.array_equal(bed.scene.data.qpos, before)


@pytest.mark.parametrize("task", list(TASKS))
def test_expert_solves_every_task(bed, expert, task):
    solved = 0
    for seed in (900_001, 900_002):
        bed.reset(task, seed)
        assert not bed.success(), "solved before it began"
        solved += expert.play()
    assert solved == 2


def test_outside_puts_the_instructed_thing_beyond_the_box(bed):
    low, high = box_of(cabinet=False)
    for seed in range(20):
        bed.reset(CUBE, seed, "outside")
        xy = bed.scene.place("red cube")[:2]
        beyond = np.maximum(low - xy, xy - high).max()
        assert OUTSIDE_MIN - 0.002 < beyond < OUTSIDE_MAX + 0.002
        inside = bed.scene.place("soup can")[:2]
        assert (inside > low - 0.002).all() and (inside < high + 0.002).all()


def test_push_moves_the_instructed_thing_once_and_says_where_it_was(bed, expert):
    for seed in range(5):
        bed.reset(CUBE, seed, "push")
        start = bed.scene.place("red cube")[:2].copy()
        assert not bed.disturbed and bed.home_xy.size == 0
        hold = bed.joints()
        while not bed.disturbed:
            bed.step_joint(hold, 1.0)
            assert bed.step <= PUSH_TO
        assert bed.step > PUSH_FROM
        assert bed.home_xy == pytest.approx(start, abs=0.002)
        moved = np.linalg.norm(bed.scene.place("red cube")[:2] - bed.home_xy)
        assert PUSH_MIN - 0.005 < moved < PUSH_MAX + 0.005
        assert expert.play(2 * bed.horizon), "a pushed thing can still be grasped"


def test_lights_and_recolour_change_looks_alone_and_are_undone(bed):
    model_of = {}
    for disturbance in ("none", "lights", "recolour", "none"):
        bed.reset(CUBE, 3, disturbance)
        model, scene = bed.scene.model, bed.scene
        cube = model.geom_rgba[model.geom_bodyid == model.body("red cube").id][0, :3]
        look = (model.vis.headlight.diffuse.copy(), cube.copy(), scene.data.qpos.copy())
        if disturbance in model_of:
            assert all(np.array_equal(a, b) for a, b in zip(look, model_of[disturbance], strict=True))
        model_of[disturbance] = look
    light, cube, qpos = model_of["none"]
    assert model_of["lights"][0] == pytest.approx(DIMMED * light)
    assert model_of["recolour"][1] == pytest.approx(COLOURS["purple"])
    assert all(np.array_equal(look[2], qpos) for look in model_of.values())


@pytest.mark.parametrize(
    ("task", "disturbance", "field"),
    [
        ("put the cup away", "none", "task"),
        (CUBE, "earthquake", "disturbance"),
        ("open the front drawer", "push", "disturbance"),
        (CUBE, "unseen", "disturbance"),
    ],
)
def test_wrong_input_is_named_and_changes_nothing(bed, task, disturbance, field):
    bed.reset(CUBE, 3)
    before = bed.scene.data.qpos.copy()
    with pytest.raises(InputError) as error:
        bed.reset(task, 4, disturbance)
    assert error.value.where == field
    assert bed.instruction == CUBE and np.array_equal(bed.scene.data.qpos, before)


def test_joint_hold_brings_the_moving_arm_to_rest(bed, expert):
    """From policy speed: every joint's span over 200 ms below 2e-3 rad within .55 s, and no drift after."""
    window, times = 20, []
    for seed, task in enumerate(of_split("trained")):
        bed.reset(task.instruction, seed)
        expert.play(15)
        q, qd = bed.joints(), bed.scene.joint_velocities
        hold = q + np.sign(qd) * qd**2 / (2 * 15.0)
        bed.advance(2)  # the command takes a moment to arrive
        bed.controller.hold_joints(hold)
        path = [bed.joints()]
        for _ in range(100):
            bed.controller.advance(2)
            path.append(bed.joints())
        spans = [np.ptp(path[i - window : i + 1], axis=0).max() for i in range(window, len(path))]
        rest = window + next(i for i, span in enumerate(spans) if span < 2e-3)
        times.append(rest * 2 * TIMESTEP)
        assert np.abs(path[-1] - path[rest]).max() < 3e-3
        assert np.abs(path[rest] - hold).max() < 0.01
    assert np.median(times) <= 0.45 and np.percentile(times, 95) <= 0.55


def test_resting_arm_stays_where_it_is(bed):
    bed.reset(CUBE, 3)
    before = bed.joints()
    bed.controller.advance(20 * SUBSTEPS)
    assert np.abs(bed.joints() - before).max() < 1e-4
