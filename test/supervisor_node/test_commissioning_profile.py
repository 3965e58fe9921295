"""What commissioning makes of its evidence: limits, a file, what the reader refuses, and who refuses to arm without."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import yaml
from commissioning_lab import ARM, Lab, arm_of, bare, evidence_of
from hypothesis import given, settings
from hypothesis import strategies as st
from supervised_plant import HOME, Plant

from supervisor_node.arms.profile import find_profile, load_profile, parse_profile
from supervisor_node.commissioning.course import top_speed
from supervisor_node.commissioning.figures import Evidence
from supervisor_node.commissioning.findings import Findings, find, notes, rows
from supervisor_node.commissioning.paper import write_out
from supervisor_node.config import Config
from supervisor_node.states import Mode, State
from supervisor_node.values import Command, Wish
from vla_uq.errors import InputError

TEMPLATE = find_profile("franka_crisp_sim").read_text(encoding="utf-8")


# -- limits --------------------------------------------------------------------------------------------------------
def test_golden_limits() -> None:
    found = find(bare(ARM.profile), evidence_of(), "2026-01-31")
    assert found.noise == pytest.approx(6e-3)  # 3 x 2 mrad
    assert found.tolerance == pytest.approx(0.04)  # 2 x 20 mrad
    weakest = 0.8**2 / (2 * 0.05)  # v²/2d = 6.4 rad/s²
    sheet = ARM.profile.commissioned.data_sheet if ARM.profile.commissioned else ARM.profile.braking.deceleration
    assert found.deceleration == pytest.approx(np.minimum(0.8 * weakest, ARM.profile.braking.deceleration))
    assert find(ARM.profile, evidence_of(), "2026-01-31").commissioned.data_sheet == pytest.approx(sheet)
    assert found.lead == pytest.approx(1.2 * (0.07 + 0.05) * top_speed(ARM.profile))
    c = found.commissioned
    assert c.deceleration is not None and c.distance is not None
    assert c.deceleration.n == 2 and c.deceleration.worst == pytest.approx(weakest)
    assert c.distance.worst == pytest.approx(0.05) and c.distance.spread == pytest.approx(0.01)
    assert (c.rest.worst[0], c.silence.worst[0], c.rest.n) == (0.3, 0.4, 14)


def test_floors_and_ceilings() -> None:
    evidence = evidence_of(gone=1e-6)
    evidence.noise, evidence.droop = [np.zeros(7)], [np.zeros(7)]
    evidence.stops = [dataclasses.replace(stop, lag=0.0, distance=0.0) for stop in evidence.stops]
    found = find(bare(ARM.profile), evidence, "2026-01-31")
    assert found.noise == pytest.approx(ARM.profile.rest.noise), "tests from one place do not narrow it"
    assert found.tolerance == pytest.approx(ARM.profile.rest.tolerance)
    assert found.deceleration == pytest.approx(ARM.profile.braking.deceleration), "never more than the data sheet"
    kept = find(bare(ARM.profile), evidence_of(over=0.001), "2026-01-31")
    assert kept.deceleration == pytest.approx(ARM.profile.braking.deceleration), "it was not asked to brake harder"
    assert found.lead == pytest.approx(1.2 * ARM.profile.step.joints)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.45, 0.9), st.floats(0.005, 0.3), st.floats(0.05, 0.7), st.floats(0.05, 0.7))
def test_what_is_found_agrees_with_itself(speed: float, gone: float, rest: float, silence: float) -> None:
    found = find(bare(ARM.profile), evidence_of(speed, gone, rest, silence), "2026-01-31")
    read = parse_profile(write_out(TEMPLATE, found, "arm.yaml"), "arm.yaml")
    assert read.commissioned is not None
    assert read.commissioned.deceleration is not None
    assert (read.braking.deceleration <= read.commissioned.deceleration.worst).all()
    assert (read.rest.noise > read.commissioned.noise.worst).all()


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda e: e.stops.__delitem__(slice(0, 2)), "fr3_joint1.*fastest speed"),
        (
            lambda e: e.stops.append(dataclasses.replace(e.stops[0], rest=math.nan)),
            "a stop did not end at rest",
        ),
        (lambda e: e.stops.pop(), "a silence did not end at rest"),
        (lambda e: e.grips.clear(), "gripper"),
    ],
)
def test_too_little_evidence_is_named(spoil: Callable[[Evidence], None], named: str) -> None:
    evidence = evidence_of()
    spoil(evidence)
    with pytest.raises(InputError, match=named):
        find(bare(ARM.profile), evidence, "2026-01-31")
    slow = evidence_of(speed=0.3)
    with pytest.raises(InputError, match=r"0\.30 of 0\.80 rad/s"):
        find(bare(ARM.profile), slow, "2026-01-31")


# -- the file ------------------------------------------------------------------------------------------------------
def written(found: Findings | None = None) -> str:
    return write_out(TEMPLATE, found or find(bare(ARM.profile), evidence_of(), "2026-01-31"), "arm.yaml")


def test_a_whole_run_makes_a_profile_that_is_read() -> None:
    lab = Lab(arm_of())
    evidence = lab.run()
    found = find(lab.arm.profile, evidence, "2026-01-31")
    read = parse_profile(written(found), "arm.yaml")
    assert read.commissioned is not None and read.commissioned.date == "2026-01-31"
    assert read.braking.deceleration == pytest.approx(found.deceleration, rel=0.01)
    # A first-order arm of 50 ms after targets every 50 ms: e = (e + d) / e just before the next.
    assert found.commissioned.lag is not None
    assert found.commissioned.lag.worst == pytest.approx(0.05 / (math.e - 1), abs=0.002)
    table = rows(read, found)
    assert [row["joint"] for row in table] == list(read.joints.names)
    assert any("no safety function" in line for line in notes(read, found, evidence))


def test_an_arm_that_only_poses_move_is_tested_along_lines() -> None:
    class Posture(Plant):
        def obey(self, command: Command) -> None:
            if command.motion.joints is None:
                super().obey(command)

    lab = Lab(arm_of(), plant=Posture())
    evidence = lab.run()
    assert evidence.leads is False and evidence.stops and all(stop.sweep.line for stop in evidence.stops)
    assert np.allclose(lab.plant.q, HOME, atol=0.01), "it came home by poses"
    found = find(lab.arm.profile, evidence, "2026-01-31")
    read = parse_profile(written(found), "arm.yaml")
    assert read.commissioned is not None and read.commissioned.deceleration is None
    assert read.braking.deceleration == pytest.approx(ARM.profile.braking.deceleration)
    assert any("joint targets do not move" in line for line in notes(read, found, evidence))


def test_comments_stay_and_a_second_commissioning_replaces_the_first() -> None:
    once = written()
    kept = [line for line in TEMPLATE.splitlines() if line.startswith(("workspace", "join", "  translation", "# "))]
    assert all(line in once for line in kept)
    twice = write_out(once, find(parse_profile(once, "arm.yaml"), evidence_of(), "2026-02-01"), "arm.yaml")
    assert twice == once.replace("2026-01-31", "2026-02-01"), "nothing adds up from one commissioning to the next"
    jtc = find_profile("franka_jtc").read_text(encoding="utf-8")
    assert "Not measured on hardware" in jtc
    fresh = write_out(jtc, find(parse_profile(jtc, "jtc"), evidence_of(), "2026-01-31"), "arm.yaml")
    assert "Not measured on hardware" not in fresh and "Measured by `vla-monitor commission`" in fresh


def test_a_template_written_otherwise_is_refused() -> None:
    loose = yaml.safe_dump(yaml.safe_load(TEMPLATE))
    with pytest.raises(InputError, match="layout is not understood"):
        write_out(loose, find(bare(ARM.profile), evidence_of(), "2026-01-31"), "arm.yaml")


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("commissioned.date", "yesterday", "commissioned.date"),
        ("commissioned.noise.n", 0, "commissioned.noise.n"),
        ("commissioned.noise.n", 1.5, "commissioned.noise.n"),
        ("commissioned.droop.worst", [0.01], "commissioned.droop"),
        ("commissioned.lag.spread", [-1.0] * 7, "commissioned.lag"),
        ("commissioned.speed", [0.0] * 7, "commissioned.speed"),
        ("commissioned.rest.worst", [-0.1], "commissioned.rest.worst"),
        ("commissioned.rest.worst", [0.9], "escalation.switch"),
        ("commissioned.silence.worst", [2.1], "commissioned.silence.worst"),
        ("commissioned.grip.worst", [0.2], "commissioned.grip.worst"),
        ("commissioned.noise.extra", 1, "extra"),
        ("commissioned.silence", None, "silence"),
        ("commissioned.lag", None, "all or none"),
        ("rest.noise", [0.001] * 7, "rest.noise"),
        ("rest.tolerance", [0.02] * 7, "rest.tolerance"),
        ("braking.deceleration", [7.0] * 7, "braking.deceleration"),
        ("braking.lead", [0.01] * 7, "braking.lead"),
    ],
)
def test_a_profile_laxer_than_its_arm_is_refused(path: str, value: Any, named: str) -> None:
    content = yaml.safe_load(written())
    *sections, field = path.split(".")
    place = content
    for section in sections:
        place = place[section]
    if value is None:
        del place[field]
    else:
        place[field] = value
    with pytest.raises(InputError) as caught:
        parse_profile(yaml.safe_dump(content), "arm.yaml")
    assert "arm.yaml" in str(caught.value) and named in str(caught.value)


# -- the guard -----------------------------------------------------------------------------------------------------
def test_without_commissioning_the_guard_refuses_and_names_itself(new_bench: Any) -> None:
    bench = new_bench(arm=arm_of())
    bench.advance(3.0)
    assert bench.state is State.UNKNOWN
    failure = next(each for each in bench.supervisor.failures if each.name == "commissioned")
    assert "vla-monitor commission --robot franka_crisp_sim" in failure.text
    assert bench.supervisor.set_mode(Mode.SHADOW) == ""
    bench.until(State.IDLE)  # shadow mode runs


def test_a_change_to_guard_mode_asks_again(new_bench: Any) -> None:
    bench = new_bench(Config(mode=Mode.SHADOW), arm=arm_of())
    bench.until(State.IDLE)
    assert bench.supervisor.set_mode(Mode.GUARD) == ""
    bench.advance(0.2)
    reply = bench.replies[bench.ask(Wish.START)]
    assert not reply.ok and reply.message.startswith("commissioned: ")


def test_what_ships_for_the_simulated_arms_was_measured_and_data_sheets_were_not(new_bench: Any) -> None:
    new_bench().until(State.IDLE)
    for path in find_profile("franka_crisp_sim").parent.glob("*.yaml"):
        assert (load_profile(str(path)).commissioned is not None) == path.stem.endswith("_sim"), path.stem
