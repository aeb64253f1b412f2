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
from gradproof._evidence.looks import HIDDEN, SHOWN, arguments_rounded, looks_short, two_witnesses
from gradproof._numerics.lines import FOUR_POINTS, FOUR_STEPS, LineReader
from gradproof._numerics.noise import WELL_KNOWN
from gradproof._numerics.readings import Calibration, LineReading, Read
from gradproof._numerics.steps import FIRST_STEP
from gradproof._numerics.tables import REPRESENTED, shorten_mantissa
from gradproof._words.directions import RandomDirection
from gradproof._words.precision import HALF, UNIT_ROUNDOFF
from gradproof._words.vectors import norm

SPREAD_OF_A_GROUP: Final = 100.0
"""Blocks that change the function by less than 1/100 of what another does are displaced by themselves."""
SHORT_OF_SCALE: Final = 0.3
"""All coordinates move at once along these lines: their first step is this much shorter than for one."""
MANY: Final = 1e6
"""Coordinates above which a first step is shorter still: the more move at once, the nearer is the first kink."""
FAR_LESS_KNOWN: Final = 10.0
"""A line whose truncation error is so many times what the others may be off by is measured again."""
QUANTA: Final = 1000.0
"""A result that is rounded is told from a staircase where the steps cross so many of its jumps: three digits of a slope."""
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
            self.look_ahead(line, max(self.calibration.step, REPRESENTED * line.shortest))
            reading = reader.later(line, calibration=self.calibration, without=without, excused=self.excused())
        self.evaluations += line.evaluations - before
        self.take(line, reading)
        return any(e.lost is None for e in self.evidence.values())

    def look_ahead(self, line: Line, step: float) -> None:
        """Say what is going to be asked for: four values of a later line, and what `looks_short` asks where all is well."""
        line.ahead([m * step for m in FOUR_STEPS], sure=True)
        for o in self.open:
            evidence = self.evidence[o]
            tolerance = max(pair.tolerance for pair in evidence.pairs) / SHOWN
            first = self.lines[0][0] if self.lines else line
            for each, share in ((first, max(1 / HIDDEN, tolerance)), (line, tolerance)):
                visible = share * evidence.claimed()
                if visible > 0:
                    rounding = arguments_rounded(self.reader, each, o)
                    short = shorten_mantissa(max(rounding / visible, REPRESENTED * each.shortest))
                    each.ahead([short, -short])

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
        """Say whether steps as short as rounding allows show the derivative that is claimed, along the first and last line."""
        evidence = self.evidence[o]
        lines = [(line, reading.blocks[o].step) for line, reading in (self.lines[0], self.lines[-1])]
        tolerance = max(pair.tolerance for pair in evidence.pairs)
        noise = max(e.noise for e in evidence.lines)
        return looks_short(self.reader, lines, o, evidence.claimed(), evidence.upper(), tolerance, noise)

    def coarse(self, o: int) -> bool:
        """Say whether the jumps are too few on these lines for the rounding of a result, of which steps cross many.

        Within the blocks' own scale, if a step is longer: far enough away any staircase looks like a ramp.
        """
        evidence, most = self.evidence[o], 0.0
        reach = max(pair.scale / scale for pair, scale in zip(evidence.pairs, evidence.scales, strict=True))
        for k, (line, reading) in enumerate(self.lines):
            limit = min(2 * reading.blocks[o].step, reach)
            if k == 0:
                line.at(limit)
                line.at(-limit)
            sizes = {t: norm(line.change(t)[line.own_rows[o]]) for t in line.known}
            smallest = min((size for size in sizes.values() if size > 0), default=math.inf)
            most = max(most, max((size for t, size in sizes.items() if abs(t) <= limit), default=0.0) / smallest)
        return most < QUANTA

    def confirmed(self, o: int) -> bool:
        """Say whether two witnesses show what makes an output wrong, along the line by which it is."""
        evidence = self.evidence[o]
        k = max(range(len(evidence.lines)), key=lambda i: evidence.lines[i].size - evidence.lines[i].bar)
        line, reading = self.lines[k]
        return two_witnesses(self.reader, line, o, reading.values[self.reader.rows[o]], evidence.lines[k])
