"""Inferences on a thread of their own: whatever a back end does, nothing waits for it and nothing late leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from policy_node.announce import health
from policy_node.assembly import ObservationAssembler
from policy_node.backends import load
from policy_node.loop import InferenceLoop
from policy_node.schedule import InferenceSchedule
from policy_node.session import Decision, PolicySession
from vla_policy.observation import Observation
from vla_uq.contracts import Trace

JOINTS = ("left", "right")


class Said:
    """An outlet that keeps what comes out of it."""

    def __init__(self) -> None:
        self.chunks: list[Decision] = []
        self.traces: list[Trace] = []
        self.problems: list[str] = []

    def chunk(self, decision: Decision, age: float) -> None:
        self.chunks.append(decision)

    def trace(self, trace: Trace) -> None:
        self.traces.append(trace)

    def complain(self, problem: str) -> None:
        self.problems.append(problem)


class Player:
    """A loop in real time, whose robot is observed whenever it is told to."""

    def __init__(self, folder: Path, observation: Observation, latest: float, lockstep: bool) -> None:
        self.backend, self.observation, self.said, self.step = load("", folder), observation, Said(), 0
        info = self.backend.info
        self.assembler = ObservationAssembler(tuple(observation.images), JOINTS, 0.0, 9.0)
        schedule = InferenceSchedule(info.execute_steps, 1e-4, lockstep)
        self.loop = InferenceLoop(PolicySession(self.backend, "base"), self.assembler, schedule, latest, self.said)

    def observe(self, repeat: bool = False) -> None:
        self.step += not repeat
        stamp, take, it = (self.step, 0), self.loop.take, self.observation
        take(self.assembler.joint_state, stamp, JOINTS, (0.04, 0.04))
        take(self.assembler.pose, stamp, it.position, (0.0, 0.0, 0.0, 1.0))
        for camera, image in it.images.items():
            take(self.assembler.image, camera, stamp, image)


@pytest.fixture
def play(scripted: Callable[..., Path], observation: Observation) -> Iterator[Callable[..., Player]]:
    players: list[Player] = []

    def start(latest: float = 5.0, lockstep: bool = False, **faults: str) -> Player:
        numbered = {name.removeprefix("at"): kind for name, kind in faults.items()}
        players.append(Player(scripted(faults=numbered), observation, latest, lockstep))
        assert players[-1].loop.reset("one", "stack", 1) == ""
        return players[-1]

    yield start
    for player in players:
        assert player.loop.close(5.0)
    assert not [thread for thread in threading.enumerate() if thread.name == "inference"]


def until(wait_until: Any, player: Player, predicate: Callable[[], Any], what: str) -> None:
    """Observe again and again until something is true."""

    def look() -> Any:
        player.observe()
        return predicate()

    wait_until(look, 5.0, what)


def test_chunk_and_trace_follow_an_observation(play: Any, wait_until: Any) -> None:
    player = play()
    player.observe()
    wait_until(lambda: player.said.traces, 5.0, "a trace")
    assert player.said.traces[0].key == player.said.chunks[0].chunk.key
    assert player.said.problems == [] and player.loop.problem == "" and player.loop.age >= 0


def test_a_failing_inference_is_told_and_the_next_observation_tried(play: Any, wait_until: Any) -> None:
    player = play(at0="raise", at1="raise")
    player.observe()
    wait_until(lambda: player.said.problems and not player.loop.busy, 5.0, "the first complaint")
    assert player.said.chunks == [] and "told to raise" in player.loop.problem
    until(wait_until, player, lambda: player.said.traces, "an inference that succeeds")
    assert len(player.said.problems) == 2 and player.loop.problem == ""
    assert player.said.chunks[0].chunk.key.step == 0, "what failed took no number"


def test_lockstep_tries_again_when_the_robot_says_it_again(play: Any, wait_until: Any) -> None:
    player = play(lockstep=True, at0="raise")
    player.observe()
    wait_until(lambda: player.said.problems and not player.loop.busy, 5.0, "a complaint")
    player.observe(repeat=True)
    wait_until(lambda: player.said.traces, 5.0, "a chunk on the same observation")


def test_a_failing_introspection_leaves_the_chunk_without_a_trace(play: Any, wait_until: Any) -> None:
    player = play(at0="mute")
    until(wait_until, player, lambda: player.said.traces, "a trace")
    assert [decision.chunk.key.sequence for decision in player.said.chunks[:2]] == [0, 1]
    assert player.said.traces[0].key.sequence == 1


def test_a_late_answer_is_dropped(play: Any, wait_until: Any) -> None:
    player = play(latest=0.2, at0="late 0.4")
    player.observe()
    wait_until(lambda: player.said.problems, 5.0, "a complaint")
    assert player.said.chunks == [] and "dropped" in player.loop.problem
    until(wait_until, player, lambda: player.said.traces, "the next inference")


def test_an_answer_from_before_a_reset_is_nobodys(play: Any, wait_until: Any) -> None:
    player = play(at0="late 0.3")
    player.observe()
    wait_until(lambda: player.loop.busy, 5.0, "the inference to begin")
    assert player.loop.reset("two", "stack", 1) == "", "a reset waits for nobody"
    until(wait_until, player, lambda: player.said.traces, "the next inference")
    assert {decision.chunk.key.episode_id for decision in player.said.chunks} == {"two"}
    assert player.said.chunks[0].chunk.key.sequence == 0 and player.said.problems == []


def test_a_back_end_that_hangs_is_told_and_refuses_the_next_episode(play: Any, wait_until: Any) -> None:
    player = play(latest=0.1, at0="hang")
    player.observe()
    wait_until(lambda: player.loop.busy > 0.1, 5.0, "the inference to take too long")
    player.observe()
    assert player.said.chunks == []
    assert "has not answered" in player.loop.reset("two", "stack", 1)
    assert player.loop.reset("", "", None) == "", "an episode can always be ended"
    level, text = health(player.loop.problem, player.loop.busy, player.loop.latest, player.loop.running)
    assert level == "ERROR" and "not answered" in text


def test_nothing_leaves_after_a_halt(play: Any, wait_until: Any) -> None:
    player = play(at0="late 0.2")
    player.observe()
    wait_until(lambda: player.loop.busy, 5.0, "the inference to begin")
    player.loop.halt()
    wait_until(lambda: not player.loop.busy, 5.0, "the inference to end")
    assert player.said.chunks == player.said.traces == [] and player.said.problems == []


@pytest.mark.parametrize(
    ("problem", "busy", "running", "expected"),
    [
        ("", 0.0, True, ("OK", "inferring")),
        ("", 0.5, False, ("OK", "no episode")),
        ("no camera", 0.5, True, ("WARN", "no camera")),
        ("no camera", 1.5, True, ("ERROR", "the back end has not answered for 1.5 s, at most 1 s")),
    ],
)
def test_health_says_the_worst_first(problem: str, busy: float, running: bool, expected: tuple[str, str]) -> None:
    assert health(problem, busy, 1.0, running) == expected
