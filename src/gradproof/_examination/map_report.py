"""The report of a claim that is not finite: the others are assembled where those of costs are."""

from __future__ import annotations

import math

from gradproof._words.results import BlockResult, Cause, Diagnosis, Difference, Report, Verdict
from gradproof._words.settings import DEFAULT_TOLERANCES


def report_non_finite(
    verb: str,
    where: str,
    *,
    settings: tuple[float | None, float, str, int, int],
    evaluations: int,
    cost: float,
    name: str,
) -> Report:
    """Report a claim that is not finite: WRONG, with no displaced evaluation."""
    tolerance, confidence, strategy, seed, budget = settings
    nothing = Difference(estimate=math.nan, lower=math.nan, upper=math.nan)
    used = tolerance or DEFAULT_TOLERANCES["float64"]
    return Report(
        verdict=Verdict.WRONG,
        difference=nothing,
        blocks=(
            BlockResult(
                name=name,
                shape=(),
                dtype="float64",
                verdict=Verdict.WRONG,
                difference=nothing,
                resolution=math.nan,
                tolerance=used,
            ),
        ),
        tolerance=used,
        tolerance_reason="as given" if tolerance else "the default",
        confidence=confidence,
        strategy=strategy,
        seed=seed,
        budget=budget,
        evaluations=evaluations,
        cost=cost,
        noise=math.nan,
        diagnoses=(
            Diagnosis(
                cause=Cause.NON_FINITE,
                block=name,
                where=where,
                sentence=f"The claim is not finite: {where}.",
                remedy="find the division, logarithm or overflow that makes it so",
            ),
        ),
        verb=verb,
    )
