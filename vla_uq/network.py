"""DDS on one network card alone, where a computer has a second one that is the arm's own."""

from __future__ import annotations

import socket

from vla_uq.configuration import DDS, located
from vla_uq.errors import InputError

ADDRESS = "VLA_DDS_ADDRESS"
"""Environment variable that the profiles of ``config/dds`` take the card's address from."""
CYCLONE = "CYCLONEDDS_URI"


def dds_on_card(address: str) -> dict[str, str]:
    """Environment in which Fast DDS and Cyclone DDS use the card of an address and no other.

    Without an address, or with one of another computer, Fast DDS would speak on every card, or on none.

    :param address: IPv4, of this computer.
    :raises InputError: when it is not, or a profile is missing from the installation.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((socket.inet_ntoa(socket.inet_aton(address)), 0))
        right = socket.inet_aton(address) != bytes(4) and address.count(".") == 3
    except OSError:
        right = False
    if not right:
        raise InputError(
            "not a network card of this computer",
            where="network",
            expected="the IPv4 address of the card that leads to the other computer",
            found=address,
            remedy="see `ip -brief address`",
        )
    profiles = dict.fromkeys(DDS, str(located("dds", "fastdds_interface.xml")))
    return {ADDRESS: address, CYCLONE: located("dds", "cyclonedds_interface.xml").as_uri(), **profiles}
