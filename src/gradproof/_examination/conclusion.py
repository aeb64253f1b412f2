"""The last phase: from what is known to the causes on the function's side, and to the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from gradproof._evaluation.engine import Engine
from gradproof._evidence.evidence import Finding, Pair
from gradproof._examination.certification import pair_name
from gradproof._examination.explanation import Explanation
from gradproof._examination.study import Study
from gradproof._numerics.statistics import difference_from_above, difference_from_below, student_quantile
from gradproof._problem.problem import Problem, position
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
    Step,
    Verdict,
)
from gradproof._words.settings import DEFAULT_TOLERANCES, Settings
from gradproof._words.vectors import FloatArray

SHOWN: Final = 100
"""Coordinates that a report lists."""


# -- what holds of any function ------------------------------------------------------------------------------------------


def assemble(
    study: Study,
    *,
    diagnoses: Sequence[Diagnosis] = (),
    notes: Sequence[str] = (),
    coordinates: Sequence[CoordinateResult] = (),
    wrong: bool = False,
    verb: str = "",
    step: Step | None = None,
) -> Report:
    """Assemble the report of a study.

    Parameters
    ----------
    study
        After its phases.
    diagnoses, notes, coordinates
        Beside what is said here of the function itself.
    wrong
        Something other than a pair is wrong: a product that is not linear, a matrix that is not symmetric.
    verb
        Of a function with many outputs; "" for a cost.
    step
        Of a backward pass that is wrong.
    """
    verdict = Verdict.WRONG if wrong else study.verdict
    pairs = study.every_pair
    reasons = [pair.reason for pair in pairs if pair.reason is not None]
    difference = overall(pairs)
    certificate = certificate_of(study, difference)
    told = [*diagnoses, *(function_side(study, reasons) if verdict is Verdict.INCONCLUSIVE or not verb else ())]
    said = [*study.engine.answers.notes, *study.notes, *notes, *notes_on_lines(study, certificate, verdict, reasons)]
    if verdict is Verdict.WRONG and not study.settings.diagnose:
        said.append("Where the fault is, and why, was not asked for (diagnose=False).")
    largest = max(pairs, key=lambda pair: pair.tolerance)
    return Report(
        verdict=verdict,
        difference=difference,
        blocks=tuple(block_result(study, pair) for pair in pairs),
        tolerance=largest.tolerance,
        tolerance_reason=tolerance_reason(study, largest),
        confidence=study.settings.confidence,
        strategy=study.settings.strategy,
        seed=study.settings.seed,
        budget=study.settings.stated_budget,
        evaluations=study.engine.evaluations,
        cost=float(np.linalg.norm(study.base)) if verb else float(study.base[0]),
        noise=study.noise,
        coordinates=tuple(coordinates[:SHOWN]),
        diagnoses=tuple(told),
        certificate=certificate,
        reason=reasons[0] if verdict is Verdict.INCONCLUSIVE and reasons else None,
        notes=tuple(dict.fromkeys(said)),
        skipped=study.problem.skipped,
        verb=verb or "check_gradient",
        step=step,
    )


def overall(pairs: Sequence[Pair]) -> Difference:
    """Combine the pairs: bounds and estimates of residuals, and norms, add up in squares.

    Pairs that are zero on both sides take no part: of them nothing but that is known.
    """
    counted = [p for p in pairs if not (p.zero and p.verdict is Verdict.CORRECT)]
    if not counted:
        return Difference(estimate=0.0, lower=0.0, upper=0.0)
    if len(counted) == 1:
        return counted[0].difference
    claimed, low, high = (math.hypot(*(getattr(p, size) for p in counted)) for size in ("norm", "low", "high"))
    upper = difference_from_above(math.hypot(*(p.upper for p in counted)), low)
    lower = min(difference_from_below(math.hypot(*(p.lower for p in counted)), high), upper)
    known = [p for p in counted if math.isfinite(p.estimate)]
    if not known:
        return Difference(estimate=math.nan, lower=lower, upper=upper)
    residual = math.hypot(*(p.estimate for p in known))
    numerical = math.hypot(*(p.numerical for p in counted))
    total = claimed + numerical
    middle = residual / total if total > 0 else 0.0
    return Difference(estimate=min(max(middle, lower), upper), lower=lower, upper=upper)


def block_result(study: Study, pair: Pair) -> BlockResult:
    """Return a pair as a block of the report."""
    output, block = study.outputs[pair.output], study.problem.blocks[pair.block]
    verdict = pair.verdict
    idle = pair.not_exercised
    if study.exhaustive is None and verdict is Verdict.CORRECT:
        if study.claim.kind == "gradient":
            idle = int(np.count_nonzero(study.claimed[pair.block] == 0))
        elif pair.zero:
            idle = output.size * block.size
    return BlockResult(
        name=pair_name(study, pair),
        shape=(*output.shape, *block.shape),
        dtype=max(
            output.dtype if output.shape else block.dtype,
            block.dtype,
            study.problem.claimed_precision,
            key=lambda kind: UNIT_ROUNDOFF[kind],
        ),
        verdict=verdict,
        difference=pair.difference,
        resolution=pair.resolution,
        noise_floor=pair.noise_floor,
        tolerance=pair.tolerance,
        not_exercised=idle,
        wrong_coordinates=pair.wrong_entries,
        reason=pair.reason,
        zero=bool(pair.zero and verdict is Verdict.CORRECT),
    )


def certificate_of(study: Study, difference: Difference) -> Certificate | None:
    """Summarise the random lines."""
    used = [c for c in study.certifiers if c.count]
    if not used:
        return None
    return Certificate(
        lines=sum(c.count for c in used),
        remeasured=sum(c.remeasured for c in used),
        confidence=study.settings.confidence,
        upper=difference.upper,
        lower=difference.lower,
        noise=study.noise,
        evaluations=sum(c.evaluations for c in used),
    )


def tolerance_reason(study: Study, pair: Pair) -> str:
    """Say where the tolerance comes from."""
    if study.settings.tolerance is not None:
        return "as given"
    default = study.first_tolerance(pair.output, pair.block)
    if pair.tolerance > default:
        of = study.engine.answers.noun
        return f"raised from the default {default:g} to what the noise of the {of} ({study.noise:.1e}) can resolve"
    kinds = [
        study.output_precision(pair.output),
        study.outputs[pair.output].dtype,
        study.problem.blocks[pair.block].dtype,
        study.problem.claimed_precision,
    ]
    return f"the default for {max(kinds, key=lambda kind: UNIT_ROUNDOFF[kind])}"


def function_side(study: Study, reasons: Sequence[Reason]) -> list[Diagnosis]:
    """Name what the function does that stands in the way: randomness, noise, kinks."""
    noun, noise, found = study.engine.answers.noun, study.noise, list[Diagnosis]()
    if any(pool.repetition for pool in study.reader.pools):
        found.append(
            Diagnosis(
                cause=Cause.NON_DETERMINISTIC_COST,
                block="",
                coefficient=noise,
                sentence=f"Two calls of the {noun} at the same point differ (noise of about {noise:.1e}): it is random.",
                remedy=f"fix the seed inside the {noun}, or switch off dropout and other random layers",
            )
        )
    elif Reason.NOISE in reasons:
        surface = study.problem.adapter.name in {"torch", "jax"} and study.problem.precision != "float64"
        option = ' (reference="float64" does so)' if surface else ""
        found.append(
            Diagnosis(
                cause=Cause.NOISE,
                block="",
                coefficient=noise,
                sentence=f"The {noun} is known only to about {noise:.1e}: that hides errors of the size of the tolerance.",
                remedy=f"compute the {noun} in double precision{option}, tighten its solver's tolerance, or give a larger tolerance=",
            )
        )
    if Reason.KINK in reasons:
        no = "gradient" if noun == "cost" else "derivative"
        found.append(
            Diagnosis(
                cause=Cause.KINK,
                block="",
                sentence=f"The {noun} has a kink at this point: its slope jumps, so that no {no} is defined there.",
                remedy="check at a nearby point, for instance point + 0.01 * rng.standard_normal(shape)",
            )
        )
    return found


def notes_on_lines(
    study: Study, certificate: Certificate | None, verdict: Verdict, reasons: Sequence[Reason]
) -> list[str]:
    """Say what happened on the way."""
    notes = []
    if lost := study.engine.source.lost:
        of = f"{lost} call{'s' if lost > 1 else ''} of the {study.engine.answers.noun}"
        notes.append(f"{of} came to nothing, as workers died or hung: the verdict rests on the others.")
    if certificate is not None and certificate.remeasured:
        notes.append(
            f"{certificate.remeasured} of {certificate.lines} lines did not look smooth and were measured again at shorter steps along the same direction."
        )
    ranks = {c.rank for c in study.certifiers if c.rank and c.count}
    if ranks:
        notes.append(
            f"Matrices were displaced by products A Bᵀ/√ρ of normal matrices, ρ = {max(ranks)}; the bounds allow for their law."
        )
    blocks = [] if study.exhaustive is None else study.exhaustive.blocks
    one_sided = sum(int(np.count_nonzero(measured.side)) for measured in blocks)
    if one_sided:
        notes.append(
            f"{one_sided} of {study.problem.size} coordinates were measured on one side, where the cost can be evaluated."
        )
    if study.engine.last_error and verdict is not Verdict.WRONG and (not one_sided or Reason.DOMAIN in reasons):
        then = "no step was found that works" if Reason.DOMAIN in reasons else "shorter steps were used there"
        notes.append(
            f"The {study.engine.answers.noun} failed at a displaced point ({study.engine.last_error}); {then}."
        )
    zeros = [pair for pair in study.every_pair if pair.zero and pair.verdict is Verdict.CORRECT]
    if zeros and len(zeros) == len(study.every_pair):
        notes.append(
            f"Everything here is zero: over the parameters' own scale the {study.engine.answers.noun} changes by its rounding only. Nothing was exercised."
        )
    return notes


def nothing_report(settings: Settings, why: str, verb: str, evaluations: int = 0) -> Report:
    """Report on arrays of size 0: whatever is claimed of them is right, and nothing was exercised."""
    return Report(
        verdict=Verdict.CORRECT,
        difference=Difference(estimate=0.0, lower=0.0, upper=0.0),
        blocks=(),
        tolerance=settings.tolerance or DEFAULT_TOLERANCES["float64"],
        tolerance_reason="as given" if settings.tolerance else "the default",
        confidence=settings.confidence,
        strategy=settings.strategy,
        seed=settings.seed,
        budget=settings.stated_budget,
        evaluations=evaluations,
        cost=math.nan,
        noise=math.nan,
        notes=(f"Nothing was checked, for there is nothing. {why}.",),
        verb=verb,
    )


# -- a cost ------------------------------------------------------------------------------------------------------------


def cost_report(study: Study, explanation: Explanation | None, unsteady: float, unsteady_block: str) -> Report:
    """Report on a claimed gradient.

    Parameters
    ----------
    study, explanation
        What was found.
    unsteady, unsteady_block
        By how much two calls of the claimed gradient's function differ, relatively, and where.
    """
    diagnoses: list[Diagnosis] = list(explanation.diagnoses) if explanation is not None else []
    notes = list(explanation.notes) if explanation is not None else []
    wrong = False
    if unsteady > max(pair.tolerance for pair in study.every_pair):
        random_cost = bool(study.pool.repetition)
        diagnoses.append(
            Diagnosis(
                cause=Cause.NON_DETERMINISTIC_CLAIM,
                block=unsteady_block,
                sentence=f"Two calls of the claimed gradient's function at the same point differ by {unsteady:.1e} "
                f"(relative difference in {unsteady_block}).",
                remedy="fix the random seed inside the function, or reset what it accumulates between calls",
            )
        )
        # A claim that gives two answers is wrong at least once, unless the cost itself is random.
        for pair in study.every_pair:
            if study.problem.blocks[pair.block].name == unsteady_block and pair.verdict is Verdict.CORRECT:
                if random_cost:
                    pair.hold(Reason.CLAIM)
                else:
                    pair.find(Finding("two calls of the claim", wrong=True))
    elif unsteady > 0:
        notes.append(
            f"Two calls of the claimed gradient differ by {unsteady:.1e} (relatively, in {unsteady_block}): below the tolerance."
        )
    step = explanation.step if explanation is not None else None
    rows = coordinate_results(study)
    return assemble(study, diagnoses=diagnoses, notes=notes, coordinates=rows, wrong=wrong, step=step)


def coordinate_results(study: Study) -> tuple[CoordinateResult, ...]:
    """List the faulty coordinates worst first, then those judged at a kink."""
    if study.exhaustive is None:
        return ()
    rows = []
    _, degrees = study.pool.level(0.0)
    t = student_quantile(degrees, 2e-3)
    for b, (block, measured) in enumerate(zip(study.problem.blocks, study.exhaustive.blocks, strict=True)):
        for j in sorted({*np.flatnonzero(measured.wrong).tolist(), *measured.kinks}):
            claimed = float(study.claimed[b][j])
            numerical = claimed + float(measured.discrepancy[j])
            index = tuple(int(i) for i in np.unravel_index(j, block.shape)) if block.shape else ()
            result = CoordinateResult(
                block=block.name,
                index=index,
                claimed=claimed,
                numerical=numerical,
                error_bar=float(measured.truncation[j]) + t * float(measured.spread[j]),
                kink=measured.kinks.get(j),
            )
            size = abs(claimed) + abs(numerical)
            relative = abs(float(measured.discrepancy[j])) / size if size > 0 else 0.0
            rows.append((not measured.wrong[j], -relative * size, -relative, result))
    rows.sort(key=lambda row: row[:3])
    return tuple(row[3] for row in rows)


def non_finite_claim(problem: Problem, claimed: Sequence[FloatArray]) -> list[Diagnosis]:
    """Locate NaN and infinities in a claim: WRONG, and no evaluation is needed to say so."""
    found = []
    for block, gradient in zip(problem.blocks, claimed, strict=True):
        bad = np.flatnonzero(~np.isfinite(gradient))
        if bad.size:
            where = position(int(bad[0]), block.shape)
            more = f" and {bad.size - 1} more" if bad.size > 1 else ""
            found.append(
                Diagnosis(
                    cause=Cause.NON_FINITE,
                    block=block.name,
                    where=f"{where}{more}",
                    sentence=f"The claimed gradient of {block.name} is {gradient[bad[0]]} at {where}{more}.",
                    remedy=f"find the division, logarithm or overflow that makes {block.name}{where if block.shape else ''} not finite",
                )
            )
    return found


def claim_report(
    engine: Engine, claimed: Sequence[FloatArray], settings: Settings, diagnoses: Sequence[Diagnosis]
) -> Report:
    """Report a claimed gradient that is not finite: WRONG, and no displaced evaluation was spent on it."""
    named = {d.block for d in diagnoses}
    nothing = Difference(estimate=math.nan, lower=math.nan, upper=math.nan)
    blocks = tuple(
        BlockResult(
            name=block.name,
            shape=block.shape,
            dtype=block.dtype,
            verdict=Verdict.WRONG if block.name in named else Verdict.INCONCLUSIVE,
            difference=nothing,
            resolution=math.nan,
            tolerance=settings.tolerance or DEFAULT_TOLERANCES[block.dtype],
            wrong_coordinates=int(np.count_nonzero(~np.isfinite(gradient))),
            reason=None if block.name in named else Reason.CLAIM,
        )
        for block, gradient in zip(engine.problem.blocks, claimed, strict=True)
    )
    return Report(
        verdict=Verdict.WRONG,
        difference=nothing,
        blocks=blocks,
        tolerance=max(block.tolerance for block in blocks),
        tolerance_reason="as given" if settings.tolerance else "the default",
        confidence=settings.confidence,
        strategy=settings.strategy,
        seed=settings.seed,
        budget=settings.stated_budget,
        evaluations=engine.evaluations,
        cost=float(engine.base[0]) if engine.base.size else math.nan,
        noise=math.nan,
        diagnoses=tuple(diagnoses),
        skipped=engine.problem.skipped,
    )
