"""A bundle made from bags, run by the monitor node over DDS, recorded: the same scores as offline on that recording."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_cli.main import main
from vla_uq.bundle import Bundle
from vla_uq.contracts import Score
from vla_uq.detectors import DETECTORS
from vla_uq.detectors.file import fitted_to, save_detector
from vla_uq.rollouts.store import RolloutStore

pytestmark = pytest.mark.ros
DISCOVERY = 3.0
"""Seconds until a reader that we know also knows us; it drops what comes before."""
AUTONOMOUS, HALTING, IDLE = 2, 3, 1
STARTED, ENDED = 0, 5
EPISODE_END = 17


class Robot:
    """Publishes what policy and supervisor do in an episode, and keeps what the monitor says."""

    def __init__(self, ros: Any) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from vla_monitor.msg import ActionChunk, EpisodeEvent, FailureScore, PolicyTrace, SupervisorState

        self.ros, node = ros, ros.node
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.scores: list[Any] = []
        self.chunks = node.create_publisher(ActionChunk, "policy_node/chunk", 10)
        self.traces = node.create_publisher(PolicyTrace, "policy_node/trace", 10)
        self.events = node.create_publisher(EpisodeEvent, "supervisor_node/events", 10)
        self.states = node.create_publisher(SupervisorState, "supervisor_node/state", latched)
        node.create_subscription(FailureScore, "monitor_node/score", self.scores.append, 10)

    def ready(self) -> None:
        """Monitor and recorder listen to us, and the recorder to the monitor; both know that we do."""
        wanted = {self.chunks: 2, self.traces: 2, self.states: 2, self.events: 1}
        self.ros.spin_until(lambda: all(p.get_subscription_count() >= n for p, n in wanted.items()), 30.0, "listeners")
        self.ros.spin_until(lambda: self.ros.node.count_publishers("monitor_node/score"), 30.0, "the monitor's scores")
        self.ros.spin_until(lambda: self.ros.node.count_subscribers("monitor_node/score") > 1, 30.0, "their recorder")
        known = time.monotonic() + DISCOVERY
        self.ros.spin_until(lambda: time.monotonic() > known, 2 * DISCOVERY)

    def play(self, episode: Any) -> list[Score]:
        """The scores of an episode, inference by inference."""
        from vla_monitor.msg import ActionChunk, EpisodeEvent, PolicyTrace, SupervisorState, Tensor

        def state(number: int, reason: int = 0) -> None:
            message = SupervisorState(episode_id=episode.name, mode=episode.mode, state=number, reason=reason)
            self.states.publish(message)

        self.events.publish(EpisodeEvent(episode_id=episode.name, event=STARTED))
        state(AUTONOMOUS)
        scores = []
        for step in range(episode.steps):
            self.scores.clear()
            self.chunks.publish(episode.chunk(step).fill(ActionChunk()))
            self.traces.publish(episode.trace(step).fill(PolicyTrace(), Tensor))
            self.ros.spin_until(lambda: self.scores, 10.0, f"a score of inference {step}")
            scores.append(Score.from_message(self.scores[0]))
        state(HALTING, EPISODE_END)
        self.events.publish(EpisodeEvent(episode_id=episode.name, event=ENDED, label=episode.label))
        state(IDLE, EPISODE_END)
        return scores


def calibrated(bags: Path) -> Path:
    """A bundle from bags: VFD, and a detector that learns from features and adds up over the episode."""
    folder = bags.parent
    assert main(["import", str(bags), "--out", str(folder / "rollouts")]) == 0
    learnt_from, files = list(RolloutStore(folder / "rollouts"))[:8], []
    for name, options in (("vfd", {}), ("mahalanobis", {"aggregator": "cumsum"})):
        detector = DETECTORS[name](**options)
        detector.fit(learnt_from)
        files.append(str(folder / name))
        save_detector(files[-1], fitted_to(detector, [rollout.meta for rollout in learnt_from]))
    arguments = ["calibrate", "--bags", str(bags), "--detector", *files, "--alpha", "0.1"]
    assert main([*arguments, "--out", str(folder / "my.bundle")]) == 0
    return folder / "my.bundle"


def test_scores_over_dds_equal_those_of_the_recording(
    ros: Any, spawn: Any, record: Callable[..., Path], played: Any, tmp_path: Path
) -> None:
    path = calibrated(record(tmp_path / "bags", [played(f"m-{n:02d}", steps=6 + n % 3) for n in range(24)]))
    spawn("monitor_node.node", params={"bundle": str(path), "overlay_rate": 0.0})
    recorder = spawn("vla_cli.bag.node", params={"bag": str(tmp_path / "live" / "bag"), "pictures": False})
    robot = Robot(ros)
    robot.ready()
    episodes = [played("live-1", steps=10), played("live-2", steps=7, label=2)]
    live = [robot.play(episode) for episode in episodes]
    known = time.monotonic() + 0.5  # until the recorder has taken the last message
    ros.spin_until(lambda: time.monotonic() > known)
    assert recorder.stop(signal.SIGINT) == 0

    assert main(["import", str(tmp_path / "live"), "--out", str(tmp_path / "store")]) == 0
    bundle = Bundle.load(path)
    for rollout, said, episode in zip(RolloutStore(tmp_path / "store"), live, episodes, strict=True):
        assert rollout.meta.episode_id == f"bags-bag-{episode.name}"
        assert rollout.meta.success is (episode.label == 1)
        scores = bundle.scores(rollout)
        offline = bundle.nonconformity.curve(scores)
        assert len(offline) == len(said) == episode.steps
        np.testing.assert_allclose([score.nonconformity for score in said], offline, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(rollout.tensor("monitor/nonconformity"), offline, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(
            rollout.tensor("monitor/threshold"), bundle.nonconformity.threshold(), rtol=1e-6, atol=1e-6
        )
        for name, curve in scores.items():
            np.testing.assert_allclose([score.detectors[name][0] for score in said], curve, rtol=1e-6, atol=1e-6)
        alarm = bundle.nonconformity.alarm_step(scores)
        assert [score.alarm for score in said] == [alarm is not None and step >= alarm for step in range(len(said))]
        assert all(score.valid_guarantee for score in said), said[0].why_not
    assert bundle.nonconformity.alarm_step(bundle.scores(rollout)) is not None  # the second, which fails
