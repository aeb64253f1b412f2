"""Jacobian-vector products: the whole vector is seen at once."""

from __future__ import annotations

import numpy as np
import pytest

import gradproof
from gradproof import Cause, Verdict


@pytest.fixture
def layer(rng):
    W, x = rng.standard_normal((150, 90)) / 8, rng.standard_normal(90)
    return lambda p: np.tanh(W @ p), lambda p, v: (1 - np.tanh(W @ p) ** 2) * (W @ v), x


@pytest.mark.parametrize("seed", range(20))
def test_a_right_jvp_is_certified_by_two_lines(layer, seed):
    report = gradproof.check_jvp(*layer, seed=seed)
    assert report.verdict is Verdict.CORRECT
    assert report.evaluations <= 30


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("factor", "cause"), [(2, Cause.FACTOR), (-1, Cause.SIGN), (1 - 1e-5, Cause.FACTOR)])
def test_a_factor_is_named_and_its_remedy_certified(layer, seed, factor, cause):
    function, jvp, point = layer
    report = gradproof.check_jvp(function, lambda p, v: factor * jvp(p, v), point, seed=seed)
    assert report.verdict is Verdict.WRONG
    (diagnosis,) = report.diagnoses
    assert diagnosis.cause is cause
    assert abs(diagnosis.coefficient - factor) < 1e-7
    assert diagnosis.certified_remedy
    assert diagnosis.certified_to < 1e-7


def test_one_faulty_entry_is_named(layer):
    function, jvp, point = layer

    def wrong(p, v):
        y = jvp(p, v)
        y[7] += 0.01 * v[3]
        return y

    report = gradproof.check_jvp(function, wrong, point, seed=1)
    assert report.verdict is Verdict.WRONG
    assert [entry.index for entry in report.coordinates] == [(7, 3)]


def test_faulty_parameters_are_located(layer):
    function, jvp, point = layer

    def wrong(p, v):
        v = v.copy()
        v[[11, 60]] = 0
        return jvp(p, v)

    report = gradproof.check_jvp(function, wrong, point, seed=1)
    assert report.verdict is Verdict.WRONG
    (diagnosis,) = report.diagnoses
    assert diagnosis.cause is Cause.SLICES
    assert diagnosis.where == "point[11], point[60]"


def test_the_faulty_output_of_several_is_named(rng):
    point = {"a": rng.standard_normal(70), "b": rng.standard_normal(3)}
    function = lambda p: {"s": np.sin(p["a"]), "m": np.outer(p["b"], p["b"])}

    def jvp(p, v):
        return {"s": np.cos(p["a"]) * v["a"], "m": np.outer(p["b"], v["b"]) + np.outer(v["b"], p["b"])}

    assert gradproof.check_jvp(function, jvp, point, seed=1).verdict is Verdict.CORRECT
    wrong = lambda p, v: jvp(p, v) | {"m": 2 * np.outer(p["b"], v["b"])}
    report = gradproof.check_jvp(function, wrong, point, seed=1)
    assert report.faulty == ("m × b",)


