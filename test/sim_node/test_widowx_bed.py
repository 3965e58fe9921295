"""The WidowX's table: every task can be done, disturbances do what they say, a seed gives the same bytes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from sim_node.actions import target_of
from sim_node.bed import Bed
from sim_node.disturbances import DISTURBANCES, PUSH_MAX, PUSH_MIN
from sim_node.expert import act
from sim_node.placement import OUTSIDE_MIN, box_of
from sim_node.tasks import of_split, task_of, tasks_of
from sim_node.widowx.model import WIDOWX
from vla_uq.errors import InputError

CARROT = "put the carrot on the plate"


@pytest.fixture(scope="module")
def widowx():
    return Bed(render=False, robot="widowx")


def play(bed, steps):
    for _ in range(steps):
        if bed.success():
            return True
        bed.step_pose(*target_of(np.clip(act(bed.scene, bed.task.goals), -1, 1), *bed.pose()))
    return bed.success()


@pytest.mark.parametrize("task", list(tasks_of("widowx")))
def test_expert_solves_every_task(widowx, task):
    for seed in (900_101, 900_102):
        widowx.reset(task, seed)
        assert not widowx.success(), "solved before it began"
        assert play(widowx, widowx.horizon)


def test_the_bridge_tasks_and_enough_to_train_on():
    trained = {task.instruction for task in of_split("trained", "widowx")}
    assert {
        CARROT,
        "put the spoon on the cloth",
        "stack the green block on the yellow block",
        "put the eggplant in the basket",
    } < trained
    assert len(trained) >= 6


def test_every_word_of_an_unseen_instruction_is_trained():
    known = {word for task in of_split("trained", "widowx") for word in task.instruction.split()}
    unseen = of_split("unseen", "widowx")
    assert unseen and all(set(task.instruction.split()) <= known for task in unseen)


def test_seed_gives_the_same_bytes_whatever_was_played_before(widowx):
    def digest():
        found = hashlib.sha256()
        widowx.reset(CARROT, 11, "push")
        for _ in range(25):
            play(widowx, 1)
            found.update(widowx.scene.data.qpos.tobytes() + widowx.scene.data.qvel.tobytes())
        return found.hexdigest()

    first = digest()
    widowx.reset("put the corn on the plate", 5)
    play(widowx, 10)
    assert digest() == first


def test_each_robot_knows_its_own_tasks_only(widowx):
    with pytest.raises(InputError) as error:
        widowx.reset("open the front drawer", 0)
    assert error.value.where == "task"
    with pytest.raises(InputError):
        task_of(CARROT)


def test_outside_and_push(widowx):
    low, high = box_of(False, WIDOWX)
    for seed in range(5):
        widowx.reset(CARROT, seed, "outside")
        xy = widowx.scene.place("carrot")[:2]
        assert np.maximum(low - xy, xy - high).max() > OUTSIDE_MIN - 0.002
        widowx.reset(CARROT, seed, "push")
        hold = widowx.joints()
        while not widowx.disturbed:
            widowx.step_joint(hold, 1.0)
        moved = np.linalg.norm(widowx.scene.place("carrot")[:2] - widowx.home_xy)
        assert PUSH_MIN - 0.005 < moved < PUSH_MAX + 0.005
        assert play(widowx, 2 * widowx.horizon), "a pushed thing can still be grasped"


def test_every_disturbance_has_tasks():
    for disturbance in DISTURBANCES.values():
        assert disturbance.tasks("widowx")


def test_built_worlds_are_one_a_table(widowx):
    assert len(widowx.build()) == len({task.things for task in tasks_of("widowx").values()}) == 4
