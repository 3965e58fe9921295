"""``vla-monitor commission``: slow guided tests on one arm, which write its profile."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from vla_cli.console import Console, Report
from vla_cli.surroundings import require
from vla_uq.errors import InputError

COLUMNS = (
    "joint", "noise_mrad", "droop_mrad", "speed_rad_s", "stop_mrad", "stop_spread", "brake_rad_s2", "data_sheet",
    "lag_ms", "lead_rad", "n",
)  # fmt: skip
BEFORE = (
    "The arm moves by itself. Clear its surroundings, stand outside of its reach, one hand at the emergency stop.",
    "Neither supervisor nor policy may run. Ctrl-C holds the arm and ends the tests.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which arm, and where its profile goes."""
    parser.add_argument("--robot", required=True, metavar="PROFILE", help="template: a name of config/arms, or a file")
    parser.add_argument("--out", required=True, metavar="FILE", type=Path, help="the profile to write, a .yaml")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.add_argument("--yes", action="store_true", help="do not ask before each test")
    parser.add_argument("--simulated", action="store_true", help="start the simulated arm of this profile as well")
    parser.add_argument("--namespace", default="", metavar="NS", help="namespace of the arm")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Test the arm, write its profile, and show what was measured."""
    require("ros")
    from supervisor_node.arms import open_arm
    from supervisor_node.arms.profile import find_profile
    from supervisor_node.commissioning.course import Course
    from supervisor_node.commissioning.driver import commission
    from supervisor_node.commissioning.findings import find, notes, rows
    from supervisor_node.commissioning.paper import write_out

    _writable(args.out, args.force)
    arm, template = open_arm(args.robot), find_profile(args.robot).read_text(encoding="utf-8")
    for line in BEFORE:
        console.say(line)
    confirmed = (lambda: True) if args.yes else _ask(console)
    namespace = ["--ros-args", "-r", f"__ns:={args.namespace}"] if args.namespace else []
    with _simulated(arm.profile.name) if args.simulated else _nothing():
        evidence = commission(arm, Course(), confirmed, console.say, namespace)
    found = find(arm.profile, evidence, datetime.date.today().isoformat())
    try:
        text = write_out(template, found, str(args.out))
    except InputError:
        for line in notes(arm.profile, found, evidence):  # minutes of tests are not to end in one number
            console.say(line)
        raise
    _write(args.out, text)
    table, measured = rows(arm.profile, found), found.commissioned
    data = {"robot": arm.profile.name, "out": str(args.out), "commissioned": dataclasses.asdict(measured)}
    title = f"{arm.profile.name}, commissioned {measured.date}: {args.out}"
    return Report(title, COLUMNS, table, data, notes(arm.profile, found, evidence))


def _writable(out: Path, force: bool) -> None:
    """Said before anything moves."""
    if out.suffix not in (".yaml", ".yml"):
        raise InputError("not the name of a profile", where="--out", expected="a path that ends in .yaml", found=out)
    if out.exists() and not force:
        raise InputError("file exists", where=str(out), remedy="choose another name, or give --force")
    if not out.resolve().parent.is_dir():
        raise InputError("no such folder", where=str(out.resolve().parent), remedy="make it first")


def _write(out: Path, text: str) -> None:
    """Through a temporary file and a rename: half a profile is none."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError("cannot be written", where=str(out), found=error.strerror) from error


def _ask(console: Console) -> Callable[[], bool]:
    """Whether somebody pressed Enter, asked again and again while the arm is held.

    :raises InputError: nobody is there to press it.
    """
    if not sys.stdin.isatty():
        raise InputError("nobody can be asked", where="stdin", expected="a terminal", remedy="give --yes")
    console.say("Enter begins each test.")

    def pressed() -> bool:
        if not select.select([sys.stdin], [], [], 0)[0]:
            return False
        if not sys.stdin.readline():
            raise InputError("nobody can be asked any more", where="stdin", found="it was closed")
        return True

    return pressed


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _simulated(profile: str) -> Iterator[None]:
    """The simulated arm of a profile, as a process of its own on a ROS domain of its own.

    :raises InputError: the profile is no simulated arm's.
    """
    from vla_cli.demo.domain import environment_of, private_domain
    from vla_cli.demo.processes import Processes
    from vla_cli.robots import ROBOTS

    robot = next((each for each in ROBOTS.values() if each.profile == profile), None)
    if robot is None:
        expected = " | ".join(each.profile for each in ROBOTS.values())
        raise InputError("no simulated arm has this profile", where="--robot", expected=expected, found=profile)
    with private_domain() as domain, TemporaryDirectory() as logs:
        os.environ.update(environment_of(domain))
        with Processes(Path(logs)) as processes:
            arguments = robot.arguments.get("sim_node", ())
            processes.start("sim_node", "sim_node.driver", ["--ros-args", *arguments] if arguments else [])
            yield
