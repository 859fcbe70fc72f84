"""Times LoRA training steps of transformers + PEFT on tokenised samples: the baseline of rocit's speed figures.

    python scripts/bench_peft.py <model folder> <samples.jsonl> --dtype float32 --r 16 --json

Each line of the JSONL: {"input_ids": [...], "is_target": [...]}. First a short search on --sweep-samples samples: in
bfloat16 both settings of autocast_adapter_dtype, then the batch sizes up and down from the middle one with the faster,
until they get slower. The fastest runs --repeats times over all samples. Each repeat runs in a process of its own:
load, warm-up (left out), then sorted by length, padded on the right, sdpa attention, no torch.compile, labels on
targets only, clipping and fused AdamW each --samples-per-step samples. To interleave with another program (npm run
bench does), search with --repeats 0, then name one setting and one repeat: --batch-sizes 4 --autocast on --repeats 1.

Prints a line a measurement and the best's median; with --json as JSON lines. tokens_per_s counts the tokens that predict
one, len(input_ids) - 1, not padding. others_share is the part of the machine's processors that other programs used meanwhile. peak_memory_bytes is
the high-water mark of the resident set (VmHWM, set back through clear_refs), or of what CUDA allocated, less what was
in use once the model was loaded and every weight had been read once.

Needs: pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2 psutil==7.2.2
"""

import argparse
import gc
import json
import multiprocessing
import platform
import statistics
import sys
import time
import warnings
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils import logging

Sample = dict[str, list[int]]


@dataclass(frozen=True)
class Setting:
    """What one measurement runs with."""

    model: str
    dtype: str
    r: int
    batch_size: int
    autocast_adapter_dtype: bool
    samples_per_step: int
    gradient_checkpointing: bool
    threads: int
    device: str


def read_samples(path: Path) -> list[Sample]:
    samples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        if len(row["input_ids"]) != len(row["is_target"]):
            sys.exit(f"{path}:{number}: expected as many is_target as input_ids, got {len(row['is_target'])}")
        if any(row["is_target"][1:]):
            samples.append({"input_ids": row["input_ids"], "is_target": [int(x) for x in row["is_target"]]})
    if not samples:
        sys.exit(f"{path}: expected at least one sample with a target; export the samples again")
    return samples


def spread(samples: list[Sample], count: int) -> list[Sample]:
    """At most `count` samples, evenly over the lengths, sorted by length."""
    ordered = sorted(samples, key=lambda sample: len(sample["input_ids"]))
    if count <= 0 or count >= len(ordered):
        return ordered
    return [ordered[int((i + 0.5) * len(ordered) / count)] for i in range(count)]


def pad(batch: list[Sample], device: str) -> dict[str, Tensor]:
    width = max(len(sample["input_ids"]) for sample in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    mask = torch.zeros(len(batch), width, dtype=torch.long)
    labels = torch.full((len(batch), width), -100)
    for row, sample in enumerate(batch):
        values, targets = torch.tensor(sample["input_ids"]), torch.tensor(sample["is_target"], dtype=torch.bool)
        ids[row, : len(values)] = values
        mask[row, : len(values)] = 1
        labels[row, : len(values)] = torch.where(targets, values, -100)
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device), "labels": labels.to(device)}


def load(setting: Setting) -> Any:
    base = AutoModelForCausalLM.from_pretrained(
        setting.model, dtype=getattr(torch, setting.dtype), attn_implementation="sdpa"
    ).to(setting.device)
    config = LoraConfig(r=setting.r, lora_alpha=2 * setting.r, target_modules="all-linear", task_type="CAUSAL_LM")
    torch.manual_seed(0)
    model = get_peft_model(base, config, autocast_adapter_dtype=setting.autocast_adapter_dtype)
    if setting.gradient_checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model.train()


def train(model: Any, optimizer: torch.optim.Optimizer, samples: list[Sample], setting: Setting) -> float:
    """One pass; returns the summed loss over targets. The loss of a step is the mean over the step's targets."""
    total = 0.0
    for start in range(0, len(samples), setting.samples_per_step):
        step = samples[start : start + setting.samples_per_step]
        num_targets = sum(sum(sample["is_target"][1:]) for sample in step)
        for first in range(0, len(step), setting.batch_size):
            inputs = pad(step[first : first + setting.batch_size], setting.device)
            loss = model(**inputs, use_cache=False, num_items_in_batch=num_targets).loss
            loss.backward()
            total += loss.item() * num_targets
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return total


