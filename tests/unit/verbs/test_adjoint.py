"""The dot test, its law, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import gradproof
from gradproof import Cause, Reason, Verdict
from gradproof._numerics.statistics import chi_square_product_lower_quantile, chi_square_product_upper_quantile


@pytest.fixture
def matrix(rng):
    return rng.standard_normal((30, 20))


@pytest.mark.parametrize("seed", range(20))
def test_a_right_adjoint_is_certified(matrix, seed):
    assert gradproof.check_adjoint(aslinearoperator(matrix), seed=seed).verdict is Verdict.CORRECT


def test_its_limits_are_stated(matrix):
    report = gradproof.check_adjoint((lambda x: 2 * matrix @ x, lambda y: 2 * matrix.T @ y), np.zeros(20), seed=1)
    assert report.verdict is Verdict.CORRECT
    assert any("both may be wrong alike" in note for note in report.notes)


@pytest.mark.parametrize(("factor", "cause"), [(2, Cause.FACTOR), (-1, Cause.SIGN), (1.001, Cause.FACTOR)])
def test_a_factor_is_named(matrix, factor, cause):
    report = gradproof.check_adjoint((lambda x: matrix @ x, lambda y: factor * matrix.T @ y), np.zeros(20), seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is cause
    assert abs(report.diagnoses[0].coefficient - factor) < 1e-9


def test_a_wrong_entry_is_named(matrix):
    other = matrix.copy()
    other[3, 4] += 0.1
    report = gradproof.check_adjoint((lambda x: matrix @ x, lambda y: other.T @ y), np.zeros(20), seed=1)
    assert report.verdict is Verdict.WRONG
    (entry,) = report.coordinates
    assert entry.index == (3, 4)
    assert abs(entry.claimed - entry.numerical - 0.1) < 1e-12


def test_several_blocks_are_told_apart(rng):
    A, B = rng.standard_normal((4, 3)), rng.standard_normal((2, 3))
    forward = lambda p: {"u": A @ p["x"] + p["s"], "w": B @ p["x"]}
    right = lambda c: {"x": A.T @ c["u"] + B.T @ c["w"], "s": np.sum(c["u"])}
    wrong = lambda c: right(c) | {"s": np.sum(c["u"]) / 4}
    point = {"x": np.zeros(3), "s": 0.0}
    assert gradproof.check_adjoint((forward, right), point, seed=1).verdict is Verdict.CORRECT
    assert gradproof.check_adjoint((forward, wrong), point, seed=1).faulty == ("u × s",)


def test_complex_operators_need_the_conjugate_transpose(rng):
    C = rng.standard_normal((6, 5)) + 1j * rng.standard_normal((6, 5))
    assert gradproof.check_adjoint(aslinearoperator(C), seed=1).verdict is Verdict.CORRECT
    report = gradproof.check_adjoint((lambda x: C @ x, lambda y: C.T @ y), np.zeros(5, complex), seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.CONVENTION


def test_float32_and_other_structures(rng):
    A = rng.standard_normal((200, 300)).astype(np.float32)
    verdicts = [
        gradproof.check_adjoint((lambda x: A @ x, lambda y: A.T @ y), np.zeros(300, np.float32), seed=seed).verdict
        for seed in range(20)
    ]
    assert set(verdicts) == {Verdict.CORRECT}
    pad = (lambda x: np.pad(x, 1), lambda y: y[1:-1, 1:-1])
    assert gradproof.check_adjoint(pad, np.zeros((4, 5)), seed=1).verdict is Verdict.CORRECT
    assert gradproof.check_adjoint((np.cumsum, np.cumsum), np.zeros(9), seed=1).verdict is Verdict.WRONG


def test_zero_operators_and_products_that_are_not_finite():
    zero = (lambda x: 0 * x, lambda y: 0 * y)
    assert gradproof.check_adjoint(zero, np.zeros(4), seed=1).verdict is Verdict.CORRECT
    nan = (lambda x: x, lambda y: y * np.nan)
    assert gradproof.check_adjoint(nan, np.zeros(4), seed=1).verdict is Verdict.WRONG


def test_bad_input_is_named(matrix):
    with pytest.raises(gradproof.UsageError, match="LinearOperator"):
        gradproof.check_adjoint(matrix)
    with pytest.raises(gradproof.UsageError, match="no point"):
        gradproof.check_adjoint((lambda x: x, lambda y: y))
    with pytest.raises(gradproof.UsageError, match="two callables"):
        gradproof.check_adjoint((np.sin,), np.zeros(3))
    with pytest.raises(gradproof.ShapeMismatch, match=r"rmatvec\(vector\)"):
        gradproof.check_adjoint((lambda x: matrix @ x, lambda y: y), np.zeros(20))
    with pytest.raises(gradproof.UsageError, match="rmatvec"):
        gradproof.check_adjoint(LinearOperator((3, 3), matvec=lambda v: v, dtype=float))


def test_assert_adjoint(matrix):
    gradproof.assert_adjoint(aslinearoperator(matrix), seed=1)
    with pytest.raises(gradproof.WrongGradient, match="the adjoint is wrong"):
        gradproof.assert_adjoint((lambda x: matrix @ x, lambda y: matrix.T @ y / 3), np.zeros(20), seed=1)


def test_the_report_survives_json(matrix):
    report = gradproof.check_adjoint((lambda x: matrix @ x, lambda y: matrix.T @ y / 3), np.zeros(20), seed=1)
    assert gradproof.Report.from_json(report.to_json()) == report
    assert "check_adjoint(operator, point, seed=1" in str(report)


@pytest.mark.parametrize(("k", "m"), [(4, 2), (4, 4), (12, 3)])
def test_the_quantiles_of_the_product_are_those_of_a_simulation(k, m):
    rng = np.random.default_rng(7)
    drawn = rng.chisquare(k, 400_000) * rng.chisquare(m, 400_000)
    for alpha in (0.3, 1e-2, 1e-3):
        for upper, quantile in ((False, chi_square_product_lower_quantile), (True, chi_square_product_upper_quantile)):
            q = quantile(k, m, alpha)
            share = float(np.mean(drawn >= q if upper else drawn <= q))
            assert abs(share - alpha) <= 5 * np.sqrt(alpha / 400_000)


@pytest.mark.parametrize("rank", [1, 2, 5, 40])
@pytest.mark.parametrize(("k", "m"), [(4, 2), (4, 3)])
def test_the_bound_covers_matrices_of_every_rank(rank, k, m):
    rng = np.random.default_rng(11)
    alpha, trials = 1e-2, 20_000
    sizes = rng.exponential(size=rank)
    U, V = rng.standard_normal((trials, k, rank)), rng.standard_normal((trials, m, rank))
    Y = np.einsum("tkr,r,tmr->tkm", U, sizes, V)
    bound = np.sqrt(np.sum(Y**2, axis=(1, 2)) / chi_square_product_lower_quantile(k, m, alpha))
    missed = float(np.mean(bound < np.linalg.norm(sizes)))
    assert missed <= alpha + 4 * np.sqrt(alpha / trials)


def of_factor(seed, factor):
    matrix = np.random.default_rng(seed).standard_normal((30, 20))
    operator = (lambda x: matrix @ x, lambda y: factor * (matrix.T @ y))
    return gradproof.check_adjoint(operator, np.zeros(20), seed=seed)


@pytest.mark.parametrize("seed", range(30))
def test_a_difference_within_the_tolerance_is_never_wrong(seed):
    report = of_factor(seed, 1 + 1.8e-7)  # D = 9e-8
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is Reason.BORDER
    assert report.difference.lower < 9e-8 < report.difference.upper


@pytest.mark.parametrize("seed", range(10))
def test_a_difference_near_the_tolerance_is_decided_by_more_vectors(seed):
    beyond, inside = of_factor(seed, 1 + 2e-6), of_factor(seed, 1 + 2e-8)  # D = 1e-6, 1e-8
    assert beyond.verdict is Verdict.WRONG
    assert beyond.difference.lower > beyond.tolerance
    assert inside.verdict is Verdict.CORRECT
    assert inside.difference.upper <= inside.tolerance
    assert 9 < inside.evaluations < 130 > beyond.evaluations > 9


@pytest.mark.parametrize(
    ("factor", "remedy"),
    [(1 + 2e-6, "rmatvec(u) / 1.000002"), (1 / 28, "28 * rmatvec(u)"), (0.7381934, "rmatvec(u) / 0.7381934")],
)
def test_the_remedy_of_a_factor_holds_as_it_is_printed(factor, remedy):
    assert of_factor(3, factor).diagnoses[0].remedy == remedy


def test_the_bounds_on_the_difference_hold_at_the_stated_level():
    outside = 0
    for seed in range(400):
        rng = np.random.default_rng([seed, 9])
        one = np.outer(rng.standard_normal(6), rng.standard_normal(5))  # rank one is the worst case
        other = one * (1 + 1.8e-7)
        report = gradproof.check_adjoint(
            (lambda x, one=one: one @ x, lambda y, other=other: other.T @ y), np.zeros(5), seed=seed, confidence=0.5
        )
        true = np.linalg.norm(one - other) / (np.linalg.norm(one) + np.linalg.norm(other))
        outside += not report.difference.lower <= true <= report.difference.upper
    assert outside <= 200 + 4 * 10  # α = 0.5, four standard deviations above


def test_rounding_that_hides_the_tolerance_is_the_reason(matrix):
    report = gradproof.check_adjoint(aslinearoperator(matrix), tolerance=1e-17, seed=1)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is Reason.NOISE
