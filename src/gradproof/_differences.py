"""The derivative φ′(0) of a function of one real variable, with an error bar.

Everything that the library knows about a cost goes through here, as φ(t) = J(θ + t v) minus what is known beforehand
(J(θ), and the claimed change ⟨g, θ_t − θ⟩: the discrepancy form, which is free of the rounding of the displacement).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from gradproof._directions import FloatArray
from gradproof._noise import (
    BETWEEN,
    FAR_ABOVE_ROUNDING,
    POINTS,
    STANDS_OUT,
    Reading,
    interpolation_weights,
    read_table,
    roughness,
)
from gradproof._results import Estimate, Kink
from gradproof._statistics import student_quantile, within

FIRST_STEP: Final = 3.0e-3 * 1.0371 * math.sqrt(math.pi / 3)
"""First step in units of the parameters' scale; the odd factor avoids steps at which a cost is exact by accident."""
SHORTEN: Final = 1 / (10 * math.pi)
"""By how much a step that is far too long, or that sees a kink, is shortened: no ratio of small numbers, so that the
values of a piecewise linear cost at both steps are not multiples of one number."""
SHORTEN_JOINT: Final = 1 / (10 * math.pi**2)
"""The same along a line on which all coordinates move: the nearest of many kinks is nearer."""
SHORTEN_LOW_PRECISION: Final = 1 / (8 * math.sqrt(math.pi / 3))
"""The same in float32 and below, where a kink drowns in the noise of much shorter steps."""
SHORTEN_TO_FIT: Final = 1 / 100
"""By how much a step is shortened when the cost cannot be evaluated at its end."""
SHORTEST: Final = 1e-12
"""Shortest step tried for a cost that fails at longer ones, over the first step."""
SMALL_NOISE: Final = 1e-6
"""A deterministic plateau above this times |J| is looked at a third time: it may be a high frequency."""
ENOUGH_DEGREES: Final = 4.0
"""Degrees of freedom from which on the noise is well enough known for a display (Student's t is 7.2 at 0.002)."""
PRIOR_DEGREES: Final = 3.0
ORDINARY: Final = 8.0
SLOW: Final = 0.1
"""Derivatives that fall by less than this over two degrees do not show yet how they go on."""
DELICATE: Final = 30.0
"""A cost that changes by this many times its value over the parameters' scale feels the rounding of its arguments."""
REMEASURE: Final = 4
"""Most steps, each an eighth of the one before, at which a line of four values is measured."""
UNEXPECTED: Final = 30.0
"""A fourth difference this many times above what is expected means that a kink was crossed."""
FOUR_POINTS: Final = 0.950
"""Standard deviation of the four-point formula, over noise/step: √(2(8² + 1))/12."""
LONGEST: Final = 1.0e2
"""Most that one look may lengthen the step by."""
ONE_SIDED_AMPLIFICATION: Final = 3.9
"""Standard deviation of the one-sided formula of order 3, over noise/step: √(11² + 18² + 9² + 2²)/6."""
DISPLAY_ALPHA: Final = 1.0e-3
"""Displayed error bars hold with probability 0.999 for the estimated noise."""

CENTRAL_6: Final = np.array([-1, 9, -45, 0, 45, -9, 1]) / 60
CENTRAL_4: Final = np.array([0, 1, -8, 0, 8, -1, 0]) / 12
CENTRAL_2: Final = np.array([0, 0, -1, 0, 1, 0, 0]) / 2
FORWARD_6: Final = np.array([-147, 360, -450, 400, -225, 72, -10]) / 60
FORWARD_5: Final = np.array([-137, 300, -300, 200, -75, 12, 0]) / 60
FORWARD_4: Final = np.array([-25, 48, -36, 16, -3, 0, 0]) / 12
"""Weights of Lagrange's interpolation formulas on seven values (Fornberg, Math. Comp. 51 (1988) 699)."""


class Line(Protocol):
    """φ along one direction; values are kept, so that asking twice costs nothing."""

    unit_roundoff: float

    def magnitude(self, reach: float) -> float:
        """Return the largest absolute value that was rounded on the way, among the values with |t| ≤ reach."""

    @property
    def evaluations(self) -> int:
        """Cost calls so far."""

    def __call__(self, steps: Sequence[float]) -> FloatArray:
        """Return φ(t) − φ(0) for each t; NaN where the cost could not be evaluated."""

    @property
    def granularity(self) -> float:
        """Spacing of the cost's values where it is visibly rounded, else 0."""

    def repeat(self) -> float:
        """Evaluate at t = 0 once more; return the absolute change, 0 for a deterministic cost."""


