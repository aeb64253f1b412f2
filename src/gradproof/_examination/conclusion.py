"""The last phase: from what is known to the verdict, the causes on the cost's side and the report."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from gradproof._examination.explanation import Explanation
from gradproof._examination.study import Study
from gradproof._numerics.statistics import difference_from_above, difference_from_below, student_quantile
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

SHOWN_COORDINATES: Final = 100


class Conclusion:
    """Concludes.

    Parameters
    ----------
    study
        What is known so far; the phase adds to it.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def settle(self) -> None:
        """Give every block a verdict, and the causes on the cost's side a name."""
        for state in self.study.states:
            if state.verdict is None:
                state.verdict = Verdict.INCONCLUSIVE
                state.reason = state.reason or (Reason.BUDGET if self.study.spent else Reason.NOISE)
        tolerance = max((state.tolerance for state in self.study.states), default=0.0)
        if self.study.claim_unsteady > tolerance:
            self.settle_unsteady_claim()
        elif self.study.claim_unsteady > 0:
            self.study.notes.append(
                f"Two calls of the claimed gradient differ by {self.study.claim_unsteady:.1e} (relatively, in {self.study.unsteady_block}): below the tolerance."
            )
        self.explain_cost_side()

    def settle_unsteady_claim(self) -> None:
        """A claim that gives two answers is wrong at least once, unless the cost itself is random."""
        random_cost = bool(self.study.pool.repetition)
        sentence = (
            f"Two calls of the claimed gradient's function at the same point differ by {self.study.claim_unsteady:.1e} "
            f"(relative difference in {self.study.unsteady_block})."
        )
        self.study.diagnoses.insert(
            0,
            Diagnosis(
                cause=Cause.NON_DETERMINISTIC_CLAIM,
                block=self.study.unsteady_block,
                sentence=sentence,
                remedy="fix the random seed inside the function, or reset what it accumulates between calls",
            ),
        )
        for block, state in zip(self.study.problem.blocks, self.study.states, strict=True):
            if block.name == self.study.unsteady_block and state.verdict is Verdict.CORRECT:
                state.verdict = Verdict.INCONCLUSIVE if random_cost else Verdict.WRONG
                state.reason = Reason.CLAIM if random_cost else None

    def explain_cost_side(self) -> None:
        """Name what the cost does that stands in the way: randomness, noise, kinks."""
        undecided = [s for s in self.study.states if s.verdict is Verdict.INCONCLUSIVE]
        noise = self.study.noise
        if self.study.pool.repetition:
            self.study.diagnoses.append(
                Diagnosis(
                    cause=Cause.NON_DETERMINISTIC_COST,
                    block="",
                    coefficient=noise,
                    sentence=f"Two calls of the cost at the same point differ (noise of about {noise:.1e}): it is random.",
                    remedy="fix the seed inside the cost, or switch off dropout and other random layers",
                )
            )
        elif any(s.reason is Reason.NOISE for s in undecided):
            self.study.diagnoses.append(
                Diagnosis(
                    cause=Cause.NOISE,
                    block="",
                    coefficient=noise,
                    sentence=f"The cost is known only to about {noise:.1e}: that hides errors of the size of the tolerance.",
                    remedy="compute the cost in double precision, tighten its solver's tolerance, or give a larger tolerance=",
                )
            )
        if any(s.reason is Reason.KINK for s in undecided):
            self.study.diagnoses.append(
                Diagnosis(
                    cause=Cause.KINK,
                    block="",
                    sentence="The cost has a kink at this point: its slope jumps, so that no gradient is defined there.",
                    remedy="check at a nearby point, for instance point + 0.01 * rng.standard_normal(shape)",
                )
            )

    def overall_verdict(self) -> Verdict:
        verdicts = {state.verdict for state in self.study.states}
        if Verdict.WRONG in verdicts:
            return Verdict.WRONG
        return Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in verdicts else Verdict.CORRECT

    def overall_difference(self) -> Difference:
        """Combine the blocks: residuals and norms add up in squares."""
        claimed = math.hypot(*(s.norm for s in self.study.states))
        residual = [
            s.residual if math.isfinite(s.residual) else _residual(s.difference.estimate, s.norm)
            for s in self.study.states
        ]
        numerical = [
            s.numerical_norm
            if math.isfinite(s.numerical_norm)
            else max(s.norm - r, 0.0)
            if r > 0.5 * s.norm
            else s.norm
            for s, r in zip(self.study.states, residual, strict=True)
        ]
        total = claimed + math.hypot(*numerical)
        estimate = min(math.hypot(*residual) / total, 1.0) if total > 0 else 0.0
        if all(math.isnan(s.difference.estimate) for s in self.study.states):
            estimate = math.nan  # nothing could be measured
        uppers = [_residual(s.difference.upper, s.norm) for s in self.study.states]
        lowers = [_residual_below(s.difference.lower, s.norm) for s in self.study.states]
        upper = (
            difference_from_above(math.hypot(*uppers), claimed)
            if claimed > 0
            else max((s.difference.upper for s in self.study.states), default=0.0)
        )
        lower = (
            difference_from_below(math.hypot(*lowers), claimed)
            if claimed > 0
            else max((s.difference.lower for s in self.study.states), default=0.0)
        )
        if math.isnan(estimate):
            return Difference(estimate=estimate, lower=lower, upper=upper)
        return Difference(estimate=estimate, lower=min(lower, estimate), upper=max(upper, estimate))

    def tolerance_reason(self) -> str:
        """Say where the tolerance comes from."""
        if self.study.settings.tolerance is not None:
            return "as given"
        largest = max((s.tolerance for s in self.study.states), default=DEFAULT_TOLERANCES["float64"])
        precision = self.study.engine.precision
        default = max(
            [DEFAULT_TOLERANCES[precision], *(DEFAULT_TOLERANCES[b.dtype] for b in self.study.problem.blocks)]
        )
        if largest > default:
            noise = self.study.noise
            return f"raised from the default {default:g} to what the noise of the cost ({noise:.1e}) can resolve"
        lowest = max([precision, *(b.dtype for b in self.study.problem.blocks)], key=lambda kind: UNIT_ROUNDOFF[kind])
        return f"the default for {lowest}"

    def certificate(self) -> Certificate | None:
        """Summarise the random lines."""
        used = [c for c in self.study.certifiers if c.evidence.lines]
        if not used:
            return None
        difference = self.overall_difference()
        noise = self.study.noise
        return Certificate(
            lines=sum(len(c.evidence.lines) for c in used),
            remeasured=sum(c.remeasured for c in used),
            confidence=self.study.settings.confidence,
            upper=difference.upper,
            lower=difference.lower,
            noise=noise,
            evaluations=sum(e.evaluations for c in used for e in c.evidence.lines),
        )

    def report(self, explanation: Explanation | None) -> Report:
        """Assemble the report."""
        verdict = self.overall_verdict()
        noise = self.study.noise
        reasons = [s.reason for s in self.study.states if s.verdict is Verdict.INCONCLUSIVE and s.reason is not None]
        diagnoses = (
            tuple(self.study.diagnoses) if explanation is None else (*explanation.diagnoses, *self.study.diagnoses)
        )
        notes = (*self.study.notes, *(explanation.notes if explanation is not None else ()))
        certificate = self.certificate()
        if certificate is not None and certificate.remeasured:
            notes = (
                *notes,
                f"{certificate.remeasured} of {certificate.lines} lines were measured again at shorter steps along the same direction: at the first one a kink was crossed, or the cost bends more than along the other lines.",
            )
        one_sided = self.one_sided()
        if one_sided:
            notes = (
                *notes,
                f"{one_sided} of {self.study.problem.size} coordinates were measured on one side, where the cost can be evaluated.",
            )
        if (
            self.study.engine.last_error
            and verdict is not Verdict.WRONG
            and (not one_sided or Reason.DOMAIN in reasons)
        ):
            then = "no step was found that works" if Reason.DOMAIN in reasons else "shorter steps were used there"
            notes = (*notes, f"The cost failed at a displaced point ({self.study.engine.last_error}); {then}.")
        return Report(
            verdict=verdict,
            difference=self.overall_difference(),
            blocks=tuple(self.block_result(b) for b in range(len(self.study.states))),
            tolerance=max(s.tolerance for s in self.study.states),
            tolerance_reason=self.tolerance_reason(),
            confidence=self.study.settings.confidence,
            strategy=self.study.strategy,
            seed=self.study.settings.seed,
            budget=self.study.settings.stated_budget,
            evaluations=self.study.engine.evaluations,
            cost=self.study.base,
            noise=noise,
            coordinates=self.coordinate_results(),
            diagnoses=diagnoses,
            certificate=certificate,
            reason=reasons[0] if verdict is Verdict.INCONCLUSIVE and reasons else None,
            notes=notes,
            skipped=self.study.problem.skipped,
        )

    def one_sided(self) -> int:
        """Count the coordinates at a bound, or at the edge of where the cost can be evaluated."""
        blocks = [] if self.study.exhaustive is None else self.study.exhaustive.blocks
        return sum(int(np.count_nonzero(measured.side)) for measured in blocks)

    def block_result(self, b: int) -> BlockResult:
        block, state = self.study.problem.blocks[b], self.study.states[b]
        idle = state.not_exercised
        if self.study.exhaustive is None and state.verdict is Verdict.CORRECT:
            idle = int(np.count_nonzero(self.study.claimed[b] == 0))
        return BlockResult(
            name=block.name,
            shape=block.shape,
            dtype=block.dtype,
            verdict=state.verdict or Verdict.INCONCLUSIVE,
            difference=state.difference,
            resolution=state.resolution,
            tolerance=state.tolerance,
            not_exercised=idle,
            wrong_coordinates=state.wrong_coordinates,
            reason=state.reason,
        )

    def coordinate_results(self) -> tuple[CoordinateResult, ...]:
        """List the faulty coordinates worst first, then those judged at a kink."""
        if self.study.exhaustive is None:
            return ()
        rows = []
        for b, (block, measured) in enumerate(
            zip(self.study.problem.blocks, self.study.exhaustive.blocks, strict=True)
        ):
            for j in sorted({*np.flatnonzero(measured.wrong).tolist(), *measured.kinks}):
                claimed = float(self.study.claimed[b][j])
                numerical = claimed + float(measured.discrepancy[j])
                _, degrees = self.study.pool.level(0.0)
                bar = float(measured.truncation[j]) + student_quantile(degrees, 2e-3) * float(measured.spread[j])
                index = tuple(int(i) for i in np.unravel_index(j, block.shape)) if block.shape else ()
                result = CoordinateResult(
                    block=block.name,
                    index=index,
                    claimed=claimed,
                    numerical=numerical,
                    error_bar=bar,
                    kink=measured.kinks.get(j),
                )
                size = abs(claimed) + abs(numerical)
                relative = abs(float(measured.discrepancy[j])) / size if size > 0 else 0.0
                rows.append((not measured.wrong[j], -relative * size, -relative, result))
        rows.sort(key=lambda row: row[:3])
        return tuple(row[3] for row in rows[:SHOWN_COORDINATES])

    def report_non_finite(self) -> Report:
        """Report a claim that is not finite: WRONG, and no evaluation was spent on it."""
        named = {d.block for d in self.study.diagnoses}
        nothing = Difference(estimate=math.nan, lower=math.nan, upper=math.nan)
        blocks = tuple(
            BlockResult(
                name=block.name,
                shape=block.shape,
                dtype=block.dtype,
                verdict=Verdict.WRONG if block.name in named else Verdict.INCONCLUSIVE,
                difference=nothing,
                resolution=math.nan,
                tolerance=self.study.settings.tolerance or DEFAULT_TOLERANCES[block.dtype],
                wrong_coordinates=int(np.count_nonzero(~np.isfinite(gradient))),
                reason=None if block.name in named else Reason.CLAIM,
            )
            for block, gradient in zip(self.study.problem.blocks, self.study.claimed, strict=True)
        )
        return Report(
            verdict=Verdict.WRONG,
            difference=nothing,
            blocks=blocks,
            tolerance=max(block.tolerance for block in blocks),
            tolerance_reason="as given" if self.study.settings.tolerance else "the default",
            confidence=self.study.settings.confidence,
            strategy=self.study.strategy,
            seed=self.study.settings.seed,
            budget=self.study.settings.stated_budget,
            evaluations=self.study.engine.evaluations,
            cost=self.study.base,
            noise=math.nan,
            diagnoses=tuple(self.study.diagnoses),
            skipped=self.study.problem.skipped,
        )


def _residual(difference: float, norm: float) -> float:
    """Return the ‖r‖ that a bound on D allows: 2DG/(1 + D)."""
    return 2 * difference * norm / (1 + difference) if math.isfinite(difference) else 0.0


def _residual_below(difference: float, norm: float) -> float:
    """Return the ‖r‖ that a lower bound on D proves: 2DG/(1 − D)."""
    return 2 * difference * norm / (1 - difference) if difference < 1 else norm
