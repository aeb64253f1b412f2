"""A claim whose truth is known, its check, and the row that the check makes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from gradproof import Report, Verdict

RIGHT: Final = "right"
WRONG: Final = "wrong"
MASKED: Final = "masked"
"""Wrong, but so little that a tolerance which the cost's noise has raised may cover it."""
OPEN: Final = "open"
"""No verdict is an error: the derivative is not defined, or the mistake hides under the cost's own rounding."""

HIGHEST_TOLERANCE: Final = 1e-2
"""How far noise may raise a tolerance that was not given, by the documentation."""
DEFAULT_TOLERANCE: Final = 1e-7
"""The tolerance of a float64 cost without noise, by the documentation."""
BUDGET: Final = 1000
"""Of the strategies that have one."""
RAISED: Final = "RAISED"


class Counted:
    """A function that counts its calls."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.calls = 0

    def __call__(self, point: Any) -> Any:
        self.calls += 1
        return self.function(point)


class Truth(NamedTuple):
    """What is known of a claim.

    ``difference`` is ‖claim − truth‖ / (‖claim‖ + ‖truth‖) of everything together, NaN where it is not known;
    ``exact`` to how much.
    """

    label: str
    difference: float
    exact: float = 1e-12


@dataclass(frozen=True)
class Case:
    """One claim, checked by one verb with one strategy and one seed.

    ``check`` takes strategy and seed, and returns the report and the calls of the function as counted outside.
    ``causes`` and ``blocks`` are what a diagnosis should say; None where that is not stated.
    """

    verb: str
    source: str
    problem: str
    claim: str
    strategy: str
    seed: int
    truth: Callable[[], Truth]
    check: Callable[[str, int], tuple[Report, int]]
    causes: frozenset[str] | None = None
    blocks: frozenset[str] | None = None

    @property
    def key(self) -> str:
        return " | ".join((self.verb, self.strategy, self.source, self.problem, self.claim, str(self.seed)))


class Row(NamedTuple):
    """What a check said of a case."""

    key: str
    truth: str
    difference: float
    exact: float
    verdict: str
    reason: str
    lower: float
    estimate: float
    upper: float
    tolerance: float
    evaluations: int
    counted: int
    blocks: list[str]
    causes: list[str]
    placed: bool | None
    named: bool | None

    @property
    def family(self) -> str:
        """Verb, source and strategy."""
        verb, strategy, source, *_ = self.key.split(" | ")
        return f"{verb}, {source}, {strategy}"

    @property
    def false_alarm(self) -> bool:
        return self.truth == RIGHT and self.verdict == "WRONG"

    @property
    def miss(self) -> bool:
        if self.verdict != "CORRECT":
            return False
        return self.truth == WRONG or (self.truth == MASKED and self.difference > self.tolerance)

    @property
    def decided_rightly(self) -> bool:
        return (self.truth == RIGHT and self.verdict == "CORRECT") or (self.truth == WRONG and self.verdict == "WRONG")

    @property
    def outside(self) -> bool:
        """Whether the truth lies outside of the stated bounds of the difference."""
        if self.truth == OPEN or math.isnan(self.difference) or math.isnan(self.lower) or math.isnan(self.upper):
            return False
        slack = self.exact + 0.01 * self.difference  # the bounds are kept to three digits
        return not self.lower - slack <= self.difference <= self.upper + slack

    @property
    def over_budget(self) -> bool:
        """Whether more calls were made than stated, or than allowed."""
        limited = " | coordinates | " not in self.key
        return self.verdict != RAISED and (
            self.counted != self.evaluations or (limited and max(self.counted, self.evaluations) > BUDGET)
        )


def digits(value: float) -> float:
    """Round to three significant digits."""
    return float(f"{value:.3g}")


def run(case: Case) -> Row:
    """Check one case."""
    truth = case.truth()
    known = (case.key, truth.label, digits(truth.difference), truth.exact)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            report, counted = case.check(case.strategy, case.seed)
        except Exception as error:  # whatever is raised, by a mistake too, is this build's answer
            nothing = (math.nan,) * 4
            return Row(*known, RAISED, type(error).__name__, *nothing, 0, 0, [], [], None, None)
    wrong = report.verdict is Verdict.WRONG
    blocks = sorted(report.faulty) if wrong else []
    causes = list(dict.fromkeys(diagnosis.cause.name for diagnosis in report.diagnoses)) if wrong else []
    bounds = (report.difference.lower, report.difference.estimate, report.difference.upper, report.tolerance)
    return Row(
        *known,
        report.verdict.name,
        report.reason.name if report.reason is not None else "",
        *map(digits, bounds),
        report.evaluations,
        counted,
        blocks,
        causes,
        set(blocks) == case.blocks if wrong and case.blocks is not None else None,
        bool(case.causes.intersection(causes)) if wrong and case.causes is not None else None,
    )


def relative_difference(one: Any, other: Any) -> float:
    """Return ‖one − other‖ / (‖one‖ + ‖other‖) of arrays or sequences of them; 0 of two zeros."""
    a, b = (np.concatenate([np.ravel(part) for part in parts]).astype(float) for parts in (one, other))
    sizes = float(np.linalg.norm(a) + np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / sizes if sizes else 0.0
