"""What a check spends: calls of the function within the budget and all counted, and no more α than there is."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np
import pytest

from gradproof import Verdict, check_gradient, check_jacobian, check_jvp, check_vjp
from gradproof._evidence.evidence import Evidence
from gradproof._examination.study import Study
from gradproof._words.settings import SMALLEST_BUDGET

STRATEGIES = ("auto", "certificate", "coordinates")
BUDGETS = (12, 13, 14, 17, 20, 24, 31, 40, 60)
MIX = np.random.default_rng(1).standard_normal((5, 6))
POINT = {"a": np.random.default_rng(2).standard_normal(4), "b": np.random.default_rng(3).standard_normal(2)}


def flat(p):
    return np.concatenate([p["a"], p["b"]])


def split(v):
    return {"a": v[:4], "b": v[4:]}


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function, self.count = function, 0

    def __call__(self, point):
        self.count += 1
        return self.function(point)


def outputs(p):
    return np.sin(MIX @ flat(p))


def jacobian(p):
    return np.cos(MIX @ flat(p))[:, None] * MIX


def kinked(p):
    return np.abs(MIX @ flat(p)) + 0.1 * (MIX @ flat(p)) ** 2


def kinked_jacobian(p):
    v = MIX @ flat(p)
    return (np.sign(v) + 0.2 * v)[:, None] * MIX


def noisy(p):
    v = MIX @ flat(p)
    return np.sin(v) + 1e-9 * np.sin(1e9 * v)


FUNCTIONS = {"smooth": (outputs, jacobian), "kinked": (kinked, kinked_jacobian), "noisy": (noisy, jacobian)}


def checked(verb, name, factor, **options):
    """Check a claim times a factor; return the report and the function's own count."""
    function, derivative = FUNCTIONS[name]
    claim = factor * derivative(POINT)
    counted = Counted(function if verb != "gradient" else lambda p: float(np.sum(function(p))))
    if verb == "gradient":
        return check_gradient(counted, POINT, split(claim.sum(0)), **options), counted.count
    if verb == "vjp":
        return check_vjp(counted, lambda _, u: split(u @ claim), POINT, **options), counted.count
    if verb == "jvp":
        return check_jvp(counted, lambda _, v: claim @ flat(v), POINT, **options), counted.count
    return check_jacobian(lambda v: counted(split(v)), claim, flat(POINT), **options), counted.count


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("verb", ["gradient", "vjp", "jvp", "jacobian"])
def test_every_call_is_counted_none_is_beyond_the_budget_and_no_right_pair_is_wrong(verb, strategy, name):
    for budget in BUDGETS:
        if budget < SMALLEST_BUDGET:
            continue
        for factor in (1.0, 1.5):
            for seed in range(2):
                report, count = checked(verb, name, factor, strategy=strategy, budget=budget, seed=seed)
                assert report.evaluations == count <= budget
                if factor == 1.0:
                    assert not report.faulty
                else:
                    assert report.verdict is not Verdict.CORRECT


@pytest.fixture
def handed_out(monkeypatch):
    """Sum up, pair by pair, what the evidence of a check may spend on a false CORRECT; and on a false WRONG of any."""
    correct, wrong, kept, studies = defaultdict(float), defaultdict(float), [], []
    made, prepare = Evidence.__init__, Study.prepare

    def prepared(self):
        prepare(self)
        studies.append({id(pair) for pair in self.every_pair})

    def entered(self, pairs, *args, **kwargs):
        made(self, pairs, *args, **kwargs)
        kept.extend(pairs)  # so that an id belongs to one pair: those of a remedy are claims of their own
        for pair in pairs:
            correct[id(pair)] += self.correct
        if len(pairs) == 1 and id(pairs[0]) in studies[0]:  # of several nobody is named; a remedy is never WRONG
            wrong[id(pairs[0])] += self.wrong

    monkeypatch.setattr(Evidence, "__init__", entered)
    monkeypatch.setattr(Study, "prepare", prepared)
    return correct, wrong


ALPHA = 0.01


