"""Seven equally spaced values of φ, the derivative by Lagrange's formulas, and how far it is to be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np

from gradproof._numerics.formulas import AMPLIFICATION, CENTRAL, FORWARD, POINTS
from gradproof._numerics.noise import Reading
from gradproof._numerics.statistics import within
from gradproof._words.vectors import FloatArray

REPRESENTED: Final = 3.0
"""A step is at least this many times the shortest that is represented: below, single coordinates do not move."""
SAME_JUMP: Final = 0.25
"""Two steps show the same jump of the slope where it differs by no more than this part: noise would change it by the
ratio of the steps, smoothness by its cube."""
SLOW: Final = 0.1
"""Derivatives that fall by less than this over two degrees do not show yet how they go on."""


class Phi(Protocol):
    """φ: ℝ → ℝ, to be asked for values; they are kept, so that asking twice costs nothing."""

    @property
    def unit_roundoff(self) -> float:
        """u of the precision of the cost's values."""

    @property
    def parameter_roundoff(self) -> float:
        """u of the lowest precision among the parameters and the values: θ + t v lies off the line by that much."""

    def magnitude(self, reach: float) -> float:
        """Return the largest absolute value that was rounded on the way, among the values with |t| ≤ reach."""

    @property
    def evaluations(self) -> int:
        """Cost calls so far."""

    @property
    def shortest(self) -> float:
        """Shortest t for which θ + t v is represented in the parameters' precision."""

    def ahead(self, steps: Iterable[float], *, sure: bool = False) -> None:
        """Say which t are going to be asked for, or may be, so that they can be evaluated at once."""

    def __call__(self, steps: Sequence[float]) -> FloatArray:
        """Return φ(t) − φ(0) for each t; NaN where the cost could not be evaluated."""

    def changes(self, steps: Sequence[float]) -> FloatArray:
        """Return J(θ + t v) − J(θ) itself, nothing taken off, for steps that were asked for before."""

    @property
    def granularity(self) -> float:
        """Spacing of the cost's values where it is visibly rounded, else 0."""

    def repeat(self) -> float:
        """Evaluate at t = 0 once more; return the absolute change, 0 for a deterministic cost."""


class Line(Protocol):
    """t ↦ φ(t), the discrepancies of R components in some blocks; values are kept, so that asking twice costs nothing."""

    @property
    def rows(self) -> tuple[slice, ...]:
        """The components of each block."""

    @property
    def own_rows(self) -> tuple[slice, ...]:
        """The function's own values that belong to each block."""

    @property
    def base(self) -> FloatArray:
        """The function's own values at t = 0, shape (M,)."""

    @property
    def evaluations(self) -> int:
        """Calls of the function so far, on all lines."""

    @property
    def shortest(self) -> float:
        """Shortest t for which θ + t v is represented in the parameters' precision."""

    @property
    def parameter_roundoff(self) -> float:
        """u of the lowest precision among the parameters and the values: θ + t v lies off the line by that much."""

    def unit_roundoff(self, k: int) -> float:
        """Return u of the precision of a block's values."""

    def granularity(self, k: int) -> float:
        """Return the spacing of a block's values where they are visibly rounded, else 0."""

    def ahead(self, steps: Iterable[float], *, sure: bool = False) -> None:
        """Say which t are going to be asked for, or may be, so that they can be evaluated at once."""

    def at(self, t: float) -> tuple[FloatArray, FloatArray] | None:
        """Return φ(t) and the sizes of what was rounded on the way, shapes (R,); None where the function failed."""

    def change(self, t: float) -> FloatArray:
        """Return F(θ + t v) − F(θ) itself, shape (M,), for a t that was asked for before and did not fail."""

    @property
    def known(self) -> Iterable[float]:
        """All t ≠ 0 that were asked for and did not fail."""

    def repeat(self) -> FloatArray | None:
        """Evaluate at t = 0 once more; return by how much the components differ, None where the function failed."""


