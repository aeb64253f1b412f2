"""After WRONG: where in the block the fault is, what causes it, and whether the remedy certifies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gradproof._diagnosis.evidence import Evidence, Probe
from gradproof._diagnosis.evidence import Finding as Suspicion
from gradproof._diagnosis.naming import diagnose
from gradproof._evaluation.engine import BudgetSpent
from gradproof._evidence.evidence import Finding, Pair
from gradproof._evidence.search import Location, Locator
from gradproof._examination.certification import certify_only
from gradproof._examination.study import Study
from gradproof._numerics.readings import Calibration
from gradproof._numerics.statistics import student_quantile, within
from gradproof._problem.claims import GradientClaim
from gradproof._words.directions import BlockDirection, Coordinate, GivenDirection, Slab
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Cause, Diagnosis, Step, Verdict
from gradproof._words.vectors import FloatArray

PROBES: Final = 6
"""Lines within a faulty block: for one coefficient and the precision of a float64 line, four more than needed."""
COORDINATE_ALPHA: Final = 1e-4
"""Probability that the noise of one coordinate exceeds the bar by which causes are told apart."""
TELLS: Final = 0.1
"""A line that finds the claim right somewhere is to know it to this part of what the whole is off by."""
RESERVE: Final = 0.25
"""Share of what is left of the budget that the search leaves to the diagnosis and the remedy."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was found out about a wrong gradient."""

    diagnoses: tuple[Diagnosis, ...]
    notes: tuple[str, ...]
    step: Step | None = None


def explain(study: Study) -> Explanation:
    """Locate the faults, name their causes and certify the remedies, as far as the budget goes."""
    notes: list[str] = []
    faulty = sorted({pair.block for pair in study.faulty})
    probes: dict[int, list[Probe]] = {}
    located: dict[int, list[tuple[Slab, ...]]] = {}
    calibrations: dict[int, Calibration | None] = {}
    total = study.engine.budget
    left = total - study.engine.evaluations
    study.engine.budget = total - math.ceil(RESERVE * left) if math.isfinite(left) else total
    try:
        for b in faulty:
            probes[b] = []
            gather_probes(study, b, probes[b], calibrations)
        for b in faulty:
            location = locate(study, b, calibrations)
            located[b] = location.parts
            if not location.complete:
                notes.append(
                    f"The budget ended the search in {study.problem.blocks[b].name}; what it had found so far is shown."
                )
    except BudgetSpent:
        notes.append("The budget ended the search for the causes; a larger budget= lets it go on.")
    study.engine.budget = total
    study.phase = "diagnosis"
    blocks = study.problem.blocks
    findings = name_causes(
        Evidence(
            names=tuple(block.name for block in blocks),
            shapes=tuple(block.shape for block in blocks),
            dtypes=tuple(
                max(block.dtype, study.problem.claimed_precision, key=UNIT_ROUNDOFF.__getitem__) for block in blocks
            ),
            claimed=study.claimed,
            point=study.problem.values,
            faulty=tuple(faulty),
            probes=probes,
            located=located,
            counts={},
            frames=study.problem.frames,
        ),
        notes,
    )
    study.phase = "remedy"
    findings = tuple(tested(study, finding, calibrations) for finding in findings)
    diagnoses = certify_remedies(study, findings, notes)
    return Explanation(tuple(diagnoses), tuple(notes))


def name_causes(evidence: Evidence, notes: list[str]) -> tuple[Suspicion, ...]:
    """Diagnose; say so where the numbers are at the edge of what a float can hold, so that squares of them are not."""
    try:
        return diagnose(evidence)
    except ArithmeticError:
        notes.append(
            "The cause could not be examined: the gradient's squares leave the range of floating-point numbers."
        )
        return ()


def gather_probes(study: Study, b: int, probes: list[Probe], calibrations: dict[int, Calibration | None]) -> None:
    """Measure the true gradient's derivatives along directions within a block, or take the coordinates that are known."""
    claimed = study.claimed[b]
    if study.exhaustive is not None and claimed.size:
        measured = study.exhaustive.blocks[b]
        # Where two values agreed with the claim, their truncation error was never measured: it is what they differ by.
        unseen = np.where(measured.judged, 0.0, 2 * np.abs(measured.discrepancy))
        _, degrees = study.pool.level(0.0)
        t = student_quantile(degrees, COORDINATE_ALPHA)
        bars = 3 * measured.truncation + t * measured.spread + 1e-14 * np.abs(claimed) + unseen
        for j in range(claimed.size):
            if math.isfinite(bars[j]) and j not in measured.kinks:
                value = float(claimed[j] + measured.discrepancy[j])
                probes.append(Probe(direction=Coordinate(b, j), value=value, bar=float(bars[j])))
    stream = study.next_streams()
    residuals, numericals = [], []
    for k in range(PROBES):
        direction = study.block_direction(b, stream + k)
        reading = study.measure(direction, calibrations, b)
        if not reading.lost:
            component = direction.component(b, study.problem.blocks[b].shape)
            assert component is not None  # noqa: S101  # the direction is within this block
            value = float(claimed @ component) + reading.value
            probes.append(Probe(direction=direction, value=value, bar=study.decision_bar(reading)))
            residuals.append(reading.value / direction.scale)
            numericals.append(value / direction.scale)
    if residuals and study.exhaustive is None:
        root = math.sqrt(len(residuals))
        pair = study.pairs[0][b]
        estimate, numerical = math.hypot(*residuals) / root, math.hypot(*numericals) / root
        # Sharper than the bounds of the lines that proved it wrong, and on both sides by the same lines.
        pair.find(Finding("probes", estimate=estimate, numerical=numerical))


