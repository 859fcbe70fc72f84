"""Makes tests/goldens/chat_templates.json: chat templates, rows, and the ids and targets that are right for them.

The templates are our own and small; each behaves like a family of real ones. The text comes from `apply_chat_template` of
transformers, the ids from Python `tokenizers`. What is a target is written by hand, case by case.

Run:   python scripts/make_template_goldens.py
Needs: pip install transformers tokenizers jinja2. The day is always 2024-07-26, 00:00.
"""

import datetime
import json
import pathlib
import re

import jinja2
import tokenizers
import transformers
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

GOLDENS = pathlib.Path(__file__).resolve().parent.parent / "tests" / "goldens"
FOLDERS = {"tiny": "tiny_tokenizer", "tiny_llama": "tiny_tokenizer_llama"}
BOTH = ("tiny", "tiny_llama")
TINY = ("tiny",)
LLAMA = ("tiny_llama",)


class FixedDay(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26, 0, 0, 0)


chat_template_utils.datetime = FixedDay

# Written with bos_token and eos_token, a template fits both tokenizers: with the tiny one it is ChatML.
TURN = "{{ bos_token + message.role + '\\n' + message.content + eos_token + '\\n' }}"
ASK = "{% if add_generation_prompt %}{{ bos_token + 'assistant\\n' }}{% endif %}"
EACH = "{% for message in messages %}"

