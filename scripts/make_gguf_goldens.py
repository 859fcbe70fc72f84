"""Goldens of tests/checkpoint for GGUF files, from transformers, gguf-py and llama.cpp.

    python scripts/make_gguf_goldens.py tiny
        writes tests/checkpoint/goldens/tiny_llama.gguf (every tensor type rocit reads) and tiny_llama.json
        (config and SHA-256 of each tensor as transformers' own gguf loader gives it, token ids by llama.cpp).
    python scripts/make_gguf_goldens.py smollm2 <SmolLM2-135M-Instruct.Q4_1.gguf> checkpoints/base/smollm2-135m-instruct
        compares the fetched folder with transformers' gguf loader (every weight bit for bit, logits equal) and
        writes tests/checkpoint/goldens/smollm2_135m_instruct.json (last-token logits, token ids by llama.cpp).

Needs: torch, transformers, gguf, xllamacpp (pip). Seeds are fixed; versions stand in the goldens.
"""

import hashlib
import json
import os
import sys
import urllib.request
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

GOLDENS = Path(__file__).parent.parent / "tests" / "checkpoint" / "goldens"

TEXTS = [
    "",
    "Hello, world!",
    "a  12",
    "  leading and trailing  ",
    "In 1984, 3.14159 was pi; 1,234,567 people agreed.",
    "I'm sure they've said it'll rain, hasn't it? WE'RE",
    "你好，世界！今天是2024年5月1日。",
    "諸葛亮：「鞠躬盡瘁，死而後已。」",
    "👋🏽 hi 👨‍👩‍👧‍👦 🇨🇳 ok",
    "line one\nline two\n\n\nline five\r\n\ttabbed\n",
    "def f(x):\n    if x > 10:\n        return x ** 2\n    return [i for i in range(x)]  # 注释",
    "x²+y³=½ Ⅷ １２３ ٣٤",
    "<|im_start|>user\nnot special<|im_end|>",
    "naïve café e\u0301 Ελληνικά русский العربية हिन्दी ไทย",
    "a\u00a0b\u2003c\u3000d\u200be\ufefff\u0085g",
    " \n \n  x\t\t y",
    "https://example.com/a?b=c&d=%20#frag",
    "...!!!???—–… “quotes” 'single'",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\x00\x01\x7f control",
]


def llama_cpp_ids(path, texts):
    """Token ids by llama.cpp, special tokens in the text not parsed."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = 64
    params.warmup = False
    params.n_parallel = 1
    server = xllamacpp.Server(params)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    ids = []
    for text in texts:
        body = json.dumps({"content": text, "add_special": False, "parse_special": False}).encode()
        request = urllib.request.Request(server.listening_address + "/tokenize", body, {"Content-Type": "application/json"})
        ids.append(json.load(opener.open(request))["tokens"])
    del server
    return [{"text": text, "ids": row} for text, row in zip(texts, ids)]


def load_gguf(path):
    path = Path(path)
    return AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32).eval()


def last_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, -1]


def permute(rows, num_heads):
    """Hugging Face's rows of q and k as llama.cpp stores them."""
    return rows.reshape(num_heads, 2, rows.shape[0] // num_heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def byte_level_alphabet():
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(b) if b in keep else chr(next(extra)) for b in range(256)]