@pytest.mark.parametrize("faulty", [(), (0,), (0, 2, 4), tuple(range(9))])
@pytest.mark.parametrize("zeros", [(), (1, 5)])
def test_no_more_of_alpha_is_handed_out_than_there_is(handed_out, faulty, zeros):
    rng = np.random.default_rng(4)
    point = {f"w{k}": rng.standard_normal(3) for k in range(10)}
    gradient = {name: np.cos(values) for name, values in point.items()}
    for k in zeros:
        gradient[f"w{k}"] = np.zeros(3)
    for k in faulty:
        gradient[f"w{k}"] = (1.1 + 0.3 * k) * gradient[f"w{k}"]
    used = {f"w{k}" for k in range(10) if k not in zeros}
    report = check_gradient(
        lambda p: float(sum(np.sum(np.sin(p[name])) for name in sorted(used))),
        point,
        gradient,
        strategy="certificate",
        confidence=1 - ALPHA,
        seed=1,
    )
    assert set(report.faulty) == {f"w{k}" for k in faulty if k not in zeros}
    correct, wrong = handed_out
    assert len(correct) >= 10
    assert max(correct.values()) <= ALPHA * (1 + 1e-9)
    assert sum(wrong.values()) <= ALPHA * (1 + 1e-9)


@pytest.mark.parametrize("faulty", [(), (2,)])
def test_the_same_holds_of_many_outputs(handed_out, faulty):
    weights = np.random.default_rng(5).standard_normal((3, 8))
    point = {f"w{k}": np.random.default_rng(k).standard_normal(8) for k in range(4)}

    def function(p):
        return {f"y{o}": weights[o] * sum(np.sin((o + 1) * v) for v in p.values()) for o in range(3)}

    def product(p, u):
        return {
            name: sum(
                (1.5 if k in faulty and o == 1 else 1.0) * u[f"y{o}"] * weights[o] * (o + 1) * np.cos((o + 1) * values)
                for o in range(3)
            )
            for k, (name, values) in enumerate(p.items())
        }

    report = check_vjp(function, product, point, strategy="certificate", confidence=1 - ALPHA, seed=1)
    assert report.faulty == tuple(f"y1 × w{k}" for k in faulty)
    correct, wrong = handed_out
    assert max(correct.values()) <= ALPHA * (1 + 1e-9)
    assert sum(wrong.values()) <= ALPHA * (1 + 1e-9)


# -- diagnose=False ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [5, 9, 10])
def test_a_wrong_verdict_alone_takes_two_calls_a_number_and_twelve_at_most(size, seed):
    rng = np.random.default_rng(seed)
    A, x = rng.standard_normal((size, size)), rng.standard_normal(size)
    claimed = A.T @ np.cos(A @ x)
    wrong = [2 * claimed, -claimed, claimed + 1e-3 * rng.standard_normal(size)][seed % 3]
    cost = lambda x: float(np.sum(np.sin(A @ x)))
    report = check_gradient(cost, x, wrong, seed=seed, diagnose=False)
    assert report.verdict is Verdict.WRONG
    assert report.evaluations <= 2 * size + 12
    assert report.diagnoses == ()
    assert "diagnose=False" in report.notes[-1]
    right = check_gradient(cost, x, claimed, seed=seed, diagnose=False)
    asked = check_gradient(cost, x, claimed, seed=seed)
    assert right == dataclasses.replace(asked, seconds=right.seconds)


def test_maps_are_not_diagnosed_either_where_that_is_not_asked_for():
    A = np.arange(12.0).reshape(3, 4) + 1
    long, short = (
        check_jacobian(lambda x: np.sin(A @ x), 2 * np.cos(A @ np.ones(4))[:, None] * A, np.ones(4), seed=1, **o)
        for o in ({}, {"diagnose": False})
    )
    assert (long.verdict, short.verdict) == (Verdict.WRONG, Verdict.WRONG)
    assert short.evaluations < long.evaluations
    assert long.diagnoses
    assert short.diagnoses == ()
