"""The soak's own parts: whom it kills when, how fast the arm is, when it rests, and what counts as arming again."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.soak.motion import FAST, FRESH, PERIOD, Motion
from benchmarks.soak.schedule import EARLIEST, LATEST, VICTIMS, schedule
from benchmarks.soak.states import rearmed
from supervisor_node.states import State

LIMIT = np.full(7, 0.015)


@pytest.mark.parametrize("kills", [1, 3, 12, 99, 100, 101])
def test_every_process_is_killed_as_often_and_half_of_it_stopped(kills: int) -> None:
    plan = schedule(kills, seed=0)
    assert len(plan) == kills
    each = Counter(kill.victim for kill in plan)
    assert max(each.values()) - min(each.get(name, 0) for name in VICTIMS) <= 1
    for name in VICTIMS:
        hangs = [kill.hangs for kill in plan if kill.victim == name]
        assert abs(2 * sum(hangs) - len(hangs)) <= 1
    assert all(EARLIEST <= kill.delay <= LATEST for kill in plan)
    assert all(kill.signal == ("SIGSTOP" if kill.hangs else "SIGKILL") for kill in plan)


def test_a_hundred_kills_are_thirty_of_each_and_the_seed_decides() -> None:
    plan = schedule(100, seed=3)
    assert min(Counter(kill.victim for kill in plan).values()) >= 30
    assert sum(kill.hangs for kill in plan) == 50
    assert plan == schedule(100, seed=3) != schedule(100, seed=4)


def filled(speeds: list[float], start: float = 100.0) -> Motion:
    """A joint that moves with these speeds (rad/s), a sample every period."""
    motion = Motion(LIMIT)
    for number, speed in enumerate(speeds):
        motion.take(start + number * PERIOD, [0.0, -speed, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0, 9.0])
    return motion


def test_speed_is_the_fastest_joints_and_only_of_now() -> None:
    motion = filled([0.0, 0.3])
    newest = 100.0 + PERIOD
    assert motion.speed(newest + FRESH / 2) == pytest.approx(0.3) and motion.speed(newest) > FAST
    assert motion.speed(newest + 2 * FRESH) == 0.0
    assert Motion(LIMIT).speed(newest) == 0.0


def test_rest_is_what_lasts() -> None:
    brakes = [0.5] * 30 + [0.1] * 10 + [0.01] * 60
    assert filled(brakes).rest_after(100.1) == pytest.approx(0.3)
    pause = [0.5] * 30 + [0.0] * 20 + [0.2] + [0.0] * 50
    assert filled(pause).rest_after(100.1) == pytest.approx(0.41), "a pause is no rest"
    assert filled([0.5] * 100).rest_after(100.1) is None, "it never rests"
    assert filled([0.0] * 100 + [0.2]).rest_after(100.1) is None, "it moves again at the end"
    assert filled([0.5] * 5).rest_after(100.1) is None, "it was not seen after the signal"


def test_each_joint_has_its_limit() -> None:
    motion = Motion(np.array([0.01, 0.1]))
    motion.take(1.0, [0.0, 0.05])
    assert motion.rest_after(1.0) == 0.0
    motion.take(1.1, [0.05, 0.0])
    assert motion.rest_after(1.0) is None


def test_pace_is_simulated_over_real_time() -> None:
    assert filled([0.0] * 200).factor(100.5, 101.5) == pytest.approx(1.0, abs=0.02)
    motion = Motion(LIMIT)
    for number in range(100):
        motion.take(100.0 + number * PERIOD / 0.8, [0.0] * 7)
    assert motion.factor(100.0, 101.0) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("names", "times"),
    [
        ("AUTONOMOUS AUTONOMOUS HALTING HALTED HALTED", 0),
        ("AUTONOMOUS UNKNOWN IDLE IDLE", 0),
        ("AUTONOMOUS", 0),
        ("AUTONOMOUS HALTING HALTED AUTONOMOUS AUTONOMOUS", 1),
        ("AUTONOMOUS UNKNOWN IDLE RESUMING AUTONOMOUS HALTING TELEOP", 2),
        ("", 0),
    ],
)
def test_arming_again_is_seen(names: str, times: int) -> None:
    assert rearmed(State[name] for name in names.split()) == times


def test_a_kill_in_a_slow_stretch_is_repeated_and_not_counted() -> None:
    pytest.importorskip("rclpy")
    from benchmarks.soak import __main__ as soak
    from benchmarks.soak import table
    from benchmarks.soak.player import Outcome
    from supervisor_node.audit import Report
    from vla_cli.console import Console

    class Player:
        played = 0

        def play(self, kill: Any) -> Outcome:
            self.played += 1
            slow = self.played == 2
            return Outcome(kill, 7, 0.5, None, 1.2 if slow else 0.4, 0.5 if slow else 1.0, 0, "")

    outcomes: list[Outcome] = []
    waiting = deque(schedule(6, 0))
    soak.play(Player(), waiting, outcomes, 6, Console(), lambda: None)
    assert not waiting
    assert len(outcomes) == 7 and sum(one.slow for one in outcomes) == 1
    found = table.headline(outcomes, [Report(unscored_chunks_executed=2), Report()], 0.97)
    assert (found["kills"], found["repeated_slow"], found["unscored_chunks_executed"]) == (6, 1, 2)
    assert found["max_kill_to_rest_s"] == pytest.approx(0.4) and found["real_time_factor"] == 0.97
    assert sum(row["n"] for row in table.rows(outcomes)) == 6
    never = [Outcome(one.kill, 7, 0.5, None, None, 1.0, 1, "") for one in outcomes]
    assert table.headline(never, [Report()], 1.0)["max_kill_to_rest_s"] == np.inf
    assert table.headline(never, [Report()], 1.0)["rearmed"] == 7


def test_a_stopped_process_lives_on_and_can_be_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vla_cli.demo.processes import Processes

    with Processes(tmp_path) as processes:
        (tmp_path / "sleeper.py").write_text("import time\ndef main():\n    time.sleep(60)\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        processes.start("sleeper", "sleeper")
        processes.freeze("sleeper")
        status = Path(f"/proc/{processes.pid('sleeper')}/stat")
        for _ in range(200):
            if status.read_text().rsplit(")", 1)[1].split()[0] == "T":
                break
            signal.sigtimedwait([], 0.01)
        assert status.read_text().rsplit(")", 1)[1].split()[0] == "T" and not processes.ended()
        processes.kill("sleeper")
        assert not status.exists()


@pytest.mark.ros
@pytest.mark.drill
@pytest.mark.timeout(300)
def test_three_kills_in_mid_motion(tmp_path: Path) -> None:
    import json

    command = [sys.executable, "-m", "benchmarks.soak", "--kills", "3", "--out", str(tmp_path)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], timeout=280)
    found = json.loads((tmp_path / "soak.json").read_text())["headline"]
    assert found["kills"] == 3 and found["never_rested"] == 0
    assert found["max_kill_to_rest_s"] <= 0.7
    assert found["unscored_chunks_executed"] == found["invalid_commands"] == found["rearmed"] == 0
    assert found["real_time_factor"] >= 0.95
