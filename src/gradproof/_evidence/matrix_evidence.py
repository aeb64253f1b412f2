"""From measured lines to bounds on ‖A − J‖, output block by output block, and to verdicts on its pairs.

Where a line shows the whole vector R v, Σ‖R vᵢ‖² is a sum of weighted χ²_m variables, and rank one the worst case of
both tails: ‖R‖ ≤ √(Σ(‖yᵢ‖ + Tᵢ)²/q_m(α)). Where it shows k cotangents' products u_j·R v only, q is the quantile of
χ²_k·χ²_m (see `_numerics.statistics.chi_square_product_lower_quantile`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import Final

from gradproof._evidence.vector_tables import BlockReading
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
    student_quantile,
)
from gradproof._words.results import Difference, Reason, Verdict
from gradproof._words.settings import round_up

COMFORTABLE: Final = 18.0
"""A tolerance is raised to so many spreads of a line (see `_examination.examination`)."""

MARGIN: Final = 1.25
"""Few cotangents leave a factor that no number of lines makes smaller; what that allows, and this much more."""
CLEAR: Final = 5.0
"""A discrepancy so many spreads large is not hidden by noise."""


@dataclass(slots=True)
class Pair:
    """One output block by one block of the point.

    Parameters
    ----------
    output, block
        Their numbers.
    low, norm, high
        Bounds and estimate of the claim's ‖A_op‖.
    zero
        The claim is zero, or negligible beside what else the output depends on.
    share
        What stands for scale · norm where it is zero: by how much the output changes, per unit of t.
    tolerance
        On the relative difference.
    """

    output: int
    block: int
    low: float
    norm: float
    high: float
    zero: bool
    tolerance: float
    share: float = 0.0
    verdict: Verdict | None = None
    difference: Difference = field(default_factory=lambda: Difference(estimate=math.nan, lower=0.0, upper=1.0))
    resolution: float = 1.0
    reason: Reason | None = None
    wrong_entries: int = 0

    def allowed(self, scale: float) -> float:
        """Largest scale · ‖R_op‖ that certifies this pair."""
        return self.tolerance * self.share if self.zero else residual_allowed(self.tolerance, scale * self.low)

    def possible(self, scale: float) -> float:
        """Largest scale · ‖R_op‖ that a right pair can have."""
        return self.tolerance * self.share if self.zero else residual_possible(self.tolerance, scale * self.high)


@lru_cache(maxsize=64)
def least_factor(cotangents: int, alpha: float) -> float:
    """Return the smallest ratio of an upper bound to a line's root mean square that any number of lines can reach."""
    if not cotangents:
        return 0.0
    quantiles = [chi_square_product_lower_quantile(cotangents, m, alpha_for_correct(alpha, m)) for m in range(3, 9)]
    return min(math.sqrt(m / q) for m, q in enumerate(quantiles, 3))


