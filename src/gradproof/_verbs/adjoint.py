"""`check_adjoint` and `assert_adjoint`."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Any

from gradproof._verbs.assertions import Inconclusive, asserted
from gradproof._words.results import Report
from gradproof._words.settings import DEFAULT_CONFIDENCE, Settings


def check_adjoint(
    operator: Any,
    point: Any = None,
    *,
    tolerance: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    seed: int | None = None,
) -> Report:
    """Check that two products belong to one linear operator: the dot test ⟨u, Av⟩ = ⟨Bu, v⟩.

    Complex numbers are pairs of reals, and ⟨u, y⟩ = Re Σ conj(u)·y: B is the conjugate transpose, as SciPy's ``rmatvec``.
    The test is one of consistency: both products may be wrong alike.

    Parameters
    ----------
    operator
        A pair of callables (matvec, rmatvec), or a SciPy LinearOperator.
    point
        An example of what matvec is applied to: an array, or nested containers of them. None for the flat vector of a
        LinearOperator.
    tolerance
        Largest acceptable ‖A − Bᵀ‖ / (‖A‖ + ‖B‖) of each pair of blocks; None for 1e-7 in float64, 1e-3 in float32.
    confidence
        Whatever is claimed, a verdict is false with probability 1 − confidence at most, over the vectors drawn.
    seed
        Of the vectors; None for a fresh one, which the report records.

    Returns
    -------
    Report
        Its evaluations are calls of either product.

    Raises
    ------
    UsageError
        For what cannot be checked as it stands.

    Examples
    --------
    >>> import numpy as np
    >>> report = check_adjoint((np.cumsum, lambda u: np.cumsum(u[::-1])[::-1]), np.zeros(5), seed=0)
    >>> report.verdict.name
    'CORRECT'
    """
    from gradproof._examination.dot_test import adjoint_report  # loaded when it is used: imports stay cheap

    started = time.perf_counter()
    settings = Settings(tolerance=tolerance, confidence=confidence, seed=secrets.randbits(32) if seed is None else seed)
    report = adjoint_report(operator, point, settings)
    return replace(report, seconds=time.perf_counter() - started)


def assert_adjoint(operator: Any, point: Any = None, *, inconclusive: Inconclusive = "raise", **options: Any) -> Report:
    """Assert what `check_adjoint` checks, with an exception where it is not so.

    Parameters
    ----------
    operator, point
        As for `check_adjoint`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_adjoint`.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check_adjoint, operator, point, **options)
