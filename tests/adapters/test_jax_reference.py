"""A reference in double precision judges what JAX has worked out in a lower one."""

from __future__ import annotations

import pytest

from gradproof import UsageError, Verdict

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from gradproof.jax import check  # noqa: E402


def normal(*shape, dtype=jnp.float32):
    return jax.random.normal(jax.random.key(3), shape).astype(dtype)


def judged(report):
    return any(note.startswith("Judged by a reference") for note in report.notes)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16])
def test_right_functions_are_certified_by_the_reference(dtype):
    report = check(jnp.sin, normal(7, 5, dtype=dtype), seed=1)
    assert report.verdict is Verdict.CORRECT
    assert judged(report)
    assert report.noise < 1e-13
    assert {block.dtype for block in report.blocks} == {jnp.dtype(dtype).name}
    assert not jax.config.jax_enable_x64


@jax.custom_vjp
def sine(x):
    return jnp.sin(x)


sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, u: (1.01 * u * jnp.cos(x),))


def test_a_rule_that_is_off_by_a_percent_is_wrong_in_float32():
    report = check(sine, normal(6, 5), modes=("rev",), seed=1)
    assert report.verdict is Verdict.WRONG
    assert judged(report)


def test_second_order_and_a_claimed_gradient_are_judged_by_the_reference():
    assert judged(check(jnp.tanh, normal(4, 4), order=2, seed=1))
    x = normal(5)
    for factor, verdict in ((2.0, Verdict.CORRECT), (2.02, Verdict.WRONG)):
        report = check(lambda x: jnp.sum(x**2), x, claimed=factor * x, seed=1)
        assert report.verdict is verdict
        assert judged(report)


def test_other_random_numbers_in_64_bits_are_seen_and_the_check_goes_on_in_its_own_precision():
    report = check(lambda x: x * jax.random.normal(jax.random.key(0), x.shape), normal(40), seed=1)
    assert report.verdict is Verdict.CORRECT
    (note,) = [note for note in report.notes if "reference" in note]
    assert "another value" in note


def strict(x):
    return jax.lax.mul(x, jnp.ones(4, jnp.float32))


def test_an_operation_that_takes_one_precision_only_is_named():
    report = check(strict, normal(4), seed=1)
    (note,) = [note for note in report.notes if "reference" in note]
    assert "lax.mul requires arguments to have the same dtypes" in note
    with pytest.raises(UsageError, match="f cannot be evaluated in float64"):
        check(strict, normal(4), reference="float64", seed=1)


def test_a_cast_within_the_function_is_said_to_round_the_reference_too():
    report = check(lambda x: jnp.sin(x.astype(jnp.float32)), normal(5, 4), seed=1)
    assert report.verdict is Verdict.CORRECT
    (note,) = [note for note in report.notes if "reference" in note]
    assert "Within f something is computed in float32 all the same" in note


def test_without_a_reference_f_is_judged_by_its_own_values():
    report = check(jnp.sin, normal(7, 5), reference=None, seed=1)
    assert not judged(report)
    assert report.noise > 1e-9
    with pytest.raises(UsageError, match="reference is 'x64'"):
        check(jnp.sin, normal(7, 5), reference="x64")
