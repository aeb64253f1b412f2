"""Whether steps of other lengths along a line show what it showed: two witnesses of a mistake, short looks below the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from gradproof._evaluation.lines import Line
from gradproof._numerics.lines import SHORTEN_JOINT, LineReader
from gradproof._numerics.noise import FAR_ABOVE_LOW_PRECISION
from gradproof._numerics.readings import BlockReading, Read
from gradproof._numerics.statistics import within
from gradproof._numerics.steps import FIRST_STEP, SHORTEST
from gradproof._numerics.tables import REPRESENTED, shorten_mantissa
from gradproof._numerics.witnesses import (
    AGAIN,
    NEAR,
    SAME,
    WITNESSES,
    Witness,
    another_slope,
    breaks_off,
    short_witness,
)
from gradproof._words.vectors import FloatArray, norm

SHOWN: Final = 10.0
"""A witness's step is one at which its noise is a tenth of the discrepancy: it would be seen there."""
HIDDEN: Final = 1.0e4
"""A short look is at the step at which rounding is this part of the claimed change: a thousandth of it is seen there."""
AGREES: Final = 0.1
"""Two steps that show the same discrepancy to this fraction confirm each other."""
SHORTENED: Final = FIRST_STEP * SHORTEN_JOINT
"""A first line that was read at a shorter step, in units of the parameters' scale, saw structure at a longer one."""
BESIDE: Final = 0.8
"""Step, over that of a reading, at which a random function is read once more."""
LONGER: Final = 8.0
"""Factor on the step at which the second witness looks first."""


def looks_short(
    reader: LineReader,
    lines: Sequence[tuple[Line, float]],
    o: int,
    claimed: float,
    proved: float,
    tolerance: float,
    noise: float,
) -> bool:
    """Say whether steps as short as rounding allows show what is claimed, along the first and the last of some lines.

    What longer steps cannot see (stairs, knots, ripples) may hide below them. One look is as short as it can be, and sees a
    thousandth of the claim; the other one sees the tolerance. Each takes one value, where all is well. A function that
    repeats its values and yet scatters by more than rounding, but not at once, has some structure: there every step in
    between is asked, on the first line.

    Parameters
    ----------
    reader, lines, o
        Lines, and the steps at which they were read; of which block of rows.
    claimed, proved
        What is claimed of a line, and up to which discrepancy the longer steps have proved it.
    tolerance
        Relative difference that must show.
    noise
        Standard deviation of one value.
    """
    if claimed <= 0 or reader.pools[o].repetition:
        return True
    visible, (first, longest) = max(1 / HIDDEN, tolerance / SHOWN), lines[0]
    scatters = noise > FAR_ABOVE_LOW_PRECISION * rounding_of(reader, first, o)
    if scatters and not scatters_at_once(reader, first, o, noise):
        # Structure of that amplitude has slopes of the tolerance's size up to this step.
        longest = min(longest, AGAIN**2 * noise / (tolerance * claimed))
        return not hides_a_slope(reader, first, longest, o, visible * claimed, proved, noise)
    looks = (*lines[0], visible), (*lines[-1], tolerance / SHOWN)
    known = noise if scatters else 0.0
    return all(looks_short_along(reader, line, step, o, share * claimed, proved, known) for line, step, share in looks)


def scatters_at_once(reader: LineReader, line: Line, o: int, noise: float) -> bool:
    """Say whether the noise shows at the nearest point that there is: then it is the rounding of intermediate values.

    A ripple of that amplitude has a length, below which it is nothing.
    """
    found = line.at(shorten_mantissa(max(REPRESENTED * line.shortest, AGAIN * line.parameter_roundoff)))
    return found is not None and norm(found[0][reader.rows[o]]) >= AGREES * noise


def looks_short_along(
    reader: LineReader, line: Line, longest: float, o: int, visible: float, proved: float, noise: float
) -> bool:
    """Say whether the difference quotient of a discrepancy on one side is none at steps much shorter than a line's.

    `noise` is that of a value, where it is known to be more than its rounding.
    """
    own = reader.rows[o]
    rounding = max(arguments_rounded(reader, line, o), noise)
    step = max(rounding / visible, REPRESENTED * line.shortest, SHORTEST * longest)
    before: FloatArray | None = None
    for _ in range(WITNESSES):
        step = shorten_mantissa(step)
        found = line.at(step) if AGAIN * step <= longest else None
        if found is None:
            return True
        seen = found[0][own] / step
        if not line.change(step)[line.own_rows[o]].any():
            before, step = None, AGAIN * step  # it does not move yet, as a rounded result does not
            continue
        if within(norm(seen), proved + SHOWN * visible):
            return True
        both = reader.odd(line, o, step)  # what curves shows on one side only
        seen = seen if both is None else both / step
        if within(norm(seen), proved + SHOWN * visible):
            return True
        if before is not None and norm(before - seen) <= SAME * norm(seen):
            return False  # intermediate values may be rounded more than the result, but not alike at both
        before, step = seen, AGAIN * step
    return True


