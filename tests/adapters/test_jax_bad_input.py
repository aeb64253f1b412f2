"""What cannot be checked as it stands: what was seen, where, what it means, what to do; JAX's own error quoted."""

from __future__ import annotations

import re

import numpy as np
import pytest

import gradproof
from gradproof import Cause, Verdict

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from gradproof.jax import check  # noqa: E402

X = np.linspace(-1, 1, 5, dtype=np.float32)


def rule(function, fwd, bwd):
    made = jax.custom_vjp(function)
    made.defvjp(fwd, bwd)
    return made


def refused(kind, words, *args, **options):
    with pytest.raises(kind) as caught:
        check(*args, **options)
    for word in words:
        assert word in str(caught.value)
    return caught.value


def test_a_tracer_is_refused_by_name():
    with pytest.raises(gradproof.NotDifferentiable, match=r"b: a tracer \(\w*Tracer of float32 of shape \(5,\)\)"):
        jax.jit(lambda b: check(lambda a, b: a * b, (X, b)))(X)


def test_a_deleted_array_is_refused_by_name():
    x = jnp.ones(3)
    x.delete()
    refused(gradproof.NotDifferentiable, ["x: a deleted array of float32", "donated"], jnp.sin, x)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (jnp.arange(3), ["x is a jax.Array of int32 of shape (3,)", "x.astype(float)"]),
        ("text", ["x is a str", "register_dataclass"]),
        ((), ["args holds no leaf"]),
    ],
)
def test_without_a_floating_point_leaf_there_is_nothing_to_check(args, words):
    refused(gradproof.UsageError, words, lambda x: x, args)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: x.astype(int), ["f returns a jax.Array of int32", "no derivative"]),
        (lambda x: None, ["f returns None", "return statement"]),
        (lambda x: x > 0, ["bool"]),
    ],
)
def test_an_output_without_a_derivative_is_refused(answer, words):
    refused(gradproof.NotDifferentiable, words, answer, X)


def test_numpy_within_the_function_is_jaxs_error_and_our_advice():
    refused(gradproof.UsageError, ["jax.vjp(f, *args): TracerArrayConversionError", "jax.numpy"], np.sin, X)


def test_a_callback_without_a_derivative_is_jaxs_error_and_our_advice():
    def f(x):
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct((5,), jnp.float32), x)

    refused(gradproof.UsageError, ["Pure callbacks do not support JVP", "custom_vjp"], f, X)


@pytest.mark.parametrize(
    ("bwd", "words"),
    [
        (lambda saved, u: (u,), ["same container (pytree) structure", "tuple of one cotangent for each argument"]),
        (lambda saved, u: (u, u[:2]), ["float32[2]", "float32[5]"]),
        (lambda saved, u: 1 / 0, ["ZeroDivisionError"]),
    ],
)
def test_a_wrong_structure_from_custom_vjp_is_jaxs_error_and_our_advice(bwd, words):
    f = rule(lambda x, y: x * y, lambda x, y: (x * y, None), bwd)
    error = refused(gradproof.UsageError, ["jax.vjp(f, *args)", *words], f, (X, X))
    assert error.__cause__ is not None


def test_no_path_and_no_place_in_jax_is_quoted():
    f = lambda x: x if bool(jnp.any(x > 0)) else x * jnp.nonzero(x)[0].shape[0]
    report = check(f, X, compile=True, seed=0)
    assert report.verdict is Verdict.CORRECT
    assert not any(re.search(r"/\w+/\w+", note) for note in report.notes)


def test_a_leaked_tracer_is_a_side_effect():
    kept = []

    def f(x):
        y = x * (kept[-1] if kept else 1.0)
        kept.append(jnp.sum(x))
        return y

    refused(gradproof.UsageError, ["UnexpectedTracerError", "a side effect", "return the value"], f, X)


def test_another_value_at_each_call_is_said_and_decides_nothing():
    calls = []

    def f(x):
        calls.append(1)
        return x * len(calls)

    report = check(f, X, seed=0)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.diagnoses[0].cause is Cause.NON_DETERMINISTIC_COST
    assert any("another value when it was called a second time" in note for note in report.notes)


@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
def test_a_function_that_donates_its_buffers_gets_copies():
    x, n = jnp.array(X), jnp.arange(5)
    f = jax.jit(lambda x, y, n: jnp.sin(x) * y * n, donate_argnums=(0, 2))
    for compile_ in (None, True):
        report = check(f, (x, x, n), compile=compile_, order=2, seed=0)
        assert report.verdict is Verdict.CORRECT
        assert any("donates" in note for note in report.notes)
    assert not x.is_deleted()
    assert not n.is_deleted()


def test_a_function_that_fails_is_quoted():
    error = refused(gradproof.CostRaised, ["f(*args): TypeError", "by hand"], lambda x: x @ "a", X)
    assert isinstance(error.__cause__, TypeError)


def test_a_structure_that_changes_is_refused():
    calls = []

    def f(x):
        calls.append(1)
        return {"a": x} if len(calls) < 2 else {"b": x}

    refused(gradproof.GradproofError, ["structure"], f, X)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"modes": "rev"}, ["modes is 'rev'"]),
        ({"modes": ()}, ["modes is ()"]),
        ({"modes": ("backward",)}, ["backward"]),
        ({"order": 3}, ["order is 3"]),
        ({"claimed": X, "order": 2}, ["claimed is given, and order is 2"]),
        ({"claimed": X, "modes": ("fwd",)}, ["modes is ('fwd',)"]),
        ({"claimed": X}, ["claimed is a gradient, but f returns output"]),
        ({"claimed": lambda x, u: (u, u)}, ["x[0], x[1], where x is wanted"]),
        ({"claimed": lambda x, u: u[:2]}, ["x has shape (2,)"]),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    refused(gradproof.UsageError, words, jnp.sin, X, **options)


def test_points_that_are_not_finite_are_refused_and_claims_that_are_not_are_wrong():
    refused(gradproof.NonFinitePoint, ["x: "], jnp.sin, np.array([1.0, np.nan]))
    refused(gradproof.NonFiniteCost, ["output[1]"], jnp.log, np.array([1.0, -1.0], np.float32))
    f = rule(jnp.sin, lambda x: (jnp.sin(x), x), lambda x, u: (u * jnp.nan,))
    report = check(f, X, seed=0)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.NON_FINITE


def test_an_array_of_8_bits_is_refused_by_name():
    refused(gradproof.NotDifferentiable, ["x: ", "float8"], lambda x: x.astype(float), jnp.ones(3, jnp.float8_e4m3fn))


def test_two_leaves_of_one_name_are_refused():
    @jax.tree_util.register_pytree_with_keys_class
    class Twins:
        def __init__(self, children):
            self.children = children

        def tree_flatten_with_keys(self):
            return [(jax.tree_util.GetAttrKey("a"), child) for child in self.children], None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls(children)

    refused(gradproof.UsageError, ["twins.a: two leaves have this name"], lambda twins: 1.0, Twins((X, X)))
