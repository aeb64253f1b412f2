"""After WRONG: where in the block, what is the cause, and does the remedy certify?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from gradproof._coordinates import Exhaustive
from gradproof._diagnosis import Evidence, Finding, Probe, diagnose
from gradproof._differences import Calibration
from gradproof._directions import BlockDirection, Coordinate, Direction, FloatArray, Slab
from gradproof._engine import BudgetSpent, Engine
from gradproof._events import Phase
from gradproof._problem import Problem
from gradproof._results import Cause, Diagnosis, Estimate, Verdict
from gradproof._search import Location, Locator

PROBES: Final = 6
"""Lines within a faulty block: for one coefficient and the precision of a float64 line, four more than needed."""
RESERVE: Final = 0.25
"""Share of what is left of the budget that the search leaves to the diagnosis and the remedy."""


class Laboratory(Protocol):
    """What an explanation needs of the examination that asks for it."""

    problem: Problem
    engine: Engine
    claimed: tuple[FloatArray, ...]
    exhaustive: Exhaustive | None
    phase: Phase

    @property
    def faulty(self) -> list[int]:
        """Numbers of the blocks found WRONG."""

    def measure(self, direction: Direction, calibrations: dict[int, Calibration | None], block: int) -> Estimate:
        """Measure the discrepancy ∇J − g along a direction within one block."""

    def decision_bar(self, estimate: Estimate) -> float:
        """Half-width with which decisions are made."""

    def block_direction(self, b: int, stream: int) -> BlockDirection:
        """Return a direction within one block."""

    def next_streams(self, count: int = 1000) -> int:
        """Reserve stream numbers."""

    def remedied(self, claims: dict[int, FloatArray]) -> tuple[Verdict, float]:
        """Certify some blocks with other claims; return the verdict and the bound on D."""

    def note_norms(self, b: int, residual: float, numerical: float) -> None:
        """Keep what the probes say of a block's norms."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was found out about a wrong gradient."""

    diagnoses: tuple[Diagnosis, ...]
    notes: tuple[str, ...]


def explain(lab: Laboratory) -> Explanation:
    """Locate the faults, name their causes and certify the remedies, as far as the budget goes."""
    notes: list[str] = []
    probes: dict[int, list[Probe]] = {}
    located: dict[int, list[tuple[Slab, ...]]] = {}
    calibrations: dict[int, Calibration | None] = {}
    total = lab.engine.budget
    left = total - lab.engine.evaluations
    lab.engine.budget = total - math.ceil(RESERVE * left) if math.isfinite(left) else total
    try:
        for b in lab.faulty:
            probes[b] = []
            gather_probes(lab, b, probes[b], calibrations)
        for b in lab.faulty:
            location = locate(lab, b, calibrations)
            located[b] = location.parts
            if not location.complete:
                notes.append(f"The budget ended the search in {lab.problem.blocks[b].name}; what it had found so far is shown.")
    except BudgetSpent:
        notes.append("The budget ended the search for the causes; a larger budget= lets it go on.")
    lab.engine.budget = total
    lab.phase = "diagnosis"
    blocks = lab.problem.blocks
    findings = diagnose(
        Evidence(
            names=tuple(block.name for block in blocks),
            shapes=tuple(block.shape for block in blocks),
            dtypes=tuple(block.dtype for block in blocks),
            claimed=lab.claimed,
            point=lab.problem.values,
            faulty=tuple(lab.faulty),
            probes=probes,
            located=located,
            counts={},
        )
    )
    lab.phase = "remedy"
    diagnoses = certify_remedies(lab, findings, notes)
    return Explanation(tuple(diagnoses), tuple(notes))


def gather_probes(
    lab: Laboratory, b: int, probes: list[Probe], calibrations: dict[int, Calibration | None]
) -> None:
    """Measure the true gradient's derivatives along directions within a block, or take the coordinates that are known."""
    claimed = lab.claimed[b]
    if lab.exhaustive is not None and claimed.size:
        measured = lab.exhaustive.blocks[b]
        # Where two values agreed with the claim, their truncation error was never measured: it is what they differ by.
        unseen = np.where(measured.wrong, 0.0, 2 * np.abs(measured.discrepancy))
        bars = 3 * measured.truncation + 6 * measured.spread + 1e-14 * np.abs(claimed) + unseen
        for j in range(claimed.size):
            if math.isfinite(bars[j]) and j not in measured.kinks:
                value = float(claimed[j] + measured.discrepancy[j])
                probes.append(Probe(direction=Coordinate(b, j), value=value, bar=float(bars[j])))
    stream = lab.next_streams()
    residuals, numericals = [], []
    for k in range(PROBES):
        direction = lab.block_direction(b, stream + k)
        estimate = lab.measure(direction, calibrations, b)
        if estimate.trusted and math.isfinite(estimate.value) and estimate.kink is None:
            component = direction.component(b, lab.problem.blocks[b].shape)
            assert component is not None  # noqa: S101  # the direction is within this block
            value = float(claimed @ component) + estimate.value
            probes.append(Probe(direction=direction, value=value, bar=lab.decision_bar(estimate)))
            residuals.append(estimate.value / direction.scale)
            numericals.append(value / direction.scale)
    if residuals:
        root = math.sqrt(len(residuals))
        lab.note_norms(b, math.hypot(*residuals) / root, math.hypot(*numericals) / root)


def locate(lab: Laboratory, b: int, calibrations: dict[int, Calibration | None]) -> Location:
    """Find the part of a block that is wrong; from the coordinates where they are known, else by halving."""
    block = lab.problem.blocks[b]
    if lab.exhaustive is not None:
        wrong = np.flatnonzero(lab.exhaustive.blocks[b].wrong)
        exercised = np.count_nonzero(~lab.exhaustive.blocks[b].still)
        whole = wrong.size == 0 or wrong.size >= exercised
        return Location([] if whole else [(Slab(None, int(j), int(j) + 1),) for j in wrong])

    def measure(direction: BlockDirection) -> tuple[float, float]:
        estimate = lab.measure(direction, calibrations, b)
        if not math.isfinite(estimate.value):
            return 0.0, math.inf
        return estimate.value, lab.decision_bar(estimate)

    scale = lab.block_direction(b, 0).scale
    locator = Locator(
        measure, b, block.shape, scale, seed=lab.block_direction(b, 0).seed, stream=lab.next_streams()
    )
    return locator.run(BudgetSpent)


def certify_remedies(lab: Laboratory, findings: Sequence[Finding], notes: list[str]) -> list[Diagnosis]:
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
            verdict, upper = lab.remedied(claims)
        except BudgetSpent:
            diagnoses.append(diagnosis)
            continue
        if verdict is Verdict.CORRECT:
            diagnosis = replace(diagnosis, certified_remedy=diagnosis.remedy, certified_to=upper)
            mended.update(claims)
            named = {lab.problem.blocks[b].name for b in claims}
            diagnoses = [d for d in diagnoses if d.block not in named]
        elif diagnosis.cause is not Cause.UNKNOWN:
            diagnosis = replace(diagnosis, remedy="")
        diagnoses.append(diagnosis)
    if len(mended) > 1 and set(mended) == set(lab.faulty):
        try:
            verdict, upper = lab.remedied(mended)
        except BudgetSpent:
            return diagnoses
        if verdict is Verdict.CORRECT:
            notes.append(f"With all of these remedies together the gradient is certified to {upper:.1e}.")
    return diagnoses

