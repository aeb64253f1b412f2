"""Inputs from use on which a verdict, or a page, was false: each is checked with several seeds, and none may be so again.

A case says which answers are false of it. One that is false today is marked with the reason, strictly: the mark has to go
with the fault. Seeds are those among which the fault was seen to show.
"""

from __future__ import annotations

import copy
import math
import re
import warnings
from collections import Counter

import numpy as np
import pytest
from scipy import interpolate, optimize

import gradproof as gp

CASES = []
U32 = np.float32


def case(*false, seeds=range(4), open_because=""):
    """Register an input, the answers that are false of it, and why it still gives one."""

    def register(function):
        marks = [pytest.mark.xfail(strict=True, reason=open_because)] if open_because else []
        CASES.append(pytest.param(function, false, seeds, id=function.__name__, marks=marks))
        return function

    return register


@pytest.mark.parametrize(("answer", "false", "seeds"), CASES)
def test_no_seed_gives_a_false_answer(answer, false, seeds):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = Counter(answer(seed) for seed in seeds)
    assert not [a for a in answers if a in false], dict(answers)


def of_cost(cost, point, claim, seed, **options):
    return gp.check_gradient(cost, point, claim, seed=seed, **options).verdict.name


def page_of(report):
    """Return CONTRADICTION where a CORRECT report prints a bound above its tolerance, else the verdict."""
    above = report.verdict is gp.Verdict.CORRECT and report.difference.upper > report.tolerance
    return "CONTRADICTION" if above else report.verdict.name


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


# ---- WRONG only where it is proved: structure below the step


@case("WRONG")
def absolute_values_at_and_beside_zero(seed):
    x = np.array([0.0, 1e-9, 1.0])
    return of_cost(lambda z: float(np.abs(z).sum() + (z**2).sum()), x, np.sign(x) + 2 * x, seed)


@case("WRONG")
def kinks_within_1e10(seed):
    x = np.concatenate([normal(seed, 3), [1e-10, -3e-11]])
    return of_cost(lambda z: float(np.abs(z).sum()), x, np.sign(x), seed)


def table(seed, spacing):
    X = np.arange(-6, 6, spacing)
    Y, x = np.sin(X), normal(seed, 5)
    i = np.searchsorted(X, x, side="right") - 1
    return of_cost(lambda z: float(np.sum(np.interp(z, X, Y))), x, (Y[i + 1] - Y[i]) / (X[i + 1] - X[i]), seed)


@case("WRONG", seeds=range(6))
def interpolation_in_a_table_of_spacing_1e3(seed):
    return table(seed, 1e-3)


@case("WRONG", seeds=(2, 3, 4))
def interpolation_in_a_table_of_spacing_1e4(seed):
    return table(seed, 1e-4)


@case("WRONG", seeds=(1, 2))
def interpolation_in_a_table_of_spacing_1e5(seed):
    return table(seed, 1e-5)


@case("WRONG")
def cubic_spline(seed):
    X = np.arange(-6, 6, 1e-2)
    spline, x = interpolate.CubicSpline(X, np.sin(X)), normal(seed, 5)
    return of_cost(lambda z: float(np.sum(spline(z))), x, spline(x, 1), seed)


def ripple(seed, amplitude, claimed):
    q = np.random.default_rng(seed)
    x, d = q.standard_normal(5), q.standard_normal(5)
    claim = np.cos(x) + claimed * 1e6 * amplitude * np.cos(1e6 * (d @ x)) * d
    return of_cost(lambda z: float(np.sum(np.sin(z)) + amplitude * np.sin(1e6 * (d @ z))), x, claim, seed)


@case("WRONG")
def ripple_whose_slope_is_claimed(seed):
    return ripple(seed, 1e-9, claimed=True)


@case("CORRECT")
def ripple_of_a_tenth_of_the_slope_left_out(seed):
    return ripple(seed, 1e-7, claimed=False)


@case("CORRECT", "WRONG")
def staircase_claimed_flat(seed):
    x = float(np.random.default_rng(seed).uniform(0.5, 1.5))
    return of_cost(lambda c: float(np.floor(30 * float(c)) / 30), x, lambda c: 0.0, seed)


