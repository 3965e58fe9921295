"""Policy servers behind the node's interface: ours like a local policy, stock ones with their actions alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgpack")
pytest.importorskip("websockets")

from openpi_servers import Faulty, Hosted, Stock

from policy_node.assembly import ObservationAssembler
from policy_node.backends import BackendError, load
from policy_node.backends.openpi_images import fit
from policy_node.backends.openpi_presets import PRESETS, forward_turn
from policy_node.backends.openpi_settings import API_KEY, Settings
from vla_policy.manifest import FILE
from vla_policy.observation import Observation
from vla_server.backend import BackendPolicy, observed
from vla_server.server import PolicyServer
from vla_uq.contracts import Reference, Space
from vla_uq.errors import InputError
from vla_uq.geometry import rotation_matrix

Open = Callable[..., Any]


@pytest.fixture
def host() -> Iterator[Callable[[Any], Hosted]]:
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(Hosted(server))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens the back end of a server's settings."""
    with ExitStack() as stack:

        def open(url: str, **given: Any) -> Any:
            folder = tmp_path / "server"
            folder.mkdir(exist_ok=True)
            Settings(**{"url": url, "preset": "table_top", "timeout": 10.0, "warm_up": 10.0} | given).save(folder)
            backend = load("", folder)
            stack.callback(backend.close)
            return backend

        yield open


def test_our_server_is_as_good_as_the_policy_itself(
    host: Any, opened: Open, scripted: Callable[..., Path], observation: Observation
) -> None:
    folder = scripted()
    local = load("", folder)
    hosted = host(lambda port: PolicyServer(BackendPolicy("scripted", folder), port=port))
    remote = opened(hosted.url)
    for name in ("fingerprint", "members", "space", "reference", "names", "horizon", "dim", "tensors", "execute_steps"):
        assert getattr(remote.info, name) == getattr(local.info, name), name
    assert remote.info.remarks["server"] == hosted.url
    assert remote.info.remarks["nodes"] == local.info.remarks["nodes"]
    for seed in (3, 3, 4):
        for backend in (local, remote):
            backend.reset(observation.instruction, seed)
        for _ in range(2):
            expected, found = local.act(observation), remote.act(observation)
            np.testing.assert_array_equal(found.actions, expected.actions)
            np.testing.assert_array_equal(found.gripper, expected.gripper)
            tensors, seen = local.introspect(expected), remote.introspect(found)
            assert list(seen) == list(tensors)
            for name, tensor in tensors.items():
                np.testing.assert_allclose(seen[name], tensor, atol=1e-5, err_msg=name)


def test_only_the_last_inference_of_this_connection_is_looked_into(
    host: Any, opened: Open, scripted: Callable[..., Path], observation: Observation
) -> None:
    folder = scripted()
    hosted = host(lambda port: PolicyServer(BackendPolicy("scripted", folder), port=port))
    remote = opened(hosted.url)
    first = remote.act(observation)
    second = remote.act(observation)
    with pytest.raises(BackendError, match="not the newest inference"):
        remote.introspect(first)
    with pytest.raises(BackendError, match="the connection was lost before"):
        remote.introspect(second)


