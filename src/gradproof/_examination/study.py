"""What is known in the course of one check at one point: the problem, the claim, the lines, the pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from gradproof._evaluation.engine import STILL, Engine
from gradproof._evaluation.lines import Line
from gradproof._evidence.certificate import Certifier, Member
from gradproof._evidence.columns import Exhaustive
from gradproof._evidence.evidence import Law, Pair
from gradproof._evidence.ledger import Ledger
from gradproof._evidence.zero import ROUNDED, own_rounding
from gradproof._numerics.lines import LineReader
from gradproof._numerics.noise import Pool
from gradproof._numerics.readings import Calibration, LineReading
from gradproof._numerics.statistics import residual_possible, student_quantile
from gradproof._numerics.tables import REPRESENTED, Phi, shorten_mantissa
from gradproof._numerics.witnesses import AGAIN
from gradproof._problem.claims import Claim, GradientClaim
from gradproof._problem.outputs import OutputBlock
from gradproof._problem.scales import block_scales
from gradproof._words.directions import BlockDirection, Direction, RandomDirection
from gradproof._words.events import Phase
from gradproof._words.precision import HALF, UNIT_ROUNDOFF
from gradproof._words.results import Diagnosis, Reason, Verdict
from gradproof._words.settings import DEFAULT_TOLERANCES, HIGHEST_TOLERANCES, Settings, round_up
from gradproof._words.vectors import FloatArray, norm

NEIGHBOURS: Final = 6
"""Steps on either side, up to the next place that is looked at, at which the rounding of a function shows: in each by half."""
COMFORTABLE: Final = 18.0
"""A tolerance is raised to this many line spreads: eight lines then certify (√(8/q₈) is 12.5 at α = 1e-6)."""
SWITCHED: Final = 2.0
"""A right gradient in half precision may be off by so many √u, relatively: a convolution of 150 units with 3e-2 is seen."""
RANK: Final = 8
"""Of the products: the bound grows by 1.108, and they take a tenth of the time that normal entries take."""
PRODUCTS: Final = 500_000
"""Coordinates of a group from which on directions are products: below, the cost's own time is all that counts."""
MARGIN: Final = 1.25
"""Few cotangents leave a factor that no number of lines makes smaller; what that allows, and this much more."""


class NonFiniteClaim(Exception):  # the sentence's subject; never leaves the library
    """The claim is finite for one cotangent or tangent, and not for another; of which pair."""


