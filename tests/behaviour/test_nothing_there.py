"""Arrays of size 0: a trivial pass with a note, so that a sweep over shapes does not break."""

from __future__ import annotations

import numpy as np
import pytest

import gradproof as gp

EMPTY = np.zeros((0, 3))


def is_trivial(report, verb):
    assert report.verdict is gp.Verdict.CORRECT
    assert (report.blocks, report.verb) == ((), verb)
    assert "Nothing was checked, for there is nothing." in report.notes[-1]
    assert gp.Report.from_json(report.to_json()) == report
    return "Nothing was checked" in " ".join(str(report).split())


@pytest.mark.parametrize("point", [EMPTY, {"a": np.zeros(0), "b": EMPTY}])
@pytest.mark.parametrize("callable_claim", [True, False])
def test_the_gradient_at_an_empty_point_passes(point, callable_claim):
    cost = lambda p: float(sum(np.sum(v) for v in (p.values() if isinstance(p, dict) else [p])))
    claimed = (lambda p: p) if callable_claim else point
    told = []
    assert is_trivial(gp.check_gradient(cost, point, claimed, observer=told.append), "check_gradient")
    assert [type(event).__name__ for event in told] == ["Settled"]
    gp.assert_gradient(cost, point, claimed)


@pytest.mark.parametrize("n", range(3))
def test_a_sweep_over_shapes_goes_through(n):
    x = np.arange(1.0, n + 1)
    report = gp.check_gradient(lambda x: float(np.sum(np.sin(x))), x, np.cos, seed=1)
    assert report.verdict is gp.Verdict.CORRECT


def test_a_claim_of_another_shape_is_no_claim_of_nothing():
    with pytest.raises(gp.ShapeMismatch, match=r"shape \(3,\)"):
        gp.check_gradient(lambda x: 0.0, EMPTY, np.zeros(3))
    with pytest.raises(gp.ShapeMismatch, match="has c, which the point has not"):
        gp.check_gradient(lambda x: 0.0, {"a": np.zeros(0)}, {"c": np.zeros(0)})


def test_what_patterns_leave_empty_is_an_error():
    with pytest.raises(gp.EmptyProblem, match="With only='a' nothing is left"):
        gp.check_gradient(lambda p: 0.0, {"a": np.zeros(0), "b": np.ones(2)}, {"a": np.zeros(0)}, only="a")


def test_maps_of_an_empty_point_or_to_an_empty_output_pass():
    assert is_trivial(gp.check_vjp(lambda x: np.sum(x), lambda x, u: u * x, EMPTY), "check_vjp")
    assert is_trivial(gp.check_jvp(np.sin, lambda x, v: v, EMPTY), "check_jvp")
    assert is_trivial(gp.check_jacobian(np.sin, np.zeros((0, 0)), np.zeros(0)), "check_jacobian")
    assert is_trivial(gp.check_jacobian(lambda x: x[:0], np.zeros((0, 2)), np.ones(2)), "check_jacobian")
    assert is_trivial(gp.check_hessian(np.cos, np.zeros((0, 0)), np.zeros(0)), "check_hessian")


def test_a_function_that_returns_nothing_at_all_is_an_error():
    with pytest.raises(gp.UsageError):
        gp.check_jacobian(lambda x: (), np.zeros((0, 2)), np.ones(2))


def test_tensors_of_size_zero_pass():
    torch = pytest.importorskip("torch")
    x = torch.zeros(0, 3, dtype=torch.float64, requires_grad=True)
    report = gp.torch.check(lambda x: x.sin(), x, modes=("rev", "fwd"), seed=1)
    assert (report.verdict, report.blocks) == (gp.Verdict.CORRECT, ())
    whole = torch.ones(2, dtype=torch.float64, requires_grad=True)
    assert gp.torch.check(lambda x: x[:0] * 2, whole, seed=1).verdict is gp.Verdict.CORRECT
    assert gp.torch.check(lambda x, y: x.sum() * y, (x, whole), seed=1).verdict is gp.Verdict.CORRECT


def test_jax_arrays_of_size_zero_pass():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        report = gp.jax.check(jax.numpy.sin, (jax.numpy.zeros((0, 3)),), seed=1)
        assert (report.verdict, report.blocks) == (gp.Verdict.CORRECT, ())
        assert gp.jax.check(lambda x: x[:0], (jax.numpy.ones(2),), seed=1).verdict is gp.Verdict.CORRECT
