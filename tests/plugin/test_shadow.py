"""`pytest --gradproof-shadow`: the peers' outcomes stay theirs, and gradproof's stand beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from fnmatch import fnmatchcase

import pytest

from gradproof.compat._shadow import PEERS, Shadow, kind_of, summary

TESTS = """
import numpy as np
import pytest
from scipy.optimize import check_grad, rosen, rosen_der

X = [1.3, 0.7, 0.8]


def test_right():
    assert check_grad(rosen, rosen_der, X) < 1e-4


def test_wrong_within_the_tolerance():
    assert check_grad(rosen, lambda x: rosen_der(x) * 1.00001, X) < 1e-1


def test_the_suites_random_numbers_are_its_own():
    np.random.seed(0)
    first = np.random.rand()
    np.random.seed(0)
    check_grad(rosen, rosen_der, X)
    assert np.random.rand() == first


def test_failing():
    check_grad(rosen, rosen_der, X)
    raise AssertionError("of the suite")


def test_an_error_stays_an_error():
    with pytest.raises(ZeroDivisionError):
        check_grad(lambda x: 1 / 0, rosen_der, X)


def test_without_a_checker():
    pass
"""
AUTOGRAD = """
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.extend import defvjp, primitive
from autograd.test_util import check_grads, combo_check


@primitive
def slightly_wrong(x):
    return np.sin(x)


defvjp(slightly_wrong, lambda ans, x: lambda g: g * np.cos(x) * (1 + 5e-7))


@primitive
def twice_wrong(x):
    return np.sin(x)


defvjp(twice_wrong, lambda ans, x: lambda g: g * 2 * np.cos(x))


def test_right():
    check_grads(anp.sin)(np.array([0.3, -0.4]))


def test_combinations():
    combo_check(anp.sum, modes=["rev"], order=1)([np.ones(2), np.ones(3)], axis=[None, 0])


def test_wrong():
    check_grads(slightly_wrong, modes=["rev"], order=1)(np.array([0.3, 0.4]))


def test_wrong_for_both():
    with pytest.raises(AssertionError):
        check_grads(twice_wrong, modes=["rev"], order=1)(np.array([0.3, 0.4]))