@case("CORRECT", seeds=(3, 0, 1, 2))
def straight_through_claim_of_a_rounding(seed):
    q = np.random.default_rng(seed)
    a, w = q.standard_normal(5), q.standard_normal(5)
    return of_cost(lambda v: float(np.round(16 * v) / 16 @ a), w, a, seed)


@case("WRONG", seeds=(11, 0, 1))
def exponential_rounded_to_six_digits(seed):
    return of_cost(lambda p: round(float(np.exp(p)), 6), 0.81, np.exp(0.81), seed)


# ---- cancellation in the formula


def small(seed):
    return 10 ** np.random.default_rng(seed).uniform(-6, -4, 3)


@case("WRONG", seeds=range(6))
def versine_quotient(seed):
    x = small(seed)
    claim = -x / 12 + x**3 / 180  # the series of d/dx (1 − cos x)/x²
    return of_cost(lambda z: float(np.sum((1 - np.cos(z)) / z**2)), x, claim, seed)


@case("WRONG")
def logarithm_quotient(seed):
    x = np.array([1e-4])
    return of_cost(
        lambda z: float(np.sum(np.log(1 + z) / z)), x, -1 / 2 + 2 * x / 3 - 3 * x**2 / 4 + 4 * x**3 / 5, seed
    )


@case("WRONG", seeds=(0, 1, 2))
def softplus_far_down(seed):
    x = -36 + normal(seed, 5)
    return of_cost(lambda z: float(np.sum(np.log(1 + np.exp(z)))), x, np.exp(x) / (1 + np.exp(x)), seed)


@case("WRONG")
def root_at_its_edge(seed):
    x = 1 - 10 ** np.random.default_rng(seed).uniform(-9, -3, 3)
    return of_cost(lambda z: float(np.sum(np.sqrt(1 - z**2))), x, -x / np.sqrt((1 - x) * (1 + x)), seed)


@case("WRONG", "INCONCLUSIVE", seeds=range(8))
def high_frequencies(seed):
    w = 10.0 ** (2 + seed % 5)
    x = normal(seed, 3)
    return of_cost(lambda z: float(np.sum(np.sin(w * z))), x, w * np.cos(w * x), seed, tolerance=1e-6)


# ---- zero but for rounding


@case("WRONG", seeds=(0,))
def determinant_of_a_matrix_of_rank_one(seed):
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        return gp.jax.check(
            jnp.linalg.det, (jnp.outer(jnp.arange(1.0, 4.0), jnp.arange(4.0, 7.0)),), seed=seed
        ).verdict.name


def quotient(seed):
    q = np.random.default_rng(seed)
    return {"v": q.standard_normal(4), "x": q.uniform(0.5, 3, 4)}


def vanishing(p):
    return p["v"] * (1 / p["x"] - p["x"] / p["x"] ** 2)


def vanishing_parts(p):
    x = p["x"]
    return 1 / x - x / x**2, p["v"] * (-1 / x**2 - 1 / x**2 + 2 * x * x / x**3)


@case("WRONG", seeds=range(2), open_because="noise is measured at neighbours that round to the same number")
def vanishing_quotient_by_its_jvp(seed):
    def jvp(p, t):
        by_v, by_x = vanishing_parts(p)
        return by_v * t["v"] + by_x * t["x"]

    return gp.check_jvp(vanishing, jvp, quotient(seed), seed=seed).verdict.name


@case("WRONG", seeds=range(2), open_because="noise is measured at neighbours that round to the same number")
def vanishing_quotient_by_its_vjp(seed):
    def vjp(p, u):
        by_v, by_x = vanishing_parts(p)
        return {"v": by_v * u, "x": by_x * u}

    return gp.check_vjp(vanishing, vjp, quotient(seed), seed=seed).verdict.name


@case("WRONG")
def sum_of_the_vanishing_quotient_claimed_zero(seed):
    claim = {"v": np.zeros(4), "x": np.zeros(4)}
    return of_cost(lambda p: float(np.sum(vanishing(p))), quotient(seed), claim, seed)


# ---- many outputs, rounded; low precision inside


def layer(seed, m, n, after):
    q = np.random.default_rng(seed)
    A, x = q.standard_normal((m, n)) / np.sqrt(n), q.standard_normal(n)
    J = (1 - np.tanh(A @ x) ** 2)[:, None] * A
    return J, gp.check_jacobian(lambda z: after(np.tanh(A @ z)), J, x, seed=seed)


