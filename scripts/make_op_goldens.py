"""Goldens of single operations: values and gradients of PyTorch in float64, for the twins in tests/reference.

    python scripts/make_op_goldens.py         writes tests/goldens/ops.json

Inputs are float32 numbers, so that a float32 implementation can be fed with exactly the same values. Arrays are flat,
row-major. Deterministic: a second run writes the same bytes. CPU only, no network.

Needs: pip install torch==2.15.0 transformers==5.23.0
"""

import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

PATH = Path(__file__).parent.parent / "tests" / "goldens" / "ops.json"
SEED = 20231003
GENERATOR = torch.Generator().manual_seed(SEED)


def random(*shape: int, scale: float = 1.0, grad: bool = False) -> Tensor:
    values = (torch.randn(shape, generator=GENERATOR) * scale).float().double()
    return values.requires_grad_(grad)


def flat(x: Tensor | None) -> list[float] | None:
    return None if x is None else x.detach().double().flatten().tolist()


def gradients(outputs: list[Tensor], cotangents: list[Tensor], inputs: list[Tensor]) -> list[list[float]]:
    return [flat(x) or [] for x in torch.autograd.grad(outputs, inputs, cotangents)]


def rms_norm(num_rows: int, hidden_size: int, eps: float, with_residual: bool) -> dict[str, Any]:
    x = random(num_rows, hidden_size, grad=True)
    residual = random(num_rows, hidden_size, grad=True) if with_residual else None
    weight = random(hidden_size)
    total = x if residual is None else x + residual
    y = F.rms_norm(total, (hidden_size,), weight, eps)
    dy = random(num_rows, hidden_size)
    dsum = random(num_rows, hidden_size) if with_residual else None
    outputs, cotangents = ([y], [dy]) if dsum is None else ([y, total], [dy, dsum])
    inputs = [x] if residual is None else [x, residual]
    dx, *dresidual = gradients(outputs, cotangents, inputs)
    assert dresidual in ([], [dx]), "the gradient of the residual is that of x"
    return {
        "num_rows": num_rows, "hidden_size": hidden_size, "eps": eps, "x": flat(x), "residual": flat(residual),
        "weight": flat(weight), "y": flat(y), "sum": flat(total), "dy": flat(dy), "dsum": flat(dsum), "dx": dx,
    }  # fmt: skip


def lora_linear(
    num_rows: int, in_features: int, outs: list[int], ranks: list[int], *, bias: bool, dropout: bool
) -> dict[str, Any]:
    """A rank of 0 stands for a projection without an adapter. The mask holds 0 or 1 / (1 - p)."""
    x = random(num_rows, in_features, grad=True)
    projections, outputs, cotangents, inputs = [], [], [], [x]
    for i, (out, r) in enumerate(zip(outs, ranks, strict=True)):
        weight = random(out, in_features, scale=1 / math.sqrt(in_features))
        shift = random(out) if bias else None
        y, lora = F.linear(x, weight, shift), None
        if r > 0:
            a, b = random(r, in_features, grad=True), random(out, r, grad=True)
            scaling = [2.0, 0.5, 1.25][i]
            keep = (torch.rand(num_rows, in_features, generator=GENERATOR) >= 0.25).double() / 0.75
            mask = keep if dropout else None
            y = y + scaling * F.linear(F.linear(x if mask is None else x * mask, a), b)
            lora = {"r": r, "scaling": scaling, "A": flat(a), "B": flat(b), "mask": flat(mask)}
            inputs += [a, b]
        projections.append({"out_features": out, "weight": flat(weight), "bias": flat(shift), "lora": lora})
        outputs.append(y)
        cotangents.append(random(num_rows, out))
    grads = gradients(outputs, cotangents, inputs)
    dx, rest = grads[0], iter(grads[1:])
    lora_grads = [{"dA": next(rest), "dB": next(rest)} if r > 0 else None for r in ranks]
    return {
        "num_rows": num_rows, "in_features": in_features, "x": flat(x), "projections": projections,
        "y": [flat(y) for y in outputs], "dy": [flat(x) for x in cotangents], "dx": dx, "lora_grads": lora_grads,
    }  # fmt: skip


