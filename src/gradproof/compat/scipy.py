"""`check_grad` as `scipy.optimize` has it, asked of gradproof."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from gradproof._verbs.derivatives import numerical_gradient
from gradproof._verbs.scipy import check_scipy
from gradproof._words.errors import GradproofWarning, UsageError
from gradproof._words.results import Report, Verdict
from gradproof.compat._outcome import SEED


def check_grad(
    func: Callable[..., Any],
    grad: Callable[..., Any],
    x0: Any,
    *args: Any,
    epsilon: float = math.sqrt(np.finfo(float).eps),
    direction: str = "all",
    rng: Any = None,
    seed: Any = None,
) -> float:
    """Ask gradproof what `scipy.optimize.check_grad` is asked, and return a number with the same meaning.

    SciPy's number holds the error of a forward difference, a hundred millionth of the gradient and more, so that what it
    means is left to the reader. This one is zero for a right gradient but for what cannot be proved.

    Parameters
    ----------
    func, grad, x0
        The function, its gradient (or Jacobian), and where to check.
    *args
        Further arguments of both.
    epsilon, direction, rng, seed
        Taken, and not needed: steps are found by measurement, and random directions see all of a gradient.

    Returns
    -------
    float
        Of a gradient that is certified, a proven upper bound of ‖grad − ∇func‖ in the Frobenius norm; of a wrong one, that norm as measured;
        NaN where nothing could be proved, with a `GradproofWarning` that says why.

    Raises
    ------
    UsageError
        A ValueError for what cannot be checked as it stands.

    Examples
    --------
    >>> from scipy.optimize import rosen, rosen_der
    >>> check_grad(rosen, rosen_der, [1.3, 0.7, 0.8]) < 1e-6
    True
    """
    del epsilon, rng, seed
    report = ask_check_grad(func, grad, x0, *args, direction=direction)
    claimed = np.asarray(grad(np.array(x0, dtype=float), *args), dtype=float)
    if report.verdict is Verdict.INCONCLUSIVE:
        warnings.warn(str(report), GradproofWarning, stacklevel=2)
        return math.nan
    if report.verdict is Verdict.CORRECT:
        # D = r/(‖g‖ + ‖∇f‖) ≤ D_u and ‖∇f‖ ≤ ‖g‖ + r give r ≤ 2 D_u ‖g‖/(1 − D_u).
        upper = report.difference.upper
        return 2 * upper * float(np.linalg.norm(claimed)) / (1 - upper)
    return float(np.linalg.norm(claimed - _measured(func, np.array(x0, dtype=float), args, claimed.shape)))


def ask_check_grad(func: Any, grad: Any, x0: Any, *args: Any, direction: str = "all", **others: Any) -> Report:
    """Return gradproof's report on what check_grad is asked."""
    del others
    if direction not in {"all", "random"}:
        raise UsageError(f"direction is {direction!r}", remedy='Give "all" or "random"')
    return check_scipy(func, x0, grad, args=args, seed=SEED)


def _measured(func: Any, x: Any, args: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Return the derivative, measured row by row."""
    count = np.asarray(func(x.copy(), *args)).size
    rows = [
        numerical_gradient(lambda p, k=k: float(np.asarray(func(p, *args)).reshape(-1)[k]), x).values  # type: ignore[misc]
        for k in range(count)
    ]
    return np.reshape(rows, shape)
