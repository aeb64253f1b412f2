"""What confirms a discrepancy at other steps, and what takes it for structure."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradproof._numerics.witnesses import Witness, breaks_off, short_witness

U = 2.0**-53


def look(phi, value, *, step=1e-3, rounding=U, noise=U):
    """Ask short steps about a discrepancy φ of a lone number, read as `value`."""

    def slope(h):
        return np.array([(phi(h) - phi(-h)) / (2 * h)])

    def bend(h):
        return abs(phi(h) + phi(-h)) / (2 * h)

    return short_witness(slope, np.array([value]), rounding, step, 1e-15, noise, bend)


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-6])
def test_a_slope_that_is_there_at_every_step_agrees(size):
    assert look(lambda t: size * t + t**3, size) is Witness.AGREES
    assert look(lambda t: size * t + 0.5 * t * t, size) is Witness.AGREES


def test_a_slope_of_long_steps_only_is_contradicted():
    # A ripple takes the slope away at steps that are shorter than it.
    assert look(lambda t: t - 1e-6 * math.sin(1e6 * t), 1.0) is Witness.CONTRADICTS


@pytest.mark.parametrize("jump", [1.0, 1e-3])
def test_one_slope_of_a_kink_is_right(jump):
    # The claim is the slope on the left: a central formula sees half of the jump.
    assert look(lambda t: jump * max(t, 0.0), jump / 2) is Witness.CONTRADICTS
    assert look(lambda t: jump * max(t, 0.0) + 3 * jump * t, 3.5 * jump) is Witness.AGREES


def test_a_function_that_fails_or_stands_still_is_silent():
    silent = short_witness(lambda h: None, np.ones(1), U, 1e-3, 1e-15, U, lambda h: 0.0)
    assert silent is Witness.SILENT
    assert look(lambda t: 0.0, 0.0) is Witness.SILENT


def odd(phi):
    return lambda t: np.array([(phi(t) - phi(-t)) / 2])


@pytest.mark.parametrize(
    "phi",
    [
        lambda t: 2 * t,
        lambda t: 2 * t - 300 * t**3,
        lambda t: math.tanh(2000 * t) / 1000,
        lambda t: math.sin(2000 * t) / 1000,
    ],
    ids=["line", "cubic", "saturates", "oscillates"],
)
def test_what_bends_saturates_or_oscillates_does_not_break_off(phi):
    assert not breaks_off(odd(phi), np.array([2.0]), 1e-5, 1e-16)


@pytest.mark.parametrize("piece", [1e-4, 1e-3, 1e-2])
def test_a_saw_breaks_off(piece):
    saw = lambda t: 2 * (t - piece * math.floor(t / piece + 0.3))
    assert breaks_off(odd(saw), np.array([2.0]), piece / 50, 1e-16)


def test_noise_is_no_jump():
    rng = np.random.default_rng(0)
    assert not breaks_off(lambda t: np.array([2 * t + 1e-9 * rng.standard_normal()]), np.array([2.0]), 1e-6, 1e-9)


def test_what_cannot_be_evaluated_further_out_does_not_break_off():
    assert not breaks_off(lambda t: None, np.array([2.0]), 1e-6, 1e-16)
    assert not breaks_off(lambda t: np.array([2 * t]) if t < 1e-3 else None, np.array([2.0]), 1e-6, 1e-16)


def test_many_components_break_off_together():
    saw = lambda t: np.array([2 * t, 3.0 * (t - 1e-3 * math.floor(t / 1e-3 + 0.3))])
    assert breaks_off(lambda t: (saw(t) - saw(-t)) / 2, np.array([2.0, 3.0]), 1e-5, 1e-16)
