"""One MuJoCo world: table, arm, things, perhaps a cabinet; what can be read of it, and when a goal holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sim_node.cabinet import BAR_Y, BAR_Z, CABINET_Y, CLOSED_AT, DRAWERS, HEIGHT, OPEN_AT, cabinet_xml
from sim_node.engine import mujoco
from sim_node.goals import Goal
from sim_node.objects import Kind, Thing, body_xml, shape_of
from sim_node.panda import PANDA
from sim_node.robot import Robot

Vector = NDArray[np.float64]
TIMESTEP = 0.005

_WORLD = """<mujoco><compiler angle="radian" autolimits="true"/>
<option timestep="{timestep}" integrator="implicitfast" cone="elliptic" impratio="10"/>
<visual><quality shadowsize="1024" offsamples="0"/><global offwidth="640" offheight="640"/>
<headlight ambient=".45 .45 .45" diffuse=".5 .5 .5" specular=".1 .1 .1"/></visual>
<asset><texture name="sky" type="skybox" builtin="gradient" rgb1=".8 .86 .93" rgb2=".5 .55 .6" width="64" height="64"/>
<texture name="wood" type="2d" builtin="checker" rgb1=".78 .72 .62" rgb2=".74 .68 .58" width="128" height="128"/>
<material name="table" texture="wood" texrepeat="6 6"/></asset>
<worldbody><light pos="0 0 2" dir="0 0 -1" type="directional" diffuse=".35 .35 .35"/>
<geom name="table" type="box" size=".6 .6 .02" pos="0 0 -.02" material="table" contype="1" conaffinity="1"
 friction="1 .05 .001"/>
