"""A ROS domain of one's own, on this machine alone, so that two demos do not hear each other."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from vla_uq.errors import InputError
from vla_uq.network import dds_on_card

DOMAINS = range(10, 101)
"""Ids that work on every platform, without the ones that people type by hand."""
LOCKS = 32_768
"""A bound TCP port, this number plus the id, says that an id is taken; the same as domain_coordinator's, so that test
runs keep away too. The system frees it when we end."""
LOOPBACK = "127.0.0.1"


def environment_of(domain: int) -> dict[str, str]:
    """For every process of a demo: its domain, nobody outside of this machine, and no shared memory (``config/dds``).

    The range LOCALHOST would share memory, whatever the profile says: the address does what it is for.

    :raises InputError: when a profile is missing from the installation.
    """
    return {**dds_on_card(LOOPBACK), "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "ROS_DOMAIN_ID": str(domain)}


@contextmanager
def private_domain() -> Iterator[int]:
    """Lend a domain id that no other process has lent this way.

    :raises InputError: when all are taken.
    """
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with socket.socket() as lock:
            try:
                lock.bind(("", LOCKS + domain))
            except OSError:
                continue
            yield domain
            return
    raise InputError("no free ROS domain", where="ROS_DOMAIN_ID", expected=f"one of {DOMAINS}", found="all in use")
