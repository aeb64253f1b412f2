"""The certificate: a derivative of any size from a handful of random directions.

Blocks are displaced together, each by its own scale, in groups of blocks that change the function comparably: one line
then resolves each of them about as well as it would alone, and serves every output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from gradproof._evaluation.lines import Line
from gradproof._evidence.evidence import FEW, Evidence, Law, Pair
from gradproof._numerics.lines import FOUR_POINTS, SHORTEN_JOINT, LineReader
from gradproof._numerics.noise import FAR_ABOVE_LOW_PRECISION, WELL_KNOWN
from gradproof._numerics.readings import BlockReading, Calibration, LineReading, Read
from gradproof._numerics.statistics import within
from gradproof._numerics.steps import FIRST_STEP, SHORTEST
from gradproof._numerics.tables import REPRESENTED, shorten_mantissa
from gradproof._numerics.witnesses import AGAIN, NEAR, SAME, WITNESSES, Witness, breaks_off, short_witness
from gradproof._words.directions import RandomDirection
from gradproof._words.precision import HALF, UNIT_ROUNDOFF
from gradproof._words.vectors import FloatArray, norm

SPREAD_OF_A_GROUP: Final = 100.0
"""Blocks that change the function by less than 1/100 of what another does are displaced by themselves."""
SHORT_OF_SCALE: Final = 0.3
"""All coordinates move at once along these lines: their first step is this much shorter than for one."""
MANY: Final = 1e6
"""Coordinates above which a first step is shorter still: the more move at once, the nearer is the first kink."""
FAR_LESS_KNOWN: Final = 10.0
"""A line whose truncation error is so many times what the others may be off by is measured again."""
SHOWN: Final = 10.0
"""A witness's step is one at which its noise is a tenth of the discrepancy: it would be seen there."""
HIDDEN: Final = 1.0e4
"""A short look is at the step at which rounding is this part of the claimed change: a thousandth of it is seen there."""
AGREES: Final = 0.1
"""Two steps that show the same discrepancy to this fraction confirm each other."""
SHORTENED: Final = FIRST_STEP * SHORTEN_JOINT
"""A first line that was read at a shorter step, in units of the parameters' scale, saw structure at a longer one."""
BESIDE: Final = 0.8
"""Step, over that of a reading, at which a random function is read once more."""
LONGER: Final = 8.0
"""Factor on the step at which the second witness looks first."""
AS_OTHERS: Final = 3.0
"""A line whose discrepancy is so many times that of the others is measured again, where right claims show some."""
Directions = Callable[[RandomDirection], Line]


@dataclass(frozen=True, slots=True)
class Member:
    """One block in a group of blocks that are displaced together.

    Parameters
    ----------
    block
        Its number.
    scale
        a_p: by how much it is displaced.
    """

    block: int
    scale: float


def group_blocks(scales: Sequence[float], norms: Sequence[float], chosen: Sequence[int]) -> list[list[Member]]:
    """Put blocks into groups that change the function comparably, and choose their scales a_p.

    Parameters
    ----------
    scales
        ℓ_p: by how much block p may be displaced.
    norms
        ‖A_p‖, not zero for those chosen.
    chosen
        Numbers of the blocks.

    Returns
    -------
    list of list of Member
        With a_p = min(ℓ_p, λ/‖A_p‖) and λ the smallest ℓ_p‖A_p‖ of the group, so that the blocks of a group have equal
        shares in the change of the function and equal resolution.
    """
    remaining = sorted(((scales[k] * norms[k], k) for k in chosen), reverse=True)
    groups: list[list[Member]] = []
    while remaining:
        largest = remaining[0][0]
        near = [k for w, k in remaining if w * SPREAD_OF_A_GROUP >= largest]
        remaining = remaining[len(near) :]
        share = min(scales[k] * norms[k] for k in near)
        groups.append([Member(k, min(scales[k], share / norms[k])) for k in sorted(near)])
    return groups


