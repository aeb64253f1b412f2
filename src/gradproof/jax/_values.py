"""Two values of one function: whether they are the same, and by how much they differ."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from gradproof._numerics.statistics import within
from gradproof._problem.outputs import REAL_PARTS
from gradproof._words.precision import UNIT_ROUNDOFF

SAME: Final = 1.0e3
"""A function gives the same values where they differ by no more than so many roundings of the largest."""


def difference(one: Any, two: Any) -> float:
    """Return max|a − b| / max|a|: 0 for equal arrays, NaN included."""
    if np.array_equal(np.asarray(one), np.asarray(two), equal_nan=True):
        return 0.0
    size, off = _size_and_distance(one, two)
    return off / size if size > 0 else 1.0


def alike(one: Any, two: Any) -> bool:
    """Say whether two arrays differ by their rounding only."""
    return bool(one.shape == two.shape and one.dtype == two.dtype and relative_distance(one, two) == 0)


def relative_distance(one: Any, two: Any) -> float:
    """Return max|a − b| / max|a|; 0 where that is no more than rounding."""
    size, off = _size_and_distance(one, two)
    if within(off, SAME * _roundoff(one) * size) or size == 0:
        return 0.0
    return off / size


def _size_and_distance(one: Any, two: Any) -> tuple[float, float]:
    a, b = (np.asarray(value).astype(np.complex128) for value in (one, two))
    both = np.isfinite(a) & np.isfinite(b)
    return float(np.max(np.abs(a[both]), initial=0.0)), float(np.max(np.abs(a[both] - b[both]), initial=0.0))


def half_the_digits(value: Any) -> float:
    """Return √u: the relative difference that another order of operations excuses."""
    return float(_roundoff(value) ** 0.5)


def _roundoff(value: Any) -> float:
    name = value.dtype.name
    return UNIT_ROUNDOFF.get(REAL_PARTS.get(name, name), 1.0)