def to_single(y):
    return y.astype(U32).astype(float)


@case("WRONG", seeds=range(2))
def jacobian_of_outputs_rounded_to_float32(seed):
    return layer(seed, 40, 20, to_single)[1].verdict.name


@case("WRONG", seeds=range(3))
def jacobian_of_one_rounded_output(seed):
    return layer(seed, 1, 1, lambda y: np.round(y, 6))[1].verdict.name


@case("WRONG", seeds=range(2))
def jacobian_of_forty_rounded_outputs(seed):
    return layer(seed, 40, 20, lambda y: np.round(y, 6))[1].verdict.name


@case("WRONG", seeds=range(4, 8))
def vjp_of_a_rounded_number(seed):
    return gp.check_vjp(lambda p: np.round(np.exp(p), 4), lambda p, u: u * np.exp(p), 0.7, seed=seed).verdict.name


@case("WRONG", seeds=range(4, 8))
def jvp_of_a_rounded_number(seed):
    return gp.check_jvp(lambda p: np.round(np.exp(p), 4), lambda p, v: v * np.exp(p), 0.7, seed=seed).verdict.name


@case("CONTRADICTION", seeds=range(2))
def printed_entry_beside_its_bar(seed):
    J, report = layer(seed, 40, 20, to_single)
    beside = any(abs(c.numerical - J[c.index]) > 1e3 * c.error_bar for c in report.coordinates)
    return "CONTRADICTION" if beside else report.verdict.name


@case("WRONG")
def vjp_worked_out_in_float32(seed):
    q = np.random.default_rng(seed)
    point = {"x": q.standard_normal((4, 3)), "w": q.standard_normal((3, 2))}

    def vjp(p, u):
        d = (u * (1 - np.tanh(p["x"] @ p["w"]) ** 2)).astype(U32)
        return {"x": to_single(d @ p["w"].T.astype(U32)), "w": to_single(p["x"].T.astype(U32) @ d)}

    def function(p):
        return np.tanh((p["x"].astype(U32) @ p["w"].astype(U32)).astype(float))

    return gp.check_vjp(function, vjp, point, seed=seed).verdict.name


@case("WRONG", seeds=range(2))
def torch_float32_inside_float64(seed):
    import torch

    torch.manual_seed(seed)
    x, w = (torch.randn(*s).double().requires_grad_() for s in ((4, 3), (3, 2)))
    return gp.torch.check(lambda x, w: torch.tanh((x.float() @ w.float()).double()), (x, w), seed=seed).verdict.name


@case("WRONG", seeds=(0,))
def jax_float32_inside_float64(seed):
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        x, w = jnp.asarray(normal(seed, 4, 3)), jnp.asarray(normal(seed + 1, 3, 2))

        def function(x, w):
            return jnp.tanh((x.astype(jnp.float32) @ w.astype(jnp.float32)).astype(jnp.float64))

        return gp.jax.check(function, (x, w), modes=("rev",), seed=seed).verdict.name


def inside(seed, low):
    import torch

    torch.manual_seed(seed)
    x, w = torch.randn(8, 4), torch.randn(4, 3).requires_grad_()
    return gp.torch.check(lambda w: torch.tanh((x.to(low) @ w.to(low)).float()), (w,), seed=seed).verdict.name


@case("WRONG", seeds=range(1, 4))
def bfloat16_inside_float32(seed):
    import torch

    return inside(seed, torch.bfloat16)


@case("WRONG", seeds=(1, 4))
def half_inside_float32(seed):
    import torch

    return inside(seed, torch.float16)


# ---- within the tolerance; units; a jump


@case("WRONG", seeds=(3, 9, 11, 0))
def adjoint_within_the_tolerance(seed):
    M = normal(seed, 30, 20)
    B = M * (1 + 1.8e-7)
    return gp.check_adjoint((lambda v: M @ v, lambda y: B.T @ y), np.zeros(20), seed=seed).verdict.name


