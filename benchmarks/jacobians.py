"""Functions with many outputs: SciPy's own derivatives certified, their mutants caught, and what that takes.

    python benchmarks/jacobians.py [certified] [mutants] [promise] [--quick]

Without a name all three run. ``--quick`` takes fewer seeds and trials, to see that everything still works.

certified   the analytic Jacobians and Hessians of SciPy's test problems: verdict, bound and calls of the function,
            beside those of a dense finite-difference Jacobian (`scipy.optimize._numdiff.approx_derivative`, 2-point) and
            what `scipy.optimize.check_grad` says of the same derivative
mutants     one wrong and one missing entry of sparse Jacobians: caught, named, calls
promise     share of false CORRECT where the error, of rank one, is just outside the tolerance and the confidence 0.9
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
import warnings
from collections import Counter

import numpy as np
import scipy
from rich.console import Console
from rich.table import Table
from scipy import optimize, sparse
from scipy.optimize._numdiff import approx_derivative
from scipy.optimize.tests import test_least_squares as fitting
from scipy.optimize.tests import test_minimize_constrained as constrained

from gradproof import Verdict, check_gradient, check_hessian, check_hvp, check_jacobian, check_jvp, check_vjp

SEEDS = 20
MUTANTS = 40
TRIALS = 2000
DENSE = 3000
"""Parameters up to which the dense finite-difference Jacobian is really computed; beyond, its calls are N + 1."""


def broyden(x):
    """Broyden's tridiagonal function, vectorised: SciPy's own builds its Jacobian row by row."""
    y = (3 - x) * x + 1
    y[1:] -= x[:-1]
    y[:-1] -= 2 * x[1:]
    return y


def broyden_jacobian(x):
    n = x.size
    return sparse.diags([-np.ones(n - 1), 3 - 2 * x, -2 * np.ones(n - 1)], [-1, 0, 1], format="csr")


def problems():
    """Name, kind, function, derivative, point."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal(100)
    yield "Rosenbrock, N = 100", "gradient", optimize.rosen, optimize.rosen_der, x
    yield "Rosenbrock, N = 100", "Hessian", optimize.rosen_der, optimize.rosen_hess, x
    yield "Rosenbrock, N = 100", "HVP", optimize.rosen_der, optimize.rosen_hess_prod, x
    for n in (100, 1000):
        own = fitting.BroydenTridiagonal(n)
        yield f"Broyden tridiagonal (SciPy's), n = {n}", "Jacobian", own.fun, own.jac, own.x0
    own = fitting.BroydenTridiagonal(100, mode="operator")
    yield "… as a LinearOperator", "Jacobian", own.fun, own.jac, own.x0
    yield "Broyden tridiagonal, n = 100,000", "Jacobian", broyden, broyden_jacobian, rng.standard_normal(100_000)
    exponential = fitting.ExponentialFittingProblem(1, 0.1, 0.1, rng=0)
    yield "exponential fit", "Jacobian", exponential.fun, exponential.jac, np.array([0.3, 0.2])
    yield "Rosenbrock residuals", "Jacobian", fitting.fun_rosenbrock, fitting.jac_rosenbrock, np.array([-2.0, 1.0])
    for name in ("Maratos", "HyperbolicIneq", "Rosenbrock", "IneqRosenbrock", "EqIneqRosenbrock", "BoundedRosenbrock"):
        problem = getattr(constrained, name)()
        point = np.array(problem.x0, dtype=float) + 0.05
        yield f"{name} (constrained)", "gradient", problem.fun, problem.grad, point
        yield f"{name} (constrained)", "Hessian", problem.grad, problem.hess, point
    for electrons in (4, 50):
        elec = constrained.Elec(n_electrons=electrons)
        yield f"Elec, {electrons} electrons", "gradient", elec.fun, elec.grad, elec.x0
        yield f"Elec, {electrons} electrons", "Hessian", elec.grad, elec.hess, elec.x0
        constraint = elec.constr
        yield f"Elec, {electrons} electrons", "Jacobian", constraint.fun, constraint.jac, elec.x0


CHECKS = {"gradient": check_gradient, "Hessian": check_hessian, "HVP": check_hvp, "Jacobian": check_jacobian}


def run(kind, function, derivative, point, seed, **options):
    if kind == "gradient":
        return check_gradient(function, point, derivative, seed=seed, **options)
    return CHECKS[kind](function, derivative, point, seed=seed, **options)


def certified(console, *, quick):
    table = Table(title="SciPy's derivatives, certified")
    for heading in (
        "problem",
        "derivative",
        "verdicts",
        "bound",
        "calls",
        "ms",
        "dense FD calls",
        "dense FD off",
        "check_grad",
    ):
        table.add_column(heading, justify="left" if heading in {"problem", "derivative", "verdicts"} else "right")
    for name, kind, function, derivative, point in problems():
        seeds = 3 if quick or point.size > DENSE else SEEDS
        started = time.perf_counter()
        reports = [run(kind, function, derivative, point, seed, strategy="certificate") for seed in range(seeds)]
        took = (time.perf_counter() - started) / seeds
        verdicts = Counter(report.verdict.name for report in reports)
        bound = statistics.median(report.difference.upper for report in reports)
        calls = statistics.median(report.evaluations for report in reports)
        peers = peer(kind, function, derivative, point)
        shown = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        table.add_row(name, kind, shown, f"{bound:.1e}", f"{calls:g}", f"{1e3 * took:.0f}", *peers)
    console.print(table)


