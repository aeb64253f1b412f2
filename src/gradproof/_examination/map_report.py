"""The report of a check of a function with many outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gradproof._evidence.matrix_evidence import Pair
from gradproof._examination.map_examination import MapExamination
from gradproof._numerics.statistics import difference_from_above, difference_from_below
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import (
    BlockResult,
    Cause,
    Certificate,
    CoordinateResult,
    Diagnosis,
    Difference,
    Reason,
    Report,
    Verdict,
)
from gradproof._words.settings import DEFAULT_TOLERANCES

SHOWN_ENTRIES = 100


def map_report(
    examination: MapExamination,
    *,
    verb: str,
    strategy: str,
    entries: Sequence[CoordinateResult],
    diagnoses: Sequence[Diagnosis],
    notes: Sequence[str],
    wrong: bool,
) -> Report:
    """Assemble the report; `wrong` says that something other than a pair is wrong."""
    pairs = [pair for row in examination.pairs for pair in row]
    verdicts = {pair.verdict for pair in pairs}
    verdict = Verdict.CORRECT
    if wrong or Verdict.WRONG in verdicts:
        verdict = Verdict.WRONG
    elif Verdict.INCONCLUSIVE in verdicts:
        verdict = Verdict.INCONCLUSIVE
    reasons = [pair.reason for pair in pairs if pair.verdict is Verdict.INCONCLUSIVE and pair.reason is not None]
    difference = overall(pairs)
    noise = math.hypot(*(n.level(0.0)[0] for n in examination.reader.noise)) if examination.lines else 0.0
    settings, engine = examination.settings, examination.engine
    diagnoses = list(diagnoses)
    if verdict is Verdict.INCONCLUSIVE and Reason.KINK in reasons:
        diagnoses.append(
            Diagnosis(
                cause=Cause.KINK,
                block="",
                sentence="The function has a kink at this point: its slope jumps, so that no derivative is defined there.",
                remedy="check at a nearby point, for instance point + 0.01 * rng.standard_normal(shape)",
            )
        )
    if verdict is Verdict.INCONCLUSIVE and Reason.NOISE in reasons:
        diagnoses.append(
            Diagnosis(
                cause=Cause.NOISE,
                block="",
                coefficient=noise,
                sentence=f"The function is known only to about {noise:.1e}: that hides errors of the size of the tolerance.",
                remedy="compute the function in double precision, tighten its solver's tolerance, or give a larger tolerance=",
            )
        )
    notes = list(notes)
    if engine.last_error and verdict is not Verdict.WRONG:
        notes.append(f"The function failed at a displaced point ({engine.last_error}); shorter steps were used there.")
    if examination.reader.remeasured and verdict is not Verdict.WRONG:
        notes.append(
            f"{examination.reader.remeasured} of {examination.lines} lines were measured again at shorter steps along the same direction."
        )
    certificate = None
    if examination.lines:
        certificate = Certificate(
            lines=examination.lines,
            remeasured=examination.reader.remeasured,
            confidence=settings.confidence,
            upper=difference.upper,
            lower=difference.lower,
            noise=noise,
            evaluations=engine.evaluations,
        )
    return Report(
        verdict=verdict,
        difference=difference,
        blocks=tuple(block_result(examination, pair) for pair in pairs),
        tolerance=max(pair.tolerance for pair in pairs),
        tolerance_reason=tolerance_reason(examination, pairs, noise),
        confidence=settings.confidence,
        strategy=strategy,
        seed=settings.seed,
        budget=settings.stated_budget,
        evaluations=engine.evaluations,
        cost=float(np.linalg.norm(engine.base)),
        noise=noise,
        coordinates=tuple(sorted(entries, key=lambda e: -abs(e.claimed - e.numerical))[:SHOWN_ENTRIES]),
        diagnoses=tuple(diagnoses),
        certificate=certificate,
        reason=reasons[0] if verdict is Verdict.INCONCLUSIVE and reasons else None,
        notes=tuple(dict.fromkeys(notes)),
        skipped=examination.problem.skipped,
        verb=verb,
    )


def block_result(examination: MapExamination, pair: Pair) -> BlockResult:
    """Return a pair as a block named "output × parameter"."""
    output, block = examination.outputs.blocks[pair.output], examination.problem.blocks[pair.block]
    return BlockResult(
        name=f"{output.name} × {block.name}",
        shape=(*output.shape, *block.shape),
        dtype=max(output.dtype, block.dtype, key=lambda kind: UNIT_ROUNDOFF[kind]),
        verdict=pair.verdict or Verdict.INCONCLUSIVE,
        difference=pair.difference,
        resolution=pair.resolution,
        tolerance=pair.tolerance,
        not_exercised=output.size * block.size if pair.zero and pair.verdict is Verdict.CORRECT else 0,
        wrong_coordinates=pair.wrong_entries,
        reason=pair.reason,
    )


def overall(pairs: Sequence[Pair]) -> Difference:
    """Combine the pairs: residuals and norms add up in squares."""
    norm = math.hypot(*(pair.norm for pair in pairs))
    if norm == 0:
        return Difference(
            estimate=max(pair.difference.estimate for pair in pairs),
            lower=max(pair.difference.lower for pair in pairs),
            upper=max(pair.difference.upper for pair in pairs),
        )
    counted = [pair for pair in pairs if not pair.zero]
    residuals = [_residual(p.difference.estimate, p.norm) for p in counted]
    most = math.hypot(*(_residual(p.difference.upper, p.norm) for p in counted))
    least = math.hypot(*(_least(p.difference.lower, p.norm) for p in counted))
    estimate = difference_from_above(math.hypot(*residuals), norm)  # the inverse of what `_residual` does
    upper = difference_from_above(most, norm)
    return Difference(
        estimate=estimate, lower=min(difference_from_below(least, norm), estimate), upper=max(upper, estimate)
    )


def _residual(difference: float, norm: float) -> float:
    return 2 * difference * norm / (1 + difference) if math.isfinite(difference) else 0.0


def _least(difference: float, norm: float) -> float:
    return 2 * difference * norm / (1 - difference) if difference < 1 else norm


def tolerance_reason(examination: MapExamination, pairs: Sequence[Pair], noise: float) -> str:
    """Say where the tolerance comes from."""
    if examination.settings.tolerance is not None:
        return "as given"
    default = DEFAULT_TOLERANCES[examination.precision]
    if max(pair.tolerance for pair in pairs) > default:
        return f"raised from the default {default:g} to what the noise of the function ({noise:.1e}) can resolve"
    return f"the default for {examination.precision}"


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
