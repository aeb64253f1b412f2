"""Every wrong gradient of the gallery is WRONG with its blocks and its cause; every right one is CORRECT."""

from __future__ import annotations

import numpy as np
import pytest

from gradproof import Cause, Verdict, check_gradient
from gradproof.testing import gallery, mutants

PROBLEMS = gallery()
SMALL = [problem for problem in PROBLEMS if sum(block.size for block in problem.point.values()) <= 200]
SEED = 7


def named(report, mutant):
    """Say whether the first diagnosis of a mutated block, or of all of them, is the planted cause."""
    for diagnosis in report.diagnoses:
        if diagnosis.block in {*mutant.blocks, ""} or diagnosis.where in mutant.blocks:
            return diagnosis.cause is mutant.cause
    return False


def judged(problem, strategy):
    for mutant in mutants(problem.gradient, problem.point, seed=SEED):
        yield mutant, check_gradient(problem.cost, problem.point, mutant.gradient, strategy=strategy, seed=SEED)


def judge(problem, strategy):
    missed, misplaced, misnamed, total = [], [], [], 0
    for mutant, report in judged(problem, strategy):
        total += 1
        if report.verdict is not Verdict.WRONG:
            missed.append(mutant.name)
        elif set(report.faulty) != set(mutant.blocks):
            misplaced.append((mutant.name, report.faulty))
        elif not named(report, mutant):
            misnamed.append((mutant.name, [diagnosis.sentence for diagnosis in report.diagnoses]))
    assert missed == []
    assert misplaced == []
    assert len(misnamed) <= 0.05 * total, misnamed


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_every_mutant_is_wrong_placed_and_named(problem):
    judge(problem, "auto")


@pytest.mark.parametrize("problem", SMALL, ids=lambda problem: problem.name)
def test_every_mutant_of_a_small_problem_is_found_by_coordinates(problem):
    judge(problem, "coordinates")


@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_right_gradients_are_correct_and_have_no_diagnosis(problem, strategy):
    if strategy == "coordinates" and problem not in SMALL:
        pytest.skip("takes seconds and shows no more than the small ones do")
    report = check_gradient(problem.cost, problem.point, problem.gradient, strategy=strategy, seed=SEED)
    assert report.verdict is Verdict.CORRECT
    assert report.diagnoses == ()


def test_a_tiny_wrong_entry_is_caught_in_a_block_of_thousands():
    problem = next(problem for problem in PROBLEMS if "4876" in problem.name)
    wrong = {name: block.copy() for name, block in problem.gradient.items()}
    wrong["W0"][17, 23] += 1e-4 * np.linalg.norm(wrong["W0"])
    report = check_gradient(problem.cost, problem.point, wrong, seed=SEED)
    assert report.faulty == ("W0",)
    assert report.diagnoses[0].cause is Cause.COORDINATES
    assert "[17, 23]" in report.diagnoses[0].where
