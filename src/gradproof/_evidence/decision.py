"""From measured lines to bounds, and from bounds to a verdict: the only place where one is decided.

A line gives y = (g − ∇J)·v with a truncation bound T and a noise scale s, for v = (a_b z_b) with normal z. The sum over
the blocks Σ a_b²‖r_b‖² is bounded from above and from below by χ² quantiles, and one event bounds every block:
‖r_b‖ ≤ R/a_b.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gradproof._numerics.statistics import (
    alpha_for_correct,
    alpha_for_wrong,
    difference_from_above,
    difference_from_below,
    norm_lower_bound,
    norm_upper_bound,
    residual_allowed,
    residual_possible,
    student_quantile,
)
from gradproof._words.results import Difference, Estimate, Verdict

SAME_NOISE: Final = 4.0
"""Factor up to which the noise of two lines is taken for the same, known better or worse."""


@dataclass(slots=True)
class Member:
    """One block in a group of blocks that are displaced together.

    Parameters
    ----------
    block
        Its number.
    scale
        a_b.
    norm
        ‖g_b‖; what stands for it where the claim is zero.
    zero
        The claim is zero (or negligible beside the whole gradient).
    """

    block: int
    scale: float
    norm: float
    zero: bool = False

    def allowed(self, tolerance: float) -> float:
        """Largest a_b‖r_b‖ that certifies this block."""
        if self.zero:
            return tolerance * self.scale * self.norm
        return residual_allowed(tolerance, self.scale * self.norm)

    def possible(self, tolerance: float) -> float:
        """Largest a_b‖r_b‖ that a right block can have."""
        if self.zero:
            return tolerance * self.scale * self.norm
        return residual_possible(tolerance, self.scale * self.norm)


@dataclass(slots=True)
class Evidence:
    """The lines measured of one group, and what they prove at level α."""

    members: Sequence[Member]
    alpha: float
    lines: list[Estimate] = field(default_factory=list)

    def upper(self) -> float:
        """Bound (Σ a_b²‖r_b‖²)^½ from above: R."""
        if len(self.lines) < 2:
            return math.inf
        alpha = alpha_for_correct(self.alpha, len(self.lines))
        return norm_upper_bound([e.value for e in self.lines], [e.truncation_error for e in self.lines], alpha)

    def lower(self) -> float:
        """Bound it from below: L. Here the noise must be covered, with its own uncertainty.

        Of the α that a look may spend, half goes to the χ² of the directions and half to the noise of the m lines.
        """
        m = len(self.lines)
        if m == 0:
            return 0.0
        alpha = alpha_for_wrong(self.alpha, m) / 2
        excesses = []
        for e in self.lines:
            t = student_quantile(e.degrees_of_freedom, alpha / m)
            excesses.append(max(abs(e.value) - 3 * e.truncation_error - t * e.roundoff_error, 0.0))
        return norm_lower_bound(excesses, alpha)

    def know_better(self, latest: Estimate) -> None:
        """Judge the lines before by what the latest one knows of the noise, where it is the same noise."""
        for k, e in enumerate(self.lines):
            same = latest.noise > 0 and 1 / SAME_NOISE <= e.noise / latest.noise <= SAME_NOISE
            if same and e.degrees_of_freedom < latest.degrees_of_freedom:
                self.lines[k] = replace(
                    e,
                    roundoff_error=e.roundoff_error * latest.noise / e.noise,
                    noise=latest.noise,
                    degrees_of_freedom=latest.degrees_of_freedom,
                )

    def verdict(self, tolerances: Sequence[float]) -> Verdict:
        """Decide on the group as a whole; WRONG names no block."""
        pairs = list(zip(self.members, tolerances, strict=True))
        if self.upper() <= min(member.allowed(tolerance) for member, tolerance in pairs):
            return Verdict.CORRECT
        if self.lower() > math.hypot(*(member.possible(tolerance) for member, tolerance in pairs)):
            return Verdict.WRONG
        return Verdict.INCONCLUSIVE

    def estimate(self) -> float:
        """Estimate (Σ a_b²‖r_b‖²)^½: the root mean square of the lines."""
        values = [e.value for e in self.lines]
        return math.hypot(*values) / math.sqrt(len(values)) if values else math.nan

    def difference(self, member: Member) -> Difference:
        """Return what the group's bounds say of D in one block."""
        scale = member.scale
        alone = len(self.members) == 1
        upper, lower, estimate = self.upper() / scale, self.lower() / scale if alone else 0.0, self.estimate() / scale
        if member.zero:
            norm = member.norm
            return Difference(
                estimate=min(estimate / norm, 1.0) if norm > 0 else 0.0,
                lower=min(lower / norm, 1.0) if norm > 0 else 0.0,
                upper=min(upper / norm, 1.0) if norm > 0 else float(upper > 0),
            )
        return Difference(
            estimate=difference_from_below(estimate, member.norm) if math.isfinite(estimate) else math.nan,
            lower=difference_from_below(lower, member.norm),
            upper=difference_from_above(upper, member.norm),
        )


def lines_needed(spread: float, allowed: float, alpha: float, most: int) -> int | None:
    """Return how many lines certify a right gradient where one line has this spread; None for more than `most`.

    The expected value of Σy² is m s², so that R ≈ s √(m/q_m).
    """
    for m in range(2, most + 1):
        if norm_upper_bound([spread] * m, [0.0] * m, alpha_for_correct(alpha, m)) <= 0.7 * allowed:
            return m
    return None