@case("WRONG")
def entry_of_1e11_where_zero_is_right(seed):
    J = np.diag([1.0, 1.0, 1e-5])
    claim = J.copy()
    claim[0, 1] = 1e-11
    return gp.check_jacobian(lambda v: J @ v, claim, np.ones(3), tolerance=1e-3, seed=seed).verdict.name


@case("WRONG")
def units_of_sixteen_orders_in_one_block(seed):
    q = np.random.default_rng(seed)
    units, k, y = 10 ** q.uniform(-8, 8, 40), q.uniform(0.5, 2, 40), q.standard_normal(40)
    return of_cost(lambda z: float(np.sum(np.cos(k * units * z))), y / units, -units * k * np.sin(k * y), seed)


@case("WRONG")
def angles_at_the_jump(seed):
    q = np.random.default_rng(seed)
    y, x = np.array([0.0, 1e-12, -1e-9, 0.4]), -q.uniform(0.5, 2, 4)
    claim = {"x": -y / (x * x + y * y), "y": x / (x * x + y * y)}
    return of_cost(lambda p: float(np.sum(np.arctan2(p["y"], p["x"]))), {"x": x, "y": y}, claim, seed)


# ---- CORRECT only where it is proved: claims of zero


def forgotten(seed, n, level):
    e = np.random.default_rng(1000 + seed)
    return gp.check_gradient(
        lambda z: float(np.sum(np.sin(z))) + level * e.standard_normal(), normal(seed, n), np.zeros(n), seed=seed
    )


@case("CORRECT")
def forgotten_gradient_of_a_noisy_cost_of_three(seed):
    return forgotten(seed, 3, 1e-2).verdict.name


@case("CORRECT")
def forgotten_gradient_of_a_noisy_cost_of_one(seed):
    return forgotten(seed, 1, 1e-2).verdict.name


@case("CORRECT", seeds=(0, 18, 1))
def forgotten_gradient_beside_a_float32_offset(seed):
    x = normal(seed, 3).astype(U32)
    return of_cost(lambda z: U32(1e4) + np.sum(np.sin(z)), x, np.zeros(3, U32), seed)


def share(seed, part, factor, dtype=np.float64):
    q = np.random.default_rng(seed)
    x = {k: q.standard_normal(5).astype(dtype) for k in "ab"}
    claim = {"a": np.cos(x["a"]), "b": dtype(factor * part) * np.cos(x["b"])}
    return of_cost(lambda z: dtype(np.sum(np.sin(z["a"])) + dtype(part) * np.sum(np.sin(z["b"]))), x, claim, seed)


@case("CORRECT")
def forgotten_block_of_share_1e8(seed):
    return share(seed, 1e-8, 0.0)


@case("CORRECT", "INCONCLUSIVE")
def block_of_share_1e8_with_the_other_sign(seed):
    return share(seed, 1e-8, -1.0)


@case("CORRECT")
def forgotten_block_of_share_2e4_in_float32(seed):
    return share(seed, 2e-4, 0.0, U32)


@case("CORRECT")
def block_of_share_1e13_claimed_minus_three_times(seed):
    return share(seed, 1e-13, -3.0)


@case("CORRECT", seeds=range(2))
def layer_whose_gradient_is_forgotten(seed):
    import torch

    torch.manual_seed(seed)
    module, x = torch.nn.ModuleList([torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)]), torch.randn(16, 4)

    def cost(m):
        y = m[0](x).tanh() + 1e-4 * m[1](x).tanh()
        return y.pow(2).mean() + y.mean()

    cost(module).backward()
    claim = {k: (0 if k.startswith("1") else 1) * p.grad.clone() for k, p in module.named_parameters()}
    return gp.torch.check_module(module, cost, claimed=claim, seed=seed).verdict.name


# ---- nothing exercised


@case("CORRECT", "WRONG")
def cost_that_ignores_its_argument(seed):
    return of_cost(lambda p: 3.0, np.ones(5), np.zeros(5), seed)


@case("CORRECT", "WRONG")
def cost_that_reads_a_global(seed):
    outside = normal(seed, 5)
    return of_cost(lambda p: float(np.sum(np.sin(outside))), outside.copy(), np.zeros(5), seed)


@case("CORRECT", "WRONG")
def dead_network(seed):
    x = normal(seed, 5)
    return of_cost(lambda p: float(np.sum(np.maximum(p * x - 100, 0))), normal(seed + 1, 5), np.zeros(5), seed)


