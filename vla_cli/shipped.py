"""What ships with the project: where the trained policy and the monitor's bundle lie."""

from __future__ import annotations

from pathlib import Path

from vla_cli.robots import FRANKA, robot_of
from vla_policy.manifest import FILE
from vla_uq.errors import InputError

BUNDLE = "bundle.safetensors"


def policy_folder(given: Path | None, robot: str = FRANKA) -> Path:
    """The weights folder to use: the one given, else the one that ships for a robot.

    :raises InputError: when there is no manifest in it.
    """
    folder = given or robot_of(robot).weights
    if not (folder / FILE).is_file():
        raise InputError(
            "no policy weights",
            where=str(folder / FILE),
            found="nothing",
            remedy="give --policy a folder that `vla-monitor train-policy` wrote",
        )
    return folder


def bundle_file(given: Path | None, robot: str = FRANKA) -> Path:
    """The bundle to use: the one given, else the one that ships beside the weights.

    :raises InputError: when it is not there.
    """
    path = given or robot_of(robot).weights / BUNDLE
    if not path.is_file():
        raise InputError(
            "no monitor bundle",
            where=str(path),
            found="nothing",
            remedy="give --bundle a file that `vla-monitor calibrate` wrote",
        )
    return path


def check_pair(policy: Path, bundle: Path) -> None:
    """Check before anything starts that a bundle was calibrated for a policy.

    :raises InputError: when either cannot be read, or the bundle is of another policy.
    """
    from vla_policy.manifest import Manifest
    from vla_uq.bundle import Bundle

    expected, found = Bundle.load(bundle).policy.fingerprint, Manifest.load(policy).fingerprint
    if expected != found:
        raise InputError(
            "the bundle is of another policy",
            where=f"{bundle}: policy.fingerprint",
            expected=f"{found} ({policy})",
            found=expected,
            remedy="calibrate a bundle for this policy with: vla-monitor calibrate",
        )
