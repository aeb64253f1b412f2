"""Many displaced points of one block in one call: as many as memory allows, and believed where serial values agree."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gradproof._numerics.statistics import within
from gradproof._words.vectors import FloatArray

IntArray = NDArray[np.intp]
Rows = Callable[[FloatArray], FloatArray | None]
"""From a block's flat values at K points, shape (K, size), to what is evaluated there, shape (K, …); None where it fails."""

FEWEST: Final = 64
"""Points from which on a batch is worth its overhead, which a framework pays for each function and each width: where
its adapter has no `least_batch`."""
FIRST: Final = 32
"""Points of the first batch: few, since it is on trial, and shows how much memory the cost takes for each."""
EXTRA: Final = 8
"""Evaluations that batches may take beside two of θ for each: those of the trial, and what narrow ones come to."""
GROWTH: Final = 8
"""Most by which a batch is wider than the one before: what memory was free before the first hides what it took."""
BATCH_BYTES: Final = 8 * 2**20
"""Displaced values of one batch, but for large blocks: they stay in cache, and their memory is used again instead of
being fetched anew."""
MEMORY_BYTES: Final = 128 * 2**20
"""Memory that one batch may take, the cost's own intermediate values included. Where that is less than `FIRST` points,
an evaluation is work on arrays, and no overhead that a batch would save."""
AGREEMENT: Final = 1e3
"""Roundings of J by which a change within a batch may differ from the same change of values evaluated alone."""
SUMMATION: Final = 1e6
"""Roundings by which J(θ) itself may differ: long sums in another order. It is the same error in all of a batch."""
NOISES: Final = 10.0
"""Times the noise of the cost that it may differ besides."""


class Batches:
    """Evaluates at many points that differ from θ in one coordinate of one block each.

    Each batch holds θ itself, too, so that its rounding is the same on both sides of a difference.

    Parameters
    ----------
    start
        The block's flat values, shape (size,).
    evaluate
        Evaluates rows of them.
    answers
        How many numbers come back for each.
    """

    def __init__(self, start: FloatArray, evaluate: Rows, *, answers: int = 1) -> None:
        self.start = start
        self.evaluate_rows = evaluate
        self.width = FIRST
        bytes_each = 8 * (start.size + answers)
        self.limit = max(min(max(BATCH_BYTES // bytes_each, FIRST), MEMORY_BYTES // bytes_each), 1)
        self.rows: FloatArray = np.empty((self.limit + 1, start.size))
        self.filled = 0

    @staticmethod
    def reserve(points: int) -> float:
        """Return how many evaluations, at most, batches of that many points take beside theirs."""
        return EXTRA + 2 * points / FIRST

    def parts(self, positions: IntArray) -> Iterator[IntArray]:
        """Yield the positions in parts, each as wide as the memory allows that the ones before it took.

        It ends where batches turn out to be not `worthwhile`.
        """
        done, self.width, growing = 0, min(FIRST, self.limit, positions.size), True
        peak = _peak()
        while done < positions.size and self.worthwhile:
            part = positions[done : done + self.width]
            yield part
            done += part.size
            rest = positions.size - done
            if not growing or not rest:
                continue
            peak, before = _peak(), peak
            taken = (peak - before) / part.size
            self.limit = max(int(min(MEMORY_BYTES / taken, self.limit)) if taken > 0 else self.limit, 1)
            # Of equal width: a framework that compiles does so for each width.
            widest = min(self.limit, GROWTH * self.width)
            width = -(-rest // -(-rest // widest))
            growing, self.width = width > self.width, width

    @property
    def worthwhile(self) -> bool:
        """Points take so little memory that evaluating many at once is faster."""
        return self.limit >= FIRST

    def evaluate(self, coordinates: IntArray, moved: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """Return what is evaluated at each point and, by the same call, at θ; None where that fails.

        Parameters
        ----------
        coordinates, moved
            Which coordinate each point has displaced, and its value there, shape (n,): as many as `parts` yielded.
        """
        points = self.width + 1
        self.rows[self.filled : points] = self.start
        self.filled = max(self.filled, points)
        rows, which = self.rows[:points], np.arange(1, coordinates.size + 1)
        rows[which, coordinates] = moved
        values = self.evaluate_rows(rows)
        rows[which, coordinates] = self.start[coordinates]
        if values is None or not np.array_equal(rows[0], self.start):  # the cost has written into it
            return None
        return values[which], values[0]


def least_batch(adapter: Any) -> int:
    """Return how many points are worth a batch in the adapter's framework."""
    return int(getattr(adapter, "least_batch", FEWEST))


def same_base(off: float, rounding: float, noise: float) -> bool:
    """Say whether a batch's value at θ may be off by so much.

    Parameters
    ----------
    off
        How far it is from the value of θ evaluated alone.
    rounding, noise
        u times the size of the values, and the standard deviation of one.
    """
    return within(off, SUMMATION * rounding + NOISES * noise)


def same_change(off: float, rounding: float, noise: float) -> bool:
    """Say whether a change from θ within a batch may be off by so much from that of values evaluated alone."""
    return within(off, AGREEMENT * rounding + NOISES * noise)


def _peak() -> float:
    """Return the most memory in bytes that this process has taken so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # on Windows: there the widths grow by their factor alone
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return float(unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
