"""Muon: what an update is, against the singular value decomposition and against torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scdpo.training.muon import COEFFICIENTS, ITERATIONS, Muon, orthogonal

BFLOAT16_ROUNDING = 2**-8


def iterated(values):
    """What the iterations make of singular values in [0, 1]."""
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        values = a * values + b * values**3 + c * values**5
    return values


@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_singular_vectors_stay_and_singular_values_are_iterated(count, rows, columns, seed):
    """U S V^T becomes U p(S / |S|) V^T, for each matrix of a batch."""
    matrices = torch.randn(count, rows, columns, generator=torch.Generator().manual_seed(seed))
    left, values, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    wanted = left @ torch.diag_embed(iterated(values / values.norm(dim=1, keepdim=True))) @ right
    assert torch.allclose(orthogonal(matrices).double(), wanted, atol=1e-3)


def test_a_batch_is_its_matrices():
    matrices = torch.randn(5, 24, 64, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([orthogonal(matrix[None]) for matrix in matrices])
    assert torch.allclose(orthogonal(matrices), alone, atol=1e-5)


def test_no_direction_gives_no_update():
    assert orthogonal(torch.zeros(2, 3, 4)).eq(0).all()


def trained(make, steps=6):
    """Matrices of three shapes after some steps along gradients that are the same for every optimizer, and their changes."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(16, 16), (40, 16), (16, 40), (16, 16), (1, 8)]
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    optimizer = make(parameters)
    before = [parameter.detach().clone() for parameter in parameters]
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return [parameter.detach() - start for parameter, start in zip(parameters, before, strict=True)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_equal_to_torchs_muon_within_bfloat16(weight_decay, dtype):
    ours = trained(lambda parameters: Muon(parameters, 0.02, weight_decay, dtype=dtype))
    theirs = trained(lambda parameters: torch.optim.Muon(parameters, lr=0.02, weight_decay=weight_decay))
    for own, other in zip(ours, theirs, strict=True):
        assert (own - other).norm() < 8 * BFLOAT16_ROUNDING * other.norm()


def test_matrices_without_a_gradient_are_passed_over():
    first, second = (torch.nn.Parameter(torch.ones(3, 3)) for _ in range(2))
    first.grad = torch.eye(3)
    Muon([first, second], 0.1).step()
    assert not first.equal(torch.ones(3, 3)) and second.equal(torch.ones(3, 3))
