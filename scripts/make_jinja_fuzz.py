"""Writes random chat templates and what transformers renders for them, to compare with rocit's Jinja.

Run:  python scripts/make_jinja_fuzz.py FILE [--templates 4000] [--seed 0]
Then: node scripts/fuzz_jinja.mjs FILE
Needs: pip install transformers jinja2.

FILE is a JSON list of {"source", "messages", "text"} or {"source", "messages", "error"}. Templates are made of what real
ones are made of: conditions and loops over messages, variables set inside and outside of them, namespaces, text blocks,
string methods, filters, white-space control.
"""

import argparse
import json
import os
import pathlib
import random

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from transformers.utils import chat_template_utils  # noqa: E402

NAMES = ["x", "y", "z"]
LOOPS = [
    "for m in messages",
    "for m in messages[1:]",
    "for m in messages if m.role != 'system'",
    "for k in ['p', 'q']",
    "for x in ['p', 'q ']",
]
CONDITIONS = [
    "loop.first",
    "loop.last",
    "m.role == 'user'",
    "'a' in m.content",
    "not ns.v",
    "x and y",
    "loop.index0 % 2 == 0",
    "loop.nextitem is defined",
    "m.content | length > 2",
    "loop.previtem and loop.previtem.role == m.role",
    "m is mapping",
    "(m.role == 'user') != (loop.index0 % 2 == 0)",
]
PLAIN = ["'a'", "' b '", "'c\\n'", "''", "ns.v", "m.role", "m.content", "m.content | trim", "m['content'].strip()", "loop.index0"]
BLANKS = ["", "", " ", "\n", "\n  ", " \n", "\n\n", "T"]
MESSAGES = [
    {"role": "system", "content": " sys "},
    {"role": "user", "content": "a b </think> aa"},
    {"role": "assistant", "content": "\U0001f600hi\n"},
]


class Writer:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, values: list):
        return self.random.choice(values)

    def expression(self) -> str:
        kind = self.random.random()
        if kind < 0.2:
            return self.pick(NAMES)
        if kind < 0.75:
            return self.pick(PLAIN)
        if kind < 0.8:
            return f"({self.expression()} if {self.condition()} else {self.expression()})"
        if kind < 0.85:
            return f"m.content.split({self.pick(['a', ' ', '</think>'])!r})[{self.pick(['0', '-1'])}]"
        if kind < 0.9:
            return f"m.content[{self.pick(['0:2', '-2:', '::2', '1:'])}]"
        return f"({self.expression()} or {self.expression()})" if kind < 0.95 else f"{self.pick(NAMES)} | default({self.expression()})"

    def condition(self) -> str:
        more = [f"{self.pick(NAMES)} == {self.pick(PLAIN)}", f"{self.pick(NAMES)} is defined"]
        return self.pick(CONDITIONS + more)

    def tag(self, words: str) -> str:
        return f"{{%{self.pick(['', '-', ''])} {words} {self.pick(['', '-', ''])}%}}"

    def output(self) -> str:
        return f"{{{{{self.pick(['', '-', ''])} {self.expression()} {self.pick(['', '-', ''])}}}}}"

    def statements(self, count: int, depth: int, in_loop: bool) -> str:
        return "".join(self.pick(BLANKS) + self.statement(depth, in_loop) for _ in range(count)) + self.pick(BLANKS)

    def statement(self, depth: int, in_loop: bool) -> str:
        kind = self.random.random()
        if kind < 0.4 or depth > 2 and kind >= 0.62:
            return self.output()
        if kind < 0.55:
            return self.tag(f"set {self.pick(NAMES)} = {self.expression()}")
        if kind < 0.62:
            return self.tag(f"set ns.v = {self.expression()}")
        if kind < 0.68:
            return self.tag(f"set {self.pick(NAMES)}") + self.statements(2, depth + 1, False) + self.tag("endset")
        if kind < 0.82:
            other = self.tag("else") + self.statements(1, depth + 1, in_loop) if self.random.random() < 0.5 else ""
            return self.tag(f"if {self.condition()}") + self.statements(2, depth + 1, in_loop) + other + self.tag("endif")
        if kind < 0.92:
            return self.tag(self.pick(LOOPS)) + self.statements(3, depth + 1, True) + self.tag("endfor")
        if in_loop:
            return self.tag(f"if {self.condition()}") + self.tag(self.pick(["continue", "break"])) + self.tag("endif")
        return "{#- a remark #}"

    def template(self) -> str:
        body = self.statements(4, 1, True)
        return "{% set ns = namespace(v='') %}{% for m in messages %}" + body + "{% endfor %}"


def case(source: str) -> dict:
    try:
        text = chat_template_utils.render_jinja_template([MESSAGES], chat_template=source)[0][0]
    except Exception as error:  # what a template does wrong is a result
        return {"source": source, "messages": MESSAGES, "error": f"{type(error).__name__}: {error}"}
    return {"source": source, "messages": MESSAGES, "text": text}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--templates", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    writer = Writer(options.seed)
    cases = [case(writer.template()) for _ in range(options.templates)]
    options.file.write_text(json.dumps(cases))
    print(f"{len(cases)} templates, {sum('error' in one for one in cases)} of them errors")


if __name__ == "__main__":
    main()
