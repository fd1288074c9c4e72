"""The published sets, from files and folders as they lie on the web and on the hub."""

import csv
import json

import pyarrow
import pyarrow.parquet
import pytest

from scdpo.errors import ProblemError
from scdpo.problems import records
from scdpo.problems.settings import ProblemSettings
from scdpo.problems.source import locate, make_splits, prompt_template, read_source

GSM8K = {"question": "Two and two?", "answer": "He has 2 + 2 = <<2+2=4>>4 pens.\n#### 1,004"}
MATH = {
    "problem": "Half?",
    "level": "Level 1",
    "type": "Algebra",
    "solution": "So $x = \\boxed{2}$, no: $\\boxed{\\frac{1}{2}}$.",
}
SVAMP = {"ID": "chal-1", "Body": "Dan had $ 3 left.", "Question": "How much?", "Answer": 51.0, "Type": "Subtraction"}
APE210K = {"id": "426893", "original_text": "平均数是多少．", "equation": "x=1", "ans": "6(1/3)"}
CMATH = {"question": "一共多少？", "golden": "20%", "grade": 1}
MGSM = {"question": "多少颗蛋？", "answer_number": 2125}
SETS = {
    "gsm8k": (GSM8K, "Two and two?", "1,004", "He has 2 + 2 = 4 pens.\n#### 1,004", "en"),
    "math": (MATH, "Half?", r"\frac{1}{2}", MATH["solution"], "en"),
    "svamp": (SVAMP, "Dan had $ 3 left. How much?", "51", None, "en"),
    "ape210k": (APE210K, "平均数是多少．", "6(1/3)", None, "zh"),
    "cmath": (CMATH, "一共多少？", "20%", None, "zh"),
    "mgsm_zh": (MGSM, "多少颗蛋？", "2125", None, "zh"),
}


def write_lines(file, *rows) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def write_parquet(file, *rows) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file)


def numbered(row: dict, count: int, start: int = 0) -> list[dict]:
    """Copies of a row that differ in their texts and ids."""
    names = ("question", "problem", "Body", "original_text")
    ids = ("id", "ID")
    return [
        {k: f"{v} {n}" if k in names else f"{v}-{n}" if k in ids else v for k, v in row.items()}
        for n in range(start, start + count)
    ]


@pytest.mark.parametrize("name", SETS)
def test_each_set_as_lines(name, tmp_path):
    row, question, answer, solution, language = SETS[name]
    (problem,), held_out = read_source(f"{name}:{write_lines(tmp_path / 'set.jsonl', row)}")
    assert (problem.question, problem.answer, problem.solution, problem.language) == (question, answer, solution, language)
    assert held_out == []


@pytest.mark.parametrize("name", SETS)
def test_each_set_as_an_array_and_as_parquet(name, tmp_path):
    rows = numbered(SETS[name][0], 3)
    (tmp_path / "set.json").write_text(json.dumps(rows), encoding="utf-8")
    write_parquet(tmp_path / "set.parquet", *rows)
    as_array, _ = read_source(f"{name}:{tmp_path / 'set.json'}")
    as_parquet, _ = read_source(f"{name}:{tmp_path / 'set.parquet'}")
    assert [p.to_json() for p in as_array] == [p.to_json() for p in as_parquet]
    assert len(as_array) == 3


def test_maths_folder_of_single_files(tmp_path):
    """The layout of MATH's own archive: train/algebra/1.json."""
    for split, start in (("train", 0), ("test", 10)):
        for n, row in enumerate(numbered(MATH, 4, start)):
            file = tmp_path / "MATH" / split / "algebra" / f"{n}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(row))
    splits = make_splits(ProblemSettings(source=f"math:{tmp_path / 'MATH'}", sft=2, pairs=1, dev=1, test=4))
    assert sorted(p.question for p in splits["test"]) == [f"Half? {n}" for n in range(10, 14)]
    assert sorted(p.question for name in ("sft", "pairs", "dev") for p in splits[name]) == [f"Half? {n}" for n in range(4)]
    assert splits["test"][0].id.startswith("math-test/algebra/")


