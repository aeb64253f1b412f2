"""Journals and workers for every verb: the report is the serial one, and what was known is not asked again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der, rosen_hess

import gradproof
from gradproof import JournalError
from gradproof._evaluation.journal import read_runs

POINT = {"a": np.array([0.3, -0.7, 1.1]), "b": np.array([[0.5, 0.2], [0.1, -0.4]])}
MIXED = np.random.default_rng([8, 18]).standard_normal((5, 3))


def make_function():
    """Return a function with outputs of two names, and a complex one: workers are sent it by value."""
    mixed = MIXED

    def function(p):
        import numpy as np

        return {"u": np.tanh(mixed @ p["a"]), "v": np.exp(1j * p["b"].sum()) * np.ones(2)}

    return function


def vjp(p, u):
    slope = 1 - np.tanh(MIXED @ p["a"]) ** 2
    turned = 1j * np.exp(1j * p["b"].sum())
    back = float(np.real(np.sum(np.conj(u["v"]) * turned)))
    return {"a": MIXED.T @ (slope * u["u"]), "b": np.full((2, 2), back)}


def jvp(p, v):
    slope = 1 - np.tanh(MIXED @ p["a"]) ** 2
    turned = 1j * np.exp(1j * p["b"].sum())
    return {"u": slope * (MIXED @ v["a"]), "v": turned * v["b"].sum() * np.ones(2)}


def make_cube():
    def cube(x):
        return x**3

    return cube


X = np.array([0.3, -0.7, 1.1, 0.4])
WRONG = np.diag(3 * X**2) + 0.1 * np.eye(4, k=1)
VERBS = [
    pytest.param(lambda **o: gradproof.check_vjp(make_function(), vjp, POINT, **o), id="vjp"),
    pytest.param(lambda **o: gradproof.check_jvp(make_function(), jvp, POINT, **o), id="jvp"),
    pytest.param(lambda **o: gradproof.check_jacobian(make_cube(), np.diag(3 * X**2), X, **o), id="jacobian"),
    pytest.param(lambda **o: gradproof.check_jacobian(make_cube(), WRONG, X, **o), id="wrong jacobian"),
    pytest.param(lambda **o: gradproof.check_hessian(make_cube(), np.diag(3 * X**2), X, **o), id="hessian"),
    pytest.param(lambda **o: gradproof.check_hvp(make_cube(), lambda x, v: 3 * x**2 * v, X, **o), id="hvp"),
    pytest.param(lambda **o: gradproof.check_scipy(rosen, X, rosen_der, **o), id="scipy"),
]


def timeless(report):
    return replace(report, seconds=0.0)


@pytest.mark.parametrize("check", VERBS)
@pytest.mark.parametrize("strategy", ["certificate", "coordinates"])
def test_threads_give_the_serial_report_and_a_journal_goes_on_with_theirs(check, strategy, tmp_path):
    options = {"seed": 5, "strategy": strategy}
    expected = timeless(check(**options))
    with ThreadPoolExecutor(4) as engine:
        assert timeless(check(engine=engine, journal=tmp_path / "run.sqlite", **options)) == expected
    assert timeless(check(journal=tmp_path / "run.sqlite", **options)) == expected
    (run,) = read_runs(tmp_path / "run.sqlite")
    assert run.verdict == expected.verdict.name
    assert run.evaluations >= expected.evaluations


@pytest.mark.parametrize("check", [VERBS[0], VERBS[3]])
def test_processes_give_the_serial_report(check):
    assert timeless(check(seed=5, workers=1)) == timeless(check(seed=5))


def test_a_journal_repeats_the_point_only(tmp_path):
    calls = []

    def function(x):
        calls.append(1)
        return x**3

    def check():
        return timeless(gradproof.check_jacobian(function, np.diag(3 * X**2), X, journal=tmp_path / "run.sqlite"))

    first = check()
    assert len(calls) == first.evaluations
    assert check() == first  # with the journal's own seed
    assert len(calls) == first.evaluations + 1


def test_a_claim_that_was_mended_uses_what_was_measured_of_the_function(tmp_path):
    calls = []

    def function(x):
        calls.append(1)
        return x**3

    options = {"seed": 5, "journal": tmp_path / "run.sqlite"}
    assert gradproof.check_jacobian(function, WRONG, X, **options).verdict.name == "WRONG"
    calls.clear()
    right = timeless(gradproof.check_jacobian(function, np.diag(3 * X**2), X, **options))
    assert len(calls) < right.evaluations  # some displacements are the same ones
    assert right == timeless(gradproof.check_jacobian(function, np.diag(3 * X**2), X, seed=5))
    assert read_runs(tmp_path / "run.sqlite")[0].verdict == "CORRECT"


def test_coordinates_at_bounds_are_the_serial_ones_and_what_is_outside_is_not_asked(tmp_path):
    x, asked = np.array([0.0, 0.7, 2.0, 0.4]), []

    def fun(x):
        asked.append((x.min(), x.max()))
        return rosen(x)

    options = {"bounds": [(0, 2)] * 4, "seed": 5}
    expected = timeless(gradproof.check_scipy(rosen, x, rosen_der, **options))
    with ThreadPoolExecutor(4) as engine:
        journal = tmp_path / "run.sqlite"
        assert timeless(gradproof.check_scipy(fun, x, rosen_der, engine=engine, journal=journal, **options)) == expected
    assert min(low for low, _ in asked) >= 0
    assert max(high for _, high in asked) <= 2


def test_both_checks_of_scipys_second_order_are_runs_of_one_journal(tmp_path):
    def check():
        return timeless(
            gradproof.check_scipy(rosen, X, rosen_der, hess=rosen_hess, seed=5, journal=tmp_path / "run.sqlite")
        )

    first = check()
    assert [run.verb for run in read_runs(tmp_path / "run.sqlite")] == ["check_gradient", "check_hessian"]
    assert check() == first


def test_another_point_is_another_check(tmp_path):
    gradproof.check_jacobian(make_cube(), np.diag(3 * X**2), X, seed=5, journal=tmp_path / "run.sqlite")
    with pytest.raises(JournalError, match="another point"):
        gradproof.check_hessian(make_cube(), np.diag(3 * X**2), 2 * X, seed=5, journal=tmp_path / "run.sqlite")