def rope(num_rows: int, num_heads: int, head_dim: int, rotary_dim: int, interleaved: bool) -> dict[str, Any]:
    x = random(num_rows, num_heads, head_dim, grad=True)
    position_ids = torch.randint(0, 900, (num_rows,), generator=GENERATOR)
    position_ids[0] = 0
    inv_freq = (1 / 10000 ** (torch.arange(0, rotary_dim, 2, dtype=torch.float64) / rotary_dim)).float().double()
    angles = position_ids[:, None].double() * inv_freq
    turned, rest = x[..., :rotary_dim], x[..., rotary_dim:]
    if interleaved:  # neighbours are the real and imaginary part of one number
        pairs = torch.view_as_complex(turned.reshape(num_rows, num_heads, rotary_dim // 2, 2))
        turned = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)[:, None]).flatten(-2)
    else:
        full = torch.cat([angles, angles], dim=-1)
        turned, _ = apply_rotary_pos_emb(turned, turned, full.cos(), full.sin(), unsqueeze_dim=1)
    y = torch.cat([turned, rest], dim=-1)
    dy = random(num_rows, num_heads, head_dim)
    (dx,) = gradients([y], [dy], [x])
    return {
        "num_rows": num_rows, "num_heads": num_heads, "head_dim": head_dim, "interleaved": interleaved, "x": flat(x),
        "position_ids": position_ids.tolist(), "inv_freq": flat(inv_freq), "y": flat(y), "dy": flat(dy), "dx": dx,
    }  # fmt: skip


def tree_attention(
    subtree_end: list[int], query_start: int, heads: int, kv_heads: int, head_dim: int
) -> dict[str, Any]:
    num_keys = len(subtree_end)
    num_queries = num_keys - query_start
    q = random(num_queries, heads, head_dim, scale=2.0, grad=True)
    k = random(num_keys, kv_heads, head_dim, grad=True)
    v = random(num_keys, kv_heads, head_dim, grad=True)
    scale = float(torch.tensor(1 / math.sqrt(head_dim)).float())
    sees = [[key <= query < end for key, end in enumerate(subtree_end)] for query in range(query_start, num_keys)]
    queries, keys, values = (x.transpose(0, 1)[None] for x in (q, k, v))
    out = F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=torch.tensor(sees), scale=scale, enable_gqa=True
    )
    o = out[0].transpose(0, 1)
    do = random(num_queries, heads, head_dim)
    dq, dk, dv = gradients([o], [do], [q, k, v])
    return {
        "num_queries": num_queries, "num_keys": num_keys, "num_heads": heads, "num_key_value_heads": kv_heads,
        "head_dim": head_dim, "query_start": query_start, "scale": scale, "subtree_end": subtree_end, "q": flat(q),
        "k": flat(k), "v": flat(v), "o": flat(o), "do": flat(do), "dq": dq, "dk": dk, "dv": dv,
    }  # fmt: skip


def swiglu(size: int, scale: float) -> dict[str, Any]:
    gate, up, dy = random(size, scale=scale, grad=True), random(size, grad=True), random(size)
    y = F.silu(gate) * up
    dgate, dup = gradients([y], [dy], [gate, up])
    return {"gate": flat(gate), "up": flat(up), "y": flat(y), "dy": flat(dy), "dgate": dgate, "dup": dup}


def linear_cross_entropy(
    num_rows: int, hidden_size: int, vocab_size: int, edges: list[tuple[int, int, float]], scale: float
) -> dict[str, Any]:
    x, weight = random(num_rows, hidden_size, scale=scale, grad=True), random(vocab_size, hidden_size)
    rows, targets = torch.tensor([e[0] for e in edges]), torch.tensor([e[1] for e in edges])
    weights = torch.tensor([e[2] for e in edges], dtype=torch.float32).double()
    edge_losses = F.cross_entropy((x @ weight.T)[rows], targets, reduction="none")
    loss = (edge_losses * weights).sum()
    (dx,) = gradients([loss], [torch.tensor(1.0).double()], [x])
    return {
        "num_rows": num_rows, "hidden_size": hidden_size, "vocab_size": vocab_size, "x": flat(x),
        "weight": flat(weight),
        "edge_rows": rows.tolist(), "edge_targets": targets.tolist(), "edge_weights": flat(weights),
        "edge_losses": flat(edge_losses), "loss": loss.item(), "dx": dx,
    }  # fmt: skip


def embedding(ids: list[int], vocab_size: int, hidden_size: int) -> dict[str, Any]:
    weight = random(vocab_size, hidden_size)
    y = F.embedding(torch.tensor(ids), weight)
    return {"vocab_size": vocab_size, "hidden_size": hidden_size, "ids": ids, "weight": flat(weight), "y": flat(y)}


