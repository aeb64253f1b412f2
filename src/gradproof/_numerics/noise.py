"""Reading a few equally spaced values: how noisy they are, whether their step fits, whether a kink lies among them.

Seven values e₋₃ … e₃ are expanded in the orthonormal polynomials of their grid (Gram's polynomials). The coefficient
c_k of degree k carries hᵏφ⁽ᵏ⁾ and, where the values have independent errors of standard deviation ε, an independent
error of the same ε. A smooth φ whose step fits shows coefficients that fall by degrees into a plateau: the plateau is
the noise, and its coefficients are its degrees of freedom. The idea is the difference table of Hamming and of ECNoise
(Moré & Wild, SIAM J. Sci. Comput. 33 (2011) 1292); the orthonormal form makes the degrees of freedom exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gradproof._numerics.formulas import POINTS, gram_polynomials, leading_coefficients
from gradproof._words.vectors import FloatArray, root_mean_square

FEWEST_LEVELS: Final = 5
"""Distinct values that show a granularity: one table of a saturated cost has three, of an even one four."""
VISIBLE: Final = 1000.0
"""Roundings of a value below which a granularity is not told from them."""
PRIOR_DEGREES: Final = 3.0
WELL_KNOWN: Final = 60.0
"""Degrees of freedom of the noise beyond which no more are counted: Student's t is then near to the normal quantile."""
WEAKEST: Final = 0.1
"""A number this small beside the noise may be a coincidence, or a cost that does not move: it is not counted."""
ORDINARY: Final = 8.0
"""What is known of rounding before it is seen: this many degrees of freedom at u|J|, unless more than so many times
½u|J| was seen."""
STANDS_OUT: Final = 4.0
"""A coefficient this many times above the later ones is signal, not noise (ECNoise's factor)."""
FEW_QUANTA: Final = 100.0
"""A cost that changes by fewer times its granularity is known by its granularity only."""
VISIBLE_GRAIN: Final = 0.02
"""Values rougher than this part of the cost's granularity show it (rounding to a grid scatters by 1/√12 of it)."""
FAR_ABOVE_ROUNDING: Final = 1000.0
FAR_ABOVE_LOW_PRECISION: Final = 30.0
"""A plateau this many times above u|J| must be seen at a second step before it is called noise: in double precision,
where a factor of 1000 still leaves three digits to see a kink by, and below it, where it would not."""

AS_NOISY: Final = 20.0
"""Noise up to this many times the difference of two calls at one point is that of a random function."""
MOST_ROOM: Final = 300.0
"""Logarithm of the largest factor on a step that is worth computing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a table of seven values says about itself.

    Parameters
    ----------
    coefficients
        |c₁| … |c₆| in the units of the cost.
    plateau
        Smallest degree from which on only noise is seen (7: none, the coefficients still fall).
    noise
        Standard deviation of one value, at least the floor that rounding sets.
    degrees_of_freedom
        Of that estimate; infinite where the floor was used.
    floor
        What rounding the result alone costs: ½u|J|, or the standard deviation of rounding to a visible granularity.
    suspicious
        A plateau above this is looked at again at another step, before it is called noise.
    stuck
        Half of the first differences are exactly zero: the step is below the cost's granularity.
    """

    coefficients: tuple[float, ...]
    plateau: int
    noise: float
    degrees_of_freedom: float
    floor: float
    suspicious: float
    stuck: bool

    @property
    def falls(self) -> bool:
        """The last coefficients still stand out: the truncation error is seen, the noise is not."""
        return self.plateau > POINTS - 2

    @property
    def high(self) -> bool:
        """The plateau lies far above rounding: noise, a kink, or a step that is far too long."""
        return not self.falls and self.noise > self.suspicious

    def derivatives(self) -> tuple[float, ...]:
        """Return h|φ′|, h²|φ″|, … h⁶|φ⁽⁶⁾| as far as the coefficients show them."""
        return tuple(c / one for c, one in zip(self.coefficients, leading_coefficients(), strict=True))

    def shorter(self, factor: float) -> Reading:
        """Return what is expected at a step shorter by a factor: degree k falls like its k-th power, the noise stays."""
        fallen = tuple(c / factor**k for k, c in enumerate(self.coefficients, 1))
        return replace(self, coefficients=fallen)

    def room(self) -> float:
        """Return the factor by which the step may be lengthened until degree 6 rises out of the noise.

        With s the last degree that stands out and ρ the rate of fall (seen over two degrees, tripled, or at most what
        hides degree s + 1), degree 6 stands at c_s ρ^(6−s); lengthening by f raises it by f⁶.
        """
        last = self.plateau - 1
        if last >= POINTS - 2:
            return 1.0
        c = self.coefficients
        while last > 0 and c[last - 1] == 0:
            last -= 1
        if last < 1:
            return math.inf
        fastest = self.noise / c[last - 1]
        before = c[0] if last == 2 else c[last - 3]
        seen = [c[1] / before if last == 2 else math.sqrt(c[last - 1] / before)] if last > 1 and before > 0 else []
        rate = min([fastest, *(3 * fall for fall in seen)])
        if rate == 0:
            return math.inf
        # By logarithms, as a power of a tiny rate is beyond the range of numbers.
        return math.exp(min((math.log(fastest) + (last - 6) * math.log(rate)) / 6, MOST_ROOM))


