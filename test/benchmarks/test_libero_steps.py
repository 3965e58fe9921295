"""The steps of the LIBERO benchmark that need no LIBERO: which episodes are played, and what is refused."""

from __future__ import annotations

import pytest

pytest.importorskip("mujoco")

from benchmarks.libero import rollouts
from benchmarks.libero.__main__ import main
from sim_node.libero import demonstrations, tasks
from vla_uq.rollouts.store import Rollout, RolloutMeta, RolloutStore


def test_no_episode_starts_where_a_demonstration_did(tmp_path):
    played = rollouts.episodes("lift it", rollouts.Options(tmp_path))
    assert len({episode.id for episode in played}) == len(played)
    assert min(episode.seed for episode in played) >= demonstrations.STATES
    assert max(episode.seed for episode in played) < tasks.STATES
    assert {episode.disturbance for episode in played} == {"none", *rollouts.DISTURBED}


def test_the_benchmark_asks_for_at_least_500_rollouts(tmp_path):
    kept = 10 * len(tasks.SUITES) - len(tasks.UNSOLVED)
    assert kept * len(rollouts.episodes("lift it", rollouts.Options(tmp_path))) >= 500


def test_training_without_demonstrations_is_refused_in_one_line(tmp_path, capsys):
    pytest.importorskip("torch")
    assert main(["train", "--demonstrations", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "no demonstrations" in line and "python -m benchmarks.libero demonstrations" in line


def test_the_summary_counts_by_suite_disturbance_and_nominal_task(tmp_path):
    import numpy as np

    store = RolloutStore(tmp_path)
    for seed, (disturbance, success) in enumerate([("none", True), ("none", False), ("arm", False)]):
        meta = RolloutMeta(f"e{seed}", "lift it", seed, disturbance, success, 9, "f", extra={"suite": "libero_10"})
        store.add(Rollout(meta, {"features": np.zeros((2, 3), np.float32)}))
    rows = rollouts.summary(tmp_path).rows
    found = [(row["disturbance"], row["task"], row["n"], row["success"]) for row in rows]
    assert found == [("arm", "all", 1, 0.0), ("none", "all", 2, 0.5), ("none", "lift it", 2, 0.5)]


def test_a_told_policy_sees_what_its_demonstrations_show_and_moves_as_they_do(tmp_path):
    pytest.importorskip("torch")
    import numpy as np

    from benchmarks.libero.told import Told, context_of
    from sim_node.libero.bed import LiberoBed
    from sim_node.libero.package import load
    from vla_policy.instruction import embed
    from vla_policy.observation import CAMERAS
    from vla_uq.errors import InputError

    try:
        load()
    except InputError as error:
        pytest.skip(str(error))
    task = tasks.suite_tasks("libero_object")[0]
    bed = LiberoBed(render=False, hold=demonstrations.HOLD)
    bed.images = lambda: dict.fromkeys(CAMERAS, np.zeros((64, 64, 3), np.uint8))
    shown = demonstrations.demonstrate(bed, task, 0)
    contexts = context_of(shown["geometry"], shown["proprio"], embed(task.instruction))
    told = Told(bed)
    told.enter(task.instruction, 0)
    assert told.left == task.horizon
    for i in range(2):  # no push comes so early
        np.testing.assert_allclose(told.context(), contexts[i], atol=1e-4)
        for action in shown["action"][i][: demonstrations.FRAME_STRIDE]:
            assert not told.act(action.astype(float))
    assert told.left == task.horizon - 2 * demonstrations.FRAME_STRIDE
    bed.close()
