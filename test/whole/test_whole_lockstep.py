"""The whole chain over DDS, every node a process of its own, in lockstep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.timeout(180)]

DISCOVERY = 4.0
"""Seconds until every new process hears every other (measured: up to 2.6 s); a volatile message before that is lost."""
TASK, SEED, INFERENCES = "put the green cube in the black bowl", 990_001, 6


@pytest.fixture
def play(spawn: Any, ros: Any) -> Callable[[], list[float]]:
    """Start the five nodes afresh, play the beginning of one episode in shadow mode, return its nonconformities."""
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from vla_monitor.msg import FailureScore, SupervisorState
    from vla_monitor.srv import EndEpisode, ResetScene, StartEpisode

    scores: dict[tuple[str, int], float] = {}
    states: list[SupervisorState] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)

    def keep(message: FailureScore) -> None:
        scores[message.key.episode_id, message.key.step] = float(message.nonconformity)

    ros.node.create_subscription(FailureScore, "monitor_node/score", keep, 10)
    ros.node.create_subscription(SupervisorState, "supervisor_node/state", states.append, latched)

    def run() -> list[float]:
        states.clear()
        nodes = [
            spawn("sim_node.driver", params={"lockstep": True}),
            spawn("policy_node.node", params={"lockstep": True, "seed": SEED}),
            spawn("monitor_node.node", params={"overlay_rate": 0.0}),
            spawn("supervisor_node.node", params={"lockstep": True, "mode": "shadow"}),
        ]
        idle = SupervisorState.IDLE
        ros.spin_until(lambda: states and states[-1].state == idle, 60, "the supervisor to be IDLE")
        known = time.monotonic() + DISCOVERY
        ros.spin_until(lambda: time.monotonic() > known, 2 * DISCOVERY)
        request = ResetScene.Request(task=TASK, seed=SEED, disturbance="none")
        assert ros.call(ResetScene, "sim_node/reset_scene", request).ok
        started = ros.call(StartEpisode, "supervisor_node/start_episode", StartEpisode.Request(instruction=TASK))
        assert started.ok, started.message
        wanted = [(started.episode_id, step) for step in range(INFERENCES)]
        ros.spin_until(lambda: all(key in scores for key in wanted), 60, f"{INFERENCES} scores")
        ros.call(EndEpisode, "supervisor_node/end_episode", EndEpisode.Request(label=EndEpisode.Request.DISCARD))
        for node in nodes:
            node.interrupt()
        assert [node.stop() for node in nodes] == [0, 0, 0, 0]
        return [scores[key] for key in wanted]

    return run


def test_a_seed_gives_the_same_scores_in_two_runs_over_dds_and_in_one_process(play: Callable[[], list[float]]) -> None:
    from monitor_node.engine import ScoringEngine
    from policy_node import backends
    from sim_node.bed import Bed
    from vla_cli.chain import Chain
    from vla_cli.episodes import Episode
    from vla_cli.shipped import bundle_file, policy_folder
    from vla_uq.bundle import Bundle

    first = play()
    assert play() == first
    chain = Chain(Bed(), backends.load("onnx", policy_folder(None)), ScoringEngine(Bundle.load(bundle_file(None))))
    record = chain.run(Episode(TASK, SEED))
    assert [score.nonconformity for score in record.scores[:INFERENCES]] == pytest.approx(first, rel=1e-6)
