"""What stands before and behind an exported LeRobot policy, in numpy: its normalisers, its tokeniser, its gripper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_policy.manifest import LeRobotManifest
from vla_uq.errors import InputError
from vla_uq.wire import Array

PROMPT = "prompt"
STATE, TOKENS, WORDS = "observation.state", "observation.language.tokens", "observation.language.attention_mask"
"""LeRobot's names, which the encoder's inputs have."""
TOKENISER = "tokenizer.json"
Feed = dict[str, NDArray[Any]]


class Coding:
    """Observation maps in, executable actions out.

    :param folder: holds the tokeniser.
    :raises InputError: when it cannot be read, or the package that reads it is not installed.
    """

    def __init__(self, manifest: LeRobotManifest, folder: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            remedy = "pip install tokenizers"
            raise InputError("the tokeniser cannot be read", where="tokenizers", found=error, remedy=remedy) from error
        try:
            self._tokeniser = Tokenizer.from_file(str(folder / TOKENISER))
        # The package raises nothing but Exception itself.
        except Exception as error:
            raise InputError("not a tokeniser", where=str(folder / TOKENISER), found=error) from error
        self._tokeniser.no_padding()
        self._tokeniser.enable_truncation(manifest.words)
        self._manifest = manifest
        self._scale, self._shift = (np.array(one) for one in (manifest.state_scale, manifest.state_shift))
        self._up, self._offset = (np.array(one) for one in (manifest.action_scale, manifest.action_shift))

    def inputs(self, seen: Mapping[str, Any]) -> Feed:
        """An observation map as the encoder takes it, one row.

        :raises InputError: when it lacks something, or an image is not of the size that the policy was trained with.
        """
        manifest = self._manifest
        feed = self.words(seen[PROMPT])
        for name, (feature, height, width) in manifest.cameras.items():
            image = np.asarray(seen.get(name))
            if image.shape != (height, width, 3) or image.dtype != np.uint8:
                found = f"{image.shape} {image.dtype}"
                raise InputError("wrong image", where=name, expected=f"{(height, width, 3)} uint8", found=found)
            feed[feature] = image.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        state = np.asarray(seen.get(manifest.state, ()), np.float64)
        if state.shape != self._scale.shape or not np.isfinite(state).all():
            expected = f"{len(self._scale)} finite numbers"
            raise InputError("wrong state", where=manifest.state, expected=expected, found=state.tolist())
        return feed | {STATE: (state * self._scale + self._shift)[None].astype(np.float32)}

    def words(self, prompt: str) -> Feed:
        """A prompt as tokens (1, words), and which of them are there; SmolVLA's end with a new line."""
        ids = self._tokeniser.encode(prompt if prompt.endswith("\n") else prompt + "\n").ids
        tokens = np.full((1, self._manifest.words), self._manifest.padding, np.int64)
        tokens[0, : len(ids)] = ids
        return {TOKENS: tokens, WORDS: np.arange(self._manifest.words)[None] < len(ids)}

    def execute(self, chunk: NDArray[Any]) -> tuple[Array, Array]:
        """A normalised chunk (H, A) as actions (H, names) in the units of the policy's space, and openings (H,)."""
        actions, held = (chunk * self._up + self._offset).astype(np.float32), self._manifest.gripper
        if not held:
            return actions, np.zeros(0, np.float32)
        column, closed, opened = int(held["column"]), held["closed"], held["open"]
        opening = np.clip((actions[:, column] - closed) / (opened - closed), 0, 1)
        return np.delete(actions, column, axis=1), opening.astype(np.float32)
