"""Every way in which what was given cannot be checked: the error's kind, and that its message can be read aloud.

A message says what was seen, where, what it means and what to do.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import pickle

import numpy as np
import pytest

import gradproof
from gradproof import Cause, Verdict, check_gradient

W = np.array([1.0, 2.0, 3.0])


def sum_of_squares(parameters):
    if isinstance(parameters, dict):
        return sum(sum_of_squares(value) for value in parameters.values() if value is not None)
    return float(np.sum(np.asarray(parameters) ** 2))


def read(report):
    """Return the report's text on one line."""
    return " ".join(str(report).split())


class Calls:
    """A cost that counts its calls."""

    def __init__(self, cost=sum_of_squares):
        self.cost = cost
        self.count = 0

    def __call__(self, point):
        self.count += 1
        return self.cost(point)


def refused(kind, *args, **options):
    """Return the message with which a check is refused, its four parts and its journey through a pickle checked."""
    with pytest.raises(kind) as caught:
        check_gradient(*args, **options)
    error = caught.value
    assert type(error) is kind
    assert error.seen
    assert error.remedy
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.seen, again.where, again.meaning, again.remedy) == (
        error.seen,
        error.where,
        error.meaning,
        error.remedy,
    )
    return str(error)


# --- structure and shape ----------------------------------------------------------------------------------------------


def test_another_shape_is_refused_with_both_shapes_and_the_block():
    cost = Calls()
    message = refused(gradproof.ShapeMismatch, cost, {"W": np.ones((3, 2))}, {"W": np.ones(5)})
    assert message == (
        "W: the claimed gradient has shape (5,), the parameter has shape (3, 2). They must be equal, entry by entry. "
        "Return the gradient in the parameter's own shape."
    )
    assert cost.count == 0


def test_a_transposed_shape_is_recognised():
    message = refused(gradproof.ShapeMismatch, sum_of_squares, {"W": np.ones((3, 2))}, {"W": np.ones((2, 3))})
    assert "W: " in message
    assert "(2, 3)" in message
    assert "(3, 2)" in message
    assert "did you mean the transpose?" in message


def test_a_shape_with_as_many_entries_is_recognised():
    message = refused(gradproof.ShapeMismatch, sum_of_squares, W, W[:, None])
    assert "did you mean .reshape((3,))?" in message


def test_a_number_claimed_for_an_array_of_one_entry_is_no_match():
    message = refused(gradproof.ShapeMismatch, sum_of_squares, np.ones((1, 1)), 2.0)
    assert "shape ()" in message
    assert "shape (1, 1)" in message


def test_keys_that_carry_the_prefix_d_are_explained():
    point = {"W1": W, "b1": W}
    message = refused(gradproof.ShapeMismatch, sum_of_squares, point, {"dZ1": W, "dW1": W, "db1": W})
    assert "the claimed gradient has the blocks dZ1, dW1, db1, the point has the blocks W1, b1" in message
    assert "The claimed gradient lacks W1, b1" in message
    assert "prefix 'd' (dW1 for W1)" in message
    assert '{name: claimed["d" + name] for name in point}' in message


def test_the_remedy_for_the_prefix_d_works():
    point = {"W1": W, "b1": W}
    claimed = {"dZ1": W, "dW1": 2 * W, "db1": 2 * W}
    renamed = {name: claimed["d" + name] for name in point}
    assert check_gradient(sum_of_squares, point, renamed, seed=1).verdict is Verdict.CORRECT


def test_a_missing_block_is_named():
    message = refused(gradproof.ShapeMismatch, sum_of_squares, {"W": W, "b": W}, {"W": W})
    assert message.startswith("block b: ")
    assert "The claimed gradient lacks b." in message


def test_a_block_too_many_is_named():
    message = refused(gradproof.ShapeMismatch, sum_of_squares, {"W": W}, {"W": W, "b": W})
    assert message.startswith("block b: ")
    assert "has b, which the point has not" in message
    assert "Leave b out, or make it part of the point" in message


