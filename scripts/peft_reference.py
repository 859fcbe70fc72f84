"""Runs LLaMA with a LoRA adapter by transformers and PEFT, in bfloat16, float32 or wholly in float64.

Read by make_goldens.py; writes nothing. Samples run one by one, unpadded, with sdpa attention.
"""

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.models.llama import modeling_llama
from transformers.utils import logging

logging.disable_progress_bar()
STEPS = 10
Sample = dict[str, list[int]]


def exact_norm(self: Any, hidden_states: Tensor) -> Tensor:
    """RMSNorm without transformers' cast to float32."""
    variance = hidden_states.pow(2).mean(-1, keepdim=True)
    return self.weight * (hidden_states * torch.rsqrt(variance + self.variance_epsilon))


def exact_rotary(self: Any, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Rotary tables without transformers' cast to float32 (the float32 inverse frequencies are kept)."""
    angles = position_ids[..., None].to(x.dtype) * self.inv_freq.to(x.dtype)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos() * self.attention_scaling, angles.sin() * self.attention_scaling


class Exact:
    """Runs transformers' LLaMA wholly in float64: `with Exact(): …` around a model of double weights."""

    def __enter__(self) -> None:
        self.norm = modeling_llama.LlamaRMSNorm.forward
        self.rotary = modeling_llama.LlamaRotaryEmbedding.forward
        modeling_llama.LlamaRMSNorm.forward = exact_norm
        modeling_llama.LlamaRotaryEmbedding.forward = torch.no_grad()(exact_rotary)

    def __exit__(self, *_: object) -> None:
        modeling_llama.LlamaRMSNorm.forward = self.norm
        modeling_llama.LlamaRotaryEmbedding.forward = self.rotary


def load_base(folder: Path, dtype: torch.dtype) -> Any:
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="sdpa", output_loading_info=True
    )
    unexpected = [key for key in info["unexpected_keys"] if not key.endswith("rotary_emb.inv_freq")]
    assert not info["missing_keys"] and not unexpected and not info["mismatched_keys"], info
    return model.eval()


def load_both(folder: Path, dtype: torch.dtype, autocast_adapter: bool = True) -> Any:
    """The model with its adapter, trainable; double loads the stored weights first and widens them then."""
    narrow = torch.float32 if dtype == torch.float64 else dtype
    model = PeftModel.from_pretrained(
        load_base(folder / "model", narrow), folder / "adapter", is_trainable=True,
        autocast_adapter_dtype=autocast_adapter,
    )  # fmt: skip
    return (model.double() if dtype == torch.float64 else model).eval()


def lora_parameters(model: Any) -> dict[str, nn.Parameter]:
    """Trainable parameters by their name in the PEFT file, without `base_model.model.`."""
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    return {name.removeprefix("base_model.model.").replace(".default.", "."): x for name, x in trained.items()}


def sample_logits(model: Any, sample: Sample) -> Tensor:
    return model(input_ids=torch.tensor([sample["input_ids"]]), use_cache=False).logits[0]


def sample_loss(logits: Tensor, sample: Sample) -> Tensor:
    """Sum of -log softmax(logits[i])[input_ids[i + 1]] over the targets i + 1, in float64."""
    mask = torch.tensor(sample["is_target"][1:], dtype=torch.bool)
    targets = torch.tensor(sample["input_ids"][1:])[mask]
    return nn.functional.cross_entropy(logits[:-1][mask].double(), targets, reduction="sum")


def run_batch(model: Any, batch: list[Sample]) -> dict[str, Any]:
    """Logits, loss sums and, by accumulation over the samples, the LoRA gradients of the mean loss."""
    num_targets = sum(sum(sample["is_target"]) for sample in batch)
    model.zero_grad()
    logits, losses = [], []
    for sample in batch:
        logits.append(sample_logits(model, sample))
        loss = sample_loss(logits[-1], sample)
        (loss / num_targets).backward()
        losses.append(loss.item())
    grads = {name: weight.grad.detach().clone() for name, weight in lora_parameters(model).items()}
    return {"logits": [x.detach() for x in logits], "losses": losses, "loss": sum(losses) / num_targets, "grads": grads}


def run_adamw(model: Any, batch: list[Sample], settings: dict[str, Any]) -> dict[str, Any]:
    """Ten steps of clip_grad_norm_ and AdamW on the same batch; losses before each update."""
    parameters = lora_parameters(model)
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=settings["learning_rate"], betas=tuple(settings["betas"]), eps=settings["eps"],
        weight_decay=settings["weight_decay"], foreach=False, fused=False,
    )  # fmt: skip
    losses, norms = [], []
    for _ in range(STEPS):
        losses.append(run_batch(model, batch)["loss"])
        norms.append(nn.utils.clip_grad_norm_(parameters.values(), settings["max_grad_norm"], foreach=False).item())
        optimizer.step()
    final = {name: weight.detach().clone() for name, weight in parameters.items()}
    return {"losses": losses, "grad_norms": norms, "final": final}
