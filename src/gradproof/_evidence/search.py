"""Where in a block is the fault? Adaptive halving that reuses the parent's measurement.

k faults among N entries take about k·log₂(N/k) lines. The entries of a part and of its complement are those of the
whole, so that a sibling's value comes by subtraction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gradproof._numerics.statistics import within
from gradproof._words.directions import BlockDirection, Slab

Measure = Callable[[BlockDirection], tuple[float, float]]
"""Returns the discrepancy ⟨r, v⟩ along a direction and a decision-grade bar."""

SUBSETS: Final = 5
ONE_IN: Final = 32
WHOLE: Final = 4
"""Four of five random subsets of 1/32 that are faulty mean some fifty faulty entries at least."""
FEWEST_SLICES: Final = 4
"""Length of an axis from which on its halves are asked for separately."""
MOST_FAULTS: Final = 24
"""Faulty indices along one axis after which the axis is left whole."""
MOST_PARTS: Final = 64


@dataclass(slots=True)
class Location:
    """What a search found in one block.

    Parameters
    ----------
    parts
        Products of slabs, each of which holds a fault; empty where the block is wrong as a whole.
    lines
        Directional derivatives measured for it.
    complete
        False where the budget ended the search.
    """

    parts: list[tuple[Slab, ...]] = field(default_factory=list)
    lines: int = 0
    complete: bool = True


class Locator:
    """Searches one block.

    Parameters
    ----------
    measure
        Measures a direction.
    block, shape, scale
        The block, its shape, and the length of its displacements.
    seed, stream
        Of the entries.
    """

    def __init__(
        self, measure: Measure, block: int, shape: tuple[int, ...], scale: float, *, seed: int, stream: int
    ) -> None:
        self.measure = measure
        self.block = block
        self.shape = shape or (1,)
        self.scale = scale
        self.seed = seed
        self.stream = stream
        self.location = Location()
        self.found: list[int] = []

    def run(self, spent: type[Exception]) -> Location:
        """Search until the faults are found, the block is seen to be wrong as a whole, or the budget is spent."""
        size = math.prod(self.shape)
        try:
            if size == 1 or self.wrong_as_a_whole(size):
                return self.location
            self.narrow(())
        except spent:
            self.location.complete = False
        if len(self.location.parts) > MOST_PARTS or self.covers_all():
            self.location.parts = []
        return self.location

    def covers_all(self) -> bool:
        """Say whether the parts found are the block itself."""
        return self.location.parts == [()]

    def direction(self, parts: tuple[Slab, ...], sample: int = 1, offset: int = 0) -> BlockDirection:
        return BlockDirection(self.seed, self.stream + offset, self.block, self.scale, parts, sample)

    def look(self, direction: BlockDirection) -> tuple[float, float]:
        self.location.lines += 1
        return self.measure(direction)

    def wrong_as_a_whole(self, size: int) -> bool:
        """Ask five random subsets of 1/32 of the entries: random halves would mislead, as two faults fill most."""
        if size < 2 * ONE_IN or self.some_slices_are_right():
            return False
        faulty = 0
        for k in range(SUBSETS):
            value, bar = self.look(self.direction((), ONE_IN, offset=k + 1))
            faulty += not within(value, bar)
            if faulty >= WHOLE or k + 1 - faulty > SUBSETS - WHOLE:
                break
        return faulty >= WHOLE

    def some_slices_are_right(self) -> bool:
        """Ask whether half of the rows, or of the columns, is free of fault: a faulty row fills every random subset."""
        if sum(length > 1 for length in self.shape) < 2:
            return False
        for axis, length in enumerate(self.shape):
            if length < FEWEST_SLICES:
                continue
            for start, stop in ((0, length // 2), (length // 2, length)):
                value, bar = self.look(self.direction((Slab(axis, start, stop),)))
                if within(value, bar):
                    return True
        return False

    def narrow(self, fixed: tuple[Slab, ...]) -> None:
        """Find the faulty indices along one axis after the other; an axis on which most are faulty is left whole."""
        queue = [(fixed, 0)]
        while queue:
            parts, axis = queue.pop(0)
            if axis == len(self.shape) or len(self.location.parts) > MOST_PARTS:
                self.location.parts.append(parts)
                continue
            try:
                indices = self.faulty_indices(parts, axis)
            except Exception:
                # The budget ended the search: what is known of this part, and of those that wait, is kept.
                found = [(*parts, Slab(axis, i, i + 1)) for i in self.found]
                self.location.parts.extend(part for part in (*found, *(waiting for waiting, _ in queue)) if part)
                raise
            if indices is None or len(indices) == self.shape[axis]:
                queue.append((parts, axis + 1))
            else:
                queue.extend(((*parts, Slab(axis, i, i + 1)), axis + 1) for i in indices)

    def faulty_indices(self, parts: tuple[Slab, ...], axis: int) -> list[int] | None:
        """Halve along an axis; None where more indices are faulty than is worth telling apart."""
        length = self.shape[axis]
        if length == 1:
            return [0]
        most = max(MOST_FAULTS, 1) if length > MOST_FAULTS else length
        found = self.found = []
        stack = [(0, length, *self.look(self.direction(parts)))]
        while stack:
            start, stop, value, bar = stack.pop()
            if within(value, bar):
                continue
            if stop - start == 1:
                found.append(start)
                if len(found) > most:
                    return None
                continue
            middle = (start + stop) // 2
            left, left_bar = self.look(self.direction((*parts, Slab(axis, start, middle))))
            right, right_bar = value - left, bar + left_bar
            if right_bar > 4 * left_bar and not within(right, left_bar) and within(right, right_bar):
                # What the subtraction cannot resolve any more is measured.
                right, right_bar = self.look(self.direction((*parts, Slab(axis, middle, stop))))
            stack.append((middle, stop, right, right_bar))
            stack.append((start, middle, left, left_bar))
        return sorted(found)
