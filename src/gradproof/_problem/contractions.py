"""What is claimed of one displacement, formed block by block while it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradproof._problem.problem import Watcher
from gradproof._problem.structure import Blocks
from gradproof._words.vectors import CHUNK, Components, FloatArray


class Inner:
    """⟨g, θ_t − θ⟩, block by block."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks

    def contraction(self, t: float) -> InnerSum:
        """Return what forms the change at t."""
        del t
        return InnerSum(self.blocks)


class InnerSum:
    """One displacement of `Inner`."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        self.sum = 0.0

    def take(self, block: int, there: FloatArray, old: FloatArray) -> None:
        """Take in a displaced block."""
        self.sum += change_along(self.blocks[block], there, old)

    def total(self) -> FloatArray:
        """Return the change that is claimed."""
        return np.array([self.sum])


class OneEntry:
    """A[row, column] (θ_t − θ)[column]."""

    def __init__(self, block: int, index: int, value: float) -> None:
        self.block, self.index, self.value = block, index, value
        self.sum = 0.0

    def contraction(self, t: float) -> OneEntry:
        """Return what forms the change at t."""
        del t
        return OneEntry(self.block, self.index, self.value)

    def take(self, block: int, there: FloatArray, old: FloatArray) -> None:
        """Take in a displaced block."""
        if block == self.block:
            start = old[self.index] if old.size == there.size else 0.0
            self.sum += self.value * float(there[self.index] - start)

    def total(self) -> FloatArray:
        """Return the change that is claimed."""
        return np.array([self.sum])


class Cotangents:
    """(Aᵀu)·(θ_t − θ) for the cotangents of each output."""

    def __init__(self, pulled: Sequence[Sequence[FloatArray]], count: int) -> None:
        self.pulled, self.count = pulled, count

    def contraction(self, t: float) -> CotangentSums:
        """Return what forms the change at t."""
        del t
        return CotangentSums(self.pulled, self.count)


class CotangentSums:
    """One displacement of `Cotangents`."""

    def __init__(self, pulled: Sequence[Sequence[FloatArray]], count: int) -> None:
        self.pulled = pulled
        self.sums = np.zeros((len(pulled), count))

    def take(self, block: int, there: FloatArray, old: FloatArray) -> None:
        """Take in a displaced block."""
        move = there - old
        for o, products in enumerate(self.pulled):
            self.sums[o] += products[block] @ move

    def total(self) -> FloatArray:
        """Return the change that is claimed."""
        return self.sums.reshape(-1)


class Applied:
    """A (θ_t − θ), by the product with the whole displacement: t A v where the displacement is exact.

    Parameters
    ----------
    apply
        v ↦ A v.
    components
        Makes v.
    blocks
        Number of blocks of the point.
    exact
        θ_t − θ is t v but for the rounding of double precision.
    """

    def __init__(
        self,
        apply: Callable[[Components], FloatArray],
        components: Callable[[], Components],
        blocks: int,
        *,
        exact: bool,
    ) -> None:
        self.apply = apply
        self.product = apply(components()) if exact else None
        self.blocks = blocks

    def contraction(self, t: float) -> AppliedTo:
        """Return what forms the change at t."""
        return AppliedTo(self.apply, self.product, self.blocks, t)


class AppliedTo:
    """One displacement of `Applied`."""

    def __init__(
        self, apply: Callable[[Components], FloatArray], product: FloatArray | None, blocks: int, t: float
    ) -> None:
        self.apply, self.product, self.t = apply, product, t
        self.moves: list[FloatArray | None] = [None] * blocks
        self.take: Watcher | None = None if product is not None else self.keep

    def keep(self, block: int, there: FloatArray, old: FloatArray) -> None:
        """Take in a displaced block."""
        self.moves[block] = (there - old) / self.t

    def total(self) -> FloatArray:
        """Return the change that is claimed."""
        product = self.apply(tuple(self.moves)) if self.product is None else self.product
        change: FloatArray = self.t * product
        return change


def change_along(claimed: FloatArray, new: FloatArray, old: FloatArray) -> float:
    """Return ⟨claimed, new − old⟩ without a vector for the difference."""
    if new.size <= CHUNK:
        return float(claimed @ (new - old))
    parts = (slice(start, start + CHUNK) for start in range(0, new.size, CHUNK))
    whole = old.size == new.size
    return sum((float(claimed[part] @ (new[part] - (old[part] if whole else old))) for part in parts), 0.0)


def whole_rows(change: FloatArray, claimed: FloatArray | None, base: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the discrepancies of all rows, and the sizes of what was rounded."""
    sizes = np.maximum(np.abs(base), np.abs(base + change))
    if claimed is None:
        return change, sizes
    return change - claimed, np.maximum(sizes, np.abs(claimed))
