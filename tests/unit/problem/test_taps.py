"""Intermediate values as coordinates: what `tap` does outside a check and within one, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import gradproof
from gradproof import MutatedInput, NotDifferentiable, ShapeMismatch, TapMismatch, UsageError, Verdict, check_gradient
from gradproof._problem.problem import Problem
from gradproof._problem.taps import LagrangianProblem, Recording, TappedProblem, claimed_taps, visiting

RNG = np.random.default_rng(5)
X = RNG.standard_normal((3, 6))
POINT = {"W1": RNG.standard_normal((4, 3)), "W2": RNG.standard_normal((1, 4))}


def forward(p, tap=gradproof.tap):
    Z = tap("Z", p["W1"] @ X)
    A = tap("A", np.tanh(Z))
    return Z, A, p["W2"] @ A


def cost(p):
    return float(np.sum(forward(p)[2] ** 2))


def backward(p):
    _, A, y = forward(p)
    dy = 2 * y
    dA = p["W2"].T @ dy
    dZ = dA * (1 - A**2)
    return {"W1": dZ @ X.T, "W2": dy @ A.T, "Z": dZ, "A": dA}


def recorded(function, point=POINT):
    recording = Recording()
    with visiting(recording):
        function(point)
    return recording.met()


def tapped(claimed=None, function=cost, point=POINT):
    problem = Problem(function, point, backward(POINT) if claimed is None else claimed)
    return TappedProblem(problem, problem.claimed, claimed_taps(problem, problem.claimed, recorded(function, point)))


def names_of(problem):
    return [block.name for block in problem.blocks]


# --- outside a check, and what is recorded ----------------------------------------------------------------------------


def test_outside_a_check_the_very_value_is_returned():
    value = object()
    assert gradproof.tap("Z", value) is value


def test_values_are_recorded_in_the_order_of_the_forward_pass_as_copies():
    Z, A = recorded(cost)
    assert (Z.name, A.name) == ("Z", "A")
    np.testing.assert_array_equal(Z.value, POINT["W1"] @ X)


def test_after_a_visit_tap_is_the_identity_again():
    recorded(cost)
    value = np.ones(2)
    assert gradproof.tap("Z", value) is value


def loop(p):
    h = np.zeros((4, 6))
    for _ in range(3):
        h = gradproof.tap("h", np.tanh(p["W1"] @ X + h))
    return float(np.sum(p["W2"] @ h))


def test_a_loop_numbers_its_values():
    assert [met.name for met in recorded(loop)] == ["h[0]", "h[1]", "h[2]"]


def test_values_of_a_loop_are_claimed_as_a_list():
    zeros = [np.zeros((4, 6))] * 3
    problem = tapped({"W1": POINT["W1"], "W2": POINT["W2"], "h": zeros}, loop)
    assert names_of(problem) == ["W1", "W2", "h[0]", "h[1]", "h[2]"]


def once(p):
    for _ in range(1):
        h = gradproof.tap("h", np.tanh(p["W1"] @ X))
    return float(np.sum(p["W2"] @ h))


@pytest.mark.parametrize("claim", [np.zeros((4, 6)), [np.zeros((4, 6))]])
def test_a_loop_that_is_gone_through_once_is_claimed_as_an_array_or_as_a_list(claim):
    assert len(names_of(tapped({"W1": POINT["W1"], "W2": POINT["W2"], "h": claim}, once))) == 3


# --- the two costs ----------------------------------------------------------------------------------------------------


def test_what_is_claimed_of_taps_makes_blocks_in_the_order_of_the_forward_pass():
    claimed = dict(reversed(backward(POINT).items()))
    assert names_of(tapped(claimed)) == ["W1", "W2", "Z", "A"]


def test_a_tap_of_which_nothing_is_claimed_is_no_block():
    claimed = {name: g for name, g in backward(POINT).items() if name != "Z"}
    assert names_of(tapped(claimed)) == ["W1", "W2", "A"]


def test_a_displaced_tap_displaces_what_follows_and_nothing_before():
    problem = tapped()
    step = np.full(24, 0.25)
    value = problem.cost(problem.displaced([None, None, problem.values[2] + step, None], None))
    A = np.tanh(POINT["W1"] @ X + step.reshape(4, 6))
    assert value == pytest.approx(float(np.sum((POINT["W2"] @ A) ** 2)), rel=1e-12)


def test_at_the_point_the_cost_is_the_very_same():
    problem = tapped()
    assert problem.cost(problem.point_copy()) == cost(POINT)


def test_parameters_and_taps_are_displaced_together():
    problem = tapped()
    step = RNG.standard_normal(12) / 10
    value = problem.cost(problem.displaced([problem.values[0] + step, None, None, problem.values[3] + 0.5], None))
    A = np.tanh((POINT["W1"] + step.reshape(4, 3)) @ X) + 0.5
    assert value == pytest.approx(float(np.sum((POINT["W2"] @ A) ** 2)), rel=1e-12)


def test_the_gradient_of_the_lagrangian_is_the_claimed_one_but_for_the_wrong_step():
    claimed = backward(POINT)
    claimed["Z"] = 3 * claimed["Z"]
    claimed["W1"] = claimed["Z"] @ X.T  # follows from the wrong dZ
    problem = tapped(claimed)
    lagrangian = LagrangianProblem(problem, problem.claimed_values(claimed))
    right = backward(POINT)

    def slope(b, h=1e-5):
        v = RNG.standard_normal(problem.values[b].size)

        def at(t):
            moved = [problem.values[b] + t * v if k == b else None for k in range(4)]
            return lagrangian.cost(lagrangian.displaced(moved, None))

        return (at(h) - at(-h)) / (2 * h), v

    for b, name in enumerate(names_of(problem)):
        measured, v = slope(b)
        expected = right["Z"] if name == "Z" else claimed[name]
        assert measured == pytest.approx(float(expected.reshape(-1) @ v), rel=1e-6)


def test_the_lagrangian_sees_what_a_value_feeds():
    problem = tapped()
    lagrangian = LagrangianProblem(problem, problem.claimed_values(backward(POINT)))
    lagrangian.cost(lagrangian.displaced([problem.values[0] + 0.1, None, None, None], None))
    assert (lagrangian.changed, lagrangian.cost_alone) == (["Z"], cost(POINT))
    lagrangian.cost(lagrangian.displaced([None, None, None, problem.values[3] + 0.1], None))
    assert lagrangian.changed == []
    assert lagrangian.cost_alone != cost(POINT)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_tap_keeps_its_precision(dtype):
    def low(p):
        return float(np.sum(gradproof.tap("Z", (p["W1"] @ X).astype(dtype)).astype(float) ** 2))

    point = {"W1": POINT["W1"]}
    problem = tapped({"W1": POINT["W1"], "Z": np.zeros((4, 6))}, low, point)
    assert problem.blocks[1].dtype == np.dtype(dtype).name


# --- bad input --------------------------------------------------------------------------------------------------------


def bad(body, claims=("Z",), shape=(4, 6)):
    claimed = {"W1": np.zeros((4, 3)), "W2": np.zeros((1, 4))} | {name: np.zeros(shape) for name in claims}
    return check_gradient(body, POINT, claimed, seed=0)


def test_a_name_at_two_places_is_refused():
    def body(p):
        Z = gradproof.tap("Z", p["W1"] @ X)
        return float(np.sum(p["W2"] @ gradproof.tap("Z", np.tanh(Z))))

    with pytest.raises(UsageError, match="Z: two calls of tap have the same name"):
        bad(body)


@pytest.mark.parametrize("name", [3, "", None])
def test_a_name_that_is_no_name_is_refused(name):
    def body(p):
        return float(np.sum(p["W2"] @ gradproof.tap(name, p["W1"] @ X)))

    with pytest.raises(UsageError, match="the name is"):
        bad(body)


def test_a_value_written_in_place_after_it_was_tapped_is_refused():
    def body(p):
        Z = gradproof.tap("Z", p["W1"] @ X)
        Z += 1
        return float(np.sum(p["W2"] @ Z))

    with pytest.raises(MutatedInput, match="Z: the value was written in place after it was tapped"):
        bad(body)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.arange(3), "array of int64"),
        (np.array([True, False]), "array of bool"),
        (3, "an int"),
        (np.array([1j]), "array of complex128"),
        ("relu", "a str"),
        ((np.ones(2), np.ones(2)), "tuple"),
        (None, "None"),
    ],
)
def test_a_claim_for_what_has_no_derivative_is_refused(value, kind):
    def body(p):
        gradproof.tap("Z", value)
        return float(np.sum(p["W2"] @ p["W1"] @ X))

    with pytest.raises(NotDifferentiable, match=kind):
        bad(body, shape=np.shape(value) if isinstance(value, np.ndarray) else ())


def test_what_has_no_derivative_may_be_tapped_where_nothing_is_claimed_of_it():
    def body(p):
        gradproof.tap("labels", np.arange(3))
        return cost(p)

    assert check_gradient(body, POINT, backward(POINT), seed=0).verdict is Verdict.CORRECT


def test_a_claim_for_a_tap_that_was_not_met_is_refused():
    with pytest.raises(ShapeMismatch, match=r"a gradient is claimed of Q, .* the cost taps Z, A"):
        bad(cost, claims=("Q",))


def test_a_claim_beyond_the_point_is_refused_as_ever_where_nothing_is_tapped():
    with pytest.raises(ShapeMismatch, match=r"has Q, which the point has not.*gradproof\.tap"):
        bad(lambda p: float(np.sum(p["W2"] @ p["W1"] @ X)), claims=("Q",))


def test_a_tap_with_the_name_of_a_parameter_is_refused():
    def body(p):
        return float(np.sum(p["W2"] @ gradproof.tap("W1", p["W1"] @ X) + gradproof.tap("Z", 1.0)))

    with pytest.raises(UsageError, match="W1: a parameter and a tapped value have the same name"):
        bad(body, shape=())


def test_a_claim_of_another_shape_is_refused():
    with pytest.raises(ShapeMismatch, match=r"Z: the claimed gradient has shape \(6, 4\)"):
        bad(cost, shape=(6, 4))


@pytest.mark.parametrize("change", ["order", "number", "shape"])
def test_taps_that_are_met_otherwise_at_another_point_are_refused(change):
    def body(p):
        moved = not np.array_equal(p["W1"], POINT["W1"])
        Z, A = p["W1"] @ X, np.tanh(p["W1"] @ X)
        if moved and change == "order":
            gradproof.tap("A", A)
        if not (moved and change == "number"):
            Z = gradproof.tap("Z", Z[:2] if moved and change == "shape" else Z)
        if not (moved and change == "order"):
            A = gradproof.tap("A", A)
        return float(np.sum(p["W2"] @ A))

    with pytest.raises(TapMismatch, match=r"Z, A at the point itself, .* at another one"):
        bad(body, claims=("Z", "A"))


def test_a_tap_whose_value_is_not_gone_on_with_is_refused():
    def body(p):
        Z = p["W1"] @ X
        gradproof.tap("Z", Z)  # what it returns is lost
        return float(np.sum((p["W2"] @ np.tanh(Z)) ** 2))

    claimed = {name: g for name, g in backward(POINT).items() if name != "A"}
    with pytest.raises(UsageError, match="Z: the cost stays the same, wherever this tapped value goes"):
        check_gradient(body, POINT, claimed, seed=0)
