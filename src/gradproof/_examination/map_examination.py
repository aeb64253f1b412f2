"""One check of a function with many outputs at one point: lines, certificate, verdicts on output × parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np

from gradproof._evaluation.engine import BudgetSpent
from gradproof._evaluation.map_engine import MapEngine, Moved
from gradproof._evaluation.vector_lines import VectorLine, View
from gradproof._evidence.certificate import group_blocks
from gradproof._evidence.decision import Member
from gradproof._evidence.line_reader import Known, LineReader
from gradproof._evidence.matrix_evidence import MatrixEvidence, Pair
from gradproof._evidence.nearby import Nearby
from gradproof._evidence.vector_tables import LineReading
from gradproof._evidence.zero import AGAIN, NEARBY, NEGLIGIBLE, ROUNDED, rounding_note
from gradproof._problem.claims import Claim, MatrixClaim, VjpClaim
from gradproof._problem.scales import block_scales
from gradproof._words.directions import RandomDirection
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Reason, Verdict
from gradproof._words.settings import DEFAULT_TOLERANCES, HIGHEST_TOLERANCES, Settings
from gradproof._words.vectors import Components, FloatArray, norm

MOST_LINES: Final = 12
"""Lines of one group of blocks; what they leave open is asked block by block."""
LINES_ALONE: Final = 8
"""Lines restricted to one block of the point after which it stays undecided."""
MORE_COTANGENTS: Final = 48
MORE_LINES: Final = 24
"""Cotangents and lines that what is left open is asked with: four bound a residual at 60 times its size or worse,
however many lines there are; so many, at 4 times."""
CHUNK: Final = 65536
"""Entries above which a matrix is gone through a row at a time, so that no further one of its size is made."""


class NonFiniteClaim(Exception):  # the sentence's subject; never leaves the library
    """The claim is finite for one cotangent or tangent, and not for another; of which pair."""


class Measured:
    """One line that was measured: its direction's arrays, and the whole J v or R v with its bars, once it is asked for.

    Parameters
    ----------
    components
        v.
    reading
        What was read: (J − A) v in all rows, or its products with the cotangents.
    whole
        Works out J v or R v in all rows, and its bars.
    """

    def __init__(
        self, components: Components, reading: LineReading, whole: Callable[[], tuple[FloatArray, FloatArray]]
    ) -> None:
        self.components = components
        self.discrepancies, self.discrepancy_bars = reading.values, reading.bars
        self._whole = whole

    def within(self, block: int) -> bool:
        """Say whether the direction lies in one block of the point alone."""
        return [k for k, part in enumerate(self.components) if part is not None] == [block]

    @cached_property
    def whole(self) -> tuple[FloatArray, FloatArray]:
        """J v or R v in all rows, and its bars."""
        return self._whole()

    @property
    def values(self) -> FloatArray:
        """J v where products with cotangents are seen, R v where whole vectors are."""
        return self.whole[0]

    @property
    def bars(self) -> FloatArray:
        """How far each row may be off."""
        return self.whole[1]


class MapExamination:
    """Certifies one claim.

    Parameters
    ----------
    engine
        The function; the point has been evaluated.
    claim
        A.
    settings
        As given.
    """

    def __init__(self, engine: MapEngine, claim: Claim, settings: Settings) -> None:
        self.engine = engine
        self.problem = engine.problem
        self.outputs = engine.outputs
        self.claim = claim
        self.settings = settings
        self.full = claim.columns_known
        self.notes: list[str] = []
        self.measured: list[Measured] = []
        self.lines = 0
        self.stream = 0
        self.spent = False
        self.failed = False
        self.precision = self._precision()
        self.count = claim.count if isinstance(claim, VjpClaim) else 0
        self.reader = self._reader()
        self.evidences: list[MatrixEvidence] = []
        self.roundoff = UNIT_ROUNDOFF[self.precision]
        self.values = [float(np.linalg.norm(self.engine.base[block.rows])) for block in self.outputs.blocks]
        self.nearby = Nearby(self.outputs.blocks, [ROUNDED * self.roundoff * v for v in self.values], self.roundoff)
        self._prepare()

    # -- what is known before a line ---------------------------------------------------------------------------------

    def _precision(self) -> str:
        kinds = {block.dtype for block in self.outputs.blocks} | {block.dtype for block in self.problem.blocks}
        return max(kinds, key=lambda kind: UNIT_ROUNDOFF[kind])

    def _reader(self) -> LineReader:
        if self.full:
            rows = [block.rows for block in self.outputs.blocks]
        else:
            rows = [slice(self.count * o, self.count * (o + 1)) for o in range(len(self.outputs.blocks))]
        return LineReader(rows, UNIT_ROUNDOFF[self.precision], self.settings.seed)

    def _prepare(self) -> None:
        """Measure the claim's norms, choose scales and tolerances."""
        low, middle, high = self.claim.norms(self.settings.alpha)
        self.refuse_non_finite(middle)
        # What is chosen here depends on no cotangent that certifies.
        apart = self.claim.apart if isinstance(self.claim, VjpClaim) else middle
        plain = block_scales(self.problem, list(np.sqrt(np.sum(apart**2, axis=0))[:, None]))
        weights = apart * np.array(plain)
        largest = np.max(weights, axis=1, initial=0.0)
        limit = UNIT_ROUNDOFF[self.precision] ** NEGLIGIBLE
        self.pairs = [
            [
                Pair(
                    o,
                    p,
                    float(low[o, p]),
                    float(middle[o, p]),
                    float(high[o, p]),
                    bool(
                        apart[o, p] == 0
                        or weights[o, p] <= max(limit * float(largest[o]), ROUNDED * self.roundoff * self.values[o])
                    ),
                    self.first_tolerance(o, p),
                )
                for p in range(middle.shape[1])
            ]
            for o in range(middle.shape[0])
        ]
        # Outputs of different units weigh alike in the choice of the displacements.
        relative = apart / np.where(largest > 0, largest, 1.0)[:, None]
        norms = np.sqrt(np.sum(relative**2, axis=0)).tolist()
        self.plain_scales = plain
        self.groups = group_blocks(plain, norms, [n == 0 for n in norms])

    def refuse_non_finite(self, norms: FloatArray) -> None:
        """Raise where a claim is not finite for some cotangent.

        Raises
        ------
        NonFiniteClaim
        """
        if math.isfinite(norms.sum()):
            return
        for o, p in np.argwhere(~np.isfinite(norms)):
            raise NonFiniteClaim(f"{self.outputs.blocks[o].name} × {self.problem.blocks[p].name}")

    def refine(self) -> None:
        """Know the claim's norms better, once, where what was known of them does not decide."""
        better = self.claim.refine(self.settings.alpha)
        if better is None:
            return
        low, middle, high = better
        self.refuse_non_finite(middle)
        for o, row in enumerate(self.pairs):
            for p, pair in enumerate(row):
                pair.low, pair.norm = max(pair.low, float(low[o, p])), float(middle[o, p])
                pair.high = min(pair.high, float(high[o, p]))

    def first_tolerance(self, o: int, p: int) -> float:
        """Return the tolerance given, or the default of the lower of both precisions."""
        if self.settings.tolerance is not None:
            return self.settings.tolerance
        return max(DEFAULT_TOLERANCES[self.outputs.blocks[o].dtype], DEFAULT_TOLERANCES[self.problem.blocks[p].dtype])

    def highest(self, pair: Pair) -> float:
        """Return up to where a tolerance may be raised."""
        kinds = self.outputs.blocks[pair.output].dtype, self.problem.blocks[pair.block].dtype
        return max(HIGHEST_TOLERANCES[kind] for kind in kinds)

    # -- views of a displaced evaluation -----------------------------------------------------------------------------

    def view(self, components: Components) -> View:
        """Return how to see discrepancies along a direction: whole vectors, or products with the cotangents."""
        return self._whole_view(components) if self.full else self._contracted_view()

    def _whole_view(self, components: Components) -> View:
        base = np.abs(self.engine.base)
        # A function is called for each displacement only where the displacement that was made differs from t v.
        exact = isinstance(self.claim, MatrixClaim) or any(b.dtype != "float64" for b in self.problem.blocks)
        product = None if exact else self.claim.apply(components)

        def view(moved: Moved, t: float) -> tuple[FloatArray, FloatArray]:
            assert moved.change is not None  # noqa: S101  # failures are not viewed
            if t == 0:
                claimed = np.zeros(base.size)
            elif product is not None:
                claimed = t * product
            else:
                scaled = tuple(None if part is None else part / t for part in moved.displacement)
                claimed = t * self.claim.apply(scaled)
            return moved.change - claimed, np.maximum(np.maximum(base, np.abs(moved.change)), np.abs(claimed))

        return view

    def _contracted_view(self) -> View:
        claim = self.claim
        assert isinstance(claim, VjpClaim)  # noqa: S101  # the only claim without columns
        base = np.abs(self.engine.base)
        parts = [
            (block.rows, u, np.square(u) if u.size <= CHUNK else None, g)
            for block, u, g in zip(self.outputs.blocks, claim.cotangents, claim.pulled, strict=True)
        ]

        def view(moved: Moved, t: float) -> tuple[FloatArray, FloatArray]:
            del t
            change = moved.change
            assert change is not None  # noqa: S101  # failures are not viewed
            size = np.abs(change)
            np.maximum(base, size, out=size)
            seen = [
                _contracted(u, squares, g, change[rows], size[rows], moved.displacement)
                for rows, u, squares, g in parts
            ]
            if len(seen) == 1:
                return seen[0]
            return np.concatenate([values for values, _ in seen]), np.concatenate([rounding for _, rounding in seen])

        return view

    # -- lines -------------------------------------------------------------------------------------------------------

    def measure(self, members: list[Member], without: frozenset[int]) -> LineReading | None:
        """Measure one more line in some blocks of the point, for all outputs but some; None where it cannot be used."""
        scales = [0.0] * len(self.problem.blocks)
        for member in members:
            scales[member.block] = member.scale
        self.stream += 1
        direction = RandomDirection(self.settings.seed, self.stream, tuple(scales))
        components = self.engine.components(direction)
        line = VectorLine(self.engine, components, self.view(components))
        if self.reader.step == 0:
            reading = self._first(line, members)
        else:
            reading = self.reader.settle(line, partial=True, without=without)
        if reading is None:
            return None
        self.lines += 1
        changes = {t: line.raw[t].change for form in reading.forms for t in form.steps}
        if any(pair.zero for row in self.pairs for pair in row):
            self.nearby.take(line, [t for t in changes if t != 0])
        found = Measured(components, reading, lambda: self.whole(changes, reading))
        if self.outputs.size > CHUNK:
            whole = found.whole
            found = Measured(components, reading, lambda: whole)  # without all that it was worked out from
        self.measured.append(found)
        return reading

    def _first(self, line: VectorLine, members: list[Member]) -> LineReading | None:
        count = len(self.outputs.blocks)
        sizes = np.zeros(count)
        for o in range(count):
            claimed = [m.scale * self.pairs[o][m.block].norm for m in members]
            sizes[o] = math.hypot(*claimed) * math.sqrt(max(self.count, 1))
        if not np.any(sizes > 0):
            sizes[:] = [float(np.linalg.norm(self.engine.base[b.rows])) or 1.0 for b in self.outputs.blocks]
        sizes = np.where(sizes > 0, sizes, np.max(sizes))
        tolerance = min(pair.tolerance for row in self.pairs for pair in row)
        reading, _ = self.reader.first(line, sizes, 2 * tolerance * 2 / 1.4e3, partial=True)
        return reading

    def whole(self, changes: Mapping[float, FloatArray | None], reading: LineReading) -> tuple[FloatArray, FloatArray]:
        """Return R v with its bars where whole vectors are seen, else J v with bars: all rows."""
        if self.full:
            return reading.values, reading.bars
        values, bars = np.zeros(self.outputs.size), np.zeros(self.outputs.size)
        lost = dict(reading.lost)
        for k, (block, form) in enumerate(zip(self.outputs.blocks, reading.forms, strict=True)):
            size = np.abs(self.engine.base[block.rows])
            for weight, t in zip(form.weights, form.steps, strict=True):
                change = changes[t]
                assert change is not None  # noqa: S101  # all of them were read
                values[block.rows] += weight * change[block.rows]
                np.maximum(size, np.abs(change[block.rows]), out=size)
            each = reading.blocks[k]
            shared = (each.truncation + 10 * each.spread) / math.sqrt(self.count * max(block.size, 1))
            bars[block.rows] = 15 * math.hypot(*form.weights) * UNIT_ROUNDOFF[block.dtype] * size + shared
            if k in lost:
                bars[block.rows] = math.inf
        return values, bars

    def seen(self, line: Measured, o: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return what a line shows of an output: what is claimed, the discrepancy from it, and how far that may be off.

        They are its rows of A v and (J − A) v, or products of these with the cotangents.
        """
        if self.full:
            rows = self.outputs.blocks[o].rows
            return self.claim.apply(line.components)[rows], line.discrepancies[rows], line.discrepancy_bars[rows]
        claim, rows = self.claim, slice(self.count * o, self.count * (o + 1))
        assert isinstance(claim, VjpClaim)  # noqa: S101  # the only claim without columns
        pairs = zip(claim.pulled[o], line.components, strict=True)
        claimed = sum((each @ part for each, part in pairs if part is not None), np.zeros(self.count))
        return claimed, line.discrepancies[rows], line.discrepancy_bars[rows]

    def sharpen(self, pair: Pair) -> None:
        """Estimate D of a wrong pair by the same lines on both sides, so that their chance cancels."""
        seen = [self.seen(line, pair.output) for line in self.measured if line.within(pair.block)]
        if pair.verdict is not Verdict.WRONG or pair.zero or not seen:
            return
        claimed = math.hypot(*(norm(a) for a, _, _ in seen))
        numerical = math.hypot(*(norm(a + d) for a, d, _ in seen))
        middle = math.hypot(*(norm(d) for _, d, _ in seen)) / (claimed + numerical)
        difference = pair.difference
        pair.difference = replace(difference, estimate=min(max(middle, difference.lower), difference.upper))

    # -- certificate -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Certify all pairs, as far as the budget goes."""
        share = 1.0 - AGAIN - (AGAIN if self.more_cotangents() else 0.0)
        known = self.certify_groups(self.groups, share)
        open_ = [
            members
            for members in self.groups
            if any(row[m.block].reason in {Reason.NOISE, Reason.BORDER} for row in self.pairs for m in members)
        ]
        pairs = [pair for row in self.pairs for pair in row]
        if (
            open_
            and self.more_cotangents()
            and not self.spent
            and all(pair.verdict is not Verdict.WRONG for pair in pairs)
        ):
            self.ask_again(open_)
            known = self.certify_groups(open_, AGAIN) or known
        rounding = self.reconsider()
        if rounding:
            again = [[m for m in members if m.block in rounding] for members in self.groups]
            known = self.certify_groups([members for members in again if members], AGAIN) or known
        if known is not None:
            self.reader.known = known  # single columns are measured by what the largest changes have shown
        for row in self.pairs:
            for pair in row:
                self.sharpen(pair)
                if pair.verdict is None:
                    pair.verdict = Verdict.INCONCLUSIVE
                if pair.verdict is Verdict.INCONCLUSIVE and pair.reason not in {Reason.KINK, Reason.DOMAIN}:
                    pair.reason = Reason.BUDGET if self.spent else pair.reason or Reason.NOISE
        self.reader.kink = any(pair.reason is Reason.KINK for row in self.pairs for pair in row)
        self.failed = any(pair.reason is Reason.DOMAIN for row in self.pairs for pair in row)

    @property
    def base_is_small(self) -> bool:
        """Some output is less than what the claim says it changes by over the parameters' scale: at a minimum, perhaps."""
        return any(
            self.values[pair.output] < self.plain_scales[pair.block] * pair.norm for row in self.pairs for pair in row
        )

    def reconsider(self) -> frozenset[int]:
        """Count claims as zero that are nothing beside what their output does nearby; return the blocks they are of.

        At a minimum a gradient is the rounding of its own terms, and the cost itself too small to judge it by.
        """
        open_ = [pair for row in self.pairs for pair in row if pair.verdict is not Verdict.CORRECT and not pair.zero]
        scales = [0.0] * len(self.problem.blocks)
        for pair in open_:
            scales[pair.block] = self.plain_scales[pair.block]
        if not open_:
            return frozenset()
        self.stream += 1
        components = self.engine.components(RandomDirection(self.settings.seed, self.stream, tuple(scales)))
        try:
            changes = [self.engine.evaluate(components, t).change for t in (NEARBY, -NEARBY)]
        except BudgetSpent:
            return frozenset()
        sizes = [
            max((norm(change[block.rows]) for change in changes if change is not None), default=0.0)
            for block in self.outputs.blocks
        ]
        limit = self.roundoff**NEGLIGIBLE
        found = set[int]()
        for pair in open_:
            if scales[pair.block] * pair.norm * NEARBY <= limit * sizes[pair.output]:
                pair.zero, pair.verdict, pair.reason = True, None, None
                pair.tolerance = self.first_tolerance(pair.output, pair.block)
                found.add(pair.block)
        for pair in open_:
            if pair.zero and all(other.zero for other in self.pairs[pair.output]):
                pair.share = sizes[pair.output] / NEARBY
        if found:
            names = [
                f"{self.outputs.blocks[pair.output].name} × {self.problem.blocks[pair.block].name}"
                for pair in open_
                if pair.zero
            ]
            self.notes.append(rounding_note(names, "function"))
        return frozenset(found)

    def certify_groups(self, groups: list[list[Member]], share: float) -> Known | None:
        """Certify groups of blocks; return what the first one that could be read has taught."""
        alpha = share * self.settings.alpha / (len(self.outputs.blocks) * len(self.groups))
        known: Known | None = None
        for members in groups:
            try:
                self.certify(members, alpha)
            except BudgetSpent:
                self.spent = True
            if known is None and self.reader.step > 0:
                known = self.reader.known
        return known

    def more_cotangents(self) -> bool:
        """Say whether a second look with more cotangents would tell more: few of them limit every bound."""
        claim = self.claim
        return isinstance(claim, VjpClaim) and claim.count < MORE_COTANGENTS

    def ask_again(self, groups: list[list[Member]]) -> None:
        """Draw fresh cotangents, more of them, for the pairs that the first ones left open."""
        claim = self.claim
        assert isinstance(claim, VjpClaim)  # noqa: S101  # there is nothing to draw otherwise
        claim.count = self.count = MORE_COTANGENTS
        low, middle, high = claim.norms(AGAIN * self.settings.alpha)
        remeasured = self.reader.remeasured
        self.reader = self._reader()
        self.reader.remeasured = remeasured
        self.measured.clear()  # products with the cotangents before
        for row in self.pairs:
            for pair in row:
                if pair.verdict is Verdict.INCONCLUSIVE and any(m.block == pair.block for g in groups for m in g):
                    pair.tolerance = self.first_tolerance(pair.output, pair.block)
                    where = pair.output, pair.block
                    pair.low, pair.norm, pair.high = float(low[where]), float(middle[where]), float(high[where])

    def reason(self, known: Reason | None) -> Reason:
        """Say why a pair stayed undecided."""
        if self.reader.kink:
            return Reason.KINK
        if self.failed:
            return Reason.DOMAIN
        return Reason.BUDGET if self.spent else known or Reason.NOISE

    def excuse(self, hidden: float) -> frozenset[str]:
        """Leave open what a claim that differs from call to call by so much hides; return the names of those pairs."""
        excused = set[str]()
        for row in self.pairs if hidden > 0 else ():
            for pair in row:
                open_ = pair.verdict is Verdict.WRONG or pair.reason in {Reason.NOISE, Reason.BORDER, Reason.CLAIM}
                if open_ and pair.difference.estimate <= hidden:
                    pair.verdict, pair.reason, pair.wrong_entries = Verdict.INCONCLUSIVE, Reason.CLAIM, 0
                    excused.add(f"{self.outputs.blocks[pair.output].name} × {self.problem.blocks[pair.block].name}")
        return frozenset(excused)

    def certify(self, members: list[Member], alpha: float) -> None:
        """Certify one group of blocks for all outputs; then, block by block, what that left open."""
        evidences = [self.evidence(o, members, alpha) for o in range(len(self.outputs.blocks))]
        self.evidences += evidences
        try:
            self.gather(members, evidences, MOST_LINES if self.count != MORE_COTANGENTS else MORE_LINES)
        finally:
            for evidence in evidences:
                evidence.conclude()
        if len(members) == 1:
            return
        each = alpha / len(members)
        for member in members:
            # A kink in one block of the point says nothing of the others.
            open_ = [e for e in evidences if self.pairs[e.pairs[0].output][member.block].verdict is not Verdict.CORRECT]
            if not open_:
                continue
            own = [self.evidence(e.pairs[0].output, [member], each) for e in open_]
            try:
                self.gather([member], own, LINES_ALONE)
            finally:
                for evidence in own:
                    if evidence.lines or evidence.lost:
                        evidence.conclude()

    def evidence(self, o: int, members: list[Member], alpha: float) -> MatrixEvidence:
        pairs = [self.pairs[o][m.block] for m in members]
        return MatrixEvidence(pairs, [m.scale for m in members], alpha, self.count)

    def gather(self, members: list[Member], evidences: list[MatrixEvidence], most: int) -> None:
        """Measure lines until every evidence is settled, or cannot be by more of them."""
        self.reader.begin()
        asked = {e.pairs[0].output for e in evidences}
        without = frozenset(range(len(self.outputs.blocks))) - asked
        for m in range(most):
            reading = self.measure(members, without)
            for evidence in evidences:
                evidence.lost = evidence.lost or self.reader.lost.get(evidence.pairs[0].output)
            without |= set(self.reader.lost)
            if reading is None:
                return
            going = [e for e in evidences if e.lost is None]
            for evidence in going:
                evidence.lines.append(reading.blocks[evidence.pairs[0].output])
                self.share(evidence)
            if m == 0:
                continue
            if all(e.certified() for e in going):
                return
            self.refine()
            if all(e.settled() for e in going):
                return
            self.raise_tolerances(going)
            if all(e.settled() or (m >= 2 and e.hopeless(most)) for e in going):
                return

    def share(self, evidence: MatrixEvidence) -> None:
        """Judge claims of zero by the largest change of their output; by its rounding where it hardly changes."""
        claimed = [a * p.norm for p, a in zip(evidence.pairs, evidence.scales, strict=True) if not p.zero]
        o = evidence.pairs[0].output
        everything = [s * p.norm for s, p in zip(self.plain_scales, self.pairs[o], strict=True) if not p.zero]
        share = max(claimed, default=0.0) or max([*everything, 0.0]) or self.nearby.slopes[o]
        for pair in evidence.pairs:
            if pair.zero:
                hidden = (
                    evidence.upper() / pair.tolerance if len(evidence.lines) > 1 and self.nearby.constant(o) else 0.0
                )
                pair.share = max(share, hidden) if not everything else share

    def raise_tolerances(self, evidences: list[MatrixEvidence]) -> None:
        """Raise tolerances that were not given to what the noise can resolve."""
        if self.settings.tolerance is not None:
            return
        for evidence in evidences:
            for pair, scale in zip(evidence.pairs, evidence.scales, strict=True):
                pair.tolerance = evidence.raised_tolerance(pair, scale, self.highest(pair))


def _contracted(
    cotangents: FloatArray,
    squares: FloatArray | None,
    pulled: list[FloatArray],
    change: FloatArray,
    size: FloatArray,
    displacement: Components,
) -> tuple[FloatArray, FloatArray]:
    """Return u·change − (Aᵀu)·displacement for each cotangent u, and the size of what was rounded."""
    claimed = np.zeros(len(cotangents))
    for each, part in zip(pulled, displacement, strict=True):
        if part is not None:
            claimed += each @ part
    rounding = None
    if squares is not None:
        rounding = np.sqrt(squares @ (size * size))
    if rounding is None or not math.isfinite(rounding.sum()):
        rounding = np.array([norm(u * size) for u in cotangents])
    return cotangents @ change - claimed, np.maximum(rounding, np.abs(claimed))
