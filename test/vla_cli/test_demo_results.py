"""The demo's plan, its summary and what is drawn from its bag."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("mujoco")

from vla_cli.bag.reader import read
from vla_cli.console import render
from vla_cli.demo.history import OVERLAY, histories
from vla_cli.demo.page import write_page
from vla_cli.demo.results import Outcome, report, summary
from vla_cli.demo.scenarios import FIRST_SEED, plan
from vla_cli.demo.timeline import draw
from vla_cli.demo.video import film

WriteBag = Callable[[Path, Any], Path]
KEYS = {
    "scenario", "seed", "shadow_success", "success", "alarm_step", "alarm_to_rest_ms", "halted", "takeover", "resumed",
    "unscored_chunks_executed",
}  # fmt: skip
OUTCOMES = [
    Outcome("nominal", "put a in b", 1, "none", True, True, episode_ids=("s1", "g1"), unscored_chunks_executed=0),
    Outcome("ood_pushed", "put a in b", 2, "push", False, True, 7, 412.3, True, True, True, 0, "alert", ("s2", "g2")),
    Outcome("kill_monitor", "put a in b", 3, "none", None, None, None, 640.0, True, episode_ids=("g3",)),
]


def test_seeds_are_consecutive_and_tasks_follow_the_registry() -> None:
    from sim_node.disturbances import DISTURBANCES

    planned = plan()
    kills = [p for p in planned if p.scenario.kills]
    played = planned[: -len(kills)]
    assert [p.seed for p in played] == list(range(FIRST_SEED, FIRST_SEED + len(played)))
    assert [p.seed for p in kills] == [p.seed for p in played[: len(kills)]]
    names = [p.scenario.name for p in planned]
    assert names[:5] == ["nominal"] * 5
    assert len({name for name in names if name.startswith("ood_")}) >= 4
    assert names[-3:] == ["kill_monitor", "kill_policy", "kill_supervisor"]
    for episode in planned:
        tasks = DISTURBANCES[episode.scenario.disturbance].tasks()
        assert episode.task == tasks[(episode.seed - FIRST_SEED) % len(tasks)].instruction


def test_the_widowx_plays_the_same_story_with_its_own_tasks() -> None:
    from sim_node.tasks import tasks_of

    franka, widowx = plan(), plan(robot="widowx")
    assert [(p.scenario, p.seed) for p in widowx] == [(p.scenario, p.seed) for p in franka]
    assert {p.task for p in widowx} <= set(tasks_of("widowx"))


def test_summary_has_the_promised_keys_and_is_json() -> None:
    content = summary(OUTCOMES, {"violations": []}, {"python": "3"}, 5)
    assert set(content) == {"episodes", "audit", "versions", "seed"}
    assert all(set(episode) >= KEYS for episode in content["episodes"])
    assert json.loads(json.dumps(content, allow_nan=False))["episodes"][1]["resumed"] is True


def test_table_says_what_happened() -> None:
    text = render(report(OUTCOMES, {}, []))
    assert "alarm to rest ms" in text and "success, halted" in text and "at rest" in text and "412" in text


def test_pictures_film_and_page_come_from_the_bag(tmp_path: Path, write_bag: WriteBag) -> None:
    bag = write_bag(tmp_path / "bag", rows())
    found = histories(bag)
    assert found["g2"].states == [(0.0, 2), (pytest.approx(1.0), 3), (pytest.approx(1.2), 4)]
    assert [score[1] for score in found["g2"].scores] == [0.5, 1.5]
    draw(OUTCOMES, found, tmp_path / "timeline.png")
    assert film(bag, tmp_path / "overlay.mp4") == len(read(bag, (OVERLAY,))) == 3
    content = summary(OUTCOMES, {"violations": []}, {}, 1)
    write_page(
        tmp_path / "r.html",
        report(OUTCOMES, content, []),
        content,
        tmp_path / "timeline.png",
        tmp_path / "overlay.mp4",
        "<&>",
    )
    page = (tmp_path / "r.html").read_text()
    assert "data:video/mp4;base64," in page and "data:image/png;base64," in page and "&lt;&amp;&gt;" in page
    assert "http" not in page


def test_a_bag_without_overlay_makes_no_film(tmp_path: Path, write_bag: WriteBag) -> None:
    bag = write_bag(tmp_path / "bag", [(1, "/x", "std_msgs/msg/Bool", {})])
    assert film(bag, tmp_path / "overlay.mp4") == 0
    assert not (tmp_path / "overlay.mp4").exists()


def rows() -> list[tuple[int, str, str, dict[str, Any]]]:
    """A short guarded episode: autonomous, alarm, halted."""
    second, state, score = 10**9, "vla_monitor/msg/SupervisorState", "vla_monitor/msg/FailureScore"
    _, jpeg = cv2.imencode(".jpg", np.full((90, 121, 3), 80, np.uint8))
    found: list[tuple[int, str, str, dict[str, Any]]] = [
        (int(t * second), "/supervisor_node/state", state, {"state": s, "episode_id": "g2", "mode": 1})
        for t, s in ((0, 2), (0.5, 2), (1, 3), (1.2, 4))
    ]
    found += [
        (
            int(t * second),
            "/monitor_node/score",
            score,
            {"key.episode_id": "g2", "nonconformity": value, "threshold": 1.0},
        )
        for t, value in ((0.3, 0.5), (0.9, 1.5))
    ]
    found += [
        (int(t * second), f"/{OVERLAY}", "sensor_msgs/msg/CompressedImage", {"data": jpeg.ravel()})
        for t in (0, 0.1, 5.0)
    ]
    return found
