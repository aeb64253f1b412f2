"""One check at one point: from the problem to the report, phase by phase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from gradproof._evaluation.engine import BudgetSpent, Engine, must_be_here, onwards
from gradproof._evaluation.supply import Means
from gradproof._examination.certification import ALONE, JOINTLY, certify, certify_zeros
from gradproof._examination.conclusion import claim_report, cost_report, non_finite_claim
from gradproof._examination.enumeration import measure_coordinates
from gradproof._examination.explanation import Explanation, explain
from gradproof._examination.steps import explain_steps
from gradproof._examination.study import Study
from gradproof._problem.answers import OneNumber
from gradproof._problem.claims import GradientClaim
from gradproof._problem.problem import Problem
from gradproof._problem.taps import TappedProblem, claimed_taps
from gradproof._words.events import Phase
from gradproof._words.results import Diagnosis, Reason, Report
from gradproof._words.settings import EXHAUSTIVE_EVALUATIONS, Settings
from gradproof._words.vectors import FloatArray

CERTIFICATE_EVALUATIONS: Final = 12
"""What a certificate takes where all goes well."""
LEFT_FOR_THE_REST: Final = 40
LEFT_FOR_KINKS: Final = 100
"""Cost calls that must be left beside two for each coordinate, for second looks."""


def examine(study: Study, why: Callable[[Study], Explanation] = explain) -> Explanation | None:
    """Go through the phases for a function with one output, as far as the budget goes; `why` explains what is wrong."""
    coordinates = study.settings.strategy == "coordinates"
    try:
        if not coordinates:
            study.phase = "lines"
            certify(study)
        else:
            certify_zeros(study, [pair for pair in study.every_pair if pair.zero], JOINTLY, ALONE)
        known = study.faulty and not study.settings.diagnose
        if (
            not known
            and not study.spent
            and not study.unexercised()
            and (every_coordinate(study) or stopped_and_affordable(study))
        ):
            study.phase = "coordinates"
            measure_coordinates(study)
        study.unexercised()
    except BudgetSpent:
        study.run_out()
    if not study.faulty or not study.settings.diagnose:
        return None
    study.phase = "search"
    return why(study)


def every_coordinate(study: Study) -> bool:
    """Say whether every coordinate is to be measured."""
    if study.settings.strategy == "coordinates":
        return True
    affordable = study.engine.budget - study.engine.evaluations - LEFT_FOR_THE_REST
    return study.settings.strategy == "auto" and 2 * study.problem.size <= min(EXHAUSTIVE_EVALUATIONS, affordable)


def stopped_and_affordable(study: Study) -> bool:
    """Kinks, and edges of the domain, are judged coordinate by coordinate, where there are few enough."""
    stopped = any(pair.reason in {Reason.KINK, Reason.DOMAIN} for pair in study.every_pair)
    affordable = study.engine.budget - study.engine.evaluations - LEFT_FOR_KINKS
    return study.settings.strategy == "auto" and stopped and 2 * study.problem.size <= affordable


class Examination:
    """Checks one claimed gradient.

    Parameters
    ----------
    problem, settings
        What was given.
    means
        What the cost is evaluated with; None for calls of it, here.
    place
        Which of several points it is.
    """

    def __init__(self, problem: Problem, settings: Settings, means: Means | None = None, place: int = 0) -> None:
        self.problem = problem
        self.settings = settings
        answers, source = OneNumber(problem), None
        if means is not None:
            given = {"function": problem.cost, "claim": problem.claimed}
            source = means.source(problem, answers, settings, verb="check_gradient", place=place, **given)
        self.engine = Engine(problem, answers, budget=settings.allowance, source=source)
        self.claimed: tuple[FloatArray, ...] = ()
        self.study: Study | None = None
        self.not_finite: list[Diagnosis] = []
        self.unsteady, self.unsteady_block = 0.0, ""

    def begin(self) -> None:
        """Take in the claim and evaluate the point: everything that can be wrong with the input is found here."""
        problem, engine, claimed = self.problem, self.engine, self.problem.claimed
        fixed = claimed is not True and not callable(claimed)
        if fixed and not problem.beyond(claimed):
            self.claimed = problem.claimed_values(claimed)
            self.not_finite = non_finite_claim(problem, self.claimed)
            if self.not_finite:
                return
        returned = engine.evaluate_point()
        given = claimed if fixed else returned if claimed is True else engine.evaluate_claim()
        taps = claimed_taps(problem, given, engine.met) if engine.met else ()
        if taps:
            must_be_here(engine)
            self.problem = TappedProblem(problem, given, taps)
        self.claimed = self.problem.claimed_values(given)
        if taps:
            self.engine = onwards(engine, self.problem)
            self.engine.evaluate_point()
        self.engine.source.claims(self.claimed)
        if callable(claimed):
            self.compare_claims(self.problem.claimed_values(engine.evaluate_claim()))
        self.not_finite = non_finite_claim(self.problem, self.claimed)
        if not self.not_finite:
            self.study = Study(self.engine, GradientClaim(self.claimed), self.settings)

    def compare_claims(self, again: Sequence[FloatArray]) -> None:
        """Note by how much two calls of the claimed gradient's function differ."""
        with np.errstate(all="ignore"):
            for block, one, two in zip(self.problem.blocks, self.claimed, again, strict=True):
                total = float(np.linalg.norm(one) + np.linalg.norm(two))
                change = float(np.linalg.norm(one - two)) / total if total > 0 else 0.0
                if change > self.unsteady:
                    self.unsteady, self.unsteady_block = change, block.name

    @property
    def phase(self) -> Phase:
        """Where it is."""
        return "noise" if self.study is None else self.study.phase

    def planned_evaluations(self) -> int:
        """Return how many calls of the cost a right gradient is expected to take."""
        if self.study is None:
            return 0
        certificate = 0 if self.settings.strategy == "coordinates" else CERTIFICATE_EVALUATIONS
        coordinates = 2 * self.problem.size + 8 if every_coordinate(self.study) else 0
        return int(min(certificate + coordinates, self.engine.budget))

    def run(self) -> Report:
        """Go through the phases; whatever the budget allows is in the report."""
        if self.study is None:
            return claim_report(self.engine, self.claimed, self.settings, self.not_finite)
        explanation = examine(self.study, explain_steps if isinstance(self.problem, TappedProblem) else explain)
        return cost_report(self.study, explanation, self.unsteady, self.unsteady_block)