TEMPLATES = {
    "plain": EACH + TURN + "{% endfor %}" + ASK,
    "default_system": EACH
    + "{% if loop.first and message.role != 'system' %}"
    + "{{ bos_token + 'system\\nYou live in the old harbour.' + eos_token + '\\n' }}{% endif %}"
    + TURN
    + "{% endfor %}"
    + ASK,
    # Reasoning stays in the answers behind the last question only, and the last answer always has a block for it.
    "reasoning": """
{%- set seen = namespace(question=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}{% set seen.question = loop.index0 %}{% endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set words = message.content %}
    {%- if message.role == 'assistant' %}
        {%- set thought = '' %}
        {%- if '</think>' in words %}
            {%- set thought = words.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
            {%- set words = words.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > seen.question and (thought or loop.last) %}
            {%- set words = '<think>\\n' + thought + '\\n</think>\\n\\n' + words %}
        {%- endif %}
    {%- endif %}
    {{- bos_token + message.role + '\\n' + words + eos_token + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- bos_token + 'assistant\\n' }}
{%- endif %}""",
    "last_part": "{{ bos_token }}{% for message in messages %}{% set words = message['content'] %}"
    "{% if message['role'] == 'system' %}{{ words }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[guest]' + words }}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ '[host]' + words.split('</think>')[-1] + eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '[host]' }}{% endif %}",
    # The prompt opens a block for reasoning that answers in the conversation do not have.
    "opened_block": EACH
    + "{{ bos_token + message.role + '\\n' }}"
    + "{% if message.role == 'assistant' %}{{ message.content.split('</think>')[-1] }}{% else %}{{ message.content }}{% endif %}"
    + "{{ eos_token + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ bos_token + 'assistant\\n<think>\\n' }}{% endif %}",
    "system_when_there": "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}"
    "{% if messages[0].content %}{{ bos_token + 'scene\\n' + messages[0].content + eos_token + '\\n' }}{% endif %}"
    "{% else %}{% set rest = messages %}{% endif %}{% for message in rest %}" + TURN + "{% endfor %}" + ASK,
    "system_when_not_blank": EACH
    + "{% if message.role != 'system' or message.content | trim | length > 0 %}"
    + TURN
    + "{% endif %}{% endfor %}"
    + ASK,
    "squeezed": EACH
    + "{{ bos_token + message.role + '\\n' + message.content.replace('\\n\\n', '\\n') + eos_token + '\\n' }}{% endfor %}"
    + ASK,
    "stripped": EACH
    + "{{ bos_token + message.role + '\\n' + message['content'].strip() + eos_token + '\\n' }}{% endfor %}"
    + ASK,
    "trimmed_headers": EACH
    + "{{ bos_token ~ '(' ~ message.role ~ ')\\n\\n' ~ message.content | trim ~ eos_token }}{% endfor %}"
    + "{% if add_generation_prompt %}{{ bos_token ~ '(assistant)\\n\\n' }}{% endif %}",
    "needs_question": "{% if messages | selectattr('role', 'equalto', 'user') | list | length == 0 %}"
    "{{ raise_exception('Somebody has to ask something.') }}{% endif %}" + EACH + TURN + "{% endfor %}" + ASK,
    # Looks for the last question from the end, as templates do that keep reasoning behind it.
    "searches_question": """
{%- set found = namespace(last=none) %}
{%- for message in messages[::-1] %}
    {%- if found.last is none and message.role == 'user' %}
        {%- set found.last = messages | length - 1 - loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- if found.last is none %}
    {{- raise_exception('No question found.') }}
{%- endif %}
{%- for message in messages %}
    {{- bos_token + message.role + '\\n' }}
    {%- if message.role == 'assistant' and loop.index0 > found.last %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
    {{- message.content + eos_token + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- bos_token + 'assistant\\n' }}
{%- endif %}""",
    "today": "{{ bos_token + 'system\\nToday: ' }}{{ strftime_now(\"%d %B %Y\") }}{{ eos_token + '\\n' }}"
    + EACH
    + TURN
    + "{% endfor %}"
    + ASK,
    "all_of_the_day": "{{ bos_token }}{{ strftime_now('%Y-%m-%d|%b|%A|%a|%j|%y|%H:%M|%p|%I|%S|%B|100%%') }}{{ eos_token + '\\n' }}"
    + EACH
    + TURN
    + "{% endfor %}"
    + ASK,
    "today_when_known": "{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}"
    "{% else %}{% set day = '26 Jul 2024' %}{% endif %}{{ bos_token + 'Day: ' + day + eos_token + '\\n' }}"
    + EACH
    + TURN
    + "{% endfor %}"
    + ASK,
    # ChatML spelled out: its end of a turn need not be the tokenizer's end token.
    "spelled_chatml": EACH
    + "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}{% endfor %}"
    + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "strict_turns": "{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}{% set first = messages[0]['content'] %}"
    "{% else %}{% set turns = messages %}{% set first = false %}{% endif %}{% for turn in turns %}"
    "{% if (turn['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Guest and host take turns, and the guest begins.') }}{% endif %}"
    "{% if loop.first and first %}{% set words = '<<' + first + '>>\\n' + turn['content'] %}{% else %}{% set words = turn['content'] %}{% endif %}"
    "{% if turn['role'] == 'user' %}{{ bos_token + '[ASK] ' + words.strip() + ' [/ASK]' }}"
    "{% else %}{{ ' ' + words.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    # No end token behind an answer: rocit adds one, directly behind the answer's text.
    "sections": EACH
    + "{% if message.role == 'system' %}{{ message.content + '\\n\\n' }}"
    + "{% elif message.role == 'user' %}{{ '### Instruction:\\n' + message.content + '\\n\\n' }}"
    + "{% else %}{{ '### Response:\\n' + message.content + '\\n\\n' }}{% endif %}{% endfor %}"
    + "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}",
    "names": EACH
    + "{{ {'system': 'Scene', 'user': 'Question', 'assistant': 'Answer'}[message.role] + ': ' + message.content }}"
    + "{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '\\nAnswer: ' }}{% endif %}",
    # The answer stands directly behind a special token.
    "bare": EACH
    + "{% if message.role == 'assistant' %}{{ message.content + eos_token }}{% else %}{{ bos_token + message.content + bos_token }}{% endif %}"
    + "{% endfor %}",
    "sections_with_end": "{{ bos_token }}"
    + EACH
    + "{% if message.role == 'user' %}{{ '### Instruction:\\n' + message.content + '\\n\\n' }}"
    + "{% else %}{{ '### Response:\\n' + message.content + eos_token }}{% endif %}{% endfor %}"
    + "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}",
    "names_with_end": EACH
    + "{{ {'system': 'Scene', 'user': 'Question', 'assistant': 'Answer'}[message.role] + ': ' + message.content }}"
    + "{{ eos_token if message.role == 'assistant' else '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Answer: ' }}{% endif %}",
    "tools_and_documents": "{% if not tools is defined %}{% set tools = none %}{% endif %}"
    "{% if tools is none %}{{ 'No tools.\\n' }}{% else %}{{ tools | tojson }}{% endif %}"
    "{% if documents is defined and documents %}{{ documents | length }} papers{% endif %}"
    "{% if extra is defined and extra is true %}never{% endif %}"
    "{% set quiet = not (loud is defined and loud) %}{% if quiet %}{{ 'Quiet.\\n' }}{% endif %}"
    + EACH
    + TURN
    + "{% endfor %}"
    + ASK,
    "macro": """{% macro spoken(content) -%}
{% if content is string %}{{ content }}{% elif content is mapping %}{{ content.text }}{% elif content is iterable %}{% for part in content %}{{ part.text }}{% endfor %}{% endif %}
{%- endmacro %}
{% set counted = namespace(turns=0) %}
{% for message in messages if message.role != 'tool' %}
{% set counted.turns = counted.turns + 1 %}
{{ bos_token }}{{ counted.turns }} {{ message['role'] | capitalize }}: {{ spoken(message.content) }}{{ eos_token }}
{% endfor %}
{% if add_generation_prompt %}
{{ bos_token }}{{ counted.turns + 1 }} Assistant: {% endif %}""",
    "picks": "{% set scenes = messages | selectattr('role', 'equalto', 'system') | list %}"
    "{% set talk = messages | rejectattr('role', 'equalto', 'system') | list %}"
    "{% if scenes %}{{ bos_token ~ 'scene\\n' ~ scenes[0].content ~ eos_token ~ '\\n' }}{% endif %}"
    "{% for message in talk %}{% set side = 'left' if loop.index0 % 2 == 0 else 'right' %}"
    "{{ bos_token ~ message.role.upper() ~ ' ' ~ side ~ ' ' ~ loop.index ~ '/' ~ loop.length ~ '\\n' ~ message.get('content', '') ~ eos_token ~ '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ bos_token ~ 'ASSISTANT ' ~ ('left' if talk | length % 2 == 0 else 'right') ~ ' ' ~ (talk | length + 1) ~ '/' ~ (talk | length + 1) ~ '\\n' }}{% endif %}",
}