class Study:
    """One check of one claim at one point.

    Parameters
    ----------
    engine
        The function; the point has been evaluated.
    claim
        A: what the lines are less.
    settings
        As given.
    """

    def __init__(self, engine: Engine, claim: Claim, settings: Settings) -> None:
        self.engine = engine
        self.problem = engine.problem
        self.claim = claim
        self.settings = settings
        self.outputs: tuple[OutputBlock, ...] = tuple(engine.answers.blocks[view.output] for view in claim.views)
        self.base = claim.own(engine.base)
        self.ledger = Ledger(settings.alpha)
        self.reader = LineReader([view.rows for view in claim.views], settings.seed)
        self.law = Law(claim.cotangents)
        self.phase: Phase = "lines"
        self.notes: list[str] = []
        self.diagnoses: list[Diagnosis] = []
        self.certifiers: list[Certifier] = []
        self.stream = 0
        self.spent = False
        self.exhaustive: Exhaustive | None = None
        self.quanta: dict[int, float] = {}
        self.pairs: list[list[Pair]] = []
        self.scales: list[float] = []
        self.prepare()

    def prepare(self) -> None:
        """Measure the claim's norms, choose scales and tolerances.

        Raises
        ------
        NonFiniteClaim
        """
        low, middle, high = self.claim.norms(self.settings.alpha)
        self.refuse_non_finite(middle)
        # What is chosen here depends on no cotangent that certifies.
        self.apart = apart = getattr(self.claim, "apart", middle)
        self.sizes = [norm(self.base[view.own]) for view in self.claim.views]
        self.pairs = [[] for _ in self.sizes]
        own = block_scales(self.problem, [np.zeros(1)] * len(self.problem.blocks))
        weights = apart * np.array(own)
        units = [UNIT_ROUNDOFF[self.output_precision(o)] for o in range(len(self.sizes))]
        slack = own_rounding(weights, self.problem.claimed_precision, units)
        rounding = np.maximum(np.array([[self.rounding(o)] for o in range(len(self.sizes))]), slack)
        hidden = weights <= rounding
        # A claim that counts as zero says nothing of the length over which its block matters.
        self.scales = block_scales(self.problem, list(np.hypot.reduce(np.where(hidden, 0.0, apart), axis=0)[:, None]))
        for o, p in np.ndindex(middle.shape):
            least, size, most = (float(each[o, p]) for each in (low, middle, high))
            pair = Pair(o, p, least, size, most, self.scales[p], self.first_tolerance(o, p), float(rounding[o, p]))
            self.pairs[o].append(replace(pair, slack=max(float(slack[o, p]), switching(self, pair))))
        for pair in self.every_pair:
            pair.zero = self.counts_as_zero(pair)

    def refuse_non_finite(self, norms: FloatArray) -> None:
        """Raise where a claim is not finite for some cotangent.

        Raises
        ------
        NonFiniteClaim
        """
        if self.claim.kind == "gradient" or math.isfinite(norms.sum()):
            return  # a gradient's entries were looked at; their squares may overflow
        for o, p in np.argwhere(~np.isfinite(norms)):
            raise NonFiniteClaim(f"{self.outputs[o].name} × {self.problem.blocks[p].name}")

    @property
    def every_pair(self) -> list[Pair]:
        """All pairs, output by output."""
        return [pair for row in self.pairs for pair in row]

    @property
    def verdict(self) -> Verdict:
        """The worst of the pairs'."""
        found = {pair.verdict for pair in self.every_pair}
        return next((v for v in (Verdict.WRONG, Verdict.INCONCLUSIVE) if v in found), Verdict.CORRECT)

    @property
    def faulty(self) -> list[Pair]:
        """The pairs found WRONG."""
        return [pair for pair in self.every_pair if pair.verdict is Verdict.WRONG]

    @property
    def claimed(self) -> tuple[FloatArray, ...]:
        """The gradient that is claimed of a lone output, block by block."""
        return self.gradient.blocks

    @property
    def gradient(self) -> GradientClaim:
        """The claim of a lone output."""
        assert isinstance(self.claim, GradientClaim)  # noqa: S101  # asked for these only
        return self.claim

    def run_out(self) -> None:
        """Take in that the budget is spent."""
        self.spent = True

    @property
    def given_up(self) -> bool:
        """The cost was found to be the very same everywhere: there is nothing to ask it."""
        return any(pair.held is Reason.NOT_EXERCISED for pair in self.every_pair)

    def unexercised(self) -> bool:
        """Hold open what is claimed of a cost that is the very same at every displaced point: it may not use its argument."""
        if self.claim.kind != "gradient":
            return False
        for _ in range(STILL):
            line = self.line(self.random_direction(dict(enumerate(self.scales))))
            if self.engine.moved or self.engine.still or line.at(0.5) is None or line.at(-0.5) is None:
                break
        if not self.engine.still:
            return False
        for pair in self.every_pair:
            pair.hold(Reason.NOT_EXERCISED)
        return True

    # -- zero --------------------------------------------------------------------------------------------------------

    def rounding(self, o: int, change: float = 0.0) -> float:
        """Return the change of an output that is its rounding, where it is as large as at the point or changes so much."""
        return ROUNDED * UNIT_ROUNDOFF[self.output_precision(o)] * max(self.sizes[o], change)

    def hidden(self, o: int) -> float:
        """Return what an output may change by unseen: roundings as they show at the nearest points at which it moves.

        What cancels is rounded more coarsely than its size says, and alike along a block that multiplies it, so that it
        seems to have a slope there. Of a random function the lines know the noise: 0.
        """
        if o not in self.quanta:
            line = self.line(self.random_direction(dict(enumerate(self.scales))))
            t, seen = max(REPRESENTED * line.shortest, UNIT_ROUNDOFF[self.engine.precision]), 0.0
            while t <= 1 and not (seen or self.reader.repeats(line, o)):
                # At several neighbours: a product moves with one factor before the other's rounding changes.
                for step in (shorten_mantissa(side * k * t) for k in range(1, NEIGHBOURS + 1) for side in (1, -1)):
                    seen = max(seen, norm(line.change(step)[line.own_rows[o]]) if line.at(step) is not None else 0.0)
                t *= AGAIN
            self.quanta[o] = ROUNDED * seen
            for pair in self.pairs[o]:
                pair.hidden = self.quanta[o]
        return self.quanta[o]

    def output_precision(self, o: int) -> str:
        """Return the lowest precision at work in an output's values."""
        value = self.engine.value_precision(self.claim.views[o].output)
        kinds = value, self.outputs[o].dtype, self.problem.precision
        return max(kinds, key=lambda kind: UNIT_ROUNDOFF[kind])

    def counts_as_zero(self, pair: Pair) -> bool:
        """Say whether a claim changes its output, over the block's own scale, by rounding only."""
        return float(self.apart[pair.output, pair.block]) * pair.scale <= pair.rounding

    # -- tolerances --------------------------------------------------------------------------------------------------

    def first_tolerance(self, o: int, p: int) -> float:
        """Return the tolerance given, or the default of the lowest precision at work."""
        if self.settings.tolerance is not None:
            return self.settings.tolerance
        return max(DEFAULT_TOLERANCES[kind] for kind in self.precisions(o, p))

    def highest_tolerance(self, pair: Pair) -> float:
        """Return up to where a tolerance may be raised."""
        return max(HIGHEST_TOLERANCES[kind] for kind in self.precisions(pair.output, pair.block))

    def precisions(self, o: int, p: int) -> tuple[str, ...]:
        """Return the precisions at work in a pair: of the output's type, of the block's, that its values show, the claim's."""
        values = self.engine.value_precision(self.claim.views[o].output)
        return self.outputs[o].dtype, self.problem.blocks[p].dtype, values, self.problem.claimed_precision

    def follow_precision(self) -> None:
        """Judge by the precision that the values have shown: a function may be worked out in a lower one."""
        for pair in self.every_pair:
            pair.tolerance = max(pair.tolerance, self.first_tolerance(pair.output, pair.block))
            pair.rounding = max(pair.rounding, self.rounding(pair.output))

    def raise_tolerances(self, certifier: Certifier) -> bool:
        """Raise tolerances that were not given to what the noise of these lines can resolve; return whether some were."""
        if self.settings.tolerance is not None:
            return False
        raised = False
        for evidence in certifier.evidence.values():
            if len(evidence.lines) < 2 or evidence.lost is not None or evidence.settled():
                continue
            comfortable = max(COMFORTABLE, MARGIN * evidence.law.least_factor(evidence.correct))
            for pair, scale in zip(evidence.pairs, evidence.scales, strict=True):
                change = scale * pair.low
                if pair.zero or change <= 0:
                    continue
                wanted = min(round_up(comfortable * evidence.spread() / (2 * change)), self.highest_tolerance(pair))
                if wanted > pair.tolerance:
                    pair.tolerance, raised = wanted, True
        return raised

    # -- lines -------------------------------------------------------------------------------------------------------

    def line(self, direction: Direction) -> Line:
        """Return the line of discrepancies along a direction."""
        return Line(self.engine, direction, self.claim)

    def next_streams(self, count: int = 1000) -> int:
        """Reserve stream numbers, so that no two directions of a check share their entries."""
        self.stream += count
        return self.stream

    def random_direction(self, scales: dict[int, float]) -> RandomDirection:
        """Return a fresh direction in some blocks."""
        every = tuple(scales.get(p, 0.0) for p in range(len(self.problem.blocks)))
        return RandomDirection(self.settings.seed, self.next_streams(), every)

    def certifier(
        self,
        members: Sequence[Member],
        outputs: Sequence[int],
        correct: float,
        wrong: float,
        claim: Claim | None = None,
    ) -> Certifier:
        """Return a certificate of some blocks and outputs, in streams of its own."""
        claim = claim or self.claim
        certifier = Certifier(
            members,
            {o: [self.pairs[o][m.block] for m in members] for o in outputs},
            lambda direction: Line(self.engine, direction, claim),
            self.reader,
            blocks=len(self.problem.blocks),
            size=sum(self.problem.blocks[m.block].size for m in members),
            seed=self.settings.seed,
            stream=self.next_streams(),
            law=law_of(self, members),
            correct=correct,
            wrong=wrong,
            precision=self.problem.claimed_precision,
        )
        self.certifiers.append(certifier)
        return certifier

    def refine(self) -> None:
        """Know the claim's norms better, once, where what was known of them does not decide."""
        better = self.claim.refine(self.settings.alpha)
        if better is None:
            return
        low, middle, high = better
        self.refuse_non_finite(middle)
        for pair in self.every_pair:
            where = pair.output, pair.block
            pair.low, pair.norm = max(pair.low, float(low[where])), float(middle[where])
            pair.high = min(pair.high, float(high[where]))

    # -- one output, as the searches and single coordinates of a cost see it ------------------------------------------

    @property
    def pool(self) -> Pool:
        """What is known of the noise of the first output."""
        return self.reader.pools[0]

    @property
    def noise(self) -> float:
        """Standard deviation of one value, root sum of squares over the outputs."""
        levels = [
            pool.level(0.5 * UNIT_ROUNDOFF[self.output_precision(o)] * size)[0]
            for o, (pool, size) in enumerate(zip(self.reader.pools, self.sizes, strict=True))
        ]
        return math.hypot(*levels)

    def phi(self, direction: Direction) -> Phi:
        """Return φ: ℝ → ℝ of a lone output along a direction."""
        return self.reader.lone_number(self.line(direction))

    def measure(self, direction: Direction, calibrations: dict[int, Calibration | None], block: int) -> LineReading:
        """Measure the discrepancy along a direction in one block, by four values once the block is calibrated."""
        line, calibration = self.line(direction), calibrations.get(block)
        if calibration is None:
            reading = self.reader.first(line, [0.0], max_evaluations=26, scale=0.5)
            calibrations[block] = self.reader.calibration
            return reading
        return self.reader.later(line, calibration=calibration, expect_zero=False)

    def decision_bar(self, reading: LineReading) -> float:
        """Return the half-width with which decisions are made: noise by its own uncertainty, truncation three times."""
        block = reading.blocks[0]
        t = student_quantile(block.degrees, self.settings.alpha / 100)
        return 3 * block.truncation + t * block.spread

    def block_direction(self, p: int, stream: int) -> BlockDirection:
        """Return a direction within one block."""
        return BlockDirection(self.settings.seed, stream, p, self.scales[p])


