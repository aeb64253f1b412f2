"""From lines to bounds on ‖R‖, R = J − A, and from bounds to verdicts on pairs output × parameter.

A line in the direction v = (a_p z_p), z normal, shows the discrepancy R v of an output, with a truncation bound T and a
noise scale s. Where the whole vector is seen, Σ‖R vᵢ‖² is a sum of weighted χ²_m variables, and rank one (which is what
a cost has) the worst case of both tails:

    upper:  ‖R‖ ≤ √(Σ(‖yᵢ‖ + Tᵢ)²/q_m(α))       noise needs no bar: it only makes ‖y‖ larger (Anderson's inequality)
    lower:  ‖R‖ ≥ √(Σ max(‖yᵢ‖ − 3Tᵢ − t sᵢ, 0)²/q_m(1 − α))      here it does, by Student's t of its degrees of freedom

Where k cotangents' products u_j·R v are seen only, q is the quantile of χ²_k·χ²_m. One event bounds all blocks that are
displaced together: a_p‖R_p‖ ≤ ‖R‖.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import median
from typing import Final

from gradproof._numerics.noise import WELL_KNOWN
from gradproof._numerics.readings import BlockReading
from gradproof._numerics.statistics import (
    alpha_for_correct,
    alpha_for_wrong,
    chi_square_lower_quantile,
    chi_square_product_lower_quantile,
    chi_square_product_upper_quantile,
    chi_square_upper_quantile,
    difference_from_above,
    difference_from_below,
    residual_allowed,
    residual_possible,
    small_ball_quantile,
    student_quantile,
)
from gradproof._words.results import Difference, Reason, Verdict

MOST_LINES: Final = 48
"""Lines after which a group stays undecided: the bound then no longer falls appreciably (√(m/q_m) is 1.9 at α = 1e-6)."""
LINES_ALONE: Final = 8
"""Lines within one block after which it stays undecided, where others are to be named, too."""
FEW: Final = 3
"""Lines after which a group may be given up."""
MISSED: Final = 1e-3
"""Probability with which a difference of the printed resolution would not have been called WRONG."""
SAME_NOISE: Final = 4.0
"""Factor up to which the noise of two lines is taken for the same, known better or worse."""
USEFUL: Final = 3
"""Lines for each cotangent after which the bound falls no more: at α = 1e-6 it is smallest at 6 of them for 4 cotangents
(76 times a line's root mean square), at 24 for 12 (2.7 times)."""
CLEAR: Final = 5.0
"""A discrepancy so many spreads large is not hidden by noise: it lies too near to the tolerance to be decided."""


@dataclass(frozen=True, slots=True)
class Law:
    """How Σ‖yᵢ‖² of m lines is distributed, over ‖R‖²: χ²_m, or χ²_k·χ²_m for k cotangents (k = 0: whole vectors).

    Of products of a rank the lower tail is bounded only: lines of several blocks, which alone are so, prove nothing wrong.
    """

    cotangents: int = 0
    rank: int = 0

    def lower(self, m: int, alpha: float) -> float:
        """Return q with P(Σ ≤ q‖R‖²) ≤ alpha."""
        k = self.cotangents
        if self.rank:
            return small_ball_quantile(m, self.rank, alpha)
        return chi_square_product_lower_quantile(k, m, alpha) if k else chi_square_lower_quantile(m, alpha)

    def upper(self, m: int, alpha: float) -> float:
        """Return q with P(Σ ≥ q‖R‖²) ≤ alpha."""
        k = self.cotangents
        return chi_square_product_upper_quantile(k, m, alpha) if k else chi_square_upper_quantile(m, alpha)

    def factor(self, m: int, alpha: float) -> float:
        """Return by what the root sum of squares of m lines is multiplied for an upper bound."""
        q = self.lower(m, alpha_for_correct(alpha, m)) if m > 1 else 0.0
        return 1 / math.sqrt(q) if q > 0 else math.inf

    def least_factor(self, alpha: float) -> float:
        """Return the smallest ratio of an upper bound to a line's root mean square that more lines do not improve.

        Nothing where whole vectors are seen; few cotangents leave a factor that no number of lines makes smaller.
        """
        return _least_factor(self.cotangents, alpha) if self.cotangents else 0.0

    def useful_lines(self, most: int) -> int:
        """Return after how many lines, of `most`, a bound falls no more: those of few cotangents grow again."""
        return min(most, USEFUL * self.cotangents) if self.cotangents else most


@lru_cache(maxsize=64)
def _least_factor(cotangents: int, alpha: float) -> float:
    return min(math.sqrt(m) * Law(cotangents).factor(m, alpha) for m in range(3, 49))


@dataclass(frozen=True, slots=True)
class Finding:
    """What one experiment says of a pair; never changed, never taken back.

    Parameters
    ----------
    by
        Which experiment: "lines", "columns", "an entry", "the claim".
    lower, upper
        Bounds of ‖R‖ of this pair, in the derivative's units.
    estimate
        Of ‖R‖.
    shown
        What the bars alone come to.
    called
        Smallest ‖R‖ that would have been called WRONG, but in one of a thousand draws of the directions.
    reason
        Why nothing was proved, where nothing was.
    wrong
        It proves the pair wrong by itself, whatever its norm hides.
    numerical
        ‖J‖ of this pair, where it is known.
    """

    by: str
    lower: float = 0.0
    upper: float = math.inf
    estimate: float = math.nan
    shown: float = math.inf
    called: float = math.inf
    reason: Reason | None = None
    wrong: bool = False
    numerical: float = math.nan


@dataclass(slots=True)
class Pair:
    """One output by one block of the point.

    Parameters
    ----------
    output, block
        Their numbers.
    low, norm, high
        Bounds and estimate of the claim's ‖A_op‖.
    scale
        ℓ_p: the block's own length.
    tolerance
        On the relative difference.
    rounding
        What counts as zero: a change of the output, over the block's own scale, that is its rounding.
    zero
        The claim counts as zero.
    findings
        What is known.
    held
        Why it is left open, whatever was found.
    hidden
        What the output may change by unseen, as its nearest values show: less than that proves no claim of zero wrong.
    slack
        What a claim of lower precision may be off by, over the block's own scale, as it is rounded itself.
    wrong_entries, not_exercised
        Single entries that are wrong, and that nothing depends on.
    """

    output: int
    block: int
    low: float
    norm: float
    high: float
    scale: float
    tolerance: float
    rounding: float
    zero: bool = False
    findings: list[Finding] = field(default_factory=list)
    held: Reason | None = None
    hidden: float = 0.0
    slack: float = 0.0
    wrong_entries: int = 0
    not_exercised: int = 0

    @property
    def allowed(self) -> float:
        """Largest ‖R‖ that certifies the pair: 2τG/(1 + τ); for a claim of zero, what the output's rounding hides."""
        return self.rounding / self.scale if self.zero else residual_allowed(self.tolerance, self.low)

    @property
    def possible(self) -> float:
        """Largest ‖R‖ that a right pair can have: 2τG/(1 − τ)."""
        hidden = max(self.rounding, self.hidden) / self.scale
        return hidden if self.zero else max(residual_possible(self.tolerance, self.high), self.slack / self.scale)

    def find(self, finding: Finding) -> None:
        """Take in what an experiment says."""
        self.findings.append(finding)

    def hold(self, reason: Reason) -> None:
        """Leave it open, whatever was found or will be."""
        self.held = reason

    @property
    def upper(self) -> float:
        """Least upper bound of ‖R‖."""
        return min((f.upper for f in self.findings), default=math.inf)

    @property
    def lower(self) -> float:
        """Greatest lower bound of ‖R‖."""
        return max((f.lower for f in self.findings), default=0.0)

    @property
    def contradictory(self) -> bool:
        """Two experiments contradict each other: at different steps there are different slopes."""
        return self.lower > self.upper

    @property
    def estimate(self) -> float:
        """‖R‖ as the sharpest experiment has it."""
        known = [f for f in self.findings if math.isfinite(f.estimate)]
        # On both sides by the same experiment, where there is one: then its chance cancels.
        best = min(known, key=lambda f: (not math.isfinite(f.numerical), f.upper - f.lower), default=None)
        return math.nan if best is None else best.estimate

    @property
    def numerical(self) -> float:
        """‖J‖, from the experiment that the estimate is of; else the claim's norm."""
        known = next((f for f in self.findings if f.estimate == self.estimate), None)
        return known.numerical if known is not None and math.isfinite(known.numerical) else self.norm

    @property
    def verdict(self) -> Verdict:
        """What the findings prove."""
        if self.held is not None or self.contradictory:
            return Verdict.INCONCLUSIVE
        if any(f.wrong for f in self.findings) or self.lower > self.possible:
            return Verdict.WRONG
        proved = math.isfinite(self.upper) and self.upper <= self.allowed
        return Verdict.CORRECT if proved else Verdict.INCONCLUSIVE

    @property
    def reason(self) -> Reason | None:
        """Why nothing is proved."""
        if self.verdict is not Verdict.INCONCLUSIVE:
            return None
        if self.contradictory:
            return self.held or Reason.STRUCTURE
        found = next((f.reason for f in reversed(self.findings) if f.reason is not None), None)
        return self.held or found or (None if self.findings else Reason.BUDGET)  # before anything was found

    @property
    def difference(self) -> Difference:
        """What is known of the relative difference D."""
        if self.zero and self.verdict is Verdict.CORRECT:
            return Difference(estimate=0.0, lower=0.0, upper=0.0)  # zero on both sides, as far as can be told
        upper = difference_from_above(self.upper, self.low) if math.isfinite(self.upper) else 1.0
        for f in self.findings:
            if math.isfinite(f.numerical) and math.isfinite(f.upper):
                # ‖J‖ is known, too: D = ‖R‖/(‖A‖ + ‖J‖).
                total = self.low + max(f.numerical - (f.upper - f.estimate), 0.0)
                upper = min(upper, f.upper / total) if total > 0 else upper
        lower = 0.0 if self.contradictory else min(difference_from_below(self.lower, self.high), upper)
        if self.contradictory:
            upper = 1.0
        if not math.isfinite(self.estimate):
            return Difference(estimate=math.nan, lower=lower, upper=upper)
        known = next((f for f in self.findings if f.estimate == self.estimate), None)
        numerical = known.numerical if known is not None else math.nan
        total = self.norm + numerical
        if math.isfinite(total):
            middle = self.estimate / total if total > 0 else 0.0
        else:
            middle = difference_from_below(self.estimate, self.norm)
        return Difference(estimate=min(max(middle, lower), upper), lower=lower, upper=upper)

    @property
    def resolution(self) -> float:
        """The smallest relative difference that would have been called WRONG; of a claim of zero, there is no other."""
        called = min((f.called for f in self.findings), default=math.inf)
        return difference_from_above(min(called, self.low), self.low) if self.low > 0 and not self.zero else 1.0

    @property
    def noise_floor(self) -> float:
        """What the bars alone come to, as a relative difference."""
        shown = min((f.shown for f in self.findings), default=math.inf)
        size = self.rounding / self.scale if self.zero else self.low
        return difference_from_above(min(shown, size), size) if size > 0 else 1.0


@dataclass(slots=True)
class Evidence:
    """The lines measured of one output and some blocks of the point, and what they prove.

    Parameters
    ----------
    pairs, scales
        The pairs, and a_p of each.
    law
        Of a line.
    correct, wrong
        Probabilities of a false CORRECT, and of a false WRONG, that these lines may spend.
    lines
        What they say.
    lost
        Why a line could not be read: a line is never left out, so that nothing can be proved then.
    """

    pairs: Sequence[Pair]
    scales: Sequence[float]
    law: Law
    correct: float
    wrong: float
    lines: list[BlockReading] = field(default_factory=list)
    lost: Reason | None = None

    def take(self, line: BlockReading) -> None:
        """Take in a line; judge those before by what it knows of the noise, where it is the same noise."""
        for k, e in enumerate(self.lines):
            same = line.noise > 0 and 1 / SAME_NOISE <= e.noise / line.noise <= SAME_NOISE
            if same and e.degrees < line.degrees:
                spread = e.spread * line.noise / e.noise
                self.lines[k] = replace(e, spread=spread, noise=line.noise, degrees=line.degrees)
        self.lines.append(line)

    def doubt(self, reason: Reason) -> None:
        """Draw no conclusion from these lines: there is more than one slope."""
        self.lost = reason

    def upper(self) -> float:
        """Bound (Σ a_p²‖R_p‖²)^½ from above."""
        if self.lost is not None or len(self.lines) < 2:
            return math.inf
        return math.hypot(*(e.size + e.truncation for e in self.lines)) * self.law.factor(len(self.lines), self.correct)

    def lower(self) -> float:
        """Bound it from below; here the noise must be covered, with its own uncertainty.

        Of the α that a look may spend, half goes to the directions and half to the noise of the m lines.
        """
        m = len(self.lines)
        if m == 0 or self.lost is not None:
            return 0.0
        alpha = alpha_for_wrong(self.wrong, m) / 2
        excess = [
            max(e.size - 3 * e.truncation - student_quantile(e.degrees, alpha / m) * e.spread, 0.0) for e in self.lines
        ]
        return math.hypot(*excess) / math.sqrt(self.law.upper(m, alpha))

    def estimate(self) -> float:
        """Estimate it by the root mean square."""
        count = len(self.lines) * max(self.law.cotangents, 1)
        return math.hypot(*(e.size for e in self.lines)) / math.sqrt(count) if self.lines else math.nan

    def spread(self) -> float:
        """Return what truncation and noise come to on a line, root mean square."""
        bars = [e.spread + e.truncation for e in self.lines]
        return math.hypot(*bars) / math.sqrt(len(bars)) if bars else math.inf

    def allowed(self) -> float:
        """Largest value of it that certifies every pair."""
        return min((p.allowed * a for p, a in zip(self.pairs, self.scales, strict=True)), default=0.0)

    def possible(self) -> float:
        """Largest value of it that right pairs can have."""
        return math.hypot(*(p.possible * a for p, a in zip(self.pairs, self.scales, strict=True)))

    def claimed(self) -> float:
        """What is claimed of a line, root mean square."""
        return math.hypot(*(p.norm * a for p, a in zip(self.pairs, self.scales, strict=True))) * math.sqrt(
            max(self.law.cotangents, 1)
        )

    def certified(self) -> bool:
        """Say whether every pair is."""
        upper = self.upper()
        return math.isfinite(upper) and upper <= self.allowed()

    def is_wrong(self) -> bool:
        """Say whether something is wrong among these pairs; of several, nobody is named."""
        return self.lower() > self.possible()

    def settled(self) -> bool:
        """Say whether every pair is certified, or the whole is wrong."""
        return self.certified() or self.is_wrong()

    def hopeless(self, most: int) -> bool:
        """The noise is such that `most` lines would not certify a right claim, and nothing points to a mistake.

        The expected value of Σ‖y‖² is m s², so that the bound of m lines is s √m times their factor.
        """
        if not self.lines or self.lost is not None:
            return self.lost is not None
        # One line that had to be read at a short step is no reason to give up.
        usual = median(e.spread + e.truncation for e in self.lines)
        if self.estimate() > CLEAR * usual:
            return False
        return self.beyond(most)

    def beyond(self, most: int) -> bool:
        """Say whether the noise is such that `most` lines would not certify a right claim."""
        spread = min(
            self.spread(), math.hypot(*(e.size + e.truncation for e in self.lines)) / math.sqrt(len(self.lines))
        )
        reach = min(math.sqrt(m) * self.law.factor(m, self.correct) for m in (most, max(most // 2, 2)))
        return spread * reach > self.allowed()

    def reason(self) -> Reason | None:
        """Say why these lines do not decide; None where they do."""
        if self.lost is not None:
            return self.lost
        if self.certified() or (len(self.pairs) == 1 and self.is_wrong()):
            return None
        noisy = not self.lines or self.estimate() <= CLEAR * self.spread()
        return Reason.NOISE if noisy else Reason.BORDER

    def called(self, possible: float) -> float:
        """Return the smallest a‖R‖ that would be called WRONG but once in a thousand, where right pairs have `possible`.

        By Minkowski's inequality √(Σ max(‖yᵢ‖ − b, 0)²) ≥ √(Σ‖yᵢ‖²) − √m b, and Σ‖yᵢ‖² ≥ q_m(10⁻³) a²‖R‖²: the lower
        bound exceeds `possible` where √q_m(10⁻³) a‖R‖ − √m b ≥ √q_m(1 − α) `possible`, by as many lines as there may be.
        """
        if self.lost is not None or not self.lines:
            return math.inf
        m = self.law.useful_lines(MOST_LINES if len(self.pairs) == 1 else LINES_ALONE)
        alpha = alpha_for_wrong(self.wrong, m) / 2
        more = m / len(self.lines)  # by which the noise would be known better, too
        degrees = [min(more * e.degrees, max(e.degrees, WELL_KNOWN)) for e in self.lines]
        bars = [
            3 * e.truncation + student_quantile(d, alpha / m) * e.spread
            for e, d in zip(self.lines, degrees, strict=True)
        ]
        bar = math.hypot(*bars) * math.sqrt(more)
        called = (math.sqrt(self.law.upper(m, alpha)) * possible + bar) / math.sqrt(self.law.lower(m, MISSED))
        if self.beyond(MOST_LINES):  # it is given up, unless the first few lines point to a mistake
            called = max(called, CLEAR * self.spread() / math.sqrt(self.law.lower(FEW, MISSED) / FEW))
        return called

    def conclude(self) -> None:
        """Tell each pair what these lines say of it; a lower bound only of one that was displaced alone."""
        upper, estimate, reason = self.upper(), self.estimate(), self.reason()
        alone = len(self.pairs) == 1
        lower = self.lower() if alone else 0.0
        m = len(self.lines)
        bars = math.hypot(*(e.spread + e.truncation for e in self.lines))
        t = student_quantile(max((e.degrees for e in self.lines), default=1.0), self.correct)
        # Seen would have been what a certificate of pure bars bounds, or what stands out of a line's noise.
        shown = max(bars * self.law.factor(m, self.correct) if m > 1 else math.inf, t * bars / math.sqrt(max(m, 1)) / 5)
        for pair, scale in zip(self.pairs, self.scales, strict=True):
            called = self.called(pair.possible * scale) / scale
            pair.find(Finding("lines", lower / scale, upper / scale, estimate / scale, shown / scale, called, reason))
