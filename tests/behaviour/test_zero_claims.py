"""Claims of zero: never certified where noise hides the derivative, and no false alarm where it is rounding only."""

from __future__ import annotations

import numpy as np
import pytest

from gradproof import Reason, Verdict, check_gradient, check_jvp, check_vjp

SEEDS = range(4)


def cost(x):
    return np.sum(np.tanh(x) ** 2)


@pytest.mark.parametrize("n", [3, 40, 1000])
def test_a_gradient_of_zero_is_not_certified_in_float32(n):
    x = np.linspace(-1, 1, n, dtype=np.float32)
    for seed in SEEDS:
        assert check_gradient(cost, x, np.zeros_like(x), seed=seed).verdict is Verdict.WRONG


@pytest.mark.parametrize("n", [3, 40, 1000])
def test_a_gradient_of_zero_is_not_certified_in_float16(n):
    x = np.linspace(-1, 1, n, dtype=np.float16)
    for seed in SEEDS:
        assert check_gradient(cost, x, np.zeros_like(x), seed=seed).verdict is not Verdict.CORRECT


@pytest.mark.parametrize("n", [3, 40, 1000])
@pytest.mark.parametrize("function", [np.tanh, cost])
def test_products_of_zero_are_not_certified_in_float32(function, n):
    x = np.linspace(-1, 1, n, dtype=np.float32)
    for seed in SEEDS:
        report = check_vjp(function, lambda x, u: np.zeros_like(x), x, seed=seed, strategy="certificate")
        assert report.verdict is not Verdict.CORRECT
        report = check_jvp(function, lambda x, v: 0 * function(x), x, seed=seed, strategy="certificate")
        assert report.verdict is not Verdict.CORRECT


def test_of_a_cost_that_never_changes_a_zero_is_not_certified():
    x = np.zeros(30, np.float32)
    for seed in SEEDS:
        report = check_gradient(lambda x: np.sum(0 * x + 1), x, np.zeros_like(x), seed=seed)
        assert report.reason is Reason.NOT_EXERCISED
        assert check_vjp(lambda x: 0 * x + 1, lambda x, u: np.zeros_like(x), x, seed=seed).verdict is Verdict.CORRECT


@pytest.mark.parametrize("flat", [np.cos, lambda x: x**2])
def test_a_derivative_that_is_zero_is_certified_as_such(flat):
    x = np.zeros(30, np.float32)
    for seed in SEEDS:
        assert check_gradient(lambda x: np.sum(flat(x)), x, np.zeros_like(x), seed=seed).verdict is Verdict.CORRECT
        assert check_vjp(flat, lambda x, u: np.zeros_like(x), x, seed=seed).verdict is Verdict.CORRECT


# --- costs that are constant up to rounding ---------------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def total(x):
    """Sum of probabilities: 1, whatever x is."""
    return np.sum(softmax(x))


def total_gradient(x, u=1.0):
    p = softmax(x)
    return p * (u - np.sum(u * p))  # rounding, and nothing else


@pytest.mark.parametrize(
    ("check", "strategy"),
    [
        (check_gradient, "auto"),
        (check_gradient, "certificate"),
        (check_gradient, "coordinates"),
        (check_vjp, "auto"),
        (check_vjp, "certificate"),
    ],
)
@pytest.mark.parametrize("size", [3, 30, 300])
@pytest.mark.parametrize("seed", range(4))
def test_a_claim_that_is_rounding_of_a_constant_is_correct(check, strategy, size, seed):
    x = np.random.default_rng(seed).standard_normal(size)
    arguments = (total, x, total_gradient) if check is check_gradient else (total, total_gradient, x)
    assert check(*arguments, strategy=strategy, seed=seed).verdict is Verdict.CORRECT


@pytest.mark.parametrize("check", [check_gradient, check_vjp])
@pytest.mark.parametrize("size", [3, 30, 300])
def test_a_claim_of_rounding_for_a_cost_that_is_not_constant_is_wrong(check, size):
    x = np.random.default_rng(5).standard_normal(size)

    def cost(x):
        return total(x) + 1e-6 * np.sum(np.sin(x))

    arguments = (cost, x, total_gradient) if check is check_gradient else (cost, total_gradient, x)
    assert check(*arguments, seed=1).verdict is Verdict.WRONG


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("strategy", ["certificate", "auto", "coordinates"])
@pytest.mark.parametrize(
    "cost",
    [
        rosenbrock,
        lambda x: (x + 100 * x**4).sum(),
        lambda x: (x + 1e9 * x**4).sum(),
        lambda x: (x + 1e3 * x**3).sum(),
        lambda x: np.exp(50 * x).sum(),
        lambda x: 1e3 + np.sinh(5 * x).sum(),
    ],
)
def test_what_a_cost_does_far_away_excuses_no_claim_of_zero(cost, strategy):
    # Polynomials are read exactly however long the step is, and grow there.
    for seed in range(12):
        report = check_gradient(cost, np.zeros(6), np.zeros(6), seed=seed, strategy=strategy)
        assert report.verdict is Verdict.WRONG
        vector = check_vjp(
            lambda x: np.atleast_1d(cost(x)), lambda x, u: 0 * x, np.zeros(6), seed=seed, strategy=strategy
        )
        assert vector.verdict is Verdict.WRONG


