"""Lockstep: one observation, one command, on simulated time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from supervisor_node.arms import open_arm
from supervisor_node.config import Config
from supervisor_node.core import Supervisor
from supervisor_node.states import Label, Mode, Source, State
from supervisor_node.values import Inputs, JointState, Outputs, Pose, Reply, Request, ResetAck, Wish
from vla_uq.contracts import Key

ARM = open_arm("franka_crisp_sim")
NAMES = (*ARM.profile.joints.names, *ARM.profile.gripper.joints)
RUN = b"P" * 16
START = 1000
"""Stamps of an episode begin at a thousand seconds, far from whatever came before."""


class Rig:
    """A supervisor, the bench's plant stepped by commands, and a policy that is asked when it is waited for."""

    def __init__(self, bench: Any, chunk_of: Any, score_of: Any, mode: Mode = Mode.GUARD) -> None:
        self.plant, self.info, self.expected = bench.plant, bench.info, bench.expected
        self.chunk_of, self.score_of = chunk_of, score_of
        self.supervisor = Supervisor(Config(mode=mode, lockstep=True), ARM)
        self.nanoseconds, self.asked = 0, 0
        self.replies: list[Reply] = []
        for _ in range(40):
            self.nanoseconds += 50_000_000
            self.give(Inputs(policy=self.info, monitor=self.expected))
            self.see()
        assert self.supervisor.state is State.IDLE

    @property
    def stamp(self) -> tuple[int, int]:
        return divmod(self.nanoseconds, 10**9)

    def give(self, inputs: Inputs) -> Outputs:
        out = self.supervisor.step(self.nanoseconds * 1e-9, inputs)
        self.replies += out.replies
        return out

    def see(self) -> Outputs:
        """The observation, pose first as the driver sends it."""
        fingers = np.full(2, self.plant.opening * 0.04)
        self.give(Inputs(pose=self.plant.pose(self.stamp)))
        return self.give(Inputs(joints=JointState(NAMES, np.concatenate([self.plant.q, fingers]), self.stamp)))

    def start(self) -> None:
        self.nanoseconds = START * 10**9
        assert self.see().command is None
        out = self.give(Inputs(requests=(Request(1, Wish.START),)))
        assert out.reset is not None and out.waiting
        self.episode = out.reset.episode_id
        self.give(Inputs(reset_ack=ResetAck(True, "", RUN, 0)))

    def infer(self, value: float = 0.2) -> Outputs:
        chunk = self.chunk_of(Key(RUN, self.asked, self.episode, self.asked), observation_stamp=self.stamp)
        self.asked += 1
        assert self.give(Inputs(chunk=chunk)).command is None, "not before its score"
        return self.give(Inputs(score=self.score_of(chunk, value)))

    def obey(self, out: Outputs) -> Outputs:
        assert out.command is not None and out.command.stamp == self.stamp
        self.plant.obey(out.command)
        self.plant.advance(0.05)
        self.nanoseconds += 50_000_000
        return self.see()


@pytest.fixture
def rig(bench: Any, chunk_of: Any, score_of: Any) -> Rig:
    return Rig(bench, chunk_of, score_of)


