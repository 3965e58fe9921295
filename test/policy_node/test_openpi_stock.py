"""openpi's own server file, given by ``OPENPI_SERVER_FILE``, and the double that stands for it: the same client, and
the same of both.

The file is ``src/openpi/serving/websocket_policy_server.py`` of a checkout, whose client package it needs.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgpack")
pytest.importorskip("websockets")

from openpi_servers import SLOW, Hosted, Stock, trivial

from policy_node.backends import BackendError, load
from policy_node.backends.openpi_settings import Settings
from vla_policy.observation import Observation

FILE = "OPENPI_SERVER_FILE"
CHILD = """
import importlib.util, sys
sys.path[:0] = [{client!r}, {common!r}, {root!r}]
spec = importlib.util.spec_from_file_location("stock", {file!r})
stock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(stock)
from openpi_servers import trivial
policy = type("Policy", (), {{"infer": staticmethod(trivial)}})()
stock.WebsocketPolicyServer(policy, "127.0.0.1", {port}, {{"config": "pi05_libero"}}).serve_forever()
"""


def file_url() -> Iterator[str]:
    """openpi's file in a process of its own."""
    if FILE not in os.environ:
        pytest.skip(f"no server file of openpi: {FILE} is not set")
    file, root = Path(os.environ[FILE]), Path(__file__).parents[2]
    client = file.parents[3] / "packages" / "openpi-client" / "src"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = CHILD.format(
        client=str(client), common=str(root / "test" / "common"), root=str(root), file=str(file), port=port
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def double_url() -> Iterator[str]:
    with Hosted(Stock(trivial, {"config": "pi05_libero"})) as hosted:
        yield hosted.url


@pytest.fixture(params=[double_url, file_url], ids=["double", "file"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    yield from request.param()


@pytest.fixture
def backend(url: str, tmp_path: Path) -> Iterator[Any]:
    Settings(url=url, preset="libero", timeout=0.4, warm_up=20.0).save(tmp_path)
    backend = load("", tmp_path)
    yield backend
    backend.close()


def test_actions_and_nothing_else(backend: Any, observation: Observation) -> None:
    info = backend.info
    assert (info.back_end, info.horizon, info.dim, info.tensors) == ("openpi", 10, 6, ())
    assert info.remarks["introspection"].startswith("none: a stock server")
    backend.reset(observation.instruction, 3)
    inference = backend.act(observation)
    expected = trivial({"observation/state": np.r_[observation.position, np.zeros(5)], "prompt": ""})["actions"]
    np.testing.assert_allclose(inference.actions, expected[:, :6] * np.repeat([0.05, 0.5], 3), atol=1e-7)
    assert backend.introspect(inference) == {}


def test_an_error_is_told_by_its_last_line_and_passes(backend: Any, observation: Observation) -> None:
    with pytest.raises(BackendError, match=r"the server says: ValueError: told to fail$"):
        backend.act(replace(observation, instruction="fail"))
    time.sleep(0.15)
    assert backend.act(observation).actions.shape == (10, 6)


def test_while_it_infers_it_hears_nobody_and_is_back_afterwards(
    backend: Any, url: str, observation: Observation
) -> None:
    start = time.monotonic()
    with pytest.raises(BackendError, match="no answer in time"):
        backend.act(replace(observation, instruction="slow"))
    assert 0.3 < time.monotonic() - start < SLOW - 0.1
    with pytest.raises((urllib.error.URLError, TimeoutError)):
        urllib.request.urlopen(f"http{url[2:]}/healthz", timeout=0.1)
    time.sleep(0.15)
    assert backend.act(observation).actions.shape == (10, 6), "the handshake waits until the inference is over"
    assert time.monotonic() - start > SLOW - 0.1
    assert urllib.request.urlopen(f"http{url[2:]}/healthz", timeout=2.0).read() == b"OK\n"
