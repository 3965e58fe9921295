"""The process that plays a sound and posts to a webhook, for each line of its standard input. Standard library only.

Run by :class:`supervisor_node.alerts.Herald`; it ends with its input. What it waits for nobody else waits for.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable
from http.client import HTTPException
from urllib.parse import urlsplit

SOUND_TIMEOUT = 10.0


def post(address: str, body: str, timeout: float) -> None:
    """Post a JSON object; its answer's body is not read.

    :raises OSError: it did not arrive, or the answer is an error.
    """
    headers = {"Content-Type": "application/json", "User-Agent": "vla_monitor"}
    request = urllib.request.Request(address, body.encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=timeout):
        pass


def play(sound: str) -> None:
    """The terminal's bell, or a sound file through paplay.

    :raises OSError: there is no terminal, or no paplay.
    :raises subprocess.SubprocessError: it failed, or took too long.
    """
    if sound == "bell":
        with open("/dev/tty", "w") as terminal:
            terminal.write("\a")
        return
    quiet = subprocess.DEVNULL
    subprocess.run(["paplay", sound], check=True, timeout=SOUND_TIMEOUT, stdin=quiet, stdout=quiet, stderr=quiet)


def within(seconds: float, work: Callable[..., None], *arguments: object) -> str:
    """Do something for so many seconds at most; what went wrong, or ""."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"no end within {seconds:g} s")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)  # a peer that trickles outlives every socket's timeout
    try:
        work(*arguments)
    except (OSError, ValueError, HTTPException, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def serve(lines: Iterable[str], report: Callable[[str], None]) -> None:
    """Take the settings from the first line; then, line by line, sound first and the webhook after it.

    :param report: takes what went wrong.
    """
    given = iter(lines)
    settings = json.loads(next(given, "{}"))
    webhook, sound, timeout = settings.get("webhook"), settings.get("sound"), float(settings.get("timeout", 0))
    for line in given:
        problem = within(SOUND_TIMEOUT, play, sound) if sound else ""
        if problem:
            report(f"alert: sound {sound}: {problem}")
        problem = within(timeout, post, webhook, line.strip(), timeout) if webhook else ""
        if problem:
            report(f"alert: webhook at {urlsplit(webhook).hostname}: {problem}")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor; its end is ours
    serve(iter(sys.stdin.readline, ""), lambda line: print(line, file=sys.stderr, flush=True))
