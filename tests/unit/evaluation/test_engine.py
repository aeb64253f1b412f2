"""The only caller of the user's cost: what it counts, what it notices, and what it makes of a failure."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradproof import CostRaised, MutatedInput, NonFiniteCost, NotScalar, Problem, check_gradient
from gradproof._evaluation.engine import STILL, BudgetSpent, Engine
from gradproof._problem.answers import NamedOutputs, OneNumber
from gradproof._words.directions import Coordinate, RandomDirection

W = np.array([1.0, 2.0, 3.0])
EAST = Coordinate(0, 0)


def squares(w):
    return float(np.sum(np.asarray(w, dtype=np.float64) ** 2))


def engine_of(cost, point=W, **options):
    problem = Problem(cost, point, point)
    return Engine(problem, OneNumber(problem), **options)


def many_outputs(function, point=W, **options):
    return Engine(Problem(function, point, point), NamedOutputs("output"), **options)


KINDS = [engine_of, many_outputs]
"""A cost is a function with one output: what holds of one holds of the other."""
both = pytest.mark.parametrize("made", KINDS)


def evaluate(engine, steps, direction=EAST):
    return [engine.evaluate(direction, t) for t in steps]


# --- counting ---------------------------------------------------------------------------------------------------------


@both
def test_every_call_of_the_function_is_counted_and_told(made):
    calls, told = [], []
    engine = made(lambda w: calls.append(1) or squares(w), on_evaluated=told.append)
    engine.evaluate_point()
    evaluate(engine, (0.1, -0.1))
    engine.repeat()
    assert engine.evaluations == len(calls) == 4
    assert told == [1, 2, 3, 4]


@both
def test_a_function_that_fails_is_counted_too(made):
    def cost(w):
        if w[0] != 1.0:
            raise ValueError
        return 1.0

    engine = made(cost)
    engine.evaluate_point()
    assert evaluate(engine, [0.1]) == [None]
    assert engine.evaluations == 2
    with pytest.raises(CostRaised):
        made(lambda w: 1 / 0).evaluate_point()


@both
def test_the_budget_is_spent_before_it_is_exceeded(made):
    calls = []
    engine = made(lambda w: calls.append(1) or squares(w), budget=3)
    engine.evaluate_point()
    with pytest.raises(BudgetSpent):
        engine.reserve(3)
    assert len(calls) == 1
    evaluate(engine, (0.1, 0.2))
    for more in (lambda: engine.evaluate(EAST, 0.3), engine.repeat):
        with pytest.raises(BudgetSpent):
            more()
    assert len(calls) == engine.evaluations == 3


# --- values -----------------------------------------------------------------------------------------------------------


def test_a_displaced_evaluation_is_the_change_of_every_output_and_tells_of_every_block():
    point = {"a": np.array([0.5, -1.5]), "b": W}
    told = []
    engine = many_outputs(lambda p: {"one": p["a"] * 2, "two": squares(p["b"])}, point)
    engine.evaluate_point()
    direction = RandomDirection(3, 1, (1.0, 0.5))
    change = engine.evaluate(direction, 0.25, lambda k, there, old: told.append((k, there - old)))
    a, b = (0.25 * direction.component(k, point[name].shape) for k, name in enumerate(point))
    np.testing.assert_allclose(change, [*(2 * a), 2 * W @ b + b @ b], rtol=1e-13)
    assert [k for k, _ in told] == [0, 1]
    np.testing.assert_allclose(np.concatenate([move for _, move in told]), np.concatenate([a, b]), rtol=1e-13)


def test_what_the_cost_returns_beside_its_value_is_left_alone():
    problem = Problem(lambda w: ((squares(w), "anything"), 2 * w), W, True, has_aux=True)
    engine = Engine(problem, OneNumber(problem))
    gradient = engine.evaluate_point()
    assert engine.base == [14.0]
    np.testing.assert_array_equal(gradient, 2 * W)
    assert check_gradient(lambda w: ((squares(w), None), 2 * w), W, claimed=True, has_aux=True, seed=1).faulty == ()
    assert check_gradient(lambda w: (squares(w), 2 * w, "more"), W, claimed=True, seed=1).faulty == ()
    assert check_gradient(lambda w: [squares(w), 2 * w], W, claimed=True, seed=1).faulty == ()


# --- failures at displaced points -------------------------------------------------------------------------------------


def failing(value):
    def cost(w):
        if w[0] > 1.0:
            if isinstance(value, Exception):
                raise value
            return value
        return squares(w)

    return cost


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (ValueError("not negative"), "ValueError: not negative"),
        (RecursionError(), "RecursionError: "),
        (math.nan, "J is nan"),
        (-math.inf, "J is -inf"),
        (None, "the cost returns None"),
        (W, "the cost returns an array"),
        (1j, "the cost returns a complex"),
    ],
)
def test_a_failure_is_one_evaluation_with_an_error_and_the_others_are_kept(value, error):
    engine = engine_of(failing(value))
    engine.evaluate_point()
    down, up, further = evaluate(engine, (-0.1, 0.1, -0.2))
    assert down == pytest.approx([0.81 - 1])
    assert further is not None
    assert up is None
    assert engine.evaluations == 4
    assert engine.last_error.startswith(f"at θ +0.1·v: {error}")


@pytest.mark.parametrize(
    ("value", "error"),
    [(ValueError("not negative"), "ValueError: not negative"), (np.array([1.0, math.nan]), "output[1] is nan")],
)
def test_a_failure_of_one_output_is_named_and_fails_them_all(value, error):
    function = failing(value)
    engine = many_outputs(lambda w: np.ones(2) * function(w))
    engine.evaluate_point()
    assert evaluate(engine, [0.1]) == [None]
    assert engine.last_error == f"at θ +0.1·v: {error}"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_is_no_failure(interruption):
    def cost(w):
        if w[0] != 1.0:
            raise interruption
        return 1.0

    engine = engine_of(cost)
    engine.evaluate_point()
    with pytest.raises(interruption):
        engine.evaluate(EAST, 0.1)


def test_an_overflow_within_the_cost_is_no_warning():
    engine = engine_of(lambda w: float(np.sum(np.exp(1000 * (w - 1)))) if w[0] != 1 else 1.0, W * 1.0)
    engine.evaluate_point()
    assert evaluate(engine, [5.0]) == [None]
    assert engine.last_error.endswith("J is inf")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_displacement_that_is_lost_is_not_evaluated_but_said_to_be(dtype):
    calls = []
    engine = engine_of(lambda w: calls.append(1) or squares(w), W.astype(dtype))
    engine.evaluate_point()
    assert engine.evaluate(RandomDirection(1, 1, (1.0,)), 1e-9) is None
    assert "cannot be displaced by so little" in engine.last_error
    assert len(calls) == engine.evaluations == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("direction", [RandomDirection(1, 1, (1.0,)), Coordinate(0, 17)])
def test_the_shortest_step_tells_which_displacements_are_lost(dtype, direction):
    point = np.random.default_rng(3).standard_normal(500).astype(dtype)
    engine = engine_of(squares, point)
    engine.evaluate_point()
    shortest = engine.shortest(direction)
    # A coordinate's own rounding depends on where it falls; a random direction's hardly does.
    spread = 3.0 if isinstance(direction, Coordinate) else 1.2
    assert engine.evaluate(direction, shortest / spread / 2) is None
    assert engine.evaluate(direction, shortest * spread) is not None


# --- the point itself -------------------------------------------------------------------------------------------------


def test_the_cost_is_given_a_point_of_its_own_at_each_call():
    given = []
    engine = engine_of(lambda w: given.append(w) or squares(w))
    engine.evaluate_point()
    engine.repeat()
    engine.evaluate(EAST, 0.1)
    arrays = [*given, W]
    assert all(not np.shares_memory(one, two) for i, one in enumerate(arrays) for two in arrays[:i])


def test_a_cost_that_is_no_cost_is_found_out_at_its_first_call():
    for cost, error in (
        (lambda w: None, NotScalar),
        (lambda w: math.nan, NonFiniteCost),
        (lambda w: w.pop(), CostRaised),
        (lambda w: w.fill(0) or 1.0, MutatedInput),
    ):
        engine = engine_of(cost)
        with pytest.raises(error):
            engine.evaluate_point()
        assert engine.evaluations == 1


def test_a_claimed_function_may_return_the_same_memory_at_each_call():
    buffer = np.zeros(3)

    def claimed(w):
        np.multiply(w, buffer.sum() + 2, out=buffer)
        return buffer

    problem = Problem(squares, W, claimed)
    engine = Engine(problem, OneNumber(problem))
    (first,) = problem.claimed_values(engine.evaluate_claim())
    (second,) = problem.claimed_values(engine.evaluate_claim())
    np.testing.assert_array_equal(first, 2 * W)
    assert not np.array_equal(first, second)


# --- what the values say ----------------------------------------------------------------------------------------------


def after_some_values(cost, point=W, count=12, step=1e-2, made=engine_of):
    engine = made(cost, point)
    engine.evaluate_point()
    evaluate(engine, [step * k for k in range(1, count)], RandomDirection(1, 1, (1.0,)))
    return engine


def test_the_precision_is_the_lowest_at_work():
    assert after_some_values(squares).precision == "float64"
    assert after_some_values(lambda w: np.float32(squares(w))).precision == "float32"
    assert after_some_values(lambda w: np.float16(squares(w))).precision == "float16"
    assert after_some_values(lambda w: np.array(squares(w), dtype=np.float32)).precision == "float32"
    assert after_some_values(squares, W.astype(np.float32)).precision == "float32"
    assert after_some_values(squares, W.astype(np.float16)).precision == "float16"


def test_the_precision_is_read_off_the_values_where_their_type_hides_it():
    assert after_some_values(lambda w: float(np.float32(squares(w)))).precision == "float32"
    assert after_some_values(lambda w: float(np.float16(squares(w)))).precision == "float16"


def test_few_values_or_whole_ones_in_between_say_nothing_of_the_precision():
    assert after_some_values(lambda w: float(np.float32(squares(w))), count=3).precision == "float64"
    assert after_some_values(lambda w: 3.0, count=40).precision == "float64"


def test_a_value_of_full_precision_once_is_enough():
    turn = iter(range(1000))
    assert (
        after_some_values(lambda w: squares(w) if next(turn) == 5 else float(np.float32(squares(w)))).precision
        == "float64"
    )


def test_visible_rounding_of_the_cost_is_seen():
    rounded = after_some_values(lambda w: round(squares(w), 3), count=40, step=5e-5)
    assert rounded.granularity(0) == pytest.approx(1e-3, rel=0.1)
    assert after_some_values(squares, count=40, step=5e-5).granularity(0) == 0.0


def test_each_output_has_a_precision_and_a_rounding_of_its_own():
    def function(w):
        return {
            "plain": np.outer(w, w).ravel(),
            "single": np.sin(w).astype(np.float32).astype(np.float64),
            "rounded": np.round(squares(w) * np.ones(3), 3),
        }

    engine = after_some_values(function, count=40, step=5e-5, made=many_outputs)
    assert [engine.value_precision(k) for k in range(3)] == ["float64", "float32", "float64"]
    assert engine.granularity(0) == 0.0
    assert engine.granularity(1) == pytest.approx(2.0**-24, rel=1e-3)  # of single precision, near sin 1
    assert engine.granularity(2) == pytest.approx(1e-3, rel=0.1)


@both
def test_a_function_that_is_the_same_at_every_displaced_point_is_seen_to_stand_still(made):
    still, moved = (after_some_values(cost, count=STILL + 1, made=made) for cost in (lambda w: 3.0, squares))
    once = iter(range(1000))
    late = after_some_values(lambda w: 3.0 + (next(once) == 9), count=STILL + 1, made=made)
    assert [engine.still for engine in (still, moved, late)] == [True, False, False]
    assert not after_some_values(lambda w: 3.0, count=STILL, made=made).still  # too few to say


@both
def test_repeating_tells_a_random_function_from_another(made):
    rng = np.random.default_rng(0)
    for cost, random in ((squares, False), (lambda w: squares(w) + rng.standard_normal(), True)):
        engine = made(cost)
        engine.evaluate_point()
        assert bool(engine.repeat().any()) is random
