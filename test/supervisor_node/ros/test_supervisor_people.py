"""What reaches people and what they ask for, over DDS: alerts beside the stop, and the services of other tools."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.drill]
TICK = 0.05


class Hanging:
    """A real HTTP server that takes a post and never answers it."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}/hook"
        self.bodies: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        kept = []
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            kept.append(connection)
            self.bodies.append(connection.recv(65536).decode().split("\r\n\r\n")[-1] or connection.recv(65536).decode())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["hangs", "refuses"])
def webhook(request: pytest.FixtureRequest) -> Any:
    server = Hanging()
    if request.param == "refuses":
        server.close()
    yield server
    server.close()


def gaps(holds: list[tuple[float, Any]]) -> list[float]:
    times = [at for at, _ in holds]
    return [later - at for at, later in itertools.pairwise(times)]


def test_dead_webhook_delays_neither_the_stop_nor_the_ticks_nor_the_end(peers: Any, spawn: Any, webhook: Any) -> None:
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
    from rcl_interfaces.msg import Log
    from vla_monitor.msg import SupervisorState as State

    logs: list[str] = []
    levels: list[tuple[float, bytes]] = []

    def on_health(message: Any) -> None:
        levels.extend((time.monotonic(), s.level) for s in message.status if s.name == "/supervisor_node")

    peers.ros.node.create_subscription(Log, "/rosout", lambda m: logs.append(m.msg), 50)
    peers.ros.node.create_subscription(DiagnosticArray, "diagnostics", on_health, 50)
    supervisor = spawn("supervisor_node.node", params={"alert_webhook": webhook.address, "alert_timeout": 30.0})
    peers.until(State.IDLE, 40.0)
    peers.start()
    peers.until(State.AUTONOMOUS)
    peers.run(0.5)
    peers.value = 4.0
    assert peers.until(State.HALTED).takeover_requested
    assert peers.holds[0][0] - peers.alarmed_at < 0.1
    peers.run(2.0)
    found = sorted(gaps(peers.holds))
    # The webhook would take 30 s; the bound leaves room for a machine that does other things.
    assert found[len(found) * 9 // 10] < 3 * TICK and found[-1] < 0.5, f"seconds between two holds: {found[-5:]}"
    told = next(at for at, level in levels if level == DiagnosticStatus.ERROR)
    assert told - peers.alarmed_at < 0.2, "the diagnostics do not wait for their second"
    assert any(line.startswith("franka_crisp_sim needs a person: HALTING, ALERT") for line in logs)
    if webhook.bodies:
        assert json.loads(webhook.bodies[0])["reason"] == "ALERT"
    supervisor.interrupt()
    assert supervisor.process.wait(10.0) == 0, "it does not wait for the webhook's 30 s"


def test_webhook_that_hangs_was_reached(peers: Any, spawn: Any) -> None:
    from vla_monitor.msg import SupervisorState as State

    server = Hanging()
    spawn("supervisor_node.node", params={"alert_webhook": server.address})
    peers.until(State.IDLE, 40.0)
    peers.start()
    peers.until(State.AUTONOMOUS)
    peers.value = 4.0
    peers.until(State.HALTED)
    peers.ros.spin_until(lambda: server.bodies, 5.0, "the post")
    posted = json.loads(server.bodies[0])
    assert posted["robot"] == "franka_crisp_sim" and posted["episode_id"] == peers.states[-1].episode_id
    server.close()


def test_wrong_webhook_leaves_the_node_unconfigured(peers: Any, spawn: Any, wait_until: Any) -> None:
    supervisor = spawn("supervisor_node.node", params={"alert_webhook": "example.com"})
    wait_until(lambda: "parameter alert_webhook: no address" in supervisor.text())
    peers.run(1.0)
    assert not peers.states and supervisor.process.poll() is None


def test_services_of_tools_that_know_standard_types_only(peers: Any, spawn: Any) -> None:
    from std_srvs.srv import SetBool, Trigger
    from vla_monitor.msg import EpisodeEvent
    from vla_monitor.msg import SupervisorState as State

    events: list[Any] = []
    peers.ros.node.create_subscription(EpisodeEvent, "supervisor_node/events", events.append, 50)

    def ended() -> list[int]:
        return [event.label for event in events if event.event == EpisodeEvent.ENDED]

    spawn("supervisor_node.node")
    peers.until(State.IDLE, 40.0)
    refused = peers.trigger("std/start_episode")
    assert not refused.success and "call start_episode first" in refused.message
    peers.start()
    peers.until(State.AUTONOMOUS)
    assert peers.ros.call(Trigger, "supervisor_node/cancel_episode", Trigger.Request()).success
    for success, label in ((True, EpisodeEvent.SUCCESS), (False, EpisodeEvent.FAILURE)):
        peers.until(State.IDLE)
        assert peers.trigger("std/start_episode").success
        peers.until(State.AUTONOMOUS)
        answer = peers.ros.call(SetBool, "supervisor_node/std/end_episode", SetBool.Request(data=success))
        assert answer.success, answer.message
        peers.ros.spin_until(lambda label=label: ended() and ended()[-1] == label, 5.0, "the label")
    assert ended() == [EpisodeEvent.DISCARD, EpisodeEvent.SUCCESS, EpisodeEvent.FAILURE]
