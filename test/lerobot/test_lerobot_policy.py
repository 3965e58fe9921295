"""What LeRobot's trainer would have written, served: opened, checked, asked over a real websocket."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_policies import CAMERA, HORIZON, IMAGE, REAL, STATE, STEPS, Make

from vla_uq.errors import InputError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.lerobot
MANIFEST = {
    "members": ["first", "second"],
    "cameras": {"observation/image": CAMERA},
    "space": "JOINT_POSITION",
    "names": ["a", "b"],
    "gripper": {"column": 2, "closed": 1.0, "open": -1.0},
    "step_duration": 0.1,
    "execute_steps": 2,
}


def statistics(scale: float = 2.0) -> dict[str, Any]:
    sizes = {"observation.state": STATE, "action": REAL}
    return {name: {"mean": torch.zeros(size), "std": torch.full((size,), scale)} for name, size in sizes.items()}


def tokeniser(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<pad>", "<unk>", "pick", "up", "the", "cube"])}
    plain = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)


def save(policy: Any, folder: Path, scale: float = 2.0) -> None:
    from lerobot.policies.factory import make_pre_post_processors

    policy.save_pretrained(folder)
    for pipeline in make_pre_post_processors(policy.config, dataset_stats=statistics(scale)):
        pipeline.save_pretrained(folder)


@pytest.fixture
def ensemble(make_policy: Make, tmp_path: Path) -> Path:
    folder = tmp_path / "ensemble"
    first, second = make_policy("smolvla", 0), make_policy("smolvla", 1)
    tokeniser(tmp_path / "vlm")
    model = {k: v for k, v in first.state_dict().items() if "expert.vlm." in k}
    second.load_state_dict(model, strict=False)
    save(first, folder / "first")
    save(second, folder / "second")
    write(folder, MANIFEST)
    return folder


def write(folder: Path, content: dict[str, Any]) -> None:
    (folder / "ensemble.json").write_text(json.dumps(content))


def scene() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (IMAGE, IMAGE, 3), dtype=np.uint8)
    return {"observation/image": image, "observation/state": rng.normal(size=STATE), "prompt": "pick up the cube"}


def test_an_ensemble_acts_as_its_first_member_and_shows_all(ensemble: Path) -> None:
    from vla_server.served import open_policy

    policy: Any = open_policy("lerobot", ensemble)
    assert policy.announcement.members == 2
    assert policy.announcement.remarks["members that share the model's pass"] == "1 of 1"
    policy.reset(7)
    decision = policy.act(scene())
    assert decision.reply["actions"].shape == (HORIZON, 2)
    assert decision.reply["gripper"].min() >= 0 and decision.reply["gripper"].max() <= 1
    # The same through LeRobot alone.
    draw = np.random.default_rng(7).standard_normal((HORIZON, 8), dtype=np.float32)
    member = policy._ensemble._taps[0].policy
    batch = policy._before(policy._seen(scene()))
    expected = 2 * member.predict_action_chunk(batch, noise=torch.from_numpy(draw)[None])[0]
    np.testing.assert_allclose(decision.reply["actions"], expected[:, :2].numpy(), rtol=1e-6)
    tensors = policy.introspect(decision.memory, policy.tensors)
    assert tensors["velocities"].shape == (1, 2, 1, STEPS - 1, HORIZON, REAL)
    assert tensors["last_layer"].shape[:2] == (STEPS - 1, HORIZON)
    assert tensors["features"].shape == (4 * tensors["last_layer"].shape[2],)
    assert all(array.dtype == np.float32 for array in tensors.values())
    policy.reset(7)
    np.testing.assert_array_equal(policy.act(scene()).reply["actions"], decision.reply["actions"])


def test_it_is_served_over_a_websocket(ensemble: Path) -> None:
    from websockets.asyncio.client import connect

    from vla_policy.openpi_wire import pack, unpack
    from vla_server.served import open_policy
    from vla_server.server import PolicyServer

    async def ask() -> Any:
        policy = open_policy("lerobot", ensemble, nodes=3)
        async with (
            PolicyServer(policy, port=0) as server,
            connect(f"ws://127.0.0.1:{server.port}", compression=None) as client,
        ):
            metadata = unpack(await client.recv(decode=False))
            await client.send(pack(scene()))
            acted = unpack(await client.recv(decode=False))
            await client.send(pack({"introspect": {"tensors": ["velocities", "flow_times"]}}))
            return metadata, acted, unpack(await client.recv(decode=False))["introspection"]

    metadata, acted, tensors = asyncio.run(asyncio.wait_for(ask(), 120))
    assert metadata["policy"]["remarks"]["share of VFD's weight"] == "79.5 %"
    assert acted["actions"].shape == (HORIZON, 2)
    assert tensors["velocities"].shape == (1, 2, 1, 3, HORIZON, REAL)
    np.testing.assert_allclose(tensors["flow_times"], [0.7, 0.8, 0.9], atol=1e-6)


def test_other_normalisers_are_refused(ensemble: Path, make_policy: Make) -> None:
    from vla_server.served import open_policy

    save(make_policy("smolvla", 1), ensemble / "second", scale=3.0)
    with pytest.raises(InputError, match="different normalisers"):
        open_policy("lerobot", ensemble)


def test_adapters_are_members(ensemble: Path) -> None:
    from safetensors.torch import save_file

    from vla_server.lerobot.loading import open_members
    from vla_server.lerobot.manifest import EnsembleManifest
    from vla_server.served import open_policy

    target = "model.vlm_with_expert.lm_expert.layers.0.self_attn.q_proj"
    base = open_members(ensemble, EnsembleManifest.load(ensemble), "cpu")[0].policy
    rows, columns = base.get_submodule(target).weight.shape
    for number, name in enumerate(("one", "two")):
        torch.manual_seed(number)
        down, up = torch.randn(2, columns), torch.randn(rows, 2)
        (ensemble / name).mkdir()
        key = f"base_model.model.{target}"
        save_file(
            {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}, ensemble / name / "adapter_model.safetensors"
        )
        config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none"}
        (ensemble / name / "adapter_config.json").write_text(json.dumps(config))
    write(ensemble, MANIFEST | {"base": "first", "members": ["one", "two"]})
    policy: Any = open_policy("lerobot", ensemble)
    last = policy._ensemble._taps[1].policy.get_submodule(target).weight
    torch.testing.assert_close(last, base.get_submodule(target).weight + 2 * up @ down)
    assert policy.announcement.remarks["members that share the model's pass"] == "1 of 1"
    tensors = policy.introspect(policy.act(scene()).memory, ["velocities"])["velocities"]
    assert np.abs(tensors[0, 0] - tensors[0, 1]).max() > 1e-3
    (ensemble / "one" / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    with pytest.raises(InputError, match="not a plain LoRA"):
        open_policy("lerobot", ensemble)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"names": ["a"]}, "names"),
        ({"cameras": {"observation/image": "observation.images.elsewhere"}}, "cameras"),
        ({"space": "PIXELS"}, "space"),
        ({"gripper": {"column": 2}}, "gripper"),
        ({"execute_steps": HORIZON + 1}, "execute_steps"),
        ({"members": ["first", "third"]}, "no weights here"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_wrong_file_names_its_field(ensemble: Path, change: dict[str, Any], reason: str) -> None:
    from vla_server.served import open_policy

    write(ensemble, MANIFEST | change)
    with pytest.raises(InputError, match=reason):
        open_policy("lerobot", ensemble)


def test_weights_of_another_size_are_refused(ensemble: Path, make_policy: Make) -> None:
    from safetensors.torch import load_file, save_file

    from vla_server.served import open_policy

    path = ensemble / "second" / "model.safetensors"
    content = load_file(path)
    content["model.action_out_proj.weight"] = content["model.action_out_proj.weight"][:, :-1].contiguous()
    save_file(content, path)
    with pytest.raises(InputError, match="second"):
        open_policy("lerobot", ensemble)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"prompt": 3}, "prompt"),
        ({"observation/image": np.zeros((3, 8, 8), np.float32)}, "observation/image"),
        ({"observation/state": np.zeros(STATE - 1)}, "observation/state"),
        ({"observation/state": np.full(STATE, np.nan)}, "observation/state"),
    ],
)
def test_a_wrong_observation_names_its_field(ensemble: Path, change: dict[str, Any], where: str) -> None:
    from vla_server.served import open_policy

    shutil.rmtree(ensemble / "second")
    write(ensemble, MANIFEST | {"members": ["first"]})
    policy = open_policy("lerobot", ensemble)
    with pytest.raises(InputError, match=where):
        policy.act(scene() | change)
