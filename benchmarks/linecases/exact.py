"""Exact derivatives of ordinary NumPy code: dual numbers of 40 decimal digits inside object arrays.

NumPy sends ``np.exp(a)`` of an object array to ``element.exp()`` and ``A @ x`` to ``*`` and ``+``, so that the *same*
function is the cost (on floats) and its own truth (on duals): there is no second formula that could be mistyped. The
float constants of a cost are exact in 40 digits, so the truth is the derivative of the function that the cost
approximates in floating point. Source of each rule: the chain rule; ψ and Γ as in mpmath.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp, mpf

mp.dps = 40


def _exact(number: Any) -> mpf:
    return number if isinstance(number, mpf) else mpf(float(number))


def _for_numbers(rule: Callable[[Dual, Any], Dual]) -> Callable[[Dual, Any], Dual]:
    """Leave arrays to NumPy, which comes back with their elements."""

    def operation(self: Dual, other: Any) -> Any:
        return NotImplemented if isinstance(other, np.ndarray) else rule(self, other)

    return operation


class Dual:
    """a + b·t with t² = 0."""

    __slots__ = ("tangent", "value")

    def __init__(self, value: Any, tangent: Any = 0) -> None:
        self.value = _exact(value)
        self.tangent = _exact(tangent)

    def chain(self, value: mpf, slope: mpf) -> Dual:
        return Dual(value, slope * self.tangent)

    @_for_numbers
    def __add__(self, other: Any) -> Dual:
        other = _dual(other)
        return Dual(self.value + other.value, self.tangent + other.tangent)

    @_for_numbers
    def __sub__(self, other: Any) -> Dual:
        other = _dual(other)
        return Dual(self.value - other.value, self.tangent - other.tangent)

    @_for_numbers
    def __mul__(self, other: Any) -> Dual:
        other = _dual(other)
        return Dual(self.value * other.value, self.tangent * other.value + self.value * other.tangent)

    @_for_numbers
    def __truediv__(self, other: Any) -> Dual:
        other = _dual(other)
        quotient = self.value / other.value
        return Dual(quotient, (self.tangent - quotient * other.tangent) / other.value)

    __radd__ = __add__
    __rmul__ = __mul__

    @_for_numbers
    def __rsub__(self, other: Any) -> Dual:
        return _dual(other) - self

    @_for_numbers
    def __rtruediv__(self, other: Any) -> Dual:
        return _dual(other) / self

    @_for_numbers
    def __pow__(self, power: Any) -> Dual:
        if isinstance(power, Dual):
            return (power * self.log()).exp()
        power = _exact(power)
        if power == 0:
            return Dual(1)
        return self.chain(self.value**power, power * self.value ** (power - 1))

    @_for_numbers
    def __rpow__(self, base: Any) -> Dual:
        return (self * mp.log(_exact(base))).exp()

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.tangent)

    def __pos__(self) -> Dual:
        return self

    def __abs__(self) -> Dual:
        return -self if self < 0 else self

    # Just right of t = 0, a + b·t is ordered by a, then by b: ties of relu, max and |·| are then broken as they are
    # along +v, and the derivative that comes out is the one-sided one.
    def _key(self) -> tuple[mpf, mpf]:
        return self.value, self.tangent

    def __lt__(self, other: Any) -> bool:
        return bool(self._key() < _dual(other)._key())

    def __gt__(self, other: Any) -> bool:
        return bool(self._key() > _dual(other)._key())

    def __le__(self, other: Any) -> bool:
        return bool(self._key() <= _dual(other)._key())

    def __ge__(self, other: Any) -> bool:
        return bool(self._key() >= _dual(other)._key())

    def exp(self) -> Dual:
        value = mp.exp(self.value)
        return self.chain(value, value)

    def expm1(self) -> Dual:
        return self.chain(mp.expm1(self.value), mp.exp(self.value))

    def log(self) -> Dual:
        return self.chain(mp.log(self.value), 1 / self.value)

    def log1p(self) -> Dual:
        return self.chain(mp.log1p(self.value), 1 / (1 + self.value))

    def sqrt(self) -> Dual:
        value = mp.sqrt(self.value)
        return self.chain(value, 1 / (2 * value))

    def sin(self) -> Dual:
        return self.chain(mp.sin(self.value), mp.cos(self.value))

    def cos(self) -> Dual:
        return self.chain(mp.cos(self.value), -mp.sin(self.value))

    def tan(self) -> Dual:
        return self.chain(mp.tan(self.value), 1 / mp.cos(self.value) ** 2)

    def arcsin(self) -> Dual:
        return self.chain(mp.asin(self.value), 1 / mp.sqrt(1 - self.value**2))

    def arccos(self) -> Dual:
        return self.chain(mp.acos(self.value), -1 / mp.sqrt(1 - self.value**2))

    def arctan(self) -> Dual:
        return self.chain(mp.atan(self.value), 1 / (1 + self.value**2))

    def sinh(self) -> Dual:
        return self.chain(mp.sinh(self.value), mp.cosh(self.value))

    def cosh(self) -> Dual:
        return self.chain(mp.cosh(self.value), mp.sinh(self.value))

    def tanh(self) -> Dual:
        return self.chain(mp.tanh(self.value), 1 / mp.cosh(self.value) ** 2)

    def arctanh(self) -> Dual:
        return self.chain(mp.atanh(self.value), 1 / (1 - self.value**2))

    def softplus(self) -> Dual:
        return self.chain(mp.log1p(mp.exp(self.value)), 1 / (1 + mp.exp(-self.value)))

    def erf(self) -> Dual:
        return self.chain(mp.erf(self.value), 2 / mp.sqrt(mp.pi) * mp.exp(-(self.value**2)))

    def gammaln(self) -> Dual:
        return self.chain(mp.loggamma(self.value), mp.digamma(self.value))

    def digamma(self) -> Dual:
        return self.chain(mp.digamma(self.value), mp.polygamma(1, self.value))

    def j0(self) -> Dual:
        return self.chain(mp.besselj(0, self.value), -mp.besselj(1, self.value))


def _dual(number: Any) -> Dual:
    return number if isinstance(number, Dual) else Dual(number)


def special(name: str, argument: Any) -> Any:
    """Apply a function of scipy.special (or softplus) to floats, or its exact rule to duals."""
    array = np.asarray(argument)
    if array.dtype == object:
        result = np.frompyfunc(lambda element: getattr(_dual(element), name)(), 1, 1)(array)
        return result if array.ndim else np.asarray(result, dtype=object)[()]
    if name == "softplus":
        return np.logaddexp(0, argument)
    from scipy import special as functions

    return getattr(functions, name)(argument)


def lifted(point: Any, direction: Any) -> Any:
    """Return the point with every number replaced by its dual along the direction."""
    if isinstance(point, dict):
        return {name: lifted(point[name], direction[name]) for name in point}
    if np.ndim(point) == 0:
        return Dual(point, direction)
    flat = [Dual(value, tangent) for value, tangent in zip(np.ravel(point), np.ravel(direction), strict=True)]
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(np.shape(point))


def exact_derivative(cost: Callable[[Any], Any], point: Any, direction: Any) -> float:
    """Return the directional derivative of a cost written in NumPy, correct to the last place of a float.

    At a kink it is the derivative to the right, along +direction; minus that of −direction is the one to the left.
    """
    result = cost(lifted(point, direction))
    result = result.item() if isinstance(result, np.ndarray) else result
    return float(_dual(result).tangent)


def moved(point: Any, direction: Any, length: float) -> Any:
    """Return point + length · direction, in the point's own precision."""
    if isinstance(point, dict):
        return {name: moved(point[name], direction[name], length) for name in point}
    if isinstance(point, np.ndarray):
        return (point + np.asarray(length * direction, dtype=point.dtype)).astype(point.dtype)
    return point + length * direction


def value_at(cost: Callable[[Any], Any], point: Any, direction: Any, t: mpf) -> mpf:
    """Return the cost at point + t · direction in 40 digits: an independent look at `exact_derivative`."""

    def displaced(point: Any, direction: Any) -> Any:
        if isinstance(point, dict):
            return {name: displaced(point[name], direction[name]) for name in point}
        pairs = zip(np.ravel(point), np.ravel(direction), strict=True)
        numbers = [Dual(_exact(p) + t * _exact(v)) for p, v in pairs]
        if np.ndim(point) == 0:
            return numbers[0]
        array = np.empty(len(numbers), dtype=object)
        array[:] = numbers
        return array.reshape(np.shape(point))

    result = cost(displaced(point, direction))
    return _dual(result.item() if isinstance(result, np.ndarray) else result).value
