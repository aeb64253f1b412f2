"""Functions of HIPS autograd: arrays of NumPy, and derivatives that any of the verbs takes."""

from __future__ import annotations

import numpy as np
import pytest

import gradproof
from gradproof import Verdict

autograd = pytest.importorskip("autograd")
import autograd.numpy as anp  # noqa: E402
from autograd.extend import defjvp, defvjp, primitive  # noqa: E402
from autograd.test_util import check_grads  # noqa: E402


def loss(params):
    hidden = anp.tanh(anp.dot(params["x"], params["w"]) + params["b"])
    return anp.mean(hidden**2)


PARAMS = {
    "w": np.random.default_rng(0).standard_normal((4, 3)),
    "b": np.zeros(3),
    "x": np.random.default_rng(1).standard_normal((5, 4)),
}


def test_autograds_gradient_of_nested_parameters_is_certified_and_its_blocks_are_named():
    report = gradproof.check_gradient(loss, PARAMS, autograd.grad(loss), seed=0)
    assert report.verdict is Verdict.CORRECT
    assert {block.name for block in report.blocks} == {"w", "b", "x"}


def test_value_and_gradient_from_one_call_are_taken_as_they_come():
    assert gradproof.check_gradient(autograd.value_and_grad(loss), PARAMS, True, seed=0).verdict is Verdict.CORRECT


def vjp_of(function):
    return lambda x, u: autograd.make_vjp(function)(x)[0](u)


def jvp_of(function):
    return lambda x, v: autograd.make_jvp(function)(x)(v)[1]


def test_products_of_both_modes_are_certified():
    x = np.linspace(0.1, 2, 30)

    def function(x):
        return anp.sin(x) * anp.roll(x, 1)

    assert gradproof.check_vjp(function, vjp_of(function), x, seed=0).verdict is Verdict.CORRECT
    assert gradproof.check_jvp(anp.sin, jvp_of(anp.sin), x, seed=0).verdict is Verdict.CORRECT
    assert gradproof.check_jacobian(anp.sin, autograd.jacobian(anp.sin), x, seed=0).verdict is Verdict.CORRECT


def wrong(scale, factor):
    """Return scale · sin(x) as a primitive whose rules are wrong by a factor."""

    @primitive
    def function(x):
        return scale * np.sin(x)

    defvjp(function, lambda _, x: lambda g: factor * scale * g * anp.cos(x))
    defjvp(function, lambda g, _, x: factor * scale * g * anp.cos(x))
    return function


@pytest.mark.parametrize("factor", [0.0, 2.0, -1.0])
def test_a_wrong_primitive_is_wrong_at_a_scale_of_1e_7_where_autograd_is_silent(factor):
    x, function = np.linspace(0.1, 2, 10), wrong(1e-7, factor)
    if factor == 0:
        np.random.seed(0)
        check_grads(function, modes=["rev", "fwd"])(x)  # passes
    assert gradproof.check_vjp(function, vjp_of(function), x, seed=0).verdict is Verdict.WRONG
    assert gradproof.check_jvp(function, jvp_of(function), x, seed=0).verdict is Verdict.WRONG
    cost = lambda x: anp.sum(function(x))
    assert gradproof.check_gradient(cost, x, autograd.grad(cost), seed=0).verdict is Verdict.WRONG


def test_a_right_primitive_at_that_scale_is_certified():
    x, function = np.linspace(0.1, 2, 10), wrong(1e-7, 1.0)
    assert gradproof.check_vjp(function, vjp_of(function), x, seed=0).verdict is Verdict.CORRECT
