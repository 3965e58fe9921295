"""A thousand messages a second of each kind, and a trace of ten million numbers, into the real nodes over DDS."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from vla_monitor.msg import ActionChunk, DetectorScore, FailureScore, PolicyTrace, Tensor
from vla_monitor.srv import EndEpisode

from benchmarks.load.material import Material
from benchmarks.load.peer import Peer, S
from supervisor_node.states import State
from vla_cli.demo.director import DISCOVERY, Director
from vla_cli.demo.domain import environment_of, private_domain
from vla_cli.demo.processes import Processes
from vla_uq.contracts import Key, Score, Trace

RATE = 1000
TICK = 0.05
"""Seconds from one command to the next."""
HUGE = 10_000_000
"""Elements of the huge trace; the contracts allow 4 million in a tensor."""
AT_ONCE = 50
"""Messages that one callback may publish to catch up."""
ANSWER, SETTLE = 15.0, 0.5
"""Seconds: for the answer to a huge message, and after any load."""
NODES = {"supervisor_node": "supervisor_node.node", "monitor_node": "monitor_node.node"}
STRANGER = Key(b"\xff" * 16, 0, "nobody's", 0)
"""Of what the bursts carry: of no session, so that it must change nothing."""


@dataclass(frozen=True)
class Load:
    """What came of one kind of load.

    :param sent: messages in all; ``rate`` of them a second.
    :param lateness: of each command beyond its tick (s).
    :param state: of the supervisor after it, and ``reason`` in words.
    :param megabytes: of each node's memory after it.
    """

    what: str
    sent: int
    rate: float
    lateness: list[float]
    state: str
    reason: str
    megabytes: dict[str, float]


class Hose:
    """Loads the two nodes with one kind of message after the other."""

    def __init__(self, processes: Processes, peer: Peer, material: Material) -> None:
        self._processes, self._peer, self._material = processes, peer, material
        chunk = material.chunk(STRANGER)
        score = Score(STRANGER, chunk.digest, 0.1, 1.0, False).fill(FailureScore(), DetectorScore)
        trace = material.trace(chunk).fill(PolicyTrace(), Tensor)
        self.kinds: dict[str, Callable[[], object]] = {
            "chunks": partial(peer.chunk.publish, chunk.fill(ActionChunk())),
            "scores": partial(peer.score.publish, score),
            "joint states and poses": peer.feel,
            "commands of a device": partial(peer.teleop.publish, PoseStamped()),
            "traces": partial(peer.trace.publish, trace),
        }

    def calm(self, seconds: float) -> Load:
        """Nothing but the policy's own."""
        return self._load("nothing", seconds, lambda: None, 0)

    def burst(self, what: str, seconds: float) -> Load:
        """A thousand a second of one kind, while the policy moves the arm."""
        return self._load(what, seconds, self.kinds[what], RATE)

    def huge_trace(self) -> Load:
        """A trace too large for the contracts: refused, and its inference passes nowhere."""
        peer, key = self._peer, Key(b"\xee" * 16, 1, "huge", 0)
        tensor = Tensor(name="features", shape=array("I", [HUGE]), data=array("f", bytes(4 * HUGE)))
        message = Trace(key, 0, self._material.policy.fingerprint, {}).fill(PolicyTrace(), Tensor)
        message.tensors = [tensor]
        return self._huge("a trace of 10 million", lambda: peer.trace.publish(message), key)

    def huge_chunk(self) -> Load:
        """A chunk too large for the contracts: refused, and the arm is halted for it."""
        message = self._material.chunk(self._peer.next_key()).fill(ActionChunk())
        message.horizon, message.dim, message.actions = HUGE // 10, 10, array("f", bytes(4 * HUGE))
        message.gripper = array("f")
        return self._huge("a chunk of 10 million", lambda: self._peer.chunk.publish(message), None)

    def _huge(self, what: str, publish: Callable[[], object], key: Key | None) -> Load:
        """One message while the policy pauses: DDS drops what takes long to deliver for what is newer."""
        peer, seen = self._peer, self._peer.director.seen
        if key is None:
            self._prepare(what)
        peer.pause()
        if key is not None:
            peer.end()
        peer.sent_at.clear()
        publish()
        if key is None:
            peer.director.watch(lambda: peer.director.state != S.AUTONOMOUS, ANSWER)
            return self._found(what, 1, 0.0, "")
        peer.director.watch(lambda: any(score.key == key for score in seen.scores), ANSWER)
        score = next((score for score in seen.scores if score.key == key), None)
        if score is None:
            return self._found(what, 1, 0.0, "NOT SCORED")
        return self._found(
            what, 1, 0.0, "PASSED" if score.passes else f"no pass: {score.nonconformity}, {score.why_not}"
        )

    def _load(self, what: str, seconds: float, publish: Callable[[], object], rate: int) -> Load:
        self._prepare(what)
        node, began, sent = self._peer.director.node, time.monotonic(), 0

        def pour() -> None:
            """As many as are due by the clock; where this process cannot keep up, the rate says so."""
            nonlocal sent
            for _ in range(min(int((time.monotonic() - began) * rate) - sent, AT_ONCE)):
                publish()
                sent += 1

        timer = node.create_timer(1 / RATE, pour, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._peer.sent_at.clear()
        self._peer.director.watch(lambda: False, seconds)
        node.destroy_timer(timer)
        return self._found(what, sent, sent / (time.monotonic() - began), "")

    def _prepare(self, what: str) -> None:
        if self._peer.director.state != S.AUTONOMOUS and not self._peer.autonomous():
            raise RuntimeError(f"{what}: no episode: {self._peer.director.seen.state.text}")

    def _found(self, what: str, sent: int, rate: float, reason: str) -> Load:
        peer = self._peer
        lateness = [max(0.0, gap - TICK) for gap in np.diff(peer.sent_at)]
        peer.director.watch(lambda: False, SETTLE)
        state = State(peer.director.state).name
        reason = reason or str(peer.director.seen.state.text)
        found = {name: resident(self._processes.pid(name)) for name in NODES}
        ended = self._processes.ended()
        if ended:
            raise RuntimeError(f"{what}: ended by themselves: {ended}")
        return Load(what, sent, rate, lateness, state, reason, found)

    def halts(self) -> float | None:
        """Seconds until ``halt`` is answered, with the arm at rest; None: it was not."""
        from std_srvs.srv import Trigger

        director = self._peer.director
        if director.state != S.AUTONOMOUS and not self._peer.autonomous():
            return None
        began = time.monotonic()
        done = director.call(Trigger, "supervisor_node/halt", Trigger.Request()).success
        took = time.monotonic() - began
        director.end_episode(EndEpisode.Request.DISCARD, "load")
        return took if done else None


def resident(pid: int) -> float:
    """Megabytes of another process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def hose(folder: Path, material: Material) -> Iterator[Hose]:
    """The two nodes as they ship, and everything else played by this process.

    :param folder: for the logs.
    """
    with private_domain() as domain:
        os.environ.update(environment_of(domain))
        with Processes(folder) as processes, Director(domain) as director:
            for name, module in NODES.items():
                processes.start(name, module)
            peer = Peer(director, material)
            director.watch(lambda: False, DISCOVERY)
            yield Hose(processes, peer, material)
