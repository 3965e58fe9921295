"""Demonstrations of the scripted expert, successes only, one safetensors file a task."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from sim_node.actions import target_of
from sim_node.bed import Bed
from sim_node.expert import act
from sim_node.scene import Scene
from sim_node.tasks import FRANKA, Goal, Task
from vla_policy.observation import CAMERAS, Observation, proprioception, small_image

FRAME_STRIDE = 2
"""One rendered frame in so many control steps."""
GEOMETRY = 18
_SCALE = 5.0


def goal_geometry(scene: Scene, goals: Sequence[Goal]) -> NDArray[np.float32]:
    """Where the thing and its target are, for up to two goals (18,): what the image encoder learns to regress.

    For each goal: thing − grip point, target − grip point, target − thing (m), times 5; zeros where there is no goal.
    """
    out = np.zeros(GEOMETRY, np.float32)
    for i, goal in enumerate(goals):
        if goal.verb in ("in", "on"):
            thing, target = scene.place(goal.what), scene.target(goal.target)
        else:
            thing = scene.bar(goal.what)
            travel = scene.travel(goal.what) - (0.14 if goal.verb == "open" else 0.0)
            target = thing + [0, travel, 0]
        grip = scene.position
        out[9 * i : 9 * i + 9] = np.concatenate([thing - grip, target - grip, target - thing])
    return out * np.float32(_SCALE)


def demonstrate(bed: Bed, task: Task, seed: int) -> dict[str, NDArray[Any]] | None:
    """One episode of the expert, or ``None`` if it failed.

    Arrays over control steps: ``action`` (7), ``proprio`` (11), ``geometry`` (18); over frames: each camera
    (64, 64, 3) uint8.
    """
    bed.reset(task.instruction, seed)
    rows: dict[str, list[Any]] = {name: [] for name in ("action", "proprio", "geometry", *CAMERAS)}
    opening = 1.0
    for step in range(task.horizon):
        action = np.clip(act(bed.scene, task.goals), -1, 1)
        state = Observation({}, *bed.pose(), bed.scene.width, bed.instruction)
        if step % FRAME_STRIDE == 0:
            for name, image in bed.images().items():
                rows[name].append(small_image(image))
        rows["action"].append(action)
        rows["proprio"].append(proprioception(state, opening))
        rows["geometry"].append(goal_geometry(bed.scene, task.goals))
        position, rotation, opening = target_of(action, *bed.pose())
        bed.step_pose(position, rotation, opening)
        if bed.success():
            return {
                name: np.asarray(values, np.uint8 if name in CAMERAS else np.float32) for name, values in rows.items()
            }
    return None


def collect_task(task: Task, number: int, directory: Path, robot: str = FRANKA) -> Path:
    """Write ``number`` demonstrations of a robot's task, seeds from 0 up; keeps a finished file.

    The file holds the arrays of ``demonstrate`` end to end, and the ``length`` of each episode in control steps.
    """
    path = directory / (task.instruction.replace(" ", "_") + ".safetensors")
    if path.exists():
        return path
    bed, seed = Bed(robot=robot), 0
    episodes: list[dict[str, NDArray[Any]]] = []
    while len(episodes) < number and seed < 2 * number:
        episode = demonstrate(bed, task, seed)
        seed += 1
        if episode is not None:
            episodes.append(episode)
    if len(episodes) < number:
        raise RuntimeError(f"{task.instruction}: {len(episodes)} successes in {seed} attempts, wanted {number}")
    tensors = {name: np.concatenate([episode[name] for episode in episodes]) for name in episodes[0]}
    tensors["length"] = np.array([len(episode["action"]) for episode in episodes], np.int32)
    numbers = {"attempts": seed, "stride": FRAME_STRIDE, "open_width": bed.robot.open_width}
    metadata = {"instruction": task.instruction} | {name: json.dumps(value) for name, value in numbers.items()}
    partial = path.with_suffix(".part")
    save_file(tensors, partial, metadata)
    partial.rename(path)
    return path


def _collect(job: tuple[Task, int, Path, str]) -> Path:
    return collect_task(*job)


def collect(
    tasks: Sequence[Task],
    number: int,
    directory: Path,
    workers: int,
    progress: Callable[[Path], None],
    robot: str = FRANKA,
) -> list[Path]:
    """Collect demonstrations of a robot's tasks, one process a task, resumable."""
    directory.mkdir(parents=True, exist_ok=True)
    done = []
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for path in pool.imap_unordered(_collect, [(task, number, directory, robot) for task in tasks]):
            progress(path)
            done.append(path)
    return sorted(done)
