"""What stands in a world as clouds of points: the collision shapes, sampled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim_node.engine import mujoco
from sim_node.libero.world import World

Points = NDArray[np.float64]
_SPACING = 0.006
"""Distance of the points of a box (m), at most 12 along an edge."""


def cloud(world: World, body: int) -> Points:
    """Points (N, 3) of all solid shapes of a body and its children, world frame."""
    model, data = world.model, world.data
    bodies = {body}
    for child in range(body + 1, model.nbody):  # a child's number is above its parent's
        if model.body_parentid[child] in bodies:
            bodies.add(child)
    parts = [np.zeros((0, 3))]
    for geom in range(model.ngeom):
        solid = model.geom_contype[geom] or model.geom_conaffinity[geom]
        if solid and model.geom_bodyid[geom] in bodies:
            rotation = data.geom_xmat[geom].reshape(3, 3)
            parts.append(_sampled(model, geom) @ rotation.T + data.geom_xpos[geom])
    return np.concatenate(parts)


def everything_but(world: World, name: str) -> Points:
    """Points (N, 3) of all that stands in the scene except one thing."""
    others = [cloud(world, body) for other, body in world.bodies.items() if other != name]
    return np.concatenate([np.zeros((0, 3)), *others])


def _sampled(model: Any, geom: int) -> Points:
    """Points of one shape in its own frame."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        axes = [np.linspace(-1, 1, max(2, min(12, int(half / _SPACING) + 2))) * half for half in size]
        return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    if kind in (mujoco.mjtGeom.mjGEOM_CYLINDER, mujoco.mjtGeom.mjGEOM_CAPSULE):
        angles, heights, radii = np.linspace(0, 2 * np.pi, 16, endpoint=False), np.linspace(-1, 1, 6), (1.0, 0.5)
        angle, height, radius = (axis.ravel() for axis in np.meshgrid(angles, heights * size[1], radii))
        return np.stack([size[0] * radius * np.cos(angle), size[0] * radius * np.sin(angle), height], 1)
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        directions = np.random.default_rng(0).normal(size=(60, 3))
        return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True) * size[0])
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        return np.asarray(model.mesh_vert[start : start + count], float)
    return np.zeros((0, 3))