def read_table(
    values: FloatArray,
    magnitude: float,
    unit_roundoff: float,
    *,
    granularity: float = 0.0,
    sensitivity: float = 0.0,
    parameter_roundoff: float = 0.0,
    changes: FloatArray | None = None,
) -> Reading:
    """Read seven equally spaced finite values.

    Parameters
    ----------
    values
        e₋₃ … e₃ (or e₀ … e₆ on one side), in the units of the cost, shape (7,); or (7, n) for the n components of a
        block, of which the norms are read.
    magnitude
        Largest absolute value, or norm over a block, that was rounded on the way, in the same units.
    unit_roundoff
        u of the precision in which the cost is returned.
    granularity
        Spacing of the values, where the cost rounds its result visibly (to six decimals, say); else 0.
    sensitivity
        |φ′| times the parameters' scale: rounding the arguments costs u times this.
    parameter_roundoff
        u of the parameters, where it is above that of the values.
    changes
        The cost's own changes, where something is taken off in the values; they show whether the cost moves at all.

    Returns
    -------
    Reading
    """
    every = gram_polynomials()[1:] @ values
    if values.ndim == 1:
        coefficients, alike = np.abs(every).tolist(), 1.0
    else:
        coefficients, alike = np.sqrt(np.sum(every * every, axis=1)).tolist(), participation(every[3:])
    moves = values if changes is None else changes
    differ = moves[1:] != moves[:-1]
    moved = int(np.count_nonzero(differ if differ.ndim == 1 else differ.any(axis=1)))
    stuck = POINTS - 1 - moved >= (POINTS - 1) // 2
    # A uniform error of ±q/2 has the standard deviation q/√12.
    floor = max(0.5 * unit_roundoff * magnitude, granularity / math.sqrt(12))
    roundoff = max(unit_roundoff, parameter_roundoff)
    far = FAR_ABOVE_ROUNDING if roundoff < 1e-12 else FAR_ABOVE_LOW_PRECISION
    suspicious = max(far * roundoff * (magnitude + sensitivity), granularity)
    plateau, noise, degrees = _plateau(coefficients, floor, alike)
    return Reading(tuple(coefficients), plateau, noise, degrees, floor, suspicious, stuck)


def participation(errors: FloatArray) -> float:
    """Return how many components of like size share in an error: (Σe²)²/Σe⁴, 1 for a single one.

    Parameters
    ----------
    errors
        Shape (n,), or (k, n) for k errors of each component.
    """
    shares = errors * errors if errors.ndim == 1 else np.sum(errors * errors, axis=0)
    largest = float(np.max(shares, initial=0.0))
    if largest == 0 or not math.isfinite(largest):
        return float(max(shares.size, 1))
    shares = shares / largest
    return float(np.sum(shares)) ** 2 / float(shares @ shares)


