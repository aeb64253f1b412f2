"""The search for the step: at which the values are well-behaved and the error bar is small.

No step is known beforehand. Each look at seven values says whether they were too far apart, too near, beside a kink,
rounded, noisy or outside the domain, and so where to look next.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from gradproof._numerics.formulas import BETWEEN, POINTS, interpolation_weights
from gradproof._numerics.noise import AS_NOISY, Pool, read_table, visible_grain
from gradproof._numerics.statistics import student_quantile, within
from gradproof._numerics.tables import (
    REPRESENTED,
    SAME_JUMP,
    Phi,
    Table,
    irregular,
    is_kink,
    one_sided,
    shorten_mantissa,
)
from gradproof._words.results import Estimate, Kink
from gradproof._words.vectors import FloatArray

FIRST_STEP: Final = 3.0e-3 * 1.0371 * math.sqrt(math.pi / 3)
"""First step in units of the parameters' scale; the odd factor avoids steps at which a cost is exact by accident."""
SHORTEN: Final = 1 / (10 * math.pi)
"""By how much a step that is far too long, or that sees a kink, is shortened: no ratio of small numbers, so that the
values of a piecewise linear cost at both steps are not multiples of one number."""
SHORTEN_LOW_PRECISION: Final = 1 / (8 * math.sqrt(math.pi / 3))
"""The same in float32 and below, where a kink drowns in the noise of much shorter steps."""
SHORTEN_TO_FIT: Final = 1 / 100
"""By how much a step is shortened when the cost cannot be evaluated at its end."""
SHORTEST: Final = 1e-12
"""Shortest step tried for a cost that fails at longer ones, over the first step."""
MUCH_SHORTER: Final = 1 / 20
"""Steps are compared for noise and kinks where one is this much shorter: near kinks, plateaus at like steps are alike
by accident."""
SMALL_NOISE: Final = 1e-6
DEEP: Final = 1e-6
"""A deterministic plateau above this times |J| is called noise only where it is there at so short a step, over the
first one, too: it may be a high frequency."""
COARSE: Final = 1e-5
"""Grains above this times |J| are no rounding of single precision."""
ENOUGH_DEGREES: Final = 4.0
"""Degrees of freedom from which on the noise is well enough known for a display (Student's t is 7.2 at 0.002)."""
UNSEEN: Final = 0.3
"""Longest step, over the parameters' scale, for a cost that does not stand out from its noise."""
CLEAR: Final = 30.0
"""A coefficient this many times above the higher ones, or above rounding, is the curvature of the cost."""
CHEAPER: Final = 14.0
"""A spread of so many targets takes five lines instead of two (√(m/q_m) is 36 and 1410 at α = 1e-6)."""
DELICATE: Final = 30.0
"""A cost that changes by this many times its value over the parameters' scale feels the rounding of its arguments."""
LONGEST: Final = 10 * math.pi**2
"""Most that one look may lengthen the step by; no ratio of small numbers, as above."""
LOOKS_BEYOND: Final = 3
BEYOND: Final = 8 * math.pi
"""Looks, and how much further most of them are, that tell a cost of visible granularity from one that is flat here."""
RISES: Final = 8.0
"""A cost of visible granularity changes by so many times its scatter, far enough away. Of all tables of seven values that
jump among two or three levels, and look like noise, nine in ten change by less than 3.5 times theirs."""
LOST: Final = 0.1
"""A curvature of which less than this is seen, where a longer step promises it clearly, is lost in rounding."""
ONE_SIDED_AMPLIFICATION: Final = 3.9
"""Standard deviation of the one-sided formula of order 3, over noise/step: √(11² + 18² + 9² + 2²)/6."""
BY_CHANCE: Final = 2.0
"""Bars that hold with probability 0.999 are missed by a little in one of so many searches: twice as wide ones are not."""
DISPLAY_ALPHA: Final = 1.0e-3
"""Displayed error bars hold with probability 0.999 for the estimated noise."""


