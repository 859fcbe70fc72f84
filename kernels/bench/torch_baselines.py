"""PyTorch's fused kernels at the shapes of our benches, one JSON line a row on stdout.

    python3 kernels/bench/torch_baselines.py rows.tsv

rows.tsv holds the lines that the benches print: bench, op, dtype, shape, … The shape of a row names all sizes, so that no
list is kept twice. Timed like our own: events, a cold second-level cache, the median. A baseline that PyTorch lacks or
that fails is left out with a line on stderr. scripts/gpu_check.sh joins the lines with our rows.
"""

import json
import math
import re
import statistics
import sys

import torch
import torch.nn.functional as F

DEVICE = "cuda"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def milliseconds(run):
    """Median of cold calls; the flush before each hides the launch."""
    flush = torch.empty(256 << 20, dtype=torch.int8, device=DEVICE)
    for _ in range(3):
        run()
    times = []
    for _ in range(30):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flush.zero_()
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def random(*shape, dtype, grad=False):
    return torch.randn(*shape, dtype=dtype, device=DEVICE).requires_grad_(grad)


def backward_of(outputs, inputs):
    gradients = [torch.randn_like(one) for one in outputs]
    return lambda: torch.autograd.grad(outputs, inputs, gradients, retain_graph=True)


def fastest(candidates):
    """The fastest of {name: function that returns what to time}; those that fail are named on stderr."""
    times = {}
    for name, prepare in candidates.items():
        try:
            times[name] = milliseconds(prepare())
        except Exception as error:  # a missing kernel must not end the others
            print(f"torch_baselines: {name}: {str(error).splitlines()[0]}", file=sys.stderr)
    return min(times.items(), key=lambda item: item[1]) if times else None


def rms_norm(dtype, shape, is_grad):
    """Residual addition and norm: eager, and one kernel by torch.compile."""
    rows, columns = map(int, shape.split("x"))
    x, residual = (random(rows, columns, dtype=dtype, grad=is_grad) for _ in range(2))
    weight = random(columns, dtype=dtype)

    def forward(a, b):
        total = a + b
        return F.rms_norm(total, (columns,), weight, 1e-5), total

    def time(function):
        return backward_of(function(x, residual), (x, residual)) if is_grad else (lambda: function(x, residual))

    return fastest({"rms_norm": lambda: time(forward), "rms_norm compiled": lambda: time(torch.compile(forward))})


def role_tree_ends(shape):
    """subtree_end of "4x184+10x24+3x20", as RoleTree of packs.h lays it out."""
    (roles, prefix), (questions, question), (answers, answer) = (map(int, part.split("x")) for part in shape.split("+"))
    below = question + answers * answer
    ends = []
    for _ in range(roles):
        role = len(ends)
        ends += [role + prefix + questions * below] * prefix
        for _ in range(questions):
            asked = len(ends)
            ends += [asked + below] * question
            for _ in range(answers):
                ends += [len(ends) + answer] * answer
    return ends


def tree_attention(dtype, shape, is_grad):
    """Causal sequences: flash attention by SDPA. Role trees: flex_attention, and SDPA with a dense mask."""
    pack, heads, key_heads, size = re.fullmatch(r"(\S+) (\d+)/(\d+) of (\d+)", shape).groups()
    heads, key_heads, size = int(heads), int(key_heads), int(size)
    is_tree = "+" in pack
    ends = role_tree_ends(pack) if is_tree else []
    count, length = (1, len(ends)) if is_tree else map(int, pack.split("x"))
    q = random(count, heads, length, size, dtype=dtype, grad=is_grad)
    k, v = (random(count, key_heads, length, size, dtype=dtype, grad=is_grad) for _ in range(2))
    is_grouped = heads != key_heads

    def time(function):
        return backward_of((function(),), (q, k, v)) if is_grad else function

    if not is_tree:
        causal = lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=is_grouped)
        return fastest({"sdpa causal": lambda: time(causal)})
    end = torch.tensor(ends, device=DEVICE)
    index = torch.arange(length, device=DEVICE)
    mask = (index[None] <= index[:, None]) & (index[:, None] < end[None])

    def flex():
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        blocks = create_block_mask(lambda b, h, i, j: (j <= i) & (i < end[j]), None, None, length, length, device=DEVICE)
        compiled = torch.compile(flex_attention)
        return time(lambda: compiled(q, k, v, block_mask=blocks, enable_gqa=is_grouped))

    dense = lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=is_grouped)
    return fastest({"flex_attention": flex, "sdpa dense mask": lambda: time(dense)})


def linear_cross_entropy(dtype, shape, is_grad):
    """Head and loss with the gradient of x, as our kernel gives both: eager, and by torch.compile."""
    rows, hidden, vocab = map(int, re.fullmatch(r"(\d+)x(\d+) to (\d+)", shape).groups())
    x, weight = random(rows, hidden, dtype=dtype, grad=True), random(vocab, hidden, dtype=dtype)
    targets = torch.randint(vocab, (rows,), device=DEVICE)
    loss = lambda a: F.cross_entropy(F.linear(a, weight).float(), targets)
    compiled = torch.compile(loss)
    return fastest(
        {
            "linear + cross_entropy": lambda: lambda: torch.autograd.grad(loss(x), x),
            "linear + cross_entropy compiled": lambda: lambda: torch.autograd.grad(compiled(x), x),
        }
    )


def adamw(dtype, shape, is_grad):
    """clip_grad_norm_ and the fused AdamW over the same tensors: A [r, in] and B [out, r] of the seven linears."""
    layers, hidden, key_width, width, rank = map(int, re.fullmatch(r"(\d+) layers (\d+)/(\d+)/(\d+) r=(\d+)", shape).groups())
    linears = [(hidden, hidden), (hidden, key_width), (hidden, key_width), (hidden, hidden)]
    linears += [(hidden, width), (hidden, width), (width, hidden)]
    sizes = [rank * side for _ in range(layers) for pair in linears for side in pair]
    parameters = [torch.nn.Parameter(random(size, dtype=dtype)) for size in sizes]
    for one in parameters:
        one.grad = torch.randn_like(one)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, fused=True)

    def step():
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return fastest({"clip + AdamW fused": lambda: step})


BASELINES = {
    "rms_norm": rms_norm,
    "tree_attention": tree_attention,
    "linear_cross_entropy": linear_cross_entropy,
    "adamw": adamw,
}


def main(path):
    torch.manual_seed(0)
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if line.startswith("bench\t")]
    for _, op, dtype, shape, *_ in rows:
        name, _, direction = op.partition(" ")
        if name not in BASELINES or direction not in ("", "grad"):
            continue
        try:
            best = BASELINES[name](DTYPES[dtype], shape, direction == "grad")
        except Exception as error:  # out of memory, or a PyTorch too old: the other rows stand
            print(f"torch_baselines: {op} {dtype} {shape}: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        torch.cuda.empty_cache()
        if best is not None and math.isfinite(best[1]):
            row = {"op": op, "dtype": dtype, "shape": shape, "baseline": best[0], "ms": round(best[1], 4)}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
