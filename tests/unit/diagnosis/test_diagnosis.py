"""Naming the cause from synthetic measurements: the right name, no wrong one, and how many probes that takes."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from gradproof import Verdict, check_gradient, check_jacobian, check_scipy
from gradproof._diagnosis.evidence import Evidence, Probe
from gradproof._diagnosis.fitting import probes_needed
from gradproof._diagnosis.naming import diagnose
from gradproof._diagnosis.telling import describe_number, telling_value
from gradproof._words.directions import BlockDirection, Coordinate, Slab
from gradproof._words.precision import round_to
from gradproof._words.results import Cause
from gradproof.testing import gallery, mutants


def evidence(
    true,
    claimed,
    point=None,
    *,
    faulty=None,
    lines=5,
    bar=1e-9,
    coordinates=False,
    located=None,
    counts=None,
    dtype="float64",
):
    """Measure the true gradient with errors drawn uniformly within bars relative to each block's norm."""
    rng = np.random.default_rng(5)
    names = tuple(true)
    total = math.sqrt(sum(float(np.sum(block**2)) for block in true.values()))
    wrong = [name for name in names if not np.array_equal(true[name], claimed[name])] if faulty is None else faulty
    probes = {}
    for block, name in enumerate(names):
        flat = np.asarray(true[name], dtype=np.float64).ravel()
        half = bar * max(float(np.linalg.norm(flat)), 1e-3 * total)
        recipes = [BlockDirection(seed=9, stream=stream, block=block, scale=1.0) for stream in range(lines)]
        if coordinates:
            recipes = [Coordinate(block, index) for index in range(flat.size)] + recipes
        probes[block] = [
            Probe(
                direction=recipe,
                value=float(flat @ recipe.component(block, true[name].shape)) + half * rng.uniform(-1, 1),
                bar=half,
            )
            for recipe in recipes
        ]
    point = point or {name: rng.standard_normal(block.shape) for name, block in true.items()}
    return Evidence(
        names=names,
        shapes=tuple(block.shape for block in true.values()),
        dtypes=(dtype,) * len(names),
        claimed=[np.asarray(claimed[name], dtype=np.float64).ravel() for name in names],
        point=[point[name].ravel() for name in names],
        faulty=tuple(names.index(name) for name in wrong),
        probes=probes,
        located={names.index(name): slabs for name, slabs in (located or {}).items()},
        counts=counts or {},
    )


def only(true, claimed, *arguments, **options):
    """Diagnose; expect exactly one finding, and that its remedy, if there is one, restores the true gradient."""
    (finding,) = diagnose(evidence(true, claimed, *arguments, **options))
    names = list(true)
    for block, corrected in finding.corrected.items():
        right = true[names[block]].ravel()
        assert np.linalg.norm(corrected() - right) <= 1e-6 * max(np.linalg.norm(right), 1e-3)
    return finding.diagnosis


@pytest.fixture
def network_like(rng):
    return {"W1": rng.standard_normal((7, 7)), "b1": rng.standard_normal((7, 1)), "W2": rng.standard_normal((5, 7))}


def changed(true, **blocks):
    return {**true, **blocks}


# --- one cause each ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "text", "remedy"),
    [
        (2.0, "2 × the true one", "W2 / 2"),
        (0.25, "1/4 × the true one", "4 * W2"),
        (1.001, "1.001 × the true one", "W2 / 1.001"),
        (-3.0, "-3 × the true one", "W2 / (-3)"),
        (math.pi, "π × the true one", f"W2 / {math.pi!r}"),
        (1 / 35, "1/35 × the true one (35 is the number of entries of W2)", "35 * W2"),
        (32.0, "32 × the true one (32 is the number of samples)", "W2 / 32"),
        (7 / 6, "7/6 × the true one (7 is the number of rows of W1)", f"W2 / {7 / 6!r}"),
    ],
)
def test_a_factor_is_named_with_where_its_value_comes_from(network_like, factor, text, remedy):
    claimed = changed(network_like, W2=factor * network_like["W2"])
    diagnosis = only(network_like, claimed, counts={"samples": 32})
    assert diagnosis.cause is Cause.FACTOR
    assert diagnosis.sentence == f"The gradient of W2 is {text}."
    assert diagnosis.remedy == remedy
    assert abs(diagnosis.coefficient - factor) <= diagnosis.coefficient_bar


def test_a_factor_without_meaning_is_given_with_its_digits(network_like):
    diagnosis = only(network_like, changed(network_like, W2=1.7320913 * network_like["W2"]))
    assert diagnosis.cause is Cause.FACTOR
    assert "1.73209 × the true one" in diagnosis.sentence
    assert abs(float(diagnosis.remedy.removeprefix("W2 / ")) - 1.7320913) < 1e-7


