"""What the error bars promise, tested at a stated level on lines of their own seed.

Each test rejects its promise only where what is seen has a probability below LEVEL if the promise holds: an honest
method fails one of these tests by chance about once in a thousand draws of the lines, and the draws are fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from linecases import disturbed, exact, kinks, networks, peers, programs, scales, smooth
from linecases.line import Line, flat
from scipy import stats

pytestmark = pytest.mark.calibration

LEVEL = 1e-3
PART = "calibration"
FAMILIES = {
    "smooth": smooth.smooth,
    "compositions": smooth.compositions,
    "network float64": lambda part: networks.networks(part, np.float64),
    "network float32": lambda part: networks.networks(part, np.float32),
    "stochastic noise": disturbed.noisy,
    "ODE solvers": programs.solvers,
    "iterations stopped at 1e-8": programs.iterations,
    "rounded output": disturbed.rounded,
    "scales": scales.scales,
    "zero parameters": scales.zeros,
    "edge of the domain": scales.edges,
}
SMOOTH = ("smooth", "compositions", "network float64")
ROUNDOFF = 2.0**-53


def too_many(failures, trials, promised):
    """Say whether so many failures refute a failure rate of at most `promised`, at LEVEL (exact binomial test)."""
    return stats.binomtest(failures, trials, promised, alternative="greater").pvalue < LEVEL


def covered(line, outcome):
    allowance = 4 * ROUNDOFF * max(map(abs, line.interval))
    return math.isfinite(outcome.value) and line.error(outcome.value) <= outcome.bar + allowance


@pytest.fixture(scope="module")
def measured():
    """Every line of the calibration part, measured once."""
    return {name: [(line, peers.run_gradproof(line)) for line in make(PART)] for name, make in FAMILIES.items()}


def everything(measured, names=tuple(FAMILIES)):
    return [pair for name in names for pair in measured[name]]


# ------------------------------------------------------------------------------------------ the yardstick itself
def test_the_exact_truths_agree_with_differences_of_forty_digits():
    for line in smooth.compositions(PART) + scales.scales(PART) + scales.zeros(PART):
        cost = line.make_cost()

        def along(t, line=line, cost=cost):
            return exact.value_at(cost, line.point, line.direction, t)

        entries = zip(flat(line.point), flat(line.direction), strict=True)
        h = exact.mpf(10) ** -14 * min([abs(p / v) for p, v in entries if p and v], default=1.0)
        difference = (along(h) - along(-h)) / (2 * h)
        assert abs(float(difference) - line.interval[0]) <= 1e-13 * abs(line.interval[0]), line.name


def test_forward_mode_in_extended_precision_agrees_with_dual_numbers():
    for line in networks.networks(PART, np.float64):
        if line.name.startswith("tanh"):
            truth = exact.exact_derivative(line.make_cost(), line.point, line.direction)
            assert line.interval[0] == pytest.approx(truth, rel=1e-15, abs=1e-17)


def test_the_replica_of_the_adaptive_solver_takes_the_same_steps():
    point = np.array([1.1, 0.9])
    for _, by_solver, _ in programs._adaptive_cases(1.7, 1e-9):
        taken, replica = (by_solver(solver)(point) for solver in (programs._solved, programs.dormand_prince))
        assert abs(taken - replica) <= 1e-14  # the global error is 1e-10: one other step would show


def test_a_solver_that_takes_other_steps_would_be_noticed():
    point = np.array([1.1, 0.9])
    _, by_solver, closed = programs._adaptive_cases(1.7, 1e-9)[0]
    assert abs(by_solver(programs._solved)(point) - closed(point)) > 1e-13


def test_a_tool_with_overconfident_bars_fails_the_coverage_test():
    pairs = [(line, peers.run_peer("Ridders' rule", line)) for line in smooth.compositions(PART)]
    assert too_many(sum(not covered(*pair) for pair in pairs), len(pairs), 0.03)


def test_bars_shrunk_tenfold_fail_the_coverage_test(measured):
    pairs = everything(measured, ("stochastic noise", "network float32", "rounded output"))
    missed = sum(line.error(outcome.value) > outcome.bar / 10 for line, outcome in pairs)
    assert too_many(missed, len(pairs), 0.01)


# ------------------------------------------------------------------------------------------ bars
def test_the_bars_cover_the_truth_in_99_of_100_lines(measured):
    pairs = everything(measured)
    missed = [line.family + ": " + line.name for line, outcome in pairs if not covered(line, outcome)]
    assert not too_many(len(missed), len(pairs), 0.01), missed


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bars_cover_the_truth_in_97_of_100_lines_of_each_family(measured, family):
    missed = [line.name for line, outcome in measured[family] if not covered(line, outcome)]
    assert not too_many(len(missed), len(measured[family]), 0.03), missed


def test_half_of_the_smooth_bars_are_within_30_times_the_error(measured):
    pairs = everything(measured, SMOOTH)
    wide = sum(
        max(outcome.bar, line.floor) / max(line.error(outcome.value), line.floor) > 30 for line, outcome in pairs
    )
    assert not too_many(wide, len(pairs), 0.5)


def test_half_of_the_smooth_lines_are_known_to_eleven_digits(measured):
    pairs = [pair for pair in everything(measured, SMOOTH) if max(map(abs, pair[0].interval)) > 0]
    poor = sum(line.error(outcome.value) > 1e-11 * max(map(abs, line.interval)) for line, outcome in pairs)
    assert not too_many(poor, len(pairs), 0.5)


def test_half_of_all_lines_take_at_most_20_evaluations(measured):
    assert np.median([outcome.evaluations for _, outcome in everything(measured)]) <= 20


def test_stated_evaluations_are_those_made(measured):
    wrong = [f"{line.name}: {o.note}" for line, o in everything(measured) if "states" in o.note]
    assert not wrong


def test_the_measured_noise_is_within_a_factor_of_four_in_nine_of_ten_noisy_lines():
    import gradproof

    pairs = []
    for line in disturbed.noisy(PART):
        estimate = gradproof.directional_derivative(line.make_cost(), line.point, line.direction)
        true_noise = float(line.name.rsplit(" ", 1)[1])
        if "proportional" in line.name:
            quiet = line.make_cost()
            true_noise *= abs(np.mean([quiet(line.point) for _ in range(50)]))
        pairs.append((estimate.noise, true_noise))
    off = sum(not 0.25 <= found / true <= 4 for found, true in pairs)
    assert not too_many(off, len(pairs), 0.1), sorted(found / true for found, true in pairs)


# ------------------------------------------------------------------------------------------ kinks
@pytest.fixture(scope="module")
def at_kinks():
    return [(line, peers.run_gradproof(line)) for line in kinks.kinks_at_the_point(PART, rounds=12)]


def test_98_of_100_kinks_at_the_point_are_found(at_kinks):
    missed = [line.name for line, outcome in at_kinks if not outcome.kinked]
    assert not too_many(len(missed), len(at_kinks), 0.02), missed


def test_the_one_sided_derivatives_lie_within_their_bars(at_kinks):
    off = []
    for line, outcome in at_kinks:
        left, right = kinks.one_sided(line)
        allowance = outcome.kink_bar + 4 * ROUNDOFF * max(abs(left), abs(right))
        if outcome.kinked and not max(abs(outcome.left - left), abs(outcome.right - right)) <= allowance:
            off.append(f"{line.name}: {left}, {right} against {outcome.left}, {outcome.right} ± {outcome.kink_bar}")
    assert not too_many(len(off), len(at_kinks), 0.01), off


def test_at_most_one_in_500_smooth_lines_is_called_a_kink(measured):
    names = (*SMOOTH, "scales", "zero parameters", "edge of the domain")
    lookalikes = [(line, peers.run_gradproof(line)) for line in kinks.smooth_lookalikes(PART, rounds=12)]
    pairs = everything(measured, names) + lookalikes
    false = [f"{line.family}: {line.name}" for line, outcome in pairs if outcome.kinked]
    assert len(pairs) >= 500
    assert not too_many(len(false), len(pairs), 1 / 500), false


def test_a_kink_nearby_does_not_spoil_the_bar():
    pairs = [(line, peers.run_gradproof(line)) for line in kinks.kinks_nearby(PART)]
    wrong = []
    for line, outcome in pairs:
        close = kinks.gap(line) <= 1e-8  # steps below the distance leave few digits: calling it a kink is right
        low, high = sorted((outcome.left, outcome.right))
        between = outcome.kinked and close and low - outcome.kink_bar <= line.interval[0] <= high + outcome.kink_bar
        if not (between or (covered(line, outcome) and (close or not outcome.kinked))):
            wrong.append(line.name)
    assert not too_many(len(wrong), len(pairs), 0.03), wrong


def test_lines_are_drawn_anew_for_each_part_and_alike_for_each_run():
    def points(part: str) -> list[Line]:
        return [line.interval[0] for line in smooth.compositions(part)]

    assert points("calibration") == points("calibration")
    assert not set(points("calibration")) & set(points("development"))