def law_of(study: Study, members: Sequence[Member]) -> Law:
    """Return the law of lines in some blocks: large ones together are displaced by products of a rank.

    Of one block there is WRONG to be said, too, and a diagnosis to be made, which needs normal entries.
    """
    size = sum(study.problem.blocks[m.block].size for m in members)
    cheap = len(members) > 1 and size >= PRODUCTS and study.claim.kind == "gradient"
    return replace(study.law, rank=RANK) if cheap else study.law


def switching(study: Study, pair: Pair) -> float:
    """Return the change below which a claim in half precision is not called wrong, over the block's own scale.

    Rounding by u switches a share u of the units over at a kink (ReLU, the largest of a pool), and with them √u of the
    gradient's norm, which in float16 is more than the default tolerance.
    """
    unit = UNIT_ROUNDOFF[study.problem.claimed_precision]
    if unit <= HALF or study.settings.tolerance is not None or study.claim.kind != "gradient":
        return 0.0  # with few cotangents the lower bound is a third of what is there
    return residual_possible(SWITCHED * math.sqrt(unit), pair.high) * pair.scale


def claim_roundoff(study: Study, o: int) -> float:
    """Return u of the lowest precision at work in an output's values, or in what is claimed of it."""
    return max(UNIT_ROUNDOFF[study.output_precision(o)], UNIT_ROUNDOFF[study.problem.claimed_precision])
