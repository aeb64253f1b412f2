"""The derivative φ′(0) of a function φ: ℝ → ℝᴿ along a line, with an error bar for each block of its components.

Read it first for one number: φ(t) = J(θ + t v) − J(θ) − ⟨g, θ_t − θ⟩, the discrepancy, which is free of the rounding of
the displacement. A first line is looked at as often as it takes to find a step that suits it; what it teaches lets four
values do for each later one. With many components the same is said of norms over a block of them: the noise of n like
components is known n times as well, and the step is searched for on a random sum of all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from gradproof._numerics.formulas import AMPLIFICATION, CENTRAL, FORWARD, POINTS, gram_polynomials
from gradproof._numerics.kinks import has_jump, has_kink
from gradproof._numerics.noise import (
    FAR_ABOVE_ROUNDING,
    STANDS_OUT,
    Pool,
    Reading,
    participation,
    read_table,
    visible_grain,
)
from gradproof._numerics.projections import Projection
from gradproof._numerics.readings import (
    UNREAD,
    BlockReading,
    Calibration,
    Expected,
    Form,
    FourValues,
    LineReading,
    Read,
    as_reading,
)
from gradproof._numerics.statistics import within
from gradproof._numerics.steps import DISPLAY_ALPHA, ENOUGH_DEGREES, FIRST_STEP, StepSearch
from gradproof._numerics.tables import REPRESENTED, Line, Phi, shorten_mantissa, truncation_bound
from gradproof._numerics.witnesses import AGAIN
from gradproof._words.results import Estimate, Reason
from gradproof._words.vectors import FloatArray, norm

SHORTEN_JOINT: Final = 1 / (10 * math.pi**2)
"""By how much a step is shortened along a line on which all coordinates move: the nearest of many kinks is nearer."""
REMEASURE: Final = 4
"""Most steps, each an eighth of the one before, at which a line of four values is measured."""
UNEXPECTED: Final = 30.0
"""A fourth difference this many times above what is expected means that a kink was crossed."""
SHORTEST_RATIO: Final = 1e-3
"""Shortest step of the four-point formula over that of a first line: where no noise was seen at all."""
FOUR: Final = np.array([1, -8, 8, -1]) / 12
TWO: Final = np.array([0, -1, 1, 0]) / 2
FOURTH: Final = np.array([1, -4, -4, 1])
"""Weights of the derivative by the formulas of order 4 and 2, and of the fourth difference, on the values at −2, −1, 1, 2
steps; the middle one is zero."""
FOUR_STEPS: Final = (-2, -1, 1, 2)
FOUR_POINTS: Final = 0.950
"""Standard deviation of the four-point formula, over noise/step: √(2(8² + 1))/12."""
TWO_POINTS: Final = 1 / math.sqrt(2)
"""Standard deviation of the two-point formula, over noise/step."""
SPREAD_OF_THIRD: Final = 10.0
"""Third derivatives along a line may be so many times those of the first line."""
WELL_WITHIN: Final = 0.1
"""Truncation and noise of two values are at most this part of what is excused."""
FOURTH_SPREAD: Final = math.sqrt(70)
"""Standard deviation of the fourth difference, over noise: √(1 + 16 + 36 + 16 + 1)."""
FIRST_LINE: Final = 34
"""Most evaluations of a first line of one number."""
FIRST_LINE_OF_MANY: Final = 62
"""The same of many components: the one sum of them that is searched may tell little of the others."""


def careful_derivative(
    line: Phi,
    scale: float,
    *,
    target: float = 0.0,
    pool: Pool | None = None,
    max_evaluations: int = FIRST_LINE,
    alpha: float = DISPLAY_ALPHA,
) -> Estimate:
    """Measure φ′(0) of one number as well as a few looks allow.

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
    return StepSearch(line, scale, target, pool if pool is not None else Pool(), max_evaluations, alpha).run()


