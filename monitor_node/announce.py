"""What a monitor says about itself: which policy its bundle is for, and what its threshold promises."""

from __future__ import annotations

from typing import Any

from vla_uq.bundle import Bundle


def announcement(bundle: Bundle) -> dict[str, Any]:
    """The fields of ``MonitorInfo`` that stay the same while the node runs."""
    policy = bundle.policy
    return {
        "policy_fingerprint": policy.fingerprint,
        "bundle_digest": bundle.digest,
        "detectors": list(bundle.detectors),
        "alpha": bundle.alpha,
        "n_calibration": bundle.n_calibration,
        "realised_bound": bundle.realised_bound,
        "space": int(policy.space),
        "horizon": policy.horizon,
        "dim": policy.dim,
        "execute_steps": policy.execute_steps,
    }