<camera name="agentview" {view}/>
{bodies}</worldbody><actuator>{actuators}</actuator>{extras}
<contact><exclude body1="finger1" body2="finger2"/><exclude body1="hand" body2="finger1"/>
<exclude body1="hand" body2="finger2"/></contact></mujoco>"""


class Scene:
    """A compiled world and its state. Positions in metres in the base frame (the world's)."""

    def __init__(self, things: Sequence[Thing], cabinet: bool = False, robot: Robot = PANDA) -> None:
        self.things = {thing.name: thing for thing in things}
        self.cabinet, self.robot = cabinet, robot
        bodies = robot.body + "".join(map(body_xml, things)) + (cabinet_xml() if cabinet else "")
        parts = {"view": robot.view, "actuators": robot.actuators, "extras": robot.extras}
        self.model = mujoco.MjModel.from_xml_string(_WORLD.format(timestep=TIMESTEP, bodies=bodies, **parts))
        self.data = mujoco.MjData(self.model)
        self.opening = 1.0
        """Commanded opening of the gripper, 0 closed to 1 open, as far as the fingers' servo has been told."""
        self._grip = self.model.site("grip").id
        self._body = {name: self.model.body(name).id for name in self.things}
        movable = [*self.things, *(DRAWERS if cabinet else ())]
        self.address = {name: int(self.model.joint(name).qposadr[0]) for name in movable}
        self.arm = np.array([self.model.joint(name).qposadr[0] for name in robot.joints])
        self.arm_dof = np.array([self.model.joint(name).dofadr[0] for name in robot.joints])
        self.fingers = np.array([self.model.joint(name).qposadr[0] for name in robot.fingers])
        self.finger_dof = np.array([self.model.joint(name).dofadr[0] for name in robot.fingers])
        self._look = self._appearance()

    # -- the arm ---------------------------------------------------------------------------------------------------
    @property
    def position(self) -> Vector:
        """Grip point (3,)."""
        return np.array(self.data.site_xpos[self._grip])

    @property
    def rotation(self) -> Vector:
        """Orientation of the grip frame (3, 3)."""
        return np.array(self.data.site_xmat[self._grip]).reshape(3, 3)

    @property
    def joints(self) -> Vector:
        """Arm joint positions (n,) rad."""
        return np.array(self.data.qpos[self.arm])

    @property
    def joint_velocities(self) -> Vector:
        """Arm joint velocities (n,) rad/s."""
        return np.array(self.data.qvel[self.arm_dof])

    @property
    def width(self) -> float:
        """Distance between the fingers (m)."""
        return float(self.data.qpos[self.fingers] @ self.robot.signs)

    @property
    def gap(self) -> float:
        """Distance between the fingers' pads: the width of what is held (m)."""
        return self.width - self.robot.pads

    # -- things and drawers ----------------------------------------------------------------------------------------
    def kind(self, name: str) -> Kind:
        return shape_of(self.things[name])

    def place(self, name: str) -> Vector:
        """Origin of a thing (3,)."""
        return np.array(self.data.xpos[self._body[name]])

    def turn(self, name: str) -> Vector:
        """Orientation of a thing (3, 3)."""
        return np.array(self.data.xmat[self._body[name]]).reshape(3, 3)

    def travel(self, drawer: str) -> float:
        """How far a drawer is open (m)."""
        return float(self.data.qpos[self.address[drawer]])

    def bar(self, drawer: str) -> Vector:
        """Handle bar of a drawer (3,)."""
        return np.array([DRAWERS[drawer], CABINET_Y + BAR_Y - self.travel(drawer), BAR_Z])

    def target(self, name: str) -> Vector:
        """Where the origin of a thing belongs: in a drawer, on the cabinet, or at another thing's origin (3,)."""
        if name in DRAWERS:
            return np.array([DRAWERS[name], 0.28 - self.travel(name), 0.014])
        if name == "cabinet":
            return np.array([0, 0.29, HEIGHT])
        return self.place(name)

    # -- goals -----------------------------------------------------------------------------------------------------
    def holds(self, goal: Goal) -> bool:
        """Whether a goal is reached: geometry, and the gripper has let go."""
        if goal.verb == "open":
            return self.travel(goal.what) > OPEN_AT
        if goal.verb == "close":
            return self.travel(goal.what) < CLOSED_AT
        return self.in_place(goal) and self.released(goal.what)

    def in_place(self, goal: Goal) -> bool:
        """The geometry of an in/on goal, whether or not the gripper has let go."""
        dx, dy, dz = self.place(goal.what) - self.target(goal.target)
        if goal.target == "cabinet":
            return bool(abs(dx) < 0.13 and abs(dy) < 0.08 and abs(dz) < 0.012)
        if goal.target in DRAWERS:
            return bool(abs(dx) < 0.06 and abs(dy) < 0.075 and -0.01 < dz < 0.03)
        kind = self.kind(goal.target)
        if goal.verb == "in":
            beside, below = kind.inside
            return bool(max(abs(dx), abs(dy)) < beside and dz < below)
        return bool(np.hypot(dx, dy) < kind.near and abs(dz - kind.height) < 0.012)

    def released(self, name: str) -> bool:
        """The gripper is fully open, or away from the thing."""
        near = np.linalg.norm(self.position - self.place(name) - [0, 0, 0.03]) < 0.075
        return not (self.width < self.robot.open_width and near and self.opening < 1)

    # -- state and appearance --------------------------------------------------------------------------------------
    def forward(self) -> None:
        """Recompute everything derived from the state."""
        mujoco.mj_forward(self.model, self.data)

    def move(self, name: str, xy: Vector) -> None:
        """Put a thing elsewhere on the table, its height and turn kept."""
        start = self.address[name]
        self.data.qpos[start : start + 2] = xy
        self.forward()

    def set_look(self, light: float = 1.0, recolour: Mapping[str, Sequence[float]] | None = None) -> None:
        """Scale all lights; give things other colours. Always relative to the scene as built."""
        for array, original in self._look:
            array[:] = original
        headlight = self.model.vis.headlight
        for array in (headlight.ambient, headlight.diffuse, self.model.light_diffuse):
            array *= light
        for name, rgb in (recolour or {}).items():
            self.model.geom_rgba[self.model.geom_bodyid == self._body[name], :3] = rgb

    def _appearance(self) -> list[tuple[Vector, Vector]]:
        headlight = self.model.vis.headlight
        arrays = (self.model.geom_rgba, headlight.ambient, headlight.diffuse, self.model.light_diffuse)
        return [(array, np.array(array)) for array in arrays]
