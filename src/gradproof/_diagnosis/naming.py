"""From the evidence to named causes: each faulty block by itself, then what blocks have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gradproof._diagnosis import causes, parts, residue
from gradproof._diagnosis.evidence import Evidence, Finding, Measurements
from gradproof._diagnosis.fitting import Fit, fits, joint_factor
from gradproof._diagnosis.telling import counts_in
from gradproof._words.results import Cause, Diagnosis
from gradproof._words.vectors import FloatArray

SIMPLE = (False, 20.0)
"""Rank of a telling value that is simple enough to be no accident of rounding."""
MOST_EXPLANATIONS = 3
"""Causes listed for one block where several explain the measurements equally well."""


def diagnose(evidence: Evidence) -> tuple[Finding, ...]:
    """Name the cause of each faulty block.

    Parameters
    ----------
    evidence
        The claim, the measurements and what a search located.

    Returns
    -------
    tuple of Finding
        For each faulty block the best explanation first, and others only where they fit as well. What several blocks
        share (one factor in all, two exchanged) is one finding. A block without a known pattern has a finding of cause
        UNKNOWN. Nothing is certified.
    """
    named = [
        _name_block(evidence, block)
        for block in evidence.faulty
        if np.all(np.isfinite(evidence.claimed[block]))  # else it was named where it was found
    ]
    common = _common_factor(evidence, named)
    findings = [common] if common is not None else _merge_swaps(evidence, named)
    return tuple(map(_capitalised, findings))


@dataclass(frozen=True, slots=True)
class _Named:
    """One block's measurements and findings, and the factor that fits it, for sure or not."""

    measurements: Measurements
    findings: list[Finding]
    factor: Fit | None = None


def _capitalised(finding: Finding) -> Finding:
    sentence = finding.diagnosis.sentence
    trial = finding.trial
    if trial is not None:
        other = replace(trial.otherwise, sentence=_upper(trial.otherwise.sentence))
        trial = replace(trial, confirmed=_upper(trial.confirmed), otherwise=other)
    return replace(finding, diagnosis=replace(finding.diagnosis, sentence=_upper(sentence)), trial=trial)


def _upper(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _name_block(evidence: Evidence, block: int) -> _Named:
    measurements = Measurements(evidence, block)
    finding = residue.zero(evidence, measurements)
    if finding is not None:
        return _Named(measurements, [finding])
    sure, unsure = fits(measurements, list(causes.hypotheses(evidence, block)), counts_in(evidence))
    factors = [fit for fit in (*sure, *unsure) if fit.hypothesis.cause is Cause.FACTOR and math.isfinite(fit.bar)]
    factor = factors[0] if factors else None
    if measurements.size == 1 and sure and sure[0].rank > SIMPLE:
        # Any factor explains one number, so its bits are looked at before an odd factor is named.
        finding = residue.low_precision(evidence, measurements)
    if finding is not None:
        return _Named(measurements, [finding], factor)
    if sure:
        return _Named(measurements, [fit.hypothesis.describe(fit) for fit in _simplest(sure)], factor)
    part = parts.wrong_part(evidence, measurements)
    if part is not None:
        # Rounding spares some entries: the rest is not "some entries" where all are stored in a lower precision.
        rounded = residue.low_precision(evidence, measurements)
        return _Named(measurements, [rounded or parts.part_finding(evidence, measurements, part)], factor)
    # What the residual's size suggests is said only where no other explanation is left, and there surely is a residual.
    for cause in _CLAIM_ITSELF[: 1 if unsure or not measurements.visible else None]:
        finding = cause(evidence, measurements)
        if finding is not None:
            return _Named(measurements, [finding])
    guess = unsure[0].hypothesis.describe(unsure[0]).diagnosis.sentence if unsure else ""
    return _Named(measurements, [residue.unknown(evidence, measurements, guess)], factor)


_CLAIM_ITSELF = (residue.low_precision, residue.not_summed, residue.left_out)


def _simplest(fitting: list[Fit]) -> list[Fit]:
    """Keep what fits equally well: telling coefficients only, where there is one; and nothing twice."""
    nothing = [fit for fit in fitting if fit.hypothesis.cause is Cause.FACTOR and fit.lower <= 0 <= fit.upper]
    if nothing:
        return nothing  # where the truth is zero, every other cause is a longer way to say so
    if any(fit.telling is not None for fit in fitting):
        fitting = [fit for fit in fitting if fit.telling is not None]
    kept: list[Fit] = []
    for fit in fitting:
        factor = any(other.hypothesis.cause is Cause.FACTOR for other in kept)
        # With a symmetric block any factor is also that factor and a transpose: the simpler one says it all.
        if not (factor and not fit.hypothesis.added):
            kept.append(fit)
    return kept[:MOST_EXPLANATIONS]


def _common_factor(evidence: Evidence, named: list[_Named]) -> Finding | None:
    """One factor in every block that is not zero: a sum against a mean, or a factor of the cost."""
    live = {block for block, claimed in enumerate(evidence.claimed) if claimed.any()}
    blocks = [(one.measurements, one.factor) for one in named if one.factor is not None]
    if len(live) < 2 or len(blocks) < len(named) or {one.measurements.block for one in named} != live:
        return None
    fit = joint_factor(blocks, counts_in(evidence))
    if fit is None:
        return None
    c = fit.coefficient
    sentence, remedy = causes.factor_words(fit, "every block's gradient", "gradient")
    if c != -1:
        sentence = f"{sentence[:-1]}: a sum where the cost takes a mean (or the reverse), or a factor of the cost."
    diagnosis = Diagnosis(
        cause=Cause.SIGN if c == -1 else Cause.COMMON_FACTOR,
        block="",
        coefficient=c,
        coefficient_bar=fit.bar,
        where="every block",
        sentence=sentence,
        remedy=remedy,
    )
    return Finding(diagnosis, {block: _divided(evidence, block, c) for block in sorted(live)})


def _divided(evidence: Evidence, block: int, c: float) -> Callable[[], FloatArray]:
    return lambda: evidence.claimed[block] / c


def _merge_swaps(evidence: Evidence, named: list[_Named]) -> list[Finding]:
    """Say "exchanged" once, where two blocks were each given the other's gradient."""
    found = {one.measurements.block: one.findings for one in named}
    merged: list[Finding] = []
    done: set[int] = set()
    for block, findings in found.items():
        if block in done:
            continue
        first = findings[0].diagnosis
        other = evidence.names.index(first.where) if first.cause is Cause.SWAPPED else -1
        back = found[other][0].diagnosis if other in found else None
        if back is None or back.cause is not Cause.SWAPPED or back.where != first.block or first.coefficient != 1:
            merged.extend(findings)
            continue
        done.add(other)
        one, two = evidence.names[block], evidence.names[other]
        diagnosis = Diagnosis(
            cause=Cause.SWAPPED,
            block=one,
            coefficient=1.0,
            coefficient_bar=first.coefficient_bar,
            where=two,
            sentence=f"the gradients of {one} and {two} are exchanged.",
            remedy=f"{one}, {two} = {two}, {one}",
        )
        merged.append(Finding(diagnosis, {**findings[0].corrected, **found[other][0].corrected}))
    return merged
