"""The phase of single coordinates: measure each one, and combine what they say with what lines said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from gradproof._evidence.certificate import group_blocks
from gradproof._evidence.columns import Exhaustive, two_point_step
from gradproof._examination.certification import Certification
from gradproof._examination.study import BlockState, Study
from gradproof._numerics.lines import first_line
from gradproof._numerics.statistics import difference_from_below
from gradproof._problem.scales import coordinate_scales
from gradproof._words.directions import Coordinate, RandomDirection
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Difference, Reason, Verdict
from gradproof._words.settings import HIGHEST_TOLERANCES, round_up
from gradproof._words.vectors import FloatArray

ENOUGH_FOR_COORDINATES: Final = 8.0
"""Degrees of freedom of the noise below which the bars of single coordinates would be needlessly wide."""


class Enumeration:
    """Measures every coordinate.

    Parameters
    ----------
    study
        What is known so far; the phase adds to it.
    """

    def __init__(self, study: Study, certification: Certification) -> None:
        self.study = study
        self.certification = certification

    def measure_coordinates(self) -> None:
        """Measure every coordinate of every block, and let the results overrule what lines left open."""
        if self.certification.aliased():
            self.study.pool.forget()
        scales = coordinate_scales(self.study.problem, self.study.claimed)
        step = self.coordinate_step(scales)
        idle = all(state.zero for state in self.study.states)
        if idle and self.study.anchor == 0 and not self.certification.constant([*range(len(self.study.states))]):
            line = self.study.line_of(self.joint_direction())
            estimate, _ = first_line(line, 0.0, self.study.pool, max_evaluations=12)
            self.study.set_anchor(line, estimate)
        exhaustive = Exhaustive(
            self.study.claimed,
            scales,
            self.study.line_of,
            pool=self.study.pool,
            step=step,
            tolerances=[s.tolerance for s in self.study.states],
            alpha=self.study.settings.alpha,
            roundoff=UNIT_ROUNDOFF[self.study.engine.precision],
            negligible=[self.study.negligible(b) if s.zero else 0.0 for b, s in enumerate(self.study.states)],
            lines_of=self.study.lines_of,
        )
        self.study.exhaustive = exhaustive
        exhaustive.run()
        for b, state in enumerate(self.study.states):
            self.take_coordinates(b, state, exhaustive)
        if self.study.settings.strategy == "coordinates":
            self.certify_what_noise_left_open()
        for b, state in enumerate(self.study.states):
            if state.verdict is Verdict.INCONCLUSIVE and state.reason in {Reason.NOISE, Reason.BORDER}:
                # Longer steps tell more where noise is what limits; then a tolerance that was not given may be raised.
                exhaustive.sweep_four(b, self.longer_step())
                self.take_coordinates(b, state, exhaustive, may_raise=True)

    def longer_step(self) -> float:
        """Return the step of the four-point formula: (ε/A)^⅕ of the parameters' length."""
        change = math.hypot(*(state.scale * state.norm for state in self.study.states)) or abs(self.study.base) or 1.0
        noise = max(self.study.noise, self.study.engine.granularity)
        return float(min((max(noise / change, 1e-17)) ** 0.2, 0.2))

    def certify_what_noise_left_open(self) -> None:
        """Ask random lines about blocks whose single coordinates drown in noise: a line moves all of them at once."""
        open_blocks = [b for b, s in enumerate(self.study.states) if s.reason is Reason.NOISE and not s.zero]
        if not open_blocks:
            return
        kept = {b: self.study.states[b].difference for b in range(len(self.study.states))}
        scales = [s.scale for s in self.study.states]
        groups = group_blocks(
            scales, [s.norm for s in self.study.states], [b not in open_blocks for b in range(len(scales))]
        )
        alpha = self.study.settings.alpha / len(groups)
        for members in groups:
            chosen = [member for member in members if member.block in open_blocks]
            if chosen:
                self.certification.certify_group(chosen, alpha)
        for b in open_blocks:
            if self.study.states[b].verdict is Verdict.INCONCLUSIVE:
                self.study.states[b].difference = kept[b]
            else:  # what the lines say is sharper than the sum of the coordinates' noise
                self.study.states[b].residual = self.study.states[b].numerical_norm = math.nan

    def joint_direction(self) -> RandomDirection:
        """Return a direction that moves every block by its own scale."""
        scales = tuple(state.scale for state in self.study.states)
        return RandomDirection(self.study.settings.seed, self.study.next_streams(), scales)

    def steepest(self, scales: Sequence[FloatArray]) -> Coordinate:
        """Return the coordinate that is claimed to change the cost most over its own length."""
        changes = [np.abs(g) * s for g, s in zip(self.study.claimed, scales, strict=True)]
        b = max(range(len(changes)), key=lambda k: float(np.max(changes[k], initial=0.0)))
        j = int(np.argmax(changes[b]))
        return Coordinate(b, j, float(scales[b][j]))

    def coordinate_step(self, scales: Sequence[FloatArray]) -> float:
        """Return the step of the two-point formula, from what a line has taught; a first line where none was made."""
        if not self.study.pool.readings:
            line = self.study.line_of(self.joint_direction())
            first_line(line, 0.0, self.study.pool, max_evaluations=12, scale=0.1, enough=ENOUGH_FOR_COORDINATES)
        if not self.study.pool.readings and self.study.engine.last_error:
            # Between bounds no random direction leads inside; the noise is known from one coordinate, too.
            line = self.study.line_of(self.steepest(scales))
            first_line(line, 0.0, self.study.pool, max_evaluations=12, scale=0.1, enough=ENOUGH_FOR_COORDINATES)
        change = math.hypot(*(state.scale * state.norm for state in self.study.states)) or abs(self.study.base) or 1.0
        noise = max(self.study.noise, self.study.engine.granularity)
        tolerance = min(state.tolerance for state in self.study.states)
        return two_point_step(noise / change, tolerance)

    def take_coordinates(self, b: int, state: BlockState, exhaustive: Exhaustive, *, may_raise: bool = False) -> None:
        """Combine what the coordinates say of a block with what the certificate said."""
        measured = exhaustive.blocks[b]
        verdict = exhaustive.verdict(b, self.study.negligible(b))
        if verdict is Verdict.INCONCLUSIVE and may_raise and self.study.settings.tolerance is None:
            verdict = self.raise_for_coordinates(b, state, exhaustive)
        estimate, _, upper = exhaustive.residual_bounds(b)
        difference = exhaustive.difference(b)
        state.wrong_coordinates = int(measured.wrong.sum())
        state.not_exercised = int(measured.still.sum())
        state.residual = estimate
        state.numerical_norm = float(np.linalg.norm(self.study.claimed[b] + measured.discrepancy))
        if state.verdict is Verdict.WRONG and verdict is not Verdict.WRONG:
            return  # proved by lines, though no coordinate by itself stands out
        if verdict is Verdict.WRONG:
            state.verdict, state.reason = Verdict.WRONG, None
        elif state.verdict is Verdict.CORRECT and not np.isinf(measured.truncation).any():
            # Coordinates that noise or curvature hides leave standing what lines have proved of them all.
            upper = min(difference.upper, state.difference.upper)
            difference = Difference(
                estimate=min(difference.estimate, upper), lower=min(difference.lower, upper), upper=upper
            )
        elif verdict is Verdict.CORRECT:
            state.verdict, state.reason = Verdict.CORRECT, None
        else:
            state.verdict = Verdict.INCONCLUSIVE
            state.reason = Reason.DOMAIN if measured.undecided.any() and self.study.engine.last_error else Reason.NOISE
            if not np.isfinite(measured.truncation).any():
                difference = Difference(estimate=math.nan, lower=0.0, upper=1.0)
                state.residual = state.numerical_norm = math.nan
        if state.zero and state.verdict is Verdict.CORRECT:
            # Zero on both sides, as far as can be told: D is taken against what the tolerance is a share of.
            whole = self.study.negligible(b) / state.tolerance
            share = [min(value / whole, 1.0) if whole > 0 else 0.0 for value in (estimate, upper)]
            difference = Difference(estimate=share[0], lower=0.0, upper=share[1])
            state.residual = state.numerical_norm = 0.0
        state.difference = difference
        noise = math.sqrt(float(np.sum(measured.spread**2))) + float(np.linalg.norm(measured.truncation))
        own = difference_from_below(5 * noise, state.norm) if math.isfinite(noise) else 1.0
        state.resolution = min(state.resolution, own) if state.norm > 0 else state.resolution

    def raise_for_coordinates(self, b: int, state: BlockState, exhaustive: Exhaustive) -> Verdict:
        """Raise a tolerance that was not given to what single coordinates resolve."""
        highest = max(
            HIGHEST_TOLERANCES[self.study.problem.blocks[b].dtype], HIGHEST_TOLERANCES[self.study.engine.precision]
        )
        difference = exhaustive.difference(b)
        noise_only = difference.lower <= state.tolerance
        wanted = round_up(difference.upper)
        if noise_only and wanted <= highest and not exhaustive.blocks[b].undecided.any():
            state.tolerance = max(state.tolerance, wanted)
            exhaustive.tolerances = [s.tolerance for s in self.study.states]
        return exhaustive.verdict(b, self.study.negligible(b))
