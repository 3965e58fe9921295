"""The demo's processes: started, killed, restarted, and none of them outlives the demo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

PATIENCE = 5.0
"""Seconds that processes have to end when they are asked to."""
CHILD = """
import ctypes, os, signal
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != {parent}:
    os._exit(1)
import sys
from {module} import main
sys.exit(main())
"""
"""What a child runs (Linux, PR_SET_PDEATHSIG): the kernel ends it even when the demo itself is killed; the question
after it is for a demo that was killed before."""


class Processes:
    """A set of named Python processes; leaving the ``with`` block ends all of them.

    :param logs: folder for ``<name>.log``, appended to at a restart.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._commands: dict[str, Sequence[str]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._files: dict[str, IO[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, module: str, arguments: Sequence[str] = ()) -> None:
        """Run ``main()`` of a module as a process of its own."""
        code = CHILD.format(parent=os.getpid(), module=module)
        self._commands[name] = [sys.executable, "-c", code, *arguments]
        self.restart(name)

    def restart(self, name: str) -> None:
        """Start a process that has ended, with the same command."""
        if name not in self._files:
            self._files[name] = (self._logs / f"{name}.log").open("ab")
        self._running[name] = subprocess.Popen(
            self._commands[name],
            stdin=subprocess.DEVNULL,
            stdout=self._files[name],
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the demo alone, which then ends the others in order
        )

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until the process is gone."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def pid(self, name: str) -> int:
        """Number of a running process."""
        return self._running[name].pid

    def freeze(self, name: str) -> None:
        """SIGSTOP: the process lives on and does nothing, until it is killed."""
        self._running[name].send_signal(signal.SIGSTOP)

    def stop(self, name: str) -> int | None:
        """Ask one process to end (SIGINT) and wait for it; kill it when it does not.

        :return: its exit code, None if it was not running.
        """
        process = self._running.pop(name, None)
        if process is None:
            return None
        _interrupt(process)
        return _reap(process, time.monotonic() + PATIENCE)

    def ended(self) -> dict[str, int]:
        """Processes that ended though nobody asked them to, and their exit codes."""
        return {name: code for name, process in self._running.items() if (code := process.poll()) is not None}

    def last_words(self, name: str, lines: int = 1) -> str:
        """The last lines of a process's log."""
        path = self._logs / f"{name}.log"
        text = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
        return " | ".join(text[-lines:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._running.values():
            _interrupt(process)
        deadline = time.monotonic() + PATIENCE
        for process in self._running.values():
            _reap(process, deadline)
        self._running.clear()
        for file in self._files.values():
            file.close()


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)


def _reap(process: subprocess.Popen[bytes], deadline: float) -> int:
    try:
        return process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
    except KeyboardInterrupt:
        process.kill()
        process.wait()
        raise