class StepSearch:
    """The search for a step at which the values are well-behaved and the error bar is small."""

    def __init__(
        self,
        line: Phi,
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
        self.floor = REPRESENTED * line.shortest
        self.shorten = shorten if line.parameter_roundoff < 1e-12 else SHORTEN_LOW_PRECISION
        self.good: list[Table] = []
        self.suspects: list[Table] = []
        self.failed: list[float] = []
        self.open_side = 0
        self.at_edge = False
        self.looked_aside = False
        self.too_long = math.inf
        self.lengthened = 0
        self.backed_off = 0
        self.checked_between = False
        self.grained = False
        self.looked_beyond = 0
        self.kinked = False

    # -- looking -----------------------------------------------------------------------------------------------------

    def look(self, step: float) -> Table | None:
        """Evaluate seven values about 0; None, and a note of the side that is open, where the cost fails."""
        if not any(3 * step == other.step for other in self.good):
            step = 3 * shorten_mantissa(step / 3)  # so that the third of it, looked at later, shares values
        beside = [] if self.target > 0 else [self.between(step, 0)]
        self.line.ahead([*(k * step for k in (3, -3, -2, -1, 1, 2)), *beside])
        up, down = self.line([3 * step, -3 * step])
        usable = math.isfinite(up) and math.isfinite(down)
        if not usable or not np.all(np.isfinite(self.line([k * step for k in (-2, -1, 1, 2)]))):
            self.failed.append(step)
            self.open_side = 1 if math.isfinite(up) else -1 if math.isfinite(down) else self.open_side
            self.at_edge = math.isfinite(up) != math.isfinite(down)
            return None
        steps = [k * step for k in (-3, -2, -1, 0, 1, 2, 3)]
        return self.table(step, self.line(steps), self.line.changes(steps))

    def look_aside(self, step: float, side: int) -> Table | None:
        """Evaluate seven values on one side of 0."""
        step = shorten_mantissa(step)
        steps = [side * k * step for k in range(POINTS)]
        values = self.line(steps)
        return self.table(step, values, self.line.changes(steps), side) if np.all(np.isfinite(values)) else None

    def table(self, step: float, values: FloatArray, changes: FloatArray, side: int = 0) -> Table:
        # Where the claim is taken off in the values, the function's own slope is what rounding the arguments feels.
        # At the points themselves: that of an even function is zero in the mean.
        slope = max(float(np.max(np.abs(each[1:] - each[:-1]))) for each in (values, changes)) / step
        reading = read_table(
            values,
            self.line.magnitude(POINTS * step),
            self.line.unit_roundoff,
            granularity=self.granularity(values, changes),
            sensitivity=slope * self.scale,
            parameter_roundoff=self.line.parameter_roundoff,
            changes=changes,
        )
        return Table(step, values, changes, reading, side)

    def granularity(self, values: FloatArray, changes: FloatArray) -> float:
        """Return the spacing of the cost's values where a table shows it as noise: multiples of a step are no rounding."""
        others = [table.values for table in (*self.suspects, *self.good)]
        return visible_grain(self.line.granularity, values, changes, others)

    def reread(self) -> None:
        """The granularity of the cost has come to light: read all tables again with it."""
        tables = [
            self.table(table.step, table.values, table.changes, table.side) for table in (*self.good, *self.suspects)
        ]
        self.good = [table for table in tables if not table.reading.high]
        self.suspects = [table for table in tables if table.reading.high]
        self.too_long = min((table.step for table in self.suspects), default=math.inf)
        self.pool.readings.clear()
        for table in self.good:
            self.pool.add(table.reading)

    # -- deciding where to look next ---------------------------------------------------------------------------------

    def run(self) -> Estimate:
        step = max(self.first_step, self.floor)
        while step > 0 and self.line.evaluations + POINTS - 1 <= self.limit:
            table = self.look(step)
            if table is None and self.at_edge and not self.looked_aside and self.one_side_will_do():
                return self.conclude()
            step = self.represented(self.after_failure(step) if table is None else self.after(table), step)
        if self.open_side:
            self.try_one_side()
        return self.conclude()

    def represented(self, step: float, last: float) -> float:
        """Keep a step above what the parameters' precision represents; 0 where that has been looked at."""
        if 0 < step < self.floor:
            return self.floor if last > 2 * self.floor else 0.0
        return step

    def too_far_apart(self, table: Table) -> bool:
        """Look between the points: a frequency far above the step's looks smooth on equally spaced ones."""
        if self.target > 0 or self.line.evaluations >= self.limit or table.reading.stuck:
            return False
        outward = table.side or 1
        place = self.between(table.step, table.side)
        value = self.line([place])[0]
        expected = float(interpolation_weights() @ table.values)
        middle = 0.0 if table.side == 0 else 3 * table.step
        expected += table.derivatives[0] * (place - outward * (middle + BETWEEN * table.step))
        noise, _ = self.pool.level(table.reading.floor)
        rounding = 4 * self.line.unit_roundoff * self.sensitivity(table)
        allowed = 12 * noise + rounding + 4 * table.step * table.truncation
        return not within(value - expected, max(allowed, 0.1 * table.reading.suspicious))

    @staticmethod
    def between(step: float, side: int) -> float:
        """Return the place between seven points at which they are compared with a value of their own."""
        return shorten_mantissa(BETWEEN * step) if side == 0 else side * shorten_mantissa((3 + BETWEEN) * step)

    def after_failure(self, step: float) -> float:
        """The cost failed at this step: shorten it, unless shorter ones were fine already."""
        self.too_long = min(self.too_long, step)
        shorter = step * SHORTEN_TO_FIT
        return 0.0 if self.good or shorter < SHORTEST * self.first_step else shorter

    def after(self, table: Table) -> float:
        """Judge a table; return the next step to look at, 0 for enough."""
        if not self.grained and self.granularity(table.values, table.changes) > 0:
            self.grained = True
            self.suspects.append(table)
            self.reread()
            longest = max(self.good, key=lambda t: t.step, default=None)
            if longest is not None:
                return self.better_step(longest) or self.second_opinion()
            table = self.suspects.pop()
        if table.reading.high and not self.pool.agrees(table.reading):
            self.doubt(table)
            if not self.good:
                return self.after_suspect(table)
            if all(other.reading.stuck for other in self.good):
                longest = max(self.good, key=lambda t: t.step)
                return self.accept_noise() if self.granular(longest) else self.beyond(longest) or self.back_off(table)
            return self.back_off(table)
        if self.suspects and (self.flattened(table) or self.granular(table)):
            return self.accept_noise()
        return self.accept(table)

    def granular(self, table: Table) -> bool:
        """Say whether the cost stands still here only because it is rounded: at longer steps that showed as noise.

        A staircase of coarse steps, of which the claim says that it stands still, does.
        """
        longer = [other for other in self.suspects if table.step <= MUCH_SHORTER * other.step]
        if not table.reading.stuck or len(longer) < 2:
            return False
        near, far = min(longer, key=lambda t: t.step), max(longer, key=lambda t: t.step)
        steady = far.reading.noise / 4 <= near.reading.noise <= 4 * far.reading.noise
        fine = near.reading.noise <= COARSE * self.line.magnitude(0.0)
        # What is rounded so coarsely rises out of it at last, further out; what jumps to and fro, as if saturated, does not.
        rises = not self.looked_beyond or float(np.max(np.abs(far.changes))) > RISES * far.reading.noise
        return steady and near.step <= MUCH_SHORTER * far.step and (fine or (rises and bool(np.any(table.values))))

    def flattened(self, table: Table) -> bool:
        """Say whether a table lacks the curvature that a longer one shows clearly: its values are rounded too coarsely.

        The coefficient of degree 2 falls like h²; a kink's would stand out no more than those of higher degrees do.
        """
        for other in self.suspects:
            clear = other.reading.coefficients[1] > CLEAR * max(other.reading.coefficients[2:])
            expected = other.reading.coefficients[1] * (table.step / other.step) ** 2
            seen = table.reading.coefficients[1]
            expected_clear = expected > CLEAR * max(table.reading.floor, table.reading.noise)
            if other.step > table.step and clear and expected_clear and seen < LOST * expected:
                return True
        return False

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
        shorter = [other for other in self.good if other.step < table.step]
        if self.contradicts_for_good(table, shorter):
            self.suspects.append(table)
            self.too_long = min(self.too_long, table.step)
            return self.back_off(table)
        for other in [other for other in self.good if other.step > table.step and self.contradict(other, table)]:
            distance = abs(other.derivatives[0] - table.derivatives[0]) * table.step
            if distance <= 10 * self.line.parameter_roundoff * (self.line.magnitude(0.0) + self.sensitivity(table)):
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
        return 0.0 if self.will_do(table) else self.better_step(table) or self.second_opinion()

    def will_do(self, table: Table) -> bool:
        """Say whether more lines at this step cost less than a search, among kinks, for a better one."""
        small = self.spread(table) <= CHEAPER * self.target and table.truncation <= self.target
        return small and bool(self.suspects) and not table.reading.stuck

    def contradicts_for_good(self, table: Table, shorter: list[Table]) -> bool:
        """Say whether a longer step contradicts shorter ones by more than the rounding of the arguments."""
        for other in shorter:
            if self.contradict(table, other):
                distance = abs(other.derivatives[0] - table.derivatives[0]) * other.step
                if distance > 10 * self.line.parameter_roundoff * (self.line.magnitude(0.0) + self.sensitivity(other)):
                    return True
        return False

    def contradict(self, one: Table, two: Table, times: float = 1.0) -> bool:
        return not within(one.derivatives[0] - two.derivatives[0], times * (self.bar(one) + self.bar(two)))

    def rivals(self, best: Table) -> list[Table]:
        """Return the usable tables that contradict one."""
        return [table for table in self.good if table is not best and self.contradict(table, best)]

    def sensitivity(self, table: Table) -> float:
        """Change of the cost over the parameters' scale: u times this is what rounding the arguments may cost."""
        return abs(table.derivatives[0]) * self.scale

    def after_suspect(self, table: Table) -> float:
        """Tell whether a plateau far above rounding is noise, a kink, or a step that is far too long."""
        if self.pool.repetition is None:
            self.pool.repetition = self.line.repeat()
        if self.pool.repetition * AS_NOISY >= table.reading.noise:
            return self.accept_noise()  # two calls at the same point differ as much
        far = [other for other in self.suspects if table.step <= MUCH_SHORTER * other.step]
        if far:
            before = min(far, key=lambda other: other.step)
            if is_kink(before, table):
                self.kinked = True
                return 0.0
            steady = table.reading.noise >= before.reading.noise / 4
            small = table.reading.noise <= SMALL_NOISE * self.line.magnitude(0.0)
            deep = len(far) > 1 and table.step <= DEEP * self.first_step
            if steady and (small or (deep and irregular(table))):
                return self.accept_noise()
        # A kink beyond the inner values only: half of the step keeps clear of it.
        return table.step / 2 if self.smooth_inside(table) else table.step * self.shorten

    def smooth_inside(self, table: Table) -> bool:
        """Say whether the five inner values alone show no kink: their fourth difference is rounding."""
        inner = table.values[1:6]
        fourth = abs(float(inner @ [1, -4, 6, -4, 1]))
        return table.side == 0 and fourth <= CLEAR * math.sqrt(70) * table.reading.floor

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
            if table.truncation <= table.amplification * noise / table.step:
                return 0.0
            end = reading.coefficients[-1]
            factor = (3 * noise / end) ** (1 / 6) if end > 0 else math.inf
            shorter = table.step * min(max(factor, SHORTEN), 0.5)
            # A step within a factor of 2.5 of one that was looked at would show the same again.
            return 0.0 if any(0.4 < shorter / other.step < 2.5 for other in self.good) else shorter
        further = self.beyond(table) if reading.stuck else 0.0
        if further:
            return further
        longer = table.step * (LONGEST if reading.stuck else min(reading.room(), LONGEST))
        if reading.plateau == 1 and not reading.stuck:
            # Nothing but noise is seen: past its own length a cost may bend back without being seen to.
            longer = min(longer, UNSEEN * self.scale)
        if longer < 2.5 * table.step or longer >= 0.5 * self.too_long or self.lengthened >= 3:
            return 0.0
        self.lengthened += 1
        return longer

    def beyond(self, table: Table) -> float:
        """Return where to look where a cost is constant at a step and jumps at longer ones; 0 for nowhere else.

        A granularity shows at a longer step, or at one between. Another cost is flat here and kinked there.
        """
        if not self.suspects or self.looked_beyond >= LOOKS_BEYOND:
            return 0.0
        self.looked_beyond += 1
        longest = max(self.suspects, key=lambda other: other.step)
        jumps = self.looked_beyond == 1 or (longest.reading.stuck and self.looked_beyond < LOOKS_BEYOND)
        return BEYOND * longest.step if jumps else math.sqrt(table.step * min(other.step for other in self.suspects))

    def second_opinion(self) -> float:
        """Return a third of the best step where too few values have shown the noise: two of them are there already."""
        best = min(self.good, key=self.bar)
        delicate = self.sensitivity(best) > DELICATE * self.line.magnitude(0.0)
        if self.bar(best) <= self.target or (self.pool.level(best.reading.floor)[1] >= self.enough and not delicate):
            return 0.0
        shorter = min(best.step, *(table.step for table in self.good if table.step > best.step / 30)) / 3
        return 0.0 if any(0.5 < shorter / other.step < 2 for other in self.good) else shorter

    def one_side_will_do(self) -> bool:
        """Look at the open side once: at an edge no step is short enough, and where truncation is nothing none pays."""
        self.looked_aside = True
        step = shorten_mantissa(max(self.first_step / 2, self.floor))
        self.line([self.between(step, self.open_side)])  # values at multiples of one step alone look rounded to it
        table = self.look_aside(step, self.open_side)
        if table is None or table.reading.high or table.truncation > max(self.spread(table), self.target):
            return False
        if self.too_far_apart(table):
            return False
        self.good.append(table)
        self.pool.add(table.reading)
        return True

    def try_one_side(self) -> None:
        """At the edge of the domain a one-sided formula may know more than a short two-sided one."""
        best = min((self.bar(table) for table in self.good), default=math.inf)
        size = max((abs(table.derivatives[0]) for table in self.good), default=0.0)
        if best <= max(self.target, 1e-9 * size) or self.line.evaluations + POINTS - 1 > self.limit + POINTS:
            return
        table = self.look_aside(max(self.first_step / 2, self.floor), self.open_side)
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
        rounding = 4 * self.line.unit_roundoff * abs(table.derivatives[0])
        return table.truncation + student_quantile(degrees, self.alpha) * self.spread(table) + rounding

    def conclude(self) -> Estimate:
        if self.kinked:
            return self.at_kink(self.suspects[-1])
        if self.good:
            best = min(self.good, key=self.bar)
            # Two usable steps contradict each other: the shorter is less wrong, by no more than their distance.
            best = min([best, *self.rivals(best)], key=lambda table: table.step)
            rivals = self.rivals(best)
            apart = [abs(t.derivatives[0] - best.derivatives[0]) for t in rivals]
            trusted = not any(self.contradict(t, best, BY_CHANCE) for t in rivals)
            found = self.estimate(best, max([self.bar(best), *apart]), trusted=trusted)
            return replace(found, truncation_error=max([found.truncation_error, *apart]))
        if not self.suspects:
            return self.nothing()
        near = self.kink_beside_point()
        if near is not None:
            return self.at_kink(near)
        best = min(self.suspects, key=lambda table: table.step)
        others = [d for t in self.suspects[-2:] for d in t.derivatives]
        bar = max([self.bar(best), *(3 * abs(best.derivatives[0] - d) for d in others)])
        return self.estimate(best, bar, trusted=False)

    def kink_beside_point(self) -> Table | None:
        """Return the table that shows best a jump of the slope so near that no step resolves it."""
        tables = [table for table in self.suspects if table.side == 0]
        if len(tables) < 2:
            return None
        best = min(tables, key=lambda table: one_sided(table)[2])
        left, right, bar = one_sided(best)
        others = [one_sided(table) for table in tables if table.step > best.step / 100 and table is not best]
        steady = any(within((r - m) - (right - left), SAME_JUMP * abs(right - left) + b) for m, r, b in others)
        return best if abs(right - left) > 8 * bar and steady else None

    def estimate(self, table: Table, bar: float, *, trusted: bool = True) -> Estimate:
        side = {0: "central", 1: "forward", -1: "backward"}[table.side]
        return Estimate(
            value=table.derivatives[0],
            truncation_error=table.truncation,
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
        left, right, bar = one_sided(table)
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
