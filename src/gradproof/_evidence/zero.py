"""What counts as zero: how small a change excuses a claim of zero, over which reach it is judged, and how it is said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from gradproof._numerics.tables import REPRESENTED, Line, shorten_mantissa
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.settings import DEFAULT_TOLERANCES
from gradproof._words.vectors import FloatArray, norm

ROUNDED: Final = 30.0
"""Unit roundoffs of a value up to which its changes are rounding, √n being what n terms of its size add up to, for a
thousand of them. Changes that excuse a claim of zero must be smaller."""
WITHIN: Final = 0.01
"""A block that changes an output by less than this share of the tolerance, over the largest one, is not told from zero in
half precision."""
NARROWED: Final = 12
"""Times that the place of a jump is narrowed down: from a hundredfold step to a thousandth of it."""
VISIBLE: Final = 1000.0
"""Unit roundoffs of a value above which a change is no rounding of it: jumps between values that stand still."""
NEARBY: Final = 8.0
"""A look for what stands still is at a step so many times the shortest that would show a slope."""


def own_rounding(weights: FloatArray, precision: str, roundoffs: Sequence[float]) -> FloatArray:
    """Return the change that is the claim's own rounding, where it was worked out in a lower precision than its judge.

    A derivative that cancels is left with the rounding of its terms, which are about as large as the largest one of its
    output. A claim of exactly zero is no rounding.

    Parameters
    ----------
    weights
        Change of each output that is claimed of each block, over its own scale, shape (outputs, blocks).
    precision
        The claim's.
    roundoffs
        u of each output's values.

    Returns
    -------
    ndarray, shape (outputs, blocks)
    """
    unit = UNIT_ROUNDOFF[precision]
    share = min(ROUNDED * unit, WITHIN * DEFAULT_TOLERANCES[precision])
    largest = np.max(weights, axis=1, initial=0.0, keepdims=True) * (unit > np.array(roundoffs))[:, None]
    slack: FloatArray = share * largest * (weights > 0)
    return slack


def rounding_note(names: Sequence[str], of: str) -> str:
    """Say that what is claimed of these blocks counts as zero beside what the cost, or an output, does nearby."""
    shown = f"{', '.join(names[:6])}{' …' if len(names) > 6 else ''}"
    return (
        f"What is claimed of {shown} is nothing beside what the {of} does nearby, as a gradient at a "
        "minimum is the rounding of its own terms: it counts as zero, and its digits were not judged."
    )


def look_nearby(line: Line, k: int, rounding: float) -> None:
    """See on both sides whether a block stands still where a slope like that seen further out would just be visible.

    Parameters
    ----------
    line, k, rounding
        As below.
    """
    rows = line.own_rows[k]
    moved = [(abs(t), size) for t in line.known if (size := norm(line.change(t)[rows])) > ROUNDED * rounding]
    if not moved or min(size for _, size in moved) <= NEARBY * VISIBLE * rounding:
        return  # the rounding of these values is what was seen, or near to it
    nearest, size = min(moved)
    t = shorten_mantissa(NEARBY * VISIBLE * rounding * nearest / size)
    if REPRESENTED * line.shortest <= t < nearest:
        line.at(t)
        line.at(-t)


def jumps_between_flats(line: Line, k: int, rounding: float) -> bool:
    """Say whether a block is the same but for rounding near the point, on both sides, and jumps visibly further out.

    Between the last value that stands still and the first that does not the place of the jump is narrowed down: the
    jumps of a staircase stay as large, where what is flat here and smooth beyond falls below its rounding.

    Parameters
    ----------
    line, k
        What was read, and which block.
    rounding
        u times the size of its values.
    """
    rows = line.own_rows[k]
    sizes = {t: norm(line.change(t)[rows]) for t in line.known}
    for _ in range(NARROWED):
        # Terms that are larger than the value are rounded more than it, far below the jumps.
        jump = min((size for size in sizes.values() if size > VISIBLE * rounding), default=0.0)
        same = max(ROUNDED * rounding, jump / VISIBLE)
        moved = [(abs(t), size) for t, size in sizes.items() if size > same]
        if not moved or min(size for _, size in moved) <= VISIBLE * rounding:
            return False
        nearest, size = min(moved)
        # Where what is seen further out would have been seen, too, were it a slope.
        reach = VISIBLE * rounding * nearest / size
        still = [t for t, size in sizes.items() if size <= same and reach < abs(t) < nearest]
        if not (any(t > 0 for t in still) and any(t < 0 for t in still)):
            return False
        t = math.sqrt(nearest * max(map(abs, still)))
        if line.at(t) is None:
            return False
        sizes[t] = norm(line.change(t)[rows])
    return True
