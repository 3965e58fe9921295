"""Who may import whom, read from the source: a wall that is moved by accident shows here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODES = {"policy_node", "monitor_node", "supervisor_node", "teleop_node", "sim_node"}
MESSAGES = "vla_monitor"
MAY_IMPORT = {
    "vla_uq": set(),
    "vla_policy": {"vla_uq"},
    **{node: {"vla_uq", "vla_policy", MESSAGES} for node in NODES},
    "vla_server": {"vla_uq", "vla_policy", "policy_node"},
    "vla_cli": {"vla_uq", "vla_policy", "vla_server", MESSAGES, *NODES},
}
OURS = {*MAY_IMPORT, MESSAGES}
ROS_FILES = {"node.py", "driver.py"}


@dataclass(frozen=True)
class Import:
    """One import statement.

    :param module: absolute dotted name; for ``from a import b`` both ``a`` and ``a.b`` are reported.
    :param lazy: inside a function, so it happens only when that is called.
    :param typing_only: under ``if TYPE_CHECKING``, so it never happens.
    """

    file: Path
    line: int
    module: str
    lazy: bool
    typing_only: bool

    @property
    def top(self) -> str:
        return self.module.split(".", 1)[0]

    @property
    def room(self) -> str:
        return self.file.relative_to(ROOT).parts[0]

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def walk(file: Path, node: ast.AST, lazy: bool = False, typing_only: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(file, child.lineno, alias.name, lazy, typing_only)
        elif isinstance(child, ast.ImportFrom):
            package = file.relative_to(ROOT).parent.parts
            base = package[: len(package) - child.level + 1] if child.level else ()
            module = ".".join([*base, *([child.module] if child.module else [])])
            yield Import(file, child.lineno, module, lazy, typing_only)
            for alias in child.names:
                yield Import(file, child.lineno, f"{module}.{alias.name}", lazy, typing_only)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from walk(file, child, lazy, True)
        else:
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from walk(file, child, lazy or function, typing_only)


@cache
def imports() -> tuple[Import, ...]:
    files = [file for room in MAY_IMPORT for file in sorted((ROOT / room).rglob("*.py"))]
    assert len(files) > len(MAY_IMPORT), "no source found; run the tests from a source tree"
    return tuple(found for file in files for found in walk(file, ast.parse(file.read_text(encoding="utf-8"))))


def modules_that_need(package: str) -> set[str]:
    """Our modules that import a package as soon as they are imported, themselves or through another of ours."""
    names = {
        f: ".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for f in map(_file, imports())
    }
    eager = [found for found in imports() if not found.lazy and not found.typing_only]
    needing: set[str] = set()
    while True:
        found = {names[i.file] for i in eager if i.top == package or i.module in needing} - needing
        if not found:
            return needing
        needing |= found


def _file(found: Import) -> Path:
    return found.file


def listed(violations: list[Import]) -> str:
    return "\n".join(sorted({str(found) for found in violations}))


def test_rooms_import_only_what_they_may() -> None:
    wrong = [i for i in imports() if i.top in OURS - MAY_IMPORT[i.room] - {i.room}]
    assert not wrong, listed(wrong)


def test_nothing_imports_tests_or_benchmarks() -> None:
    wrong = [i for i in imports() if i.top in {"test", "benchmarks"}]
    assert not wrong, listed(wrong)


def test_rclpy_only_in_node_and_driver_files() -> None:
    wrong = [
        i
        for i in imports()
        if i.top == "rclpy" and i.file.name not in ROS_FILES and not i.file.is_relative_to(ROOT / "vla_cli" / "demo")
    ]
    assert not wrong, listed(wrong)


def test_torch_only_where_things_are_trained() -> None:
    runs_it = ROOT / "policy_node" / "backends" / "torch.py"  # when it is chosen
    found = [i for i in imports() if i.top == "torch" and not i.typing_only and i.room not in {"vla_uq", "vla_policy"}]
    served = ROOT / "vla_server" / "lerobot"  # from an environment of its own
    wrong = [i for i in found if not (i.file == runs_it and i.lazy) and not i.file.is_relative_to(served)]
    assert not wrong, listed(wrong)


def test_torch_is_never_needed_by_nodes_demo_or_command_line() -> None:
    outside = {name for name in modules_that_need("torch") if name.split(".")[0] not in {"vla_uq", "vla_policy"}}
    assert not {name for name in outside if not name.startswith("vla_server.lerobot.")}


@pytest.mark.parametrize("package", ["vla_uq", "vla_policy"])
def test_importing_a_training_room_needs_no_torch(package: str) -> None:
    assert package not in modules_that_need("torch")


def test_onnxruntime_only_in_back_ends() -> None:
    training = modules_that_need("torch")  # an export checks what it wrote
    wrong = [
        i
        for i in imports()
        if i.top == "onnxruntime"
        and not i.file.is_relative_to(ROOT / "policy_node" / "backends")
        and ".".join(i.file.relative_to(ROOT).with_suffix("").parts) not in training
    ]
    assert not wrong, listed(wrong)


def test_mujoco_only_in_the_simulator() -> None:
    wrong = [i for i in imports() if i.top == "mujoco" and i.room != "sim_node"]
    assert not wrong, listed(wrong)


def test_the_command_line_starts_without_the_rooms() -> None:
    heavy = {"rclpy", "mujoco", "onnxruntime", "torch", "cv2", MESSAGES, *NODES}
    needing = set().union(*(modules_that_need(name) for name in heavy))
    assert "vla_cli.main" not in needing


@pytest.mark.parametrize("name", [MESSAGES, "cli", "simulation", "utils"])
def test_no_top_level_package_with_a_taken_name(name: str) -> None:
    """``vla_monitor`` is the generated package's, the others would collide in site-packages."""
    assert not (ROOT / name).exists()


def test_no_module_of_odds_and_ends() -> None:
    wrong = [f for room in MAY_IMPORT for f in (ROOT / room).rglob("*.py") if f.stem in {"utils", "helpers", "misc"}]
    assert not wrong