def test_the_sign(network_like):
    diagnosis = only(network_like, changed(network_like, b1=-network_like["b1"]))
    assert (diagnosis.cause, diagnosis.coefficient, diagnosis.remedy) == (Cause.SIGN, -1.0, "-b1")


def test_one_factor_in_every_block_is_one_finding(network_like):
    diagnosis = only(network_like, {name: 6 * block for name, block in network_like.items()}, counts={"samples": 6})
    assert diagnosis.cause is Cause.COMMON_FACTOR
    assert diagnosis.block == ""
    assert "6 × the true one (6 is the number of samples): a sum where" in diagnosis.sentence


def test_one_factor_in_every_block_but_a_zero_one_is_common_too(network_like):
    true = changed(network_like, b1=np.zeros((7, 1)))
    assert only(true, {name: 6 * block for name, block in true.items()}).cause is Cause.COMMON_FACTOR


def test_one_factor_in_some_blocks_only_is_named_for_each(network_like):
    claimed = changed(network_like, W1=2 * network_like["W1"], b1=2 * network_like["b1"])
    found = diagnose(evidence(network_like, claimed))
    assert [(one.diagnosis.cause, one.diagnosis.block) for one in found] == [(Cause.FACTOR, "W1"), (Cause.FACTOR, "b1")]


def test_the_opposite_sign_everywhere_is_a_sign(network_like):
    assert only(network_like, {name: -block for name, block in network_like.items()}).cause is Cause.SIGN


@pytest.mark.parametrize(
    ("mistake", "cause", "remedy"),
    [
        (lambda W: W.T, Cause.TRANSPOSE, "W1.T"),
        (lambda W: W[::-1], Cause.FLIP, "np.flip(W1, axis=0)"),
        (lambda W: W[::-1, ::-1], Cause.FLIP, "np.flip(W1, axis=(0, 1))"),
        (lambda W: np.roll(W, 1, 1), Cause.ROLL, "np.roll(W1, -1, axis=1)"),
        (lambda W: 2 * W.T, Cause.TRANSPOSE, "W1.T / 2"),
    ],
)
def test_entries_at_other_places(network_like, mistake, cause, remedy):
    diagnosis = only(network_like, changed(network_like, W1=mistake(network_like["W1"]).copy()))
    assert (diagnosis.cause, diagnosis.remedy) == (cause, remedy)


def test_an_array_reshaped_in_the_wrong_order(network_like):
    diagnosis = only(network_like, changed(network_like, W2=network_like["W2"].T.reshape(5, 7)))
    assert (diagnosis.cause, diagnosis.remedy) == (Cause.PERMUTED_AXES, "W2.reshape(7, 5).T")


def test_axes_of_a_kernel_permuted(rng):
    true = {"kernel": rng.standard_normal((4, 3, 3))}
    diagnosis = only(true, {"kernel": true["kernel"].transpose(0, 2, 1).copy()})
    assert (diagnosis.cause, diagnosis.remedy) == (Cause.PERMUTED_AXES, "kernel.transpose(0, 2, 1)")


@pytest.mark.parametrize(("coefficient", "words"), [(-0.01, "lacks 0.01 × θ.W2"), (0.1, "has 0.1 × θ.W2 too much")])
def test_weight_decay_forgotten_or_counted_twice(network_like, rng, coefficient, words):
    point = {name: rng.standard_normal(block.shape) for name, block in network_like.items()}
    claimed = changed(network_like, W2=network_like["W2"] + coefficient * point["W2"])
    diagnosis = only(network_like, claimed, point)
    assert diagnosis.cause is Cause.PARAMETER_TERM
    assert words in diagnosis.sentence
    assert "weight decay" in diagnosis.sentence
    assert diagnosis.coefficient == coefficient


def test_an_l1_penalty_forgotten(network_like, rng):
    point = {name: rng.standard_normal(block.shape) for name, block in network_like.items()}
    claimed = changed(network_like, W2=network_like["W2"] - 0.02 * np.sign(point["W2"]))
    diagnosis = only(network_like, claimed, point)
    assert diagnosis.cause is Cause.PARAMETER_TERM
    assert "sign(θ.W2)" in diagnosis.remedy


def test_a_constant_added(network_like):
    diagnosis = only(network_like, changed(network_like, W2=network_like["W2"] + 0.3))
    assert (diagnosis.cause, diagnosis.remedy) == (Cause.OFFSET, "W2 - 0.3")


