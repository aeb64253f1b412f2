"""The certificate of blocks: how they are grouped and scaled, what its lines are, and what it makes of odd blocks."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradproof import Reason, Verdict, check_gradient
from gradproof._evidence.certificate import SPREAD_OF_A_GROUP, Certifier, Member, group_blocks
from gradproof._evidence.evidence import Law, Pair
from gradproof._numerics.lines import LineReader
from gradproof._numerics.statistics import residual_allowed
from gradproof._problem.problem import Problem
from gradproof._problem.scales import LARGEST_RAISE, block_scales, coordinate_scales
from gradproof._words.vectors import rms
from known_lines import KnownBlocks

TOLERANCE = 1e-7
positive = st.floats(1e-12, 1e12)


# ------------------------------------------------------------------------------------------ groups and scales
@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=8))
def test_each_block_is_in_one_group_with_blocks_that_change_the_function_comparably(blocks):
    scales, norms = map(list, zip(*blocks, strict=True))
    groups = group_blocks(scales, norms, range(len(blocks)))
    assert sorted(member.block for group in groups for member in group) == list(range(len(blocks)))
    for group in groups:
        weights = [scales[member.block] * norms[member.block] for member in group]
        assert max(weights) <= SPREAD_OF_A_GROUP * min(weights) * (1 + 1e-9)
        shares = [member.scale * norms[member.block] for member in group]
        assert shares == pytest.approx([shares[0]] * len(shares))
        assert all(member.scale <= scales[member.block] for member in group)


def test_blocks_of_comparable_weight_share_their_lines_and_weak_ones_have_lines_of_their_own():
    groups = group_blocks([1.0, 1.0, 1.0], [1.0, 0.05, 1e-6], range(3))
    assert [[member.block for member in group] for group in groups] == [[0, 1], [2]]


def test_only_the_blocks_that_were_chosen_are_put_into_groups():
    groups = group_blocks([2.0, 0.5, 3.0], [1.0, 1.0, 0.0], [0, 1])
    assert [[member.block for member in group] for group in groups] == [[0, 1]]


def test_a_block_is_displaced_by_its_size_and_further_where_it_weighs_less():
    point = {"a": np.full(4, 2.0), "b": np.full(4, 0.5), "c": np.full(4, 0.5)}
    problem = Problem(lambda p: 0.0, point, {name: np.zeros(4) for name in point})
    scales = block_scales(problem, [np.full(4, 1.0), np.full(4, 0.1), np.full(4, 1e-9)])
    assert scales[0] == pytest.approx(2.0)
    assert scales[1] == pytest.approx(20.0)  # as heavy as the first
    assert scales[2] == pytest.approx(0.5 * LARGEST_RAISE)  # capped


def test_a_block_of_zeros_takes_its_scale_from_the_others_and_one_where_all_are_zero():
    point = {"a": np.full(4, 2.0), "b": np.zeros(4)}
    problem = Problem(lambda p: 0.0, point, {name: np.zeros(4) for name in point})
    assert block_scales(problem, [np.ones(4), np.ones(4)]) == pytest.approx([2.0, 2.0])
    assert block_scales(problem, [np.ones(4), np.full(4, 10.0)]) == pytest.approx([2.0, 0.2])
    nothing = Problem(lambda p: 0.0, np.zeros(3), np.zeros(3))
    assert block_scales(nothing, [np.zeros(3)]) == [1.0]


@given(st.floats(1e-9, 1e9), st.integers(0, 2**32 - 1))
def test_scales_have_the_units_of_their_parameters(unit, seed):
    rng = np.random.default_rng(seed)
    a, b, ga, gb = rng.standard_normal((4, 5))

    def scales(factor):
        problem = Problem(lambda p: 0.0, {"a": a, "b": factor * b}, {"a": ga, "b": gb / factor})
        claimed = [ga, gb / factor]
        return block_scales(problem, claimed), coordinate_scales(problem, claimed)

    (one, ones), (other, others) = scales(1.0), scales(unit)
    assert other == pytest.approx([one[0], unit * one[1]], rel=1e-6)
    assert others[1] == pytest.approx(unit * ones[1], rel=1e-6)


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_the_root_mean_square_neither_overflows_nor_vanishes(size):
    assert rms(np.array([3.0, 4.0]) * size) == pytest.approx(math.sqrt(12.5) * size)
    assert rms(np.zeros(3)) == 0


# ------------------------------------------------------------------------------------------ the lines
def certifier(function_of, *, alpha=1e-6, seed=1, size=3, outputs=(1,), law=Law(), tolerance=TOLERANCE, **options):  # noqa: B008
    """Return a certifier of one block and some outputs, whose claim has norm 1, and the (direction, line) that it makes."""
    made = []

    def line_of(direction):
        line = KnownBlocks(function_of(direction.component(0, (size,))), sizes=outputs, **options)
        made.append((direction, line))
        return line

    pairs = {o: [Pair(o, 0, 1.0, 1.0, 1.0, 1.0, tolerance, 1e-15)] for o in range(len(outputs))}
    ends = np.cumsum([0, *outputs]).tolist()
    reader = LineReader([slice(a, b) for a, b in pairwise(ends)], seed)
    exact = Certifier(
        [Member(0, 1.0)],
        pairs,
        line_of,
        reader,
        blocks=1,
        size=size,
        seed=seed,
        stream=100,
        law=law,
        correct=alpha,
        wrong=alpha,
    )
    return exact, made


def run(exact, most=48):
    """Measure lines until all is settled, or cannot be; return what is proved of each output."""
    while exact.open and exact.count < most:
        if exact.count >= 3 and all(exact.evidence[o].hopeless(most) for o in exact.open):
            break
        exact.measure()
    for evidence in exact.evidence.values():
        evidence.conclude()
    return [evidence.pairs[0].verdict for evidence in exact.evidence.values()]


def smooth(slope):
    return lambda t: slope * t + 0.1 * t**3


def test_a_right_gradient_takes_two_lines_of_six_and_four_values():
    exact, made = certifier(lambda v: smooth(0.0))
    assert run(exact) == [Verdict.CORRECT]
    assert [line.evaluations for _, line in made] == [6, 4]


def test_a_right_derivative_of_many_outputs_takes_as_many_values():
    exact, made = certifier(lambda v: lambda t: 0.1 * t**3 * np.arange(1.0, 8.0), outputs=(1, 4, 2))
    assert run(exact) == [Verdict.CORRECT] * 3
    assert [line.evaluations for _, line in made] == [6, 4]


def test_each_line_has_a_fresh_direction():
    residual = 1.03 * residual_allowed(TOLERANCE, 1.0) * np.array([0.6, 0.0, 0.8])
    exact, made = certifier(lambda v: smooth(float(residual @ v)), alpha=0.1)
    run(exact, most=20)
    streams = [direction.stream for direction, _ in made]
    assert streams == list(range(101, 101 + len(streams)))
    evidence = exact.evidence[0]
    assert len(streams) == len(evidence.lines) == 20
    assert [line.size for line in evidence.lines] == pytest.approx(
        [abs(float(residual @ direction.component(0, (3,)))) for direction, _ in made], rel=1e-4
    )


def test_a_line_that_crosses_a_kink_is_measured_again_and_not_replaced():
    lines = []

    def function_of(v):
        # The second line crosses a kink beside the point: the discrepancy of a right claim all the same.
        lines.append(v)
        jump = 0.5 if len(lines) == 2 else 0.0
        return lambda t: 0.1 * t**3 + jump * max(t - 3e-5, 0.0)

    exact, made = certifier(function_of)
    assert run(exact) == [Verdict.CORRECT]
    first, second = (line.evaluations for _, line in made)
    assert first == 6
    assert second > 4
    assert exact.remeasured == 1
    assert len(made) == len(exact.lines) == len(exact.evidence[0].lines)  # none was left out


def test_a_mistake_ends_the_certificate_at_its_first_line():
    exact, made = certifier(lambda v: smooth(float(v @ [0.3, 0.4, 0.5])))
    assert run(exact) == [Verdict.WRONG]
    assert len(made) == 1


def test_an_output_that_is_wrong_leaves_the_others_to_be_certified():
    exact, _ = certifier(lambda v: lambda t: 0.1 * t**3 + np.array([0.0, t * v[0], 0.0]), outputs=(1, 1, 1))
    assert run(exact) == [Verdict.CORRECT, Verdict.WRONG, Verdict.CORRECT]


def test_a_kink_at_the_point_itself_ends_it_undecided():
    exact, _ = certifier(lambda v: lambda t: 0.5 * abs(t))
    assert run(exact) == [Verdict.INCONCLUSIVE]
    assert exact.evidence[0].lost is Reason.KINK


def test_an_output_with_a_kink_leaves_the_others_to_be_certified():
    exact, _ = certifier(lambda v: lambda t: np.array([0.1 * t**3, 0.5 * abs(t)]), outputs=(1, 1))
    assert run(exact) == [Verdict.CORRECT, Verdict.INCONCLUSIVE]
    assert [evidence.lost for evidence in exact.evidence.values()] == [None, Reason.KINK]


@pytest.mark.parametrize("outputs", [(1,), (2, 1)])
def test_a_function_that_cannot_be_evaluated_ends_it_undecided(outputs):
    exact, _ = certifier(lambda v: lambda t: np.full(sum(outputs), math.nan if t else 0.0), outputs=outputs)
    assert run(exact) == [Verdict.INCONCLUSIVE] * len(outputs)
    assert {evidence.lost for evidence in exact.evidence.values()} == {Reason.DOMAIN}


@pytest.mark.parametrize("outputs", [(1,), (2, 3)])
def test_noise_that_no_number_of_lines_resolves_ends_it_after_three(outputs):
    curved = np.ones(sum(outputs))
    exact, made = certifier(lambda v: lambda t: (np.sin(t) - t) * curved, outputs=outputs, noise=1e-8)
    assert run(exact) == [Verdict.INCONCLUSIVE] * len(outputs)
    assert len(made) == 3


def test_no_more_than_the_most_lines_are_made():
    residual = 0.99 * residual_allowed(TOLERANCE, 1.0)
    exact, made = certifier(lambda v: smooth(residual), size=1)
    assert run(exact, most=7) == [Verdict.INCONCLUSIVE]
    assert len(made) == 7


# ------------------------------------------------------------------------------------------ witnesses
def test_what_is_at_two_steps_far_apart_is_confirmed():
    exact, _ = certifier(lambda v: smooth(0.5))
    exact.measure()
    assert exact.confirmed(0)


def test_what_is_only_at_the_step_of_a_line_is_not_confirmed():
    # A ripple with a period of a millionth: its slope is nothing beyond, and another one below.
    exact, _ = certifier(lambda v: lambda t: 0.5 * t - 0.5e-6 * math.sin(t / 1e-6))
    exact.measure()
    assert exact.evidence[0].is_wrong()
    assert not exact.confirmed(0)


def test_a_right_claim_looks_right_at_steps_as_short_as_rounding_allows():
    exact, made = certifier(lambda v: smooth(0.0), claimed=1.0)
    run(exact)
    before = [line.evaluations for _, line in made]
    assert exact.looks_short(0)
    assert [line.evaluations for _, line in made] == [count + 1 for count in before]


def test_a_slope_that_is_there_at_short_steps_only_is_seen_by_a_short_look():
    exact, _ = certifier(lambda v: lambda t: 0.5e-8 * math.sin(t / 1e-8), claimed=1.0, tolerance=1e-3)
    assert run(exact) == [Verdict.CORRECT]
    assert not exact.looks_short(0)


def test_a_result_that_stands_still_at_short_steps_as_it_is_rounded_is_no_such_slope():
    exact, _ = certifier(lambda v: lambda t: 1e-8 * math.floor(t / 1e-8 + 0.5) - t, claimed=1.0, tolerance=1e-3)
    assert run(exact) == [Verdict.CORRECT]
    assert exact.looks_short(0)


# ------------------------------------------------------------------------------------------ unbalanced blocks
def two_blocks(share, sizes=(50, 50), units=(1.0, 1.0), seed=0):
    """A smooth cost of two blocks, the second of which has `share` of the first one's gradient."""
    rng = np.random.default_rng(seed)
    a, b = (unit * rng.standard_normal(size) for size, unit in zip(sizes, units, strict=True))
    point = {"a": a, "b": b}

    def cost(p):
        return float(np.sum(np.sin(p["a"] / units[0])) + share * np.sum(np.cos(p["b"] / units[1])))

    gradient = {"a": np.cos(a / units[0]) / units[0], "b": -share * np.sin(b / units[1]) / units[1]}
    return cost, point, gradient


