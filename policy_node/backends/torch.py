"""A flow-matching ensemble of torch modules that are installed here, with their parameters from safetensors files.

A member is any module with two methods, and with a third where its context is not one matrix::

    prefix(inputs: dict[str, Tensor]) -> context          # tensors, in tuples, lists or dicts; first axis 1
    velocity(x (N, H, A), t (N,), context) -> v, or (v, last hidden layer (N, width))
    features(context) -> (1, C)                           # not needed where the context is that already

The context comes to ``velocity`` with N rows, all alike and without memory of their own. PyTorch is imported when a
policy of this kind is opened, never before.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_node.backends.flow import FlowBackend, Recording
from policy_node.backends.graphs import REMEDY, check_flow, observed
from vla_policy.manifest import FILE, TorchManifest
from vla_uq.errors import InputError
from vla_uq.flow.sampling import VelocityField
from vla_uq.wire import Array


class TorchBackend(FlowBackend):
    """The policy in a weights folder: ``manifest.json`` and ``member_<i>.safetensors``.

    The manifest names installed code, ``factory``; nothing in the folder itself is run.

    :param path: the folder.
    :param device: ``cpu`` or ``cuda``; on the latter, calls are recorded as CUDA graphs and played again.
    :param draws: ``last_layer``, ``nodes``, ``paths``: see :class:`Recording`.
    :raises InputError: when the folder, the factory, a module or the device cannot be used, naming it.
    """

    name = "torch"

    def __init__(
        self,
        path: Path,
        device: str = "cpu",
        draws: int = 1,
        last_layer: bool = False,
        nodes: int = 0,
        paths: int = 1,
    ) -> None:
        recording = Recording(draws, last_layer, nodes, paths)
        manifest = TorchManifest.load(path)
        check_flow(manifest, path / FILE)
        self._torch = _torch(device)
        self._device = device
        self._members = [self._member(manifest, path, number) for number in range(manifest.members)]
        self._graphs: dict[tuple[int, int], Any] = {}
        self._manifest = manifest
        super().__init__(manifest, recording, layered=self._try_out(path))

    def _member(self, manifest: TorchManifest, folder: Path, number: int) -> Any:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        name = f"member_{number}.safetensors"
        if name not in manifest.files:
            raise InputError("weights are not listed", where=f"{folder / FILE}: files", expected=name, remedy=REMEDY)
        member = _factory(manifest, folder / FILE)()
        lacking = [method for method in ("prefix", "velocity") if not callable(getattr(member, method, None))]
        if lacking:
            raise InputError("module lacks methods", where=manifest.factory, expected=", ".join(lacking))
        try:
            member.load_state_dict(load_file(folder / name))
        except (SafetensorError, RuntimeError) as error:
            found = " ".join(str(error).split())[:300]
            raise InputError("weights do not fit the module", where=str(folder / name), found=found) from error
        return member.eval().requires_grad_(False).to(self._device)

    def _try_out(self, folder: Path) -> bool:
        """Run every member as it will be run; says whether they show their last hidden layer.

        :raises InputError: when one cannot, or gives other sizes than the manifest's.
        """
        manifest, shown = self._manifest, list[bool]()
        for member in range(manifest.members):
            layers = list[Array]()
            where = f"{folder}: member {member}"
            try:
                context = self.prefix(member, observed())
                for rows in (1, manifest.flow_steps):
                    x = np.zeros((rows, manifest.horizon, manifest.width), np.float32)
                    found = self.network(member, context, layers)(x, np.zeros(rows, np.float32)).shape
                    if found != x.shape:
                        raise InputError("velocity has the wrong shape", where=where, expected=x.shape, found=found)
                sizes = self.features(context).shape, *(layer.shape for layer in layers)
            except InputError:
                raise
            # What is wrong with somebody's module can be anything.
            except Exception as error:
                raise InputError(
                    "module cannot be run", where=where, found=f"{type(error).__name__}: {error}"
                ) from error
            expected = (manifest.context,), *[(manifest.last_layer,)] * len(layers)
            if sizes != expected:
                raise InputError(
                    "context or last layer has the wrong size", where=where, expected=expected, found=sizes
                )
            shown.append(bool(layers))
        return all(shown)

    def prefix(self, member: int, inputs: Mapping[str, Array]) -> Any:
        """A member's context of an observation."""
        torch = self._torch
        with torch.inference_mode():
            tensors = {name: torch.tensor(value, device=self._device) for name, value in inputs.items()}
            return self._members[self._manifest.encoder(member)].prefix(tensors)

    def network(self, member: int, context: Any, layers: list[Array] | None = None) -> VelocityField:
        """See :meth:`FlowBackend.network`."""
        torch = self._torch

        def velocity(x: NDArray[Any], t: NDArray[Any]) -> NDArray[Any]:
            with torch.inference_mode():
                arguments = torch.from_numpy(x).to(self._device), torch.from_numpy(t).to(self._device)
                found = self._call(member, *arguments, _repeated(context, len(x)))
                value, layer = found if isinstance(found, tuple) else (found, None)
                if layers is not None and layer is not None:
                    layers.append(layer[0].float().cpu().numpy())
                answer: NDArray[Any] = value.float().cpu().numpy()
                return answer

        return velocity

    def _call(self, member: int, x: Any, t: Any, context: Any) -> Any:
        velocity = self._members[member].velocity
        if self._device == "cpu":
            return velocity(x, t, context)
        key = member, len(x)
        if key not in self._graphs:
            self._graphs[key] = _CudaGraph(self._torch, velocity, (x, t, context))
        return self._graphs[key]((x, t, context))

    def features(self, context: Any) -> Array:
        """See :meth:`FlowBackend.features`: the module's own of a context, or the context itself."""
        with self._torch.inference_mode():
            own = getattr(self._members[0], "features", None)
            value: Array = (context if own is None else own(context))[0].float().cpu().numpy()
            return value

    def close(self) -> None:
        """See :meth:`Backend.close`: the device's memory is given back."""
        self._graphs.clear()
        self._members.clear()


