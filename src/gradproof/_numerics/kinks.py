"""Does an output block have a kink, or a jump, at the point itself? Read from the values that a line has already."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gradproof._numerics.formulas import POINTS, gram_polynomials
from gradproof._numerics.noise import FAR_ABOVE_LOW_PRECISION, FAR_ABOVE_ROUNDING
from gradproof._numerics.tables import REPRESENTED, SAME_JUMP, Line, shorten_mantissa
from gradproof._words.vectors import FloatArray, norm

AROUND: Final = (-3, -2, -1, 1, 2, 3)
"""Multiples of a step at which a line is read about the point."""
SAME_GAP: Final = 1e-4
"""Two steps show the same jump at the point where it differs by no more than this part; noise would not."""
CLEAR_GAP: Final = 30.0
"""A jump at the point is this much larger than the changes on its sides."""
ROUGH: Final = 0.03
"""Coefficients of degree 5 and 6 above this part of those of degree 2 to 4 do not fall as a smooth function's do; a
kink's at the point are at 0.15."""


def has_kink(line: Line, k: int) -> bool:
    """Say whether an output block has a kink at the point itself, on the evidence of three steps.

    One-sided derivatives of its components are compared, as in `_numerics.tables.is_kink`; steps are taken from the values
    that are there. Components that are rough for another reason (noise, a frequency far above the step's, kinks
    beside the point) show a steady jump by accident only, and few of them at a time.
    """
    for _ in range(2):
        steps = sorted(tables_at(line))
        if len(steps) > 2:
            near, middle, far = (OneSided.of(line, line.own_rows[k], step) for step in steps[:3])
            found = near.kinked(middle)
            if is_clear(found & middle.kinked(far), near.rough):
                return True
            if not is_clear(found, near.rough):
                return False
        # One more, shorter step: at the longest of these, kinks beside the point may have been crossed.
        shorter = shorten_mantissa(steps[0] / 8) if steps else 0.0
        if shorter < REPRESENTED * line.shortest or len(steps) == 1:
            return False
        for t in sorted((t * shorter for t in AROUND), key=abs, reverse=True):
            if shorter == 0 or line.at(t) is None:
                return False
    return False


def has_jump(line: Line, k: int) -> bool:
    """Say whether an output block jumps at the point itself: as near as can be, its values keep their distance."""
    steps = sorted(tables_at(line))[:2]
    if len(steps) < 2:
        return False
    rows = line.own_rows[k]
    ends = []
    for step in steps:
        e = np.array([line.change(t * step)[rows] for t in AROUND])
        ends.append(np.array([3 * e[2] - 3 * e[1] + e[0], 3 * e[3] - 3 * e[4] + e[5]]))
    near, far = ends
    floor = FAR_ABOVE_ROUNDING * line.parameter_roundoff * (norm(line.base[rows]) + norm(near.ravel()))
    # A rounded function's values, multiples of its grain, are the same by accident; they change along the line.
    still = np.maximum(np.ptp(e[:3], axis=0), np.ptp(e[3:], axis=0)) * CLEAR_GAP
    apart = (np.abs(near) > np.maximum(floor, still)) & (np.abs(near - far) <= SAME_GAP * np.abs(near))
    return bool(np.any(apart.all(axis=0)))  # on one side, it may be a grain of a rounded function


@dataclass(frozen=True, slots=True)
class OneSided:
    """The slopes on both sides of the point, component by component, by formulas of order 3.

    Parameters
    ----------
    step, jump
        h; right slope less left slope.
    bar
        How far order 2 is off.
    noise
        What rounding may do to a slope.
    rough
        Components whose values are no polynomial of low degree at this step.
    """

    step: float
    jump: FloatArray
    bar: FloatArray
    noise: FloatArray
    rough: NDArray[np.bool_]

    @classmethod
    def of(cls, line: Line, rows: slice, step: float) -> OneSided:
        """Read the values at ±1, ±2, ±3 steps, which are there; the function's own, nothing claimed taken off."""
        e = np.array([line.change(k * step)[rows] for k in AROUND])
        slopes, bar = [], np.zeros(e.shape[1])
        for sign, (near, middle, far) in ((-1, e[2::-1]), (1, e[3:])):
            third = sign * (18 * near - 9 * middle + 2 * far) / (6 * step)
            second = sign * (4 * near - middle) / (2 * step)
            slopes.append(third)
            np.maximum(bar, np.abs(third - second), out=bar)
        left, right = slopes
        size = np.maximum(np.abs(line.base[rows]), np.abs(e).max(axis=0)) + np.maximum(abs(left), abs(right))
        floor = 0.5 * line.parameter_roundoff * size
        # Rounding of the arguments may cost a component more than its own size and slope along this line say.
        shared = norm(floor) / math.sqrt(floor.size)
        others = [k for k in range(POINTS) if k != 3]
        high = np.abs(gram_polynomials()[5:, others] @ e).max(axis=0)
        low = np.abs(gram_polynomials()[2:5, others] @ e).max(axis=0)
        rough = high > np.maximum(ROUGH * low, FAR_ABOVE_LOW_PRECISION * (floor + shared))
        return cls(step, right - left, bar, 8 * floor / step, rough)

    def kinked(self, longer: OneSided) -> NDArray[np.bool_]:
        """Say which components show the same jump of the slope at a longer step, and a kink is nothing beside it."""
        clear = np.abs(self.jump) > 8 * (self.bar + self.noise)
        steady = np.abs(self.jump - longer.jump) <= SAME_JUMP * np.abs(self.jump) + longer.bar
        alone = self.bar <= 3 * longer.bar * self.step / longer.step + self.noise
        found: NDArray[np.bool_] = clear & steady & alone & self.rough
        return found


def is_clear(found: NDArray[np.bool_], rough: NDArray[np.bool_]) -> bool:
    """Say whether some components show a kink, and no more show something else."""
    return bool(found.any()) and 2 * int(found.sum()) >= int(rough.sum())


def tables_at(line: Line) -> list[float]:
    """Return the steps at which all six values about the point are there."""
    usable = set(line.known)
    return [t for t in usable if t > 0 and all(k * t in usable for k in AROUND)]
