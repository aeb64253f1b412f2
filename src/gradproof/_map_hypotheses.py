"""What a wrong linear map may be instead: a multiple, a transpose; each certified before it is offered as a remedy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np

from gradproof._directions import FloatArray
from gradproof._engine import BudgetSpent
from gradproof._linear_claims import Blocks, Claim, MatrixClaim
from gradproof._map_engine import Components
from gradproof._map_examination import MapExamination
from gradproof._results import Cause, Diagnosis, Verdict

FITS: Final = 1e-6
"""A hypothesis is pursued where it leaves this much of what it is to explain, or what the bars allow."""
ENOUGH: Final = 40
"""Evaluations that certifying a remedy may take."""


class Scaled:
    """A claim with each output block multiplied by a factor of its own."""

    def __init__(self, claim: Claim, factors: FloatArray) -> None:
        self.claim = claim
        self.factors = factors
        self.kind = claim.kind
        self.notes: list[str] = []
        self.rows_known, self.columns_known = False, True
        self.each = np.concatenate(
            [np.full(b.size, c) for b, c in zip(claim.outputs.blocks, factors, strict=True)]  # type: ignore[attr-defined]
        )

    def apply(self, components: Components) -> FloatArray:
        """Return C A v."""
        return self.each * self.claim.apply(components)

    def pull(self, cotangent: FloatArray) -> Blocks:
        """Return Aᵀ C u."""
        return self.claim.pull(self.each * cotangent)

    def norms(self, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return bounds of the norms."""
        low, norm, high = self.claim.norms(alpha)
        size = np.abs(self.factors)[:, None]
        return low * size, norm * size, high * size


def explain_whole(examination: MapExamination) -> list[Diagnosis]:
    """Name what explains every line of a claim whose products A v are known; certified remedies only."""
    if not examination.full or len(examination.measured) < 2:
        return []
    claim = examination.claim
    found = _transpose(examination, claim) if isinstance(claim, MatrixClaim) else []
    return found or _factors(examination, claim)


def _transpose(examination: MapExamination, claim: MatrixClaim) -> list[Diagnosis]:
    rows, columns = claim.matrix.shape
    if rows != columns:
        return []
    turned = claim.matrix.T.tocsr() if claim.sparse else np.ascontiguousarray(claim.matrix.T)
    other = MatrixClaim(turned, claim.outputs, claim.structure, kind=claim.kind)
    for line in examination.measured:
        numerical = line.values + claim.apply(line.components)
        left = np.linalg.norm(numerical - other.apply(line.components))
        if left > FITS * np.linalg.norm(line.values) + np.linalg.norm(line.bars):
            return []
    to = certified(examination, other)
    if to is None:
        return []
    return [
        Diagnosis(
            cause=Cause.TRANSPOSE,
            block="",
            sentence="The claimed matrix is the transpose of the true one: entry [i, j] should be the derivative of output i by parameter j.",
            remedy="jacobian.T",
            certified_remedy="jacobian.T",
            certified_to=to,
        )
    ]


def _factors(examination: MapExamination, claim: Claim) -> list[Diagnosis]:
    blocks = examination.outputs.blocks
    factors, bars = np.ones(len(blocks)), np.zeros(len(blocks))
    for o, block in enumerate(blocks):
        if all(pair.verdict is not Verdict.WRONG for pair in examination.pairs[o]):
            continue
        claimed = [claim.apply(line.components)[block.rows] for line in examination.measured]
        numerical = [line.values[block.rows] + a for line, a in zip(examination.measured, claimed, strict=True)]
        a, d = np.concatenate(claimed), np.concatenate(numerical)
        size = float(a @ a)
        if size == 0:
            return []
        c = float(a @ d) / size
        bar = float(np.linalg.norm(np.concatenate([line.bars[block.rows] for line in examination.measured])))
        if c == 0 or np.linalg.norm(d - c * a) > FITS * np.linalg.norm(d - a) + bar:
            return []
        factors[o], bars[o] = c, bar / math.sqrt(size)
    wrong = [o for o in range(len(blocks)) if factors[o] != 1]
    if not wrong:
        return []
    to = certified(examination, Scaled(claim, factors))
    if to is None:
        return []
    result = []
    for o in wrong:
        claimed_factor = 1 / factors[o]
        remedy = _remedy(blocks[o].name, claimed_factor)
        minus = abs(factors[o] + 1) <= max(bars[o], 1e-9)
        result.append(
            Diagnosis(
                cause=Cause.SIGN if minus else Cause.FACTOR,
                block=blocks[o].name,
                coefficient=claimed_factor,
                coefficient_bar=float(bars[o]) * claimed_factor**2,
                sentence=f"The claimed derivative of {blocks[o].name} is {_shown(claimed_factor)} times the true one.",
                remedy=remedy,
                certified_remedy=remedy,
                certified_to=to,
            )
        )
    return result


def _shown(factor: float) -> str:
    return f"{round(factor)}" if abs(factor - round(factor)) < 1e-6 else f"{factor:.6g}"


def _remedy(name: str, factor: float) -> str:
    return (
        f"-1 * the derivative of {name}" if abs(factor + 1) < 1e-6 else f"the derivative of {name} / {_shown(factor)}"
    )


def certified(examination: MapExamination, claim: Any) -> float | None:
    """Certify another claim with fresh directions; return the bound on its largest difference, None where it fails."""
    engine = examination.engine
    if engine.budget - engine.evaluations < ENOUGH:
        return None
    settings = replace(examination.settings, seed=examination.settings.seed + 1)
    other = MapExamination(engine, claim, settings)
    try:
        other.run()
    except BudgetSpent:
        return None
    pairs = [pair for row in other.pairs for pair in row]
    if any(pair.verdict is not Verdict.CORRECT for pair in pairs):
        return None
    return max(pair.difference.upper for pair in pairs)
