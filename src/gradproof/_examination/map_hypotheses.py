"""What a wrong linear map may be instead: a multiple, a transpose; each certified before it is offered as a remedy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from gradproof._diagnosis.causes import division
from gradproof._diagnosis.telling import nearby_decimal, telling_value
from gradproof._evaluation.engine import BudgetSpent
from gradproof._evidence.matrix_evidence import Pair
from gradproof._examination.map_examination import MapExamination, NonFiniteClaim
from gradproof._problem.claims import Blocks, Claim, MatrixClaim, VjpClaim
from gradproof._problem.outputs import Outputs
from gradproof._words.results import Cause, Diagnosis, Verdict
from gradproof._words.vectors import Components, FloatArray

FITS: Final = 1e-6
"""A hypothesis is pursued where it leaves this much of what it is to explain, or what the bars allow."""
FEWEST: Final = 2
"""Numbers that a factor must explain: one is explained by any."""
ENOUGH: Final = 40
"""Evaluations that certifying a remedy may take."""


class ScaledProducts:
    """A claim whose products A v are known, with a factor for each pair of output and parameter."""

    rows_known, columns_known = False, True

    def __init__(self, claim: Claim, outputs: Outputs, factors: FloatArray) -> None:
        self.claim = claim
        self.factors = factors
        self.kind = claim.kind
        self.notes: list[str] = []
        sizes = [block.size for block in outputs.blocks]
        self.each = np.repeat(factors, sizes, axis=0)

    def apply(self, components: Components) -> FloatArray:
        """Return Σ_p C_p A_p v_p."""
        total = np.zeros(len(self.each))
        for p, part in enumerate(components):
            if part is not None:
                alone = tuple(part if k == p else None for k in range(len(components)))
                total += self.each[:, p] * self.claim.apply(alone)
        return total

    def pull(self, cotangent: FloatArray) -> Blocks:
        """Not known."""
        raise NotImplementedError

    def norms(self, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return bounds of the norms."""
        low, norm, high = self.claim.norms(alpha)
        size = np.abs(self.factors)
        return low * size, norm * size, high * size

    def refine(self, alpha: float) -> None:
        """There is nothing more to ask."""


class ScaledVjp(VjpClaim):
    """A VJP with a factor for each pair of output and parameter."""

    def __init__(self, claim: VjpClaim, factors: FloatArray) -> None:
        for name, value in vars(claim).items():
            setattr(self, name, value)
        self.claim = claim
        self.each = np.concatenate(
            [np.tile(factors[:, p, None], c.stop - c.start) for p, c in enumerate(claim.structure.columns)], axis=1
        )

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


def explain_whole(examination: MapExamination, fresh: Callable[[], Claim]) -> list[Diagnosis]:
    """Name what explains every line of a claim; certified remedies only.

    Parameters
    ----------
    examination
        With its lines measured.
    fresh
        Makes the claim anew, with cotangents that these lines have not seen.
    """
    claim = examination.claim
    turned = _transpose(examination, claim) if isinstance(claim, MatrixClaim) and len(examination.measured) > 1 else []
    return turned or _factors(examination, fresh)


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


def _factors(examination: MapExamination, fresh: Callable[[], Claim]) -> list[Diagnosis]:
    """Explain each wrong pair by a factor of its own, from the lines within its parameter."""
    outputs, points = examination.outputs.blocks, examination.problem.blocks
    factors, bars = np.ones((len(outputs), len(points))), np.zeros((len(outputs), len(points)))
    every = [pair for row in examination.pairs for pair in row if pair.verdict is Verdict.WRONG]
    silent = [pair for pair in every if pair.norm == 0]
    wrong = [pair for pair in every if pair.norm > 0]
    for pair in wrong:
        seen = [examination.seen(line, pair.output) for line in examination.measured if line.within(pair.block)]
        found = _factor([np.concatenate(parts) for parts in zip(*seen, strict=True)]) if seen else None
        if found is None:
            return []
        c, bar = found
        number = _number(1 / c, bar / c**2)[1]  # what is printed is what is certified
        factors[pair.output, pair.block], bars[pair.output, pair.block] = 1 / number, bar
    claim = examination.claim if isinstance(examination.claim, MatrixClaim) else fresh()
    other: Claim = (
        ScaledVjp(claim, factors)
        if isinstance(claim, VjpClaim)
        else ScaledProducts(claim, examination.outputs, factors)
    )
    to = certified(examination, other, but=silent) if wrong else 0.0
    if to is None:
        return []
    return [_silent(examination, pair) for pair in silent] + [
        _by_factor(name, block, factor, bar, to)
        for name, block, factor, bar in _together(examination, wrong, 1 / factors, bars / factors**2)
    ]


