"""The only caller of the user's cost: what it counts, what it notices, and what it makes of a failure."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradproof import CostRaised, MutatedInput, NonFiniteCost, NotScalar, Problem, check_gradient
from gradproof._evaluation.engine import BudgetSpent, CoordinateLine, Displacement, Engine
from gradproof._words.directions import BlockDirection, Coordinate, GivenDirection, RandomDirection

W = np.array([1.0, 2.0, 3.0])
EAST = Coordinate(0, 0)


def squares(w):
    return float(np.sum(np.asarray(w, dtype=np.float64) ** 2))


def engine_of(cost, point=W, **options):
    engine = Engine(Problem(cost, point, point), **options)
    engine.claimed = engine.problem.claimed_values(point)
    return engine


# --- counting ---------------------------------------------------------------------------------------------------------


def test_every_call_of_the_cost_is_counted_and_told():
    calls, told = [], []
    engine = engine_of(lambda w: calls.append(1) or squares(w), on_evaluated=told.append)
    engine.evaluate_point()
    engine.evaluate([Displacement(EAST, 0.1), Displacement(EAST, -0.1)])
    engine.repeat()
    assert engine.evaluations == len(calls) == 4
    assert told == [1, 2, 3, 4]


def test_a_cost_that_fails_is_counted_too():
    def cost(w):
        if w[0] != 1.0:
            raise ValueError
        return 1.0

    engine = engine_of(cost)
    engine.evaluate_point()
    engine.evaluate([Displacement(EAST, 0.1)])
    assert engine.evaluations == 2
    with pytest.raises(CostRaised):
        engine_of(lambda w: 1 / 0).evaluate_point()


def test_the_budget_is_spent_before_it_is_exceeded_and_by_no_part_of_a_batch():
    calls = []
    engine = engine_of(lambda w: calls.append(1) or squares(w), budget=3)
    engine.evaluate_point()
    with pytest.raises(BudgetSpent):
        engine.evaluate([Displacement(EAST, t) for t in (0.1, 0.2, 0.3)])
    assert len(calls) == 1
    engine.evaluate([Displacement(EAST, t) for t in (0.1, 0.2)])
    with pytest.raises(BudgetSpent):
        engine.repeat()
    assert len(calls) == engine.evaluations == 3


def test_a_line_asks_for_each_value_once():
    engine = engine_of(squares)
    base, _ = engine.evaluate_point()
    line = engine.line(EAST, base)
    line([0.1, -0.1, 0.0, 0.1])
    line([0.1, 0.2])
    assert engine.evaluations == line.evaluations == 4


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "direction",
    [
        EAST,
        Coordinate(1, 2, 0.5),
        RandomDirection(3, 1, (1.0, 0.5)),
        RandomDirection(3, 1, (0.0, 1.0)),
        BlockDirection(3, 1, 1, 2.0),
        GivenDirection((np.array([1.0, -1.0]), np.zeros(3))),
    ],
)
def test_a_line_gives_the_discrepancy_between_the_cost_and_the_claim(direction):
    point = {"a": np.array([0.5, -1.5]), "b": W}
    claimed = {"a": np.array([1.0, 2.0]), "b": -W}
    engine = Engine(Problem(lambda p: squares(p["a"]) + squares(p["b"]), point, claimed))
    engine.claimed = engine.problem.claimed_values(claimed)
    base, _ = engine.evaluate_point()
    components = [direction.component(k, block.shape) for k, block in enumerate(engine.problem.blocks)]
    v = {name: np.zeros(point[name].size) if c is None else c for name, c in zip(point, components, strict=True)}
    for t, value in zip((0.25, -0.5), engine.line(direction, base)([0.25, -0.5]), strict=True):
        # Σ(θ + t v)² − Σθ² − t g·v, written out.
        expected = sum(t * (2 * point[k] - claimed[k]) @ v[k] + t**2 * v[k] @ v[k] for k in point)
        assert value == pytest.approx(expected, rel=1e-13)
    assert engine.dot(engine.claimed, direction) == pytest.approx(sum(claimed[k] @ v[k] for k in point), rel=1e-14)


def test_a_right_claim_in_single_precision_is_free_of_the_rounding_of_the_displacement():
    point = np.array([1.0, 1000.0, 0.01], dtype=np.float32)
    weights = np.array([3.0, -5.0, 7.0])
    engine = Engine(Problem(lambda w: float(weights @ w.astype(np.float64)), point, weights))
    engine.claimed = (weights,)
    base, _ = engine.evaluate_point()
    values = engine.line(RandomDirection(0, 1, (1e-3,)), base)([1.0, -1.0])
    assert np.max(np.abs(values)) < 1e-12  # a displacement is rounded by some 1e-5 · 5
    engine.claimed = None
    assert np.min(np.abs(engine.line(RandomDirection(0, 1, (1e-3,)), base)([1.0, -1.0]))) > 1e-4


def test_a_coordinate_without_a_claim_is_free_of_it_too():
    point = np.array([1000.0], dtype=np.float32)
    engine = Engine(Problem(lambda w: 3.0 * float(w[0]), point, point))
    engine.claimed = (np.array([1.0]),)
    base, _ = engine.evaluate_point()
    line = CoordinateLine(engine, EAST, base)
    steps = [1e-3, -1e-3, 2.3e-3]
    np.testing.assert_allclose(line(steps), 3 * np.array(steps), rtol=1e-10)


def test_what_the_cost_returns_beside_its_value_is_left_alone():
    engine = Engine(Problem(lambda w: ((squares(w), "anything"), 2 * w), W, True, has_aux=True))
    value, gradient = engine.evaluate_point()
    assert value == 14.0
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
    down, up, further = engine.evaluate([Displacement(EAST, t) for t in (-0.1, 0.1, -0.2)])
    assert (down.error, further.error) == ("", "")
    assert down.value == pytest.approx(0.81 + 13)
    assert math.isnan(up.value)
    assert up.error.startswith(error)
    assert "θ +0.1·v" in engine.last_error
    assert error in engine.last_error


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_is_no_failure(interruption):
    def cost(w):
        if w[0] != 1.0:
            raise interruption
        return 1.0

    engine = engine_of(cost)
    engine.evaluate_point()
    with pytest.raises(interruption):
        engine.evaluate([Displacement(EAST, 0.1)])


def test_an_overflow_within_the_cost_is_no_warning():
    engine = engine_of(lambda w: float(np.sum(np.exp(1000 * (w - 1)))) if w[0] != 1 else 1.0, W * 1.0)
    engine.evaluate_point()
    (far,) = engine.evaluate([Displacement(EAST, 5.0)])
    assert far.error == "J is inf"


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_displacement_that_is_lost_is_not_evaluated_but_said_to_be(dtype):
    calls = []
    engine = engine_of(lambda w: calls.append(1) or squares(w), W.astype(dtype))
    engine.evaluate_point()
    (lost,) = engine.evaluate([Displacement(RandomDirection(1, 1, (1.0,)), 1e-9)])
    assert math.isnan(lost.value)
    assert "cannot be displaced by so little" in lost.error
    assert len(calls) == engine.evaluations == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("direction", [RandomDirection(1, 1, (1.0,)), Coordinate(0, 17)])
def test_the_shortest_step_tells_which_displacements_are_lost(dtype, direction):
    point = np.random.default_rng(3).standard_normal(500).astype(dtype)
    engine = engine_of(squares, point)
    base, _ = engine.evaluate_point()
    line = engine.line(direction, base)
    shortest = line.shortest
    # A coordinate's own rounding depends on where it falls; a random direction's hardly does.
    spread = 3.0 if isinstance(direction, Coordinate) else 1.2
    assert np.isnan(line([shortest / spread / 2])).all()
    assert np.isfinite(line([shortest * spread])).all()


# --- the point itself -------------------------------------------------------------------------------------------------


def test_the_cost_is_given_a_point_of_its_own_at_each_call():
    given = []
    engine = engine_of(lambda w: given.append(w) or squares(w))
    engine.evaluate_point()
    engine.repeat()
    engine.evaluate([Displacement(EAST, 0.1)])
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

    engine = Engine(Problem(squares, W, claimed))
    (first,) = engine.evaluate_claim()
    (second,) = engine.evaluate_claim()
    np.testing.assert_array_equal(first, 2 * W)
    assert not np.array_equal(first, second)


# --- what the values say ----------------------------------------------------------------------------------------------


def after_some_values(cost, point=W, count=12, step=1e-2):
    engine = engine_of(cost, point)
    engine.evaluate_point()
    engine.evaluate([Displacement(RandomDirection(1, 1, (1.0,)), step * k) for k in range(1, count)])
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
    assert rounded.granularity == pytest.approx(1e-3, rel=0.1)
    assert after_some_values(squares, count=40, step=5e-5).granularity == 0.0


def test_repeating_tells_a_random_cost_from_another():
    rng = np.random.default_rng(0)
    for cost, random in ((squares, False), (lambda w: squares(w) + rng.standard_normal(), True)):
        engine = engine_of(cost)
        base, _ = engine.evaluate_point()
        assert (engine.line(EAST, base).repeat() > 0) is random