@case("CORRECT", "WRONG", seeds=range(3))
def module_whose_cost_uses_another_module(seed):
    import torch

    torch.manual_seed(seed)
    model = torch.nn.Linear(4, 2)
    double, x = copy.deepcopy(model).double(), torch.randn(8, 4)
    try:
        return gp.torch.check_module(double, lambda module: model(x).square().mean(), seed=seed).verdict.name
    except gp.UsageError:
        return "REFUSED"


@case("REMEDY")
def constant_cost_gets_no_remedy_of_zero(seed):
    report = gp.check_gradient(lambda p: 3.0, np.ones(5), np.ones(5), seed=seed)
    return "REMEDY" if any(d.remedy.startswith("0") for d in report.diagnoses) else report.verdict.name


@case("WRONG", "INCONCLUSIVE")
def sum_of_probabilities(seed):
    def cost(z):
        e = np.exp(z - z.max())
        return float(np.sum(e / e.sum()))

    return of_cost(cost, normal(seed, 5), np.zeros(5), seed)


@case("WRONG", "INCONCLUSIVE")
def signs_and_floors_of_many_outputs(seed):
    def function(x):
        return np.concatenate([np.sign(x), np.floor(x)])

    x = np.array([0.37, -1.52, 2.61]) + 0.1 * normal(seed, 3).clip(-1, 1)
    return gp.check_jacobian(function, np.zeros((6, 3)), x, seed=seed).verdict.name


@case("CORRECT")
def product_that_overflows_for_a_cotangent_of_ones(seed):
    """As the log-softmax of 70 000 half-precision numbers does: its sum of a cotangent of ones is infinite."""

    def vjp(p, u):
        total = np.sum(u.astype(np.float16), dtype=np.float16)
        return 2 * u if np.isfinite(total) else np.full_like(u, np.nan)

    return gp.check_vjp(lambda p: 2 * p, vjp, normal(seed, 70_000), seed=seed, strategy="certificate").verdict.name


# ---- right claims that must be decided


@case("WRONG", "INCONCLUSIVE")
def bias_of_zero_before_a_mean_is_subtracted(seed):
    q = np.random.default_rng(seed)
    X, y = q.standard_normal((20, 4)), q.standard_normal((20, 3))
    point = {"W": q.standard_normal((4, 3)), "b": np.zeros(3)}

    def forward(p):
        z = X @ p["W"] + p["b"]
        return z - z.mean(0)

    def gradient(p):
        t = np.tanh(forward(p))
        d = (t - y) * (1 - t * t)
        d -= d.mean(0)
        return {"W": X.T @ d, "b": d.sum(0)}

    return of_cost(lambda p: 0.5 * float(np.sum((np.tanh(forward(p)) - y) ** 2)), point, gradient, seed)


@case("WRONG", "INCONCLUSIVE")
def every_coordinate_at_a_bound(seed):
    x = normal(seed, 5)
    bounds = optimize.Bounds(x, np.full(5, np.inf))
    return gp.check_scipy(lambda x: float(np.sum(np.sin(x))), x, np.cos, bounds=bounds, seed=seed).verdict.name


@case("WRONG", "INCONCLUSIVE", seeds=range(12))
def jacobian_at_the_edge_of_its_domain(seed):
    q = np.random.default_rng(seed)
    A, x = q.standard_normal((4, 3)), np.array([1e-9, 0.3, 2.0])

    def function(x):
        if np.any(x < 0):
            raise ValueError("outside the domain")
        return A @ np.sqrt(x)

    return gp.check_jacobian(function, A * 0.5 / np.sqrt(x), x, seed=seed).verdict.name


@case("WRONG", "INCONCLUSIVE", open_because="half of the tolerance is seldom decided")
def difference_of_half_the_tolerance(seed):
    x = normal(seed, 40)
    return of_cost(lambda z: float(np.sum(np.sin(z))), x, np.cos(x) * (1 + 1e-7), seed, strategy="certificate")


