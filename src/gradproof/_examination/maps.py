"""What the lines of a function with many outputs tell beside their norms, and a second look with more cotangents."""

from __future__ import annotations

import copy
import math
from functools import cached_property
from typing import Final

import numpy as np

from gradproof._evaluation.engine import BudgetSpent
from gradproof._evaluation.lines import Line
from gradproof._evidence.evidence import Finding, Law, Pair
from gradproof._examination.certification import AGAIN, certify, certify_groups, pair_name
from gradproof._examination.study import Study, claim_roundoff
from gradproof._numerics.lines import LineReader
from gradproof._numerics.readings import ALMOST, Calibration, LineReading
from gradproof._problem.claims import LinearMap, VjpClaim
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Reason, Verdict
from gradproof._words.vectors import Components, FloatArray, norm

MORE_COTANGENTS: Final = 48
"""Cotangents that what is left open is asked with: four bound a residual at 60 times its size or worse, however many
lines there are; so many, at 4 times."""
TELLING: Final = 2
"""Lines that tell the column of one wrong entry, by the ratio of what they show."""
OWN_ROUNDING: Final = 1.5
"""Times the bar of a lone number that one row's own rounding may take, where only sums of rows were read."""
FROM_NOISE: Final = frozenset({Reason.NOISE, Reason.BORDER, Reason.CLAIM})
"""Reasons for which more of the same may decide."""


