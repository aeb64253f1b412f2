"""φ along many coordinates of one block at once, where the framework evaluates a cost at many points in one call."""

from __future__ import annotations

import math
from functools import partial
from typing import Final

import numpy as np

from gradproof._evaluation.batches import Batches, IntArray, least_batch, same_base, same_change
from gradproof._evaluation.engine import BudgetSpent, Displacement, Engine
from gradproof._problem.problem import REPRESENTED
from gradproof._words.directions import Coordinate
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import FloatArray

REORDERED: Final = 4.0
"""Roundings by which two rows of one batch may differ at the same point: the edges of matrices are summed by other
code."""


class CoordinateLines:
    """φ along some coordinates of one block, each in units of its own length.

    A batch that raises, or whose values are not those of the cost alone, ends batches for the rest of the check.

    Parameters
    ----------
    engine
        Evaluates, counts, keeps the budget.
    block, indices
        Which coordinates, shape (n,).
    scales
        Length for each of them, shape (n,).
    base
        J(θ), evaluated alone.
    noise
        Standard deviation of one value, as far as it is known.
    """

    def __init__(
        self, engine: Engine, block: int, indices: IntArray, scales: FloatArray, base: float, noise: float
    ) -> None:
        self.engine = engine
        self.block = block
        self.indices = indices
        self.scales = scales
        self.base = base
        self.noise = noise
        self._largest = np.full(indices.size, abs(base))

    @property
    def unit_roundoff(self) -> float:
        """u of the precision of the cost's values."""
        return UNIT_ROUNDOFF[self.engine.value_precision]

    @property
    def granularity(self) -> float:
        """Spacing of the cost's values, where visible."""
        return self.engine.granularity

    @property
    def shortest(self) -> FloatArray:
        """Shortest t for which θ + t v is represented, for each coordinate."""
        return self.engine.problem.shortest_steps(self.block, self.indices, self.scales)

    @property
    def rounding(self) -> float:
        """Difference of two values at the same point that rounding alone explains."""
        return REORDERED * self.unit_roundoff * abs(self.base)

    def magnitude(self) -> FloatArray:
        """Return the largest |J| or claimed change so far, for each coordinate."""
        return self._largest

    def __call__(self, steps: FloatArray) -> FloatArray | None:
        """Return φ(t) − φ(0) − ⟨g, θ_t − θ⟩, NaN where the cost failed; None where serial evaluation has to do it.

        Parameters
        ----------
        steps
            t, shape (n, m): some for each coordinate.

        Raises
        ------
        BudgetSpent
            Before the first of them, where not all fit into the budget.
        """
        problem, engine, width = self.engine.problem, self.engine, steps.shape[1]
        function = engine.vectorized(self.block) if steps.size >= least_batch(problem.adapter) else None
        if function is None:
            return None
        coordinates = np.repeat(self.indices, width)
        wanted = (self.scales[:, None] * steps).ravel()
        start = problem.values[self.block][coordinates]
        with np.errstate(all="ignore"):
            moved = problem.represented(self.block, start + wanted)
            claimed = engine.claimed[self.block][coordinates] if engine.claimed is not None else 0.0
            changes = claimed * (moved - start)
            live = np.flatnonzero(
                (np.abs(moved - start - wanted) <= REPRESENTED * np.abs(wanted)) & np.isfinite(changes)
            )
        left = engine.budget - engine.evaluations - live.size
        if left < 0:
            raise BudgetSpent
        if left < Batches.reserve(live.size):
            return None  # the rows of θ itself and the trial would take what serial evaluation does without
        batches = Batches(problem.values[self.block], partial(engine.evaluate_rows, function, self.block))
        differences = np.full(wanted.size, np.nan)
        for k, part in enumerate(batches.parts(live)):
            found = batches.evaluate(coordinates[part], moved[part])
            if found is None or (k == 0 and not self._agrees(*found, part, changes, steps.ravel())):
                engine.refuse_batches()
                return None
            values, base = found
            differences[part] = values - base
            largest = np.fmax(np.abs(values), np.abs(changes[part]))
            np.fmax.at(self._largest, part // width, largest)
        if not batches.worthwhile:
            engine.refuse_batches()
            return None
        if live.size < wanted.size or not np.isfinite(differences[live]).all():
            self._note_failure(steps.ravel(), live, differences)
        return (differences - changes).reshape(steps.shape)

    def _agrees(
        self, values: FloatArray, base: FloatArray, part: IntArray, changes: FloatArray, steps: FloatArray
    ) -> bool:
        """Evaluate the point that is claimed to change most, and the last one, alone; say whether the batch is right."""
        size = max(abs(self.base), float(np.fmax.reduce(np.abs(values), initial=0.0)))
        allowed = self.unit_roundoff * size, self.noise
        if not same_base(float(base) - self.base, *allowed):
            return False
        for k in sorted({int(np.argmax(np.abs(changes[part]))), part.size - 1}):
            i, t = int(part[k]) // (steps.size // self.indices.size), float(steps[part[k]])
            direction = Coordinate(self.block, int(self.indices[i]), float(self.scales[i]))
            (alone,) = self.engine.evaluate([Displacement(direction, t)])
            failed = math.isnan(alone.value), math.isnan(values[k])
            off = float(values[k] - base) - (alone.value - self.base)
            if not (all(failed) or same_change(off, *allowed)):
                return False
        return True

    def _note_failure(self, steps: FloatArray, live: IntArray, differences: FloatArray) -> None:
        failed = np.flatnonzero(np.isnan(differences))
        step = float(steps[failed[-1]])
        name = self.engine.problem.blocks[self.block].name
        lost = failed[-1] not in live
        what = f"{name} cannot be displaced by so little in its precision" if lost else "J is not finite"
        self.engine.last_error = f"at θ {step:+.3g}·v: {what}"
