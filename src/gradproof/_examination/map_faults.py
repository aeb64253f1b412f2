"""After WRONG: which outputs, which parameters, which entries; and by which factor.

Rows are seen at once where a line shows the whole vector R v; else halving the cotangents' support finds them, by calls
of the VJP and no evaluation of the function, as J v is known from the lines. A row with one faulty entry c shows
y_i = r·v_ic on each line i: the ratio of two lines names c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gradproof._evaluation.engine import BudgetSpent
from gradproof._evaluation.lines import Line
from gradproof._evidence.certificate import SHORT_OF_SCALE
from gradproof._evidence.columns import BY_ITSELF, CLAIM_ROUNDING
from gradproof._evidence.evidence import Finding, Pair
from gradproof._evidence.looks import two_witnesses
from gradproof._evidence.search import Locator
from gradproof._evidence.zero import jumps_between_flats, look_nearby
from gradproof._examination.conclusion import coordinate_results
from gradproof._examination.examination import examine
from gradproof._examination.explanation import Explanation
from gradproof._examination.maps import MapStudy
from gradproof._examination.study import NonFiniteClaim, Study, claim_roundoff
from gradproof._numerics.lines import LineReader, careful_derivative
from gradproof._numerics.noise import Pool
from gradproof._numerics.projections import Projection
from gradproof._numerics.readings import ALMOST, BlockReading, Calibration, single_noise
from gradproof._numerics.statistics import chi_square_upper_quantile, student_quantile, within
from gradproof._problem.claims import EntryClaim, GradientClaim, MatrixClaim, VjpClaim
from gradproof._problem.outputs import OutputBlock
from gradproof._problem.problem import position
from gradproof._problem.structure import Blocks
from gradproof._words.directions import BlockDirection, Coordinate, Slab
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Cause, CoordinateResult, Diagnosis, Estimate, Verdict
from gradproof._words.settings import SMALLEST_BUDGET
from gradproof._words.vectors import FloatArray, inner, norm

MOST_ROWS: Final = 24
"""Faulty rows of an output after which it counts as wrong as a whole."""
MOST_CALLS: Final = 600
"""Calls of a VJP that the search for rows may take."""
MOST_CANDIDATES: Final = 6
"""Columns that two lines leave possible for one wrong entry, measured one by one."""
DELEGATED_ROWS: Final = 3
"""Wrong rows that are searched for their columns."""
MOST_NAMED: Final = 6
"""Entries of one pair that are causes of their own."""
KNOWN: Final = 1e-10
"""A single entry is measured to this part of its row's norm."""
MOST_DELEGATED: Final = 600
"""Evaluations that the search in one row may take."""
OWN_STREAMS: Final = 1_000_000
"""Stream numbers that are kept for it."""
MASKED: Final = 20.0
"""A row of a certified output is looked at where it is off by so many of its bars."""


@dataclass(slots=True)
class Faults:
    """What a search found."""

    entries: list[CoordinateResult]
    diagnoses: list[Diagnosis]
    notes: list[str]


