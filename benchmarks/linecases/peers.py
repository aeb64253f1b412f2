"""The tools that also give a derivative with an error, each called as its documentation says, with its defaults.

A line with one moving coordinate is given to them as a function of that coordinate at its own value, so that their
step rules see the parameter's size; any other as φ(t) = J(θ + t·v) at t = 0.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from linecases.exact import moved
from linecases.line import Line, flat

Curve = Callable[[float], float]
SCALAR_UNIT: Final = np.finfo(np.float64).eps


@dataclass
class Outcome:
    """What a tool said about a line; NaN where it said nothing."""

    value: float
    bar: float
    evaluations: int
    note: str = ""
    kinked: bool = False
    left: float = math.nan
    right: float = math.nan
    kink_bar: float = math.nan


@dataclass
class Counted:
    """A callable that counts its calls."""

    function: Callable[[Any], Any]
    calls: int = 0

    def __call__(self, argument: Any) -> Any:
        self.calls += 1
        return self.function(argument)


def _with_coordinate(tree: Any, position: int, value: float) -> Any:
    if isinstance(tree, dict):
        result = {}
        for name, part in tree.items():
            size = np.size(part)
            result[name] = _with_coordinate(part, position, value) if 0 <= position < size else part
            position -= size
        return result
    if np.ndim(tree) == 0:
        return value
    changed = np.array(tree)
    changed.reshape(-1)[position] = value
    return changed


def as_curve(line: Line) -> tuple[Curve, float, float]:
    """Return a function of one variable, where it is to be differentiated, and the factor to v's derivative."""
    cost = line.make_cost()
    entries = flat(line.direction)
    moving = [i for i, entry in enumerate(entries) if entry != 0]
    if len(moving) == 1:
        index = moving[0]
        return (
            lambda x: float(cost(_with_coordinate(line.point, index, float(x)))),
            flat(line.point)[index],
            entries[index],
        )
    return lambda t: float(cost(moved(line.point, line.direction, float(t)))), 0.0, 1.0


def numdifftools(curve: Curve, at: float) -> tuple[float, float]:
    """numdifftools.Derivative, central, all defaults."""
    import numdifftools as nd

    found = nd.Derivative(curve, full_output=True)(at)
    if len(found) == 2:  # (value, info) in older versions
        return float(np.squeeze(found[0])), float(np.squeeze(found[1].error_estimate))
    return float(np.squeeze(found.estimate)), float(np.squeeze(found.error_estimate))


def scipy_differentiate(curve: Curve, at: float) -> tuple[float, float]:
    """scipy.differentiate.derivative, all defaults; its function takes arrays."""
    from scipy.differentiate import derivative

    found = derivative(lambda x: np.array([curve(float(e)) for e in np.ravel(x)]).reshape(np.shape(x)), at)
    return float(found.df), float(found.error)


def gsl_central(curve: Curve, at: float) -> tuple[float, float]:
    """The rule of GSL's central derivative, from its documentation: our own port.

    Two differences from ±h/2 and ±h: the five-point value, its truncation taken as the distance to the three-point
    value, its rounding from the sizes of the values; then the step that balances the two, used once where it is better
    and agrees. The first step, which GSL leaves to the caller, is 1e-3 of the argument, or 1e-3.
    """

    def rule(h: float) -> tuple[float, float, float]:
        outer = curve(at - h), curve(at + h)
        inner = curve(at - h / 2), curve(at + h / 2)
        three = 0.5 * (outer[1] - outer[0])
        five = 4 / 3 * (inner[1] - inner[0]) - three / 3
        rounding_outer = SCALAR_UNIT * (abs(outer[0]) + abs(outer[1]))
        rounding = rounding_outer + 2 * SCALAR_UNIT * (abs(inner[0]) + abs(inner[1]))
        argument = max(abs(three / h), abs(five / h)) * abs(at) / h * SCALAR_UNIT
        return five / h, abs((five - three) / h), abs(rounding / h) + argument

    first = 1e-3 * (abs(at) or 1.0)
    value, truncation, rounding = rule(first)
    error = truncation + rounding
    if 0 < rounding < truncation:
        again, truncation, rounding = rule(first * (rounding / (2 * truncation)) ** (1 / 3))
        if truncation + rounding < error and abs(again - value) < 4 * error:
            return again, truncation + rounding
    return value, error


def ridders(curve: Curve, at: float) -> tuple[float, float]:
    """Ridders' extrapolation (1982) with the constants that Ceres publishes: our own port.

    Central differences at steps that halve from 1e-2 of the argument (or 1e-2), extrapolated in a tableau; the error of
    an entry is its larger distance to its two parents; stop when the diagonal gets worse by twice the best error.
    """
    h = 1e-2 * (abs(at) or 1.0)
    best, error = math.nan, math.inf
    previous: list[float] = []
    for row in range(10):
        current = [(curve(at + h) - curve(at - h)) / (2 * h)]
        for column in range(1, row + 1):
            power = 4.0**column
            current.append((power * current[column - 1] - previous[column - 1]) / (power - 1))
            doubt = max(abs(current[column] - current[column - 1]), abs(current[column] - previous[column - 1]))
            if doubt <= error:
                best, error = current[column], doubt
        if row and abs(current[row] - previous[row - 1]) >= 2 * error:
            break
        previous, h = current, h / 2
    return best, error


PEERS: Final[dict[str, Callable[[Curve, float], tuple[float, float]]]] = {
    "numdifftools": numdifftools,
    "scipy.differentiate": scipy_differentiate,
    "GSL's rule": gsl_central,
    "Ridders' rule": ridders,
}


def run_peer(name: str, line: Line) -> Outcome:
    """Run one peer on one line; an exception counts as no answer."""
    curve, at, factor = as_curve(line)
    counted = Counted(curve)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            value, bar = PEERS[name](counted, at)
        except Exception as failure:  # whatever a tool raises is its answer
            return Outcome(math.nan, math.nan, counted.calls, repr(failure)[:60])
    return Outcome(value * factor, bar * abs(factor), counted.calls)


def run_gradproof(line: Line) -> Outcome:
    """Run gradproof on one line; the evaluations are those counted here, not those it states."""
    import gradproof

    counted = Counted(line.make_cost())
    with np.errstate(all="ignore"):
        try:
            found = gradproof.directional_derivative(counted, line.point, line.direction)
        except Exception as failure:
            return Outcome(math.nan, math.nan, counted.calls, repr(failure)[:160])
    note = f"{found.method}, step {found.step:.1e}, noise {found.noise:.1e}, truncation {found.truncation_error:.1e}"
    note += f", roundoff {found.roundoff_error:.1e}, dof {found.degrees_of_freedom:.3g}, trusted {found.trusted}"
    if found.evaluations != counted.calls:
        note += f", states {found.evaluations} evaluations"
    outcome = Outcome(found.value, found.error_bar, counted.calls, note)
    if found.kink is not None:
        outcome.kinked = True
        outcome.left, outcome.right, outcome.kink_bar = found.kink.left, found.kink.right, found.kink.error_bar
    return outcome
