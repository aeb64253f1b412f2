"""The derivative of a vector-valued function along a line, output block by output block, with error bars.

The values of a whole vector are read as those of one number are (see `_noise`): the norm over a block's components of
each Gram coefficient falls with the degree into a plateau, which is the noise. A random projection of the components,
each block weighed alike, chooses the step by the same search that serves scalar costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gradproof._differences import first_line
from gradproof._directions import FloatArray
from gradproof._map_engine import Components, MapEngine, Moved
from gradproof._noise import (
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
from gradproof._results import Estimate
from gradproof._settings import UNIT_ROUNDOFF
from gradproof._statistics import within
from gradproof._tables import AMPLIFICATION, CENTRAL_4, CENTRAL_6, FORWARD_5, FORWARD_6, SLOW, shorten_mantissa

View = Callable[[Moved, float], tuple[FloatArray, FloatArray]]
"""From a displaced evaluation at t: the discrepancies, and the size of what was rounded on the way, per component."""
REMEASURE: Final = 5
"""Times that a line is read at shorter and shorter steps."""
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
    """A weighted sum of a vector line's components: φ for the scalar search of a step."""

    def __init__(self, line: VectorLine, weights: FloatArray, roundoff: float) -> None:
        self.line = line
        self.weights = weights
        self.unit_roundoff = roundoff
        self.parameter_roundoff = max(UNIT_ROUNDOFF[block.dtype] for block in line.engine.problem.blocks)
        self.asked = 0
        self.roundings: dict[float, float] = {}

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
        """Return the function's own changes; what is claimed is part of them here."""
        return self(steps)

    def magnitude(self, reach: float) -> float:
        """Return the largest size that was rounded within reach."""
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
    """One line's result in one output block: norms over its components, in units of F per unit of t."""

    size: float
    truncation: float
    spread: float
    degrees: float
    noise: float
    own_degrees: float


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
    steps
        Multiples of t and the weights of the formula: D = Σ weight · F(t).
    step
        h.
    rounding
        Per component, the size of what was rounded on the way.
    """

    values: FloatArray
    bars: FloatArray
    blocks: tuple[BlockReading, ...]
    steps: tuple[float, ...]
    weights: tuple[float, ...]
    step: float
    rounding: FloatArray


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
        self.pool = Pool()
        self.generator = np.random.default_rng([seed, 0x6C696E65])
        self.step = 0.0
        self.side = 0
        self.kink = False
        self.confirmed: set[int] = set()
        self.remeasured = 0

    def first(self, line: VectorLine, scales: FloatArray, target: float) -> tuple[LineReading | None, Estimate]:
        """Find a step on a random projection, then read all components there.

        Parameters
        ----------
        line
            Where.
        scales
            Per output block, the size by which its components are weighed.
        target
            Bar at which the search may stop, in units of those sizes.
        """
        size = self.rows[-1].stop
        weights = self.generator.standard_normal(size)
        for rows, scale in zip(self.rows, scales, strict=True):
            weights[rows] /= scale if scale > 0 else 1.0
        estimate = first_line(Projection(line, weights, self.roundoff), target, self.pool, max_evaluations=27)[0]
        if estimate.kink is not None or not estimate.trusted or not math.isfinite(estimate.value):
            self.kink = estimate.kink is not None or math.isfinite(estimate.value)
            return None, estimate
        self.step = estimate.step
        self.side = {"central": 0, "forward": 1, "backward": -1}[estimate.method.partition(",")[0]]
        reading = self.settle(line)
        for _ in range(HALVINGS):
            # The projection may not have seen what the step costs the whole.
            if reading is None or not any(
                b.truncation > max(3 * b.spread, 0.1 * target * s) for b, s in zip(reading.blocks, scales, strict=True)
            ):
                break
            shorter = self.settle(line, shorter=0.5)
            if shorter is None or _bar(shorter) > _bar(reading):
                break
            reading, self.step = shorter, shorter.step
        return reading, estimate

    def settle(
        self, line: VectorLine, *, shorter: float = 1.0, known_wrong: frozenset[int] = frozenset()
    ) -> LineReading | None:
        """Read a line at the known step; again along the same direction at an eighth of it where it looks unusual.

        Parameters
        ----------
        line
            Where.
        shorter
            Factor on the step.
        known_wrong
            Output blocks whose discrepancy is expected.
        """
        step, previous, found = self.step * shorter, None, None
        for _ in range(REMEASURE):
            reading = self.read_where_it_can(line, step)
            if reading is None:
                return None
            if previous is not None and self.agree(previous, reading):
                found = previous if _bar(previous) <= _bar(reading) and not self.unusual(previous) else reading
                if all(b.truncation <= max(10 * b.spread, CRUDE * b.size) for b in found.blocks):
                    break
            surprising = {
                k
                for k, block in enumerate(reading.blocks)
                if block.size > block.truncation + 10 * block.spread and k not in known_wrong | self.confirmed
            }
            if previous is None and not surprising and not self.unusual(reading):
                self.learn(reading)
                return reading
            if previous is None:
                self.remeasured += 1
            previous, step = reading, reading.step / 8
        if found is None:
            self.kink = True
            return None
        # What two steps have shown once is no surprise on the next line.
        self.confirmed |= {k for k, b in enumerate(found.blocks) if b.size > b.truncation + 10 * b.spread}
        self.learn(found)
        return found

    def unusual(self, reading: LineReading) -> bool:
        """Say whether a block shows far more noise than the other lines, or than rounding where this is the first."""
        for pool, block, rows in zip(self.noise, reading.blocks, self.rows, strict=True):
            if pool.degrees > 0 and block.noise > UNUSUAL * pool.level(0.0)[0]:
                return True
            if pool.degrees == 0 and block.noise > FAR_ABOVE_ROUNDING * 0.5 * self.roundoff * norm(
                reading.rounding[rows]
            ):
                return True
        return False

    def agree(self, one: LineReading, two: LineReading) -> bool:
        """Say whether two steps show the same derivative in every block."""
        for k, rows in enumerate(self.rows):
            distance = norm(one.values[rows] - two.values[rows])
            bar = sum(r.blocks[k].truncation + 10 * r.blocks[k].spread for r in (one, two))
            if not within(distance, bar):
                return False
        return True

    def learn(self, reading: LineReading) -> None:
        """Keep what a line that fits says of the noise."""
        for pool, block in zip(self.noise, reading.blocks, strict=True):
            pool.add(block.noise, block.own_degrees)

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
        return LineReading(
            derivative,
            np.concatenate([bars for _, bars in blocks]),
            tuple(block for block, _ in blocks),
            tuple(k * step for k in formula.multiples),
            tuple(w / step for w in formula.weights[0].tolist()),
            step,
            rounding,
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
        degrees *= max(total_last * total_last / float(last @ last) if total_last > 0 else float(last.size), 1.0)
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
