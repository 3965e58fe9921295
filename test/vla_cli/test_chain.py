"""The chain plays the same episode twice with the same bytes, and stops where guard mode says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mujoco")

from policy_node.backends.base import Inference, PolicySpec
from sim_node.bed import Bed
from vla_cli.chain import Chain, EpisodeRecord
from vla_cli.episodes import Episode
from vla_uq.bundle import PolicyIdentity
from vla_uq.contracts import Array, Reference, Score, Space, Trace
from vla_uq.errors import InputError

EPISODE = Episode("put the red cube in the basket", 7)


class Wanderer:
    """A policy back end that moves at random from its seed."""

    info = PolicySpec(
        fingerprint="wanderer",
        back_end="test",
        members=1,
        space=Space.EE_DELTA,
        reference=Reference.MEASURED,
        names=("x", "y", "z", "rx", "ry", "rz"),
        horizon=16,
        dim=6,
        step_duration=0.05,
        execute_steps=6,
        tensors=("features",),
    )

    def reset(self, instruction: str, seed: int | None) -> None:
        self.rng = np.random.default_rng(seed)

    def act(self, observation: Any) -> Inference:
        actions = self.rng.normal(0, 0.01, (16, 6)).astype(np.float32)
        return Inference(actions, np.ones(16, np.float32), observation)

    def introspect(self, inference: Inference) -> dict[str, Array]:
        return {"features": np.concatenate([inference.actions[0], inference.memory.position]).astype(np.float32)}


@dataclass
class AlarmAt:
    """A scoring engine that alarms from one step on."""

    step: int
    bundle = SimpleNamespace(policy=PolicyIdentity.of(Wanderer.info))

    def reset(self, episode_id: str) -> None:
        self.episode_id = episode_id

    def instruct(self, episode_id: str, task: str) -> None:
        assert (episode_id, task) == (self.episode_id, EPISODE.task)

    def score(self, trace: Trace) -> Score:
        assert trace.key.episode_id == self.episode_id
        assert set(trace.tensors) == {"features", "position", "image_digest"}
        alarm = trace.key.step >= self.step
        return Score(trace.key, trace.chunk_digest, 2.0 if alarm else 0.5, 1.0, alarm)


def play(episode: Episode, engine: Any = None) -> EpisodeRecord:
    return Chain(Bed(render=False), Wanderer(), engine).run(episode)


def test_same_seed_gives_the_same_bytes() -> None:
    first, again, other = play(EPISODE), play(EPISODE), play(Episode(EPISODE.task, 8))
    assert first.tensors["features"].tobytes() == again.tensors["features"].tobytes()
    assert first.tensors["features"].tobytes() != other.tensors["features"].tobytes()


def test_an_episode_without_success_runs_to_its_horizon() -> None:
    record = play(EPISODE)
    assert (record.success, record.steps, record.halted) == (False, 180, False)
    assert record.tensors["features"].shape == (30, 9)
    assert record.scores == [] and record.alarm_step is None


def test_shadow_records_the_alarm_and_goes_on() -> None:
    record = play(EPISODE, AlarmAt(3))
    assert (record.alarm_step, record.halted, record.steps) == (3, False, 180)
    assert len(record.scores) == 30


def test_guard_halts_at_the_alarm_and_measures_rest() -> None:
    record = play(Episode(EPISODE.task, EPISODE.seed, mode="guard"), AlarmAt(3))
    assert (record.alarm_step, record.halted, len(record.scores)) == (3, True, 4)
    assert 0.19 < record.alarm_to_rest < 0.7
    assert record.steps == 18 + round(record.alarm_to_rest / 0.05)


def test_guard_lets_a_passing_policy_work() -> None:
    guarded = play(Episode(EPISODE.task, EPISODE.seed, mode="guard"), AlarmAt(99))
    shadow = play(EPISODE)
    assert guarded.steps == 180 and not guarded.halted
    assert guarded.tensors["features"].tobytes() == shadow.tensors["features"].tobytes()


def test_a_bundle_of_another_policy_is_refused() -> None:
    engine = AlarmAt(0)
    engine.bundle = SimpleNamespace(policy=replace(engine.bundle.policy, fingerprint="stranger"))
    with pytest.raises(InputError, match="fingerprint"):
        play(EPISODE, engine)


def test_guard_without_a_bundle_is_refused() -> None:
    with pytest.raises(InputError, match="guard mode needs a bundle"):
        play(Episode(EPISODE.task, 1, mode="guard"))


def test_unknown_task_is_refused() -> None:
    with pytest.raises(InputError, match="unknown task"):
        play(Episode("fold the shirt", 1))
