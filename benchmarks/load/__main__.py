"""``python -m benchmarks.load``: supervisor and monitor under more than they should ever get.

An hour of simulated time at 100 Hz through the supervisor's core and the monitor's engine, as fast as it goes: memory
must not grow. Then the real nodes over DDS, while a policy moves an arm: a thousand messages a second of each kind, of
nobody's session; a trace and a chunk of ten million numbers. They may be refused and the arm may be halted, with a
reason; nothing may crash, and the lateness of the control tick is told.
"""

from __future__ import annotations

import argparse
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import Options, Result, Table, command
from vla_cli.console import Console
from vla_cli.surroundings import require

if TYPE_CHECKING:
    from benchmarks.load.bursts import Load
    from benchmarks.load.hour import Hour
    from benchmarks.load.material import Material

MINUTES, QUICK_MINUTES = 60, 8
TRACED, QUICK_TRACED = 10, 4
"""Simulated minutes in which Python's own allocations are traced too."""
SECONDS, QUICK_SECONDS = 5.0, 2.0
COLUMNS = (
    *("load", "sent", "rate_hz", "lateness_p50_ms", "lateness_p99_ms", "lateness_max_ms", "supervisor_mb"),
    *("monitor_mb", "after", "reason"),
)
TIMES = ("what", "minutes", "steps", "mb_start", "mb_end", "mb_per_hour", "step_p50_us", "step_p99_us", "alarms")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark alone."""
    parser.add_argument("--minutes", type=int, default=MINUTES, help=f"simulated minutes (default: {MINUTES})")


def run(options: Options, console: Console) -> Result:
    """The hour first, in this process; then the nodes."""
    require("ros", "sim", "policy")
    from benchmarks.load.hour import allocated, resident
    from benchmarks.load.material import material

    minutes = QUICK_MINUTES if options.quick else options.own["minutes"]
    traced = QUICK_TRACED if options.quick else TRACED
    made = material(seed=options.seed)
    hour = through(made, minutes, "simulated minutes", resident, console)
    tracemalloc.start()
    python = through(made, traced, "simulated minutes, allocations traced", allocated, console)
    tracemalloc.stop()
    with TemporaryDirectory() as folder:
        loads, halt = over_dds(Path(folder), made, QUICK_SECONDS if options.quick else SECONDS, console)
    return Result(
        "Load on the real nodes over DDS (lateness: of each command beyond its tick of 50 ms)",
        COLUMNS,
        [_row(load) for load in loads],
        headline(hour, python, loads, halt),
        tables=[Table("Simulated time", TIMES, [_times("memory", hour), _times("Python's allocations", python)])],
    )


def through(made: Material, minutes: int, title: str, measure: Any, console: Console) -> Hour:
    """Simulated time in this process."""
    from benchmarks.load.hour import Runner

    with console.progress(title, minutes) as advance:
        return Runner(made).minutes(minutes, measure, advance)


def over_dds(folder: Path, made: Material, seconds: float, console: Console) -> tuple[list[Load], float | None]:
    """Every load in turn; and the seconds until a halt is answered after all of them."""
    from benchmarks.load.bursts import hose

    with hose(folder, made) as open_hose, console.progress("loads over DDS", len(open_hose.kinds) + 4) as advance:
        loads = [open_hose.calm(seconds)]
        advance(1)
        for what in open_hose.kinds:
            loads.append(open_hose.burst(what, seconds))
            advance(1)
        for huge in (open_hose.huge_trace, open_hose.huge_chunk):
            loads.append(huge())
            advance(1)
        halt = open_hose.halts()
        advance(1)
    return loads, halt


def headline(hour: Hour, python: Hour, loads: Sequence[Load], halt: float | None) -> dict[str, float]:
    """The numbers that others quote."""
    calm = np.array(loads[0].lateness) * 1e3
    bursts = np.array([late for load in loads[1:] if load.rate for late in load.lateness]) * 1e3
    return {
        "memory_slope_mb_per_h": hour.slope,
        "python_slope_mb_per_h": python.slope,
        "simulated_minutes": len(hour.megabytes),
        "tick_lateness_p50_ms": float(np.percentile(calm, 50)),
        "tick_lateness_p99_ms": float(np.percentile(calm, 99)),
        "burst_tick_lateness_p50_ms": float(np.percentile(bursts, 50)),
        "burst_tick_lateness_p99_ms": float(np.percentile(bursts, 99)),
        "huge_passed": sum("PASSED" in load.reason for load in loads),
        "halt_after_load_s": float("inf") if halt is None else halt,
    }


def _row(load: Load) -> dict[str, object]:
    late = np.array(load.lateness) * 1e3
    p50, p99, worst = np.percentile(late, (50, 99, 100)) if len(late) else (None, None, None)
    return {
        "load": load.what,
        "sent": load.sent,
        "rate_hz": load.rate,
        "lateness_p50_ms": p50,
        "lateness_p99_ms": p99,
        "lateness_max_ms": worst,
        "supervisor_mb": load.megabytes["supervisor_node"],
        "monitor_mb": load.megabytes["monitor_node"],
        "after": load.state,
        "reason": load.reason,
    }


def _times(what: str, hour: Hour) -> dict[str, object]:
    p50, p99 = np.nanpercentile(hour.costs, (50, 99)) * 1e6
    return {
        "what": what,
        "minutes": len(hour.megabytes),
        "steps": hour.steps,
        "mb_start": hour.megabytes[0],
        "mb_end": hour.megabytes[-1],
        "mb_per_hour": hour.slope,
        "step_p50_us": p50,
        "step_p99_us": p99,
        "alarms": hour.alarms,
    }


if __name__ == "__main__":
    sys.exit(command("load", run, seed=0, own=arguments))
