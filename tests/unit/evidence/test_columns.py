"""Every coordinate by itself: two values each, a second look at what does not fit, and what is concluded of a block."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradproof import Verdict, check_gradient
from gradproof._evidence.columns import Exhaustive
from gradproof._evidence.evidence import Pair
from gradproof._examination.enumeration import tell
from gradproof._numerics.noise import Pool
from gradproof._numerics.witnesses import WITNESSES
from known_lines import KnownLine

TOLERANCE = 1e-7
ROUNDOFF = 2.0**-53


class Separable:
    """A cost Σ φⱼ(xⱼ) in closed form, and the measurement of all of its coordinates."""

    def __init__(self, functions, point, claimed, *, size=1.0):
        self.functions, self.point, self.size = functions, np.asarray(point, float), size
        self.claimed = np.asarray(claimed, float)
        self.taken = Counter()
        pool = Pool()
        pool.readings.append((2e-16, 30.0, ROUNDOFF / 2))  # as a long first line would know it
        self.exhaustive = Exhaustive(
            (self.claimed,),
            (np.maximum(np.abs(self.point), 0.1),),
            self.line,
            pool=pool,
            step=3e-5,
            tolerances=[TOLERANCE],
            alpha=1e-6,
            roundoff=ROUNDOFF,
        )

    def line(self, direction):
        function, x = self.functions[direction.index], self.point[direction.index]

        def discrepancy(t):
            moved = t * direction.scale
            return function(x + moved) - function(x) - moved * self.claimed[direction.index]

        return KnownLine(discrepancy, size=self.size, told=lambda _: self.taken.update([direction.index]))

    @property
    def evaluations(self):
        return self.taken.total()

    def run(self):
        self.exhaustive.run()
        return self.exhaustive.blocks[0]

    def verdict(self):
        """What the coordinates prove of the block, told as a phase of the examination tells it."""
        norm = float(np.linalg.norm(self.claimed))
        pair = Pair(0, 0, norm, norm, norm, 1.0, TOLERANCE, TOLERANCE, zero=norm == 0)
        tell(SimpleNamespace(exhaustive=self.exhaustive, engine=SimpleNamespace(last_error="")), pair)
        return pair.verdict


def sines(size, seed=0):
    point = np.random.default_rng(seed).standard_normal(size)
    return [math.sin] * size, point, np.cos(point)


# ------------------------------------------------------------------------------------------ evaluations
@pytest.mark.parametrize("size", [1, 30, 200])
def test_a_right_coordinate_takes_two_values(size):
    cost = Separable(*sines(size))
    measured = cost.run()
    assert cost.evaluations == 2 * size
    assert not measured.wrong.any()
    assert cost.verdict() is Verdict.CORRECT


def test_only_a_wrong_coordinate_is_looked_at_again():
    functions, point, claimed = sines(30)
    claimed[[4, 11]] *= 1.5
    cost = Separable(functions, point, claimed)
    measured = cost.run()
    assert np.flatnonzero(measured.wrong).tolist() == [4, 11]
    assert all(cost.taken[j] == 2 for j in range(30) if j not in {4, 11})
    # A careful look, and the short steps that bear witness of what it has found.
    assert max(cost.taken.values()) <= 24 + 2 * WITNESSES
    assert cost.verdict() is Verdict.WRONG


@pytest.mark.parametrize("size", [5, 50, 300])
def test_a_check_of_every_coordinate_costs_what_the_classic_loop_costs(size):
    _, point, gradient = sines(size)
    report = check_gradient(lambda x: float(np.sum(np.sin(x))), point, gradient, strategy="coordinates", seed=1)
    assert report.verdict is Verdict.CORRECT
    assert report.evaluations <= 2 * size + 20


# ------------------------------------------------------------------------------------------ what is measured
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.data())
def test_the_discrepancies_are_within_their_bars_and_just_the_wrong_ones_are_wrong(seed, size, data):
    functions, point, claimed = sines(size, seed)
    wrong = data.draw(st.sets(st.integers(0, size - 1), max_size=size))
    factors = np.array([1.5 if j in wrong else 1.0 for j in range(size)])
    measured = Separable(functions, point, factors * claimed).run()
    assert set(np.flatnonzero(measured.wrong).tolist()) == wrong
    error = np.abs(measured.discrepancy - (1 - factors) * claimed)
    # Two values alone have the truncation h²φ‴/6 of their formula, which nobody measured there.
    allowed = 6 * measured.spread + 3 * measured.truncation + np.where(measured.wrong, 1e-14, 1e-8)
    assert np.all(error <= allowed)


@pytest.mark.parametrize("share", [1e-3, 1e-6])
def test_a_wrong_coordinate_tiny_beside_its_block_is_wrong(share):
    functions, point, claimed = sines(40)
    functions[7] = lambda x: share * math.sin(x)
    claimed[7] *= 1.5 * share
    cost = Separable(functions, point, claimed)
    assert np.flatnonzero(cost.run().wrong).tolist() == [7]
    assert cost.exhaustive.difference(0).estimate < share
    assert cost.verdict() is Verdict.WRONG


def test_a_coordinate_is_not_called_wrong_for_the_rounding_of_the_claim():
    functions, point, claimed = sines(40)
    claimed[7] += 20 * ROUNDOFF * np.linalg.norm(claimed)
    cost = Separable(functions, point, claimed)
    assert not cost.run().wrong.any()


def test_the_difference_of_a_block_is_that_of_the_two_gradients():
    functions, point, claimed = sines(40)
    true = claimed.copy()
    claimed[:9] *= 1.3
    cost = Separable(functions, point, claimed)
    cost.run()
    difference = cost.exhaustive.difference(0)
    truth = np.linalg.norm(claimed - true) / (np.linalg.norm(claimed) + np.linalg.norm(true))
    assert difference.estimate == pytest.approx(truth, rel=1e-6)
    assert difference.lower <= truth <= difference.upper


def test_a_coordinate_along_which_nothing_changes_is_still():
    functions, point, claimed = sines(6)
    functions[2] = lambda x: 0.0
    claimed[2] = 0.0
    assert np.flatnonzero(Separable(functions, point, claimed).run().still).tolist() == [2]


def test_a_block_of_zeros_on_both_sides_is_correct_and_a_claim_of_zero_elsewhere_is_wrong():
    right = Separable([lambda x: 0.0] * 5, np.ones(5), np.zeros(5))
    right.run()
    assert right.verdict() is Verdict.CORRECT
    wrong = Separable([math.sin] * 5, np.ones(5), np.zeros(5))
    wrong.run()
    assert wrong.verdict() is Verdict.WRONG


# ------------------------------------------------------------------------------------------ the second look
def test_a_step_that_is_too_long_for_a_block_is_shortened_for_all_of_it():
    rates = np.full(40, 3e3)
    point = np.random.default_rng(0).standard_normal(40)
    functions = [lambda x: math.sin(3e3 * x) / 3e3] * 40
    cost = Separable(functions, point, np.cos(rates * point))
    measured = cost.run()
    assert cost.exhaustive.steps[0] < 3e-5
    assert not measured.wrong.any()


def test_coordinates_that_are_wrong_do_not_shorten_the_step():
    functions, point, claimed = sines(40)
    cost = Separable(functions, point, 1.5 * claimed)
    cost.run()
    assert cost.exhaustive.steps[0] == 3e-5
    assert cost.exhaustive.blocks[0].wrong.all()


def test_a_kink_crossing_beside_the_point_is_no_mistake():
    functions, point, claimed = sines(10)
    point[3] = 1.0
    claimed[3] = math.cos(1.0)
    functions[3] = lambda x: math.sin(x) + max(x - 1.00001, 0.0)  # within the first step
    measured = Separable(functions, point, claimed).run()
    assert not measured.wrong.any()
    assert not measured.kinks


@pytest.mark.parametrize(("slope", "right"), [(0.0, True), (0.5, True), (1.0, True), (1.2, False), (-0.2, False)])
def test_at_a_kink_any_slope_between_the_two_is_right(slope, right):
    functions, point, claimed = sines(10)
    functions[3], point[3], claimed[3] = (lambda x: max(x, 0.0)), 0.0, slope
    measured = Separable(functions, point, claimed).run()
    assert measured.kinks[3].left == pytest.approx(0.0, abs=1e-9)
    assert measured.kinks[3].right == pytest.approx(1.0, abs=1e-9)
    assert measured.wrong[3] == (not right)


def test_a_coordinate_on_which_the_cost_fails_is_undecided_and_the_block_with_it():
    functions, point, claimed = sines(10)
    functions[3] = lambda x, at=point[3]: 0.0 if x == at else math.nan
    cost = Separable(functions, point, claimed)
    measured = cost.run()
    assert np.flatnonzero(measured.undecided).tolist() == [3]
    assert not measured.wrong.any()
    assert cost.verdict() is Verdict.INCONCLUSIVE


def test_a_coordinate_at_the_edge_of_the_domain_is_measured_from_inside():
    functions, point, claimed = sines(10)
    functions[3], point[3] = (lambda x: math.exp(x) if x <= 1.0 else math.nan), 1.0
    claimed[3] = math.e
    right = Separable(functions, point, claimed)
    right.run()
    assert right.verdict() is Verdict.CORRECT
    claimed[3] *= 1.5
    assert np.flatnonzero(Separable(functions, point, claimed).run().wrong).tolist() == [3]


# ------------------------------------------------------------------------------------------ for the self-test
def test_a_change_of_the_claim_is_judged_by_the_same_values_and_forgotten_again():
    functions, point, claimed = sines(10)
    cost = Separable(functions, point, claimed)
    measured = cost.run()
    before, taken = measured.discrepancy.copy(), cost.evaluations
    change = np.zeros(10)
    change[4] = 0.5 * claimed[4]
    assert cost.exhaustive.would_suspect(0, change)
    assert not cost.exhaustive.would_suspect(0, 1e-14 * change)
    assert cost.evaluations == taken
    assert np.array_equal(measured.discrepancy, before)
    assert np.array_equal(cost.exhaustive.claimed[0], claimed)


# ------------------------------------------------------------------------------------------ in the report
def test_faulty_coordinates_are_listed_worst_first_with_bars_that_hold():
    _, point, gradient = sines(60)
    point = point.reshape(6, 10)
    claimed = gradient.reshape(6, 10).copy()
    claimed[1, 2] += 0.01
    claimed[5, 9] += 1.0
    claimed[0, 0] = 3 * claimed[0, 0]
    report = check_gradient(lambda x: float(np.sum(np.sin(x))), point, claimed, strategy="coordinates", seed=1)
    assert report.blocks[0].wrong_coordinates == len(report.coordinates) == 3
    assert {one.index for one in report.coordinates} == {(1, 2), (5, 9), (0, 0)}
    off = [abs(one.claimed - one.numerical) for one in report.coordinates]
    assert off == sorted(off, reverse=True)
    for one in report.coordinates:
        assert one.claimed == claimed[one.index]
        assert abs(one.numerical - math.cos(point[one.index])) <= one.error_bar + 4 * ROUNDOFF


def test_a_stationary_point_takes_a_certificate_more():
    report = check_gradient(
        lambda x: float(np.sum((x - 1) ** 2)), np.ones(20), np.zeros(20), strategy="coordinates", seed=1
    )
    assert report.verdict is Verdict.CORRECT
    assert report.evaluations <= 2 * 20 + 60


def test_zero_against_the_noise_at_a_stationary_point_is_no_difference():
    report = check_gradient(
        lambda x: float(np.sum((x - 1) ** 2)), np.ones(20), np.zeros(20), strategy="coordinates", seed=1
    )
    assert report.difference.estimate <= report.blocks[0].tolerance


def test_one_sided_formulas_are_exact_for_polynomials_of_their_order():
    from gradproof._evidence.columns import FOUR_STEPS_OUT, TWO_STEPS_OUT, one_sided_as_central

    for count, multiples in ((2, TWO_STEPS_OUT), (4, FOUR_STEPS_OUT)):
        t = 0.5 * np.arange(1, count + 1)
        for power in range(1, count + 1):
            values, factor = one_sided_as_central(t**power)
            if count == 2:
                derivative = (values[0] - values[1]) / (2 * 0.5)
            else:
                derivative = (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * 0.5)
            assert abs(derivative - (power == 1)) < 1e-13
        assert len(values) == len(multiples)
        # The factor is that of independent errors: by the formula's response to each value alone.
        responses = [one_sided_as_central(unit)[0] for unit in np.eye(count)]
        central = np.array([1.0, -1.0]) / 2 if count == 2 else np.array([1.0, -8.0, 8.0, -1.0]) / 12
        one_sided = math.hypot(*(float(r @ central) for r in responses))
        assert abs(factor - one_sided / math.hypot(*central)) < 1e-2


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("weight", "factor"), [(1e-6, 1.5), (1e-6, 1.1), (1e-4, 1.001)])
def test_a_discrepancy_that_stays_at_a_shorter_step_is_not_excused_by_its_wider_bar(weight, factor, seed):
    rng = np.random.default_rng(3)
    weights, point = np.ones(60), rng.standard_normal(60)
    weights[17] = weight
    claimed = weights * np.cos(point)
    claimed[17] *= factor
    report = check_gradient(
        lambda x: float(np.sum(weights * np.sin(x))), point, claimed, strategy="coordinates", seed=seed
    )
    assert report.verdict is Verdict.WRONG
    assert [entry.index for entry in report.coordinates] == [(17,)]
