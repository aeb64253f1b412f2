"""The derivative of a vector-valued function along a line, output block by output block, with error bars.

The values of a whole vector are read as those of one number are (see `_noise`): the norm over a block's components of
each Gram coefficient falls with the degree into a plateau, which is the noise. A random projection of the components,
each block weighed alike, chooses the step by the same search that serves scalar costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gradproof._differences import first_line
from gradproof._directions import FloatArray
from gradproof._map_engine import Components, MapEngine, Moved
from gradproof._noise import (
    FAR_ABOVE_LOW_PRECISION,
    FAR_ABOVE_ROUNDING,
    POINTS,
    PRIOR_DEGREES,
    STANDS_OUT,
    Pool,
    gram_polynomials,
    leading_coefficients,
    none_stands_out,
    norm,
    root_mean_square,
)
from gradproof._results import Estimate, Reason
from gradproof._settings import UNIT_ROUNDOFF
from gradproof._statistics import within
from gradproof._tables import (
    AMPLIFICATION,
    CENTRAL_4,
    CENTRAL_6,
    FORWARD_5,
    FORWARD_6,
    REPRESENTED,
    SAME_JUMP,
    SLOW,
    shorten_mantissa,
)

View = Callable[[Moved, float], tuple[FloatArray, FloatArray]]
"""From a displaced evaluation at t: the discrepancies, and the size of what was rounded on the way, per component."""
FIRST_LINE: Final = 62
"""Most evaluations of the search for a step."""
REMEASURE: Final = 8
"""Times that a line is read at shorter and shorter steps: down to 1e-9 of the parameters' scale."""
SHORTER: Final = 1 / 8
SHORTER_LOW_PRECISION: Final = 1 / 3
"""By how much a step is shortened; less where much shorter ones drown in rounding."""
SHOWN: Final = 1000.0
SHORTEST_AGAIN: Final = 1e-4
"""A surprising discrepancy is read again at the step where it is so many spreads large, but no shorter than so many
first ones."""
FAR_BELOW: Final = 1e-11
"""Step, in units of the parameters' scale, that shows whether a function that looks noisy is a staircase."""
EXPECTED: Final = 10.0
"""A discrepancy so many times what two steps have shown on another line is a surprise."""
SAME_GAP: Final = 1e-4
"""Two steps show the same jump at the point where it differs by no more than this part; noise would not."""
CLEAR_GAP: Final = 30.0
"""A jump at the point is this much larger than the changes on its sides."""
ROUGH: Final = 0.03
"""Coefficients of degree 5 and 6 above this part of those of degree 2 to 4 do not fall as a smooth function's do; a
kink's at the point are at 0.15."""
UNUSUAL: Final = 30.0
"""A plateau this many times above what other lines saw means that a kink was crossed."""
TRIES: Final = 6
"""Steps, each a tenth of the last, tried where the function fails."""
HALVINGS: Final = 4
"""Times that the first step is halved where truncation leads some output."""
CRUDE: Final = 0.01
"""Two steps agree by accident where their bars are wide: a derivative is to be known to this part of its size."""
CENTRAL: Final = (-3, -2, -1, 1, 2, 3)


class VectorLine:
    """F along one direction; the evaluations are kept.

    Parameters
    ----------
    engine, components
        What to displace, and where to.
    view
        Which discrepancies to look at.
    """

    def __init__(self, engine: MapEngine, components: Components, view: View) -> None:
        self.engine = engine
        self.components = components
        self.view = view
        self.raw: dict[float, Moved] = {}
        self.seen: dict[float, tuple[FloatArray, FloatArray] | None] = {}

    def at(self, t: float) -> tuple[FloatArray, FloatArray] | None:
        """Return the discrepancies at t and their roundings; None where the function failed."""
        if t not in self.seen:
            moved = self.raw[t] = self.engine.evaluate(self.components, t)
            self.seen[t] = None if moved.change is None else self.view(moved, t)
        return self.seen[t]


