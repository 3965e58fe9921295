"""Write the lock files: what pyproject.toml asks for, with all it needs, pinned to the versions of this environment.

Run by ``make lock`` after versions were changed in ``.venv`` by hand and the tests passed with them. Nothing is asked
of a package index, so that the lock names no index and no host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HERE = Path(__file__).parent
PROJECT = "vla-monitor"
LOCKS = {"runtime": ("ros", "sim"), "dev": ("dev",)}
"""Lock file and the extras that it holds; ``dev`` comes on top of ``runtime``."""
DRIVERS = ("nvidia-", "cuda-", "triton")
"""What torch brings along for GPUs: its own requirement pins these, and a CPU build of torch has none of them."""


def closure(requirements: Iterable[str]) -> dict[str, str]:
    """All packages that the requirements need, from the metadata of what is installed.

    :returns: canonical name to version.
    :raises SystemExit: when one of them is not installed, so that a lock is never incomplete.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(Requirement(text), "") for text in requirements]
    while queue:
        requirement, extra = queue.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if name.startswith(DRIVERS):
            continue
        try:
            package = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError:
            raise SystemExit(f"{name} is not installed here; pip install it, run the tests, lock again") from None
        if name != PROJECT:
            found[name] = Version(package.version).public  # without +cpu and the like: not every index has these
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                queue += [(Requirement(text), wanted) for text in package.requires or ()]
    return found


def write(name: str, pins: dict[str, str], above: str = "") -> None:
    """Write one lock file, sorted; ``above`` is the lock that it comes on top of."""
    head = f"# Written by `make lock`: {len(pins)} packages. Do not edit.\n"
    include = f"-r {above}.lock\n" if above else ""
    body = "".join(f"{package}=={version}\n" for package, version in sorted(pins.items()))
    (HERE / f"{name}.lock").write_text(head + include + body, encoding="utf-8")
    print(f"requirements/{name}.lock: {len(pins)} packages")


def expanded(extras: Mapping[str, Sequence[str]], extra: str) -> Iterator[str]:
    """The requirements of an extra, with those of the project's own other extras in place of their names.

    From pyproject.toml and not from what is installed: an editable install's metadata are as old as the install.
    """
    for text in extras[extra]:
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) != PROJECT:
            yield text
        for other in requirement.extras if canonicalize_name(requirement.name) == PROJECT else ():
            yield from expanded(extras, other)


def main() -> None:
    """Write both locks."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    asked = {name: [text for extra in wanted for text in expanded(extras, extra)] for name, wanted in LOCKS.items()}
    runtime = closure([*project["build-system"]["requires"], *project["project"]["dependencies"], *asked["runtime"]])
    write("runtime", runtime)
    development = closure(asked["dev"])
    write("dev", {name: pin for name, pin in development.items() if name not in runtime}, above="runtime")


if __name__ == "__main__":
    main()
