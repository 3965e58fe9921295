"""Vision-language models of transformers in OpenVLA's and pi0-FAST's manner, with random parameters and no download."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vla_policy.action_vocabulary import Quantiles
from vla_policy.generation_manifest import FAST_FILE, GenerationManifest, listing

SPECIAL = ["<pad>", "<s>", "</s>", "<image>", "<unk>"]
WORDS = ["in:", "put", "the", "red", "cube", "state:", "action:", "out:", ";", *map(str, range(256))]
IMAGE, PATCH = 16, 8
BINS = {"name": "openvla", "size": 300, "bins": 16}
FAST = {"name": "pi0_fast", "size": 1500, "skipped": 8, "tokens": 24, "scale": 4.0, "lowest": -103}
HORIZON = 2
MANIFEST = GenerationManifest(
    members=2,
    vocabulary=BINS,
    prompt="<image> in: {instruction} out:",
    cameras=("agentview",),
    horizon=HORIZON,
    execute_steps=1,
    step_duration=0.2,
    actions=Quantiles((-0.02,) * 3 + (-0.1,) * 3 + (0.0,), (0.02,) * 3 + (0.1,) * 3 + (1.0,), (True,) * 6 + (False,)),
    position_unit=1.0,
    rotation_unit=1.0,
    gripper_open=1.0,
    gripper_closed=-1.0,
    files={},
)
FAST_MANIFEST = replace(
    MANIFEST,
    vocabulary=FAST,
    prompt="<image> in: {instruction} state: {state} ;",
    state=Quantiles((-1.0,) * 8, (1.0,) * 8),
    actions=replace(MANIFEST.actions, scaled=()),
    gripper_closed=0.0,
    most_tokens=20,
)


def tokenizer(fast: bool) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GemmaTokenizerFast, PreTrainedTokenizerFast

    ids = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    words = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    given = {"model_input_names": ["input_ids", "attention_mask"], "extra_special_tokens": {"image_token": "<image>"}}
    return (GemmaTokenizerFast if fast else PreTrainedTokenizerFast)(tokenizer_object=words, **given, **names)


def text_config(vocabulary: int, **more: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return {"vocab_size": vocabulary, "num_key_value_heads": 1, "head_dim": 16, **sizes, **ends, **more}


def vision_config(**more: Any) -> dict[str, Any]:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    return {"image_size": IMAGE, "patch_size": PATCH, **sizes, **more}


def openvla_like(seed: int, sharpness: float = 0.5) -> Any:
    """A LLaVA that says nothing but actions; like OpenVLA's, its logits have columns that are no word at all."""
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**vision_config()),
            text_config=LlamaConfig(**text_config(BINS["size"] + 4), tie_word_embeddings=False),
            image_token_index=SPECIAL.index("<image>"),
            pad_token_id=0,
            tie_word_embeddings=False,
        )
    )
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim > 1:  # far enough from zero that words and places make a difference
                value.normal_(0, sharpness * value.shape[-1] ** -0.5 if "lm_head" in name else 0.3)
        model.lm_head.weight[: BINS["size"] - BINS["bins"]] *= 0.02
        model.lm_head.weight[BINS["size"] :] = 0
    return model.eval()


def fast_like(seed: int) -> Any:
    """A PaliGemma; it says anything."""
    import torch
    from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

    torch.manual_seed(seed)
    model = PaliGemmaForConditionalGeneration(
        PaliGemmaConfig(
            vision_config={"model_type": "siglip_vision_model", **vision_config(projection_dim=32)},
            text_config={"model_type": "gemma", **text_config(FAST["size"])},
            image_token_index=SPECIAL.index("<image>"),
            projection_dim=32,
            hidden_size=32,
            pad_token_id=0,
        )
    )
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1:
                value.normal_(0, 0.15)
    return model.eval()


def processor(fast: bool) -> Any:
    from transformers import CLIPImageProcessor, LlavaProcessor, PaliGemmaProcessor, SiglipImageProcessor

    if fast:
        images = SiglipImageProcessor(size={"height": IMAGE, "width": IMAGE}, image_seq_length=(IMAGE // PATCH) ** 2)
        return PaliGemmaProcessor(images, tokenizer(fast))
    square = {"height": IMAGE, "width": IMAGE}
    images = CLIPImageProcessor(size={"shortest_edge": IMAGE}, crop_size=square)
    return LlavaProcessor(
        images,
        tokenizer(fast),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def fast_tokenizer(path: Path) -> None:
    """FAST's own: characters 103 - 12 to 103 + 11, one token each."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = {chr(103 - 12 + number): number for number in range(FAST["tokens"])}
    own = Tokenizer(models.BPE(vocab=letters, merges=[]))
    own.pre_tokenizer, own.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    path.parent.mkdir()
    own.save(str(path))


def write(folder: Path, manifest: GenerationManifest, make: Callable[[int], Any] | None = None) -> Path:
    """The folder of a policy; member i has the seed i."""
    fast = manifest.vocabulary["name"] == "pi0_fast"
    make = make or (fast_like if fast else openvla_like)
    for number in range(manifest.members):
        make(number).save_pretrained(folder / f"member_{number}")
    processor(fast).save_pretrained(folder / "member_0")
    if fast:
        fast_tokenizer(folder / FAST_FILE)
    replace(manifest, files=listing(folder)).save(folder)
    return folder


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