class Projection:
    """A weighted sum of a vector line's components: φ for the scalar search of a step.

    Parameters
    ----------
    line, weights, roundoff
        What to sum; u of the lowest precision at work.
    rows
        The components of each output block, where the view has a claim taken off.
    """

    def __init__(
        self, line: VectorLine, weights: FloatArray, roundoff: float, rows: Sequence[slice] | None = None
    ) -> None:
        self.line = line
        self.weights = weights
        self.unit_roundoff = roundoff
        self.parameter_roundoff = max(UNIT_ROUNDOFF[block.dtype] for block in line.engine.problem.blocks)
        self.asked = 0
        self.roundings: dict[float, float] = {}
        self.weighed = [
            (norm(weights[own]) / math.sqrt(max(own.stop - own.start, 1)), block)
            for own, block in zip(rows or (), line.engine.outputs.blocks if rows else (), strict=True)
        ]

    @property
    def shortest(self) -> float:
        """Shortest t for which θ + t v is represented in the parameters' precision."""
        return self.line.engine.problem.shortest(self.line.components)

    @property
    def granularity(self) -> float:
        """Not looked for: sums of many outputs hide it."""
        return 0.0

    @property
    def evaluations(self) -> int:
        """Values asked for on this projection."""
        return self.asked

    def __call__(self, steps: Sequence[float]) -> FloatArray:
        """Return the projected discrepancies."""
        result = []
        for t in steps:
            if t == 0:
                result.append(0.0)
                continue
            if t not in self.roundings:
                self.asked += 1
            found = self.line.at(t)
            self.roundings[t] = 0.0 if found is None else norm(self.weights * found[1])
            result.append(math.nan if found is None else float(self.weights @ found[0]))
        return np.array(result)

    def changes(self, steps: Sequence[float]) -> FloatArray:
        """Return how the function itself changes, by its size: the view has the claim taken off."""
        if not self.weighed:
            return self(steps)
        result = []
        for t in steps:
            moved = self.line.raw.get(t)
            change = None if moved is None else moved.change
            sizes = [0.0 if change is None else w * norm(change[b.rows]) for w, b in self.weighed]
            result.append(math.copysign(math.hypot(*sizes), t) if t else 0.0)
        return np.array(result)

    def magnitude(self, reach: float) -> float:
        """Return the largest size that was rounded within reach, or as near to the point as there is a value."""
        reach = max(reach, min((abs(t) for t in self.roundings), default=0.0))
        return max((r for t, r in self.roundings.items() if abs(t) <= reach), default=0.0)

    def repeat(self) -> float:
        """Evaluate at θ again; return the projected change."""
        change = self.line.engine.repeat()
        if change is None:
            return 0.0
        zero: Components = (None,) * len(self.line.components)
        return abs(float(self.weights @ self.line.view(Moved(change, zero), 0.0)[0]))


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


@dataclass(slots=True)
class Known:
    """What the first line of a group of blocks teaches the later ones.

    Parameters
    ----------
    step, side
        h; 0 for central, ±1 for one side.
    target, scales
        Bar that would do, in units of the size of each output block.
    truncations
        Of the first line, per output block.
    noise
        Of the projection, where it was found to be real.
    confirmed
        Per output block, the discrepancy that two steps have shown.
    crossed
        Lines that had to be read at shorter steps.
    """

    outputs: int
    step: float = 0.0
    side: int = 0
    target: float = 0.0
    scales: FloatArray = field(init=False)
    truncations: list[float] = field(init=False)
    noise: float = 0.0
    confirmed: list[float] = field(init=False)
    crossed: int = 0

    def __post_init__(self) -> None:
        self.scales = np.zeros(self.outputs)
        self.truncations = [math.inf] * self.outputs
        self.confirmed = [0.0] * self.outputs


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