def hides_a_slope(
    reader: LineReader, line: Line, longest: float, o: int, visible: float, proved: float, noise: float
) -> bool:
    """Say whether short steps show a slope that is not claimed, and that is no piece of a function rounded on its way."""
    line.at(shorten_mantissa(longest))  # whether the function moves at all is told from there
    rounding = arguments_rounded(reader, line, o)
    first = max(rounding / visible, REPRESENTED * line.shortest, SHORTEST * longest)
    found = another_slope(lambda t: reader.slope(line, o, t), proved, SHOWN * rounding, first, longest)
    return found is not None and not breaks_off(lambda t: reader.odd(line, o, t), found[1], found[0], noise)


def two_witnesses(reader: LineReader, line: Line, o: int, values: FloatArray, seen: BlockReading) -> bool:
    """Say whether two witnesses show a discrepancy: steps as far apart as noise and truncation allow.

    A finite step sees through kinks, knots, staircases and ripples that are smaller than it, and one that is too
    short sees the rounding of intermediate values. What is at both of them, and the same, is in the derivative.

    Parameters
    ----------
    reader, line, o
        Where it was seen, and in which block.
    values, seen
        The discrepancy, as it was read.
    """
    if seen.size == 0:
        return True
    if seen.step > line.reach:  # beyond the parameters' own size a function may bend as it likes, and rounding grows
        near = reader.witness(line, o, NEAR * line.reach)
        if near is None or SHOWN * near.block.spread > seen.size or not agree(near, values, seen.bar):
            return False
    if reader.repeats(line, o):  # it is noise, and no structure; but an outlier does not come twice
        again = reader.witness(line, o, BESIDE * seen.step)
        return again is not None and norm(again.values - values) <= again.block.bar + seen.bar + SAME * seen.size
    short = short_witness(
        lambda h: reader.slope(line, o, h),
        values,
        arguments_rounded(reader, line, o, 0.5),
        seen.step,
        REPRESENTED * line.shortest,
        seen.noise,
        lambda h: reader.bend(line, o, h),
    )
    if short is Witness.CONTRADICTS:
        return False
    long = long_witness(reader, line, o, values, seen)
    if long is False or (long is None and short is Witness.CONFUSED):
        return False
    # A step that had to be shortened lies below structure, and one at which next to nothing moves below rounding on the way.
    sides = [t for t in (seen.step, -seen.step) if line.at(t) is not None]
    moved = max((norm(line.change(t)[line.own_rows[o]]) for t in sides), default=0.0)
    if seen.step >= SHORTENED and moved > SAME * seen.step * seen.size:
        return True
    return not breaks_off(lambda t: reader.odd(line, o, t), values, seen.step, seen.noise)


def long_witness(reader: LineReader, line: Line, o: int, values: FloatArray, seen: BlockReading) -> bool | None:
    """Say whether a longer step shows the same; None where truncation or noise hides it there."""
    step = LONGER * seen.step
    for _ in range(2):
        long = reader.witness(line, o, step)
        if long is None:
            return None
        if SHOWN * long.block.bar <= seen.size:
            return agree(long, values, seen.bar)
        # What order 2 lacks falls like h²: where it leaves the discrepancy to be seen.
        step *= math.sqrt(seen.size / (SHOWN * long.block.bar)) if long.block.bar > 0 else 0.0
        if not step > 2 * seen.step:
            return None  # truncation hides it at every longer step
    return None


def rounding_of(reader: LineReader, line: Line, o: int) -> float:
    """Return u times the size of a block's values at the point, in the function's units."""
    return line.unit_roundoff(o) * norm(line.at(0.0)[1][reader.rows[o]])  # type: ignore[index]  # θ itself is there


def arguments_rounded(reader: LineReader, line: Line, o: int, share: float = 1.0) -> float:
    """Return a share of that, or what rounding the arguments comes to, if more: of a tiny displacement less is seen, or more."""
    return max(share * rounding_of(reader, line, o), own_slope(line, o) * line.shortest)


def own_slope(line: Line, o: int) -> float:
    """Return how fast a block of the function's own values changes along a line, per unit of t, at the most."""
    return max((norm(line.change(t)[line.own_rows[o]]) / abs(t) for t in line.known), default=0.0)


def agree(one: Read, values: FloatArray, bar: float) -> bool:
    """Say whether a witness shows the same derivative."""
    return within(norm(one.values - values), one.block.bar + bar + AGREES * norm(one.values))
