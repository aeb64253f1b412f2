"""Entries of the point that are NaN or infinite, and that the function treats: held constant, with a note."""

from __future__ import annotations

import numpy as np
import pytest

import gradproof as gp

X = np.array([0.3, np.nan, -1.2, np.inf, 0.8])


def treated(x):
    return np.nan_to_num(x, nan=0.0, posinf=1.0)


def cost(x):
    return float(np.sum(np.sin(treated(x)) ** 2))


def gradient(x):
    return np.where(np.isfinite(x), np.sin(2 * treated(x)), 0.0)


@pytest.mark.parametrize("form", ["array", "callable", "beside"])
@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
def test_a_gradient_beside_entries_that_are_not_finite_is_checked(form, strategy):
    function = (lambda x: (cost(x), gradient(x))) if form == "beside" else cost
    claimed = {"array": gradient(X), "callable": gradient, "beside": True}[form]
    report = gp.check_gradient(function, X, claimed, seed=1, strategy=strategy)
    assert (report.verdict, report.blocks[0].shape) == (gp.Verdict.CORRECT, (5,))
    assert "2 of 5 entries of point (point[1] is nan)" in report.notes[0]
    assert "held constant" in report.notes[0]


def test_a_wrong_entry_beside_them_is_named_at_its_place():
    claimed = gradient(X)
    claimed[4] *= 1.01
    report = gp.check_gradient(cost, X, claimed, seed=1)
    assert report.verdict is gp.Verdict.WRONG
    assert report.coordinates[0].index == (4,)


def test_in_a_container_other_blocks_are_as_ever():
    point = {"a": X, "b": np.array([0.5, 2.0])}
    both = lambda p: cost(p["a"]) + float(np.sum(p["b"] ** 2))
    report = gp.check_gradient(both, point, lambda p: {"a": gradient(p["a"]), "b": 2 * p["b"]}, seed=1)
    assert report.verdict is gp.Verdict.CORRECT
    wrong = gp.check_gradient(both, point, lambda p: {"a": gradient(p["a"]), "b": 3 * p["b"]}, seed=1)
    assert wrong.faulty == ("b",)


def test_products_are_checked_too():
    function, slope = (lambda x: np.sin(treated(x))), lambda x: np.where(np.isfinite(x), np.cos(treated(x)), 0.0)
    for check, product in ((gp.check_vjp, lambda x, u: u * slope(x)), (gp.check_jvp, lambda x, v: v * slope(x))):
        report = check(function, product, X, seed=1)
        assert report.verdict is gp.Verdict.CORRECT
        assert "held constant" in report.notes[0]
        assert check(function, lambda x, u, p=product: 1.01 * p(x, u), X, seed=1).verdict is gp.Verdict.WRONG


def test_a_function_that_is_not_finite_there_is_refused_for_its_point():
    with pytest.raises(gp.NonFinitePoint, match=r"2 of 5 values are not finite, the first one nan at \[1\]"):
        gp.check_gradient(lambda x: float(np.sum(x)), X, np.ones(5))
    with pytest.raises(gp.NonFinitePoint, match="2 of 5 values"):
        gp.check_vjp(np.sin, lambda x, u: u * np.cos(x), X)


def test_a_matrix_is_refused():
    with pytest.raises(gp.NonFinitePoint, match="2 of 5 values"):
        gp.check_jacobian(treated, np.eye(5), X)


def test_tensors_may_hold_them():
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, requires_grad=True)
    report = gp.torch.check(lambda x: torch.nan_to_num(x, posinf=1.0).sin(), x, modes=("rev", "fwd"), seed=1)
    assert report.verdict is gp.Verdict.CORRECT
    assert "held constant" in " ".join(report.notes)
    assert gp.torch.check(torch.nansum, torch.tensor(X[:3], requires_grad=True), seed=1).verdict is gp.Verdict.CORRECT
    with pytest.raises(gp.NonFinitePoint):
        gp.torch.check(torch.sin, x)
