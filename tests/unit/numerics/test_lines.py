"""The first line of a direction and the later ones: their evaluations, and what they do when they do not fit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradproof._numerics.lines import LineReader, careful_derivative
from gradproof._numerics.readings import as_reading
from gradproof._numerics.statistics import student_quantile
from gradproof._numerics.steps import DISPLAY_ALPHA
from gradproof._words.results import Reason
from known_lines import KnownBlocks, KnownLine

SHORT = 0.3
"""The scale that a certificate gives to a first line."""
TARGET = 1e-9
"""The bar at which a first line stops."""


SMOOTH = {
    "sine": (lambda t: math.sin(t + 0.3), math.cos(0.3)),
    "exponential": (math.exp, 1.0),
    "logistic": (lambda t: math.log1p(math.exp(t + 0.5)), 1 / (1 + math.exp(-0.5))),
    "rational": (lambda t: 1 / (2 + t), -0.25),
    "quartic": (lambda t: (t + 1) ** 4, 4.0),
}


def reader_of_one():
    return LineReader([slice(0, 1)], seed=0)


def calibrated(function, **options):
    """Return what a first line says, and the reader that it has taught."""
    reader = reader_of_one()
    first = reader.first(KnownBlocks(function, **options), [TARGET], scale=SHORT, max_evaluations=34)
    return first, reader


def error_bar(reading):
    """Return what the error exceeds with probability `DISPLAY_ALPHA`: the truncation, and Student's t of the noise."""
    (block,) = reading.blocks
    return block.truncation + student_quantile(block.degrees, DISPLAY_ALPHA) * block.spread


def residual(function, derivative):
    """φ less the change that a right claim predicts: what a check sees."""
    return lambda t: function(t) - derivative * t


# ------------------------------------------------------------------------------------------ evaluations
@pytest.mark.parametrize("name", SMOOTH)
def test_a_first_line_takes_six_evaluations_beside_the_point(name):
    function, derivative = SMOOTH[name]
    first, reader = calibrated(residual(function, derivative))
    assert first.evaluations == 6
    assert reader.calibration is not None
    assert not first.lost
    assert abs(first.value) <= error_bar(first) <= TARGET


@pytest.mark.parametrize("name", SMOOTH)
def test_a_later_line_takes_two_values_where_they_tell_enough_beside_what_is_excused(name):
    function, derivative = SMOOTH[name]
    _, reader = calibrated(residual(function, derivative))
    off = 1e-6  # as a gradient in single precision is
    later = reader.later(KnownBlocks(residual(function, derivative + off)), excused=[1e-5])
    assert later.evaluations == 2
    assert abs(abs(later.value) - off) <= later.blocks[0].truncation + 10 * later.blocks[0].spread
    assert later.blocks[0].truncation <= 2e-6
    # What is not excused is measured with four values, and again with four more.
    assert reader.later(KnownBlocks(residual(function, derivative + off)), excused=[1e-7]).evaluations >= 8


@pytest.mark.parametrize("name", SMOOTH)
def test_a_later_line_takes_four(name):
    function, derivative = SMOOTH[name]
    _, reader = calibrated(residual(function, derivative))
    # Another direction of the same cost: the same function, a little slower and scaled.
    line = KnownBlocks(residual(lambda t: 0.7 * function(0.9 * t), 0.63 * derivative))
    later = reader.later(line)
    assert later.evaluations == line.evaluations == 4
    assert abs(later.value) <= error_bar(later)
    assert not later.crossed


def test_both_together_are_eleven_with_the_point_itself():
    function, derivative = SMOOTH["sine"]
    first, reader = calibrated(residual(function, derivative))
    later = reader.later(KnownBlocks(residual(function, derivative)))
    assert 1 + first.evaluations + later.evaluations == 11


@given(st.floats(-3, 3), st.floats(0.1, 3), st.floats(-2, 2))
def test_a_later_line_covers_the_derivative_of_its_own_function(phase, rate, amplitude):
    _, reader = calibrated(residual(*SMOOTH["sine"]))
    truth = amplitude * rate * math.cos(phase)
    later = reader.later(KnownBlocks(lambda t: amplitude * math.sin(rate * t + phase)), expect_zero=False)
    # The step was chosen for rate 1: up to a rate of 3 the fifth derivative is 243 times as large.
    allowance = error_bar(later) + 3 * 243 * later.blocks[0].truncation
    assert abs(later.value - truth) <= allowance
    assert allowance < 1e-6


