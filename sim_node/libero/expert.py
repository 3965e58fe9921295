"""The scripted expert: an episode as a stream of actions, each decided when the one before it has been executed.

It moves one thing after the other with a top-down grasp, turns knobs and pushes drawers shut, from the true geometry.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from sim_node.expert import CLOSE, OPEN, POSITION_STEP, ROTATION_STEP
from sim_node.libero.grasps import grasp_of
from sim_node.libero.shapes import cloud
from sim_node.libero.world import Goal, World
from vla_uq.geometry import rotation_matrix

Vector = NDArray[np.float64]
Actions = Iterator[Vector]
UP = np.array([0.0, 0.0, 1.0])
PAIR_SPREAD = 0.058
"""Two things that go to one place stand so far from its middle (m)."""
ATTEMPTS = 3
"""How often a thing that slipped out of the hand is grasped again."""
LEAN = 0.4
"""Rotation (rad) from the start towards the side that the hand prefers to turn to."""
_GAIN, _TURN_MAX = 1.6, 0.3


class Expert:
    """Solves a world's goals in order; made when the world has been laid out.

    ``delicate`` says whether the hand is about to touch something: it is then no time to be pushed.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        # Hands turned by +90° and −90° are equally near to the start: leaning to one side makes it always the same one.
        self.home = rotation_matrix(LEAN * UP) @ world.controller.rotation
        self.grip, self.delicate = OPEN, False

    def actions(self) -> Actions:
        """Actions (7,) in [−1, 1]: displacement, rotation vector, gripper. Ends when there is nothing left to try."""
        targets = [goal.target for goal in self.world.goals]
        for i, goal in enumerate(self.world.goals):
            if goal.verb in ("in", "on"):
                together = targets.count(goal.target) > 1 and "basket" not in goal.target
                side = (1 - 2 * targets[:i].count(goal.target)) * PAIR_SPREAD if together else 0.0
                for _ in range(ATTEMPTS):
                    if (yield from self._place(goal, np.array([side, 0.0, 0.0]))):
                        break
            elif goal.verb == "close":
                yield from self._close(goal.what)
            elif goal.verb == "turnon" and not self.world.holds(goal):
                yield from self._turn_on(goal.what)
        for _ in range(10):
            yield np.array([0, 0, 0, 0, 0, 0, OPEN])

    # -- moving ----------------------------------------------------------------------------------------------------
    @property
    def position(self) -> Vector:
        return self.world.controller.position

    def _action(self, position: Vector, rotation: Vector, speed: float = 1.0) -> Vector:
        move = (position - self.position) / POSITION_STEP * _GAIN
        move /= max(1.0, float(np.abs(move).max()) / speed)
        error = rotation @ self.world.controller.rotation.T
        axis = np.array([error[2, 1] - error[1, 2], error[0, 2] - error[2, 0], error[1, 0] - error[0, 1]])
        turn = axis / max(float(np.linalg.norm(axis)), 1e-9) * _angle(error)
        return np.concatenate([move, np.clip(turn / ROTATION_STEP, -_TURN_MAX, _TURN_MAX), [self.grip]])

    def _go(
        self,
        position: Vector,
        rotation: Vector,
        near: float,
        steps: int,
        speed: float = 1.0,
        until: Callable[[], bool] = lambda: False,
    ) -> Actions:
        """Towards a pose, until it is ``near`` (m), ``until`` says so, or the ``steps`` are used up."""
        for _ in range(steps):
            yield self._action(position, rotation, speed)
            turned = _angle(rotation @ self.world.controller.rotation.T) < 0.08
            if (np.linalg.norm(self.position - position) < near and turned) or until():
                return

    def _hold(self, steps: int, position: Vector, rotation: Vector) -> Actions:
        self.delicate = True
        for _ in range(steps):
            yield self._action(position, rotation)
        self.delicate = False

    def _touch(self, position: Vector, rotation: Vector, near: float, steps: int, speed: float) -> Actions:
        """As :meth:`_go`, where the hand meets something."""
        self.delicate = True
        yield from self._go(position, rotation, near, steps, speed)
        self.delicate = False

    def _pointing_down(self, yaw: float) -> Vector:
        """Hand down, fingers closing along ``yaw``: of the two such rotations the one nearer to the start."""
        return self._nearest(_frame(-UP, np.array([np.cos(yaw), np.sin(yaw), 0.0])))

    def _nearest(self, rotation: Vector) -> Vector:
        other = rotation @ np.diag([-1.0, -1.0, 1.0])
        return min(rotation, other, key=lambda candidate: _angle(candidate @ self.home.T))

    # -- skills ----------------------------------------------------------------------------------------------------
    def _place(self, goal: Goal, aside: Vector) -> Generator[Vector, None, bool]:
        """Grasp a thing, carry it to its target and let go; returns whether it was carried there."""
        world, what = self.world, goal.what
        grasp = grasp_of(world, what)
        if grasp is None:
            return False
        point, rotation = grasp.point, self._pointing_down(grasp.yaw)
        self.grip = OPEN
        approach = np.clip(self.position[2], point[2] + 0.12, point[2] + 0.2)
        yield from self._go(np.array([*point[:2], approach]), rotation, 0.012, 80)
        yield from self._go(point + 0.05 * UP, rotation, 0.008, 40)
        yield from self._touch(point, rotation, 0.005, 30, 0.5)
        self.grip = CLOSE
        yield from self._hold(9, point, rotation)
        hanging = self.position[2] - cloud(world, world.bodies[what])[:, 2].min()
        start = world.place(what)[2]
        target, floor, rim = self._target(goal)
        safe = max(point[2] + 0.10, floor + hanging + 0.06, rim + hanging + 0.03)
        yield from self._go(np.array([*point[:2], safe]), rotation, 0.02, 50)
        if world.place(what)[2] - start < 0.04:
            return False
        over = target + aside + self.position - world.place(what)
        yield from self._go(np.array([*over[:2], safe]), rotation, 0.010, 80)
        if world.place(what)[2] - start < 0.04:
            return False
        over = target + aside + self.position - world.place(what)
        yield from self._touch(np.array([*over[:2], floor + hanging + 0.010]), rotation, 0.008, 50, 0.6)
        yield from self._let_go(6, 30)
        yield from self._hold(4, self.position, rotation)
        return True

    def _let_go(self, steps: int, rise: int) -> Actions:
        position, rotation = self.position, self.world.controller.rotation
        self.grip = OPEN
        yield from self._hold(steps, position, rotation)
        yield from self._go(position + 0.12 * UP, rotation, 0.02, rise)

    def _target(self, goal: Goal) -> tuple[Vector, float, float]:
        """Where the thing's origin goes (3,), the height it will stand on, and the height to pass over."""
        world, name = self.world, goal.target
        if name in world.bodies:
            points = cloud(world, world.bodies[name])
            rim = float(points[:, 2].max())
            floor = float(points[:, 2].min()) + 0.012 if "plate" in name else rim
            return world.place(name), floor, rim
        centre, half = world.region(name)
        floor = float(centre[2]) - half
        if "contain" in name:
            floor += 0.05 if "basket" in name else 0.02
        owner = world.owner(name)
        passes = owner is None or "cabinet" in name  # a drawer is filled from the front
        return centre, floor, floor if passes else float(cloud(world, world.bodies[str(owner)])[:, 2].max())

    def _turn_on(self, what: str) -> Actions:
        world, joint = self.world, self.world.joint(what)
        for _ in range(3):
            points = cloud(world, int(world.model.jnt_bodyid[joint]))
            top = points[points[:, 2] > points[:, 2].max() - 0.012]
            thin = np.linalg.eigh(np.cov(top[:, :2].T))[1][:, 0]
            rotation = self._pointing_down(float(np.arctan2(thin[1], thin[0])))
            point = np.array([*(top.min(0) + top.max(0))[:2] / 2, points[:, 2].max() - 0.018])
            self.grip = OPEN
            yield from self._go(point + 0.15 * UP, rotation, 0.02, 80)
            yield from self._go(point + 0.04 * UP, rotation, 0.008, 30)
            yield from self._touch(point, rotation, 0.006, 25, 0.5)
            self.grip = CLOSE
            yield from self._hold(8, point, rotation)
            self.delicate = True
            for step in range(30):
                if world.travel(joint) > 0.8:
                    break
                yield self._action(point, rotation_matrix(UP * min(1.1, 0.06 * (step + 1))) @ rotation)
            yield from self._let_go(4, 25)
            if world.travel(joint) > 0.55:
                return

    def _close(self, region: str) -> Actions:
        """Push a drawer shut with the closed hand, slanted, at the middle of its handle."""
        world, joint = self.world, self.world.joint(region)
        pull = -world.data.xaxis[joint].copy()
        points = cloud(world, int(world.model.jnt_bodyid[joint]))
        ahead = points @ pull
        bar = points[ahead > ahead.max() - 0.016]
        middle = (bar.min(0) + bar.max(0)) / 2 + 0.004 * UP
        rotation = self._nearest(_frame(-np.sin(0.7) * pull - np.cos(0.7) * UP, np.cross(pull, UP)))
        self.grip = CLOSE
        before, beyond = middle + pull * 0.06, middle - pull * (0.03 - world.travel(joint))
        above = np.array([*(middle + pull * 0.08)[:2], max(self.position[2], middle[2] + 0.2)])
        yield from self._go(above, rotation, 0.03, 80)
        yield from self._go(before, rotation, 0.012, 60)
        yield from self._go(beyond, rotation, 0.004, 80, 0.8, until=lambda: world.travel(joint) > 0.0005)
        yield from self._hold(10, beyond, rotation)
        yield from self._go(self.position + pull * 0.08 + 0.1 * UP, rotation, 0.03, 30)


def _frame(approach: Vector, closing: Vector) -> Vector:
    """Rotation (3, 3) of a hand that points along ``approach`` and closes along ``closing``."""
    z = approach / np.linalg.norm(approach)
    x = closing - (closing @ z) * z
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], 1)


def _angle(rotation: Vector) -> float:
    return float(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
