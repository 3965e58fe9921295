"""Presets of what a policy sees: every name in them means something, and images become what it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from policy_node.backends.openpi_presets import PRESETS
from policy_node.cameras import DRIVERS
from policy_node.observations import load_observation
from supervisor_node.arms.profile import load_profile
from vla_policy.observation import CAMERAS
from vla_uq.errors import InputError

CONFIG = Path(__file__).parents[2] / "config"
NAMES = sorted(path.stem for path in (CONFIG / "observations").glob("*.yaml"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_there_is_one_for_every_embodiment() -> None:
    assert {"tabletop", "droid", "libero", "bridge"} <= set(NAMES)
    parameters = yaml.safe_load((CONFIG / "monitor.yaml").read_text(encoding="utf-8"))["/**"]
    assert parameters["policy_node"]["ros__parameters"]["observation"] == "tabletop"


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_read_and_its_cameras_are_known(name: str) -> None:
    preset = load_observation(name)
    assert set(preset.cameras) <= set(CAMERAS)
    assert all(camera.topic == f"{key}/image_raw" for key, camera in preset.cameras.items())
    assert preset.tolerance <= preset.max_age


def test_the_table_top_sees_what_it_always_saw(rng: np.random.Generator) -> None:
    preset = load_observation("tabletop")
    assert (preset.tolerance, preset.max_age, preset.joint_states) == (0.05, 0.3, ("joint_states",))
    assert tuple(preset.cameras) == CAMERAS and preset.pose == "current_pose"
    image = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    assert all(camera.prepare(image) is image for camera in preset.cameras.values())


@pytest.mark.parametrize("name", ["droid", "libero"])
def test_openpi_presets_find_their_images_as_they_send_them(name: str) -> None:
    preset, wire = load_observation(name), PRESETS[name]
    assert set(preset.cameras) == set(wire.images.values())
    assert {(camera.resize, camera.side) for camera in preset.cameras.values()} == {("pad", wire.size)}


def test_droid_hears_arm_and_gripper_of_the_franka() -> None:
    assert list(load_observation("droid").joint_states) == list(load_profile("franka_jtc").sources.joint_states)


@pytest.mark.parametrize("height", [180, 480, 720])
@pytest.mark.parametrize("name", ["droid", "libero"])
def test_padded_as_openpi_does(name: str, height: int, rng: np.random.Generator) -> None:
    """Pillow's bilinear filter into the middle of a black square."""
    pillow = pytest.importorskip("PIL.Image")
    image = rng.integers(0, 256, (height, height * 16 // 9, 3), dtype=np.uint8)
    camera = load_observation(name).cameras["agentview"]
    ratio = max(image.shape[:2]) / 224
    rows, columns = int(image.shape[0] / ratio), int(image.shape[1] / ratio)
    expected = np.zeros((224, 224, 3), np.uint8)
    small = np.asarray(pillow.fromarray(image).resize((columns, rows), pillow.BILINEAR))
    top, left = (224 - rows) // 2, (224 - columns) // 2
    expected[top : top + rows, left : left + columns] = small
    got = camera.prepare(image)
    assert np.abs(got.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(camera.prepare(got), got)


def test_bridge_averages_over_the_area_of_each_pixel(rng: np.random.Generator) -> None:
    camera = load_observation("bridge").cameras["agentview"]
    image = rng.integers(0, 256, (512, 768, 3), dtype=np.uint8)
    expected = image.reshape(256, 2, 256, 3, 3).mean(axis=(1, 3))
    got = camera.prepare(image)
    assert got.shape == (256, 256, 3)
    assert np.abs(got - expected).max() <= 0.5


def test_a_policy_that_was_trained_blue_first_sees_blue_first(
    tmp_path: Path, content: dict[str, Any], rng: np.random.Generator
) -> None:
    content["cameras"]["agentview"]["order"] = "bgr"
    image = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    got = load_observation(written(tmp_path, content)).cameras["agentview"].prepare(image)
    np.testing.assert_array_equal(got, load_observation("bridge").cameras["agentview"].prepare(image)[:, :, ::-1])


@pytest.fixture
def content() -> dict[str, Any]:
    return yaml.safe_load((CONFIG / "observations" / "bridge.yaml").read_text(encoding="utf-8"))


def written(folder: Path, content: Any) -> str:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("tolerance", 0.01, "tolerance: impossible value; expected at least half a period of agentview, 0.0167 s"),
        ("tolerance", "soon", "tolerance: wrong kind of value; expected a number above 0"),
        ("max_age", 0.02, "max_age: impossible value; expected above a period"),
        ("max_age", float("nan"), "max_age: wrong kind"),
        ("joint_states", [], "joint_states: wrong kind of value; expected a list of topics"),
        ("pose", "", "pose: wrong kind of value; expected a text"),
        ("cameras", {}, "cameras: wrong kind of value; expected name: camera"),
        ("wheels", 4, "unknown field; expected tolerance, max_age"),
        ("tolerance", None, "wrong kind"),
        ("agentview.transport", "smoke", "transport: impossible value; expected raw or compressed"),
        ("agentview.resize", "crop", "resize: impossible value; expected none or area or pad"),
        ("agentview.order", "gbr", "order: impossible value; expected rgb or bgr"),
        ("agentview.side", 0, "side: impossible value; expected pixels where it is resized"),
        ("agentview.side", 500, "side: impossible value; expected at most 480"),
        ("agentview.size", [480], "size: wrong kind of value; expected .height, width."),
        ("agentview.size", [480, 0], "size: wrong kind"),
        ("agentview.rate", 0, "rate: wrong kind of value; expected a number above 0"),
        ("agentview.lens", "wide", "cameras.agentview: unknown field"),
    ],
)
def test_a_wrong_file_is_named_to_the_field(
    tmp_path: Path, content: dict[str, Any], field: str, value: Any, named: str
) -> None:
    camera = field.startswith("agentview.")
    (content["cameras"]["agentview"] if camera else content)[field.removeprefix("agentview.")] = value
    with pytest.raises(InputError, match=named) as caught:
        load_observation(written(tmp_path, content))
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize("missing", ["pose", "rate"])
def test_a_missing_field_is_named(tmp_path: Path, content: dict[str, Any], missing: str) -> None:
    (content if missing in content else content["cameras"]["agentview"]).pop(missing)
    with pytest.raises(InputError, match=f"field is missing; .*found {missing}"):
        load_observation(written(tmp_path, content))


def test_no_such_preset_lists_those_that_there_are() -> None:
    with pytest.raises(InputError, match="bridge, droid, libero, tabletop"):
        load_observation("aloha")


@pytest.mark.parametrize("text", ["[", "- 1", ""])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"odd\.yaml"):
        load_observation(str(tmp_path / "odd.yaml"))


@pytest.mark.parametrize("name", ["droid", "bridge"])
@pytest.mark.parametrize("driver", sorted(DRIVERS))
def test_the_cameras_that_are_launched_send_what_is_expected(name: str, driver: str) -> None:
    parameters = yaml.safe_load((CONFIG / "cameras" / f"{driver}.yaml").read_text(encoding="utf-8"))["parameters"]
    if driver == "realsense":
        width, height, rate = map(int, parameters["rgb_camera.color_profile"].split("x"))
    else:
        (width, height), (one, rate) = parameters["image_size"], parameters["time_per_frame"]
        assert one == 1
    for camera in load_observation(name).cameras.values():
        assert (camera.size, camera.rate) == ((height, width), rate)
