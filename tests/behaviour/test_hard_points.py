"""Points at which differences mislead: joints of pieces, costs that are lost in the rounding of their parts."""

from __future__ import annotations

import numpy as np
import pytest

from gradproof import Verdict, check_gradient, check_vjp

WEIGHTS = np.arange(1.0, 7.0)


@pytest.mark.parametrize("strategy", ["certificate", "auto", "coordinates"])
@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize(
    ("function", "derivative", "joint"),
    [
        (lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2, 0.0),
        (lambda x: x + x * np.abs(x), lambda x: 1 + 2 * np.abs(x), 0.0),
        (lambda x: x + np.maximum(x, 0) ** 2, lambda x: 1 + 2 * np.maximum(x, 0), 0.0),
        (lambda x: np.where(x > 0, x, np.expm1(x)), lambda x: np.where(x > 0, 1, np.exp(x)), 0.0),
        (lambda x: np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5), lambda x: np.clip(x, -1, 1), 1.0),
    ],
    ids=["softsign", "x|x|", "squared relu", "elu", "huber"],
)
def test_a_joint_of_two_pieces_with_one_slope_has_a_derivative(function, derivative, joint, everywhere, strategy):
    # Every formula about such a point is off by something of the order of its step.
    point = np.full(6, joint) if everywhere else np.array([joint, 0.3, -0.7, 1.9, 2.2, -1.4])
    cost = lambda x: float(WEIGHTS @ function(x))
    of_many = []
    for seed in range(4):
        options = {"seed": seed, "strategy": strategy}
        right = WEIGHTS * derivative(point)
        assert check_gradient(cost, point, right, **options).verdict is Verdict.CORRECT
        assert check_gradient(cost, point, 1.01 * right, **options).verdict is Verdict.WRONG
        of_many.append(check_vjp(function, lambda x, u: u * derivative(x), point, **options).verdict)
        assert check_vjp(function, lambda x, u: 1.01 * u * derivative(x), point, **options).verdict is Verdict.WRONG
    # Lines of some seeds end a little above the tolerance, of which two steps disagree about the noise.
    assert Verdict.WRONG not in of_many
    assert of_many.count(Verdict.CORRECT) >= 3


@pytest.mark.parametrize("strategy", ["certificate", "auto", "coordinates"])
def test_a_cost_far_below_the_rounding_of_its_parts_is_no_constant(strategy, rng):
    # log(1 + s) of so small an s is a multiple of 2.2e-16: constant near the point, stairs beyond.
    point = 1e-8 * rng.standard_normal(6)
    cost = lambda x: float(np.log(1.0 + x @ x))
    gradient = 2 * point / (1 + point @ point)
    for size in (1.0, 0.5):  # of the second point the value is 0 itself, or one step of the stairs
        verdicts = [
            check_gradient(cost, size * point, size * gradient, seed=seed, strategy=strategy).verdict
            for seed in range(20)
        ]
        assert Verdict.WRONG not in verdicts
    for seed in range(10):
        minus = check_gradient(cost, point, -1e3 * gradient, seed=seed, strategy=strategy)
        assert minus.verdict is not Verdict.CORRECT
