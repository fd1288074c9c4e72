"""Grading and steps on the published sets, where there is a local copy: in $SCDPO_SETS, or ../shared/data from the project."""

import json
import os
import random
import re
from pathlib import Path

import pytest

from scdpo.grading.grade import grade
from scdpo.problems.source import read_source
from scdpo.solutions.splitting import cut_windows

SETS = Path(os.environ.get("SCDPO_SETS", Path(__file__).parents[2].parent / "shared" / "data"))
FILES = {
    "gsm8k": "gsm8k_train.jsonl",
    "math": "math_test.jsonl",
    "svamp": "svamp_test.jsonl",
    "ape210k": "ape210k_test500.jsonl",
    "cmath": "cmath_test.jsonl",
    "mgsm_zh": "mgsm_zh_test.jsonl",
}
SHARE_ACCEPTED = {"math": 0.995}
CHINESE = ("ape210k", "cmath", "mgsm_zh")


@pytest.fixture(params=FILES)
def problems(request):
    file = SETS / FILES[request.param]
    if not file.is_file():
        pytest.skip(f"no {FILES[request.param]} in {SETS}; set SCDPO_SETS to a folder with the published sets")
    found, _ = read_source(f"{request.param}:{file}")
    return request.param, found


def test_gold_answers_against_themselves(problems):
    """At least 99.9% (MATH 99.5%), each also out of a text that states it, and out of its worked solution."""
    name, found = problems
    texts = [(f"答案是{p.answer}。" if name in CHINESE else f"The answer is ${p.answer}$.", p.answer) for p in found]
    worked = [(p.solution, p.answer) for p in found if p.solution]
    bare_pairs = [(p.answer, p.answer) for p in found]
    for kind, pairs, full in (("bare", bare_pairs, False), ("stated", texts, True), ("worked", worked, True)):
        right = sum(grade(text, gold, full_text=full).is_correct for text, gold in pairs)
        assert right >= SHARE_ACCEPTED.get(name, 0.999) * len(pairs), kind


def test_gold_answers_against_those_of_other_problems(problems):
    """At most 1 in 2,000 taken as correct; what is equal in value (`7` and `7\\%`, `9` and `x=9`) is no other answer."""
    name, found = problems
    answers = [problem.answer for problem in found]
    others = answers[:]
    random.Random(name).shuffle(others)
    pairs = [(other, gold) for other, gold in zip(others, answers, strict=True) if bare(other) != bare(gold)]
    accepted = [pair for pair in pairs if grade(*pair).is_correct]
    assert len(accepted) <= max(1, len(pairs) / 2000), accepted


def bare(answer: str) -> str:
    """An answer without what two equal ones may differ in: units, signs, names, spaces."""
    return re.sub(r"\\text\s*\{[^}]*\}|\\mbox\{[^}]*\}\^?\d?|\^\{?\\circ\}?|\\[dt]?|[$%{}\s,!]|^[a-z]=", "", answer)


def test_steps_of_worked_solutions(problems):
    """Never inside mathematics, joined to the text, and under 5% of those with more than two sentences in one piece."""
    name, found = problems
    long, whole = 0, 0
    for text in (problem.solution for problem in found if problem.solution):
        cuts = [window.stop for window in cut_windows(text)]
        pieces = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert "".join(pieces) == text
        if name == "math":
            for piece in pieces[:-1]:
                assert piece.count(r"\begin{") == piece.count(r"\end{")
                assert piece.count("[asy]") == piece.count("[/asy]")
        sentences = re.split(r"[.!?][$)]*\s+(?=[A-Z])", re.sub(r"\$[^$]*\$|\\\[.*?\\\]", "x", text, flags=re.DOTALL))
        long += len(sentences) > 2
        whole += len(sentences) > 2 and len(pieces) == 1
    assert whole <= 0.05 * long


def test_prompts_and_languages(problems):
    name, found = problems
    assert {problem.language for problem in found} == {"zh" if name in CHINESE else "en"}
    assert all(problem.question and problem.answer for problem in found)
    assert len({problem.id for problem in found}) == len(found)
    assert not any("<<" in (problem.solution or "") for problem in found) or name != "gsm8k"
    json.dumps([problem.to_json() for problem in found])
