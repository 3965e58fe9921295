"""A supervisor on a bench: a fake clock, a small arm, a policy, a monitor and a teleop device, all of which can fail.

Everything that goes in and out is kept as a trace, which the auditor judges.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from supervised_plant import Plant

from supervisor_node.announcements import EE_NAMES, MonitorAnnouncement, PolicyAnnouncement
from supervisor_node.arms import Arm, open_arm
from supervisor_node.audit import Auditor, Content, Report
from supervisor_node.audit.contents import Announced, AskedPose, SeenPose, SentGripper, SentJoints, SentPose
from supervisor_node.config import Config
from supervisor_node.core import Supervisor
from supervisor_node.states import Label, State
from supervisor_node.values import Command, Inputs, JointState, Outputs, Pose, Reply, Request, ResetAck, Wish
from vla_uq.contracts import Chunk, Key, Reference, Score, Space

ARM = open_arm("franka_crisp_sim")
NAMES = (*ARM.profile.joints.names, *ARM.profile.gripper.joints)
MILLISECONDS = 10


POLICY = PolicyAnnouncement(b"P" * 16, "f" * 8, Space.EE_DELTA, Reference.MEASURED, EE_NAMES, 16, 6, 0.05, 6)
MONITOR = MonitorAnnouncement(b"M" * 16, "f" * 8, Space.EE_DELTA, 16, 6, 0.05, 6)


def make_chunk(key: Key, **changes: Any) -> Chunk:
    """A small sinusoidal motion, different in every chunk."""
    actions = np.zeros((16, 6), np.float32)
    actions[:, 0] = 0.01 * np.cos(0.7 * key.sequence + 0.1 * np.arange(16))
    actions[:, 5] = 0.02 * np.sin(0.7 * key.sequence)
    chunk = Chunk(key, Space.EE_DELTA, EE_NAMES, actions, np.ones(16, np.float32), 0.05, 6, frame_id="base")
    return dataclasses.replace(chunk, **changes)


def make_score(chunk: Chunk, value: float = 0.2, **changes: Any) -> Score:
    score = Score(chunk.key, chunk.digest, value, 1.0, alarm=not value <= 1.0)
    return dataclasses.replace(score, **changes)


class Bench:
    """Time in whole milliseconds; what the arm, policy, monitor and device do can be switched off or bent."""

    def __init__(self, config: Config | None = None, wall: float = 0.0, arm: Arm = ARM) -> None:
        self.config = config or Config()
        self.supervisor = Supervisor(self.config, arm, b"S" * 16)
        self.plant = Plant()
        self.ms, self.wall = 0, wall
        self.robot = self.policy = self.monitor = self.ticking = True
        self.info, self.expected = POLICY, MONITOR
        self.lease: bool | None = None
        self.estop: bool | None = None
        self.device, self.grip = self.plant.pose((0, 0)), 1.0
        self.value: Callable[[Key], float] = lambda key: 0.2
        self.bend: Callable[[Chunk], Chunk] = lambda chunk: chunk
        self.score_delay, self.chunk_delay, self.sequence = 10, 20, 100
        self.outputs: list[Outputs] = []
        self.trace: list[tuple[float, Content]] = []
        self.replies: dict[int, Reply] = {}
        self._ids = self._step_index = 0
        self._session: str | None = None
        self._infer_at = self._tick_at = math.inf
        self._due: list[tuple[int, Inputs]] = []

    @property
    def now(self) -> float:
        return self.ms / 1000

    @property
    def state(self) -> State:
        return self.supervisor.state

    @property
    def stamp(self) -> tuple[int, int]:
        return divmod(self.ms * 10**6 + round(self.wall * 10**9), 10**9)

    def advance(self, seconds: float) -> None:
        end = self.ms + round(seconds * 1000)
        while self.ms < end:
            self._moment()

    def until(self, state: State, patience: float = 5.0) -> Outputs:
        """Wait for a state; the output of the step that entered it, or of the newest step."""
        end, first = self.ms + patience * 1000, len(self.outputs)
        while self.state is not state:
            assert self.ms < end, f"{self.state.name} after {patience} s, not {state.name}: {self.shown.text}"
            self._moment()
        return next((out for out in self.outputs[first:] if out.state.state is state), self.outputs[-1])

    def _moment(self) -> None:
        self.ms += MILLISECONDS
        self.plant.advance(MILLISECONDS / 1000)
        if self.robot:
            self.feel()
        if self.ms % 100 == 0:
            self.announce()
        if self.estop is not None:
            self.step(estop=self.estop)
        if self.lease is not None:
            self.step(lease=self.lease, teleop_pose=self.device, teleop_gripper=self.grip)
        if self.policy and self._session is not None and self.ms >= self._infer_at:
            self.infer()
        due, self._due = self._due, []
        for at, inputs in due:
            if at > self.ms:
                self._due.append((at, inputs))
            elif self.monitor or inputs.score is None:
                self.give(inputs)
        if self.ticking and (self._tick_at == math.inf or self.ms >= self._tick_at):
            self._tick_at = self.ms + 50
            self.step(tick=True)

    def feel(self) -> None:
        """The arm publishes joints and pose."""
        fingers = np.full(2, self.plant.opening * ARM.profile.gripper.width / 2)
        joints = JointState(NAMES, np.concatenate([self.plant.q, fingers]), self.stamp)
        self.step(joints=joints, pose=self.plant.pose(self.stamp))

    def announce(self) -> None:
        """Policy and monitor publish their heartbeats."""
        self.step(policy=self.info if self.policy else None, monitor=self.expected if self.monitor else None)

    def infer(self) -> None:
        """The policy sees the arm now; its chunk and score come a little later."""
        self._infer_at = self.ms + 300
        key = Key(self.info.run_id, self.sequence, self._session or "", self._step_index)
        self.sequence, self._step_index = self.sequence + 1, self._step_index + 1
        chunk = self.bend(make_chunk(key, observation_stamp=self.stamp, observation_age=self.chunk_delay / 1000))
        at = self.ms + self.chunk_delay
        self._due.append((at, Inputs(chunk=chunk)))
        if self.monitor:
            self._due.append((at + self.score_delay, Inputs(score=make_score(chunk, self.value(key)))))

    def step(self, **inputs: Any) -> Outputs:
        return self.give(Inputs(**inputs))

    def give(self, inputs: Inputs) -> Outputs:
        """One step, traced."""
        seen = SeenPose(inputs.pose) if inputs.pose is not None else None
        asked = AskedPose(inputs.teleop_pose) if inputs.teleop_pose is not None else None
        for content in (seen, asked, inputs.chunk, inputs.score):
            if content is not None:
                self.trace.append((self.now, content))
        out = self.supervisor.step(self.now, inputs)
        self._obey(out)
        self.outputs.append(out)
        return out

    def _obey(self, out: Outputs) -> None:
        command = out.command
        if command is not None:
            self.trace.append((self.now, command))
            pose, joints = command.motion.pose, command.motion.joints
            if joints is not None:
                self.trace.append((self.now, SentJoints(ARM.profile.joints.names, joints, command.stamp)))
            elif pose is not None:
                self.trace.append((self.now, SentPose(Pose(pose.position, pose.rotation, command.stamp))))
            if command.gripper is not None:
                self.trace.append((self.now, SentGripper(command.gripper)))
            self.plant.obey(command)
        if out.rephase:
            self._tick_at = self.ms + 50
        if out.reset is not None and self.policy:
            self._session, self._step_index, self._infer_at = out.reset.episode_id, 0, self.ms + 10
            self._due.append((self.ms + 10, Inputs(reset_ack=ResetAck(True, "", self.info.run_id, self.sequence))))
        for happening in out.happenings:
            self.trace.append((self.now, happening))
        if out.changed:
            self.trace.append((self.now, Announced(out.state, b"S" * 16)))
        self.replies.update({reply.id: reply for reply in out.replies})

    def ask(self, wish: Wish, **details: Any) -> int:
        """A request; its answer is in ``replies`` sooner or later."""
        self.step(requests=(self.request(wish, **details),))
        return self._ids

    def request(self, wish: Wish, **details: Any) -> Request:
        self._ids += 1
        return Request(self._ids, wish, **details)

    def hold_device(self, offset: float = 0.0) -> None:
        """The device's deadman is let go, then held, with a pose at the arm's."""
        self.lease, self.device, self.grip = False, self.plant.pose(self.stamp), self.plant.opening
        self.advance(0.05)
        self.lease = True
        self.device = Pose(self.device.position + [offset, 0, 0], self.device.rotation, self.stamp)
        self.advance(0.05)

    @property
    def shown(self) -> Any:
        return self.outputs[-1].state

    @property
    def commands(self) -> list[tuple[float, Command]]:
        return [(at, content) for at, content in self.trace if isinstance(content, Command)]

    @property
    def moments(self) -> list[str]:
        return [h.moment.name for out in self.outputs for h in out.happenings]

    def to(self, state: State) -> None:
        """Go to a state the ordinary way."""
        if state is State.UNKNOWN:
            return
        self.until(State.IDLE)
        self.score_delay = 10_000 if state is State.RESUMING else self.score_delay
        if state is not State.IDLE:
            self.ask(Wish.START, instruction="stack")
        if state in (State.IDLE, State.RESUMING):
            return
        self.until(State.AUTONOMOUS)
        self.advance(0.4)
        if state is State.SHUTDOWN:
            self.step(shutdown=True)
        if state in (State.AUTONOMOUS, State.SHUTDOWN):
            return
        self.plant.runaway = 0.1 if state is State.FAULT else 0.0
        self.ask(Wish.HALT)
        if state is not State.HALTING:
            self.until(State.FAULT if state is State.FAULT else State.HALTED)
        if state is State.TELEOP:
            self.hold_device()
            self.ask(Wish.TAKE)
        assert self.state is state

    def audit(self) -> Report:
        """The auditor's verdict on everything so far, without any tolerance of time."""
        auditor = Auditor(ARM, reaction=0.0, announcement=0.0)
        for at, content in self.trace:
            auditor.take(at, content)
        return auditor.finish()

    def end(self, label: Label = Label.SUCCESS) -> int:
        return self.ask(Wish.END, label=label)


@pytest.fixture
def bench(record_property: Callable[[str, object], None]) -> Iterator[Bench]:
    bench = Bench()
    yield bench
    times = [out.state.alarm_to_rest for out in bench.outputs if math.isfinite(out.state.alarm_to_rest)]
    if times:
        record_property("alarm_to_rest_ms", 1000 * max(times))


@pytest.fixture
def new_bench() -> type[Bench]:
    return Bench


@pytest.fixture
def chunk_of() -> Callable[..., Chunk]:
    return make_chunk


@pytest.fixture
def score_of() -> Callable[..., Score]:
    return make_score