def test_zero_where_the_truth_is_not_and_the_reverse(network_like, rng):
    diagnosis = only(network_like, changed(network_like, W2=np.zeros((5, 7))))
    assert diagnosis.cause is Cause.ZERO
    true = changed(network_like, W2=np.zeros((5, 7)))
    diagnosis = only(true, changed(true, W2=rng.standard_normal((5, 7))))
    assert diagnosis.cause is Cause.NOT_ZERO


def test_siblings_exchanged_are_one_finding(rng):
    true = {"query": rng.standard_normal((4, 4)), "key": rng.standard_normal((4, 4)), "b": rng.standard_normal(4)}
    diagnosis = only(true, {"query": true["key"], "key": true["query"], "b": true["b"]})
    assert (diagnosis.cause, diagnosis.block, diagnosis.where) == (Cause.SWAPPED, "query", "key")


def test_three_siblings_in_a_circle_are_named_one_by_one(rng):
    true = {name: rng.standard_normal((4, 4)) for name in "abc"}
    found = diagnose(evidence(true, {"a": true["b"], "b": true["c"], "c": true["a"]}))
    assert [(one.diagnosis.block, one.diagnosis.where) for one in found] == [("a", "c"), ("b", "a"), ("c", "b")]
    assert {one.diagnosis.cause for one in found} == {Cause.SWAPPED}


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_claim_that_went_through_a_lower_precision(network_like, precision):
    diagnosis = only(network_like, changed(network_like, W1=round_to(network_like["W1"], precision)))
    assert (diagnosis.cause, diagnosis.where) == (Cause.LOW_PRECISION, precision)


@pytest.mark.parametrize(("size", "single"), [(3e-7, True), (1e-4, False)])
def test_the_size_of_an_error_alone_names_no_precision(network_like, rng, size, single):
    off = network_like["W1"] * (1 + size * rng.standard_normal((7, 7)))
    diagnosis = only(network_like, changed(network_like, W1=off), bar=1e-11)
    assert diagnosis.cause is Cause.UNKNOWN
    assert "of a solver's tolerance, or of a finite difference in the claim" in diagnosis.sentence
    assert ("single precision inside the computation" in diagnosis.sentence) is single


def test_a_large_error_has_no_such_explanation(network_like, rng):
    off = network_like["W1"] * (1 + 0.1 * rng.standard_normal((7, 7)))
    assert "solver" not in only(network_like, changed(network_like, W1=off), bar=1e-11).sentence


def test_entries_that_rounding_spared_do_not_make_it_a_matter_of_some_entries(rng):
    true = {"b": np.array([0.5, *rng.standard_normal(6)])}
    parts = tuple((Slab(None, j, j + 1),) for j in range(1, 7))
    diagnosis = only(true, {"b": round_to(true["b"], "float16")}, located={"b": parts})
    assert (diagnosis.cause, diagnosis.where) == (Cause.LOW_PRECISION, "float16")


def test_small_whole_numbers_are_no_sign_of_low_precision():
    true = {"w": np.array([1.0, 2.001, 3.0, -4.0, 5.003, 2.0])}
    assert only(true, {"w": np.round(true["w"])}).cause is Cause.UNKNOWN


def test_a_bias_summed_over_its_units_too(network_like):
    total = np.full((7, 1), network_like["b1"].sum())
    assert only(network_like, changed(network_like, b1=total)).cause is Cause.NOT_SUMMED


def test_a_bias_with_one_samples_error(rng):
    errors, inputs = rng.standard_normal((12, 4)), rng.standard_normal((4, 9))
    true = {"W": errors @ inputs / 4, "b": errors.mean(axis=1)}
    diagnosis = only(true, {"W": true["W"], "b": errors[:, 0]})
    assert (diagnosis.cause, diagnosis.where) == (Cause.NOT_SUMMED, "W")


def test_a_bias_outside_the_span_of_its_layers_errors_is_not_called_unsummed(rng):
    errors, inputs = rng.standard_normal((12, 4)), rng.standard_normal((4, 9))
    true = {"W": errors @ inputs / 4, "b": errors.mean(axis=1)}
    assert only(true, {"W": true["W"], "b": rng.standard_normal(12)}).cause is Cause.UNKNOWN


# --- parts ------------------------------------------------------------------------------------------------------------


def test_one_wrong_entry_is_found_from_five_lines_without_a_search(network_like):
    wrong = network_like["W1"].copy()
    wrong[2, 5] += 0.01
    diagnosis = only(network_like, changed(network_like, W1=wrong))
    assert (diagnosis.cause, diagnosis.where) == (Cause.COORDINATES, "entry [2, 5]")


