"""What people see: risk, markers and overlay, from plain values."""

from __future__ import annotations

import math
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from monitor_node.markers import LINE_STRIP, TEXT_VIEW_FACING, describe, plan_path
from monitor_node.overlay import View, draw
from monitor_node.painter import Painter
from monitor_node.risk import ALARM, FULL, colour, risk
from monitor_node.story import Story
from vla_uq.contracts import Chunk, Key, Reference, Score, Space

HERE = np.array([0.4, 0.0, 0.2])


def chunk(step: int = 0, space: Space = Space.EE_DELTA, reference: Reference = Reference.MEASURED) -> Chunk:
    actions = np.zeros((4, 6), np.float32)
    actions[:, 0] = 0.01
    key = Key(bytes(16), step, "e", step)
    return Chunk(key, space, ("x",) * 6, actions, np.ones(4, np.float32), 0.05, 2, reference, "base", "stack")


def score(value: float, threshold: float = 2.0, step: int = 0, alarm: bool = False, episode: str = "e") -> Score:
    return Score(Key(bytes(16), step, episode, step), 1, value, threshold, alarm or not value <= threshold)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (score(1.0), 0.5),
        (score(-3.0), 0.0),
        (score(99.0), FULL),
        (score(math.nan), FULL),
        (score(1.0, math.inf), FULL),
        (score(0.0, alarm=True), 1.0),
        (score(-1.0, -0.5), 0.0),
        (score(0.0, -0.5), FULL),
    ],
)
def test_risk_is_the_score_in_thresholds(given: Score, expected: float) -> None:
    assert risk(given) == expected
    assert (colour(given) == ALARM) == (not given.passes)


def test_deltas_add_up_and_poses_stand_for_themselves() -> None:
    along = plan_path(chunk(), HERE)
    assert along is not None
    np.testing.assert_allclose(along[:, 0], [0.4, 0.41, 0.42, 0.43, 0.44], atol=1e-7)
    fan = plan_path(chunk(reference=Reference.OBSERVATION), HERE)
    assert fan is not None
    np.testing.assert_allclose(fan[1:, 0], 0.41, atol=1e-7)
    poses = plan_path(chunk(space=Space.EE_POSE), HERE)
    assert poses is not None
    np.testing.assert_allclose(poses[1:, 0], 0.01, atol=1e-7)
    assert plan_path(chunk(space=Space.JOINT_POSITION), HERE) is None


def test_markers_show_plan_and_alarm_and_fill_messages() -> None:
    def marker() -> Any:
        point = SimpleNamespace(x=0.0, y=0.0, z=0.0)
        pose = SimpleNamespace(position=point, orientation=SimpleNamespace(w=0.0))
        return SimpleNamespace(pose=pose, scale=SimpleNamespace(x=0.0, y=0.0, z=0.0), points=[], colors=[])

    specs = {spec.namespace: spec for spec in describe(chunk(), score(9.0), HERE)}
    assert "ALARM" in specs["risk"].text
    text = specs["risk"].fill(marker(), SimpleNamespace, SimpleNamespace)
    assert text.type == TEXT_VIEW_FACING
    assert text.scale.z > 0 and text.color.a == 1.0 and text.pose.orientation.w == 1.0
    line = specs["plan"].fill(marker(), SimpleNamespace, SimpleNamespace)
    assert line.type == LINE_STRIP
    assert len(line.points) == len(line.colors) == 5
    assert line.scale.x > 0
    assert line.colors[0].a == 1.0 and line.colors[-1].a < 1.0
    assert "ALARM" not in describe(chunk(), score(1.0), HERE)[0].text


def test_a_plan_that_is_not_finite_is_not_drawn() -> None:
    broken = chunk()
    broken.actions[2, 1] = math.nan
    assert [spec.namespace for spec in describe(broken, score(math.nan), HERE)] == ["risk"]


def test_overlay_has_the_alarms_frame_and_survives_anything() -> None:
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (256, 256, 3), dtype=np.uint8) for name in ("agentview", "wrist")}
    calm = draw(View(images, scores=[score(1.0, step=s) for s in range(3)], state="AUTONOMOUS"))
    alarm = draw(View(images, scores=[score(1.0), score(9.0, step=1)], state="HALTED", detail="x" * 500, takeover=True))
    assert calm.shape == alarm.shape
    assert calm.dtype == np.uint8
    assert tuple(alarm[0, 0]) == ALARM
    assert tuple(calm[0, 0]) != ALARM
    odd = [score(math.nan), score(1.0, math.nan, 1), score(-1e9, step=2), score(math.inf, step=3)]
    for view in (View({}), View({}, scores=odd, instruction="ünïcode ✓"), View(images, scores=odd[:1])):
        assert draw(view).shape == calm.shape


def test_the_story_matches_scores_with_chunks_and_turns_the_page() -> None:
    story = Story()
    assert story.markers() == []
    story.position = HERE
    for step in range(3):
        story.chunk(chunk(step))
        assert story.markers() == [] or step > 0
        story.score(score(1.0, step=step))
        assert story.markers()
    assert story.frame_id == "base"
    assert len(story.view({}, ()).scores) == 3
    story.state("HALTED", "score above threshold", True)
    story.score(score(1.0, episode="f"))
    view = story.view({}, ("wrist",))
    assert len(view.scores) == 1
    assert (view.state, view.takeover, view.instruction, view.cameras) == ("HALTED", True, "stack", ("wrist",))
    assert story.markers() == []


def test_a_slow_picture_delays_nobody_and_newer_ones_are_dropped() -> None:
    begun, go_on = Event(), Event()
    drawn: list[str] = []
    complaints: list[Exception] = []
    painter = Painter(complaints.append)

    def slow() -> None:
        begun.set()
        go_on.wait(10.0)
        drawn.append("slow")

    assert painter.offer(slow)
    assert begun.wait(10.0)
    assert not painter.offer(lambda: drawn.append("dropped"))
    go_on.set()
    painter.settle()
    assert painter.offer(lambda: drawn.remove("nothing"))  # a picture that cannot be drawn
    painter.settle()
    assert painter.offer(lambda: drawn.append("next"))
    painter.close()
    assert drawn == ["slow", "next"]
    assert [type(error) for error in complaints] == [ValueError]
    assert not painter.offer(slow)
