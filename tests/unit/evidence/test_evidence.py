"""From lines to bounds and to verdicts on pairs: thresholds, both laws, what noise may and may not do, and the ledger."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from gradproof._evidence.evidence import CLEAR, Evidence, Finding, Law, Pair
from gradproof._numerics.readings import BlockReading
from gradproof._numerics.statistics import (
    alpha_for_correct,
    alpha_for_wrong,
    chi_square_lower_quantile,
    chi_square_product_lower_quantile,
    chi_square_product_upper_quantile,
    chi_square_upper_quantile,
)
from gradproof._words.results import Reason, Verdict

TOLERANCE = 1e-4
ALPHA = 1e-6


def measured(size, *, truncation=0.0, noise=0.0, degrees=30.0):
    return BlockReading(abs(size), truncation, noise, degrees, 1e-3 * noise, 1e-3)


def pair(norm=1.0, *, low=None, high=None, scale=1.0, tolerance=TOLERANCE, rounding=0.0, zero=False):
    return Pair(
        0, 0, norm if low is None else low, norm, norm if high is None else high, scale, tolerance, rounding, zero
    )


def evidence(sizes, pairs=None, scales=None, *, law=Law(), alpha=ALPHA, **bars):  # noqa: B008  # it is frozen
    pairs = [pair()] if pairs is None else pairs
    scales = [1.0] * len(pairs) if scales is None else scales
    return Evidence(pairs, scales, law, alpha, alpha, [measured(size, **bars) for size in sizes])


def verdict(found):
    """Conclude, and say what that proves of the first pair."""
    found.conclude()
    return found.pairs[0].verdict


# ------------------------------------------------------------------------------------------ bounds
def test_one_line_certifies_nothing():
    one = evidence([0.0])
    assert one.upper() == math.inf
    assert verdict(one) is Verdict.INCONCLUSIVE


def test_one_line_may_prove_a_mistake():
    one = evidence([1.0])
    assert one.lower() == pytest.approx(1 / math.sqrt(chi_square_upper_quantile(1, ALPHA / 4)))
    assert verdict(one) is Verdict.WRONG


def test_no_lines_prove_nothing():
    nothing = evidence([])
    assert nothing.upper() == math.inf
    assert nothing.lower() == 0
    assert math.isnan(nothing.estimate())
    assert verdict(nothing) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("cotangents", [0, 4, 12])
@pytest.mark.parametrize("lines", [2, 3, 7])
def test_the_bounds_are_those_of_the_law_at_the_level_of_this_look(lines, cotangents):
    total = 0.5 * math.sqrt(lines)
    both = evidence([0.5] * lines, law=Law(cotangents))
    correct, wrong = alpha_for_correct(ALPHA, lines), alpha_for_wrong(ALPHA, lines) / 2  # half for the noise
    if cotangents:
        lower = chi_square_product_lower_quantile(cotangents, lines, correct)
        upper = chi_square_product_upper_quantile(cotangents, lines, wrong)
    else:
        lower, upper = chi_square_lower_quantile(lines, correct), chi_square_upper_quantile(lines, wrong)
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


def test_a_line_that_was_lost_leaves_nothing_proved_whatever_the_others_say():
    for sizes in ([0.0] * 5, [1.0] * 5):
        found = evidence(sizes)
        found.doubt(Reason.KINK)
        assert found.upper() == math.inf
        assert found.lower() == 0
        assert verdict(found) is Verdict.INCONCLUSIVE
        assert found.pairs[0].reason is Reason.KINK


def test_earlier_lines_are_judged_by_what_a_later_one_knows_of_the_same_noise_only():
    vague, known, louder = measured(1.0, noise=0.02, degrees=3.0), measured(1.0, noise=0.01), measured(1.0, noise=0.1)
    found = evidence([])
    for line in (vague, known):
        found.take(line)
    assert [line.spread for line in found.lines] == pytest.approx([0.01, 0.01])
    assert [line.degrees for line in found.lines] == [30.0, 30.0]
    other = evidence([])
    for line in (vague, louder):
        other.take(line)
    assert [line.spread for line in other.lines] == [0.02, 0.1]


# ------------------------------------------------------------------------------------------ few cotangents
@pytest.mark.parametrize("cotangents", [4, 12])
def test_few_cotangents_leave_a_factor_that_no_number_of_lines_makes_smaller(cotangents):
    law = Law(cotangents)
    factors = {m: math.sqrt(m) * law.factor(m, ALPHA) for m in range(2, 120)}
    assert law.least_factor(ALPHA) == pytest.approx(min(factors.values()), rel=0.05)
    assert min(factors, key=factors.get) <= law.useful_lines(1000)


def test_of_whole_vectors_every_further_line_lowers_the_bound_towards_none():
    factors = [math.sqrt(m) * Law().factor(m, ALPHA) for m in range(2, 49)]
    assert factors == sorted(factors, reverse=True)
    assert Law().least_factor(ALPHA) == 0
    assert Law().useful_lines(48) == 48


# ------------------------------------------------------------------------------------------ verdicts
def test_small_lines_are_correct_large_ones_wrong_and_those_between_undecided():
    sharp = 2 * TOLERANCE / (1 + TOLERANCE) / math.sqrt(2 / chi_square_lower_quantile(2, ALPHA / 2))
    assert verdict(evidence([0.99 * sharp] * 2)) is Verdict.CORRECT
    assert verdict(evidence([1.01 * sharp] * 2)) is Verdict.INCONCLUSIVE
    assert verdict(evidence([2 * TOLERANCE] * 2)) is Verdict.INCONCLUSIVE
    assert verdict(evidence([200 * TOLERANCE] * 2)) is Verdict.WRONG


def test_one_block_of_many_that_is_not_certified_leaves_all_of_them_open():
    tiny = 1e-3 * TOLERANCE / 1414
    assert evidence([tiny] * 2).certified()
    both = evidence([tiny] * 2, [pair(), pair(1e-6)])
    assert not both.certified()
    both.conclude()
    assert [p.verdict for p in both.pairs] == [Verdict.CORRECT, Verdict.INCONCLUSIVE]


def test_lines_of_several_blocks_name_none_of_them_wrong():
    both = evidence([1.0] * 5, [pair(), pair()])
    assert both.is_wrong()
    both.conclude()
    assert [p.verdict for p in both.pairs] == [Verdict.INCONCLUSIVE] * 2
    assert [p.lower for p in both.pairs] == [0.0] * 2


def test_many_blocks_just_inside_the_tolerance_may_add_up_without_being_wrong():
    # Sixteen blocks at 0.97 τ: their sum has 3.9 times what one of them may have.
    together = 4 * 0.97 * 2 * TOLERANCE
    assert not evidence([together] * 48, [pair() for _ in range(16)]).is_wrong()
    assert evidence([together] * 48).is_wrong()


@given(st.floats(1e-10, 0.4), st.floats(1e-12, 1e12))
def test_what_certifies_a_pair_is_possible_for_a_right_one(tolerance, norm):
    one = pair(norm, tolerance=tolerance)
    assert one.allowed < one.possible
    assert one.allowed == pytest.approx(one.possible, rel=2.01 * tolerance / (1 - tolerance))


def test_a_claim_is_certified_by_the_least_that_its_norm_may_be_and_refuted_by_the_most():
    vague = pair(1.0, low=0.5, high=3.0)
    assert vague.allowed == pytest.approx(0.5 * pair().allowed)
    assert vague.possible == pytest.approx(3.0 * pair().possible)


def test_a_claim_of_zero_is_measured_against_the_rounding_of_its_output_over_its_own_scale():
    zero = pair(0.0, scale=2.0, rounding=6e-15, zero=True)
    assert zero.allowed == zero.possible == 3e-15
    small, large = (evidence([size] * 12, [pair(0.0, rounding=1e-14, zero=True)]) for size in (1e-16, 1e-10))
    assert verdict(small) is Verdict.CORRECT
    assert small.pairs[0].difference.upper == 0
    assert verdict(large) is Verdict.WRONG


# ------------------------------------------------------------------------------------------ what several experiments say
def test_a_finding_is_never_taken_back_by_a_weaker_one():
    one = pair()
    one.find(Finding("lines", upper=1e-5, estimate=1e-6))
    one.find(Finding("lines", upper=1.0, estimate=0.1, reason=Reason.NOISE))
    assert one.upper == 1e-5
    assert one.verdict is Verdict.CORRECT
    assert one.estimate == 1e-6


def test_two_experiments_that_contradict_each_other_prove_nothing():
    one = pair()
    one.find(Finding("lines", upper=1e-5))
    assert one.verdict is Verdict.CORRECT
    one.find(Finding("coordinates", lower=0.5, upper=0.6, estimate=0.55))
    assert one.contradictory
    assert one.verdict is Verdict.INCONCLUSIVE
    assert one.reason is Reason.STRUCTURE
    assert one.difference.lower == 0
    assert one.difference.upper == 1


def test_an_entry_may_be_wrong_by_itself_however_small_its_norm():
    one = pair()
    one.find(Finding("lines", upper=1e-5))
    one.find(Finding("an entry", wrong=True))
    assert one.verdict is Verdict.WRONG
    assert one.reason is None


def test_what_is_held_open_stays_open():
    for finding in (Finding("lines", upper=0.0), Finding("lines", lower=1.0)):
        one = pair()
        one.find(finding)
        one.held = Reason.NOT_EXERCISED
        assert one.verdict is Verdict.INCONCLUSIVE
        assert one.reason is Reason.NOT_EXERCISED


# ------------------------------------------------------------------------------------------ what is said of D
def test_a_group_bounds_each_block_from_above_and_none_from_below():
    both = evidence([0.3] * 40, [pair(), pair(10.0)], [1.0, 0.1])
    both.conclude()
    first, second = (p.difference for p in both.pairs)
    assert first.lower == second.lower == 0
    assert first.upper == pytest.approx(second.upper)  # equal shares in the change of the function
    alone = evidence([0.3] * 40)
    alone.conclude()
    assert 0 < alone.pairs[0].difference.lower < alone.pairs[0].difference.estimate


@given(
    st.lists(st.floats(1e-9, 1e3), min_size=2, max_size=6),
    st.floats(1e-6, 1e6),
    st.booleans(),
    st.sampled_from([0, 4, 12]),
)
def test_the_difference_lies_between_its_bounds_and_between_0_and_1(values, norm, zero, cotangents):
    one = pair(norm, zero=zero, rounding=1e-15)
    found = evidence(values, [one], law=Law(cotangents))
    found.conclude()
    difference = one.difference
    assert 0 <= difference.lower <= difference.estimate <= difference.upper <= 1


@given(st.integers(2, 40), st.integers(0, 2**32 - 1), st.floats(1e-6, 10))
def test_a_larger_scale_of_a_block_is_divided_out_again(lines, seed, scale):
    values = np.random.default_rng(seed).standard_normal(lines) * 1e-3
    assume(abs(scale - 1) > 1e-3)
    one, other = evidence(values), evidence(scale * values, scales=[scale])
    one.conclude()
    other.conclude()
    assert other.pairs[0].difference.upper == pytest.approx(one.pairs[0].difference.upper)


# ------------------------------------------------------------------------------------------ planning
def noise_alone(spread, lines=3):
    return evidence([spread] * lines, [pair(0.5 * (1 + TOLERANCE) / TOLERANCE)], noise=spread)


def test_noise_is_hopeless_where_no_number_of_lines_would_certify_and_only_there():
    assert not any(noise_alone(spread).hopeless(48) for spread in (1e-4, 1e-3, 1e-2, 0.1))
    assert noise_alone(1.0).hopeless(48)


def test_as_many_lines_as_give_hope_do_certify():
    for spread in (1e-3, 1e-2, 0.1, 0.4):
        if not noise_alone(spread).hopeless(48):
            assert verdict(noise_alone(spread, 48)) is Verdict.CORRECT


def test_a_discrepancy_that_stands_out_of_the_noise_is_not_given_up():
    found = evidence([1.1 * CLEAR] * 3, noise=1.0)
    assert not found.hopeless(48)
    assert found.reason() is Reason.BORDER
    assert evidence([0.9 * CLEAR] * 3, noise=1.0).hopeless(48)


# ------------------------------------------------------------------------------------------ noise at its level
def share_of_wrong(degrees, alpha, looks, trials=3000, cotangents=0):
    """Run right claims on noise alone, much larger than the tolerance; its size is an estimate of few degrees."""
    wrong = 0
    for trial in range(trials):
        rng = np.random.default_rng([trial, 3])
        estimated = math.sqrt(rng.chisquare(degrees) / degrees)
        found = evidence([], [pair(tolerance=1e-6)], law=Law(cotangents), alpha=alpha)
        for _ in range(looks):
            found.lines.append(measured(rng.standard_normal(), noise=estimated, degrees=degrees))
            if found.is_wrong():
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
    monkeypatch.setattr("gradproof._evidence.evidence.student_quantile", lambda _, alpha: -stats.norm.ppf(alpha / 2))
    assert exceeds(*share_of_wrong(3, 0.01, looks=1), 0.01)
