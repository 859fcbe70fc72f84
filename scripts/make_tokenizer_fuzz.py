"""Writes small tokenizers of many shapes, random texts, and the ids that Python `tokenizers` gives for them.

Run:  python scripts/make_tokenizer_fuzz.py --out FOLDER [--texts 100000] [--seed 0] [--only NAME ...]
      python scripts/make_tokenizer_fuzz.py --goldens      the committed sample, tests/goldens/tokenizer_fuzz
Then: node scripts/fuzz_tokenizers.mjs FOLDER
Needs: pip install tokenizers. The texts depend on the seed and on the Unicode version of Python's unicodedata.

Three kinds of cases for each tokenizer:
  texts      a text; ids with `encode_special_tokens = True`: a spelled special token is plain text, an added token that
             is not special is still found. Nothing of the post-processor.
  prompts    pieces, each {"token": special token} or {"text": text in which no special token is spelled, also not
             together with the neighbours}; ids of the pieces joined, encoded in one call with
             `encode_special_tokens = False`. Nothing of the post-processor.
  sequences  random ids, only to decode.

FOLDER/<name>/ holds
  tokenizer.json, tokenizer_config.json
  texts.jsonl, prompts.jsonl                        one case a line: a JSON string; a JSON list of pieces
  {texts,prompts,sequences}.ids.bin                 ids of all cases, one after the other, little-endian int32
  {texts,prompts,sequences}.lengths.bin             ids of each case, little-endian int32
  {texts,prompts,sequences}.decoded.jsonl           [decode(ids), decode(ids, skip_special_tokens=True)] a line, of the
                                                    first cases (all, or fewer for texts)
The JSON lines are UTF-8 and end with "\\n"; a text may hold U+2028 or U+0085, so split at "\\n" alone.

tests/goldens/tokenizer_fuzz/<name>/ holds the same tokenizer and cases.json:
  {"tokenizers": version, "command": ..., "texts": [{"text", "ids"}], "prompts": [{"pieces", "ids"}],
   "sequences": [{"ids"}]}
each case with "decoded" unless that is the text (the joined pieces), and "skipped" (decoded without special tokens)
unless that is the same as decoded. Sequences always have "decoded".
"""

import argparse
import json
import math
import multiprocessing
import os
import pathlib
import random
import sys
import time
import unicodedata
from array import array
from collections import Counter

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one process a tokenizer instead

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

sys.dont_write_bytecode = True  # no __pycache__ beside the scripts
from make_tokenizer_goldens import CORPUS as ENGLISH_AND_CHINESE

GOLDENS = pathlib.Path(__file__).resolve().parent.parent / "tests" / "goldens" / "tokenizer_fuzz"

CORPUS = ENGLISH_AND_CHINESE + """
I'm sure they've seen it, he'll say we'd better go, you're right and it isn't over. DON'T SHOUT, I'LL COME.
In 1987 the lamp burned 365 nights; 12345 ships passed, 3.14 miles out, and 1,000,000 gulls.
Le phare éclaire la côte, déjà vu, où êtes-vous ? Größe, Straße und Übermut.
Маяк горит всю ночь, и море молчит. Кто ты такой?
Ο φάρος ανάβει κάθε νύχτα.
灯台は夜の海を照らす。カモメが鳴いている。
등대가 밤새 바다를 비춘다.
المنارة تضيء البحر كل ليلة.
समुद्र के किनारे दीपक जलता है।
def  light(x):
    return x  +  1
        # done
""".strip("\n").split("\n")

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
DEEPSEEK = [
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+",
]
LLAMA_SPECIALS = ["<unk>", "<s>", "</s>"]


# The tokenizers


def plain(content: str, **flags: bool) -> AddedToken:
    return AddedToken(content, special=False, normalized=flags.pop("normalized", False), **flags)


def special(content: str, **flags: bool) -> AddedToken:
    return AddedToken(content, special=True, normalized=flags.pop("normalized", False), **flags)


