"""A picture for people: both cameras, the risk, the scores of the episode, and what the supervisor is doing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from monitor_node.risk import ALARM, CALM, FULL, NEAR, Colour, colour, risk
from vla_uq.contracts import Score

Picture = NDArray[np.uint8]

SIDE = 384
"""Edge of a camera's picture in pixels."""
BAR, PANEL, MARGIN = 22, 150, 12
BACKGROUND: Colour = (24, 26, 30)
FAINT: Colour = (72, 76, 84)
BRIGHT: Colour = (235, 235, 235)
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, eq=False)
class View:
    """What is shown.

    :param images: camera name to (height, width, 3) RGB.
    :param cameras: names from left to right; those without an image stay dark.
    :param scores: of the episode so far, oldest first.
    :param state: of the supervisor, a word; ``detail`` its reason in words.
    :param takeover: a human is asked to take over.
    """

    images: Mapping[str, Picture]
    cameras: Sequence[str] = ("agentview", "wrist")
    scores: Sequence[Score] = ()
    state: str = ""
    detail: str = ""
    instruction: str = ""
    takeover: bool = False


def draw(view: View) -> Picture:
    """Draw a view, (height, width, 3) RGB; the size depends on the number of cameras alone."""
    width = SIDE * len(view.cameras)
    picture = np.full((SIDE + BAR + PANEL, width, 3), BACKGROUND, np.uint8)
    for index, name in enumerate(view.cameras):
        image = view.images.get(name)
        if image is not None:
            picture[:SIDE, index * SIDE : (index + 1) * SIDE] = cv2.resize(image, (SIDE, SIDE))
        _write(picture, name, (index * SIDE + MARGIN, SIDE - MARGIN), BRIGHT, 0.45)
    last = view.scores[-1] if view.scores else None
    if last is not None and not last.passes:
        cv2.rectangle(picture, (0, 0), (width - 1, SIDE - 1), ALARM, 6)
    _bar(picture[SIDE : SIDE + BAR], last)
    half = width // 2
    _words(picture[SIDE + BAR :, :half], view, last)
    _curve(picture[SIDE + BAR :, half:], view.scores)
    return picture


def _bar(area: Picture, score: Score | None) -> None:
    """The risk as a length; the threshold is a line in the middle."""
    height, width = area.shape[:2]
    area[:] = FAINT
    if score is not None:
        area[:, : round(width * risk(score) / FULL)] = colour(score)
    middle = round(width / FULL)
    area[:, middle - 1 : middle + 1] = BRIGHT
    _write(area, "threshold", (middle + 8, height - 6), BRIGHT, 0.45)


def _words(area: Picture, view: View, score: Score | None) -> None:
    """State, instruction, and what the score says."""
    alarmed = score is not None and not score.passes
    state = view.state + ("  -  TAKE OVER" if view.takeover else "")
    lines: list[tuple[str, Colour, float]] = [(state, ALARM if alarmed or view.takeover else BRIGHT, 0.65)]
    if view.detail:
        lines.append((view.detail, BRIGHT, 0.45))
    lines.append((view.instruction, CALM, 0.5))
    if score is not None:
        verdict = "ALARM" if alarmed else "passes"
        numbers = f"{score.nonconformity:.2f} of {score.threshold:.2f}"
        lines.append((f"step {score.key.step}: {numbers}  {verdict}", colour(score), 0.5))
        if not score.valid_guarantee:
            lines.append((f"no guarantee: {score.why_not}", NEAR, 0.45))
    for row, (text, shade, size) in enumerate(lines):
        _write(area, text, (MARGIN, 26 + 27 * row), shade, size)


def _curve(area: Picture, scores: Sequence[Score]) -> None:
    """Nonconformity over the episode's inferences against the threshold; what does not pass is a filled square."""
    height, width = area.shape[:2]
    top, bottom, left, right = MARGIN, height - MARGIN, MARGIN, width - MARGIN
    cv2.rectangle(area, (left, top), (right, bottom), FAINT, 1)
    finite = [v for s in scores for v in (s.nonconformity, s.threshold) if math.isfinite(v)]
    if not finite:
        return
    low, high = min(0.0, *finite), max(finite) * 1.05 + 1e-6
    steps = max(len(scores) - 1, 10)

    def place(step: int, value: float) -> tuple[int, int]:
        clipped = min(value, high) if math.isfinite(value) else high
        share = (clipped - low) / (high - low)
        return round(left + (right - left) * step / steps), round(bottom - (bottom - top) * share)

    for step, score in enumerate(scores):
        here = place(step, score.nonconformity)
        if step > 0:
            previous = scores[step - 1]
            cv2.line(area, place(step - 1, previous.nonconformity), here, colour(score), 2, cv2.LINE_AA)
            if math.isfinite(score.threshold) and math.isfinite(previous.threshold):
                cv2.line(area, place(step - 1, previous.threshold), place(step, score.threshold), BRIGHT, 1)
        if not score.passes:
            cv2.rectangle(area, (here[0] - 3, here[1] - 3), (here[0] + 3, here[1] + 3), ALARM, -1)
    _write(area, "nonconformity and threshold", (left + 6, top + 16), BRIGHT, 0.4)


def _write(area: Picture, text: str, at: tuple[int, int], shade: Colour, size: float) -> None:
    """Write one line, cut at the right edge; the font has ASCII only."""
    plain = text.encode("ascii", "replace").decode()
    room = area.shape[1] - at[0] - 4
    while plain and cv2.getTextSize(plain, FONT, size, 1)[0][0] > room:
        plain = plain[:-1]
    cv2.putText(area, plain, (at[0] + 1, at[1] + 1), FONT, size, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(area, plain, at, FONT, size, shade, 1, cv2.LINE_AA)
