"""MuJoCo with a GL library that needs no display, or one line that says why there is none."""

from __future__ import annotations

import os

from vla_uq.errors import InputError

os.environ.setdefault("MUJOCO_GL", "egl")  # read when mujoco is imported
GL_REMEDY = "install libegl1 (or set MUJOCO_GL=osmesa and install libosmesa6)"

try:
    import mujoco
except Exception as error:  # a missing GL library surfaces as any type of error
    missing = isinstance(error, ModuleNotFoundError) and error.name == "mujoco"
    raise InputError(
        f"cannot load MuJoCo: {error}",
        where=f"MUJOCO_GL={os.environ['MUJOCO_GL']}",
        remedy="pip install 'vla_monitor[sim]'" if missing else GL_REMEDY,
    ) from error

_context = getattr(mujoco, "GLContext", None)
if not hasattr(_context, "_context") and _context is not None:
    _context._context = None  # else its __del__ trips over a context that could not be made

__all__ = ["GL_REMEDY", "mujoco"]