Row = list[dict]


def s(content: str) -> dict:
    return {"role": "system", "content": content}


def u(content: str) -> dict:
    return {"role": "user", "content": content}


def a(content: str, **more) -> dict:
    return {"role": "assistant", "content": content, **more}


SCENE = "You keep the lighthouse and speak in short sentences."
POTTER = [a("Come in, the wheel is loud today."), u("What are you making?"), a("A bowl for my sister.")]
STORM = [s(SCENE), u("What did the storm teach you?"), a("Not to sleep."), u("And now?"), a("Now I sleep by day.")]
THOUGHT = "<think>\nStill no.\n</think>\n\nNot yet."

# Each case: name, template, tokenizers, messages, targets, more. In a target {end} is the end token the template writes,
# {added} the one rocit adds behind the last answer where the template writes none. A pair is (text in front, target), for a target that stands in the text more than once.
CASES: list[tuple] = [
    # 1. The character speaks first.
    (
        "character first, default system message",
        "default_system",
        BOTH,
        POTTER,
        ["Come in, the wheel is loud today.{end}", "A bowl for my sister.{end}"],
    ),
    (
        "character first, plain turns",
        "plain",
        BOTH,
        POTTER,
        ["Come in, the wheel is loud today.{end}", "A bowl for my sister.{end}"],
    ),
    (
        "character first, block for reasoning",
        "reasoning",
        BOTH,
        POTTER,
        ["Come in, the wheel is loud today.{end}", "<think>\n\n</think>\n\nA bowl for my sister.{end}"],
    ),
    (
        "character first behind a system message",
        "default_system",
        BOTH,
        [s(SCENE), *POTTER],
        ["Come in, the wheel is loud today.{end}", "A bowl for my sister.{end}"],
    ),
    ("character alone", "default_system", BOTH, [a("I speak, nobody answers.")], ["I speak, nobody answers.{end}"]),
    (
        "default system message, user first",
        "default_system",
        BOTH,
        STORM[1:],
        ["Not to sleep.{end}", "Now I sleep by day.{end}"],
    ),
    # 2. Reasoning.
    (
        "reasoning in the last answer",
        "reasoning",
        BOTH,
        [u("Is it time?"), a(THOUGHT)],
        ["<think>\nStill no.\n</think>\n\nNot yet.{end}"],
    ),
    (
        "reasoning in an earlier answer",
        "reasoning",
        BOTH,
        [u("Is it time?"), a(THOUGHT), u("And now?"), a("Now.")],
        [("assistant\n", "Not yet.{end}"), "<think>\n\n</think>\n\nNow.{end}"],
    ),
    (
        "reasoning in both answers",
        "reasoning",
        TINY,
        [s(SCENE), u("Is it time?"), a(THOUGHT), u("And now?"), a("<think>\nThe bell rang.\n</think>\n\nNow.")],
        ["Not yet.{end}", "<think>\nThe bell rang.\n</think>\n\nNow.{end}"],
    ),
    (
        "no reasoning at all",
        "reasoning",
        BOTH,
        STORM,
        ["Not to sleep.{end}", "<think>\n\n</think>\n\nNow I sleep by day.{end}"],
    ),
    (
        "reasoning, and a question that ends the row",
        "reasoning",
        TINY,
        [u("Is it time?"), a(THOUGHT), u("Are you there?")],
        ["Not yet.{end}"],
    ),
    # 3. Only what stands behind the reasoning.
    (
        "last part of answers",
        "last_part",
        BOTH,
        [s(SCENE), u("Is it time?"), a(THOUGHT), u("And now?"), a("Now.")],
        ["\n\nNot yet.{end}", "Now.{end}"],
    ),
    ("last part of the last answer", "last_part", BOTH, [u("Is it time?"), a(THOUGHT)], ["\n\nNot yet.{end}"]),
    (
        "prompt opens a block that answers lack",
        "opened_block",
        BOTH,
        STORM,
        ["Not to sleep.{end}", "Now I sleep by day.{end}"],
    ),
    (
        "prompt opens a block, answers with reasoning",
        "opened_block",
        BOTH,
        [u("Is it time?"), a(THOUGHT), u("And now?"), a("<think>\nThe bell rang.\n</think>\n\nNow.")],
        ["\n\nNot yet.{end}", "\n\nNow.{end}"],
    ),
    # 4. Contents tested for emptiness.
    (
        "empty system message",
        "system_when_there",
        BOTH,
        [s(""), *STORM[1:]],
        ["Not to sleep.{end}", "Now I sleep by day.{end}"],
    ),
    ("system message", "system_when_there", BOTH, STORM, ["Not to sleep.{end}", "Now I sleep by day.{end}"]),
    ("no system message", "system_when_there", TINY, STORM[1:], ["Not to sleep.{end}", "Now I sleep by day.{end}"]),
    (
        "blank system message",
        "system_when_not_blank",
        BOTH,
        [s(" \n "), *STORM[1:]],
        ["Not to sleep.{end}", "Now I sleep by day.{end}"],
    ),
    (
        "blank system message, tested bare",
        "system_when_there",
        TINY,
        [s(" "), u("Who are you?"), a("Nobody.")],
        ["Nobody.{end}"],
    ),
    # 5. Contents rewritten.
    (
        "double line breaks made single",
        "squeezed",
        BOTH,
        [
            s("Be brief.\n\nBe kind."),
            u("Two parts.\n\nPlease."),
            a("First part.\n\nSecond part."),
            u("More."),
            a("A.\n\n\nB.\n\n\n\nC."),
        ],
        ["First part.\nSecond part.{end}", "A.\n\nB.\n\nC.{end}"],
    ),
    (
        "contents stripped",
        "stripped",
        BOTH,
        [
            s(f" {SCENE} \n"),
            u("\tTab in front."),
            a("  \n Under the stairs. \n"),
            u(" blank \n"),
            a("\u00a0Wide blanks.\u3000"),
        ],
        ["Under the stairs.{end}", "Wide blanks.{end}"],
    ),
    (
        "contents trimmed behind headers",
        "trimmed_headers",
        BOTH,
        [s(SCENE), u("  What did you see? "), a("\n\nI saw the lamp.  "), u("And then?"), a("Then\n\nnothing.")],
        ["I saw the lamp.{end}", "Then\n\nnothing.{end}"],
    ),
    (
        "headers, the character first",
        "trimmed_headers",
        BOTH,
        POTTER,
        ["Come in, the wheel is loud today.{end}", "A bowl for my sister.{end}"],
    ),
    # 6. A question is demanded.
    (
        "a question somewhere, the character first",
        "needs_question",
        BOTH,
        [s(SCENE), *POTTER],
        ["Come in, the wheel is loud today.{end}", "A bowl for my sister.{end}"],
    ),
    (
        "a question searched from the end, the character first",
        "searches_question",
        BOTH,
        [s(SCENE), *POTTER],
        ["Come in, the wheel is loud today.{end}", "<think>\n\n</think>\n\nA bowl for my sister.{end}"],
    ),
    (
        "a question searched from the end",
        "searches_question",
        TINY,
        STORM,
        ["Not to sleep.{end}", "<think>\n\n</think>\n\nNow I sleep by day.{end}"],
    ),
    # 7. The day.
    ("today", "today", BOTH, [u("Which day is it?"), a("A Friday, I think.")], ["A Friday, I think.{end}"]),
    (
        "today, the character first",
        "today",
        BOTH,
        POTTER,
        ["Come in, the wheel is loud today.{end}", "A bowl for my sister.{end}"],
    ),
    (
        "all of the day",
        "all_of_the_day",
        BOTH,
        [u("Which day is it?"), a("A Friday, I think.")],
        ["A Friday, I think.{end}"],
    ),
    (
        "today when known",
        "today_when_known",
        BOTH,
        [u("Which day is it?"), a("A Friday, I think.")],
        ["A Friday, I think.{end}"],
    ),
    # 8. Weights.
    (
        "first answer without weight",
        "plain",
        BOTH,
        [
            s(SCENE),
            u("Who is there?"),
            a("Only the wind.", weight=0),
            u("And now?"),
            a("Still only the wind.", weight=1),
        ],
        ["Still only the wind.{end}"],
    ),
    (
        "last answer without weight",
        "default_system",
        BOTH,
        [u("Who is there?"), a("Only the wind."), u("And now?"), a("Still.", weight=0)],
        ["Only the wind.{end}"],
    ),
    (
        "middle answer without weight, block for reasoning",
        "reasoning",
        TINY,
        [a("Sit."), u("Is it time?"), a(THOUGHT, weight=0), u("And now?"), a("Now.")],
        ["Sit.{end}", "<think>\n\n</think>\n\nNow.{end}"],
    ),
    (
        "character first without weight",
        "plain",
        BOTH,
        [a("Come in.", weight=0), u("What are you making?"), a("A bowl.")],
        ["A bowl.{end}"],
    ),
    # 9. Blank answers.
    (
        "blank answer in the middle",
        "plain",
        BOTH,
        [s(SCENE), u("Say nothing."), a("  "), u("Thank you."), a("You are welcome.")],
        ["You are welcome.{end}"],
    ),
    (
        "blank answer trimmed away",
        "trimmed_headers",
        BOTH,
        [u("Say nothing."), a("  "), u("Thank you."), a("You are welcome.")],
        ["You are welcome.{end}"],
    ),
    (
        "blank answers around one",
        "default_system",
        TINY,
        [u("One."), a("\n"), u("Two."), a("Three."), u("Four."), a("")],
        ["Three.{end}"],
    ),
    (
        "blank answer, block for reasoning",
        "reasoning",
        TINY,
        [u("One."), a(" "), u("Two."), a("Three.")],
        ["<think>\n\n</think>\n\nThree.{end}"],
    ),
    # 10. The border between prompt and answer.
    (
        "answer begins with an indented line",
        "plain",
        BOTH,
        [u("Show me."), a("    first line\nsecond line\n        third line"), u("Again."), a("  once more")],
        ["    first line\nsecond line\n        third line{end}", "  once more{end}"],
    ),
    (
        "answer begins with line breaks",
        "plain",
        BOTH,
        [u("Show me."), a("\n\nUnder the stairs."), u("Again."), a("\n Under.")],
        ["\n\nUnder the stairs.{end}", "\n Under.{end}"],
    ),
    (
        "answer behind a special token",
        "bare",
        BOTH,
        [u("Where is the lamp?"), a("I lit the lamp."), u("Where?"), a(" I lit the lamp.")],
        [("?{bos}", "I lit the lamp.{end}"), " I lit the lamp.{end}"],
    ),
    (
        "the same answer behind text",
        "sections_with_end",
        BOTH,
        [u("Where is the lamp?"), a("I lit the lamp."), u("Where?"), a(" I lit the lamp.")],
        [("\n", "I lit the lamp.{end}"), " I lit the lamp.{end}"],
    ),
    (
        "indented answer behind text",
        "sections_with_end",
        BOTH,
        [u("Show me."), a("    I lit the lamp.")],
        ["    I lit the lamp.{end}"],
    ),
    (
        "prompt ends with a blank, a token spans the border",
        "names_with_end",
        BOTH,
        [s(SCENE), u("Who lit the lamp?"), a("I lit the lamp."), u("Why?"), a("the storm")],
        ["I lit the lamp.{end}", "the storm{end}"],
        {"spans": True},
    ),
    (
        "prompt ends with a blank, no token spans",
        "names_with_end",
        BOTH,
        [u("Where is the key?"), a("Under the stairs.")],
        ["Under the stairs.{end}"],
        {"spans": False},
    ),
    (
        "prompt ends with a blank, answer begins with one",
        "names_with_end",
        BOTH,
        [u("Who lit it?"), a(" I lit the lamp.")],
        [" I lit the lamp.{end}"],
    ),
    (
        "prompt ends with a blank, Chinese",
        "names_with_end",
        BOTH,
        [u("那天晚上的风暴，你看见了什么？"), a("我看见灯还亮着，别的都不重要。")],
        ["我看见灯还亮着，别的都不重要。{end}"],
    ),
    (
        "no end token, a token spans the border",
        "names",
        BOTH,
        [u("Who lit the lamp?"), a("I lit the lamp."), u("Why?"), a("the storm")],
        [(": ", "I lit the lamp."), "the storm{added}"],
        {"spans": True},
    ),
    # 11. A turn's end that is not the tokenizer's end token.
    (
        "turns end otherwise than texts",
        "spelled_chatml",
        TINY,
        STORM,
        ["Not to sleep.<|im_end|>", "Now I sleep by day.<|im_end|>"],
        {"eos_token": "<|endoftext|>"},
    ),
    (
        "turns end otherwise than texts, the character first",
        "spelled_chatml",
        TINY,
        POTTER,
        ["Come in, the wheel is loud today.<|im_end|>", "A bowl for my sister.<|im_end|>"],
        {"eos_token": "<|endoftext|>"},
    ),
    # 12. Refusals.
    (
        "two questions in a row",
        "strict_turns",
        BOTH,
        [u("First question."), u("Second question."), a("One answer.")],
        [],
        {"refused": "Guest and host take turns, and the guest begins."},
    ),
    (
        "the character first, refused",
        "strict_turns",
        BOTH,
        POTTER,
        [],
        {"refused": "Guest and host take turns, and the guest begins."},
    ),
    (
        "no question at all",
        "needs_question",
        TINY,
        [s(SCENE), a("I speak, nobody answers.")],
        [],
        {"refused": "Somebody has to ask something."},
    ),
    # 13. Blanks around answers; no end token.
    ("blanks around answers", "strict_turns", BOTH, STORM, [" Not to sleep. {end}", " Now I sleep by day. {end}"]),
    (
        "blanks around one answer",
        "strict_turns",
        BOTH,
        [u("Where is the key?"), a("Under the stairs.")],
        [" Under the stairs. {end}"],
    ),
    (
        "no end token, sections",
        "sections",
        BOTH,
        [s(SCENE), u("Where is the key?"), a("Under the stairs.")],
        ["Under the stairs.{added}"],
    ),
    (
        "no end token, sections, more turns",
        "sections",
        BOTH,
        STORM,
        ["Not to sleep.", "Now I sleep by day.{added}"],
    ),
    (
        "no end token, prompt ends with a blank",
        "names",
        BOTH,
        STORM,
        ["Not to sleep.", "Now I sleep by day.{added}"],
    ),
    (
        "no end token, Chinese",
        "sections",
        BOTH,
        [s("你是守塔人，话不多。"), u("你看见了什么？"), a("灯还亮着。")],
        ["灯还亮着。{added}"],
    ),
    # 14. What else templates use.
    ("tools and documents", "tools_and_documents", BOTH, STORM, ["Not to sleep.{end}", "Now I sleep by day.{end}"]),
    ("macro, namespace, loop filter", "macro", BOTH, STORM, ["Not to sleep.{end}", "Now I sleep by day.{end}"]),
    ("picks by role", "picks", BOTH, STORM, ["Not to sleep.{end}", "Now I sleep by day.{end}"]),
    (
        "picks by role, the character first",
        "picks",
        TINY,
        POTTER,
        ["Come in, the wheel is loud today.{end}", "A bowl for my sister.{end}"],
    ),
    (
        "block lines and indentation",
        "reasoning",
        TINY,
        [s("{{ char }} is a potter. {% if x %}"), u("{# note #}"), a("{{ user }} nods. {% endif %}")],
        ["<think>\n\n</think>\n\n{{ user }} nods. {% endif %}{end}"],
    ),
    # Contents that are easily taken for others.
    (
        "contents like each other",
        "plain",
        BOTH,
        [s("ok"), u("ok"), a("ok"), u("ok"), a("ok")],
        [("assistant\n", "ok{end}"), ("assistant\n", "ok{end}")],
    ),
    (
        "contents like roles",
        "default_system",
        TINY,
        [u("assistant"), a("user"), u("system\nYou live in the old harbour."), a("assistant")],
        ["user{end}", ("assistant\n", "assistant{end}")],
    ),
    (
        "an answer inside others",
        "trimmed_headers",
        BOTH,
        [u("Say: Yes."), a("Yes."), u("You said Yes. Again?"), a("Yes. Yes."), u("Stop."), a("e")],
        [(")\n\n", "Yes.{end}"), "Yes. Yes.{end}", "e{end}"],
    ),
    ("answers of one sign", "sections_with_end", BOTH, [u("n"), a("#"), u("#"), a(":")], ["#{end}", ":{end}"]),
    # Contents that spell special tokens stay text.
    (
        "contents spell the end of a turn",
        "plain",
        TINY,
        [
            u("What is <|im_end|>?"),
            a("A sign: <|im_end|> ends a turn."),
            u("<|im_start|>system\nhidden<|im_end|>"),
            a("<|im_end|> No."),
        ],
        ["A sign: <|im_end|> ends a turn.{end}", ("assistant\n", "<|im_end|> No.{end}")],
        {"spells_special": True},
    ),
    (
        "contents spell the end token",
        "plain",
        LLAMA,
        [u("What is </s>?"), a("A sign: </s> ends a text."), u("<s>hidden</s>"), a("</s> No.")],
        ["A sign: </s> ends a text.{end}", ("assistant\n", "</s> No.{end}")],
        {"spells_special": True},
    ),
    (
        "an answer directly behind a special token spells one",
        "bare",
        BOTH,
        [u("What ends it?"), a("{spelled} Under the stairs {spelled}"), u("Again."), a("Under the stairs.")],
        ["{spelled} Under the stairs {spelled}{end}", "Under the stairs.{end}"],
        {"spells_special": True},
    ),
]


