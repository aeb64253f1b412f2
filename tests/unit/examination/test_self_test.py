"""What a self-test says would have been caught is what a check of the mutated claim does catch; and it costs nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradproof import Report, Verdict, check_gradient
from gradproof._diagnosis.mutations import mutations
from gradproof._examination.self_test import STREAM
from gradproof.testing import gallery

SEED = 3
PROBLEMS = {problem.name: problem for problem in gallery()}
SAMPLE = ("three-layer ReLU network", "logistic regression", "layer normalisation", "exponential fitting")


def mutated_claims(problem):
    """Yield the claims that a self-test of this problem judges, in its order."""
    names = list(problem.gradient)
    blocks, point = [[problem.gradient[n] for n in names], [problem.point[n] for n in names]]
    for mutation in mutations(blocks, point, np.random.default_rng([SEED, STREAM])):
        yield mutation.name, {n: mutation.blocks.get(b, blocks[b]) for b, n in enumerate(names)}


def self_tested(problem, **options):
    return check_gradient(problem.cost, problem.point, problem.gradient, seed=SEED, self_test=True, **options)


def compared(problem, **options):
    """Return (mutation, said, verdict) for each mutation whose self-test is not what a real check finds."""
    said = self_tested(problem, **options).self_test
    different = []
    for result, (name, claim) in zip(said, mutated_claims(problem), strict=True):
        assert result.mutation == name
        verdict = check_gradient(problem.cost, problem.point, claim, seed=SEED, **options).verdict
        if result.caught != (verdict is not Verdict.CORRECT):
            different.append((name, result.caught, verdict.name))
    return different


# ------------------------------------------------------------------------------------------ what it says is true
@pytest.mark.parametrize("strategy", ["certificate", "auto"])
@pytest.mark.parametrize("name", SAMPLE)
def test_what_is_said_to_be_caught_is_caught(name, strategy):
    assert compared(PROBLEMS[name], strategy=strategy) == []


@pytest.mark.parametrize("strategy", ["certificate", "auto"])
def test_a_mutation_below_the_tolerance_is_not_said_to_be_caught(strategy):
    assert compared(PROBLEMS["logistic regression"], strategy=strategy, tolerance=1e-2) == []


def test_what_coordinates_alone_catch_is_said_too():
    assert compared(PROBLEMS["logistic regression"], strategy="coordinates", tolerance=1e-3) == []


def test_a_check_too_weak_for_a_mistake_says_so():
    report = self_tested(PROBLEMS["logistic regression"], strategy="certificate", tolerance=0.3)
    missed = {result.mutation: result for result in report.self_test if not result.caught}
    assert "one in ten thousand too small" in missed
    assert missed["one in ten thousand too small"].note == "below the tolerance"
    assert all(result.relative_difference <= 0.3 for result in missed.values())
    assert any(result.caught for result in report.self_test)


# ------------------------------------------------------------------------------------------ what it costs
@pytest.mark.parametrize("strategy", ["certificate", "auto", "coordinates"])
def test_a_self_test_takes_no_call_of_the_cost(strategy):
    problem = PROBLEMS["three-layer ReLU network"]
    calls = 0

    def cost(point):
        nonlocal calls
        calls += 1
        return problem.cost(point)

    plain = check_gradient(cost, problem.point, problem.gradient, strategy=strategy, seed=SEED)
    without, calls = calls, 0
    with_it = check_gradient(cost, problem.point, problem.gradient, strategy=strategy, seed=SEED, self_test=True)
    assert calls == without == with_it.evaluations
    assert plain.self_test == ()
    assert plain.blocks == with_it.blocks


def test_a_self_test_leaves_the_claim_as_it_was():
    problem = PROBLEMS["logistic regression"]
    before = {name: block.copy() for name, block in problem.gradient.items()}
    self_tested(problem)
    assert all(np.array_equal(problem.gradient[name], before[name]) for name in before)


# ------------------------------------------------------------------------------------------ its results
def test_the_results_name_mutations_blocks_and_sizes():
    problem = PROBLEMS["three-layer ReLU network"]
    report = self_tested(problem)
    assert len(report.self_test) >= 20
    for result in report.self_test:
        assert result.mutation
        assert set(result.block.split(", ")) <= set(problem.point)
    doubled = next(result for result in report.self_test if result.mutation == "doubled")
    assert doubled.relative_difference == pytest.approx(1 / 3)
    assert doubled.caught


def test_the_results_survive_json_and_are_printed():
    report = self_tested(PROBLEMS["logistic regression"])
    again = Report.from_json(report.to_json())
    assert again == report
    assert again.self_test == report.self_test
    assert "elf-test" in str(report)


def test_the_same_seed_tests_the_same_mutations():
    problem = PROBLEMS["exponential fitting"]
    assert self_tested(problem).self_test == self_tested(problem).self_test


@pytest.mark.parametrize("claim", ["doubled", "not finite"])
def test_a_wrong_claim_is_not_self_tested(claim):
    problem = PROBLEMS["logistic regression"]
    wrong = {name: block * (2.0 if claim == "doubled" else math.nan) for name, block in problem.gradient.items()}
    report = check_gradient(problem.cost, problem.point, wrong, seed=SEED, self_test=True)
    assert report.verdict is Verdict.WRONG
    assert report.self_test == ()
