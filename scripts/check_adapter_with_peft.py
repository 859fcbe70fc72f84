"""Loads an adapter written by rocit with PEFT itself, and compares the loss of each sample.

    python scripts/check_adapter_with_peft.py <base> <adapter> [<score.jsonl> <samples.jsonl>]

Fails on any missing or unexpected key, and on an adapter that PEFT would save with other tensors or settings. With the
output of `rocit score` and of `scripts/export_samples.mjs` for the same config, also computes each sample's loss_sum by
transformers + PEFT in float32 and fails where one differs by more than 1e-4 relative. Add --limit N for the first N.

Needs: pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2 safetensors
"""

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()
LIMIT = 1e-4
# Settings that change what an adapter computes.
SETTINGS = ["peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "bias", "fan_in_fan_out"]


def fail(text: str) -> None:
    sys.exit(f"FAILED: {text}")


def load(base: Path, adapter: Path) -> Any:
    """The model with its adapter; PEFT only warns of keys that do not fit, so a warning is a failure here."""
    model, info = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, output_loading_info=True)
    if info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"]:
        fail(f"the base does not load whole: {info}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(model, adapter)
    bad = [str(item.message) for item in caught if "adapter" in str(item.message) or "key" in str(item.message)]
    if bad:
        fail("; ".join(bad))
    again = model.load_adapter(adapter, "again")
    if again.missing_keys and any("again" in key for key in again.missing_keys) or again.unexpected_keys:
        fail(f"missing {again.missing_keys}, unexpected {again.unexpected_keys}")
    model.delete_adapter("again")
    model.set_adapter("default")
    return model.eval()


def check_round_trip(model: Any, adapter: Path) -> int:
    """What PEFT saves of the loaded adapter must be what rocit wrote; returns the number of tensors."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        ours, theirs = load_file(adapter / "adapter_model.safetensors"), load_file(Path(folder, "adapter_model.safetensors"))
        if ours.keys() != theirs.keys():
            fail(f"other tensors: {sorted(ours.keys() ^ theirs.keys())}")
        changed = [name for name in ours if not torch.equal(ours[name], theirs[name])]
        if changed:
            fail(f"other values: {changed}")
        mine, peft = (json.loads(Path(place, "adapter_config.json").read_text()) for place in (adapter, folder))
        differing = {key: (mine.get(key), peft.get(key)) for key in SETTINGS if mine.get(key) != peft.get(key)}
        if sorted(mine["target_modules"]) != sorted(peft["target_modules"]):
            differing["target_modules"] = (mine["target_modules"], peft["target_modules"])
        if differing:
            fail(f"other settings (rocit, PEFT): {differing}")
    return len(ours)


def sample_loss(model: Any, sample: dict[str, list[int]]) -> tuple[float, int]:
    ids = torch.tensor([sample["input_ids"]])
    target = torch.tensor(sample["is_target"][1:], dtype=torch.bool)
    with torch.no_grad():
        logits = model(ids).logits[0, :-1][target]
    return torch.nn.functional.cross_entropy(logits, ids[0, 1:][target], reduction="sum").item(), int(target.sum())


def compare_losses(model: Any, scores: list[dict[str, Any]], samples: list[dict[str, list[int]]]) -> None:
    if len(scores) != len(samples):
        fail(f"{len(scores)} scores for {len(samples)} samples: take both from one config")
    worst = 0.0
    for number, (score, sample) in enumerate(zip(scores, samples), 1):
        loss, num_targets = sample_loss(model, sample)
        if num_targets != score["num_targets"]:
            fail(f"sample {number}: {score['num_targets']} targets by rocit, {num_targets} here")
        difference = abs(loss - score["loss_sum"]) / max(abs(loss), 1e-9)
        if difference > LIMIT:
            fail(f"sample {number}: loss_sum {score['loss_sum']} by rocit, {loss} by PEFT ({difference:.1e} relative)")
        worst = max(worst, difference)
    print(f"{len(scores)} samples: losses equal PEFT's, largest relative difference {worst:.1e} (limit {LIMIT:.0e})")


def read_lines(path: Path, limit: int | None) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:limit]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("scores", type=Path, nargs="?")
    parser.add_argument("samples", type=Path, nargs="?")
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    if args.scores and not args.samples:
        parser.error("give samples.jsonl (scripts/export_samples.mjs) beside score.jsonl")
    model = load(args.base, args.adapter)
    print(f"PEFT loads {check_round_trip(model, args.adapter)} tensors: none missing, none unexpected, same settings")
    if args.scores:
        compare_losses(model, read_lines(args.scores, args.limit), read_lines(args.samples, args.limit))


if __name__ == "__main__":
    main()