@pytest.mark.parametrize("strategy", ["certificate", "auto"])
@pytest.mark.parametrize(
    "cost",
    [
        lambda x: (x**2).sum(),
        lambda x: (x**3).sum(),
        lambda x: (x**4).sum(),
        lambda x: 1e3 + (x**2).sum(),
        lambda x: np.cosh(5 * x).sum(),
        lambda x: np.exp(-50 * x**2).sum(),
    ],
)
def test_a_gradient_of_zero_where_a_cost_curves_is_right(cost, strategy):
    for seed in range(12):
        report = check_gradient(cost, np.zeros(6), np.zeros(6), seed=seed, strategy=strategy)
        assert report.verdict is Verdict.CORRECT


@pytest.mark.parametrize("strategy", ["certificate", "auto", "coordinates"])
def test_at_a_perfect_fit_a_gradient_is_the_rounding_of_its_terms(strategy):
    # 3 × 0.7 − 2.1 is 4e-16: the cost is 1e-30, and says nothing of what counts as zero.
    point = np.full(6, 0.7)
    residual = lambda x: 3 * x - 2.1
    assert (residual(point) != 0).all()
    fit = lambda x: np.sum(residual(x) ** 2)
    for seed in range(8):
        options = {"seed": seed, "strategy": strategy}
        report = check_gradient(fit, point, 6 * residual(point), **options)
        assert report.verdict is Verdict.CORRECT
        assert "counts as zero" in report.notes[0]
        assert check_gradient(fit, point, 6 * residual(point) + 1e-3, **options).verdict is Verdict.WRONG
        right = lambda x, u: 6 * u * residual(x)
        wrong = lambda x, u: 6 * u * residual(x) + 1e-3 * u
        assert check_vjp(lambda x: np.array([fit(x)]), right, point, **options).verdict is Verdict.CORRECT
        assert check_vjp(lambda x: np.array([fit(x)]), wrong, point, **options).verdict is Verdict.WRONG
        vector = check_vjp(lambda x: residual(x) ** 2, right, point, **options)
        assert vector.verdict is Verdict.CORRECT
        assert "output × point" in vector.notes[0]
        assert "counts as zero" in vector.notes[0]


@pytest.mark.parametrize("point", [np.ones(6), np.full(6, 0.3)])
def test_a_variance_of_equal_numbers_has_a_gradient_of_zero(point):
    for seed in range(8):
        report = check_gradient(lambda x: np.var(x, ddof=1), point, 0.4 * (point - point.mean()), seed=seed)
        assert report.verdict is Verdict.CORRECT


def saturated(x):
    shifted = np.exp(x - x.max())
    return shifted / shifted.sum()


@pytest.mark.parametrize("strategy", ["certificate", "auto", "coordinates"])
def test_what_is_saturated_has_a_derivative_of_zero(strategy, rng):
    # Nothing changes near the point; far away, where a search for a step ends up, everything does.
    point = 1e3 * rng.standard_normal(6)
    weighted = lambda x: float(np.arange(1.0, 7.0) @ saturated(x))
    options = [{"seed": seed, "strategy": strategy} for seed in range(8)]
    right = [check_vjp(saturated, lambda x, u: 0 * x, point, **each).verdict for each in options]
    costs = [check_gradient(weighted, point, np.zeros(6), **each) for each in options]
    wrong = [check_gradient(weighted, point, np.full(6, 1e-3), **each).verdict for each in options]
    assert Verdict.WRONG not in right
    assert right.count(Verdict.CORRECT) >= 7
    # A cost that stands still near the point may be a staircase; what it does far away says nothing of its slope.
    assert all(cost.verdict is not Verdict.WRONG for cost in costs)
    assert Verdict.CORRECT not in wrong


def test_a_row_that_is_zero_beside_huge_ones_is_searched_without_a_step_of_zero():
    point = np.array([-900.0, -500.0, 40.0, -700.0, 30.0, -800.0])
    jacobian = np.diag(np.exp(point))
    claimed = jacobian + 0.01 * np.sqrt(np.mean(jacobian**2))
    for seed in range(6):
        report = check_vjp(np.exp, lambda x, u: claimed.T @ u, point, seed=seed)
        assert report.verdict is Verdict.WRONG


@pytest.mark.parametrize("strategy", ["certificate", "auto", "coordinates"])
@pytest.mark.parametrize(("constant", "dtype"), [(4e12, np.float64), (1e6, np.float32)])
def test_a_gradient_that_shows_beside_a_large_constant_is_no_zero(constant, dtype, strategy, rng):
    # It changes the cost by some fifty roundings only; a wrong one by as many.
    point = rng.standard_normal(6).astype(dtype)
    right = np.ones(6, dtype)
    cost = lambda x: dtype(constant) + x.sum()
    vjp = lambda x, u: -u[0] * right
    for seed in range(6):
        options = {"seed": seed, "strategy": strategy}
        assert check_gradient(cost, point, right, **options).verdict is not Verdict.WRONG
        assert check_gradient(cost, point, 2 * right, **options).verdict is not Verdict.CORRECT
        assert check_gradient(cost, point, -right, **options).verdict is not Verdict.CORRECT
        assert check_vjp(lambda x: np.array([cost(x)]), vjp, point, **options).verdict is not Verdict.CORRECT
