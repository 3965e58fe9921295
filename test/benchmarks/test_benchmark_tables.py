"""From episodes and recordings to a benchmark's table: counts, ways over the wire, and the contract of the file."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("benchmarks")  # not installed: needs the source tree as the working directory

from benchmarks import latency, policy, report, wire
from vla_cli.bag.reader import Recorded
from vla_cli.console import Console
from vla_uq.errors import InputError

KEYS = {"name", "title", "command", "quick", "seed", "versions", "device", "columns", "rows", "notes", "headline"}


def played(number: int, disturbance: str, success: bool, alarm: int | None) -> policy.Played:
    return policy.Played(f"e{number}", disturbance, "task", number, success, 60, 10.0, alarm, "identity")


def test_rates_are_counted_over_the_right_episodes() -> None:
    episodes = [
        *(played(n, "none", True, 3 if n == 0 else None) for n in range(10)),
        played(10, "none", False, 2),
        played(11, "lights", False, 1),
        played(12, "lights", False, None),
        played(13, "push", True, 4),
        played(14, "push", True, None),
        played(15, "push", False, None),  # a disturbance of the training: no held-out failure
    ]
    result = policy.table(episodes, alpha=0.02)
    head = result.headline
    assert (head["tasks"], head["alpha"], head["false_alarm_rate"]) == (1, 0.02, 0.1)
    assert (head["detection_rate_ood"], head["halted_would_be_successes"]) == (0.5, 0.5)
    assert 0.5 < head["nominal_success_wilson_low"] < 10 / 11
    lights = next(row for row in result.rows if row["disturbance"] == "lights")
    assert (lights["n"], lights["failures"], lights["detected"], lights["successes"]) == (2, 2, 1, 0)


def test_episodes_are_kept_for_the_same_policy_and_bundle_only(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    lines = [json.dumps(vars(played(1, "none", True, None))), json.dumps(vars(played(2, "none", True, None)))[:-9]]
    path.write_text("\n".join(lines))  # the second one was cut off while it was written
    assert set(policy.kept(path, "identity")) == {"e1"}
    assert policy.kept(path, "another") == {} == policy.kept(tmp_path / "none", "identity")


def test_ways_over_the_wire_are_read_from_stamps() -> None:
    key = SimpleNamespace(run_id=bytes(16), sequence=5, episode_id="e", step=0)
    ours, theirs = ([SimpleNamespace(name=name)] for name in (wire.RAISED, "vfd"))
    messages = [
        Recorded(round(1e6 * time), topic, SimpleNamespace(key=key, **fields))
        for time, topic, fields in (
            (0, "/target_joint", {}),
            (10, "/policy_node/chunk", {}),
            (13, "/supervisor_node/command", {}),
            (60, "/supervisor_node/command", {}),
            (70, "/monitor_node/score", {"detectors": ours}),
            (71.5, "/target_joint", {}),
            (80, "/monitor_node/score", {"detectors": theirs}),
            (81, "/target_joint", {}),
            (90, "/monitor_node/score", {"detectors": ours}),
        )
    ]
    assert wire.way_of_chunks(messages) == {"publish_to_command_ms": [pytest.approx(3.0)]}
    assert wire.way_of_alarms(messages) == {"alarm_to_hold_ms": [pytest.approx(1.5)]}


def test_headline_of_latencies() -> None:
    samples = {
        name: [1.0, 2.0, 3.0]
        for name in (
            *("vfd_extra_ratio", "inference_extra_ratio", "monitor_step_ms"),
            *("publish_to_command_ms", "alarm_to_hold_ms", "alarm_to_rest_ms"),
        )
    }
    head = latency.headline(samples)
    assert head["vfd_extra_ratio"] == 2.0 and head["alarm_to_rest_ms_p95"] == pytest.approx(2.9)
    assert {"monitor_step_ms_p50", "publish_to_command_ms_p99", "alarm_to_hold_ms_p99"} < set(head)


def test_the_file_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def benchmark(options: report.Options, console: Console) -> report.Result:
        if not options.quick:
            raise InputError("no weights", where="weights/manifest.json")
        return report.Result("A table", ("n",), [{"n": 3, "rate": float("nan")}], {"rate": 0.5})

    arguments = ["--quick", "--seed", "7", "--out", str(tmp_path)]
    assert report.command("trial", benchmark, seed=1, argv=arguments) == 0
    found = json.loads((tmp_path / "trial.json").read_text())
    assert set(found) == KEYS
    assert found["rows"] == [{"n": 3, "rate": None}]
    assert (found["command"], found["headline"]) == ("python -m benchmarks.trial --quick --seed 7", {"rate": 0.5})
    assert "A table" in capsys.readouterr().out
    assert report.command("trial", benchmark, seed=1, argv=["--out", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
