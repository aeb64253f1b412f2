"""A weighted sum of a line's components, as φ: ℝ → ℝ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from gradproof._numerics.tables import Line
from gradproof._words.vectors import FloatArray, norm


class Projection:
    """A weighted sum of a line's components: φ: ℝ → ℝ for the search of a step.

    Parameters
    ----------
    line, weights
        What to sum, shape (R,).
    """

    def __init__(self, line: Line, weights: FloatArray) -> None:
        self.line = line
        self.weights = weights
        self.lone = weights.size == 1
        self.shares = [norm(weights[own]) for own in line.rows]
        self.asked: dict[float, tuple[float, float]] = {0.0: (0.0, self.size(line.at(0.0)))}

    @property
    def unit_roundoff(self) -> float:
        """u of the lowest precision among the values."""
        return max(self.line.unit_roundoff(k) for k, share in enumerate(self.shares) if share > 0)

    @property
    def parameter_roundoff(self) -> float:
        """u of the lowest precision at work."""
        return self.line.parameter_roundoff

    @property
    def shortest(self) -> float:
        """Shortest t that is represented."""
        return self.line.shortest

    @property
    def granularity(self) -> float:
        """Spacing of values that would scatter as the sum of rounded ones does."""
        return math.hypot(*(share * self.line.granularity(k) for k, share in enumerate(self.shares) if share > 0))

    @property
    def evaluations(self) -> int:
        """Calls of the function so far."""
        return self.line.evaluations

    def size(self, found: tuple[FloatArray, FloatArray] | None) -> float:
        """Return the size of what was rounded in a sum."""
        return 0.0 if found is None else norm(self.weights * found[1])

    def ahead(self, steps: Iterable[float], *, sure: bool = False) -> None:
        """Say which t are going to be asked for, or may be."""
        self.line.ahead(steps, sure=sure)

    def __call__(self, steps: Sequence[float]) -> FloatArray:
        """Return φ(t) for each t, NaN where the function failed."""
        if len(steps) > 1:
            self.ahead(steps, sure=True)
        for t in steps:
            if t not in self.asked:
                found = self.line.at(t)
                value = math.nan if found is None else float(self.weights @ found[0])
                self.asked[t] = value, self.size(found)
        return np.array([self.asked[t][0] for t in steps])

    def changes(self, steps: Sequence[float]) -> FloatArray:
        """Return how the function itself changes; of many components, by its size."""
        return np.array([self._change(t) for t in steps])

    def _change(self, t: float) -> float:
        if t == 0:
            return 0.0
        change = self.line.change(t)
        if self.lone:
            return float(change[0])
        # The weight of a block's components, root mean square, by the size of their change.
        parts = [
            share / math.sqrt(max(own.stop - own.start, 1)) * norm(change[rows])
            for share, own, rows in zip(self.shares, self.line.rows, self.line.own_rows, strict=True)
        ]
        return math.copysign(math.hypot(*parts), t)

    def magnitude(self, reach: float) -> float:
        """Return the largest size that was rounded within reach."""
        return max(size for t, (_, size) in self.asked.items() if abs(t) <= reach)

    def repeat(self) -> float:
        """Evaluate at t = 0 again; return the change of the sum."""
        change = self.line.repeat()
        return 0.0 if change is None else abs(float(self.weights @ change))
