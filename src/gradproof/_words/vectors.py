"""Vectors of real numbers: their types, norms and inner products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
SAFE_TO_SQUARE: Final = (1e-140, 1e140)
"""Sizes the squares of which neither overflow nor vanish in double precision, with room for sums."""
SMALLEST_SQUARE: Final = 1e-280
"""Sums of squares below this may lack some that have vanished."""
FEW: Final = 32
"""Numbers of which Python's hypot is faster than a change of NumPy's error state."""
Components = tuple[FloatArray | None, ...]
"""A direction or a displacement, one flat array a block; None where it is zero."""
CHUNK: Final = 65536
"""Entries of a block that are compared at once, so that no further vector of its size is made."""


def norm(vector: FloatArray) -> float:
    """Return ‖vector‖, without the overhead of the general form; of any size that a float can hold."""
    if vector.size <= FEW:
        return math.hypot(*vector.tolist())
    with np.errstate(all="ignore"):  # squares that do not fit are scaled below
        square = float(vector @ vector)
    if SMALLEST_SQUARE < square < math.inf:
        return math.sqrt(square)
    largest = float(np.max(np.abs(vector), initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return largest
    scaled = vector / largest
    return largest * math.sqrt(float(scaled @ scaled))


def root_mean_square(values: Sequence[float]) -> float:
    """Return the root mean square of a few numbers."""
    return math.hypot(*values) / math.sqrt(len(values))


def rms(values: FloatArray) -> float:
    """Return the root mean square."""
    largest = max(float(np.max(values, initial=0.0)), -float(np.min(values, initial=0.0)))
    if largest == 0:
        return 0.0
    if SAFE_TO_SQUARE[0] < largest < SAFE_TO_SQUARE[1]:
        return math.sqrt(float(values @ values) / values.size)  # without a further vector
    return largest * math.sqrt(float(np.mean((values / largest) ** 2)))


def inner(vectors: Sequence[FloatArray], components: Components) -> float:
    """Return ⟨vectors, components⟩ over the blocks, in float64."""
    pairs = zip(vectors, components, strict=True)
    return math.fsum(float(vector @ part) for vector, part in pairs if part is not None)


def norm_where(values: FloatArray, chosen: FloatArray) -> float:
    """Return the norm of the values where the other array is not zero, without a vector for them."""
    if values.size <= CHUNK:
        kept = values[chosen != 0]
        square = float(kept @ kept)
        return math.sqrt(square) if 0 < square < math.inf else float(np.linalg.norm(kept))
    parts = (slice(start, start + CHUNK) for start in range(0, values.size, CHUNK))
    return math.hypot(*(float(np.linalg.norm(values[part][chosen[part] != 0])) for part in parts))