def test_one_wrong_entry_is_found_among_a_hundred_thousand(rng):
    true = {"w": rng.standard_normal(100_000)}
    wrong = true["w"].copy()
    wrong[77_777] *= -1
    diagnosis = only(true, {"w": wrong})
    assert (diagnosis.cause, diagnosis.where, diagnosis.remedy) == (
        Cause.COORDINATES,
        "entry 77777",
        "w[77777] = -w[77777]",
    )


@pytest.mark.parametrize(("axis", "noun", "code"), [(0, "row 3", "W2[3]"), (1, "column 3", "W2[:, 3]")])
def test_one_row_or_column_by_a_factor_is_found_from_five_lines(network_like, axis, noun, code):
    wrong = network_like["W2"].copy()
    wrong[(slice(None),) * axis + (3,)] *= 2
    diagnosis = only(network_like, changed(network_like, W2=wrong))
    assert (diagnosis.cause, diagnosis.where, diagnosis.remedy) == (Cause.SLICES, noun, f"{code} = {code} / 2")


@pytest.mark.parametrize(
    ("slabs", "spoil", "cause", "words"),
    [
        ((Slab(0, 2, 3),), lambda W: W.__setitem__(2, 0), Cause.SLICES, "Row 2 of the gradient of W2 is zero"),
        ((Slab(1, 0, 2),), lambda W: W.__setitem__((slice(None), slice(0, 2)), 1), Cause.SLICES, "Columns 0 and 1"),
        ((Slab(None, 7, 14),), lambda W: W.__setitem__(1, 0), Cause.SLICES, "Row 1 of"),
        ((Slab(None, 3, 4), Slab(None, 12, 13)), lambda W: W.flat.__setitem__([3, 12], 9), Cause.COORDINATES, "Entries [0, 3] and [1, 5]"),
        (((Slab(0, 2, 3), Slab(1, 3, 4)),), lambda W: W.__setitem__((2, 3), -W[2, 3]), Cause.COORDINATES, "Entry [2, 3] of the gradient of W2 is of the opposite sign"),
        (((Slab(1, 3, 4),), (Slab(1, 5, 6),)), lambda W: W.__setitem__((slice(None), [3, 5]), 2 * W[:, [3, 5]]), Cause.SLICES, "Columns 3 and 5 of the gradient of W2 are 2 × the true one"),
        ((Slab(0, 1, 2), Slab(0, 4, 5)), lambda W: W.__setitem__([1, 4], W[[4, 1]]), Cause.SLICES, "Rows 1 and 4 of the gradient of W2 are exchanged"),
    ],
)  # fmt: skip
def test_what_the_search_located_is_named(network_like, slabs, spoil, cause, words):
    wrong = network_like["W2"].copy()
    spoil(wrong)
    diagnosis = only(network_like, changed(network_like, W2=wrong), located={"W2": slabs})
    assert diagnosis.cause is cause
    assert words in diagnosis.sentence


def test_rows_are_recognised_from_coordinates(network_like):
    wrong = network_like["W1"].copy()
    wrong[[1, 6]] += 1.0
    diagnosis = only(network_like, changed(network_like, W1=wrong), coordinates=True)
    assert (diagnosis.cause, diagnosis.where) == (Cause.SLICES, "rows 1 and 6")


def test_scattered_coordinates_are_recognised_from_coordinates(network_like):
    wrong = network_like["W1"].copy()
    wrong.flat[[1, 9, 30]] += 1.0
    diagnosis = only(network_like, changed(network_like, W1=wrong), coordinates=True)
    assert (diagnosis.cause, diagnosis.where) == (Cause.COORDINATES, "entries [0, 1], [1, 2] and [4, 2]")


def test_a_block_with_dead_rows_doubled_is_a_factor_and_not_the_rows_that_live(network_like):
    true = changed(network_like, W1=network_like["W1"] * np.array([[1], [0], [0], [1], [0], [1], [0]]))
    diagnosis = only(true, changed(true, W1=2 * true["W1"]), coordinates=True)
    assert (diagnosis.cause, diagnosis.coefficient) == (Cause.FACTOR, 2.0)


def test_a_missing_row_is_a_row_even_where_dead_columns_hide_part_of_it(network_like):
    true = changed(network_like, W2=network_like["W2"] * np.array([1, 0, 1, 1, 0, 1, 1]))
    wrong = true["W2"].copy()
    wrong[3] = 0
    parts = tuple((Slab(0, 3, 4), Slab(1, j, j + 1)) for j in (0, 2, 3, 5, 6))
    diagnosis = only(true, changed(true, W2=wrong), located={"W2": parts})
    assert (diagnosis.cause, diagnosis.where) == (Cause.SLICES, "row 3")


