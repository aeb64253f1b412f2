"""Every entry of a sparse Jacobian's pattern by itself, a group of columns at a time: what norms mask."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gradproof._evaluation.engine import BudgetSpent
from gradproof._evidence.column_groups import column_groups
from gradproof._examination.map_columns import EVALUATIONS, MOST_ENTRIES
from gradproof._examination.map_faults import FaultFinder
from gradproof._examination.maps import MapStudy
from gradproof._numerics.readings import Calibration
from gradproof._problem.claims import MatrixClaim
from gradproof._problem.scales import coordinate_scales
from gradproof._words.directions import GivenDirection
from gradproof._words.vectors import FloatArray

MOST_ENTRIES_OF_A_PATTERN: Final = 2_000_000


class ColumnGroups:
    """Measures the entries of a sparse claim's pattern.

    Random lines have certified before that nothing lies outside the pattern; what a group of columns shows in a row then
    belongs to the one column of the group that the row depends on.

    Parameters
    ----------
    study, finder
        As for `_examination.map_columns.Columns`.
    most
        Groups that are worth their evaluations.
    """

    def __init__(self, study: MapStudy, finder: FaultFinder, most: int) -> None:
        self.study = study
        self.finder = finder
        claim = study.claim
        assert isinstance(claim, MatrixClaim)  # noqa: S101  # asked for these only
        self.claim = claim
        self.groups: NDArray[np.int64] | None = None
        if claim.matrix.nnz <= MOST_ENTRIES_OF_A_PATTERN:
            self.groups = column_groups(claim.matrix, most)

    @property
    def evaluations(self) -> int:
        """What measuring them will take."""
        return EVALUATIONS * (int(np.max(self.groups, initial=-1)) + 1) if self.groups is not None else 0

    def run(self) -> None:
        """Measure all groups; confirm suspicious entries one by one."""
        try:
            self.measure()
        except BudgetSpent:
            self.study.run_out()

    def measure(self) -> None:
        """Compare every entry of the pattern, the worst relative discrepancies first confirmed."""
        calibration = self.study.taught()
        if self.groups is None or calibration is None:
            return
        coo = self.claim.matrix.tocoo()
        rows, columns = coo.coords
        scales = self.scales()
        roundings = 100 * self.study.row_roundoff(claimed=True) * self.claim.row_norms()
        tolerance = max(pair.tolerance for pair in self.study.every_pair)
        least = self.least()
        suspects: list[tuple[float, int, int]] = []
        for group in range(int(np.max(self.groups, initial=-1)) + 1):
            values, bars = self.read(np.where(self.groups == group, scales, 0.0), calibration)
            own = np.flatnonzero((self.groups[columns] == group) & np.isfinite(values[rows]))
            r, c = rows[own], columns[own]
            found = values[r] / scales[c]
            size = np.abs(coo.data[own]) + np.abs(coo.data[own] + found)
            limit = np.maximum(np.maximum(bars[r] / scales[c], roundings[r]), np.maximum(tolerance * size, least[r]))
            worst = np.abs(found) / np.maximum(size, np.finfo(float).tiny)
            suspects += [(float(worst[k]), int(r[k]), int(c[k])) for k in np.flatnonzero(np.abs(found) > limit)]
        suspects.sort(reverse=True)
        for _, row, column in suspects[:MOST_ENTRIES]:
            self.finder.measure_entry(row, column)

    def least(self) -> FloatArray:
        """Return, row by row, what an entry must be off by at least in any block of the point."""
        result = np.zeros(self.study.engine.base.size)
        for view, row in zip(self.claim.views, self.study.pairs, strict=True):
            result[view.own] = min((self.finder.least(pair) for pair in row), default=0.0)
        return result

    def scales(self) -> FloatArray:
        """Return the length for each column."""
        squares = np.asarray(self.claim.matrix.multiply(self.claim.matrix).sum(axis=0)).reshape(-1)
        sizes = [np.sqrt(squares[part]) for part in self.claim.structure.columns]
        return np.concatenate(coordinate_scales(self.study.problem, sizes))

    def read(self, vector: FloatArray, calibration: Calibration) -> tuple[FloatArray, FloatArray]:
        """Measure along one group's columns; NaN where nothing could be read."""
        direction = GivenDirection(tuple(vector[part] for part in self.claim.structure.columns))
        self.study.reader.side = 0
        reading = self.study.reader.later(self.study.line(direction), calibration=calibration)
        return reading.values, reading.bars