def test_one_command_an_observation_and_a_chunk_every_six(rig: Rig) -> None:
    rig.start()
    out = rig.infer()
    seen: list[tuple[int, int]] = []
    for _ in range(30):
        assert out.command is not None
        seen.append((out.command.key.sequence, out.command.index))
        assert rig.see().command is None, "an observation that is repeated is answered once"
        out = rig.obey(out)
        if out.waiting:
            out = rig.infer()
    assert seen == [(step // 6, step % 6) for step in range(30)]
    assert rig.asked == 6


def test_alarm_answers_the_waiting_observation_with_the_hold(rig: Rig) -> None:
    rig.start()
    out = rig.infer()
    while not out.waiting:
        out = rig.obey(out)
    out = rig.infer(3.0)
    assert out.state.state is State.HALTING and out.command is not None and out.command.source is Source.NONE
    hold = out.command.motion.joints
    for _ in range(20):
        out = rig.obey(out)
        assert out.command is not None and np.array_equal(out.command.motion.joints, hold)
    assert out.state.state is State.HALTED and 0.199 <= out.state.alarm_to_rest <= 0.5


def test_alarm_at_the_first_chunk(rig: Rig) -> None:
    rig.start()
    out = rig.infer(3.0)
    assert out.state.state is State.HALTING and out.command is not None and out.command.source is Source.NONE
    for _ in range(6):
        out = rig.obey(out)
    assert out.state.state is State.HALTED


def test_simulated_time_that_stands_still_makes_nothing_stale(rig: Rig) -> None:
    rig.start()
    for _ in range(100):
        out = rig.give(Inputs(tick=True))
        assert out.waiting and out.state.state is State.RESUMING
    assert rig.infer().state.state is State.AUTONOMOUS


def test_teleop_answers_the_observation_that_it_saw(rig: Rig) -> None:
    rig.start()
    out = rig.infer(3.0)
    while out.state.state is not State.HALTED:
        out = rig.obey(out)
    rig.give(Inputs(lease=False))
    device = rig.plant.pose(rig.stamp)
    out = rig.obey(out)
    rig.give(Inputs(lease=True, teleop_pose=Pose(device.position, device.rotation, rig.stamp), teleop_gripper=1.0))
    rig.plant.advance(0.05)
    rig.nanoseconds += 50_000_000
    rig.see()
    rig.give(Inputs(lease=True, teleop_pose=Pose(device.position, device.rotation, rig.stamp)))
    out = rig.give(Inputs(requests=(Request(2, Wish.TAKE),)))
    assert out.state.state is State.TELEOP, out.replies
    for step in range(1, 6):
        rig.nanoseconds += 50_000_000
        assert rig.see().command is None, "the device has not seen this observation yet"
        asked = Pose(device.position + [0.01 * step, 0, 0], device.rotation, rig.stamp)
        out = rig.give(Inputs(lease=True, teleop_pose=asked))
        assert out.command is not None and out.command.source is Source.TELEOP
        assert out.command.motion.pose is not None
        assert out.command.motion.pose.position[0] == pytest.approx(asked.position[0])
        rig.plant.obey(out.command)
        rig.plant.advance(0.05)
    out = rig.give(Inputs(requests=(Request(3, Wish.GIVE),)))
    assert out.state.state is State.HALTING


def test_pose_that_overtakes_its_observation(rig: Rig) -> None:
    """The device may answer a stamp before the arm's own topics of that stamp arrive here."""
    rig.start()
    out = rig.infer(3.0)
    while out.state.state is not State.HALTED:
        out = rig.obey(out)
    rig.give(Inputs(lease=False))
    device = rig.plant.pose(rig.stamp)
    rig.give(Inputs(lease=True, teleop_pose=device))
    rig.give(Inputs(requests=(Request(2, Wish.TAKE),)))
    rig.nanoseconds += 50_000_000
    asked = Pose(device.position, device.rotation, rig.stamp)
    rig.supervisor.step(rig.nanoseconds * 1e-9 - 0.05, Inputs(lease=True, teleop_pose=asked))
    out = rig.see()
    assert out.command is not None and out.command.source is Source.TELEOP


def test_shadow_mode_in_lockstep(bench: Any, chunk_of: Any, score_of: Any) -> None:
    rig = Rig(bench, chunk_of, score_of, Mode.SHADOW)
    rig.start()
    out = rig.infer(5.0)
    for _ in range(12):
        out = rig.obey(out)
        if out.waiting:
            out = rig.infer(5.0)
    assert out.state.state is State.AUTONOMOUS and out.command is not None
    ended = rig.give(Inputs(requests=(Request(9, Wish.END, label=Label.SUCCESS),)))
    assert ended.state.state is State.HALTING and ended.command is None, "this observation is answered already"
    while out.command is not None:
        out = rig.obey(out)
    assert out.state.state is State.IDLE and rig.replies[-1].ok
