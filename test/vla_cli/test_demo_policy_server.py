"""The demo's policy on a server: what it looks at before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("msgpack")
pytest.importorskip("websockets")
pytest.importorskip("onnxruntime")

from openpi_servers import Hosted, Stock, trivial

from policy_node.backends import load
from vla_cli.shipped import bundle_file, policy_folder
from vla_cli.verbs.demo import SERVED, clear, served
from vla_policy.manifest import Manifest
from vla_server.backend import BackendPolicy
from vla_server.server import PolicyServer
from vla_uq.errors import InputError


def test_the_shipped_policy_on_a_server_has_the_shipped_bundle(tmp_path: Path) -> None:
    policy = BackendPolicy("onnx", policy_folder(None))
    with Hosted(lambda port: PolicyServer(policy, port=port)) as hosted:
        folder = served(hosted.url, tmp_path / SERVED, bundle_file(None))
        backend = load("", folder)
        backend.close()
    assert backend.info.back_end == "openpi"
    assert backend.info.fingerprint == Manifest.load(policy_folder(None)).fingerprint
    clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_stock_server_has_no_bundle(tmp_path: Path) -> None:
    with (
        Hosted(Stock(trivial, {})) as hosted,
        pytest.raises(InputError, match=r"the bundle is of another policy; found ws://.*: fingerprint: expected"),
    ):
        served(hosted.url, tmp_path / SERVED, bundle_file(None))


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vla_cli.verbs.demo.SERVER_WAIT", 0.1)
    with pytest.raises(InputError, match=r"the policy server cannot be used; found ws://127\.0\.0\.1:9: no connection"):
        served("ws://127.0.0.1:9", tmp_path / SERVED, bundle_file(None))