class Coder:
    """One tokenizer folder: texts to ids."""

    def __init__(self, name: str):
        folder = GOLDENS / FOLDERS[name]
        self.file = str(folder / "tokenizer.json")
        self.config = json.loads((folder / "tokenizer_config.json").read_text())
        self.plain = Tokenizer.from_file(self.file)
        self.without_specials = Tokenizer.from_file(self.file)
        self.without_specials.encode_special_tokens = True
        self.specials = [token.content for token in self.plain.get_added_tokens_decoder().values()]
        # The same tokenizer without the dummy blank in front.
        state = json.loads(pathlib.Path(self.file).read_text())
        if state["normalizer"] is not None:
            state["normalizer"]["normalizers"] = [
                n for n in state["normalizer"]["normalizers"] if n["type"] != "Prepend"
            ]
        self.bare = Tokenizer.from_str(json.dumps(state))
        self.bare_without_specials = Tokenizer.from_str(json.dumps(state))
        self.bare_without_specials.encode_special_tokens = True

    def transformers_tokenizer(self, eos_token: str) -> PreTrainedTokenizerFast:
        names = ("bos_token", "unk_token", "pad_token")
        tokens = {name: self.config[name] for name in names if name in self.config}
        return PreTrainedTokenizerFast(tokenizer_file=self.file, eos_token=eos_token, **tokens)

    def ids(self, text: str, dummy_blank: bool = True) -> list[int]:
        """Special tokens in a text are special; those a content spells are hidden by `hide` and read as text."""
        if HIDDEN not in text:
            return (self.plain if dummy_blank else self.bare).encode(text, add_special_tokens=False).ids
        # Only the stretches between the template's own special tokens are encoded, each as a whole. So for the tokenizer
        # with a dummy blank a stretch keeps its context: it gets the blank where it stands behind a special token or
        # begins the text, just as Python `tokenizers` does for every stretch between special tokens, and what a content
        # spells in the middle of a stretch gets none and can join with the text around it.
        ids = []
        for stretch in re.split("(" + "|".join(map(re.escape, self.specials)) + ")", text):
            if stretch in self.specials:
                ids.append(self.plain.token_to_id(stretch))
            elif stretch != "":
                has_blank = dummy_blank or ids != []
                coder = self.without_specials if has_blank else self.bare_without_specials
                ids += coder.encode(stretch.replace(HIDDEN, ""), add_special_tokens=False).ids
        return ids

    def hide(self, text: str) -> str:
        """A special token that a content spells gets a sign inside, so that it is not found as one."""
        for token in self.specials:
            text = text.replace(token, token[0] + HIDDEN + token[1:])
        return text