def _silent(examination: MapExamination, pair: Pair) -> Diagnosis:
    """Say that nothing is claimed where there is something."""
    output, point = examination.outputs.blocks[pair.output].name, examination.problem.blocks[pair.block].name
    about = f"derivative by {point}" if len(examination.outputs.blocks) == 1 else f"derivative of {output} by {point}"
    return Diagnosis(
        cause=Cause.ZERO,
        block=_name(examination, pair.output, pair.block),
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
    examination: MapExamination, wrong: Sequence[Pair], factors: FloatArray, bars: FloatArray
) -> list[tuple[str, str, float, float]]:
    """Return what is wrong by which factor: whole outputs, whole parameters, else single pairs.

    Returns
    -------
    list
        What the sentence is about, the name of a block of the report, the factor and its error bar.
    """
    outputs, points = examination.outputs.blocks, examination.problem.blocks
    of = {(pair.output, pair.block): float(factors[pair.output, pair.block]) for pair in wrong}

    def one_factor(pairs: Sequence[Pair]) -> bool:
        own = [of.get((pair.output, pair.block)) for pair in pairs if not pair.zero]
        known = [c for c in own if c is not None]
        return len(known) == len(own) > 0 and max(known) - min(known) <= FITS * abs(known[0])

    found, told = [], set[tuple[int, int]]()
    columns = [[row[p] for row in examination.pairs] for p in range(len(points))]
    for p, o in [(None, o) for o in range(len(outputs))] + [(p, None) for p in range(len(points))]:
        pairs = examination.pairs[o] if o is not None else columns[p] if p is not None else []
        own = [(pair.output, pair.block) for pair in pairs if (pair.output, pair.block) in of]
        if not own or told & set(own) or not one_factor(pairs):
            continue
        told |= set(own)
        k = own[0]
        whole = len(points) == 1 or len(own) > 1
        about = f"derivative of {outputs[o].name}" if o is not None and whole else f"derivative by {points[k[1]].name}"
        block = outputs[o].name if o is not None and len(points) > 1 and whole else _name(examination, *k)
        found.append((about, block, of[k], float(bars[k])))
    for k in of.keys() - told:
        about = f"derivative of {outputs[k[0]].name} by {points[k[1]].name}"
        found.append((about, _name(examination, *k), of[k], float(bars[k])))
    return found


def _name(examination: MapExamination, o: int, p: int) -> str:
    return f"{examination.outputs.blocks[o].name} × {examination.problem.blocks[p].name}"


def _by_factor(about: str, block: str, factor: float, bar: float, to: float) -> Diagnosis:
    minus = factor == -1
    text = _number(factor, bar)[0]
    remedy = f"-1 * the {about}" if minus else division(f"the {about}", text, factor)
    return Diagnosis(
        cause=Cause.SIGN if minus else Cause.FACTOR,
        block=block,
        coefficient=factor,
        coefficient_bar=bar,
        sentence=f"The claimed {about} is {text} times the true one.",
        remedy=remedy,
        certified_remedy=remedy,
        certified_to=to,
    )


def _number(factor: float, bar: float) -> tuple[str, float]:
    """Return a factor as it is written, and the number that this is: one that speaks for itself, else a decimal."""
    telling = telling_value(factor - bar, factor + bar, {})
    return (telling.text, telling.value) if telling else nearby_decimal(factor, bar)


def certified(examination: MapExamination, claim: Any, *, but: Sequence[Pair] = ()) -> float | None:
    """Certify another claim with fresh directions; return the bound on its largest difference, None where it fails.

    Parameters
    ----------
    examination, claim
        What was measured, and what is to replace its claim.
    but
        Pairs that stay as wrong as they are.
    """
    engine = examination.engine
    if engine.budget - engine.evaluations < ENOUGH:
        return None
    settings = replace(examination.settings, seed=examination.settings.seed + 1)
    try:
        other = MapExamination(engine, claim, settings)
        other.run()
    except (BudgetSpent, NonFiniteClaim):
        return None
    left = {(pair.output, pair.block) for pair in but}
    pairs = [pair for row in other.pairs for pair in row if (pair.output, pair.block) not in left]
    if any(pair.verdict is not Verdict.CORRECT for pair in pairs):
        return None
    return max(pair.difference.upper for pair in pairs)
