"""A second witness of a discrepancy: steps much shorter than the one at which it was seen, and where it ends further out."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

import numpy as np

from gradproof._numerics.steps import FIRST_STEP, SHORTEST
from gradproof._numerics.tables import shorten_mantissa
from gradproof._words.vectors import FloatArray, norm

AGAIN: Final = 8.0
"""Factor between two steps along one line: φ⁽⁵⁾ then tells them apart by 8⁴, noise by 8."""
SEEN: Final = 10.0
"""A discrepancy this many times above the rounding is seen by two values."""
SAME: Final = 0.3
"""Two short steps agree to this part of the discrepancy: their rounding is a tenth of it, and an eightieth."""
ALIKE: Final = 0.01
"""The same for a slope that is much larger than the discrepancy: noise agrees so well at two steps once in a thousand."""
LIKE_NOISE: Final = 10.0
"""Standard deviations of a difference quotient that noise explains."""
HALVED: Final = 10
"""Times that the place where a discrepancy ends is halved: what is left is a hundredth of the way to it."""
WITNESSES: Final = 4
"""Short steps, each eight times the one before, of which two are to agree: the last is for noise of 500 roundings."""
STEPS_BETWEEN: Final = (1.6, 2.7)
"""Parts of a step at which a slope is looked at again: noise agrees at all three, and at an eighth, once in a thousand."""
NEAR: Final = 0.3
"""Step, in units of the parameters' scale, at which a discrepancy of a step beyond that scale must show, too."""


class Witness(enum.Enum):
    """What shorter steps say of a discrepancy."""

    AGREES = "two of them show it"
    CONTRADICTS = "two of them agree on something else, or on a kink of which the claim is one slope"
    SILENT = "there is no room for them, or noise hides it"
    CONFUSED = "they show something that noise does not explain"


def short_witness(
    slope: Callable[[float], FloatArray | None],
    value: FloatArray,
    rounding: float,
    step: float,
    shortest: float,
    noise: float,
    bend: Callable[[float], float],
) -> Witness:
    """Say whether much shorter steps show what a long one shows.

    A finite step sees through kinks, knots, stairs and ripples that are smaller than it. The first of the short ones is
    that at which a value's rounding is a tenth of the discrepancy, and would just be seen; each next is eight times
    longer, as the noise may be larger than the result's own rounding. Two that agree are a witness: noise differs between
    them by eight times what they are to agree to.

    Parameters
    ----------
    slope
        Difference quotient of the discrepancy at a step, about the point; NaN where the function does not move at all, as
        it is rounded; None where it fails.
    value
        Its derivative, as the long step shows it.
    rounding
        u times the size of the values.
    step, shortest
        At which it was seen; shortest that is represented.
    noise
        Standard deviation of one value, as far as it is known: what that explains is no structure.
    bend
        Size of the even part of the discrepancy at a step, over the step.
    """
    size = norm(value)
    if not size > 0:
        return Witness.SILENT
    h = max(SEEN * rounding / size, shortest, SHORTEST * min(step, FIRST_STEP))  # a long step tells no other scale

    def same(other: FloatArray | None, seen: FloatArray) -> bool:
        return other is not None and norm(other - seen) <= SAME * size + ALIKE * norm(seen)

    before: FloatArray | None = None
    looks, like_noise = 0, True
    while AGAIN * h <= step and looks < WITNESSES:
        seen = slope(shorten_mantissa(h))
        if seen is None:
            return Witness.SILENT
        if np.isfinite(seen).all():
            looks += 1
            off = norm(seen - value) > size / 2
            if before is not None and same(before, seen):
                apart = off and norm(before - value) > size / 2
                # Between the slopes of both sides of a kink any claim is right; what curves bends more at a longer step.
                bent = [bend(shorten_mantissa(t)) for t in (h, AGAIN * h)]
                kinked = min(bent) >= (1 - SAME) * size and max(bent) <= 2 * min(bent)
                return Witness.CONTRADICTS if apart or kinked else Witness.AGREES
            if (
                before is not None
                and off
                and all(same(slope(shorten_mantissa(h / part)), seen) for part in STEPS_BETWEEN)
            ):
                return Witness.CONTRADICTS  # the step before was too short to tell
            before = seen
            like_noise = like_noise and norm(seen - value) <= LIKE_NOISE * noise / h
        else:
            like_noise = False
        h *= AGAIN
    return Witness.SILENT if like_noise else Witness.CONFUSED


def another_slope(
    slope: Callable[[float], FloatArray | None], proved: float, hidden: float, first: float, longest: float
) -> tuple[float, FloatArray] | None:
    """Return a short step, and the discrepancy there, with which the next step agrees though it is more than was proved.

    Parameters
    ----------
    slope
        Difference quotient of the discrepancy at a step, about the point; NaN where the function does not move.
    proved
        Up to where longer steps have shown it to be none.
    hidden
        Change of the function that rounding hides.
    first, longest
        Steps between which to look, each eight times the one before.
    """

    def alike(other: FloatArray | None, seen: FloatArray) -> bool:
        return other is not None and norm(other - seen) <= SAME * norm(seen)

    before: FloatArray | None = None
    h = first
    while AGAIN * h <= longest:
        seen = slope(shorten_mantissa(h))
        if seen is None:
            return None
        if not norm(seen) > proved + hidden / h:  # NaN, too
            before = None
        elif before is not None and all(
            alike(slope(shorten_mantissa(h / part)), seen) for part in (AGAIN, *STEPS_BETWEEN)
        ):
            return shorten_mantissa(h), seen
        else:
            before = seen
        h *= AGAIN
    return None


def breaks_off(at: Callable[[float], FloatArray | None], slope: FloatArray, step: float, noise: float) -> bool:
    """Say whether a discrepancy ends, further out, in a jump: then it is a piece of a rounded function, and no slope of it.

    Between the last step at which the discrepancy is as it was read and the first at which it is not, the place is
    narrowed down: what saturates, bends or oscillates goes on continuously there, what is rounded on its way jumps back.

    Parameters
    ----------
    at
        Odd part of the discrepancy at a step, shape (n,); None where it cannot be evaluated.
    slope
        Its derivative, as it was read.
    step
        Where; it is followed from there to the parameters' own scale.
    noise
        Standard deviation of one value.
    """
    size, hidden = norm(slope), LIKE_NOISE * noise

    def see(t: float) -> tuple[FloatArray | None, bool]:
        value = at(t)
        return value, value is not None and norm(value - t * slope) > SAME * size * t + hidden

    inner = shorten_mantissa(step / AGAIN**2)
    here, gone = see(inner)
    outer, there = inner, here
    while here is not None and there is not None and not gone:
        inner, here = outer, there
        outer = AGAIN * inner
        there, gone = see(outer) if outer <= 1 else (None, False)
    if here is None or there is None or outer == inner:
        return False  # it does not end, or is none at so short a step
    changes = [norm(there - here)]
    for _ in range(HALVED):
        middle = shorten_mantissa((inner + outer) / 2)
        value, gone = see(middle)
        if value is None:
            return False
        inner, here, outer, there = (inner, here, middle, value) if gone else (middle, value, outer, there)
        changes.append(norm(there - here))
    # Halved three times a smooth change is an eighth.
    return changes[-1] > hidden and changes[-1] > SAME * changes[-4]