class Certifier:
    """The sequential certificate of one group of blocks, for some outputs.

    Parameters
    ----------
    members
        The blocks and their scales.
    pairs
        Per output that is asked for, by its number, its pairs with the members.
    line_of, reader
        Make a line of a recipe, and read it.
    blocks, size
        Number of blocks in all; of coordinates that are displaced.
    seed, stream
        Of the directions; each certifier has streams of its own.
    law
        Of a line.
    correct, wrong
        Probabilities of a false CORRECT and a false WRONG that may be spent on each output.
    precision
        In which the claim was worked out, where that is below its judge's: right ones show discrepancies, too.
    """

    def __init__(
        self,
        members: Sequence[Member],
        pairs: dict[int, list[Pair]],
        line_of: Directions,
        reader: LineReader,
        *,
        blocks: int,
        size: int,
        seed: int,
        stream: int,
        law: Law,
        correct: float,
        wrong: float,
        precision: str = "float64",
    ) -> None:
        self.excuses = precision != "float64"
        self.rank = law.rank
        self.half = UNIT_ROUNDOFF[precision] > HALF
        self.members = list(members)
        self.line_of = line_of
        self.reader = reader
        self.blocks = blocks
        self.seed = seed
        self.stream = stream
        self.scale = SHORT_OF_SCALE * min(1.0, math.sqrt(MANY / max(size, 1)))
        scales = [member.scale for member in members]
        self.evidence = {o: Evidence(of, scales, law, correct, wrong) for o, of in pairs.items()}
        self.calibration: Calibration | None = None
        self.side = 0
        self.lines: list[tuple[Line, LineReading]] = []
        self.count = 0
        self.remeasured = 0
        self.evaluations = 0
        self.read_again: set[tuple[int, int]] = set()
        self.witnessed: set[int] = set()

    @property
    def open(self) -> list[int]:
        """Outputs that are not settled, and can be."""
        return [o for o, e in self.evidence.items() if not e.settled() and e.lost is None]

    @property
    def without(self) -> frozenset[int]:
        """Outputs that are not asked for, or cannot be read."""
        asked = {o for o, e in self.evidence.items() if e.lost is None}
        return frozenset(range(len(self.reader.rows))) - asked

    def direction(self) -> RandomDirection:
        """Return the next direction's recipe."""
        scales = [0.0] * self.blocks
        for member in self.members:
            scales[member.block] = member.scale
        self.stream += 1
        return RandomDirection(self.seed, self.stream, tuple(scales), self.rank)

    def targets(self) -> tuple[list[float], list[float]]:
        """Return, per output, the bar that a first line should have for two lines to certify; and a size to weigh by."""
        targets, sizes = [0.0] * len(self.reader.rows), [0.0] * len(self.reader.rows)
        for o, e in self.evidence.items():
            targets[o] = 2 * e.allowed() / (math.sqrt(2) * e.law.factor(2, e.correct))
            claimed = math.hypot(*(p.norm * a for p, a in zip(e.pairs, e.scales, strict=True)))
            sizes[o] = claimed * math.sqrt(max(e.law.cotangents, 1))
        largest = max(sizes)
        return targets, [size or largest or 1.0 for size in sizes]

    def outgrown(self, most: int) -> bool:
        """Say whether what blocks in half precision are off by adds up to more than `most` lines would certify."""
        if not self.half or len(self.members) == 1 or self.count < FEW:
            return False
        every = [self.evidence[o] for o in self.open]
        return any(e.estimate() * math.sqrt(most) * e.law.factor(most, e.correct) > e.allowed() for e in every)

    def excused(self) -> list[float]:
        """Return, per output, what a line may be off by: what lets two lines certify, or a few times what others show."""
        if not self.excuses:
            return []
        shown = {o: AS_OTHERS * max((line.size for line in e.lines), default=0.0) for o, e in self.evidence.items()}
        return [max(target, shown.get(o, 0.0)) for o, target in enumerate(self.targets()[0])]

    def measure(self) -> bool:
        """Measure one more line; return whether anything of it can be used."""
        line, reader = self.line_of(self.direction()), self.reader
        before = line.evaluations
        without = self.without
        if self.calibration is None:
            targets, sizes = self.targets()
            reading = reader.first(line, targets, scale=self.scale, sizes=sizes, without=without)
            self.calibration, self.side = reader.calibration, reader.side
        else:
            reader.side = self.side
            reading = reader.later(line, calibration=self.calibration, without=without, excused=self.excused())
        self.evaluations += line.evaluations - before
        self.take(line, reading)
        return any(e.lost is None for e in self.evidence.values())

    def take(self, line: Line, reading: LineReading) -> None:
        """Keep a line, and why blocks of it cannot be used."""
        lost = dict(reading.lost)
        self.remeasured += reading.crossed
        self.count += 1
        self.lines.append((line, reading))
        for o, evidence in self.evidence.items():
            if o in lost:
                evidence.lost = evidence.lost or lost[o]
            elif evidence.lost is None:
                evidence.take(reading.blocks[o])
        self.know_grain()

    def know_grain(self) -> None:
        """Give lines that were read before the rounding of an output had come to light the noise that it is.

        A uniform error of ±q/2 has the standard deviation q/√12.
        """
        for o, evidence in self.evidence.items():
            grain = self.lines[-1][0].granularity(o) if self.lines else 0.0
            own = self.reader.rows[o]
            noise = grain * math.sqrt((own.stop - own.start) / 12)
            for k, line in enumerate(evidence.lines):
                if line.noise < noise:
                    spread = line.spread * noise / line.noise if line.noise > 0 else FOUR_POINTS * noise / line.step
                    evidence.lines[k] = replace(line, noise=noise, spread=spread, degrees=WELL_KNOWN)

    def reread(self) -> bool:
        """Measure the least known line again, along the same direction, where the others are known far better.

        The first one may have ended its search at a step that the others have found to be far too long.
        """
        for o in self.open:
            lines = self.evidence[o].lines
            if len(lines) != len(self.lines):
                continue
            worst = max(range(len(lines)), key=lambda k, own=lines: own[k].truncation)  # type: ignore[misc]
            others = [k for k in range(len(lines)) if k != worst]
            bar = median(lines[k].truncation + lines[k].spread for k in others)
            if lines[worst].truncation <= FAR_LESS_KNOWN * bar or (o, worst) in self.read_again:
                continue
            self.read_again.add((o, worst))
            scale = median(lines[k].step for k in others) / FIRST_STEP
            again = self.reader.carefully(self.lines[worst][0], o, scale)
            known = lines[worst].truncation + lines[worst].spread
            if isinstance(again, Read) and again.block.truncation + again.block.spread < known:
                lines[worst] = again.block
            return True
        return False

    def looks_short(self, o: int) -> bool:
        """Say whether steps as short as rounding allows show the derivative that is claimed, along two of the lines.

        What a certificate's steps cannot see (stairs, knots, ripples) may hide below them. One look is as short as it can
        be, and sees a thousandth of the claim; the other one sees the tolerance. Each takes one value, where all is well.
        """
        evidence = self.evidence[o]
        claimed = evidence.claimed()
        if claimed <= 0 or self.reader.pools[o].repetition:
            return True
        tolerance = max(pair.tolerance for pair in evidence.pairs) / SHOWN
        looks = [(self.lines[0], max(1 / HIDDEN, tolerance)), (self.lines[-1], tolerance)]
        rounding = rounding_of(self.reader, self.lines[0][0], o)
        if max(e.noise for e in evidence.lines) > FAR_ABOVE_LOW_PRECISION * rounding:
            # A function that repeats its values, and scatters by more than rounding, has some structure: every line tells.
            looks = [(each, max(1 / HIDDEN, tolerance)) for each in self.lines] + looks[1:]
        return all(self.looks_short_along(line, reading, o, share * claimed) for (line, reading), share in looks)

    def looks_short_along(self, line: Line, reading: LineReading, o: int, visible: float) -> bool:
        """Say whether the difference quotient of a discrepancy on one side is none at steps much shorter than a line's."""
        evidence, own, longest = self.evidence[o], self.reader.rows[o], reading.blocks[o].step
        # Rounding the arguments, too: of a displacement that is hardly represented the function sees less or more.
        rounding = max(rounding_of(self.reader, line, o), own_slope(line, o) * line.shortest)
        step = max(rounding / visible, REPRESENTED * line.shortest, SHORTEST * longest)
        before: FloatArray | None = None
        for _ in range(WITNESSES):
            step = shorten_mantissa(step)
            found = line.at(step) if AGAIN * step <= longest else None
            if found is None:
                return True
            seen = found[0][own] / step
            if not line.change(step)[line.own_rows[o]].any():
                before, step = None, AGAIN * step  # it does not move yet, as a rounded result does not
                continue
            if within(norm(seen), evidence.upper() + SHOWN * visible):
                return True
            both = self.reader.odd(line, o, step)  # what curves shows on one side only
            seen = seen if both is None else both / step
            if within(norm(seen), evidence.upper() + SHOWN * visible):
                return True
            if before is not None and norm(before - seen) <= SAME * norm(seen):
                return False  # intermediate values may be rounded more than the result, but not alike at both
            before, step = seen, AGAIN * step
        return True

    def confirmed(self, o: int) -> bool:
        """Say whether two witnesses show what makes an output wrong, along the line that shows it most clearly."""
        evidence = self.evidence[o]
        k = max(range(len(evidence.lines)), key=lambda i: evidence.lines[i].size / (evidence.lines[i].bar or 1.0))
        line, reading = self.lines[k]
        return two_witnesses(self.reader, line, o, reading.values[self.reader.rows[o]], evidence.lines[k])