@pytest.mark.parametrize("share", [1e-2, 1e-6])
def test_a_weak_block_is_certified_to_the_tolerance(share):
    report = check_gradient(*two_blocks(share), strategy="certificate", tolerance=TOLERANCE, seed=1)
    assert report.verdict is Verdict.CORRECT
    assert all(block.difference.upper <= TOLERANCE for block in report.blocks)


@pytest.mark.parametrize("share", [1e-2, 1e-6, 1e-8, 1e-10])
def test_a_weak_block_that_is_wrong_by_half_is_wrong_and_alone(share):
    cost, point, gradient = two_blocks(share)
    gradient["b"] = 1.5 * gradient["b"]
    report = check_gradient(cost, point, gradient, strategy="certificate", seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.faulty == ("b",)
    assert report.blocks[0].verdict is Verdict.CORRECT


@pytest.mark.parametrize("share", [1e-8, 1e-10])
def test_a_weak_block_beyond_the_noise_is_not_correct_at_a_tolerance_that_was_given(share):
    report = check_gradient(*two_blocks(share), strategy="certificate", tolerance=TOLERANCE, seed=1)
    strong, weak = report.blocks
    assert strong.verdict is Verdict.CORRECT
    assert weak.verdict is Verdict.INCONCLUSIVE
    assert weak.reason is Reason.NOISE
    assert weak.difference.upper > TOLERANCE


@pytest.mark.parametrize("share", [1e-8, 1e-10])
def test_a_weak_block_has_its_tolerance_raised_where_none_was_given_and_the_others_do_not(share):
    report = check_gradient(*two_blocks(share), strategy="certificate", seed=1)
    strong, weak = report.blocks
    assert report.verdict is Verdict.CORRECT
    assert strong.tolerance == 1e-7
    assert 1e-7 < weak.tolerance <= 1e-2
    assert weak.difference.upper <= weak.tolerance


def test_a_block_below_the_rounding_of_the_others_counts_as_zero():
    cost, point, gradient = two_blocks(1e-16)
    gradient["b"] = 1.5 * gradient["b"]
    report = check_gradient(cost, point, gradient, strategy="certificate", seed=1)
    assert report.verdict is Verdict.CORRECT  # nothing that the cost shows could tell


@pytest.mark.parametrize("share", [1e-13, 1e-14])
def test_a_block_above_the_rounding_of_the_others_and_below_what_tells_its_slope_is_open(share):
    cost, point, gradient = two_blocks(share)
    gradient["b"] = 1.5 * gradient["b"]
    report = check_gradient(cost, point, gradient, strategy="certificate", seed=1)
    assert report.blocks[1].verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("strategy", ["certificate", "auto"])
@pytest.mark.parametrize("units", [(1e-12, 1e12), (1e12, 1e-12), (1e-6, 1e6)])
def test_parameters_of_sizes_far_apart_are_told_right_from_wrong(units, strategy):
    cost, point, gradient = two_blocks(1.0, (40, 40), units)
    right = check_gradient(cost, point, gradient, strategy=strategy, seed=1)
    assert right.verdict is Verdict.CORRECT
    for name in point:
        wrong = gradient | {name: 1.5 * gradient[name]}
        assert check_gradient(cost, point, wrong, strategy=strategy, seed=1).faulty == (name,)


@pytest.mark.parametrize("count", [3, 30, 60])
def test_one_wrong_block_of_many_is_named_and_the_others_are_certified_without_it(count):
    rng = np.random.default_rng(count)
    point = {f"w{k}": rng.standard_normal(5) for k in range(count)}
    gradient = {name: np.cos(values) for name, values in point.items()}
    gradient["w2"] = 1.5 * gradient["w2"]
    report = check_gradient(
        lambda p: float(sum(np.sum(np.sin(values)) for values in p.values())),
        point,
        gradient,
        strategy="certificate",
        seed=1,
    )
    assert report.faulty == ("w2",)
    assert all(block.verdict is Verdict.CORRECT for block in report.blocks if block.name != "w2")
    assert report.evaluations <= 1000


# ------------------------------------------------------------------------------------------ zeros
def beside_nothing(share=0.0):
    rng = np.random.default_rng(0)
    point = {"a": rng.standard_normal(20), "b": rng.standard_normal(20)}
    gradient = {"a": np.cos(point["a"]), "b": share * np.cos(point["b"])}
    return (lambda p: float(np.sum(np.sin(p["a"])) + share * np.sum(np.sin(p["b"])))), point, gradient


@pytest.mark.parametrize("strategy", ["certificate", "auto", "coordinates"])
def test_a_block_that_is_zero_on_both_sides_is_correct_and_not_exercised(strategy):
    report = check_gradient(*beside_nothing(), strategy=strategy, seed=1)
    assert report.verdict is Verdict.CORRECT
    assert [block.not_exercised for block in report.blocks] == [0, 20]


@pytest.mark.parametrize("strategy", ["certificate", "auto", "coordinates"])
@pytest.mark.parametrize("share", [1.0, 1e-3, 1e-5])
def test_a_claim_of_zero_where_the_gradient_is_not_is_wrong(share, strategy):
    cost, point, gradient = beside_nothing(share)
    report = check_gradient(cost, point, gradient | {"b": np.zeros(20)}, strategy=strategy, seed=1)
    assert report.faulty == ("b",)


@pytest.mark.parametrize("strategy", ["certificate", "auto", "coordinates"])
@pytest.mark.parametrize("size", [1.0, 1e-5])
def test_a_claim_that_is_not_zero_where_the_gradient_is_is_wrong(size, strategy):
    cost, point, gradient = beside_nothing()
    report = check_gradient(cost, point, gradient | {"b": np.full(20, size)}, strategy=strategy, seed=1)
    assert report.faulty == ("b",)


# ------------------------------------------------------------------------------------------ what it cannot see
def masked(share=1e-6, size=60, seed=0):
    """One coordinate whose gradient is tiny beside its block's, wrong by half."""
    weights = np.ones(size)
    weights[17] = share
    point = np.random.default_rng([seed, 9]).standard_normal(size)
    gradient = weights * np.cos(point)
    gradient[17] *= 1.5
    return (lambda x: float(np.sum(weights * np.sin(x)))), point, gradient


@pytest.mark.parametrize(("size", "strategy", "verdict"), [
    (60, "coordinates", Verdict.WRONG),
    (128, "auto", Verdict.WRONG),
    (129, "auto", Verdict.CORRECT),
    (60, "certificate", Verdict.CORRECT),
])  # fmt: skip
def test_a_coordinate_that_the_norm_masks_is_seen_where_each_is_measured_and_only_there(size, strategy, verdict):
    report = check_gradient(*masked(size=size), strategy=strategy, tolerance=TOLERANCE, seed=1)
    assert report.verdict is verdict
    if verdict is Verdict.WRONG:
        assert [one.index for one in report.coordinates] == [(17,)]
        assert report.coordinates[0].ratio == pytest.approx(1.5, rel=1e-3)


def test_a_masked_coordinate_is_seen_among_hundreds():
    verdicts = {
        check_gradient(*masked(size=300, seed=seed), strategy="coordinates", tolerance=TOLERANCE, seed=seed).verdict
        for seed in range(3)
    }
    assert verdicts == {Verdict.WRONG}


def test_a_budget_too_small_for_every_coordinate_leaves_auto_with_the_certificate():
    report = check_gradient(*masked(size=60), strategy="auto", seed=1, budget=100)
    assert report.verdict is Verdict.CORRECT
    assert report.coordinates == ()


# ------------------------------------------------------------------------------------------ several points
def test_a_gradient_wrong_at_one_point_is_found_and_the_rest_of_the_report_is_about_it():
    def claimed(x):
        return np.cos(x) if x[0] > 0 else 2 * np.cos(x)

    points = [np.full(5, 0.3), np.full(5, -0.3)]
    report = check_gradient(
        lambda x: float(np.sum(np.sin(x))), np.full(5, 0.1), claimed, points=points, seed=2, strategy="certificate"
    )
    assert report.verdict is Verdict.WRONG
    assert report.where == "point 3 of 3"
    assert report.diagnoses[0].coefficient == pytest.approx(2, rel=1e-6)
    assert "point 3 of 3" in str(report)


# ------------------------------------------------------------------------------------------ what is stated
def test_the_noise_floor_is_what_the_bars_allow_and_not_what_was_seen():
    report = check_gradient(*two_blocks(1.0), strategy="certificate", seed=1)
    assert all(0 < block.noise_floor <= 1e-8 for block in report.blocks)


def test_noise_raises_the_noise_floor():
    noise = np.random.default_rng(0)
    cost, point, gradient = two_blocks(1.0)
    quiet, noisy = (
        check_gradient(function, point, gradient, strategy="certificate", seed=1).blocks[0].noise_floor
        for function in (cost, lambda p: cost(p) + 1e-8 * noise.standard_normal())
    )
    assert noisy > 100 * quiet


@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
def test_a_difference_just_above_the_resolution_is_called_wrong(strategy):
    cost, gradient = lambda x: float(np.sum(np.sin(x))), np.cos
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal(40)
        right = check_gradient(cost, x, gradient(x), strategy=strategy, seed=seed).blocks[0]
        assert right.tolerance <= right.resolution
        off = 1.05 * right.resolution
        wrong = check_gradient(cost, x, gradient(x) * (1 + off) / (1 - off), strategy=strategy, seed=100 + seed)
        assert wrong.verdict is Verdict.WRONG


def test_one_of_several_blocks_has_a_coarser_resolution():
    report = check_gradient(*two_blocks(1.0), strategy="certificate", seed=1)
    for block in report.blocks:
        assert 3 * block.tolerance < block.resolution < 30 * block.tolerance  # eight lines of its own, not 48


def test_where_noise_is_all_that_is_seen_no_difference_near_the_tolerance_would_have_been_called_wrong():
    noise = np.random.default_rng(0)
    cost, point, gradient = two_blocks(1.0)
    report = check_gradient(
        lambda p: cost(p) + 1e-4 * noise.standard_normal(), point, gradient, strategy="certificate", seed=1
    )
    assert all(block.resolution > 10 * block.tolerance for block in report.blocks)


def test_a_wrong_block_has_a_resolution_too():
    cost, point, gradient = two_blocks(1.0)
    report = check_gradient(cost, point, gradient | {"b": 1.5 * gradient["b"]}, strategy="certificate", seed=1)
    assert report.blocks[1].resolution < 1e-3


def test_no_estimate_lies_above_its_upper_bound():
    report = check_gradient(*two_blocks(1.0, (40, 40), (1e-12, 1e12)), strategy="auto", seed=1)
    assert all(block.difference.estimate <= block.difference.upper for block in report.blocks)
