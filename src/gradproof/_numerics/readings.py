"""What a line says: norms over each block of its components, with their errors, and what is expected of the next line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from gradproof._numerics.noise import (
    Reading,
)
from gradproof._words.results import Estimate, Kink, Reason
from gradproof._words.vectors import FloatArray

ALMOST: Final = 10.0
"""Standard deviations within which a discrepancy is none, and two steps agree."""


@dataclass(frozen=True, slots=True)
class BlockReading:
    """What one line says of one block: norms over its components, in units of the function per unit of t.

    Parameters
    ----------
    size, truncation, spread
        ‖φ′(0)‖, a bound on the truncation, the standard deviation of what noise does to it.
    degrees
        Degrees of freedom of that noise.
    noise
        Standard deviation of one value, in units of the function.
    step
        h.
    """

    size: float
    truncation: float
    spread: float
    degrees: float
    noise: float
    step: float

    @property
    def bar(self) -> float:
        """What is no discrepancy: within a truncation and some spreads."""
        return self.truncation + ALMOST * self.spread


UNREAD: Final = BlockReading(math.nan, math.inf, math.inf, 1.0, math.nan, 0.0)
"""What is said of a block that no step could read."""


@dataclass(frozen=True, slots=True)
class Form:
    """φ′(0) = Σ weight · φ(t) over these t."""

    steps: tuple[float, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LineReading:
    """What one line says.

    Parameters
    ----------
    values
        φ′(0), shape (R,); NaN in blocks that were lost.
    bars
        Per component, the truncation of its block and ten standard deviations of the noise that it shows by itself.
    blocks
        Norms, block by block.
    forms
        Per block, of which values the derivative was made.
    evaluations
        Calls of the function that it took.
    side
        0; ±1 where values on one side only were used.
    crossed
        It was measured again at shorter steps, as kinks were crossed.
    lost
        Blocks that no step could read, and why.
    kink
        One-sided derivatives of a lone number at a kink.
    """

    values: FloatArray
    bars: FloatArray
    blocks: tuple[BlockReading, ...]
    forms: tuple[Form, ...]
    evaluations: int
    side: int = 0
    crossed: bool = False
    lost: tuple[tuple[int, Reason], ...] = ()
    kink: Kink | None = None

    @property
    def step(self) -> float:
        """The shortest h that was used."""
        return min((block.step for block in self.blocks if block.step > 0), default=0.0)

    @property
    def value(self) -> float:
        """φ′(0) of a lone number."""
        return float(self.values[0])


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of a block at the calibrated step.

    Parameters
    ----------
    truncation
        Bound on the truncation error of the formula of order 4.
    fourth
        Largest fourth difference: more means that the calibration does not fit.
    rate
        By how much the derivatives times powers of the step fall over two degrees: a line whose third derivative is
        larger than the first line's has, at this rate, the larger fifth one.
    third
        Truncation error of the formula of order 2, as the first line shows it.
    """

    truncation: float
    fourth: float
    rate: float
    third: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a first line teaches the later ones: the step of the four-point formula, and what to expect there."""

    step: float
    blocks: tuple[Expected, ...]

    def shorter(self, factor: float) -> Calibration:
        """Return the calibration at a step divided by a factor."""
        blocks = (
            Expected(b.truncation / factor**4, b.fourth / factor**4, b.rate / factor**2, b.third / factor**2)
            for b in self.blocks
        )
        return Calibration(self.step / factor, tuple(blocks))


@dataclass(frozen=True, slots=True)
class Read:
    """One block read at one step.

    Parameters
    ----------
    values, rounding
        Derivatives of its components, and the sizes of what was rounded, shapes (n,).
    block, form
        Norms, and of which values they were made.
    shown
        The noise that each component shows by itself, shape (n,).
    reading
        What seven values say of themselves; None of four.
    """

    values: FloatArray
    rounding: FloatArray
    block: BlockReading
    form: Form
    shown: FloatArray
    reading: Reading | None

    @property
    def table(self) -> Reading:
        """What seven values say of themselves."""
        assert self.reading is not None  # noqa: S101  # asked for where seven were read
        return self.reading

    def bars(self, unit_roundoff: float, grain: float) -> FloatArray:
        """Return a bar for each component: a share of the block's noise, and what it shows by itself."""
        block, n = self.block, max(self.values.size, 1)
        if n == 1:
            return np.array([block.bar])
        floors = np.maximum(0.5 * unit_roundoff * self.rounding, grain / math.sqrt(12))
        single = np.maximum(single_noise(np.array(block.noise / math.sqrt(n)), floors), self.shown)
        amplification = block.spread / block.noise if block.noise > 0 else 1 / block.step
        bars: FloatArray = block.truncation + ALMOST * amplification * single
        return bars


@dataclass(frozen=True, slots=True)
class FourValues:
    """Four values at a step: what they say of each block, the last correction and the fourth difference, shapes (R,)."""

    step: float
    reads: dict[int, Read]
    correction: FloatArray
    fourth: FloatArray


def as_reading(estimate: Estimate, evaluations: int) -> LineReading:
    """Return an estimate of a lone number as a line's reading."""
    lost: tuple[tuple[int, Reason], ...] = ()
    if not math.isfinite(estimate.value):
        lost = ((0, Reason.DOMAIN),)
    elif estimate.kink is not None or not estimate.trusted:
        lost = ((0, Reason.KINK),)
    block = BlockReading(
        abs(estimate.value),
        estimate.truncation_error,
        estimate.roundoff_error,
        estimate.degrees_of_freedom,
        estimate.noise,
        estimate.step,
    )
    side = {"forward": 1, "backward": -1}.get(estimate.method.partition(",")[0], 0)
    return LineReading(
        np.array([estimate.value]),
        np.array([block.bar]),
        (block,),
        (Form((), ()),),
        evaluations,
        side,
        lost=lost,
        kink=estimate.kink,
    )


def single_noise(share: FloatArray, floors: FloatArray) -> FloatArray:
    """Return the noise of a block's components: its share of the block's, but near what its own rounding costs.

    Where the block's noise is rounding, it is that of its largest components; where it is more, it says of none how
    much of it is theirs.

    Parameters
    ----------
    share
        Of the block's noise, root mean square.
    floors
        What rounding costs each component, shape (n,) or (n, k).
    """
    rounding = np.sqrt(np.mean(floors * floors, axis=0))
    near: FloatArray = np.maximum(np.minimum(share, ALMOST * floors), floors)
    return np.where(share > ALMOST * rounding, np.maximum(share, floors), near)
