"""Seven values of a vector-valued function along a line → its derivative, output block by output block, with error bars.

The values of a whole vector are read as those of one number are (see `_numerics.noise`): the norm over a block's components of
each Gram coefficient falls with the degree into a plateau, which is the noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gradproof._evaluation.vector_lines import CENTRAL, VectorLine
from gradproof._numerics.formulas import (
    AMPLIFICATION,
    CENTRAL_4,
    CENTRAL_6,
    FORWARD_5,
    FORWARD_6,
    POINTS,
    gram_polynomials,
    leading_coefficients,
)
from gradproof._numerics.noise import PRIOR_DEGREES, STANDS_OUT, none_stands_out
from gradproof._numerics.tables import SLOW
from gradproof._words.results import Reason
from gradproof._words.vectors import FloatArray, norm, root_mean_square

UNUSUAL: Final = 30.0
"""A plateau this many times above what other lines saw means that a kink was crossed."""


@dataclass(slots=True)
class BlockNoise:
    """The noise of one output block, from all tables that have seen it: root sum of squares over its components."""

    squares: float = 0.0
    degrees: float = 0.0

    def level(self, floor: float) -> tuple[float, float]:
        """Return the noise of the block's values and its degrees of freedom; twice the floor is known before."""
        total = self.degrees + PRIOR_DEGREES
        mixed = (self.squares + PRIOR_DEGREES * (2 * floor) ** 2) / total
        return max(math.sqrt(mixed), floor), total

    def add(self, noise: float, degrees: float) -> None:
        """Take in what a table saw."""
        self.squares += degrees * noise**2
        self.degrees += degrees


@dataclass(frozen=True, slots=True)
class BlockReading:
    """One line's result in one output block: norms over its components, in units of F per unit of t.

    Parameters
    ----------
    size, truncation, spread
        ‖D‖ and its errors: a bound on the truncation, the standard deviation of what noise does.
    degrees
        Degrees of freedom of the noise that the spread is made of.
    noise, own_degrees
        What this line's values alone show, in units of F.
    sensitivity
        Slope of the function itself: what rounding the arguments is multiplied by, as t = 1 is their scale.
    """

    size: float
    truncation: float
    spread: float
    degrees: float
    noise: float
    own_degrees: float
    sensitivity: float = 0.0


