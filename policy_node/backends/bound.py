"""A graph whose inputs and outputs are bound to its device: what one call leaves there, the next finds there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class Bound:
    """An opened graph.

    :param device: ``cpu`` or ``cuda``, where it was opened.
    """

    def __init__(self, session: Any, device: str) -> None:
        self._session, self._device = session, device

    def run(self, feed: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        """Run it.

        :param feed: numbers from here, or what a call left on the device.
        :returns: of the named outputs, what lies on the device; ``numpy()`` brings it here.
        """
        binding = self._session.io_binding()
        for name, value in feed.items():
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
            else:
                binding.bind_ortvalue_input(name, value)
        for name in outputs:
            binding.bind_output(name, self._device)
        self._session.run_with_iobinding(binding)
        return dict(zip(outputs, binding.get_outputs(), strict=True))