class LineReader:
    """Measures lines; what it learns of the noise serves the next ones.

    Parameters
    ----------
    rows
        The components of each output block, as slices.
    roundoff
        u of the lowest precision at work.
    """

    def __init__(self, rows: Sequence[slice], roundoff: float, seed: int) -> None:
        self.rows = tuple(rows)
        self.roundoff = roundoff
        self.noise = [BlockNoise() for _ in rows]
        self.generator = np.random.default_rng([seed, 0x6C696E65])
        self.kink = False
        self.lost: dict[int, Reason] = {}
        self.remeasured = 0
        self.known = Known(len(self.rows))

    @property
    def step(self) -> float:
        """h of the lines; 0 before a first one."""
        return self.known.step

    @property
    def side(self) -> int:
        """0 where lines are read about the point, ±1 on one side."""
        return self.known.side

    def begin(self) -> None:
        """Forget the step: other blocks of the point are going to be displaced, or by other lengths."""
        self.known = Known(len(self.rows))

    # -- the first line ----------------------------------------------------------------------------------------------

    def first(
        self, line: VectorLine, scales: FloatArray, target: float, *, partial: bool = False
    ) -> tuple[LineReading | None, Estimate]:
        """Find a step on a random projection, then read all components there.

        Parameters
        ----------
        line
            Where.
        scales
            Per output block, the size by which its components are weighed.
        target
            Bar at which the search may stop, in units of those sizes.
        partial
            Output blocks may be lost, as long as one is left.
        """
        self.begin()
        known = self.known
        known.target, known.scales = target, np.asarray(scales, dtype=float)
        pool = Pool()
        size = self.rows[-1].stop
        weights = self.generator.standard_normal(size)
        for rows, scale in zip(self.rows, scales, strict=True):
            weights[rows] /= scale if scale > 0 else 1.0
        kinked: set[int] = set()
        while True:
            estimate = first_line(
                Projection(line, weights, self.roundoff, self.rows), target, pool, max_evaluations=FIRST_LINE
            )[0]
            usable = estimate.kink is None and estimate.trusted and math.isfinite(estimate.value)
            if usable and not (pool.confirmed and any(self.gap(line, k) for k in set(range(len(self.rows))) - kinked)):
                break
            if not math.isfinite(estimate.value):
                self.give_up(Reason.DOMAIN)
                return None, estimate
            new = {k for k in range(len(self.rows)) if k not in kinked and (self.gap(line, k) or self.kinked(line, k))}
            kinked |= new
            if len(kinked) == len(self.rows) or (kinked and not partial):
                self.give_up(Reason.KINK)
                return None, estimate
            if not new:
                # The projection tells nothing: go down from where it has looked last.
                estimate = replace(estimate, step=min(_tables_at(line), default=estimate.step) / 8, kink=None)
                break
            for k in new:  # the others by themselves
                weights[self.rows[k]] = 0.0
            pool = Pool()
        known.step = estimate.step
        known.side = {"forward": 1, "backward": -1}.get(estimate.method.partition(",")[0], 0)
        known.noise = estimate.noise if pool.confirmed and math.isfinite(estimate.noise) else 0.0
        without = frozenset(kinked)
        reading = self.settle(line, partial=partial, without=without)
        for _ in range(HALVINGS):
            # The projection may not have seen what the step costs the whole.
            if reading is None or not any(
                b.truncation > max(3 * b.spread, 0.1 * target * s)
                for k, (b, s) in enumerate(zip(reading.blocks, scales, strict=True))
                if k not in self.lost
            ):
                break
            lost = self.lost
            shorter = self.settle(line, shorter=0.5, partial=partial, without=without)
            if shorter is None or _bar(shorter) > _bar(reading):
                self.lost = lost
                break
            reading, known.step = shorter, shorter.step
        if reading is not None:
            known.step = min(known.step, reading.step)
            known.truncations = [b.truncation for b in reading.blocks]
            self.lost |= dict.fromkeys(kinked, Reason.KINK)
            reading = replace(reading, lost=tuple(sorted(self.lost.items(), key=_number)))
        return reading, estimate

    def give_up(self, reason: Reason) -> None:
        """Nothing could be read."""
        self.lost = dict.fromkeys(range(len(self.rows)), reason)
        self.kink = reason is Reason.KINK

    # -- any line ----------------------------------------------------------------------------------------------------

    def settle(
        self,
        line: VectorLine,
        *,
        shorter: float = 1.0,
        partial: bool = False,
        without: frozenset[int] = frozenset(),
    ) -> LineReading | None:
        """Read a line at the known step; again along the same direction at shorter ones where it looks unusual.

        The same direction, never a fresh one: the unit whose kink was crossed may be the faulty one.

        Parameters
        ----------
        line
            Where.
        shorter
            Factor on the step.
        partial
            Output blocks may be lost, as long as one is left; else none.
        without
            Output blocks that are not asked for.
        """
        self.kink, self.lost = False, {}
        step, floor = self.step * shorter, REPRESENTED * line.engine.problem.shortest(line.components)
        chosen: dict[int, LineReading] = {}
        tried: list[LineReading] = []
        open_ = set(range(len(self.rows))) - without
        while open_ and len(tried) < REMEASURE and (step >= floor or not tried):
            reading = self.read_where_it_can(line, step)
            if reading is None:
                if not tried:
                    self.lost = dict.fromkeys(open_, Reason.DOMAIN)
                    open_ = set()
                break
            found = {k: self.judge(k, tried, reading) for k in open_}
            chosen |= {k: best for k, best in found.items() if best is not None}
            tried.append(reading)
            vanished = (
                self.vanished(line, {k: best for k, best in chosen.items() if k in open_}) if len(tried) > 1 else set()
            )
            self.lost |= dict.fromkeys(vanished, Reason.NOISE)
            chosen = {k: best for k, best in chosen.items() if k not in vanished}
            open_ -= set(chosen) | vanished
            if open_ and len(tried) > 2:
                kinked = {k for k in open_ if self.kinked(line, k)}
                self.lost |= dict.fromkeys(kinked, Reason.KINK)
                open_ -= kinked
            step = reading.step * self.shorten(reading, open_, first=len(tried) == 1)
        self.remeasured += len(tried) > 1
        self.lost |= {k: Reason.KINK if self.kinked(line, k) else Reason.NOISE for k in open_}
        self.kink = Reason.KINK in self.lost.values()
        if not chosen or (self.lost and not partial):
            return None
        for k, best in chosen.items():
            block = best.blocks[k]
            self.noise[k].add(block.noise, block.own_degrees)
            if len(tried) > 1 and block.size > block.truncation + 10 * block.spread:
                # What two steps have shown is no surprise on the next line.
                self.known.confirmed[k] = max(self.known.confirmed[k], block.size)
        self.adapt(chosen)
        return merged([chosen.get(k, tried[-1]) for k in range(len(self.rows))], self.rows, self.lost)

    def judge(self, k: int, tried: Sequence[LineReading], reading: LineReading) -> LineReading | None:
        """Return the reading to be believed of an output block; None where that takes another step."""
        block = reading.blocks[k]
        fits = self.fits(k, reading)
        if not tried:
            surprising = block.size > max(block.truncation + 10 * block.spread, EXPECTED * self.known.confirmed[k])
            return reading if fits and not surprising else None
        previous = tried[-1]
        longer = previous.blocks[k]
        floor = 0.5 * self.roundoff * norm(reading.rounding[self.rows[k]])
        if longer.noise > STANDS_OUT * block.noise > STANDS_OUT**2 * floor:
            return None  # what falls with the step is no noise
        if not self.agree(k, previous, reading):
            return None
        if fits:
            narrower = longer.truncation + longer.spread <= block.truncation + block.spread
            return previous if narrower and self.fits(k, previous) else reading
        # Kinks, jumps and high frequencies are out of sight at some short step; only noise is the same at all of them.
        steady = all(
            1 / STANDS_OUT <= block.noise / other.noise <= STANDS_OUT
            for other in (longer, tried[0].blocks[k])
            if other.noise
        )
        return previous if steady and len(tried) >= REMEASURE - 1 else None

    def vanished(self, line: VectorLine, found: Mapping[int, LineReading]) -> set[int]:
        """Return the output blocks whose discrepancy, seen among noise, is gone where the function shows no noise.

        A staircase of fine steps looks like a noisy slope; its derivative is zero.
        """
        doubtful = {
            k: reading
            for k, reading in found.items()
            if self.known.confirmed[k] == 0
            and reading.blocks[k].size > reading.blocks[k].truncation + 10 * reading.blocks[k].spread
            and reading.blocks[k].noise > FAR_ABOVE_ROUNDING * self.floor(k, reading)
        }
        if not doubtful:
            return set()
        shortest = REPRESENTED * line.engine.problem.shortest(line.components)
        step = max(shortest, min(FAR_BELOW, *(reading.step for reading in doubtful.values())))
        near = self.read_where_it_can(line, step)
        gone = set[int]()
        for k, reading in doubtful.items() if near is not None else ():
            assert near is not None  # noqa: S101  # else there is nothing to go through
            block, size = near.blocks[k], reading.blocks[k].size
            quiet = block.noise <= 0.01 * reading.blocks[k].noise
            bar = 10 * AMPLIFICATION[0 if near.side == 0 else 1] * block.noise / near.step
            if quiet and block.size + bar < size / 2:
                gone.add(k)
        return gone

    def floor(self, k: int, reading: LineReading) -> float:
        """Return what rounding the values, and the arguments, of an output block costs."""
        rounding = norm(reading.rounding[self.rows[k]])
        return 0.5 * self.roundoff * (rounding + reading.blocks[k].sensitivity)

    def fits(self, k: int, reading: LineReading) -> bool:
        """Say whether a block shows no more noise, or truncation, than other lines do, or than rounding."""
        block, pool = reading.blocks[k], self.noise[k]
        floor = 0.5 * self.roundoff * norm(reading.rounding[self.rows[k]])
        if pool.degrees > 0:
            usual = UNUSUAL * pool.level(floor)[0]
        else:
            usual = max(
                FAR_ABOVE_ROUNDING * self.floor(k, reading), UNUSUAL * self.known.noise * float(self.known.scales[k])
            )
        allowed = max(
            10 * block.spread,
            self.known.target * float(self.known.scales[k]),
            UNUSUAL * self.known.truncations[k],
            CRUDE * self.known.confirmed[k],
        )
        return block.noise <= usual and block.truncation <= allowed

    def shorten(self, reading: LineReading, open_: set[int], *, first: bool) -> float:
        """Return by how much to shorten the step.

        Where the values are as usual and only the discrepancy is a surprise, as far as still shows it well: a jump or
        a kink among the values, or a frequency far above the step's, shows something else there.
        """
        shorter = SHORTER if self.roundoff < 1e-12 else SHORTER_LOW_PRECISION
        blocks = [reading.blocks[k] for k in open_]
        if not first or not all(self.fits(k, reading) for k in open_):
            return shorter
        return max([min(shorter, SHOWN * b.spread / b.size) for b in blocks if b.size > 0] + [SHORTEST_AGAIN])

    def adapt(self, chosen: dict[int, LineReading]) -> None:
        """Take a shorter step for the lines to come, where one after another crosses kinks and precision allows it."""
        known, shortest = self.known, min(chosen.values(), key=lambda reading: reading.step)
        if shortest.step >= known.step / 2:
            return
        known.crossed += 1
        comfortable = all(
            b.spread <= known.target * float(s) for b, s in zip(shortest.blocks, known.scales, strict=True) if s > 0
        )
        if known.crossed > 1 and comfortable:
            known.step = shortest.step

    def agree(self, k: int, one: LineReading, two: LineReading) -> bool:
        """Say whether two steps show the same derivative of an output block."""
        rows = self.rows[k]
        distance = norm(one.values[rows] - two.values[rows])
        bar = sum(r.blocks[k].truncation + 10 * r.blocks[k].spread for r in (one, two))
        return within(distance, bar)

    def kinked(self, line: VectorLine, k: int) -> bool:
        """Say whether an output block has a kink at the point itself, on the evidence of three steps.

        One-sided derivatives of its components are compared, as in `_tables.is_kink`; steps are taken from the values
        that are there. Components that are rough for another reason (noise, a frequency far above the step's, kinks
        beside the point) show a steady jump by accident only, and few of them at a time.
        """
        for _ in range(2):
            steps = sorted(_tables_at(line))
            if len(steps) > 2:
                near, middle, far = (self.one_sided(line, k, step) for step in steps[:3])
                found = near.kinked(middle)
                if is_clear(found & middle.kinked(far), near.rough):
                    return True
                if not is_clear(found, near.rough):
                    return False
            # One more, shorter step: at the longest of these, kinks beside the point may have been crossed.
            shorter = shorten_mantissa(steps[0] / 8) if steps else 0.0
            if shorter < REPRESENTED * line.engine.problem.shortest(line.components) or len(steps) == 1:
                return False
            for t in sorted((t * shorter for t in CENTRAL), key=abs, reverse=True):
                if shorter == 0 or line.at(t) is None:
                    return False
        return False

    def gap(self, line: VectorLine, k: int) -> bool:
        """Say whether an output block jumps at the point itself: as near as can be, its values keep their distance."""
        steps = sorted(_tables_at(line))[:2]
        if len(steps) < 2:
            return False
        rows = line.engine.outputs.blocks[k].rows
        ends = []
        for step in steps:
            changes = [line.raw[t * step].change for t in CENTRAL]
            e = np.array([c[rows] for c in changes if c is not None])
            ends.append(np.array([3 * e[2] - 3 * e[1] + e[0], 3 * e[3] - 3 * e[4] + e[5]]))
        near, far = ends
        floor = FAR_ABOVE_ROUNDING * self.roundoff * (norm(line.engine.base[rows]) + norm(near.ravel()))
        # A rounded function's values, multiples of its grain, are the same by accident; they change along the line.
        still = np.maximum(np.ptp(e[:3], axis=0), np.ptp(e[3:], axis=0)) * CLEAR_GAP
        apart = (np.abs(near) > np.maximum(floor, still)) & (np.abs(near - far) <= SAME_GAP * np.abs(near))
        return bool(np.any(apart.all(axis=0)))  # on one side, it may be a grain of a rounded function

    def one_sided(self, line: VectorLine, k: int, step: float) -> OneSided:
        """Return the slopes on both sides of the point, of an output block's components."""
        return OneSided.of(line, line.engine.outputs.blocks[k].rows, step, self.roundoff)

    def read_where_it_can(self, line: VectorLine, step: float) -> LineReading | None:
        """Read at a step, at shorter ones where the function fails, and on one side at last."""
        if self.side == 0:
            tried = shorten_mantissa(step)
            for _ in range(TRIES):
                reading = self.read(line, tried, 0)
                if reading is not None:
                    return reading
                tried = shorten_mantissa(tried / 10)
        for side in (self.side,) if self.side else (1, -1):
            reading = self.read(line, shorten_mantissa(step / (1 if self.side else 2)), side)
            if reading is not None:
                return reading
        return None

    def read(self, line: VectorLine, step: float, side: int) -> LineReading | None:
        """Read seven values, one of which is zero by definition; None where the function fails at one of them."""
        formula = FORMULAS[side]
        found: dict[int, tuple[FloatArray, FloatArray]] = {}
        for k in formula.farthest_first:  # the farthest is the likeliest to fail
            at = line.at(k * step)
            if at is None:
                return None
            found[k] = at
        rows = [found[k] for k in formula.multiples]
        values = np.array([at[0] for at in rows])
        rounding = np.max([at[1] for at in rows], axis=0)
        derivative, next_ = formula.weights @ values
        derivative /= step
        correction = np.abs(derivative - next_ / step)
        coefficients = np.abs(formula.polynomials @ values)
        blocks = [
            self._block(k, own, coefficients, derivative, correction, rounding, step, side)
            for k, own in enumerate(self.rows)
        ]
        farthest = formula.farthest_first[0] * step
        change = line.raw[farthest].change
        assert change is not None  # noqa: S101  # it was read
        slopes = [norm(change[block.rows]) / abs(farthest) for block in line.engine.outputs.blocks]
        return LineReading(
            derivative,
            np.concatenate([bars for _, bars in blocks]),
            tuple(replace(block, sensitivity=slope) for (block, _), slope in zip(blocks, slopes, strict=True)),
            (Form(tuple(k * step for k in formula.multiples), tuple(w / step for w in formula.weights[0].tolist())),)
            * len(self.rows),
            step,
            rounding,
            side,
        )

    def _block(
        self,
        k: int,
        rows: slice,
        coefficients: FloatArray,
        derivative: FloatArray,
        correction: FloatArray,
        rounding: FloatArray,
        step: float,
        side: int,
    ) -> tuple[BlockReading, FloatArray]:
        own, corrections = coefficients[:, rows], correction[rows]
        floors = 0.5 * self.roundoff * rounding[rows]
        floor = norm(floors)
        energies = np.sqrt(np.einsum("kp,kp->k", own, own)).tolist()
        start, shown, degrees = plateau(energies, floor)
        # Components of like noise each bring degrees of freedom of their own.
        late = own[3:] * own[3:]
        last = late.sum(axis=0)
        total_last = float(last.sum())
        shares = last / total_last if total_last > 0 else last
        degrees *= max(1 / float(shares @ shares) if total_last > 0 else float(last.size), 1.0)
        pooled, total = self.noise[k].level(floor)
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
        return BlockReading(norm(derivative[rows]), truncation, spread, total, shown, degrees), bars


