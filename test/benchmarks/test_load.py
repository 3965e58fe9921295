"""Load: the hour runs through core and engine, slopes are honest, and bursts and huge messages break no real node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.load.hour import Runner, slope
from vla_uq.contracts import MAX_TENSOR

pytest.importorskip("mujoco")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def made() -> Any:
    from benchmarks.load.material import material

    return material(4)


def test_slope_is_megabytes_an_hour_after_the_warm_up() -> None:
    warm = [*np.linspace(100, 200, 12), *(200 + np.arange(48) * 0.5)]
    assert slope(warm) == pytest.approx(30.0)
    assert slope([100.0] * 60) == pytest.approx(0.0)
    assert np.isnan(slope([1.0, 2.0]))


def test_simulated_time_runs_through_core_and_engine(made: Any) -> None:
    ticks: list[int] = []

    def measure() -> float:
        ticks.append(1)
        return 1.0

    found = Runner(made).minutes(1, measure)
    assert len(ticks) == 1 and found.episodes >= 2 and found.alarms == 0
    assert found.scores > 150 and found.commands > 900, "the arm is moved nearly all of the time"
    assert found.steps > 60 * 100 and np.isfinite(found.costs[: found.steps]).all()


def test_a_huge_tensor_is_beyond_the_contract() -> None:
    from benchmarks.load.bursts import HUGE

    assert HUGE == 10_000_000 > MAX_TENSOR


@pytest.mark.ros
@pytest.mark.drill
@pytest.mark.timeout(240)
def test_bursts_and_huge_messages_break_nothing(made: Any, tmp_path: Path) -> None:
    from benchmarks.load.__main__ import over_dds
    from vla_cli.console import Console

    loads, halt = over_dds(tmp_path, made, 2.0, Console())
    found = {load.what: load for load in loads}
    quiet: Callable[[str], bool] = lambda state: state in ("AUTONOMOUS", "HALTED", "IDLE", "FAULT")  # noqa: E731
    assert all(quiet(load.state) for load in loads)
    assert all(load.reason for load in loads if load.state in ("HALTED", "FAULT")), "it says who could not keep up"
    assert found["a trace of 10 million"].reason.startswith("no pass"), found["a trace of 10 million"].reason
    # Whoever is first to notice gives the reason: this process plays the arm too, and is silent while it sends so much.
    assert found["a chunk of 10 million"].state in ("HALTED", "FAULT")
    growth = {name: loads[-1].megabytes[name] - loads[0].megabytes[name] for name in loads[0].megabytes}
    assert max(growth.values()) < 400, growth
    assert halt is not None and halt < 2.0
