"""Statistics of projections: χ² bounds on a norm, α-spending, Student quantiles. Pure functions.

Source: r·v ~ N(0, ‖r‖²) for v ~ N(0, I), so that Σ (r·vᵢ)² = ‖r‖² χ²_m exactly, whatever r is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache


@lru_cache(maxsize=4096)
def chi_square_lower_quantile(degrees: int, alpha: float) -> float:
    """Return q with P(χ²_degrees ≤ q) = alpha."""
    from scipy.special import gammaincinv  # 140 ms, so only when a bound is formed

    return 2.0 * float(gammaincinv(degrees / 2, alpha))


@lru_cache(maxsize=4096)
def small_ball_quantile(count: int, rank: int, alpha: float) -> float:
    """Return q with P(Σ (r·vᵢ)² ≤ q‖r‖²) ≤ alpha for `count` directions that are products of a rank, whatever r is.

    With v = ABᵀ/√ρ, y = r·v is normal given B, of variance V = ‖r‖² Σ w_k X_k, where the weights w_k (squared singular
    values of r) sum to one and X_k ~ χ²_ρ/ρ. As s ↦ s^(−½) is convex, E V^(−½) ≤ c/‖r‖ with
    c = E X^(−½) = √(ρ/2) Γ((ρ−1)/2)/Γ(ρ/2); so the density of y is at most c/(√(2π)‖r‖) in the mean, whatever is added
    to it that is independent of A, and a ball of radius √q ‖r‖ in ``count`` dimensions has at most the probability
    (q/2)^(m/2) cᵐ/Γ(m/2 + 1). Blocks with normal entries have X = 1, and 1 < c.

    Parameters
    ----------
    count
        m.
    rank
        ρ, 2 at least.
    alpha
        The probability.
    """
    log_c = 0.5 * math.log(rank / 2) + math.lgamma((rank - 1) / 2) - math.lgamma(rank / 2)
    return 2.0 * math.exp(2 / count * (math.log(alpha) + math.lgamma(count / 2 + 1) - count * log_c))


@lru_cache(maxsize=4096)
def chi_square_upper_quantile(degrees: int, alpha: float) -> float:
    """Return q with P(χ²_degrees ≥ q) = alpha, without ever forming 1 − alpha."""
    from scipy.special import gammainccinv

    return 2.0 * float(gammainccinv(degrees / 2, alpha))


@lru_cache(maxsize=4096)
def student_quantile(degrees: float, alpha: float) -> float:
    """Return t with P(|T| > t) = alpha for Student's T; the normal quantile where degrees is infinite."""
    from scipy.special import ndtri, stdtrit

    if math.isinf(degrees):
        return -float(ndtri(alpha / 2))
    return -float(stdtrit(degrees, alpha / 2))


def norm_upper_bound(discrepancies: Sequence[float], truncations: Sequence[float], alpha: float) -> float:
    """Bound ‖r‖ from above: √(Σ(|yᵢ| + Tᵢ)² / q_m(α)), holding with probability 1 − α over the directions.

    Noise that is independent of r·v needs no bar here: it only makes |y| larger in law (Anderson's inequality).
    """
    if not discrepancies:
        return math.inf
    total = math.hypot(*(abs(y) + t for y, t in zip(discrepancies, truncations, strict=True)))
    return total / math.sqrt(chi_square_lower_quantile(len(discrepancies), alpha))


def norm_lower_bound(excesses: Sequence[float], alpha: float) -> float:
    """Bound ‖r‖ from below: √(Σ excessᵢ² / q_m(1 − α)), where excessᵢ ≥ 0 is what is left of |yᵢ| past its bars."""
    if not excesses:
        return 0.0
    return math.hypot(*excesses) / math.sqrt(chi_square_upper_quantile(len(excesses), alpha))


def alpha_for_correct(alpha: float, lines: int) -> float:
    """Spend α over looks at m = 2, 3, …: α/(m(m − 1)), which sums to α."""
    return alpha / (lines * (lines - 1))


