"""SciPy's pairs as they are: minimize, least_squares, root, solve_ivp."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, sparse
from scipy.sparse.linalg import aslinearoperator

import gradproof
from gradproof import Verdict

X = np.array([1.3, 0.7, 0.8, 1.9, 1.2])


def test_minimize():
    assert gradproof.check_scipy(optimize.rosen, X, optimize.rosen_der, seed=1).verdict is Verdict.CORRECT
    wrong = lambda x: 2 * optimize.rosen_der(x)
    assert gradproof.check_scipy(optimize.rosen, X, wrong, seed=1).verdict is Verdict.WRONG


def test_minimize_with_jac_true():
    both = lambda x: (optimize.rosen(x), optimize.rosen_der(x))
    assert gradproof.check_scipy(both, X, jac=True, seed=1).verdict is Verdict.CORRECT
    wrong = lambda x: (optimize.rosen(x), -optimize.rosen_der(x))
    assert gradproof.check_scipy(wrong, X, jac=True, seed=1).verdict is Verdict.WRONG
    with pytest.raises(gradproof.ShapeMismatch, match="jac=True promises"):
        gradproof.check_scipy(optimize.rosen, X, jac=True)


def test_minimize_with_args():
    fun = lambda x, a, b: a * np.sum(x**2) + b * np.sum(x)
    jac = lambda x, a, b: 2 * a * x + b
    assert gradproof.check_scipy(fun, X, jac, args=(3.0, 2.0), seed=1).verdict is Verdict.CORRECT
    one = lambda x, a: a * np.sum(x**2)
    assert gradproof.check_scipy(one, X, lambda x, a: 2 * a * x, args=3.0, seed=1).verdict is Verdict.CORRECT
    assert gradproof.check_scipy(one, X, lambda x, a: 2 * x, args=3.0, seed=1).verdict is Verdict.WRONG


def test_minimize_with_a_hessian():
    right = gradproof.check_scipy(None, X, optimize.rosen_der, hess=optimize.rosen_hess, seed=1)
    wrong = gradproof.check_scipy(None, X, optimize.rosen_der, hess=lambda x: optimize.rosen_hess(x) + 1, seed=1)
    assert (right.verb, right.verdict, wrong.verdict) == ("check_hessian", Verdict.CORRECT, Verdict.WRONG)
    product = gradproof.check_scipy(None, X, optimize.rosen_der, hessp=optimize.rosen_hess_prod, seed=1)
    assert (product.verb, product.verdict) == ("check_hvp", Verdict.CORRECT)
    with pytest.raises(gradproof.UsageError, match="hess and hessp"):
        gradproof.check_scipy(None, X, optimize.rosen_der, hess=1, hessp=2)


BOUNDS = [(0, 2), (None, 1), (0.5, None), (None, None), (-1, 3)]


@pytest.mark.parametrize(
    "bounds",
    [
        BOUNDS,
        optimize.Bounds([0, -np.inf, 0.5, -np.inf, -1], [2, 1, np.inf, np.inf, 3]),
        (-np.inf, np.full(5, 5.0)),
        (0.0, 2.0),
    ],
)
def test_steps_stay_inside_the_bounds(bounds):
    from gradproof._verbs.scipy import read_bounds

    low, high = read_bounds(bounds, X)
    seen = []

    def fun(x):
        seen.append(np.all((low <= x) & (x <= high)))
        return optimize.rosen(x)

    assert gradproof.check_scipy(fun, X, optimize.rosen_der, bounds=bounds, seed=1).verdict is Verdict.CORRECT
    assert all(seen)
    assert len(seen) > 10


def test_at_a_bound_every_coordinate_is_measured_on_its_open_side():
    x = np.array([0.0, 2.0, 0.5])
    bounds = [(0, 2)] * 3

    def fun(x):
        assert np.all((x >= 0) & (x <= 2))
        return np.sum(x * np.sqrt(x + 1e-2) + (2 - x) ** 1.5)

    jac = lambda x: np.sqrt(x + 1e-2) + x / 2 / np.sqrt(x + 1e-2) - 1.5 * (2 - x) ** 0.5
    report = gradproof.check_scipy(fun, x, lambda x: jac(x) + np.array([0.1, 0, 0]), bounds=bounds, seed=1)
    assert report.verdict is Verdict.WRONG
    square = lambda x: np.sum((x - 1) ** 2 * np.exp(x))
    slope = lambda x: (2 * (x - 1) + (x - 1) ** 2) * np.exp(x)
    assert gradproof.check_scipy(square, x, slope, bounds=bounds, seed=1).verdict is Verdict.CORRECT
    vector = lambda x: np.array([np.exp(x[0] * x[1]), np.sin(x[2]) * x[1], x[0]])
    matrix = lambda x: np.array(
        [
            [x[1] * np.exp(x[0] * x[1]), x[0] * np.exp(x[0] * x[1]), 0],
            [0, np.sin(x[2]), np.cos(x[2]) * x[1]],
            [1, 0, 0],
        ]
    )
    assert gradproof.check_scipy(vector, x, matrix, bounds=bounds, seed=1).verdict is Verdict.CORRECT
    crooked = lambda x: matrix(x) * [1, 1, 1.001]
    assert gradproof.check_scipy(vector, x, crooked, bounds=bounds, seed=1).verdict is Verdict.WRONG


def test_bounds_that_do_not_fit_are_named():
    with pytest.raises(gradproof.UsageError, match=r"x0\[0\] is 1.3, outside its bounds"):
        gradproof.check_scipy(optimize.rosen, X, optimize.rosen_der, bounds=[(0, 1)] * 5)
    with pytest.raises(gradproof.UsageError, match="bounds of 3 entries for 5 parameters"):
        gradproof.check_scipy(optimize.rosen, X, optimize.rosen_der, bounds=[(0, 1)] * 3)
    with pytest.raises(gradproof.UsageError, match="read in two ways"):
        gradproof.check_scipy(optimize.rosen, [0.3, 0.8], optimize.rosen_der, bounds=[(0, 0.5), (0.6, 1)])
    two = optimize.Bounds([0, 0], [2, 2])
    assert (
        gradproof.check_scipy(optimize.rosen, X[:2], optimize.rosen_der, bounds=two, seed=1).verdict is Verdict.CORRECT
    )
    pairs = [(0, 2), (0, 2)]
    assert (
        gradproof.check_scipy(optimize.rosen, X[:2], optimize.rosen_der, bounds=pairs, seed=1).verdict
        is Verdict.CORRECT
    )


def residuals(x, t, y):
    return x[0] * np.exp(-x[1] * t) - y


def residuals_jacobian(x, t, y):
    return np.stack([np.exp(-x[1] * t), -x[0] * t * np.exp(-x[1] * t)], axis=1)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, aslinearoperator])
def test_least_squares(form):
    t = np.linspace(0, 2, 40)
    jac = lambda *a: form(residuals_jacobian(*a))
    x, args = np.array([1.5, 0.8]), (t, np.exp(-t))
    assert (
        gradproof.check_scipy(residuals, x, jac, args=args, bounds=([0, 0], np.inf), seed=1).verdict is Verdict.CORRECT
    )
    wrong = lambda x, t, y: form(residuals_jacobian(x, t, y) * [1, -1])
    report = gradproof.check_scipy(residuals, x, wrong, args=args, seed=1)
    assert report.verb == "check_jacobian"
    assert report.verdict is Verdict.WRONG


def test_root():
    fun = lambda x: [x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1.0, 0.5 * (x[1] - x[0]) ** 3 + x[1]]
    jac = lambda x: np.array(
        [
            [1 + 1.5 * (x[0] - x[1]) ** 2, -1.5 * (x[0] - x[1]) ** 2],
            [-1.5 * (x[1] - x[0]) ** 2, 1 + 1.5 * (x[1] - x[0]) ** 2],
        ]
    )
    assert gradproof.check_scipy(fun, [0.3, -0.4], jac, seed=1).verdict is Verdict.CORRECT
    both = lambda x: (np.array(fun(x)), jac(x))
    assert gradproof.check_scipy(both, [0.3, -0.4], jac=True, seed=1).verdict is Verdict.CORRECT
    assert gradproof.check_scipy(fun, [0.3, -0.4], lambda x: -jac(x), seed=1).verdict is Verdict.WRONG
    with pytest.raises(gradproof.ShapeMismatch, match="jac=True where fun returns"):
        gradproof.check_scipy(both, [0.3, -0.4], jac)


def test_solve_ivp_with_t_fixed():
    fun = lambda t, y, mu: np.array([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0] + np.sin(t)])
    jac = lambda t, y, mu: np.array([[0, 1], [-2 * mu * y[0] * y[1] - 1, mu * (1 - y[0] ** 2)]])
    assert gradproof.check_scipy(fun, [2.0, 0.5], jac, args=(5.0,), t=0.3, seed=1).verdict is Verdict.CORRECT
    wrong = lambda t, y, mu: jac(t, y, mu).T
    assert gradproof.check_scipy(fun, [2.0, 0.5], wrong, args=(5.0,), t=0.3, seed=1).verdict is Verdict.WRONG
    linear = np.array([[0.0, 1.0], [-4.0, -0.1]])
    assert gradproof.check_scipy(lambda t, y: linear @ y, [1.0, 0.0], linear, t=0.0, seed=1).verdict is Verdict.CORRECT


def test_one_residual_is_a_jacobian_of_one_row():
    fun = lambda x: np.array([np.sum(x**2)])
    assert gradproof.check_scipy(fun, X, lambda x: 2 * x[None, :], seed=1).verb == "check_jacobian"
    assert gradproof.check_scipy(fun, X, lambda x: 2 * x, seed=1).verb == "check_gradient"


def test_what_scipy_would_differentiate_itself_is_refused():
    for jac in (None, "2-point", "cs"):
        with pytest.raises(gradproof.UsageError, match="nothing is claimed"):
            gradproof.check_scipy(optimize.rosen, X, jac)
    with pytest.raises(gradproof.UsageError, match="fun is None"):
        gradproof.check_scipy(None, X, optimize.rosen_der)


def test_whole_numbers_are_taken_as_floats():
    assert gradproof.check_scipy(optimize.rosen, [1, 2, 3], optimize.rosen_der, seed=1).verdict is Verdict.CORRECT


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


def counted(function):
    """Count the calls of a function in its attribute ``calls``."""

    def call(*arguments):
        call.calls += 1
        return function(*arguments)

    call.calls = 0
    return call


ONE_OFF = lambda x: optimize.rosen_hess(x) + np.eye(x.size)


@pytest.mark.parametrize(
    ("jac", "hess", "verb", "verdict"),
    [
        (optimize.rosen_der, optimize.rosen_hess, "check_gradient", Verdict.CORRECT),
        (lambda x: optimize.rosen_der(x) + 1, optimize.rosen_hess, "check_gradient", Verdict.WRONG),
        (optimize.rosen_der, ONE_OFF, "check_hessian", Verdict.WRONG),
        (lambda x: 2 * optimize.rosen_der(x), ONE_OFF, "check_gradient", Verdict.WRONG),
    ],
)
def test_the_gradient_and_the_hessian_are_both_checked_as_minimize_uses_them(jac, hess, verb, verdict):
    fun = counted(optimize.rosen)
    report = gradproof.check_scipy(fun, X, jac, hess=hess, seed=1)
    assert (report.verb, report.verdict) == (verb, verdict)
    assert fun.calls > 10
    first, second = report.notes[:2]
    assert first.startswith("The gradient against fun: ")
    assert second.startswith("The Hessian against jac: ")
    assert ("WRONG" in first, "WRONG" in second) == (jac is not optimize.rosen_der, hess is ONE_OFF)


def test_a_hessian_product_is_checked_beside_the_gradient_and_with_jac_true():
    both = lambda x: (optimize.rosen(x), optimize.rosen_der(x))
    right = gradproof.check_scipy(both, X, True, hessp=optimize.rosen_hess_prod, seed=1)
    assert right.verdict is Verdict.CORRECT
    wrong = gradproof.check_scipy(both, X, True, hessp=lambda x, p: 2 * optimize.rosen_hess_prod(x, p), seed=1)
    assert (wrong.verb, wrong.verdict) == ("check_hvp", Verdict.WRONG)
    negative = lambda x: (optimize.rosen(x), -optimize.rosen_der(x))
    opposite = gradproof.check_scipy(negative, X, True, hess=lambda x: -optimize.rosen_hess(x), seed=1)
    assert (opposite.verb, opposite.verdict) == ("check_gradient", Verdict.WRONG)


def test_both_checks_share_seed_and_budget():
    fun, jac = counted(optimize.rosen), counted(optimize.rosen_der)
    report = gradproof.check_scipy(fun, X, jac, hess=ONE_OFF, budget=80)
    assert report.budget == 80
    assert report.evaluations <= 80
    again = gradproof.check_scipy(fun, X, jac, hess=ONE_OFF, budget=80, seed=report.seed)
    assert again.difference == report.difference
    with pytest.raises(gradproof.BudgetTooSmall, match="for the gradient and the Hessian"):
        gradproof.check_scipy(fun, X, jac, hess=ONE_OFF, budget=23)


def test_a_hessian_that_cannot_be_checked_is_refused_before_anything_is_called():
    fun, jac = counted(optimize.rosen), counted(optimize.rosen_der)
    check = gradproof.check_scipy
    with pytest.raises(gradproof.UsageError, match="no gradient to compare a Hessian with"):
        check(fun, X, hess=optimize.rosen_hess)
    with pytest.raises(gradproof.UsageError, match="no gradient to compare a Hessian with"):
        check(fun, X, "2-point", hess=optimize.rosen_hess)
    with pytest.raises(gradproof.UsageError, match="SciPy approximates the Hessian"):
        check(fun, X, jac, hess="cs")
    with pytest.raises(gradproof.UsageError, match="hess is BFGS"):
        check(fun, X, jac, hess=optimize.BFGS())
    with pytest.raises(gradproof.UsageError, match="jac is True, and fun is None"):
        check(None, X, True, hess=optimize.rosen_hess)
    with pytest.raises(gradproof.UsageError, match="at displaced points"):
        check(fun, X, optimize.rosen_der(X), hess=optimize.rosen_hess)
    assert fun.calls == jac.calls == 0
    with pytest.raises(gradproof.UsageError, match="fun returns 5 numbers, and there is a Hessian"):
        check(optimize.rosen_der, X, optimize.rosen_hess, hess=optimize.rosen_hess)


def test_assert_scipy():
    assert gradproof.assert_scipy(optimize.rosen, X, optimize.rosen_der, hess=optimize.rosen_hess).verb
    with pytest.raises(gradproof.WrongGradient, match="the Hessian is wrong"):
        gradproof.assert_scipy(optimize.rosen, X, optimize.rosen_der, hess=ONE_OFF, seed=1)
    no_room = optimize.Bounds(X, X)
    with pytest.raises(gradproof.InconclusiveGradient):
        gradproof.assert_scipy(optimize.rosen, X, optimize.rosen_der, bounds=no_room, seed=1)
    skipped = gradproof.assert_scipy(optimize.rosen, X, optimize.rosen_der, bounds=no_room, seed=1, inconclusive="skip")
    assert skipped.verdict is Verdict.INCONCLUSIVE


# -- NonlinearConstraint -----------------------------------------------------------------------------------------------

B = np.array([[0.3, -1.2, 0.5], [0.9, 0.4, -0.7]])
AT = np.array([0.4, -0.3, 1.1])


def constraint(jac_factor=1.0, hess_factor=1.0, sparse=False, **given):
    from scipy.optimize import NonlinearConstraint
    from scipy.sparse import csr_array

    def jac(x):
        value = jac_factor * np.cos(B @ x)[:, None] * B
        return csr_array(value) if sparse else value

    def hess(x, v):
        return -hess_factor * B.T @ ((v * np.sin(B @ x))[:, None] * B)

    return NonlinearConstraint(lambda x: np.sin(B @ x), -1, 1, **{"jac": jac, "hess": hess, **given})


@pytest.mark.parametrize("sparse", [False, True])
def test_a_constraint_is_checked_with_its_jacobian_and_its_hessian(sparse):
    report = gradproof.check_scipy(constraint(sparse=sparse), AT, seed=1)
    assert report.verdict is gradproof.Verdict.CORRECT
    assert "The Hessian against jac: CORRECT" in " ".join(report.notes)


def test_either_of_a_constraints_derivatives_may_be_wrong():
    assert gradproof.check_scipy(constraint(jac_factor=1.01), AT, seed=1).verb == "check_jacobian"
    wrong = gradproof.check_scipy(constraint(hess_factor=1.01), AT, seed=1)
    assert (wrong.verdict, wrong.verb) == (gradproof.Verdict.WRONG, "check_hessian")
    assert "1.01 times" in wrong.diagnoses[0].sentence


def test_what_scipy_approximates_itself_is_no_claim_of_a_constraint():
    from scipy.optimize import BFGS

    report = gradproof.check_scipy(constraint(hess=BFGS()), AT, seed=1)
    assert (report.verdict, report.verb) == (gradproof.Verdict.CORRECT, "check_jacobian")
    with pytest.raises(gradproof.UsageError, match="the constraint's jac is '2-point'"):
        gradproof.check_scipy(constraint(jac="2-point"), AT)
    with pytest.raises(gradproof.UsageError, match="beside it, jac"):
        gradproof.check_scipy(constraint(), AT, lambda x: B)