@dataclass(frozen=True, slots=True)
class Table:
    """Seven equally spaced values about 0 (side 0), or on one side of it (side ±1)."""

    step: float
    values: FloatArray
    reading: Reading
    side: int = 0

    @property
    def formulas(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights of the best formula, the next and the one after."""
        return (CENTRAL_6, CENTRAL_4, CENTRAL_2) if self.side == 0 else (FORWARD_6, FORWARD_5, FORWARD_4)

    def derivatives(self) -> tuple[float, float, float]:
        """Return the three formulas' derivatives, best first."""
        sign = self.side or 1
        best, next_, third = (sign * float(w @ self.values) / self.step for w in self.formulas)
        return best, next_, third

    @property
    def amplification(self) -> float:
        """Standard deviation of the best formula's error, over noise/step."""
        return float(np.linalg.norm(self.formulas[0]))

    def truncation(self) -> float:
        """Bound the best formula's truncation error, h⁶φ⁽⁷⁾/140 in the middle and h⁶φ⁽⁷⁾/7 at the end.

        Nothing where the noise hides the fifth degree. Otherwise h⁷φ⁽⁷⁾ is taken as h⁵φ⁽⁵⁾ times the slowest fall
        over two degrees that is seen, times thirty; where they hardly fall, ten times the last correction is allowed.
        """
        plateau = self.reading.plateau
        if plateau < POINTS - 1:
            return 0.0
        d = self.reading.derivatives()
        # Not the first: where a claim is taken off, what is left of φ′ says nothing of how the derivatives fall.
        pairs = [(d[1], d[3]), (d[2], d[4])] + ([(d[3], d[5])] if plateau == POINTS else [])
        rate = max((float(late / early) for early, late in pairs if early > 0), default=1.0)
        if rate > SLOW:
            best, next_, _ = self.derivatives()
            return 10 * abs(best - next_)
        fifth = max(float(d[4]), math.sqrt(float(d[3] * d[5])))
        return 30 * rate * fifth / self.step / (140 if self.side == 0 else 7)


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
        """Take in what one table measured."""
        if not reading.falls:
            self.readings.append((reading.noise, reading.degrees_of_freedom, reading.floor))

    def learn(self, noise: float) -> None:
        """Take in noise that showed itself as a disagreement of two steps: one degree of freedom."""
        self.readings.append((noise, 1.0, noise))

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

    def agrees(self, reading: Reading) -> bool:
        """Say whether a plateau is the noise that is known already."""
        return self.confirmed and reading.noise <= STANDS_OUT * self.level(reading.floor)[0]


def careful_derivative(
    line: Line,
    scale: float,
    *,
    target: float = 0.0,
    pool: Pool | None = None,
    max_evaluations: int = 34,
    alpha: float = DISPLAY_ALPHA,
) -> Estimate:
    """Measure φ′(0) as well as a few looks allow.

    Parameters
    ----------
    line
        φ.
    scale
        Length over which φ is expected to change, in units of t; a first guess only, which the values correct.
    target
        Stop as soon as the error bar is this small, in units of the cost per unit of t.
    pool
        Noise known from other lines of the same cost; what this line adds to it is added.
    max_evaluations
        No further look is started past this.
    alpha
        Probability that the noise exceeds the error bar.

    Returns
    -------
    Estimate
        ``trusted`` is False where no consistent step was found.
    """
    return _Search(line, scale, target, pool if pool is not None else Pool(), max_evaluations, alpha).run()


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a first line teaches the later ones of its kind.

    Parameters
    ----------
    step
        For the four-point formula, in units of t.
    truncation
        Bound on that formula's truncation error at that step.
    fourth
        Largest fourth difference to be expected at that step: more means that the calibration does not fit.
    """

    step: float
    truncation: float
    fourth: float


def first_line(
    line: Line,
    target: float,
    pool: Pool,
    *,
    max_evaluations: int,
    scale: float = 1.0,
    enough: float = ENOUGH_DEGREES,
) -> tuple[Estimate, Calibration | None]:
    """Measure a first line, and learn from it at which step four values will do for the next ones.

    Truncation and noise are balanced for order 4 at h = 1.48 (ε/|φ⁽⁵⁾|)^⅕; 0.6 (7.1 ε/|φ⁽⁵⁾|)^⅕ lies below that because
    φ⁽⁵⁾ differs from one direction to the next, and three times the value seen is allowed for.

    Returns
    -------
    Estimate
        As from `careful_derivative`.
    Calibration or None
        None where no usable step was found.
    """
    search = _Search(line, scale, target, pool, max_evaluations, DISPLAY_ALPHA, enough, SHORTEN_JOINT)
    estimate = search.run()
    table = next((t for t in search.good if t.step == estimate.step and t.side == 0), None)
    if table is None or not estimate.trusted or estimate.kink is not None:
        return estimate, None
    noise, _ = pool.level(table.reading.floor)
    fourth, fifth = table.reading.derivatives()[3:5]  # already times h⁴ and h⁵
    fifth = max(float(fifth), 0.5 * noise)  # what the noise may hide
    ratio = min(0.6 * (7.1 * noise / fifth) ** 0.2, 1.5) if fifth > 0 else 1.5
    step = shorten_mantissa(ratio * table.step)
    truncation = 3 * ratio**5 * fifth / 30 / step
    return estimate, Calibration(step, truncation, float(fourth) * ratio**4)


def later_line(line: Line, calibration: Calibration, pool: Pool, *, expect_zero: bool = True) -> Estimate:
    """Measure a line with four values, and with four more at an eighth of the step where they do not look as expected.

    The same direction is measured again, never a fresh one: the unit whose kink was crossed may be the faulty one.

    Parameters
    ----------
    line, calibration, pool
        φ, what a first line taught, and the noise.
    expect_zero
        The derivative of a right claim's discrepancy is zero: measure again where it is not. A search knows better.
    """
    taken = line.evaluations
    step, truncation = calibration.step, calibration.truncation
    previous: Estimate | None = None
    for attempt in range(REMEASURE):
        values = line([-2 * step, -step, step, 2 * step])
        value = float(values @ [1, -8, 8, -1]) / (12 * step)
        fourth = abs(float(values @ [1, -4, -4, 1]))  # the middle value, six times, is zero
        noise, degrees = pool.level(0.5 * line.unit_roundoff * line.magnitude(2 * step))
        spread = FOUR_POINTS * noise / step
        estimate = Estimate(
            value=value,
            truncation_error=truncation,
            roundoff_error=spread,
            error_bar=truncation + student_quantile(degrees, DISPLAY_ALPHA) * spread,
            degrees_of_freedom=degrees,
            step=step,
            order=4,
            evaluations=line.evaluations - taken,
            method="central, order 4" if attempt == 0 else f"central, order 4, measured {attempt + 1} times",
            noise=noise,
        )
        expected = max(math.sqrt(70) * noise, calibration.fourth * (step / calibration.step) ** 4)
        rounding = 0.1 * FAR_ABOVE_ROUNDING * line.unit_roundoff * line.magnitude(2 * step)
        smooth = math.isfinite(value) and fourth <= max(UNEXPECTED * expected, math.sqrt(70) * rounding if attempt else 0)
        if smooth and (not expect_zero or within(value, truncation + 10 * spread)):
            return estimate
        if previous is not None and math.isfinite(value):
            distance = abs(value - previous.value)
            if within(distance, truncation + 10 * spread + previous.truncation_error + 10 * previous.roundoff_error):
                return estimate
            missed = distance * step / FOUR_POINTS
            if smooth and missed <= 10 * rounding:
                # Both steps look smooth, and differ as noise does: there is more of it than was known.
                pool.learn(missed)
                again = pool.level(0.5 * line.unit_roundoff * line.magnitude(2 * previous.step))
                return replace(
                    previous,
                    roundoff_error=FOUR_POINTS * again[0] / previous.step,
                    degrees_of_freedom=again[1],
                    noise=again[0],
                    evaluations=line.evaluations - taken,
                )
        previous = estimate if smooth else None
        step /= 8
        truncation /= 8**4
    # Nothing agreed: look as carefully as a first line does.
    return careful_derivative(line, calibration.step / FIRST_STEP, pool=pool)


class _Search:
    """The search for a step at which the values are well-behaved and the error bar is small."""

    def __init__(
        self,
        line: Line,
        scale: float,
        target: float,
        pool: Pool,
        max_evaluations: int,
        alpha: float,
        enough: float = ENOUGH_DEGREES,
        shorten: float = SHORTEN,
    ) -> None:
        self.line = line
        self.scale = scale
        self.target = target
        self.pool = pool
        self.limit = line.evaluations + max_evaluations
        self.started = line.evaluations
        self.alpha = alpha
        self.enough = enough
        self.first_step = FIRST_STEP * scale
        self.shorten = shorten if line.unit_roundoff < 1e-12 else SHORTEN_LOW_PRECISION
        self.good: list[Table] = []
        self.suspects: list[Table] = []
        self.failed: list[float] = []
        self.open_side = 0
        self.too_long = math.inf
        self.lengthened = 0
        self.backed_off = 0
        self.checked_between = False
        self.grained = False
        self.looked_beyond = False
        self.kinked = False

    # -- looking -----------------------------------------------------------------------------------------------------

    def look(self, step: float) -> Table | None:
        """Evaluate seven values about 0; None, and a note of the side that is open, where the cost fails."""
        if not any(3 * step == other.step for other in self.good):
            step = 3 * shorten_mantissa(step / 3)  # so that the third of it, looked at later, shares values
        up, down = self.line([3 * step, -3 * step])
        usable = math.isfinite(up) and math.isfinite(down)
        if not usable or not np.all(np.isfinite(self.line([k * step for k in (-2, -1, 1, 2)]))):
            self.failed.append(step)
            self.open_side = 1 if math.isfinite(up) else -1 if math.isfinite(down) else self.open_side
            return None
        return self.table(step, self.line([k * step for k in (-3, -2, -1, 0, 1, 2, 3)]))

    def look_aside(self, step: float, side: int) -> Table | None:
        """Evaluate seven values on one side of 0."""
        step = shorten_mantissa(step)
        values = self.line([side * k * step for k in range(POINTS)])
        return self.table(step, values, side) if np.all(np.isfinite(values)) else None

    def table(self, step: float, values: FloatArray, side: int = 0) -> Table:
        slope = abs(float(values[-1] - values[0])) / (POINTS - 1) / step
        reading = read_table(
            values,
            self.line.magnitude(POINTS * step),
            self.line.unit_roundoff,
            granularity=self.granularity(values),
            sensitivity=slope * self.scale,
        )
        return Table(step, values, reading, side)

    def granularity(self, values: FloatArray) -> float:
        """Return the spacing of the cost's values where a table shows it as noise: multiples of a step are no rounding."""
        spacing = self.line.granularity
        seen = [values, *(table.values for table in (*self.suspects, *self.good))]
        return spacing if spacing > 0 and any(roughness(v) >= 0.02 * spacing for v in seen) else 0.0

    def reread(self) -> None:
        """The granularity of the cost has come to light: read all tables again with it."""
        tables = [self.table(table.step, table.values, table.side) for table in (*self.good, *self.suspects)]
        self.good = [table for table in tables if not table.reading.high]
        self.suspects = [table for table in tables if table.reading.high]
        self.too_long = min((table.step for table in self.suspects), default=math.inf)
        self.pool.readings.clear()
        for table in self.good:
            self.pool.add(table.reading)

    # -- deciding where to look next ---------------------------------------------------------------------------------

    def run(self) -> Estimate:
        step = self.first_step
        while step > 0 and self.line.evaluations + POINTS - 1 <= self.limit:
            table = self.look(step)
            step = self.after_failure(step) if table is None else self.after(table)
        if self.open_side:
            self.try_one_side()
        return self.conclude()

    def too_far_apart(self, table: Table) -> bool:
        """Look between the points: a frequency far above the step's looks smooth on equally spaced ones."""
        if self.target > 0 or self.line.evaluations >= self.limit or table.reading.stuck:
            return False
        place = shorten_mantissa(BETWEEN * table.step)
        value = self.line([-3 * table.step, place, 3 * table.step])[1]
        weights = interpolation_weights()
        expected = float(weights @ table.values)
        slope = table.derivatives()[0]
        expected += slope * (place - BETWEEN * table.step)
        noise, _ = self.pool.level(table.reading.floor)
        rounding = 4 * self.line.unit_roundoff * self.sensitivity(table)
        allowed = 12 * noise + rounding + 4 * table.step * table.truncation()
        return not within(value - expected, max(allowed, 0.1 * table.reading.suspicious))

    def after_failure(self, step: float) -> float:
        """The cost failed at this step: shorten it, unless shorter ones were fine already."""
        self.too_long = min(self.too_long, step)
        shorter = step * SHORTEN_TO_FIT
        return 0.0 if self.good or shorter < SHORTEST * self.first_step else shorter

    def after(self, table: Table) -> float:
        """Judge a table; return the next step to look at, 0 for enough."""
        if not self.grained and self.granularity(table.values) > 0:
            self.grained = True
            self.suspects.append(table)
            self.reread()
            longest = max(self.good, key=lambda t: t.step, default=None)
            if longest is not None:
                return self.better_step(longest) or self.second_opinion()
            table = self.suspects.pop()
        if table.reading.high and not self.pool.agrees(table.reading):
            self.doubt(table)
            return self.back_off(table) if self.good else self.after_suspect(table)
        return self.accept(table)

    def doubt(self, table: Table) -> None:
        """Set a table aside, and with it those at longer steps, which only seemed to be well-behaved."""
        longer = [other for other in self.good if other.step > table.step]
        self.good = [other for other in self.good if other.step <= table.step]
        self.suspects.extend([*longer, table])
        self.too_long = min(self.too_long, table.step)

    def back_off(self, table: Table) -> float:
        """Return a step between the longest usable one and this one, which was too long; 0 where that pays no more.

        Degrees 5 and 6 stand out there; shortening by f lowers them by f⁵ and more, down to the noise that is known.
        """
        noise, _ = self.pool.level(table.reading.floor)
        signal = max(table.reading.coefficients[-2:])
        step = table.step * (noise / signal) ** 0.2 if signal > 0 else 0.0
        best = max(other.step for other in self.good)
        if self.backed_off >= 2 or not 2 * best < step < 0.8 * table.step:
            return 0.0
        self.backed_off += 1
        return step

    def accept(self, table: Table) -> float:
        for other in [other for other in self.good if other.step > table.step and self.contradict(other, table)]:
            distance = abs(other.derivatives()[0] - table.derivatives()[0]) * table.step
            if distance <= 10 * self.line.unit_roundoff * (self.line.magnitude(0.0) + self.sensitivity(table)):
                # Rounding of the arguments, regular enough to hide from the differences.
                self.pool.extra = max(self.pool.extra, distance)
            else:
                self.good.remove(other)  # the longer step is the likelier to mislead
                self.suspects.append(other)
                self.too_long = min(self.too_long, other.step)
        if not self.checked_between:
            self.checked_between = True
            if self.too_far_apart(table):
                self.suspects.append(table)
                self.too_long = min(self.too_long, table.step)
                self.checked_between = False
                return table.step * self.shorten
        self.good.append(table)
        self.pool.add(table.reading)
        return self.better_step(table) or self.second_opinion()

    def contradict(self, one: Table, two: Table) -> bool:
        return not within(one.derivatives()[0] - two.derivatives()[0], self.bar(one) + self.bar(two))

    def sensitivity(self, table: Table) -> float:
        """Change of the cost over the parameters' scale: u times this is what rounding the arguments may cost."""
        return abs(table.derivatives()[0]) * self.scale

    def after_suspect(self, table: Table) -> float:
        """A plateau far above rounding: is it noise, a kink, or a step that is far too long?"""
        if self.pool.repetition is None:
            self.pool.repetition = self.line.repeat()
        if self.pool.repetition >= table.reading.noise / 20:
            return self.accept_noise()  # two calls at the same point differ as much
        if len(self.suspects) > 1:
            before = self.suspects[-2]
            if _is_kink(before, table):
                self.kinked = True
                return 0.0
            steady = table.reading.noise >= before.reading.noise / 4
            small = table.reading.noise <= SMALL_NOISE * self.line.magnitude(0.0)
            if steady and (small or (len(self.suspects) > 2 and irregular(table))):
                return self.accept_noise()
        return table.step * self.shorten

    def accept_noise(self) -> float:
        """The same at two steps, or at two calls: noise. The tables that showed it are good, and longer steps pay."""
        self.pool.confirmed = True
        level = self.suspects[-1].reading.noise
        tables = [table for table in self.suspects if table.reading.noise <= 4 * level]
        self.suspects = [table for table in self.suspects if table.reading.noise > 4 * level]
        self.too_long = min((table.step for table in self.suspects), default=math.inf)
        for table in tables:
            self.good.append(table)
            self.pool.add(table.reading)
        return self.better_step(max(tables, key=lambda table: table.step))

    def better_step(self, table: Table) -> float:
        """Return a step at which the error bar would be smaller; 0 where there is none worth its evaluations."""
        reading = table.reading
        if self.bar(table) <= self.target and not reading.stuck:
            return 0.0
        if reading.falls:
            self.too_long = min(self.too_long, table.step)
            noise, _ = self.pool.level(reading.floor)
            if table.truncation() <= table.amplification * noise / table.step:
                return 0.0
            factor = (3 * noise / reading.coefficients[-1]) ** (1 / 6)
            shorter = table.step * min(max(factor, SHORTEN), 0.5)
            return 0.0 if any(0.4 < shorter / other.step < 2.5 for other in self.good) else shorter
        if reading.stuck and self.suspects and not self.looked_beyond:
            self.looked_beyond = True  # constant here, jumps there: a coarse granularity shows at a longer step
            return 10 * max(other.step for other in self.suspects)
        longer = table.step * (LONGEST if reading.stuck else min(reading.room(), LONGEST))
        if longer < 2.5 * table.step or longer >= 0.5 * self.too_long or self.lengthened >= 3:
            return 0.0
        self.lengthened += 1
        return longer

    def second_opinion(self) -> float:
        """Return a third of the best step where too few values have shown the noise: two of them are there already."""
        best = min(self.good, key=self.bar)
        delicate = self.sensitivity(best) > DELICATE * self.line.magnitude(0.0)
        if self.bar(best) <= self.target or (self.pool.level(best.reading.floor)[1] >= self.enough and not delicate):
            return 0.0
        shorter = min(best.step, *(table.step for table in self.good if table.step > best.step / 30)) / 3
        return 0.0 if any(0.5 < shorter / other.step < 2 for other in self.good) else shorter

    def try_one_side(self) -> None:
        """At the edge of the domain a one-sided formula may know more than a short two-sided one."""
        best = min((self.bar(table) for table in self.good), default=math.inf)
        size = max((abs(table.derivatives()[0]) for table in self.good), default=0.0)
        if best <= max(self.target, 1e-9 * size) or self.line.evaluations + POINTS - 1 > self.limit + POINTS:
            return
        table = self.look_aside(self.first_step / 2, self.open_side)
        if table is None or table.reading.high:
            return
        if all(not self.contradict(table, other) for other in self.good):
            self.good.append(table)
            self.pool.add(table.reading)

    # -- concluding --------------------------------------------------------------------------------------------------

    def spread(self, table: Table) -> float:
        """Standard deviation of a table's derivative."""
        return table.amplification * self.pool.level(table.reading.floor)[0] / table.step

    def bar(self, table: Table) -> float:
        """Half-width of a table's derivative."""
        degrees = self.pool.level(table.reading.floor)[1]
        rounding = 4 * self.line.unit_roundoff * abs(table.derivatives()[0])
        return table.truncation() + student_quantile(degrees, self.alpha) * self.spread(table) + rounding

    def conclude(self) -> Estimate:
        if self.kinked:
            return self.at_kink(self.suspects[-1])
        if self.good:
            best = min(self.good, key=self.bar)
            bar = self.bar(best)
            rivals = [table for table in self.good if table is not best and self.contradict(table, best)]
            # Two usable steps contradict each other: the shorter is less wrong, by no more than their distance.
            if rivals and min(t.step for t in rivals) < best.step:
                best = min(rivals, key=lambda table: table.step)
                bar = self.bar(best)
            bar = max([bar, *(abs(t.derivatives()[0] - best.derivatives()[0]) for t in rivals)])
            return self.estimate(best, bar, trusted=not rivals)
        if not self.suspects:
            return self.nothing()
        near = self.kink_beside_point()
        if near is not None:
            return self.at_kink(near)
        best = min(self.suspects, key=lambda table: table.step)
        others = [d for t in self.suspects[-2:] for d in t.derivatives()]
        bar = max([self.bar(best), *(3 * abs(best.derivatives()[0] - d) for d in others)])
        return self.estimate(best, bar, trusted=False)

    def kink_beside_point(self) -> Table | None:
        """Return the table that shows best a jump of the slope so near that no step resolves it."""
        tables = [table for table in self.suspects if table.side == 0]
        if len(tables) < 2:  # noqa: PLR2004
            return None
        best = min(tables, key=lambda table: _one_sided(table)[2])
        left, right, bar = _one_sided(best)
        others = [_one_sided(table) for table in tables if table.step > best.step / 100 and table is not best]
        steady = any(within((r - l) - (right - left), 0.25 * abs(right - left) + b) for l, r, b in others)
        return best if abs(right - left) > 8 * bar and steady else None

    def estimate(self, table: Table, bar: float, *, trusted: bool = True) -> Estimate:
        side = {0: "central", 1: "forward", -1: "backward"}[table.side]
        return Estimate(
            value=table.derivatives()[0],
            truncation_error=table.truncation(),
            roundoff_error=self.spread(table),
            error_bar=bar,
            degrees_of_freedom=self.pool.level(table.reading.floor)[1],
            step=table.step,
            order=6,
            evaluations=self.line.evaluations - self.started,
            method=f"{side}, order 6",
            noise=self.pool.level(table.reading.floor)[0],
            trusted=trusted,
        )

    def at_kink(self, table: Table) -> Estimate:
        noise, degrees = self.pool.level(table.reading.floor)
        left, right, bar = _one_sided(table)
        bar += ONE_SIDED_AMPLIFICATION * student_quantile(degrees, self.alpha) * noise / table.step
        return Estimate(
            value=0.5 * (left + right),
            truncation_error=bar,
            roundoff_error=ONE_SIDED_AMPLIFICATION * noise / table.step,
            error_bar=0.5 * abs(right - left) + bar,
            degrees_of_freedom=degrees,
            step=table.step,
            order=3,
            evaluations=self.line.evaluations - self.started,
            method="one-sided, order 3",
            noise=noise,
            kink=Kink(left=left, right=right, error_bar=bar),
        )

    def nothing(self) -> Estimate:
        """No step at all could be evaluated."""
        return Estimate(
            value=math.nan,
            truncation_error=math.inf,
            roundoff_error=math.inf,
            error_bar=math.inf,
            degrees_of_freedom=1.0,
            step=self.failed[-1] if self.failed else 0.0,
            order=0,
            evaluations=self.line.evaluations - self.started,
            method="none: the cost could not be evaluated on either side",
            noise=math.nan,
            trusted=False,
        )


def irregular(table: Table) -> bool:
    """Say whether the values go up and down: a step function or a saturated one is no noise, however steady."""
    changes = np.sign(np.diff(table.values))
    return int(np.count_nonzero(changes[1:] * changes[:-1] < 0)) > 1


def shorten_mantissa(step: float) -> float:
    """Round to 44 bits, so that small multiples of the step are exact and values are found again by them."""
    mantissa, exponent = math.frexp(step)
    return math.ldexp(round(math.ldexp(mantissa, 44)), exponent - 44)


def _one_sided(table: Table) -> tuple[float, float, float]:
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


def _is_kink(long: Table, short: Table) -> bool:
    """Say whether two central tables show the same jump of the slope at the point itself.

    A smooth function's jump falls like h³ and that of noise rises like 1/h; a kink's stays. With another kink beside
    the point, or this one beside it at a distance d, the formulas' disagreement grows like d/h instead of falling.
    """
    left, right, bar = _one_sided(short)
    long_left, long_right, long_bar = _one_sided(long)
    jump, long_jump = right - left, long_right - long_left
    noise = 8 * short.reading.floor / short.step
    clear = abs(jump) > 8 * (bar + noise)
    steady = within(jump - long_jump, 0.25 * abs(jump) + long_bar)
    alone = bar <= 3 * long_bar * short.step / long.step + noise
    return clear and steady and alone
