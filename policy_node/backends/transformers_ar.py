"""An autoregressive policy of transformers: OpenVLA's scheme or pi0-FAST's, and members that read along.

The actor writes its tokens in one call of ``generate``; everything else waits until its actions have left. Then the
other members read what it wrote, one forward pass each, whatever the number of tokens. A text that is no chunk (a word
between the actions, a number too few) is an error: nothing leaves, which holds the arm.

PyTorch and transformers are imported when a policy of this kind is opened, never before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from policy_node.backends.base import BackendError, Inference, PolicySpec
from vla_policy.action_vocabulary import BinVocabulary, Numbers, written_state
from vla_policy.generation_manifest import ACTION, FAST_FILE, GenerationManifest
from vla_policy.manifest import FILE
from vla_policy.observation import IMAGE_SIZE, Observation
from vla_uq.contracts import Reference, Space
from vla_uq.detectors.token_statistics import token_statistics
from vla_uq.errors import InputError
from vla_uq.geometry import rotation_matrix, rotation_vector
from vla_uq.uncertainty.token_disagreement import mutual_information
from vla_uq.wire import Array

TENSORS = ("features", "token_logprobs", "token_entropies", "token_mass")
DISAGREEMENT = "token_disagreement"


@dataclass(frozen=True, eq=False)
class _Memory:
    """What an inference leaves behind: the prompt as the models take it, and what the actor said."""

    inputs: Any
    said: Any


class TransformersBackend:
    """The policy in a weights folder, see :class:`GenerationManifest`.

    :param path: the folder.
    :param device: ``cpu`` or ``cuda``.
    :param remote_code: digest of the code that the checkpoints may bring along, where they need any
        (:func:`vla_policy.checkpoints.code_digest`); empty: none is run.
    :raises InputError: when the folder, a checkpoint or the device cannot be used, naming it.
    """

    def __init__(self, path: Path, device: str = "cpu", remote_code: str = "") -> None:
        self._manifest = manifest = GenerationManifest.load(path)
        self._words = manifest.words
        generation = _generation(device)
        self._prompter = generation.Prompter(path / "member_0", manifest.append, remote_code)
        self._members = [
            generation.Speaker(path / f"member_{number}", device, self._words.ids, remote_code)
            for number in range(manifest.members)
        ]
        bins = isinstance(self._words, BinVocabulary)
        self._most = manifest.horizon * len(ACTION) if bins else manifest.most_tokens
        self._text_of = None if bins else generation.fast_reader(path / FAST_FILE)
        self._instruction = ""
        self._try_out(path)
        self.info = PolicySpec(
            fingerprint=manifest.fingerprint,
            back_end=manifest.back_end,
            members=manifest.members,
            space=Space.EE_DELTA,
            reference=Reference.MEASURED,
            names=ACTION[:6],
            horizon=manifest.horizon,
            dim=6,
            step_duration=manifest.step_duration,
            execute_steps=manifest.execute_steps,
            tensors=TENSORS + ((DISAGREEMENT,) if manifest.members > 1 else ()),
            remarks={"vocabulary": self._words.name},
        )

    def reset(self, instruction: str, seed: int | None) -> None:
        """See :meth:`Backend.reset`; nothing is drawn, for the most probable token is taken each time."""
        self._instruction = instruction

    def act(self, observation: Observation) -> Inference:
        """See :meth:`Backend.act`.

        :raises BackendError: when what the policy wrote is no chunk.
        """
        inputs = self._prompt(observation)
        said = self._members[0].say(inputs, self._most)
        try:
            chunk = self._manifest.actions.restore(self._chunk(said.tokens))
        except InputError as error:
            raise BackendError(f"what the policy wrote is no chunk: {error}") from error
        return Inference(*self._executable(chunk), _Memory(inputs, said))

    def introspect(self, inference: Inference) -> dict[str, Array]:
        """See :meth:`Backend.introspect`.

        :returns: ``features`` (D,), mean of the last hidden layer over all generated tokens, as SAFE takes it. One
            value each action token, nats: ``token_logprobs``, ``token_entropies`` (both among action tokens),
            ``token_mass``, the probability of an action token at all; of several members ``token_disagreement``, the
            mutual information of :func:`mutual_information`.
        """
        memory = cast(_Memory, inference.memory)
        said, first = memory.said, self._words.ids.start
        columns = np.where(self._actions(said.tokens), said.tokens - first + 1, 0)
        vocabulary = slice(1, said.logits.shape[1])
        tensors = {"features": said.hidden.mean(axis=0)}
        tensors |= token_statistics(said.logits, vocabulary, columns).tensors()
        if len(self._members) > 1:
            others = [member.hear(memory.inputs, said.tokens) for member in self._members[1:]]
            tensors[DISAGREEMENT] = mutual_information(np.stack([said.logits, *others])[:, columns > 0, 1:])
        return tensors

    def close(self) -> None:
        """See :meth:`Backend.close`: the device's memory is given back."""
        self._members.clear()

    def _prompt(self, observation: Observation) -> Any:
        manifest = self._manifest
        text = manifest.prompt.replace("{instruction}", " ".join(self._instruction.lower().replace("_", " ").split()))
        if manifest.state is not None:
            finger = observation.width / 2
            turn = rotation_vector(observation.rotation)
            state = manifest.state.normalise([*observation.position, *turn, finger, -finger])
            text = text.replace("{state}", written_state(state))
        return self._prompter(text, [observation.images[name] for name in manifest.cameras])

    def _actions(self, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        ids = self._words.ids
        return (tokens >= ids.start) & (tokens < ids.stop)

    def _chunk(self, tokens: NDArray[np.int64]) -> Numbers:
        """Normalised actions (H, 7) of generated tokens.

        :raises InputError: when they are none.
        """
        horizon, words = self._manifest.horizon, self._words
        if isinstance(words, BinVocabulary):
            if len(tokens) != self._most:
                raise InputError("not a whole chunk", where="tokens", expected=self._most, found=len(tokens))
            return words.decode(tokens).reshape(horizon, len(ACTION))
        inside = np.flatnonzero(self._actions(tokens))
        if not len(inside):
            raise InputError("no token is an action", where="tokens", found=tokens[:8].tolist())
        if len(tokens) == self._most and inside[-1] == len(tokens) - 1:
            raise InputError("has no end", where="tokens", expected=f"fewer than {self._most}")
        # What frames the actions is words; words among them leave nothing that could be relied on.
        run = words.fast_of(tokens[inside[0] : inside[-1] + 1])
        assert self._text_of is not None
        return words.read(self._text_of(run), horizon, len(ACTION))

    def _executable(self, chunk: Numbers) -> tuple[Array, Array]:
        """Displacements (H, 6) in m and rad, and gripper openings (H,), of a chunk in the data's units."""
        manifest = self._manifest
        turns = chunk[:, 3:6] * manifest.rotation_unit
        if manifest.rotation == "euler":
            turns = np.array([rotation_of(*angles) for angles in turns])
        opened, closed = manifest.gripper_open, manifest.gripper_closed
        gripper = np.clip((chunk[:, 6] - closed) / (opened - closed), 0.0, 1.0)
        actions = np.concatenate([chunk[:, :3] * manifest.position_unit, turns], axis=1)
        return actions.astype(np.float32), gripper.astype(np.float32)

    def _try_out(self, folder: Path) -> None:
        """Show every member a black image: what cannot be run is found when the node is configured.

        :raises InputError: naming the folder.
        """
        black = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        nothing = Observation(dict.fromkeys(self._manifest.cameras, black), np.zeros(3), np.eye(3), 0.0, "")
        try:
            inputs = self._prompt(nothing)
            for member in self._members:
                member.hear(inputs, member.say(inputs, 2).tokens)
        # What is wrong with somebody's checkpoint can be anything.
        except Exception as error:
            found = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise InputError("checkpoints cannot be run", where=str(folder / FILE), found=found[:300]) from error


def rotation_of(roll: float, pitch: float, yaw: float) -> Numbers:
    """Rotation vector of angles about the fixed axes x, y and z, in this order."""
    about = [rotation_matrix(angle * axis) for angle, axis in zip((yaw, pitch, roll), np.eye(3)[::-1], strict=True)]
    return rotation_vector(about[0] @ about[1] @ about[2])


def _generation(device: str) -> Any:
    """The part that needs PyTorch.

    :raises InputError: when that is not installed or lacks the device.
    """
    if device not in ("cpu", "cuda"):
        raise InputError("unknown device", where="device", expected="cpu or cuda", found=repr(device))
    try:
        from vla_policy import generation
    except ImportError as error:
        raise InputError(
            "PyTorch is not installed",
            where="back_end transformers_ar",
            remedy="pip install 'vla-monitor[transformers]'",
        ) from error
    generation.prepare(device)
    return generation
