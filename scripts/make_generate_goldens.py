"""Goldens of generation: transformers' greedy answers of the tiny models, and its top-p warper on random logits.

    python scripts/make_generate_goldens.py        into tests/goldens/generate.json

Reads the folders that make_goldens.py wrote. Float32 on the CPU; each answer's smallest distance between the best and
the second logit stands beside it, so that a reader sees that rounding cannot change it. Deterministic, no network.

Needs: pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2 safetensors==0.8.0
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

from peft_reference import load_base, load_both

GOLDENS = Path(__file__).parent.parent / "tests" / "goldens"
CASES = ["gqa_tied", "mha_untied", "head_dim", "bias", "rope_llama3_v5", "rope_linear_v4", "rslora"]
NEW_TOKENS = 24
PROMPT_LENGTHS = [1, 9, 40]
WARPERS = [(0.7, 0.95), (1.0, 0.5), (2.5, 0.9), (0.2, 0.8), (1.0, 1.0), (0.7, 0.01)]


def greedy(model: Any, prompt: list[int]) -> tuple[list[int], float]:
    """The new tokens, end token included, and the smallest distance of the best two logits."""
    ids = torch.tensor([prompt])
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS,
        eos_token_id=2, pad_token_id=2, return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    best = torch.stack(out.logits)[:, 0].topk(2).values
    return out.sequences[0, len(prompt) :].tolist(), (best[:, 0] - best[:, 1]).min().item()


def answers(case: str) -> list[dict[str, Any]]:
    folder = GOLDENS / f"llama_{case}"
    generator = torch.Generator().manual_seed(7)
    rows = []
    for length in PROMPT_LENGTHS:
        prompt = [1, *torch.randint(3, 160, (length - 1,), generator=generator).tolist()]
        for adapter in (False, True):
            load = load_both(folder, torch.float32) if adapter else load_base(folder / "model", torch.float32)
            new_ids, margin = greedy(load, prompt)
            assert margin > 1e-4, f"{case}: rounding may change the answer to {prompt}: {margin}"
            rows.append({"case": case, "adapter": adapter, "prompt": prompt, "new_ids": new_ids, "margin": margin})
    return rows


def warped() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(11)
    rows = []
    for temperature, top_p in WARPERS:
        logits = torch.randn(1, 50, generator=generator) * 1.5
        scores = TopPLogitsWarper(top_p)(None, TemperatureLogitsWarper(temperature)(None, logits.double()))
        probabilities = scores.softmax(-1)[0].tolist()
        kept = {i: p for i, p in enumerate(probabilities) if p > 0}
        rows.append({"temperature": temperature, "top_p": top_p, "logits": logits[0].tolist(), "kept": kept})
    return rows


def main() -> None:
    golden = {
        "magic": "rocit-golden-generate",
        "version": 1,
        "command": "python scripts/make_generate_goldens.py",
        "tools": {name: version(name) for name in ("torch", "transformers", "peft")},
        "answers": [row for case in CASES for row in answers(case)],
        "warped": warped(),
    }
    (GOLDENS / "generate.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
