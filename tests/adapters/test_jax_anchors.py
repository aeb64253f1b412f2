"""Where the peers in JAX go wrong, and we do not: each with what the peer says of it, as long as it says so."""

from __future__ import annotations

import numpy as np
import pytest

import gradproof
from gradproof import Verdict

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402
from jax.scipy.special import i0, logsumexp  # noqa: E402
from jax.test_util import check_grads  # noqa: E402

from gradproof.jax import check  # noqa: E402


def scaled(function, factor):
    """Return the function with a derivative that is wrong by a factor, in both modes."""

    @jax.custom_jvp
    def wrong(x):
        return function(x)

    def rule(primals, tangents):
        value, tangent = jax.jvp(function, primals, tangents)
        return value, factor * tangent

    wrong.defjvp(rule)
    return wrong


def passes(peer, *args, **options):
    try:
        peer(*args, **options)
    except AssertionError:
        return False
    return True


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("n", [10, 499, 3000])
@pytest.mark.parametrize("mode", ["rev", "fwd"])
def test_a_derivative_of_zero_is_wrong_in_float32_whatever_the_size(n, mode):
    f, x = scaled(jnp.sin, 0.0), jnp.linspace(0.1, 2, n)
    assert passes(check_grads, f, (x,), 1, modes=(mode,)) == (mode == "fwd" and n >= 499)
    for seed in range(5):
        assert check(f, x, modes=(mode,), seed=seed).verdict is Verdict.WRONG


def test_a_derivative_times_two_is_wrong_in_float64_at_a_hundred_thousand_entries(x64):
    f, x = scaled(jnp.sin, 2.0), jnp.linspace(0.1, 2, 100_000)
    assert passes(check_grads, f, (x,), 1, modes=("fwd",))
    report = check(f, x, modes=("fwd",), seed=0)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is gradproof.Cause.FACTOR
    assert report.diagnoses[0].coefficient == pytest.approx(2)


def test_a_right_sum_of_squares_in_float32_is_never_called_wrong():
    def f(x):
        return jnp.sum(x**2)

    points = [jax.random.normal(jax.random.key(seed), (1000,)) for seed in range(20)]
    rejected = [not passes(check_grads, f, (x,), 1) for x in points]
    assert sum(rejected) > 10
    verdicts = [check(f, x, seed=seed).verdict for seed, x in enumerate(points)]
    assert verdicts.count(Verdict.WRONG) == 0
    assert verdicts.count(Verdict.CORRECT) >= 18


def with_wrong_second_derivative(function):
    """Return a function whose first derivative is right, and whose second one is half as large again."""

    @jax.custom_jvp
    def f(x):
        return function(x)

    slope = scaled(lambda x: jax.vmap(jax.grad(function))(x), 1.5)
    f.defjvp(lambda primals, tangents: (f(primals[0]), slope(primals[0]) * tangents[0]))
    return f


def test_a_wrong_second_derivative_is_seen_where_x_is_zero(x64):
    f, x = with_wrong_second_derivative(lambda x: x**2), jnp.zeros(3)
    assert passes(check_grads, f, (x,), 2)
    report = check(f, x, order=2, seed=0)
    assert report.verdict is Verdict.WRONG
    assert report.faulty == ("gradient of x × x",)


def test_a_wrong_second_derivative_is_seen_where_f_of_x_is_zero(x64):
    f, x = with_wrong_second_derivative(lambda x: x**2 - 1), jnp.ones(3)
    assert passes(check_grads, f, (x,), 2, modes=("rev",))
    assert check(f, x, order=2, modes=("rev",), seed=0).verdict is Verdict.WRONG
    assert check(lambda x: x**2 - 1, x, order=2, seed=0).verdict is Verdict.CORRECT


@pytest.mark.parametrize("wide", [False, True])
def test_jaxs_derivative_of_a_bessel_function_at_zero_is_flagged(wide):
    def f(t):
        return i0(2 * t - 1)

    with jax.enable_x64(wide):
        assert float(jax.grad(f)(0.5)) == pytest.approx(2.0)  # the truth is 0; a pass here means that JAX has mended it
        report = check(f, 0.5, seed=0)
        assert report.verdict is Verdict.WRONG
        assert report.faulty == ("output × t",)
        assert check(f, 0.6, seed=0).verdict is Verdict.CORRECT


@pytest.mark.parametrize("wide", [False, True])
def test_jaxs_derivative_of_logsumexp_with_a_zero_in_b_is_flagged(wide):
    def f(b):
        return logsumexp(jnp.zeros(2), b=b)

    with jax.enable_x64(wide):
        b = jnp.array([1.0, 0.0])
        assert np.array_equal(jax.grad(f)(b), [1, 0])  # the truth is [1, 1]
        report = check(f, b, seed=0)
        assert report.verdict is Verdict.WRONG
        assert [entry.index for entry in report.coordinates] == [(1,)]
        assert report.coordinates[0].numerical == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("factor", [0.0, -1.0, 2.0, 1.1])
@pytest.mark.parametrize("n", [10, 1000])
def test_what_chex_finds_is_found_too(n, factor):
    chex = pytest.importorskip("chex")
    f, x = scaled(jnp.sin, factor), jnp.linspace(0.1, 2, n)
    assert passes(chex.assert_numerical_grads, f, (x,), 1) == (n == 1000 and factor == 1.1)
    assert check(f, x, modes=("rev",), seed=0).verdict is Verdict.WRONG
