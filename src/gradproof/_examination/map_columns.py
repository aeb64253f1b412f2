"""Every column of a small Jacobian by itself: what norms mask, and one-sided steps at the edge of a domain."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gradproof._evaluation.engine import BudgetSpent
from gradproof._evaluation.map_batches import MapBatches
from gradproof._evaluation.vector_lines import VectorLine
from gradproof._evidence.columns import BENT, MANY, TWO_POINTS, two_point_step
from gradproof._evidence.matrix_evidence import Pair
from gradproof._evidence.vector_tables import LineReading
from gradproof._examination.map_examination import MapExamination
from gradproof._examination.map_faults import FaultFinder
from gradproof._numerics.noise import STANDS_OUT
from gradproof._numerics.statistics import difference_from_above, difference_from_below, within
from gradproof._numerics.tables import REPRESENTED, shorten_mantissas
from gradproof._problem.claims import MatrixClaim
from gradproof._problem.scales import coordinate_scales
from gradproof._words.directions import Coordinate
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Difference, Reason, Verdict
from gradproof._words.vectors import FloatArray

EVALUATIONS: Final = 6
"""Of one column."""
MOST_ENTRIES: Final = 24
"""Entries of one check that are confirmed one by one."""
SHORTER: Final = 0.21
"""How much shorter the step is at which columns that do not fit are asked again."""
ENOUGH: Final = 0.3
"""Share of what a right block may be off by that the bars of two values a column may take."""


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
        self.batches = MapBatches(examination.engine)

    def run(self, *, conclude: bool) -> None:
        """Measure all columns, confirm suspicious entries, and give verdicts to the pairs that no line could reach.

        Parameters
        ----------
        conclude
            Give every pair a verdict by its columns.
        """
        left_open = [pair for row in self.examination.pairs for pair in row if pair.reason is Reason.DOMAIN]
        try:
            self.sweep()
            self.confirm()
        except BudgetSpent:
            self.examination.spent = True
        if conclude:
            for row in self.examination.pairs:
                for pair in row:
                    self.conclude(pair.output, pair.block)
        else:
            for pair in left_open:
                self.conclude(pair.output, pair.block)

    def sweep(self) -> None:
        """Measure all columns."""
        examination = self.examination
        sizes = [np.sqrt(np.sum(np.abs(self._block(c)) ** 2, axis=0)) for c in self.claim.structure.columns]
        scales = coordinate_scales(examination.problem, sizes)
        for p, own in enumerate(scales):
            if not own.size:
                continue
            self.measure(p, 0, float(own[0]))  # from it the others' noise is known
            fits = self.sweep_together(p, np.arange(1, own.size), own[1:])
            for j in (1 + np.flatnonzero(~fits)).tolist():
                self.measure(p, j, float(own[j]))

    def measure(self, p: int, j: int, scale: float) -> None:
        """Measure a column of a block by a line of its own."""
        examination, reader, column = (
            self.examination,
            self.examination.reader,
            self.claim.structure.columns[p].start + j,
        )
        components = examination.engine.components(Coordinate(p, j, scale))
        line = VectorLine(examination.engine, components, examination.view(components))
        kink = reader.kink
        known = reader.step > 0
        reading = reader.settle(line) if known else reader.first(line, self._sizes(column, scale), 0.0)[0]
        reader.kink = kink
        if reading is None:
            reading = self.alone(line, column, scale)
        if reading is not None:
            self.discrepancy[:, column] = reading.values / scale
            self.bars[:, column] = reading.bars / scale

    def sweep_together(self, p: int, chosen: NDArray[np.intp], scales: FloatArray) -> NDArray[np.bool_]:
        """Measure columns of a block with two values each, in batches; return which of them fit the claim.

        Those that do not are asked once more at a shorter step: an entry that is small by accident shows truncation.
        Those that are left are to be measured by lines of their own; all of them, where two values do not tell enough.
        """
        reader, fits = self.examination.reader, np.zeros(chosen.size, dtype=bool)
        if reader.step == 0 or reader.side != 0 or reader.kink:
            return fits
        columns = self.claim.structure.columns[p].start + chosen
        shares, noise, ratio = self._noise(np.asarray(self.claim.matrix[:, columns]) * scales)
        step = two_point_step(ratio, min(row[p].tolerance for row in self.examination.pairs))
        for length in (step, SHORTER * step):
            open_ = np.flatnonzero(~fits)
            if open_.size:
                fits[open_] = self._two_values(p, chosen[open_], scales[open_], length, shares, noise)
        return fits

    def _two_values(
        self, p: int, chosen: NDArray[np.intp], scales: FloatArray, step: float, shares: FloatArray, noise: float
    ) -> NDArray[np.bool_]:
        """Take two values of each of some columns at a step; keep those that fit the claim, and say which do."""
        examination, columns = self.examination, self.claim.structure.columns[p].start + chosen
        claimed = np.asarray(self.claim.matrix[:, columns])
        shortest = examination.problem.shortest_steps(p, chosen, scales)
        steps = shorten_mantissas(np.maximum(step, REPRESENTED * shortest))
        lengths = scales * steps
        amplification = 10 * TWO_POINTS / lengths
        base = np.abs(examination.engine.base)[:, None]
        found = None
        if self._tells_enough(p, amplification * self._single(base, shares)):
            found = self.batches.pairs(p, chosen, scales, steps, noise)
        if found is None:
            return np.zeros(chosen.size, dtype=bool)
        (up, down), moved, largest = found
        with np.errstate(all="ignore"):
            up, down = up.T - claimed * moved[0], down.T - claimed * moved[1]
            discrepancy = (up - down) / (2 * lengths)
            jumps = np.abs(up + down) / lengths
            size = np.maximum(largest[:, None], np.abs(claimed) * lengths)
            bars = amplification * self._single(size, shares)
            fits = np.abs(discrepancy) <= self._limit(p, claimed, discrepancy, bars)
            typical = self.claim.row_norms()[:, None] / math.sqrt(self.claim.structure.size)
            usual = np.median(jumps, axis=1, keepdims=True) if chosen.size >= MANY else 0.0
            clear = np.maximum(bars, STANDS_OUT * usual)
            fits &= (jumps <= BENT * np.maximum(np.abs(claimed), typical)) | (jumps <= clear)
        kept: NDArray[np.bool_] = fits.all(axis=0)
        self.discrepancy[:, columns[kept]] = discrepancy[:, kept]
        self.bars[:, columns[kept]] = bars[:, kept]
        return kept

    def _noise(self, changes: FloatArray) -> tuple[FloatArray, float, float]:
        """Return the noise that the lines so far have shown.

        Parameters
        ----------
        changes
            The claimed change of each output over each column's length.

        Returns
        -------
        ndarray, shape (outputs, 1)
            Each row's share of its block's noise.
        float
            Standard deviation of the norm of a value.
        float
            Noise over change, of the block where it is largest.
        """
        examination = self.examination
        floors = 0.5 * UNIT_ROUNDOFF[examination.precision] * np.abs(examination.engine.base)
        shares, total, ratio = np.zeros((floors.size, 1)), 0.0, 0.0
        for block, pool in zip(examination.outputs.blocks, examination.reader.noise, strict=True):
            noise, _ = pool.level(float(np.linalg.norm(floors[block.rows])))
            shares[block.rows] = noise / math.sqrt(max(block.size, 1))
            change = float(np.max(np.linalg.norm(changes[block.rows], axis=0), initial=0.0))
            total = math.hypot(total, noise)
            ratio = max(ratio, noise / change) if change > 0 else ratio
        return shares, total, ratio

    def _single(self, size: FloatArray, shares: FloatArray) -> FloatArray:
        """Return the noise of single values, as lines take it: a share of the block's, near what rounding costs."""
        floors = 0.5 * UNIT_ROUNDOFF[self.examination.precision] * size
        single: FloatArray = np.maximum(np.minimum(shares, 10 * floors), floors)
        return single

    def _tells_enough(self, p: int, bars: FloatArray) -> bool:
        """Say whether such bars leave a right block certified in every output."""
        scale = self.examination.plain_scales[p]
        for o, block in enumerate(self.examination.outputs.blocks):
            pair = self._with_share(o, p)
            if not within(float(np.linalg.norm(bars[block.rows])), ENOUGH * pair.allowed(scale) / scale):
                return False
        return True

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
        limit = self._allowed(tolerance, matrix, self.discrepancy, self.bars)
        excess = np.where(known & (off > limit), off, 0.0)
        rows_, columns_ = np.nonzero(excess)
        order = np.argsort(-excess[rows_, columns_], kind="stable")[:MOST_ENTRIES]
        for k in order:
            self.finder.measure_entry(int(rows_[k]), int(columns_[k]))

    def _limit(self, p: int, claimed: FloatArray, discrepancy: FloatArray, bars: FloatArray) -> FloatArray:
        """Return what entries of a block's columns may be off by."""
        tolerance = np.empty((self.examination.outputs.size, 1))
        for block, row in zip(self.examination.outputs.blocks, self.examination.pairs, strict=True):
            tolerance[block.rows] = row[p].tolerance
        return self._allowed(tolerance, claimed, discrepancy, bars)

    def _allowed(
        self, tolerance: FloatArray, claimed: FloatArray, discrepancy: FloatArray, bars: FloatArray
    ) -> FloatArray:
        rounding = 100 * UNIT_ROUNDOFF[self.examination.precision] * self.claim.row_norms()[:, None]
        relative = tolerance * (np.abs(claimed) + np.abs(claimed + discrepancy))
        allowed: FloatArray = np.maximum(np.maximum(bars, rounding), relative)
        return allowed

    def _with_share(self, o: int, p: int) -> Pair:
        """Return a pair that knows what the tolerance of a zero one is a share of."""
        pair = self.examination.pairs[o][p]
        share = max(
            (s * q.norm for s, q in zip(self.examination.plain_scales, self.examination.pairs[o], strict=True)),
            default=0.0,
        )
        if share == 0:
            share = float(np.linalg.norm(self.examination.engine.base[self.examination.outputs.blocks[o].rows])) or 1.0
        pair.share = pair.share or share
        return pair

    def conclude(self, o: int, p: int) -> None:
        """Give a pair the verdict that its entries allow."""
        pair = self._with_share(o, p)
        rows, columns = self.examination.outputs.blocks[o].rows, self.claim.structure.columns[p]
        off, bars = self.discrepancy[rows, columns], self.bars[rows, columns]
        bar = float(np.linalg.norm(bars))
        size = float(np.linalg.norm(off))
        norm = pair.norm
        scale = self.examination.plain_scales[p]
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
