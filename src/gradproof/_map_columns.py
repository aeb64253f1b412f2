"""Every column of a small Jacobian by itself: what norms mask, and one-sided steps at the edge of a domain."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from gradproof._directions import Coordinate, FloatArray
from gradproof._engine import BudgetSpent
from gradproof._linear_claims import MatrixClaim
from gradproof._map_examination import MapExamination
from gradproof._map_faults import FaultFinder
from gradproof._results import Difference, Reason, Verdict
from gradproof._scales import coordinate_scales
from gradproof._settings import UNIT_ROUNDOFF
from gradproof._statistics import difference_from_above, difference_from_below
from gradproof._vector_lines import LineReading, VectorLine

EVALUATIONS: Final = 6
"""Of one column."""
MOST_ENTRIES: Final = 24
"""Entries of one check that are confirmed one by one."""


class Columns:
    """Measures the Jacobian column by column.

    Parameters
    ----------
    examination
        Its claim is a matrix.
    finder
        Confirms single entries.
    """

    def __init__(self, examination: MapExamination, finder: FaultFinder) -> None:
        self.examination = examination
        self.finder = finder
        claim = examination.claim
        assert isinstance(claim, MatrixClaim)  # noqa: S101  # asked for these only
        self.claim = claim
        size = examination.outputs.size, claim.structure.size
        self.discrepancy = np.zeros(size)
        self.bars = np.full(size, np.inf)

    def run(self, *, conclude: bool) -> None:
        """Measure all columns, confirm suspicious entries; with `conclude` give every pair a verdict by them."""
        try:
            self.sweep()
            self.confirm()
        except BudgetSpent:
            self.examination.spent = True
        if conclude:
            for row in self.examination.pairs:
                for pair in row:
                    self.conclude(pair.output, pair.block)

    def sweep(self) -> None:
        """Measure all columns."""
        examination = self.examination
        sizes = [np.sqrt(np.sum(np.abs(self._block(c)) ** 2, axis=0)) for c in self.claim.structure.columns]
        scales = coordinate_scales(examination.problem, sizes)
        reader = examination.reader
        for p, columns in enumerate(self.claim.structure.columns):
            for j in range(columns.stop - columns.start):
                scale = float(scales[p][j])
                components = examination.engine.components(Coordinate(p, j, scale))
                line = VectorLine(examination.engine, components, examination.view(components))
                kink = reader.kink
                if reader.step == 0:
                    reading = reader.first(line, self._sizes(columns.start + j, scale), 0.0)[0]
                else:
                    reading = reader.settle(line)
                reader.kink = kink
                if reading is None:
                    reading = self.alone(line, columns.start + j, scale)
                if reading is not None:
                    self.discrepancy[:, columns.start + j] = reading.values / scale
                    self.bars[:, columns.start + j] = reading.bars / scale

    def alone(self, line: VectorLine, column: int, scale: float) -> LineReading | None:
        """Search a step for one column by itself: another side, another length."""
        reader = self.examination._reader()  # noqa: SLF001  # one of the same kind, that knows nothing yet
        reading = reader.first(line, self._sizes(column, scale), 0.0)[0]
        self.examination.reader.kink = self.examination.reader.kink or reader.kink
        self.examination.failed = self.examination.failed or (reading is None and not reader.kink)
        return reading

    def _block(self, columns: slice) -> FloatArray:
        part = self.claim.matrix[:, columns]
        return np.asarray(part.toarray() if self.claim.sparse else part)

    def _sizes(self, column: int, scale: float) -> FloatArray:
        entries = self.claim.column(column) * scale
        sizes = np.array([float(np.linalg.norm(entries[b.rows])) for b in self.examination.outputs.blocks])
        largest = float(np.max(sizes, initial=0.0))
        return np.where(sizes > 0, sizes, largest if largest > 0 else 1.0)

    def confirm(self) -> None:
        """Measure the entries that do not fit once more, each by itself."""
        matrix = self._block(slice(None))
        off = np.abs(self.discrepancy)
        known = np.isfinite(self.bars)
        tolerance = np.empty_like(off)
        for row in self.examination.pairs:
            for pair in row:
                rows = self.examination.outputs.blocks[pair.output].rows
                tolerance[rows, self.claim.structure.columns[pair.block]] = pair.tolerance
        rounding = 100 * UNIT_ROUNDOFF[self.examination.precision] * self.claim.row_norms()[:, None]
        limit = np.maximum(
            np.maximum(self.bars, rounding), tolerance * (np.abs(matrix) + np.abs(matrix + self.discrepancy))
        )
        excess = np.where(known & (off > limit), off, 0.0)
        rows_, columns_ = np.nonzero(excess)
        order = np.argsort(-excess[rows_, columns_], kind="stable")[:MOST_ENTRIES]
        for k in order:
            self.finder.measure_entry(int(rows_[k]), int(columns_[k]))

    def conclude(self, o: int, p: int) -> None:
        """Give a pair the verdict that its entries allow."""
        pair = self.examination.pairs[o][p]
        rows, columns = self.examination.outputs.blocks[o].rows, self.claim.structure.columns[p]
        off, bars = self.discrepancy[rows, columns], self.bars[rows, columns]
        bar = float(np.linalg.norm(bars))
        size = float(np.linalg.norm(off))
        norm = pair.norm
        scale = self.examination.plain_scales[p]
        share = max(
            (s * q.norm for s, q in zip(self.examination.plain_scales, self.examination.pairs[o], strict=True)),
            default=0.0,
        )
        if share == 0:
            share = float(np.linalg.norm(self.examination.engine.base[rows])) or 1.0
        pair.share = pair.share or share
        allowed = pair.allowed(scale) / scale
        most, least = size + bar, max(size - bar, 0.0)
        if pair.verdict is Verdict.WRONG:
            pass
        elif most <= allowed:
            pair.verdict, pair.reason = Verdict.CORRECT, None
        elif least > pair.possible(scale) / scale:
            pair.verdict, pair.reason = Verdict.WRONG, None
        else:
            pair.verdict, pair.reason = Verdict.INCONCLUSIVE, self.examination.reason(Reason.NOISE)
        if norm > 0 and not pair.zero:
            upper = difference_from_above(most, norm) if math.isfinite(most) else 1.0
            pair.difference = Difference(
                estimate=min(difference_from_below(size, norm), upper),
                lower=difference_from_below(least, norm),
                upper=upper,
            )
            pair.resolution = difference_from_above(min(bar, norm), norm)
        else:
            unit = pair.share / scale
            pair.difference = Difference(
                estimate=min(size / unit, 1.0), lower=min(least / unit, 1.0), upper=min(most / unit, 1.0)
            )
            pair.resolution = min(bar / unit, 1.0)
