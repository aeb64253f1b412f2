"""Vector-Jacobian products: certified, located, and everything that can be wrong with one."""

from __future__ import annotations

import numpy as np
import pytest

import gradproof
from gradproof import Cause, Reason, Verdict
from gradproof._examination.check_maps import MapCheck, make_task
from gradproof._examination.maps import MapStudy


@pytest.fixture
def layer(rng):
    """A layer of 150 outputs: large enough that a VJP is known by its products only."""
    W, x = rng.standard_normal((150, 60)) / 8, rng.standard_normal(60)
    slope = lambda p: 1 - np.tanh(W @ p) ** 2
    return lambda p: np.tanh(W @ p), lambda p, u: W.T @ (u * slope(p)), x


@pytest.fixture
def network(rng):
    """Two named outputs of two named parameters, small enough to be written out."""
    X = rng.standard_normal((5, 7))
    point = {"W": rng.standard_normal((4, 5)), "b": rng.standard_normal(4)}

    def function(p):
        return {"y": np.tanh(p["W"] @ X + p["b"][:, None]), "size": np.sum(p["W"] ** 2)}

    def vjp(p, u):
        d = u["y"] * (1 - np.tanh(p["W"] @ X + p["b"][:, None]) ** 2)
        return {"W": d @ X.T + 2 * u["size"] * p["W"], "b": d.sum(axis=1)}

    return function, vjp, point


@pytest.mark.parametrize("seed", range(20))
def test_a_right_vjp_of_many_outputs_is_certified_by_two_lines(layer, seed):
    report = gradproof.check_vjp(*layer, seed=seed)
    assert report.verdict is Verdict.CORRECT
    assert report.difference.upper <= report.tolerance
    assert report.evaluations <= 30
    assert report.blocks[0].name == "output × point"


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("factor", [2, -1, 1 + 1e-4])
def test_a_factor_is_wrong_and_named(layer, seed, factor):
    function, vjp, point = layer
    report = gradproof.check_vjp(function, lambda p, u: factor * vjp(p, u), point, seed=seed)
    assert report.verdict is Verdict.WRONG
    assert report.faulty == ("output × point",)
    causes = {d.cause for d in report.diagnoses}
    assert causes & {Cause.FACTOR, Cause.SIGN}


def test_a_faulty_output_component_is_located(layer):
    function, vjp, point = layer

    def wrong(p, u):
        u = u.copy()
        u[37] *= 1.5
        return vjp(p, u)

    report = gradproof.check_vjp(function, wrong, point, seed=1)
    assert report.verdict is Verdict.WRONG
    assert any("output[37]" in note for note in report.notes)


def test_one_faulty_entry_is_named_by_row_and_column(layer):
    function, vjp, point = layer

    def wrong(p, u):
        g = vjp(p, u)
        g[5] += 0.01 * u[77]
        return g

    report = gradproof.check_vjp(function, wrong, point, seed=1)
    assert report.verdict is Verdict.WRONG
    (entry,) = report.coordinates
    assert (entry.block, entry.index) == ("output × point", (77, 5))
    assert abs(entry.claimed - entry.numerical - 0.01) < 1e-10


def test_pairs_are_named_output_by_parameter(network):
    report = gradproof.check_vjp(*network, seed=1)
    assert report.verdict is Verdict.CORRECT
    assert [block.name for block in report.blocks] == ["y × W", "y × b", "size × W", "size × b"]
    assert report.blocks[3].not_exercised == 4


@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
def test_the_faulty_pair_is_named_and_the_others_stay_certified(network, strategy):
    function, vjp, point = network

    def wrong(p, u):
        g = vjp(p, u)
        return {"W": g["W"], "b": g["b"] / 7}

    report = gradproof.check_vjp(function, wrong, point, seed=1, strategy=strategy)
    assert report.faulty == ("y × b",)
    assert all(block.verdict is Verdict.CORRECT for block in report.blocks if block.name != "y × b")
    mended = [d for d in report.diagnoses if d.certified_remedy]
    assert [d.cause for d in mended] == [Cause.FACTOR]
    assert abs(mended[0].coefficient - 1 / 7) < 1e-6


