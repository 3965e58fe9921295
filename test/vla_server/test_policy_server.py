"""The server over a real websocket: actions, a look inside afterwards, and everything that a client may do wrong."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgpack")
pytest.importorskip("websockets")

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from policy_node.backends import load
from vla_policy.manifest import WEIGHTS
from vla_policy.openpi_wire import Announcement, pack, unpack
from vla_server.backend import BackendPolicy, observed
from vla_server.served import Decision, ServedPolicy, open_policy
from vla_server.server import PolicyServer
from vla_uq.errors import InputError

PROMPT = "put the red cube in the basket"
TOLD = Announcement("double", 1, "EE_DELTA", "MEASURED", ("x",), 2, 0.1, 1)
Talk = Callable[[PolicyServer, ClientConnection], Awaitable[Any]]


class Double:
    """A policy that does what it is told by the prompt."""

    announcement, tensors = TOLD, ("features",)

    def __init__(self) -> None:
        self.release = threading.Event()
        self.seeds: list[int | None] = []

    def reset(self, seed: int | None) -> None:
        self.seeds.append(seed)

    def act(self, observation: Mapping[Any, Any]) -> Decision:
        if observation["prompt"] == "wait":
            self.release.wait(10)
        if observation["prompt"] == "fail":
            raise ZeroDivisionError("by\nzero")
        return Decision({"actions": np.zeros((2, 1), np.float32)}, observation["prompt"])

    def introspect(self, memory: Any, names: Sequence[str]) -> dict[str, Any]:
        return {name: np.full(1, len(memory), np.float32) for name in names}


def scene() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (96, 96, 3), dtype=np.uint8) for name in ("image", "wrist_image")}
    state = np.array([0.4, 0.0, 0.2, 0.1, 0.0, 0.0, 0.04, -0.04])
    return {f"observation/{name}": image for name, image in images.items()} | {
        "observation/state": state,
        "prompt": PROMPT,
    }


def talk(policy: ServedPolicy, conversation: Talk, **options: Any) -> Any:
    async def run() -> Any:
        async with PolicyServer(policy, port=0, **options) as server:
            headers = {"Authorization": f"Api-Key {options['api_key']}"} if "api_key" in options else {}
            address = f"ws://127.0.0.1:{server.port}"
            async with connect(address, additional_headers=headers, compression=None, max_size=None) as client:
                return await conversation(server, client)

    return asyncio.run(asyncio.wait_for(run(), 60))


async def ask(client: ClientConnection, request: Mapping[str, Any]) -> dict[Any, Any]:
    await client.send(pack(request))
    message = await client.recv()
    assert isinstance(message, bytes), message
    return unpack(message)


async def error_of(client: ClientConnection) -> str:
    """The server's last words, after which it must close with 1011."""
    message = await client.recv()
    assert isinstance(message, str)
    with pytest.raises(ConnectionClosedError) as closed:
        await client.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1011
    return message


def test_the_shipped_policy_is_the_same_served() -> None:
    async def conversation(server: PolicyServer, client: ClientConnection) -> Any:
        metadata = unpack(await client.recv(decode=False))
        first = await ask(client, scene() | {"reset": {"seed": 3}})
        later = await ask(client, {"introspect": {"inference": first["inference"]}})
        both = await ask(client, scene() | {"introspect": {"tensors": ["features"]}})
        return metadata, first, later, both

    metadata, first, later, both = talk(open_policy("onnx", WEIGHTS), conversation)
    backend = load("onnx", WEIGHTS)
    backend.reset(PROMPT, 3)
    inference = backend.act(observed(scene()))
    expected = backend.introspect(inference)
    announced = Announcement.read(metadata)
    assert announced is not None and announced.fingerprint == backend.info.fingerprint
    assert metadata["introspection"] == list(backend.info.tensors)
    np.testing.assert_array_equal(first["actions"], inference.actions)
    np.testing.assert_array_equal(first["gripper"], inference.gripper)
    assert later["introspection"].keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(later["introspection"][name], tensor)
    assert both["inference"] == 1 and set(both["introspection"]) == {"features"}


def test_a_stock_client_sees_nothing_new() -> None:
    async def conversation(server: PolicyServer, client: ClientConnection) -> Any:
        await client.recv()
        return await ask(client, {"prompt": "go"})

    reply = talk(Double(), conversation)
    assert reply["actions"].shape == (2, 1)
    assert "introspection" not in reply


