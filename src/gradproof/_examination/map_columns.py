"""Every column of a small Jacobian by itself: what norms mask, and one-sided steps at the edge of a domain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gradproof._evaluation.engine import BudgetSpent
from gradproof._evaluation.lines import Line
from gradproof._evaluation.map_batches import MapBatches
from gradproof._evidence.columns import BENT, MANY, TWO_POINTS, two_point_step
from gradproof._evidence.evidence import Finding, Pair
from gradproof._evidence.looks import two_witnesses
from gradproof._examination.map_faults import FaultFinder
from gradproof._examination.maps import MapStudy
from gradproof._numerics.lines import FOUR_STEPS
from gradproof._numerics.noise import STANDS_OUT
from gradproof._numerics.readings import ALMOST, Calibration, LineReading, single_noise
from gradproof._numerics.statistics import within
from gradproof._numerics.tables import REPRESENTED, shorten_mantissas
from gradproof._problem.claims import MatrixClaim
from gradproof._problem.scales import coordinate_scales
from gradproof._words.directions import Coordinate
from gradproof._words.results import Reason, Verdict
from gradproof._words.vectors import FloatArray, norm

EVALUATIONS: Final = 6
"""Of one column."""
MOST_ENTRIES: Final = 24
"""Entries of one check that are confirmed one by one."""
SHORTER: Final = 0.21
"""How much shorter the step is at which columns that do not fit are asked again."""
ENOUGH: Final = 0.3
"""Share of what a right block may be off by that the bars of two values a column may take."""
DECIDABLE: Final = frozenset({Reason.NOISE, Reason.BORDER, Reason.KINK, Reason.DOMAIN, Reason.BUDGET, None})
"""Why lines may have left a pair open that its columns decide."""


class Columns:
    """Measures the Jacobian column by column.

    Parameters
    ----------
    study
        Its claim is a matrix.
    finder
        Confirms single entries.
    """

    def __init__(self, study: MapStudy, finder: FaultFinder) -> None:
        self.study = study
        self.finder = finder
        self.outputs = study.engine.outputs
        claim = study.claim
        assert isinstance(claim, MatrixClaim)  # noqa: S101  # asked for these only
        self.claim = claim
        size = self.outputs.size, claim.structure.size
        self.discrepancy = np.zeros(size)
        self.bars = np.full(size, np.inf)
        self.batches = MapBatches(study.engine)
        self.calibration: Calibration | None = study.taught()
        self.lost: dict[tuple[int, int], Reason] = {}
        self.clearest: dict[tuple[int, int], tuple[float, Line, LineReading]] = {}
        """Per pair, the column that is the least explained by its bars."""

    def run(self, *, conclude: bool) -> None:
        """Measure all columns, confirm suspicious entries, and tell the pairs.

        Parameters
        ----------
        conclude
            All of them; else those only that lines have left open.
        """
        try:
            self.sweep()
            self.confirm()
        except BudgetSpent:
            self.study.run_out()
        for pair in self.study.every_pair:
            if pair.zero:
                continue  # single columns say nothing of a claim of zero
            if conclude or (pair.verdict is Verdict.INCONCLUSIVE and pair.reason in DECIDABLE):
                self.conclude(pair)

    def sweep(self) -> None:
        """Measure all columns."""
        sizes = [np.sqrt(np.sum(np.abs(self._block(c)) ** 2, axis=0)) for c in self.claim.structure.columns]
        scales = coordinate_scales(self.study.problem, sizes)
        for p, own in enumerate(scales):
            if not own.size:
                continue
            self.measure(p, 0, float(own[0]))  # from it the others' noise is known
            fits = self.sweep_together(p, np.arange(1, own.size), own[1:])
            rest, width = (1 + np.flatnonzero(~fits)).tolist(), self.study.engine.source.width
            for start in range(0, len(rest), width):
                part = [(j, float(own[j])) for j in rest[start : start + width]]
                self.look_ahead(p, part)
                for j, scale in part:
                    self.measure(p, j, scale)
        self.study.follow_precision()

    def look_ahead(self, p: int, columns: Sequence[tuple[int, float]]) -> None:
        """Say which values are going to be asked for, where several columns can be measured at once."""
        if self.calibration is None or len(columns) == 1:
            return
        for j, scale in columns:
            line = Line(self.study.engine, Coordinate(p, j, scale), self.claim)
            step = max(self.calibration.step, REPRESENTED * line.shortest)
            line.ahead([m * step for m in FOUR_STEPS], sure=True)

    def measure(self, p: int, j: int, scale: float) -> None:
        """Measure a column of a block by a line of its own."""
        study, reader, column = self.study, self.study.reader, self.claim.structure.columns[p].start + j
        line = Line(study.engine, Coordinate(p, j, scale), self.claim)
        if self.calibration is None:
            reading = reader.first(line, [0.0] * len(line.rows), sizes=self._sizes(column, scale))
            self.calibration = reader.calibration
        else:
            reader.side = 0
            reading = reader.later(line, calibration=self.calibration)
        for o, reason in reading.lost:
            self.lost[o, p] = reason
        for o, block in enumerate(reading.blocks):
            shown = block.size / (block.bar or 1.0)
            if shown > self.clearest.get((o, p), (1.0,))[0]:
                self.clearest[o, p] = shown, line, reading
        known = np.isfinite(reading.values)
        self.discrepancy[known, column] = reading.values[known] / scale
        self.bars[known, column] = reading.bars[known] / scale

    def sweep_together(self, p: int, chosen: NDArray[np.intp], scales: FloatArray) -> NDArray[np.bool_]:
        """Measure columns of a block with two values each, in batches; return which of them fit the claim.

        Those that do not are asked once more at a shorter step: an entry that is small by accident shows truncation.
        Those that are left are to be measured by lines of their own; all of them, where two values do not tell enough.
        """
        fits = np.zeros(chosen.size, dtype=bool)
        kinked = any(pair.reason is Reason.KINK for pair in self.study.every_pair)
        if self.calibration is None or kinked or self.lost:
            return fits
        columns = self.claim.structure.columns[p].start + chosen
        shares, noise, ratio = self._noise(np.asarray(self.claim.matrix[:, columns]) * scales)
        step = two_point_step(ratio, min(row[p].tolerance for row in self.study.pairs))
        for length in (step, SHORTER * step):
            open_ = np.flatnonzero(~fits)
            if open_.size:
                fits[open_] = self._two_values(p, chosen[open_], scales[open_], length, shares, noise)
        return fits

    def _two_values(
        self, p: int, chosen: NDArray[np.intp], scales: FloatArray, step: float, shares: FloatArray, noise: float
    ) -> NDArray[np.bool_]:
        """Take two values of each of some columns at a step; keep those that fit the claim, and say which do."""
        study, columns = self.study, self.claim.structure.columns[p].start + chosen
        claimed = np.asarray(self.claim.matrix[:, columns])
        shortest = study.problem.shortest_steps(p, chosen, scales)
        steps = shorten_mantissas(np.maximum(step, REPRESENTED * shortest))
        lengths = scales * steps
        amplification = ALMOST * TWO_POINTS / lengths
        base = np.abs(study.engine.base)[:, None]
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
        floors = self.study.row_floors(np.abs(self.study.engine.base))
        shares, total, ratio = np.zeros((floors.size, 1)), 0.0, 0.0
        for block, pool in zip(self.outputs.blocks, self.study.reader.pools, strict=True):
            noise, _ = pool.level(norm(floors[block.rows]))
            shares[block.rows] = noise / math.sqrt(max(block.size, 1))
            change = float(np.max(np.linalg.norm(changes[block.rows], axis=0), initial=0.0))
            total = math.hypot(total, noise)
            ratio = max(ratio, noise / change) if change > 0 else ratio
        return shares, total, ratio

    def _single(self, size: FloatArray, shares: FloatArray) -> FloatArray:
        """Return the noise of single values, shape (M, n), as lines take it."""
        floors = self.study.row_floors(size)
        result = np.empty(np.broadcast_shapes(floors.shape, shares.shape))
        for block in (b for b in self.outputs.blocks if b.size):
            result[block.rows] = single_noise(shares[block.rows], floors[block.rows])
        return result

    def _tells_enough(self, p: int, bars: FloatArray) -> bool:
        """Say whether such bars leave a right block certified in every output; claims of zero are judged by lines."""
        return all(
            row[p].zero or within(float(np.linalg.norm(bars[block.rows])), ENOUGH * row[p].allowed)
            for block, row in zip(self.outputs.blocks, self.study.pairs, strict=True)
        )

    def _block(self, columns: slice) -> FloatArray:
        part = self.claim.matrix[:, columns]
        return np.asarray(part.toarray() if self.claim.sparse else part)

    def _sizes(self, column: int, scale: float) -> list[float]:
        entries = self.claim.column(column) * scale
        sizes = [norm(entries[b.rows]) for b in self.outputs.blocks]
        largest = max(sizes, default=0.0) or 1.0
        return [size or largest for size in sizes]

    def confirm(self) -> None:
        """Measure the entries that do not fit once more, each by itself."""
        matrix = self._block(slice(None))
        off = np.abs(self.discrepancy)
        known = np.isfinite(self.bars)
        limit = np.empty_like(off)
        for p, columns in enumerate(self.claim.structure.columns):
            limit[:, columns] = self._limit(p, matrix[:, columns], self.discrepancy[:, columns], self.bars[:, columns])
        excess = np.where(known & (off > limit), off, 0.0)
        rows_, columns_ = np.nonzero(excess)
        order = np.argsort(-excess[rows_, columns_], kind="stable")[:MOST_ENTRIES]
        for k in order:
            self.finder.measure_entry(int(rows_[k]), int(columns_[k]))

    def _limit(self, p: int, claimed: FloatArray, discrepancy: FloatArray, bars: FloatArray) -> FloatArray:
        """Return what entries of a block's columns may be off by: see `FaultFinder.measure_entry`."""
        tolerance, least = np.empty((self.outputs.size, 1)), np.empty((self.outputs.size, 1))
        for block, row in zip(self.outputs.blocks, self.study.pairs, strict=True):
            tolerance[block.rows], least[block.rows] = row[p].tolerance, self.finder.least(row[p])
        rounding = 100 * self.study.row_roundoff(claimed=True)[:, None] * self.claim.row_norms()[:, None]
        relative = tolerance * (np.abs(claimed) + np.abs(claimed + discrepancy))
        allowed: FloatArray = np.maximum(np.maximum(bars, rounding), np.maximum(relative, least))
        return allowed

    def confirmed(self, pair: Pair) -> bool:
        """Say whether steps of other lengths show what makes a pair wrong, too, along its clearest column."""
        if pair.verdict is Verdict.WRONG or (pair.output, pair.block) not in self.clearest:
            return True
        _, line, reading = self.clearest[pair.output, pair.block]
        if reading.forms[pair.output].steps and min(reading.forms[pair.output].steps) >= 0:
            return True  # at an edge there are none
        values = reading.values[line.rows[pair.output]]
        try:
            return two_witnesses(self.study.reader, line, pair.output, values, reading.blocks[pair.output])
        except BudgetSpent:
            return False

    def conclude(self, pair: Pair) -> None:
        """Tell a pair what its entries say."""
        rows, columns = self.outputs.blocks[pair.output].rows, self.claim.structure.columns[pair.block]
        off, bars = self.discrepancy[rows, columns].ravel(), self.bars[rows, columns].ravel()
        known = np.isfinite(bars)
        size, bar = norm(off[known]), norm(bars[known])
        whole = bool(known.all())
        if size - bar > pair.possible and not self.confirmed(pair):
            pair.find(Finding("columns", estimate=size, shown=bar, reason=Reason.STRUCTURE))
            return
        pair.find(
            Finding(
                "columns",
                lower=max(size - bar, 0.0),
                upper=size + bar if whole else math.inf,
                estimate=size if known.any() or not off.size else math.nan,
                shown=bar if whole else math.inf,
                called=pair.possible + bar if whole else math.inf,
                reason=self.lost.get(
                    (pair.output, pair.block), Reason.BUDGET if self.study.spent and not whole else Reason.NOISE
                ),
                numerical=float(np.linalg.norm(self._block(columns)[rows].ravel() + off)) if whole else math.nan,
            )
        )