def test_a_missing_column_of_a_large_block_is_seen_in_the_claim(rng):
    true = {"W": rng.standard_normal((60, 50))}
    wrong = true["W"].copy()
    wrong[:, 7] = 0
    diagnosis = only(true, {"W": wrong})
    assert (diagnosis.cause, diagnosis.where) == (Cause.SLICES, "column 7")
    assert "may have been left out, which was not tested" in diagnosis.sentence


def network_of_samples(rng, samples):
    """Return a cost with a rectifier, its gradient, and a point; the gradient of some samples, over their number, too."""
    inputs, out = rng.standard_normal((40, samples)), rng.standard_normal(30)
    cost = lambda W: float(np.mean(np.tanh(out @ np.maximum(W @ inputs, 0))))

    def gradient(W, chosen=slice(None)):
        x = inputs[:, chosen]
        z = W @ x
        return (out[:, None] * (z > 0) * (1 - np.tanh(out @ np.maximum(z, 0)) ** 2)) @ x.T / x.shape[1]

    return cost, gradient, rng.standard_normal((30, 40)) / 6


@pytest.mark.parametrize("seed", range(5))
def test_a_gradient_of_the_last_sample_only_is_not_said_to_be_left_out_where_it_is_zero(seed):
    cost, gradient, W = network_of_samples(np.random.default_rng(seed), 3)
    W[0] = np.abs(W[0])  # some unit is dead for the last sample and not for the others
    report = check_gradient(cost, W, gradient(W, [-1]), strategy="certificate", seed=seed)
    assert report.verdict is Verdict.WRONG
    assert not any("left out" in diagnosis.sentence for diagnosis in report.diagnoses)


@pytest.mark.parametrize("seed", range(5))
def test_columns_that_are_left_out_are_named_once_the_rest_is_found_right(seed):
    cost, gradient, W = network_of_samples(np.random.default_rng(seed), 20)
    claimed = gradient(W)
    claimed[:, [3, 17]] = 0
    report = check_gradient(cost, W, claimed, strategy="certificate", seed=seed)
    (diagnosis,) = report.diagnoses
    assert (diagnosis.cause, diagnosis.where) == (Cause.SLICES, "columns 3 and 17")
    assert "not tested" not in diagnosis.sentence


def test_many_rows_of_zeros_are_dead_units_and_not_blamed(rng):
    true = {"W": rng.standard_normal((60, 50))}
    true["W"][::6] = 0
    claimed = true["W"] + 0.4 * rng.standard_normal((60, 50)) * (true["W"] != 0)
    assert only(true, {"W": claimed}).cause is Cause.UNKNOWN


def test_entries_not_zero_where_the_truth_is(network_like):
    true = changed(network_like, W2=network_like["W2"].copy())
    true["W2"][3] = 0
    diagnosis = only(true, changed(true, W2=network_like["W2"]), located={"W2": (Slab(0, 3, 4),)})
    assert "not zero where the true gradient is zero" in diagnosis.sentence


def test_entries_left_out_here_and_there_of_a_large_block(rng):
    true = {"W": rng.standard_normal((60, 50))}
    claimed = true["W"].copy()
    claimed.flat[rng.choice(3000, 60, replace=False)] = 0
    diagnosis = only(true, {"W": claimed})
    assert (diagnosis.cause, diagnosis.where) == (Cause.COORDINATES, "the 60 entries that are zero")


def test_zero_entries_that_do_not_explain_the_error_are_not_blamed(rng):
    true = {"W": rng.standard_normal((60, 50))}
    true["W"].flat[[5, 700]] = 0
    claimed = true["W"] + 0.5 * rng.standard_normal((60, 50)) * (true["W"] != 0)
    assert only(true, {"W": claimed}).cause is Cause.UNKNOWN


# --- degenerate cases, limits -----------------------------------------------------------------------------------------


def test_a_single_number_is_named_by_its_telling_value(rng):
    true = {"b": np.array([[0.37219]]), "W": rng.standard_normal((3, 3))}
    assert only(true, changed(true, b=2 * true["b"])).coefficient == 2.0


def test_a_single_number_without_a_telling_value_has_every_cause_that_fits(rng):
    true = {"b": np.array([[0.37219]]), "W": rng.standard_normal((3, 3))}
    found = diagnose(evidence(true, changed(true, b=1.2345678 * true["b"])))
    assert {one.diagnosis.cause for one in found} == {Cause.FACTOR, Cause.PARAMETER_TERM, Cause.OFFSET}
    assert found[0].diagnosis.cause is Cause.FACTOR


