"""Goldens of the LLaMA family with LoRA: tiny random models run by PyTorch, transformers and PEFT.

    python scripts/make_goldens.py            all cases, into tests/goldens/llama_<case>/
    python scripts/make_goldens.py bias       the named cases only

Each folder: model/ and adapter/ (as Hugging Face and PEFT write them), golden.json and golden.safetensors.
The numbers are computed in float64 from the saved files (stored as float32); how far a float32 run of PyTorch is
from them stands in golden.json. Samples run one by one, unpadded; loss = sum over targets / number of targets.
Deterministic: a second run writes the same bytes. CPU only, no network.

Needs: pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2 safetensors==0.8.0
"""

import json
import math
import platform
import shutil
import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from peft_reference import (
    STEPS,
    Exact,
    Sample,
    load_base,
    load_both,
    lora_parameters,
    run_adamw,
    run_batch,
    sample_logits,
    sample_loss,
)

GOLDENS = Path(__file__).parent.parent / "tests" / "goldens"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# Target spans [first, end) of each sample; the first sample has two, as a conversation does.
SAMPLES = [(21, [(8, 12), (16, 21)]), (13, [(6, 13)]), (8, [(5, 8)])]


@dataclass
class Case:
    """One golden folder. style: how config.json is written: by transformers 5, by 4, or as LLaMA-1's files were."""

    seed: int
    config: dict[str, Any] = field(default_factory=dict)
    rope: dict[str, Any] = field(default_factory=dict)
    style: str = "v5"
    dtype: str = "float32"
    target_modules: str | list[str] = "all-linear"
    r: int = 4
    lora_alpha: float = 8
    use_rslora: bool = False
    sharded: bool = False
    inv_freq: bool = False
    bfloat16_run: bool = False
    tree: bool = False