def logistic(seed):
    q = np.random.default_rng(seed)
    A = q.standard_normal((300, 8))
    y = (q.random(300) > 0.5) * 2.0 - 1

    def fun(w):
        return float(np.sum(np.logaddexp(0, -y * (A @ w))) + 0.05 * w @ w)

    def jac(w):
        return -A.T @ (y / (1 + np.exp(y * (A @ w)))) + 0.1 * w

    return fun, jac


def at_optimum(seed, method):
    fun, jac = logistic(seed)
    found = optimize.minimize(fun, np.zeros(8), jac=jac, method=method).x
    return page_of(gp.check_gradient(fun, found, jac, seed=seed))


def optimum_of(method):
    def found(seed):
        return at_optimum(seed, method)

    found.__name__ = f"optimum_of_{method.lower().replace('-', '_')}"
    return case("WRONG", "INCONCLUSIVE", "CONTRADICTION", seeds=range(2, 5))(found)


for method in ("BFGS", "L-BFGS-B", "CG", "TNC", "SLSQP"):
    optimum_of(method)


# ---- a page that never contradicts itself


@case(
    "CONTRADICTION",
    seeds=(15, 0, 1),
)
def difference_above_its_bound(seed):
    report = forgotten(seed, 3, 1e-3)
    above = any(b.difference.estimate > 1.01 * b.difference.upper for b in report.blocks)
    return "CONTRADICTION" if above else report.verdict.name


@case("CONTRADICTION")
def bound_at_a_point_of_1e7(seed):
    w, x = np.array([0.0, 0.5, 1.0]), 1e-7 * np.array([1.0, -0.8, 0.3])
    return page_of(gp.check_gradient(lambda v: 3 + float(w @ v), x, w, seed=seed))


@case("CONTRADICTION", seeds=range(8))
def bound_where_one_coordinate_is_strongly_curved(seed):
    x = normal(seed, 6)
    claim = np.cos(x)
    claim[0] += np.cos(1e4 * x[0])
    return page_of(
        gp.check_gradient(lambda z: float(np.sum(np.sin(z)) + 1e-4 * np.sin(1e4 * z[0])), x, claim, seed=seed)
    )


@case("CONTRADICTION")
def whole_where_a_block_is_claimed_zero(seed):
    q = np.random.default_rng(seed)
    A = {k: q.standard_normal((6, 3)) for k in "abc"}
    x = {k: q.standard_normal(3) for k in "abc"}

    def jacobian(p):
        return {k: (k != "c") * np.cos(A[k] @ p[k])[:, None] * A[k] for k in "abc"}

    report = gp.check_jacobian(lambda p: sum(np.sin(A[k] @ p[k]) for k in "abc"), jacobian, x, seed=seed)
    return "CONTRADICTION" if report.difference.upper < 0.1 else report.verdict.name


@case("CONTRADICTION", seeds=range(2))
def entries_listed_twice(seed):
    q = np.random.default_rng(seed)
    A, x = q.standard_normal((8, 4)), q.standard_normal(4)
    J = A * np.cos(x)
    report = gp.check_jvp(lambda z: A @ np.sin(z), lambda z, v: J[:, ::-1] @ v, x, seed=seed)
    listed = Counter((c.block, c.index) for c in report.coordinates)
    return "CONTRADICTION" if max(listed.values(), default=0) > 1 else report.verdict.name


@case("CONTRADICTION")
def no_entry_off_under_wrong(seed):
    report = gp.check_gradient(lambda p: round(float(np.exp(p)), 6), 0.81, np.exp(0.81), seed=seed)
    wrong = report.verdict is gp.Verdict.WRONG and "0 of 1" in str(report)
    return "CONTRADICTION" if wrong else report.verdict.name


@case("CORRECT", "INCONCLUSIVE")
def difference_of_five_resolutions(seed):
    x = normal(seed, 40)
    plain = gp.check_gradient(lambda z: float(np.sum(np.sin(z))), x, np.cos(x), seed=seed)
    off = 5 * min(b.resolution for b in plain.blocks)
    return of_cost(lambda z: float(np.sum(np.sin(z))), x, np.cos(x) * (1 + 2 * off), seed)


# ---- causes are tested, or hedged


def causes(report):
    return {d.cause for d in report.diagnoses}