def test_the_key_is_shown(
    host: Any, opened: Open, scripted: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = scripted()
    hosted = host(lambda port: PolicyServer(BackendPolicy("scripted", folder), port=port, api_key="open-sesame"))
    with pytest.raises(InputError, match="HTTP 401: wrong or missing API key"):
        opened(hosted.url)
    (tmp_path / "key").write_text("open-sesame\n")
    opened(hosted.url, api_key_file=str(tmp_path / "key")).close()
    monkeypatch.setenv(API_KEY, "open-sesame")
    opened(hosted.url)
    with pytest.raises(InputError, match="API key cannot be read"):
        opened(hosted.url, api_key_file="nowhere")
    (tmp_path / "key").write_text("\n")
    with pytest.raises(InputError, match="not an API key"):
        opened(hosted.url, api_key_file=str(tmp_path / "key"))


def test_a_stock_server_tells_its_actions_alone(host: Any, opened: Open, observation: Observation) -> None:
    requests: list[dict[Any, Any]] = []

    def infer(request: dict[Any, Any]) -> dict[str, Any]:
        requests.append(request)
        actions = np.tile(np.array([1.0, 0, -2.0, 0, 0, 0.5, 1.0]), (10, 1))
        actions[5:, 6] = -1
        return {"actions": actions, "policy_timing": {"infer_ms": 1.0}}

    hosted = host(Stock(infer, {}))
    backend = opened(hosted.url, preset="libero")
    info = backend.info
    assert (info.space, info.reference, info.horizon, info.dim) == (Space.EE_DELTA, Reference.MEASURED, 10, 6)
    assert info.tensors == () and info.members == 1
    assert info.remarks["introspection"].startswith("none: a stock server")
    inference = backend.act(observation)
    np.testing.assert_allclose(inference.actions, np.tile([0.05, 0, -0.05, 0, 0, 0.25], (10, 1)), atol=1e-7)
    np.testing.assert_array_equal(inference.gripper, [0] * 5 + [1] * 5)
    assert backend.introspect(inference) == {}
    assert sorted(requests[-1]) == ["observation/image", "observation/state", "observation/wrist_image", "prompt"]
    assert requests[-1]["observation/image"].shape == (224, 224, 3)

    assert info.fingerprint != opened(hosted.url).info.fingerprint, "another preset, another policy"
    assert opened(hosted.url, fingerprint="mine").info.fingerprint == "mine"
    with pytest.raises(InputError, match=r"wrong shape: expected \(horizon, 8\), found \(10, 7\)"):
        opened(hosted.url, preset="droid")
    with pytest.raises(InputError, match="at least 11 to be executed"):
        opened(hosted.url, preset="libero", execute_steps=11)


def test_droid_is_sent_joints_and_answers_with_their_velocities(
    host: Any, opened: Open, observation: Observation
) -> None:
    server = Faulty((15, 8))
    backend = opened(host(server).url, preset="droid")
    info = backend.info
    assert (info.space, info.horizon, info.dim, info.execute_steps) == (Space.JOINT_VELOCITY, 15, 7, 8)
    assert info.names == tuple(f"fr3_joint{i}" for i in range(1, 8))
    with pytest.raises(InputError, match="joint is missing"):
        backend.act(observation)
    positions = {name: 0.1 * i for i, name in enumerate(("fr3_finger_joint1", *reversed(info.names)))}
    inference = backend.act(
        Observation(observation.images, observation.position, observation.rotation, 0.06, "", joints=positions)
    )
    sent = server.requests[-1]
    np.testing.assert_allclose(sent["observation/joint_position"], np.arange(7, 0, -1) * 0.1)
    np.testing.assert_allclose(sent["observation/gripper_position"], [0.25])
    assert inference.actions[0, 0] == pytest.approx(3.0 * server.count / 1000)
    np.testing.assert_array_equal(inference.gripper, np.ones(15))


def test_an_assembled_observation_holds_the_joints() -> None:
    assembler = ObservationAssembler(("agentview",), ["f"], 0.0, 1.0)
    assembler.joint_state((1, 0), ["j2", "f", "j1"], [0.2, 0.03, 0.1], 0.0)
    assembler.pose((1, 0), [0, 0, 0], [0, 0, 0, 1], 0.0)
    assembler.image("agentview", (1, 0), np.zeros((4, 4, 3), np.uint8), 0.0)
    assembled = assembler.assemble("go", 0.1)
    assert assembled is not None
    assert assembled.observation.joints == {"j2": 0.2, "f": 0.03, "j1": 0.1}
    assert assembled.observation.width == 0.03


def test_presets_and_our_server_mean_the_same(observation: Observation) -> None:
    settings = Settings(url="ws://x", preset="table_top")
    turned = Observation(observation.images, observation.position, rotation_matrix([0.1, -3, 0.2]), 0.03, "go")
    seen = observed(PRESETS["table_top"].request(turned, settings))
    np.testing.assert_allclose(seen.rotation, turned.rotation, atol=1e-12)
    assert (seen.width, seen.instruction) == (pytest.approx(0.03), "go")
    np.testing.assert_array_equal(seen.images["wrist"], turned.images["wrist"])


@pytest.mark.parametrize("turn", [[3.1, 0.1, 0], [-3.1, 0.1, 0], [0.5, 0, 0.2], [-0.5, 1, 0], [0, 0, 0]])
def test_a_gripper_that_points_down_does_not_jump(observation: Observation, turn: list[float]) -> None:
    settings = Settings(url="ws://x", preset="libero")
    turned = Observation(observation.images, observation.position, rotation_matrix(turn), 0.03, "go")
    vector = forward_turn(turned, settings)
    assert vector[0] >= 0
    np.testing.assert_allclose(rotation_matrix(vector), turned.rotation, atol=1e-9)


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (720, 1280), (100, 100), (256, 256), (224, 224), (37, 211)])
def test_images_are_fitted_as_pillow_does(shape: tuple[int, int]) -> None:
    pillow = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    fitted = fit(image, 224)
    ratio = max(shape) / 224
    rows, columns = int(shape[0] / ratio), int(shape[1] / ratio)
    expected = np.asarray(pillow.fromarray(image).resize((columns, rows), resample=pillow.BILINEAR))
    top, left = (224 - rows) // 2, (224 - columns) // 2
    inside = fitted[top : top + rows, left : left + columns].astype(int)
    apart = np.abs(inside - expected)
    assert apart.max() <= 2 and (apart > 0).mean() < 0.05, "Pillow's weights are whole numbers of 22 bits"
    assert fitted.sum() == inside.sum(), "the rest is black"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("url", "http://x", "ws://host:port"),
        ("timeout", -1, "at least 0"),
        ("warm_up", 0, "at least 1e-06"),
        ("execute_steps", 1.5, "a number of actions"),
        ("joints", "fr3", "a list of names"),
        ("base", [1, 2], "three numbers"),
        ("preset", "aloha", "libero or table_top or droid"),
        ("colour", "red", "unknown or missing; found colour"),
    ],
)
def test_a_wrong_manifest_is_told(tmp_path: Path, field: str, value: object, told: str) -> None:
    content = {"schema": 1, "back_end": "openpi", "url": "ws://127.0.0.1:9", "preset": "libero", field: value}
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(InputError, match=told):
        load("", tmp_path)


def test_a_manifest_of_other_weights_is_refused(scripted: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="made for another back end"):
        load("openpi", scripted())
    (tmp_path / FILE).write_text(json.dumps({"schema": 1, "back_end": "openpi", "preset": "libero"}))
    with pytest.raises(InputError, match="unknown or missing; found url"):
        load("", tmp_path)