# Wavelengths of head_dim 8: 6.3 (kept), 167 and 63 (between), the others longer (divided by factor).
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 256}  # fmt: skip
LLAMA3_SHORT = {**LLAMA3, "rope_theta": 10000.0, "original_max_position_embeddings": 128, "factor": 32.0}
CASES: dict[str, Case] = {
    "gqa_tied": Case(1, {"tie_word_embeddings": True, "vocab_size": 256}),
    "mha_untied": Case(2, {"num_key_value_heads": 4}, style="v4", target_modules=["q_proj", "v_proj"]),
    "head_dim": Case(3, {"hidden_size": 36, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 16}),
    "bias": Case(4, {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "rope_llama3_v5": Case(5, {"tie_word_embeddings": True}, rope=LLAMA3),
    "rope_llama3_v4": Case(6, {"tie_word_embeddings": True}, rope=LLAMA3_SHORT, style="v4"),
    "rope_linear_v4": Case(7, {"tie_word_embeddings": True}, rope={"rope_type": "linear", "factor": 4.0}, style="v4"),
    "rslora": Case(8, {"tie_word_embeddings": True}, r=5, lora_alpha=3, use_rslora=True),
    "inv_freq_float16": Case(9, {"num_key_value_heads": 4}, style="llama1", dtype="float16", inv_freq=True),
    "sharded": Case(10, {"rms_norm_eps": 1e-6}, sharded=True),
    "tree": Case(12, {"tie_word_embeddings": True}, tree=True),
    "bfloat16": Case(11, {"tie_word_embeddings": True}, dtype="bfloat16", bfloat16_run=True),
}


def write_model(case: Case, folder: Path, generator: torch.Generator) -> None:
    """A random model whose logits spread over about ±2, saved as the case's style asks."""
    rope = {"rope_type": "default", "rope_theta": 10000.0, **case.rope}
    settings = {"vocab_size": 160, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
                "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2, **case.config}  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(rope_parameters=rope, **settings))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if name.endswith("norm.weight"):
                weight.copy_(1 + 0.2 * noise)
            elif name.endswith("bias"):
                weight.copy_(0.2 * noise)
            else:
                weight.copy_(noise / math.sqrt(weight.shape[-1]) * (1.5 if weight.shape[0] >= 160 else 1))
    model.to(DTYPES[case.dtype]).save_pretrained(folder, max_shard_size="30KB" if case.sharded else "1GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case.inv_freq:
        tensors = load_file(folder / "model.safetensors")
        for layer in range(settings["num_hidden_layers"]):
            tensors[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = model.model.rotary_emb.inv_freq.float()
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    rewrite_config(case, folder / "config.json", rope)


def rewrite_config(case: Case, path: Path, rope: dict[str, Any]) -> None:
    """config.json in the case's style; keys sorted, nothing else changed."""
    config = json.loads(path.read_text())
    if case.style != "v5":
        config["torch_dtype"] = config.pop("dtype")
        config["transformers_version"] = "4.46.0" if case.style == "v4" else "4.28.0.dev0"
        del config["rope_parameters"], config["head_dim"]
        if case.style == "v4":
            scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
            if scaling["rope_type"] == "linear":  # as files of 2023 write it
                scaling["type"] = scaling.pop("rope_type")
            config["rope_theta"] = rope["rope_theta"]
            config["rope_scaling"] = None if rope["rope_type"] == "default" else scaling
        else:
            for key in ("num_key_value_heads", "attention_bias", "mlp_bias", "attention_dropout"):
                del config[key]
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def make_batch(vocab_size: int, generator: torch.Generator) -> list[Sample]:
    batch = []
    for length, spans in SAMPLES:
        ids = torch.randint(3, vocab_size, (length,), generator=generator).tolist()
        batch.append({
            "input_ids": [1, *ids[1:-1], 2],
            "is_target": [int(any(first <= i < end for first, end in spans)) for i in range(length)],
        })  # fmt: skip
    return batch


def make_tree_batch(vocab_size: int, generator: torch.Generator) -> list[Sample]:
    """Two roles with questions and answers: samples that share prefixes of every kind. The lists are lengths."""

    def piece(length: int) -> list[int]:
        return torch.randint(3, vocab_size, (length,), generator=generator).tolist()

    def sample(prompt: list[int], answer: list[int]) -> Sample:
        answer = [*answer, 2]
        return {"input_ids": prompt + answer, "is_target": [0] * len(prompt) + [1] * len(answer)}

    system = [1, *piece(2)]
    batch = []
    for role_length, questions in ((8, [(3, [5, 4]), (4, [6])]), (5, [(4, [4, 3])])):
        role = system + piece(role_length)
        for question_length, answers in questions:
            prompt = role + piece(question_length)
            batch += [sample(prompt, piece(length)) for length in answers]
    first = batch[0]["input_ids"][:14]  # the first question's prompt
    begun = batch[0]["input_ids"][14:17]
    # Two answers that begin as the first one does, one of them to its end, and the first question asked of nobody.
    batch += [sample(first, [*begun, *piece(2)]), sample(first, begun), sample(system + first[-3:], piece(3))]
    return batch


def write_adapter(case: Case, folder: Path, batch: list[Sample], generator: torch.Generator) -> None:
    """Random A and B, trained until the batch's loss is a tenth lower than without the adapter."""
    config = LoraConfig(
        r=case.r, lora_alpha=case.lora_alpha, lora_dropout=0.0, target_modules=case.target_modules,
        use_rslora=case.use_rslora, task_type="CAUSAL_LM",
    )  # fmt: skip
    base = load_base(folder / "model", torch.float32)
    model = get_peft_model(base, config)
    model.peft_config["default"].base_model_name_or_path = f"tests/goldens/{folder.name}/model"
    with torch.no_grad():
        for name, weight in lora_parameters(model).items():
            noise = torch.randn(weight.shape, generator=generator) / math.sqrt(weight.shape[1])
            weight.copy_(noise * (0.3 if "lora_B" in name else 1.0))
        with model.disable_adapter():
            plain = sum(sample_loss(sample_logits(model, sample), sample).item() for sample in batch)
    optimizer = torch.optim.Adam(lora_parameters(model).values(), lr=0.01)
    while sum(run_batch(model, batch)["losses"]) > 0.9 * plain:
        optimizer.step()
    model.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    path = folder / "adapter" / "adapter_config.json"
    saved = json.loads(path.read_text())
    saved["target_modules"] = sorted(saved["target_modules"])
    path.write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n")


def largest_error(a: dict[Any, Tensor], b: dict[Any, Tensor]) -> float:
    """Largest max |a - b| / max |b| of the tensors."""
    return max(((a[key].double() - b[key].double()).abs().max() / b[key].abs().max()).item() for key in b)


def flat(run: dict[str, Any], prefix: str = "") -> dict[str, Tensor]:
    logits = {f"{prefix}logits.{i}": x for i, x in enumerate(run["logits"])}
    return logits | {f"{prefix}grad.{name}": x for name, x in run["grads"].items()}


def errors(run: dict[str, Any], truth: dict[str, Any]) -> dict[str, float]:
    """How far a run of lower precision is from the float64 one."""
    logits, true_logits = dict(enumerate(run["logits"])), dict(enumerate(truth["logits"]))
    return {
        "logits": largest_error(logits, true_logits),
        "grads": largest_error(run["grads"], truth["grads"]),
        "loss": abs(run["loss"] - truth["loss"]) / truth["loss"],
    }


def choose_clip(folder: Path, batch: list[Sample], settings: dict[str, Any]) -> float:
    """A max_grad_norm between the third and fourth smallest norm, so that some steps clip and some do not."""
    free = run_adamw(load_both(folder, torch.float64), batch, {**settings, "max_grad_norm": math.inf})
    norms = sorted(free["grad_norms"])
    return float(f"{(norms[3] + norms[4]) / 2:.3g}")


def make_case(name: str, case: Case) -> str:
    folder = GOLDENS / f"llama_{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(case.seed)
    write_model(case, folder / "model", generator)
    vocab_size = json.loads((folder / "model" / "config.json").read_text())["vocab_size"]
    batch = (make_tree_batch if case.tree else make_batch)(vocab_size, generator)
    write_adapter(case, folder, batch, generator)

    adamw = {"learning_rate": 0.003, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1}
    with Exact():
        truth = run_batch(load_both(folder, torch.float64), batch)
        base = load_base(folder / "model", torch.float32).double()
        with torch.no_grad():
            truth["logits_base"] = [sample_logits(base, sample) for sample in batch]
        truth["losses_base"] = [sample_loss(x, s).item() for x, s in zip(truth["logits_base"], batch, strict=True)]
        adamw["max_grad_norm"] = choose_clip(folder, batch, adamw)
        steps = run_adamw(load_both(folder, torch.float64), batch, adamw)
    float32 = run_batch(load_both(folder, torch.float32), batch)
    float32_steps = run_adamw(load_both(folder, torch.float32), batch, adamw)
    check_case(truth, steps, adamw["max_grad_norm"])

    tensors = flat(truth) | {f"logits_base.{i}": x for i, x in enumerate(truth["logits_base"])}
    tensors |= {f"final.{key}": x for key, x in steps["final"].items()}
    golden: dict[str, Any] = {
        "magic": "rocit-golden-llama",
        "version": 1,
        "case": name,
        "seed": case.seed,
        "command": f"python scripts/make_goldens.py {name}",
        "tools": {tool: version(tool) for tool in ("torch", "transformers", "peft", "safetensors")}
        | {"python": platform.python_version()},
        "settings": asdict(case),
        "batch": batch,
        "num_targets": sum(sum(sample["is_target"]) for sample in batch),
        "loss": truth["loss"],
        "sample_losses": truth["losses"],
        "sample_losses_base": truth["losses_base"],
        "adamw": adamw | {"losses": steps["losses"], "grad_norms": steps["grad_norms"],
                          "losses_float32": float32_steps["losses"]},
        "float32_error": errors(float32, truth)
        | {"adamw_losses": max(abs(a - b) / b for a, b in zip(float32_steps["losses"], steps["losses"], strict=True)),
           "final": largest_error(float32_steps["final"], steps["final"])},
    }  # fmt: skip
    if case.bfloat16_run:
        for key, autocast in (("bfloat16", True), ("bfloat16_adapter_bfloat16", False)):
            run = run_batch(load_both(folder, torch.bfloat16, autocast), batch)
            tensors |= flat(run, f"{key}.")
            golden[key] = {"loss": run["loss"], "sample_losses": run["losses"], "error": errors(run, truth)}
    save_file({key: x.float().contiguous() for key, x in sorted(tensors.items())}, folder / "golden.safetensors")
    (folder / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    moved = sum(truth["losses"]) / sum(truth["losses_base"]) - 1
    return f"{name}: loss {truth['loss']:.4f} (adapter {moved:+.1%}), float32 errors {golden['float32_error']}"


def check_case(truth: dict[str, Any], steps: dict[str, Any], max_grad_norm: float) -> None:
    """A golden that could not tell a wrong implementation from a right one is refused."""
    tuned, plain = sum(truth["losses"]), sum(truth["losses_base"])
    assert abs(tuned - plain) / plain >= 0.05, f"the adapter moves the loss from {plain} to {tuned} only"
    spread = min(x.std().item() for x in truth["logits"])
    assert 0.5 < spread < 6, f"logits are degenerate: {spread}"
    clipped = sum(norm > max_grad_norm for norm in steps["grad_norms"])
    assert 2 <= clipped <= STEPS - 2, f"{clipped} of {STEPS} steps clip"
    assert abs(steps["losses"][-1] / steps["losses"][0] - 1) > 0.05, "the ten steps change nothing"
    assert all(grad.abs().max() > 1e-5 for grad in truth["grads"].values()), "a gradient is zero"


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    names = sys.argv[1:] or list(CASES)
    for case_name in names:
        print(make_case(case_name, CASES[case_name]))
