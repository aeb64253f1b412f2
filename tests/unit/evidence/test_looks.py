"""Steps of other lengths: what a line showed must show at them, too, and what it did not show must not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradproof._evidence.looks import looks_short, two_witnesses
from gradproof._numerics.lines import LineReader
from gradproof._numerics.readings import BlockReading
from known_lines import KnownBlocks

STEP = 3e-3
RIPPLE = 1e-9
"""Amplitude of a ripple that no step above a millionth resolves."""


def ripple(t, slope=1e-3, amplitude=RIPPLE):
    """Return a ripple of a given slope at the point: with its amplitude it has a period of a few millionths."""
    return amplitude * math.sin(slope / amplitude * t)


def look(function, *, noise=1e-17, proved=1e-8, tolerance=1e-7, lines=2):
    """Look below lines of a claim that changes the function by 1 per unit of t."""
    made = [(KnownBlocks(function, claimed=1.0), STEP) for _ in range(lines)]
    found = looks_short(LineReader([slice(0, 1)], 1), made, 0, 1.0, proved, tolerance, noise)
    return found, sum(line.evaluations for line, _ in made)


def test_a_right_claim_takes_one_value_on_each_of_two_lines():
    assert look(lambda t: 0.1 * t**3) == (True, 2)


def test_a_curved_right_claim_takes_both_sides():
    found, evaluations = look(lambda t: 40.0 * t**2)
    assert found
    assert evaluations <= 4


def test_a_slope_that_only_short_steps_show_is_seen():
    assert not look(ripple)[0]


def test_a_claim_of_zero_has_nothing_below_it():
    assert looks_short(LineReader([slice(0, 1)], 1), [(KnownBlocks(ripple), STEP)], 0, 0.0, 0.0, 1e-7, 0.0)


@pytest.mark.parametrize("slope", [3e-4, 1e-3, 1e-2])
def test_where_a_repeating_function_scatters_every_step_is_asked(slope):
    assert not look(lambda t: ripple(t, slope, 1e-12), noise=1e-12, proved=1e-7)[0]


@pytest.mark.parametrize("seed", range(30))
def test_noise_is_no_slope(seed):
    lines = [(KnownBlocks(lambda t: 0.1 * t**3, claimed=1.0, noise=1e-12, seed=seed), STEP)]
    assert looks_short(LineReader([slice(0, 1)], 1), lines, 0, 1.0, 1e-7, 1e-7, 1e-12)


def test_the_rounding_of_an_intermediate_value_is_no_slope():
    def rounded(t):  # all of the claimed change is rounded to 1e-9 on its way
        return np.round(t, 9) - t

    assert look(rounded, noise=3e-10, proved=1e-6)[0]


def seen(value, step=STEP):
    return BlockReading(abs(value), 1e-9, 1e-12, 100.0, 1e-16, step)


def test_a_slope_at_every_step_has_two_witnesses():
    line = KnownBlocks(lambda t: 0.2 * t)
    assert two_witnesses(LineReader([slice(0, 1)], 1), line, 0, np.array([0.2]), seen(0.2))


def test_a_kink_beside_the_point_has_one_witness_only():
    line = KnownBlocks(lambda t: 0.4 * max(t - 1e-9, 0.0))  # half of it at every longer step
    assert not two_witnesses(LineReader([slice(0, 1)], 1), line, 0, np.array([0.2]), seen(0.2))


def test_what_is_rounded_on_its_way_is_followed_to_where_it_jumps():
    line = KnownBlocks(
        lambda t: np.round(t, 2) - t, claimed=1.0
    )  # it stands still at the step, and a claim of 1 is right
    assert not two_witnesses(LineReader([slice(0, 1)], 1), line, 0, np.array([-1.0]), seen(-1.0))
