"""The phase of random lines: certify all blocks, group by group, and name the wrong ones."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from gradproof._evaluation.engine import BudgetSpent
from gradproof._evidence.certificate import Certifier, group_blocks
from gradproof._evidence.decision import Member
from gradproof._evidence.zero import AGAIN, NEARBY, NEGLIGIBLE, ROUNDED, rounding_note
from gradproof._examination.study import BlockState, Study
from gradproof._numerics.lines import first_line
from gradproof._numerics.statistics import difference_from_above, norm_upper_bound, student_quantile
from gradproof._words.directions import RandomDirection
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Difference, Reason, Verdict
from gradproof._words.settings import HIGHEST_TOLERANCES, round_up
from gradproof._words.vectors import FloatArray

BORDER: Final = 5.0
"""A discrepancy this many times above a line's noise is no noise: it lies too near to the tolerance to be decided."""
ALIASED: Final = 1e-4
"""Noise of a deterministic cost above this share of its value is taken for a high frequency."""
CONFIRM_LINES: Final = 8
"""Lines within each block that are measured to find the wrong one of a group that is wrong."""
BISECT_BLOCKS: Final = 24
"""Blocks above which a group is halved instead of measured one by one."""
COMFORTABLE: Final = 18.0
"""A tolerance is raised to this many line spreads: eight lines then certify (√(8/q₈) is 12.5 at α = 1e-6)."""
FURTHER: Final = 1e3
"""Factor on the largest change of the cost seen so far up to which it may change nearby."""
FLAT_LINES: Final = 6
FLAT_STEP: Final = 0.5
"""Directions, and the step in units of the parameters' scale, in which a cost that is constant shows it."""


