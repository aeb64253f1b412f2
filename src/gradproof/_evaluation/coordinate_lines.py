"""φ along many coordinates of one block at once, where the framework evaluates a cost at many points in one call."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from gradproof._evaluation.batches import Batches, IntArray, least_batch, same_base, same_change
from gradproof._evaluation.engine import BudgetSpent, Engine
from gradproof._problem.claims import GradientClaim
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
    claim
        What is taken off.
    block, indices
        Which coordinates, shape (n,).
    scales
        Length for each of them, shape (n,).
    noise
        Standard deviation of one value, as far as it is known.
    """

    def __init__(
        self, engine: Engine, claim: GradientClaim, block: int, indices: IntArray, scales: FloatArray, noise: float
    ) -> None:
        self.engine = engine
        self.claim = claim
        self.block = block
        self.indices = indices
        self.scales = scales
        self.base = base = float(claim.own(engine.base)[0])
        self.noise = noise
        self._largest = np.full(indices.size, abs(base))

    @property
    def unit_roundoff(self) -> float:
        """u of the precision of the cost's values."""
        return UNIT_ROUNDOFF[self.engine.value_precision(self.claim.views[0].output)]

    @property
    def granularity(self) -> float:
        """Spacing of the cost's values, where visible."""
        view = self.claim.views[0]
        return view.weight * self.engine.granularity(view.output)

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
            claimed = self.claim.blocks[self.block][coordinates]
            changes = claimed * (moved - start)
            live = np.flatnonzero(
                (np.abs(moved - start - wanted) <= REPRESENTED * np.abs(wanted)) & np.isfinite(changes)
            )
        left = engine.budget - engine.evaluations - live.size
        if left < 0:
            raise BudgetSpent
        if left < Batches.reserve(live.size):
            return None  # the rows of θ itself and the trial would take what serial evaluation does without
        batches = Batches(problem.values[self.block], partial(self._evaluate, function))
        differences = np.full(wanted.size, np.nan)
        for k, part in enumerate(batches.parts(live)):
            found = batches.evaluate(coordinates[part], moved[part])
            if found is None or (k == 0 and not self._agrees(*found, part, changes, steps.ravel())):
                engine.refuse_batches()
                return None
            engine.believe_batches()
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
            change = self.engine.evaluate(direction, t)
            alone = math.nan if change is None else float(self.claim.own(change)[0])
            failed = math.isnan(alone), math.isnan(values[k])
            off = float(values[k] - base) - alone
            if not (all(failed) or same_change(off, *allowed)):
                return False
        return True

    def _evaluate(self, function: Callable[[Any], Any], rows: FloatArray) -> FloatArray | None:
        """Evaluate the one output at many points, shape (K,)."""
        values = self.engine.evaluate_rows(function, self.block, rows)
        if values is None:
            return None
        return values[:, 0] if self.claim.weights is None else values @ self.claim.weights

    def _note_failure(self, steps: FloatArray, live: IntArray, differences: FloatArray) -> None:
        failed = np.flatnonzero(np.isnan(differences))
        step = float(steps[failed[-1]])
        name = self.engine.problem.blocks[self.block].name
        lost = failed[-1] not in live
        what = f"{name} cannot be displaced by so little in its precision" if lost else "J is not finite"
        self.engine.last_error = f"at θ {step:+.3g}·v: {what}"