# ------------------------------------------------------------------------------------------ what does not fit
def test_a_calibration_that_no_longer_fits_is_noticed_and_mended_along_the_same_line():
    _, reader = calibrated(residual(*SMOOTH["sine"]))
    step = reader.calibration.step
    faster = 40.0  # the fourth difference is 2.6 million times as large
    line = KnownBlocks(lambda t: math.sin(faster * t + 0.3) / faster - math.cos(0.3) * t)
    later = reader.later(line)
    assert later.crossed
    assert line.evaluations > 4
    assert line.steps[-1] == 2 * step
    assert line.steps[0] <= step / 8
    assert abs(later.value) <= error_bar(later) + 10 * later.blocks[0].truncation
    assert abs(later.value) < 1e-9


def test_four_values_at_the_old_step_would_have_been_off():
    _, reader = calibrated(residual(*SMOOTH["sine"]))
    h = reader.calibration.step
    e = KnownLine(lambda t: math.sin(40 * t + 0.3) / 40 - math.cos(0.3) * t)([-2 * h, -h, h, 2 * h])
    assert abs(float(e @ [1, -8, 8, -1]) / (12 * h)) > 1e-8


def kinked(distance, jump, side=1):
    """A right claim's discrepancy along a line that crosses a kink at some distance from the point."""
    smooth = residual(*SMOOTH["sine"])
    return lambda t: smooth(t) + jump * max(side * t - distance, 0.0)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("place", [0.3, 0.9, 1.1, 1.9])
def test_a_kink_crossing_is_measured_again_along_the_same_line(place, side):
    _, reader = calibrated(residual(*SMOOTH["sine"]))
    step = reader.calibration.step
    later = reader.later(KnownBlocks(kinked(place * step, 0.5, side)))
    assert later.crossed
    assert 0 < later.step <= step / 8
    assert abs(later.value) <= error_bar(later)


def test_without_a_second_look_a_kink_crossing_would_look_like_a_mistake():
    _, reader = calibrated(residual(*SMOOTH["sine"]))
    h = reader.calibration.step
    e = KnownLine(kinked(0.3 * h, 0.5))([-2 * h, -h, h, 2 * h])
    value = float(e @ [1, -8, 8, -1]) / (12 * h)
    assert abs(value) > 1e6 * error_bar(reader.later(KnownBlocks(residual(*SMOOTH["sine"]))))


def test_a_kink_beyond_the_step_is_not_seen_and_costs_nothing():
    _, reader = calibrated(residual(*SMOOTH["sine"]))
    line = KnownBlocks(kinked(2.1 * reader.calibration.step, 0.5))
    assert reader.later(line).evaluations == 4


def test_a_wrong_gradient_is_no_kink_and_its_value_is_kept():
    function, derivative = SMOOTH["sine"]
    _, reader = calibrated(residual(function, derivative))
    later = reader.later(KnownBlocks(residual(function, 1.5 * derivative)))
    assert later.value == pytest.approx(-0.5 * derivative, rel=1e-9)
    assert later.kink is None
    assert not later.crossed
    assert not later.lost


def test_a_wrong_gradient_is_confirmed_at_another_step_unless_a_search_expects_it():
    function, derivative = SMOOTH["sine"]
    _, reader = calibrated(residual(function, derivative))
    doubted, expected = (KnownBlocks(residual(function, 1.5 * derivative)) for _ in range(2))
    reader.later(doubted)
    reader.later(expected, expect_zero=False)
    assert doubted.evaluations == 8
    assert expected.evaluations == 4


def test_a_kink_at_the_point_itself_has_two_slopes_and_no_calibration():
    first, reader = calibrated(lambda t: math.sin(t) + 0.5 * abs(t))
    assert reader.calibration is None
    assert first.lost == ((0, Reason.KINK),)
    assert first.kink.left == pytest.approx(0.5, abs=first.kink.error_bar + 1e-12)
    assert first.kink.right == pytest.approx(1.5, abs=first.kink.error_bar + 1e-12)