class Measured:
    """One line as it was read, row by row.

    Parameters
    ----------
    line, reading, claim
        What was measured, less what.
    """

    def __init__(self, line: Line, reading: LineReading, claim: LinearMap) -> None:
        self.line, self.reading, self.claim = line, reading, claim

    @cached_property
    def components(self) -> Components:
        """v."""
        return self.line.engine.components(self.line.direction)

    def within(self, block: int) -> bool:
        """Say whether the direction lies in one block of the point alone."""
        return [k for k, part in enumerate(self.components) if part is not None] == [block]

    @property
    def values(self) -> FloatArray:
        """R v where whole vectors are seen, J v where products with cotangents are: all rows; zero where none was read."""
        return self.whole[0]

    @property
    def bars(self) -> FloatArray:
        """How far each row may be off; infinite where none was read."""
        return self.whole[1]

    @cached_property
    def whole(self) -> tuple[FloatArray, FloatArray]:
        """Values and bars of all rows."""
        if not self.claim.cotangents:
            return np.nan_to_num(self.reading.values), np.where(
                np.isfinite(self.reading.values), self.reading.bars, np.inf
            )
        line, base = self.line, self.line.engine.base
        values, bars = np.zeros(base.size), np.full(base.size, math.inf)
        for k, (own, form) in enumerate(zip(line.own_rows, self.reading.forms, strict=True)):
            if not form.steps:
                continue
            size = np.abs(base[own])
            for weight, t in zip(form.weights, form.steps, strict=True):
                if t != 0:
                    change = line.change(t)[own]
                    values[own] += weight * change
                    np.maximum(size, np.abs(base[own] + change), out=size)
            # The block's noise is that of its products: a normal cotangent's variance is the sum over its rows.
            block, count = self.reading.blocks[k], self.claim.cotangents
            share = (block.truncation + ALMOST * block.spread) / math.sqrt(count * max(size.size, 1))
            grain = self.line.engine.granularity(line.views[k].output) / math.sqrt(12)
            rounding = np.maximum(OWN_ROUNDING * line.unit_roundoff(k) * size, grain)
            bars[own] = ALMOST * math.hypot(*form.weights) * rounding + share
        return values, bars

    def seen(self, o: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return what the line shows of an output: what is claimed, the discrepancy from it, and how far that may be off.

        They are its rows of A v and (J − A) v, or products of these with the cotangents.
        """
        rows = self.line.rows[o]
        if isinstance(self.claim, VjpClaim):
            claimed = np.zeros(self.claim.count)
            for each, part in zip(self.claim.pulled[o], self.components, strict=True):
                if part is not None:
                    claimed += each @ part
        else:
            claimed = self.claim.apply(self.components)[rows]
        return claimed, self.reading.values[rows], self.reading.bars[rows]


class MapStudy(Study):
    """A study of a function with named outputs."""

    claim: LinearMap

    @property
    def full(self) -> bool:
        """Lines show whole vectors, not products with cotangents."""
        return not self.claim.cotangents

    @property
    def measured(self) -> list[Measured]:
        """All lines that belong to the claim as it is asked now."""
        return [
            Measured(line, reading, self.claim)
            for certifier in self.certifiers
            for line, reading in certifier.lines
            if line.claim is self.claim
        ]

    @property
    def open(self) -> list[Pair]:
        """The pairs that are not decided."""
        return [pair for pair in self.every_pair if pair.verdict is Verdict.INCONCLUSIVE]

    def taught(self) -> Calibration | None:
        """Return what the first lines taught: single columns are measured by what the largest changes have shown."""
        return next((c.calibration for c in self.certifiers if c.calibration is not None), None)

    def name(self, pair: Pair) -> str:
        """Name a pair as the report does."""
        return pair_name(self, pair)

    def certify(self) -> None:
        """Certify all pairs; ask with more cotangents what few of them leave open."""
        certify(self)
        try:
            self.ask_again()
            self.look_closer()
        except BudgetSpent:
            self.spent = True
        for pair in self.faulty:
            self.sharpen(pair)

    def ask_again(self) -> None:
        """Draw fresh cotangents, more of them, for the pairs that the first ones left open: few limit every bound."""
        claim = self.claim
        open_ = [pair for pair in self.open if pair.reason in FROM_NOISE and not pair.zero]
        if not isinstance(claim, VjpClaim) or claim.count >= MORE_COTANGENTS or not open_ or self.spent or self.faulty:
            return
        fresh = copy.copy(claim)  # it goes on with the same generator
        fresh.count = MORE_COTANGENTS
        low, middle, high = fresh.norms(AGAIN * self.settings.alpha)
        self.refuse_non_finite(middle)
        self.claim, self.law = fresh, Law(fresh.cotangents)
        self.reader = LineReader([view.rows for view in fresh.views], self.settings.seed)
        for pair in open_:
            where = pair.output, pair.block
            pair.tolerance = self.first_tolerance(*where)
            pair.low, pair.norm = max(pair.low, float(low[where])), float(middle[where])
            pair.high = min(pair.high, float(high[where]))
        certify_groups(self, [pair.block for pair in open_], AGAIN, AGAIN)

    def look_closer(self) -> None:
        """Measure further lines of what one has proved wrong: two of them tell which entry, and what is there instead."""
        for certifier in self.certifiers:
            found = [e for e in certifier.evidence.values() if len(e.pairs) == 1 and e.is_wrong()]
            if not found or certifier.lines[0][0].claim is not self.claim:
                continue
            while certifier.count < TELLING and certifier.measure():
                pass
            for evidence in found:
                if evidence.pairs[0].verdict is Verdict.WRONG:
                    evidence.conclude()

    def sharpen(self, pair: Pair) -> None:
        """Estimate D of a wrong pair by the same lines on both sides, so that their chance cancels."""
        seen = [line.seen(pair.output) for line in self.measured if line.within(pair.block)]
        seen = [each for each in seen if np.isfinite(each[1]).all()]
        claimed = math.hypot(*(norm(a) for a, _, _ in seen))
        if pair.zero or claimed == 0:
            return
        off = math.hypot(*(norm(d) for _, d, _ in seen)) / claimed
        numerical = math.hypot(*(norm(a + d) for a, d, _ in seen)) / claimed
        pair.find(Finding("lines", pair.lower, pair.upper, estimate=pair.norm * off, numerical=pair.norm * numerical))

    def excuse(self, hidden: float) -> frozenset[str]:
        """Leave open what a claim that differs from call to call by so much hides; return the names of those pairs."""
        excused = set[str]()
        for pair in self.every_pair if hidden > 0 else ():
            open_ = pair.verdict is Verdict.WRONG or pair.reason in FROM_NOISE
            if open_ and pair.difference.estimate <= hidden:
                pair.held, pair.wrong_entries = Reason.CLAIM, 0
                excused.add(self.name(pair))
        return frozenset(excused)

    def lowest_roundoff(self) -> float:
        """Return u of the lowest precision at work."""
        return max(UNIT_ROUNDOFF[self.output_precision(o)] for o in range(len(self.outputs)))

    def row_roundoff(self, *, claimed: bool) -> FloatArray:
        """Return, row by row, u of the precision that the values show, or of what is claimed of them."""
        result = np.empty(self.engine.base.size)
        for o, view in enumerate(self.claim.views):
            result[view.own] = claim_roundoff(self, o) if claimed else UNIT_ROUNDOFF[self.output_precision(o)]
        return result

    def row_floors(self, sizes: FloatArray) -> FloatArray:
        """Return what rounding costs each row whose values are of such sizes, shape (M,) or (M, n)."""
        shape = (-1,) + (1,) * (sizes.ndim - 1)
        floors: FloatArray = 0.5 * self.row_roundoff(claimed=False).reshape(shape) * sizes
        for view in self.claim.views:
            grain = self.engine.granularity(view.output)
            if grain > 0:
                np.maximum(floors[view.own], grain / math.sqrt(12), out=floors[view.own])
        return floors
