"""Calling a person: once, at once, and whatever the other end does, nobody waits for it."""

from __future__ import annotations

import dataclasses
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from supervisor_node import herald as herald_file
from supervisor_node.alerts import PARAMETERS, Alerts, Herald
from supervisor_node.states import State
from supervisor_node.values import Wish
from vla_uq.errors import InputError

OFF = {name: default for name, (default, _) in PARAMETERS.items()}


class Server:
    """A webhook: keeps what was posted, and answers, fails, trickles or hangs."""

    def __init__(self, manner: str) -> None:
        self.got: list[dict[str, Any]] = []
        self.open = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                if manner == "hangs":
                    outer.open.wait(30)
                elif manner == "trickles":
                    while not outer.open.wait(0.1):
                        self.wfile.write(b"H")
                else:
                    self.send_response(500 if manner == "fails" else 200)
                    self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}/hook/secret"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(params=["answers"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(request.param)
    yield made
    made.close()


# -- when a person is called -----------------------------------------------------------------------------------------
class Ears(Alerts):
    """Alerts, and what was said where."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.health = 0
        super().__init__("arm", self.log.append, self._more, Herald(OFF))

    def _more(self) -> None:
        self.health += 1


def test_one_call_for_one_need(bench: Any) -> None:
    ears = Ears()
    bench.to(State.AUTONOMOUS)
    bench.value = lambda key: 4.0
    bench.until(State.HALTED)
    for out in bench.outputs:
        ears.take(out.state)
    assert len(ears.log) == ears.health == 1
    assert ears.log[0].startswith("arm needs a person: HALTING, ALERT: score ")
    bench.hold_device()
    bench.ask(Wish.TAKE)
    for out in bench.outputs[-3:]:
        ears.take(out.state)
    bench.outputs.clear()
    bench.robot = False
    bench.until(State.FAULT)
    for out in bench.outputs:
        ears.take(out.state)
    assert len(ears.log) == 2 and "ROBOT_STALE" in ears.log[1]


def test_a_halt_that_somebody_asked_for_calls_nobody(bench: Any) -> None:
    ears = Ears()
    bench.to(State.HALTED)
    for out in bench.outputs:
        ears.take(out.state)
    assert not ears.log


def test_a_call_is_an_error_in_the_diagnostics(bench: Any) -> None:
    messages = pytest.importorskip("supervisor_node.messages", reason="messages are not built; run: make setup")
    from builtin_interfaces.msg import Time
    from diagnostic_msgs.msg import DiagnosticStatus

    bench.to(State.HALTED)
    asked = dataclasses.replace(bench.shown, takeover_requested=True)
    for snapshot, level in ((bench.shown, DiagnosticStatus.WARN), (asked, DiagnosticStatus.ERROR)):
        assert messages.diagnostics("s", snapshot, (), Time()).status[0].level == level


# -- what is told to the other process ---------------------------------------------------------------------------------
def test_nothing_configured_starts_no_process() -> None:
    herald = Herald(OFF)
    assert not herald.tell({"text": "hello"}) and herald.dropped == 0
    herald.close()


def test_webhook_gets_what_happened(server: Server, wait_until: Any) -> None:
    herald = Herald({**OFF, "alert_webhook": server.address})
    assert herald.tell({"text": "arm needs a person: HALTED, ALERT", "state": "HALTED", "detail": "ü" * 2000})
    wait_until(lambda: server.got, what="the post")
    assert server.got[0] == {"text": "arm needs a person: HALTED, ALERT", "state": "HALTED", "detail": "ü" * 500}
    herald.close()


@pytest.mark.parametrize("server", ["hangs", "trickles"], indirect=True)
def test_a_webhook_that_never_ends_costs_its_timeout_and_the_next_is_tried(server: Server, wait_until: Any) -> None:
    herald = Herald({**OFF, "alert_webhook": server.address, "alert_timeout": 0.3})
    for i in range(3):
        assert herald.tell({"text": str(i)})
    wait_until(lambda: len(server.got) == 3, 5.0, "all three posts")
    herald.close()


def test_telling_never_waits_even_when_nobody_reads() -> None:
    with socket.socket() as full:  # listens, and never accepts
        full.bind(("127.0.0.1", 0))
        full.listen(1)
        address = f"http://127.0.0.1:{full.getsockname()[1]}"
        herald = Herald({**OFF, "alert_webhook": address, "alert_timeout": 60.0})
        herald._process.send_signal(signal.SIGSTOP)
        slowest = 0.0
        for _ in range(2000):
            begun = time.perf_counter()
            herald.tell({"text": "x" * 400})
            slowest = max(slowest, time.perf_counter() - begun)
        assert herald.dropped > 1000 and slowest < 0.05, f"{herald.dropped} dropped, slowest {slowest:.4f} s"
        herald._process.kill()
        herald._process.wait()
        assert not herald.tell({"text": "to nobody"})
        herald.close()


@pytest.mark.parametrize("server", ["fails"], indirect=True)
def test_failures_are_reported_without_the_secret(server: Server) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{closed.getsockname()[1]}/hook/secret"
    said: list[str] = []
    for address in (server.address, refused):
        settings = json.dumps({"webhook": address, "timeout": "2.0"})
        herald_file.serve([settings, '{"text": "a"}\n'], said.append)
    assert "HTTP Error 500" in said[0] and "refused" in said[1]
    assert not any("secret" in line for line in said)


def test_sound_that_cannot_be_played_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    settings = json.dumps({"sound": "alarm.oga", "timeout": "2.0"})
    herald_file.serve([settings, '{"text": "a"}\n'], said.append)
    assert said == ["alert: sound alarm.oga: FileNotFoundError: [Errno 2] No such file or directory: 'paplay'"]
    player = tmp_path / "paplay"
    player.write_text(f'#!{sys.executable}\nimport sys\nopen("{tmp_path}/played", "w").write(sys.argv[1])\n')
    player.chmod(0o755)
    herald_file.serve([settings, '{"text": "a"}\n'], said.append)
    assert (tmp_path / "played").read_text() == "alarm.oga" and len(said) == 1


def test_the_process_ends_with_its_input() -> None:
    command = [sys.executable, "-I", "-S", herald_file.__file__]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    process.communicate(b'{"webhook": "", "sound": "", "timeout": "1"}\n', timeout=10)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("alert_webhook", "example.com/hook", "alert_webhook: no address; expected http"),
        ("alert_webhook", "file:///etc/passwd", "alert_webhook: no address; expected http"),
        ("alert_sound", "no/such.oga", "alert_sound: no sound; expected bell or a file; found no/such.oga"),
        ("alert_timeout", 0.0, "alert_timeout: not a time; expected 0 to 60 s"),
        ("alert_timeout", float("nan"), "alert_timeout: not a time"),
    ],
)
def test_wrong_parameters(name: str, value: object, said: str) -> None:
    with pytest.raises(InputError) as error:
        Herald({**OFF, name: value})
    assert said in str(error.value)
