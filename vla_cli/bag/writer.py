"""Writes serialised messages into an MCAP bag that rosbag2 reads."""

from __future__ import annotations

import array
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vla_cli.bag.types import recording_types
from vla_uq.errors import InputError

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

BAG_VERSION: Final = 9
"""Metadata version that Jazzy's rosbag2 writes and reads."""
JPEG_QUALITY = 90
COMPRESSED = "sensor_msgs/msg/CompressedImage"


class BagWriter:
    """A new bag in a folder; finished by :meth:`close`, unreadable before.

    :raises InputError: when the folder exists, or this package's message definitions are missing.
    """

    def __init__(self, folder: Path) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.rosbag2.errors import WriterError

        self.types = recording_types()
        try:
            self._writer = Writer(folder, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except WriterError as error:
            raise InputError(str(error), where=str(folder), remedy="choose a folder that is not there yet") from error
        self._connections: dict[str, Connection] = {}

    def add(self, topics: Iterable[tuple[str, str]]) -> None:
        """Announce (topic, type) pairs; every topic must be announced before it is written.

        :raises InputError: on a type that is not known.
        """
        for topic, kind in topics:
            if kind not in self.types.fielddefs:
                raise InputError("unknown message type", where=topic, found=kind, remedy="run `make setup` again")
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=self.types)

    def write(self, topic: str, time_ns: int, data: bytes) -> None:
        """Append one serialised (CDR) message."""
        self._writer.write(self._connections[topic], time_ns, data)

    def write_message(self, topic: str, time_ns: int, message: Any) -> None:
        """Append one message of the bag's own types (made from :attr:`types`)."""
        data = self.types.serialize_cdr(message, message.__msgtype__)
        self.write(topic, time_ns, bytes(data))

    def close(self) -> None:
        """Write the index and the metadata."""
        self._writer.close()


def compress(image: Any, target: Any) -> Any:
    """JPEG of an rgb8 ``sensor_msgs/Image``, filled into a ``CompressedImage``.

    :raises ValueError: on another encoding.
    """
    import cv2

    if image.encoding != "rgb8":
        raise ValueError(f"image encoding {image.encoding}: expected rgb8")
    pixels = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)
    _, data = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    target.header = image.header
    target.format = "rgb8; jpeg compressed bgr8"
    target.data = array.array("B", data.tobytes())
    return target
