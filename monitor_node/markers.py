"""What rviz and Foxglove show in 3D: the plan, coloured by its risk, and a line of text. Pure descriptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor_node.risk import ALARM, Colour, colour, risk
from vla_uq.contracts import Chunk, Reference, Score, Space

Points = NDArray[np.float64]

LINE_STRIP, TEXT_VIEW_FACING = 4, 9
"""Types of ``visualization_msgs/Marker``."""
LINE_WIDTH, TEXT_HEIGHT, TEXT_ABOVE = 0.006, 0.035, 0.12
LIFETIME = 0.7
"""Seconds until a marker vanishes that is not renewed: about twice the time between two inferences."""


@dataclass(frozen=True, eq=False)
class MarkerSpec:
    """One ``visualization_msgs/Marker``.

    :param points: (N, 3) m in the frame of the chunk; a text stands at its only point.
    :param colours: (N, 4) red, green, blue, opacity, 0 to 1.
    :param size: line width or text height (m).
    """

    namespace: str
    kind: int
    points: Points
    colours: NDArray[np.float64]
    size: float
    text: str = ""

    def fill(self, marker: Any, point: type, colour: type) -> Any:
        """Write into a ``visualization_msgs/Marker`` (all but header, id and lifetime) and return it.

        :param point: class of ``geometry_msgs/Point``.
        :param colour: class of ``std_msgs/ColorRGBA``.
        """
        marker.ns, marker.type, marker.text = self.namespace, self.kind, self.text
        marker.pose.orientation.w = 1.0
        shades = [colour(**dict(zip("rgba", row, strict=True))) for row in self.colours.tolist()]
        points = [point(**dict(zip("xyz", row, strict=True))) for row in self.points.tolist()]
        marker.color = shades[0]
        if self.kind == TEXT_VIEW_FACING:
            marker.scale.z, marker.pose.position = self.size, points[0]
        else:
            marker.scale.x, marker.points, marker.colors = self.size, points, shades
        return marker


def plan_path(chunk: Chunk, position: Points) -> Points | None:
    """Where the chunk would lead the grip point (n, 3) m; None where that needs a model of the arm.

    Deltas on the measured or the previous pose are added up: what they would do if each were reached. Deltas on the
    pose of the observation are each added to it.

    :param position: grip point (3,) m, where the path begins.
    """
    if chunk.space not in (Space.EE_POSE, Space.EE_DELTA):
        return None
    moves = np.asarray(chunk.actions[:, :3], np.float64)
    if chunk.space is Space.EE_DELTA:
        moves = position + (moves if chunk.reference is Reference.OBSERVATION else np.cumsum(moves, axis=0))
    path = np.vstack([position, moves])
    return path if np.isfinite(path).all() else None


def describe(chunk: Chunk, score: Score, position: Points) -> list[MarkerSpec]:
    """The markers of one scored chunk.

    :param position: measured grip point (3,) m.
    """
    shade = colour(score)
    specs = [_text(score, shade, position)]
    path = plan_path(chunk, position)
    if path is not None:
        colours = np.tile(_rgba(shade), (len(path), 1))
        # What will not be executed before the next inference fades.
        colours[chunk.execute_steps + 1 :, 3] = 0.35
        specs.append(MarkerSpec("plan", LINE_STRIP, path, colours, LINE_WIDTH))
    return specs


def _text(score: Score, shade: Colour, position: Points) -> MarkerSpec:
    text = f"risk {risk(score):.0%}"
    if shade == ALARM:
        text = f"ALARM {text}"
    if not score.valid_guarantee:
        text += "\nno guarantee: " + score.why_not
    at = position + np.array([0.0, 0.0, TEXT_ABOVE])
    return MarkerSpec("risk", TEXT_VIEW_FACING, at[None], _rgba(shade)[None], TEXT_HEIGHT, text)


def _rgba(shade: Colour) -> NDArray[np.float64]:
    return np.array([*(value / 255 for value in shade), 1.0])
