"""The real ``ros2 launch`` on the launch files of this tree, with its nodes or with stand-ins that only take notes.

``ros2`` comes from the PATH, or from what the file sets up that the environment variable ``ROS2_CLI`` names (a
``setup.bash`` of ROS 2). Every process is marked by a variable of its environment, so that none can get lost.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted(path.name for path in (ROOT / "launch").glob("*.launch.py"))
MARK, RECORDS, EXITS = "VLA_TEST_LAUNCH", "VLA_TEST_RECORDS", "VLA_TEST_EXITS"
PATIENCE = 30.0
STAND_IN = f"""#!{sys.executable} -IS
import json, os, pathlib, signal, sys, time
name = pathlib.Path(sys.argv[0]).name
files = [pathlib.Path(file).read_text() for before, file in zip(sys.argv, sys.argv[1:]) if before == "--params-file"]
note = pathlib.Path(os.environ["{RECORDS}"]) / f"{{name}}_{{os.getpid()}}"
note.with_suffix(".part").write_text(json.dumps({{"name": name, "argv": sys.argv[1:], "files": files}}))
note.with_suffix(".part").rename(note.with_suffix(".json"))
code = json.loads(os.environ["{EXITS}"]).get(name)
if code is not None:
    sys.exit(code)
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
while True:
    time.sleep(60)
"""


def environment() -> dict[str, str]:
    """In which ``ros2 launch`` runs; skips the test where there is none."""
    found, file = dict(os.environ), os.environ.get("ROS2_CLI")
    if file:
        source = ["bash", "-c", '. "$1" >&2 && env -0', "bash", file]
        text = subprocess.run(source, capture_output=True, check=True).stdout.decode()
        found = dict(line.split("=", 1) for line in text.split("\0") if line)
    if shutil.which("ros2", path=found.get("PATH")) is None:
        pytest.skip("no ros2 command: source a ROS 2, or let ROS2_CLI name a file that does")
    return found


class _Loader(yaml.SafeLoader):
    """Reads what launch writes of a list."""


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", lambda loader, node: loader.construct_sequence(node))


@dataclass(frozen=True)
class Note:
    """How a process was started: node, arguments, and the texts of its parameter files."""

    name: str
    argv: list[str]
    files: list[str]

    @property
    def rules(self) -> dict[str, str]:
        """Remapping rules, ``__node`` and ``__ns`` among them."""
        rules = [rule for before, rule in zip(self.argv, self.argv[1:], strict=False) if before == "-r"]
        return dict(rule.split(":=", 1) for rule in rules)

    @property
    def parameters(self) -> dict[str, Any]:
        """What is in force: later files win."""
        total: dict[str, Any] = {}
        for text in self.files:
            for key, content in yaml.load(text, _Loader).items():
                inner = content if key == "/**" or key.endswith(self.name) else {}
                total |= inner.get("ros__parameters") or inner.get(self.name, {}).get("ros__parameters", {})
        return total


@dataclass
class Launcher:
    """Starts launches, and ends what is left of them.

    :param folder: for the installation and the logs.
    :param domain: ROS domain.
    """

    folder: Path
    domain: int
    env: dict[str, str] = field(default_factory=dict)
    running: list[Launch] = field(default_factory=list)

    def prepare(self, real: bool, exits: dict[str, int] | None = None) -> None:
        """Lay out an installation of this tree.

        :param real: with the nodes; else with stand-ins.
        :param exits: exit codes with which stand-ins end at once.
        """
        share, programs = self.folder / "share" / "vla_monitor", self.folder / "lib" / "vla_monitor"
        for name in ("launch", "config", "rviz"):
            shutil.copytree(ROOT / name, share / name)
        shutil.copy(ROOT / "package.xml", share)
        index = self.folder / "share" / "ament_index" / "resource_index" / "packages"
        index.mkdir(parents=True)
        (index / "vla_monitor").touch()
        programs.mkdir(parents=True)
        for script in (ROOT / "scripts").iterdir():
            lines = script.read_text(encoding="utf-8").splitlines()[1:]
            text = "\n".join([f"#!{sys.executable}", *lines, ""]) if real else STAND_IN
            (programs / script.name).write_text(text, encoding="utf-8")
            (programs / script.name).chmod(0o755)
        (self.folder / "records").mkdir()
        found = environment()
        self.env = {
            **found,
            "AMENT_PREFIX_PATH": os.pathsep.join([str(self.folder), found.get("AMENT_PREFIX_PATH", "")]),
            "PYTHONPATH": os.pathsep.join([str(ROOT), found.get("PYTHONPATH", "")]),
            "ROS_DOMAIN_ID": str(self.domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_LOG_DIR": str(self.folder / "log"),
            RECORDS: str(self.folder / "records"),
            EXITS: json.dumps(exits or {}),
        }

    def add_package(self, name: str, program: str = "", file: str = "", text: str = "") -> None:
        """Install another package beside: with a stand-in program, or with a launch file."""
        (self.folder / "share" / "ament_index" / "resource_index" / "packages" / name).touch()
        for path, content in ((f"lib/{name}/{program}", STAND_IN), (f"share/{name}/launch/{file}", text)):
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            if not path.endswith("/"):
                (self.folder / path).write_text(content, encoding="utf-8")
                (self.folder / path).chmod(0o755)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``ros2`` to its end."""
        return subprocess.run(["ros2", *arguments], env=self.env, capture_output=True, text=True, timeout=120)

    def start(self, *arguments: str) -> Launch:
        """``ros2 launch`` with a file of this package, or the path of another one, and arguments."""
        package = [] if arguments[0].startswith("/") else ["vla_monitor"]
        log, mark = self.folder / f"launch_{len(self.running)}.log", uuid.uuid4().hex
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["ros2", "launch", *package, *arguments],
                env={**self.env, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & leaves it ignored
            )
        self.running.append(Launch(process, log, mark))
        return self.running[-1]

    def notes(self) -> list[Note]:
        """Of the stand-ins that were started so far."""
        files = sorted((self.folder / "records").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        return [Note(**json.loads(file.read_text(encoding="utf-8"))) for file in files]

    def close(self) -> None:
        """End everything, whatever became of it."""
        for launch in self.running:
            if launch.process.poll() is None:
                launch.interrupt()
            for pid in launch.alive():
                os.kill(pid, signal.SIGKILL)
            print(f"--- {launch.log.name}", *launch.text().splitlines()[-60:], sep="\n")


@dataclass(frozen=True)
class Launch:
    """A running ``ros2 launch``."""

    process: subprocess.Popen[bytes]
    log: Path
    mark: str

    def text(self) -> str:
        """What it and its nodes have printed so far."""
        return self.log.read_text(errors="replace")

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def alive(self) -> list[int]:
        """Processes of this launch that run."""
        found, mark = [], f"{MARK}={self.mark}".encode()
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:  # it has just ended
                continue
        return found

    def wait_gone(self, timeout: float = 3.0) -> list[int]:
        """What still runs after a moment's patience."""
        deadline = time.monotonic() + timeout
        while (left := self.alive()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left
