"""Solutions that are given: which text a record stands for, and where its steps lie."""

import pytest

from scdpo.credit.given import read_given


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (["Ben: 3 + 4 = 7", "#### 7"], "Ben: 3 + 4 = 7\n#### 7"),
        (["Ben: 3 + 4 = 7\n", "#### 7"], "Ben: 3 + 4 = 7\n#### 7"),
        (["Ben: 3 + 4 = ", "#### 7"], "Ben: 3 + 4 = \n#### 7"),
    ],
    ids=["plain", "with its line end", "ending in a space"],
)
def test_steps_are_joined_to_lines(story_codec, story_problems, steps, text):
    """A step keeps all that it says, and gets a line end where it has none."""
    record = {"problem": story_problems[0].question, "steps": steps, "label": 0}
    (given,) = read_given(record, "here", lambda name: None, story_codec, "\n")
    assert given.solution.text == text
    assert [text[start:stop].rstrip("\n") for start, stop in given.steps] == [step.rstrip("\n") for step in steps]
    assert given.label == 0
