"""Recorded episodes as a data set that LeRobot itself opens and trains on, and what its new weights then mean."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from test_lerobot_policy import ensemble, save  # noqa: F401
from tiny_policies import Make

from vla_cli.main import main

torch = pytest.importorskip("torch")
pytest.importorskip("rosbags")
pytestmark = pytest.mark.lerobot
SIZE, RATE, START = 8, 10, 5_000_000_000
TASK = "put the cube on the plate"
POLICY, TELEOP, NOBODY = 1, 2, 0
COURSE = [POLICY] * 8 + [NOBODY] * 4 + [TELEOP] * 8
"""Who moved the arm, 20 times a second."""
TICK = 50_000_000


def bags() -> ModuleType:
    """What writes synthetic bags in the tests of the command line."""
    path = Path(__file__).parents[1] / "vla_cli" / "conftest.py"
    spec = importlib.util.spec_from_file_location("synthetic_bags", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture(tick: int, camera: int) -> np.ndarray:
    return np.random.default_rng([tick, camera]).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def rows(episode: str, label: int, start: int) -> Iterator[tuple[int, str, str, dict[str, Any]]]:
    """One second: the policy, a hold, a human; pictures every 0.1 s."""
    events, ours = "/supervisor_node/events", "vla_monitor/msg/"
    yield start, events, ours + "EpisodeEvent", {"episode_id": episode, "event": 0, "text": TASK}
    for tick, who in enumerate(COURSE):
        at = start + tick * TICK
        if tick % 2 == 0:
            for camera, name in enumerate(("agentview", "wrist")):
                data = {"height": SIZE, "width": SIZE, "step": 3 * SIZE, "encoding": "rgb8"}
                data["data"] = picture(tick, camera).reshape(-1)
                yield at, f"/{name}/image_raw", "sensor_msgs/msg/Image", data
        joints = {"name": ["fr3_finger_joint1", "fr3_finger_joint2"], "position": np.array([0.01, 0.02])}
        yield at, "/joint_states", "sensor_msgs/msg/JointState", joints
        # Each goes out right after what it was decided on.
        command: dict[str, Any] = {"source": who, "state": 2, "gripper": 0.25, "measured.pose.position.x": 0.1 * tick}
        command |= {"measured.pose.orientation.w": 1.0, "reference.orientation.w": 1.0, "requested.orientation.w": 1.0}
        if who == NOBODY:
            command["joints"] = np.zeros(7)
        else:
            command |= {"target.position.x": 0.1 * tick + 0.05, "target.orientation.x": 1.0}
        yield at + 1, "/supervisor_node/command", ours + "CommandRecord", command
    yield start + len(COURSE) * TICK, events, ours + "EpisodeEvent", {"episode_id": episode, "event": 5, "label": label}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    second = 2_000_000_000
    parts = [("a-1", 1), ("a-2", 2), ("a-3", 3), ("a-4", 0)]
    bags()._write(
        tmp_path / "bags" / "day",
        [row for number, part in enumerate(parts) for row in rows(*part, START + number * second)],
    )
    return tmp_path / "bags"


def opened(folder: Path, **options: Any) -> Any:
    from vla_server.lerobot.environment import prepare

    prepare()
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset("local/any", root=folder, **options)


def test_lerobot_opens_it_and_finds_what_was_recorded(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export-dataset", str(recorded), "--out", str(tmp_path / "set"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["rows"]
    assert [row["episode"] for row in told] == ["bags-day-a-1", "bags-day-a-2", "bags-day-a-4"]  # one is discarded
    dataset = opened(tmp_path / "set")
    # Of ten steps the first sees nothing yet, and in two the arm was held.
    ticks = [tick for tick in range(2, 20, 2) if COURSE[tick + 1] != NOBODY]
    assert (dataset.num_episodes, dataset.num_frames, dataset.fps) == (3, 3 * len(ticks), RATE)
    assert [row["frames"] for row in told] == [len(ticks)] * 3
    assert [row["intervention"] for row in told] == [4] * 3
    for episode, label in enumerate((1, 2, 0)):
        for number, tick in enumerate(ticks):
            frame = dataset[episode * len(ticks) + number]
            assert frame["task"] == TASK and int(frame["episode_index"]) == episode
            assert bool(frame["intervention"]) is (COURSE[tick + 1] == TELEOP) and int(frame["label"]) == label
            # Seen at the tick: what was measured before it, 1 ns after the last command's own tick.
            state = [0.1 * (tick - 1), 0, 0, 0, 0, 0, 0.015, -0.015]
            np.testing.assert_allclose(frame["observation.state"].numpy(), state, atol=1e-6)
            action = [0.1 * (tick + 1) + 0.05, 0, 0, np.pi, 0, 0, 0.25]
            np.testing.assert_allclose(frame["action"].numpy(), action, atol=1e-6)
            for camera, name in enumerate(("agentview", "wrist")):
                seen = frame[f"observation.images.{name}"].permute(1, 2, 0).numpy() * 255
                np.testing.assert_array_equal(np.rint(seen).astype(np.uint8), picture(tick, camera))
    assert dataset.features["action"]["names"] == ["x", "y", "z", "rx", "ry", "rz", "gripper"]


def test_policies_take_its_columns(recorded: Path, tmp_path: Path) -> None:
    """LeRobot's trainer makes a policy's inputs and outputs of a data set's columns: ours beside them are none."""
    assert main(["export-dataset", str(recorded), "--out", str(tmp_path / "set")]) == 0
    meta = opened(tmp_path / "set").meta
    from lerobot.policies import factory

    features = factory.dataset_to_policy_features(meta.features)
    assert set(features) == {
        *("observation.images.agentview", "observation.images.wrist"),
        *("observation.state", "action"),
    }
    assert {"mean", "std"} <= set(meta.stats["action"])
    chunks = opened(tmp_path / "set", delta_timestamps={"action": [number / RATE for number in range(4)]})
    assert chunks[0]["action"].shape == (4, 7)
    assert chunks[len(chunks) - 2]["action_is_pad"].tolist() == [False, False, True, True]