def alpha_for_wrong(alpha: float, lines: int) -> float:
    """Spend α over looks at m = 1, 2, …: α/(m(m + 1)), which sums to α."""
    return alpha / (lines * (lines + 1))


def difference_from_above(residual: float, claimed: float) -> float:
    """Bound D from above given ‖r‖ ≤ residual and ‖g‖ = claimed: R/(2G − R) where R < G, else 1; 0/0 is 0.

    D = ‖r‖/(‖g‖ + ‖g − r‖), and ‖g − r‖ ≥ G − R.
    """
    if residual == 0:
        return 0.0
    return residual / (2 * claimed - residual) if residual < claimed else 1.0


def difference_from_below(residual: float, claimed: float) -> float:
    """Bound D from below given ‖r‖ ≥ residual and ‖g‖ = claimed: L/(2G + L), as ‖g − r‖ ≤ G + L; 0/0 is 0."""
    return residual / (2 * claimed + residual) if residual > 0 else 0.0


def residual_allowed(tolerance: float, claimed: float) -> float:
    """Largest ‖r‖ that certifies D ≤ τ whatever the true gradient is: 2τG/(1 + τ)."""
    return 2 * tolerance * claimed / (1 + tolerance)


def residual_possible(tolerance: float, claimed: float) -> float:
    """Largest ‖r‖ that a gradient with D ≤ τ can have: 2τG/(1 − τ)."""
    return 2 * tolerance * claimed / (1 - tolerance)


def within(discrepancy: float, bar: float) -> bool:
    """Say whether a claimed and a numerical value agree: the only such comparison in the library.

    Parameters
    ----------
    discrepancy
        Claimed minus numerical.
    bar
        Half-width of what is allowed, in the same units; NaN or a negative bar allows nothing.

    Returns
    -------
    bool
        False, too, where the discrepancy is NaN.
    """
    return abs(discrepancy) <= bar


@lru_cache(maxsize=4096)
def chi_square_product_lower_quantile(first: int, second: int, alpha: float) -> float:
    """Return q with P(X·Y ≤ q) = alpha for independent X ~ χ²_first and Y ~ χ²_second.

    Derivation: for a matrix R of rank one, R = σ a bᵀ with unit a and b, and normal u_j and v_i, the entries
    u_j·R v_i = σ (u_j·a)(v_i·b), so that the sum of their squares is σ² χ²_first χ²_second exactly. Matrices of a higher
    rank spread over more directions, which makes small sums rarer: rank one is the worst case.
    """
    return _product_quantile(first, second, alpha, upper=False)


@lru_cache(maxsize=4096)
def chi_square_product_upper_quantile(first: int, second: int, alpha: float) -> float:
    """Return q with P(X·Y ≥ q) = alpha for independent X ~ χ²_first and Y ~ χ²_second."""
    return _product_quantile(first, second, alpha, upper=True)


def _product_quantile(first: int, second: int, alpha: float, *, upper: bool) -> float:
    """Solve ∫ f_X(x) P(Y ≶ q/x) dx = alpha for q, by bisection on log q.

    With x = eˢ the integrand falls off exponentially to the left and doubly so to the right, where the trapezoidal rule
    converges geometrically.
    """
    import numpy as np
    from scipy.special import gammainc, gammaincc, gammaln

    s = np.linspace(-160.0 / first, math.log(first + 160.0) + 1.0, 4001)
    density = np.exp(0.5 * first * s - 0.5 * np.exp(s) - 0.5 * first * math.log(2) - gammaln(0.5 * first))
    tail = gammaincc if upper else gammainc
    low, high = -400.0, 2 * math.log(first + second + 200.0) + 4.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        probability = float(np.sum(density * tail(0.5 * second, 0.5 * np.exp(middle - s))) * (s[1] - s[0]))
        if (probability < alpha) != upper:
            low = middle
        else:
            high = middle
    return math.exp(0.5 * (low + high))
