"""Making LeRobot importable, and which of its versions are right for which policy."""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from typing import Any

from vla_uq.errors import InputError

FAMILIES: dict[str, tuple[tuple[int, int], str]] = {
    "smolvla": ((0, 4), "the places that are tapped have other names before"),
    "pi0": ((0, 5), "0.4 needs a patched transformers, and with the stock one its cache grows at every step"),
    "pi05": ((0, 5), "0.4 needs a patched transformers, and with the stock one the network never sees the flow time"),
}
"""Policy to the first LeRobot that it is right in, and why not an earlier one."""
_kept: list[Any] = []
"""Operator libraries live as long as they are referred to."""


def prepare() -> tuple[int, int]:
    """Make LeRobot importable.

    :returns: major and minor of LeRobot's version.
    :raises InputError: when LeRobot is not installed, or cannot be imported.
    """
    remedy = "run `make test-lerobot` once, and use the environment that it made"
    try:
        version = metadata.version("lerobot")
        import_torchvision()
        importlib.import_module("lerobot.policies.factory")
    except (ImportError, RuntimeError) as error:
        found = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError("LeRobot cannot be used", where="lerobot", found=found, remedy=remedy) from error
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def check_version(family: str, version: tuple[int, int]) -> None:
    """:raises InputError: when a policy cannot be tapped, or computes something else, in this version of LeRobot."""
    if family not in FAMILIES:
        raise InputError("no policy that can be tapped", where="policy", expected=" or ".join(FAMILIES), found=family)
    first, reason = FAMILIES[family]
    if version < first:
        raise InputError(
            f"{family} is not right in this LeRobot",
            where="lerobot",
            expected="at least {}.{}".format(*first),
            found="{}.{}: {}".format(*version, reason),
        )


def import_torchvision() -> None:
    """Import torchvision, where its binary is of another build with two operators declared in its place.

    It is often built for CUDA, and refuses to be imported beside a torch for the CPU, because two operators that no
    policy uses are missing. transformers imports it too, whenever it is installed, and fails with it.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        from torch.library import Library

        operators = Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(operators)
        importlib.import_module("torchvision")