def test_a_single_number_off_by_less_than_the_bar_is_given_no_name(rng):
    true = {"a": np.array(0.37219), "b": np.array(0.372191)}
    diagnosis = only(true, changed(true, b=true["b"] * 1.000001), bar=1e-3)
    assert diagnosis.cause is Cause.UNKNOWN


def test_a_gradient_parallel_to_the_parameters_prefers_the_telling_coefficient(rng):
    true = {"W": rng.standard_normal((4, 5))}
    point = {"W": 1.618 * true["W"]}
    assert only(true, {"W": 2 * true["W"]}, point).cause is Cause.FACTOR
    assert only(true, {"W": true["W"] + 0.01 * point["W"]}, point).cause is Cause.PARAMETER_TERM


def test_a_symmetric_block_doubled_is_not_called_transposed(rng):
    half = rng.standard_normal((5, 5))
    true = {"W": half + half.T}
    assert only(true, {"W": 2 * true["W"]}).cause is Cause.FACTOR


def test_a_zero_parameter_has_no_weight_decay_to_be_blamed(rng):
    true = {"b": rng.standard_normal(6)}
    assert only(true, {"b": true["b"] + 0.2}, {"b": np.zeros(6)}).cause is Cause.OFFSET


def test_too_few_or_too_wide_probes_name_nothing_but_say_what_would_fit(network_like):
    claimed = changed(network_like, W1=1.37 * network_like["W1"])
    for options in ({"lines": 2, "bar": 1e-2}, {"lines": 1}):
        diagnosis = only(network_like, claimed, **options)
        assert diagnosis.cause is Cause.UNKNOWN
        assert "What was measured would agree with this: the gradient of W1 is 1." in diagnosis.sentence


def test_no_probe_at_all_is_unknown(network_like):
    assert only(network_like, changed(network_like, W1=2 * network_like["W1"]), lines=0).cause is Cause.UNKNOWN


def test_a_claim_that_is_not_finite_is_left_to_who_found_it(network_like):
    assert diagnose(evidence(network_like, changed(network_like, W1=np.full((7, 7), np.nan)))) == ()


def test_a_copy_of_a_sibling_is_mentioned(rng):
    true = {"query": rng.standard_normal((4, 4)), "key": rng.standard_normal((4, 4))}
    diagnosis = only(true, {"query": true["key"], "key": true["key"]})
    assert (diagnosis.cause, diagnosis.block) == (Cause.UNKNOWN, "query")
    assert "it is a copy of the gradient of key" in diagnosis.sentence


def test_an_unknown_cause_says_how_large_the_residual_is_and_what_it_goes_with(network_like, rng):
    noise = rng.standard_normal((7, 7))
    claimed = changed(network_like, W1=network_like["W1"] * (1.5 + 0.5 * (noise > 0)))
    sentence = only(network_like, claimed, lines=20).sentence
    assert "times as large as the claim" in sentence
    assert "its correlation with the claim is +" in sentence


def test_single_precision_blocks_are_judged_with_their_rounding(rng):
    exact = {"W": rng.standard_normal((30, 20))}
    claimed = {"W": (3 * exact["W"]).astype(np.float32).astype(np.float64)}
    assert only(exact, claimed, bar=1e-6, dtype="float32", lines=7).coefficient == 3.0


def test_a_lone_array_is_called_the_gradient(rng):
    true = {"point": rng.standard_normal(9)}
    diagnosis = only(true, {"point": 2 * true["point"]})
    assert (diagnosis.sentence, diagnosis.remedy) == ("The gradient is 2 × the true one.", "gradient / 2")


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000, 100_000])
def test_a_factor_is_named_at_every_size(size, rng):
    true = {"w": rng.standard_normal(size)}
    diagnosis = only(true, {"w": 4 * true["w"]})
    assert (diagnosis.cause, diagnosis.coefficient) == (Cause.FACTOR, 4.0)


@pytest.mark.parametrize(("bar", "extra"), [(0.0, 1), (4e-9, 1), (1e-4, 2), (1e-3, 3), (5e-3, 4)])
def test_the_number_of_probes_grows_with_their_bars(bar, extra):
    assert probes_needed(bar) == 1 + extra
    assert probes_needed(bar, coefficients=2) == 2 + extra


# --- telling values ---------------------------------------------------------------------------------------------------


def around(value, relative):
    return value - abs(value) * relative, value + abs(value) * relative


