"""One check at one point: from the problem to the report, phase by phase."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from gradproof._certificate import Certifier, group_blocks
from gradproof._coordinates import Exhaustive
from gradproof._decision import Member
from gradproof._differences import Calibration, Pool, first_line, later_line
from gradproof._directions import BlockDirection, Direction, FloatArray, RandomDirection
from gradproof._engine import BudgetSpent, Engine, EngineLine
from gradproof._events import Phase
from gradproof._explanation import Explanation, explain
from gradproof._problem import Problem, position
from gradproof._results import (
    BlockResult,
    Cause,
    Certificate,
    CoordinateResult,
    Diagnosis,
    Difference,
    Estimate,
    Reason,
    Report,
    Verdict,
)
from gradproof._scales import block_scales, coordinate_scales, rms
from gradproof._settings import (
    DEFAULT_BUDGET,
    DEFAULT_TOLERANCES,
    EXHAUSTIVE_EVALUATIONS,
    HIGHEST_TOLERANCES,
    UNIT_ROUNDOFF,
    Settings,
)
from gradproof._statistics import difference_from_above, difference_from_below, student_quantile

NEGLIGIBLE: Final = 0.75
"""A block whose claim changes the cost by less than u^0.75 of what the others do counts as zero."""
SHOWN_COORDINATES: Final = 100
CONFIRM_LINES: Final = 3
BISECT_BLOCKS: Final = 24
"""Blocks above which a group is halved instead of measured one by one."""
COMFORTABLE: Final = 18.0
"""A tolerance is raised to this many line spreads: eight lines then certify (√(8/q₈) is 12.5 at α = 1e-6)."""
ENOUGH_FOR_COORDINATES: Final = 8.0
"""Degrees of freedom of the noise below which the bars of single coordinates would be needlessly wide."""
UNLIMITED: Final = 2**62


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


class Examination:
    """Checks one problem.

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
        budget = settings.budget
        if budget is None:
            budget = UNLIMITED if settings.strategy == "coordinates" else DEFAULT_BUDGET
        self.budget = budget
        self.engine = Engine(problem, budget=budget)
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
        self.claim_unsteady = 0.0
        self.stream = 0
        self.spent = False
        self.raised: list[str] = []

    # -- begin -------------------------------------------------------------------------------------------------------

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
        largest = max(weights, default=0.0)
        roundoff = UNIT_ROUNDOFF[self.engine.precision]
        zeros = [
            n == 0 or (rms(v) > 0 and w <= roundoff**NEGLIGIBLE * largest)
            for n, w, v in zip(norms, weights, self.problem.values, strict=True)
        ]
        scales = block_scales(self.problem, [g if not z else np.zeros(0) for g, z in zip(self.claimed, zeros, strict=True)])
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
    def exhaustive_wanted(self) -> bool:
        """Every coordinate is to be measured."""
        if self.settings.strategy == "coordinates":
            return True
        return self.settings.strategy == "auto" and 2 * self.problem.size <= min(
            EXHAUSTIVE_EVALUATIONS, self.budget - self.engine.evaluations - 40
        )

    def planned_evaluations(self) -> int:
        """Return how many calls of the cost a right gradient is expected to take."""
        if self.non_finite:
            return 0
        certificate = 0 if self.strategy == "coordinates" else 12
        return min(certificate + (2 * self.problem.size + 8 if self.exhaustive_wanted else 0), self.budget)

    # -- run ---------------------------------------------------------------------------------------------------------

    def run(self) -> Report:
        """Go through the phases; whatever the budget allows is in the report."""
        if self.non_finite:
            return self.report_non_finite()
        try:
            if self.strategy != "coordinates":
                self.phase = "lines"
                self.certify()
            if self.exhaustive_wanted or self.kinked_and_affordable():
                self.phase = "coordinates"
                self.measure_coordinates()
        except BudgetSpent:
            self.spent = True
        explanation = None
        if self.faulty:
            self.phase = "search"
            explanation = explain(self)
        self.settle()
        return self.report(explanation)

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

    def next_streams(self, count: int = 1000) -> int:
        """Reserve stream numbers, so that no two directions of a check share their entries."""
        self.stream += count
        return self.stream

    # -- certificate -------------------------------------------------------------------------------------------------

    def certify(self) -> None:
        """Certify all blocks, group by group; name the wrong ones."""
        states = self.states
        groups = group_blocks(
            [s.scale for s in states], [s.norm for s in states], [s.zero for s in states]
        )
        alpha = self.settings.alpha / max(len(groups), 1)
        for members in groups:
            self.certify_group(members, alpha)

    def certify_group(self, members: list[Member], alpha: float) -> None:
        certifier = self.certifier(members, alpha)
        self.certifiers.append(certifier)
        if all(member.zero for member in members):
            self.anchor_zeros(certifier, members)
        verdict = self.run_certifier(certifier)
        if verdict is Verdict.WRONG:
            self.isolate(members, alpha)
            return
        for member in members:
            state = self.states[member.block]
            state.verdict = verdict
            state.difference = certifier.evidence.difference(member)
            if verdict is Verdict.INCONCLUSIVE:
                state.reason = self.reason_for(certifier)
            self.set_resolution(state, certifier, member)

    def certifier(self, members: list[Member], alpha: float) -> Certifier:
        return Certifier(
            members,
            self.line_of,
            len(self.states),
            seed=self.settings.seed,
            stream=self.next_streams(),
            alpha=alpha,
            pool=self.pool,
        )

    def anchor_zeros(self, certifier: Certifier, members: list[Member]) -> None:
        """Find what a gradient of zero everywhere is to be judged by: how much the cost changes at all, per unit of t."""
        direction = certifier.direction()
        line = self.line_of(direction)
        estimate, certifier.calibration = first_line(line, 0.0, self.pool, max_evaluations=20)
        spread = max((abs(e.value - self.base) for e in line.known.values() if not e.error), default=0.0)
        reach = max(abs(t) for t in line.known)
        share = spread / reach if reach > 0 else 0.0
        roundoff = UNIT_ROUNDOFF[self.engine.precision]
        # Where the cost hardly moves, what its rounding hides is the least that can be asked.
        hidden = 1e4 * max(estimate.roundoff_error, roundoff * abs(self.base)) if math.isfinite(estimate.value) else 0.0
        for member in members:
            member.norm = max(share, hidden / self.states[member.block].tolerance) / member.scale
        certifier.take(estimate, direction)

    def run_certifier(self, certifier: Certifier) -> Verdict:
        """Run a certifier; raise tolerances that were not given to what the noise allows, and go on."""
        members = certifier.members
        try:
            verdict = certifier.run([self.states[m.block].tolerance for m in members])
            if verdict is Verdict.INCONCLUSIVE and self.may_raise(certifier) and self.raise_tolerances(certifier):
                verdict = certifier.run([self.states[m.block].tolerance for m in members])
        except BudgetSpent:
            self.spent = True
            verdict = certifier.evidence.verdict([self.states[m.block].tolerance for m in members])
        if self.calibration is None and certifier.calibration is not None:
            self.calibration = certifier.calibration
        return verdict

    def may_raise(self, certifier: Certifier) -> bool:
        return (
            self.settings.tolerance is None
            and len(certifier.evidence.lines) >= 2
            and not certifier.kink
            and not certifier.failed
        )

    def raise_tolerances(self, certifier: Certifier) -> bool:
        """Raise the tolerance of each block to what the noise can resolve, as far as that is allowed."""
        lines = certifier.evidence.lines
        spread = math.hypot(*(e.roundoff_error + e.truncation_error for e in lines)) / math.sqrt(len(lines))
        raised = False
        for member in certifier.members:
            state = self.states[member.block]
            change = member.scale * member.norm
            if change <= 0:
                continue
            wanted = _round_up(COMFORTABLE * spread / (2 * change))
            highest = max(HIGHEST_TOLERANCES[self.problem.blocks[member.block].dtype], HIGHEST_TOLERANCES[self.engine.precision])
            if wanted > state.tolerance:
                new = min(wanted, highest)
                raised = raised or new > state.tolerance
                state.tolerance = max(state.tolerance, new)
        return raised

    def isolate(self, members: list[Member], alpha: float) -> None:
        """Name the wrong blocks of a group: each by itself at another step; the others are certified without them."""
        remaining = list(members)
        alpha_each = alpha / max(len(members), 1)
        for _ in range(len(members) + 1):
            found = self.wrong_among(remaining, alpha_each)
            remaining = [m for m in remaining if m.block not in found]
            if not found or not remaining:
                break
            certifier = self.certifier([Member(m.block, m.scale, m.norm, m.zero) for m in remaining], alpha)
            verdict = self.run_certifier(certifier)
            for member in certifier.members:
                state = self.states[member.block]
                state.verdict = verdict if verdict is not Verdict.WRONG else None
                state.difference = certifier.evidence.difference(member)
                state.reason = self.reason_for(certifier) if verdict is Verdict.INCONCLUSIVE else None
                self.set_resolution(state, certifier, member)
            if verdict is not Verdict.WRONG:
                return
        for member in remaining:
            state = self.states[member.block]
            if state.verdict is None:
                state.verdict, state.reason = Verdict.INCONCLUSIVE, Reason.KINK

    def wrong_among(self, members: list[Member], alpha: float) -> set[int]:
        """Return the blocks that are wrong by themselves; a large group is halved until they stand alone."""
        if len(members) > BISECT_BLOCKS:
            found: set[int] = set()
            for half in (members[: len(members) // 2], members[len(members) // 2 :]):
                certifier = self.certifier([Member(m.block, m.scale, m.norm, m.zero) for m in half], alpha)
                if self.run_certifier(certifier) is not Verdict.CORRECT:
                    found |= self.wrong_among(half, alpha)
            return found
        certifiers = [self.certifier([Member(m.block, m.scale, m.norm, m.zero)], alpha) for m in members]
        wrong: set[int] = set()
        for _ in range(CONFIRM_LINES):
            for member, certifier in zip(members, certifiers, strict=True):
                if member.block in wrong or certifier.kink or certifier.failed:
                    continue
                tolerances = [self.states[member.block].tolerance]
                if certifier.calibration is None:
                    direction = certifier.direction()
                    estimate, certifier.calibration = first_line(
                        self.line_of(direction), certifier.target(tolerances), self.pool, max_evaluations=27, scale=0.3
                    )
                    certifier.take(estimate, direction)
                else:
                    certifier.measure(tolerances)
                if certifier.evidence.verdict(tolerances) is Verdict.WRONG:
                    wrong.add(member.block)
                    self.mark_wrong(certifier, member)
            if wrong:
                break
        return wrong

    def mark_wrong(self, certifier: Certifier, member: Member) -> None:
        state = self.states[member.block]
        state.verdict, state.reason = Verdict.WRONG, None
        state.difference = certifier.evidence.difference(certifier.members[0])
        self.set_resolution(state, certifier, certifier.members[0])

    def set_resolution(self, state: BlockState, certifier: Certifier, member: Member) -> None:
        """State the smallest error that would have been seen: what the bars alone amount to."""
        lines = certifier.evidence.lines
        if not lines:
            return
        bars = [abs(e.truncation_error) + e.roundoff_error for e in lines]
        factor = certifier.evidence.upper() / max(math.hypot(*(abs(e.value) + e.truncation_error for e in lines)), 1e-300)
        seen = math.hypot(*bars) * factor / member.scale if math.isfinite(factor) else math.inf
        t = student_quantile(lines[-1].degrees_of_freedom + len(lines) - 1, self.settings.alpha)
        proved = t * max(bars) / member.scale
        state.resolution = difference_from_above(min(max(seen, proved / 5), member.norm), member.norm) if member.norm else 1.0

    def reason_for(self, certifier: Certifier) -> Reason:
        if certifier.kink:
            return Reason.KINK
        if certifier.failed:
            return Reason.DOMAIN
        return Reason.BUDGET if self.spent else Reason.NOISE

    # -- coordinates -------------------------------------------------------------------------------------------------

    def kinked_and_affordable(self) -> bool:
        """Kinks are judged coordinate by coordinate, where there are few enough."""
        kinked = any(s.reason is Reason.KINK for s in self.states)
        return (
            self.settings.strategy == "auto"
            and kinked
            and 2 * self.problem.size + 100 <= self.budget - self.engine.evaluations
        )

    def measure_coordinates(self) -> None:
        """Measure every coordinate of every block, and let the results overrule what lines left open."""
        scales = coordinate_scales(self.problem, self.claimed)
        step = self.coordinate_step()
        exhaustive = Exhaustive(
            self.claimed,
            scales,
            self.line_of,
            pool=self.pool,
            step=step,
            tolerances=[s.tolerance for s in self.states],
            alpha=self.settings.alpha,
            roundoff=UNIT_ROUNDOFF[self.engine.precision],
        )
        self.exhaustive = exhaustive
        exhaustive.run()
        for b in range(len(self.states)):
            if self.open_by_noise(b):
                exhaustive.sweep_four(b, 0.02 if self.calibration is None else self.calibration.step)
        for b, state in enumerate(self.states):
            self.take_coordinates(b, state, exhaustive)
        if self.settings.strategy == "coordinates":
            self.certify_what_noise_left_open()

    def certify_what_noise_left_open(self) -> None:
        """Ask random lines about blocks whose single coordinates drown in noise: a line moves all of them at once."""
        open_blocks = [b for b, s in enumerate(self.states) if s.reason is Reason.NOISE and not s.zero]
        if not open_blocks:
            return
        kept = {b: self.states[b].difference for b in range(len(self.states))}
        scales = [s.scale for s in self.states]
        groups = group_blocks(scales, [s.norm for s in self.states], [b not in open_blocks for b in range(len(scales))])
        alpha = self.settings.alpha / len(groups)
        for members in groups:
            chosen = [member for member in members if member.block in open_blocks]
            if chosen:
                self.certify_group(chosen, alpha)
        for b in open_blocks:
            if self.states[b].verdict is Verdict.INCONCLUSIVE:
                self.states[b].difference = kept[b]
            else:  # what the lines say is sharper than the sum of the coordinates' noise
                self.states[b].residual = self.states[b].numerical_norm = math.nan

    def open_by_noise(self, b: int) -> bool:
        assert self.exhaustive is not None  # noqa: S101
        measured = self.exhaustive.blocks[b]
        certified = self.states[b].verdict is Verdict.CORRECT
        undecided = self.exhaustive.verdict(b, self.negligible(b)) is Verdict.INCONCLUSIVE
        return undecided and not certified and not measured.undecided.any()

    def negligible(self, b: int) -> float:
        """Size of a residual that counts as none in a block of zeros: what the tolerance makes of the others' share."""
        state = self.states[b]
        shares = [s.scale * s.norm for s in self.states if not s.zero]
        share = max(shares, default=abs(self.base))
        return state.tolerance * share / state.scale if state.scale > 0 else 0.0

    def coordinate_step(self) -> float:
        """Return the step of the two-point formula, from what a line has taught; a first line where none was made.

        Truncation h²φ‴/6 is to stay a tenth of the tolerance where the cost changes over the parameters' own length,
        and the noise ε/h is balanced against it at (ε/A)^¼, between the best steps of order 2 and order 4.
        """
        if self.calibration is None and not self.certifiers:
            scales = tuple(state.scale for state in self.states)
            direction = RandomDirection(self.settings.seed, self.next_streams(), scales)
            _, self.calibration = first_line(
                self.line_of(direction), 0.0, self.pool, max_evaluations=15, enough=ENOUGH_FOR_COORDINATES
            )
        change = math.hypot(*(state.scale * state.norm for state in self.states)) or abs(self.base) or 1.0
        noise, _ = self.pool.level(0.5 * UNIT_ROUNDOFF[self.engine.precision] * abs(self.base))
        tolerance = min(state.tolerance for state in self.states)
        balanced = max(noise / change, 1e-16) ** 0.25
        return min(max(balanced, 3e-5), max(math.sqrt(tolerance) / 3, 3e-5), 0.1) * 1.0371

    def take_coordinates(self, b: int, state: BlockState, exhaustive: Exhaustive) -> None:
        """Combine what the coordinates say of a block with what the certificate said."""
        measured = exhaustive.blocks[b]
        verdict = exhaustive.verdict(b, self.negligible(b))
        if verdict is Verdict.INCONCLUSIVE and state.verdict is not Verdict.CORRECT and self.settings.tolerance is None:
            verdict = self.raise_for_coordinates(b, state, exhaustive)
        estimate, _, upper = exhaustive.residual_bounds(b)
        difference = exhaustive.difference(b)
        state.wrong_coordinates = int(measured.wrong.sum())
        state.not_exercised = int(measured.still.sum())
        state.residual = estimate
        state.numerical_norm = float(np.linalg.norm(self.claimed[b] + measured.discrepancy))
        if state.verdict is Verdict.WRONG and verdict is not Verdict.WRONG:
            return  # proved by lines, though no coordinate by itself stands out
        if verdict is Verdict.WRONG:
            state.verdict, state.reason = Verdict.WRONG, None
        elif state.verdict is Verdict.CORRECT and not measured.undecided.any():
            difference = Difference(
                estimate=difference.estimate,
                lower=min(difference.lower, state.difference.upper),
                upper=min(difference.upper, state.difference.upper),
            )
        elif verdict is Verdict.CORRECT:
            state.verdict, state.reason = Verdict.CORRECT, None
        else:
            state.verdict = Verdict.INCONCLUSIVE
            state.reason = Reason.DOMAIN if measured.undecided.any() and self.engine.last_error else Reason.NOISE
            if not np.isfinite(measured.truncation).any():
                difference = Difference(estimate=math.nan, lower=0.0, upper=1.0)
                state.residual = state.numerical_norm = math.nan
        state.difference = difference
        noise = math.sqrt(float(np.sum(measured.spread**2))) + float(np.linalg.norm(measured.truncation))
        own = difference_from_below(5 * noise, state.norm) if math.isfinite(noise) else 1.0
        state.resolution = min(state.resolution, own) if state.norm > 0 else state.resolution
        del upper

    def raise_for_coordinates(self, b: int, state: BlockState, exhaustive: Exhaustive) -> Verdict:
        """Raise a tolerance that was not given to what single coordinates resolve."""
        highest = max(HIGHEST_TOLERANCES[self.problem.blocks[b].dtype], HIGHEST_TOLERANCES[self.engine.precision])
        difference = exhaustive.difference(b)
        noise_only = difference.lower <= state.tolerance
        wanted = _round_up(difference.upper)
        if noise_only and wanted <= highest and not exhaustive.blocks[b].undecided.any():
            state.tolerance = max(state.tolerance, wanted)
            exhaustive.tolerances = [s.tolerance for s in self.states]
        return exhaustive.verdict(b, self.negligible(b))

    # -- measuring single directions, for the search -----------------------------------------------------------------

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

    def remedied(self, claims: dict[int, FloatArray]) -> tuple[Verdict, float]:
        """Certify some blocks with other claims, with fresh directions; return the verdict and the bound on their D."""
        kept = self.claimed
        self.engine.claimed = tuple(claims.get(b, g) for b, g in enumerate(kept))
        try:
            members = []
            for b, gradient in claims.items():
                norm = float(np.linalg.norm(gradient))
                members.append(Member(b, self.states[b].scale, norm or self.states[b].norm, zero=norm == 0))
            share = min(m.scale * m.norm for m in members)
            members = [Member(m.block, min(m.scale, share / m.norm), m.norm, m.zero) for m in members]
            certifier = self.certifier(members, self.settings.alpha)
            verdict = certifier.run([self.states[m.block].tolerance for m in members])
            upper = max(certifier.evidence.difference(m).upper for m in members)
        finally:
            self.engine.claimed = kept
        return verdict, upper

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

    # -- conclusions -------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Give every block a verdict, and the causes on the cost's side a name."""
        for state in self.states:
            if state.verdict is None:
                state.verdict = Verdict.INCONCLUSIVE
                state.reason = state.reason or (Reason.BUDGET if self.spent else Reason.NOISE)
        tolerance = max((state.tolerance for state in self.states), default=0.0)
        if self.claim_unsteady > tolerance:
            self.settle_unsteady_claim()
        elif self.claim_unsteady > 0:
            self.notes.append(
                f"Two calls of the claimed gradient differ by {self.claim_unsteady:.1e} (relatively, in {self.unsteady_block}): below the tolerance."
            )
        self.explain_cost_side()

    def settle_unsteady_claim(self) -> None:
        """A claim that gives two answers is wrong at least once, unless the cost itself is random."""
        random_cost = bool(self.pool.repetition)
        sentence = (
            f"Two calls of the claimed gradient's function at the same point differ by {self.claim_unsteady:.1e} "
            f"(relative difference in {self.unsteady_block})."
        )
        self.diagnoses.insert(
            0,
            Diagnosis(
                cause=Cause.NON_DETERMINISTIC_CLAIM,
                block=self.unsteady_block,
                sentence=sentence,
                remedy="fix the random seed inside the function, or reset what it accumulates between calls",
            ),
        )
        for block, state in zip(self.problem.blocks, self.states, strict=True):
            if block.name == self.unsteady_block and state.verdict is Verdict.CORRECT:
                state.verdict = Verdict.INCONCLUSIVE if random_cost else Verdict.WRONG
                state.reason = Reason.CLAIM if random_cost else None

    def explain_cost_side(self) -> None:
        """Name what the cost does that stands in the way: randomness, noise, kinks."""
        undecided = [s for s in self.states if s.verdict is Verdict.INCONCLUSIVE]
        noise = self.noise
        if self.pool.repetition:
            self.diagnoses.append(
                Diagnosis(
                    cause=Cause.NON_DETERMINISTIC_COST,
                    block="",
                    coefficient=noise,
                    sentence=f"Two calls of the cost at the same point differ (noise of about {noise:.1e}): it is random.",
                    remedy="fix the seed inside the cost, or switch off dropout and other random layers",
                )
            )
        elif any(s.reason is Reason.NOISE for s in undecided):
            self.diagnoses.append(
                Diagnosis(
                    cause=Cause.NOISE,
                    block="",
                    coefficient=noise,
                    sentence=f"The cost is known only to about {noise:.1e}: that hides errors of the size of the tolerance.",
                    remedy="compute the cost in double precision, tighten its solver's tolerance, or give a larger tolerance=",
                )
            )
        if any(s.reason is Reason.KINK for s in undecided):
            self.diagnoses.append(
                Diagnosis(
                    cause=Cause.KINK,
                    block="",
                    sentence="The cost has a kink at this point: its slope jumps, so that no gradient is defined there.",
                    remedy="check at a nearby point, for instance point + 0.01 * rng.standard_normal(shape)",
                )
            )

    def overall_verdict(self) -> Verdict:
        verdicts = {state.verdict for state in self.states}
        if Verdict.WRONG in verdicts:
            return Verdict.WRONG
        return Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in verdicts else Verdict.CORRECT

    def overall_difference(self) -> Difference:
        """Combine the blocks: residuals and norms add up in squares."""
        claimed = math.hypot(*(s.norm for s in self.states))
        residual = [s.residual if math.isfinite(s.residual) else _residual(s.difference.estimate, s.norm) for s in self.states]
        numerical = [
            s.numerical_norm if math.isfinite(s.numerical_norm) else max(s.norm - r, 0.0) if r > 0.5 * s.norm else s.norm
            for s, r in zip(self.states, residual, strict=True)
        ]
        total = claimed + math.hypot(*numerical)
        estimate = min(math.hypot(*residual) / total, 1.0) if total > 0 else 0.0
        if all(math.isnan(s.difference.estimate) for s in self.states):
            estimate = math.nan  # nothing could be measured
        uppers = [_residual(s.difference.upper, s.norm) for s in self.states]
        lowers = [_residual_below(s.difference.lower, s.norm) for s in self.states]
        upper = difference_from_above(math.hypot(*uppers), claimed) if claimed > 0 else max((s.difference.upper for s in self.states), default=0.0)
        lower = difference_from_below(math.hypot(*lowers), claimed) if claimed > 0 else max((s.difference.lower for s in self.states), default=0.0)
        if math.isnan(estimate):
            return Difference(estimate=estimate, lower=lower, upper=upper)
        return Difference(estimate=estimate, lower=min(lower, estimate), upper=max(upper, estimate))

    def tolerance_reason(self) -> str:
        """Say where the tolerance comes from."""
        if self.settings.tolerance is not None:
            return "as given"
        largest = max((s.tolerance for s in self.states), default=DEFAULT_TOLERANCES["float64"])
        precision = self.engine.precision
        default = max([DEFAULT_TOLERANCES[precision], *(DEFAULT_TOLERANCES[b.dtype] for b in self.problem.blocks)])
        if largest > default:
            noise = self.noise
            return f"raised from the default {default:g} to what the noise of the cost ({noise:.1e}) can resolve"
        lowest = max([precision, *(b.dtype for b in self.problem.blocks)], key=lambda kind: UNIT_ROUNDOFF[kind])
        return f"the default for {lowest}"

    def certificate(self) -> Certificate | None:
        """Summarise the random lines."""
        used = [c for c in self.certifiers if c.evidence.lines]
        if not used:
            return None
        difference = self.overall_difference()
        noise = self.noise
        return Certificate(
            lines=sum(len(c.evidence.lines) for c in used),
            remeasured=sum(c.remeasured for c in used),
            confidence=self.settings.confidence,
            upper=difference.upper,
            lower=difference.lower,
            noise=noise,
            evaluations=sum(e.evaluations for c in used for e in c.evidence.lines),
        )

    def report(self, explanation: Explanation | None) -> Report:
        """Assemble the report."""
        verdict = self.overall_verdict()
        noise = self.noise
        reasons = [s.reason for s in self.states if s.verdict is Verdict.INCONCLUSIVE and s.reason is not None]
        diagnoses = tuple(self.diagnoses) if explanation is None else (*explanation.diagnoses, *self.diagnoses)
        notes = (*self.notes, *(explanation.notes if explanation is not None else ()))
        certificate = self.certificate()
        if certificate is not None and certificate.remeasured:
            notes = (*notes, f"{certificate.remeasured} of {certificate.lines} lines crossed a kink and were measured again at shorter steps along the same direction.")
        if self.engine.last_error and verdict is not Verdict.WRONG:
            then = "no step was found that works" if Reason.DOMAIN in reasons else "shorter steps were used there"
            notes = (*notes, f"The cost failed at a displaced point ({self.engine.last_error}); {then}.")
        return Report(
            verdict=verdict,
            difference=self.overall_difference(),
            blocks=tuple(self.block_result(b) for b in range(len(self.states))),
            tolerance=max(s.tolerance for s in self.states),
            tolerance_reason=self.tolerance_reason(),
            confidence=self.settings.confidence,
            strategy=self.strategy,
            seed=self.settings.seed,
            budget=0 if self.budget >= UNLIMITED else self.budget,
            evaluations=self.engine.evaluations,
            cost=self.base,
            noise=noise,
            coordinates=self.coordinate_results(),
            diagnoses=diagnoses,
            certificate=certificate,
            reason=reasons[0] if verdict is Verdict.INCONCLUSIVE and reasons else None,
            notes=notes,
            skipped=self.problem.skipped,
        )

    def block_result(self, b: int) -> BlockResult:
        block, state = self.problem.blocks[b], self.states[b]
        idle = state.not_exercised
        if self.exhaustive is None and state.verdict is Verdict.CORRECT:
            idle = int(np.count_nonzero(self.claimed[b] == 0))
        return BlockResult(
            name=block.name,
            shape=block.shape,
            dtype=block.dtype,
            verdict=state.verdict or Verdict.INCONCLUSIVE,
            difference=state.difference,
            resolution=state.resolution,
            tolerance=state.tolerance,
            not_exercised=idle,
            wrong_coordinates=state.wrong_coordinates,
            reason=state.reason,
        )

    def coordinate_results(self) -> tuple[CoordinateResult, ...]:
        """List the faulty coordinates worst first, then those judged at a kink."""
        if self.exhaustive is None:
            return ()
        rows = []
        for b, (block, measured) in enumerate(zip(self.problem.blocks, self.exhaustive.blocks, strict=True)):
            for j in sorted({*np.flatnonzero(measured.wrong).tolist(), *measured.kinks}):
                claimed = float(self.claimed[b][j])
                numerical = claimed + float(measured.discrepancy[j])
                _, degrees = self.pool.level(0.0)
                bar = float(measured.truncation[j]) + student_quantile(degrees, 2e-3) * float(measured.spread[j])
                index = tuple(int(i) for i in np.unravel_index(j, block.shape)) if block.shape else ()
                result = CoordinateResult(
                    block=block.name, index=index, claimed=claimed, numerical=numerical, error_bar=bar, kink=measured.kinks.get(j)
                )
                size = abs(claimed) + abs(numerical)
                relative = abs(float(measured.discrepancy[j])) / size if size > 0 else 0.0
                rows.append((not measured.wrong[j], -relative * size, -relative, result))
        rows.sort(key=lambda row: row[:3])
        return tuple(row[3] for row in rows[:SHOWN_COORDINATES])

    def report_non_finite(self) -> Report:
        """Report a claim that is not finite: WRONG, and no evaluation was spent on it."""
        named = {d.block for d in self.diagnoses}
        nothing = Difference(estimate=math.nan, lower=math.nan, upper=math.nan)
        blocks = tuple(
            BlockResult(
                name=block.name,
                shape=block.shape,
                dtype=block.dtype,
                verdict=Verdict.WRONG if block.name in named else Verdict.INCONCLUSIVE,
                difference=nothing,
                resolution=math.nan,
                tolerance=self.settings.tolerance or DEFAULT_TOLERANCES[block.dtype],
                wrong_coordinates=int(np.count_nonzero(~np.isfinite(gradient))),
                reason=None if block.name in named else Reason.CLAIM,
            )
            for block, gradient in zip(self.problem.blocks, self.claimed, strict=True)
        )
        return Report(
            verdict=Verdict.WRONG,
            difference=nothing,
            blocks=blocks,
            tolerance=max(block.tolerance for block in blocks),
            tolerance_reason="as given" if self.settings.tolerance else "the default",
            confidence=self.settings.confidence,
            strategy=self.strategy,
            seed=self.settings.seed,
            budget=0 if self.budget >= UNLIMITED else self.budget,
            evaluations=self.engine.evaluations,
            cost=self.base,
            noise=math.nan,
            diagnoses=tuple(self.diagnoses),
            skipped=self.problem.skipped,
        )


def _round_up(value: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten."""
    if not (value > 0 and math.isfinite(value)):
        return value
    power = 10.0 ** math.floor(math.log10(value))
    digit = next((d for d in (1, 2, 5, 10) if d * power >= value), 10)
    return float(f"{digit * power:.3g}")


def _residual(difference: float, norm: float) -> float:
    """Return the ‖r‖ that a bound on D allows: 2DG/(1 + D)."""
    return 2 * difference * norm / (1 + difference) if math.isfinite(difference) else 0.0


def _residual_below(difference: float, norm: float) -> float:
    """Return the ‖r‖ that a lower bound on D proves: 2DG/(1 − D)."""
    return 2 * difference * norm / (1 - difference) if difference < 1 else norm


