"""A function along one direction, less what is claimed: values, what is taken off, and that each is asked for once."""

from __future__ import annotations

import numpy as np
import pytest

from gradproof import Problem
from gradproof._evaluation.engine import Engine
from gradproof._evaluation.lines import Line
from gradproof._problem.answers import NamedOutputs, OneNumber
from gradproof._problem.claims import EntryClaim, GradientClaim, MatrixClaim
from gradproof._problem.structure import Structure
from gradproof._words.directions import BlockDirection, Coordinate, GivenDirection, RandomDirection

W = np.array([1.0, 2.0, 3.0])
POINT = {"a": np.array([0.5, -1.5]), "b": W}
CLAIMED = {"a": np.array([1.0, 2.0]), "b": -W}
DIRECTIONS = [
    Coordinate(0, 0),
    Coordinate(1, 2, 0.5),
    RandomDirection(3, 1, (1.0, 0.5)),
    RandomDirection(3, 1, (0.0, 1.0)),
    BlockDirection(3, 1, 1, 2.0),
    GivenDirection((np.array([1.0, -1.0]), np.zeros(3))),
]


def squares(w):
    return float(np.sum(np.asarray(w, dtype=np.float64) ** 2))


def cost(p):
    return squares(p["a"]) + squares(p["b"])


def flat(p):
    return np.concatenate([p["a"], p["b"]])


def one_output(function=cost, point=POINT, claimed=CLAIMED):
    problem = Problem(function, point, claimed)
    engine = Engine(problem, OneNumber(problem))
    engine.evaluate_point()
    return engine, GradientClaim(tuple(problem.claimed_values(claimed)))


def many_outputs():
    """F(θ) = (θ², Σθ), and a matrix that is claimed to be its Jacobian."""
    engine = Engine(
        Problem(lambda p: {"squares": flat(p) ** 2, "sum": np.sum(flat(p))}, POINT, POINT), NamedOutputs("y")
    )
    engine.evaluate_point()
    matrix = np.random.default_rng(0).standard_normal((6, 5))
    return engine, matrix, MatrixClaim(matrix, engine.outputs, Structure(POINT, ["a", "b"]), kind="Jacobian")


def along(engine, direction):
    """Return v, written out."""
    parts = [direction.component(k, block.shape) for k, block in enumerate(engine.problem.blocks)]
    return np.concatenate(
        [np.zeros(b.size) if c is None else c for b, c in zip(engine.problem.blocks, parts, strict=True)]
    )


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_line_gives_the_discrepancy_between_the_cost_and_the_claim(direction, keep):
    engine, claim = one_output()
    v, line = along(engine, direction), Line(engine, direction, claim, keep=keep)
    for t in (0.25, -0.5):
        # Σ(θ + t v)² − Σθ² − t g·v, written out.
        expected = t * (2 * flat(POINT) - flat(CLAIMED)) @ v + t**2 * v @ v
        assert line.at(t)[0] == pytest.approx([expected], rel=1e-13)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_line_of_many_outputs_gives_the_discrepancy_of_each(direction):
    engine, matrix, claim = many_outputs()
    v, line = along(engine, direction), Line(engine, direction, claim)
    for t in (0.25, -0.5):
        moved = flat(POINT) + t * v
        change = np.append(moved**2 - flat(POINT) ** 2, t * v.sum())
        np.testing.assert_allclose(line.at(t)[0], change - t * matrix @ v, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(line.change(t), change, rtol=1e-12, atol=1e-14)
    assert [rows.stop - rows.start for rows in line.rows] == [5, 1]


def test_a_line_asks_for_each_value_once():
    engine, claim = one_output()
    line = Line(engine, DIRECTIONS[0], claim)
    for t in (0.1, -0.1, 0.0, 0.1, 0.1, 0.2):
        line.at(t)
    assert engine.evaluations == line.evaluations == 4
    assert sorted(line.known) == [-0.1, 0.1, 0.2]


def test_other_claims_see_the_same_values_without_a_further_evaluation():
    engine, matrix, claim = many_outputs()
    direction = RandomDirection(3, 1, (1.0, 1.0))
    line = Line(engine, direction, claim, keep=True)
    line.at(0.25)
    other = line.viewed(MatrixClaim(2 * matrix, engine.outputs, Structure(POINT, ["a", "b"]), kind="Jacobian"))
    weights = np.arange(6.0)
    row = line.viewed(GradientClaim((np.zeros(2), np.ones(3)), weights))
    v = along(engine, direction)
    np.testing.assert_allclose(other.at(0.25)[0], line.change(0.25) - 0.5 * matrix @ v, rtol=1e-11, atol=1e-13)
    assert row.at(0.25)[0] == pytest.approx([weights @ line.change(0.25) - 0.25 * v[2:].sum()], rel=1e-12)
    assert engine.evaluations == 2


def test_an_entry_is_seen_along_its_column():
    engine, _, _ = many_outputs()
    line = Line(engine, Coordinate(1, 2), EntryClaim(4, 0, 1, 2, 5.0))
    assert line.at(0.5)[0] == pytest.approx([(3.5**2 - 9) - 2.5])


def test_a_right_claim_in_single_precision_is_free_of_the_rounding_of_the_displacement():
    point = np.array([1.0, 1000.0, 0.01], dtype=np.float32)
    weights = np.array([3.0, -5.0, 7.0])
    engine, claim = one_output(lambda w: float(weights @ w.astype(np.float64)), point, weights)
    direction = RandomDirection(0, 1, (1e-3,))
    line, bare = Line(engine, direction, claim), Line(engine, direction, GradientClaim((np.zeros(3),)))
    for t in (1.0, -1.0):
        assert abs(line.at(t)[0][0]) < 1e-12
        # A displacement is rounded by some 1e-5 · 5.
        assert abs(bare.at(t)[0][0] - t * weights @ direction.component(0, (3,))) > 1e-6


def test_a_value_that_failed_is_none_and_is_not_asked_for_again():
    calls = []
    engine, claim = one_output(lambda p: calls.append(1) or (np.nan if p["a"][0] > 0.5 else cost(p)))
    line = Line(engine, Coordinate(0, 0), claim)
    assert line.at(0.1) is None
    assert line.at(0.1) is None
    assert line.at(-0.1) is not None
    assert list(line.known) == [-0.1]
    assert len(calls) == 3


def test_repeating_gives_the_change_at_the_point_itself():
    turn = iter(range(10))
    engine, claim = one_output(lambda p: cost(p) + next(turn))
    assert Line(engine, Coordinate(0, 0), claim).repeat() == pytest.approx([1.0])
