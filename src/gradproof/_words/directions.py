"""Recipes of directions: some fifty bytes each, never arrays.

A direction is made of its recipe, one block at a time, whenever it is needed: a report can hold every direction that a
check used, nothing of the parameters' size crosses a process, and a failure replays from one line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gradproof._words.vectors import FloatArray

STREAM: Final = 0x67726164
"""Keeps our streams apart from ``default_rng(seed)``, with which users draw the parameters themselves."""

THICK: Final = 8
"""Rows and columns, over the rank, from which on a matrix is made as a product: below, normal entries cost little."""


@dataclass(frozen=True, slots=True)
class Slab:
    """Part of a block: the positions ``start ≤ i < stop`` along one axis, or of the flat block where axis is None."""

    axis: int | None
    start: int
    stop: int

    def mask(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return the flat boolean mask of this part in a block of the given shape (C order)."""
        mask = np.zeros(shape, dtype=bool)
        if self.axis is None:
            mask.reshape(-1)[self.start : self.stop] = True
        else:
            mask[(slice(None),) * self.axis + (slice(self.start, self.stop),)] = True
        return mask.reshape(-1)

    def size(self, shape: tuple[int, ...]) -> int:
        """Count the coordinates of this part in a block of the given shape."""
        width = self.stop - self.start
        return width if self.axis is None else width * math.prod(shape) // max(shape[self.axis], 1)


class Direction(Protocol):
    """What every recipe can do."""

    def component(self, block: int, shape: tuple[int, ...]) -> FloatArray | None:
        """Return the direction's flat component in one block (C order), or None where it is zero."""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One coordinate of one block, times a scale."""

    block: int
    index: int
    scale: float = 1.0

    def component(self, block: int, shape: tuple[int, ...]) -> FloatArray | None:
        """Return the component: zero but for one entry."""
        if block != self.block:
            return None
        component = np.zeros(math.prod(shape))
        component[self.index] = self.scale
        return component


@dataclass(frozen=True, slots=True)
class RandomDirection:
    """Independent normal entries in every block, block b scaled by ``scales[b]`` (zero leaves it out).

    With a rank ρ large matrices are products A Bᵀ/√ρ of normal matrices with so many columns, which take a tenth of the
    time to make: the entries have variance 1, and r·v is normal given B (see `Law`).
    """

    seed: int
    stream: int
    scales: tuple[float, ...]
    rank: int = 0

    def component(self, block: int, shape: tuple[int, ...]) -> FloatArray | None:
        """Return the component: ``scales[block]`` times standard normal entries."""
        scale = self.scales[block]
        if scale == 0:
            return None
        rows = shape[0] if shape else 1
        columns = math.prod(shape[1:])
        if self.rank and min(rows, columns) >= THICK * self.rank:
            generator = np.random.default_rng([self.seed, STREAM, self.stream, block, self.rank])
            left = generator.standard_normal((rows, self.rank)) * (scale / math.sqrt(self.rank))
            product: FloatArray = left @ generator.standard_normal((self.rank, columns))
            return product.reshape(-1)
        values = normal_entries(self.seed, self.stream, block, math.prod(shape))
        values *= scale
        return values


@dataclass(frozen=True, slots=True)
class BlockDirection:
    """Normal entries in one block only, or in one part of it.

    Two recipes of the same seed and stream have the same entries wherever both are not zero, so that a part and its
    complement add up to the whole: a search gets one sibling's value by subtraction.

    Parameters
    ----------
    seed, stream
        Of the entries.
    block, scale
        Where, and how long.
    parts
        The entries that lie in all of these parts are kept; none for the whole block.
    sample
        Keep a random 1 in so many of the entries; 1 for all.
    """

    seed: int
    stream: int
    block: int
    scale: float
    parts: tuple[Slab, ...] = ()
    sample: int = 1

    def component(self, block: int, shape: tuple[int, ...]) -> FloatArray | None:
        """Return the component: scaled standard normal entries within the part, zero outside."""
        if block != self.block:
            return None
        values = normal_entries(self.seed, self.stream, block, math.prod(shape))
        values *= self.scale
        for part in self.parts:
            values *= part.mask(shape)
        if self.sample > 1:
            chooser = np.random.default_rng([self.seed, STREAM, self.stream, block, self.sample])
            values *= chooser.random(values.size) * self.sample < 1
        return values


def normal_entries(seed: int, stream: int, block: int, size: int) -> FloatArray:
    """Return the standard normal entries that belong to one block of one stream."""
    return np.random.default_rng([seed, STREAM, stream, block]).standard_normal(size)


class GivenDirection:
    """A direction that the user gave as arrays, one flat component a block."""

    def __init__(self, components: tuple[FloatArray, ...]) -> None:
        self.components = components

    def __repr__(self) -> str:
        """Say which one it is: as any recipe's, the text tells directions apart."""
        digest = blake2b(digest_size=16)
        for component in self.components:
            digest.update(np.ascontiguousarray(component).tobytes())
        return f"GivenDirection({digest.hexdigest()})"

    def component(self, block: int, shape: tuple[int, ...]) -> FloatArray | None:
        """Return a copy of the component that was given; None where it is zero throughout."""
        del shape
        component = self.components[block]
        return component.copy() if component.any() else None
