"""What a second member costs on a SmolVLA of full size with random parameters; runs in LeRobot's own environment.

Prints one line of JSON: rows as those of ``ensemble_cost``. The members share the vision-language model and what it
made of the observation; in the last row the second one has its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

CAMERAS, IMAGE, STATE, ACTION, WORDS, HORIZON, PADDED = 2, 512, 8, 7, 48, 50, 32
LAST = 3
TEXT = {
    "vocab_size": 49280,
    "hidden_size": 960,
    "intermediate_size": 2560,
    "num_hidden_layers": 32,
    "num_attention_heads": 15,
    "num_key_value_heads": 5,
    "head_dim": 64,
    "model_type": "llama",
    "pad_token_id": 2,
}
VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": IMAGE,
    "patch_size": 16,
}
"""Sizes of SmolVLM2-500M, of whose 32 layers SmolVLA uses 16."""


def make(folder: Path) -> Any:
    """A policy with random parameters, without a download."""
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.smolvla import smolvlm_with_expert
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
    from transformers import SmolVLMConfig

    tokeniser = SimpleNamespace(fake_image_token_id=49189, global_image_token_id=49152)
    processor = SimpleNamespace(tokenizer=tokeniser)
    smolvlm_with_expert.AutoProcessor = SimpleNamespace(from_pretrained=lambda *_, **__: processor)
    SmolVLMConfig(
        text_config=TEXT, vision_config=VISION, scale_factor=4, image_token_id=49190, pad_token_id=2
    ).save_pretrained(folder)
    images = {f"observation.images.{i}": PolicyFeature(FeatureType.VISUAL, (3, IMAGE, IMAGE)) for i in range(CAMERAS)}
    config = SmolVLAConfig(
        vlm_model_name=str(folder),
        load_vlm_weights=False,
        device="cpu",
        input_features={**images, "observation.state": PolicyFeature(FeatureType.STATE, (STATE,))},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (ACTION,))},
    )
    return SmolVLAPolicy(config).float().eval()


def measure(repetitions: int, seed: int) -> list[dict[str, Any]]:
    """A row for each way to have a second member."""
    import torch

    from vla_server.lerobot.tap import FlowTap

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    with TemporaryDirectory() as folder:
        policies = make(Path(folder)), make(Path(folder))
    # One vision-language model for both; the second's own is thrown away.
    policies[1].model.vlm_with_expert.vlm = policies[0].model.vlm_with_expert.vlm
    acting, other = (FlowTap(policy) for policy in policies)
    batch = {f"observation.images.{i}": torch.rand(1, 3, IMAGE, IMAGE) for i in range(CAMERAS)}
    batch["observation.state"] = torch.randn(1, STATE)
    batch["observation.language.tokens"] = torch.randint(1, 1000, (1, WORDS))
    batch["observation.language.attention_mask"] = torch.ones(1, WORDS, dtype=torch.bool)
    found: dict[str, list[float]] = {name: [] for name in ("plain", "sample", "all", "last", "prefix")}

    def timed(name: str, work: Callable[[], Any], kept: bool) -> Any:
        started = time.thread_time()
        result = work()
        if kept:
            found[name].append(1e3 * (time.thread_time() - started))
        return result

    plain = torch.no_grad()(policies[0].predict_action_chunk)
    for turn in range(repetitions + 1):
        noise, kept = torch.randn(1, HORIZON, PADDED), turn > 0
        timed("plain", partial(plain, dict(batch), noise=noise), kept)
        _, passage = timed("sample", partial(acting.sample, batch, noise), kept)
        states, times, look = torch.cat(passage.states), torch.cat(passage.times), other.velocities
        # The first node is noise, where the weight is zero.
        timed("all", partial(look, passage.arguments, states[1:], times[1:]), kept)
        timed("last", partial(look, passage.arguments, states[-LAST:], times[-LAST:]), kept)
        timed("prefix", partial(other.prefix, batch), kept)
    ways = {("all", "one"): ("all",), (f"last {LAST}", "one"): ("last",), ("all", "own"): ("all", "prefix")}
    return [row(nodes, encoders, found, extra) for (nodes, encoders), extra in ways.items()]


def row(nodes: str, encoders: str, found: dict[str, list[float]], extra: Sequence[str]) -> dict[str, Any]:
    """Medians, and the median and the range of the pairs."""
    watched = [sum(values) for values in zip(found["sample"], *(found[name] for name in extra), strict=True)]
    pairs = [watching / plain for watching, plain in zip(watched, found["plain"], strict=True)]
    return {
        "back_end": "lerobot",
        "net": "smolvla",
        "members": 2,
        "nodes": nodes,
        "encoders": encoders,
        "n": len(pairs),
        "plain_ms": statistics.median(found["plain"]),
        "watched_ms": statistics.median(watched),
        "ratio": statistics.median(pairs),
        "spread": f"{min(pairs):.3g}–{max(pairs):.3g}",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    from vla_server.lerobot.environment import prepare

    prepare()
    rows = measure(args.repetitions, args.seed)
    print(json.dumps({"lerobot": metadata.version("lerobot"), "rows": rows}))


if __name__ == "__main__":
    main()
