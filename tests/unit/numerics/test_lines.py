"""The first line of a direction and the later ones: their evaluations, and what they do when they do not fit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradproof._numerics.lines import careful_derivative, first_line, later_line
from gradproof._numerics.noise import Pool
from known_lines import KnownLine

SHORT = 0.3
"""The scale that a certificate gives to a first line."""


SMOOTH = {
    "sine": (lambda t: math.sin(t + 0.3), math.cos(0.3)),
    "exponential": (math.exp, 1.0),
    "logistic": (lambda t: math.log1p(math.exp(t + 0.5)), 1 / (1 + math.exp(-0.5))),
    "rational": (lambda t: 1 / (2 + t), -0.25),
    "quartic": (lambda t: (t + 1) ** 4, 4.0),
}


def calibrated(function, **options):
    pool = Pool()
    line = KnownLine(function, **options)
    estimate, calibration = first_line(line, 1e-9, pool, max_evaluations=34, scale=SHORT)
    return estimate, calibration, pool


def residual(function, derivative):
    """φ less the change that a right claim predicts: what a check sees."""
    return lambda t: function(t) - derivative * t


# ------------------------------------------------------------------------------------------ evaluations
@pytest.mark.parametrize("name", SMOOTH)
def test_a_first_line_takes_six_evaluations_beside_the_point(name):
    function, derivative = SMOOTH[name]
    estimate, calibration, _ = calibrated(residual(function, derivative))
    assert estimate.evaluations == 6
    assert calibration is not None
    assert abs(estimate.value) <= estimate.error_bar <= 1e-9


@pytest.mark.parametrize("name", SMOOTH)
def test_a_later_line_takes_four(name):
    function, derivative = SMOOTH[name]
    _, calibration, pool = calibrated(residual(function, derivative))
    # Another direction of the same cost: the same function, a little slower and scaled.
    line = KnownLine(residual(lambda t: 0.7 * function(0.9 * t), 0.63 * derivative))
    estimate = later_line(line, calibration, pool)
    assert estimate.evaluations == line.evaluations == 4
    assert abs(estimate.value) <= estimate.error_bar
    assert "times" not in estimate.method


def test_both_together_are_eleven_with_the_point_itself():
    function, derivative = SMOOTH["sine"]
    first, calibration, pool = calibrated(residual(function, derivative))
    later = later_line(KnownLine(residual(function, derivative)), calibration, pool)
    assert 1 + first.evaluations + later.evaluations == 11


@given(st.floats(-3, 3), st.floats(0.1, 3), st.floats(-2, 2))
def test_a_later_line_covers_the_derivative_of_its_own_function(phase, rate, amplitude):
    _, calibration, pool = calibrated(residual(*SMOOTH["sine"]))
    truth = amplitude * rate * math.cos(phase)
    estimate = later_line(
        KnownLine(lambda t: amplitude * math.sin(rate * t + phase)), calibration, pool, expect_zero=False
    )
    # The step was chosen for rate 1: up to a rate of 3 the fifth derivative is 243 times as large.
    allowance = estimate.error_bar + 3 * 243 * estimate.truncation_error
    assert abs(estimate.value - truth) <= allowance
    assert allowance < 1e-6


# ------------------------------------------------------------------------------------------ what does not fit
def test_a_calibration_that_no_longer_fits_is_noticed_and_mended_along_the_same_line():
    _, calibration, pool = calibrated(residual(*SMOOTH["sine"]))
    faster = 40.0  # the fourth difference is 2.6 million times as large
    line = KnownLine(lambda t: math.sin(faster * t + 0.3) / faster - math.cos(0.3) * t)
    estimate = later_line(line, calibration, pool)
    assert "times" in estimate.method
    assert line.evaluations > 4
    assert line.steps[-1] == 2 * calibration.step
    assert line.steps[0] <= calibration.step / 8
    assert abs(estimate.value) <= estimate.error_bar + 10 * estimate.truncation_error
    assert abs(estimate.value) < 1e-9


def test_four_values_at_the_old_step_would_have_been_off():
    _, calibration, _ = calibrated(residual(*SMOOTH["sine"]))
    h = calibration.step
    e = KnownLine(lambda t: math.sin(40 * t + 0.3) / 40 - math.cos(0.3) * t)([-2 * h, -h, h, 2 * h])
    assert abs(float(e @ [1, -8, 8, -1]) / (12 * h)) > 1e-8


def kinked(distance, jump, side=1):
    """A right claim's discrepancy along a line that crosses a kink at some distance from the point."""
    smooth = residual(*SMOOTH["sine"])
    return lambda t: smooth(t) + jump * max(side * t - distance, 0.0)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("place", [0.3, 0.9, 1.1, 1.9])
def test_a_kink_crossing_is_measured_again_along_the_same_line(place, side):
    _, calibration, pool = calibrated(residual(*SMOOTH["sine"]))
    line = KnownLine(kinked(place * calibration.step, 0.5, side))
    estimate = later_line(line, calibration, pool)
    assert "times" in estimate.method
    assert estimate.step <= calibration.step / 8
    assert abs(estimate.value) <= estimate.error_bar