def test_a_long_list_of_blocks_is_cut_short():
    point = {f"W{k}": W for k in range(20)}
    message = refused(gradproof.ShapeMismatch, sum_of_squares, point, {})
    assert "W5 and 14 more" in message
    assert "no block at all" in message


def test_nested_lists_in_place_of_an_array_are_explained():
    message = refused(gradproof.ShapeMismatch, sum_of_squares, {"W": W}, {"W": [2.0, 4.0, 6.0]})
    assert "W is a container in the claimed gradient and an array in the point" in message
    assert "numpy.array" in message


def test_a_lone_array_may_be_claimed_as_a_list():
    assert check_gradient(sum_of_squares, W, [2.0, 4.0, 6.0], seed=1).verdict is Verdict.CORRECT


def test_one_array_claimed_for_a_dictionary_is_explained():
    message = refused(gradproof.ShapeMismatch, sum_of_squares, {"W": W, "b": W}, W)
    assert "one lone array or number" in message
    assert "same structure" in message


def test_a_dictionary_claimed_for_an_array_is_explained():
    message = refused(gradproof.ShapeMismatch, sum_of_squares, W, {"W": W})
    assert "the claimed gradient has the block W, the point has one lone array or number" in message


def test_a_claim_that_is_none_is_refused():
    message = refused(gradproof.ShapeMismatch, sum_of_squares, W, None)
    assert "claimed is None. There is no gradient to check." in message


def test_none_within_a_claim_is_no_gradient_of_zero():
    # What frameworks leave behind for a parameter that the cost never touched.
    message = refused(gradproof.ShapeMismatch, sum_of_squares, {"W": W, "b": W}, {"W": 2 * W, "b": None})
    assert "It is None for b" in message
    assert "zeros of its shape" in message
    assert "exclude='b'" in message


def test_a_claimed_function_without_a_return_statement_is_recognised():
    message = refused(gradproof.ShapeMismatch, sum_of_squares, W, lambda point: None)
    assert "lack a return statement?" in message


def test_a_claimed_function_that_returns_another_shape_is_refused():
    message = refused(gradproof.ShapeMismatch, sum_of_squares, W, lambda point: point[:2])
    assert "shape (2,)" in message


