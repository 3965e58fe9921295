"""What a policy node says of itself: filled into messages by attribute, without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from policy_node.session import PolicySession
from vla_uq.wire import assign, set_seconds


def fill_info(message: Any, session: PolicySession, frame_id: str, last_inference_age: float) -> Any:
    """Write into a ``PolicyInfo`` (all but ``header.stamp``) and return it."""
    info = session.backend.info
    message.header.frame_id = frame_id
    set_seconds(message.step_duration, info.step_duration)
    return assign(
        message,
        run_id=np.frombuffer(session.run_id, np.uint8),
        fingerprint=info.fingerprint,
        back_end=info.back_end,
        members=info.members,
        space=int(info.space),
        reference=int(info.reference),
        names=list(info.names),
        horizon=info.horizon,
        dim=info.dim,
        execute_steps=info.execute_steps,
        tensors=list(session.tensors),
        last_inference_age=last_inference_age,
    )


def health(problem: str, busy: float, longest: float, running: bool) -> tuple[str, str]:
    """Level (``OK``, ``WARN`` or ``ERROR``) and text of the node's diagnostics.

    :param problem: that inferences or observations have, or nothing.
    :param busy: seconds for which the present inference has been running.
    :param longest: after so many its answer is of no use.
    :param running: whether there is an episode.
    """
    if busy > longest:
        return "ERROR", f"the back end has not answered for {busy:.1f} s, at most {longest:g} s"
    if problem:
        return "WARN", problem
    return "OK", "inferring" if running else "no episode"


def details(session: PolicySession) -> Mapping[str, str]:
    """What people should know of the policy, for diagnostics."""
    info = session.backend.info
    return {"back end": info.back_end, "tensors": ", ".join(session.tensors), **info.remarks}
