"""The demo itself, shortened: real processes over DDS, a bag, its audit, the report; and none of it outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vla_cli.demo.scenarios import Planned, Scenario
from vla_cli.episodes import SEEDS
from vla_cli.shipped import bundle_file, policy_folder
from vla_uq.errors import InputError

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(240)]
SEED = SEEDS["demo"].first + 902
"""A scene in which the alarm is far from its threshold: this is about the demo, not about the monitor."""
PLAN = [
    Planned(Scenario("ood_recoloured", "recolour"), "put the red cube in the basket", SEED),
    Planned(Scenario("kill_policy", kills="policy_node"), "put the red cube in the basket", SEED + 1),
]


def test_a_short_demo(tmp_path: Path) -> None:
    from vla_cli.demo.run import run
    from vla_cli.verbs.demo import write

    lines: list[str] = []
    outcomes = run(PLAN, tmp_path, policy_folder(None), bundle_file(None), lines.append)
    report = write(outcomes, tmp_path, SEED, "a test")
    disturbed, killed = json.loads((tmp_path / "summary.json").read_text())["episodes"]
    story = "\n".join(lines)
    assert disturbed["halted"] and disturbed["takeover"] and disturbed["success"], story
    assert disturbed["alarm_step"] is not None and 0 < disturbed["alarm_to_rest_ms"] < 1000
    assert killed["halted"] and 0 < killed["alarm_to_rest_ms"] < 2000, story
    assert [disturbed["unscored_chunks_executed"], killed["unscored_chunks_executed"]] == [0, 0]
    assert report.exit_code == 0, report.notes
    for name in ("timeline.png", "overlay.mp4", "report.html"):
        assert (tmp_path / name).stat().st_size > 10_000


def test_a_process_that_refuses_its_input_ends_the_demo_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vla_cli.demo.run import run

    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    with pytest.raises(InputError, match=r"_node: .*MUJOCO_GL=nonsense"):
        run(PLAN, tmp_path, policy_folder(None), bundle_file(None), lambda line: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_demo(number: int, tmp_path: Path, wait_until: Callable[..., Any]) -> None:
    mark = f"DEMO_TEST={tmp_path}"
    with (tmp_path / "log").open("wb") as log:
        demo = subprocess.Popen(
            [sys.executable, "-m", "vla_cli", "demo", "--out", str(tmp_path / "out")],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "DEMO_TEST": str(tmp_path)},
        )
    try:
        wait_until(lambda: len(processes_with(mark)) >= 8, 30.0, "the demo's processes")
        demo.send_signal(number)
        assert demo.wait(20) == (-number if number == signal.SIGKILL else 1)
        wait_until(lambda: not processes_with(mark), 10.0, "all of them to end")
    finally:
        demo.kill()
    if number != signal.SIGKILL:
        assert (tmp_path / "log").read_text().splitlines()[-1] == "vla-monitor: interrupted"


def processes_with(mark: str) -> list[int]:
    """Processes whose environment holds a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words:
            found.append(int(path.parent.name))
    return found
