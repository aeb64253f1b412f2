"""φ along many coordinates of one block at once, where the framework evaluates a cost at many points in one call."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gradproof._directions import Coordinate, FloatArray
from gradproof._engine import BudgetSpent, Displacement, Engine
from gradproof._problem import REPRESENTED
from gradproof._settings import UNIT_ROUNDOFF
from gradproof._statistics import within

IntArray = NDArray[np.intp]

FEWEST: Final = 64
"""Points from which on a batch is worth its overhead, which a framework pays for each function and each width."""
FIRST: Final = 32
"""Points of the first batch: few, since it is on trial, and shows how much memory the cost takes for each."""
EXTRA: Final = 8
"""Evaluations that batches may take beside two of θ for each: those of the trial, and what narrow ones come to."""
GROWTH: Final = 8
"""Most by which a batch is wider than the one before: what memory was free before the first hides what it took."""
BATCH_BYTES: Final = 8 * 2**20
"""Displaced values of one batch, but for large blocks: they stay in cache, and their memory is used again instead of
being fetched anew."""
MEMORY_BYTES: Final = 256 * 2**20
"""Memory that one batch may take, the cost's own intermediate values included."""
AGREEMENT: Final = 1e3
"""Roundings of J by which a change within a batch may differ from the same change of values evaluated alone."""
SUMMATION: Final = 1e6
"""Roundings by which J(θ) itself may differ: long sums in another order. It is the same error in all of a batch."""
NOISES: Final = 10.0
"""Times the noise of the cost that it may differ besides."""
REORDERED: Final = 4.0
"""Roundings by which two rows of one batch may differ at the same point: the edges of matrices are summed by other
code."""


class CoordinateLines:
    """φ along some coordinates of one block, each in units of its own length.

    Each batch holds the point itself, too, so that its rounding is the same on both sides of a difference. A batch
    that raises, or whose values are not those of the cost alone, ends batches for the rest of the check.

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
        function = engine.vectorized(self.block) if steps.size >= FEWEST else None
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
        if left < EXTRA + 2 * live.size / FIRST:
            return None  # the rows of θ itself and the trial would take what serial evaluation does without
        batches = Batches(engine, self.block, function)
        differences = np.full(wanted.size, np.nan)
        for k, part in enumerate(batches.parts(live)):
            found = batches.evaluate(coordinates[part], moved[part])
            if found is None or (k == 0 and not self._agrees(found, part, changes, steps.ravel())):
                engine.refuse_batches()
                return None
            values, base = found
            differences[part] = values - base
            largest = np.fmax(np.abs(values), np.abs(changes[part]))
            np.fmax.at(self._largest, part // width, largest)
        if live.size < wanted.size or not np.isfinite(differences[live]).all():
            self._note_failure(steps.ravel(), live, differences)
        return (differences - changes).reshape(steps.shape)

    def _agrees(self, found: tuple[FloatArray, float], part: IntArray, changes: FloatArray, steps: FloatArray) -> bool:
        """Evaluate the point that is claimed to change most, and the last one, alone; say whether the batch is right."""
        values, base = found
        tried = sorted({int(np.argmax(np.abs(changes[part]))), part.size - 1})
        rounding = self.unit_roundoff * max(abs(self.base), float(np.fmax.reduce(np.abs(values), initial=0.0)))
        noise = NOISES * self.noise
        if not within(base - self.base, SUMMATION * rounding + noise):
            return False
        for k in tried:
            i, t = int(part[k]) // (steps.size // self.indices.size), float(steps[part[k]])
            direction = Coordinate(self.block, int(self.indices[i]), float(self.scales[i]))
            (alone,) = self.engine.evaluate([Displacement(direction, t)])
            failed = math.isnan(alone.value), math.isnan(values[k])
            off = (values[k] - base) - (alone.value - self.base)
            if not (all(failed) or within(off, AGREEMENT * rounding + noise)):
                return False
        return True

    def _note_failure(self, steps: FloatArray, live: IntArray, differences: FloatArray) -> None:
        failed = np.flatnonzero(np.isnan(differences))
        step = float(steps[failed[-1]])
        name = self.engine.problem.blocks[self.block].name
        lost = failed[-1] not in live
        what = f"{name} cannot be displaced by so little in its precision" if lost else "J is not finite"
        self.engine.last_error = f"at θ {step:+.3g}·v: {what}"


class Batches:
    """Evaluates a cost at many points that differ from θ in one coordinate of one block each.

    Parameters
    ----------
    engine, block
        Where.
    function
        The cost at many points: takes the leaves, the block's with a leading axis; see `Engine.vectorized`.
    """

    def __init__(self, engine: Engine, block: int, function: Callable[[list[Any]], FloatArray]) -> None:
        self.engine = engine
        self.block = block
        self.function = function
        self.start = engine.problem.values[block]
        self.width = FIRST
        bytes_each = 8 * self.start.size
        self.limit = max(min(max(BATCH_BYTES // bytes_each, FIRST), MEMORY_BYTES // bytes_each), 1)
        self.rows: FloatArray = np.empty((0, self.start.size))

    def parts(self, positions: IntArray) -> Any:
        """Yield the positions in parts, each as wide as the memory allows that the ones before it took."""
        done, self.width = 0, min(FIRST, self.limit, positions.size)
        while done < positions.size:
            part = positions[done : done + self.width]
            before = _peak()
            yield part
            done += part.size
            taken = (_peak() - before) / part.size
            affordable = int(min(MEMORY_BYTES / taken, self.limit)) if taken > 0 else self.limit
            self.limit = max(affordable, 1)
            # Of equal width: a framework that compiles does so for each width.
            rest = positions.size - done
            widest = min(self.limit, GROWTH * self.width)
            self.width = -(-rest // max(-(-rest // widest), 1)) if rest else self.width

    def evaluate(self, coordinates: IntArray, moved: FloatArray) -> tuple[FloatArray, float] | None:
        """Return J at each point, NaN where it is not finite, and J(θ) by the same call; None where that fails."""
        points = self.width + 1
        if self.engine.evaluations + points > self.engine.budget:
            raise BudgetSpent
        if len(self.rows) < points:
            self.rows = np.tile(self.start, (points, 1))
        rows, which = self.rows[:points], np.arange(1, coordinates.size + 1)
        rows[which, coordinates] = moved
        values = self.engine.evaluate_rows(self.function, self.block, rows)
        rows[which, coordinates] = self.start[coordinates]
        if values is None or not np.array_equal(rows[0], self.start):  # the cost has written into it
            return None
        return values[which], float(values[0])


def _peak() -> float:
    """Return the most memory in bytes that this process has taken so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # on Windows: there the widths grow by their factor alone
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
