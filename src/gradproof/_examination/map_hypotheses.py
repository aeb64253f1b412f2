"""What a wrong linear map may be instead: a multiple, a transpose; each certified before it is offered as a remedy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np

from gradproof._diagnosis.causes import division
from gradproof._diagnosis.telling import written_number
from gradproof._evaluation.engine import BudgetSpent
from gradproof._evidence.evidence import Pair
from gradproof._examination.certification import certify_only
from gradproof._examination.maps import MapStudy
from gradproof._examination.study import NonFiniteClaim
from gradproof._problem.claims import JvpClaim, MatrixClaim, VjpClaim
from gradproof._words.results import Cause, Diagnosis, Verdict
from gradproof._words.vectors import FloatArray

MapClaim: TypeAlias = MatrixClaim | JvpClaim | VjpClaim

FITS: Final = 1e-6
"""A hypothesis is pursued where it leaves this much of what it is to explain, or what the bars allow."""
SAME: Final = 1e-9
"""Relative distance of two factors that are the same."""
FEWEST: Final = 2
"""Numbers that a factor must explain: one is explained by any."""
ENOUGH: Final = 40
"""Evaluations that certifying a remedy may take."""


class ScaledJvp(JvpClaim):
    """A claim whose products A v are known, with a factor for each pair of output and parameter."""

    def __init__(self, claim: JvpClaim, factors: FloatArray) -> None:
        for name, value in vars(claim).items():
            setattr(self, name, value)
        self.claim = claim
        self.known = None
        self.each = np.repeat(factors, [block.size for block in claim.outputs.blocks], axis=0)

    def product(self, tangent: FloatArray, layout: str = "C") -> FloatArray:
        """Return Σ_p C_p A_p v_p."""
        total = np.zeros(len(self.each))
        for p, columns in enumerate(self.structure.columns):
            if tangent[columns].any():
                alone = np.zeros(tangent.size)
                alone[columns] = tangent[columns]
                total += self.each[:, p] * self.claim.product(alone, layout)
        return total


class ScaledVjp(VjpClaim):
    """A VJP with a factor for each pair of output and parameter."""

    def __init__(self, claim: VjpClaim, factors: FloatArray) -> None:
        for name, value in vars(claim).items():
            setattr(self, name, value)
        self.claim = claim
        self.known = None
        self.each = np.repeat(factors, [c.stop - c.start for c in claim.structure.columns], axis=1)

    def product(self, cotangent: FloatArray, layout: str = "C") -> FloatArray:
        """Return Σ_o C_o A_oᵀ u_o."""
        total = np.zeros(self.each.shape[1])
        for o, block in enumerate(self.outputs.blocks):
            part = cotangent[block.rows]
            if part.any():
                alone = np.zeros(cotangent.size)
                alone[block.rows] = part
                total += self.each[o] * self.claim.product(alone, layout)
        return total


def factors_applied(claim: MapClaim, factors: FloatArray) -> MapClaim:
    """Return a claim with a factor for each pair of output and parameter."""
    if isinstance(claim, MatrixClaim):
        return scaled(claim, factors)
    return ScaledVjp(claim, factors) if isinstance(claim, VjpClaim) else ScaledJvp(claim, factors)


def scaled(claim: MatrixClaim, factors: FloatArray) -> MatrixClaim:
    """Return a matrix with a factor for each pair of output and parameter."""
    rows = np.repeat(np.arange(len(factors)), [block.size for block in claim.outputs.blocks])
    columns = np.repeat(np.arange(factors.shape[1]), [c.stop - c.start for c in claim.structure.columns])
    if claim.sparse:
        coo = claim.matrix.tocoo()
        coo.data = coo.data * factors[rows[coo.coords[0]], columns[coo.coords[1]]]
        matrix = coo.tocsr()
    else:
        matrix = claim.matrix * factors[np.ix_(rows, columns)]
    return MatrixClaim(matrix, claim.outputs, claim.structure, kind=claim.kind)


def explain_whole(study: MapStudy, fresh: Callable[[], MapClaim]) -> list[Diagnosis]:
    """Name what explains every line of a claim; certified remedies only.

    Parameters
    ----------
    study
        With its lines measured.
    fresh
        Makes the claim anew, with cotangents that these lines have not seen.
    """
    claim = study.claim
    turned = _transpose(study, claim) if isinstance(claim, MatrixClaim) and len(study.measured) > 1 else []
    return turned or _factors(study, fresh)


def _transpose(study: MapStudy, claim: MatrixClaim) -> list[Diagnosis]:
    rows, columns = claim.matrix.shape
    if rows != columns:
        return []
    turned = claim.matrix.T.tocsr() if claim.sparse else np.ascontiguousarray(claim.matrix.T)
    other = MatrixClaim(turned, claim.outputs, claim.structure, kind=claim.kind)
    for line in study.measured:
        numerical = line.values + claim.apply(line.components)
        left = np.linalg.norm(numerical - other.apply(line.components))
        if left > FITS * np.linalg.norm(line.values) + np.linalg.norm(line.bars):
            return []
    to = certified(study, other)
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


def _factors(study: MapStudy, fresh: Callable[[], MapClaim]) -> list[Diagnosis]:
    """Explain each wrong pair by a factor of its own, from the lines within its parameter."""
    outputs, points = study.outputs, study.problem.blocks
    factors, bars = np.ones((len(outputs), len(points))), np.zeros((len(outputs), len(points)))
    silent = [pair for pair in study.faulty if pair.norm == 0]
    wrong = [pair for pair in study.faulty if pair.norm > 0]
    for pair in wrong:
        seen = [line.seen(pair.output) for line in study.measured if line.within(pair.block)]
        seen = [each for each in seen if np.isfinite(each[1]).all()]
        found = _factor([np.concatenate(parts) for parts in zip(*seen, strict=True)]) if seen else None
        if found is None:
            return []
        factor, bar = 1 / found[0], found[1] / found[0] ** 2
        # What is printed is what is certified.
        factors[pair.output, pair.block], bars[pair.output, pair.block] = written_number(factor, bar)[1], bar
    claim = study.claim if isinstance(study.claim, MatrixClaim) else fresh()
    to = certified(study, factors_applied(claim, 1 / factors), but=silent) if wrong else 0.0
    if to is None:
        return []
    return [_silent(study, pair) for pair in silent] + [
        _by_factor(name, block, factor, bar, to) for name, block, factor, bar in _together(study, wrong, factors, bars)
    ]


def simplest(factor: float, bar: float) -> float:
    """Return the simplest number within a factor's bar: a whole one, one over a whole one, or few decimals."""
    allowed = max(bar, SAME * abs(factor))
    if abs(factor - round(factor)) <= allowed and round(factor) != 0:
        return float(round(factor))
    inverse = 1 / factor
    if abs(inverse - round(inverse)) <= allowed * inverse**2 and round(inverse) != 0:
        return 1 / round(inverse)
    shown = (float(f"{factor:.{digits}g}") for digits in range(3, 17))
    return next((value for value in shown if abs(value - factor) <= max(allowed / 3, SAME * abs(factor))), factor)


