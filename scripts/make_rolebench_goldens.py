"""Goldens of tests/real for RoleBench rows: what SmolLM2's samples must be, by Python's tokenizers.

    python scripts/make_rolebench_goldens.py checkpoints/base/smollm2-135m-instruct <folder with RoleBench>
        writes tests/real/rolebench_smollm2.json

Builds each sample from the raw rows alone: the prompt of the base's chat template as plain text, every answer. Nothing of
RoleBench is in the file, only counts and a SHA-256 over the sorted samples ("<ids> : <number of targets>" a line).

Needs: pip install tokenizers
"""

import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

from tokenizers import Tokenizer

OUTPUT = Path(__file__).parent.parent / "tests" / "real" / "rolebench_smollm2.json"
FILES = [
    "rolebench-eng/instruction-generalization/role_specific/test.jsonl",
    "rolebench-zh/role_specific/train.jsonl",
    "rolebench-zh/role_specific/test.jsonl",
    "rolebench-zh/general/train.jsonl",
]
ENG = (
    "You are {who}. Now please answer some questions to accurately show your personality traits! Your speaking style "
    "should fully imitate the personality role assigned to you! Please do not expose that you are an artificial "
    "intelligence model or a language model, you must always remember that you are only assigned one personality role. "
    "Don't be verbose or too formal or polite when speaking."
)
ZH = (
    "你是{who}。现在请你回答我的一些问题，以准确展现你的人格特征！你的说话风格要全面模仿被赋予的人格角色！"
    "请不要暴露你是人工智能模型或者语言模型，你要时刻记住你只被赋予的一个人格角色。说话不要啰嗦，也不要太过于正式或礼貌。"
)


def system_instruction(role: str, descriptions: dict[str, str] | None) -> str:
    """English rows have no description here: the name alone."""
    return ENG.format(who=role) if descriptions is None else ZH.format(who=f"{role}，你的特征描述是：{descriptions[role]}")


def summary(tokenizer: Tokenizer, path: Path, descriptions: dict[str, str] | None) -> dict[str, int | str]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    samples = []
    tokens = targets = 0
    for row in rows:
        system = system_instruction(row["role"].strip(), descriptions)
        prompt = (
            f"<|im_start|>system\n{system}<|im_end|>\n"
            f"<|im_start|>user\n{row['question'].strip()}<|im_end|>\n<|im_start|>assistant\n"
        )
        start = len(tokenizer.encode(prompt, add_special_tokens=False).ids)
        for answer in row["generated"]:
            ids = tokenizer.encode(f"{prompt}{answer.strip()}<|im_end|>", add_special_tokens=False).ids
            tokens += len(ids)
            targets += len(ids) - start
            samples.append(f"{' '.join(map(str, ids))} : {len(ids) - start}")
    digest = hashlib.sha256("\n".join(sorted(samples)).encode()).hexdigest()
    questions = len({(row["role"].strip(), row["question"].strip()) for row in rows})
    roles = len({row["role"] for row in rows})
    return {
        "rows": len(rows), "roles": roles, "questions": questions, "samples": len(samples),
        "tokens": tokens, "targets": targets, "sha256": digest,
    }  # fmt: skip


def main() -> None:
    base, rolebench = map(Path, sys.argv[1:3])
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    chinese = json.loads((rolebench / "profiles-zh" / "desc.json").read_text(encoding="utf-8"))
    files = {name: summary(tokenizer, rolebench / name, chinese if "-zh/" in name else None) for name in FILES}
    made_by = {"tokenizers": version("tokenizers"), "command": f"python scripts/{Path(__file__).name}"}
    OUTPUT.write_text(json.dumps({"made_by": made_by, "files": files}, indent=2) + "\n")
    print(f"wrote {OUTPUT}")


if __name__ == "__main__":
    main()
