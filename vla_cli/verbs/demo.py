"""``vla-monitor demo``: the whole system on the simulated arm, recorded, audited and put on one page."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_cli.console import Console, Report
from vla_cli.robots import FRANKA, ROBOTS, robot_of
from vla_cli.surroundings import require, versions
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from vla_cli.demo.results import Outcome

SERVED = "policy_server"
OURS = ("summary.json", "timeline.png", "overlay.mp4", "report.html", "bag", "logs", SERVED)
"""What the demo writes, and takes away before it begins."""
SERVER_WAIT = 10.0
"""Seconds to wait for a policy server and its first answer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to write, what to show, and from which seed on."""
    parser.add_argument("--robot", choices=tuple(ROBOTS), default=FRANKA, help=f"default: {FRANKA}")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: out/demo, or out/demo_<robot>")
    policy = parser.add_mutually_exclusive_group()
    policy.add_argument("--policy", type=Path, metavar="DIR", help="exported policy (default: the shipped one)")
    policy.add_argument(
        "--policy-server", metavar="URL", help="a running `vla-monitor serve-policy` in place of a policy here: ws://…"
    )
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="the monitor's bundle (default: the shipped one)")
    parser.add_argument("--seed", type=int, metavar="N", help="first of the consecutive seeds (default: the demo's)")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Play all scenarios; exit code 1 when the auditor found violations."""
    require("ros", "sim", "policy", "bag", "video", "plot")
    from vla_cli.demo.director import DemoError
    from vla_cli.demo.run import run as play
    from vla_cli.demo.scenarios import FIRST_SEED, plan
    from vla_cli.shipped import bundle_file, check_pair, policy_folder

    robot = args.robot
    policy, bundle = policy_folder(args.policy, robot), bundle_file(args.bundle, robot)
    seed = FIRST_SEED if args.seed is None else args.seed
    out: Path = args.out or Path("out") / ("demo" if robot == FRANKA else f"demo_{robot}")
    if args.policy_server is None:
        check_pair(policy, bundle)
    clear(out)
    if args.policy_server is not None:
        policy = served(args.policy_server, out / SERVED, bundle)
    started = time.monotonic()

    def say(line: str) -> None:
        console.say(f"{time.monotonic() - started:6.1f} s  {line}")

    try:
        with _interruptible():
            outcomes = play(plan(seed, robot), out, policy, bundle, say, robot)
    except DemoError as error:
        return Report(f"The demo did not run through: {error}", data={"error": str(error)}, exit_code=1)
    say("writing the report")
    return write(outcomes, out, seed, f"{time.monotonic() - started:.0f} s of demo", robot)


def served(url: str, folder: Path, bundle: Path) -> Path:
    """What stands for the weights of a policy on a server: its address.

    :param folder: is written.
    :raises InputError: when nobody answers there, or the bundle is not of that policy.
    """
    require("server")
    from policy_node.backends import load
    from policy_node.backends.openpi_settings import Settings
    from vla_uq.bundle import Bundle

    folder.mkdir()
    Settings(url=url, preset="table_top", warm_up=SERVER_WAIT).save(folder)
    backend = load("", folder)
    try:
        wrong = Bundle.load(bundle).policy.mismatches(backend.info)
    finally:
        backend.close()
    if wrong:
        raise InputError("the bundle is of another policy", where=f"{bundle}: policy", found=f"{url}: {wrong[0]}")
    return folder


def clear(folder: Path) -> None:
    """Take away what an earlier demo wrote.

    :raises InputError: when the folder holds anything else, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in OURS)
        if foreign:
            raise InputError(
                "not a demo's folder", where=str(folder), expected="an empty folder", found=", ".join(foreign[:3])
            )
        for name in OURS:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError("cannot be written", where=str(folder), found=error.strerror) from error


def write(outcomes: Sequence[Outcome], out: Path, seed: int, line: str, robot: str = FRANKA) -> Report:
    """Audit the bag, then write summary, timeline, film and page."""
    from vla_cli.demo.history import histories
    from vla_cli.demo.page import write_page
    from vla_cli.demo.results import report, summary
    from vla_cli.demo.timeline import draw
    from vla_cli.demo.video import film
    from vla_cli.verbs.audit import audit_bag, verdict

    audit = audit_bag(out / "bag", robot_of(robot).profile)
    for outcome in outcomes:
        outcome.unscored_chunks_executed = sum(
            audit.episode(episode).unscored_chunks_executed for episode in outcome.episode_ids
        )
    content: dict[str, Any] = summary(outcomes, audit.as_dict(), versions(), seed)
    (out / "summary.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    draw(outcomes, histories(out / "bag"), out / "timeline.png")
    frames = film(out / "bag", out / "overlay.mp4")
    results = [name for name in OURS if name not in ("logs", SERVED)]
    table = report(outcomes, content, ["", verdict(audit), *(f"written: {out / name}" for name in results)])
    write_page(out / "report.html", table, content, out / "timeline.png", out / "overlay.mp4" if frames else None, line)
    return Report("", table.columns, table.rows, content, table.notes, exit_code=int(not audit.ok))


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM unwinds like Ctrl-C, and Ctrl-C does even where a shell's ``&`` left it ignored: nothing outlives us."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