def test_fewer_nodes_are_announced_and_sent() -> None:
    policy = BackendPolicy("onnx", WEIGHTS, nodes=3)
    decision = policy.act(scene())
    assert policy.introspect(decision.memory, ["flow_times"])["flow_times"].shape == (3,)
    assert policy.announcement.remarks["share of VFD's weight"] == "79.5 %"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"observation/state": np.zeros(8)}, "observation/image"),
        ({"reset": {"seed": -1}, "prompt": "go"}, "reset"),
        ({"introspect": {}}, "nothing to look into"),
        ({"prompt": "go", "introspect": {"tensors": ["velocities"]}}, "not offered"),
        ({"prompt": "go", "introspect": {"inference": 7}}, "not the newest"),
        ({"prompt": "fail"}, "ZeroDivisionError: by zero"),
        (b"\xc1", "not a msgpack message"),
        ("text", "not a binary message"),
    ],
)
def test_a_wrong_request_is_answered_with_the_reason(request_: Any, reason: str) -> None:
    async def conversation(server: PolicyServer, client: ClientConnection) -> str:
        await client.recv()
        await client.send(pack(request_) if isinstance(request_, dict) else request_)
        return await error_of(client)

    policy = open_policy("onnx", WEIGHTS) if reason == "observation/image" else Double()
    assert reason in talk(policy, conversation)


def test_a_request_over_the_limit_is_not_read() -> None:
    async def conversation(server: PolicyServer, client: ClientConnection) -> int:
        await client.recv()
        with pytest.raises(ConnectionClosedError) as closed:
            await client.send(bytes(200_000))
            await client.recv()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    assert talk(Double(), conversation, max_message=100_000) == 1009


def test_pings_health_and_a_second_client_do_not_wait_for_the_policy() -> None:
    policy = Double()

    async def conversation(server: PolicyServer, client: ClientConnection) -> Any:
        await client.recv()
        await client.send(pack({"prompt": "wait"}))
        await asyncio.wait_for(await client.ping(), 5)
        health = f"http://127.0.0.1:{server.port}/healthz"
        status = await asyncio.to_thread(lambda: urllib.request.urlopen(health, timeout=5).status)
        async with connect(f"ws://127.0.0.1:{server.port}") as second:
            refusal = await error_of(second)
        policy.release.set()
        return status, refusal, unpack(await client.recv(decode=False))

    status, refusal, reply = talk(policy, conversation)
    assert status == 200 and "one at a time" in refusal and "actions" in reply


def test_the_next_client_is_served_after_the_first_left() -> None:
    policy = Double()

    async def conversation(server: PolicyServer, client: ClientConnection) -> Any:
        await client.recv()
        await ask(client, {"prompt": "go", "reset": {"seed": 5}})
        await client.close()
        for _ in range(100):
            async with connect(f"ws://127.0.0.1:{server.port}") as second:
                if isinstance(await second.recv(), bytes):
                    return await ask(second, {"prompt": "go"})
            await asyncio.sleep(0.01)
        return None

    assert talk(policy, conversation)["inference"] == 0
    assert policy.seeds == [5]  # a connection that broke is no new episode


def test_who_does_not_know_the_key_is_turned_away() -> None:
    async def conversation(server: PolicyServer, client: ClientConnection) -> int:
        await client.recv()
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{server.port}", additional_headers={"Authorization": "Api-Key guess"})
        return refused.value.response.status_code

    assert talk(Double(), conversation, api_key="secret") == 401


def test_an_address_in_use_is_named() -> None:
    async def conversation(server: PolicyServer, client: ClientConnection) -> None:
        with pytest.raises(InputError, match=str(server.port)):
            async with PolicyServer(Double(), port=server.port):
                pass

    talk(Double(), conversation)


def test_a_scripted_policy_disagrees_as_it_was_told(tmp_path: Path) -> None:
    from vla_policy.manifest import Manifest, ScriptedManifest

    shipped = Manifest.load(WEIGHTS)
    content = {name: getattr(shipped, name) for name in Manifest.__dataclass_fields__}
    content |= {"files": {}, "context": 11, "feature_slice": (0, 11)}
    ScriptedManifest(**content, flow_steps=10, chunk=(0.0,) * 7, offsets=(0.0, 0.5)).save(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["back_end"] == "scripted"
    policy = open_policy("scripted", tmp_path)
    tensors = policy.introspect(policy.act(scene()).memory, policy.tensors)
    gap = tensors["velocities"][0, 1] - tensors["velocities"][0, 0]
    np.testing.assert_allclose(gap, 0.5, atol=1e-5)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InputError, match="unknown policy"):
        open_policy("oracle", WEIGHTS)
