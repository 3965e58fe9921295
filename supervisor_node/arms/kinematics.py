"""From joints to the grip frame's pose and back, by ``pink`` on ``pinocchio`` (the extra ``ik``).

A solution is the joints near a seed that bring the grip frame to a target, inside the joints' limits. Spare freedom
leans a little from the seed towards a posture: a fixed point of the task, not of the number of iterations, so that it
can be found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from supervisor_node.arms.profile import Profile
from supervisor_node.values import Pose
from vla_uq.errors import InputError
from vla_uq.geometry import rotation_vector

Vector = NDArray[np.float64]
SOLVER = "daqp"
_ITERATIONS = 30
_DONE = 1e-8
"""Largest change of a joint (rad) in the last iteration of a solution that has settled."""
_POSTURE_COST = 1e-3
"""Against 1 per metre and per radian of the grip frame: the posture decides nothing but spare freedom."""
_LEAN = 0.05
"""Part of the way to the posture that a solution leans from its seed."""
_LIMIT_TOLERANCE = 1e-3
"""Difference (rad) between limits that travelled as text or float32."""


@dataclass(frozen=True, eq=False)
class Reached:
    """Joints (n,) rad, and how far their grip frame is from the target: m, rad."""

    q: Vector
    translation: float
    rotation: float


class Kinematics:
    """The geometry of one arm.

    :param urdf: description; joints that are not the profile's (fingers) are frozen at zero.
    :raises InputError: the libraries are missing, it cannot be read, a joint or the tip is not in it, or a limit of the
        profile lies outside of the description's.
    """

    def __init__(self, profile: Profile, urdf: str) -> None:
        assert profile.kinematics is not None
        self._pinocchio, self._pink = _libraries()
        self._settings, joints = profile.kinematics, profile.joints
        model = self._read(urdf)
        missing = [name for name in joints.names if not model.existJointName(name)]
        if missing or not model.existFrame(self._settings.tip):
            lacking = ", ".join([*missing, *([] if model.existFrame(self._settings.tip) else [self._settings.tip])])
            raise InputError("not in robot_description", where=profile.name, found=lacking)
        others = [i for i in range(1, model.njoints) if model.names[i] not in joints.names]
        self._model = self._pinocchio.buildReducedModel(model, others, self._pinocchio.neutral(model))
        places = [self._model.joints[self._model.getJointId(name)].idx_q for name in joints.names]
        self._places: Sequence[int] = places
        self._limit(profile)
        self._data = self._model.createData()
        self._frame = self._model.getFrameId(self._settings.tip)
        self._limits = [self._pink.limits.ConfigurationLimit(self._model, config_limit_gain=1.0)]
        self._task = self._pink.FrameTask(self._settings.tip, position_cost=1.0, orientation_cost=1.0)
        self._posture = self._pink.PostureTask(cost=_POSTURE_COST)
        # The first solution loads what the libraries load late: not while the arm moves.
        self.solve(self.pose(self._settings.posture), self._settings.posture)

    def pose(self, q: Vector) -> Pose:
        """Pose of the grip frame for joints (n,) rad."""
        self._pinocchio.framesForwardKinematics(self._model, self._data, self._placed(q))
        found = self._data.oMf[self._frame]
        return Pose(found.translation + self._settings.origin, found.rotation.copy())

    def solve(self, target: Pose, seed: Vector) -> Reached:
        """The joints nearest to a seed (n,) rad that reach a target as well as the limits let them."""
        lower, upper = self._model.lowerPositionLimit, self._model.upperPositionLimit
        start = np.clip(self._placed(seed), lower, upper)
        configuration = self._pink.Configuration(self._model, self._data, start, copy_data=False)
        tasks = [self._task, self._posture]
        self._task.set_target(self._pinocchio.SE3(target.rotation, target.position - self._settings.origin))
        self._posture.set_target(start + _LEAN * (self._placed(self._settings.posture) - start))
        for _ in range(_ITERATIONS):
            change = self._pink.solve_ik(configuration, tasks, 1.0, SOLVER, limits=self._limits)
            q = np.clip(configuration.q + change, lower, upper)
            settled = float(np.abs(q - configuration.q).max()) < _DONE
            configuration.update(q)
            if settled:
                break
        found = np.asarray(configuration.q[self._places], np.float64)
        reached = self.pose(found)
        away = float(np.linalg.norm(reached.position - target.position))
        return Reached(found, away, float(np.linalg.norm(rotation_vector(reached.rotation @ target.rotation.T))))

    def problem(self, reached: Reached) -> str:
        """Why a solution is too far from its target, or ""."""
        if reached.translation > self._settings.translation:
            return f"{reached.translation:.3g} m from what the arm can reach, at most {self._settings.translation:g}"
        if reached.rotation > self._settings.rotation:
            return f"{reached.rotation:.3g} rad from what the arm can reach, at most {self._settings.rotation:g}"
        return ""

    def _read(self, urdf: str) -> Any:
        try:
            return self._pinocchio.buildModelFromXML(urdf)
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else "unreadable"
            raise InputError("not a robot description", where="robot_description", found=reason) from None

    def _placed(self, q: Vector) -> Vector:
        """Joints in the model's order."""
        placed = np.empty(self._model.nq)
        placed[self._places] = q
        return placed

    def _limit(self, profile: Profile) -> None:
        """Narrow the model's limits to the profile's, which must lie inside: another robot has others."""
        joints, model, places = profile.joints, self._model, self._places
        for i, name in enumerate(joints.names):
            lower, upper = model.lowerPositionLimit[places[i]], model.upperPositionLimit[places[i]]
            if joints.lower[i] < lower - _LIMIT_TOLERANCE or joints.upper[i] > upper + _LIMIT_TOLERANCE:
                raise InputError(
                    "joint limits are not the robot's",
                    where=f"{profile.name}: joints.lower, joints.upper: {name}",
                    expected=f"inside of {lower:.4f} to {upper:.4f}, as robot_description says",
                    found=f"{joints.lower[i]:g} to {joints.upper[i]:g}",
                )
        model.lowerPositionLimit = self._placed(joints.lower)
        model.upperPositionLimit = self._placed(joints.upper)


def _libraries() -> tuple[Any, Any]:
    """The two libraries, or what to do about their absence.

    :raises InputError: one is missing.
    """
    try:
        import pink
        import pinocchio
        import qpsolvers
    except ImportError as error:
        raise InputError(
            "inverse kinematics is not installed",
            where="kinematics",
            found=error.name,
            remedy="pip install 'vla_monitor[ik]'",
        ) from None
    if SOLVER not in qpsolvers.available_solvers:
        raise InputError("inverse kinematics lacks its solver", where=SOLVER, remedy="pip install 'vla_monitor[ik]'")
    return pinocchio, pink