@case("LOW_PRECISION", seeds=(0, 5))
def forward_differences_are_not_float32(seed):
    x = normal(seed, 6)

    def cost(z):
        return float(np.sum(np.sin(z)) * np.cos(z[0]))

    claim = np.array([(cost(x + 1e-10 * e) - cost(x)) / 1e-10 for e in np.eye(6)])
    report = gp.check_gradient(cost, x, claim, seed=seed)
    return "LOW_PRECISION" if gp.Cause.LOW_PRECISION in causes(report) else report.verdict.name


@case("LOW_PRECISION")
def smooth_errors_of_5e6_are_not_float32(seed):
    x = normal(seed, 6)
    claim = np.cos(x) * (1 + 5e-6 * np.sin(3 * x + seed))
    report = gp.check_gradient(lambda z: float(np.sum(np.sin(z))), x, claim, seed=seed)
    return "LOW_PRECISION" if gp.Cause.LOW_PRECISION in causes(report) else report.verdict.name


@case("UNNAMED")
def smooth_errors_of_a_solver_are_named(seed):
    x = normal(seed, 6)
    report = gp.check_gradient(
        lambda z: float(np.sum(np.sin(z))), x, np.cos(x) + 1e-4 * np.sin(3 * x + seed), seed=seed
    )
    return report.verdict.name if "solver" in str(report) else "UNNAMED"


@case("LEFT OUT", seeds=(1, 4))
def gradient_of_the_last_sample_only(seed):
    q = np.random.default_rng(seed)
    X, W = q.standard_normal((5, 4)), q.standard_normal((4, 3))

    def cost(W):
        return float(np.sum(np.maximum(X @ W, 0) ** 2))

    claim = 2 * np.outer(X[-1], np.maximum(X[-1] @ W, 0))
    report = gp.check_gradient(cost, W, claim, seed=seed)
    return "LEFT OUT" if "left out" in str(report) else report.verdict.name


@case("ASSERTED", seeds=range(3))
def names_under_noise_without_a_certified_remedy(seed):
    q = np.random.default_rng(seed)
    x, e = q.standard_normal((3, 3)), np.random.default_rng(seed + 1)
    claim = np.cos(x) + 0.3 * q.standard_normal((3, 3))
    report = gp.check_gradient(lambda z: float(np.sum(np.sin(z)) + 1e-3 * e.standard_normal()), x, claim, seed=seed)
    named = {
        gp.Cause.FLIP,
        gp.Cause.ROLL,
        gp.Cause.TRANSPOSE,
        gp.Cause.FACTOR,
        gp.Cause.OFFSET,
        gp.Cause.PARAMETER_TERM,
    }
    bare = [d for d in report.diagnoses if d.cause in named and not d.certified_remedy]
    return "ASSERTED" if bare else report.verdict.name


def printed_factor(report):
    """Return the number in the certified remedy, as it is printed."""
    text = next((d.certified_remedy for d in report.diagnoses if d.certified_remedy), None)
    numbers = re.findall(r"(?<![\w.\]])\d+\.?\d*(?:e-?\d+)?(?:\s*/\s*\d+)?(?![\w\]])", text or "")
    return text, numbers


@case("NOT AS PRINTED")
def remedy_holds_as_printed(seed):
    x = normal(seed, 6)
    report = gp.check_gradient(lambda z: float(np.sum(np.sin(z))), x, np.cos(x) * 28, seed=seed)
    text, numbers = printed_factor(report)
    if text is None or len(numbers) != 1:
        return "NOT AS PRINTED"
    factor = eval(numbers[0])
    mended = np.cos(x) * 28 * factor if "*" in text else np.cos(x) * 28 / factor
    difference = np.linalg.norm(mended - np.cos(x)) / (np.linalg.norm(mended) + np.linalg.norm(np.cos(x)))
    return "AS PRINTED" if math.isclose(difference, 0, abs_tol=1e-7) else "NOT AS PRINTED"


@case("CORRECT")
def gradient_beside_a_hessian_is_not_ignored(seed):
    try:
        report = gp.check_scipy(
            lambda x: float(np.sum(x**2)), np.ones(3), jac=lambda x: 4 * x, hess=lambda x: 4 * np.eye(3), seed=seed
        )
    except gp.UsageError:
        return "REFUSED"
    return report.verdict.name
