"""A person is called: at once, by every way that was configured, and never in the way of the stop.

The log and the diagnostics are always told. Sound and webhook are the work of another process,
:mod:`supervisor_node.herald`, started before anything moves: telling it is one write to a pipe that does not wait, and
is given up when the pipe is full.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from supervisor_node.states import State
from supervisor_node.values import Snapshot
from vla_uq.errors import InputError

PARAMETERS: dict[str, tuple[object, str]] = {
    "alert_webhook": ("", "http or https address that is posted to when a person is called; empty: none"),
    "alert_sound": ("", "what is heard then: bell, or a sound file for paplay; empty: nothing"),
    "alert_timeout": (2.0, "longest try to post, s"),
}
"""Name to default and description."""
BELL = "bell"
_LONGEST = 500  # characters of a text


class Herald:
    """The process that plays and posts; there is none when nothing is configured.

    :param values: the parameters' values.
    :raises InputError: no address, no sound file, or no time.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        self.dropped = 0
        webhook, sound, timeout = (values[name] for name in PARAMETERS)
        address = urlsplit(str(webhook))
        if webhook and (address.scheme not in ("http", "https") or not address.hostname):
            expected = "http://… or https://…"
            raise InputError("no address", where="parameter alert_webhook", expected=expected, found=webhook)
        if sound and sound != BELL and not Path(str(sound)).is_file():
            raise InputError("no sound", where="parameter alert_sound", expected="bell or a file", found=sound)
        if not (isinstance(timeout, float) and 0 < timeout <= 60):
            raise InputError("not a time", where="parameter alert_timeout", expected="0 to 60 s", found=timeout)
        self._process: subprocess.Popen[bytes] | None = None
        if webhook or sound:
            # Isolated, and without site: it needs the standard library alone. The address goes through the pipe, for
            # it may hold a secret, and everybody sees the arguments of a process.
            command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("herald.py"))]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0)
            assert self._process.stdin is not None
            os.set_blocking(self._process.stdin.fileno(), False)
            self.tell({"webhook": str(webhook), "sound": str(sound), "timeout": str(timeout)})

    def tell(self, message: Mapping[str, str]) -> bool:
        """Hand a message over without waiting; whether it was."""
        if self._process is None or self._process.stdin is None:
            return False
        line = f"{json.dumps({key: text[:_LONGEST] for key, text in message.items()}, ensure_ascii=False)}\n".encode()
        try:
            if len(line) > select.PIPE_BUF:  # only up to there is a line written whole or not at all
                raise BlockingIOError
            os.write(self._process.stdin.fileno(), line)
        except OSError:  # the pipe is full, or the process is gone
            self.dropped += 1
            return False
        return True

    def close(self) -> None:
        """Let it finish by itself; nobody waits."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


class Alerts:
    """Notices when a person is needed, and tells once.

    :param robot: the arm's name.
    :param log: takes a line for the log, and so for ``/rosout``.
    :param health: publishes the diagnostics now.
    :param herald: told last.
    """

    def __init__(self, robot: str, log: Callable[[str], None], health: Callable[[], None], herald: Herald) -> None:
        self._robot, self._log, self._health, self._herald = robot, log, health, herald
        self._calling = False

    def take(self, snapshot: Snapshot) -> None:
        """The state changed."""
        calling = snapshot.takeover_requested or snapshot.state is State.FAULT
        if calling and not self._calling:
            text = f"{self._robot} needs a person: {snapshot.state.name}, {snapshot.reason.name}"
            text = f"{text}: {snapshot.text}" if snapshot.text else text
            self._health()
            self._log(text)
            self._herald.tell(
                {
                    "text": text,
                    "robot": self._robot,
                    "state": snapshot.state.name,
                    "reason": snapshot.reason.name,
                    "episode_id": snapshot.episode_id,
                }
            )
        self._calling = calling

    def close(self) -> None:
        """Nobody is called any more."""
        self._herald.close()
