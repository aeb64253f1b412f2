"""The derivative along a line: every case that a numerical derivative is known to get wrong, one test each.

The truths are closed forms. "Holds" is: the true value lies within the bar (and the truth's own rounding), and the bar
is small enough to be of use; a bar of infinity would hold everything.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy.special import expit

import gradproof
from gradproof import Verdict, check_gradient, directional_derivative, numerical_gradient

ROUNDOFF = 2.0**-53


class Counted:
    def __init__(self, function):
        self.function = function
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return self.function(x)


def holds(estimate, truth, *, of_use):
    """Say whether the bar covers the truth and is at most `of_use` (absolute)."""
    return (
        abs(estimate.value - truth) <= estimate.error_bar + 4 * ROUNDOFF * abs(truth) and estimate.error_bar <= of_use
    )


# ------------------------------------------------------------------------------------------ 1. noise
@pytest.mark.parametrize("level", [1e-10, 1e-8, 1e-6, 1e-4, 1e-3])
def test_stochastic_noise_is_measured_and_the_bar_allows_for_it(level):
    rng = np.random.default_rng(3)
    estimate = directional_derivative(lambda x: math.sin(x) + 2 + level * rng.standard_normal(), 0.7, 1.0)
    assert holds(estimate, math.cos(0.7), of_use=1000 * level)
    assert level / 5 <= estimate.noise <= 5 * level


def test_the_bar_of_a_noisy_cost_is_wider_than_that_of_a_quiet_one():
    rng = np.random.default_rng(4)
    noisy = directional_derivative(lambda x: math.sin(x) + 1e-5 * rng.standard_normal(), 0.7, 1.0)
    quiet = directional_derivative(math.sin, 0.7, 1.0)
    assert noisy.error_bar > 1e4 * quiet.error_bar


def test_an_iteration_stopped_at_1e_8_is_a_noisy_cost_and_no_failure():
    def cost(p):
        x, last = 0.5, 0.0
        while abs(x - last) > 1e-8:
            x, last = math.cos(p * x) / 2, x
        return x

    def truth(p):
        x = 0.5
        for _ in range(200):
            x = math.cos(p * x) / 2
        return -x * math.sin(p * x) / (2 + p * math.sin(p * x))

    for p in (0.6, 0.9, 1.3, 1.7):
        estimate = directional_derivative(cost, p, 1.0)
        # the program's own derivative differs from the ideal one by about its tolerance
        assert abs(estimate.value - truth(p)) <= estimate.error_bar + 1e-6
        assert estimate.error_bar <= 1e-5


def test_rounding_in_float32_is_measured():
    w = np.array([0.7, -1.2, 0.4], dtype=np.float32)

    def cost(w):
        return np.sum(np.tanh(w) ** 2)  # all in float32

    direction = np.array([1.0, 0.5, -1.0], dtype=np.float32)
    estimate = directional_derivative(cost, w, direction)
    wide = w.astype(float)
    truth = float(np.sum(2 * np.tanh(wide) / np.cosh(wide) ** 2 * direction))
    assert holds(estimate, truth, of_use=2e-3)
    assert 1e-9 < estimate.noise < 1e-6


@pytest.mark.parametrize("x", [0.3, 0.7, 1.4, -0.9])
def test_output_rounded_to_six_decimals_has_a_noise_of_that_size(x):
    estimate = directional_derivative(lambda x: round(2 + math.sin(x), 6), x, 1.0)
    assert holds(estimate, math.cos(x), of_use=1e-3)
    assert 3e-8 < estimate.noise < 3e-6


def test_a_cost_that_its_rounding_makes_constant_over_short_steps_is_not_called_constant():
    estimate = directional_derivative(lambda x: round(0.01 * x * x, 6), 1.0, 1.0)
    assert holds(estimate, 0.02, of_use=1e-3)


@pytest.mark.parametrize(
    ("cost", "truth"),
    [
        (lambda x: x * x, 3.0),
        (lambda x: x**3 - 2 * x, 4.75),
        (lambda x: 4 * x - 3, 4.0),
        (lambda x: float(np.round(x * 2**20) / 2**20) * 0 + x * x, 3.0),
    ],
)
def test_arithmetic_without_rounding_is_no_special_trouble(cost, truth):
    estimate = directional_derivative(cost, 1.5, 1.0)
    assert holds(estimate, truth, of_use=1e-10)
    assert math.isfinite(estimate.noise)
    assert estimate.noise >= 0


# ------------------------------------------------------------------------------------------ 2. steps
@pytest.mark.parametrize("exponent", range(-12, 13, 2))
@pytest.mark.parametrize("unit_direction", [True, False])
def test_parameters_of_every_size_are_displaced_by_their_own_scale(exponent, unit_direction):
    scale = 10.0**exponent
    direction = 1.0 if unit_direction else scale
    estimate = directional_derivative(lambda x: math.sin(x / scale), 0.8 * scale, direction)
    truth = math.cos(0.8 * scale / scale) * direction / scale
    assert holds(estimate, truth, of_use=1e-9 * abs(truth))


@pytest.mark.parametrize("frequency", [1e-6, 1e-3, 1.0, 1e3, 1e5])
def test_a_zero_parameter_takes_its_step_from_the_values(frequency):
    estimate = directional_derivative(lambda x: math.sin(frequency * x + 0.5), 0.0, 1.0)
    truth = frequency * math.cos(0.5)
    assert holds(estimate, truth, of_use=1e-6 * abs(truth))


def test_zero_biases_beside_weights_are_no_trouble():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((3, 6))
    point = {"W": rng.standard_normal((2, 3)), "b": np.zeros((2, 1))}
    direction = {"W": np.zeros((2, 3)), "b": np.array([[1.0], [-2.0]])}
    estimate = directional_derivative(lambda p: np.mean(np.tanh(p["W"] @ x + p["b"]) ** 2), point, direction)
    z = point["W"] @ x
    truth = float(np.mean(2 * np.tanh(z) / np.cosh(z) ** 2 * direction["b"]))
    assert holds(estimate, truth, of_use=1e-10)


@pytest.mark.parametrize(
    ("cost", "derivative", "x", "digits"),
    [
        (lambda x: math.sin(1e5 * x), lambda x: 1e5 * math.cos(1e5 * x), 1.3, 1e-7),
        (lambda x: math.exp(1e-6 * x), lambda x: 1e-6 * math.exp(1e-6 * x), 0.7, 1e-5),
        (lambda x: 1e8 + math.sin(x), math.cos, 0.7, 1e-5),
    ],
    ids=["sin(1e5 x)", "exp(1e-6 x)", "offset 1e8"],
)
def test_curvature_and_offsets_of_every_size(cost, derivative, x, digits):
    truth = derivative(x)
    assert holds(directional_derivative(cost, x, 1.0), truth, of_use=digits * abs(truth))


def _raising(function, inside):
    def cost(x):
        if not inside(x):
            msg = "math domain error"
            raise ValueError(msg)
        return function(x)

    return cost


def _nan(function, inside):
    return lambda x: function(x) if inside(x) else math.nan


EDGES = {
    "log": (math.log, lambda u: 1 / u),
    "sqrt": (math.sqrt, lambda u: 0.5 / math.sqrt(u)),
    "1/x": (lambda u: 1 / u, lambda u: -1 / u**2),
    "x log x": (lambda u: u * math.log(u), lambda u: 1 + math.log(u)),
    "power": (lambda u: u**1.5, lambda u: 1.5 * math.sqrt(u)),
}


@pytest.mark.parametrize("guard", [_raising, _nan])
@pytest.mark.parametrize("edge", [0.0, 1.0])
@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("name", EDGES)
def test_a_point_1e_9_from_the_edge_of_the_domain(name, side, edge, guard):
    function, derivative = EDGES[name]
    point = edge + side * 1e-9
    cost = guard(lambda x: function(side * (x - edge)), lambda x: side * (x - edge) > 0)
    truth = side * derivative(side * (point - edge))
    estimate = directional_derivative(cost, point, 1.0)
    assert holds(estimate, truth, of_use=1e-4 * abs(truth))


@pytest.mark.parametrize("guard", [_raising, _nan])
@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_point_on_the_edge_itself_is_measured_from_one_side(guard, direction):
    cost = guard(lambda x: x + math.exp(x), lambda x: x >= 0)
    estimate = directional_derivative(cost, 0.0, direction)
    assert holds(estimate, 2 * direction, of_use=1e-6)


@pytest.mark.parametrize(
    ("cost", "x"),
    [
        (math.cos, 0.0),
        (lambda x: (x - 1.3) ** 2, 1.3),
        (lambda x: 5 + (x - 1.3) ** 4, 1.3),
        (lambda x: math.exp(-x * x), 0.0),
    ],
)
def test_a_gradient_of_zero_is_found_to_be_zero(cost, x):
    assert holds(directional_derivative(cost, x, 1.0), 0.0, of_use=1e-10)


@pytest.mark.parametrize(("x", "of_use"), [(0.0, 1e-10), (0.3, 1e-10), (1e12, 1e-10), (-1e-12, 1e-5)])
def test_a_linear_cost_is_known_to_rounding(x, of_use):
    assert holds(directional_derivative(lambda x: 0.7 * x + 0.1, x, 1.0), 0.7, of_use=of_use)


@pytest.mark.parametrize("value", [0.0, 1.7, -1e300, 1e-300])
@pytest.mark.parametrize("x", [0.0, 0.3, 1e12])
def test_a_constant_cost_has_the_derivative_zero(value, x):
    scale = abs(x) or 1.0
    assert holds(directional_derivative(lambda _: value, x, 1.0), 0.0, of_use=1e-9 * abs(value) / scale)


def test_a_cost_that_is_zero_everywhere_is_known_exactly():
    estimate = directional_derivative(lambda _: 0.0, 0.3, 1.0)
    assert estimate.value == 0
    assert estimate.error_bar == 0


@pytest.mark.parametrize("unit", [1e-150, 1e-12, 1e12, 1e150])
def test_the_units_of_the_cost_do_not_matter(unit):
    truth = unit * math.cos(0.7)
    estimate = directional_derivative(lambda x: unit * math.sin(x), 0.7, 1.0)
    assert holds(estimate, truth, of_use=1e-10 * unit)


# ------------------------------------------------------------------------------------------ 3. evaluations and displacements
@pytest.mark.parametrize("cost", [math.sin, math.exp, lambda x: 1 / (2 + x * x), lambda x: x**5])
def test_a_careful_line_takes_at_most_20_evaluations_and_states_them(cost):
    counted = Counted(cost)
    estimate = directional_derivative(counted, 0.7, 1.0)
    assert estimate.evaluations == counted.calls
    assert counted.calls <= 20


def _linear_float32():
    rng = np.random.default_rng(6)
    point = rng.standard_normal(50).astype(np.float32)
    weights = rng.standard_normal(50).astype(np.float32)
    return (lambda p: weights.astype(np.float64) @ p.astype(np.float64)), point, weights


def test_the_rounding_of_float32_displacements_is_within_the_bar():
    cost, point, weights = _linear_float32()
    direction = np.random.default_rng(7).standard_normal(50).astype(np.float32)
    estimate = directional_derivative(cost, point, direction)
    assert holds(estimate, float(weights.astype(np.float64) @ direction.astype(np.float64)), of_use=1e-5)


def test_a_claim_is_compared_free_of_the_rounding_of_float32_displacements():
    cost, point, weights = _linear_float32()
    for strategy in ("coordinates", "certificate"):
        report = check_gradient(cost, point, weights, strategy=strategy, seed=1)
        assert report.verdict is Verdict.CORRECT
        assert report.difference.estimate <= 1e-10  # 1e-8 and more where the displacement is taken as asked for


def test_the_users_point_and_direction_are_as_they_were():
    point, direction = {"a": np.array([1.0, 2.0]), "b": 3.0}, {"a": np.array([0.5, -1.0]), "b": 1.0}
    directional_derivative(lambda p: np.sum(p["a"] ** 2) * p["b"], point, direction)
    assert np.array_equal(point["a"], [1.0, 2.0])
    assert point["b"] == 3.0
    assert np.array_equal(direction["a"], [0.5, -1.0])


def test_every_part_of_an_estimate_is_a_plain_number():
    estimate = directional_derivative(lambda x: np.float64(np.sin(x)), np.float64(0.7), 1.0)
    for name in ("value", "error_bar", "truncation_error", "roundoff_error", "step", "noise", "degrees_of_freedom"):
        assert type(getattr(estimate, name)) is float, name
    assert estimate.method
    assert estimate.trusted


def test_the_derivative_is_linear_in_the_direction():
    point = np.array([0.3, -0.8, 1.1])
    v = np.array([1.0, 0.4, -0.7])

    def cost(x):
        return np.prod(np.cos(x))

    one, three = directional_derivative(cost, point, v), directional_derivative(cost, point, -3 * v)
    assert abs(three.value + 3 * one.value) <= three.error_bar + 3 * one.error_bar


def test_the_numerical_gradient_has_the_points_structure_and_holds_entry_by_entry():
    point = {"w": np.array([0.4, -1.1]), "b": 0.2}
    values, bars, *_ = numerical_gradient(lambda p: np.sum(np.sin(p["w"])) * math.exp(p["b"]), point)
    truth = {"w": np.cos(point["w"]) * math.exp(0.2), "b": float(np.sum(np.sin(point["w"])) * math.exp(0.2))}
    assert set(values) == set(bars) == {"w", "b"}
    for name, true in truth.items():
        assert np.shape(values[name]) == np.shape(true)
        assert np.all(np.abs(values[name] - true) <= np.asarray(bars[name]) + 4 * ROUNDOFF * np.abs(true)), name
        assert np.all(np.asarray(bars[name]) <= 1e-9)


# ------------------------------------------------------------------------------------------ 4. kinks
def relu(x):
    return np.maximum(x, 0.0)


@pytest.mark.parametrize(
    ("cost", "point", "direction", "left", "right"),
    [
        (lambda x: relu(x), 0.0, 1.0, 0.0, 1.0),
        (lambda x: 100 * x + relu(x), 0.0, 1.0, 100.0, 101.0),
        (lambda x: abs(x - 0.3) + math.sin(x), 0.3, 1.0, math.cos(0.3) - 1, math.cos(0.3) + 1),
        (lambda x: relu(x) / 30 + math.exp(x), 0.0, 1.0, 1.0, 1 + 1 / 30),
        (lambda x: np.sum(np.abs(x)), np.array([0.0, 2.0]), np.array([1.0, 0.5]), -0.5, 1.5),
        (np.max, np.array([1.0, 1.0, 0.0]), np.array([1.0, -2.0, 5.0]), -2.0, 1.0),
        (np.max, np.array([1.0, 1.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0, 0.0]), 0.0, 1.0),
        (lambda x: relu(x / 1e-6), 0.0, 1.0, 0.0, 1e6),
        (lambda x: relu(x), 0.0, -1.0, -1.0, 0.0),
    ],
    ids=["relu", "100x + relu", "abs", "beside curvature", "L1", "max tie", "4-way tie", "scaled", "backwards"],
)
def test_a_kink_at_the_point_is_found_with_both_derivatives(cost, point, direction, left, right):
    estimate = directional_derivative(cost, point, direction)
    assert estimate.kink is not None
    size = max(abs(left), abs(right))
    assert abs(estimate.kink.left - left) <= estimate.kink.error_bar + 4 * ROUNDOFF * size
    assert abs(estimate.kink.right - right) <= estimate.kink.error_bar + 4 * ROUNDOFF * size
    assert estimate.kink.error_bar <= 0.2 * abs(right - left)


@pytest.mark.parametrize(
    ("cost", "x", "truth"),
    [
        (lambda x: x**3, 0.0, 0.0),
        (lambda x: abs(x) ** 3, 0.0, 0.0),
        (lambda x: x * x * abs(x) + x, 0.0, 1.0),
        (lambda x: math.sin(3000 * x), 0.4, 3000 * math.cos(1200)),
        (lambda x: math.cos(3000 * x), 0.0, 0.0),
        (lambda x: math.tanh(1e4 * x), 0.0, 1e4),
        (lambda x: 1e6 * x * x + x, 0.0, 1.0),
        (lambda x: math.sqrt(x * x + 1e-6), 0.0, 0.0),
        (lambda x: relu(1 - x) ** 2, 1.0, 0.0),
        (lambda x: x if x > 0 else math.expm1(x), 0.0, 1.0),
    ],
    ids=["x³", "|x|³", "x²|x|", "sin 3000x", "cos 3000x", "steep tanh", "parabola", "hyperbola", "hinge²", "ELU"],
)
def test_a_smooth_cost_is_never_called_a_kink(cost, x, truth):
    estimate = directional_derivative(cost, x, 1.0)
    assert estimate.kink is None
    assert holds(estimate, truth, of_use=math.inf)


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("exponent", range(-7, -1))
def test_near_a_kink_the_steps_are_shortened_along_the_same_direction(exponent, side):
    distance = 10.0**exponent
    estimate = directional_derivative(lambda x: relu(x - 1) + math.sin(x), 1 + side * distance, 1.0)
    truth = math.cos(1 + side * distance) + (1.0 if side > 0 else 0.0)
    assert estimate.kink is None
    assert holds(estimate, truth, of_use=1e-3)


@pytest.mark.parametrize("exponent", range(-12, -7))
def test_very_near_a_kink_the_truth_is_not_denied(exponent):
    estimate = directional_derivative(lambda x: relu(x - 1) + math.sin(x), 1 + 10.0**exponent, 1.0)
    truth = math.cos(1) + 1
    if estimate.kink is None:
        assert abs(estimate.value - truth) <= estimate.error_bar + 10.0**exponent
    else:
        assert estimate.kink.left - estimate.kink.error_bar <= truth <= estimate.kink.right + estimate.kink.error_bar


@pytest.mark.parametrize("claim", [0.0, 0.5, 1.0])
def test_a_claim_between_the_one_sided_derivatives_is_accepted_as_a_choice_at_a_kink(claim):
    def cost(p):
        return relu(p["x"][0]) + p["x"][1] ** 2

    claimed = {"x": np.array([claim, 1.4])}
    report = check_gradient(cost, {"x": np.array([0.0, 0.7])}, claimed, strategy="coordinates", seed=1)
    assert report.verdict is Verdict.CORRECT
    (entry,) = [c for c in report.coordinates if c.kink is not None]
    assert entry.index == (0,)
    assert entry.kink.left == pytest.approx(0.0, abs=1e-6)
    assert entry.kink.right == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("claim", [-0.1, 1.1, 2.0])
def test_a_claim_outside_the_one_sided_derivatives_is_wrong_for_that_coordinate(claim):
    def cost(p):
        return relu(p["x"][0]) + p["x"][1] ** 2

    claimed = {"x": np.array([claim, 1.4])}
    report = check_gradient(cost, {"x": np.array([0.0, 0.7])}, claimed, strategy="coordinates", seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.coordinates[0].index == (0,)


def test_a_wrong_coordinate_beside_a_kinked_one_is_wrong():
    def cost(p):
        return relu(p["x"][0]) + p["x"][1] ** 2

    claimed = {"x": np.array([0.5, 1.5])}
    report = check_gradient(cost, {"x": np.array([0.0, 0.7])}, claimed, strategy="coordinates", seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.coordinates[0].index == (1,)


# ------------------------------------------------------------------------------------------ 5. the complex step
def _buffered(x):
    buffer = np.zeros(len(x))
    buffer[:] = np.tanh(x)
    return np.sum(buffer**2)


def _kelu(x):
    return np.sum(np.where(x > 0, x * x, -(x**3)))


TRAPS = {
    "abs": (lambda x: np.sum(np.abs(x) ** 3), lambda x: 3 * x * np.abs(x)),
    "norm": (np.linalg.norm, lambda x: x / np.linalg.norm(x)),
    "real": (lambda x: np.sum(np.real(x) ** 2), lambda x: 2 * x),
    "real beside x": (lambda x: np.sum(np.real(x) * x), lambda x: 2 * x),
    "conj": (lambda x: np.real(np.sum(np.conj(x) * x)), lambda x: 2 * x),
    "vdot": (lambda x: np.real(np.vdot(x, x * x)), lambda x: 3 * x**2),
    "comparison": (_kelu, lambda x: np.where(x > 0, 2 * x, -3 * x**2)),
    "cast": (lambda x: np.sum(np.asarray(x, dtype=np.float64) ** 2), lambda x: 2 * x),
    "buffer": (_buffered, lambda x: 2 * np.tanh(x) / np.cosh(x) ** 2),
    "var": (np.var, lambda x: 2 * (x - np.mean(x)) / len(x)),
    "std": (np.std, lambda x: (x - np.mean(x)) / len(x) / np.std(x)),
    "logaddexp": (lambda x: np.sum(np.logaddexp(0, x)), expit),
    "float()": (lambda x: float(np.sum(x**2)), lambda x: 2 * x),
    "np.vectorize of math": (lambda x: sum(math.exp(e) for e in x), np.exp),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_cost_that_a_complex_step_misreads_does_not_fool_a_line(name):
    cost, gradient = TRAPS[name]
    x = np.array([0.7, -1.2, 0.4, 2.0])
    v = np.array([1.0, -0.5, 0.3, 0.8])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no warning about discarded imaginary parts reaches the user
        estimate = directional_derivative(cost, x, v)
    assert estimate.kink is None
    assert holds(estimate, float(gradient(x) @ v), of_use=1e-9)


@pytest.mark.parametrize("name", TRAPS)
def test_a_cost_that_a_complex_step_misreads_does_not_fool_the_gradient(name):
    cost, gradient = TRAPS[name]
    x = np.array([0.7, -1.2, 0.4, 2.0])
    values, bars, *_ = numerical_gradient(cost, x)
    assert np.all(np.abs(values - gradient(x)) <= bars + 4 * ROUNDOFF * np.abs(gradient(x)))
    assert np.all(np.asarray(bars) <= 1e-9)


@pytest.mark.parametrize("name", TRAPS)
def test_a_cost_that_a_complex_step_misreads_gets_the_right_verdicts(name):
    cost, gradient = TRAPS[name]
    x = np.array([0.7, -1.2, 0.4, 2.0])
    right = gradient(x)
    wrong = right.copy()
    wrong[2] = 0.0  # what the complex step of a real part says
    assert check_gradient(cost, x, right, strategy="coordinates", seed=1).verdict is Verdict.CORRECT
    assert check_gradient(cost, x, wrong, strategy="coordinates", seed=1).verdict is Verdict.WRONG


def test_an_imaginary_part_that_is_right_along_no_coordinate_is_not_believed():
    def treacherous(x):  # agrees with the cost on real points, and has twice its derivative off them
        return (
            np.sum(np.sin(np.real(x))) + 2j * np.sum(np.cos(np.real(x)) * np.imag(x))
            if np.iscomplexobj(x)
            else (np.sum(np.sin(x)))
        )

    x, v = np.array([0.3, 1.1]), np.array([1.0, 0.4])
    assert holds(directional_derivative(treacherous, x, v), float(np.cos(x) @ v), of_use=1e-9)


# ------------------------------------------------------------------------------------------ the course's network
def test_real_differences_confirm_the_course_networks_gradient_to_better_than_1e_9(network):
    point = network.parameters
    claimed = np.concatenate([np.ravel(network.gradients[f"d{name}"]) for name in point])

    def real_cost(parameters):  # float() keeps a complex step out
        return float(network.cost(parameters))

    values, *_ = numerical_gradient(real_cost, point)
    numerical = np.concatenate([np.ravel(values[name]) for name in point])
    distance = np.linalg.norm(numerical - claimed) / (np.linalg.norm(numerical) + np.linalg.norm(claimed))
    assert distance < 1e-9


def test_the_complex_step_confirms_the_course_networks_gradient_to_better_than_1e_13(network):
    point = network.parameters
    claimed = np.concatenate([np.ravel(network.gradients[f"d{name}"]) for name in point])
    values, *_ = numerical_gradient(network.cost, point)
    numerical = np.concatenate([np.ravel(values[name]) for name in point])
    distance = np.linalg.norm(numerical - claimed) / (np.linalg.norm(numerical) + np.linalg.norm(claimed))
    assert distance < 1e-13


def test_the_public_names_are_there():
    assert gradproof.directional_derivative is directional_derivative
