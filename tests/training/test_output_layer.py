"""The output layer with its log-softmax: what the plain formula gives, values and gradients."""

import pytest
import torch

from scdpo.training.output_layer import ROWS_AT_ONCE, target_log_probs
from tests.conftest import DEVICE

CASES = pytest.mark.parametrize(
    ("bias", "cap", "keep"), [(False, 0.0, True), (True, 0.0, False), (False, 1.5, True), (True, 1.5, False)]
)


def drawn(rows, bias, dtype=torch.float64):
    generator = torch.Generator(DEVICE).manual_seed(rows)
    options = {"generator": generator, "device": DEVICE}
    shapes = {"states": (rows, 6), "weight": (11, 6), "bias": (11,)}
    parts = {name: torch.randn(shape, dtype=dtype, **options) for name, shape in shapes.items()}
    target = torch.randint(11, (rows,), **options)
    inputs = [parts["states"], parts["weight"], parts["bias"] if bias else None]
    return [part if part is None else part.requires_grad_() for part in inputs], target


def plain(states, weight, bias, target, cap):
    logits = torch.nn.functional.linear(states, weight, bias)
    logits = cap * torch.tanh(logits / cap) if cap else logits
    return logits.log_softmax(1).gather(1, target[:, None])[:, 0]


@pytest.mark.parametrize(("bias", "cap"), [(False, 0.0), (True, 1.5)])
def test_gradients_are_those_of_finite_differences(bias, cap):
    """Not with kept log-probs, which serve one backward pass and not the check's many."""
    inputs, target = drawn(4, bias)
    assert torch.autograd.gradcheck(lambda *parts: target_log_probs(*parts, target, cap, keep=False), inputs)


@CASES
def test_equal_to_the_plain_formula(bias, cap, keep):
    """In float32, over more rows than are normalised at once."""
    inputs, target = drawn(2 * ROWS_AT_ONCE + 5, bias, torch.float32)
    found, expected = target_log_probs(*inputs, target, cap, keep), plain(*inputs, target, cap)
    assert torch.allclose(found, expected, atol=1e-6)
    upstream = torch.linspace(-1, 1, len(target), device=DEVICE)
    known = [part for part in inputs if part is not None]
    for one, other in zip(
        torch.autograd.grad(found, known, upstream), torch.autograd.grad(expected, known, upstream), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-5)


def test_what_is_frozen_gets_no_gradient():
    inputs, target = drawn(4, True)
    inputs[1].requires_grad_(False)
    target_log_probs(*inputs, target).sum().backward()
    assert inputs[1].grad is None
    assert inputs[0].grad.abs().sum() > 0


def test_bfloat16_products_and_float32_sums():
    inputs, target = drawn(40, True, torch.float32)
    with torch.autocast(DEVICE, torch.bfloat16):
        found = target_log_probs(*inputs, target)
    assert found.dtype == torch.float32
    expected = plain(*inputs, target, 0.0)
    assert torch.allclose(found, expected, atol=0.05)
    assert not torch.allclose(found, expected, atol=1e-6), "the products are rounded"
    found.sum().backward()
    assert [part.grad.dtype for part in inputs] == [torch.float32] * 3


def test_a_second_backward_pass_is_refused():
    """The first one uses up the kept log-probs; it never gives a wrong gradient."""
    inputs, target = drawn(4, False)
    loss = target_log_probs(*inputs, target).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_sure_token_keeps_its_digits():
    """Logits 30 and 14.2: log p = -log(1 + e^-15.8) = -1.3745e-7, where 30 itself is rounded to 2e-6 in float32."""
    weight = torch.tensor([[30.0], [14.2]], device=DEVICE)
    found = target_log_probs(torch.ones(1, 1, device=DEVICE), weight, None, torch.tensor([0], device=DEVICE))
    assert found.item() == pytest.approx(-1.3745e-7, rel=0.15)