def test_without_a_second_look_a_kink_crossing_would_look_like_a_mistake():
    _, calibration, pool = calibrated(residual(*SMOOTH["sine"]))
    h = calibration.step
    e = KnownLine(kinked(0.3 * h, 0.5))([-2 * h, -h, h, 2 * h])
    value = float(e @ [1, -8, 8, -1]) / (12 * h)
    assert abs(value) > 1e6 * later_line(KnownLine(residual(*SMOOTH["sine"])), calibration, pool).error_bar


def test_a_kink_beyond_the_step_is_not_seen_and_costs_nothing():
    _, calibration, pool = calibrated(residual(*SMOOTH["sine"]))
    line = KnownLine(kinked(2.1 * calibration.step, 0.5))
    assert later_line(line, calibration, pool).evaluations == 4


def test_a_wrong_gradient_is_no_kink_and_its_value_is_kept():
    function, derivative = SMOOTH["sine"]
    _, calibration, pool = calibrated(residual(function, derivative))
    line = KnownLine(residual(function, 1.5 * derivative))
    estimate = later_line(line, calibration, pool)
    assert estimate.value == pytest.approx(-0.5 * derivative, rel=1e-9)
    assert estimate.kink is None
    assert estimate.trusted


def test_a_wrong_gradient_is_confirmed_at_another_step_unless_a_search_expects_it():
    function, derivative = SMOOTH["sine"]
    _, calibration, pool = calibrated(residual(function, derivative))
    doubted, expected = (KnownLine(residual(function, 1.5 * derivative)) for _ in range(2))
    later_line(doubted, calibration, pool)
    later_line(expected, calibration, pool, expect_zero=False)
    assert doubted.evaluations == 8
    assert expected.evaluations == 4


def test_a_kink_at_the_point_itself_has_two_slopes_and_no_calibration():
    estimate, calibration, _ = calibrated(lambda t: math.sin(t) + 0.5 * abs(t))
    assert calibration is None
    assert estimate.kink.left == pytest.approx(0.5, abs=estimate.kink.error_bar + 1e-12)
    assert estimate.kink.right == pytest.approx(1.5, abs=estimate.kink.error_bar + 1e-12)


def test_a_first_line_that_crosses_a_kink_still_ends_with_a_calibration():
    estimate, calibration, _ = calibrated(kinked(2e-4, 0.5))
    assert calibration is not None
    assert estimate.kink is None
    assert abs(estimate.value) <= estimate.error_bar
    assert calibration.step < 2e-4


# ------------------------------------------------------------------------------------------ noise
def test_the_noise_of_a_cost_is_carried_from_the_first_line_to_the_later_ones():
    function, derivative = SMOOTH["sine"]
    _, calibration, pool = calibrated(residual(function, derivative), noise=1e-9)
    assert 2e-10 < pool.level(1e-16)[0] < 5e-9
    quiet = Pool()
    line = KnownLine(residual(function, derivative), noise=1e-9)
    assert later_line(line, calibration, pool).error_bar > 100 * later_line(line, calibration, quiet).roundoff_error


def test_noise_makes_the_step_longer():
    quiet, *noisy = (calibrated(residual(*SMOOTH["sine"]), noise=noise)[1].step for noise in (0.0, 1e-10, 1e-7))
    assert min(noisy) > 2 * quiet


@pytest.mark.parametrize("noise", [1e-10, 1e-8])
def test_later_lines_of_a_noisy_cost_are_covered(noise):
    function, derivative = SMOOTH["sine"]
    trials, missed = 400, 0
    for seed in range(trials):
        first, later = (KnownLine(residual(function, derivative), noise=noise, seed=[seed, k]) for k in (0, 1))
        pool = Pool()
        _, calibration = first_line(first, 1e-9, pool, max_evaluations=34, scale=SHORT)
        estimate = later_line(later, calibration, pool, expect_zero=False)
        missed += abs(estimate.value) > estimate.error_bar
    # The bars hold with probability 0.999 for the noise that was estimated: see test_noise.py for how well it is.
    assert stats.binomtest(missed, trials, 0.005, alternative="greater").pvalue > 1e-3


def test_a_zero_function_is_no_special_trouble():
    estimate, calibration, pool = calibrated(lambda t: 0.0, size=0.0)
    assert estimate.value == 0
    assert math.isfinite(estimate.error_bar)
    if calibration is not None:
        assert later_line(KnownLine(lambda t: 0.0, size=0.0), calibration, pool).value == 0


def test_a_line_on_which_nothing_can_be_evaluated_is_not_trusted():
    estimate, calibration, _ = calibrated(lambda t: 0.0 if t == 0 else math.nan)
    assert not estimate.trusted
    assert math.isinf(estimate.error_bar)
    assert calibration is None


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
