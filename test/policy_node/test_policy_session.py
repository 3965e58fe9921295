"""Who counts what: run_id and sequence belong to the process, step to the episode."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from policy_node.backends import load
from policy_node.session import PolicySession
from vla_policy.observation import Observation


def test_keys_count_as_the_contract_says(weights: Path, observation: Observation) -> None:
    session = PolicySession(load("onnx", weights), frame_id="base")
    keys = []
    for episode in ("a", "b"):
        session.reset(episode, "stack", 1)
        assert session.next_sequence == len(keys)
        keys += [session.decide(observation).chunk.key for _ in range(2)]
    assert [(k.sequence, k.episode_id, k.step) for k in keys] == [(0, "a", 0), (1, "a", 1), (2, "b", 0), (3, "b", 1)]
    assert {k.run_id for k in keys} == {session.run_id}
    assert len(session.run_id) == 16
    assert PolicySession(session.backend, "base").run_id != session.run_id


def test_a_seed_makes_episodes_repeat(weights: Path, observation: Observation) -> None:
    session = PolicySession(load("onnx", weights), frame_id="base")
    digests = []
    for _ in range(2):
        session.reset("a", "stack", 1)
        digests.append([session.decide(observation).chunk.digest for _ in range(2)])
    assert digests[0] == digests[1]
    session.reset("a", "stack", None)
    assert session.decide(observation).chunk.digest != digests[0][0]


def test_a_trace_belongs_to_its_chunk(weights: Path, observation: Observation) -> None:
    session = PolicySession(load("onnx", weights), frame_id="base")
    session.reset("a", "stack", 1)
    decision = session.decide(observation)
    trace = session.trace(decision)
    assert (trace.key, trace.chunk_digest) == (decision.chunk.key, decision.chunk.digest)
    assert trace.fingerprint == session.backend.info.fingerprint
    assert decision.chunk.observation_stamp == observation.stamp
    assert decision.chunk.frame_id == "base"
    np.testing.assert_allclose(trace.tensors["position"], observation.position, atol=1e-6)
    assert trace.tensors["image_digest"].shape == (2,)
    assert set(session.tensors) == set(trace.tensors)