def _silent(study: MapStudy, pair: Pair) -> Diagnosis:
    """Say that nothing is claimed where there is something."""
    output, point = study.outputs[pair.output].name, study.problem.blocks[pair.block].name
    about = f"derivative by {point}" if len(study.outputs) == 1 else f"derivative of {output} by {point}"
    return Diagnosis(
        cause=Cause.ZERO,
        block=_name(study, pair.output, pair.block),
        coefficient=0.0,
        sentence=f"The claimed {about} is zero everywhere, and the true one is not.",
        remedy=f"look for what cuts the path from {output} to {point}: a detached or converted array, a constant, a gradient that is never filled in",
    )


def _factor(parts: Sequence[FloatArray]) -> tuple[float, float] | None:
    """Return by what a claim is to be multiplied to be what was measured, and its error bar; None where nothing fits."""
    a, discrepancy, bars = parts
    size, bar = float(a @ a), float(np.linalg.norm(bars))
    if size == 0 or a.size < FEWEST:
        return None
    c = 1 + float(a @ discrepancy) / size
    left = np.linalg.norm(discrepancy - (c - 1) * a)
    if c == 0 or left > FITS * np.linalg.norm(discrepancy) + bar:
        return None
    return c, bar / math.sqrt(size)


def _together(
    study: MapStudy, wrong: Sequence[Pair], factors: FloatArray, bars: FloatArray
) -> list[tuple[str, str, float, float]]:
    """Return what is wrong by which factor: whole outputs, whole parameters, else single pairs.

    Returns
    -------
    list
        What the sentence is about, the name of a block of the report, the factor and its error bar.
    """
    outputs, points = study.outputs, study.problem.blocks
    of = {(pair.output, pair.block): float(factors[pair.output, pair.block]) for pair in wrong}

    def one_factor(pairs: Sequence[Pair]) -> bool:
        own = [of.get((pair.output, pair.block)) for pair in pairs if not pair.zero]
        known = [c for c in own if c is not None]
        return len(known) == len(own) > 0 and max(known) - min(known) <= FITS * abs(known[0])

    found, told = [], set[tuple[int, int]]()
    columns = [[row[p] for row in study.pairs] for p in range(len(points))]
    for p, o in [(None, o) for o in range(len(outputs))] + [(p, None) for p in range(len(points))]:
        pairs = study.pairs[o] if o is not None else columns[p] if p is not None else []
        own = [(pair.output, pair.block) for pair in pairs if (pair.output, pair.block) in of]
        if not own or told & set(own) or not one_factor(pairs):
            continue
        told |= set(own)
        k = own[0]
        whole = len(points) == 1 or len(own) > 1
        about = f"derivative of {outputs[o].name}" if o is not None and whole else f"derivative by {points[k[1]].name}"
        block = outputs[o].name if o is not None and len(points) > 1 and whole else _name(study, *k)
        found.append((about, block, of[k], float(bars[k])))
    for k in of.keys() - told:
        about = f"derivative of {outputs[k[0]].name} by {points[k[1]].name}"
        found.append((about, _name(study, *k), of[k], float(bars[k])))
    return found