def adamw(
    sizes: list[int], scales: list[float], grad_scale: float, max_grad_norm: float, weight_decay: float
) -> dict[str, Any]:
    """clip_grad_norm_ and torch.optim.AdamW: one step for each entry of scales, the spread of that step's gradients."""
    params = [random(size, grad=True) for size in sizes]
    hyper = {"learning_rate": 0.0625, "betas": [0.875, 0.984375], "eps": 2.0**-20, "weight_decay": weight_decay,
             "max_grad_norm": max_grad_norm, "grad_scale": grad_scale}  # fmt: skip
    start = [flat(p) for p in params]
    optimizer = torch.optim.AdamW(
        params, lr=hyper["learning_rate"], betas=tuple(hyper["betas"]), eps=hyper["eps"], weight_decay=weight_decay,
        foreach=False, fused=False,
    )  # fmt: skip
    steps = []
    for scale in scales:
        grads = [random(size, scale=scale) for size in sizes]
        for p, grad in zip(params, grads, strict=True):
            p.grad = grad * grad_scale
        norm = torch.nn.utils.clip_grad_norm_(params, max_grad_norm if max_grad_norm > 0 else math.inf)
        optimizer.step()
        state = [optimizer.state[p] for p in params]
        steps.append({
            "grads": [flat(g) for g in grads], "grad_norm": norm.item(), "params": [flat(p) for p in params],
            "m": [flat(s["exp_avg"]) for s in state], "v": [flat(s["exp_avg_sq"]) for s in state],
        })  # fmt: skip
    return {**hyper, "start": start, "steps": steps}


def bfloat16() -> dict[str, Any]:
    """float32 bit patterns and the bfloat16 bit patterns PyTorch rounds them to (NaN left out)."""
    special = [0x00000000, 0x80000000, 0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0xBF808000, 0xBF818000,
               0x7F7FFFFF, 0x7F7F8000, 0x7F7F7FFF, 0x7F800000, 0xFF800000, 0x00000001, 0x00008000, 0x00008001,
               0x00018000, 0x007FFFFF]  # fmt: skip
    random_bits = torch.randint(0, 0x7F000000, (40,), generator=GENERATOR).tolist()
    bits = special + [x | (0x80000000 if i % 2 else 0) for i, x in enumerate(random_bits)]
    floats = torch.tensor([x - (1 << 32) if x >> 31 else x for x in bits], dtype=torch.int32).view(torch.float32)
    rounded = floats.bfloat16().view(torch.int16).int() & 0xFFFF
    return {"float32_bits": bits, "bfloat16_bits": rounded.tolist()}


# Two roles: [system 0-1 [question 2-3 [answer 4] [answer 5-6]] [question 7 [answer 8]]] and [9-10].
TREE = [9, 9, 7, 7, 5, 7, 7, 9, 9, 11, 11]
EDGES = [(0, 3, 1.0), (2, 0, 0.5), (2, 6, 2.0), (2, 6, 0.25), (4, 1, 0.0), (3, 5, 1.5)]

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    cases = {
        "rms_norm": [rms_norm(3, 7, 1e-5, False), rms_norm(4, 8, 1e-6, True), rms_norm(1, 1, 0.5, True)],
        "lora_linear": [
            lora_linear(4, 6, [5], [3], bias=False, dropout=False),
            lora_linear(3, 5, [4, 2, 3], [2, 0, 1], bias=True, dropout=False),
            lora_linear(5, 4, [3, 6], [2, 2], bias=True, dropout=True),
        ],
        "rope": [rope(4, 2, 8, 8, False), rope(3, 3, 8, 8, True), rope(4, 1, 10, 4, False), rope(4, 2, 8, 4, True)],
        "tree_attention": [
            tree_attention([6] * 6, 0, 2, 2, 4),
            tree_attention(TREE, 0, 4, 2, 3),
            tree_attention(TREE, 4, 3, 1, 5),
            tree_attention([1], 0, 1, 1, 1),
        ],
        "swiglu": [swiglu(12, 1.0), swiglu(12, 30.0)],
        "linear_cross_entropy": [
            linear_cross_entropy(5, 4, 7, EDGES, 1.0),
            linear_cross_entropy(5, 4, 7, EDGES, 300.0),
        ],
        "embedding": [embedding([3, 0, 3, 5], 6, 4)],
        "adamw": [
            adamw([5, 3], [0.01, 1.0, 0.001, 0.5, 0.02], 0.5, 0.25, 0.125),
            adamw([4], [1.0, 1.0, 1e-9], 1.0, 0.0, 0.0),
        ],
        "bfloat16": [bfloat16()],
    }
    tools = {tool: version(tool) for tool in ("torch", "transformers")}
    golden = {"magic": "rocit-golden-ops", "version": 1, "seed": SEED, "tools": tools,
              "command": "python scripts/make_op_goldens.py", "cases": cases}  # fmt: skip
    PATH.write_text(json.dumps(golden) + "\n")
    print(f"{PATH}: {sum(map(len, cases.values()))} cases, {PATH.stat().st_size} bytes")
