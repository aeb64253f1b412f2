"""Does one vector, times a coefficient, explain every probe? Intervals, and the chance of an accidental fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradproof._diagnosis.evidence import VISIBLE, Finding, Measurements, Misfit
from gradproof._diagnosis.telling import Telling, describe_number, nearby_decimal, telling_value
from gradproof._words.results import Cause
from gradproof._words.vectors import FloatArray

LARGEST_CHANCE = 1e-6
"""Probability, over all hypotheses together, of naming one that only fits by accident."""
FEWEST_HYPOTHESES = 30
GAUSSIAN = 1.6
"""P(|N(0, σ²)| ≤ b) ≤ 0.8 b/σ; twice that, because the coefficient is uncertain by about a bar as well."""
ROUNDING_OF_COEFFICIENT = 1e-14
NEXT_TO_NOTHING = 0.05
"""A true gradient of at most this share of the claim, zero within its bar, is called zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """true = c·vector, or true = claimed + c·vector where ``added``.

    Parameters
    ----------
    cause
        Of the mistake.
    vector
        Makes the vector, flat, when it is needed.
    added
        Whether the claim itself is part of the truth.
    mistake
        Turns the interval of c into that of the mistake's own coefficient: claimed = coefficient × true, say.
    describe
        Writes the finding.
    plain
        The value of the mistake's coefficient that needs no explaining (1 for a transpose), if there is one.
    factor
        Whether counts and constants are telling values of the coefficient.
    """

    cause: Cause
    vector: Callable[[], FloatArray]
    added: bool
    mistake: Callable[[float, float], tuple[float, float]]
    describe: Callable[[Fit], Finding]
    plain: float | None = None
    factor: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """A hypothesis that no probe contradicts.

    Parameters
    ----------
    hypothesis
        The one that fits.
    lower, upper
        The interval of its c.
    mistake_lower, mistake_upper
        The interval of the mistake's coefficient.
    telling
        The telling value in that interval, if any; the plain one counts.
    chance
        Probability that probes of something else would fit as well by accident, for this hypothesis alone.
    """

    hypothesis: Hypothesis
    lower: float
    upper: float
    mistake_lower: float
    mistake_upper: float
    telling: Telling | None
    chance: float

    @property
    def coefficient(self) -> float:
        """The mistake's coefficient, as it is written in a remedy: what is printed is what is certified."""
        return self.telling.value if self.telling else self._nearby[1]

    @property
    def written(self) -> str:
        """The coefficient in a remedy: the telling value's text, else a decimal near the middle of the interval."""
        return self.telling.text if self.telling else self._nearby[0]

    @property
    def described(self) -> str:
        """The coefficient in a sentence, with the digits that are known; with all of them where it would read as 1."""
        if self.telling:
            return self.telling.text
        number = describe_number(self.mistake_lower, self.mistake_upper)
        return number if number.lstrip("-") != "1" else self.written

    @property
    def _nearby(self) -> tuple[str, float]:
        return nearby_decimal((self.mistake_lower + self.mistake_upper) / 2, self.bar)

    @property
    def bar(self) -> float:
        """Half-width of the interval of the mistake's coefficient."""
        return (self.mistake_upper - self.mistake_lower) / 2

    @property
    def rank(self) -> tuple[bool, float]:
        """Order by simplicity: telling values first, the simpler the earlier."""
        return (self.telling is None, self.telling.weight if self.telling else 0.0)


def inverse(lower: float, upper: float) -> tuple[float, float]:
    """Return the interval of 1/c; everything where c may be zero."""
    return (-math.inf, math.inf) if lower <= 0 <= upper else (1 / upper, 1 / lower)


def negative(lower: float, upper: float) -> tuple[float, float]:
    """Return the interval of −c."""
    return -upper, -lower


def probes_needed(relative_bar: float, *, coefficients: int = 1, hypotheses: int = FEWEST_HYPOTHESES) -> int:
    """Return how many probes it takes until no hypothesis fits by accident.

    Parameters
    ----------
    relative_bar
        Bar of a probe over the size of its misfit.
    coefficients
        Free coefficients of a hypothesis, p.
    hypotheses
        How many compete.

    Returns
    -------
    int
        p + 1 where bars are tiny, more where they are wide; at most p + 12.
    """
    ratio = min(GAUSSIAN * abs(relative_bar), 0.5)
    if ratio <= 0:
        return coefficients + 1
    return coefficients + min(12, max(1, math.ceil(math.log(LARGEST_CHANCE / hypotheses) / math.log(ratio))))


def fits(
    measurements: Measurements, hypotheses: Sequence[Hypothesis], counts: Mapping[int, str]
) -> tuple[list[Fit], list[Fit]]:
    """Return the hypotheses that all probes agree with, the simplest first.

    Lines are made once each, and a hypothesis is dropped with the first probe that contradicts it.

    Returns
    -------
    tuple of two lists
        Those that do not fit by accident, and those that may.
    """
    alive = _surviving(measurements, hypotheses)
    judged = (_judge(measurements, one, lower, upper, counts) for one, (lower, upper) in alive)
    found = sorted((fit for fit in judged if fit is not None), key=lambda fit: fit.rank)
    limit = LARGEST_CHANCE / max(FEWEST_HYPOTHESES, len(hypotheses))
    # One number is explained by any factor, offset or multiple: all are kept, and the telling ones come first.
    one_number = measurements.size == 1
    sure = [fit for fit in found if fit.chance <= limit or (one_number and fit.hypothesis.plain is None)]
    return sure, [fit for fit in found if fit not in sure]


