"""A claim of zero where the derivative is not zero is never certified for the noise of single precision."""

from __future__ import annotations

import numpy as np
import pytest

from gradproof import Verdict, check_gradient, check_jvp, check_vjp

SEEDS = range(4)


def cost(x):
    return np.sum(np.tanh(x) ** 2)


@pytest.mark.parametrize("n", [3, 40, 1000])
def test_a_gradient_of_zero_is_not_certified_in_float32(n):
    x = np.linspace(-1, 1, n, dtype=np.float32)
    for seed in SEEDS:
        assert check_gradient(cost, x, np.zeros_like(x), seed=seed).verdict is Verdict.WRONG


@pytest.mark.parametrize("n", [3, 40, 1000])
@pytest.mark.parametrize("function", [np.tanh, cost])
def test_products_of_zero_are_not_certified_in_float32(function, n):
    x = np.linspace(-1, 1, n, dtype=np.float32)
    for seed in SEEDS:
        report = check_vjp(function, lambda x, u: np.zeros_like(x), x, seed=seed, strategy="certificate")
        assert report.verdict is not Verdict.CORRECT
        report = check_jvp(function, lambda x, v: 0 * function(x), x, seed=seed, strategy="certificate")
        assert report.verdict is not Verdict.CORRECT


@pytest.mark.parametrize("flat", [lambda x: 0 * x + 1, np.cos, lambda x: x**2])
def test_a_derivative_that_is_zero_is_certified_as_such(flat):
    x = np.zeros(30, np.float32)
    for seed in SEEDS:
        assert check_gradient(lambda x: np.sum(flat(x)), x, np.zeros_like(x), seed=seed).verdict is Verdict.CORRECT
        assert check_vjp(flat, lambda x, u: np.zeros_like(x), x, seed=seed).verdict is Verdict.CORRECT
