"""The card of a published model says what results.json says, in the hub's form."""

from __future__ import annotations

from huggingface_hub import ModelCard

from scdpo.report.model_card import HeldOut, Published, model_card

OF = Published(
    name="me/model",
    model="scdpo",
    base="owner/base",
    trained_on=["openai/gsm8k"],
    tested_on={"gsm8k": HeldOut("GSM8K", "openai/gsm8k", "ab" * 20), "svamp": HeldOut("SVAMP", "ChilleD/SVAMP")},
    language="en",
    data="me/model-pairs",
)


def came_to(accuracy: float) -> dict:
    each = {"accuracy": accuracy, "ci95": [accuracy - 0.1, accuracy + 0.1], "n": 50}
    gain = {"difference": -0.02, "ci95": [-0.04, 0.01], "resolved": False}
    return {"models": {"sft": each | {"accuracy": 0.5}, "scdpo": each}, "differences": {"scdpo - sft": gain, "dpo - sft": gain}}


def test_one_result_a_test_set():
    results = {"split": "test", "sets": {"gsm8k": came_to(0.25), "svamp": came_to(0.75)}, **came_to(0.5)}
    card = ModelCard(model_card(OF, results, {"seed": 7}))
    told = {(each.dataset_type, each.dataset_revision): each.metric_value for each in card.data.eval_results}
    assert told == {("openai/gsm8k", "ab" * 20): 0.25, ("ChilleD/SVAMP", None): 0.75}
    assert (card.data.base_model, card.data.language) == ("owner/base", "en")
    assert card.data.datasets == ["openai/gsm8k", "me/model-pairs"]
    assert "| SCDPO | 25.0 | [15.0, 35.0] | 50 |" in card.text and "| seed | 7 |" in card.text
    assert card.text.count("| SCDPO - SFT | -2.0 | [-4.0, +1.0] | not resolved |") == 2
    assert "DPO - SFT | -2.0" not in card.text.replace("SCDPO - SFT", ""), "other models' differences are not the card's"


def test_sets_that_a_file_names_itself_and_sets_together():
    """The first have no data set on the hub that would be known; the second are one result under all their names."""
    own = ModelCard(model_card(OF, {"split": "dev", "sets": {"mine": came_to(0.25)}, **came_to(0.25)}, {}))
    assert [(each.dataset_type, each.dataset_split) for each in own.data.eval_results] == [("mine", "dev")]
    together = ModelCard(model_card(OF, {"split": "dev", **came_to(0.25)}, {}))
    assert [each.dataset_name for each in together.data.eval_results] == ["gsm8k and svamp"]
