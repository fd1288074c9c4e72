"""Drawing: top-p cuts exactly the unlikely tail, temperatures scale, numbers choose by shares."""

import pytest
import torch

from scdpo.engines.draw import SHARE, at_share, draw, draws_of, nucleus

LOGITS = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()


def tokens_of(temperature: float, top_p: float | None = None, count: int = 1000) -> list[int]:
    """The tokens of numbers spread evenly over [0, 1)."""
    numbers = torch.arange(count, dtype=torch.float64) / count
    many = torch.full((count,), 1.0 if top_p is None else top_p, dtype=torch.float64)
    drawn = draw(LOGITS.expand(count, -1), torch.full((count,), temperature), None if top_p is None else many, numbers)
    return torch.bincount(drawn, minlength=4).tolist()


def test_shares_are_the_probabilities():
    """1,000 even numbers: 500, 300, 150 and 50 of them, a number at a border belonging to the token above it."""
    assert tokens_of(1.0) == pytest.approx([500, 300, 150, 50], abs=1)


def test_temperature_scales():
    """At temperature 0.5 shares go by squares: 0.25, 0.09, 0.0225, 0.0025 of 0.365."""
    assert tokens_of(0.5) == pytest.approx([1000 * p / 0.365 for p in (0.25, 0.09, 0.0225, 0.0025)], abs=1)


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(0.4, [1000, 0, 0, 0]), (0.51, [625, 375, 0, 0]), (0.81, [1000 * p / 0.95 for p in (0.5, 0.3, 0.15)] + [0]), (1.0, None)],
)
def test_top_p_keeps_the_likeliest_that_reach_it(top_p, expected):
    assert tokens_of(1.0, top_p) == pytest.approx(expected or [500, 300, 150, 50], abs=1)


def test_top_p_holds_at_the_temperature_of_the_draw():
    """0.5 of the mass at temperature 1 is 0.68 at temperature 0.5: top-p 0.6 then leaves one token."""
    assert tokens_of(0.5, 0.6) == [1000, 0, 0, 0] and tokens_of(1.0, 0.6)[1] > 0


def test_greedy_takes_the_likeliest():
    assert tokens_of(0.0) == [1000, 0, 0, 0]


def test_equal_tokens_are_cut_in_their_order():
    even = torch.full((1, 4), 0.25, dtype=torch.float64)
    assert nucleus(even, torch.tensor([0.5], dtype=torch.float64)).tolist() == [[0.25, 0.25, 0, 0]]


def test_a_seed_gives_the_same_numbers_however_many_are_asked():
    assert draws_of(7, 5).tolist() == draws_of(7, 50)[:5].tolist() != draws_of(8, 5).tolist()


@pytest.mark.parametrize("vocabulary", [2 * SHARE, 2 * SHARE + 1, 5000, 8 * SHARE])
def test_stretches_change_no_draw(vocabulary):
    """Over any vocabulary the token is the one at which the probabilities, added one by one in float64, pass the number."""
    generator = torch.Generator().manual_seed(1)
    logits = 4 * torch.randn(200, vocabulary, generator=generator)
    numbers = torch.rand(200, dtype=torch.float64, generator=generator)
    cumulative = torch.softmax(logits.double() / 1.3, dim=-1).cumsum(dim=-1)
    expected = torch.searchsorted(cumulative, numbers[:, None] * cumulative[:, -1:], right=True)[:, 0]
    assert draw(logits, torch.full((200,), 1.3), None, numbers).tolist() == expected.tolist()


@pytest.mark.parametrize("number", [0.0, 0.5, 1 - 2**-53])
def test_what_has_no_share_is_never_drawn(number):
    """Numbers at the ends of [0, 1), where most of the vocabulary has weight 0: before, between and after the rest."""
    weights = torch.zeros(1, 1500)
    weights[0, [300, 700, 1200]] = torch.tensor([0.1, 0.7, 0.2]) / 3
    assert weights[0, at_share(weights, torch.tensor([number], dtype=torch.float64))] > 0


def test_known_temperatures_spare_work_and_change_no_draw():
    logits, numbers = LOGITS.expand(10, -1), torch.arange(10, dtype=torch.float64) / 10
    drawn, greedy = torch.full((10,), 1.2), torch.zeros(10)
    assert draw(logits, drawn, None, numbers, any_greedy=False).tolist() == draw(logits, drawn, None, numbers).tolist()
    assert draw(logits, greedy, None, numbers, any_drawn=False).tolist() == draw(logits, greedy, None, numbers).tolist()
