"""Writes rollouts as SAFE's fork of openpi does: the client's record of an episode, the server's of each inference."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

WAIT, REPLAN, START, VOCABULARY = 10, 5, 254976, 2048
PREFIX, SUFFIX = (4022, 235292, 235248), (235371, 1)
"""Tokens of "Action: " before the action's, and of the bar and the end after them."""


class OpenpiWriter:
    """A server and its clients, writing into ``<run>``.

    :param kind: ``pi0`` or ``pi0_fast``.
    :param draws: chunks sampled at each inference; None: as recorded before there was a choice, (H, A).
    """

    def __init__(self, run: Path, kind: str = "pi0", draws: int | None = None, dim: int = 8) -> None:
        self.run, self.kind, self.draws, self.dim = run, kind, draws, dim
        self.written = 0
        self._rng = np.random.default_rng(0)
        for name in ("env_records", "policy_records"):
            (run / name).mkdir(parents=True, exist_ok=True)

    def episode(
        self,
        task: int = 0,
        episode: int = 0,
        *,
        success: bool = True,
        inferences: int = 4,
        crashed: bool = False,
        horizon: int = 10,
        skip: int = -1,
        note: str = "",
    ) -> list[dict[str, Any]]:
        """Play one; what the server recorded.

        :param crashed: the client died before it could write its record.
        :param skip: number of an inference whose record got lost.
        :param note: name of the run, where it is not the folder's.
        """
        records = []
        for k in range(inferences):
            record = self._record(task, horizon)
            t = WAIT + k * REPLAN
            name = f"step_{self.written}--{note or self.run.name}--task_{task}--ep_{episode}--t_{t}--meta.pkl"
            if k != skip:
                self._dump(self.run / "policy_records" / name, record)
                records.append(record)
            self.written += 1
        if not crashed:
            steps = inferences * REPLAN - 2
            stem = f"task{task}--ep{episode}--succ{int(success)}"
            record = {
                "task_suite_name": "libero_10",
                "task_id": task,
                "task_description": f"do task {task}",
                "episode_idx": episode,
                "episode_success": success,
                "mp4_path": f"rollouts/{stem}.mp4",
                "wrist_mp4_path": f"rollouts/{stem}_wrist.mp4",
                "model_infer_times": inferences,
                "replan_steps": REPLAN,
                "num_steps_wait": WAIT,
                "end_step": WAIT + steps - 1,
                "step_done": [False] * (steps - 1) + [success],
            }
            self._dump(self.run / "env_records" / f"{stem}.pkl", record)
        return records

    def _record(self, task: int, horizon: int) -> dict[str, Any]:
        rng, draws = self._rng, self.draws or 1
        record: dict[str, Any] = {
            "observation/state": rng.normal(size=8),
            "prompt": f"do task {task}",
            "run/task_id": task,
            "state": rng.normal(size=8).astype(np.float32),
        }
        actions = rng.normal(size=(draws, horizon, 7))
        if self.kind == "pi0":
            raw = rng.normal(size=(draws, horizon, 32)).astype(np.float32)
            record["pre_velocity"] = rng.normal(size=(10, horizon, self.dim)).astype(np.float32)
        else:
            action_tokens = rng.integers(START, START + VOCABULARY, size=int(rng.integers(6, 12)))
            raw = np.tile(np.concatenate([PREFIX, action_tokens, SUFFIX]).astype(np.float32), (draws, 1))
            record["decode_step"] = np.full(draws, raw.shape[1], np.int32)
            if draws == 1:
                for name in ("encoded", "pre_logits"):
                    record[name] = (3 + rng.normal(size=(raw.shape[1], self.dim))).astype(ml_dtypes.bfloat16)
                record["logits"] = rng.normal(size=(raw.shape[1], VOCABULARY)).astype(ml_dtypes.bfloat16)
                record["action_start_index_in_vocab"] = START
                record["action_end_index_in_vocab"] = START + VOCABULARY
        keep = slice(None) if self.draws else 0
        return record | {"actions": actions[keep], "raw_actions": raw[keep]}

    @staticmethod
    def _dump(path: Path, record: dict[str, Any]) -> None:
        with path.open("wb") as file:
            pickle.dump(record, file)
