"""The torch back end: anybody's module, the same policy as its ONNX export, and refusals by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from policy_node.backends import Inference, load  # noqa: E402
from vla_policy.export import SHARED, export  # noqa: E402
from vla_policy.manifest import FlowManifest, TorchManifest, sha256  # noqa: E402
from vla_policy.nets import HORIZON, Member  # noqa: E402
from vla_policy.observation import Observation  # noqa: E402
from vla_uq.errors import InputError  # noqa: E402
from vla_uq.flow.sampling import euler  # noqa: E402
from vla_uq.uncertainty.vfd import vfd  # noqa: E402

CLOSE = 1e-5


def write(folder: Path, factory: str, states: list[Any], **fields: Any) -> Path:
    """The folder of a torch policy."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    for number, state in enumerate(states):
        save_file({name: value.contiguous() for name, value in state.items()}, folder / f"member_{number}.safetensors")
    files = {path.name: sha256(path) for path in sorted(folder.glob("*.safetensors"))}
    known = {"members": len(states), "horizon": HORIZON, "flow_steps": 10, "files": files, "factory": factory, **SHARED}
    TorchManifest(**{**known, **fields}).save(folder)
    return folder


@pytest.fixture(scope="module")
def members() -> list[Member]:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    made = [Member().eval() for _ in range(3)]
    for member in made[1:]:
        member.encoder = made[0].encoder
    return made


@pytest.fixture(scope="module")
def as_torch(members: list[Member], tmp_path_factory: pytest.TempPathFactory) -> Path:
    states = [
        {name.replace("velocity.", "flow.", 1): value for name, value in member.state_dict().items()}
        for member in members
    ]
    folder = tmp_path_factory.mktemp("torch") / "weights"
    return write(folder, "torch_members:Plain", states, encoders=(0, 0, 0))


@pytest.fixture(scope="module")
def as_onnx(members: list[Member], tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("onnx")
    export(members, folder, {})
    return folder


def act(backend: Any, observation: Observation) -> Inference:
    backend.reset(observation.instruction, 3)
    found: Inference = backend.act(observation)
    return found


def test_a_shared_encoder_is_written_and_called_once(as_onnx: Path, observation: Observation) -> None:
    assert {path.name for path in as_onnx.glob("encoder_*")} == {"encoder_0.onnx"}
    assert FlowManifest.load(as_onnx).encoders == (0, 0, 0)
    backend: Any = load("", as_onnx)
    inference, calls, prefix = act(backend, observation), list[int](), backend.prefix
    backend.prefix = lambda member, inputs: calls.append(member) or prefix(member, inputs)
    assert backend.introspect(inference)["velocities"].shape == (1, 3, 1, 9, 16, 7)
    assert calls == [], "the encoder saw the observation when the policy acted"


def test_both_run_times_are_the_same_policy(as_torch: Path, as_onnx: Path, observation: Observation) -> None:
    options: dict[str, Any] = {"draws": 2, "last_layer": True}
    one, other = load("", as_torch, **options), load("", as_onnx, **options)
    assert one.info.back_end == "torch" and one.info.tensors == other.info.tensors
    first, second = act(one, observation), act(other, observation)
    np.testing.assert_allclose(first.actions, second.actions, atol=CLOSE)
    expected = other.introspect(second)
    for name, value in one.introspect(first).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("kind", ["torch", "onnx"])
@pytest.mark.parametrize("nodes", [0, 3])
def test_all_nodes_at_once_are_the_nodes_one_by_one(
    request: pytest.FixtureRequest, observation: Observation, kind: str, nodes: int
) -> None:
    backend: Any = load("", request.getfixturevalue(f"as_{kind}"), nodes=nodes)
    inference = act(backend, observation)
    tensors = backend.introspect(inference)
    memory: Any = inference.memory
    for member in range(3):
        field = backend.field(member, backend.prefix(member, memory.inputs))
        for node, t in zip(range(-len(tensors["flow_times"]), 0), tensors["flow_times"], strict=True):
            alone = field(memory.trace.states[node], np.full(1, t, np.float32))[0]
            np.testing.assert_allclose(tensors["velocities"][0, member, 0, node], alone, atol=CLOSE)


def test_a_nested_context_and_another_convention(tmp_path: Path, observation: Observation) -> None:
    import torch_members

    torch.manual_seed(0)
    nets = [torch_members.Nested() for _ in range(2)]
    fields = {"context": 5, "feature_slice": (0, 5), "time": "to_noise", "velocity": "to_noise"}
    folder = write(tmp_path / "w", "torch_members:Nested", [net.state_dict() for net in nets], **fields)
    backend: Any = load("", folder)
    inference = act(backend, observation)
    tensors = backend.introspect(inference)
    assert tensors["features"].shape == (5,) and vfd(tensors["velocities"], tensors["flow_times"]) > 0
    memory: Any = inference.memory
    context = nets[0].prefix({"proprio": torch.from_numpy(memory.inputs["proprio"])})

    def by_hand(x: Any, t: Any) -> Any:
        with torch.no_grad():
            return -nets[0].velocity(torch.from_numpy(x), torch.from_numpy(1 - t), context).numpy()

    np.testing.assert_allclose(
        memory.trace.final, euler(by_hand, memory.trace.states[0], backend.times).final, atol=CLOSE
    )
    with pytest.raises(InputError, match="last_layer"):
        load("", folder, last_layer=True)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"factory": "nowhere.at_all:Plain"}, "factory"),
        ({"factory": "torch_members:Absent"}, "factory"),
        ({"factory": "torch_members"}, "factory"),
        ({"factory": "torch_members:wrong"}, "prefix, velocity"),
        ({"factory": "torch_members:Nested"}, "member_0.safetensors"),
        ({"context": 170, "feature_slice": [0, 9]}, "member 0"),
        ({"horizon": 8}, "member 0"),
        ({"members": 4, "encoders": []}, "member_3.safetensors"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    as_torch: Path, tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    folder = tmp_path / "w"
    shutil.copytree(as_torch, folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(InputError, match=named):
        load("", folder)


def test_a_device_that_is_not_there_is_refused(as_torch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device"):
        load("", as_torch, device="cuda")


def test_torch_is_imported_only_when_it_is_chosen(scripted: Callable[..., Path]) -> None:
    code = (
        "import sys; from policy_node import backends; import policy_node.backends.torch; "
        f"backends.load('', {str(scripted())!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