def test_a_jvp_that_is_not_linear_is_said(layer):
    function, jvp, point = layer
    report = gradproof.check_jvp(function, lambda p, v: jvp(p, np.abs(v)), point, seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.NOT_LINEAR
    assert "tangent" in report.diagnoses[0].sentence


def test_what_a_jvp_raises_for_an_expanded_tangent_is_the_layouts_fault(layer):
    function, jvp, point = layer

    def wrong(p, v):
        v *= 1.0  # writes into its tangent
        return jvp(p, v)

    report = gradproof.check_jvp(function, wrong, point, seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.LAYOUT
    assert "expanded from one number (stride 0) raise ValueError" in report.diagnoses[0].sentence


def test_a_jvp_of_numbers_has_no_layouts():
    point = {"a": 0.3, "b": 0.7}
    function = lambda p: p["a"] * p["b"]
    jvp = lambda p, v: v["a"] * p["b"] + p["a"] * v["b"]
    assert gradproof.check_jvp(function, jvp, point, seed=1).verdict is Verdict.CORRECT


def test_a_jvp_that_differs_a_little_from_call_to_call_is_not_called_wrong(layer):
    function, jvp, point = layer
    noise = np.random.default_rng(0)
    unsteady = lambda p, v: jvp(p, v) * (1 + 1e-6 * noise.standard_normal(150))
    report = gradproof.check_jvp(function, unsteady, point, seed=1)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert [d.cause for d in report.diagnoses] == [Cause.NON_DETERMINISTIC_CLAIM]


@pytest.mark.parametrize(
    ("answer", "kind", "phrase"),
    [
        (lambda y: y[:-1], gradproof.ShapeMismatch, "(149,)"),
        (lambda y: y[:, None], gradproof.ShapeMismatch, "(150, 1)"),
        (lambda y: None, gradproof.ShapeMismatch, "None for output"),
        (lambda y: {"y": y}, gradproof.ShapeMismatch, "output"),
        (lambda y: y + 0j, gradproof.NotDifferentiable, "real"),
        (lambda y: y > 0, gradproof.NotDifferentiable, "bool"),
    ],
)
def test_a_tangent_of_the_wrong_shape_or_kind_is_refused(layer, answer, kind, phrase):
    function, jvp, point = layer
    with pytest.raises(kind) as caught:
        gradproof.check_jvp(function, lambda p, v: answer(jvp(p, v)), point)
    assert phrase in str(caught.value)
    assert "jvp(point, tangent)" in str(caught.value)


def test_a_tangent_of_a_lower_precision_is_said(layer):
    function, jvp, point = layer
    report = gradproof.check_jvp(function, lambda p, v: jvp(p, v).astype(np.float32), point, seed=1, tolerance=1e-3)
    assert report.verdict is not Verdict.INCONCLUSIVE
    assert any("comes back in float32" in note for note in report.notes)


def test_complex_outputs_of_real_parameters(rng):
    x = rng.standard_normal(6)
    assert (
        gradproof.check_jvp(lambda p: np.exp(1j * p), lambda p, v: 1j * np.exp(1j * p) * v, x, seed=1).verdict
        is Verdict.CORRECT
    )
    report = gradproof.check_jvp(lambda p: np.exp(1j * p), lambda p, v: -1j * np.exp(1j * p) * v, x, seed=1)
    assert report.verdict is Verdict.WRONG


def test_float32(rng):
    W, x = rng.standard_normal((90, 80)).astype(np.float32), rng.standard_normal(80).astype(np.float32)
    function, jvp = lambda p: np.sin(W @ p / 9), lambda p, v: np.cos(W @ p / 9) * (W @ v) / 9
    verdicts = [gradproof.check_jvp(function, jvp, x, seed=seed).verdict for seed in range(20)]
    assert Verdict.WRONG not in verdicts
    assert verdicts.count(Verdict.CORRECT) >= 18
    wrong = [gradproof.check_jvp(function, lambda p, v: 1.05 * jvp(p, v), x, seed=seed).verdict for seed in range(20)]
    assert set(wrong) == {Verdict.WRONG}


def test_assert_jvp(layer):
    function, jvp, point = layer
    gradproof.assert_jvp(function, jvp, point, seed=1)
    with pytest.raises(gradproof.WrongGradient, match="the JVP is wrong in output × point"):
        gradproof.assert_jvp(function, lambda p, v: 0 * v[0] + 0 * jvp(p, v), point, seed=1)


def test_options_that_make_no_sense_are_refused(layer):
    with pytest.raises(gradproof.UsageError, match="tolerance is 2"):
        gradproof.check_jvp(*layer, tolerance=2)
    with pytest.raises(gradproof.UsageError, match="jvp is int"):
        gradproof.check_jvp(layer[0], 3, layer[2])
    with pytest.raises(gradproof.UsageError, match="function is float"):
        gradproof.check_jvp(1.0, layer[1], layer[2])
    with pytest.raises(gradproof.UsageError, match="inconclusive is 'shrug'"):
        gradproof.assert_jvp(*layer, inconclusive="shrug")


@pytest.mark.parametrize("v", [0.3, -1.7, 0.9])
def test_of_a_function_that_is_its_rounding_only_no_product_is_called_not_linear(v):
    # The derivative of x/|x| as code writes it, (v·|x| − x·v·sign)/x²: zero, but for rounding; and its own by x and v alike.
    def function(p):
        return (p["v"] * np.abs(p["x"]) * 3.0 / 3.0 - p["x"] * p["v"]) / p["x"] ** 2 * 1.1

    def jvp(p, t):
        x, own = p["x"], p["v"]
        return (t["v"] * np.abs(x) * 3.0 / 3.0 - x * t["v"]) / x**2 + (own * t["x"] * 3.0 / 3.0 - t["x"] * own) / x**2

    report = gradproof.check_jvp(function, jvp, {"x": 2.1, "v": v}, strategy="certificate", seed=0)
    assert report.verdict is not Verdict.WRONG


def test_a_small_product_that_is_not_linear_is_wrong_beside_a_function_that_is_as_small():
    report = gradproof.check_jvp(
        lambda x: 1e-17 * np.sin(x), lambda x, t: 1e-17 * np.cos(x) * np.abs(t), np.array([0.3, 0.8, -0.4]), seed=0
    )
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.NOT_LINEAR
