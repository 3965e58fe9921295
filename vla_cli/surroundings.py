"""What a verb needs around it (ROS, MuJoCo, a GL context), checked before work starts, and which versions there are."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from dataclasses import dataclass

from vla_uq.errors import InputError


@dataclass(frozen=True)
class Need:
    """Modules that must import, what they are for, and what to do when they do not."""

    what: str
    modules: tuple[str, ...]
    remedy: str


NEEDS = {
    "ros": Need(
        "ROS 2 with this package's messages",
        ("rclpy", "vla_monitor.msg"),
        "run `make setup` (wheels in .venv), or source a ROS 2 install and `colcon build` this package",
    ),
    "sim": Need("MuJoCo", ("sim_node.engine",), "pip install 'vla-monitor[sim]'"),
    "policy": Need("onnxruntime", ("onnxruntime",), "pip install onnxruntime"),
    "train": Need("PyTorch", ("torch",), "pip install 'vla-monitor[train]'"),
    "bag": Need("rosbags", ("rosbags",), "pip install rosbags"),
    "server": Need("the websocket server", ("msgpack", "websockets"), "pip install 'vla-monitor[server]'"),
    "video": Need("PyAV", ("av",), "pip install av"),
    "plot": Need("matplotlib", ("matplotlib",), "pip install matplotlib"),
}

PACKAGES = (
    "vla-monitor", "numpy", "onnxruntime", "mujoco", "rclpy", "rosbags", "av", "scikit-learn", "torch",
)  # fmt: skip


def require(*names: str) -> None:
    """Check that what a verb needs is there.

    :raises InputError: naming the first missing piece and how to get it.
    """
    for name in names:
        need = NEEDS[name]
        for module in need.modules:
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise InputError(
                    f"{need.what} cannot be used", where=module, found=str(error).splitlines()[0], remedy=need.remedy
                ) from error


def versions() -> dict[str, str]:
    """Versions of Python, the platform and the packages that results depend on; missing ones are left out."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
