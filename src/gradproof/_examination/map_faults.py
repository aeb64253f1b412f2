"""After WRONG: which outputs, which parameters, which entries; and by which factor.

Rows are seen at once where a line shows the whole vector R v; else halving the cotangents' support finds them, by calls
of the VJP and no evaluation of the function, as J v is known from the lines. A row with one faulty entry c shows
y_i = r·v_ic on each line i: the ratio of two lines names c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from gradproof._evaluation.engine import BudgetSpent
from gradproof._evaluation.map_engine import Moved
from gradproof._evaluation.vector_lines import Projection, VectorLine
from gradproof._evidence.columns import CLAIM_ROUNDING
from gradproof._evidence.search import Locator
from gradproof._examination.examination import Examination
from gradproof._examination.map_examination import MapExamination
from gradproof._numerics.lines import careful_derivative
from gradproof._numerics.noise import Pool
from gradproof._numerics.statistics import student_quantile, within
from gradproof._problem.claims import Blocks, MatrixClaim, VjpClaim
from gradproof._problem.outputs import OutputBlock
from gradproof._problem.problem import Problem, position
from gradproof._words.directions import BlockDirection, Coordinate, Slab
from gradproof._words.errors import GradproofError
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Cause, CoordinateResult, Diagnosis, Estimate, Report, Verdict
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
    examination
        After its lines.
    """

    def __init__(self, examination: MapExamination) -> None:
        self.examination = examination
        self.engine = examination.engine
        self.outputs = examination.outputs
        self.claim = examination.claim
        self.found = Faults([], [], [])
        self.rows_of: dict[int, Blocks] = {}
        self.columns_of: dict[int, FloatArray] = {}
        self.vector_lines: dict[int, VectorLine] = {}

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
            wrong = any(pair.verdict is Verdict.WRONG for pair in self.examination.pairs[o])
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
        if not self.examination.measured:
            return []
        if not self.examination.full:
            return self.halve(output)
        worst = np.zeros(output.size)
        for line in self.examination.measured:
            off, bars = np.abs(line.values[output.rows]), line.bars[output.rows]
            limit = bars
            if masked:
                assert isinstance(self.claim, MatrixClaim)  # noqa: S101  # asked for these only
                largest = max(float(np.max(np.abs(part), initial=0.0)) for part in line.components if part is not None)
                tolerance = max(p.tolerance for p in self.examination.pairs[self.outputs.blocks.index(output)])
                norms = self.claim.row_norms()[output.rows]
                # A row that is zero but for the rounding of what else the product computes is no mistake.
                rounding = (
                    CLAIM_ROUNDING * UNIT_ROUNDOFF[self.examination.precision] * float(np.max(norms, initial=0.0))
                )
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
        return float(CLAIM_ROUNDING * UNIT_ROUNDOFF[self.examination.precision] * norm(self.engine.base[output.rows]))

    def halve(self, output: OutputBlock) -> list[int]:
        """Find faulty rows by restricting a cotangent to them; more than a few mean that the output is wrong throughout."""
        claim = self.claim
        assert isinstance(claim, VjpClaim)  # noqa: S101  # the only claim without columns
        u = claim.random(
            np.random.default_rng([self.examination.settings.seed, 0x68616C66]), self.outputs.blocks.index(output)
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
        for line in self.examination.measured:
            numerical = float(cotangent @ line.values)
            bar = float(np.linalg.norm(cotangent * line.bars)) * 3 + 1e-14 * abs(numerical)
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
        for line in self.examination.measured:
            value, bar = float(line.values[row]), float(line.bars[row])
            if not self.examination.full:
                value -= inner(self.row(row), line.components)
            shapes = [block.size for block in self.examination.problem.blocks]
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
        """Measure one entry of J; keep it where it proves the claimed one wrong."""
        p, index = self.split(column)
        claimed = self.claimed_entry(row, column)
        estimate = self.entry(row, column, claimed)
        if estimate is None:
            return False
        tolerance = self.examination.pairs[self.output_number(row)][p].tolerance
        # What is zero but for the rounding of what else the product computes is no mistake.
        size = math.hypot(*(pair.norm for pair in self.examination.pairs[self.output_number(row)]))
        roundoff = UNIT_ROUNDOFF[self.examination.precision]
        t = student_quantile(estimate.degrees_of_freedom, self.examination.settings.alpha)
        bar = 3 * estimate.truncation_error + t * estimate.roundoff_error + CLAIM_ROUNDING * roundoff * size
        output = self.outputs.blocks[self.output_number(row)]
        bar += self.rounding_of(output) / self.examination.plain_scales[p]
        numerical = claimed + estimate.value
        if within(estimate.value, max(bar, tolerance * (abs(claimed) + abs(numerical)))):
            return False
        self.keep(row, p, index, claimed, estimate)
        return True

    def claimed_entry(self, row: int, column: int) -> float:
        """Return A[row, column], from its row or its column."""
        p, index = self.split(column)
        if self.claim.rows_known:
            return float(self.row(row)[p][index])
        if column not in self.columns_of:
            parts: list[FloatArray | None] = [None] * len(self.examination.problem.blocks)
            parts[p] = np.eye(1, self.examination.problem.blocks[p].size, index)[0]
            self.columns_of[column] = self.claim.apply(tuple(parts))
        return float(self.columns_of[column][row])

    def entry(self, row: int, column: int, claimed: float) -> Estimate | None:
        """Measure the discrepancy of one entry; the evaluations serve all rows of its column."""
        p, index = self.split(column)
        scale = self.examination.plain_scales[p]
        if column not in self.vector_lines:
            components = self.engine.components(Coordinate(p, index, scale))
            self.vector_lines[column] = VectorLine(self.engine, components, _nothing)
        line = self.vector_lines[column]
        base = abs(float(self.engine.base[row]))

        def view(moved: Moved, t: float) -> tuple[FloatArray, FloatArray]:
            del t
            part = moved.displacement[p]
            assert moved.change is not None  # noqa: S101  # failures are not viewed
            change = 0.0 if part is None else claimed * float(part[index])
            value = float(moved.change[row])
            return np.array([value - change]), np.array([max(base, base + abs(value), abs(change))])

        line.view = view
        line.seen = {t: None if moved.change is None else view(moved, t) for t, moved in line.raw.items()}
        roundoff = UNIT_ROUNDOFF[self.examination.precision]
        estimate = careful_derivative(
            Projection(line, np.ones(1), roundoff), 1.0, target=self.enough(row, claimed) * scale, pool=Pool()
        )
        if estimate.kink is not None or not estimate.trusted or not math.isfinite(estimate.value):
            return None
        return replace(
            estimate,
            value=estimate.value / scale,
            truncation_error=estimate.truncation_error / scale,
            roundoff_error=estimate.roundoff_error / scale,
            error_bar=estimate.error_bar / scale,
        )

    def enough(self, row: int, claimed: float) -> float:
        """Return the bar at which an entry is known well enough."""
        size = abs(claimed)
        if self.claim.rows_known:
            size = math.sqrt(sum(float(g @ g) for g in self.row(row)))
        return KNOWN * size

    def keep(self, row: int, p: int, index: int, claimed: float, estimate: Estimate) -> None:
        """Record a faulty entry; its pair is wrong, whatever its norm hides."""
        o = self.output_number(row)
        pair = self.examination.pairs[o][p]
        block = self.examination.problem.blocks[p]
        output, at = self.outputs.place(row)
        where = tuple(int(i) for i in np.unravel_index(index, block.shape)) if block.shape else ()
        name = f"{output.name} × {block.name}"
        numerical = claimed + estimate.value
        entry = CoordinateResult(
            block=name, index=(*at, *where), claimed=claimed, numerical=numerical, error_bar=estimate.error_bar
        )
        if any(e.block == name and e.index == entry.index for e in self.found.entries):
            return
        self.found.entries.append(entry)
        pair.verdict, pair.reason = Verdict.WRONG, None
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
        for p, block in enumerate(self.examination.problem.blocks):
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
            generator = np.random.default_rng([self.examination.settings.seed, 0x77686F6C65])
            cotangent[output.rows] = generator.standard_normal(output.size)
            self.delegate(self.outputs.rounded(cotangent), output.name, o, of_row=False)

    def search_columns(self, o: int, rows: list[int]) -> None:
        """Find the faulty columns of some rows by halving: lines within a block of the point, all rows at once."""
        examination = self.examination
        generator = np.random.default_rng([examination.settings.seed, 0x636F6C])
        weights = np.zeros(self.outputs.size)
        weights[rows or self.outputs.blocks[o].rows] = generator.standard_normal(
            len(rows) or self.outputs.blocks[o].size
        )

        def measure(direction: BlockDirection) -> tuple[float, float]:
            components = self.engine.components(direction)
            line = VectorLine(self.engine, components, examination.view(components))
            reading = examination.reader.read_where_it_can(line, examination.reader.step)
            if reading is None:
                return 0.0, math.inf
            return float(weights @ reading.values), 3 * float(np.linalg.norm(weights * reading.bars))

        for p, block in enumerate(examination.problem.blocks):
            if examination.pairs[o][p].verdict is not Verdict.WRONG:
                continue
            scale = examination.plain_scales[p]
            locator = Locator(measure, p, block.shape, scale, seed=examination.settings.seed, stream=500_000 + 1000 * p)
            location = locator.run(BudgetSpent)
            if not location.complete:
                self.found.notes.append(f"The budget ended the search in {block.name}.")
            places = [_place(parts, block.shape) for parts in location.parts]
            if not places:
                continue
            shown = f"{', '.join(block.name + place for place in places[:6])}{' …' if len(places) > 6 else ''}"
            name = f"{self.outputs.blocks[o].name} × {block.name}"
            self.found.diagnoses.append(
                Diagnosis(
                    cause=Cause.SLICES,
                    block=name,
                    where=shown,
                    sentence=f"The claimed derivative of {self.outputs.blocks[o].name} is wrong along {shown}; along the rest of {block.name} it agrees with the function.",
                    remedy=f"look at how {shown} enters the tangent",
                )
            )

    def delegate(self, cotangent: FloatArray, label: str, o: int, *, of_row: bool) -> None:
        """Examine the scalar function u·F with the gradient Aᵀ u: its search and its diagnosis are those of a cost."""
        left = int(min(self.engine.budget - self.engine.evaluations, 600))
        if left < 2 * SMALLEST_BUDGET:
            self.found.notes.append("The budget ended before the causes were looked for.")
            return
        problem, pairs = self.engine.problem, self.examination.pairs[o]
        size = float(np.linalg.norm(cotangent))
        kind = np.float32 if self.outputs.blocks[o].dtype == "float32" else np.float64

        def cost(point: Any) -> Any:
            return kind(cotangent @ self.outputs.vector(problem.cost(point), "function(point)"))

        pulled = self.claim.pull(cotangent)
        settings = replace(
            self.examination.settings, budget=left, strategy="auto", tolerance=max(p.tolerance for p in pairs)
        )
        try:
            scalar = Problem(cost, problem.point, problem.assembled(pulled), only=[b.name for b in problem.blocks])
            examination = Examination(scalar, settings)
            examination.begin()
            report = examination.run()
        except GradproofError as error:
            self.found.notes.append(f"The search in {label} ended: {error.seen}.")
            return
        self.engine.evaluations += report.evaluations
        if report.verdict is Verdict.WRONG and size > 0:
            self.adopt(report, label, o, of_row=of_row)

    def adopt(self, report: Report, label: str, o: int, *, of_row: bool) -> None:
        """Take over what an examination of one cotangent found, under names of output × parameter."""
        names = [block.name for block in self.examination.problem.blocks]
        output = self.outputs.blocks[o]
        for block in report.blocks:
            pair = self.examination.pairs[o][names.index(block.name)]
            if block.verdict is Verdict.WRONG and (of_row or pair.verdict is not Verdict.CORRECT):
                pair.verdict, pair.reason = Verdict.WRONG, None
                pair.wrong_entries += block.wrong_coordinates if of_row else 0
        about = label if of_row else f"u·{label} for a random cotangent u"
        for d in report.diagnoses:
            block_name = f"{output.name} × {d.block}" if d.block else output.name
            self.found.diagnoses.append(replace(d, block=block_name, sentence=f"Seen in {about}: {d.sentence}"))
        if of_row:
            _, at = self.outputs.place(
                next(r for r in range(output.start, output.stop) if self.outputs.name_of(r) == label)
            )
            self.found.entries += [
                replace(c, block=f"{output.name} × {c.block}", index=(*at, *c.index)) for c in report.coordinates
            ]


def _nothing(moved: Moved, t: float) -> tuple[FloatArray, FloatArray]:
    """See nothing yet: what is looked at changes from entry to entry."""
    del moved, t
    return np.zeros(0), np.zeros(0)


def _place(parts: tuple[Slab, ...], shape: tuple[int, ...]) -> str:
    """Write a product of slabs as an index: ``[2, :]``."""
    if not shape:
        return ""
    written = [":"] * len(shape)
    for slab in parts:
        axis = 0 if slab.axis is None else slab.axis
        written[axis] = str(slab.start) if slab.stop == slab.start + 1 else f"{slab.start}:{slab.stop}"
    return f"[{', '.join(written)}]"
