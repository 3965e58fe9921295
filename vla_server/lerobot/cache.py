"""What a policy remembers of the prefix for its flow steps, for as many rows as are evaluated at once.

Two layouts: LeRobot 0.4's SmolVLA keeps ``{layer: {"key_states": (B, L, h, d), "value_states": …}}``, all else a
``DynamicCache`` of transformers, (B, h, L, d).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


def rows(arguments: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The arguments of a flow step for ``count`` rows in place of one, cache included; the given ones stay as they are.

    A flow step may write into its cache, so that this is also how one is lent.
    """

    def repeated(value: Tensor) -> Tensor:
        return value.expand(count, *value.shape[1:])

    return {
        name: repeated(value) if isinstance(value, Tensor) else _mapped(value, repeated)
        for name, value in arguments.items()
    }


def without_last(cache: Any) -> Any:
    """A cache without its last token."""
    sequence = 1 if isinstance(cache, dict) else 2
    return _mapped(cache, lambda value: value.narrow(sequence, 0, value.shape[sequence] - 1))


def _mapped(cache: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A new cache with every tensor changed."""
    if isinstance(cache, dict):
        return {layer: {name: change(value) for name, value in entry.items()} for layer, entry in cache.items()}
    return type(cache)(tuple((change(keys), change(values), *rest) for keys, values, *rest in cache))