class LineReader:
    """Measures lines of one kind; what it learns of noise and steps serves the next ones.

    Parameters
    ----------
    rows
        The components of each block.
    seed
        Of the sums on which steps are searched for.
    """

    def __init__(self, rows: Sequence[slice], seed: int) -> None:
        self.rows = tuple(rows)
        self.size = self.rows[-1].stop if self.rows else 0
        self.lone = self.size == 1
        self.pools = [Pool() for _ in self.rows]
        self.generator = np.random.default_rng([seed, 0x6C696E65])
        self.calibration: Calibration | None = None
        self.side = 0

    def begin(self) -> None:
        """Forget the step: other blocks of the point are going to be displaced, or by other lengths."""
        self.calibration = None
        self.side = 0

    def lone_number(self, line: Line) -> Projection:
        """Return φ: ℝ → ℝ of a line with one component."""
        return Projection(line, np.ones(self.size))

    # -- the first line ----------------------------------------------------------------------------------------------

    def first(
        self,
        line: Line,
        targets: Sequence[float],
        *,
        scale: float = 1.0,
        sizes: Sequence[float] = (),
        max_evaluations: int = 0,
        enough: float = ENOUGH_DEGREES,
        without: frozenset[int] = frozenset(),
    ) -> LineReading:
        """Search for a step that suits a line, read it there, and learn what to expect of the later ones.

        Truncation and noise are balanced for order 4 at h = 1.48 (ε/|φ⁽⁵⁾|)^⅕; 0.6 (7.1 ε/|φ⁽⁵⁾|)^⅕ lies below that
        because φ⁽⁵⁾ differs from one direction to the next, and three times the value seen is allowed for.

        Parameters
        ----------
        line
            φ.
        targets
            Per block, the bar at which the search may stop, in units of the function per unit of t.
        scale
            Length over which φ is expected to change, in units of t.
        sizes
            Per block, the size by which its components are weighed in a sum of many.
        max_evaluations
            No further look is started past this; 0 for the default.
        enough
            Degrees of freedom from which on the noise is well enough known.
        without
            Blocks that are not asked for.
        """
        taken = line.evaluations
        self.begin()
        if self.lone:
            search = self.search(
                line, np.ones(1), scale, targets[0], self.pools[0], max_evaluations or FIRST_LINE, enough
            )
            return self.conclude(line, search, search.run(), taken)
        return self.first_of_many(line, targets, scale, sizes, max_evaluations or FIRST_LINE_OF_MANY, enough, without)

    def search(
        self, line: Line, weights: FloatArray, scale: float, target: float, pool: Pool, most: int, enough: float
    ) -> StepSearch:
        """Return the search for a step on a weighted sum."""
        return StepSearch(Projection(line, weights), scale, target, pool, most, DISPLAY_ALPHA, enough, SHORTEN_JOINT)

    def conclude(
        self, line: Line, search: StepSearch, estimate: Estimate, taken: int, *, learn: bool = True
    ) -> LineReading:
        """Return what the search has found of a lone number; learn from it."""
        table = next((t for t in search.good if t.step == estimate.step and t.side == 0), None)
        if learn and table is not None and estimate.trusted and estimate.kink is None:
            self.calibrate(table.step, {0: table.reading})
        return as_reading(estimate, line.evaluations - taken)

    def first_of_many(
        self,
        line: Line,
        targets: Sequence[float],
        scale: float,
        sizes: Sequence[float],
        most: int,
        enough: float,
        without: frozenset[int],
    ) -> LineReading:
        """Search for a step on a random sum of all blocks, each weighed alike, then read every component there."""
        taken = line.evaluations
        weights = self.generator.standard_normal(self.size)
        open_ = {k for k, own in enumerate(self.rows) if own.stop > own.start} - without
        lost: dict[int, Reason] = {}
        target = math.inf
        for k, own in enumerate(self.rows):
            size = sizes[k] if sizes and sizes[k] > 0 else 1.0
            weights[own] *= (k in open_) / (size * math.sqrt(max(own.stop - own.start, 1)))
            target = min(target, targets[k] / size) if k in open_ else target
        while open_:
            pool = Pool()
            search = self.search(line, weights, scale, target, pool, most, enough)
            estimate = search.run()
            if not math.isfinite(estimate.value):
                lost |= dict.fromkeys(open_, Reason.DOMAIN)
                open_ = set()
                break
            usable = estimate.kink is None and estimate.trusted
            bad = {k for k in open_ if has_jump(line, k) or (not usable and has_kink(line, k))}
            if not bad:
                break
            lost |= dict.fromkeys(bad, Reason.KINK)
            open_ -= bad
            for k in bad:  # the others by themselves
                weights[self.rows[k]] = 0.0
        if not open_:
            return self.put_together(line, {}, lost, taken)
        self.side = {"forward": 1, "backward": -1}.get(estimate.method.partition(",")[0], 0)
        chosen = self.read_alike(line, estimate.step, open_, targets, confirmed=pool.confirmed)
        for k in open_ - set(chosen):
            found = self.carefully(line, k, estimate.step / FIRST_STEP)
            if isinstance(found, Reason):
                lost[k] = found
            else:
                chosen[k] = found
        if self.side == 0 and chosen:
            step = min(read.block.step for read in chosen.values())
            self.calibrate(
                step, {k: read.reading.shorter(read.block.step / step) for k, read in chosen.items() if read.reading}
            )
        return self.put_together(line, chosen, lost, taken)

    def read_alike(
        self, line: Line, step: float, open_: set[int], targets: Sequence[float], *, confirmed: bool
    ) -> dict[int, Read]:
        """Read blocks at the step that suits their sum, and at a shorter one where truncation leads some of them."""
        chosen: dict[int, Read] = {}
        for _ in range(REMEASURE):
            found = self.seven(line, step, open_)
            if found is None:
                break
            shorten = 1.0
            for k, read in found.items():
                if read.table.high and not (confirmed or self.pools[k].agrees(read.table)):
                    continue
                before = chosen.get(k)
                if before is None or read.block.bar < before.block.bar:
                    chosen[k] = read
                noise = self.pools[k].level(read.table.floor)[0]
                if read.block.truncation > max(3 * read.block.spread, targets[k]):
                    # Degree 6 is to sink into three times the noise, as in the search for a step.
                    shorten = min(shorten, (3 * noise / read.table.coefficients[-1]) ** (1 / 6))
            if shorten == 1.0:
                break
            step = shorten_mantissa(step * min(max(shorten, 0.05), 0.5))
        for k, read in chosen.items():
            self.pools[k].confirmed = self.pools[k].confirmed or confirmed
            self.pools[k].add(read.table)
            chosen[k] = self.known_by(k, read)
        return chosen

    def known_by(self, k: int, read: Read) -> Read:
        """Return a reading with the noise as the block's pool knows it."""
        noise, degrees = self.pools[k].level(read.table.floor)
        spread = AMPLIFICATION[0 if self.side == 0 else 1] * noise / read.block.step
        return replace(read, block=replace(read.block, noise=noise, degrees=degrees, spread=spread))

    def seven(self, line: Line, step: float, open_: Iterable[int]) -> dict[int, Read] | None:
        """Read seven values at a step; None where the function fails at one of them."""
        side = self.side
        multiples = range(-3, 4) if side == 0 else [side * m for m in range(POINTS)]
        line.ahead([m * step for m in multiples])
        found = {}
        for m in sorted(multiples, key=abs, reverse=True):  # the farthest is the likeliest to fail
            at = line.at(m * step)
            if at is None:
                return None
            found[m] = at
        values = np.array([found[m][0] for m in multiples])
        rounding = np.array([found[m][1] for m in multiples]).max(axis=0)
        changes = np.array([line.change(m * step) if m else np.zeros_like(line.base) for m in multiples])
        formulas = CENTRAL if side == 0 else side * FORWARD
        best, next_ = (formulas[:2] @ values) / step
        form = Form(tuple(m * step for m in multiples), tuple((formulas[0] / step).tolist()))
        coefficients = gram_polynomials()[5:] @ values  # of degree 5 and 6, component by component
        result = {}
        for k in open_:
            own, own_changes = self.rows[k], changes[:, line.own_rows[k]]
            size = norm(rounding[own])
            differences = own_changes[1:] - own_changes[:-1]
            slope = math.sqrt(float(np.max(np.sum(differences * differences, axis=1), initial=0.0))) / step
            grain = visible_grain(line.granularity(k), values[:, own], own_changes)
            reading = read_table(
                values[:, own],
                size,
                line.unit_roundoff(k),
                granularity=grain * math.sqrt(own.stop - own.start),
                sensitivity=slope,
                parameter_roundoff=line.parameter_roundoff,
                changes=own_changes,
            )
            noise, degrees = self.pools[k].level(reading.floor)
            truncation = truncation_bound(reading, norm(best[own] - next_[own]), step, side)
            spread = AMPLIFICATION[0 if side == 0 else 1] * noise / step
            block = BlockReading(norm(best[own]), truncation, spread, degrees, noise, step)
            late = coefficients[:, own] if reading.plateau < POINTS else np.zeros((1, own.stop - own.start))
            shown = np.sqrt(np.mean(late * late, axis=0))
            result[k] = Read(best[own], rounding[own], block, form, shown, reading)
        return result

    def carefully(self, line: Line, k: int, scale: float) -> Read | Reason:
        """Look at one block as carefully as at a first line: by a random sum of its components, then all of them."""
        own = self.rows[k]
        alone = own.stop - own.start == 1
        weights = np.zeros(self.size)
        weights[own] = 1.0 if alone else self.generator.standard_normal(own.stop - own.start)
        pool = self.pools[k] if alone else Pool()
        search = StepSearch(Projection(line, weights), scale, 0.0, pool, FIRST_LINE, DISPLAY_ALPHA)
        estimate = search.run()
        if not math.isfinite(estimate.value):
            return Reason.DOMAIN
        if estimate.kink is not None or not estimate.trusted or has_jump(line, k):
            return (
                Reason.KINK
                if estimate.kink is not None or alone or has_jump(line, k) or has_kink(line, k)
                else Reason.NOISE
            )
        kept, self.side = self.side, {"forward": 1, "backward": -1}.get(estimate.method.partition(",")[0], 0)
        try:
            found = self.seven(line, estimate.step, [k])
            if found is None:
                return Reason.DOMAIN
            if not alone:
                self.pools[k].confirmed = self.pools[k].confirmed or pool.confirmed
                self.pools[k].add(found[k].table)
            return self.known_by(k, found[k])
        finally:
            self.side = kept

    def calibrate(self, step: float, readings: dict[int, Reading]) -> None:
        """Learn the step of the four-point formula, and what to expect there, from tables at one step."""
        ratios, seen = [], {}
        for k, reading in readings.items():
            noise, _ = self.pools[k].level(reading.floor)
            fourth, fifth = reading.derivatives()[3:5]  # already times h⁴ and h⁵
            fifth = max(fifth, 0.5 * noise)  # what the noise may hide
            ratios.append(min(max(0.6 * (7.1 * noise / fifth) ** 0.2, SHORTEST_RATIO), 1.5) if fifth > 0 else 1.5)
            seen[k] = noise, fourth, fifth
        ratio = min(ratios)
        short = shorten_mantissa(ratio * step)
        blocks = [Expected(0.0, 0.0, 0.0)] * len(self.rows)
        for k, reading in readings.items():
            noise, fourth, fifth = seen[k]
            d, c = reading.derivatives(), reading.coefficients
            # By what stands out from the noise, if anything does: two numbers that are both noise do not fall.
            clear = [j for j in (1, 2) if c[j] > STANDS_OUT * noise]
            falls = [d[j + 2] / d[j] for j in clear or (1, 2) if d[j] > 0]
            rate = min(max(falls, default=0.0), 1.0) * ratio**2
            third = max(d[2], 0.5 * noise) * ratio**3 / 6 / short
            blocks[k] = Expected(3 * ratio**5 * fifth / 30 / short, fourth * ratio**4, rate, third)
        self.calibration = Calibration(short, tuple(blocks))

    # -- later lines -------------------------------------------------------------------------------------------------

    def later(
        self,
        line: Line,
        *,
        expect_zero: bool = True,
        calibration: Calibration | None = None,
        without: frozenset[int] = frozenset(),
        excused: Sequence[float] = (),
    ) -> LineReading:
        """Measure a line with four values (two, where these tell enough), and with four more at an eighth of the step where they look odd.

        The same direction is measured again, never a fresh one: the unit whose kink was crossed may be the faulty one.

        Parameters
        ----------
        line
            φ.
        expect_zero
            The derivative of a right claim's discrepancy is zero: measure again where it is not. A search knows better.
        calibration
            The reader's own, or another one.
        without
            Blocks that are not asked for.
        excused
            Per block, the discrepancy that is no reason to measure again: what a claim in low precision is off by.
        """
        calibration = calibration or self.calibration
        assert calibration is not None  # noqa: S101  # a first line came before
        taken = line.evaluations
        floor = REPRESENTED * line.shortest
        step = max(calibration.step, floor)
        open_ = {k for k, own in enumerate(self.rows) if own.stop > own.start} - without
        chosen = self.two(line, calibration, floor, open_, excused) if excused and self.side == 0 else {}
        open_ -= chosen.keys()
        previous: dict[int, Read] = {}
        crossed = False
        for attempt in range(REMEASURE if open_ else 0):
            found = self.four(line, step, open_)
            if found is None:
                crossed, previous = True, {}
            else:
                for k in list(open_):
                    best, smooth = self.judge(
                        line,
                        k,
                        found,
                        previous.get(k),
                        calibration,
                        attempt,
                        expect_zero=expect_zero,
                        excused=excused[k] if excused else 0.0,
                    )
                    crossed = crossed or not smooth
                    if best is not None:
                        chosen[k] = best
                        open_.discard(k)
                    elif smooth:
                        previous[k] = found.reads[k]
                    else:
                        previous.pop(k, None)
            step /= AGAIN
            if not open_ or step < floor:
                break
        lost = {}
        for k in open_:  # nothing agreed: look as carefully as a first line does
            careful = self.carefully(line, k, calibration.step / FIRST_STEP)
            if isinstance(careful, Reason):
                lost[k] = careful
            else:
                chosen[k] = careful
        return self.put_together(line, chosen, lost, taken, crossed=crossed)

    def two(
        self, line: Line, calibration: Calibration, floor: float, open_: set[int], excused: Sequence[float]
    ) -> dict[int, Read]:
        """Read two values where truncation and noise are nothing beside what is excused; nothing else where they are not.

        What the formula of order 2 lacks, h²φ‴/6, the first line has shown; `SPREAD_OF_THIRD` times as much is allowed
        for. Only discrepancies that are excused are believed: all others are measured with more values.
        """
        allowed = {k: WELL_WITHIN * excused[k] for k in open_}
        thirds = {k: SPREAD_OF_THIRD * calibration.blocks[k].third for k in open_}
        ratio = min((math.sqrt(allowed[k] / third) for k, third in thirds.items() if third > 0), default=1.0)
        step = shorten_mantissa(max(calibration.step * min(ratio, 1.0), floor))
        levels = {}
        for k in open_:
            size = norm(line.at(0.0)[1][self.rows[k]])  # type: ignore[index]  # θ itself is there
            levels[k] = self.pools[k].level(0.5 * line.unit_roundoff(k) * size)
            truncation = thirds[k] * (step / calibration.step) ** 2
            if truncation > 2 * allowed[k] or TWO_POINTS * levels[k][0] / step > allowed[k] or line.granularity(k):
                return {}
        up, down = line.at(step), line.at(-step)
        if up is None or down is None:
            return {}
        values, rounding = (up[0] - down[0]) / (2 * step), np.maximum(up[1], down[1])
        form = Form((-step, step), (-0.5 / step, 0.5 / step))
        reads = {}
        for k in open_:
            own, (noise, degrees) = self.rows[k], levels[k]
            size, truncation = norm(values[own]), thirds[k] * (step / calibration.step) ** 2
            if within(size, excused[k]):
                block = BlockReading(size, truncation, TWO_POINTS * noise / step, degrees, noise, step)
                reads[k] = Read(values[own], rounding[own], block, form, np.zeros(own.stop - own.start), None)
        return reads

    def four(self, line: Line, step: float, open_: Iterable[int]) -> FourValues | None:
        """Read four values at a step; None where the function fails at one of them."""
        line.ahead([m * step for m in FOUR_STEPS], sure=True)
        found = [line.at(m * step) for m in FOUR_STEPS]
        seen = [at for at in found if at is not None]
        if len(seen) < len(found):
            return None
        values = np.array([at[0] for at in seen])
        rounding = np.array([at[1] for at in seen]).max(axis=0)
        value, order_2 = FOUR @ values / step, TWO @ values / step
        fourth = FOURTH @ values
        form = Form(tuple(m * step for m in FOUR_STEPS), tuple((FOUR / step).tolist()))
        reads = {}
        for k in open_:
            own = self.rows[k]
            floor = 0.5 * line.unit_roundoff(k) * norm(rounding[own])
            noise, degrees = self.pools[k].level(floor)
            noise = max(noise, line.granularity(k) * math.sqrt((own.stop - own.start) / 12))
            block = BlockReading(norm(value[own]), 0.0, FOUR_POINTS * noise / step, degrees, noise, step)
            shown = np.abs(fourth[own]) / FOURTH_SPREAD
            reads[k] = Read(value[own], rounding[own], block, form, shown, None)
        return FourValues(step, reads, value - order_2, fourth)

    def judge(
        self,
        line: Line,
        k: int,
        found: FourValues,
        previous: Read | None,
        calibration: Calibration,
        attempt: int,
        *,
        expect_zero: bool,
        excused: float = 0.0,
    ) -> tuple[Read | None, bool]:
        """Return the reading of a block that is to be believed, None where that takes another step; and whether it is smooth."""
        own, expected, pool, step = self.rows[k], calibration.blocks[k], self.pools[k], found.step
        read = found.reads[k]
        shrink = step / calibration.step
        # h²φ‴/6 is what the formula of order 2 lacks, and h⁴φ⁽⁵⁾/30 what this one does.
        truncation = max(
            expected.truncation * shrink**4, 3 * norm(found.correction[own]) * expected.rate * shrink**2 / 5
        )
        read = found.reads[k] = replace(read, block=replace(read.block, truncation=truncation))
        magnitude = norm(read.rounding)
        floor = 0.5 * line.unit_roundoff(k) * magnitude
        rounding = 0.1 * FAR_ABOVE_ROUNDING * line.parameter_roundoff * magnitude
        fourth = norm(found.fourth[own])
        usual = max(FOURTH_SPREAD * read.block.noise, expected.fourth * shrink**4)
        smooth = fourth <= max(UNEXPECTED * usual, FOURTH_SPREAD * rounding if attempt else 0.0)
        if smooth:
            pool.witness(fourth / FOURTH_SPREAD, floor, participation(found.fourth[own]))
        if smooth and (not expect_zero or within(read.block.size, max(read.block.bar, excused))):
            return read, smooth
        if previous is None:
            return None, smooth
        distance = norm(read.values - previous.values)
        if within(distance, read.block.bar + previous.block.bar):
            return read, smooth
        missed = distance * step / FOUR_POINTS
        if smooth and missed <= 10 * rounding:
            # Both steps look smooth, and differ as noise does: there is more of it than was known.
            pool.learn(missed, floor)
            noise, degrees = pool.level(0.5 * line.unit_roundoff(k) * norm(previous.rounding))
            spread = FOUR_POINTS * noise / previous.block.step
            return replace(previous, block=replace(previous.block, noise=noise, degrees=degrees, spread=spread)), smooth
        return None, smooth

    def witness(self, line: Line, k: int, step: float) -> Read | None:
        """Read four values of a block at a step, with bars made of these values alone; None where that cannot be done.

        What the formula of order 2 lacks bounds the truncation, and the fourth difference shows the noise.
        """
        step = shorten_mantissa(max(step, REPRESENTED * line.shortest))
        found = self.four(line, step, [k])
        if found is None:
            return None
        read, own = found.reads[k], self.rows[k]
        noise = max(read.block.noise, norm(found.fourth[own]) / FOURTH_SPREAD)
        block = replace(
            read.block, truncation=norm(found.correction[own]), noise=noise, spread=FOUR_POINTS * noise / step
        )
        return replace(read, block=block)

    def repeats(self, line: Line, k: int) -> float:
        """Return by how much a block differs between two calls at one point, asked for once: then it is random."""
        pool = self.pools[k]
        if pool.repetition is None:
            again = line.repeat()
            for each, rows in zip(self.pools, self.rows, strict=True):
                if each.repetition is None:
                    each.repetition = 0.0 if again is None else norm(again[rows])
        return pool.repetition or 0.0

    def bend(self, line: Line, k: int, h: float) -> float:
        """Return the size of the even part of a block at a step, over the step, of values that were asked for before."""
        up, down = line.at(h), line.at(-h)
        return math.inf if up is None or down is None else norm(up[0][self.rows[k]] + down[0][self.rows[k]]) / (2 * h)

    def odd(self, line: Line, k: int, t: float) -> FloatArray | None:
        """Return the odd part of a block at a step; None where the function fails."""
        up, down = line.at(t), line.at(-t)
        return None if up is None or down is None else (up[0][self.rows[k]] - down[0][self.rows[k]]) / 2

    def slope(self, line: Line, k: int, h: float) -> FloatArray | None:
        """Return the difference quotient of a block at a step; None where the function fails, NaN where it stands still."""
        up, down = line.at(h), line.at(-h)
        if up is None or down is None:
            return None
        own = line.own_rows[k]
        still = not line.change(h)[own].any() and not line.change(-h)[own].any()
        if still and any(line.change(t)[own].any() for t in line.known):  # else it does not depend on these parameters
            return np.full(self.rows[k].stop - self.rows[k].start, math.nan)
        quotient: FloatArray = (up[0][self.rows[k]] - down[0][self.rows[k]]) / (2 * h)
        return quotient

    def put_together(
        self, line: Line, chosen: dict[int, Read], lost: dict[int, Reason], taken: int, *, crossed: bool = False
    ) -> LineReading:
        """Put together what was chosen of each block."""
        values, bars = np.full(self.size, math.nan), np.full(self.size, math.inf)
        blocks, forms = [UNREAD] * len(self.rows), [Form((), ())] * len(self.rows)
        for k, read in chosen.items():
            own = self.rows[k]
            values[own], blocks[k], forms[k] = read.values, read.block, read.form
            bars[own] = read.bars(line.unit_roundoff(k), line.granularity(k))
        return LineReading(
            values,
            bars,
            tuple(blocks),
            tuple(forms),
            line.evaluations - taken,
            self.side,
            crossed,
            tuple(sorted(lost.items(), key=lambda item: item[0])),
        )
