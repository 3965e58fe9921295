"""``vla-monitor <verb>``: finds the verb, runs it, and turns the outcome into text and an exit code."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from vla_cli.console import Console
from vla_uq.errors import InputError

DONE, FAILED, WRONG_INPUT = 0, 1, 2


@dataclass(frozen=True)
class Verb:
    """One line of the registry: the verb's module is imported only when the verb is called."""

    name: str
    module: str
    summary: str


VERBS = (
    Verb("demo", "vla_cli.verbs.demo", "run the whole system on the simulated arm and write out/demo"),
    Verb("teleop", "vla_cli.verbs.teleop", "take over the arm with a keyboard, for those who have nothing else"),
    Verb("commission", "vla_cli.verbs.commission", "measure an arm by slow guided tests and write its profile"),
    Verb("audit", "vla_cli.verbs.audit", "re-derive every command of a recorded bag and report violations"),
    Verb("tasks", "vla_cli.verbs.tasks", "list the tasks and disturbances of the simulated table-top"),
    Verb("inspect", "vla_cli.verbs.inspect", "show what a monitor bundle or a rollout file holds"),
    Verb("collect", "vla_cli.verbs.collect", "record scripted demonstrations for training a policy"),
    Verb("train-policy", "vla_cli.verbs.train_policy", "train and export the policy ensemble from demonstrations"),
    Verb("serve-policy", "vla_cli.verbs.serve_policy", "serve a policy over a websocket, openpi's, with introspection"),
    Verb("export", "vla_cli.verbs.export", "write a LeRobot policy as ONNX graphs that run without LeRobot"),
    Verb("rollouts", "vla_cli.verbs.rollouts", "roll out a policy in shadow mode into a rollout store"),
    Verb("import", "vla_cli.verbs.import_", "read rollouts that others recorded, or bags, into a rollout store"),
    Verb("evaluate", "vla_cli.verbs.evaluate", "compare all detectors on a rollout store, on seen and unseen tasks"),
    Verb("scores", "vla_cli.verbs.scores", "compute every uncertainty score on recorded traces, with its cost"),
    Verb("train", "vla_cli.verbs.train", "train one detector on rollouts into a file that `calibrate` takes"),
    Verb("calibrate", "vla_cli.verbs.calibrate", "calibrate a monitor bundle from bags or rollouts"),
    Verb("select", "vla_cli.verbs.select", "choose which demonstrations to collect next, from recorded candidates"),
    Verb("export-dataset", "vla_cli.verbs.export_dataset", "write recorded episodes as a LeRobot data set"),
)


class Parser(argparse.ArgumentParser):
    """Argument parser that reports a wrong argument like any other wrong input: in one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message, where=self.prog, remedy=f"see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    :param argv: arguments without the program's name; ``sys.argv[1:]`` by default.
    :return: 0 done, 2 wrong input (one line on stderr), 1 anything else.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except InputError as error:
        print(f"vla-monitor: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("vla-monitor: interrupted", file=sys.stderr)
        return FAILED


def _dispatch(arguments: list[str]) -> int:
    parser = Parser(prog="vla-monitor", description="Runtime failure monitor for vision-language-action policies.")
    table = parser.add_subparsers(dest="verb", metavar="verb", required=True, parser_class=Parser)
    # Only the called verb is imported: its imports may need ROS, MuJoCo or torch, the others' must not matter.
    named = next((word for word in arguments if not word.startswith("-")), None)
    chosen = next((verb for verb in VERBS if verb.name == named), None)
    for verb in VERBS:
        sub = table.add_parser(
            verb.name, help=verb.summary, description=f"{verb.summary[0].upper()}{verb.summary[1:]}."
        )
        if verb is chosen:
            importlib.import_module(verb.module).add_arguments(sub)
            sub.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    args = parser.parse_args(arguments)
    if chosen is None:
        raise InputError("no verb given", remedy="see vla-monitor --help")
    console = Console(as_json=args.json)
    report = importlib.import_module(chosen.module).run(args, console)
    console.show(report)
    return int(report.exit_code)