def peer(kind, function, derivative, point):
    """Return calls and relative difference of a dense finite-difference derivative, and check_grad's number."""
    calls = point.size + 1
    grad = f"{optimize.check_grad(function, derivative, point):.1e}" if kind == "gradient" else "–"
    if kind == "HVP" or point.size > DENSE:
        return f"{calls:,}", "–", grad
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        numerical = np.atleast_2d(approx_derivative(function, point, method="2-point"))
    claimed = derivative(point)
    if hasattr(claimed, "matvec") and not sparse.issparse(claimed):
        claimed = claimed @ np.eye(point.size)
    claimed = np.atleast_2d(claimed.toarray() if sparse.issparse(claimed) else claimed)
    off = np.linalg.norm(claimed - numerical) / (np.linalg.norm(claimed) + np.linalg.norm(numerical))
    return f"{calls:,}", f"{off:.1e}", grad


def mutants(console, *, quick):
    table = Table(title="one wrong entry of a sparse Jacobian (Broyden tridiagonal)")
    for heading in ("n", "mutant", "mutants", "WRONG", "named (row, column)", "median calls", "most calls", "median s"):
        table.add_column(heading, justify="right")
    rng = np.random.default_rng(9)
    for n in (1000, 100_000):
        for kind in ("entry off by 5 %", "entry off by 1e-4", "missing from the pattern", "not in the true pattern"):
            count = 3 if quick else MUTANTS if n <= DENSE else MUTANTS // 4
            caught = named = 0
            calls, seconds = [], []
            for seed in range(count):
                x = rng.standard_normal(n)
                J = broyden_jacobian(x)
                row = int(rng.integers(1, n - 1))
                column = row + int(rng.integers(-1, 2))
                if kind == "missing from the pattern":
                    J[row, column] = 0
                    J.eliminate_zeros()
                elif kind == "not in the true pattern":
                    column = int(rng.integers(n))
                    extra = sparse.csr_array(([0.1], ([row], [column])), shape=(n, n))
                    J = sparse.csr_array(J) + extra
                else:
                    J[row, column] *= 1.05 if "5 %" in kind else 1.0001
                started = time.perf_counter()
                report = check_jacobian(broyden, J, x, seed=seed)
                seconds.append(time.perf_counter() - started)
                calls.append(report.evaluations)
                caught += report.verdict is Verdict.WRONG
                named += any(entry.index == (row, column) for entry in report.coordinates)
            counts = (str(count), str(caught), str(named))
            table.add_row(
                f"{n:,}",
                kind,
                *counts,
                f"{statistics.median(calls):g}",
                str(max(calls)),
                f"{statistics.median(seconds):.2f}",
            )
    console.print(table)


def promise(console, *, quick):
    table = Table(title="the promise: D = 1.03 × tolerance, error of rank one, confidence 0.9")
    for heading in ("claim", "trials", "false CORRECT", "share", "allowed", "WRONG", "INCONCLUSIVE"):
        table.add_column(heading, justify="right")
    tolerance, n, m = 1e-4, 80, 90
    for claim in ("VJP", "JVP", "Jacobian"):
        verdicts = Counter()
        trials = TRIALS // 20 if quick else TRIALS
        for seed in range(trials):
            rng = np.random.default_rng([seed, 3])
            W, x = rng.standard_normal((m, n)) / 9, rng.standard_normal(n)
            J = np.cos(W @ x)[:, None] * W
            error = np.outer(rng.standard_normal(m), rng.standard_normal(n))
            A = J + error * (2 * 1.03 * tolerance * np.linalg.norm(J) / np.linalg.norm(error))
            options = {"tolerance": tolerance, "confidence": 0.9, "seed": seed, "strategy": "certificate", "budget": 26}
            verdicts[check_matrix(claim, W, A, x, options).verdict.name] += 1
        counts = (
            verdicts["CORRECT"],
            f"{verdicts['CORRECT'] / trials:.4f}",
            "0.1",
            verdicts["WRONG"],
            verdicts["INCONCLUSIVE"],
        )
        table.add_row(claim, f"{trials:,}", *map(str, counts))
    console.print(table)


def check_matrix(claim, W, A, x, options):
    """Check A as the derivative of sin(W x), by way of one of the verbs."""

    def function(p):
        return np.sin(W @ p)

    if claim == "VJP":
        return check_vjp(function, lambda _, u: A.T @ u, x, **options)
    if claim == "JVP":
        return check_jvp(function, lambda _, v: A @ v, x, **options)
    return check_jacobian(function, A, x, **options)


TABLES = {"certified": certified, "mutants": mutants, "promise": promise}


def main(arguments):
    if set(arguments) - {*TABLES, "--quick"}:
        sys.exit(__doc__)
    console = Console(width=150)
    console.print(
        f"NumPy {np.__version__}, SciPy {scipy.__version__}, Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()}"
    )
    for name in [argument for argument in arguments if argument in TABLES] or TABLES:
        TABLES[name](console, quick="--quick" in arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
