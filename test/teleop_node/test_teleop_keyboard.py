"""Keyboards: the kernel's events through a pipe, a terminal through a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from teleop_node.keyboard import evdev
from teleop_node.keyboard.evdev import EvdevKeys, open_keyboard
from teleop_node.keyboard.keys import CODES
from teleop_node.keyboard.terminal import HOLD, TerminalKeys
from vla_uq.errors import InputError

CODE = {name: code for code, name in CODES.items()}
DOWN, UP, REPEAT = 1, 0, 2


class Wire:
    """The kernel's end of an event device."""

    def __init__(self) -> None:
        read, self.write = os.pipe()
        self.keys = EvdevKeys(read)

    def send(self, name: str, value: int, kind: int = 1) -> None:
        code = CODE[name] if kind == 1 else 3
        os.write(self.write, struct.pack("llHHi", 0, 0, kind, code, value))


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.keys.close()


def test_codes_are_the_kernels() -> None:
    """Some of linux/input-event-codes.h."""
    known = {"1": 2, "0": 11, "q": 16, "p": 25, "a": 30, "l": 38, "z": 44, "m": 50, "space": 57}
    assert {name: CODE[name] for name in known} == known


def test_keys_are_held_between_down_and_up(wire: Wire) -> None:
    assert wire.keys.held(0.0) == frozenset()
    wire.send("space", DOWN)
    wire.send("w", DOWN)
    assert wire.keys.held(0.1) == {"space", "w"}
    assert wire.keys.held(9.0) == {"space", "w"}
    wire.send("space", UP)
    assert wire.keys.held(9.1) == {"w"}


def test_28_key_that_was_held_before_does_not_count_though_it_repeats(wire: Wire) -> None:
    wire.send("space", REPEAT)
    assert wire.keys.held(0.0) == frozenset()


def test_lost_events_let_go_of_everything(wire: Wire) -> None:
    wire.send("space", DOWN)
    wire.send("space", 0, kind=0)
    assert wire.keys.held(0.0) == frozenset()


def test_unplugged_keyboard_is_an_error() -> None:
    wire = Wire()
    os.close(wire.write)
    with pytest.raises(OSError, match="gone"):
        wire.keys.held(0.0)


def test_no_keyboard_is_said_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evdev, "FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"no keyboard can be read; .*found none"):
        open_keyboard()
    (tmp_path / "event3").touch()
    with pytest.raises(InputError, match="found none"):
        open_keyboard()  # a file that is no event device
    with pytest.raises(InputError, match="event9: cannot be opened; found No such file"):
        open_keyboard(str(tmp_path / "event9"))

    def denied(path: object, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(InputError, match="may not read; add the user to the group input"):
        open_keyboard()


def test_terminal_holds_the_newest_key_for_a_while_and_the_deadman_with_it() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    keys = TerminalKeys(slave)
    assert keys.held(10.0) == frozenset()
    os.write(master, b"aW")
    assert keys.held(10.1) == {"w", "space"}
    assert keys.held(10.1 + 0.9 * HOLD) == {"w", "space"}
    assert keys.held(10.1 + 1.1 * HOLD) == frozenset()
    os.write(master, b" ")
    assert keys.held(12.0) == {"space"}
    os.write(master, b"\x1b[A")
    assert keys.held(12.1) == {"space"}, "an arrow's escape sequence has letters, and is no letter"
    keys.close()
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_no_terminal() -> None:
    read, write = os.pipe()
    with pytest.raises(InputError, match="not a terminal"):
        TerminalKeys(read)
    os.close(read)
    os.close(write)
