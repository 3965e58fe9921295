"""Demonstrations of the scripted expert on LIBERO, in the same files as those of the embedded bed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from sim_node.demonstrations import GEOMETRY
from sim_node.expert import POSITION_STEP, ROTATION_STEP
from sim_node.libero.bed import LiberoBed
from sim_node.libero.expert import Expert
from sim_node.libero.tasks import LiberoTask
from sim_node.libero.world import Goal, World
from vla_policy.observation import CAMERAS, Observation, initial_gripper, proprioception, small_image
from vla_uq.errors import InputError

FRAME_STRIDE = 3
"""A chunk to learn from begins in one of so many control steps, where nothing is about to push the arm."""
CHUNK, HOLD = 16, 5
STATES = 25
"""Demonstrations begin in the first so many initial states of a task; the others are kept for rollouts."""
STEPS = np.array([POSITION_STEP] * 3 + [ROTATION_STEP] * 3)
PUSH_STEPS, PUSH_APART, PUSH_CLEAR = 5, (10, 26), 7
"""A push lasts so many control steps, the next comes so many after it, and no chunk begins so shortly before one."""
PUSH = np.array([0.9] * 3 + [0.15] * 3)
"""Largest action that a push adds: some 4 cm and 0.15 rad over its length."""
_SCALE = 5.0


def geometry(world: World, goals: tuple[Goal, ...]) -> NDArray[np.float32]:
    """Where thing and target are, for up to two goals (18,): what the image encoder learns to regress.

    For each: thing − grip point, target − grip point, target − thing (m), times 5; zeros where there is no goal.
    """
    out = np.zeros(GEOMETRY, np.float32)
    grip = world.controller.position
    for i, goal in enumerate(goals[:2]):
        if goal.target:
            thing, target = world.place(goal.what), world.place(goal.target)
        else:
            joint = world.joint(goal.what)
            thing = world.data.xpos[world.model.jnt_bodyid[joint]].copy()
            slides = goal.verb == "close"
            target = thing - world.data.xaxis[joint] * world.travel(joint) if slides else thing
        out[9 * i : 9 * i + 9] = np.concatenate([thing - grip, target - grip, target - thing])
    return out * np.float32(_SCALE)


class Pushes:
    """Pushes the arm off the expert's path now and then, so that demonstrations show the way back."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._offset = np.zeros(6)
        self._next = int(self._rng.integers(*PUSH_APART))

    def at(self, step: int, delicate: bool) -> NDArray[np.float64]:
        """What is added to the action (6,) of a step; steps come in order.

        :param delicate: no push now, nor in the next few steps.
        """
        if step == self._next + PUSH_STEPS:
            self._next = step + int(self._rng.integers(*PUSH_APART))
        if delicate and step <= self._next:
            self._next = max(self._next, step + PUSH_CLEAR)
        if step == self._next:
            self._offset = self._rng.uniform(-PUSH, PUSH)
        return self._offset if step >= self._next else np.zeros(6)

    def clear(self, step: int) -> bool:
        """Whether a chunk may begin at a step: nothing pushes while its first actions are executed."""
        return step + PUSH_CLEAR <= self._next


def demonstrate(bed: LiberoBed, task: LiberoTask, seed: int) -> dict[str, NDArray[Any]] | None:
    """One episode of the expert, or ``None`` if it failed. The actions kept are the expert's own, not what a push made
    of them.

    Arrays over chunk starts: ``action`` (16, 7), ``proprio`` (11), ``geometry`` (18), each camera (64, 64, 3) uint8.
    """
    bed.reset(task.instruction, seed % STATES)
    world, expert, pushes = bed.world, Expert(bed.world), Pushes(seed)
    open_goals = tuple(goal for goal in world.goals if goal.verb == "close" or not world.holds(goal))
    rows: dict[str, list[Any]] = {name: [] for name in ("proprio", "geometry", *CAMERAS)}
    actions: list[NDArray[np.float64]] = []
    starts: list[int] = []
    opening = initial_gripper(_state(bed))
    for action in expert.actions():
        if bed.step >= task.horizon:
            return None
        actions.append(np.clip(action, -1, 1))
        push = pushes.at(bed.step, expert.delicate)
        if bed.step % FRAME_STRIDE == 0 and pushes.clear(bed.step):
            starts.append(bed.step)
            for name, image in bed.images().items():
                rows[name].append(small_image(image))
            rows["proprio"].append(proprioception(_state(bed), opening))
            rows["geometry"].append(geometry(world, open_goals))
        opening = 0.0 if action[6] > 0 else 1.0
        bed.step_delta(np.clip(action[:6] + push, -1, 1) * STEPS, opening)
        if bed.success():
            episode = {name: np.asarray(row, np.uint8 if name in CAMERAS else np.float32) for name, row in rows.items()}
            return episode | {"action": _windows(np.array(actions), starts)}
    return None


def _windows(actions: NDArray[np.float64], starts: list[int]) -> NDArray[np.float32]:
    """The next 16 actions from each start; past the end the arm rests and the gripper keeps its last command."""
    rest = actions[-1] * np.array([0, 0, 0, 0, 0, 0, 1])
    padded = np.concatenate([actions, np.repeat(rest[None], CHUNK, 0)])
    return padded[np.array(starts)[:, None] + np.arange(CHUNK)].astype(np.float32)


def _state(bed: LiberoBed) -> Observation:
    return Observation({}, *bed.pose(), bed.world.controller.width, bed.instruction)


def collect_task(task: LiberoTask, number: int, directory: Path) -> Path:
    """Write the successes of ``number`` demonstrations of a task; keeps a finished file.

    In the file every chunk is an episode of its own: its 16 actions, and one frame at its start.

    :raises InputError: when the expert solves none.
    """
    path = directory / f"{task.suite}-{task.index}.safetensors"
    if path.exists():
        return path
    bed = LiberoBed(hold=HOLD)
    episodes = [episode for seed in range(number) if (episode := demonstrate(bed, task, seed)) is not None]
    bed.close()
    if not episodes:
        raise InputError("the expert never succeeds", where=task.instruction, found=f"0 of {number}")
    tensors = {name: np.concatenate([episode[name] for episode in episodes]) for name in episodes[0]}
    chunks = len(tensors["action"])
    tensors["action"] = tensors["action"].reshape(-1, tensors["action"].shape[-1])
    for name in ("proprio", "geometry"):  # a row a control step, of which the first of a chunk is read
        tensors[name] = np.repeat(tensors[name], CHUNK, 0)
    tensors["length"] = np.full(chunks, CHUNK, np.int32)
    metadata = {
        "instruction": task.instruction,
        "attempts": json.dumps(number),
        "successes": json.dumps(len(episodes)),
        "stride": json.dumps(CHUNK),
    }
    partial = path.with_suffix(".part")
    partial.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, partial, metadata)
    partial.replace(path)
    return path