def byte_level(pre_tokenizer, size: int, in_vocabulary=(), normalizer=None, **model: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(in_vocabulary),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def bytes_alone() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def split(pattern: str, behavior: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(pattern), behavior)


def begin_with(tokenizer: Tokenizer, token: str) -> None:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, tokenizer.token_to_id(token))]
    )


def smollm2():
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    cut = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    return byte_level(cut, 512, specials), "<|im_end|>", "<|im_start|>"


def llama3():
    cut = pre_tokenizers.Sequence([split(LLAMA3, "isolated"), bytes_alone()])
    tokenizer = byte_level(cut, 512, ignore_merges=True)
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer.add_special_tokens([special(name) for name in names])
    begin_with(tokenizer, names[0])
    return tokenizer, "<|eot_id|>", names[0]


def qwen2():
    cut = pre_tokenizers.Sequence([split(QWEN2, "isolated"), bytes_alone()])
    tokenizer = byte_level(cut, 512, normalizer=normalizers.NFC())
    tokenizer.add_special_tokens([special(name) for name in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]])
    tokenizer.add_tokens([plain(name) for name in ["<tool_call>", "</tool_call>", "<think>", "</think>"]])
    return tokenizer, "<|im_end|>", None


def deepseek():
    cut = pre_tokenizers.Sequence([*(split(pattern, "isolated") for pattern in DEEPSEEK), bytes_alone()])
    tokenizer = byte_level(cut, 512, normalizer=normalizers.Sequence([]))
    names = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"]
    tokenizer.add_special_tokens([special(name) for name in names])
    tokenizer.add_tokens([plain("<｜fim▁hole｜>", normalized=True), plain("<think>", normalized=True)])
    begin_with(tokenizer, names[0])
    return tokenizer, names[1], names[0]


def sentence_bpe(size: int, pre_tokenizer=None) -> Tokenizer:
    """BPE with byte fallback and '▁' for the blank; without a pre-tokenizer it merges across words."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if pre_tokenizer is None:
        trained.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        trained.pre_tokenizer = pre_tokenizer
    fixed = LLAMA_SPECIALS + [f"<0x{i:02X}>" for i in range(256)]
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size, special_tokens=fixed, show_progress=False))
    state = json.loads(trained.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in LLAMA_SPECIALS]
    return Tokenizer.from_str(json.dumps(state))


def blank_decoder() -> decoders.Decoder:
    return decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )


def llama_legacy():
    tokenizer = sentence_bpe(840)
    tokenizer.decoder = blank_decoder()
    begin_with(tokenizer, "<s>")
    return tokenizer, "</s>", "<s>"


def metaspace_first():
    tokenizer = sentence_bpe(840, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))
    tokenizer.decoder = blank_decoder()
    begin_with(tokenizer, "<s>")
    return tokenizer, "</s>", "<s>"


def metaspace_always():
    tokenizer = sentence_bpe(800, pre_tokenizers.Metaspace(prepend_scheme="always", split=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always", split=True), decoders.Fuse()]
    )
    return tokenizer, "</s>", None


def unigram():
    """Control and byte pieces stand in the vocabulary with score 0, as converters of SentencePiece models write them.

    The trainer of the library gives other pieces at every run, so pieces come from BPE and scores from their counts."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFKC()
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=600, show_progress=False))
    pieces = sorted(trained.get_vocab(), key=trained.token_to_id)
    text = "\n".join("▁" + trained.normalizer.normalize_str(line).replace(" ", "▁") for line in CORPUS)
    words = [(piece, round(math.log(text.count(piece) / len(text)), 4)) for piece in pieces if piece in text]
    controls = [*LLAMA_SPECIALS, "<pad>", "<mask>"]
    fixed = [(piece, 0.0) for piece in [*controls, *(f"<0x{i:02X}>" for i in range(256))]]
    tokenizer = Tokenizer(models.Unigram(fixed + words, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([special(name) for name in controls])
    tokenizer.decoder = blank_decoder()
    begin_with(tokenizer, "<s>")
    return tokenizer, "</s>", "<s>"


def flags():
    tokenizer = sentence_bpe(800)
    tokenizer.decoder = blank_decoder()
    tokenizer.add_special_tokens(
        [
            *(special(name, rstrip=True) for name in ["<|user|>", "<|end|>", "<|assistant|>"]),
            special("<|left|>", lstrip=True),
            special("<|both|>", lstrip=True, rstrip=True),
            special("<|word|>", single_word=True),
            special("<|normal|>", normalized=True),
            special("<|normal_left|>", normalized=True, lstrip=True),
            special("<|e|>"),
            special("<|e|><|f|>"),
        ]
    )
    tokenizer.add_tokens(
        [
            plain("<a>"),
            plain("<a><b>"),
            plain("[left]", lstrip=True),
            plain("[right]", rstrip=True),
            plain("[both]", lstrip=True, rstrip=True),
            plain("harbour", single_word=True),
            plain("灯", single_word=True),
            plain("storm", normalized=True),
            plain("the sea", normalized=True, rstrip=True),
            plain("    "),
            plain("\n\n"),
            plain("\t", rstrip=True),
        ]
    )
    begin_with(tokenizer, "<s>")
    return tokenizer, "<|end|>", "<s>"


def overlap():
    """Special tokens that hold, begin with or end in added tokens that are not special, and the other way round."""
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True), 300, ["<|endoftext|>"])
    tokenizer.add_special_tokens([special(name) for name in ["<a><b><c>", "<|end|>", "<x>", "--->", "lamp!"]])
    names = ["<a>", "<a><b>", "<b>", "<c><d>", "|>", "<|end|>\n", "<y><x>", "--", "->x", "lamp", "!?"]
    tokenizer.add_tokens([plain(name) for name in names])
    return tokenizer, "<|end|>", None


