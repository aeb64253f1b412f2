"""What is known in the course of one check at one point: the problem, the measurements, the blocks' states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradproof._evaluation.coordinate_lines import CoordinateLines
from gradproof._evaluation.engine import Engine, EngineLine
from gradproof._evidence.certificate import Certifier
from gradproof._evidence.columns import Exhaustive
from gradproof._evidence.decision import Member
from gradproof._evidence.zero import HIDDEN, NEARBY, NEGLIGIBLE, ROUNDED
from gradproof._numerics.lines import Calibration, first_line, later_line
from gradproof._numerics.noise import Pool
from gradproof._numerics.statistics import student_quantile
from gradproof._problem.problem import Problem, position
from gradproof._problem.scales import block_scales
from gradproof._words.directions import BlockDirection, Direction
from gradproof._words.events import Phase
from gradproof._words.precision import HALF, UNIT_ROUNDOFF
from gradproof._words.results import Cause, Diagnosis, Difference, Estimate, Reason, Verdict
from gradproof._words.settings import DEFAULT_TOLERANCES, Settings
from gradproof._words.vectors import FloatArray, rms


@dataclass(slots=True)
class BlockState:
    """What is known of one block so far."""

    tolerance: float
    scale: float
    norm: float
    zero: bool
    verdict: Verdict | None = None
    difference: Difference = field(default_factory=lambda: Difference(estimate=math.nan, lower=0.0, upper=1.0))
    resolution: float = 1.0
    reason: Reason | None = None
    residual: float = math.nan
    numerical_norm: float = math.nan
    not_exercised: int = 0
    wrong_coordinates: int = 0


class Study:
    """One check at one point.

    Parameters
    ----------
    problem, settings
        What was given.
    """

    def __init__(self, problem: Problem, settings: Settings) -> None:
        self.problem = problem
        self.settings = settings
        self.strategy = settings.strategy
        self.phase: Phase = "noise"
        self.budget = settings.allowance
        self.engine = Engine(problem, budget=self.budget)
        self.pool = Pool()
        self.notes: list[str] = []
        self.diagnoses: list[Diagnosis] = []
        self.claimed: tuple[FloatArray, ...] = ()
        self.base = math.nan
        self.states: list[BlockState] = []
        self.exhaustive: Exhaustive | None = None
        self.certifiers: list[Certifier] = []
        self.calibration: Calibration | None = None
        self.calibration_step = 1e-5
        self.non_finite = False
        self.anchor = 0.0
        self.claim_unsteady = 0.0
        self.stream = 0
        self.spent = False
        self.raised: list[str] = []

    def begin(self) -> None:
        """Take in the claim and evaluate the point: everything that can be wrong with the input is found here."""
        problem = self.problem
        if problem.claimed is not True and not callable(problem.claimed):
            self.claimed = problem.claimed_values(problem.claimed)
            if self.find_non_finite():
                return
        self.base, returned = self.engine.evaluate_point()
        if problem.claimed is True:
            self.claimed = tuple(np.array(flat) for flat in problem.claimed_values(returned))
        elif callable(problem.claimed):
            self.claimed = self.engine.evaluate_claim()
            self.compare_claims(self.engine.evaluate_claim())
        if self.find_non_finite():
            return
        self.engine.claimed = self.claimed
        self.make_states()

    def find_non_finite(self) -> bool:
        """Locate NaN and infinities in the claim: WRONG, and no evaluation is needed to say so."""
        for block, gradient in zip(self.problem.blocks, self.claimed, strict=True):
            bad = np.flatnonzero(~np.isfinite(gradient))
            if bad.size:
                self.non_finite = True
                where = position(int(bad[0]), block.shape)
                more = f" and {bad.size - 1} more" if bad.size > 1 else ""
                self.diagnoses.append(
                    Diagnosis(
                        cause=Cause.NON_FINITE,
                        block=block.name,
                        where=f"{where}{more}",
                        sentence=f"The claimed gradient of {block.name} is {gradient[bad[0]]} at {where}{more}.",
                        remedy=f"find the division, logarithm or overflow that makes {block.name}{where if block.shape else ''} not finite",
                    )
                )
        return self.non_finite

    def compare_claims(self, again: Sequence[FloatArray]) -> None:
        """Note by how much two calls of the claimed gradient's function differ."""
        with np.errstate(all="ignore"):
            for block, one, two in zip(self.problem.blocks, self.claimed, again, strict=True):
                total = float(np.linalg.norm(one) + np.linalg.norm(two))
                change = float(np.linalg.norm(one - two)) / total if total > 0 else 0.0
                if change > self.claim_unsteady:
                    self.claim_unsteady = change
                    self.unsteady_block = block.name

    def make_states(self) -> None:
        """Choose scales and tolerances for each block."""
        norms = [float(np.linalg.norm(gradient)) for gradient in self.claimed]
        weights = [rms(values) * norm for values, norm in zip(self.problem.values, norms, strict=True)]
        # Beside a cost whose rounding hides it, a gradient is zero even where no other block tells.
        roundoff = UNIT_ROUNDOFF[self.engine.precision]
        base = abs(self.base) if math.isfinite(self.base) else 0.0
        limit = max(roundoff**NEGLIGIBLE * max(weights), ROUNDED * roundoff * base)
        zeros = [
            n == 0 or (rms(v) > 0 and w <= limit) for n, w, v in zip(norms, weights, self.problem.values, strict=True)
        ]
        scales = block_scales(
            self.problem, [g if not z else np.zeros(0) for g, z in zip(self.claimed, zeros, strict=True)]
        )
        self.states = [
            BlockState(self.first_tolerance(block.dtype), scale, norm, zero)
            for block, scale, norm, zero in zip(self.problem.blocks, scales, norms, zeros, strict=True)
        ]

    def first_tolerance(self, dtype: str) -> float:
        """Return the tolerance given, or the default of the lower of the block's and the cost's precision."""
        if self.settings.tolerance is not None:
            return self.settings.tolerance
        return max(DEFAULT_TOLERANCES[dtype], DEFAULT_TOLERANCES[self.engine.precision])

    @property
    def base_is_small(self) -> bool:
        """J is less than what the claim says it changes by over the parameters' scale: at a minimum, perhaps."""
        return abs(self.base) < max(state.scale * state.norm for state in self.states)

    @property
    def noise(self) -> float:
        """Standard deviation of one value of the cost, as far as it is known."""
        return self.pool.level(0.5 * UNIT_ROUNDOFF[self.engine.precision] * abs(self.base))[0]

    @property
    def faulty(self) -> list[int]:
        """Numbers of the blocks found WRONG."""
        return [b for b, state in enumerate(self.states) if state.verdict is Verdict.WRONG]

    def line_of(self, direction: Direction) -> EngineLine:
        """Return the line of discrepancies along a direction."""
        return self.engine.line(direction, self.base)

    def lines_of(self, block: int, indices: NDArray[np.intp], scales: FloatArray) -> CoordinateLines:
        """Return lines of discrepancies along coordinates of one block, which are evaluated together."""
        return CoordinateLines(self.engine, block, indices, scales, self.base, self.noise)

    def next_streams(self, count: int = 1000) -> int:
        """Reserve stream numbers, so that no two directions of a check share their entries."""
        self.stream += count
        return self.stream

    def certifier(self, members: list[Member], alpha: float) -> Certifier:
        return Certifier(
            members,
            self.line_of,
            len(self.states),
            seed=self.settings.seed,
            stream=self.next_streams(),
            alpha=alpha,
            pool=self.pool,
            size=sum(self.problem.blocks[member.block].size for member in members),
        )

    def set_anchor(self, line: EngineLine, estimate: Estimate) -> None:
        """Find what a gradient of zero everywhere is to be judged by: how much the cost changes at all, per unit of t.

        Where the cost hardly moves, what its rounding hides is the least that can be asked.
        """
        reach = max((abs(t) for t in line.known if abs(t) <= NEARBY), default=min(map(abs, line.known)))
        seen = [e for t, e in line.known.items() if abs(t) <= reach and not e.error]
        spread = max((abs(e.value - self.base) for e in seen), default=0.0)
        roundoff = UNIT_ROUNDOFF[self.engine.precision]
        # A step in half precision crosses the cost's curvature, which passes for noise there: that excuses nothing.
        excused = roundoff < HALF and math.isfinite(estimate.value)
        hidden = HIDDEN * max(estimate.roundoff_error, roundoff * abs(self.base)) if excused else 0.0
        tolerance = max(state.tolerance for state in self.states)
        self.anchor = max(spread / reach if reach > 0 else 0.0, hidden / tolerance)

    def negligible(self, b: int) -> float:
        """Size of a residual that counts as none in a block of zeros: what the tolerance makes of the others' share."""
        state = self.states[b]
        shares = [s.scale * s.norm for s in self.states if not s.zero]
        share = max(shares, default=self.anchor)
        return state.tolerance * share / state.scale if state.scale > 0 else 0.0

    def measure(self, direction: Direction, calibrations: dict[int, Calibration | None], block: int) -> Estimate:
        """Measure the discrepancy ∇J − g along a direction in one block, by four values once the block is calibrated."""
        line = self.line_of(direction)
        calibration = calibrations.get(block)
        if calibration is None:
            estimate, calibrations[block] = first_line(line, 0.0, self.pool, max_evaluations=26, scale=0.5)
            return estimate
        return later_line(line, calibration, self.pool, expect_zero=False)

    def decision_bar(self, estimate: Estimate) -> float:
        """Return the half-width with which decisions are made: noise by its own uncertainty, truncation three times."""
        t = student_quantile(estimate.degrees_of_freedom, self.settings.alpha / 100)
        return 3 * estimate.truncation_error + t * estimate.roundoff_error

    def block_direction(self, b: int, stream: int) -> BlockDirection:
        """Return a direction within one block."""
        return BlockDirection(self.settings.seed, stream, b, self.states[b].scale)

    def note_norms(self, b: int, residual: float, numerical: float) -> None:
        """Keep what the probes say of a block's norms, where its coordinates were not measured."""
        state = self.states[b]
        if self.exhaustive is None:
            state.residual, state.numerical_norm = residual, numerical
            total = state.norm + numerical
            estimate = min(residual / total, 1.0) if total > 0 else 0.0
            state.difference = Difference(
                estimate=max(estimate, state.difference.lower),
                lower=state.difference.lower,
                upper=max(state.difference.upper, estimate),
            )
