"""A vision-language model of transformers that writes actions, looked into while it does.

One call of ``generate`` gives the tokens, the logits that each was chosen from, and the last hidden layer: what enters
``lm_head``, caught there. Another member reads the same tokens in one pass (teacher forcing) and says what it would
have thought of each. Where it could not be caught otherwise nothing is changed or patched.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_policy.checkpoints import brings_code, library, open_model, unusable
from vla_uq.errors import InputError
from vla_uq.wire import Array

BIDIRECTIONAL = {"paligemma"}
"""Models whose prompt is attended to in both directions: tokens that come with it would be seen before their turn."""


@dataclass(frozen=True, eq=False)
class Said:
    """What a model wrote.

    :param tokens: (n,) ids, that which ends the text included.
    :param logits: (n, 1 + A) that predicted them, of the action ids; column 0 is the logsumexp of all other ids.
    :param hidden: (n, D) last hidden layer: exactly what ``lm_head`` was given when it predicted them.
    """

    tokens: NDArray[np.int64]
    logits: Array
    hidden: Array


class Speaker:
    """One checkpoint, on one device.

    :param folder: as ``save_pretrained`` writes it.
    :param device: ``cpu`` or ``cuda``.
    :param actions: ids that are actions.
    :param code: :func:`~vla_policy.checkpoints.code_digest` of what the checkpoint may bring along; empty: nothing.
    :raises InputError: when it cannot be used, naming the file.
    """

    def __init__(self, folder: Path, device: str, actions: slice, code: str = "") -> None:
        self._device, self._actions = device, actions
        self._model = open_model(folder, code).eval().requires_grad_(False).to(device)
        self._one_pass = self._model.config.model_type not in BIDIRECTIONAL
        self._keeps = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        self._head = self._model.get_output_embeddings()
        size = int(self._head.out_features)
        if actions.stop > size:
            raise InputError("actions lie outside the vocabulary", where=str(folder), expected=actions.stop, found=size)
        # A checkpoint's own defaults sample, forbid or punish tokens; what remains of them is where a text ends.
        own = self._model.generation_config
        ends = {name: getattr(own, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        ends["pad_token_id"] = _first(ends["pad_token_id"], ends["eos_token_id"])
        self._model.generation_config = type(own)(**ends)

    @torch.inference_mode()
    def say(self, inputs: Mapping[str, Tensor], most: int) -> Said:
        """Write, the most probable token each time.

        :param inputs: of a processor, one row.
        :param most: tokens; fewer where the model ends the text itself.
        """
        heard: list[Tensor] = []
        hook = self._head.register_forward_pre_hook(lambda _, given: heard.append(given[0][:, -1].clone()))
        try:
            found = self._model.generate(
                **self._placed(inputs),
                do_sample=False,
                max_new_tokens=most,
                return_dict_in_generate=True,
                output_logits=True,
            )
        finally:
            hook.remove()
        logits = torch.cat(found.logits)
        tokens = found.sequences[0, -len(logits) :].cpu().numpy().astype(np.int64)
        return Said(tokens, self._narrowed(logits), torch.cat(heard).float().cpu().numpy())

    @torch.inference_mode()
    def hear(self, inputs: Mapping[str, Tensor], tokens: NDArray[np.int64]) -> Array:
        """What this model would have thought of each token after the ones before it.

        :param tokens: (n,) that another one wrote after the same prompt.
        :returns: (n, 1 + A) logits, as in :class:`Said`.
        """
        prompt = self._placed(inputs)
        said = torch.from_numpy(tokens[None, :-1]).to(self._device)
        mask = torch.cat([prompt["attention_mask"], torch.ones_like(said)], 1)
        if self._one_pass:
            whole = {"input_ids": torch.cat([prompt["input_ids"], said], 1), "attention_mask": mask}
            # Of the prompt's own places nobody wants the logits, which cost as much as some layers do.
            last = {"logits_to_keep": len(tokens)} if self._keeps else {}
            return self._narrowed(self._model(**prompt | whole, **last, use_cache=False).logits[0, -len(tokens) :])
        found = self._model(**prompt, use_cache=True, logits_to_keep=1)
        logits, length = [found.logits[0, -1:]], prompt["input_ids"].shape[1]
        # In one piece, unless it is longer than the prompt: such a model hides nothing in so many first places.
        for start in range(0, said.shape[1], length):
            part, seen = said[:, start : start + length], mask[:, : start + 2 * length]
            found = self._model(input_ids=part, attention_mask=seen, past_key_values=found.past_key_values)
            logits.append(found.logits[0])
        return self._narrowed(torch.cat(logits))

    def _placed(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        kind = self._model.dtype
        return {
            name: value.to(self._device, kind) if value.is_floating_point() else value.to(self._device)
            for name, value in inputs.items()
        }

    def _narrowed(self, logits: Tensor) -> Array:
        """Logits (n, V) with all that is no action in one column: it takes part in no score but by its probability."""
        values, ids = logits.float(), self._actions
        others = torch.cat([values[:, : ids.start], values[:, ids.stop :]], 1).logsumexp(1, keepdim=True)
        narrowed: Array = torch.cat([others, values[:, ids]], 1).cpu().numpy()
        return narrowed


class Prompter:
    """From text and images to a model's inputs.

    :param folder: checkpoint with its processor.
    :param append: ids that a prompt ends with.
    :param code: see :class:`Speaker`.
    :raises InputError: when there is no processor that can be used.
    """

    def __init__(self, folder: Path, append: Sequence[int] = (), code: str = "") -> None:
        foreign = brings_code(folder, code)
        try:
            self._processor = library().AutoProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=foreign
            )
        except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
            raise unusable(folder, error) from error
        self._append = torch.tensor([list(append)], dtype=torch.long)

    def __call__(self, text: str, images: Sequence[NDArray[np.uint8]]) -> dict[str, Tensor]:
        """:param images: (height, width, 3) RGB each."""
        from PIL import Image

        seen = [Image.fromarray(image) for image in images]
        # One image travels bare: the processors of some models know no lists of lists.
        given = self._processor(text=text, images=seen[0] if len(seen) == 1 else [seen], return_tensors="pt")
        # Some processors add what only training needs.
        inputs = {name: value for name, value in given.items() if isinstance(value, Tensor) and name != "labels"}
        ids, more = inputs["input_ids"], self._append
        if more.shape[1] and not torch.equal(ids[:, -more.shape[1] :], more):
            longer = {"input_ids": more, "attention_mask": torch.ones_like(more), "token_type_ids": 0 * more}
            inputs |= {name: torch.cat([inputs[name], part], 1) for name, part in longer.items() if name in inputs}
        return inputs


def fast_reader(path: Path) -> Callable[[NDArray[np.int64]], str]:
    """What makes text of FAST tokens (n,).

    :param path: of FAST's ``tokenizer.json``.
    :raises InputError: when it is not one.
    """
    try:
        tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(path))
    # The library's only exception is Exception itself.
    except Exception as error:
        raise InputError("not a tokenizer", where=str(path), found=str(error)) from error
    return lambda tokens: str(tokenizer.decode(tokens.tolist(), skip_special_tokens=False))


def prepare(device: str) -> None:
    """One thread: a second one costs more than it gives beside other processes.

    :raises InputError: when transformers or the device is not there.
    """
    library()
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is not available", where="device", expected="a CUDA device", remedy="set it to cpu")
    torch.set_num_threads(1)


def _first(pad: Any, end: Any) -> Any:
    return pad if pad is not None else end[0] if isinstance(end, list) else end