def test_the_hubs_layout_of_gsm8k(tmp_path):
    """Parquet by split, one folder a configuration: only "main" is read."""
    write_parquet(tmp_path / "main" / "train-00000-of-00001.parquet", *numbered(GSM8K, 5))
    write_parquet(tmp_path / "main" / "test-00000-of-00001.parquet", *numbered(GSM8K, 2, 5))
    write_parquet(tmp_path / "socratic" / "train-00000-of-00001.parquet", *numbered(GSM8K, 5, 20))
    everything, held_out = read_source(f"gsm8k:{tmp_path}")
    assert (len(everything), len(held_out)) == (7, 2)


def test_mgsms_table_without_a_header(tmp_path):
    for language, question in (("zh", "多少颗蛋？"), ("de", "Wie viele?")):
        with (tmp_path / f"mgsm_{language}.tsv").open("w", encoding="utf-8") as file:
            csv.writer(file, delimiter="\t").writerows([[f"{question} {n}", "2,125"] for n in range(3)])
    everything, held_out = read_source(f"mgsm_zh:{tmp_path}")
    assert [p.question for p in everything] == [f"多少颗蛋？ {n}" for n in range(3)]
    assert {p.answer for p in everything} == {"2,125"} and not held_out


def test_a_name_alone_is_the_hub(tmp_path, monkeypatch):
    """The hub's copy is a local folder once it is fetched; here one is given in its place."""
    asked = []
    write_lines(tmp_path / "data" / "train.jsonl", *numbered(SVAMP, 3))
    monkeypatch.setattr(records, "download", lambda name: asked.append(str(name)) or tmp_path)
    assert len(read_source("svamp")[0]) == 3
    assert len(read_source("svamp:somebody/svamp")[0]) == 3
    assert len(read_source("svamp@v1")[0]) == 3
    assert len(read_source("svamp:somebody/svamp@refs/pr/2")[0]) == 3
    assert asked == ["ChilleD/SVAMP@main", "somebody/svamp@main", "ChilleD/SVAMP@v1", "somebody/svamp@refs/pr/2"]


def test_without_the_hub_the_cure_is_named(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ProblemError, match=r"cannot load openai/gsm8k from the hub \(HF_HUB_OFFLINE is set.*NAME:PATH"):
        read_source("gsm8k")


@pytest.mark.parametrize(
    ("source", "row", "message"),
    [
        ("math:", {"problem": "a", "solution": "no box"}, r"set\.jsonl:1: no \\boxed answer"),
        ("math:", {"problem": "a"}, r'set\.jsonl:1: no "solution"; every record of MATH'),
        ("gsm8k:", {"question": "a", "answer": "5"}, r'set\.jsonl:1: "answer" does not end in a line "#### N"'),
        ("", MATH, r"this looks like MATH: set the source to math:PATH"),
        ("cmath:", MGSM, r"this looks like MGSM-zh: set the source to mgsm_zh:PATH"),
        ("svamp:", {"Body": "a", "Question": "b", "Answer": None}, r'no "Answer"'),
    ],
)
def test_records_of_another_kind(source, row, message, tmp_path):
    with pytest.raises(ProblemError, match=message):
        read_source(source + write_lines(tmp_path / "set.jsonl", row))


def test_files_that_hold_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProblemError, match="file in this folder"):
        read_source(f"gsm8k:{tmp_path / 'empty'}")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ProblemError, match="not a parquet file"):
        read_source(f"gsm8k:{tmp_path / 'bad.parquet'}")
    (tmp_path / "bad.json").write_text("[1, 2]")
    with pytest.raises(ProblemError, match="item 1 is not a JSON object"):
        read_source(f"math:{tmp_path / 'bad.json'}")


def test_sources_and_their_prompts():
    assert locate("gsm8k:a/b.jsonl")[::2] == ("gsm8k", "a/b.jsonl")
    assert locate("my/file.jsonl")[::2] == ("jsonl", "my/file.jsonl")
    assert prompt_template("stories") == prompt_template("my.jsonl") == "{question}\n"
    assert "\\boxed{}" in prompt_template("math") and "####" in prompt_template("gsm8k:x")
    assert "请" in prompt_template("cmath") and all("{question}" in prompt_template(name) for name in SETS)
