"""One fault is found from the lines alone, without any search.

If only coordinate j is wrong, by r, every line shows y = r·zⱼ: of all the coordinates' ratios y/zⱼ only those of j are
the same for every line. Likewise for a slice that is wrong by a factor, with the slice's share of g·z in zⱼ's place.
Five lines single out one coordinate among millions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gradproof._diagnosis.evidence import Measurements
from gradproof._diagnosis.fitting import LARGEST_CHANCE, chance_of_accident
from gradproof._words.vectors import FloatArray

SMALLEST_SLICE = 2
CHUNK = 65_536
"""Entries that are worked on at once, so that no more vectors of the block's size are held than the three needed."""


def decode_one(measurements: Measurements) -> NDArray[np.intp] | None:
    """Return the flat indices of the one coordinate, or the one slice, that explains every line; None if there is none."""
    if not measurements.lines:
        return None
    one = _one_coordinate(measurements)
    if one is not None:
        return one
    for axis, length in enumerate(measurements.shape):
        if SMALLEST_SLICE <= length < measurements.size:
            found = _one_slice(measurements, axis)
            if found is not None:
                return found
    return None


def _one_coordinate(measurements: Measurements) -> NDArray[np.intp] | None:
    size = measurements.size
    lower, upper = np.full(size, -math.inf), np.full(size, math.inf)
    lines = _lines(measurements)
    for (value, bar), (_, z, _) in zip(lines, measurements.components(), strict=True):
        _narrow(lower, upper, z, value, bar)
    return _only_one(measurements, lower, upper)


def _one_slice(measurements: Measurements, axis: int) -> NDArray[np.intp] | None:
    shape = measurements.shape
    others = tuple(other for other in range(len(shape)) if other != axis)
    lower, upper = np.full(shape[axis], -math.inf), np.full(shape[axis], math.inf)
    lines = _lines(measurements)
    for (value, bar), (_, z, _) in zip(lines, measurements.components(), strict=True):
        shares = np.multiply(z, measurements.claimed, out=z).reshape(shape).sum(axis=others)
        _narrow(lower, upper, shares, value, bar)
    found = _only_one(measurements, lower, upper)
    if found is None:
        return None
    inside = np.zeros(shape, dtype=bool)
    inside[(slice(None),) * axis + (int(found[0]),)] = True
    return np.flatnonzero(inside)


def _lines(measurements: Measurements) -> list[tuple[float, float]]:
    """(true − claimed)·z and its bar for the lines, which come after the coordinates."""
    singles = measurements.indices.size
    return [(misfit.value, misfit.bar) for misfit in measurements.misfits[singles:]]


def _narrow(lower: FloatArray, upper: FloatArray, slopes: FloatArray, value: float, bar: float) -> None:
    """Intersect, in place, with the coefficients c for which |value − c·slope| ≤ bar."""
    for start in range(0, slopes.size, CHUNK):
        part = slice(start, start + CHUNK)
        slope = slopes[part]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            middle = value / slope
            half = bar / np.abs(slope)
        # A slope of zero leaves any coefficient where the value is zero, else none.
        half[slope == 0] = math.inf if abs(value) <= bar else -math.inf
        middle[slope == 0] = 0.0
        np.maximum(lower[part], middle - half, out=lower[part])
        np.minimum(upper[part], middle + half, out=upper[part])


def _only_one(measurements: Measurements, lower: FloatArray, upper: FloatArray) -> NDArray[np.intp] | None:
    """Return the place whose interval is left, if there is exactly one and accident is out of the question."""
    left = np.flatnonzero(lower <= upper)
    if left.size != 1 or not math.isfinite(lower[left[0]] + upper[left[0]]):
        return None
    chance = chance_of_accident(measurements.misfits, measurements.size, free=1)
    return left if chance * lower.size <= LARGEST_CHANCE else None
