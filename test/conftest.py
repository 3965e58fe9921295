"""What every test may use: a DDS domain of its own, nodes as processes of their own, and waiting without sleeping.

Tests that need ROS carry ``@pytest.mark.ros``; they get a domain of their own and are skipped where there is no ROS.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

for _folder in ("common", "doubles"):
    sys.path.insert(0, str(Path(__file__).parent / _folder))
pytest_plugins = ["fault_table", "robot_doubles.fixtures"]

os.environ.setdefault("MUJOCO_GL", "egl")  # as sim_node.engine does, before any test imports mujoco by itself

PATIENCE = 5.0
"""Seconds that a process has to end after SIGINT, before it is killed."""
DIE_WITH_PARENT = (
    "import ctypes, os, signal; ctypes.CDLL(None).prctl(1, signal.SIGKILL); "
    f"os.getppid() == {os.getpid()} or os._exit(1)"  # the parent may have died before it was asked for
)
_DOMAINS = itertools.count(os.getpid())  # a killed publisher stays in its domain's graph for 20 s: never reuse one soon


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each ``ros`` test its domain, or skip it."""
    missing = [name for name in ("rclpy", "vla_monitor", "domain_coordinator") if not importlib.util.find_spec(name)]
    for item in items:
        if item.get_closest_marker("ros") is None:
            continue
        if missing:
            item.add_marker(pytest.mark.skip(reason=f"{', '.join(missing)} not installed; run: make setup"))
        elif "ros_domain" not in item.fixturenames:
            item.fixturenames.insert(0, "ros_domain")


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A DDS domain that nobody else on this machine uses, set for this process and its children.

    Call ``rclpy.init`` after it.
    """
    from domain_coordinator import domain_id

    with domain_id(lambda: next(_DOMAINS) % 100 + 1) as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield domain


class WaitUntil(Protocol):
    def __call__(self, predicate: Callable[[], Any], timeout: float = 10.0, what: str = "") -> Any: ...


def _wait_until(
    predicate: Callable[[], Any],
    timeout: float,
    what: str,
    meanwhile: Callable[[], object],
) -> Any:
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout:g} s in vain for {what or predicate}")
        meanwhile()
    return value


@pytest.fixture
def wait_until() -> WaitUntil:
    """``wait_until(predicate, timeout=10, what="")``: its first true value, or the test fails."""

    def wait(predicate: Callable[[], Any], timeout: float = 10.0, what: str = "") -> Any:
        return _wait_until(predicate, timeout, what, lambda: time.sleep(0.02))

    return wait


@dataclass(frozen=True)
class Ros:
    """A node of the test's own; its callbacks run inside :meth:`spin_until` and :meth:`call` only, in this thread."""

    node: Any
    executor: Any

    def spin_until(self, predicate: Callable[[], Any], timeout: float = 10.0, what: str = "") -> Any:
        """Run callbacks until the predicate is true, and return its value; fail the test after ``timeout`` seconds."""
        return _wait_until(predicate, timeout, what, lambda: self.executor.spin_once(timeout_sec=0.02))

    def call(self, service_type: Any, name: str, request: Any, timeout: float = 10.0) -> Any:
        """Call a service and return its response."""
        client = self.node.create_client(service_type, name)
        self.spin_until(client.service_is_ready, timeout, f"service {name}")
        future = client.call_async(request)
        self.spin_until(future.done, timeout, f"an answer of {name}")
        self.node.destroy_client(client)
        return future.result()


@pytest.fixture
def ros(ros_domain: int) -> Iterator[Ros]:
    """A node named ``test_node`` in this test's domain."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain)
    node = rclpy.create_node("test_node", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield Ros(node, executor)
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


@dataclass(frozen=True)
class Spawned:
    """A node in a process of its own.

    :param process: its handle: ``send_signal``, ``kill``, ``wait``, ``poll``.
    :param log: file with its stdout and stderr.
    """

    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Ask it to end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)  # a stopped process handles no other signal
            self.process.send_signal(number)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Ask it to end, wait, kill it when it does not; its exit code."""
        self.interrupt(number)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Spawn(Protocol):
    def __call__(
        self,
        module: str,
        *,
        name: str = "",
        params: Mapping[str, object] | None = None,
        namespace: str = "",
        remap: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Spawned: ...


@pytest.fixture
def spawn(ros_domain: int, tmp_path: Path) -> Iterator[Spawn]:
    """``spawn("policy_node.node", params={...})``: run that module's ``main()`` as a process; ended with the test.

    ``name`` and ``namespace`` rename the node, ``remap`` its topics, ``env`` adds to the environment.
    """
    spawned: list[Spawned] = []

    def start(
        module: str,
        *,
        name: str = "",
        params: Mapping[str, object] | None = None,
        namespace: str = "",
        remap: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Spawned:
        stem = f"{len(spawned)}_{name or module}"
        arguments = ["--ros-args"]
        if params:
            file = tmp_path / f"{stem}.yaml"
            file.write_text(yaml.safe_dump({"/**": {"ros__parameters": dict(params)}}))
            arguments += ["--params-file", str(file)]
        rules = {"__node": name, "__ns": namespace, **(remap or {})}
        for old, new in rules.items():
            arguments += ["-r", f"{old}:={new}"] if new else []
        log = tmp_path / f"{stem}.log"
        code = f"{DIE_WITH_PARENT}; import sys; from {module} import main; sys.exit(main())"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        spawned.append(Spawned(process, log))
        return spawned[-1]

    yield start
    for one in spawned:
        one.interrupt()  # all first, so that they end side by side
    for one in spawned:
        code = one.stop()
        lines = one.text().splitlines()[-40:]
        print(f"--- {one.log.name}, exit code {code}", *lines, sep="\n")  # pytest shows it when the test failed
