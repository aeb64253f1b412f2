"""Pairs of function and derivative as SciPy takes them: ``fun``, ``jac``, ``args``, ``bounds``, ``jac=True``."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np

from gradproof._problem.problem import OutOfBounds
from gradproof._verbs.assertions import Inconclusive, asserted
from gradproof._verbs.gradient import check_gradient
from gradproof._verbs.maps import check_hessian, check_hvp, check_jacobian
from gradproof._words.errors import BudgetTooSmall, NotScalar, ShapeMismatch, UsageError
from gradproof._words.results import Report
from gradproof._words.settings import SMALLEST_BUDGET
from gradproof._words.vectors import FloatArray

Check: TypeAlias = Callable[[dict[str, Any]], Report]
"""A check of which everything is fixed but its options."""
AT_A_BOUND: Final = 1e-8
"""A coordinate this near to a bound, relatively, is measured on one side."""


def check_scipy(
    fun: Callable[..., Any] | None,
    x0: Any,
    jac: Any = None,
    *,
    hess: Any = None,
    hessp: Callable[..., Any] | None = None,
    args: Any = (),
    bounds: Any = None,
    t: float | None = None,
    **options: Any,
) -> Report:
    """Check a derivative written for `scipy.optimize` or `scipy.integrate`, in the form in which they take it.

    Parameters
    ----------
    fun
        ``fun(x, *args)``: a number (``minimize``) or a vector (``least_squares``, ``root``); ``fun(t, y, *args)`` with t
        given (``solve_ivp``). ``(value, derivative)`` with ``jac=True``. None where a Hessian alone is to be checked. Or a
        ``NonlinearConstraint``, which holds ``jac`` and ``hess`` as well: ``hess(x, v)`` is checked for a random v.
    x0
        Where to check: a vector.
    jac
        ``jac(x, *args)``, ``jac(t, y, *args)`` or a constant matrix: a gradient, or an array, a sparse matrix or a
        LinearOperator of one row an output. Or True.
    hess
        ``hess(x, *args)``: checked against ``jac``, as ``minimize`` uses it; and ``jac`` against ``fun``, where there is one.
    hessp
        ``hessp(x, p, *args)``: likewise.
    args
        Further arguments of all of them.
    bounds
        As in ``minimize`` (one pair (low, high) a coordinate, None for no bound), as in ``least_squares`` (a tuple of
        lower and upper bounds), or a ``Bounds`` object. Displaced points stay inside; where x0 lies at a bound, every
        coordinate is measured by itself, on one side where it must be.
    t
        The time of ``solve_ivp``'s functions, held constant.
    **options
        As for `check_gradient` and `check_jacobian`: tolerance, confidence, strategy, budget, seed. A budget is for both
        checks, where there are two.

    Returns
    -------
    Report
        That of `check_gradient`, `check_jacobian`, `check_hessian` or `check_hvp`; of the gradient's check and the Hessian's
        the first worst one, whose notes say what the other found.

    Raises
    ------
    UsageError
        For what cannot be checked as it stands.

    Examples
    --------
    >>> from scipy.optimize import rosen, rosen_der
    >>> check_scipy(rosen, [1.3, 0.7, 0.8], rosen_der, seed=0).verdict.name
    'CORRECT'
    """
    if hasattr(fun, "fun") and hasattr(fun, "jac") and hasattr(fun, "hess"):
        beside = {"jac": jac, "hess": hess, "hessp": hessp}
        return _constraint(fun, x0, {name: one for name, one in beside.items() if one is not None}, bounds, options)
    x = np.array(x0, dtype=np.float64) if np.asarray(x0).dtype.kind in "iub" else np.array(x0)
    x = x.reshape(-1)
    extra = tuple(args) if isinstance(args, (tuple, list)) else (args,)
    low, high = read_bounds(bounds, x)
    if np.any((x < low) | (x > high)):
        j = int(np.flatnonzero((x < low) | (x > high))[0])
        raise UsageError(
            f"x0[{j}] is {x[j]}, outside its bounds ({low[j]}, {high[j]})", remedy="Check at a point inside the bounds"
        )
    inside = _Inside(low, high, t, extra)
    if np.any(inside.near(x)) and options.get("strategy", "auto") == "auto":
        options["strategy"] = "coordinates"
    check_second = None
    if hess is not None or hessp is not None:
        check_second = _second_order(fun, x, jac, hess, hessp, inside)
        if fun is None:
            return check_second(options)
    elif jac is None or isinstance(jac, str):
        raise UsageError(
            f"jac is {jac!r}",
            meaning="Then SciPy differentiates numerically, and nothing is claimed",
            remedy="Give the function of the derivative, or True where fun returns (value, derivative)",
        )
    if fun is None:
        raise UsageError("fun is None", meaning="There is nothing to compare jac with", remedy="Give fun, or hess=")
    function, claimed = _pair(fun, x, jac, inside)
    first = _array(function(x.copy()))
    if first.ndim == 0 or (first.size == 1 and (check_second is not None or not _is_matrix(claimed, x))):
        cost, gradient = (lambda p: _number(function(p))), _flat(claimed)
        if check_second is None:
            return check_gradient(cost, x, gradient, **options)
        return _both(lambda given: check_gradient(cost, x, gradient, **given), check_second, options)
    if check_second is not None:
        raise UsageError(
            f"fun returns {first.size} numbers, and there is a Hessian",
            meaning="The Hessian that minimize takes is that of a number",
            remedy="Leave hess out, or check v @ fun, v @ jac and hess(x, v) of a NonlinearConstraint for some v of your own",
        )
    return check_jacobian(lambda p: _array(function(p)), claimed, x, **options)


def assert_scipy(
    fun: Callable[..., Any] | None, x0: Any, jac: Any = None, *, inconclusive: Inconclusive = "raise", **options: Any
) -> Report:
    """Assert what `check_scipy` checks, with an exception where it is not so.

    Parameters
    ----------
    fun, x0, jac
        As for `check_scipy`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_scipy`: hess, hessp, args, bounds, t, and those of the check.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check_scipy, fun, x0, jac, **options)


def _constraint(constraint: Any, x0: Any, beside: dict[str, Any], bounds: Any, options: dict[str, Any]) -> Report:
    """Check the Jacobian of a NonlinearConstraint, and its Hessian for a v of our own: it is linear in v."""
    if beside:
        raise UsageError(
            f"a NonlinearConstraint and, beside it, {next(iter(beside))}",
            meaning="The constraint holds its own",
            remedy="Give check_scipy(constraint, x0)",
        )
    seed = options.pop("seed", None)
    options["seed"] = secrets.randbits(32) if seed is None else seed
    jac, hess = constraint.jac, constraint.hess
    if not callable(jac):
        raise UsageError(
            f"the constraint's jac is {jac!r}",
            meaning="Then SciPy differentiates numerically, and nothing is claimed",
            remedy="Give NonlinearConstraint(fun, lb, ub, jac=…)",
        )

    def first(given: dict[str, Any]) -> Report:
        return check_scipy(constraint.fun, x0, jac, bounds=bounds, **given)

    if not callable(hess):  # a word, or a strategy that approximates it: nothing is claimed
        return first(options)
    count = np.asarray(constraint.fun(np.array(x0, dtype=np.float64))).size
    v = np.random.default_rng([options["seed"], 0x636F6E73]).standard_normal(count)

    def slope(x: Any) -> Any:
        value = jac(x)
        return np.asarray(value.T @ v if hasattr(value, "T") else np.asarray(value).T @ v).reshape(-1)

    def second(given: dict[str, Any]) -> Report:
        return check_scipy(None, x0, slope, hess=lambda x: hess(x, v), bounds=bounds, **given)

    return _both(first, second, options)


def _pair(fun: Callable[..., Any], x: FloatArray, jac: Any, inside: _Inside) -> tuple[Callable[[Any], Any], Any]:
    """Return the function alone, and what is claimed of its derivative."""
    value = inside.wrap(fun)
    if jac is not True:
        return value, inside.wrap(jac) if callable(jac) and not hasattr(jac, "matvec") else jac
    pair = value(x)
    if not isinstance(pair, tuple) or len(pair) < 2:
        raise ShapeMismatch(
            f"fun returns {type(pair).__name__}",
            where="fun(x)",
            meaning="jac=True promises (value, derivative)",
            remedy="Return both, or give jac as a function",
        )
    return inside.wrap(lambda *a: fun(*a)[0]), pair[1]


def _both(first: Check, second: Check, options: dict[str, Any]) -> Report:
    """Make both checks, with one seed and one budget, and report the first worst one."""
    from gradproof._verbs.modes import worst_of  # loaded when it is used: imports stay cheap

    seed = options.get("seed")
    options["seed"] = secrets.randbits(32) if seed is None else seed
    budget = options.get("budget")
    if budget is None:
        return worst_of([("The gradient against fun", first(options)), ("The Hessian against jac", second(options))])
    if isinstance(budget, int) and budget < 2 * SMALLEST_BUDGET:
        raise BudgetTooSmall(
            f"budget is {budget}, for the gradient and the Hessian",
            meaning=f"Each of them takes {SMALLEST_BUDGET} calls at least",
            remedy=f"Give at least {2 * SMALLEST_BUDGET}, or check one at a time: leave hess out, or give None for fun",
        )
    one = first({**options, "budget": budget // 2})
    other = second({**options, "budget": budget - one.evaluations})
    return replace(worst_of([("The gradient against fun", one), ("The Hessian against jac", other)]), budget=budget)


def _array(value: Any) -> Any:
    try:
        return np.asarray(value)
    except ValueError:
        raise ShapeMismatch(
            f"fun returns a {type(value).__name__} of parts of several shapes",
            where="fun(x)",
            meaning="A number or a vector is wanted",
            remedy="Say jac=True where fun returns (value, derivative)",
        ) from None


def _second_order(fun: Any, x: FloatArray, jac: Any, hess: Any, hessp: Any, inside: _Inside) -> Check:
    """Return the check of a Hessian, or of its product, against the gradient.

    Raises
    ------
    UsageError
        Where nothing is claimed of it, or there is no gradient to compare it with.
    """
    if hess is not None and hessp is not None:
        raise UsageError(
            "hess and hessp",
            meaning="SciPy ignores hessp where there is a hess",
            remedy="Give one of them at a time",
        )
    if isinstance(hess, str) or hasattr(hess, "get_matrix"):  # the latter is a HessianUpdateStrategy
        raise UsageError(
            f"hess is {hess!r}" if isinstance(hess, str) else f"hess is {type(hess).__name__}",
            meaning="Then SciPy approximates the Hessian by itself, and nothing is claimed of it",
            remedy="Leave hess out, to check the gradient, or give the function of the Hessian",
        )
    if jac is None or isinstance(jac, str):
        raise UsageError(
            f"jac is {jac!r}, and there is a Hessian",
            meaning="SciPy then refuses, or differentiates fun numerically: there is no gradient to compare a Hessian with",
            remedy="Give the gradient as jac, or True where fun returns (value, gradient)",
        )
    if jac is True and fun is None:
        raise UsageError(
            "jac is True, and fun is None",
            meaning="jac=True says that fun returns (value, gradient)",
            remedy="Give fun, or the gradient as jac",
        )
    if jac is not True and not callable(jac):
        raise UsageError(
            f"jac is {type(jac).__name__}, and there is a Hessian",
            meaning="A Hessian is compared with the gradient at displaced points",
            remedy="Give the gradient as a function of x",
        )
    gradient = inside.wrap(lambda *a: fun(*a)[1]) if jac is True else inside.wrap(jac)

    def flat(p: Any) -> Any:
        return np.asarray(gradient(p)).reshape(-1)

    if hess is not None:
        hessian = inside.wrap(hess) if callable(hess) and not hasattr(hess, "matvec") else hess
        return lambda options: check_hessian(flat, hessian, x, **options)

    def product(p: Any, v: Any) -> Any:
        return np.asarray(hessp(p, v, *inside.extra)).reshape(-1)

    return lambda options: check_hvp(flat, product, x, **options)


class _Inside:
    """Calls a function with its further arguments, inside the bounds only."""

    def __init__(self, low: FloatArray, high: FloatArray, t: float | None, extra: tuple[Any, ...]) -> None:
        self.low, self.high, self.t, self.extra = low, high, t, extra

    def near(self, x: FloatArray) -> Any:
        """Say which coordinates lie at a bound."""
        room = AT_A_BOUND * np.maximum(np.abs(x), 1.0)
        return (x - self.low < room) | (self.high - x < room)

    def wrap(self, function: Callable[..., Any]) -> Callable[[Any], Any]:
        """Return the function of x alone."""

        def call(x: Any) -> Any:
            if np.any((x < self.low) | (x > self.high)):
                raise OutOfBounds("the displaced point is outside the bounds")
            return function(x, *self.extra) if self.t is None else function(self.t, x, *self.extra)

        return call


def read_bounds(bounds: Any, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Read bounds in any of SciPy's forms.

    Raises
    ------
    UsageError
        Where they do not fit x, or can be read in two ways.
    """
    n = x.size
    if bounds is None:
        return np.full(n, -np.inf), np.full(n, np.inf)
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        return _sides(bounds.lb, bounds.ub, n)
    readings = []
    pairs = list(bounds)
    if len(pairs) == n and all(isinstance(p, (Sequence, np.ndarray)) and len(p) == 2 for p in pairs):
        low = [-math.inf if p[0] is None else float(p[0]) for p in pairs]
        high = [math.inf if p[1] is None else float(p[1]) for p in pairs]
        readings.append((np.array(low), np.array(high)))
    if len(pairs) == 2 and not any(
        v is None for side in pairs for v in np.atleast_1d(np.asarray(side, dtype=object)).flat
    ):
        try:
            readings.append(_sides(pairs[0], pairs[1], n))
        except UsageError:
            if not readings:
                raise
    if not readings:
        raise UsageError(
            f"bounds of {len(pairs)} entries for {n} parameters",
            remedy="Give one pair (low, high) a parameter, a tuple (lower, upper), or a Bounds object",
        )
    good = [(a, b) for a, b in readings if np.all(a < b) and np.all((a <= x) & (x <= b))]
    if len(good) == 2 and not all(np.array_equal(a, b) for a, b in zip(*good, strict=True)):
        raise UsageError(
            "bounds that can be read in two ways",
            meaning="Two parameters: either one pair (low, high) for each, as minimize takes them, or (lower, upper), as least_squares does",
            remedy="Give scipy.optimize.Bounds(lower, upper)",
        )
    return (good or readings)[0]


def _sides(low: Any, high: Any, n: int) -> tuple[FloatArray, FloatArray]:
    try:
        return (
            np.broadcast_to(np.asarray(low, dtype=float), (n,)).copy(),
            np.broadcast_to(np.asarray(high, dtype=float), (n,)).copy(),
        )
    except ValueError:
        raise UsageError(
            f"bounds of shapes {np.shape(low)} and {np.shape(high)} for {n} parameters",
            remedy="Give one bound a parameter",
        ) from None


def _is_matrix(claimed: Any, x: FloatArray) -> bool:
    value = claimed(x.copy()) if callable(claimed) else claimed
    return len(getattr(value, "shape", np.shape(value))) == 2


def _number(value: Any) -> Any:
    array = np.asarray(value)
    if array.size != 1:
        raise NotScalar(f"fun returns an array of shape {array.shape}", where="fun(x)", remedy="Return one number")
    return array.reshape(())[()]


def _flat(claimed: Any) -> Any:
    return (lambda x: np.asarray(claimed(x)).reshape(-1)) if callable(claimed) else np.asarray(claimed).reshape(-1)
