"""From lines to bounds and to a verdict: the thresholds of blocks and groups, and what noise may and may not do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from gradproof._evidence.decision import Evidence, Member, lines_needed
from gradproof._numerics.statistics import (
    alpha_for_correct,
    alpha_for_wrong,
    chi_square_lower_quantile,
    chi_square_upper_quantile,
)
from gradproof._words.results import Estimate, Verdict

TOLERANCE = 1e-4
ALPHA = 1e-6


def measured(value, *, truncation=0.0, noise=0.0, degrees=30.0):
    return Estimate(
        value=value,
        truncation_error=truncation,
        roundoff_error=noise,
        error_bar=truncation + 3 * noise,
        degrees_of_freedom=degrees,
        step=1e-3,
        order=4,
        evaluations=4,
        method="central, order 4",
        noise=1e-3 * noise,
    )


ONE = (Member(0, 1.0, 1.0),)


def evidence(values, members=ONE, alpha=ALPHA, **bars):
    return Evidence(list(members), alpha, [measured(value, **bars) for value in values])


# ------------------------------------------------------------------------------------------ bounds
def test_one_line_certifies_nothing():
    one = evidence([0.0])
    assert one.upper() == math.inf
    assert one.verdict([TOLERANCE]) is Verdict.INCONCLUSIVE


def test_one_line_may_prove_a_mistake():
    one = evidence([1.0])
    assert one.lower() == pytest.approx(1 / math.sqrt(chi_square_upper_quantile(1, ALPHA / 4)))
    assert one.verdict([TOLERANCE]) is Verdict.WRONG


def test_no_lines_prove_nothing():
    nothing = evidence([])
    assert nothing.upper() == math.inf
    assert nothing.lower() == 0
    assert math.isnan(nothing.estimate())
    assert nothing.verdict([TOLERANCE]) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("lines", [2, 3, 7])
def test_the_bounds_are_those_of_the_law_at_the_level_of_this_look(lines):
    values = [0.5] * lines
    total = 0.5 * math.sqrt(lines)
    both = evidence(values)
    lower = chi_square_lower_quantile(lines, alpha_for_correct(ALPHA, lines))
    upper = chi_square_upper_quantile(lines, alpha_for_wrong(ALPHA, lines) / 2)  # half for the noise
    assert both.upper() == pytest.approx(total / math.sqrt(lower))
    assert both.lower() == pytest.approx(total / math.sqrt(upper))
    assert both.lower() < both.estimate() < both.upper()


def test_truncation_widens_both_bounds_three_times_as_much_below():
    exact, blurred = evidence([1.0, 1.0]), evidence([1.0, 1.0], truncation=0.1)
    assert blurred.upper() == pytest.approx(1.1 * exact.upper())
    assert blurred.lower() == pytest.approx(0.7 * exact.lower())


def test_noise_widens_the_lower_bound_only():
    exact, noisy = evidence([1.0, 1.0]), evidence([1.0, 1.0], noise=0.01)
    assert noisy.upper() == exact.upper()
    assert noisy.lower() < exact.lower()


def test_noise_that_is_hardly_known_widens_more():
    known, guessed = (evidence([1.0, 1.0], noise=0.01, degrees=d) for d in (30.0, 3.0))
    assert guessed.lower() < known.lower()


def test_a_value_within_its_bars_proves_nothing():
    assert evidence([0.01, 0.01], noise=0.01).lower() == 0
    assert evidence([0.01, 0.01], truncation=0.004).lower() == 0


# ------------------------------------------------------------------------------------------ verdicts
def test_small_lines_are_correct_large_ones_wrong_and_those_between_undecided():
    sharp = 2 * TOLERANCE / math.sqrt(2 / chi_square_lower_quantile(2, ALPHA / 2))
    assert evidence([0.99 * sharp] * 2).verdict([TOLERANCE]) is Verdict.CORRECT
    assert evidence([1.01 * sharp] * 2).verdict([TOLERANCE]) is Verdict.INCONCLUSIVE
    assert evidence([2 * TOLERANCE] * 2).verdict([TOLERANCE]) is Verdict.INCONCLUSIVE
    assert evidence([200 * TOLERANCE] * 2).verdict([TOLERANCE]) is Verdict.WRONG


def test_one_block_of_many_that_is_not_certified_leaves_all_of_them_open():
    members = [Member(0, 1.0, 1.0), Member(1, 1.0, 1e-6)]
    tiny = 1e-3 * TOLERANCE / 1414
    assert evidence([tiny] * 2, members[:1]).verdict([TOLERANCE]) is Verdict.CORRECT
    assert evidence([tiny] * 2, members).verdict([TOLERANCE, TOLERANCE]) is Verdict.INCONCLUSIVE


def test_many_blocks_just_inside_the_tolerance_may_add_up_without_being_wrong():
    # Sixteen blocks at 0.97 τ: their sum has 3.9 times what one of them may have.
    members = [Member(b, 1.0, 1.0) for b in range(16)]
    together = 4 * 0.97 * 2 * TOLERANCE
    assert evidence([together] * 48, members).verdict([TOLERANCE] * 16) is not Verdict.WRONG
    assert evidence([together] * 48, members[:1]).verdict([TOLERANCE]) is Verdict.WRONG


@given(st.floats(1e-10, 0.4), st.floats(1e-12, 1e12), st.floats(1e-12, 1e12))
def test_what_certifies_a_block_is_possible_for_a_right_one(tolerance, scale, norm):
    member = Member(0, scale, norm)
    assert member.allowed(tolerance) < member.possible(tolerance)
    assert member.allowed(tolerance) == pytest.approx(
        member.possible(tolerance), rel=2.01 * tolerance / (1 - tolerance)
    )


def test_a_block_of_zeros_is_measured_against_what_the_others_do():
    zero = Member(0, 2.0, 3.0, zero=True)
    assert zero.allowed(TOLERANCE) == zero.possible(TOLERANCE) == 6 * TOLERANCE


# ------------------------------------------------------------------------------------------ what is said of D
def test_a_group_bounds_each_block_from_above_and_none_from_below():
    members = [Member(0, 1.0, 1.0), Member(1, 0.1, 10.0)]
    both = evidence([0.3] * 40, members)
    first, second = (both.difference(member) for member in members)
    assert first.lower == second.lower == 0
    assert first.upper == pytest.approx(second.upper)  # equal shares in the change of the cost
    alone = evidence([0.3] * 40)
    assert 0 < alone.difference(members[0]).lower < alone.difference(members[0]).estimate


@given(st.lists(st.floats(1e-9, 1e3), min_size=2, max_size=6), st.floats(1e-6, 1e6), st.booleans())
def test_the_difference_lies_between_its_bounds_and_between_0_and_1(values, norm, zero):
    member = Member(0, 1.0, norm, zero)
    difference = evidence(values, [member]).difference(member)
    assert 0 <= difference.lower <= difference.estimate <= difference.upper <= 1


@given(st.integers(2, 40), st.integers(0, 2**32 - 1), st.floats(1e-6, 10))
def test_a_larger_scale_of_a_block_is_divided_out_again(lines, seed, scale):
    values = np.random.default_rng(seed).standard_normal(lines) * 1e-3
    assume(abs(scale - 1) > 1e-3)
    one, other = Member(0, 1.0, 1.0), Member(0, scale, 1.0)
    assert evidence(scale * values, [other]).difference(other).upper == pytest.approx(
        evidence(values, [one]).difference(one).upper
    )


# ------------------------------------------------------------------------------------------ planning
def test_fewer_lines_are_needed_the_smaller_their_noise():
    needed = [lines_needed(spread, 1.0, ALPHA, 48) for spread in (1e-4, 1e-3, 1e-2, 0.1)]
    assert needed[0] == 2
    assert needed == sorted(needed)
    assert lines_needed(1.0, 1.0, ALPHA, 48) is None


def test_as_many_lines_as_were_planned_do_certify():
    for spread in (1e-3, 1e-2, 0.1):
        lines = lines_needed(spread, 1.0, ALPHA, 48)
        certified = evidence([spread] * lines, [Member(0, 1.0, 0.5 * (1 + TOLERANCE) / TOLERANCE)])
        assert certified.verdict([TOLERANCE]) is Verdict.CORRECT


# ------------------------------------------------------------------------------------------ noise at its level
def share_of_wrong(degrees, alpha, looks, trials=3000):
    """Run right gradients on noise alone, much larger than the tolerance; its size is an estimate of few degrees."""
    wrong = 0
    for trial in range(trials):
        rng = np.random.default_rng([trial, 3])
        estimated = math.sqrt(rng.chisquare(degrees) / degrees)
        found = Evidence([Member(0, 1.0, 1.0)], alpha)
        for _ in range(looks):
            found.lines.append(measured(rng.standard_normal(), noise=estimated, degrees=degrees))
            if found.verdict([1e-6]) is Verdict.WRONG:
                wrong += 1
                break
    return wrong, trials


def exceeds(wrong, trials, alpha):
    return stats.binomtest(wrong, trials, alpha, alternative="greater").pvalue < 1e-3


@pytest.mark.parametrize("degrees", [3, 6, 30])
def test_a_single_look_at_noise_alone_is_wrong_with_probability_alpha(degrees):
    assert not exceeds(*share_of_wrong(degrees, 0.01, looks=1), 0.01)


@pytest.mark.parametrize("degrees", [3, 6])
def test_many_looks_at_noise_alone_are_wrong_with_probability_alpha(degrees):
    assert not exceeds(*share_of_wrong(degrees, 0.01, looks=16), 0.01)


def test_noise_taken_for_known_would_be_called_a_mistake(monkeypatch):
    monkeypatch.setattr("gradproof._evidence.decision.student_quantile", lambda _, alpha: -stats.norm.ppf(alpha / 2))
    assert exceeds(*share_of_wrong(3, 0.01, looks=1), 0.01)
