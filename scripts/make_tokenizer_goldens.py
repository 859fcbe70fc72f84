"""Makes the tokenizer goldens under tests/goldens with Python `tokenizers`.

  tiny_tokenizer/        byte-level BPE, 512 ids, ChatML template, digits one by one (the shape of SmolLM2's tokenizer)
  tiny_tokenizer_llama/  SentencePiece-like BPE with byte fallback, dummy blank in front, BOS from the post-processor (the shape of LLaMA's)
  tokenizer_<name>.json  texts and the ids that Python `tokenizers` gives, special tokens in a text read as plain text

Run:  python scripts/make_tokenizer_goldens.py [NAME=FOLDER_WITH_tokenizer.json ...]
Needs: pip install tokenizers. Extra NAME=FOLDER pairs add tokenizer_NAME.json for a tokenizer that is not committed.
"""

import json
import pathlib
import sys

import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GOLDENS = pathlib.Path(__file__).resolve().parent.parent / "tests" / "goldens"

# Our own sentences; they only have to hold common English and Chinese pieces.
CORPUS = """
You are a character, your description is: you keep the lighthouse and speak in short sentences.
Now please answer some questions to accurately show your personality traits!
Your speaking style should fully imitate the personality role assigned to you!
Please do not expose that you are an artificial intelligence model or a language model, you must always remember that you are only assigned one personality role.
Don't be verbose or too formal or polite when speaking.
### Instruction: ### Input: ### Response:
What did the storm teach you about the people of the harbour, and what would you have done if the lamp had gone out?
The storm taught me that the sea takes what it wants. I would have lit the lamp again with my own hands.
Captain, how do you feel about the map that the old woman gave to your daughter?
I feel nothing about maps, my friend. The wind is the only map that never lies to me.
user assistant system
你是守塔人，你的特征描述是：话不多，心里有火。
现在请你回答我的一些问题，以准确展现你的人格特征！你的说话风格要全面模仿被赋予的人格角色！
请不要暴露你是人工智能模型或者语言模型，你要时刻记住你只被赋予的一个人格角色。说话不要啰嗦，也不要太过于正式或礼貌。
那天晚上的风暴，你看见了什么？我看见灯还亮着，别的都不重要。
""".strip().split("\n")

TEXTS = [
    "",
    "a",
    " ",
    "Hello world",
    " Hello world",
    "Hello  world   with    runs     of blanks",
    "trailing blank ",
    "two trailing  ",
    "tab\tand\n\nnewlines\r\n  indented\n",
    "You are John, your description is: brave. Don't be verbose!",
    "I'm you're he'll they've we'd it's DON'T",
    "12345 3.14159 1,000,000 a1b2c3 2024-01-31",
    "x  12   345",
    "你是孙悟空，你的特征描述是：生性聪明。现在请你回答我的一些问题！",
    "俺老孙来也！“筋斗云”一翻，十万八千里。",
    "啊~~~ 吃我一矛！",
    "全角　空格 and mixed 中文English混排123",
    "emoji 😀 👩‍👩‍👧‍👦 🇨🇳 ❤️ end",
    "naïve café — “quotes” … ½ ™",
    "Ünïcödé Ελληνικά русский עברית العربية हिन्दी 日本語 한국어",
    "control \u0001 and \u007f and \u200b zero width and \u2028 line separator",
    "<|im_start|>system\nhidden<|im_end|>",
    "a<|endoftext|>b",
    "<s>not special</s> </s>",
    "[INST] <<SYS>> x <</SYS>> [/INST] <unk> <0x0A>",
    "<|im_end|>",
    "</s>",
    "### Instruction:\nYou are a pirate.\n\n### Response:\n",
    "code: if (a >= b) { return `x_${i}`; } // done",
    "http://example.org/path?query=1&b=2#frag",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "lowerUPPERMiXeD snake_case kebab-case",
    "digits of other scripts ２０２４ ½ ① Ⅷ ٣",
    "\ufeffbyte order mark \ufeff and next line \x85 and no-break\xa0blank",
    "▁ lower one eighth block ▁▁",
    "Ġ and Ċ are byte-level letters",
]

# Whole prompts as a chat front end writes them: here special tokens are special.
PROMPTS = {
    "chatml": (
        "<|im_start|>system\nYou are Mara. 话不多。<|im_end|>\n<|im_start|>user\nWhat did the storm teach you?  你看见了什么？"
        "<|im_end|>\n<|im_start|>assistant\n"
    ),
    "rolellama": (
        "### Instruction:\nYou are Mara. 话不多。{end}\n\n### Input:\nWhat did the storm teach you?  你看见了什么？{end}"
        "\n\n### Response:\n"
    ),
}

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tiny_byte_level() -> Tokenizer:
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=specials,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    assert tokenizer.get_vocab_size() == 512, tokenizer.get_vocab_size()
    return tokenizer


def tiny_llama() -> Tokenizer:
    """BPE over whole sentences with '▁' for the blank, as converters write SentencePiece BPE models."""
    specials = ["<unk>", "<s>", "</s>"]
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    byte_tokens = [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=768, special_tokens=specials + byte_tokens, show_progress=False
    )
    trained.train_from_iterator(CORPUS, trainer)
    state = json.loads(trained.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] in specials]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    state = json.loads(tokenizer.to_str())
    return Tokenizer.from_str(json.dumps({k: v for k, v in state.items() if k != "pre_tokenizer"} | {"pre_tokenizer": None}))


def write_folder(name: str, tokenizer: Tokenizer, config: dict) -> pathlib.Path:
    folder = GOLDENS / name
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    return folder


def write_goldens(name: str, folder: pathlib.Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    cases = [
        {
            "text": text,
            "ids": tokenizer.encode(text, add_special_tokens=False).ids,
            "ids_with_special": tokenizer.encode(text, add_special_tokens=True).ids,
            "decoded": tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False),
        }
        for text in TEXTS
    ]
    tokenizer.encode_special_tokens = False
    end = json.loads((folder / "tokenizer_config.json").read_text())["eos_token"]
    prompts = {
        "chatml": tokenizer.encode(PROMPTS["chatml"], add_special_tokens=False).ids,
        "rolellama": tokenizer.encode(PROMPTS["rolellama"].replace("{end}", end), add_special_tokens=True).ids,
    }
    head = {"tokenizers": tokenizers.__version__, "command": "python scripts/make_tokenizer_goldens.py", "prompts": prompts, "cases": cases}
    (GOLDENS / f"tokenizer_{name}.json").write_text(json.dumps(head, ensure_ascii=True, indent=1) + "\n")


def main() -> None:
    config = {
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|im_end|>",
        "chat_template": CHATML,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    write_goldens("tiny", write_folder("tiny_tokenizer", tiny_byte_level(), config))
    config = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "clean_up_tokenization_spaces": False,
        "tokenizer_class": "LlamaTokenizer",
        "legacy": False,
    }
    write_goldens("tiny_llama", write_folder("tiny_tokenizer_llama", tiny_llama(), config))
    for pair in sys.argv[1:]:
        name, folder = pair.split("=", 1)
        write_goldens(name, pathlib.Path(folder))


if __name__ == "__main__":
    main()
