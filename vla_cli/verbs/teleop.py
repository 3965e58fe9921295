"""``vla-monitor teleop keyboard``: take over an arm with a keyboard, for those who have nothing else."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from vla_cli.console import Console, Report
from vla_cli.surroundings import require
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from teleop_node.keyboard.keys import Keys

KEYS = (
    "hold space: the arm may follow (the deadman)",
    "t take over · b give back · h halt · p the policy goes on · 1 success · 2 failure · 3 discard",
    "w s forward, back · a d left, right · r f up, down · u o, i k, j l turn · c close, v open the gripper",
    "Ctrl-C: leave",
)
LOUD = (
    "!!! NO KEY-UP: a terminal does not say when a key is let go of. The arm moves on for {hold:g} s after the last",
    "!!! key, and one key counts at a time. For the SIMULATED arm only; this is no way to move a real one.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which device, which keyboard, whose topics."""
    parser.add_argument("device", choices=["keyboard"], help="what is in your hands")
    parser.add_argument("--input", default="", metavar="FILE", help="event device (default: the first keyboard)")
    parser.add_argument("--map", default="keyboard", metavar="NAME", help="a map of config/teleop, or a file")
    parser.add_argument("--namespace", default="", metavar="NS", help="namespace of the supervisor")
    parser.add_argument("--terminal", action="store_true", help="read the terminal: for the simulated arm only")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Be the teleop node until Ctrl-C."""
    require("ros")
    from teleop_node.keyboard.driver import run as drive

    keys, simulated = _keys(args, console)
    for line in KEYS if args.map == "keyboard" else ():
        console.say(line)
    arguments = ["--ros-args", "-p", f"map:={args.map}", *(["-r", f"__ns:={args.namespace}"] if args.namespace else [])]
    try:
        drive(keys, simulated, arguments)
    finally:
        keys.close()
    return Report("The keyboard has let go.", data={"device": args.device, "key_up": not simulated})


def _keys(args: argparse.Namespace, console: Console) -> tuple[Keys, bool]:
    """The keyboard, and whether it may move a simulated arm only.

    :raises InputError: neither an event device nor a terminal can be read.
    """
    from teleop_node.keyboard.evdev import open_keyboard
    from teleop_node.keyboard.terminal import HOLD, TerminalKeys

    if not args.terminal:
        try:
            return open_keyboard(args.input), False
        except InputError as error:
            if args.input or not sys.stdin.isatty():
                raise
            console.say(f"{error}; reading the terminal instead")
    keys = TerminalKeys()
    for line in LOUD:
        console.say(line.format(hold=HOLD))
    return keys, True
