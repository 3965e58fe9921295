"""What our LIBERO bed does to a model, on models of our own: no LIBERO needed."""

from __future__ import annotations

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")

from sim_node.libero import demonstrations  # noqa: E402
from sim_node.libero.lighten import lighten  # noqa: E402
from sim_node.libero.shapes import cloud  # noqa: E402


def _sheet(n: int) -> str:
    """A bumpy closed mesh of about 2·n² triangles: a sphere of n × n points."""
    polar, around = np.meshgrid(np.linspace(0.05, np.pi - 0.05, n), np.linspace(0, 2 * np.pi, n, endpoint=False))
    points = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1) * 0.1
    index = np.arange(n * n).reshape(n, n)
    after, below = np.roll(index, -1, 0), index[:, 1:]
    squares = [index[:, :-1], after[:, :-1], below, after[:, :-1], after[:, 1:], below]
    faces = np.stack(squares, -1).reshape(-1, 3)
    vertices = " ".join(f"{x:.5f}" for x in points.reshape(-1))
    return f'<mesh name="ball" vertex="{vertices}" face="{" ".join(map(str, faces.ravel()))}"/>'


def _model(solid: int):
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco><asset>{_sheet(60)}</asset><worldbody><geom type="plane" size="1 1 .1"/>
        <body pos="0 0 .3"><freejoint/><geom type="box" size=".05 .05 .05"/>
        <geom type="mesh" mesh="ball" contype="{solid}" conaffinity="{solid}" mass="0"/></body>
        </worldbody></mujoco>"""
    )


def _fall(model):
    data = mujoco.MjData(model)
    for _ in range(200):
        mujoco.mj_step(model, data)
    return data.qpos.copy()


def test_lightening_thins_visual_meshes_and_leaves_the_physics_alone():
    model = _model(solid=0)
    before, fallen = int(model.mesh_facenum[0]), _fall(model)
    lighten(model, faces=500)
    assert 100 < model.mesh_facenum[0] <= 500 < before
    used = model.mesh_face[: model.mesh_facenum[0]]
    assert used.max() < model.mesh_vertnum[0]
    assert (np.diff(np.sort(used, axis=1), axis=1) > 0).all()  # no triangle has lost a corner
    np.testing.assert_array_equal(_fall(model), fallen)


def test_lightening_leaves_a_mesh_that_collides_alone():
    model = _model(solid=1)
    before = int(model.mesh_facenum[0])
    lighten(model, faces=500)
    assert model.mesh_facenum[0] == before


class _Small:
    """As much of a world as the sampling of shapes needs."""

    def __init__(self, xml: str) -> None:
        self.model = mujoco.MjModel.from_xml_string(xml)
        self.data = mujoco.MjData(self.model)
        mujoco.mj_forward(self.model, self.data)


def test_a_cloud_spans_the_solid_shapes_of_a_body_and_its_children():
    world = _Small(
        """<mujoco><worldbody>
        <body name="a" pos="1 0 0"><geom type="box" size=".1 .2 .3"/>
          <body pos="0 0 .5"><geom type="cylinder" size=".05 .1"/></body>
          <geom type="sphere" size="2" contype="0" conaffinity="0"/></body>
        <body pos="5 0 0"><geom type="sphere" size=".1"/></body>
        </worldbody></mujoco>"""
    )
    points = cloud(world, world.model.body("a").id)
    np.testing.assert_allclose(points.min(0), [0.9, -0.2, -0.3], atol=1e-9)
    np.testing.assert_allclose(points.max(0), [1.1, 0.2, 0.6], atol=1e-9)


def _pushed(seed: int, delicate: range, steps: int = 300) -> tuple[list[bool], list[bool]]:
    pushes, pushed, clear = demonstrations.Pushes(seed), [], []
    for step in range(steps):
        pushed.append(bool(pushes.at(step, step in delicate).any()))
        clear.append(pushes.clear(step))
    return pushed, clear


@pytest.mark.parametrize("seed", range(5))
def test_no_chunk_begins_shortly_before_or_in_a_push(seed):
    pushed, clear = _pushed(seed, range(0))
    assert 0.1 < np.mean(pushed) < 0.4
    assert 0.2 < np.mean(clear) < 0.8
    for step, free in enumerate(clear):
        assert not free or not any(pushed[step : step + demonstrations.PUSH_CLEAR])


def test_no_push_begins_while_the_hand_is_about_to_touch_something():
    for seed in range(5):
        begins = np.flatnonzero(np.diff(np.array(_pushed(seed, range(50, 100))[0], int)) == 1) + 1
        assert not ((begins >= 50) & (begins < 100)).any()


def test_a_chunk_past_the_end_rests_with_the_last_gripper_command():
    actions = np.arange(20 * 7, dtype=float).reshape(20, 7)
    windows = demonstrations._windows(actions, [0, 18])
    np.testing.assert_array_equal(windows[0], actions[:16])
    np.testing.assert_array_equal(windows[1, :2], actions[18:])
    assert (windows[1, 2:, :6] == 0).all() and (windows[1, 2:, 6] == actions[-1, 6]).all()
