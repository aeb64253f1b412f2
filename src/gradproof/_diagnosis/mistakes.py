"""What mistakes do to a gradient: pure functions on shaped arrays, shared by mutants and diagnosis.

A mistake turns the true gradient t into a claim g; a diagnosis asks which of them turns g back into t. The
rearrangements below come with their inverses, so that one catalogue serves both.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from gradproof._words.vectors import FloatArray

MOST_PERMUTED_AXES: Final = 4
ROLLS: Final = (1, -1, 2, -2)


class Rearrangement(Protocol):
    """The same numbers at other places of the same shape."""

    @property
    def cause(self) -> str:
        """Name of the member of `gradproof.Cause` that this is."""

    def apply(self, array: FloatArray) -> FloatArray:
        """Return the rearranged array, of the same shape; the argument is not changed."""

    def code(self, name: str) -> str:
        """Write it as NumPy code on an array called `name`."""

    def words(self) -> str:
        """Say what it did, to complete "the gradient of W …"."""


@dataclass(frozen=True, slots=True)
class Permutation:
    """Axes in another order, read into the shape again.

    Parameters
    ----------
    shape
        Of the block.
    order
        The permutation of those axes that are longer than one.
    undo
        False: transpose, then reshape. True: its inverse.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    undo: bool = False

    @property
    def _long(self) -> tuple[int, ...]:
        return tuple(size for size in self.shape if size > 1)

    @property
    def _permuted(self) -> tuple[int, ...]:
        return tuple(self._long[axis] for axis in self.order)

    @property
    def _inverse(self) -> tuple[int, ...]:
        return tuple(int(axis) for axis in np.argsort(self.order))

    @property
    def keeps_shape(self) -> bool:
        """Say whether the permuted axes have the lengths of the original ones, so that no reshape is involved."""
        return self._permuted == self._long

    @property
    def cause(self) -> str:
        """TRANSPOSE for a square matrix, else PERMUTED_AXES."""
        return "TRANSPOSE" if len(self.order) == 2 and self.keeps_shape else "PERMUTED_AXES"

    def apply(self, array: FloatArray) -> FloatArray:
        """Return the rearranged array."""
        if self.undo:
            return array.reshape(self._permuted).transpose(self._inverse).reshape(self.shape)
        return array.reshape(self._long).transpose(self.order).reshape(self.shape)

    def code(self, name: str) -> str:
        """Write it as code."""
        plain = len(self._long) == len(self.shape)
        matrix = plain and len(self.shape) == 2
        if self.undo:
            turn = ".T" if matrix else f".transpose({', '.join(map(str, self._inverse))})"
            end = "" if plain else f".reshape({', '.join(map(str, self.shape))})"
            return f"{name}.reshape({', '.join(map(str, self._permuted))}){turn}{end}"
        start = "" if plain else f".reshape({', '.join(map(str, self._long))})"
        turn = ".T" if matrix else f".transpose({', '.join(map(str, self.order))})"
        end = "" if plain and self.keeps_shape else f".reshape({', '.join(map(str, self.shape))})"
        return f"{name}{start}{turn}{end}"

    def words(self) -> str:
        """Say what it did."""
        if self.cause == "TRANSPOSE":
            return "is transposed"
        if self.keeps_shape:
            return "has its axes in the wrong order"
        return "has its entries in the wrong order: reshaped row by row where column by column is meant, or the reverse"


@dataclass(frozen=True, slots=True)
class Flip:
    """Reversed along some axes."""

    axes: tuple[int, ...]

    @property
    def cause(self) -> str:
        """FLIP."""
        return "FLIP"

    def apply(self, array: FloatArray) -> FloatArray:
        """Return the reversed view."""
        return np.flip(array, self.axes)

    def code(self, name: str) -> str:
        """Write it as code."""
        return f"np.flip({name}, axis={self.axes[0] if len(self.axes) == 1 else self.axes})"

    def words(self) -> str:
        """Say what it did."""
        axes = " and ".join(map(str, self.axes))
        return f"is reversed along {'axis' if len(self.axes) == 1 else 'axes'} {axes}"


@dataclass(frozen=True, slots=True)
class Roll:
    """Shifted cyclically along one axis."""

    axis: int
    shift: int

    @property
    def cause(self) -> str:
        """ROLL."""
        return "ROLL"

    def apply(self, array: FloatArray) -> FloatArray:
        """Return the shifted copy."""
        return np.roll(array, self.shift, self.axis)

    def code(self, name: str) -> str:
        """Write it as code."""
        return f"np.roll({name}, {self.shift}, axis={self.axis})"

    def words(self) -> str:
        """Say what was done to the true gradient: the reverse of this remedy."""
        return f"is shifted by {-self.shift} along axis {self.axis}"


def rearrangements(shape: tuple[int, ...]) -> Iterator[Rearrangement]:
    """Yield every rearrangement of a block that people make by mistake, each once, the likelier first.

    The set is closed under inversion.
    """
    yield from permutations(shape)
    long_axes = [axis for axis, size in enumerate(shape) if size > 1]
    for count in range(1, min(len(long_axes), MOST_PERMUTED_AXES) + 1):
        for axes in itertools.combinations(long_axes, count):
            yield Flip(axes)
    for axis in long_axes:
        size = shape[axis]
        # Along an axis of two, a shift by one is the reversal above.
        shifts = sorted({(shift % size) for shift in (*ROLLS, size // 2, -(size // 2))} - {0}) if size > 2 else []
        for shift in shifts:
            yield Roll(axis, shift if shift <= size // 2 else shift - size)


def permutations(shape: tuple[int, ...]) -> Iterator[Permutation]:
    """Yield the permutations of axes, those that need a reshape in both senses."""
    count = sum(size > 1 for size in shape)
    if count > MOST_PERMUTED_AXES:
        return
    for order in itertools.permutations(range(count)):
        if order == tuple(range(count)):
            continue
        forth = Permutation(shape, order)
        yield forth
        if not forth.keeps_shape:
            yield Permutation(shape, order, undo=True)


def add_parameter(array: FloatArray, parameter: FloatArray, coefficient: float) -> FloatArray:
    """Add c·θ, as a forgotten or repeated weight decay does."""
    return array + coefficient * parameter


def scale_part(array: FloatArray, part: tuple[slice | int, ...], factor: float) -> FloatArray:
    """Multiply one part of a copy."""
    result = array.copy()
    result[part] *= factor
    return result


def broadcast_total(array: FloatArray, *, mean: bool) -> FloatArray:
    """Put the sum (or mean) of all entries everywhere: reduced over every axis where only the batch was meant."""
    return np.full_like(array, array.mean() if mean else array.sum())


def bias_like(shape: Sequence[int]) -> bool:
    """Say whether a block has one axis longer than one: a vector, whatever axes of length one surround it."""
    return sum(size > 1 for size in shape) == 1


def short_decimal(value: float) -> float:
    """Round to one significant digit."""
    if value == 0:
        return 0.0
    return round(value, -math.floor(math.log10(abs(value))))