def roughness(values: FloatArray) -> float:
    """Return the mean size of the coefficients of degree 3 to 6: the noise, where the step is short."""
    errors = gram_polynomials()[3:] @ values
    return (
        float(np.mean(np.abs(errors)))
        if errors.ndim == 1
        else float(np.max(np.mean(np.abs(errors), axis=0), initial=0))
    )


def _plateau(coefficients: list[float], floor: float, alike: float = 1.0) -> tuple[int, float, float]:
    """Find where the coefficients stop falling; return that degree, the noise and its degrees of freedom.

    The tail from a degree on is noise where none of its coefficients stands out from the later ones. An odd or an even
    function, every other coefficient of which is zero, does not look like noise then. Norms over a block count as
    many degrees of freedom as there are like components.
    """
    for start in range(1, POINTS - 1):
        tail = coefficients[start - 1 :]
        even = len(tail) == 2 and tail[-1] > STANDS_OUT * max(tail[0], floor)  # else an even function's
        if not even and none_stands_out(tail, floor, alike):
            # A tail that does not reach back to degree 1 was picked for being small: that costs a degree of freedom.
            degrees = len(tail) - (start > 1)
            return start, max(root_mean_square(tail), floor), float(max(degrees, 1)) * alike
    first, middle, last = (max(coefficients[k : k + 2]) for k in (0, 2, 4))
    if middle > first or last > middle / 2:
        tail = coefficients[2:]  # falls at its very end only, by accident
        return 3, max(root_mean_square(tail), floor), float(len(tail)) * alike
    end = coefficients[-1]
    return (POINTS - 1 if end <= STANDS_OUT * floor else POINTS), max(end, floor), alike


def none_stands_out(tail: Sequence[float], floor: float, alike: float = 1.0) -> bool:
    """Say whether no coefficient stands out from the later ones: three deviations above, √alike times smaller for a norm."""
    above = 1 + (STANDS_OUT - 1) / math.sqrt(alike)
    return all(c <= STANDS_OUT * floor or c <= above * root_mean_square(tail[k:]) for k, c in enumerate(tail[:-1], 1))


def visible_grain(spacing: float, values: FloatArray, changes: FloatArray, others: Sequence[FloatArray] = ()) -> float:
    """Return the spacing of the values where a table shows it as noise, else 0: multiples of a step are no rounding.

    Parameters
    ----------
    spacing
        Of the function's values; 0 for none.
    values, changes
        A table's, and the function's own.
    others
        Values of other tables that may show it.
    """
    if spacing > 0 and float(np.max(np.abs(changes), initial=0.0)) <= FEW_QUANTA * spacing:
        return spacing
    shown = spacing > 0 and any(roughness(v) >= VISIBLE_GRAIN * spacing for v in (values, *others))
    return spacing if shown else 0.0


def granularity_of(values: FloatArray, unit_roundoff: float) -> float:
    """Return the spacing of which all values are multiples apart, where that is visibly coarser than rounding; else 0.

    It is the greatest common divisor of the gaps between them, by Euclid's algorithm with an allowance for rounding.
    Values of a cost that is not rounded have none: their remainders fall below any spacing in a few steps.
    """
    finite = np.unique(values[np.isfinite(values)])
    if values.size < 2 * POINTS - 1 or finite.size < FEWEST_LEVELS:
        return 0.0
    allowance = VISIBLE * unit_roundoff * float(max(abs(finite[0]), abs(finite[-1])))
    gaps = np.sort(np.diff(finite))
    gaps = gaps[gaps > allowance]
    if gaps.size + 1 < FEWEST_LEVELS:
        return 0.0
    spacing = 0.0
    for distance in gaps.tolist():
        spacing = _common_divisor(spacing, distance, allowance)
        if spacing < 0:
            return 0.0
        if spacing > 0:
            spacing = distance / round(distance / spacing)  # the longer the gap, the better it is known
    return spacing


