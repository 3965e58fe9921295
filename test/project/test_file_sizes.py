"""One idea a file: no Python file grows to 300 lines."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 300
FOLDERS = (
    *("vla_uq", "vla_policy", "policy_node", "monitor_node", "supervisor_node", "teleop_node", "sim_node", "vla_cli"),
    *("vla_server", "benchmarks", "launch", "requirements", "test"),
)


def test_every_file_is_short() -> None:
    files = [*ROOT.glob("*.py"), *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))]
    lengths = {str(f.relative_to(ROOT)): len(f.read_text(encoding="utf-8").splitlines()) for f in files}
    assert len(lengths) > len(FOLDERS)
    assert {name: length for name, length in lengths.items() if length >= LIMIT} == {}