def test_a_claimed_function_that_raises_is_shown_with_its_exception():
    with pytest.raises(gradproof.UsageError, match=r"claimed\(point\): ZeroDivisionError: division by zero") as caught:
        check_gradient(sum_of_squares, W, lambda point: 1 / 0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_gradient_returned_beside_the_cost_is_checked_like_any_other():
    message = refused(gradproof.ShapeMismatch, lambda w: (float(w @ w), w[:1]), W, claimed=True)
    assert "shape (1,)" in message


def test_a_container_that_contains_itself_is_refused():
    endless = []
    endless.append(endless)
    message = refused(gradproof.UsageError, sum_of_squares, endless, W)
    assert "contains itself" in message


class Anonymous:
    def __repr__(self):
        return "key"


def test_keys_that_read_alike_are_refused():
    message = refused(gradproof.UsageError, sum_of_squares, {Anonymous(): W, Anonymous(): W}, {})
    assert message.startswith("[key]: two different keys of the point are written alike")


# --- what is not differentiable ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "seen", "remedy"),
    [
        (np.arange(3), "an array of int64 of shape (3,)", "a.astype(float)"),
        (np.arange(3, dtype=np.uint8), "an array of uint8", "a.astype(float)"),
        (np.array([True, False]), "an array of bool", "a.astype(float)"),
        (np.array(3), "0-d array of int64 (3)", "a.astype(float)"),
        (True, "a bool (True)", "floating-point"),
        (np.True_, "a bool (True)", "floating-point"),
        ("relu", "a str ('relu')", "exclude='a'"),
        (b"relu", "a bytes (b'relu')", "exclude='a'"),
        (np.array(["relu"]), "an array of <U4", "floating-point"),
        (np.array([None, 1.0]), "an array of object", "floating-point"),
        (np.zeros(2, dtype=[("x", float)]), "an array of [('x', '<f8')]", "floating-point"),
        (np.zeros(2, dtype="M8[s]"), "an array of datetime64[s]", "floating-point"),
        (np.ma.masked_array(W, [0, 1, 0]), "a masked array of float64 of shape (3,)", "without the mask"),
        (10**400, "a whole number beyond the largest float", "floating-point"),
        ({1.0, 2.0}, "a set", "list(…)"),
        (object(), "an object", "exclude="),
        (Anonymous(), "Anonymous (key)", "exclude="),
        (np.ones(2, dtype=np.longdouble), "of shape (2,)", "float64, float32 and float16"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_a_block_that_is_not_differentiable_is_named_with_what_it_is(block, seen, remedy):
    cost = Calls()
    message = refused(gradproof.NotDifferentiable, cost, {"W": W, "a": block}, {"W": W, "a": W})
    assert message.startswith("a: ")
    assert seen in message
    assert remedy in message
    assert cost.count == 0


@pytest.mark.parametrize("block", [np.array([1 + 2j]), 1j, np.complex64(1j)])
def test_complex_parameters_are_pairs_of_reals(block):
    message = refused(gradproof.NotDifferentiable, sum_of_squares, {"z": block}, {"z": block})
    assert message.startswith("z: ")
    assert "complex" in message
    assert "pair of reals" in message
    assert "z = re + 1j * im" in message


def test_the_remedy_for_complex_parameters_works():
    def cost(point):
        z = point["re"] + 1j * point["im"]
        return abs(z**3) ** 2

    point = {"re": 0.7, "im": -1.2}
    # |z³|² = |z|⁶, whose gradient in (re, im) is 6 |z|⁴ (re, im).
    size = point["re"] ** 2 + point["im"] ** 2
    claimed = {name: 6 * size**2 * value for name, value in point.items()}
    assert check_gradient(cost, point, claimed, seed=1).verdict is Verdict.CORRECT


class Parameters(dict):
    """A dictionary of a kind of its own."""


def test_a_dictionary_of_an_unknown_kind_is_refused_with_its_conversion():
    message = refused(gradproof.NotDifferentiable, sum_of_squares, Parameters(W=W), Parameters(W=2 * W))
    assert "Convert the Parameters with dict(…)" in message


@dataclasses.dataclass
class Layer:
    weight: object
    activation: object = "relu"


def test_a_dataclass_with_a_field_that_is_no_array_is_refused_with_its_name():
    message = refused(gradproof.NotDifferentiable, lambda layer: 0.0, Layer(W), Layer(W))
    assert message.startswith("activation: a str ('relu')")
    assert "exclude='activation'" in message


def test_its_remedy_works_and_the_cost_sees_the_field():
    def cost(layer):
        assert layer.activation == "relu"
        return float(np.sum(np.maximum(layer.weight, 0) ** 2))

    report = check_gradient(cost, Layer(W), Layer(2 * W), exclude="activation", seed=1)
    assert report.verdict is Verdict.CORRECT
    assert report.skipped == ("activation",)


@pytest.mark.parametrize(
    ("claimed", "seen"),
    [
        (False, "a bool (False)"),
        ("gradient", "a str ('gradient')"),
        (np.array([True] * 3), "an array of bool"),
        (np.array([1.0, 2.0, None]), "an array of object"),
        (10**400, "an int"),
    ],
)
def test_a_claim_that_does_not_consist_of_real_numbers_is_refused(claimed, seen):
    message = refused(gradproof.NotDifferentiable, sum_of_squares, W, claimed)
    assert f"point: the claimed gradient is {seen}" in message
    assert "A gradient consists of real numbers" in message


def test_a_complex_claim_is_refused_although_its_imaginary_part_is_zero():
    message = refused(gradproof.NotDifferentiable, sum_of_squares, W, 2 * W + 0j)
    assert "complex128" in message
    assert "real part" in message


def test_numbers_that_are_whole_are_no_trouble_where_they_are_scalars():
    for point in (3, np.int32(3), np.array(3.0), 3.0):
        report = check_gradient(lambda x: x**2, point, 6, seed=1)
        assert report.verdict is Verdict.CORRECT
        assert report.blocks[0].dtype == "float64"


def test_whole_numbers_are_displaced_as_floats():
    seen = []

    def cost(x):
        seen.append(x)
        return x**2

    check_gradient(cost, 3, 6, seed=1)
    assert all(type(x) is float for x in seen)


def test_a_claim_of_whole_numbers_is_a_claim():
    assert check_gradient(sum_of_squares, W, np.array([2, 4, 6]), seed=1).verdict is Verdict.CORRECT
    assert check_gradient(sum_of_squares, W, np.array([2, 4, 5]), seed=1).verdict is Verdict.WRONG


# --- nothing to check -------------------------------------------------------------------------------------------------


def test_empty_blocks_are_skipped_and_listed():
    point = {"W": W, "none": np.zeros((0, 3)), "nothing": np.zeros(0, dtype=int)}
    report = check_gradient(sum_of_squares, point, {"W": 2 * W, "none": np.zeros((0, 3)), "nothing": []}, seed=1)
    assert report.verdict is Verdict.CORRECT
    assert report.skipped == ("none", "nothing")
    assert "none and nothing" in read(report)


def test_empty_blocks_need_no_claim():
    assert check_gradient(sum_of_squares, {"W": W, "e": np.zeros(0)}, {"W": 2 * W}, seed=1).skipped == ("e",)


@pytest.mark.parametrize("point", [{}, [], {"a": None}])
def test_no_coordinate_at_all_is_an_error(point):
    message = refused(gradproof.EmptyProblem, sum_of_squares, point, point)
    assert "there is no coordinate to check" in message


def test_patterns_that_leave_nothing_are_an_error():
    message = refused(gradproof.EmptyProblem, sum_of_squares, {"W": W}, {"W": W}, exclude="*")
    assert "With exclude='*' nothing is left of W of shape (3,)" in message


def test_a_pattern_that_matches_nothing_is_an_error_with_the_names():
    message = refused(gradproof.UnknownName, sum_of_squares, {"W": W, "b": W}, {"W": W, "b": W}, only="V*")
    assert "only='V*' matches no block. The blocks are W, b." in message
    message = refused(gradproof.UnknownName, sum_of_squares, {"W": W}, {"W": W}, exclude=["W", "B"])
    assert "exclude='B'" in message


def test_a_point_that_is_none_is_an_error():
    message = refused(gradproof.UsageError, sum_of_squares)
    assert "point is None" in message


def test_a_cost_that_cannot_be_called_is_an_error():
    message = refused(gradproof.UsageError, 3.0, W, W)
    assert "cost is a float (3.0). It cannot be called." in message


# --- not finite -------------------------------------------------------------------------------------------------------


def test_a_point_that_is_not_finite_is_an_error_with_its_place():
    point = {"W": np.array([[1.0, np.nan], [2.0, -np.inf]])}
    message = refused(gradproof.NonFinitePoint, sum_of_squares, point, point)
    assert "W: 2 of 4 values are not finite, the first one nan at [0, 1]" in message
    message = refused(gradproof.NonFinitePoint, sum_of_squares, {"b": math.inf}, {"b": 1.0})
    assert "b: the value is inf." in message
    message = refused(gradproof.NonFinitePoint, sum_of_squares, np.array([1.0, math.inf]), W[:2])
    assert "point: the value is inf at [1]." in message


def test_a_constant_that_is_not_finite_is_no_error():
    # A mask of −inf that is added to the scores, held constant.
    point = {"scores": W, "mask": np.array([0.0, -np.inf, 0.0])}

    def cost(p):
        return float(np.sum(np.exp(p["scores"] + p["mask"])))

    report = check_gradient(cost, point, {"scores": np.exp(W) * [1, 0, 1]}, exclude="mask", seed=1)
    assert report.verdict is Verdict.CORRECT


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_cost_that_is_not_finite_at_the_point_is_an_error(value):
    cost = Calls(lambda point: value)
    message = refused(gradproof.NonFiniteCost, cost, W, W)
    assert f"cost(point): J is {float(value)}" in message
    assert cost.count == 1


def test_a_cost_that_raises_at_the_point_is_an_error_that_shows_the_exception():
    with pytest.raises(gradproof.CostRaised, match="KeyError: 'b'") as caught:
        check_gradient(lambda point: point["b"], {"W": W}, {"W": W})
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_claim_that_is_not_finite_is_wrong_and_located_without_an_evaluation(bad, strategy):
    claimed = {"W": np.ones((2, 3)), "b": 1.0}
    claimed["W"][1, 2] = bad
    cost = Calls()
    report = check_gradient(cost, {"W": np.ones((2, 3)), "b": 0.5}, claimed, strategy=strategy, seed=1)
    assert cost.count == report.evaluations == 0
    assert report.verdict is Verdict.WRONG
    assert report.faulty == ("W",)
    (diagnosis,) = report.diagnoses
    assert diagnosis.cause is Cause.NON_FINITE
    assert diagnosis.block == "W"
    assert diagnosis.where == "[1, 2]"
    assert f"The claimed gradient of W is {bad} at [1, 2]." in str(report)
    assert gradproof.Report.from_json(report.to_json()) == report


def test_a_claim_that_is_not_finite_is_found_in_what_a_function_returns():
    report = check_gradient(sum_of_squares, W, lambda w: w * np.array([2, np.nan, 2]), seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].where == "[1]"
    report = check_gradient(lambda w: (float(w @ w), w * np.array([2, 2, np.inf])), W, claimed=True, seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].where == "[2]"


def test_a_claim_that_is_not_finite_in_what_is_left_out_does_not_matter():
    claimed = {"W": 2 * W, "b": np.nan * W}
    assert check_gradient(sum_of_squares, {"W": W, "b": W}, claimed, only="W", seed=1).verdict is Verdict.CORRECT


# --- displaced points at which the cost fails -------------------------------------------------------------------------


def sum_of_roots(w):
    return float(np.sum(np.sqrt(w)))


def checked_roots(w):
    if np.any(w < 0):
        msg = "parameters must not be negative"
        raise ValueError(msg)
    return float(np.sum(np.sqrt(w)))


def sum_of_logarithms(w):
    return float(np.sum(np.log(w)))


def barrier(w):
    return float(np.sum(w**2) - np.sum(np.log(1 - w)))


EDGES = {
    "roots": (sum_of_roots, lambda w: 0.5 / np.sqrt(w)),
    "checked roots": (checked_roots, lambda w: 0.5 / np.sqrt(w)),
    "logarithms": (sum_of_logarithms, lambda w: 1 / w),
}


@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
@pytest.mark.parametrize("edge", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("name", EDGES)
def test_a_cost_that_fails_beside_the_point_raises_nothing_and_misjudges_nothing(name, edge, strategy):
    cost, gradient = EDGES[name]
    point = np.array([1.0, edge, 2.0, 0.3])
    report = check_gradient(cost, point, gradient(point), strategy=strategy, seed=1)
    assert report.verdict is not Verdict.WRONG
    if strategy != "certificate":
        assert report.verdict is Verdict.CORRECT
    wrong = check_gradient(cost, point, 1.5 * gradient(point), strategy=strategy, seed=1)
    assert wrong.verdict is Verdict.WRONG


@pytest.mark.parametrize("edge", [1e-3, 1e-6, 1e-9])
def test_a_barrier_that_is_near_is_kept_away_from(edge):
    point = np.array([0.2, 1 - edge, -0.5])
    gradient = 2 * point + 1 / (1 - point)
    assert check_gradient(barrier, point, gradient, seed=1).verdict is not Verdict.WRONG
    assert check_gradient(barrier, point, -gradient, seed=1).verdict is Verdict.WRONG


def test_a_cost_that_is_defined_on_one_side_only_is_measured_on_that_side():
    point = np.array([0.0, 1.0])

    def cost(w):
        if w[0] < 0:
            raise ValueError
        return float(w[0] ** 1.0 + 3 * w[0] * w[1] + w[1] ** 2)

    right, wrong = np.array([4.0, 2.0]), np.array([5.0, 2.0])
    assert check_gradient(cost, point, right, strategy="coordinates", seed=1).verdict is Verdict.CORRECT
    assert check_gradient(cost, point, wrong, strategy="coordinates", seed=1).verdict is Verdict.WRONG


@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
def test_a_cost_that_can_be_evaluated_nowhere_else_is_inconclusive_and_says_where_it_failed(strategy):
    def cost(w):
        if not np.array_equal(w, W):
            msg = "no such table"
            raise LookupError(msg)
        return 1.0

    report = check_gradient(cost, W, 2 * W, strategy=strategy, seed=1)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is gradproof.Reason.DOMAIN
    assert "LookupError: no such table" in read(report)
    assert report.evaluations <= 1000


def test_a_cost_that_returns_something_else_at_displaced_points_is_a_cost_that_fails_there():
    def cost(w):
        return 1.0 if np.array_equal(w, W) else None

    report = check_gradient(cost, W, 2 * W, seed=1)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "the cost returns None" in read(report)


# --- what the cost returns and does -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seen", "remedy"),
    [
        (W, "an array of float64 of shape (3,)", "a sum or a mean"),
        (np.array([1j]), "a 0-d array of complex128", "real part"),
        (np.zeros((0,)), "an array of float64 of shape (0,)", "a sum or a mean"),
        (None, "None", "lack a return statement?"),
        (1j, "a complex (1j)", "real part"),
        (np.complex128(1), "a complex128 ((1+0j))", "real part"),
        (np.array(1j), "a 0-d array of complex128", "real part"),
        (True, "a bool (True)", "one real number"),
        (np.False_, "a bool (False)", "one real number"),
        ("1.0", "a str ('1.0')", "one real number"),
        ([1.0], "a list", "one real number"),
        ((1.0, W), "a tuple", "has_aux=True"),
        ([1.0, W], "a list", "claimed=True"),
        ({"loss": 1.0}, "a dict", "one real number"),
        (np.array(None), "a 0-d array of object (None)", "one real number"),
        (10**400, "a whole number beyond the largest float", "one real number"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_cost_that_does_not_return_one_real_number_is_refused_at_its_first_call(value, seen, remedy):
    cost = Calls(lambda point: value)
    message = refused(gradproof.NotScalar, cost, W, W)
    assert f"cost(point): the cost returns {seen}" in message
    assert remedy in message
    assert cost.count == 1


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
@pytest.mark.parametrize("claimed", [2 * W, True])
def test_an_array_of_one_number_is_a_number_with_a_note(shape, claimed):
    def cost(w):
        value = np.full(shape, w @ w)
        return (value, 2 * w) if claimed is True else value

    report = check_gradient(cost, W, claimed, seed=1)
    assert report.verdict is Verdict.CORRECT
    assert f"The cost returns an array of shape {shape}" in read(report)


def test_a_precision_that_changes_with_the_point_is_noted():
    def cost(w):
        value = np.sum(np.sin(w))
        return value if np.array_equal(w, W) else np.float32(value)

    report = check_gradient(cost, W, np.cos(W), seed=1)
    assert report.verdict is not Verdict.WRONG
    assert "float64 at the point, and float32 at displaced ones" in read(report)


@pytest.mark.parametrize(
    "value", [1, np.int64(1), np.float32(1), np.float16(1), np.array(1.0), np.array(1, dtype=np.int8), np.longdouble(1)]
)
def test_every_real_number_is_a_cost(value):
    report = check_gradient(lambda point: value, W, 0 * W, seed=1)
    assert report.cost == 1.0
    assert report.reason is gradproof.Reason.NOT_EXERCISED  # it is the same everywhere


def test_promises_of_the_cost_are_held_to():
    message = refused(gradproof.NotScalar, sum_of_squares, W, claimed=True)
    assert "the cost returns a float (14.0), but claimed=True promises (J, gradient)" in message
    message = refused(gradproof.NotScalar, sum_of_squares, W, W, has_aux=True)
    assert "but has_aux=True promises (J, anything)" in message
    message = refused(gradproof.NotScalar, lambda w: (float(w @ w), 2 * w), W, claimed=True, has_aux=True)
    assert "promises ((J, anything), gradient)" in message


def in_place(parameters):
    parameters["W"] *= 2
    return float(np.sum(parameters["W"]))


def replaced(parameters):
    parameters["W"] = parameters["W"] * 2
    return 1.0


def removed(parameters):
    parameters.pop("W")
    return 1.0


def remembered(parameters):
    parameters["cache"] = np.ones(2)
    return 1.0


@pytest.mark.parametrize(
    ("cost", "name"),
    [(in_place, "W"), (replaced, "W"), (removed, "W"), (remembered, "cache")],
    ids=lambda x: getattr(x, "__name__", str(x)),
)
def test_a_cost_that_writes_into_its_argument_is_named_with_the_block(cost, name):
    point = {"W": W.copy(), "b": 1.0}
    message = refused(gradproof.MutatedInput, cost, point, {"W": W, "b": 1.0})
    assert f"the cost writes into its argument: {name} changed during the call" in message
    assert "your own arrays are untouched" in message
    np.testing.assert_array_equal(point["W"], W)
    assert set(point) == {"W", "b"}


def test_a_cost_that_writes_into_a_list_of_numbers_is_named():
    def cost(p):
        p[1] = 0.0
        return p[0]

    assert "[1] changed" in refused(gradproof.MutatedInput, cost, [1.0, 2.0], [1.0, 0.0])


def test_a_claimed_function_that_writes_into_its_argument_is_named():
    def claimed(point):
        point *= 2
        return point

    message = refused(gradproof.MutatedInput, sum_of_squares, W.copy(), claimed)
    assert "the claimed gradient's function writes into its argument: point changed" in message


def test_a_cost_that_only_reorders_its_argument_is_no_offender():
    def cost(p):
        p["a"] = p.pop("a")
        return p["a"] ** 2 + p["b"] ** 2

    assert check_gradient(cost, {"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 4.0}, seed=1).verdict is Verdict.CORRECT


def test_a_cost_that_computes_the_claimed_array_anew_at_each_call_does_not_change_the_claim():
    buffer = np.zeros(3)

    def cost(w):
        np.multiply(w, 3, out=buffer)  # the gradient of Σ w² is 2 w
        return float(w @ w)

    cost(W)
    assert check_gradient(cost, W, buffer, seed=1).verdict is Verdict.WRONG


def test_a_keyboard_interrupt_passes_through():
    calls = []

    def cost(w):
        calls.append(w)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return float(w @ w)

    with pytest.raises(KeyboardInterrupt):
        check_gradient(cost, W, 2 * W, seed=1)
    with pytest.raises(SystemExit):
        check_gradient(lambda w: exec("raise SystemExit"), W, 2 * W, seed=1)


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [0, -1e-7, 1, 2.0, math.nan, math.inf, "1e-7", True])
def test_a_tolerance_outside_zero_to_one_is_refused(tolerance):
    assert f"tolerance is {tolerance!r}" in refused(gradproof.UsageError, sum_of_squares, W, W, tolerance=tolerance)


@pytest.mark.parametrize("confidence", [0, 0.49, 1, 99, math.nan, "high", None])
def test_a_confidence_that_is_no_probability_is_refused(confidence):
    message = refused(gradproof.UsageError, sum_of_squares, W, W, confidence=confidence)
    assert f"confidence is {confidence!r}" in message


@pytest.mark.parametrize("budget", [0, 1, 11, -5])
def test_a_budget_too_small_for_any_answer_is_refused(budget):
    cost = Calls()
    message = refused(gradproof.BudgetTooSmall, cost, W, W, budget=budget)
    assert f"budget is {budget}" in message
    assert "at least 12" in message
    assert cost.count == 0


@pytest.mark.parametrize(
    "options",
    [{"budget": 12.5}, {"budget": True}, {"seed": -1}, {"seed": "x"}, {"seed": 1.0}, {"strategy": "fast"}],
    ids=str,
)
def test_an_option_of_another_kind_is_refused(options):
    ((name, value),) = options.items()
    message = refused(gradproof.UsageError, sum_of_squares, W, W, **options)
    assert message.startswith(f"{name} is {value!r}")


def test_numpy_numbers_are_options_too():
    report = check_gradient(
        sum_of_squares,
        W,
        2 * W,
        seed=np.int64(7),
        budget=np.int32(100),
        tolerance=np.float32(1e-4),
        confidence=np.float64(0.999),
    )
    assert report.verdict is Verdict.CORRECT
    assert report.seed == 7
    assert gradproof.Report.from_json(report.to_json()) == report


def test_several_points_need_a_claim_that_can_be_made_at_each():
    message = refused(gradproof.UsageError, sum_of_squares, W, 2 * W, points=[W])
    assert "callable" in message
    refused(gradproof.UsageError, sum_of_squares, claimed=lambda w: 2 * w, points=[])


def test_an_error_at_a_later_point_says_at_which():
    message = refused(
        gradproof.NonFiniteCost,
        sum_of_logarithms,
        W,
        lambda w: 1 / w,
        points=[2 * W, np.array([-1.0, 1.0, 1.0])],
        seed=1,
    )
    assert message.startswith("point 3 of 3, cost(point): J is nan")
    message = refused(gradproof.NonFinitePoint, sum_of_squares, W, lambda w: 2 * w, points=[np.nan * W], seed=1)
    assert message.startswith("point 2 of 2, point: ")


def test_a_budget_that_is_too_small_for_all_points_is_refused():
    message = refused(gradproof.BudgetTooSmall, sum_of_squares, W, lambda w: 2 * w, points=[W, W], budget=30, seed=1)
    assert "for 3 points" in message
    assert "at least 36" in message


def test_a_problem_beside_its_parts_is_refused():
    problem = gradproof.Problem(sum_of_squares, W, 2 * W)
    refused(gradproof.UsageError, problem, W)
    refused(gradproof.UsageError, problem, only="point")
    refused(gradproof.UsageError, problem, has_aux=True)


# --- the errors themselves --------------------------------------------------------------------------------------------


def test_every_kind_of_error_survives_a_pickle_with_its_parts():
    for name, kind in inspect.getmembers(gradproof, inspect.isclass):
        if issubclass(kind, gradproof.GradproofError):
            error = kind("seen", where="here", meaning="it means", remedy="do this")
            again = pickle.loads(pickle.dumps(error))
            assert type(again) is kind, name
            assert str(again) == "here: seen. it means. do this."


def test_usage_errors_are_value_errors_and_failed_costs_are_not():
    assert issubclass(gradproof.UsageError, ValueError)
    assert not issubclass(gradproof.EvaluationError, ValueError)
    assert issubclass(gradproof.WrongGradient, AssertionError)
    assert issubclass(gradproof.InconclusiveGradient, AssertionError)