@dataclass(frozen=True)
class Table:
    """Seven equally spaced values about 0 (side 0), or on one side of it (side ±1)."""

    step: float
    values: FloatArray
    changes: FloatArray
    reading: Reading
    side: int = 0

    @cached_property
    def derivatives(self) -> tuple[float, float, float]:
        """The three formulas' derivatives, best first."""
        formulas = CENTRAL if self.side == 0 else FORWARD
        sign = self.side or 1
        best, next_, third = (formulas @ self.values).tolist()
        return sign * best / self.step, sign * next_ / self.step, sign * third / self.step

    @property
    def amplification(self) -> float:
        """Standard deviation of the best formula's error, over noise/step."""
        return AMPLIFICATION[0 if self.side == 0 else 1]

    @cached_property
    def truncation(self) -> float:
        """Bound on the best formula's truncation error."""
        best, next_, _ = self.derivatives
        return truncation_bound(self.reading, abs(best - next_), self.step, self.side)


def truncation_bound(reading: Reading, correction: float, step: float, side: int = 0) -> float:
    """Bound the truncation error of the formula of order 6: h⁶φ⁽⁷⁾/140 in the middle and h⁶φ⁽⁷⁾/7 at the end.

    Nothing where the noise hides the fifth degree. Otherwise h⁷φ⁽⁷⁾ is taken as h⁵φ⁽⁵⁾ times the slowest fall over two
    degrees that is seen, times thirty; where they hardly fall, ten times the last correction is allowed.

    Parameters
    ----------
    reading
        Of the seven values, or of norms over a block of them.
    correction
        Distance, or its norm, between the formulas of order 6 and 4 (5 at the end).
    step, side
        h; ±1 for values on one side.
    """
    plateau = reading.plateau
    if plateau < POINTS - 1:
        return 0.0
    d = reading.derivatives()
    # Not the first: where a claim is taken off, what is left of φ′ says nothing of how the derivatives fall.
    pairs = [(d[1], d[3]), (d[2], d[4])] + ([(d[3], d[5])] if plateau == POINTS else [])
    rate = max((late / early for early, late in pairs if early > 0), default=1.0)
    if rate > SLOW:
        return 10 * correction
    fifth = max(d[4], math.sqrt(d[3] * d[5]))
    return 30 * rate * fifth / step / (140 if side == 0 else 7)


def irregular(table: Table) -> bool:
    """Say whether the values go up and down: a step function or a saturated one is no noise, however steady."""
    changes = np.sign(np.diff(table.values))
    return int(np.count_nonzero(changes[1:] * changes[:-1] < 0)) > 1


def shorten_mantissa(step: float) -> float:
    """Round to 44 bits, so that small multiples of the step are exact and values are found again by them."""
    mantissa, exponent = math.frexp(step)
    return math.ldexp(round(math.ldexp(mantissa, 44)), exponent - 44)


def shorten_mantissas(steps: FloatArray) -> FloatArray:
    """Do what `shorten_mantissa` does for many steps."""
    mantissas, exponents = np.frexp(steps)
    shortened: FloatArray = np.ldexp(np.round(np.ldexp(mantissas, 44)), exponents - 44)
    return shortened


def one_sided(table: Table) -> tuple[float, float, float]:
    """Return the left and right derivatives of a central table, by formulas of order 3, and how far order 2 is off."""
    e = table.values
    sides = []
    bar = 0.0
    for sign in (-1, 1):
        near, middle, far = (e[3 + sign * k] for k in (1, 2, 3))
        third = sign * (18 * near - 9 * middle + 2 * far) / (6 * table.step)
        second = sign * (4 * near - middle) / (2 * table.step)
        sides.append(float(third))
        bar = max(bar, abs(float(third - second)))
    return sides[0], sides[1], bar


def is_kink(long: Table, short: Table) -> bool:
    """Say whether two central tables show the same jump of the slope at the point itself.

    A smooth function's jump falls like h³ and that of noise rises like 1/h; a kink's stays. With another kink beside
    the point, or this one beside it at a distance d, the formulas' disagreement grows like d/h instead of falling.
    """
    left, right, bar = one_sided(short)
    long_left, long_right, long_bar = one_sided(long)
    jump, long_jump = right - left, long_right - long_left
    noise = 8 * short.reading.floor / short.step
    clear = abs(jump) > 8 * (bar + noise)
    steady = within(jump - long_jump, SAME_JUMP * abs(jump) + long_bar)
    alone = bar <= 3 * long_bar * short.step / long.step + noise
    return clear and steady and alone