HIDDEN = "\ue000"


def find_targets(text: str, targets: list, eos: str) -> tuple[str, list[tuple[int, int]]]:
    """Where the targets lie, in order, and the text with the end tokens that rocit adds."""
    ranges = []
    at = 0
    for target in targets:
        lead, words = target if isinstance(target, tuple) else ("", target)
        adds_end = words.endswith("{added}")
        words = words.removesuffix("{added}")
        start = text.find(lead + words, at)
        assert start >= 0, f"no {lead + words!r} in {text[at:]!r}"
        assert text.count(lead + words) == targets.count(target), f"{lead + words!r} is not clear in {text!r}"
        start += len(lead)
        end = start + len(words)
        if adds_end:
            text = text[:end] + eos + text[end:]
            end += len(eos)
        ranges.append((start, end))
        at = end
    return text, ranges


def encode_targets(coder: Coder, text: str, ranges: list[tuple[int, int]]) -> tuple[list[int], list[bool], bool]:
    """Ids up to the end of the last target. Also tells whether a token would have spanned a border."""
    ids: list[int] = []
    is_target: list[bool] = []
    spans = False
    at = 0
    # What the next piece is read behind, and its ids.
    context, context_ids, is_bare = "", [], False
    for start, end in ranges:
        for piece, target in ((text[at:start], False), (text[start:end], True)):
            if piece == "":
                continue
            both = coder.ids(context + piece, dummy_blank=not is_bare)
            if both[: len(context_ids)] == context_ids:
                new = both[len(context_ids) :]
                context, context_ids = context + piece, both
            else:
                # A token spans the border: the answer is encoded on its own, as a continuation, with what follows it up
                # to the next special token. Nothing in front of a special token matters behind it.
                assert target
                spans = True
                new = coder.ids(piece, dummy_blank=False)
                closing = [token for token in coder.specials if piece.endswith(token)]
                if closing:
                    context = max(closing, key=len)
                    context_ids, is_bare = coder.ids(context), False
                    assert len(context_ids) == 1 and new[-1] == context_ids[0]
                else:
                    context, context_ids, is_bare = piece, new, True
            ids += new
            is_target += [target] * len(new)
        at = end
    return ids, is_target, spans


