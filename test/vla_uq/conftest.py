"""Episodes made from a seed, for the tests of detectors, calibration and files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from vla_uq.rollouts.store import Rollout, RolloutMeta

# A shared machine may be slow for a moment: the time of an example says nothing here.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

FEATURES, NODES, HORIZON, DIM = 6, 9, 4, 3
DRAWS, ACTION, EXECUTE = 5, 7, 2
HIDDEN = 8


def make_rollout(number: int, *, success: bool = True, all_act: bool = False, **meta: Any) -> Rollout:
    """What a policy was thinking in one episode; a failure's features drift from its third inference on.

    :param all_act: the second member sampled, too, and the first one looked at its path.
    """
    rng = np.random.default_rng(number)
    steps = int(rng.integers(5, 12))
    features = rng.normal(size=(steps, FEATURES)).astype(np.float32)
    velocities = rng.normal(size=(steps, 1, 2, 1, NODES, HORIZON, DIM)).astype(np.float32)
    if not success:
        features[2:, 0] += 4
    samples = rng.normal(size=(steps, 1, DRAWS, HORIZON, ACTION)).astype(np.float32)
    if all_act:
        others = (rng.normal(size=x.shape).astype(np.float32) for x in (velocities, samples))
        velocities, samples = (np.concatenate(pair, axis=1) for pair in zip((velocities, samples), others, strict=True))
    last_layer = rng.normal(size=(steps, NODES, 1, HIDDEN)).astype(np.float32)
    known = {
        "task": "put the cube on the plate",
        "seed": number,
        "disturbance": "none",
        "policy_fingerprint": "p1",
        "execute_steps": EXECUTE,
    }
    return Rollout(
        RolloutMeta(f"episode-{number:04d}", success=success, steps=6 * steps, **{**known, **meta}),
        {
            "features": features,
            "velocities": velocities,
            "samples": samples,
            "last_layer": last_layer,
            "flow_times": np.tile(np.arange(1, 10, dtype=np.float32) / 10, (steps, 1)),
        },
    )


@pytest.fixture(name="make_rollout")
def _make_rollout() -> Callable[..., Rollout]:
    return make_rollout