@dataclass(frozen=True, slots=True)
class Form:
    """D = Σ weight · F(t) over these t."""

    steps: tuple[float, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LineReading:
    """One line's result.

    Parameters
    ----------
    values
        D: the derivative of each component's discrepancy.
    bars
        Per component, truncation and ten times the noise that it shows by itself.
    blocks
        Norms per output block.
    forms
        Per output block, of which values D was made.
    step
        h; the shortest, where output blocks were read at different ones.
    rounding
        Per component, the size of what was rounded on the way.
    lost
        Output blocks that no step could read, and why; what is said of them here is worth nothing.
    """

    values: FloatArray
    bars: FloatArray
    blocks: tuple[BlockReading, ...]
    forms: tuple[Form, ...]
    step: float
    rounding: FloatArray
    side: int = 0
    lost: tuple[tuple[int, Reason], ...] = ()


@dataclass(frozen=True, slots=True)
class Formula:
    """Seven values on one side of zero, or about it: what they are multiplied by; the one at zero itself is left out.

    Parameters
    ----------
    multiples, farthest_first
        Of the step, in two orders.
    weights
        Of the best formula and of the next.
    polynomials
        Of degree 1 … 6.
    """

    multiples: tuple[int, ...]
    farthest_first: tuple[int, ...]
    weights: FloatArray
    polynomials: FloatArray


def _formula(side: int) -> Formula:
    multiples = CENTRAL if side == 0 else tuple(side * k for k in range(1, POINTS))
    others = [k for k in range(POINTS) if k != (3 if side == 0 else 0)]
    weights = np.array([CENTRAL_6, CENTRAL_4] if side == 0 else [side * FORWARD_6, side * FORWARD_5])
    return Formula(
        multiples,
        tuple(sorted(multiples, key=abs, reverse=True)),
        weights[:, others],
        gram_polynomials()[1:, others],
    )


FORMULAS: Final = {side: _formula(side) for side in (0, 1, -1)}


def read_line(
    line: VectorLine, rows: Sequence[slice], noise: Sequence[BlockNoise], roundoff: float, step: float, side: int
) -> LineReading | None:
    """Read seven values, one of which is zero by definition; None where the function fails at one of them.

    Parameters
    ----------
    line
        Where.
    rows, noise
        The components of each output block, and what is known of its noise.
    roundoff
        u of the lowest precision at work.
    step, side
        h; 0 for values about the point, ±1 for one side.
    """
    formula = FORMULAS[side]
    found: dict[int, tuple[FloatArray, FloatArray]] = {}
    for k in formula.farthest_first:  # the farthest is the likeliest to fail
        at = line.at(k * step)
        if at is None:
            return None
        found[k] = at
    seven = [found[k] for k in formula.multiples]
    values = np.array([at[0] for at in seven])
    rounding = np.array([at[1] for at in seven]).max(axis=0)
    derivative, next_ = formula.weights @ values
    derivative /= step
    correction = np.abs(derivative - next_ / step)
    coefficients = np.abs(formula.polynomials @ values)
    farthest = formula.farthest_first[0] * step
    change = line.raw[farthest].change
    assert change is not None  # noqa: S101  # it was read
    slopes = [norm(change[block.rows]) / abs(farthest) for block in line.engine.outputs.blocks]
    blocks = [
        _read_block(own, known, slope, roundoff, coefficients, derivative, correction, rounding, step, side)
        for own, known, slope in zip(rows, noise, slopes, strict=True)
    ]
    return LineReading(
        derivative,
        blocks[0][1] if len(blocks) == 1 else np.concatenate([bars for _, bars in blocks]),
        tuple(block for block, _ in blocks),
        (Form(tuple(k * step for k in formula.multiples), tuple(w / step for w in formula.weights[0].tolist())),)
        * len(rows),
        step,
        rounding,
        side,
    )


def _read_block(
    rows: slice,
    known: BlockNoise,
    slope: float,
    roundoff: float,
    coefficients: FloatArray,
    derivative: FloatArray,
    correction: FloatArray,
    rounding: FloatArray,
    step: float,
    side: int,
) -> tuple[BlockReading, FloatArray]:
    own, corrections = coefficients[:, rows], correction[rows]
    floors = 0.5 * roundoff * rounding[rows]
    floor = norm(floors)
    squares = own * own
    energies = np.sqrt(squares.sum(axis=1)).tolist()
    start, shown, degrees = plateau(energies, floor)
    # Components of like noise each bring degrees of freedom of their own.
    late = squares[3:]
    last = late.sum(axis=0)
    total_last = float(last.sum())
    shares = last / total_last if total_last > 0 else last
    degrees *= max(1 / float(shares @ shares) if total_last > 0 else float(last.size), 1.0)
    pooled, total = known.level(floor)
    noise = shown
    if shown <= UNUSUAL * pooled:
        both = total + degrees
        noise, total = max(math.sqrt((total * pooled**2 + degrees * shown**2) / both), floor), both
    else:
        total = degrees
    truncation = block_truncation(energies, start, norm(corrections), step, side)
    amplification = AMPLIFICATION[0 if side == 0 else 1]
    spread = amplification * noise / step
    # What a component shows by itself: its last coefficients, and a share of the block's noise.
    share = noise / math.sqrt(max(last.size, 1))
    single = np.maximum(np.minimum(share, 10 * floors), floors)
    if start < POINTS:
        seen = late[max(start, 4) - 4 :]
        single = np.maximum(single, np.sqrt(seen.sum(axis=0) / len(seen)))
    cut = np.maximum(own[4], own[5]) > STANDS_OUT * np.maximum(floors, share)
    bars = np.where(cut, 10 * corrections, 0.0) + (10 * amplification / step) * single + max(truncation, 0.0)
    return BlockReading(norm(derivative[rows]), truncation, spread, total, shown, degrees, slope), bars


def plateau(energies: Sequence[float], floor: float) -> tuple[int, float, float]:
    """Find the degree from which on only noise is seen; return it, the noise and its degrees of freedom.

    7 means none: the coefficients still fall at the end, the noise is below them and was not seen.
    """
    for start in range(1, POINTS - 1):
        if none_stands_out(energies[start - 1 :], floor):
            # Only the last three: lower degrees may hold a curvature that hides below four times the noise.
            last = energies[max(start - 1, 3) :]
            return start, max(root_mean_square(last), floor), float(len(last))
    end = energies[-1]
    return (POINTS - 1, max(end, floor), 1.0) if end <= STANDS_OUT * floor else (POINTS, floor, 0.0)


def block_truncation(energies: Sequence[float], start: int, correction: float, step: float, side: int) -> float:
    """Bound the truncation error of the formula of order 6: the rule of `_differences.Table.truncation`, on norms."""
    if start < POINTS - 1:
        return 0.0
    derivatives = [e / one for e, one in zip(energies, leading_coefficients(), strict=True)]
    pairs = [(derivatives[1], derivatives[3]), (derivatives[2], derivatives[4])]
    if start == POINTS:
        pairs.append((derivatives[3], derivatives[5]))
    rate = max((late / early for early, late in pairs if early > 0), default=1.0)
    if rate > SLOW:
        return 10 * correction
    fifth = max(derivatives[4], math.sqrt(derivatives[3] * derivatives[5]))
    return 10 * rate * fifth / step / (140 if side == 0 else 7)


def merged(readings: Sequence[LineReading], rows: Sequence[slice], lost: Mapping[int, Reason]) -> LineReading:
    """Put together what was chosen of each output block."""
    shortest = min(readings, key=lambda reading: reading.step)
    if all(reading is shortest for reading in readings) and not lost:
        return shortest
    values, bars, rounding = (np.empty_like(shortest.values) for _ in range(3))
    for k, (own, reading) in enumerate(zip(rows, readings, strict=True)):
        values[own], rounding[own] = reading.values[own], reading.rounding[own]
        bars[own] = np.inf if k in lost else reading.bars[own]
    return LineReading(
        values,
        bars,
        tuple(reading.blocks[k] for k, reading in enumerate(readings)),
        tuple(reading.forms[k] for k, reading in enumerate(readings)),
        shortest.step,
        rounding,
        shortest.side,
        tuple(sorted(lost.items(), key=by_block)),
    )


def by_block(item: tuple[int, Reason]) -> int:
    """Return the number of the output block: the order in which lost ones are listed."""
    return item[0]