class Certification:
    """Certifies by random lines.

    Parameters
    ----------
    study
        What is known so far; the phase adds to it.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def certify(self) -> None:
        """Certify all blocks, group by group; name the wrong ones."""
        states = self.study.states
        groups = group_blocks([s.scale for s in states], [s.norm for s in states], [s.zero for s in states])
        alpha = self.study.settings.alpha
        for members in groups:
            self.certify_group(members, (1 - AGAIN) * alpha / len(groups))
        rounding = self.reconsider()
        if rounding:
            self.certify_group(rounding, AGAIN * alpha)

    def reconsider(self) -> list[Member]:
        """Count claims as zero that are nothing beside what the cost does nearby; return them.

        At a minimum a gradient is the rounding of its own terms, and the cost itself too small to judge it by.
        """
        study = self.study
        roundoff = UNIT_ROUNDOFF[study.engine.precision] ** NEGLIGIBLE
        seen = roundoff * study.engine.largest_change(study.base)
        open_ = [
            b
            for b, s in enumerate(study.states)
            if s.verdict is not Verdict.CORRECT and not s.zero and s.scale * s.norm * NEARBY <= FURTHER * seen
        ]
        if not open_:
            return []
        scales = tuple(s.scale if b in open_ else 0.0 for b, s in enumerate(study.states))
        line = study.line_of(RandomDirection(study.settings.seed, study.next_streams(), scales))
        try:
            up, down = line([NEARBY, -NEARBY])
        except BudgetSpent:
            return []
        limit = roundoff * max(abs(up), abs(down))
        members = []
        for b in open_:
            state = study.states[b]
            if state.scale * state.norm * NEARBY <= limit:
                state.zero, state.verdict, state.reason = True, None, None
                members.append(Member(b, state.scale, state.norm, zero=True))
        if members:
            study.notes.append(rounding_note([study.problem.blocks[m.block].name for m in members], "cost"))
        return members

    def certify_group(self, members: list[Member], alpha: float) -> None:
        certifier = self.study.certifier(members, alpha)
        self.study.certifiers.append(certifier)
        if all(member.zero for member in members):
            if self.constant([member.block for member in members]):
                return
            self.anchor_zeros(certifier, members)
        verdict = self.run_certifier(certifier)
        if verdict is Verdict.WRONG:
            self.isolate(members, alpha)
            return
        for member in members:
            state = self.study.states[member.block]
            state.verdict = verdict
            state.difference = certifier.evidence.difference(member)
            if verdict is Verdict.INCONCLUSIVE:
                state.reason = self.reason_for(certifier)
            self.set_resolution(state, certifier, member)

    def constant(self, blocks: list[int]) -> bool:
        """Say whether the cost changes by rounding only, a good way off in random directions; then claims of zero are right.

        Sums of probabilities and of normalised numbers are such costs: their gradients are rounding, too, and obey no
        law by which they could be compared. D is taken against the cost's own size over the parameters' scale.
        """
        study, base = self.study, abs(self.study.base)
        rounding = ROUNDED * UNIT_ROUNDOFF[study.engine.precision] * base
        scales = [s.scale if b in blocks else 0.0 for b, s in enumerate(study.states)]
        slopes: list[float] = []
        stream = study.next_streams()
        for k in range(FLAT_LINES):
            line = study.line_of(RandomDirection(study.settings.seed, stream + k, tuple(scales)))
            try:
                up, down = line([FLAT_STEP, -FLAT_STEP])
            except BudgetSpent:
                return False
            if not max(abs(up), abs(down)) <= rounding:  # NaN is no rounding
                return False
            slopes.append(float(up - down) / (2 * FLAT_STEP))
        upper = norm_upper_bound(slopes, [0.0] * len(slopes), study.settings.alpha / 2)
        if base == 0 or upper > min(study.states[b].tolerance for b in blocks) * base:
            return False
        study.anchor = base
        for b in blocks:
            state = study.states[b]
            state.verdict = Verdict.CORRECT
            state.resolution = upper / base
            state.difference = Difference(
                estimate=math.hypot(*slopes) / math.sqrt(len(slopes)) / base, lower=0.0, upper=upper / base
            )
        return True

    def anchor_zeros(self, certifier: Certifier, members: list[Member]) -> None:
        """Judge a gradient of zero everywhere by how much the cost changes at all."""
        direction = certifier.direction()
        line = self.study.line_of(direction)
        estimate, certifier.calibration = first_line(line, 0.0, self.study.pool, max_evaluations=20)
        self.study.set_anchor(line, estimate)
        for member in members:
            member.norm = self.study.anchor / member.scale
        certifier.take(estimate, direction)

    def run_certifier(self, certifier: Certifier) -> Verdict:
        """Run a certifier; raise tolerances that were not given to what the noise allows, and go on."""
        members = certifier.members
        try:
            verdict = certifier.run([self.study.states[m.block].tolerance for m in members])
            if verdict is Verdict.INCONCLUSIVE and self.may_raise(certifier) and self.raise_tolerances(certifier):
                verdict = certifier.run([self.study.states[m.block].tolerance for m in members])
        except BudgetSpent:
            self.study.spent = True
            verdict = certifier.evidence.verdict([self.study.states[m.block].tolerance for m in members])
        if verdict is Verdict.WRONG and self.aliased():
            verdict = Verdict.INCONCLUSIVE
        if self.study.calibration is None and certifier.calibration is not None:
            self.study.calibration = certifier.calibration
        return verdict

    def aliased(self) -> bool:
        """Say whether a cost that repeats its values seems noisier than its solvers and rounding could make it.

        Such a cost varies faster than every step that was tried: its lines prove nothing.
        """
        pool = self.study.pool
        return pool.confirmed and not pool.repetition and self.study.noise > ALIASED * abs(self.study.base)

    def may_raise(self, certifier: Certifier) -> bool:
        return (
            self.study.settings.tolerance is None
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
            state = self.study.states[member.block]
            change = member.scale * member.norm
            if change <= 0:
                continue
            wanted = round_up(COMFORTABLE * spread / (2 * change))
            highest = max(
                HIGHEST_TOLERANCES[self.study.problem.blocks[member.block].dtype],
                HIGHEST_TOLERANCES[self.study.engine.precision],
            )
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
            certifier = self.study.certifier([Member(m.block, m.scale, m.norm, m.zero) for m in remaining], alpha)
            verdict = self.run_certifier(certifier)
            for member in certifier.members:
                state = self.study.states[member.block]
                state.verdict = verdict if verdict is not Verdict.WRONG else None
                state.difference = certifier.evidence.difference(member)
                state.reason = self.reason_for(certifier) if verdict is Verdict.INCONCLUSIVE else None
                self.set_resolution(state, certifier, member)
            if verdict is not Verdict.WRONG:
                return
        for member in remaining:
            state = self.study.states[member.block]
            if state.verdict is None:
                state.verdict, state.reason = Verdict.INCONCLUSIVE, Reason.BORDER

    def wrong_among(self, members: list[Member], alpha: float) -> set[int]:
        """Return the blocks that are wrong by themselves; a large group is halved until they stand alone."""
        if len(members) > BISECT_BLOCKS:
            found: set[int] = set()
            for half in (members[: len(members) // 2], members[len(members) // 2 :]):
                certifier = self.study.certifier([Member(m.block, m.scale, m.norm, m.zero) for m in half], alpha)
                if self.run_certifier(certifier) is not Verdict.CORRECT:
                    found |= self.wrong_among(half, alpha)
            return found
        certifiers = [self.study.certifier([Member(m.block, m.scale, m.norm, m.zero)], alpha) for m in members]
        wrong: set[int] = set()
        for _ in range(CONFIRM_LINES):
            for member, certifier in zip(members, certifiers, strict=True):
                if member.block in wrong or certifier.kink or certifier.failed:
                    continue
                tolerances = [self.study.states[member.block].tolerance]
                if certifier.calibration is None:
                    direction = certifier.direction()
                    estimate, certifier.calibration = first_line(
                        self.study.line_of(direction),
                        certifier.target(tolerances),
                        self.study.pool,
                        max_evaluations=27,
                        scale=0.3,
                    )
                    certifier.take(estimate, direction)
                else:
                    certifier.measure(tolerances)
                if certifier.evidence.verdict(tolerances) is Verdict.WRONG:
                    certifier.confirm()
                if certifier.evidence.verdict(tolerances) is Verdict.WRONG:
                    wrong.add(member.block)
                    self.mark_wrong(certifier, member)
            if wrong:
                break
        return wrong

    def mark_wrong(self, certifier: Certifier, member: Member) -> None:
        state = self.study.states[member.block]
        state.verdict, state.reason = Verdict.WRONG, None
        state.difference = certifier.evidence.difference(certifier.members[0])
        self.set_resolution(state, certifier, certifier.members[0])

    def set_resolution(self, state: BlockState, certifier: Certifier, member: Member) -> None:
        """State the smallest error that would have been seen: what the bars alone amount to."""
        lines = certifier.evidence.lines
        if not lines:
            return
        bars = [abs(e.truncation_error) + e.roundoff_error for e in lines]
        factor = certifier.evidence.upper() / max(
            math.hypot(*(abs(e.value) + e.truncation_error for e in lines)), 1e-300
        )
        seen = math.hypot(*bars) * factor / member.scale if math.isfinite(factor) else math.inf
        t = student_quantile(lines[-1].degrees_of_freedom + len(lines) - 1, self.study.settings.alpha)
        proved = t * max(bars) / member.scale
        state.resolution = (
            difference_from_above(min(max(seen, proved / 5), member.norm), member.norm) if member.norm else 1.0
        )

    def reason_for(self, certifier: Certifier) -> Reason:
        if certifier.kink:
            return Reason.KINK
        if certifier.failed:
            return Reason.DOMAIN
        if self.study.spent:
            return Reason.BUDGET
        spread = max((e.roundoff_error for e in certifier.evidence.lines), default=math.inf)
        noisy = certifier.evidence.estimate() <= BORDER * spread
        return Reason.NOISE if noisy else Reason.BORDER

    def remedied(self, claims: dict[int, FloatArray]) -> tuple[Verdict, float]:
        """Certify some blocks with other claims, with fresh directions; return the verdict and the bound on their D."""
        kept = self.study.claimed
        self.study.engine.claimed = tuple(claims.get(b, g) for b, g in enumerate(kept))
        try:
            members = []
            for b, gradient in claims.items():
                norm = float(np.linalg.norm(gradient))
                members.append(Member(b, self.study.states[b].scale, norm or self.study.states[b].norm, zero=norm == 0))
            share = min(m.scale * m.norm for m in members)
            members = [Member(m.block, min(m.scale, share / m.norm), m.norm, m.zero) for m in members]
            certifier = self.study.certifier(members, self.study.settings.alpha)
            verdict = certifier.run([self.study.states[m.block].tolerance for m in members])
            upper = max(certifier.evidence.difference(m).upper for m in members)
        finally:
            self.study.engine.claimed = kept
        return verdict, upper