def test_lerobots_trainer_takes_it(recorded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert main(["export-dataset", str(recorded), "--out", str(folder)]) == 0
    given = {
        "dataset.repo_id": "local/set",
        "dataset.root": folder,
        "policy.type": "act",
        "policy.device": "cpu",
        "policy.pretrained_backbone_weights": "null",
        "policy.push_to_hub": "false",
        "policy.dim_model": 16,
        "policy.n_heads": 2,
        "policy.dim_feedforward": 16,
        "policy.chunk_size": 4,
        "policy.n_action_steps": 4,
        "policy.use_vae": "false",
        "steps": 1,
        "batch_size": 2,
        "num_workers": 0,
        "wandb.enable": "false",
        "output_dir": tmp_path / "trained",
    }
    code = "from vla_server.lerobot.environment import prepare; prepare(); "
    code += "from lerobot.scripts.lerobot_train import main; main()"
    arguments = [f"--{name}={value}" for name, value in given.items()]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert list((tmp_path / "trained").rglob("model.safetensors"))


def test_only_what_was_chosen(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def choose(name: str) -> list[str]:
        one = {"round": 0, "chosen": [{"task": TASK, "episode_id": name}]}
        (tmp_path / "rounds.json").write_text(json.dumps({"kind": "acquisition", "schema": 1, "rounds": [one]}))
        return [
            "export-dataset",
            str(recorded),
            "--out",
            str(tmp_path / "set"),
            "--chosen",
            str(tmp_path / "rounds.json"),
        ]

    assert main(choose("bags-day-a-2")) == 0
    assert "bags-day-a-2" in capsys.readouterr().out
    assert opened(tmp_path / "set").num_episodes == 1
    assert main(choose("bags-day-a-9")) == 2
    assert "bags-day-a-9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--fingers", "thumb"], "joints are missing"),
        (["--preset", "submarine"], "unknown preset"),
        (["--rate", "0"], "--rate"),
    ],
)
def test_wrong_input_leaves_nothing(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    before = sorted(tmp_path.iterdir())
    assert main(["export-dataset", str(recorded), "--out", str(tmp_path / "set"), *options]) == 2
    assert reason in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_new_weights_are_another_policy_to_an_old_bundle(ensemble: Path, make_policy: Make) -> None:  # noqa: F811
    from supervisor_node.announcements import MonitorAnnouncement, PolicyAnnouncement, mismatch
    from vla_server.served import open_policy
    from vla_uq.contracts import Reference, Space

    def announced() -> PolicyAnnouncement:
        told = open_policy("lerobot", ensemble).announcement
        space, reference = Space[told.space], Reference[told.reference]
        sizes = (told.names, told.horizon, len(told.names), told.step_duration, told.execute_steps)
        return PolicyAnnouncement(bytes(16), told.fingerprint, space, reference, *sizes)

    old = announced()
    sizes = (old.space, old.horizon, old.dim, old.step_duration, old.execute_steps)
    bundle = MonitorAnnouncement(bytes(16), old.fingerprint, *sizes)
    assert mismatch(old, bundle) == ""
    tuned = make_policy("smolvla", 1)
    tuned.load_state_dict(make_policy("smolvla", 0).state_dict())
    with torch.no_grad():
        tuned.model.action_out_proj.bias += 1e-3
    save(tuned, ensemble / "second")
    new = announced()
    assert mismatch(new, bundle) == (
        f"policy.fingerprint: the monitor's bundle expects {old.fingerprint}, found {new.fingerprint}"
    )