def two_witnesses(reader: LineReader, line: Line, o: int, values: FloatArray, seen: BlockReading) -> bool:
    """Say whether two witnesses show a discrepancy: steps as far apart as noise and truncation allow.

    A finite step sees through kinks, knots, staircases and ripples that are smaller than it, and one that is too
    short sees the rounding of intermediate values. What is at both of them, and the same, is in the derivative.

    Parameters
    ----------
    reader, line, o
        Where it was seen, and in which block.
    values, seen
        The discrepancy, as it was read.
    """
    if seen.size == 0:
        return True
    if reader.repeats(line, o):  # it is noise, and no structure; but an outlier does not come twice
        again = reader.witness(line, o, BESIDE * seen.step)
        return again is not None and norm(again.values - values) <= again.block.bar + seen.bar + SAME * seen.size
    if seen.step > 1:  # beyond the parameters' scale rounding grows as a slope does, and what is even hides what is not
        near = reader.witness(line, o, NEAR)
        if near is None or SHOWN * near.block.spread > seen.size or not agree(near, values, seen.bar):
            return False
    short = short_witness(
        lambda h: reader.slope(line, o, h),
        values,
        max(0.5 * rounding_of(reader, line, o), own_slope(line, o) * line.shortest),  # of the arguments, too
        seen.step,
        REPRESENTED * line.shortest,
        seen.noise,
        lambda h: reader.bend(line, o, h),
    )
    if short is Witness.CONTRADICTS:
        return False
    long = long_witness(reader, line, o, values, seen)
    if long is False or (long is None and short is Witness.CONFUSED):
        return False
    # A step that had to be shortened lies below structure, which may be rounding on the way.
    return seen.step >= SHORTENED or not breaks_off(lambda t: reader.odd(line, o, t), values, seen.step, seen.noise)