@pytest.mark.parametrize(
    ("value", "bar", "text"),
    [
        (2.01, 1e-2, "2"),
        (-1.0, 1e-2, "-1"),
        (17.0, 1e-6, "17"),
        (1.37, 1e-8, "1.37"),
        (math.sqrt(5), 1e-8, "√5"),
        (25.0, 1e-8, "5²"),
        (0.9999, 1e-9, "0.9999"),
        (1.37, 1e-2, None),
        (1.2345678, 1e-9, None),
        (17.3, 5e-2, None),
        (2.5, 0.5, None),
    ],
)
def test_a_value_is_telling_only_where_the_bar_leaves_little_to_chance(value, bar, text):
    found = telling_value(*around(value, bar), {5: "the number of rows of W1"})
    assert (found.text if found else None) == text


def test_a_coefficient_that_may_be_zero_or_infinite_tells_nothing():
    assert telling_value(-1.0, 1.0, {}) is None
    assert telling_value(-math.inf, math.inf, {}) is None


def test_numbers_without_meaning_are_hardly_ever_called_telling(rng):
    counts = dict.fromkeys((5, 7, 20, 64, 128, 960), "a count")
    values = np.exp(rng.uniform(-3, 3, 3000))
    named = sum(telling_value(*around(value, 1e-6), counts) is not None for value in values)
    assert named <= 30


def test_digits_follow_the_bar():
    assert describe_number(*around(1.23456789, 1e-3)) == "1.23"
    assert describe_number(*around(1.23456789, 1e-12)) == "1.23457"
    assert describe_number(*around(20.3, 5e-2)) == "20"
    assert describe_number(0.0, 0.0) == "0"


# --- power and false naming over the gallery --------------------------------------------------------------------------


def tally(*, bar, lines, coordinates=False, seed=0):
    """Count (planted cause, named causes) over gallery and mutants; slices are given as located where lines alone cannot."""
    counts: Counter[str] = Counter()
    for problem in gallery(seed):
        for mutant in mutants(problem.gradient, problem.point, seed=seed):
            if mutant.cause is Cause.NON_FINITE:
                continue
            located = {}
            for name in mutant.blocks if mutant.cause is Cause.SLICES else ():
                places = np.nonzero(mutant.gradient[name] != problem.gradient[name])
                axis = next(axis for axis, place in enumerate(places) if np.unique(place).size == 1)
                located[name] = (Slab(axis, int(places[axis][0]), int(places[axis][0]) + 1),)
            found = diagnose(
                evidence(
                    problem.gradient,
                    mutant.gradient,
                    problem.point,
                    faulty=mutant.blocks,
                    lines=lines,
                    bar=bar,
                    coordinates=coordinates,
                    located=located,
                )
            )
            first = found[0].diagnosis.cause
            key = "right" if first is mutant.cause else "unknown" if first is Cause.UNKNOWN else "false"
            counts[key] += 1
    return counts


@pytest.mark.parametrize("coordinates", [False, True])
def test_at_least_95_percent_of_the_causes_are_named_and_none_falsely(coordinates):
    counts = tally(bar=1e-9, lines=5, coordinates=coordinates)
    assert counts["right"] >= 0.95 * counts.total()
    assert counts["false"] == 0


@pytest.mark.parametrize(("bar", "lines"), [(1e-6, 4), (1e-4, 6), (1e-3, 6), (1e-2, 9), (5e-2, 20)])
def test_wide_bars_make_causes_unknown_rather_than_wrong(bar, lines):
    counts = tally(bar=bar, lines=lines)
    assert counts["false"] <= 0.005 * counts.total()
    assert counts["right"] >= 0.5 * counts.total()


def test_random_residuals_are_never_given_a_name():
    # Not below 1e-4: a dense residual of some 1e-6 is what single precision leaves, and is called that.
    rng = np.random.default_rng(11)
    for _ in range(300):
        shape = tuple(int(n) for n in rng.integers(2, 9, size=int(rng.integers(1, 4))))
        if math.prod(shape) < 4:
            continue
        true = {"W": rng.standard_normal(shape), "V": rng.standard_normal(shape)}
        claimed = changed(true, W=true["W"] + 10.0 ** rng.uniform(-4, 1) * rng.standard_normal(shape))
        diagnosis = only(true, claimed, bar=1e-9)
        assert diagnosis.cause is Cause.UNKNOWN


# --- what is printed is what is certified -----------------------------------------------------------------------------


def smooth(rng):
    inputs = rng.standard_normal((28, 6))
    cost = lambda w: float(np.sum(np.tanh(inputs @ w) ** 2))
    return cost, lambda w: inputs.T @ (2 * np.tanh(inputs @ w) * (1 - np.tanh(inputs @ w) ** 2)), 0.3 * np.ones(6)