@dataclass(slots=True)
class MatrixEvidence:
    """The lines measured of one output block and some blocks of the point, and what they prove.

    Parameters
    ----------
    pairs, scales
        The pairs, and a_p of each.
    alpha
        Probability of a wrong verdict.
    cotangents
        k; 0 where the whole vector is seen.
    lost
        Why a line could not be read: a line is never left out, so that nothing can be certified then.
    """

    pairs: list[Pair]
    scales: list[float]
    alpha: float
    cotangents: int
    lines: list[BlockReading] = field(default_factory=list)
    lost: Reason | None = None

    def factor(self) -> float:
        """Return by what the lines' root sum of squares is to be multiplied for an upper bound."""
        m = len(self.lines)
        if m < 2:
            return math.inf
        alpha = alpha_for_correct(self.alpha, m)
        k = self.cotangents
        q = chi_square_product_lower_quantile(k, m, alpha) if k else chi_square_lower_quantile(m, alpha)
        return 1 / math.sqrt(q)

    def upper(self) -> float:
        """Bound (Σ a_p²‖R_op‖²)^½ from above."""
        return (
            math.hypot(*(line.size + line.truncation for line in self.lines)) * self.factor()
            if self.lines and self.lost is None
            else math.inf
        )

    def lower(self) -> float:
        """Bound it from below; here the noise must be covered."""
        m = len(self.lines)
        if m == 0:
            return 0.0
        t = [student_quantile(line.degrees + m - 1, self.alpha / m) for line in self.lines]
        excess = [max(e.size - 3 * e.truncation - q * e.spread, 0.0) for e, q in zip(self.lines, t, strict=True)]
        alpha, k = alpha_for_wrong(self.alpha, m), self.cotangents
        q = chi_square_product_upper_quantile(k, m, alpha) if k else chi_square_upper_quantile(m, alpha)
        return math.hypot(*excess) / math.sqrt(q)

    def estimate(self) -> float:
        """Estimate it by the root mean square."""
        count = len(self.lines) * max(self.cotangents, 1)
        return math.hypot(*(line.size for line in self.lines)) / math.sqrt(count) if self.lines else math.nan

    def spread(self) -> float:
        """Return the noise of a line, root mean square."""
        squares = [(line.spread + line.truncation) ** 2 for line in self.lines]
        return math.sqrt(sum(squares) / len(squares)) if squares else math.inf

    def wrong(self) -> bool:
        """Say whether something is wrong among these pairs."""
        return self.lower() > math.hypot(*(p.possible(a) for p, a in zip(self.pairs, self.scales, strict=True)))

    def certified(self) -> bool:
        """Say whether every pair is."""
        upper = self.upper()
        return all(upper <= p.allowed(a) for p, a in zip(self.pairs, self.scales, strict=True))

    def settled(self) -> bool:
        """Say whether every pair is certified, or the whole is wrong."""
        return self.certified() or self.wrong()

    def hopeless(self, most: int) -> bool:
        """The noise is such that `most` lines would not certify, and nothing points to a mistake."""
        spread = self.spread()
        later = MatrixEvidence(self.pairs, self.scales, self.alpha, self.cotangents, [self.lines[0]] * most)
        shown = math.hypot(*(line.size + line.truncation for line in self.lines)) / math.sqrt(len(self.lines))
        reach = min(spread, shown) * math.sqrt(most) * later.factor()
        # One line that had to be read at a short step is no reason to give up.
        noisy = self.estimate() <= 5 * median(line.spread + line.truncation for line in self.lines)
        return noisy and all(reach > p.allowed(a) for p, a in zip(self.pairs, self.scales, strict=True))

    def raised_tolerance(self, pair: Pair, scale: float, highest: float) -> float:
        """Return what the noise can resolve in a pair, rounded up to 1, 2 or 5 times a power of ten."""
        change = pair.share if pair.zero else scale * pair.low
        comfortable = max(COMFORTABLE, MARGIN * least_factor(self.cotangents, self.alpha))
        wanted = comfortable * self.spread() / (2 * change) if change > 0 else 0.0
        return max(pair.tolerance, min(round_up(wanted), highest))

    def conclude(self) -> None:
        """Give each pair what these lines say of it."""
        upper, estimate = self.upper(), self.estimate()
        alone = len(self.pairs) == 1
        lower = self.lower() if alone else 0.0
        wrong = self.wrong()
        for pair, scale in zip(self.pairs, self.scales, strict=True):
            if pair.verdict is Verdict.CORRECT:
                continue  # as others were to be asked once more
            if upper <= pair.allowed(scale):
                pair.verdict, pair.reason = Verdict.CORRECT, None
            elif wrong and alone:
                pair.verdict, pair.reason = Verdict.WRONG, None
            else:
                # Noise does not hide what stands out from it; it is too near to the tolerance to be called small or large.
                stands_out = alone and lower > 0 and estimate > CLEAR * self.spread()
                pair.verdict = Verdict.INCONCLUSIVE
                pair.reason = self.lost or (Reason.BORDER if stands_out else Reason.NOISE)
            if pair.zero:
                share = pair.share
                pair.difference = Difference(
                    estimate=min(estimate / share, 1.0) if share > 0 else 0.0,
                    lower=min(lower / share, 1.0) if share > 0 else 0.0,
                    upper=min(upper / share, 1.0) if share > 0 else float(upper > 0),
                )
            else:
                low, high = scale * pair.low, scale * pair.high
                most = difference_from_above(upper, low)
                least = difference_from_below(lower, high)
                middle = difference_from_below(estimate, scale * pair.norm)
                pair.difference = Difference(estimate=min(max(middle, least), most), lower=least, upper=most)
            seen = math.hypot(*(line.spread + line.truncation for line in self.lines)) * self.factor()
            known = pair.share if pair.zero else scale * pair.low
            pair.resolution = difference_from_above(min(seen, known), known) if known > 0 else 1.0
