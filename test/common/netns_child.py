"""The supervisor's process in a network namespace of its own, named by the variable NETNS: another host."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNET = 0x40000000


def main() -> int:
    """Enter the namespace, then be the node."""
    handle = os.open(f"/var/run/netns/{os.environ['NETNS']}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(handle)
    from supervisor_node.node import main as run

    return run()
