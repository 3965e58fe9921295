"""A small monitor: VFD and a hand-made SAFE network, calibrated on random episodes of a random policy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vla_uq.bundle import Bundle, PolicyIdentity
from vla_uq.calibration.build import build_bundle
from vla_uq.contracts import Key, Space, Trace
from vla_uq.detectors import SafeMlp, Vfd
from vla_uq.detectors.safe_mlp import Network
from vla_uq.rollouts.store import Rollout, RolloutMeta
from vla_uq.wire import Array

FEATURES = 5
FINGERPRINT = "0123456789abcdef"
RUN = bytes(range(16))


class _Fixed(SafeMlp):
    """A network that is given, not trained."""

    def fit(self, *_: object) -> None:
        rng = np.random.default_rng(0)
        layers = ((rng.normal(size=(1, FEATURES)).astype(np.float32), np.zeros(1, np.float32)),)
        self.network = Network(np.zeros(FEATURES, np.float32), np.ones(FEATURES, np.float32), layers)


def episode_tensors(seed: int, steps: int = 12, size: float = 1.0) -> dict[str, Array]:
    """Tensors of an episode, (steps, ...); ``size`` scales how far the members are apart."""
    rng = np.random.default_rng(seed)
    return {
        "features": rng.normal(size=(steps, FEATURES)).astype(np.float32),
        "flow_times": np.tile(np.float32([0.3, 0.6, 0.9]), (steps, 1)),
        "velocities": (size * rng.normal(size=(steps, 1, 2, 1, 3, 4, 7))).astype(np.float32),
    }


def rollout(seed: int, task: str = "stack", size: float = 1.0) -> Rollout:
    meta = RolloutMeta(f"calibration-{seed}", task, seed, "none", True, 72, FINGERPRINT)
    return Rollout(meta, episode_tensors(seed, size=size))


POLICY = PolicyIdentity(FINGERPRINT, Space.EE_DELTA, 4, 6, 0.05, 3)


@pytest.fixture
def bundle() -> Bundle:
    training, calibration = [rollout(999)], [rollout(s) for s in range(60)]
    return build_bundle(POLICY, training, calibration, alpha=0.1, seed=0, detectors=[Vfd(), _Fixed()])


@pytest.fixture
def bundle_per_task() -> Bundle:
    """Of VFD alone: ``shake`` has larger scores than ``stack``, ``rare`` has one episode."""
    calibration = [rollout(s) for s in range(20)] + [rollout(s, "shake", 2.0) for s in range(20, 40)]
    calibration.append(rollout(40, "rare"))
    return build_bundle(POLICY, [], calibration, alpha=0.1, seed=0, detectors=[Vfd()], method="cross", per_task=True)


TraceMaker = Callable[..., Trace]


@pytest.fixture
def trace() -> TraceMaker:
    """``trace(step, episode="e", seed=1000, ...)``: one inference; other keywords replace tensors, None removes one."""

    def make(
        step: int,
        episode: str = "e",
        seed: int = 1000,
        sequence: int | None = None,
        run: bytes = RUN,
        fingerprint: str = FINGERPRINT,
        size: float = 1.0,
        **tensors: Array | None,
    ) -> Trace:
        parts = {name: value[step] for name, value in episode_tensors(seed, size=size).items()} | tensors
        key = Key(run, step if sequence is None else sequence, episode, step)
        return Trace(key, step + 7, fingerprint, {name: value for name, value in parts.items() if value is not None})

    return make
