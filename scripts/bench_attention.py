"""tree_attention against PyTorch's scaled_dot_product_attention, forward + backward, one causal sequence of 2,048
(9 / 3 heads of 64), in turns on one machine. Needs torch; build/kernels_bench comes from `npm run kernels:bench`.

    ROCIT_THREADS=2 python3 scripts/bench_attention.py
"""

import os
import subprocess
import time
from pathlib import Path

import torch

THREADS = int(os.environ.get("ROCIT_THREADS", os.cpu_count() or 1))
PROGRAM = Path(__file__).parent.parent / "build/kernels_bench/tree_attention_bench"
SHAPE = "1x2048 9/3 of 64"
ROUNDS = 3
REPEATS = 11


def rocit_milliseconds() -> dict[str, float]:
    """Medians of forward + backward by dtype."""
    environment = {**os.environ, "ROCIT_THREADS": str(THREADS)}
    lines = subprocess.run([PROGRAM], env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split("\t") for line in lines if line.startswith("bench\ttree_attention both")]
    return {row[2]: float(row[4]) for row in rows if row[3] == SHAPE}


def torch_milliseconds(dtype: torch.dtype) -> float:
    """Median of forward + backward."""
    q = torch.randn(1, 9, 2048, 64, dtype=dtype, requires_grad=True)
    k, v = (torch.randn(1, 3, 2048, 64, dtype=dtype, requires_grad=True) for _ in range(2))
    dout = torch.randn(1, 9, 2048, 64, dtype=dtype)
    times = []
    for _ in range(REPEATS + 2):
        start = time.perf_counter()
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        torch.autograd.grad(out, (q, k, v), dout)
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times[2:])[REPEATS // 2]


def main() -> None:
    torch.set_num_threads(THREADS)
    print(f"torch {torch.__version__}, {THREADS} threads, {SHAPE}, forward + backward, medians in ms")
    for turn in range(ROUNDS):
        ours = rocit_milliseconds()
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            theirs = torch_milliseconds(dtype)
            print(f"round {turn + 1} {name:8}: rocit {ours[name]:7.1f}, torch {theirs:7.1f}, ratio {theirs / ours[name]:.2f}")


if __name__ == "__main__":
    main()