def fill(value, words: dict[str, str]):
    if isinstance(value, str):
        for name, word in words.items():
            value = value.replace(f"{{{name}}}", word)
        return value
    if isinstance(value, dict):
        return {key: fill(item, words) for key, item in value.items()}
    return type(value)(fill(item, words) for item in value) if isinstance(value, (list, tuple)) else value


def make_case(coder: Coder, tokenizer: str, name: str, template: str, messages: Row, targets: list, more: dict) -> dict:
    eos = more.get("eos_token", coder.config["eos_token"])
    words = {"end": eos, "bos": coder.config["bos_token"], "spelled": eos}
    messages = fill(messages, {"spelled": eos})
    targets = fill(targets, words)
    source = TEMPLATES[template]
    chat = coder.transformers_tokenizer(eos)
    case = {"name": name, "template": source, "tokenizer": tokenizer, "eos_token": eos, "messages": messages}
    if "refused" in more:
        try:
            chat.apply_chat_template(messages, chat_template=source, tokenize=False)
        except jinja2.exceptions.TemplateError as error:
            assert str(error) == more["refused"], error
            return case | {"refused": more["refused"]}
        raise AssertionError(f"{name}: not refused")
    text = chat.apply_chat_template(messages, chat_template=source, tokenize=False)
    ids_of_all = chat.apply_chat_template(messages, chat_template=source, tokenize=True, return_dict=False)
    assert ids_of_all == coder.plain.encode(text, add_special_tokens=False).ids, name
    shown = text
    spells = more.get("spells_special", False)
    assert spells == any(token in message["content"] for message in messages for token in coder.specials), name
    if spells:
        # The same rendering, with what the contents spell hidden; so the template's own special tokens stand out.
        hidden = [message | {"content": coder.hide(message["content"])} for message in messages]
        shown = chat.apply_chat_template(hidden, chat_template=source, tokenize=False)
        assert shown.replace(HIDDEN, "") == text, name
        texts = {
            word: coder.hide(word) for target in targets for word in ([target] if isinstance(target, str) else target)
        }
        ends = [word for word in texts if word.endswith(eos)]
        texts |= {word: coder.hide(word.removesuffix(eos)) + eos for word in ends}
        shown_targets = [
            texts[target] if isinstance(target, str) else tuple(texts[word] for word in target) for target in targets
        ]
    else:
        shown_targets = targets
    shown, ranges = find_targets(shown, shown_targets, eos)
    ids, is_target, spans = encode_targets(coder, shown, ranges)
    plain_targets = [target if isinstance(target, str) else target[1] for target in targets]
    adds_end = any(target.endswith("{added}") for target in plain_targets)
    plain_targets = [target.replace("{added}", eos) for target in plain_targets]
    assert is_target[-1] and more.get("spans", spans) == spans, name
    if not spans and not adds_end and not spells:
        assert ids == ids_of_all[: len(ids)], name
    case |= {"text": text, "targets": plain_targets, "input_ids": ids, "is_target": [int(t) for t in is_target]}
    for flag, value in (("adds_end", adds_end), ("spans_border", spans), ("spells_special", spells)):
        if value:
            case[flag] = True
    return case


