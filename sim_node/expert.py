"""The scripted expert. It has no memory: the action is a function of the state, so demonstrations are unimodal and it
picks up wherever a person would: after a push, a drop, or a policy that gave up half-way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_node.cabinet import DRAWERS
from sim_node.goals import Goal
from sim_node.scene import Scene

Vector = NDArray[np.float64]
POSITION_STEP, ROTATION_STEP = 0.05, 0.5
"""Metres and radians of target offset at |action| = 1."""
OPEN, CLOSE = -1.0, 1.0


def act(scene: Scene, goals: tuple[Goal, ...]) -> Vector:
    """The expert's action (7,) in [−1, 1]: displacement, rotation vector, gripper (−1 opens, +1 closes)."""
    for i, goal in enumerate(goals):
        waits = goal.verb == "close" and i > 0 and not scene.holds(goals[0])
        if scene.holds(goal) or waits:
            continue
        if goal.verb in ("in", "on"):
            drop = _drop_point(scene, goal, i, len(goals))
            return place(scene, goal.what, drop, done=scene.in_place(goal))
        return _open(scene, goal.what) if goal.verb == "open" else _close(scene, goal.what)
    return np.array([0, 0, 0.5, 0, 0, 0, OPEN])


def place(scene: Scene, what: str, drop: Vector, done: bool) -> Vector:
    """Bring a thing so that the grip point is at ``drop`` (3,), and let go; ``done`` says it lies where it should."""
    kind = scene.kind(what)
    grasp = scene.place(what) + [0, kind.grasp_y, kind.grasp_height]
    if done or (_near(scene, drop, 0.02, 0.016) and scene.opening > 0):
        return toward(scene, scene.position, OPEN)  # let go, and keep letting go
    if _held(scene, what):
        drop = drop + [*(scene.position - grasp)[:2], 0]
        return toward(scene, drop, OPEN if _near(scene, drop) else CLOSE)
    return toward(scene, grasp, CLOSE if _near(scene, grasp) else OPEN)


def put_back(scene: Scene, what: str, xy: Vector) -> Vector | None:
    """Bring a thing back to a place on the table (2,), then rise; ``None`` when that is done."""
    kind, there = scene.kind(what), scene.place(what)
    done = bool(np.hypot(*(there[:2] - xy)) < 0.02 and there[2] < 0.01)
    if done and scene.released(what) and scene.position[2] > 0.17:
        return None
    if done and scene.released(what):
        return toward(scene, scene.position + [0, 0, 0.1], OPEN, funnel=False)
    drop = np.array([*xy, 0.004]) + [0, kind.grasp_y, kind.grasp_height]
    if np.hypot(*(there[:2] - xy)) > 0.04 and _near(scene, drop, 0.02, 0.016):
        return toward(scene, scene.position + [0, 0, 0.1], OPEN, funnel=False)  # pushed out of the hand: it is not here
    return place(scene, what, drop, done)


def go(scene: Scene, goal: Vector) -> Vector | None:
    """Move the open hand to a grip point (3,), high first; ``None`` when there."""
    if np.linalg.norm(goal - scene.position) < 0.02:
        return None
    return toward(scene, goal, OPEN, funnel=False)


def toward(scene: Scene, goal: Vector, grip: float, funnel: bool = True, gain: float = 1.6) -> Vector:
    """A step towards ``goal`` (3,) with the hand pointing down. In the funnel the hand stays high while the horizontal
    error is large, and moves sideways only when high.
    """
    error = goal - scene.position
    far = np.hypot(error[0], error[1])
    if funnel:
        hand = scene.robot.hand
        error[2] = goal[2] + np.clip(4 * (far - hand.slack), 0, hand.hover) - scene.position[2]
        if far > 0.03:
            error[:2] *= np.clip(1 - (error[2] - 0.05) / 0.04, 0.0, 1.0)
    velocity = error / POSITION_STEP * gain
    velocity /= max(1.0, np.abs(velocity).max() / scene.robot.pace)
    rotation = scene.rotation
    tilt = np.cross(-rotation[:, scene.robot.approach], [0, 0, 1.0])
    closing = rotation[:, 1] * np.sign(rotation[1, 1])
    yaw = np.arctan2(closing[0], closing[1])  # the fingers close along y
    turn = np.clip((tilt + [0, 0, yaw]) / ROTATION_STEP, -0.6, 0.6)
    return np.concatenate([velocity, turn, [grip]])


def _drop_point(scene: Scene, goal: Goal, index: int, n_goals: int) -> Vector:
    """Grip point at which the thing is let go (3,)."""
    kind = scene.things[goal.target].kind if goal.target in scene.things else goal.target
    offset, clear = (0.034, 0.0) if goal.target in DRAWERS else (0.0, 0.0)
    if goal.target in scene.things:
        target = scene.kind(goal.target)
        offset, clear = target.height if target.release is None else target.release, target.clear
    shape = scene.kind(goal.what)
    point = scene.target(goal.target) + [0, shape.grasp_y, offset + shape.grasp_height + 0.004]
    point[2] = max(point[2], clear)
    if n_goals > 1 and kind in ("plate", "basket"):
        point[0] += 0.036 if index == 0 else -0.036
    return point


def _held(scene: Scene, what: str) -> bool:
    kind = scene.kind(what)
    off = scene.position - scene.place(what) - [0, kind.grasp_y, kind.grasp_height]
    return bool(scene.gap < kind.grasp_width + 0.006 and np.hypot(off[0], off[1]) < 0.022 and abs(off[2]) < 0.025)


def _near(scene: Scene, point: Vector, xy: float = 0.010, z: float = 0.010) -> bool:
    error = point - scene.position
    return bool(np.hypot(error[0], error[1]) < xy and abs(error[2]) < z)


def _open(scene: Scene, drawer: str) -> Vector:
    bar = scene.bar(drawer)
    gripped = _near(scene, bar, 0.016, 0.016)
    if gripped and scene.width < 0.02:
        return toward(scene, bar + [0, -0.06, 0], CLOSE, funnel=False)
    return toward(scene, bar, CLOSE if gripped else OPEN)


def _close(scene: Scene, drawer: str) -> Vector:
    bar = scene.bar(drawer)
    off = scene.position - bar
    if abs(off[0]) < 0.02 and -0.07 < off[1] < -0.012 and abs(off[2]) < 0.015:
        return toward(scene, bar + [0, 0.04, 0], CLOSE, funnel=False)
    return toward(scene, bar + [0, -0.045, 0], CLOSE)
