"""Build the interface packages of this folder into the virtual environment that runs this file.

``.venv/bin/python test/interfaces/build.py``; ``make test`` calls it. PyPI has no wheels of these four. Each folder
holds the part of the real package that is used here, with the real names and the real order of fields, so that the
types on the wire are the real ones. A package that is already installed by somebody else (a sourced ROS 2) is left
alone; one of ours is built again when its definition has changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).parent.resolve()
PREFIX = Path(sys.prefix)
SITE = Path(sysconfig.get_path("purelib")).relative_to(PREFIX)


def packages() -> list[str]:
    """The folders here that are packages."""
    return sorted(path.parent.name for path in HERE.glob("*/package.xml"))


def mark(package: str) -> Path:
    """The file that tells an installed package of ours from the real one: the digest that it was built from."""
    return PREFIX / "share" / package / "stand_in"


def digest(package: str) -> str:
    """Of everything that the build of a package reads here."""
    total = hashlib.sha256(sys.version.encode())
    for path in [HERE / "CMakeLists.txt", *sorted((HERE / package).rglob("*.*"))]:
        total.update(path.relative_to(HERE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def is_real(package: str) -> bool:
    """Whether somebody else's package can be imported."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None and not mark(package).exists()


def due() -> list[str]:
    """Packages that have to be built."""
    here = [package for package in packages() if not is_real(package)]
    return [p for p in here if not mark(p).exists() or mark(p).read_text(encoding="utf-8") != digest(p)]


def build(names: list[str]) -> None:
    """Configure, compile and install into the virtual environment.

    :raises subprocess.CalledProcessError: when a step fails; its lines were printed.
    """
    environment = dict(os.environ, AMENT_PREFIX_PATH=str(PREFIX), CMAKE_PREFIX_PATH=str(PREFIX))
    for name in names:
        mark(name).parent.mkdir(parents=True, exist_ok=True)
        mark(name).write_text("unfinished", encoding="utf-8")  # an interrupted installation must not look real
    with tempfile.TemporaryDirectory() as work:
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        configure = [
            *("cmake", "-S", str(HERE), "-B", work, *generator),
            f"-DPACKAGES={';'.join(names)}",
            f"-DCMAKE_INSTALL_PREFIX={PREFIX}",
            "-DCMAKE_C_FLAGS=-O0",  # compiled once, run by tests
            "-DCMAKE_CXX_FLAGS=-O0",
            "-DBUILD_TESTING=OFF",
            f"-DPython3_EXECUTABLE={sys.executable}",
            f"-DPYTHON_INSTALL_DIR={SITE}",
            f"-DCMAKE_PROJECT_INCLUDE={HERE.parents[1] / 'cmake' / 'ros_wheels.cmake'}",
        ]
        install = ["cmake", "--build", work, "--parallel", str(os.cpu_count() or 1), "--target", "install"]
        for command in (configure, install):
            subprocess.run(command, check=True, env=environment)
    for name in names:
        mark(name).write_text(digest(name), encoding="utf-8")


def main() -> int:
    """Build what is due; 2 where there is no place for it, 1 when the build fails."""
    names = due()
    if not names:
        return 0
    if sys.prefix == sys.base_prefix:
        packages_of_apt = " ".join(f"ros-$ROS_DISTRO-{name.replace('_', '-')}" for name in names)
        print(f"error: not a virtual environment; use .venv/bin/python, or install {packages_of_apt}", file=sys.stderr)
        return 2
    try:
        build(names)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
