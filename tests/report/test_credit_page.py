"""What the credit page tells its viewer: which scores, in which columns, and where each is lowest."""

import json
from dataclasses import replace

from scdpo.credit.record import SFT_LOG_PROB
from scdpo.report.credit_page import credit_page, credit_section, kind_of, ordered
from tests.report.conftest import block, unpacked


def test_columns_are_in_the_order_of_the_paper():
    scores = {"rft", "dpo", "scdpo.2", SFT_LOG_PROB, "scdpo", "dpo-data-equal", "mine"}
    assert ordered(scores) == ["scdpo", "scdpo.2", "dpo", "dpo-data-equal", "rft", SFT_LOG_PROB, "mine"]


def test_the_index_and_the_record(hard):
    section = credit_section([hard, hard])
    read = json.loads(block(section.data, "credit-index"))
    assert [(score["label"], score["scale"], score["chosen"]) for score in read["scores"]] == [
        ("SCDPO", "reward", True),
        ("DPO", "reward", True),
        ("SFT log-prob", "log-prob", False),
    ]
    assert read["solutions"][0]["lowest"] == {"scdpo": 1, "dpo": 0, SFT_LOG_PROB: 1}
    assert unpacked(block(section.data, "credit-bodies")) == [json.loads(json.dumps(hard.to_json()))] * 2


def test_kinds(hard):
    assert kind_of(hard) == "wrong quantity"
    assert kind_of(replace(hard, wrong=None, kind=None)) == "first wrong step unknown"
    assert kind_of(replace(hard, wrong=-1, kind=None)) == "no wrong step"


def test_a_page_of_its_own(hard):
    page = credit_page("<hard>", [hard])
    assert "<title>&lt;hard&gt;</title>" in page and page.count("<script") == 3
    assert "tree-list" not in page
