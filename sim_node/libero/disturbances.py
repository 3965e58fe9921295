"""Starts that no demonstration has seen, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim_node.libero.world import World
from vla_uq.errors import InputError

Act = Callable[[World, np.random.Generator], None]
SHIFT_MIN, SHIFT_MAX, APART = 0.06, 0.10, 0.10
"""How far a thing is shifted, and how far it stays from the others at least (m)."""
ARM_SPREAD = 0.12
"""Standard deviation of the joints around their start (rad)."""
DIMMED = 0.45


@dataclass(frozen=True)
class Disturbance:
    """:param light: factor on all lights.
    :param act: changes the positions of a world that has just been laid out.
    """

    describe: str
    light: float = 1.0
    act: Act | None = None


def shift_thing(world: World, rng: np.random.Generator) -> None:
    """Move the thing that the task moves first 6 to 10 cm, apart from all others; nothing if there is no room."""
    name = world.movable
    address = None if name is None else world.free_address(name)
    if name is None or address is None:
        return
    others = np.array([world.place(other)[:2] for other in world.bodies if other != name])
    start = world.data.qpos[address : address + 2].copy()
    for _ in range(200):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(SHIFT_MIN, SHIFT_MAX)
        place = start + far * np.array([np.cos(angle), np.sin(angle)])
        if np.linalg.norm(others - place, axis=1).min() > APART:
            world.data.qpos[address : address + 2] = place
            return


def move_arm(world: World, rng: np.random.Generator) -> None:
    """Begin with the arm in another pose."""
    arm = world.controller.arm
    low, high = world.model.jnt_range[world.model.dof_jntid[arm.qvel]].T
    world.data.qpos[arm.qpos] = np.clip(world.data.qpos[arm.qpos] + rng.normal(0, ARM_SPREAD, 7), low, high)


DISTURBANCES = {
    "none": Disturbance("one of LIBERO's own initial states"),
    "outside": Disturbance("the instructed object 6 to 10 cm away from its place", act=shift_thing),
    "arm": Disturbance("the arm begins elsewhere", act=move_arm),
    "lights": Disturbance(f"lights at {DIMMED:.0%}", light=DIMMED),
}


def disturbance_of(name: str) -> Disturbance:
    """:raises InputError: when there is no such disturbance."""
    if name not in DISTURBANCES:
        raise InputError(
            "unknown disturbance", where="disturbance", expected=" | ".join(DISTURBANCES), found=repr(name)
        )
    return DISTURBANCES[name]


class Lights:
    """The lights of a model, to be scaled from what they were."""

    def __init__(self, world: World) -> None:
        model = world.model
        head = model.vis.headlight
        lamps = (model.light_ambient, model.light_diffuse, model.light_specular)
        self._parts = (*lamps, head.ambient, head.diffuse, head.specular)
        self._full = [np.array(part) for part in self._parts]

    def scale(self, factor: float) -> None:
        """Set all lights to a fraction of the original."""
        for part, full in zip(self._parts, self._full, strict=True):
            part[:] = full * factor
