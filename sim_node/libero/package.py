"""The LIBERO package and its assets, found and imported without its questions, downloads and log files."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import importlib.util
import io
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vla_uq.errors import InputError

ASSETS_VARIABLE, CONFIG_VARIABLE = "LIBERO_ASSETS", "LIBERO_CONFIG_PATH"
INSTALL = "pip install 'vla_monitor[libero]', or the lean benchmarks/libero/requirements.txt"
_MODULE = "libero.libero"
_SIGN = "articulated_objects"
"""A folder that every copy of the assets has."""


@functools.lru_cache(maxsize=1)
def load() -> Any:
    """Import ``libero.libero`` with its assets in place.

    :raises InputError: when the package or its assets are missing.
    """
    root = package_root()
    assets = assets_folder(root)
    _provide_config(root, assets)
    with quiet():
        module: Any = importlib.import_module(_MODULE)
    # The package ignores the `assets` of its own config; this is where it looks first.
    module._assets_path_cache = str(assets)
    return module


def package_root() -> Path:
    """The folder of ``libero.libero``, not imported: its import may ask a question on stdin.

    :raises InputError: when LIBERO or robosuite is not installed.
    """
    for name in ("libero", "robosuite", "bddl"):
        if importlib.util.find_spec(name) is None:
            raise InputError("LIBERO is not installed", where=f"package {name}", remedy=INSTALL)
    spec = importlib.util.find_spec(_MODULE)
    if spec is None or spec.origin is None:
        raise InputError("not the LIBERO package", where="package libero", expected=_MODULE, remedy=INSTALL)
    return Path(spec.origin).parent


def assets_folder(root: Path) -> Path:
    """``LIBERO_ASSETS``, else the package's own folder, else the cache that its download fills.

    :param root: of the package.
    :raises InputError: when there are none; nothing is downloaded here.
    """
    named = os.environ.get(ASSETS_VARIABLE)
    places = [Path(named)] if named else [root / "assets", Path.home() / ".cache" / "libero" / "assets"]
    for place in places:
        if (place / _SIGN).is_dir():
            return place.resolve()
    raise InputError(
        "LIBERO's assets are not here",
        where=ASSETS_VARIABLE if named else " or ".join(map(str, places)),
        expected=f"a folder with {_SIGN}",
        found=named or "nothing",
        remedy=f"set {ASSETS_VARIABLE} to a copy of them, or download them once with: "
        "echo n | python -c 'from libero.libero import get_assets_path as g; g()'",
    )


def _provide_config(root: Path, assets: Path) -> None:
    """A config file of this process where there is none: without one the import waits for a keyboard."""
    named = os.environ.get(CONFIG_VARIABLE)
    if (Path(named) if named else Path.home() / ".libero").joinpath("config.yaml").is_file():
        return
    folder = Path(tempfile.mkdtemp(prefix="libero-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    content = {
        "assets": str(assets),
        "bddl_files": str(root / "bddl_files"),
        "benchmark_root": str(root),
        "datasets": str(folder / "datasets"),
        "init_states": str(root / "init_files"),
    }
    (folder / "config.yaml").write_text(json.dumps(content))  # JSON is YAML
    os.environ[CONFIG_VARIABLE] = str(folder)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the chatter of LIBERO and robosuite, and without robosuite's log file: it lies at a fixed place in the
    temporary folder, where a second user cannot open it.
    """
    handler = logging.FileHandler
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    logging.FileHandler = lambda *_, **__: logging.NullHandler()  # type: ignore[assignment,misc]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.FileHandler = handler  # type: ignore[misc]
        logging.disable(before)