@pytest.mark.parametrize("factor", [1 / 28, 0.035712345678, -1 / 3, 1.0000034567, 6022.1408, 1.3e-4])
@pytest.mark.parametrize("seed", range(3))
def test_a_remedy_certifies_as_it_is_printed(factor, seed):
    cost, gradient, w = smooth(np.random.default_rng(seed))
    report = check_gradient(cost, w, factor * gradient(w), seed=seed)
    (diagnosis,) = report.diagnoses
    assert diagnosis.certified_remedy
    mended = eval(diagnosis.certified_remedy, {"gradient": factor * gradient(w)})
    assert check_gradient(cost, w, mended, seed=seed + 100).verdict is Verdict.CORRECT
    assert " 1 × " not in diagnosis.sentence


@pytest.mark.parametrize("factor", [1 / 28, 0.035712345678, -1, 32])
def test_the_remedy_of_a_jacobian_divides_by_what_it_prints(rng, factor):
    inputs = rng.standard_normal((28, 6))
    function = lambda w: np.tanh(inputs @ w)
    right = lambda w: (1 - np.tanh(inputs @ w) ** 2)[:, None] * inputs
    w = 0.3 * np.ones(6)
    report = check_jacobian(function, lambda w: factor * right(w), w, seed=1)
    (diagnosis,) = report.diagnoses
    code = diagnosis.certified_remedy.replace("the derivative of output", "J")
    assert check_jacobian(function, eval(code, {"J": factor * right(w)}), w, seed=2).verdict is Verdict.CORRECT


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_factor_is_written_with_the_digits_that_are_known(rng, seed):
    inputs, noise = rng.standard_normal((28, 6)), np.random.default_rng(5)
    function = lambda w: np.tanh(inputs @ w) + 1e-6 * noise.standard_normal(28)
    claimed = lambda w: 32 * (1 - np.tanh(inputs @ w) ** 2)[:, None] * inputs
    report = check_jacobian(function, claimed, 0.3 * np.ones(6), seed=seed)
    assert report.diagnoses[0].sentence == "The claimed derivative of output is 32 times the true one."
    assert report.diagnoses[0].certified_remedy == "the derivative of output / 32"


@pytest.mark.parametrize(
    ("middle", "bar", "text"),
    [(32.0026, 0.06, "32"), (1 / 3, 1e-6, "0.3333333"), (20.0, 1.0, "20"), (-6.0221408e23, 1e15, "-6.0221408e+23")],
)
def test_a_decimal_is_as_short_as_a_twentieth_of_the_bar_allows(middle, bar, text):
    from gradproof._diagnosis.telling import nearby_decimal

    written, value = nearby_decimal(middle, bar)
    assert written == text
    assert float(written) == value
    assert abs(value - middle) <= bar / 20


def test_a_cause_whose_remedy_is_not_certified_is_not_asserted(rng):
    cost, gradient, w = smooth(rng)
    hedged = 0
    for seed in range(4):
        noise = np.random.default_rng(5)
        noisy = lambda w, noise=noise: cost(w) + 3e-3 * noise.standard_normal()
        report = check_gradient(noisy, w, 32 * gradient(w), seed=seed)
        assert report.verdict is Verdict.WRONG
        for diagnosis in report.diagnoses:
            named = diagnosis.cause in {Cause.FACTOR, Cause.FLIP, Cause.PARAMETER_TERM, Cause.OFFSET, Cause.SIGN}
            assert not named or diagnosis.certified_remedy or "which is not certified: the " in diagnosis.sentence
            hedged += "which is not certified: " in diagnosis.sentence
    assert hedged >= 2


def test_at_bounds_a_remedy_is_certified_by_the_coordinates(rng):
    cost, gradient, w = smooth(rng)
    bounds = (w, np.where(np.arange(6) < 3, np.inf, w + 1))
    report = check_scipy(cost, w, lambda w: 2 * gradient(w), bounds=bounds, seed=1)
    (diagnosis,) = report.diagnoses
    assert diagnosis.certified_remedy == "gradient / 2"
    assert diagnosis.certified_to <= report.tolerance
    crooked = lambda w: 2 * gradient(w) * (1 + 1e-6 * (np.arange(6) == 1))
    other = check_scipy(cost, w, crooked, bounds=bounds, seed=1)
    assert not any(diagnosis.certified_remedy for diagnosis in other.diagnoses)


@pytest.mark.parametrize("count", [2, 3, 4, 10])
def test_a_small_count_is_not_offered_as_the_origin_of_a_small_factor(count):
    assert telling_value(count - 1e-9, count + 1e-9, {count: "the number of columns of W1"}).why == ""
    assert telling_value(12 - 1e-9, 12 + 1e-9, {12: "the number of rows of W1"}).why == "12 is the number of rows of W1"
