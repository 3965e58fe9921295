"""``vla-monitor serve-policy`` as a process of its own."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgpack")
pytest.importorskip("websockets")

from websockets.asyncio.client import connect

from vla_cli.main import main
from vla_policy.manifest import WEIGHTS
from vla_policy.openpi_wire import unpack

ROOT = Path(__file__).parents[2]
KEY = "a-key"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "key").write_text(f"{KEY}\n")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "vla_cli", "serve-policy", str(WEIGHTS)),
            *("--port", "0", "--nodes", "3", "--api-key-file", str(tmp_path / "key")),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def test_it_serves_until_it_is_stopped(served: subprocess.Popen[str]) -> None:
    assert served.stderr is not None
    address = re.search(r"ws://127\.0\.0\.1:\d+", served.stderr.readline())
    assert address

    async def greet() -> dict[Any, Any]:
        async with connect(address[0], additional_headers={"Authorization": f"Api-Key {KEY}"}) as client:
            return unpack(await client.recv(decode=False))

    assert asyncio.run(greet())["policy"]["members"] == 2
    served.send_signal(signal.SIGINT)
    assert served.wait(20) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "70000"],
        ["--policy", "oracle"],
        ["--policy", "tokens", "--nodes", "3"],
        ["--api-key-file", "nowhere"],
        ["--host", "300.1.1.1"],
    ],
)
def test_wrong_input_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve-policy", str(WEIGHTS), *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert any(argument.lstrip("-") in error for argument in arguments)


def test_an_empty_key_is_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text("\n")
    assert main(["serve-policy", str(WEIGHTS), "--api-key-file", str(tmp_path / "key")]) == 2
    assert "not an API key" in capsys.readouterr().err
