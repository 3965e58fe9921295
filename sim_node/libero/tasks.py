"""LIBERO's tasks: suite, number, instruction, and where the package keeps their files."""

from __future__ import annotations

import functools
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim_node.libero.package import load, package_root, quiet
from vla_uq.errors import InputError

HORIZONS = {"libero_object": 240, "libero_spatial": 240, "libero_goal": 300, "libero_10": 440}
"""Control steps after which an episode has failed; the longest demonstration of each suite is shorter."""
SUITES = ("libero_object", "libero_10")
"""The suites of our benchmark."""
UNSOLVED = frozenset({("libero_10", 9)})
"""Never solved by the scripted expert (a mug into the microwave, from the side): left out of the benchmark."""
STATES = 50
"""Initial states of a task that are used."""


@dataclass(frozen=True)
class LiberoTask:
    """One task.

    :param index: number within its suite.
    :param problem: name of the task's description and of its initial states.
    """

    suite: str
    index: int
    instruction: str
    problem: str

    @property
    def horizon(self) -> int:
        """Control steps after which an episode has failed."""
        return HORIZONS[self.suite]

    @property
    def description(self) -> Path:
        """The task's BDDL file."""
        return package_root() / "bddl_files" / self.suite / f"{self.problem}.bddl"

    def states(self, width: int) -> NDArray[np.float64]:
        """The task's initial states (N, width): time, positions, velocities.

        :param width: 1 + nq + nv of its model.
        :raises InputError: when the file is missing or another.
        """
        path = package_root() / "init_files" / self.suite / f"{self.problem}.pruned_init"
        return _read_states(path, width)[:STATES]


@functools.lru_cache(maxsize=8)
def suite_tasks(suite: str) -> tuple[LiberoTask, ...]:
    """All tasks of a suite, in order.

    :raises InputError: on an unknown suite, or when LIBERO or its assets are missing.
    """
    if suite not in HORIZONS:
        raise InputError("unknown suite", where="suite", expected=" | ".join(HORIZONS), found=repr(suite))
    load()
    with quiet():
        from libero.libero import benchmark

        bundle = benchmark.get_benchmark_dict()[suite]()
        tasks = [bundle.get_task(i) for i in range(bundle.get_num_tasks())]
    return tuple(LiberoTask(suite, i, task.language, Path(task.bddl_file).stem) for i, task in enumerate(tasks))


def benchmark_tasks(suites: tuple[str, ...] = SUITES) -> tuple[LiberoTask, ...]:
    """The tasks of our benchmark, suite by suite.

    :raises InputError: as :func:`suite_tasks`.
    """
    return tuple(task for suite in suites for task in suite_tasks(suite) if (suite, task.index) not in UNSOLVED)


def task_of(instruction: str) -> LiberoTask:
    """The task of an instruction; no two of the four suites share one.

    :raises InputError: when there is none.
    """
    for suite in HORIZONS:
        for task in suite_tasks(suite):
            if task.instruction == instruction:
                return task
    raise InputError("unknown task", where="task", expected="an instruction of LIBERO", found=repr(instruction))


def _read_states(path: Path, width: int) -> NDArray[np.float64]:
    """Read torch's archive of one NumPy array (N, width). Its pickle is parsed, never run: one text in it, a byte a
    character, holds all the numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (entry for entry in archive.namelist() if entry.endswith("/data.pkl"))
            steps = list(pickletools.genops(archive.read(name)))
        texts = [str(value) for operation, value, _ in steps if operation.name == "BINUNICODE"]
        if "f8" not in texts:
            raise ValueError("no array of float64")
        return np.frombuffer(max(texts, key=len).encode("latin1"), "<f8").reshape(-1, width)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            "not a file of initial states", where=str(path), expected=f"(N, {width})", found=error
        ) from error
