"""Latencies over DDS, with the nodes as they are delivered, read from the publishers' own stamps in a recording.

An alarm is raised by publishing a failing score in the monitor's name while the arm moves: the way from the score's
publication to the arm's rest is the real one, and the moment is ours to draw.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_cli.bag.reader import Recorded, read
from vla_cli.console import Console
from vla_cli.demo.director import Director
from vla_uq.contracts import Key, Score

EARLIEST, LATEST = 0.6, 2.6
"""Seconds of autonomy until the alarm, drawn evenly."""
WAIT = 15.0
RAISED = "benchmark"
"""Detector name that marks our own scores."""


def over_dds(
    folder: Path, policy: Path, bundle: Path, seed: int, trials: int, console: Console
) -> dict[str, list[float]]:
    """Play ``trials`` nominal episodes, each ended by an alarm; times in ms.

    :raises DemoError: when the system does not answer.
    """
    from vla_monitor.msg import FailureScore

    from vla_cli.demo.system import running

    rng = np.random.default_rng(seed)
    with (
        running(folder, policy, bundle, console.say, pictures=False) as system,
        console.progress("alarms over DDS", trials) as advance,
    ):
        rests, raise_alarm = [], system.director.advertise(FailureScore, "monitor_node/score").publish
        for number in range(trials):
            rest = _trial(system.director, raise_alarm, seed + number, float(rng.uniform(EARLIEST, LATEST)))
            rests += [] if rest is None else [1e3 * rest]
            advance(1)
        system.finish()
    messages = read(system.bag, ("policy_node/chunk", "supervisor_node/command", "monitor_node/score", "target_joint"))
    return {**way_of_chunks(messages), **way_of_alarms(messages), "alarm_to_rest_ms": rests}


def _trial(director: Director, raise_alarm: Callable[[Any], None], seed: int, delay: float) -> float | None:
    """One episode; seconds from the alarm to measured rest, None when the policy was halted before our alarm."""
    from vla_monitor.msg import DetectorScore, FailureScore
    from vla_monitor.msg import SupervisorState as S
    from vla_monitor.srv import EndEpisode

    from sim_node.tasks import of_split

    tasks = of_split("trained")
    director.wait_ready(WAIT)
    director.set_parameter("policy_node", "seed", seed)
    director.set_parameter("scripted_teleop_node", "auto", False)
    scene = director.reset_scene(tasks[seed % len(tasks)].instruction, seed, "none")
    director.start_episode(scene.instruction)
    director.wait(lambda: director.state in (S.AUTONOMOUS, S.HALTED), WAIT, "the policy to begin")
    director.watch(lambda: director.state == S.HALTED, delay)
    rest = None
    if director.state == S.AUTONOMOUS:
        key = Key.from_message(director.seen.state.released)
        score = Score(key, 0, 2.0, 1.0, True, {RAISED: (2.0, 1.0)})
        raise_alarm(score.fill(FailureScore(), DetectorScore))
        director.wait_state(S.HALTED, S.FAULT, timeout=WAIT)
        rest = float(director.seen.state.alarm_to_rest)
    director.end_episode(EndEpisode.Request.DISCARD, "benchmark")
    return rest


def way_of_chunks(messages: Sequence[Recorded]) -> dict[str, list[float]]:
    """From a chunk's publication to the first command that comes from it (ms)."""
    published: dict[Key, int] = {}
    ways = []
    for recorded in messages:
        if recorded.topic.endswith("policy_node/chunk"):
            published[Key.from_message(recorded.message.key)] = recorded.time_ns
        elif recorded.topic.endswith("supervisor_node/command"):
            sent = published.pop(Key.from_message(recorded.message.key), None)
            ways += [] if sent is None else [1e-6 * (recorded.time_ns - sent)]
    return {"publish_to_command_ms": ways}


def way_of_alarms(messages: Sequence[Recorded]) -> dict[str, list[float]]:
    """From the publication of our failing score to the first hold (ms)."""
    holds = [recorded.time_ns for recorded in messages if recorded.topic.endswith("target_joint")]
    ways = []
    for recorded in messages:
        raised = recorded.topic.endswith("monitor_node/score") and any(
            detector.name == RAISED for detector in recorded.message.detectors
        )
        if raised and (index := bisect_left(holds, recorded.time_ns)) < len(holds):
            ways.append(1e-6 * (holds[index] - recorded.time_ns))
    return {"alarm_to_hold_ms": ways}