def split_tokenizer(pattern: str, behavior: str, size: int = 320):
    tokenizer = byte_level(pre_tokenizers.Sequence([split(pattern, behavior), bytes_alone()]), size, ["<|endoftext|>"])
    return tokenizer, "<|endoftext|>", None


def wordpiece():
    """The trainer of the library gives other pieces at every run, so beginnings and ends of words are counted here."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    normalizer, cut = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = [word for line in CORPUS for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(line))]
    letters = sorted({letter for word in words for letter in word})
    counts = Counter(word[:end] for word in words for end in range(2, len(word) + 1))
    counts.update("##" + word[start:] for word in words for start in range(1, len(word) - 1))
    common = sorted(counts, key=lambda piece: (-counts[piece], piece))[:250]
    vocabulary = [*names, *letters, *("##" + letter for letter in letters), *common]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, cut
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.add_special_tokens([special(name) for name in names])
    return tokenizer, "[SEP]", "[CLS]"


def words_bpe():
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=True))
    plain_letters = [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    tokenizer.normalizer = normalizers.Sequence(plain_letters)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()])
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["[UNK]", "[END]"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer, "[END]", None


TOKENIZERS = {
    "smollm2": smollm2,
    "llama3": llama3,
    "qwen2": qwen2,
    "deepseek": deepseek,
    "llama_legacy": llama_legacy,
    "metaspace_first": metaspace_first,
    "metaspace_always": metaspace_always,
    "unigram": unigram,
    "flags": flags,
    "overlap": overlap,
    "split_previous": lambda: split_tokenizer(r"\s", "merged_with_previous"),
    "split_next": lambda: split_tokenizer(r"\s|\p{Lu}", "merged_with_next"),
    "split_contiguous": lambda: split_tokenizer(r"\p{P}|\p{S}", "contiguous"),
    "split_removed": lambda: split_tokenizer(r"\s+|\p{Mn}", "removed"),
    "wordpiece": wordpiece,
    "words_bpe": words_bpe,
}


def write_folder(folder: pathlib.Path, name: str) -> Tokenizer:
    tokenizer, eos, bos = TOKENIZERS[name]()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {"eos_token": eos, "tokenizer_class": "PreTrainedTokenizerFast"} | ({"bos_token": bos} if bos else {})
    text = json.dumps(config, ensure_ascii=False, sort_keys=True)
    (folder / "tokenizer_config.json").write_text(text + "\n", "utf-8")
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


# The texts


def category_pools() -> dict[str, array]:
    """Every code point by category, without surrogates and without U+FDD0..U+FDEF, which rocit keeps for itself."""
    pools: dict[str, array] = {}
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category != "Cs" and not 0xFDD0 <= code <= 0xFDEF:
            pools.setdefault(category, array("I")).append(code)
    return pools


SCRIPTS = [
    (0x00C0, 0x024F), (0x0370, 0x03FF), (0x0400, 0x04FF), (0x0531, 0x0587), (0x05D0, 0x05EA), (0x0620, 0x064A),
    (0x0900, 0x097F), (0x0E00, 0x0E5B), (0x0F00, 0x0FDA), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x13A0, 0x13FD),
    (0x1E00, 0x1FFF), (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
    (0xFE00, 0xFE0F), (0xFF01, 0xFFEE), (0x10400, 0x1044F), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF), (0x20000, 0x2FA1F),
    (0xE0000, 0xE007F),
]  # fmt: skip
# Assigned by Unicode 15 to 17: tables of different ages disagree here.
RECENT = [
    (0x31350, 0x3347F), (0x2EBF0, 0x2EE5D), (0x10D40, 0x10D8F), (0x1C89, 0x1C8A), (0xA7CB, 0xA7DC), (0x11F00, 0x11F59),
]  # fmt: skip
ODD = [
    "\ufeff", "\x85", "\xa0", "\u200b", "\u200c", "\u200d", "\u200e", "\u202e", "\u2028", "\u2029", "\u3000", "\u180e",
    "\u2060", "\u1680", "\u202f", "\u205f", "\x00", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x7f", "\xad",
    "\ufffd", "\ufffe", "\uffff", "\U0010ffff", "\u212a", "\u212b", "ı", "İ", "ß", "ẞ", "ſ", "ﬁ", "ﷺ", "½", "①", "Ⅷ",
    "²", "…", "㍿", "ǆ", "ς", "Σ", "\u1160", "\u0958", "\u0344", "\u2126", "か\u3099", "e\u0301", "\u0301e",
    "q\u0323\u0307", "q\u0307\u0323", "\u1100\u1161\u11a8", "가\u11a8", "\u0345\u0301", "\uff76\uff9e",
]  # fmt: skip
SIGNS = [
    "▁", "▁▁", " ▁", "▁ ", "Ġ", "ĠĠ", "Ċ", "Â", "##", "##s", "<0x0A>", "<0x41>", "<0xE4>", "<0x0a>",
    "<unk>", "[UNK]", "<s>",
]  # fmt: skip
BLANKS = [" ", " ", " ", "  ", "   ", "    ", "\t", "\t\t", "\n", "\n\n", "\r\n", "\r", "\n ", " \n", "\u3000", "\xa0"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'Re", "'ſ", "’s", "'sa", " 's", "''s", "'x"]
EMOJI = [
    "😀", "❤️", "❤", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇨🇳", "🇨", "🇩🇪🇫🇷🇺", "1️⃣", "#️⃣", "🧑🏿‍🚀",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "☺︎", "\ufe0f", "\u200d😀",
]  # fmt: skip
DIGITS = [
    "0123456789", "٠١٢٣٤٥٦٧٨٩", "０１２３４５６７８９", "०१२३४५६७८९", "๐๑๒๓๔๕๖๗๘๙", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
    "零一二三四五六七八九", "½¼²³①②ⅠⅫ㊿៰",
]  # fmt: skip
MARKS = (
    "\u0300\u0301\u0308\u030a\u0323\u0327\u0345\u0591\u064b\u0670"
    "\u093c\u094d\u0e31\u20dd\u20e3\u302a\u3099\u309a\ufe20"
)
ASCII = "".join(map(chr, range(32, 127)))
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
LONG_EVERY, LONG, MEDIUM, SHORT = 2000, 5000, 200, 48


class Texts:
    """Random texts for one tokenizer, the same for the same seed."""

    def __init__(self, seed: str, pools: dict[str, array], added: list[str], longest: int = MEDIUM):
        self.rng = random.Random(seed)
        self.pools = list(pools.values())
        self.added = added
        self.longest = longest
        self.words = sorted({word for line in CORPUS for word in line.split()})
        weights = {
            self.word: 26, self.slice: 8, self.category: 12, self.script: 8, self.odd: 8, self.blank: 9, self.digits: 6,
            self.punctuation: 5, self.contraction: 4, self.emoji: 3, self.marks: 3, self.spelled: 9, self.sign: 3,
            self.ascii: 3, self.repeat: 1, self.recent: 1,
        }  # fmt: skip
        self.kinds = [kind for kind, weight in weights.items() for _ in range(weight)]

    def below(self, n: int) -> int:
        return int(self.rng.random() * n)

    def pick(self, items):
        return items[int(self.rng.random() * len(items))]

    def some(self, items, most: int) -> str:
        return "".join(self.pick(items) for _ in range(1 + self.below(most)))

    def text(self) -> str:
        length = int((self.longest + 1) * self.rng.random() ** 2)
        if self.longest == MEDIUM and self.below(LONG_EVERY) == 0:
            length = LONG
        parts, size = [], 0
        while size < length:
            part = self.pick(self.kinds)()
            parts.append(part)
            size += len(part)
        # Cutting also cuts a spelled token at the end in half.
        return "".join(parts)[:length]

    def word(self) -> str:
        word = self.pick(self.words)
        case = self.below(10)
        if case == 0:
            word = word.upper()
        elif case == 1:
            word = word.capitalize()
        elif case == 2:
            word = word.lower()
        return " " + word if self.below(3) else word

    def slice(self) -> str:
        line = self.pick(CORPUS)
        start = self.below(len(line))
        return line[start : start + 1 + self.below(30)]

    def category(self) -> str:
        pool = self.pick(self.pools)
        return "".join(chr(self.pick(pool)) for _ in range(1 + self.below(4)))

    def within(self, ranges) -> str:
        low, high = self.pick(ranges)
        return "".join(chr(low + self.below(high - low + 1)) for _ in range(1 + self.below(6)))

    def script(self) -> str:
        return self.within(SCRIPTS)

    def recent(self) -> str:
        return self.within(RECENT)

    def odd(self) -> str:
        return self.some(ODD, 2)

    def blank(self) -> str:
        return self.some(BLANKS, 3) if self.below(8) else self.pick(" \t\n") * (1 + self.below(24))

    def digits(self) -> str:
        return self.some(self.pick(DIGITS), 5 if self.below(4) else 24)

    def punctuation(self) -> str:
        return self.some(PUNCTUATION, 4)

    def contraction(self) -> str:
        return self.pick(self.words) + self.pick(CONTRACTIONS)

    def emoji(self) -> str:
        return self.some(EMOJI, 2)

    def marks(self) -> str:
        return ("" if self.below(2) else self.pick(ASCII)) + self.some(MARKS, 3)

    def ascii(self) -> str:
        return self.some(ASCII, 8)

    def sign(self) -> str:
        return self.pick(SIGNS)

    def repeat(self) -> str:
        return self.pick(["a", "e", "=", "-", "灯", "▁", "é", "😀", "ا", "0", "\u0301", "\u200b"]) * (2 + self.below(40))

    def spelled(self) -> str:
        token = self.pick(self.added)
        cut = self.below(len(token))
        form = self.below(12)
        if form == 0:
            return token[:cut]
        if form == 1:
            return token[cut:]
        if form == 2:
            return token[:cut] + self.pick(" \n▁x") + token[cut:]
        if form == 3:
            return self.pick("aZ9é灯_.") + token
        if form == 4:
            return token + self.pick("aZ9é灯_.")
        if form == 5:
            return self.pick(BLANKS) + token + self.pick(BLANKS)
        if form == 6:
            return token + self.pick(self.added)
        if form == 7:
            return token.swapcase()
        if form == 8:  # full-width letters, which NFKC folds back
            return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in token)
        return token

    def fixed(self) -> list[str]:
        """Texts that should not be left to chance."""
        around = [("", ""), ("a", "b"), (" ", " "), ("\n", "\n\n")]
        spelled = [f"{left}{token}{right}" for token in self.added for left, right in around]
        return ["", " ", "  ", "\n", "a", " a", "a ", "▁", "▁a", "灯", "\u0301", "\x00", "😀", "\ufeffa", *spelled]


# The cases


def special_names(tokenizer: Tokenizer) -> list[str]:
    return [t.content for _, t in sorted(tokenizer.get_added_tokens_decoder().items()) if t.special]


def make_prompt(texts: Texts, names: list[str], unspelled: list[str]) -> list[dict]:
    pieces: list[dict] = []
    for _ in range(1 + texts.below(7)):
        if texts.below(2):
            pieces.append({"token": texts.pick(names)})
        elif not pieces or "token" in pieces[-1]:
            short = texts.pick([texts.text, texts.blank, texts.word])()[: MEDIUM // 2]
            if short and not any(name in short for name in unspelled):
                pieces.append({"text": short})
    return pieces


def joined(pieces: list[dict]) -> str:
    return "".join(piece.get("token", piece.get("text")) for piece in pieces)


def make_prompts(tokenizer: Tokenizer, texts: Texts, count: int) -> tuple[list[list[dict]], list[list[int]]]:
    """Prompts in which Python finds exactly the special tokens that were meant, and their ids."""
    unspelled = special_names(tokenizer)
    names = [name for name in unspelled if name not in ("<unk>", "[UNK]")]
    ids_of = {name: tokenizer.token_to_id(name) for name in unspelled}
    # [UNK] also stands for unknown letters; tokenizers with <unk> have byte pieces for these.
    watched = {i for name, i in ids_of.items() if name != "[UNK]"}
    prompts, ids = [], []
    while len(prompts) < count:
        batch = [make_prompt(texts, names, unspelled) for _ in range(1000)]
        for pieces, found in zip(batch, encode(tokenizer, [joined(pieces) for pieces in batch], special_is_text=False)):
            meant = [ids_of[piece["token"]] for piece in pieces if "token" in piece]
            if meant == [i for i in found if i in watched] and len(prompts) < count:
                prompts.append(pieces)
                ids.append(found)
    return prompts, ids


def encode(tokenizer: Tokenizer, texts: list[str], special_is_text: bool) -> list[list[int]]:
    tokenizer.encode_special_tokens = special_is_text
    return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def make_sequences(tokenizer: Tokenizer, texts: Texts, count: int) -> list[list[int]]:
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    added = sorted(tokenizer.get_added_tokens_decoder())
    return [
        [texts.pick(added) if texts.below(8) == 0 else texts.below(size) for _ in range(texts.below(24))]
        for _ in range(count)
    ]


def decode(tokenizer: Tokenizer, ids: list[list[int]]) -> list[list[str]]:
    both = [tokenizer.decode_batch(ids, skip_special_tokens=skip) for skip in (False, True)]
    return [list(pair) for pair in zip(*both)]


def added_names(tokenizer: Tokenizer) -> list[str]:
    return [t.content for _, t in sorted(tokenizer.get_added_tokens_decoder().items())]


def write_ids(path: pathlib.Path, ids: list[list[int]]) -> None:
    flat, lengths = array("i", (i for row in ids for i in row)), array("i", map(len, ids))
    for suffix, values in [("ids", flat), ("lengths", lengths)]:
        if sys.byteorder != "little":
            values.byteswap()
        path.with_name(f"{path.name}.{suffix}.bin").write_bytes(values.tobytes())


def write_lines(path: pathlib.Path, rows: list) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_run(name: str, out: pathlib.Path, count: int, seed: int, pools: dict[str, array]) -> str:
    start = time.time()
    folder = out / name
    tokenizer = write_folder(folder, name)
    texts = Texts(f"{seed}/{name}", pools, added_names(tokenizer))
    rows = (texts.fixed() + [texts.text() for _ in range(count)])[:count]
    ids = encode(tokenizer, rows, special_is_text=True)
    prompts, prompt_ids = make_prompts(tokenizer, texts, max(1, count // 5))
    sequences = make_sequences(tokenizer, texts, max(1, count // 5))
    write_lines(folder / "texts.jsonl", rows)
    write_lines(folder / "prompts.jsonl", prompts)
    for kind, values in [("texts", ids), ("prompts", prompt_ids), ("sequences", sequences)]:
        write_ids(folder / kind, values)
        write_lines(folder / f"{kind}.decoded.jsonl", decode(tokenizer, values[: max(1, count // 5)]))
    total = sum(map(len, ids))
    return f"{name}: {len(rows)} texts, {total} tokens, {len(prompts)} prompts, {time.time() - start:.0f} s"


def with_decoded(case: dict, text: str | None, pair: list[str]) -> dict:
    decoded, skipped = pair
    if decoded != text:
        case["decoded"] = decoded
    if skipped != decoded:
        case["skipped"] = skipped
    return case


def write_goldens(name: str, count: int, seed: int, pools: dict[str, array]) -> None:
    folder = GOLDENS / name
    tokenizer = write_folder(folder, name)
    texts = Texts(f"goldens {seed}/{name}", pools, added_names(tokenizer), longest=SHORT)
    rows = texts.fixed()[: count // 2]
    rows += [texts.text() for _ in range(count - len(rows))]
    ids = encode(tokenizer, rows, special_is_text=True)
    prompts, prompt_ids = make_prompts(tokenizer, texts, count // 2)
    sequences = make_sequences(tokenizer, texts, count // 5)
    cases = {
        "texts": [
            with_decoded({"text": t, "ids": i}, t, pair) for t, i, pair in zip(rows, ids, decode(tokenizer, ids))
        ],
        "prompts": [
            with_decoded({"pieces": p, "ids": i}, joined(p), pair)
            for p, i, pair in zip(prompts, prompt_ids, decode(tokenizer, prompt_ids))
        ],
        "sequences": [with_decoded({"ids": i}, None, pair) for i, pair in zip(sequences, decode(tokenizer, sequences))],
    }
    head = {"tokenizers": tokenizers.__version__, "command": "python scripts/make_tokenizer_fuzz.py --goldens"}
    lines = [f'"{key}":{json.dumps(value)}' for key, value in head.items()]
    for kind, values in cases.items():
        lines.append(f'"{kind}":[\n' + ",\n".join(json.dumps(v, separators=(",", ":")) for v in values) + "\n]")
    (folder / "cases.json").write_text("{" + ",\n".join(lines) + "}\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes random tokenizer cases with Python `tokenizers`.")
    parser.add_argument("--out", type=pathlib.Path, help="folder of the big run")
    parser.add_argument("--texts", type=int, default=100_000, help="texts for each tokenizer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(TOKENIZERS), default=list(TOKENIZERS))
    parser.add_argument("--goldens", action="store_true", help="writes the committed sample")
    options = parser.parse_args()
    if options.out is None and not options.goldens:
        parser.error("expected --out FOLDER or --goldens, got neither")
    pools = category_pools()
    if options.goldens:
        for name in options.only:
            write_goldens(name, 200, options.seed, pools)
    if options.out is not None:
        jobs = [(name, options.out, options.texts, options.seed, pools) for name in options.only]
        with multiprocessing.Pool() as pool:
            running = [pool.apply_async(write_run, job) for job in jobs]
            for result in running:
                print(result.get(), flush=True)


if __name__ == "__main__":
    main()