def test_a_forgotten_dependence_of_one_output_is_found(network):
    function, vjp, point = network
    wrong = lambda p, u: vjp(p, {"y": u["y"], "size": 0.0})
    assert gradproof.check_vjp(function, wrong, point, seed=1).faulty == ("size × W",)


def test_only_and_exclude_pick_blocks_of_the_point(network):
    function, vjp, point = network
    wrong = lambda p, u: {"W": vjp(p, u)["W"], "b": np.zeros(4)}
    report = gradproof.check_vjp(function, wrong, point, seed=1, exclude="b")
    assert report.verdict is Verdict.CORRECT
    assert report.skipped == ("b",)


def test_one_number_in_and_one_out():
    right = gradproof.check_vjp(np.sin, lambda x, u: u * np.cos(x), 0.7, seed=1)
    wrong = gradproof.check_vjp(np.sin, lambda x, u: u * np.sin(x), 0.7, seed=1)
    assert (right.verdict, wrong.verdict) == (Verdict.CORRECT, Verdict.WRONG)


def test_a_vjp_that_is_not_linear_in_the_cotangent_is_said(layer):
    function, vjp, point = layer
    report = gradproof.check_vjp(function, lambda p, u: vjp(p, u * np.abs(u)), point, seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.NOT_LINEAR
    assert "not linear in its cotangent" in report.diagnoses[0].sentence


def test_a_vjp_that_reads_the_cotangents_raw_memory_is_said(rng):
    A = rng.standard_normal((6, 3))
    x = rng.standard_normal((3, 4))

    def wrong(_, u):
        memory = u if u.base is None else u.base
        return A.T @ memory.ravel(order="K")[: u.size].reshape(u.shape)

    report = gradproof.check_vjp(lambda p: A @ p, wrong, x, seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.LAYOUT


def test_a_cotangent_expanded_from_one_number_tells_raw_memory_from_values(rng):
    A, x = rng.standard_normal((6, 3)), rng.standard_normal((3, 4))

    def wrong(_, u):
        if 0 in u.strides:  # what raw memory holds past the one number
            u = np.where(np.arange(u.size).reshape(u.shape) == 0, u, 0.0)
        return A.T @ u

    report = gradproof.check_vjp(lambda p: A @ p, wrong, x, seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.LAYOUT
    assert "the same values expanded from one number (stride 0) give another answer" in report.diagnoses[0].sentence
    assert ".contiguous()" in report.diagnoses[0].remedy


@pytest.mark.parametrize("strategy", ["auto", "certificate"])
def test_what_a_vjp_raises_in_one_layout_only_is_the_layouts_fault(rng, strategy):
    A, x = rng.standard_normal((6, 3)), rng.standard_normal((3, 4))

    def wrong(_, u):
        if not (u.flags.c_contiguous or u.flags.f_contiguous):
            raise BufferError("memoryview: underlying buffer is not contiguous")
        return A.T @ u

    report = gradproof.check_vjp(lambda p: A @ p, wrong, x, seed=1, strategy=strategy)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.LAYOUT
    assert "raise BufferError: memoryview: underlying buffer is not contiguous." in report.diagnoses[0].sentence
    assert "inf" not in str(report)


def test_what_a_vjp_raises_at_a_later_call_is_not_the_layouts_fault(layer):
    function, vjp, point = layer
    calls = []

    def tired(p, u):
        calls.append(1)
        return vjp(p, u) if len(calls) < 6 else 1 / 0

    with pytest.raises(gradproof.UsageError, match="ZeroDivisionError"):
        gradproof.check_vjp(function, tired, point, seed=1)


def test_layouts_that_cannot_differ_are_not_asked_for():
    layouts = []

    def vjp(x, u):
        layouts.append((np.ndim(u), getattr(u, "strides", ())))
        return u * np.cos(x)

    for point in (0.7, np.array(0.7), np.array([0.7])):
        layouts.clear()
        assert gradproof.check_vjp(np.sin, vjp, point, seed=1).verdict is Verdict.CORRECT
        assert len(layouts) == 5  # three of linearity, the first, one row
    layouts.clear()
    gradproof.check_vjp(np.sin, vjp, np.arange(3.0), seed=1)
    assert len(layouts) == 4 + 3  # each layout is asked for in the course of another test; three rows


def test_few_products_certify(rng):
    for shape, most in (((5, 5), 11), ((40, 50), 11), ((2, 3), 4 + 6)):
        calls = []

        def vjp(x, u, calls=calls):
            calls.append(1)
            return u * np.cos(x)

        report = gradproof.check_vjp(np.sin, vjp, rng.standard_normal(shape), seed=1, strategy="certificate")
        assert report.verdict is Verdict.CORRECT
        assert len(calls) <= most


@pytest.mark.parametrize("seed", range(10))
def test_a_small_wrong_vjp_is_wrong_by_its_certificate_alone(rng, seed):
    x = rng.standard_normal((5, 5))
    right = lambda x, u: u * np.cos(x)
    mistakes = [
        lambda x, u: 1.001 * right(x, u),
        lambda x, u: right(x, u).T,
        lambda x, u: right(x, u) + 1e-3 * np.roll(u, 1),
        lambda x, u: right(x, u) * (np.arange(25).reshape(5, 5) != 7),
    ]
    for vjp in mistakes:
        assert gradproof.check_vjp(np.sin, vjp, x, seed=seed, strategy="certificate").verdict is Verdict.WRONG
    assert gradproof.check_vjp(np.sin, right, x, seed=seed, strategy="certificate").verdict is Verdict.CORRECT


def test_what_displaces_the_blocks_depends_on_no_certifying_cotangent(network):
    function, vjp, point = network
    check = MapCheck(make_task("check_vjp", function, vjp, point, {"seed": 1, "strategy": "certificate"}))
    claim = check.claim(conjugate=False)
    _, norm, _ = claim.norms(1e-6)
    certifying = [[float(np.sum(g**2)) for g in products] for products in claim.pulled]
    probes = claim.count + 4
    rest = np.sqrt((probes * norm**2 - certifying) / 4)
    np.testing.assert_allclose(claim.apart, rest)


def test_cotangents_that_measure_norms_certify_no_more_often_than_promised(rng):
    A, r, point = rng.standard_normal((20, 10)), rng.standard_normal((20, 1)), {"a": np.ones(5), "b": np.ones(5)}
    wrong = r @ rng.standard_normal((1, 5))
    claimed = A.copy()
    claimed[:, :5] += wrong * 2.2e-2 * np.linalg.norm(A[:, :5]) / np.linalg.norm(wrong)
    function = lambda p: A[:, :5] @ p["a"] + A[:, 5:] @ p["b"]
    vjp = lambda p, u: {"a": claimed[:, :5].T @ u, "b": claimed[:, 5:].T @ u}
    certified = 0
    for seed in range(300):
        options = {"seed": seed, "strategy": "certificate", "tolerance": 1e-2, "confidence": 0.5}
        check = MapCheck(make_task("check_vjp", function, vjp, point, options))
        examination = MapStudy(check.engine, check.claim(conjugate=False), check.task.settings)
        examination.certify()
        certified += examination.pairs[0][0].verdict is Verdict.CORRECT
    assert 0 < certified <= 0.5 * 300  # it is a bound for the worst case, which this is


@pytest.mark.parametrize("scatter", [0.5, 0.3])
def test_a_vjp_that_answers_differently_each_time_is_said(layer, scatter):
    function, vjp, point = layer
    noise = np.random.default_rng(0)
    report = gradproof.check_vjp(
        function, lambda p, u: vjp(p, u) * (1 + scatter * noise.standard_normal(60)), point, seed=1
    )
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.NON_DETERMINISTIC_CLAIM


def test_a_vjp_that_accumulates_is_wrong(layer):
    function, vjp, point = layer
    total = np.zeros(60)

    def accumulating(p, u):
        total[:] += vjp(p, u)
        return total

    report = gradproof.check_vjp(function, accumulating, point, seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.NON_DETERMINISTIC_CLAIM


@pytest.fixture
def unsteady(layer):
    """A VJP whose answers scatter from call to call, as sums in an order that threads choose do."""
    function, vjp, point = layer
    noise = np.random.default_rng(0)

    def claim(scatter, factor=1.0):
        return lambda p, u: factor * vjp(p, u) * (1 + scatter * noise.standard_normal(60))

    return function, claim, point


@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
def test_a_vjp_that_differs_a_little_from_call_to_call_is_measured_and_not_called_wrong(unsteady, strategy):
    function, claim, point = unsteady
    report = gradproof.check_vjp(function, claim(1e-6), point, seed=1, strategy=strategy)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is gradproof.Reason.CLAIM
    (diagnosis,) = report.diagnoses
    assert diagnosis.cause is Cause.NON_DETERMINISTIC_CLAIM
    assert 1e-7 < diagnosis.coefficient < 1e-6
    assert not report.coordinates


def test_the_tolerance_that_an_unsteady_vjp_is_offered_certifies_it(unsteady):
    function, claim, point = unsteady
    report = gradproof.check_vjp(function, claim(1e-6), point, seed=1)
    tolerance = float(report.diagnoses[0].remedy.rpartition(" ")[2])
    report = gradproof.check_vjp(function, claim(1e-6), point, seed=1, tolerance=tolerance)
    assert report.verdict is Verdict.CORRECT
    assert any("differ by" in note and "would not be told" in note for note in report.notes)


@pytest.mark.parametrize("factor", [1.001, 0.9, -1])
def test_a_mistake_larger_than_what_an_unsteady_vjp_hides_is_wrong(unsteady, factor):
    function, claim, point = unsteady
    report = gradproof.check_vjp(function, claim(1e-6, factor), point, seed=1)
    assert report.verdict is Verdict.WRONG
    assert any("differ by" in note for note in report.notes)


def test_an_unsteady_vjp_that_is_not_linear_is_still_said_to_be(unsteady):
    function, claim, point = unsteady
    vjp = claim(1e-6)
    report = gradproof.check_vjp(function, lambda p, u: vjp(p, u * np.abs(u)), point, seed=1)
    assert report.diagnoses[0].cause is Cause.NOT_LINEAR


@pytest.mark.parametrize(
    ("answer", "kind", "phrase"),
    [
        (lambda g: g["W"], gradproof.ShapeMismatch, "W"),
        (lambda g: {"W": g["W"]}, gradproof.ShapeMismatch, "b"),
        (lambda g: {"W": g["W"].T, "b": g["b"]}, gradproof.ShapeMismatch, "(5, 4)"),
        (lambda g: {"W": g["W"], "b": None}, gradproof.ShapeMismatch, "None for b"),
        (lambda g: {"W": g["W"], "b": ["x"] * 4}, gradproof.UsageError, "b"),
        (lambda g: {"W": g["W"], "b": g["b"] > 0}, gradproof.NotDifferentiable, "bool"),
        (lambda g: {"W": g["W"], "b": g["b"] + 0j}, gradproof.NotDifferentiable, "real"),
    ],
)
def test_an_answer_of_the_wrong_structure_is_refused_by_name(network, answer, kind, phrase):
    function, vjp, point = network
    with pytest.raises(kind) as caught:
        gradproof.check_vjp(function, lambda p, u: answer(vjp(p, u)), point)
    assert phrase in str(caught.value)
    assert "vjp(point, cotangent)" in str(caught.value)


def test_a_vjp_that_raises_is_named(layer):
    function, _, point = layer
    with pytest.raises(gradproof.UsageError, match=r"vjp\(point, cotangent\): ZeroDivisionError"):
        gradproof.check_vjp(function, lambda p, u: 1 / 0, point)


def test_a_vjp_that_writes_into_the_point_is_refused(layer):
    function, vjp, point = layer

    def wrong(p, u):
        g = vjp(p, u)
        p += 1
        return g

    with pytest.raises(gradproof.MutatedInput, match="writes into its argument"):
        gradproof.check_vjp(function, wrong, point)


def test_a_product_that_is_not_finite_is_wrong_at_no_displacement(layer):
    function, vjp, point = layer
    report = gradproof.check_vjp(function, lambda p, u: vjp(p, u) * np.nan, point, seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.NON_FINITE
    assert report.evaluations == 1


def test_a_function_that_fails_at_the_point_is_an_error(layer):
    _, vjp, point = layer
    with pytest.raises(gradproof.NonFiniteCost, match=r"output\[2\] is nan"):
        gradproof.check_vjp(lambda p: np.array([0.0, 1.0, np.nan]), vjp, point)
    with pytest.raises(gradproof.CostRaised, match="LinAlgError"):
        gradproof.check_vjp(lambda p: np.linalg.inv(p), vjp, point)
    with pytest.raises(gradproof.NotDifferentiable, match="int64"):
        gradproof.check_vjp(lambda p: np.arange(3), vjp, point)


def test_relu_networks_are_certified_off_the_kinks(rng):
    W, x = rng.standard_normal((120, 80)), rng.standard_normal(80)
    verdicts = [
        gradproof.check_vjp(lambda p: np.maximum(W @ p, 0), lambda p, u: W.T @ (u * (W @ p > 0)), x, seed=seed).verdict
        for seed in range(20)
    ]
    assert Verdict.WRONG not in verdicts
    assert verdicts.count(Verdict.CORRECT) >= 18


def test_at_a_kink_the_verdict_is_inconclusive(rng):
    report = gradproof.check_vjp(np.abs, lambda x, u: u * np.sign(x), np.zeros(90), seed=1)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is gradproof.Reason.KINK


def test_noise_never_makes_a_right_vjp_wrong(layer):
    function, vjp, point = layer
    noise = np.random.default_rng(0)
    for seed in range(10):
        report = gradproof.check_vjp(lambda p: function(p) + 1e-6 * noise.standard_normal(150), vjp, point, seed=seed)
        assert report.verdict is not Verdict.WRONG


def test_float32_is_judged_by_its_own_tolerance(layer, rng):
    W, x = rng.standard_normal((150, 60)).astype(np.float32) / 8, rng.standard_normal(60).astype(np.float32)
    vjp = lambda p, u: W.T @ (u * (1 - np.tanh(W @ p) ** 2))
    function = lambda p: np.tanh(W @ p)
    reports = [gradproof.check_vjp(function, vjp, x, seed=seed) for seed in range(10)]
    assert {report.verdict for report in reports} == {Verdict.CORRECT}
    wrong = [gradproof.check_vjp(function, lambda p, u: 1.2 * vjp(p, u), x, seed=seed) for seed in range(10)]
    assert {report.verdict for report in wrong} == {Verdict.WRONG}


def test_complex_numbers_are_pairs_of_reals_and_the_convention_is_named(rng):
    z = rng.standard_normal(5) + 1j * rng.standard_normal(5)
    M = rng.standard_normal((4, 5)) + 1j * rng.standard_normal((4, 5))
    function = lambda z: M @ z**2
    torch = lambda z, u: np.conj(2 * M * z).T @ u
    jax = lambda z, u: (2 * M * z).T @ u
    assert gradproof.check_vjp(function, torch, z, seed=1).verdict is Verdict.CORRECT
    assert gradproof.check_vjp(function, jax, z, seed=1, convention="jax").verdict is Verdict.CORRECT
    report = gradproof.check_vjp(function, jax, z, seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.CONVENTION
    assert report.diagnoses[0].certified_remedy == 'convention="jax"'
    assert any("pairs of reals" in note and "torch" in note for note in report.notes)


def test_assert_vjp_raises_with_the_report(layer):
    function, vjp, point = layer
    assert gradproof.assert_vjp(function, vjp, point, seed=1).verdict is Verdict.CORRECT
    with pytest.raises(gradproof.WrongGradient, match="the VJP is wrong") as caught:
        gradproof.assert_vjp(function, lambda p, u: 2 * vjp(p, u), point, seed=1)
    assert caught.value.report.verdict is Verdict.WRONG
    with pytest.raises(gradproof.InconclusiveGradient):
        gradproof.assert_vjp(np.abs, lambda x, u: u * np.sign(x), np.zeros(9), seed=1)
    assert gradproof.assert_vjp(np.abs, lambda x, u: u * np.sign(x), np.zeros(9), seed=1, inconclusive="skip")._key()


def test_the_budget_is_a_hard_limit(layer):
    function, vjp, point = layer
    calls = []
    counted = lambda p: (calls.append(1), function(p))[1]
    report = gradproof.check_vjp(counted, lambda p, u: vjp(p, u) + 1e-3 * u[:60], point, seed=1, budget=60)
    assert report.evaluations <= 60
    assert len(calls) <= 60


@pytest.mark.parametrize("factor", [1, 2])
def test_the_report_survives_json_and_reads_its_verb(network, factor):
    function, vjp, point = network
    report = gradproof.check_vjp(function, lambda p, u: {k: factor * g for k, g in vjp(p, u).items()}, point, seed=1)
    assert gradproof.Report.from_json(report.to_json()) == report
    assert "gradproof.check_vjp(function, vjp, point, seed=1" in str(report)


def test_the_users_arrays_are_never_written(network):
    function, vjp, point = network
    before = {name: value.copy() for name, value in point.items()}
    gradproof.check_vjp(function, vjp, point, seed=1)
    assert all(np.array_equal(point[name], before[name]) for name in point)


def test_an_observer_sees_the_evaluations(layer):
    seen = []
    report = gradproof.check_vjp(*layer, seed=1, observer=seen.append)
    counts = [event.evaluations for event in seen if hasattr(event, "evaluations")]
    assert counts[-1] == report.evaluations
    assert seen[-1].verdict is report.verdict


# --- what a wrong pair is instead -------------------------------------------------------------------------------------


def product(p):
    return p["x"] @ p["w"]


def product_vjp(p, u, by=(1.0, 1.0)):
    return {"x": by[0] * u @ p["w"].T, "w": by[1] * p["x"].T @ u}


@pytest.fixture
def matrices(rng):
    return {"x": rng.standard_normal((8, 3)), "w": rng.standard_normal((3, 5))}


@pytest.mark.parametrize(
    ("by", "blocks", "factors"),
    [
        ((1.0, 2.0), ["output × w"], [2.0]),
        ((-1.0, 1.0), ["output × x"], [-1.0]),
        ((3.0, 3.0), ["output"], [3.0]),
        ((0.5, 3.0), ["output × x", "output × w"], [0.5, 3.0]),
        ((0.0, 3.0), ["output × x", "output × w"], [0.0, 3.0]),
    ],
)
def test_a_factor_of_a_parameter_is_named_and_its_remedy_certified_in_few_evaluations(matrices, by, blocks, factors):
    report = gradproof.check_vjp(product, lambda p, u: product_vjp(p, u, by), matrices, seed=1, strategy="certificate")
    assert report.verdict is Verdict.WRONG
    found = {d.block: d for d in report.diagnoses}
    assert list(found) == blocks
    assert [d.coefficient for d in found.values()] == pytest.approx(factors)
    assert all(d.certified_remedy or d.cause is Cause.ZERO for d in found.values())
    assert report.evaluations < 150


def test_the_difference_of_a_wrong_pair_is_estimated_free_of_chance(matrices):
    for seed in range(5):
        report = gradproof.check_vjp(
            product, lambda p, u: product_vjp(p, u, (1.0, 2.0)), matrices, seed=seed, strategy="certificate"
        )
        assert report.blocks[1].difference.estimate == pytest.approx(1 / 3)


def test_a_claim_of_zero_at_a_hundred_thousand_parameters_is_named_without_a_search(rng):
    x = rng.standard_normal(100_000)
    report = gradproof.check_vjp(np.sin, lambda x, u: 0 * u, x, seed=1)
    assert [d.cause for d in report.diagnoses] == [Cause.ZERO]
    assert report.evaluations < 60


# --- random functions, cancelling formulas, missing cotangents --------------------------------------------------------


@pytest.mark.parametrize("strategy", ["auto", "certificate"])
def test_a_function_that_draws_random_numbers_is_not_called_a_mistake_of_its_vjp(rng, strategy):
    def mask():
        return rng.random(6) > 0.5

    report = gradproof.check_vjp(
        lambda x: mask() * np.sin(x), lambda x, u: mask() * u * np.cos(x), np.ones(6), seed=1, strategy=strategy
    )
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.reason is Reason.RANDOM
    assert [d.cause for d in report.diagnoses] == [Cause.NON_DETERMINISTIC_COST]


def test_a_random_vjp_of_a_function_that_is_not_is_a_mistake(rng):
    report = gradproof.check_vjp(np.sin, lambda x, u: (rng.random(6) > 0.5) * u * np.cos(x), np.ones(6), seed=1)
    assert report.verdict is Verdict.WRONG
    assert report.diagnoses[0].cause is Cause.NON_DETERMINISTIC_CLAIM


def normalised(z):
    h = z - z.mean(axis=0)
    return h / np.sqrt((h**2).mean(axis=0) + 1e-5)


def normalised_vjp(z, u):
    s = np.sqrt(((z - z.mean(axis=0)) ** 2).mean(axis=0) + 1e-5)
    y = normalised(z)
    return (u - u.mean(axis=0) - y * (u * y).mean(axis=0)) / s


@pytest.mark.parametrize("seed", range(5))
def test_rounding_that_a_formula_amplifies_is_not_called_nonlinear(seed):
    # two examples: all that is left of u is what ε keeps from cancelling, 1e-6 of it
    report = gradproof.check_vjp(normalised, normalised_vjp, np.array([[-4.8], [-7.6]]), seed=seed)
    assert report.verdict is not Verdict.WRONG


def test_an_answer_that_depends_on_which_outputs_are_asked_for_is_found():
    def both(x):
        return {"y": np.sin(x), "total": np.sum(x**2)}

    def vjp(x, u):
        if not np.any(u["y"]):
            return np.zeros_like(x)  # nothing is asked of y: an early return that forgets the other output
        return u["y"] * np.cos(x) + 2 * x * u["total"]

    report = gradproof.check_vjp(both, vjp, np.array([0.3, 0.7, -0.2] * 8), seed=1, strategy="certificate")
    assert report.verdict is Verdict.WRONG
    assert any(d.cause is Cause.NOT_LINEAR and "do not add up" in d.sentence for d in report.diagnoses)


def test_a_vjp_that_is_not_finite_for_some_cotangents_is_wrong():
    def both(x):
        return {"y": np.sin(x), "z": np.cos(x)}

    def vjp(x, u):
        with np.errstate(all="ignore"):
            return (u["y"] * np.cos(x) - u["z"] * np.sin(x)) * (np.sum(u["y"] ** 2) / np.sum(u["y"] ** 2))

    report = gradproof.check_vjp(both, vjp, np.linspace(0.1, 1, 20), seed=1, strategy="certificate")
    assert report.verdict is Verdict.WRONG
    assert Cause.NON_FINITE in {d.cause for d in report.diagnoses}


@pytest.mark.parametrize("strategy", ["certificate", "auto"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_function_that_is_zero_at_the_point_is_no_noisier_for_it(dtype, strategy, rng):
    # Its rounding falls with the step then, as noise never does.
    W = rng.standard_normal((4, 3)).astype(dtype)
    for seed in range(10):
        options = {"seed": seed, "strategy": strategy}
        for point in (np.zeros(3, dtype), np.array([0, 1, 0], dtype)):
            right = gradproof.check_vjp(lambda x: W @ x, lambda x, u: W.T @ u, point, **options)
            minus = gradproof.check_vjp(lambda x: W @ x, lambda x, u: -(W.T @ u), point, **options)
            assert (right.verdict, minus.verdict) == (Verdict.CORRECT, Verdict.WRONG)
    lone = gradproof.check_vjp(lambda x: 1.0 * x, lambda x, u: -u, np.zeros(1), seed=1, strategy=strategy)
    assert lone.verdict is Verdict.WRONG
    assert lone.diagnoses[0].cause is Cause.SIGN