@dataclass(frozen=True, slots=True)
class OneSided:
    """The slopes on both sides of the point, component by component, by formulas of order 3.

    Parameters
    ----------
    step, jump
        h; right slope less left slope.
    bar
        How far order 2 is off.
    noise
        What rounding may do to a slope.
    rough
        Components whose values are no polynomial of low degree at this step.
    """

    step: float
    jump: FloatArray
    bar: FloatArray
    noise: FloatArray
    rough: NDArray[np.bool_]

    @classmethod
    def of(cls, line: VectorLine, rows: slice, step: float, roundoff: float) -> OneSided:
        """Read the values at ±1, ±2, ±3 steps, which are there; the function's own, nothing claimed taken off."""
        changes = [line.raw[k * step].change for k in CENTRAL]
        e = np.array([c[rows] for c in changes if c is not None])
        slopes, bar = [], np.zeros(e.shape[1])
        for sign, (near, middle, far) in ((-1, e[2::-1]), (1, e[3:])):
            third = sign * (18 * near - 9 * middle + 2 * far) / (6 * step)
            second = sign * (4 * near - middle) / (2 * step)
            slopes.append(third)
            np.maximum(bar, np.abs(third - second), out=bar)
        left, right = slopes
        size = np.maximum(np.abs(line.engine.base[rows]), np.abs(e).max(axis=0)) + np.maximum(abs(left), abs(right))
        floor = 0.5 * roundoff * size
        # Rounding of the arguments may cost a component more than its own size and slope along this line say.
        shared = norm(floor) / math.sqrt(floor.size)
        others = [k for k in range(POINTS) if k != 3]
        high = np.abs(gram_polynomials()[5:, others] @ e).max(axis=0)
        low = np.abs(gram_polynomials()[2:5, others] @ e).max(axis=0)
        rough = high > np.maximum(ROUGH * low, FAR_ABOVE_LOW_PRECISION * (floor + shared))
        return cls(step, right - left, bar, 8 * floor / step, rough)

    def kinked(self, longer: OneSided) -> NDArray[np.bool_]:
        """Say which components show the same jump of the slope at a longer step, and a kink is nothing beside it."""
        clear = np.abs(self.jump) > 8 * (self.bar + self.noise)
        steady = np.abs(self.jump - longer.jump) <= SAME_JUMP * np.abs(self.jump) + longer.bar
        alone = self.bar <= 3 * longer.bar * self.step / longer.step + self.noise
        found: NDArray[np.bool_] = clear & steady & alone & self.rough
        return found


def is_clear(found: NDArray[np.bool_], rough: NDArray[np.bool_]) -> bool:
    """Say whether some components show a kink, and no more show something else."""
    return bool(found.any()) and 2 * int(found.sum()) >= int(rough.sum())


def _tables_at(line: VectorLine) -> list[float]:
    """Return the steps at which all six values about the point are there."""
    usable = {t for t, moved in line.raw.items() if moved.change is not None}
    return [t for t in usable if t > 0 and all(k * t in usable for k in CENTRAL)]


def _number(item: tuple[int, Reason]) -> int:
    return item[0]


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
        tuple(sorted(lost.items(), key=_number)),
    )


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


def _bar(reading: LineReading) -> float:
    return math.hypot(*(block.truncation + block.spread for block in reading.blocks))
