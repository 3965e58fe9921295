"""The fault rows about the network; the numbers are the specification's rows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.drill, pytest.mark.timeout(240)]
DRILLS = Path(__file__).parent / "drill_network.py"


def drill(name: str) -> None:
    """Run one drill in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", f"{DRILLS}::{name}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    skipped = re.search(r"^SKIPPED \[1\] \S+ (.+)$", done.stdout, re.MULTILINE)
    if skipped:
        pytest.skip(skipped[1])
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.faults(row=16, tier="N")
def test_16_partition_halts_both_halves_and_healing_resumes_nothing() -> None:
    drill("test_partition")


@pytest.mark.faults(row=17, tier="N")
def test_17_slow_and_lossy_network_makes_no_chatter() -> None:
    drill("test_slow_and_lossy_network")
