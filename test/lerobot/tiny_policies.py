"""The real classes of LeRobot, a thousand times smaller, with random parameters and no download."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

HORIZON, REAL, PADDED, STEPS, STATE = 4, 3, 8, 10, 5
CAMERA, IMAGE = "observation.images.top", 28
WORDS = 6
Make = Callable[..., Any]


def _features() -> dict[str, Any]:
    from lerobot.configs.types import FeatureType, PolicyFeature

    return {
        "input_features": {
            CAMERA: PolicyFeature(FeatureType.VISUAL, (3, IMAGE, IMAGE)),
            "observation.state": PolicyFeature(FeatureType.STATE, (STATE,)),
        },
        "output_features": {"action": PolicyFeature(FeatureType.ACTION, (REAL,))},
        "chunk_size": HORIZON,
        "n_action_steps": HORIZON,
        "max_state_dim": PADDED,
        "max_action_dim": PADDED,
        "device": "cpu",
    }


def smolvla_config(folder: Path, **options: Any) -> Any:
    """A SmolVLA's configuration; the vision-language model's own lies in ``folder``."""
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from transformers import SmolVLMConfig

    text = {
        "vocab_size": 60,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "model_type": "llama",
        "pad_token_id": 0,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": IMAGE,
        "patch_size": 7,
    }
    whole = SmolVLMConfig(text_config=text, vision_config=vision, scale_factor=2, image_token_id=59, pad_token_id=0)
    whole.save_pretrained(folder)
    return SmolVLAConfig(
        vlm_model_name=str(folder),
        load_vlm_weights=False,
        num_steps=options.pop("num_steps", STEPS),
        num_vlm_layers=4,
        resize_imgs_with_padding=(IMAGE, IMAGE),
        **_features(),
        **options,
    )


def _shrink_pi(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    """Small transformers and a small image encoder in place of those that pi0's and pi0.5's code names."""

    def small(variant: str) -> Any:
        width = 16 if variant == "gemma_300m" else 24
        return SimpleNamespace(width=width, depth=2, mlp_dim=32, num_heads=8, num_kv_heads=1, head_dim=8)

    name = "PaliGemmaForConditionalGenerationWithPiGemma"
    full = getattr(module, name)

    def paligemma(config: Any) -> Any:
        vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
        for key, value in {**vision, "projection_dim": config.text_config.hidden_size, "patch_size": 14}.items():
            setattr(config.vision_config, key, value)
        return full(config=config)

    monkeypatch.setattr(module, "get_gemma_config", small)
    monkeypatch.setattr(module, name, paligemma)


def make(family: str, seed: int, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    """A policy; equal seeds give equal parameters.

    :param folder: where the configuration of its vision-language model is put.
    """
    import torch

    module = importlib.import_module(f"lerobot.policies.{family}.modeling_{family}")
    if family == "smolvla":
        from lerobot.policies.smolvla import smolvlm_with_expert

        tokeniser = SimpleNamespace(fake_image_token_id=57, global_image_token_id=58)
        stub = SimpleNamespace(from_pretrained=lambda *_, **__: SimpleNamespace(tokenizer=tokeniser))
        monkeypatch.setattr(smolvlm_with_expert, "AutoProcessor", stub)
        config, policy_class = smolvla_config(folder, **options), module.SmolVLAPolicy
    else:
        _shrink_pi(monkeypatch, module)
        configuration = importlib.import_module(f"lerobot.policies.{family}.configuration_{family}")
        sizes = {"image_resolution": (IMAGE, IMAGE), "num_inference_steps": STEPS}
        config = getattr(configuration, f"{family.upper()}Config")(**_features(), **sizes, **options)
        policy_class = getattr(module, f"{family.upper()}Policy")
    torch.manual_seed(seed)
    policy = policy_class(config)
    for name, parameter in policy.named_parameters():
        if name.endswith("norm.dense.weight"):  # pi0.5 begins with no effect of the time at all
            torch.nn.init.normal_(parameter, std=0.2)
    return policy.float().eval()


def batch(seed: int = 0) -> dict[str, Any]:
    """An observation as the policies' preprocessors leave it, batch size 1."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(1, WORDS, dtype=torch.bool)
    mask[:, WORDS - 2 :] = False
    return {
        CAMERA: torch.rand(1, 3, IMAGE, IMAGE, generator=generator),
        "observation.state": torch.randn(1, STATE, generator=generator),
        "observation.language.tokens": torch.randint(1, 50, (1, WORDS), generator=generator),
        "observation.language.attention_mask": mask,
    }


def noise(seed: int = 0) -> Any:
    import torch

    return torch.randn(1, HORIZON, PADDED, generator=torch.Generator().manual_seed(seed))
