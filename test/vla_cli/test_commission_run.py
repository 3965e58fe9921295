"""`vla-monitor commission` on both simulated arms, through their own drivers over DDS, in its shortest form."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from supervisor_node.arms.profile import load_profile

pytestmark = [pytest.mark.ros, pytest.mark.drill, pytest.mark.timeout(300)]
SHORT = """
import functools, sys
from supervisor_node.commissioning import course
course.Course = functools.partial(course.Course, fractions=(0.4,), watch=1.0, settle=0.6, grip=2.0)
from vla_cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def started(profile: str, out: Path) -> subprocess.Popen[str]:
    arguments = ["commission", "--robot", profile, "--out", str(out), "--yes", "--simulated", "--json"]
    return subprocess.Popen(
        [sys.executable, "-c", SHORT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("name", ["franka_crisp_sim", "widowx_xs_sim"])
def test_a_simulated_arm_is_commissioned(name: str, tmp_path: Path) -> None:
    out = tmp_path / "arm.yaml"
    printed, said = started(name, out).communicate(timeout=280)
    assert out.exists(), said[-2000:]
    profile, report = load_profile(str(out)), json.loads(printed)
    assert profile.commissioned is not None and report["commissioned"]["date"] == profile.commissioned.date
    assert [row["joint"] for row in report["rows"]] == list(profile.joints.names)
    before = load_profile(name)
    assert before.commissioned is not None, "what ships was commissioned"
    assert (profile.braking.deceleration <= before.commissioned.data_sheet + 1e-9).all()
    assert np.all(profile.commissioned.rest.worst < profile.escalation.switch)


def test_breaking_off_holds_the_arm_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "arm.yaml"
    process = started("franka_crisp_sim", out)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("2/"):
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "interrupted" in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