def _common_divisor(one: float, other: float, allowance: float) -> float:
    """Return the greatest common divisor of two lengths known to `allowance`; −1 where it is not visibly above that."""
    while other > allowance:
        one, other = other, one - other * round(one / other)
        other = abs(other)
    return one if one == 0 or one > 100 * allowance else -1.0


class Pool:
    """The noise of the cost, from all tables that have seen it.

    Noise of rounding grows with |J|, so that what a table at a long step saw is scaled down for a short one.
    """

    def __init__(self) -> None:
        self.readings: list[tuple[float, float, float]] = []
        self.extra = 0.0
        self.confirmed = False
        self.repetition: float | None = None

    def add(self, reading: Reading) -> None:
        """Take in what one table measured, unless nothing moved there: that says nothing of the noise."""
        nothing = reading.stuck and reading.noise <= reading.floor
        if not reading.falls and not nothing:
            self.readings.append((reading.noise, reading.degrees_of_freedom, reading.floor))

    def learn(self, noise: float, floor: float) -> None:
        """Take in noise that showed itself as a disagreement of two steps, where rounding alone costs `floor`.

        It counts as three degrees of freedom: one would make every bar useless, and the disagreement was picked for
        its size, so that it errs on the safe side.
        """
        self.readings.append((noise, 3.0, min(floor, noise / (2 * ORDINARY))))

    def witness(self, noise: float, floor: float, degrees: float = 1.0) -> None:
        """Take in one more number that agrees with the noise that is known, as further degrees of freedom.

        Whoever asks for more than some tens of them is no longer limited by how well the noise is known.
        """
        known, so_far = self.level(floor)
        if so_far < WELL_KNOWN and WEAKEST * known <= noise <= STANDS_OUT * known:
            self.readings.append((noise, min(degrees, WELL_KNOWN), floor))

    def forget(self) -> None:
        """Drop what was learnt along lines that varied too fast to tell noise from the cost itself."""
        self.readings.clear()
        self.extra = 0.0
        self.confirmed = False

    def level(self, floor: float) -> tuple[float, float]:
        """Return the standard deviation of one value, and its degrees of freedom, where rounding alone costs `floor`."""
        degrees = sum(d for _, d, _ in self.readings)
        scaled = [n if f <= floor or n > ORDINARY * f else n * floor / f for n, _, f in self.readings]
        root = math.hypot(*(math.sqrt(d) * n for n, (_, d, _) in zip(scaled, self.readings, strict=True)))
        floor = max(floor, self.extra)
        if root > math.sqrt(degrees) * ORDINARY * floor:
            return root / math.sqrt(degrees), degrees
        # A prior of a few degrees of freedom at u|J|: ordinary rounding is known before it is seen.
        total = degrees + PRIOR_DEGREES
        return max(math.hypot(root, math.sqrt(PRIOR_DEGREES) * 2 * floor) / math.sqrt(total), floor), total

    def levels(self, floors: FloatArray) -> FloatArray:
        """Return the standard deviations of `level` for many floors at once."""
        degrees = sum(d for _, d, _ in self.readings)
        root = np.zeros_like(floors)
        for n, d, f in self.readings:
            scaled = np.where(f <= floors, n, n if n > ORDINARY * f else n * floors / f) if f > 0 else n
            root = np.hypot(root, math.sqrt(d) * scaled)
        floors = np.maximum(floors, self.extra)
        total = degrees + PRIOR_DEGREES
        usual = np.maximum(np.hypot(root, math.sqrt(PRIOR_DEGREES) * 2 * floors) / math.sqrt(total), floors)
        seen = root > math.sqrt(degrees) * ORDINARY * floors
        return np.where(seen, root / math.sqrt(max(degrees, 1.0)), usual)

    def agrees(self, reading: Reading) -> bool:
        """Say whether a plateau is the noise that is known already."""
        return self.confirmed and reading.noise <= STANDS_OUT * self.level(reading.floor)[0]
