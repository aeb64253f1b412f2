"""Derivatives without a claim: `directional_derivative` and `numerical_gradient`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradproof._problem.problem import Problem
from gradproof._verbs.gradient import make_problem
from gradproof._words.results import Estimate, NumericalGradient


def directional_derivative(
    cost: Callable[[Any], Any],
    point: Any,
    direction: Any,
    *,
    has_aux: bool = False,
    retract: Callable[[Any, Any], Any] | None = None,
) -> Estimate:
    """Measure the derivative of a cost along a direction, with an error bar.

    Parameters
    ----------
    cost
        Callable: point → a real number.
    point
        Where: a number, an array or a nested container of them.
    direction
        v, in the point's structure; any length.
    has_aux
        The cost returns ``(J, anything)``.
    retract
        Callable: (point, δ) → the displaced point; the direction is then one of δ, and has its structure.

    Returns
    -------
    Estimate
        ``value`` is ⟨∇J, v⟩ in the cost's units; ``error_bar`` the half-width of an interval that holds it with
        probability 0.999 as far as noise is concerned, truncation bounded. At a kink of φ(t) = J(θ + t v) the
        one-sided derivatives stand in ``kink``.

    Raises
    ------
    UsageError
        For a point or direction that cannot be used.
    EvaluationError
        Where the cost cannot be evaluated at the point itself.

    Examples
    --------
    >>> import math
    >>> estimate = directional_derivative(math.sin, 1.0, 1.0)
    >>> abs(estimate.value - math.cos(1.0)) <= estimate.error_bar
    True
    """
    from gradproof._examination.measurement import measure_direction  # loaded when it is used: imports stay cheap

    problem, _ = make_problem(cost, point, direction, retract=retract, has_aux=has_aux)
    return measure_direction(problem, direction)


def numerical_gradient(
    cost: Callable[[Any], Any],
    point: Any,
    *,
    has_aux: bool = False,
    complex_step: bool = True,
    retract: Callable[[Any, Any], Any] | None = None,
    tangent: Any = None,
) -> NumericalGradient:
    """Measure the whole gradient of a cost, each coordinate with an error bar.

    Parameters
    ----------
    cost
        Callable: point → a real number.
    point
        Where: a number, an array or a nested container of them; N coordinates.
    has_aux
        The cost returns ``(J, anything)``.
    complex_step
        Try the complex step first: N calls of the cost with complex parameters, exact to rounding where the cost is
        analytic in them. It is believed only as far as some real lines certify it.
    retract, tangent
        Callable: (point, δ) → the displaced point, and δ's shape or an example of it; the gradient is then that by δ.

    Returns
    -------
    NumericalGradient
        ``values`` and ``error_bars`` in the point's structure (float64), and which ``method`` gave them.

    Raises
    ------
    UsageError
        For a point that cannot be used.
    EvaluationError
        Where the cost cannot be evaluated at the point itself.

    Notes
    -----
    By real differences each coordinate takes 10 to 30 calls of the cost. A coordinate at a kink has the mean of its one-sided derivatives
    as its value and half their distance in its bar.
    """
    from gradproof._examination.measurement import measure_gradient

    if retract is None and tangent is None:
        problem = Problem(cost, point, point, has_aux=has_aux)
    else:
        from gradproof._problem.tangents import unclaimed_problem  # for those who use it

        problem = unclaimed_problem(cost, point, retract, tangent, has_aux=has_aux)
    return measure_gradient(problem, complex_step=complex_step)
