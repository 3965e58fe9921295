"""An environment for LeRobot alone: its pins agree neither with this project's nor with ROS's.

    python requirements/lerobot_env.py FOLDER LOCK

makes a venv in FOLDER and installs the versions of LOCK, torch with what it needs and the others without, since LeRobot
asks for an older torch than the one that it runs with. LeRobot 0.5 and later are written for Python 3.12; on an older
one its generics are put into the older syntax after installing. Nothing is done when FOLDER holds LOCK already.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet")
CLASS = re.compile(r"^class (\w+)\[([\w, ]+)\](?:\((.*)\))?:$", re.M)
FUNCTION = re.compile(r"^def (\w+)\[(\w+)(?:: \w+)?\]\(", re.M)
ALIAS = re.compile(r"^type (\w+) = ", re.M)
FIRST = re.compile(r"^(?:@|class |def |type )", re.M)


def older(text: str) -> str:
    """A module in the generics syntax of Python 3.10; unchanged when it has none of 3.12's."""
    names = [name.strip() for match in CLASS.finditer(text) for name in match[2].split(",")]
    names += [match[2] for match in FUNCTION.finditer(text)]
    body = ALIAS.sub(r"\1 = ", text)
    body = FUNCTION.sub(r"def \1(", body)
    body = CLASS.sub(_generic, body)
    first = FIRST.search(body)
    if body == text or first is None:
        return text
    declared = "".join(f'{name} = _typing.TypeVar("{name}")\n' for name in dict.fromkeys(names))
    return f"{body[: first.start()]}import typing as _typing\n\n{declared}\n{body[first.start() :]}"


def _generic(match: re.Match[str]) -> str:
    bases = f"{match[3]}, " if match[3] else ""
    return f"class {match[1]}({bases}_typing.Generic[{match[2]}]):"


def put_back(package: Path) -> list[str]:
    """Rewrite what this Python cannot parse.

    :returns: the rewritten files.
    :raises SyntaxError: when one of them still cannot be parsed.
    """
    rewritten = []
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        try:
            ast.parse(text)
        except SyntaxError:
            text = older(text)
            ast.parse(text, str(path))
            path.write_text(text, encoding="utf-8")
            rewritten.append(str(path.relative_to(package)))
    return rewritten


def install(folder: Path, lock: Path) -> None:
    """Make the environment.

    :raises CalledProcessError: when pip fails; it has said why.
    """
    done = folder / lock.name
    if done.is_file() and done.read_bytes() == lock.read_bytes():
        return
    shutil.rmtree(folder, ignore_errors=True)
    print(f"{folder}: {lock.name}, a few minutes", flush=True)
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    pins = [line for line in lock.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    torch = next(pin for pin in pins if pin.startswith("torch=="))
    subprocess.run([python, *PIP, torch], check=True)
    subprocess.run([python, *PIP, "--no-deps", "--ignore-requires-python", "-r", str(lock)], check=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout.strip()
    for name in put_back(Path(site) / "lerobot"):
        print(f"lerobot/{name}: put into the syntax of Python {sys.version_info.major}.{sys.version_info.minor}")
    shutil.copy(lock, done)


if __name__ == "__main__":
    install(Path(sys.argv[1]), Path(sys.argv[2]))
