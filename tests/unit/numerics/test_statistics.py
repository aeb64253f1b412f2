"""χ² bounds, α-spending, and D from bounds on norms: against closed forms, and sharp where they can be."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special, stats

from gradproof._numerics import statistics
from gradproof._numerics.statistics import (
    alpha_for_correct,
    alpha_for_wrong,
    chi_square_lower_quantile,
    chi_square_product_lower_quantile,
    chi_square_product_upper_quantile,
    chi_square_upper_quantile,
    difference_from_above,
    difference_from_below,
    norm_lower_bound,
    norm_upper_bound,
    residual_allowed,
    residual_possible,
    student_quantile,
    within,
)

ALPHAS = [0.4, 0.1, 1e-3, 1e-6, 1e-12, 1e-20]
alphas = st.floats(1e-18, 0.5)
norms = st.floats(1e-12, 1e12)


# ------------------------------------------------------------------------------------------ quantiles
@pytest.mark.parametrize("alpha", ALPHAS)
def test_two_degrees_have_the_quantiles_of_an_exponential_law(alpha):
    assert chi_square_lower_quantile(2, alpha) == pytest.approx(-2 * math.log1p(-alpha), rel=1e-12)
    assert chi_square_upper_quantile(2, alpha) == pytest.approx(-2 * math.log(alpha), rel=1e-12)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_one_degree_has_the_quantiles_of_a_squared_normal(alpha):
    assert chi_square_upper_quantile(1, alpha) == pytest.approx(special.ndtri(alpha / 2) ** 2, rel=1e-10)
    if alpha > 1e-15:
        assert chi_square_lower_quantile(1, alpha) == pytest.approx(special.ndtri(0.5 + alpha / 2) ** 2, rel=1e-3)


@given(st.integers(1, 200), alphas)
def test_the_quantiles_leave_alpha_on_their_side(degrees, alpha):
    assert stats.chi2.cdf(chi_square_lower_quantile(degrees, alpha), degrees) == pytest.approx(alpha, rel=1e-8)
    assert stats.chi2.sf(chi_square_upper_quantile(degrees, alpha), degrees) == pytest.approx(alpha, rel=1e-8)


def test_an_upper_tail_smaller_than_the_rounding_of_one_is_no_infinity():
    # 1 − 1e-20 is 1 in double precision: a quantile of 1 − α would be infinite.
    assert stats.chi2.ppf(1 - 1e-20, 2) == math.inf
    assert chi_square_upper_quantile(2, 1e-20) == pytest.approx(92.1034, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.3, 1e-3, 1e-6, 1e-9])
def test_students_law_of_one_degree_is_cauchys(alpha):
    assert student_quantile(1, alpha) == pytest.approx(1 / math.tan(math.pi * alpha / 2), rel=1e-9)


@pytest.mark.parametrize(("degrees", "quantile"), [(3, 130), (4, 50), (6, 20), (10, 10.5), (30, 6.1), (math.inf, 4.89)])
def test_a_noise_known_from_few_values_is_widened_as_the_tables_say(degrees, quantile):
    assert student_quantile(degrees, 1e-6) == pytest.approx(quantile, rel=0.05)


@given(st.floats(0.5, 1e3), st.floats(0.5, 1e3), alphas)
def test_more_degrees_never_widen(one, two, alpha):
    few, many = sorted((one, two))
    assert student_quantile(few, alpha) >= student_quantile(many, alpha) * (1 - 1e-9)
    assert student_quantile(many, alpha) >= student_quantile(math.inf, alpha) * (1 - 1e-9)


@pytest.mark.parametrize("q", [1e-12, 1e-6, 1e-2, 1.0, 30.0, 900.0])
def test_a_product_of_two_exponential_laws_has_a_bessel_function_for_its_tail(q):
    # X, Y ~ χ²₂: P(XY > q) = ∫ ½ exp(−x/2 − q/2x) dx = √q K₁(√q)
    tail = math.sqrt(q) * special.k1(math.sqrt(q))
    assert chi_square_product_upper_quantile(2, 2, tail) == pytest.approx(q, rel=1e-6)
    if 1e-2 <= q <= 30:  # 1 − tail has lost its digits outside
        assert chi_square_product_lower_quantile(2, 2, 1 - tail) == pytest.approx(q, rel=1e-6)


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.1])
@pytest.mark.parametrize("many", [2, 4])
def test_a_product_does_not_depend_on_the_order_of_its_factors(many, alpha):
    one, other = chi_square_product_lower_quantile(3, many, alpha), chi_square_product_lower_quantile(many, 3, alpha)
    assert one == pytest.approx(other, rel=1e-5)


# ------------------------------------------------------------------------------------------ spending α
def test_the_looks_spend_alpha_and_no_more():
    for spend, first in ((alpha_for_correct, 2), (alpha_for_wrong, 1)):
        total = sum(spend(1e-6, m) for m in range(first, 10_000))
        assert total <= 1e-6
        assert total == pytest.approx(1e-6, rel=1e-3)


def test_each_look_is_granted_less_than_the_one_before():
    for spend in (alpha_for_correct, alpha_for_wrong):
        granted = [spend(0.1, m) for m in range(2, 60)]
        assert all(later < earlier for earlier, later in itertools.pairwise(granted))


@pytest.mark.parametrize(("lines", "factor"), [(2, 1410), (3, 202), (4, 70), (5, 36), (6, 23), (8, 12.5), (16, 4.8)])
def test_the_price_of_few_lines_is_that_of_the_table(lines, factor):
    bound = norm_upper_bound([1.0] * lines, [0.0] * lines, alpha_for_correct(1e-6, lines))
    assert bound == pytest.approx(factor, rel=0.03)


# ------------------------------------------------------------------------------------------ bounds on a norm
def test_without_lines_nothing_is_known():
    assert norm_upper_bound([], [], 0.1) == math.inf
    assert norm_lower_bound([], 0.1) == 0.0


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8), st.floats(0, 10), alphas)
def test_truncation_only_raises_the_upper_bound(values, truncation, alpha):
    exact = norm_upper_bound(values, [0.0] * len(values), alpha)
    assert norm_upper_bound(values, [truncation] * len(values), alpha) >= exact


@given(st.lists(st.floats(0.1, 1e3), min_size=1, max_size=8), st.floats(1e-6, 1e6), st.floats(1e-9, 0.49))
def test_bounds_have_the_units_of_the_cost_and_enclose_the_mean(values, unit, alpha):
    scaled = [unit * value for value in values]
    nothing = [0.0] * len(values)
    upper, lower = norm_upper_bound(values, nothing, alpha), norm_lower_bound(values, alpha)
    assert norm_upper_bound(scaled, nothing, alpha) == pytest.approx(unit * upper, rel=1e-9)
    assert norm_lower_bound(scaled, alpha) == pytest.approx(unit * lower, rel=1e-9)
    assert lower < upper


@given(st.integers(2, 20), st.floats(1e-9, 0.3), st.floats(1e-9, 0.3))
def test_more_confidence_makes_the_bounds_wider(lines, one, two):
    assume(abs(one - two) > 1e-6 * one)
    bold, careful = max(one, two), min(one, two)
    values = [1.0] * lines
    assert norm_upper_bound(values, [0.0] * lines, careful) > norm_upper_bound(values, [0.0] * lines, bold)
    assert norm_lower_bound(values, careful) < norm_lower_bound(values, bold)


# ------------------------------------------------------------------------------------------ from norms to D
def relative_difference(claimed, true):
    total = np.linalg.norm(claimed) + np.linalg.norm(true)
    return float(np.linalg.norm(claimed - true) / total) if total else 0.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(1e-4, 3.0), st.floats(1.0, 2.0))
def test_the_bounds_on_d_enclose_it_whatever_the_residual(seed, size, share, slack):
    rng = np.random.default_rng(seed)
    claimed, residual = rng.standard_normal((2, size))
    residual *= share * np.linalg.norm(claimed) / np.linalg.norm(residual)
    truth = relative_difference(claimed, claimed - residual)
    norm, size_of_residual = float(np.linalg.norm(claimed)), float(np.linalg.norm(residual))
    assert difference_from_above(slack * size_of_residual, norm) >= truth * (1 - 1e-10)
    assert difference_from_below(size_of_residual / slack, norm) <= truth * (1 + 1e-10)


@given(norms, st.floats(1e-9, 0.99))
def test_the_bounds_on_d_are_sharp_along_the_claim(norm, share):
    claimed = np.array([norm])
    shorter, longer = (
        relative_difference(claimed, (1 - share) * claimed),
        relative_difference(claimed, (1 + share) * claimed),
    )
    assert difference_from_above(share * norm, norm) == pytest.approx(shorter, rel=1e-6)
    assert difference_from_below(share * norm, norm) == pytest.approx(longer, rel=1e-6)


@given(norms, st.floats(1e-12, 0.9))
def test_what_is_allowed_certifies_the_tolerance_and_what_is_possible_belongs_to_it(norm, tolerance):
    assert difference_from_above(residual_allowed(tolerance, norm), norm) == pytest.approx(tolerance, rel=1e-9)
    assert difference_from_below(residual_possible(tolerance, norm), norm) == pytest.approx(tolerance, rel=1e-6)
    assert residual_allowed(tolerance, norm) < residual_possible(tolerance, norm)


def test_a_residual_as_large_as_the_claim_proves_nothing_from_above():
    assert difference_from_above(1.0, 1.0) == 1.0
    assert difference_from_above(math.inf, 1.0) == 1.0


def test_nothing_against_nothing_is_no_difference():
    assert difference_from_above(0.0, 0.0) == 0.0
    assert difference_from_below(0.0, 0.0) == 0.0


# ------------------------------------------------------------------------------------------ the one comparison
@pytest.mark.parametrize(
    ("discrepancy", "bar", "agree"),
    [
        (1.0, 1.0, True),
        (-1.0, 1.0, True),
        (math.nextafter(1.0, 2.0), 1.0, False),
        (0.0, 0.0, True),
        (0.0, -1e-300, False),
        (math.nan, math.inf, False),
        (0.0, math.nan, False),
        (math.inf, math.inf, True),
    ],
)
def test_within_allows_just_its_bar_and_never_a_nan(discrepancy, bar, agree):
    assert within(discrepancy, bar) is agree


def test_quantiles_are_found_once_for_each_question():
    statistics.chi_square_lower_quantile.cache_clear()
    for _ in range(3):
        chi_square_lower_quantile(7, 0.125)
    assert statistics.chi_square_lower_quantile.cache_info().misses == 1