def test_a_first_line_that_crosses_a_kink_still_ends_with_a_calibration():
    first, reader = calibrated(kinked(2e-4, 0.5))
    assert reader.calibration is not None
    assert first.kink is None
    assert abs(first.value) <= error_bar(first)
    assert reader.calibration.step < 2e-4


# ------------------------------------------------------------------------------------------ noise
def test_the_noise_of_a_cost_is_carried_from_the_first_line_to_the_later_ones():
    function, derivative = SMOOTH["sine"]
    _, reader = calibrated(residual(function, derivative), noise=1e-9)
    assert 2e-10 < reader.pools[0].level(1e-16)[0] < 5e-9
    calibration, quiet = reader.calibration, reader_of_one()
    noisy = reader.later(KnownBlocks(residual(function, derivative), noise=1e-9))
    # The same values, by a reader that has no noise from anywhere else.
    unaware = quiet.later(KnownBlocks(residual(function, derivative), noise=1e-9), calibration=calibration)
    assert error_bar(noisy) > 100 * unaware.blocks[0].spread


def test_noise_makes_the_step_longer():
    quiet, *noisy = (
        calibrated(residual(*SMOOTH["sine"]), noise=noise)[1].calibration.step for noise in (0.0, 1e-10, 1e-7)
    )
    assert min(noisy) > 2 * quiet


@pytest.mark.parametrize("noise", [1e-10, 1e-8])
def test_later_lines_of_a_noisy_cost_are_covered(noise):
    function, derivative = SMOOTH["sine"]
    trials, missed = 400, 0
    for seed in range(trials):
        first, line = (KnownBlocks(residual(function, derivative), noise=noise, seed=[seed, k]) for k in (0, 1))
        reader = reader_of_one()
        reader.first(first, [TARGET], scale=SHORT, max_evaluations=34)
        later = reader.later(line, expect_zero=False)
        assert not later.lost
        missed += not abs(later.value) <= error_bar(later)
    # The bars hold with probability 0.999 for the noise that was estimated: see test_noise.py for how well it is.
    assert stats.binomtest(missed, trials, 0.005, alternative="greater").pvalue > 1e-3


def test_a_zero_function_is_no_special_trouble():
    first, reader = calibrated(lambda t: 0.0, size=0.0)
    assert first.value == 0
    assert math.isfinite(error_bar(first))
    if reader.calibration is not None:
        assert reader.later(KnownBlocks(lambda t: 0.0, size=0.0)).value == 0


def test_a_line_on_which_nothing_can_be_evaluated_is_lost():
    first, reader = calibrated(lambda t: 0.0 if t == 0 else math.nan)
    assert first.lost == ((0, Reason.DOMAIN),)
    assert math.isinf(first.bars[0])
    assert reader.calibration is None


def test_an_estimate_that_is_not_trusted_is_a_lost_reading():
    estimate = careful_derivative(KnownLine(lambda t: 0.0 if t == 0 else math.nan), 1.0)
    assert not estimate.trusted
    assert math.isinf(estimate.error_bar)
    assert as_reading(estimate, 0).lost == ((0, Reason.DOMAIN),)


# ------------------------------------------------------------------------------------------ as well as it can be
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("name", SMOOTH)
def test_a_careful_derivative_does_not_depend_on_the_unit(name, scale):
    function, derivative = SMOOTH[name]
    estimate = careful_derivative(KnownLine(lambda t: function(t / scale)), scale)
    assert abs(estimate.value - derivative / scale) <= estimate.error_bar
    assert estimate.error_bar <= 1e-9 * abs(derivative / scale)


def test_a_target_stops_the_search_early():
    function, _ = SMOOTH["sine"]
    content, thorough = KnownLine(function), KnownLine(function)
    careful_derivative(content, 1.0, target=1e-3)
    careful_derivative(thorough, 1.0)
    assert content.evaluations == 6 < thorough.evaluations


def test_no_look_is_begun_past_the_most_evaluations():
    line = KnownLine(lambda t: math.sin(t), noise=1e-3)
    careful_derivative(line, 1.0, max_evaluations=13)
    assert line.evaluations <= 13 + 6