def joint_factor(blocks: Sequence[tuple[Measurements, Fit]], counts: Mapping[int, str]) -> Fit | None:
    """Fit one factor to several blocks, each of which has a factor that fits."""
    lower = max(fit.lower for _, fit in blocks)
    upper = min(fit.upper for _, fit in blocks)
    if not lower <= upper or lower <= 0 <= upper:
        return None
    low, high = inverse(lower, upper)
    telling = telling_value(low, high, counts)
    misfits = [misfit for measurements, _ in blocks for misfit in measurements.misfits]
    chance = chance_of_accident(misfits, sum(measurements.size for measurements, _ in blocks), free=1)
    if telling is not None:
        chance *= min(1.0, telling.weight * (high - low) / abs(high + low))
    if chance * FEWEST_HYPOTHESES > LARGEST_CHANCE:
        return None
    return Fit(
        hypothesis=blocks[0][1].hypothesis,
        lower=lower,
        upper=upper,
        mistake_lower=low,
        mistake_upper=high,
        telling=telling,
        chance=chance,
    )


def _surviving(
    measurements: Measurements, hypotheses: Sequence[Hypothesis]
) -> list[tuple[Hypothesis, tuple[float, float]]]:
    intervals: dict[int, tuple[float, float]] = {}
    norms: dict[int, float] = {}
    for number, one in enumerate(hypotheses):
        vector = one.vector()
        norms[number] = float(np.linalg.norm(vector))
        if norms[number] > 0:
            intervals[number] = _from_coordinates(measurements, vector, added=one.added)
    intervals = {number: one for number, one in intervals.items() if one[0] <= one[1]}
    claimed_norm = float(np.linalg.norm(measurements.claimed)) if measurements.lines and intervals else 0.0
    for probe, z, scale in measurements.components():
        claimed = float(measurements.claimed @ z)
        for number in list(intervals):
            one = hypotheses[number]
            slope = float(one.vector() @ z)
            value = probe.value - claimed if one.added else probe.value
            norm = claimed_norm if one.added else norms[number] * abs(_near_zero(intervals[number]))
            new = _interval(value, slope, probe.bar + measurements.slack(norm, scale))
            narrowed = (max(intervals[number][0], new[0]), min(intervals[number][1], new[1]))
            if narrowed[0] <= narrowed[1]:
                intervals[number] = narrowed
            else:
                del intervals[number]
        if not intervals:
            break
    return [(hypotheses[number], interval) for number, interval in intervals.items() if math.isfinite(sum(interval))]


def _near_zero(interval: tuple[float, float]) -> float:
    """The coefficient's size for rounding; 1 as long as nothing is known of it."""
    size = min(abs(interval[0]), abs(interval[1]))
    return size if math.isfinite(size) else 1.0


def _from_coordinates(measurements: Measurements, vector: FloatArray, *, added: bool) -> tuple[float, float]:
    """Intersect the intervals of c over the coordinates that were measured by themselves."""
    if measurements.indices.size == 0:
        return -math.inf, math.inf
    slope = vector[measurements.indices]
    value = measurements.entries - measurements.claimed[measurements.indices] if added else measurements.entries
    bars = measurements.entry_bars
    if np.any((slope == 0) & (np.abs(value) > bars)):
        return math.inf, -math.inf
    value, bars, slope = value[slope != 0], bars[slope != 0], slope[slope != 0]
    if slope.size == 0:
        return -math.inf, math.inf
    with np.errstate(over="ignore", divide="ignore"):
        middle, half = value / slope, bars / np.abs(slope)
    return float(np.max(middle - half)), float(np.min(middle + half))


def _interval(value: float, slope: float, bar: float) -> tuple[float, float]:
    """All c with |value − c·slope| ≤ bar."""
    if slope == 0:
        return (-math.inf, math.inf) if abs(value) <= bar else (math.inf, -math.inf)
    one, other = (value - bar) / slope, (value + bar) / slope
    return min(one, other), max(one, other)


def _judge(
    measurements: Measurements, one: Hypothesis, lower: float, upper: float, counts: Mapping[int, str]
) -> Fit | None:
    vanishing = lower <= 0 <= upper
    if vanishing and not (one.cause is Cause.FACTOR and max(-lower, upper) <= NEXT_TO_NOTHING):
        return None  # c = 0 explains nothing, but for a true gradient that is zero
    low, high = map(float, one.mistake(lower, upper))
    if one.cause is Cause.FACTOR and low <= 1 <= high and not vanishing:
        return None  # neither does a factor that may be 1
    slack = ROUNDING_OF_COEFFICIENT * max(abs(low), abs(high))
    low, high = low - slack, high + slack
    if vanishing or (one.plain is not None and low <= one.plain <= high):
        telling: Telling | None = Telling(math.inf if one.plain is None else one.plain, "", "", 0.0)
        chance = chance_of_accident(measurements.misfits, measurements.size, free=0)
    else:
        telling = telling_value(low, high, counts, factor=one.factor)
        chance = chance_of_accident(measurements.misfits, measurements.size, free=1)
        if telling is not None:
            chance *= min(1.0, telling.weight * (high - low) / abs(high + low))
    return Fit(
        hypothesis=one,
        lower=lower,
        upper=upper,
        mistake_lower=low,
        mistake_upper=high,
        telling=telling,
        chance=chance,
    )


def chance_of_accident(misfits: Sequence[Misfit], size: int, *, free: int) -> float:
    """Bound the probability that a wrong hypothesis with ``free`` coefficients agrees with all the probes.

    Each probe beyond the coefficients fits by accident with the probability that a normal number of its misfit's size
    falls within its bar. The sharpest probes are taken to have fixed the coefficients. A block of n entries has at most
    n independent probes.
    """
    ratios = sorted(
        min(1.0, GAUSSIAN * misfit.bar / abs(misfit.value)) if abs(misfit.value) > VISIBLE * misfit.bar else 1.0
        for misfit in misfits
    )
    return math.prod(ratios[free:size])