class PeakMemory:
    """Peak of this process's memory less what it held when this was made."""

    def __init__(self, device: str) -> None:
        self.cuda = device.startswith("cuda")
        gc.collect()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.start = torch.cuda.memory_allocated()
        else:
            Path("/proc/self/clear_refs").write_text("5")  # sets the high-water mark to the present resident set
            self.start = psutil.Process().memory_info().rss

    def read(self) -> int:
        if self.cuda:
            return torch.cuda.max_memory_allocated() - self.start
        status = Path("/proc/self/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024 - self.start


def measure(setting: Setting, samples: list[Sample]) -> dict[str, Any]:
    """Loads, warms up with the longest and the median batch, and times one pass. Runs in its own process."""
    prepare_process(setting)
    model = load(setting)
    optimizer = create_optimizer(model)
    for parameter in model.parameters():
        parameter.detach().amax()  # weights may still be a mapped file
    memory = PeakMemory(setting.device)
    middle = len(samples) // 2
    for warm_up in (samples[-setting.batch_size :], samples[middle : middle + setting.batch_size]):
        train(model, optimizer, warm_up, setting)
    start, others = time.perf_counter(), seconds_of_others()
    loss_sum = train(model, optimizer, samples, setting)
    wall = time.perf_counter() - start
    return {
        **speed_of(samples, wall),
        "others_share": (seconds_of_others() - others) / wall / psutil.cpu_count(),
        "peak_memory_bytes": memory.read(),
        "loaded_memory_bytes": memory.start,
        "largest_batch_tokens": max(
            sum(len(sample["input_ids"]) for sample in samples[i : i + setting.batch_size])
            for i in range(0, len(samples), setting.batch_size)
        ),
        "mean_loss": loss_sum / sum(sum(sample["is_target"][1:]) for sample in samples),
    }


def sweep(settings: list[Setting], samples: list[Sample]) -> list[tuple[Setting, dict[str, Any]]]:
    """Times one pass a setting: every autocast with the middle batch size, then other sizes up and down from there
    with the faster one, until they get slower. Runs in its own process."""
    prepare_process(settings[0])
    sizes = sorted({setting.batch_size for setting in settings})
    middle = len(sizes) // 2
    results = {setting: try_setting(setting, samples) for setting in settings if setting.batch_size == sizes[middle]}
    best = fastest(results)
    for upwards in (True, False):
        for size in sizes[middle + 1 :] if upwards else sizes[:middle][::-1]:
            setting = replace(best, batch_size=size)
            results[setting] = try_setting(setting, samples)
            if fastest(results) != setting:
                break
        if fastest(results).batch_size > sizes[middle]:
            break
    return list(results.items())


def fastest(results: dict[Setting, dict[str, Any]]) -> Setting:
    return max(results, key=lambda setting: results[setting]["tokens_per_s"])


def try_setting(setting: Setting, samples: list[Sample]) -> dict[str, Any]:
    model = load(setting)
    optimizer = create_optimizer(model)
    train(model, optimizer, samples[-min(4, setting.batch_size) :], setting)
    start = time.perf_counter()
    train(model, optimizer, samples, setting)
    return speed_of(samples, time.perf_counter() - start)


def seconds_of_others() -> float:
    """Processor time that all processes but this one have used."""
    machine, own = psutil.cpu_times(), psutil.Process().cpu_times()
    return sum(machine) - machine.idle - machine.iowait - own.user - own.system


def prepare_process(setting: Setting) -> None:
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.simplefilter("ignore", FutureWarning)
    torch.set_num_threads(setting.threads)


def create_optimizer(model: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)


def speed_of(samples: list[Sample], wall: float) -> dict[str, Any]:
    num_tokens = sum(len(sample["input_ids"]) - 1 for sample in samples)
    return {
        "num_samples": len(samples),
        "num_tokens": num_tokens,
        "num_equivalent_tokens": num_tokens,
        "num_targets": sum(sum(sample["is_target"][1:]) for sample in samples),
        "seconds": wall,
        "tokens_per_s": num_tokens / wall,
        "samples_per_s": len(samples) / wall,
    }


def alone(function: Any, *arguments: Any) -> Any:
    """The result of a function that runs in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def report(kind: str, setting: Setting, result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        tools = {tool: version(tool) for tool in ("torch", "transformers", "peft")}
        row = {"kind": kind, **asdict(setting), **result, "tools": tools, "python": platform.python_version()}
        print(json.dumps(row), flush=True)
        return
    line = (
        f"{kind}: batch {setting.batch_size}, autocast_adapter_dtype {setting.autocast_adapter_dtype}: "
        f"{result['tokens_per_s']:.1f} tokens/s, {result['samples_per_s']:.3f} samples/s"
    )
    if "mean_loss" in result:
        line += f", {result['peak_memory_bytes'] / 2**20:.0f} MiB over loading, loss {result['mean_loss']:.4f}"
    print(line, flush=True)


def settings_of(args: argparse.Namespace) -> list[Setting]:
    # In float32 the adapters are float32 either way.
    autocasts = {"on": [True], "off": [False], "both": [True] if args.dtype == "float32" else [True, False]}
    return [
        Setting(
            args.model, args.dtype, args.r, batch_size, autocast, args.samples_per_step, args.gradient_checkpointing,
            args.threads, args.device,
        )
        for autocast in autocasts[args.autocast]
        for batch_size in args.batch_sizes
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Times LoRA training steps of transformers + PEFT.")
    parser.add_argument("model", help="Hugging Face folder")
    parser.add_argument("samples", type=Path, help="JSONL of input_ids and is_target")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--r", type=int, default=16, help="LoRA rank, on all linears (16)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--autocast", choices=["both", "on", "off"], default="both", help="autocast_adapter_dtype")
    parser.add_argument("--samples-per-step", type=int, default=16)
    parser.add_argument("--max-samples", type=int, default=0, help="evenly over the lengths; 0: all")
    parser.add_argument("--sweep-samples", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    odd = [size for size in args.batch_sizes if args.samples_per_step % size != 0]
    if odd:
        parser.error(f"--batch-sizes: expected divisors of --samples-per-step {args.samples_per_step}, got {odd}")

    samples = spread(read_samples(args.samples), args.max_samples)
    settings = settings_of(args)
    best = settings[0]
    if len(settings) > 1:
        swept = alone(sweep, settings, spread(samples, args.sweep_samples))
        for setting, result in swept:
            report("sweep", setting, result, args.json)
        best = fastest(dict(swept))
    results = [alone(measure, best, samples) for _ in range(args.repeats)]
    for result in results:
        report("repeat", best, result, args.json)
    if not results:
        return
    median = statistics.median_low([result["tokens_per_s"] for result in results])
    report("best", best, next(x for x in results if x["tokens_per_s"] == median), args.json)


if __name__ == "__main__":
    main()
