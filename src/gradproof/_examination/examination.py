"""One check at one point: from the problem to the report, phase by phase."""

from __future__ import annotations

from typing import Final

from gradproof._evaluation.engine import BudgetSpent
from gradproof._examination.certification import Certification
from gradproof._examination.conclusion import Conclusion
from gradproof._examination.enumeration import Enumeration
from gradproof._examination.explanation import explain
from gradproof._examination.study import Study
from gradproof._problem.problem import Problem
from gradproof._words.results import Reason, Report
from gradproof._words.settings import EXHAUSTIVE_EVALUATIONS, Settings

CERTIFICATE_EVALUATIONS: Final = 12
"""What a certificate takes where all goes well."""
LEFT_FOR_THE_REST: Final = 40
LEFT_FOR_KINKS: Final = 100
"""Cost calls that must be left beside two for each coordinate, for second looks."""


class Examination:
    """Checks one problem.

    Parameters
    ----------
    problem, settings
        What was given.
    """

    def __init__(self, problem: Problem, settings: Settings) -> None:
        self.study = Study(problem, settings)
        self.certification = Certification(self.study)
        self.conclusion = Conclusion(self.study)

    def begin(self) -> None:
        """Take in the claim and evaluate the point: everything that can be wrong with the input is found here."""
        self.study.begin()

    @property
    def exhaustive_wanted(self) -> bool:
        """Every coordinate is to be measured."""
        study = self.study
        if study.settings.strategy == "coordinates":
            return True
        affordable = study.budget - study.engine.evaluations - LEFT_FOR_THE_REST
        return study.settings.strategy == "auto" and 2 * study.problem.size <= min(EXHAUSTIVE_EVALUATIONS, affordable)

    def planned_evaluations(self) -> int:
        """Return how many calls of the cost a right gradient is expected to take."""
        study = self.study
        if study.non_finite:
            return 0
        certificate = 0 if study.settings.strategy == "coordinates" else CERTIFICATE_EVALUATIONS
        coordinates = 2 * study.problem.size + 8 if self.exhaustive_wanted else 0
        return min(certificate + coordinates, study.budget)

    def run(self) -> Report:
        """Go through the phases; whatever the budget allows is in the report."""
        study = self.study
        if study.non_finite:
            return self.conclusion.report_non_finite()
        try:
            if study.settings.strategy != "coordinates":
                study.phase = "lines"
                self.certification.certify()
            elif study.base_is_small:
                self.certification.reconsider()
            if self.exhaustive_wanted or self.stopped_and_affordable():
                study.phase = "coordinates"
                Enumeration(study, self.certification).measure_coordinates()
        except BudgetSpent:
            study.spent = True
        explanation = None
        if study.faulty:
            study.phase = "search"
            explanation = explain(study, self.certification.remedied)
        self.conclusion.settle()
        return self.conclusion.report(explanation)

    def stopped_and_affordable(self) -> bool:
        """Kinks, and edges of the domain, are judged coordinate by coordinate, where there are few enough."""
        study = self.study
        stopped = any(state.reason in {Reason.KINK, Reason.DOMAIN} for state in study.states)
        affordable = study.budget - study.engine.evaluations - LEFT_FOR_KINKS
        return study.settings.strategy == "auto" and stopped and 2 * study.problem.size <= affordable
