"""The certificate: a gradient of any size from a handful of random directions.

Blocks are displaced together, each by its own scale, in groups of blocks that change the cost comparably: one line then
resolves each of them about as well as it would alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from gradproof._evidence.decision import Evidence, Member, lines_needed
from gradproof._numerics.lines import KINKS_CROSSED, Calibration, careful_derivative, first_line, later_line
from gradproof._numerics.noise import Pool
from gradproof._numerics.statistics import within
from gradproof._numerics.steps import FIRST_STEP
from gradproof._numerics.tables import Line
from gradproof._words.directions import Direction, RandomDirection
from gradproof._words.results import Estimate, Verdict

SPREAD_OF_A_GROUP: Final = 100.0
"""Blocks that change the cost by less than 1/100 of what another does are displaced by themselves."""
MOST_LINES: Final = 48
"""Lines after which a group stays undecided: the bound then no longer falls appreciably (√(m/q_m) is 1.9 at α = 1e-6)."""
FIRST_LINE: Final = 34
"""Most evaluations of a first line."""
CONFIRMED: Final = 0.1
"""Two steps that show the same discrepancy to this fraction confirm each other."""
SHORT_OF_SCALE: Final = 0.3
"""All coordinates move at once along these lines: their first step is this much shorter than for one."""
MANY: Final = 1e6
"""Coordinates above which a first step is shorter still: the more move at once, the nearer is the first kink."""
FAR_LESS_KNOWN: Final = 10.0
"""A line whose truncation error is so many times what the others may be off by is measured again."""
LineOf = Callable[[Direction], Line]


def group_blocks(scales: Sequence[float], norms: Sequence[float], zeros: Sequence[bool]) -> list[list[Member]]:
    """Put the blocks into groups that change the cost comparably, and choose their scales a_b.

    Parameters
    ----------
    scales
        ℓ_b: by how much block b may be displaced.
    norms
        ‖g_b‖.
    zeros
        Blocks whose claim counts as zero; they join the first group, judged by what it moves.

    Returns
    -------
    list of list of Member
        With a_b = min(ℓ_b, λ/‖g_b‖) and λ the smallest ℓ_b‖g_b‖ of the group, so that the blocks of a group have equal
        shares in the change of the cost and equal resolution.
    """
    weights = [(s * n, k) for k, (s, n, zero) in enumerate(zip(scales, norms, zeros, strict=True)) if not zero]
    groups: list[list[Member]] = []
    remaining = sorted(weights, reverse=True)
    while remaining:
        largest = remaining[0][0]
        chosen = [k for w, k in remaining if w * SPREAD_OF_A_GROUP >= largest]
        remaining = remaining[len(chosen) :]
        share = min(scales[k] * norms[k] for k in chosen)
        groups.append([Member(k, min(scales[k], share / norms[k]), norms[k]) for k in sorted(chosen)])
    share = groups[0][0].scale * groups[0][0].norm if groups else 0.0
    idle = [Member(k, scales[k], share / scales[k], zero=True) for k, zero in enumerate(zeros) if zero]
    if groups:
        groups[0] = sorted([*groups[0], *idle], key=lambda member: member.block)
    elif idle:
        groups = [idle]
    return groups


class Certifier:
    """The sequential certificate of one group.

    Parameters
    ----------
    members
        The blocks and their scales.
    line_of
        Makes a line of a recipe.
    blocks
        Number of blocks in all.
    seed, stream
        Of the directions; each certifier has streams of its own.
    alpha
        Probability of a wrong verdict that this group may spend.
    pool
        The noise of the cost.
    size
        Number of coordinates that are displaced.
    """

    def __init__(
        self,
        members: Sequence[Member],
        line_of: LineOf,
        blocks: int,
        *,
        seed: int,
        stream: int,
        alpha: float,
        pool: Pool,
        size: int = 0,
    ) -> None:
        self.members = list(members)
        self.line_of = line_of
        self.blocks = blocks
        self.seed = seed
        self.stream = stream
        self.pool = pool
        self.scale = SHORT_OF_SCALE * min(1.0, math.sqrt(MANY / size)) if size else SHORT_OF_SCALE
        self.evidence = Evidence(self.members, alpha)
        self.calibration: Calibration | None = None
        self.directions: list[RandomDirection] = []
        self.remeasured = 0
        self.read_again: set[int] = set()
        self.kink = False
        self.failed = False

    def direction(self) -> RandomDirection:
        """Return the next direction's recipe."""
        scales = [0.0] * self.blocks
        for member in self.members:
            scales[member.block] = member.scale
        self.stream += 1
        return RandomDirection(self.seed, self.stream, tuple(scales))

    def target(self, tolerances: Sequence[float]) -> float:
        """Return the bar that a first line should have for two lines to certify a right gradient."""
        allowed = min(m.allowed(t) for m, t in zip(self.members, tolerances, strict=True))
        two = 2 / 1.4e3  # √(2/q₂) at α/2, for the default confidence
        return allowed * two

    def run(self, tolerances: Sequence[float], most: int = MOST_LINES) -> Verdict:
        """Measure lines until the verdict is settled, or cannot be by more of them."""
        while True:
            verdict = self.evidence.verdict(tolerances)
            m = len(self.evidence.lines)
            if verdict is not Verdict.INCONCLUSIVE or self.kink or self.failed or m >= most:
                return verdict
            if m >= 3 and self.hopeless(tolerances, most):
                return verdict
            if m >= 3 and self.reread():
                continue
            self.measure(tolerances)

    def hopeless(self, tolerances: Sequence[float], most: int) -> bool:
        """The noise of a line is such that no number of lines certifies, and nothing points to a mistake either."""
        allowed = min(m.allowed(t) for m, t in zip(self.members, tolerances, strict=True))
        spread = math.hypot(*(e.roundoff_error for e in self.evidence.lines)) / math.sqrt(len(self.evidence.lines))
        noisy = self.evidence.estimate() <= 5 * spread
        return noisy and lines_needed(spread, allowed, self.evidence.alpha, most) is None

    def measure(self, tolerances: Sequence[float]) -> None:
        """Measure one more line."""
        direction = self.direction()
        line = self.line_of(direction)
        if self.calibration is None:
            estimate, self.calibration = first_line(
                line, self.target(tolerances), self.pool, max_evaluations=FIRST_LINE, scale=self.scale
            )
        else:
            estimate = later_line(line, self.calibration, self.pool)
            self.remeasured += KINKS_CROSSED in estimate.method
        self.take(estimate, direction)

    def reread(self) -> bool:
        """Measure the least known line again, along the same direction, where the others are known far better.

        The first one may have ended its search at a step that the others have found to be far too long.
        """
        lines = self.evidence.lines
        bars = [e.truncation_error + e.roundoff_error for e in lines]
        worst = max(range(len(lines)), key=lambda k: lines[k].truncation_error)
        others = [k for k in range(len(lines)) if k != worst]
        known = lines[worst].truncation_error <= FAR_LESS_KNOWN * median(bars[k] for k in others)
        if known or worst in self.read_again:
            return False
        self.read_again.add(worst)
        scale = median(lines[k].step for k in others) / FIRST_STEP
        again = careful_derivative(self.line_of(self.directions[worst]), scale, pool=self.pool)
        if again.trusted and again.kink is None and again.truncation_error + again.roundoff_error < bars[worst]:
            lines[worst] = again
        return True

    def confirm(self) -> None:
        """Measure the last line again along the same direction at another step, and believe the shorter where they differ.

        A mistake in the gradient is the same at every step; what a kink beside the point does to a line is not.
        """
        if self.calibration is None or not self.evidence.lines:
            return
        last, direction = self.evidence.lines[-1], self.directions[-1]
        step = min(self.calibration.step, last.step) / 8
        shorter = Calibration(
            step, self.calibration.truncation / 8**4, self.calibration.fourth / 8**4, self.calibration.rate / 64
        )
        again = later_line(self.line_of(direction), shorter, self.pool, expect_zero=False)
        if not math.isfinite(again.value):
            return
        bar = again.error_bar + last.error_bar + CONFIRMED * abs(last.value)
        if not within(again.value - last.value, bar):
            self.evidence.lines[-1] = again
            self.remeasured += 1

    def take(self, estimate: Estimate, direction: RandomDirection) -> None:
        """Keep a line, or say why it cannot be used."""
        if estimate.kink is not None:
            self.kink = True
        elif not math.isfinite(estimate.value):
            self.failed = True
        elif not estimate.trusted:
            self.kink = True
        else:
            self.evidence.lines.append(estimate)
            self.directions.append(direction)
            self.evidence.know_better(estimate)