# Jinja as such, each rendered with the messages below.
RENDERINGS = [
    "{{ (0-1) % 2 == 1 }}",
    "{{ 'a</think>b</think>c'.split('</think>', maxsplit=1)[-1] }}",
    "{{ 'a,b,c'.split(sep=',')|length }}",
    "{{ \"it's o'neil 3rd\"|title }}",
    "{{ messages[0].content[0] }}",
    "{{ 1.0 }} {{ 4/2 }} {{ 'a' ~ 1.0 }}",
    "{{ 'a' ~ true }}{{ 'a' ~ [1,2] }}",
    "{{ [1,true,none]|join('-') }}",
    "{{ none|default('d') }}",
    "{{ {'a':1} in [{'a':1}] }}",
    "{{ none }}",
    "{{ messages[0].get('x') }}",
    "{{ none|trim }}",
    "{% if undefinedvar == none %}y{% else %}n{% endif %}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(true) }}",
    "{% set x %}{{ none }}{% endset %}{{ x }}",
    "{% macro m() %}{% for i in [1,2,3] %}{{i}}{% if i==2 %}{% continue %}{% endif %}x{% endfor %}{% endmacro %}{{ m() }}",
    "{% for c in ['a ','b '] %}{% set c = c|trim %}[{{ c }}]{% endfor %}",
    "{% for m in messages %}{% set m = m.content %}{{ m }}{% endfor %}",
    "{% set x='a' %}{% for i in [1,2] %}{{x}}{% set x='b' %}{% for j in [1] %}{{x}}{% set x='c' %}{% endfor %}{% endfor %}",
    "{% for m in messages %}{% set head %}{% if m.role=='user' %}{% set mood='calm ' %}{% endif %}h{% endset %}{{ mood|default('') }}{% endfor %}",
    "{% for x in nope %}a{% endfor %}b",
    "{% for c in messages[0].content %}{{ c }}-{% endfor %}",
    "{{ messages|length }}{{ 'a😀'|length }}",
    "{{ 'abc'[0] }}{{ 'abc'[-1] }}",
    "{% macro w() %}<{{ caller(1) }}>{% endmacro %}{% call(x) w() %}v{{ x }}{% endcall %}",
    "{% filter upper %}abc{{ true }}{% endfilter %}",
    "{{ messages[0] == messages[0] }}{{ [1,'a'] == [1,'a'] }}",
    "{{ 'x' in undefinedlist }}",
    "{{ [1,[2,'q']]|string }}",
    "{{ ['a','b']|join(', ') }}{{ 'abc'|join('-') }}",
    "{{ messages[0].content|default('z', true) }}{{ ''|default('z', true) }}",
]


def rendering(source: str) -> dict:
    messages = [u("\U0001f600hi"), a("ok")]
    text = chat_template_utils.render_jinja_template([messages], chat_template=source)[0][0]
    return {"source": source, "text": text}


def main() -> None:
    coders = {name: Coder(name) for name in FOLDERS}
    cases = []
    for name, template, names, messages, targets, *more in CASES:
        for tokenizer in names:
            cases.append(
                make_case(coders[tokenizer], tokenizer, name, template, messages, targets, more[0] if more else {})
            )
    unused = set(TEMPLATES) - {case[1] for case in CASES}
    assert not unused, unused
    head = {
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "jinja2": jinja2.__version__,
        "command": "python scripts/make_template_goldens.py",
        "date": "2024-07-26",
    }
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
    renderings = ",\n".join(json.dumps(rendering(source), ensure_ascii=True) for source in RENDERINGS)
    text = json.dumps(head, indent=1).removesuffix("\n}") + ',\n "cases": [\n' + lines + "\n],\n"
    text += ' "renderings": [\n' + renderings + "\n]}\n"
    json.loads(text)
    (GOLDENS / "chat_templates.json").write_text(text)
    print(f"{len(cases)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
