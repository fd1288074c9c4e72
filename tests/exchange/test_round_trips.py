"""Trees written for each tool and read back are the same trees; and the rows are what the tool's own loader expects."""

import json
from dataclasses import replace

import pytest

from scdpo.errors import ExchangeError
from scdpo.exchange.exporting import write_export
from scdpo.exchange.formats import OUT_FORMATS
from scdpo.exchange.growing import grow, with_questions
from scdpo.exchange.reading import read_pairs, recognised
from scdpo.exchange.tree_file import read_tree_file, tree_lines
from scdpo.problems.published import PUBLISHED
from scdpo.problems.records import read_records
from scdpo.solutions.codec import Codec
from scdpo.solutions.settings import CodeSettings
from scdpo.solutions.solution import Solution
from scdpo.solutions.tree import Branch
from tests.conftest import CORRECT, WRONG
from tests.exchange.conftest import as_texts

TEMPLATE = "Q: {question}\n\nThink step by step.\n"


def come_back(folder, codec):
    """What an import makes of an exported folder."""
    records = read_records(str(folder), PUBLISHED["jsonl"])
    pairs, refused = read_pairs(records, recognised(records, "folder"))
    assert not refused
    growth = grow(with_questions(pairs, "{question}"), codec)
    assert not growth.left_out
    return growth


@pytest.mark.parametrize("format", OUT_FORMATS)
def test_round_trip(format, some_trees, story_codec, tmp_path):
    """Text, forks, verdicts, questions and answers; with no fork moved."""
    kinds = write_export(tmp_path / "out", format, some_trees, TEMPLATE, {"seed": "1"}, {})
    growth = come_back(tmp_path / "out", story_codec)
    assert as_texts(growth.trees) == as_texts(some_trees)
    assert growth.moved == 0
    assert kinds == {"naive": growth.naive, "step-controlled": growth.step_controlled}
    assert growth.step_controlled > 0


@pytest.mark.parametrize("format", OUT_FORMATS)
def test_single_steps_stay_cut(format, some_trees, story_codec, tmp_path):
    """Pairs of single steps (Step-DPO's) do not become solutions that end."""
    cut = [replace(tree, trunk=replace(tree.trunk, finish="cut")) for tree in some_trees]
    write_export(tmp_path / "out", format, cut, TEMPLATE, {}, {})
    assert as_texts(come_back(tmp_path / "out", story_codec).trees) == as_texts(cut)


@pytest.mark.parametrize("format", OUT_FORMATS)
def test_code_round_trip(format, some_trees, smollm2_tokenizer, tmp_path):
    """Marked blocks keep code and output one unit, and the mark that ends a message goes out and is taken off again."""
    import copy

    from scdpo.marks import MARKS
    from scdpo.training.scratch import add_marks

    tokenizer = copy.deepcopy(smollm2_tokenizer)
    add_marks(tokenizer, MARKS)
    codec = Codec(tokenizer, code=CodeSettings(format="blocks"))
    first = "<|text|>So:<|endofblock|><|code|>print(2)<|endofblock|><|execution|>2<|endofblock|>"
    trunk = codec.read(f"{first}<|text|>It is \\boxed{{2}}.<|endofblock|>")
    branch = Branch(2, codec.read("<|text|>It is \\boxed{3}.<|endofblock|>", trunk[:2]), WRONG)
    tree = replace(some_trees[0], trunk=Solution(trunk, CORRECT), branches=(branch,))
    write_export(tmp_path / "out", format, [tree], TEMPLATE, {}, {})
    text = "".join(str(record.fields) for record in read_records(str(tmp_path / "out"), PUBLISHED["jsonl"]))
    assert text.count("<|endofmessage|>") == 2
    (back,) = come_back(tmp_path / "out", codec).trees
    assert back.trunk == tree.trunk
    assert back.branches == tree.branches


@pytest.mark.parametrize("format", [format for format in OUT_FORMATS if format != "trl-chat"])
def test_kept_steps_are_in_the_prompt(format, some_trees, tmp_path):
    """Prompt, kept steps and either side joined are the whole texts, character by character; the prompt holds what is kept."""
    write_export(tmp_path / "out", format, some_trees, TEMPLATE, {}, {})
    records = iter(read_records(str(tmp_path / "out"), PUBLISHED["jsonl"]))
    for each in some_trees:
        asked = TEMPLATE.replace("{question}", each.question)
        for branch in each.branches:
            row = next(records).fields
            kept = "".join(step.text for step in each.kept(branch))
            prompt, chosen, rejected = sides(row)
            assert prompt == asked + kept
            assert prompt + chosen == asked + each.trunk.text
            assert prompt + rejected == asked + kept + branch.text


def sides(row):
    """(prompt, chosen, rejected) as each tool would find them in its row."""
    if "messages" in row:
        user, assistant = row["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        return user["content"], assistant["content"], row["rejected_response"]
    return row["instruction"] if "instruction" in row else row["prompt"], row["chosen"], row["rejected"]


@pytest.mark.parametrize("format", ["trl", "trl-chat", "llama-factory", "parquet"])
def test_loads_as_a_data_set(format, some_trees, tmp_path, monkeypatch):
    """The folder with its card loads by its name alone, with no way to any hub."""
    from datasets import load_dataset

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    kinds = write_export(tmp_path / "out", format, some_trees, TEMPLATE, {"seed": "5"}, {"recipe.toml": "[run]\n"})
    loaded = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == sum(kinds.values())
    assert loaded.column_names[-1] == "finish"


def test_card_is_valid(some_trees, tmp_path):
    """The hub's own reader of cards takes it; counts and facts are in it."""
    from huggingface_hub import DatasetCard

    write_export(tmp_path / "pairs", "openrlhf", some_trees, TEMPLATE, {"seed": "31"}, {})
    card = DatasetCard.load(str(tmp_path / "pairs" / "README.md"))
    assert card.data.size_categories == ["n<1K"]
    assert card.data.license is None
    assert "| seed | 31 |" in card.text
    assert "| naive | 6 |" in card.text
    assert "--prompt_key prompt --chosen_key chosen --rejected_key rejected" in card.text


def test_llama_factory_entry(some_trees, tmp_path):
    """dataset_info.json names the file and the columns, and says that these are pairs."""
    write_export(tmp_path / "out", "llama-factory", some_trees, TEMPLATE, {}, {})
    (entry,) = json.loads((tmp_path / "out" / "dataset_info.json").read_text()).values()
    row = json.loads((tmp_path / "out" / entry["file_name"]).read_text().splitlines()[0])
    assert entry["ranking"] is True
    assert set(entry["columns"].values()) <= row.keys()


def test_nothing_is_overwritten(some_trees, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ExchangeError, match="is not empty"):
        write_export(tmp_path / "out", "trl", some_trees, TEMPLATE, {}, {})
    with pytest.raises(ExchangeError, match="no pairs"):
        bare = [tree.only(()) for tree in some_trees]
        write_export(tmp_path / "other", "trl", bare, TEMPLATE, {}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_tree_file(some_trees, tmp_path):
    """Trees with their ids come back as they are; what is not a tree is named by file and line."""
    file = tmp_path / "trees.jsonl"
    file.write_text("".join(tree_lines(some_trees)))
    assert list(read_tree_file(file)) == some_trees
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(lines[0] + lines[0])
    with pytest.raises(ExchangeError, match=r"trees.jsonl:2: problem .* second time"):
        list(read_tree_file(file))
    file.write_text('{"question": "?"}\n')
    with pytest.raises(ExchangeError, match=r"trees.jsonl:1: no tree"):
        list(read_tree_file(file))