class _CudaGraph:
    """One call with fixed shapes, recorded: its many small kernels are launched at once."""

    def __init__(self, torch: Any, call: Any, arguments: Any) -> None:
        self._arguments = _mapped(arguments, lambda tensor: tensor.clone())
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # libraries choose their kernels and allocate before a call can be recorded
                call(*self._arguments)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._result = call(*self._arguments)

    def __call__(self, arguments: Any) -> Any:
        for ours, theirs in zip(_leaves(self._arguments), _leaves(arguments), strict=True):
            ours.copy_(theirs)
        self._graph.replay()
        return self._result


def _torch(device: str) -> Any:
    """PyTorch, on one thread: a second one costs more than it gives beside other processes.

    :raises InputError: when it is not installed or lacks the device.
    """
    if device not in ("cpu", "cuda"):
        raise InputError("unknown device", where="device", expected="cpu or cuda", found=repr(device))
    try:
        import torch
    except ImportError as error:
        raise InputError("PyTorch is not installed", where="back_end torch", remedy="pip install torch") from error
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is not available", where="device", expected="a CUDA device", remedy="set it to cpu")
    torch.set_num_threads(1)
    return torch


def _factory(manifest: TorchManifest, where: Path) -> Any:
    module, _, name = str(manifest.factory).partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            "cannot be imported",
            where=f"{where}: factory",
            expected="package.module:function, installed here",
            found=f"{manifest.factory!r}: {error}",
        ) from error


def _repeated(context: Any, rows: int) -> Any:
    return context if rows == 1 else _mapped(context, lambda tensor: tensor.expand(rows, *tensor.shape[1:]))


def _mapped(value: Any, change: Any) -> Any:
    """A nest of tensors with each one changed; what else is in it stays as it is."""
    if isinstance(value, Mapping):
        return {name: _mapped(part, change) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_mapped(part, change) for part in value)
    return change(value) if hasattr(value, "expand") else value


def _leaves(value: Any) -> list[Any]:
    found: list[Any] = []
    _mapped(value, found.append)
    return found
