"""What an output's values say of themselves: their precision, and a visible rounding."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from gradproof._numerics.noise import granularity_of
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import FloatArray

ENOUGH_VALUES: Final = 7
"""Distinct values after which the precision in which they are returned is read off them."""
RECENT: Final = 64
"""Latest values, from which a visible rounding of an output is read."""
SAMPLED: Final = 16
"""Components of an output whose values are looked at for the precision."""
GRAINED: Final = 4
"""Components of those that are looked at for a visible rounding."""
NARROW: Final = ("float16", "float32")


class Seen:
    """The latest values of some components of one output.

    Parameters
    ----------
    base
        F(θ).
    rows
        The output's.
    dtype
        The precision of its type.
    """

    def __init__(self, base: FloatArray, rows: slice, dtype: str) -> None:
        size = rows.stop - rows.start
        if size <= SAMPLED:
            self.indices = np.arange(rows.start, rows.stop)
        else:
            self.indices = rows.start + np.linspace(0, size - 1, SAMPLED).astype(np.intp)
        self.lone = int(self.indices[0]) if self.indices.size == 1 else -1
        self.base = base[self.indices]
        self.dtype = dtype
        self.values: deque[FloatArray | float] = deque(maxlen=RECENT)
        self.distinct: set[float] = set()
        self.narrow = {kind: dtype == "float64" and self._fits(self.base, kind) for kind in NARROW}
        self._grain, self._next_look = 0.0, 0

    @staticmethod
    def _fits(values: FloatArray, kind: str) -> bool:
        with np.errstate(all="ignore"):
            return bool(np.array_equal(values.astype(kind), values))

    def take(self, values: FloatArray) -> None:
        """Take in the values at one displaced point."""
        if self.lone >= 0:
            value = float(values[self.lone])
            self.values.append(value)
            if len(self.distinct) < ENOUGH_VALUES:
                self.distinct.add(value)
            own = np.array([value]) if any(self.narrow.values()) else self.base
        else:
            own = values[self.indices]
            self.values.append(own)
            if len(self.distinct) < ENOUGH_VALUES:
                self.distinct.update(own[own != self.base].tolist())
        for kind, fits in self.narrow.items():
            if fits:
                self.narrow[kind] = self._fits(own, kind)

    @property
    def precision(self) -> str:
        """The precision in which the values are represented."""
        if len(self.distinct) >= ENOUGH_VALUES:
            return next((kind for kind, fits in self.narrow.items() if fits), self.dtype)
        return self.dtype

    def granularity(self, evaluations: int) -> float:
        """Return the spacing that most of the components share."""
        if evaluations >= self._next_look and self.indices.size:
            seen = (
                np.array(self.values).reshape(len(self.values), -1) if self.values else np.zeros((0, self.indices.size))
            )
            chosen = range(0, self.indices.size, -(-self.indices.size // GRAINED))
            unit = UNIT_ROUNDOFF[self.dtype]
            found = [granularity_of(np.append(seen[:, j], self.base[j]), unit) for j in chosen]
            shown = [grain for grain in found if grain > 0]
            # Once seen it stays: values of another size may hide it again.
            self._grain = max(shown) if 2 * len(shown) > len(found) else self._grain
            self._next_look = evaluations + max(evaluations // 8, 1)
        return self._grain
