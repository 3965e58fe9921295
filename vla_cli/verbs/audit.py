"""``vla-monitor audit``: derive every command of a recorded bag again, and say what does not follow."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vla_cli.console import Console, Report
from vla_cli.surroundings import require
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from supervisor_node.arms.base import Arm
    from supervisor_node.audit import Report as Audit

ARM = "franka_crisp_sim"
SHOWN = 20
"""Violations that are printed; JSON holds all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The bag, and the arm that it was recorded on."""
    parser.add_argument("bag", type=Path, help="a rosbag2 folder")
    parser.add_argument("--arm", default=ARM, help=f"profile of the arm, a name or a file (default: {ARM})")
    parser.add_argument("--ensembling", type=float, default=-1.0, help="the supervisor's parameter, where it was set")


def run(args: argparse.Namespace, console: Console) -> Report:
    """Exit code 1 when a rule was broken."""
    require("bag")
    from supervisor_node.audit.report import RULES

    audit = audit_bag(args.bag, args.arm, args.ensembling)
    if not audit.states and not audit.commands:
        raise InputError(
            "nothing to audit",
            where=str(args.bag),
            expected="supervisor_node/state and supervisor_node/command",
            found="neither",
            remedy="record all topics of supervisor_node, policy_node and monitor_node",
        )
    rows = [{"rule": rule, "broken": audit.violated(rule), "meaning": meaning} for rule, meaning in RULES.items()]
    first = audit.violations[:SHOWN]
    notes = ["", verdict(audit), *(f"  {v.rule} at {v.time:.3f} s: {v.text}" for v in first)]
    if len(audit.violations) > len(first):
        notes.append(f"  … and {len(audit.violations) - len(first)} more (--json lists all)")
    return Report(
        f"Audit of {args.bag}",
        ("rule", "broken", "meaning"),
        rows,
        data=audit.as_dict(),
        notes=notes,
        exit_code=int(not audit.ok),
    )


def audit_bag(bag: Path, arm: str = ARM, ensembling: float = -1.0) -> Audit:
    """Run the auditor over a bag.

    :param ensembling: the supervisor's parameter of that name.
    :raises InputError: when bag or profile cannot be read, or its messages are not ours; the robot's description is
        neither in the profile nor in the bag, or another robot's.
    """
    from supervisor_node.arms import open_arm
    from supervisor_node.audit import Auditor, roles_of
    from supervisor_node.audit import read as content_of
    from vla_cli.bag.reader import read
    from vla_cli.bag.topics import topics_of

    opened = open_arm(arm)
    if opened.lacks:
        describe(opened, bag)
    auditor, roles = Auditor(opened, ensembling=ensembling), roles_of(opened.profile.sources)
    start: int | None = None
    for recorded in read(bag, [topic.name for topic in topics_of(opened.profile) if not topic.image]):
        start = recorded.time_ns if start is None else start
        try:
            content = content_of(recorded.topic, recorded.message, roles)
        except InputError:
            # A chunk that cannot be read cannot be executed either: if a command names it, that is found.
            continue
        except (AttributeError, ValueError) as error:
            raise InputError("not a message of this project", where=recorded.topic, found=error) from error
        if content is not None:
            auditor.take((recorded.time_ns - start) * 1e-9, content)
    return auditor.finish()


def describe(arm: Arm, bag: Path) -> None:
    """Tell an arm what its robot said of itself in a bag.

    :raises InputError: nothing, or what is another robot's.
    """
    from supervisor_node.arms import description_topic
    from vla_cli.bag.reader import scan

    topic = description_topic(arm.profile)
    problems = [arm.describe(recorded.message.data) for recorded in scan(bag, [topic])]
    if arm.lacks:
        raise InputError(
            "the robot's description is needed",
            where=str(bag),
            expected=f"the topic {topic}",
            found=problems[0] if problems else "not recorded",
            remedy="record it, or name a file in the profile's kinematics.description",
        )


def verdict(audit: Audit) -> str:
    """The audit in a line."""
    found = f"{len(audit.violations)} violations" if audit.violations else "no violations"
    return (
        f"{found} in {audit.commands} commands of {audit.chunks_executed} executed chunks; "
        f"{audit.unscored_chunks_executed} unscored chunks executed, "
        f"largest derivation error {audit.largest_derivation_error:.1e}"
    )