def _name(study: MapStudy, o: int, p: int) -> str:
    return study.name(study.pairs[o][p])


def _by_factor(about: str, block: str, factor: float, bar: float, to: float) -> Diagnosis:
    minus = factor == -1
    text = written_number(factor, bar)[0]
    remedy = f"-1 * the {about}" if minus else division(f"the {about}", text, factor)
    return Diagnosis(
        cause=Cause.SIGN if factor == -1 else Cause.FACTOR,
        block=block,
        coefficient=factor,
        coefficient_bar=bar,
        sentence=f"The claimed {about} is {text} times the true one.",
        remedy=remedy,
        certified_remedy=remedy,
        certified_to=to,
    )


def certified(study: MapStudy, claim: MapClaim, *, but: Sequence[Pair] = ()) -> float | None:
    """Certify another claim with fresh directions; return the bound on its largest difference, None where it fails.

    Parameters
    ----------
    study, claim
        What was measured, and what is to replace its claim.
    but
        Pairs that stay as wrong as they are.
    """
    engine = study.engine
    if engine.budget - engine.evaluations < ENOUGH:
        return None
    settings = replace(study.settings, seed=study.settings.seed + 1)
    left = {(pair.output, pair.block) for pair in but}
    try:
        other = MapStudy(engine, claim, settings)
        other.stream = study.next_streams()
        pairs = [pair for pair in other.every_pair if (pair.output, pair.block) not in left]
        for pair in pairs:
            pair.tolerance = max(pair.tolerance, study.pairs[pair.output][pair.block].tolerance)
        certify_only(other, pairs)
    except (BudgetSpent, NonFiniteClaim):
        return None
    if any(pair.verdict is not Verdict.CORRECT for pair in pairs):
        return None
    return max(pair.difference.upper for pair in pairs)