def test_without_a_rule():
    with pytest.raises(NotImplementedError):
        check_grads(slightly_wrong, modes=["fwd"], order=1)(np.array([0.3, 0.4]))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run pytest in a process of its own: what is replaced there is not replaced here."""
    for name in ("PYTEST_ADDOPTS", "CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)

    def run(tests, *options):
        (tmp_path / "test_suite.py").write_text(tests)
        given = ["-q", "-p", "no:cacheprovider", "-W", "error", "--gradproof-report", "r.json", *options]
        command = [sys.executable, "-m", "pytest", *given]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stdout, json.loads((tmp_path / "r.json").read_text())

    return run


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_suite_keeps_its_outcome_and_gains_a_summary(run, workers):
    printed, written = run(TESTS, "--gradproof-shadow", *workers)
    assert "1 failed, 5 passed" in printed
    calls = {call["test"].partition("::")[2]: call for call in written["shadow"]}
    assert written["checks"] == []
    assert {name: (call["gradproof"], kind_of(call)) for name, call in calls.items()} == {
        "test_right": ("CORRECT", "given a number, and CORRECT for gradproof"),
        "test_wrong_within_the_tolerance": ("WRONG", "given a number, and WRONG for gradproof"),
        "test_the_suites_random_numbers_are_its_own": ("CORRECT", "given a number, and CORRECT for gradproof"),
        "test_failing": ("CORRECT", "given a number, and CORRECT for gradproof"),
        "test_an_error_stays_an_error": ("cannot take", "that neither can take"),
    }
    wrong = calls["test_wrong_within_the_tolerance"]
    assert wrong["line"].startswith("test_suite.py:")
    assert "1.00001 × the true one" in wrong["why"]
    assert wrong["peer_seconds"] > 0
    lines = printed.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("gradproof shadow"))
    wanted = [
        "gradproof shadow: 5 calls of other checkers: 3 given a number, and CORRECT*, 1 given a number, and WRONG*",
        "gradproof shadow: * s of theirs, * s of gradproof",
        "given a number, and WRONG for gradproof:",
        "  *::test_wrong_within_the_tolerance (scipy.optimize.check_grad at test_suite.py:*, which returns *)",
        "    WRONG: The gradient is 1.00001 × the true one.",
    ]
    assert [fnmatchcase(line, want) for line, want in zip(lines[start:], wanted, strict=False)] == [True] * 5


def test_without_the_option_nothing_is_replaced(run):
    printed, written = run(TESTS)
    assert "1 failed, 5 passed" in printed
    assert "shadow" not in written
    assert "shadow" not in printed


def test_checkers_that_return_functions_are_shadowed_where_these_are_called(run):
    pytest.importorskip("autograd")
    printed, written = run(AUTOGRAD, "--gradproof-shadow")
    assert "5 passed" in printed
    found = [(call["test"].partition("::")[2], call["peer"], call["gradproof"]) for call in written["shadow"]]
    assert found == [
        ("test_right", "accepts", "CORRECT"),
        *[("test_combinations", "accepts", "CORRECT")] * 4,
        ("test_wrong", "accepts", "WRONG"),
        ("test_wrong_for_both", "rejects", "WRONG"),
        ("test_without_a_rule", "raises NotImplementedError", "cannot take"),
    ]


def test_a_suite_without_other_checkers_says_so(run):
    printed, written = run("def test_nothing():\n    pass\n", "--gradproof-shadow")
    assert written["shadow"] == []
    assert "gradproof shadow: no call of another checker" in printed


def test_everything_is_put_back():
    import scipy.optimize
    from scipy.optimize import _optimize

    before = scipy.optimize.check_grad
    shadow = Shadow(lambda: "here")
    shadow.install()
    try:
        assert scipy.optimize.check_grad is _optimize.check_grad
        assert scipy.optimize.check_grad is not before
        from scipy.optimize import rosen, rosen_der

        assert scipy.optimize.check_grad(rosen, rosen_der, [1.0, 2.0]) == before(rosen, rosen_der, [1.0, 2.0])
    finally:
        shadow.remove()
    assert scipy.optimize.check_grad is before
    assert _optimize.check_grad is before
    assert [(call.test, call.gradproof) for call in shadow.calls] == [("here", "CORRECT")]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.shown)
def test_every_peer_is_where_it_is_looked_for(peer):
    import importlib

    pytest.importorskip(peer.module.partition(".")[0])
    assert callable(getattr(importlib.import_module(peer.module), peer.name))
    assert callable(getattr(importlib.import_module(peer.ask[0]), peer.ask[1]))


@pytest.mark.parametrize(
    ("peer", "own", "kind"),
    [
        ("accepts", "CORRECT", "accepted by both"),
        ("accepts", "WRONG", "accepted, and WRONG for gradproof"),
        ("rejects", "WRONG", "rejected by both"),
        ("raises ValueError", "WRONG", "rejected by both"),
        ("rejects", "CORRECT", "rejected, and CORRECT for gradproof"),
        ("accepts", "INCONCLUSIVE", "undecided for gradproof"),
        ("accepts", "cannot take", "that gradproof cannot take"),
        ("raises ValueError", "cannot take", "that neither can take"),
        ("1.0e-08", "CORRECT", "given a number, and CORRECT for gradproof"),
        ("1.0e-08", "WRONG", "given a number, and WRONG for gradproof"),
    ],
)
def test_outcomes_are_put_side_by_side(peer, own, kind):
    call = {"test": "t", "line": "l:1", "checker": "c", "peer": peer, "gradproof": own, "why": "because"}
    assert kind_of(call) == kind
    many = [{**call, "peer_seconds": 0.5, "seconds": 0.25}] * 23
    lines = summary(many)
    assert lines[0] == f"gradproof shadow: 23 calls of other checkers: 23 {kind}"
    assert lines[1] == "gradproof shadow: 11.5 s of theirs, 5.8 s of gradproof"
    assert lines[2:] == [] or lines[-1] == "  … and 3 more"


CHEX = """
import chex
import jax
import jax.numpy as jnp


def test_through_chex():
    chex.assert_numerical_grads(jnp.sin, (jnp.array([0.3, 0.9]),), order=1, modes=["rev"])
"""


def test_what_calls_a_checker_is_shadowed_with_it(run):
    pytest.importorskip("chex")
    printed, written = run(CHEX, "--gradproof-shadow", "-W", "ignore")
    assert "1 passed" in printed
    assert [(call["checker"], call["gradproof"]) for call in written["shadow"]] == [
        ("jax.test_util.check_grads", "CORRECT")
    ]
    assert written["shadow"][0]["line"].startswith("test_suite.py:")
