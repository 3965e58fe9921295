"""A policy server that misbehaves, over a real websocket: no answer is better than a wrong one, and it passes."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgpack")
pytest.importorskip("websockets")

from openpi_servers import Faulty, Hosted

from policy_node.backends import BackendError, load
from policy_node.backends.openpi import OpenpiBackend
from policy_node.backends.openpi_settings import Settings
from vla_policy.observation import Observation
from vla_uq.errors import InputError

Opened = Callable[..., OpenpiBackend]


@pytest.fixture
def server() -> Iterator[Faulty]:
    yield Faulty()


@pytest.fixture
def hosted(server: Faulty) -> Iterator[Hosted]:
    with Hosted(server) as hosted:
        yield hosted


@pytest.fixture
def opened(hosted: Hosted, tmp_path: Path) -> Iterator[Opened]:
    """Opens a back end with a short patience and the given settings."""
    backends: list[OpenpiBackend] = []

    def open(**given: Any) -> OpenpiBackend:
        settings = {"url": hosted.url, "preset": "libero", "timeout": 0.3, "warm_up": 1.0} | given
        Settings(**settings).save(tmp_path)
        backends.append(OpenpiBackend(tmp_path))
        return backends[-1]

    yield open
    for backend in backends:
        backend.close()


def act(backend: OpenpiBackend, observation: Observation, until: float = 5.0) -> Any:
    """Act as a node does that tries again with the next observation."""
    deadline = time.monotonic() + until
    while True:
        try:
            return backend.act(observation)
        except BackendError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("hang", "no answer in time, connection dropped"),
        ("late", "no answer in time, connection dropped"),
        ("die", "the server ended the connection"),
        ("garbage", "not a msgpack message"),
        ("traceback", "the server says: KeyError: 'prompt'"),
        ("huge", "an answer of more than 64 MiB is not read"),
        ("shape", r"actions have a wrong shape: expected \(horizon, 7\), found \(10, 6\)"),
        ("shorter", r"actions have another shape than before: expected \(10, 6\), found \(9, 6\)"),
        ("text", "actions is no array of numbers: found str"),
        ("empty", "actions is no array of numbers: found NoneType"),
        ("nan", "actions are not finite"),
    ],
)
def test_a_fault_is_told_and_passes(
    server: Faulty, opened: Opened, observation: Observation, fault: str, told: str
) -> None:
    backend = opened()
    server.fault, start = fault, time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BackendError, match=told):
        backend.act(observation)
    assert time.monotonic() - start < 1.5, "nothing waits for longer than it was told"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "KiB: a gigabyte is never held"
    server.fault = ""
    chunk = act(backend, observation)
    assert round(float(chunk.actions[0, 0]) / 0.05 * 1000) == server.count, "the answer is to this observation"


def test_a_late_answer_never_answers_another_observation(
    server: Faulty, opened: Opened, observation: Observation
) -> None:
    backend = opened()
    server.fault = "late"
    with pytest.raises(BackendError, match="in time"):
        backend.act(observation)
    late = server.count
    time.sleep(server.seconds)
    server.fault = ""
    assert round(float(act(backend, observation).actions[0, 0]) / 0.05 * 1000) > late


def test_a_second_answer_to_one_question_is_noticed(server: Faulty, opened: Opened, observation: Observation) -> None:
    backend = opened()
    server.fault = "twice"
    backend.act(observation)
    time.sleep(0.1)
    server.fault = ""
    with pytest.raises(BackendError, match="spoke without being asked"):
        backend.act(observation)
    assert round(float(act(backend, observation).actions[0, 0]) / 0.05 * 1000) == server.count


def test_a_server_that_is_gone_is_asked_less_and_less_often(
    hosted: Hosted, opened: Opened, observation: Observation
) -> None:
    backend = opened()
    hosted.stop()
    for told in ("ended the connection", "no connection", "no connection"):
        with pytest.raises(BackendError, match=told):
            backend.act(observation)
        with pytest.raises(BackendError, match="tried again in"):
            backend.act(observation)
        time.sleep(backend._link._again - time.monotonic() + 0.01)
    hosted.start()
    assert act(backend, observation).actions.shape == (10, 6)


def test_another_policy_behind_the_address_is_refused(
    server: Faulty, hosted: Hosted, opened: Opened, observation: Observation
) -> None:
    backend = opened()
    hosted.stop()
    server.metadata = {"config": "another"}
    hosted.start()
    with pytest.raises(BackendError, match="another policy is served now"):
        act(backend, observation, 0.5)


def test_a_waiting_call_ends_when_the_back_end_is_closed(
    server: Faulty, opened: Opened, observation: Observation
) -> None:
    backend = opened(timeout=30.0)
    server.fault = "hang"
    threading.Timer(0.2, backend.close).start()
    start = time.monotonic()
    with pytest.raises(BackendError):
        backend.act(observation)
    assert time.monotonic() - start < 1.0


@pytest.mark.parametrize(
    ("fault", "told"), [("silent", "in time"), ("unwelcome", "another client"), ("hang", "in time"), ("nan", "finite")]
)
def test_a_server_that_cannot_be_used_stops_at_the_beginning(
    server: Faulty, opened: Opened, fault: str, told: str
) -> None:
    server.fault = fault
    with pytest.raises(InputError, match=f"policy server cannot be used.*{told}"):
        opened(warm_up=0.3)


def test_no_server_at_all(tmp_path: Path) -> None:
    Settings(url="ws://127.0.0.1:9", preset="libero", warm_up=0.2).save(tmp_path)
    with pytest.raises(
        InputError, match=r"manifest\.json: the policy server cannot be used; found ws://127\.0\.0\.1:9"
    ):
        load("", tmp_path)