def locate(study: Study, b: int, calibrations: dict[int, Calibration | None]) -> Location:
    """Find the part of a block that is wrong; from the coordinates where they are known, else by halving."""
    block = study.problem.blocks[b]
    if study.exhaustive is not None:
        wrong = np.flatnonzero(study.exhaustive.blocks[b].wrong)
        exercised = np.count_nonzero(~study.exhaustive.blocks[b].still)
        whole = wrong.size == 0 or wrong.size >= exercised
        return Location([] if whole else [(Slab(None, int(j), int(j) + 1),) for j in wrong])

    def measure(direction: BlockDirection) -> tuple[float, float]:
        reading = study.measure(direction, calibrations, b)
        if not math.isfinite(reading.value):
            return 0.0, math.inf
        return reading.value, study.decision_bar(reading)

    scale = study.block_direction(b, 0).scale
    locator = Locator(
        measure, b, block.shape, scale, seed=study.block_direction(b, 0).seed, stream=study.next_streams()
    )
    return locator.run(BudgetSpent)


def tested(study: Study, finding: Suspicion, calibrations: dict[int, Calibration | None]) -> Suspicion:
    """Ask one line among the entries where a cause says that the claim is right; what it refutes is not named."""
    if finding.trial is None:
        return finding
    b = next(k for k, block in enumerate(study.problem.blocks) if block.name == finding.diagnosis.block)
    direction = study.block_direction(b, study.next_streams())
    component = direction.component(b, study.problem.blocks[b].shape)
    assert component is not None  # noqa: S101  # the direction is within this block
    component *= finding.trial.right()
    others = [np.broadcast_to(0.0, block.size) for block in study.problem.blocks]
    try:
        reading = study.measure(
            GivenDirection(tuple(component if k == b else zero for k, zero in enumerate(others))), calibrations, b
        )
    except BudgetSpent:
        return finding
    bar = study.decision_bar(reading)
    if reading.lost or not math.isfinite(reading.value):
        return finding
    if not within(reading.value, bar):
        return Suspicion(finding.trial.otherwise, {})
    if within(bar, TELLS * study.pairs[0][b].estimate * direction.scale):
        return Suspicion(replace(finding.diagnosis, sentence=finding.trial.confirmed), {})
    return finding


def hedged(diagnosis: Diagnosis) -> Diagnosis:
    """Word a cause as what it is without a certified remedy: a pattern that what was measured agrees with."""
    if diagnosis.cause is Cause.UNKNOWN:
        return diagnosis
    sentence = diagnosis.sentence
    return replace(
        diagnosis, sentence=f"It looks like this, which is not certified: {sentence[0].lower()}{sentence[1:]}"
    )


def certify_remedies(study: Study, findings: Sequence[Suspicion], notes: list[str]) -> list[Diagnosis]:
    """Apply each remedy and certify it with fresh directions; what certifies comes first, and once for each block."""
    diagnoses: list[Diagnosis] = []
    mended: dict[int, FloatArray] = {}
    for finding in findings:
        diagnosis = finding.diagnosis
        if not finding.corrected or any(b in mended for b in finding.corrected):
            if not any(b in mended for b in finding.corrected):
                diagnoses.append(diagnosis)
            continue
        claims = {b: make() for b, make in finding.corrected.items()}
        try:
            verdict, upper = remedied(study, claims)
        except BudgetSpent:
            diagnoses.append(hedged(diagnosis))
            continue
        to = (
            upper
            if verdict is Verdict.CORRECT
            else by_coordinates(study, claims)
            if verdict is not Verdict.WRONG
            else None
        )
        if to is not None:
            diagnosis = replace(diagnosis, certified_remedy=diagnosis.remedy, certified_to=to)
            mended.update(claims)
            named = {study.problem.blocks[b].name for b in claims}
            diagnoses = [d for d in diagnoses if d.block not in named]
        else:
            diagnosis = replace(hedged(diagnosis), remedy="")
        diagnoses.append(diagnosis)
    if len(mended) > 1 and set(mended) == {pair.block for pair in study.faulty}:
        try:
            verdict, upper = remedied(study, mended)
        except BudgetSpent:
            return diagnoses
        if verdict is Verdict.CORRECT:
            notes.append(f"With all of these remedies together the gradient is certified to {upper:.1e}.")
    return diagnoses


def by_coordinates(study: Study, claims: dict[int, FloatArray]) -> float | None:
    """Certify other claims by the coordinates, where all were measured: at bounds, or among kinks, no line leads anywhere."""
    if study.exhaustive is None:
        return None
    bounds = [study.exhaustive.certified_instead(b, claimed) for b, claimed in claims.items()]
    return None if None in bounds else max(bound for bound in bounds if bound is not None)


def remedied(study: Study, claims: dict[int, FloatArray]) -> tuple[Verdict, float]:
    """Certify some blocks with other claims, with fresh directions; return the verdict and the bound on their D."""
    own = study.gradient
    blocks = tuple(claims.get(b, g) for b, g in enumerate(own.blocks))
    other = Study(
        study.engine,
        GradientClaim(blocks, own.weights, own.views[0].output),
        replace(study.settings, seed=study.settings.seed + 1),
    )
    other.stream = study.next_streams()
    other.reader.pools = study.reader.pools
    pairs: list[Pair] = [other.pairs[0][b] for b in claims]
    for pair in pairs:
        pair.tolerance = study.pairs[0][pair.block].tolerance
    certify_only(other, pairs)
    correct = all(pair.verdict is Verdict.CORRECT for pair in pairs)
    return Verdict.CORRECT if correct else Verdict.INCONCLUSIVE, max(pair.difference.upper for pair in pairs)