class FaultFinder:
    """Locates what is wrong with a claim.

    Parameters
    ----------
    study
        After its lines.
    """

    def __init__(self, study: MapStudy) -> None:
        self.study = study
        self.engine = study.engine
        self.outputs = study.engine.outputs
        self.claim = study.claim
        self.found = Faults([], [], [])
        self.rows_of: dict[int, Blocks] = {}
        self.columns_of: dict[int, FloatArray] = {}
        self.lines: dict[int, Line] = {}

    def run(self) -> Faults:
        """Search as far as the budget goes."""
        try:
            self.search()
        except BudgetSpent:
            self.found.notes.append("The budget ended the search for the faults; a larger budget= lets it go on.")
        self.tidy()
        return self.found

    def tidy(self) -> None:
        """Where many entries of a pair are wrong, their list is enough: not each of them is a cause."""
        single = (Cause.COORDINATES, Cause.PATTERN)
        for name in {entry.block for entry in self.found.entries}:
            of_pair = [d for d in self.found.diagnoses if d.block == name and d.cause in single]
            if len(of_pair) <= MOST_NAMED:
                continue
            others = [d for d in self.found.diagnoses if d.block == name and d.cause not in single]
            kept = [] if others else of_pair[:MOST_NAMED]
            self.found.diagnoses = [d for d in self.found.diagnoses if d not in of_pair or d in kept]

    def search(self) -> None:
        """Look for faults of single rows, then of whole outputs."""
        for o, output in enumerate(self.outputs.blocks):
            wrong = any(pair.verdict is Verdict.WRONG for pair in self.study.pairs[o])
            if not wrong and not isinstance(self.claim, MatrixClaim):
                continue
            rows = self.faulty_rows(output, masked=not wrong)
            if not rows:
                if wrong:
                    self.whole_output(o, [])
                continue
            if len(rows) > MOST_ROWS:
                if wrong:
                    self.whole_output(o, rows)
                continue
            left = self.decode(rows, wrong=wrong)
            if wrong and left:
                self.say_rows(output, left)
                if not self.claim.rows_known:
                    self.search_columns(o, left)
                    continue
                for row in left[:DELEGATED_ROWS]:
                    self.delegate(np.eye(1, self.outputs.size, row)[0], self.outputs.name_of(row), o, of_row=True)

    # -- rows --------------------------------------------------------------------------------------------------------

    def faulty_rows(self, output: OutputBlock, *, masked: bool) -> list[int]:
        """Return the rows that are off, worst first."""
        if not self.study.measured:
            return []
        if not self.study.full:
            return self.halve(output)
        worst = np.zeros(output.size)
        for line in self.study.measured:
            off, bars = np.abs(line.values[output.rows]), line.bars[output.rows]
            limit = bars
            if masked:
                assert isinstance(self.claim, MatrixClaim)  # noqa: S101  # asked for these only
                largest = max(float(np.max(np.abs(part), initial=0.0)) for part in line.components if part is not None)
                o = self.outputs.blocks.index(output)
                tolerance = max(p.tolerance for p in self.study.pairs[o])
                norms = self.claim.row_norms()[output.rows]
                # A row that is zero but for the rounding of what else the product computes is no mistake.
                rounding = CLAIM_ROUNDING * self.roundoff(o) * float(np.max(norms, initial=0.0))
                limit = np.maximum(MASKED * bars, largest * np.maximum(tolerance * norms, rounding))
                limit = np.maximum(limit, self.rounding_of(output))
            worst = np.maximum(worst, np.where(off > limit, off, 0.0))
        order = np.argsort(-worst, kind="stable")
        rows = [int(r) + output.start for r in order[: MOST_ROWS + 1] if worst[r] > 0]
        if not masked and rows:
            # Beside a fault, what is a millionth of it may be rounding.
            rows = [r for r in rows if worst[r - output.start] > 1e-6 * worst[order[0]]]
        return rows

    def rounding_of(self, output: OutputBlock) -> float:
        """Return the change of an output over the parameters' scale that is its rounding.

        Its entries may differ by many orders of magnitude, and each is judged by its own; but what is left of a
        saturated one is below what the whole is known to, and right code loses it.
        """
        o = self.outputs.blocks.index(output)
        return float(CLAIM_ROUNDING * self.roundoff(o) * norm(self.engine.base[output.rows]))

    def roundoff(self, o: int) -> float:
        """Return u of the precision that an output's values, and what is claimed of it, show."""
        return claim_roundoff(self.study, o)

    def halve(self, output: OutputBlock) -> list[int]:
        """Find faulty rows by restricting a cotangent to them; more than a few mean that the output is wrong throughout."""
        claim = self.claim
        assert isinstance(claim, VjpClaim)  # noqa: S101  # the only claim without columns
        u = claim.random(
            np.random.default_rng([self.study.settings.seed, 0x68616C66]), self.outputs.blocks.index(output)
        )
        stop_at = claim.called.calls + MOST_CALLS
        queue, rows = [(output.start, output.stop)], list[int]()
        while queue and len(rows) <= MOST_ROWS and len(queue) <= 2 * MOST_ROWS and claim.called.calls < stop_at:
            start, stop = queue.pop(0)
            part = np.zeros(u.size)
            part[start:stop] = u[start:stop]
            pulled = claim.pull(part)
            if not self.off(part, pulled):
                continue
            if stop - start == 1:
                rows.append(start)
                continue
            middle = (start + stop) // 2
            queue += [(start, middle), (middle, stop)]
        return list(range(output.start, output.stop)) if queue else rows

    def off(self, cotangent: FloatArray, pulled: Blocks) -> bool:
        """Say whether a cotangent's product disagrees with the lines."""
        for line in self.study.measured:
            numerical = float(cotangent @ line.values)
            asked = cotangent != 0
            bar = norm(cotangent[asked] * line.bars[asked]) * 3 + 1e-14 * abs(numerical)
            if not within(inner(pulled, line.components) - numerical, bar):
                return True
        return False

    def row(self, row: int) -> Blocks:
        """Return the claim's row."""
        if row not in self.rows_of:
            self.rows_of[row] = self.claim.pull(np.eye(1, self.outputs.size, row)[0])
        return self.rows_of[row]

    def discrepancies(self, row: int) -> list[tuple[float, float, FloatArray]]:
        """Return, for each line, numerical minus claimed in a row, its bar, and the direction."""
        result = []
        for line in self.study.measured:
            value, bar = float(line.values[row]), float(line.bars[row])
            if not math.isfinite(bar):
                continue
            if not self.study.full:
                value -= inner(self.row(row), line.components)
            shapes = [block.size for block in self.study.problem.blocks]
            parts = [np.zeros(n) if part is None else part for part, n in zip(line.components, shapes, strict=True)]
            result.append((value, bar, np.concatenate(parts)))
        return result

    # -- entries -----------------------------------------------------------------------------------------------------

    def decode(self, rows: list[int], *, wrong: bool) -> list[int]:
        """Name the one faulty entry of each row; return the rows that have more."""
        unnamed = [row for row in rows if not any(self.measure_entry(row, column) for column in self.candidates(row))]
        return unnamed if wrong else []

    def candidates(self, row: int) -> list[int]:
        """Return the columns whose entries in two lines have the ratio of the row's discrepancies."""
        lines = sorted(self.discrepancies(row), key=lambda line: -abs(line[0]))
        if len(lines) < 2:
            return []
        (y1, b1, v1), (y2, b2, v2) = lines[:2]
        distance = np.abs(y1 * v2 - y2 * v1)
        bar = b1 * np.abs(v2) + b2 * np.abs(v1) + 1e-12 * np.abs(y1 * v2)
        with np.errstate(divide="ignore", invalid="ignore"):
            misfit = np.where((v1 != 0) & (v2 != 0), distance / bar, np.inf)
        order = np.argsort(misfit, kind="stable")[:MOST_CANDIDATES]
        return [int(c) for c in order if misfit[c] <= 1]

    def measure_entry(self, row: int, column: int) -> bool:
        """Measure one entry of J; keep it where it proves the claimed one wrong.

        It is wrong by itself where it is off by more than the tolerance, relatively, and by more than a thousandth of
        the tolerance times what the entries of its pair are, root mean square; both beside its error bar.
        """
        p, index = self.split(column)
        o = self.output_number(row)
        pair, claimed = self.study.pairs[o][p], self.claimed_entry(row, column)
        estimate = self.entry(row, column, claimed)
        if estimate is None:
            return False
        # What is zero but for the rounding of what else the product computes is no mistake.
        size = math.hypot(*(other.norm for other in self.study.pairs[o]))
        t = student_quantile(estimate.degrees_of_freedom, self.study.settings.alpha)
        bar = 3 * estimate.truncation_error + t * estimate.roundoff_error + CLAIM_ROUNDING * self.roundoff(o) * size
        bar += max(self.rounding_of(self.outputs.blocks[o]), pair.rounding) / pair.scale
        # Equal steps of a rounded function may show no noise at all, and neighbours that round to the same numbers less;
        # and what it changes by over the parameters' own scale is no slope where other lines show as much noise.
        bar += ALMOST * self.noise(row) / (min(estimate.step, 1.0) * pair.scale) if estimate.step > 0 else 0.0
        relative = pair.tolerance * (abs(claimed) + abs(claimed + estimate.value))
        if within(estimate.value, bar + max(relative, self.least(pair))):
            return False
        if not self.confirmed(row, column, claimed, estimate):
            return False
        self.keep(row, p, index, claimed, estimate, bar)
        return True

    def least(self, pair: Pair) -> float:
        """Return what an entry of a pair must be off by at least to be wrong by itself."""
        count = self.outputs.blocks[pair.output].size * self.study.problem.blocks[pair.block].size
        return BY_ITSELF * pair.tolerance * pair.norm / math.sqrt(max(count, 1))

    def claimed_entry(self, row: int, column: int) -> float:
        """Return A[row, column], from its row or its column."""
        p, index = self.split(column)
        if self.claim.rows_known:
            return float(self.row(row)[p][index])
        if column not in self.columns_of:
            parts: list[FloatArray | None] = [None] * len(self.study.problem.blocks)
            parts[p] = np.eye(1, self.study.problem.blocks[p].size, index)[0]
            self.columns_of[column] = self.claim.apply(tuple(parts))
        return float(self.columns_of[column][row])

    def confirmed(self, row: int, column: int, claimed: float, estimate: Estimate) -> bool:
        """Say whether steps of other lengths show the discrepancy of an entry, too; at an edge there are none."""
        if not estimate.method.startswith("central"):
            return True
        p, index = self.split(column)
        scale = self.study.scales[p]
        line = self.lines[column].viewed(EntryClaim(row, self.output_number(row), p, index, claimed))
        if self.stands_still(line, estimate.step) or (claimed == 0 and self.jumps(line, row)):
            return False
        seen = BlockReading(
            abs(estimate.value) * scale,
            estimate.truncation_error * scale,
            estimate.roundoff_error * scale,
            estimate.degrees_of_freedom,
            estimate.noise,
            estimate.step,
        )
        reader = LineReader([slice(0, 1)], self.study.settings.seed)
        values = np.array([estimate.value * scale])
        return two_witnesses(reader, line, 0, values, seen)

    def stands_still(self, line: Line, step: float) -> bool:
        """Say whether a row is the very same about the point, and moves further out: then nothing is known of its slope."""

        def moves(t: float) -> bool:
            return any(line.at(end) is not None and bool(line.change(end).any()) for end in (t, -t))

        return not moves(step) and moves(1.0)

    def jumps(self, line: Line, row: int) -> bool:
        """Say whether a row jumps between values that stand still: then its slope may be meant to be zero."""
        unit = UNIT_ROUNDOFF[self.study.output_precision(self.output_number(row))]
        rounding = unit * (abs(float(self.engine.base[row])) or 1.0)
        look_nearby(line, 0, rounding)
        return jumps_between_flats(line, 0, rounding)

    def entry(self, row: int, column: int, claimed: float) -> Estimate | None:
        """Measure the discrepancy of one entry; the evaluations serve all rows of its column."""
        p, index = self.split(column)
        scale = self.study.scales[p]
        claim = EntryClaim(row, self.output_number(row), p, index, claimed)
        if column not in self.lines:
            self.lines[column] = Line(self.engine, Coordinate(p, index, scale), claim, keep=True)
        line, pool = Projection(self.lines[column].viewed(claim), np.ones(1)), Pool()
        known, rounding = self.noise(row), 0.5 * line.unit_roundoff * abs(float(self.engine.base[row]))
        if known > ALMOST * rounding:
            pool.learn(known, rounding)
        estimate = careful_derivative(line, 1.0, target=self.enough(row, claimed) * scale, pool=pool)
        if estimate.kink is not None or not estimate.trusted or not math.isfinite(estimate.value):
            return None
        return replace(
            estimate,
            value=estimate.value / scale,
            truncation_error=estimate.truncation_error / scale,
            roundoff_error=estimate.roundoff_error / scale,
            error_bar=estimate.error_bar / scale,
        )

    def noise(self, row: int) -> float:
        """Return the standard deviation of one value of a row, as all lines have shown it."""
        o = self.output_number(row)
        output = self.outputs.blocks[o]
        floors = self.study.row_floors(np.abs(self.engine.base))[output.rows]
        noise = self.study.reader.pools[o].level(norm(floors))[0]
        return float(single_noise(np.array(noise / math.sqrt(output.size)), floors)[row - output.start])

    def enough(self, row: int, claimed: float) -> float:
        """Return the bar at which an entry is known well enough."""
        size = abs(claimed)
        if self.claim.rows_known:
            size = math.sqrt(sum(float(g @ g) for g in self.row(row)))
        return KNOWN * size

    def keep(self, row: int, p: int, index: int, claimed: float, estimate: Estimate, bar: float) -> None:
        """Record a faulty entry; its pair is wrong, whatever its norm hides, and off by this one at least."""
        pair = self.study.pairs[self.output_number(row)][p]
        block = self.study.problem.blocks[p]
        _, at = self.outputs.place(row)
        where = tuple(int(i) for i in np.unravel_index(index, block.shape)) if block.shape else ()
        name = self.study.name(pair)
        numerical = claimed + estimate.value
        entry = CoordinateResult(
            block=name, index=(*at, *where), claimed=claimed, numerical=numerical, error_bar=estimate.error_bar
        )
        if any(e.block == name and e.index == entry.index for e in self.found.entries):
            return
        self.found.entries.append(entry)
        pair.find(Finding("an entry", lower=abs(estimate.value) - bar, wrong=True))
        pair.wrong_entries += 1
        sparse = isinstance(self.claim, MatrixClaim) and self.claim.sparse
        missing = sparse and claimed == 0
        output_name = self.outputs.name_of(row)
        place = f"row {output_name}, column {block.name}{position(index, block.shape) if block.shape else ''}"
        seen = "is missing from the pattern" if missing else f"is claimed as {claimed:.6g}"
        self.found.diagnoses.append(
            Diagnosis(
                cause=Cause.PATTERN if missing else Cause.COORDINATES,
                block=name,
                where=place,
                sentence=f"The entry at {place} {seen}; measured, it is {numerical:.6g} ± {estimate.error_bar:.1g}.",
                remedy=f"add the entry {numerical:.6g} to the pattern"
                if missing
                else f"mend what computes this entry: {numerical:.6g}",
            )
        )

    def split(self, column: int) -> tuple[int, int]:
        """Return the block that a column belongs to, and the index there."""
        for p, block in enumerate(self.study.problem.blocks):
            if column < block.size:
                return p, column
            column -= block.size
        raise IndexError(column)

    def output_number(self, row: int) -> int:
        """Return the number of the output block that a row belongs to."""
        return next(o for o, block in enumerate(self.outputs.blocks) if block.start <= row < block.stop)

    # -- whole outputs -----------------------------------------------------------------------------------------------

    def say_rows(self, output: OutputBlock, rows: list[int]) -> None:
        names = [self.outputs.name_of(row) for row in rows]
        shown = f"{', '.join(names[:6])}{' …' if len(names) > 6 else ''}"
        self.found.notes.append(f"Faulty components of {output.name}: {shown}; the others agree with the function.")

    def whole_output(self, o: int, rows: list[int]) -> None:
        """An output that is wrong throughout: a factor, or what a random cotangent shows of it."""
        output = self.outputs.blocks[o]
        self.found.notes.append(
            f"{output.name} is wrong in many components"
            + (f", {self.outputs.name_of(rows[0])} among them." if rows else ".")
        )
        if not self.claim.rows_known:
            self.search_columns(o, rows)
        else:
            cotangent = np.zeros(self.outputs.size)
            generator = np.random.default_rng([self.study.settings.seed, 0x77686F6C65])
            cotangent[output.rows] = generator.standard_normal(output.size)
            self.delegate(self.outputs.rounded(cotangent), output.name, o, of_row=False)

    def search_columns(self, o: int, rows: list[int]) -> None:
        """Find the faulty columns of some rows by halving: lines within a block of the point, all rows at once."""
        study = self.study
        generator = np.random.default_rng([study.settings.seed, 0x636F6C])
        weights = np.zeros(self.outputs.size)
        weights[rows or self.outputs.blocks[o].rows] = generator.standard_normal(
            len(rows) or self.outputs.blocks[o].size
        )
        asked = weights != 0
        others = frozenset(range(len(self.outputs.blocks))) - {o}
        calibrations: dict[int, Calibration | None] = {}

        def measure(direction: BlockDirection) -> tuple[float, float]:
            line, calibration = study.line(direction), calibrations.get(direction.block)
            if calibration is None:
                targets = [0.0] * len(self.outputs.blocks)
                reading = study.reader.first(line, targets, scale=SHORT_OF_SCALE, without=others)
                calibrations[direction.block] = study.reader.calibration
            else:
                reading = study.reader.later(line, calibration=calibration, expect_zero=False, without=others)
            values, bars = reading.values[asked], reading.bars[asked]
            if not np.isfinite(values).all():
                return 0.0, math.inf
            return float(weights[asked] @ values), 3 * norm(weights[asked] * bars)

        for p, block in enumerate(study.problem.blocks):
            pair = study.pairs[o][p]
            if pair.verdict is not Verdict.WRONG:
                continue
            stream = study.next_streams()
            locator = Locator(measure, p, block.shape, pair.scale, seed=study.settings.seed, stream=stream)
            location = locator.run(BudgetSpent)
            if not location.complete:
                self.found.notes.append(f"The budget ended the search in {block.name}.")
            places = [_place(parts, block.shape) for parts in location.parts]
            if not places:
                continue
            shown = f"{', '.join(block.name + place for place in places[:6])}{' …' if len(places) > 6 else ''}"
            self.found.diagnoses.append(
                Diagnosis(
                    cause=Cause.SLICES,
                    block=study.name(pair),
                    where=shown,
                    sentence=f"The claimed derivative of {self.outputs.blocks[o].name} is wrong along {shown}; along the rest of {block.name} it agrees with the function.",
                    remedy=f"look at how {shown} enters the tangent",
                )
            )

    def delegate(self, cotangent: FloatArray, label: str, o: int, *, of_row: bool) -> None:
        """Examine u·F, a function with one output, with the gradient Aᵀu: by the same engine, pair by pair."""
        left = self.engine.budget - self.engine.evaluations
        if left < 2 * SMALLEST_BUDGET:
            self.found.notes.append("The budget ended before the causes were looked for.")
            return
        tolerance = max(pair.tolerance for pair in self.study.pairs[o])
        settings = replace(self.study.settings, strategy="auto", tolerance=tolerance)
        budget = self.engine.budget
        self.engine.budget = min(budget, self.engine.evaluations + MOST_DELEGATED)
        try:
            one = Study(self.engine, GradientClaim(self.claim.pull(cotangent), cotangent, o), settings)
            one.stream = self.study.next_streams(OWN_STREAMS)
            explanation = examine(one)
        except NonFiniteClaim as pair:
            self.found.notes.append(f"The search in {label} ended: the product of {pair} is not finite.")
            return
        finally:
            self.engine.budget = budget
        self.adopt(one, explanation, label, o, of_row=of_row)

    def adopt(self, one: Study, explanation: Explanation | None, label: str, o: int, *, of_row: bool) -> None:
        """Take over what an examination of one cotangent found, under names of output × parameter."""
        names = {pair.block: self.study.name(pair) for pair in self.study.pairs[o]}
        blocks = {block.name: names[p] for p, block in enumerate(self.study.problem.blocks)}
        known = self.adopt_entries(one, blocks) if of_row else {}
        for own in one.pairs[0]:
            pair = self.study.pairs[o][own.block]
            if own.verdict is not Verdict.WRONG:
                continue
            if of_row and own.lower > self.least(pair):
                pair.find(Finding("a row", lower=own.lower, wrong=True))
                pair.wrong_entries += max(own.wrong_entries - known.get(self.study.name(pair), 0), 0)
            elif not of_row:
                # ‖Rᵀu‖² of a normal u is at most ‖R‖²χ²₁, for any R.
                seen = own.lower / math.sqrt(chi_square_upper_quantile(1, self.study.settings.alpha))
                pair.find(Finding("a cotangent", lower=seen))
        if explanation is None:
            return
        output = self.outputs.blocks[o]
        about = label if of_row else f"u·{label} for a random cotangent u"
        self.found.notes += explanation.notes
        for d in explanation.diagnoses:
            block = blocks.get(d.block, f"{output.name} × {d.block}") if d.block else output.name
            self.found.diagnoses.append(replace(d, block=block, sentence=f"Seen in {about}: {d.sentence}"))

    def adopt_entries(self, one: Study, blocks: dict[str, str]) -> dict[str, int]:
        """List the entries of a row that were measured; return how many of each pair were listed before."""
        assert isinstance(one.claim, GradientClaim)  # noqa: S101  # a row is nothing else
        assert one.claim.weights is not None  # noqa: S101
        _, at = self.outputs.place(int(np.flatnonzero(one.claim.weights)[0]))
        listed = {(entry.block, entry.index) for entry in self.found.entries}
        known: dict[str, int] = {}
        for coordinate in coordinate_results(one):
            entry = replace(coordinate, block=blocks[coordinate.block], index=(*at, *coordinate.index))
            if (entry.block, entry.index) in listed:
                known[entry.block] = known.get(entry.block, 0) + 1
            else:
                self.found.entries.append(entry)
        return known


def _place(parts: tuple[Slab, ...], shape: tuple[int, ...]) -> str:
    """Write a product of slabs as an index: ``[2, :]``."""
    if not shape:
        return ""
    written = [":"] * len(shape)
    for slab in parts:
        axis = 0 if slab.axis is None else slab.axis
        written[axis] = str(slab.start) if slab.stop == slab.start + 1 else f"{slab.start}:{slab.stop}"
    return f"[{', '.join(written)}]"
