"""Second order: Hessians and Hessian-vector products are Jacobians of the gradient, and symmetric."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import rosen_der, rosen_hess, rosen_hess_prod

import gradproof
from gradproof import Cause, Verdict


@pytest.mark.parametrize("size", [2, 30, 300])
def test_scipys_rosenbrock_is_certified(rng, size):
    x = rng.standard_normal(size)
    assert gradproof.check_hessian(rosen_der, rosen_hess, x, seed=1).verdict is Verdict.CORRECT
    assert gradproof.check_hvp(rosen_der, rosen_hess_prod, x, seed=1).verdict is Verdict.CORRECT
    assert (
        gradproof.check_hessian(rosen_der, lambda p: sparse.csr_array(rosen_hess(p)), x, seed=1).verdict
        is Verdict.CORRECT
    )


@pytest.mark.parametrize("size", [30, 200])
def test_asymmetry_is_measured_and_named(rng, size):
    def wrong(x):
        H = rosen_hess(x)
        H[3, 4] += 0.5
        return H

    report = gradproof.check_hessian(rosen_der, wrong, rng.standard_normal(size), seed=1)
    assert report.verdict is Verdict.WRONG
    crooked = next(d for d in report.diagnoses if d.cause is Cause.NOT_SYMMETRIC)
    assert "point[3], point[4]" in crooked.where
    assert [entry.index for entry in report.coordinates] == [(3, 4)]


def test_a_symmetric_mistake_is_wrong_too(rng):
    def wrong(x):
        H = rosen_hess(x)
        H[5, 5] *= 1.1
        return H

    report = gradproof.check_hessian(rosen_der, wrong, rng.standard_normal(25), seed=1)
    assert report.verdict is Verdict.WRONG
    assert not [d for d in report.diagnoses if d.cause is Cause.NOT_SYMMETRIC]
    assert [entry.index for entry in report.coordinates] == [(5, 5)]


def test_an_asymmetric_product_is_wrong(rng):
    x = rng.standard_normal(200)

    def wrong(p, v):
        y = rosen_hess_prod(p, v)
        y[10] += 5 * v[90]
        return y

    report = gradproof.check_hvp(rosen_der, wrong, x, seed=1)
    assert report.verdict is Verdict.WRONG
    assert {d.cause for d in report.diagnoses} == {Cause.NOT_SYMMETRIC, Cause.COORDINATES}
    assert [entry.index for entry in report.coordinates] == [(10, 90)]


def test_a_gradient_that_is_no_gradient_is_said(rng):
    A, x = rng.standard_normal((8, 8)), rng.standard_normal(8)
    report = gradproof.check_hessian(lambda p: A @ p, A, x, seed=1)
    assert report.verdict is Verdict.WRONG
    assert "the gradient is not that of any cost" in report.diagnoses[0].sentence


def test_named_parameters_give_named_pairs(rng):
    point = {"a": rng.standard_normal(3), "b": rng.standard_normal(2)}
    gradient = lambda p: {"a": p["a"] ** 2 * p["b"].sum(), "b": np.full(2, np.sum(p["a"] ** 3) / 3) + p["b"]}

    def hvp(p, v):
        return {
            "a": 2 * p["a"] * v["a"] * p["b"].sum() + p["a"] ** 2 * v["b"].sum(),
            "b": np.full(2, np.sum(p["a"] ** 2 * v["a"])) + v["b"],
        }

    report = gradproof.check_hvp(gradient, hvp, point, seed=1)
    assert report.verdict is Verdict.CORRECT
    assert [block.name for block in report.blocks] == ["a × a", "a × b", "b × a", "b × b"]
    wrong = lambda p, v: hvp(p, v) | {"b": np.full(2, np.sum(p["a"] ** 2 * v["a"]))}
    assert gradproof.check_hvp(gradient, wrong, point, seed=1).faulty == ("b × b",)


def test_an_hvp_of_the_wrong_structure_is_refused(rng):
    with pytest.raises(gradproof.ShapeMismatch, match=r"hvp\(point, vector\)"):
        gradproof.check_hvp(rosen_der, lambda p, v: rosen_hess_prod(p, v)[:-1], rng.standard_normal(5))
    with pytest.raises(gradproof.UsageError, match="gradient is"):
        gradproof.check_hvp(3, rosen_hess_prod, rng.standard_normal(5))


def test_assertions(rng):
    x = rng.standard_normal(6)
    gradproof.assert_hessian(rosen_der, rosen_hess, x, seed=1)
    gradproof.assert_hvp(rosen_der, rosen_hess_prod, x, seed=1)
    with pytest.raises(gradproof.WrongGradient, match="the Hessian is wrong"):
        gradproof.assert_hessian(rosen_der, lambda p: 2 * rosen_hess(p), x, seed=1)
    with pytest.raises(gradproof.WrongGradient, match="the Hessian-vector product is wrong"):
        gradproof.assert_hvp(rosen_der, lambda p, v: 2 * rosen_hess_prod(p, v), x, seed=1)
