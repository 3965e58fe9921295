"""``python -m benchmarks.soak``: whoever dies or hangs while the policy moves the arm, it rests, and stays at rest.

Seeded episodes on the simulated Franka in real time, every node a process of its own as it ships, and a recorder.
Policy, monitor and supervisor are killed (SIGKILL) or stopped (SIGSTOP, later killed) while some joint is faster than
0.1 rad/s; what died is started again, and nothing may move before an operator asks for it. The other processes live on
from kill to kill; where a new one does not find them, all are started again, and counted. A recording of all of it goes
to the auditor.

Rest is the first moment from which on no joint is faster than the rest noise of the arm's profile over its rest window
(0.003 rad in 0.2 s), by the simulator's true joint speeds, until the next episode is asked for. Supervisor and auditor
verify rest by the same measure on measured positions, which takes them the window's 0.2 s longer.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import deque
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.report import Options, Result, Table, command
from benchmarks.soak.schedule import schedule
from vla_cli.console import Console
from vla_cli.episodes import SEEDS
from vla_cli.shipped import bundle_file, policy_folder
from vla_cli.surroundings import require
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.soak.player import Outcome, Soak
    from benchmarks.soak.schedule import Kill
    from supervisor_node.audit import Report

KILLS, QUICK_KILLS = 100, 12
MOST_REPEATS = 0.25
"""A share of the kills; with more in slow stretches the machine is too busy for any of this."""
MOST_STUCK = 0.1
"""Likewise, of new starts of everything."""
EACH = ("process", "signal", "seed", "speed", "noticed_s", "rest_s", "pace", "rearmed", "reason")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this benchmark alone."""
    parser.add_argument("--kills", type=int, default=KILLS, help=f"signals in all (default: {KILLS}; --quick: 12)")
    parser.add_argument("--keep", type=Path, default=None, metavar="DIR", help="keep recording and logs there")


def run(options: Options, console: Console) -> Result:
    """Kill, restart, audit.

    :raises InputError: on a wrong number of kills, or a machine that is too busy.
    """
    require("ros", "sim", "policy", "bag")
    kills = QUICK_KILLS if options.quick else options.own["kills"]
    if kills < 1:
        raise InputError("no kills", where="--kills", expected="at least 1", found=kills)
    keep: Path | None = options.own["keep"]
    with TemporaryDirectory() as folder:
        return soak(keep or Path(folder), kills, options.seed, console)


def soak(folder: Path, kills: int, seed: int, console: Console) -> Result:
    """Play the whole schedule; when a process does not find the others again, all are started anew, and that counts.

    :param folder: for recordings and logs.
    :raises InputError: when that, or a slow stretch, comes too often.
    """
    from benchmarks.soak import table
    from benchmarks.soak.motion import PERIOD
    from benchmarks.soak.player import Soak
    from vla_cli.demo.director import DemoError
    from vla_cli.demo.system import running
    from vla_cli.verbs.audit import audit_bag

    seeds = itertools.count(SEEDS["benchmark"].first + 1000 * seed)
    waiting = deque(schedule(kills, seed))
    outcomes: list[Outcome] = []
    audits: list[Report] = []
    stuck: list[str] = []
    simulated, real, unfit = 0.0, 0.0, 0
    with console.progress("kills", kills) as advance:
        while waiting:
            part = folder / str(len(audits))
            with running(part, policy_folder(None), bundle_file(None), console.say, pictures=False) as system:
                player = Soak(system, seeds, console.say)
                began, before = time.monotonic(), player.motion.count
                try:
                    play(player, waiting, outcomes, kills, console, lambda: advance(1))
                except DemoError as error:
                    stuck.append(str(error))
                    console.say(f"  all are started again: {error}")
                real, simulated = real + time.monotonic() - began, simulated + PERIOD * (player.motion.count - before)
                unfit += player.unfit
                system.finish()
            console.say("auditing the recording")
            audits.append(audit_bag(part / "bag"))
            if len(stuck) > 1 + kills * MOST_STUCK:
                raise InputError("too often a process did not find the others again", found="; ".join(stuck))
    return Result(
        f"Kills in mid-motion, and the arm's rest ({kills} kills, simulated Franka in real time)",
        table.COLUMNS,
        table.rows(outcomes),
        table.headline(outcomes, audits, simulated / real) | {"started_again": len(stuck)},
        notes=[*table.notes(outcomes, audits, unfit), *(f"all started again: {text}" for text in stuck)],
        tables=[Table("Every kill", EACH, [_each(one) for one in outcomes])],
    )


def play(
    player: Soak,
    waiting: deque[Kill],
    outcomes: list[Outcome],
    kills: int,
    console: Console,
    advance: Callable[[], None],
) -> None:
    """Every kill that waits; one in a slow stretch is repeated at the end.

    :param outcomes: grows by what was played.
    :raises InputError: when too many are slow.
    :raises DemoError: when the system does not come back; what waits then was not played.
    """
    most = kills * (1 + MOST_REPEATS) + 1
    while waiting:
        outcome = player.play(waiting[0])
        kill = waiting.popleft()
        outcomes.append(outcome)
        console.say(f"  {len(outcomes)}: {_line(outcome)}")
        if outcome.slow:
            waiting.append(kill)
        else:
            advance()
        if len(outcomes) > most:
            raise InputError(
                "the simulation does not keep pace on this machine",
                found=f"{sum(one.slow for one in outcomes)} of {len(outcomes)} kills in slow stretches",
                remedy="end other work and run again",
            )


def _line(outcome: Outcome) -> str:
    rest = "NEVER AT REST" if outcome.rest is None else f"at rest after {outcome.rest:.3f} s"
    slow = ", slow: to be repeated" if outcome.slow else ""
    kill = outcome.kill
    noticed = "" if outcome.noticed is None else f"stopped after {outcome.noticed:.3f} s, "
    return f"{kill.victim} {kill.signal} at {outcome.speed:.2f} rad/s: {noticed}{rest}, pace {outcome.factor:.3f}{slow}"


def _each(outcome: Outcome) -> dict[str, object]:
    return {
        "process": outcome.kill.victim,
        "signal": outcome.kill.signal,
        "seed": outcome.seed,
        "speed": outcome.speed,
        "noticed_s": outcome.noticed,
        "rest_s": outcome.rest,
        "pace": outcome.factor,
        "rearmed": outcome.rearmed,
        "reason": outcome.reason,
    }


if __name__ == "__main__":
    sys.exit(command("soak", run, seed=0, own=arguments))
