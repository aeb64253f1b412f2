"""Every entry of a sparse Jacobian's pattern by itself, a group of columns at a time: what norms mask."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gradproof._evaluation.engine import BudgetSpent
from gradproof._evaluation.vector_lines import VectorLine
from gradproof._evidence.column_groups import column_groups
from gradproof._examination.map_columns import EVALUATIONS, MOST_ENTRIES
from gradproof._examination.map_examination import MapExamination
from gradproof._examination.map_faults import FaultFinder
from gradproof._problem.claims import MatrixClaim
from gradproof._problem.scales import coordinate_scales
from gradproof._words.directions import GivenDirection
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import FloatArray

MOST_ENTRIES_OF_A_PATTERN: Final = 2_000_000


class ColumnGroups:
    """Measures the entries of a sparse claim's pattern.

    Random lines have certified before that nothing lies outside the pattern; what a group of columns shows in a row then
    belongs to the one column of the group that the row depends on.

    Parameters
    ----------
    examination, finder
        As for `_examination.map_columns.Columns`.
    most
        Groups that are worth their evaluations.
    """

    def __init__(self, examination: MapExamination, finder: FaultFinder, most: int) -> None:
        self.examination = examination
        self.finder = finder
        claim = examination.claim
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
            self.examination.spent = True

    def measure(self) -> None:
        """Compare every entry of the pattern, the worst relative discrepancies first confirmed."""
        if self.groups is None or self.examination.reader.step == 0:
            return
        coo = self.claim.matrix.tocoo()
        rows, columns = coo.coords
        scales = self.scales()
        roundings = 100 * UNIT_ROUNDOFF[self.examination.precision] * self.claim.row_norms()
        tolerance = max(pair.tolerance for row in self.examination.pairs for pair in row)
        suspects: list[tuple[float, int, int]] = []
        for group in range(int(np.max(self.groups, initial=-1)) + 1):
            found = self.read(np.where(self.groups == group, scales, 0.0))
            if found is None:
                continue
            own = np.flatnonzero(self.groups[columns] == group)
            r, c = rows[own], columns[own]
            off, bars = np.abs(found[0][r]) / scales[c], found[1][r] / scales[c]
            size = np.abs(coo.data[own]) + np.abs(coo.data[own] + found[0][r] / scales[c])
            limit = np.maximum(np.maximum(bars, roundings[r]), tolerance * size)
            worst = off / np.maximum(size, np.finfo(float).tiny)
            suspects += [(float(worst[k]), int(r[k]), int(c[k])) for k in np.flatnonzero(off > limit)]
        suspects.sort(reverse=True)
        for _, row, column in suspects[:MOST_ENTRIES]:
            self.finder.measure_entry(row, column)

    def scales(self) -> FloatArray:
        """Return the length for each column."""
        squares = np.asarray(self.claim.matrix.multiply(self.claim.matrix).sum(axis=0)).reshape(-1)
        sizes = [np.sqrt(squares[part]) for part in self.claim.structure.columns]
        return np.concatenate(coordinate_scales(self.examination.problem, sizes))

    def read(self, vector: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """Measure along one group's columns."""
        direction = GivenDirection(tuple(vector[part] for part in self.claim.structure.columns))
        components = self.examination.engine.components(direction)
        line = VectorLine(self.examination.engine, components, self.examination.view(components))
        reader = self.examination.reader
        kink = reader.kink
        reading = reader.settle(line)
        reader.kink = kink
        return None if reading is None else (reading.values, reading.bars)