def write_tiny(path):
    """Two layers, hidden 32, 4 heads over 2 key/value heads, untied head, all tensor types, a tokenizer of 263 tokens."""
    rng = np.random.default_rng(20240501)
    types = gguf.GGMLQuantizationType
    merges = ["h e", "l l", "he ll", "Ġ t", "Ġt he"]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = special + byte_level_alphabet() + [merge.replace(" ", "") for merge in merges]
    vocab, hidden, inner, heads, kv_heads, layers = len(tokens), 32, 64, 4, 2, 2

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_block_count(layers)
    writer.add_context_length(128)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(5000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(vocab)
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(special) + [1] * (vocab - len(special)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")

    def add(name, rows, columns, kind, num_heads=None):
        shape = (rows, columns) if columns else (rows,)
        values = rng.normal(0, 0.3, shape).astype(np.float32)
        if num_heads:
            values = np.ascontiguousarray(permute(values, num_heads))
        data = values if kind == types.F32 else gguf.quantize(values, kind)
        writer.add_tensor(name, data, raw_dtype=kind)

    add("token_embd.weight", vocab, hidden, types.Q8_0)
    for layer in range(layers):
        block = f"blk.{layer}."
        add(block + "attn_norm.weight", hidden, 0, types.F32)
        add(block + "attn_q.weight", hidden, hidden, types.Q4_1, heads)
        add(block + "attn_k.weight", hidden // 2, hidden, types.Q4_0, kv_heads)
        add(block + "attn_v.weight", hidden // 2, hidden, types.F16)
        add(block + "attn_output.weight", hidden, hidden, types.BF16)
        add(block + "ffn_norm.weight", hidden, 0, types.F32)
        add(block + "ffn_gate.weight", inner, hidden, types.Q4_0)
        add(block + "ffn_up.weight", inner, hidden, types.Q4_1)
        add(block + "ffn_down.weight", hidden, inner, types.F32)
    add("output_norm.weight", hidden, 0, types.F32)
    add("output.weight", vocab, hidden, types.F16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tiny():
    path = GOLDENS / "tiny_llama.gguf"
    write_tiny(path)
    model = load_gguf(path)
    config = model.config.to_dict()
    keys = ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
            "max_position_embeddings", "rope_parameters", "vocab_size", "tie_word_embeddings", "model_type"]  # fmt: skip
    tensors = {
        name: {"shape": list(value.shape), "sha256": hashlib.sha256(value.numpy().tobytes()).hexdigest()}
        for name, value in model.state_dict().items()
    }
    write("tiny_llama.json", {
        "config": {key: config[key] for key in keys}, "tensors": tensors, "tokens": llama_cpp_ids(path, TEXTS),
    })  # fmt: skip


def smollm2(gguf_path, folder):
    reference = load_gguf(gguf_path)
    ours, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    expected = reference.state_dict()
    for name, value in ours.state_dict().items():
        assert torch.equal(value, expected[name]), name
    for key in ["rope_parameters", "num_key_value_heads", "head_dim", "tie_word_embeddings", "eos_token_id", "bos_token_id"]:
        a, b = (getattr(AutoConfig.from_pretrained(p, **k), key, None) for p, k in
                [(folder, {}), (os.path.dirname(gguf_path), {"gguf_file": os.path.basename(gguf_path)})])  # fmt: skip
        print(f"{key}: folder {a}, gguf loader {b}")
    tokens = llama_cpp_ids(gguf_path, TEXTS)
    ids = [1] + tokens[4]["ids"] + tokens[6]["ids"]
    logits = last_logits(ours, ids)
    difference = (logits - last_logits(reference, ids)).abs().max().item()
    print(f"weights: {len(expected)} tensors equal bit for bit; largest difference of a logit: {difference}")
    assert difference == 0
    top = torch.topk(logits, 10)
    write("smollm2_135m_instruct.json", {
        "input_ids": ids, "top_ids": top.indices.tolist(), "top_logits": top.values.tolist(), "tokens": tokens,
    })  # fmt: skip


def write(name, content):
    made_by = {package: version(package) for package in ["torch", "transformers", "gguf", "xllamacpp"]}
    made_by["command"] = f"python scripts/make_gguf_goldens.py {sys.argv[1]}"
    (GOLDENS / name).write_text(json.dumps({"made_by": made_by, **content}, indent=1, ensure_ascii=True) + "\n")
    print(f"wrote {GOLDENS / name}")


if __name__ == "__main__":
    GOLDENS.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:2] == ["tiny"]:
        tiny()
    elif sys.argv[1:2] == ["smollm2"] and len(sys.argv) == 4:
        smollm2(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)
