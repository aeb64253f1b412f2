"""Which readings of a line are believed: the step of the first one, shorter ones along the same direction where it surprises.

A random projection of the components, each output block weighed alike, chooses the first step by the same search that
serves scalar costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from gradproof._evaluation.vector_lines import Projection, VectorLine, tables_at
from gradproof._evidence.vector_kinks import has_jump, has_kink
from gradproof._evidence.vector_tables import UNUSUAL, BlockNoise, LineReading, by_block, merged, read_line
from gradproof._numerics.formulas import AMPLIFICATION
from gradproof._numerics.lines import first_line
from gradproof._numerics.noise import FAR_ABOVE_ROUNDING, STANDS_OUT, Pool
from gradproof._numerics.statistics import within
from gradproof._numerics.tables import REPRESENTED, shorten_mantissa
from gradproof._words.results import Estimate, Reason
from gradproof._words.vectors import FloatArray, norm

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
TRIES: Final = 6
"""Steps, each a tenth of the last, tried where the function fails."""
HALVINGS: Final = 4
"""Times that the first step is halved where truncation leads some output."""
CRUDE: Final = 0.01
"""Two steps agree by accident where their bars are wide: a derivative is to be known to this part of its size."""


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
            if usable and not (
                pool.confirmed and any(has_jump(line, k, self.roundoff) for k in set(range(len(self.rows))) - kinked)
            ):
                break
            if not math.isfinite(estimate.value):
                self.give_up(Reason.DOMAIN)
                return None, estimate
            new = {
                k
                for k in range(len(self.rows))
                if k not in kinked and (has_jump(line, k, self.roundoff) or has_kink(line, k, self.roundoff))
            }
            kinked |= new
            if len(kinked) == len(self.rows) or (kinked and not partial):
                self.give_up(Reason.KINK)
                return None, estimate
            if not new:
                # The projection tells nothing: go down from where it has looked last.
                estimate = replace(estimate, step=min(tables_at(line), default=estimate.step) / 8, kink=None)
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
            if self.lost:
                reading = replace(reading, lost=tuple(sorted(self.lost.items(), key=by_block)))
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
        step, floor = self.step * shorter, REPRESENTED * line.shortest
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
                kinked = {k for k in open_ if has_kink(line, k, self.roundoff)}
                self.lost |= dict.fromkeys(kinked, Reason.KINK)
                open_ -= kinked
            step = reading.step * self.shorten(reading, open_, first=len(tried) == 1)
        self.remeasured += len(tried) > 1
        self.lost |= {k: Reason.KINK if has_kink(line, k, self.roundoff) else Reason.NOISE for k in open_}
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
        floor, longer_floor = (0.5 * self.roundoff * norm(r.rounding[self.rows[k]]) for r in (reading, previous))
        # Rounding itself falls where the function is zero at the point.
        fall = max(longer_floor / floor, 1.0) if floor > 0 else 1.0
        if longer.noise > STANDS_OUT * fall * block.noise and block.noise > STANDS_OUT * floor:
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
        shortest = REPRESENTED * line.shortest
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
        """Read seven values; None where the function fails at one of them."""
        return read_line(line, self.rows, self.noise, self.roundoff, step, side)


def _bar(reading: LineReading) -> float:
    return math.hypot(*(block.truncation + block.spread for block in reading.blocks))
