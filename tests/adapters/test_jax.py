"""`gradproof.jax.check`: pytrees by their leaves' paths, both modes, second order, one compilation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import gradproof
from gradproof import Cause, Verdict

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from gradproof.jax import assert_function, check  # noqa: E402


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def names(report):
    return [block.name for block in report.blocks]


def note(report, word):
    return next(sentence for sentence in report.notes if word in sentence)


def scaled(function, factor):
    """Return the function with a forward rule, and so a transposed one, that is wrong by a factor."""

    @jax.custom_jvp
    def wrong(x):
        return function(x)

    wrong.defjvp(
        lambda primals, tangents: tuple(
            part * weight for part, weight in zip(jax.jvp(function, primals, tangents), (1, factor), strict=True)
        )
    )
    return wrong


# --- names, containers, constants ---------------------------------------------------------------------------------------


def network(params, x, power):
    hidden = jnp.tanh(x @ params["layers"][0]["w"] + params["layers"][0]["b"])
    return {"loss": jnp.mean(hidden**power), "hidden": hidden, "count": jnp.int32(3)}


def test_leaves_are_named_by_parameter_and_path_and_outputs_by_theirs(x64):
    params = {"layers": [{"w": jnp.ones((2, 3)) / 3, "b": jnp.zeros(3)}]}
    report = check(network, (params, jnp.array([[0.5, -1.0]]), 2), seed=0)
    assert report.verdict is Verdict.CORRECT
    leaves = ["params.layers[0].b", "params.layers[0].w", "x"]
    assert names(report) == [f"{output} × {leaf}" for output in ("hidden", "loss") for leaf in leaves]
    assert note(report, "Held constant") == "Held constant: power (int)."
    assert "count (int32)" in note(report, "Outputs left out")
    assert report.evaluations < 80


def test_a_lone_argument_is_called_by_its_parameter_or_point(x64):
    assert names(check(jnp.sin, jnp.ones(2), seed=0)) == ["output × x"]
    assert names(check(lambda *rows: rows[0] * rows[1], (jnp.ones(2), jnp.ones(2)), seed=0))[1] == "output × rows[1]"

    class Nameless:
        __signature__ = "none"

        def __call__(self, given):
            return given**2

    assert names(check(Nameless(), jnp.ones(2), seed=0)) == ["output × point"]


def test_a_namedtuple_is_one_argument_and_a_tuple_of_outputs_is_numbered(x64):
    from typing import NamedTuple

    class Pair(NamedTuple):
        a: object
        b: object

    report = check(lambda p: (p.a * p.b, p.a), Pair(jnp.ones(2), jnp.ones(2)), seed=0)
    assert names(report) == ["output[0] × p.a", "output[0] × p.b", "output[1] × p.a", "output[1] × p.b"]


def test_registered_classes_are_taken_apart(x64):
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Line:
        slope: jax.Array
        offset: jax.Array

    report = check(lambda line, x: line.slope * x + line.offset, (Line(jnp.ones(2), jnp.zeros(2)), 2.0), seed=0)
    assert report.verdict is Verdict.CORRECT
    assert names(report) == ["output × line.slope", "output × line.offset", "output × x"]


def test_a_module_of_equinox_is_checked_by_its_fields_names(x64):
    equinox = pytest.importorskip("equinox")
    model = equinox.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    report = check(lambda model, x: jax.vmap(model)(x), (model, jnp.ones((2, 3)) / 3), modes=("rev",), seed=0)
    assert report.verdict is Verdict.CORRECT
    assert "output × model.layers[0].weight" in names(report)
    assert "model.activation" in note(report, "Held constant")


def test_arrays_of_numpy_and_numbers_of_python_are_checked_and_keys_and_words_are_not():
    def f(a, b, c, key, how, mask):
        return jnp.sin(a) * b * c + jax.random.normal(key, (3,)) * mask if how == "noisy" else a

    key = jax.random.key(0)
    report = check(f, (jnp.ones(3), np.full(3, 0.5), 0.3, key, "noisy", np.array([True, False, True])), seed=0)
    assert report.verdict is Verdict.CORRECT
    assert names(report) == ["output × a", "output × b", "output × c"]
    assert note(report, "Held constant") == "Held constant: key (PRNG key), how (str), mask (bool[3])."
    assert "b (float64)" in note(report, "rounded to 32 bits")


def test_pythons_numbers_take_on_the_precision_of_what_they_meet():
    seen = set()

    def f(x, factor):
        seen.add((x * factor).dtype.name)
        return x * factor

    check(f, (jnp.ones(3, jnp.bfloat16), 2.0), seed=0, reference=None)
    assert seen == {"bfloat16"}


def test_static_arguments_stay_what_they_are(x64):
    power = jax.jit(lambda x, n: x**n if isinstance(n, int) else 1 / 0, static_argnums=1)
    assert check(power, (jnp.array([0.5, 2.0]), 3), seed=0).verdict is Verdict.CORRECT


def test_what_is_excluded_is_held_constant_as_it_is(x64):
    def f(x, rate):
        assert type(rate) is float
        return x * rate

    report = check(f, (jnp.ones(2), 0.25), exclude="rate", seed=0)
    assert names(report) == ["output × x"]
    assert report.skipped == ("rate",)
    with pytest.raises(gradproof.UnknownName):
        check(f, (jnp.ones(2), 0.25), only="speed")
    with pytest.raises(gradproof.EmptyProblem):
        check(f, (jnp.ones(2), 0.25), exclude=["x", "rate"])


# --- transformations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        jax.jit(lambda x: jnp.sin(x) * 2),
        jax.vmap(lambda x: x**3),
        jax.checkpoint(lambda x: jnp.sin(jnp.sin(x))),
        lambda x: jax.lax.scan(lambda c, y: (jnp.tanh(c + y), c), 0.5, x),
        lambda x: jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x),
        lambda x: jax.lax.fori_loop(0, 3, lambda _, c: jnp.sin(2 * c), x),
        lambda x: x if x[0] > 0 else -x,
        lambda x: jax.grad(lambda y: jnp.sum(y**3))(x),
    ],
    ids=["jit", "vmap", "checkpoint", "scan", "cond", "fori_loop", "python's if", "grad"],
)
def test_transformed_functions_are_certified(x64, function):
    assert check(function, jnp.array([0.3, 0.9, -0.4]), seed=0).verdict is Verdict.CORRECT


def test_a_loop_that_only_forward_mode_can_differentiate_is_checked_in_that(x64):
    def f(x):
        return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.sin(2 * c[1])), (0, x))[1]

    report = check(f, jnp.array([0.3, 0.9]), seed=0)
    assert report.verdict is Verdict.CORRECT
    assert "lax.while_loop" in note(report, "Reverse mode was not checked")
    with pytest.raises(gradproof.UsageError, match=r"reverse mode: ValueError: Reverse-mode.*modes=\(\"fwd\",\)"):
        check(f, jnp.array([0.3, 0.9]), modes=("rev",), seed=0)


def test_a_wrong_custom_vjp_is_located_and_the_mode_that_it_lacks_is_noted(x64):
    @jax.custom_vjp
    def f(x, y):
        return x * y

    f.defvjp(lambda x, y: (x * y, (x, y)), lambda saved, u: (u * saved[1], u * saved[0] * 1.1))
    report = check(f, (jnp.array([0.5, 2.0, -1.0]), jnp.array([1.0, 0.25, 3.0])), seed=0)
    assert report.verdict is Verdict.WRONG
    assert report.faulty == ("output × y",)
    assert "custom_vjp" in note(report, "Forward mode was not checked")


def test_a_wrong_custom_jvp_is_wrong_in_both_modes(x64):
    report = check(scaled(jnp.sin, 2.0), jnp.linspace(0.1, 1, 70), seed=0)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.FACTOR
    assert "reverse mode: WRONG in output × x (this report)." in report.notes
    assert "forward mode: WRONG in output × x." in report.notes


def test_a_value_that_differs_where_it_is_differentiated_is_wrong(x64):
    @jax.custom_vjp
    def f(x):
        return jnp.sin(x)

    f.defvjp(lambda x: (jnp.sin(x) + 0.1, x), lambda x, u: (u * jnp.cos(x),))
    report = check(f, jnp.array([0.5, 2.0]), seed=0)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.OTHER_VALUE
    assert "what is wrong is something else" in str(report)


def test_complex_numbers_follow_jaxs_convention(x64):
    z = jnp.array([1 + 2j, 0.3 - 1j])
    assert check(jnp.exp, z, seed=0).verdict is Verdict.CORRECT
    assert check(lambda z: z**2 * jnp.conj(z), z, seed=0).verdict is Verdict.CORRECT
    assert check(lambda z, x: jnp.abs(z) * x, (z, jnp.ones(2)), seed=0).verdict is Verdict.CORRECT
    assert check(scaled(jnp.exp, 1.5), z, seed=0).verdict is Verdict.WRONG


# --- claims by hand -----------------------------------------------------------------------------------------------------


def test_a_gradient_or_a_product_by_hand_stands_in_the_place_of_jaxs(x64):
    x = jnp.array([0.5, 2.0, -1.0])

    def cost(x, n):
        return jnp.sum(x**n)

    assert check(cost, (x, 3), claimed=(3 * x**2, None), seed=0).verdict is Verdict.CORRECT
    assert check(cost, (x, 3), claimed=(2 * x**2, None), seed=0).verdict is Verdict.WRONG
    report = check(lambda x, n: (x**n, n), (x, 3), claimed=lambda x, n, u: (n * x ** (n - 1) * u[0], None), seed=0)
    assert report.verdict is Verdict.CORRECT
    assert check(jnp.sin, x, claimed=lambda x, u: jnp.cos(x) * u, seed=0).verdict is Verdict.CORRECT
    assert check(jnp.sin, x, claimed=lambda x, u: -jnp.cos(x) * u, seed=0).verdict is Verdict.WRONG


def test_the_cotangent_of_whole_numbers_is_that_which_jax_hands_out(x64):
    seen = []

    def f(x):
        return {"y": x**2, "n": jnp.arange(2)}

    def by_jax(x, u):
        seen.append(u["n"].dtype)
        return jax.vjp(f, x)[1](u)

    assert check(f, jnp.ones(2), claimed=by_jax, seed=0).verdict is Verdict.CORRECT
    assert set(seen) == {jax.dtypes.float0}


# --- second order -------------------------------------------------------------------------------------------------------


def test_the_second_order_is_checked_in_both_modes_over_the_first(x64):
    report = check(lambda x, y: jnp.sin(x) * y, (jnp.array([0.5, 2.0]), jnp.array([1.0, 3.0])), order=2, seed=0)
    assert report.verdict is Verdict.CORRECT
    assert [n.partition(":")[0] for n in report.notes if "CORRECT" in n] == [
        "reverse mode",
        "forward mode",
        "second order, reverse over reverse mode",
        "second order, forward over reverse mode",
    ]


def test_a_wrong_second_derivative_is_found_behind_a_right_first_one(x64):
    @jax.custom_jvp
    def cubed(x):
        return x**3

    slope = scaled(lambda x: 3 * x**2, 1.5)
    cubed.defjvp(lambda p, t: (cubed(p[0]), slope(p[0]) * t[0]))
    x = jnp.array([0.5, 2.0])
    assert check(cubed, x, seed=0).verdict is Verdict.CORRECT
    report = check(cubed, x, order=2, seed=0)
    assert report.verdict is Verdict.WRONG
    assert report.faulty == ("gradient of x × x",)
    report = check(cubed, x, modes=("fwd",), order=2, seed=0)
    assert report.faulty == ("tangent of output × x",)


def test_the_second_order_waits_for_the_first(x64):
    report = check(scaled(jnp.sin, 1.5), jnp.array([0.5, 2.0]), order=2, seed=0)
    assert note(report, "second order") == "The second order was not checked: the first is wrong."


# --- precision ----------------------------------------------------------------------------------------------------------


def test_in_32_bits_the_report_says_what_could_not_be_seen_and_how_to_see_it():
    report = check(lambda x: jnp.sum(jnp.sin(x) ** 2), jnp.linspace(0, 1, 30), seed=0)
    assert report.verdict is Verdict.CORRECT
    said = note(report, "jax_enable_x64")
    assert f"below {report.difference.upper:.0e} (output × x)" in said
    assert "with jax.enable_x64(True):" in said
    with jax.enable_x64(True):
        report = check(lambda x: jnp.sum(jnp.sin(x) ** 2), jnp.linspace(0, 1, 30), seed=0)
    assert report.difference.upper < 1e-8
    assert not any("jax_enable_x64" in sentence for sentence in report.notes)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precisions_are_never_called_wrong(dtype):
    x = jnp.linspace(-1, 1, 40).astype(dtype)
    for seed in range(3):
        assert check(lambda x: jnp.tanh(x), x, seed=seed, modes=("rev",)).verdict is not Verdict.WRONG
        # The noise may hide a wrong one (in bfloat16 it hides much), but certifies none.
        assert check(scaled(jnp.tanh, -1.0), x, seed=seed, modes=("rev",)).verdict is not Verdict.CORRECT


def test_values_of_64_bits_outlive_the_context_in_which_they_were_made():
    with jax.enable_x64(True):
        x = jnp.linspace(0.1, 1, 5)
    from gradproof.adapters._jax import ADAPTER

    assert ADAPTER.from_flat(ADAPTER.to_flat(x), x).dtype == jnp.float64


# --- compilation --------------------------------------------------------------------------------------------------------


class Traced:
    """Counts how often Python runs through a function."""

    def __init__(self, function):
        self.function = function
        self.times = 0

    def __call__(self, x):
        self.times += 1
        return self.function(x)


def test_a_compiled_check_compiles_once_and_calls_python_no_more(x64):
    f = Traced(lambda x: jnp.sum(jnp.sin(x) ** 3))
    report = check(f, jnp.linspace(0, 1, 20), compile=True, seed=0)
    assert report.evaluations > 20
    assert f.times == 3  # twice as it is, once traced


def test_compiled_or_not_the_report_is_the_same_within_rounding(x64):
    f, x = lambda x: jnp.sin(x) * jnp.roll(x, 1), jnp.linspace(0, 1, 100)
    one, two = (check(f, x, compile=how, seed=0) for how in (True, False))
    assert one.verdict is two.verdict is Verdict.CORRECT
    assert one.evaluations == two.evaluations
    assert one.difference.upper == pytest.approx(two.difference.upper, abs=1e-8)


def test_loops_and_large_arrays_are_compiled_unasked_and_small_ones_are_not(x64):
    from gradproof.jax._compilation import pays

    def program(function, size):
        return jax.make_jaxpr(function)(jnp.ones(size)).jaxpr

    assert not pays(program(jnp.sin, 10), 15e-6)
    assert pays(program(lambda x: jnp.sin(jnp.cos(x)), 1_000_000), 15e-6)
    loop = Traced(lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, length=5)[0])
    check(loop, jnp.ones(3), seed=0)
    assert loop.times == 3


def test_what_cannot_be_compiled_runs_as_it_is(x64):
    def f(x):
        return x**2 if x > 0 else -x

    report = check(f, 1.5, compile=True, seed=0)
    assert report.verdict is Verdict.CORRECT
    assert "TracerBoolConversionError" in note(report, "not compiled")


def test_coordinates_are_evaluated_in_compiled_batches(x64):
    f = Traced(lambda x: jnp.sum(jnp.sin(x) ** 2))
    x = jnp.linspace(0, 1, 300)
    report = gradproof.check_gradient(f, x, jnp.sin(2 * x), strategy="coordinates", seed=0)
    assert report.verdict is Verdict.CORRECT
    assert report.evaluations > 600
    assert f.times < 100


def test_every_coordinate_of_a_cost_is_measured_and_a_masked_mistake_is_found(x64):
    x = jnp.linspace(0.1, 1, 200)
    masked = x.at[7].set(1e-7)

    def cost(x):
        return jnp.sum(x**2)

    right = Traced(cost)
    report = check(right, masked, strategy="coordinates", modes=("rev",), seed=0)
    assert report.verdict is Verdict.CORRECT
    assert names(report) == ["output × x"]
    assert report.evaluations > 400
    assert right.times < 100
    wrong = (2 * masked).at[7].multiply(2)
    report = check(cost, masked, strategy="coordinates", claimed=wrong, seed=0)
    assert report.verdict is Verdict.WRONG
    assert report.coordinates[0].block == "output × x"
    assert report.coordinates[0].index == (7,)


# --- the general verbs, and assertions ----------------------------------------------------------------------------------


def test_the_general_verbs_take_arrays_of_jax(x64):
    x = jnp.linspace(0.1, 1, 5)
    assert gradproof.check_vjp(jnp.sin, lambda x, u: u * jnp.cos(x), x, seed=0).verdict is Verdict.CORRECT
    point = {"a": x, "b": jnp.float64(2.0)}

    def cost(p):
        return jnp.sum(p["a"] ** 2) * p["b"]

    assert gradproof.check_gradient(cost, point, jax.grad(cost), seed=0).verdict is Verdict.CORRECT
    with pytest.raises(gradproof.MixedFrameworks, match=r"a \(jax\) and b \(numpy\)"):
        gradproof.check_gradient(cost, {"a": x, "b": 2.0}, jax.grad(cost))


def test_an_assertion_raises_what_the_check_returns(x64):
    x = jnp.array([0.5, 2.0])
    assert assert_function(jnp.sin, x, seed=0).verdict is Verdict.CORRECT
    with pytest.raises(gradproof.WrongGradient):
        assert_function(scaled(jnp.sin, 1.5), x, seed=0)
    with pytest.raises(gradproof.InconclusiveGradient):
        assert_function(jax.nn.relu, jnp.zeros(3), seed=0)


def test_the_report_reads_well_and_tells_how_to_repeat_it(x64):
    text = str(check(jnp.sin, jnp.array([0.5, 2.0]), seed=3))
    assert text.startswith("CORRECT: the derivative is correct within the tolerance.")
    assert "gradproof.jax.check(f, args, seed=3" in text
    assert gradproof.Report.from_json((r := check(jnp.sin, jnp.ones(2), seed=3)).to_json()) == r


def test_the_users_arrays_are_not_touched_and_the_observer_hears_of_each_evaluation(x64):
    x, heard = np.array([0.5, 2.0]), []
    before = x.copy()
    report = check(jnp.sin, x, seed=0, observer=heard.append)
    assert np.array_equal(x, before)
    assert len(heard) > report.evaluations / 2