def long_witness(reader: LineReader, line: Line, o: int, values: FloatArray, seen: BlockReading) -> bool | None:
    """Say whether a longer step shows the same; None where truncation or noise hides it there."""
    step = LONGER * seen.step
    for _ in range(2):
        long = reader.witness(line, o, step)
        if long is None:
            return None
        if SHOWN * long.block.bar <= seen.size:
            return agree(long, values, seen.bar)
        # What order 2 lacks falls like h²: where it leaves the discrepancy to be seen.
        step *= math.sqrt(seen.size / (SHOWN * long.block.bar)) if long.block.bar > 0 else 0.0
        if not step > 2 * seen.step:
            return None  # truncation hides it at every longer step
    return None


def rounding_of(reader: LineReader, line: Line, o: int) -> float:
    """Return u times the size of a block's values at the point, in the function's units."""
    return line.unit_roundoff(o) * norm(line.at(0.0)[1][reader.rows[o]])  # type: ignore[index]  # θ itself is there


def own_slope(line: Line, o: int) -> float:
    """Return how fast a block of the function's own values changes along a line, per unit of t, at the most."""
    return max((norm(line.change(t)[line.own_rows[o]]) / abs(t) for t in line.known), default=0.0)


def agree(one: Read, values: FloatArray, bar: float) -> bool:
    """Say whether a witness shows the same derivative."""
    return within(norm(one.values - values), one.block.bar + bar + AGREES * norm(one.values))
