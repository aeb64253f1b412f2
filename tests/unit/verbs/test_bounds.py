"""Coordinates at a bound, and at the edge of a domain, are measured on their open side."""

import numpy as np
import pytest
from scipy import optimize

import gradproof
from gradproof import Verdict


def at_bounds(seed, n, k, away=0.0):
    """Make a smooth cost, its gradient, a point with k of its n coordinates at a lower or an upper bound, and a counter."""
    rng = np.random.default_rng(seed)
    x, matrix, low, high = rng.uniform(0.2, 1.5, n), rng.standard_normal((n + 3, n)), np.zeros(n), np.full(n, np.inf)
    at = rng.permutation(n)[:k]
    upper = rng.random(k) < 0.5
    high[at[upper]], low[at[~upper]] = x[at[upper]] + away, x[at[~upper]] - away
    calls = []

    def cost(x):
        calls.append(bool(np.all((low <= x) & (x <= high))))
        return float(np.sum(np.sin(matrix @ x)) + 0.5 * x @ x)

    gradient = lambda x: matrix.T @ np.cos(matrix @ x) + x
    return cost, gradient, x, optimize.Bounds(low, high), at, calls


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n", "k"), [(6, 1), (6, 4), (6, 6), (30, 4), (30, 30), (100, 100)])
def test_at_bounds_a_right_gradient_takes_two_calls_a_coordinate_and_a_few(n, k, seed):
    cost, gradient, x, bounds, _, calls = at_bounds(seed, n, k)
    report = gradproof.check_scipy(cost, x, gradient, bounds=bounds, seed=seed)
    assert report.verdict is Verdict.CORRECT
    assert all(calls)
    assert len(calls) == report.evaluations + 1  # one more shows whether the function returns a number
    assert len(calls) <= 2 * n + 20
    assert any(f"{k} of {n} coordinates were measured on one side" in note for note in report.notes)
    assert not any("failed" in note for note in report.notes)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n", "k"), [(6, 4), (6, 6), (30, 30)])
def test_at_bounds_one_wrong_coordinate_is_named(n, k, seed):
    cost, gradient, x, bounds, at, _ = at_bounds(seed, n, k)
    wrong = lambda x: gradient(x) + 1e-3 * (np.arange(n) == at[0])
    report = gradproof.check_scipy(cost, x, wrong, bounds=bounds, seed=seed)
    assert report.verdict is Verdict.WRONG
    (entry,) = report.coordinates
    assert entry.index == (at[0],)
    assert abs(entry.claimed - entry.numerical - 1e-3) <= entry.error_bar + 1e-12
    doubled = gradproof.check_scipy(cost, x, lambda x: 2 * gradient(x), bounds=bounds, seed=seed)
    assert doubled.verdict is Verdict.WRONG
    assert doubled.diagnoses[0].coefficient == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_bound_1e_6_away_does_not_leave_a_right_gradient_undecided(seed):
    cost, gradient, x, bounds, _, calls = at_bounds(seed, 6, 6, away=1e-6)
    report = gradproof.check_scipy(cost, x, gradient, bounds=bounds, strategy="coordinates", seed=seed)
    assert report.verdict is Verdict.CORRECT
    assert all(calls)
    assert len(calls) <= 40


def test_between_two_bounds_that_leave_no_room_the_domain_is_the_reason():
    x = np.array([0.5, 0.7])
    report = gradproof.check_scipy(optimize.rosen, x, optimize.rosen_der, bounds=optimize.Bounds(x, x), seed=1)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is gradproof.Reason.DOMAIN


@pytest.mark.parametrize("strategy", ["auto", "coordinates"])
@pytest.mark.parametrize("at", [1, 3, 6])
@pytest.mark.parametrize("seed", range(3))
def test_a_jacobian_at_the_edge_of_a_domain_is_judged_by_its_columns(seed, at, strategy):
    rng = np.random.default_rng(seed)
    matrix, x = rng.standard_normal((5, 6)), rng.uniform(0.2, 1.5, 6)
    x[:at] = 0

    def function(x):
        if np.any(x < 0):
            raise ValueError("a negative concentration")
        return np.sin(matrix @ x) + matrix @ x**3

    right = lambda x: np.cos(matrix @ x)[:, None] * matrix + 3 * matrix * x**2
    wrong = lambda x: right(x) + 1e-3 * np.outer(np.arange(5) == 2, np.arange(6) == 0)
    options = {"strategy": strategy, "seed": seed}
    assert gradproof.check_jacobian(function, right, x, **options).verdict is Verdict.CORRECT
    assert gradproof.check_jacobian(function, wrong, x, **options).verdict is Verdict.WRONG
    least_squares = {"bounds": (0, np.inf), "seed": seed}
    assert gradproof.check_scipy(function, x, right, **least_squares).verdict is Verdict.CORRECT
    assert gradproof.check_scipy(function, x, wrong, **least_squares).verdict is Verdict.WRONG
