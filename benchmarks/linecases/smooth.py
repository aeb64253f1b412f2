"""Smooth costs in float64: functions with closed-form derivatives, and random compositions of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from linecases.exact import special
from linecases.line import Cost, Line, Rng, direction_for, generator, plain


def _constant(value: float) -> Cost:
    return lambda x: value + 0 * x


def _horner(coefficients: Sequence[float]) -> Cost:
    def cost(x: Any) -> Any:
        total = 0.0 * x
        for coefficient in coefficients:
            total = total * x + coefficient
        return total

    return cost


def scalar_cases(rng: Rng) -> dict[str, tuple[Cost, float]]:
    """Return one draw of every smooth function of one variable, with its point."""
    a, c = rng.uniform(0.5, 3, size=2)
    b = rng.uniform(-2, 2)
    x = rng.uniform(0.3, 2)
    w = rng.uniform(-1, 1, size=7)
    return {
        "exp": (lambda x: c * np.exp(-a * x) + b, x),
        "sine": (lambda x: np.sin(a * x + b), x),
        "rational": (lambda x: (1 + a * x - b * x * x) / (2 + c * x * x), x),
        "erf": (lambda x: special("erf", a * x - c), x),
        "log-gamma": (lambda x: special("gammaln", c + x * x), x),
        "digamma": (lambda x: special("digamma", a + x), x),
        "beta function": (
            lambda x: special("gammaln", x) + special("gammaln", x + a) - special("gammaln", 2 * x + a),
            x,
        ),
        "Bessel": (lambda x: special("j0", 3 * a * x), x),
        "sin(1e5 x)": (lambda x: np.sin(1e5 * x + b), x),
        "exp(1e-6 x)": (lambda x: np.exp(1e-6 * x), b),
        "polynomial": (_horner(w), x),
        "polynomial, expanded": (_horner([1, -7, 21, -35, 35, -21, 7, -1]), 1 + 0.2 * b),
        "offset 1e8": (lambda x: 1e8 + np.sin(a * x), x),
        "maximum of a cosine": (lambda x: np.cos(a * x), 0.0),
        "minimum of a square": (lambda x: c * (x - b) * (x - b), b),
        "linear": (lambda x: c * x + b, x),
        "constant": (_constant(c), x),
        "bell": (lambda x: np.exp(-((x - b) ** 2) / 2), x),
        "x to the x": (lambda x: x**x, x),
        "arctan": (lambda x: np.arctan(a * x + b), x),
        "logistic": (lambda x: 1 / (1 + np.exp(-a * x)), b),
        "tangent": (lambda x: np.tan(0.6 * x), x),
        "hyperbola": (lambda x: np.sqrt(1 + a * x * x), b),
        "damped oscillation": (lambda x: np.exp(-x) * np.cos(20 * a * x), x),
        "fast cosine": (lambda x: x * np.cos(300 * a * x), x),
        "ill-conditioned code": (lambda x: (1 - np.cos(x)) / (x * x), 10 ** rng.uniform(-3, -1)),
        "logarithm": (lambda x: np.log(a + x * x), x),
        "hyperbolic": (lambda x: np.sinh(x) * np.cos(a * x), b),
        "cost of size 1e-150": (lambda x: 1e-150 * np.sin(a * x), x),
        "cost of size 1e120": (lambda x: 1e120 * np.exp(np.sin(a * x)), x),
        "sine over x": (lambda x: np.sin(a * x) / x, x),
        "arcsine": (lambda x: np.arcsin(x / 3), b),
    }


def _rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def _beale(p: Any) -> Any:
    x, y = p["x"], p["y"]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y * y) ** 2 + (2.625 - x + x * y**3) ** 2


def _into_buffer(x: Any) -> Any:
    buffer = np.zeros(len(x))
    buffer[:] = np.tanh(x)
    return np.sum(buffer * buffer)


def vector_cases(rng: Rng) -> dict[str, tuple[Cost, Any, Cost | None]]:
    """Return one draw of every smooth function of several variables; the third entry is an exact twin where needed."""
    n = int(rng.integers(4, 12))
    x = rng.standard_normal(n)
    matrix = rng.standard_normal((2 * n, n))
    target = rng.standard_normal(2 * n)
    signs = rng.choice([-1.0, 1.0], size=2 * n)
    stretch = 10 ** rng.uniform(-3, 3, size=n)
    weights = {"W": rng.standard_normal((3, n)), "b": np.zeros(3)}
    sample = rng.standard_normal(n)

    def cross_entropy(p: Any) -> Any:
        logits = p["W"] @ sample + p["b"]
        return np.log(np.sum(np.exp(logits))) - logits[1]

    def mixture(x: Any) -> Any:
        return -np.sum(np.log(0.3 * np.exp(-((x - 1) ** 2)) + 0.7 * np.exp(-((x + 1) ** 2) / 2)))

    return {
        "log-sum-exp": (lambda x: np.log(np.sum(np.exp(x))), x, None),
        "Rosenbrock": (_rosenbrock, x, None),
        "product": (lambda x: np.prod(1 + 0.3 * x), x, None),
        "least squares": (lambda x: np.sum((matrix @ x - target) ** 2), x, None),
        "stretched quadratic": (lambda x: np.sum(stretch * x * x), x, None),
        "logistic regression": (
            lambda x: np.sum(special("softplus", -signs * (matrix @ x))) + 0.1 * np.sum(x * x),
            x,
            None,
        ),
        "cross-entropy": (cross_entropy, weights, None),
        "mixture": (mixture, x, None),
        "Student likelihood": (lambda x: np.sum(np.log1p((matrix @ x - target) ** 2 / 4)), x, None),
        "Beale": (_beale, {"x": float(x[0]), "y": float(x[1])}, None),
        "linear form": (lambda x: sample @ x, x, None),
        # what follows gives a complex step a wrong answer without a word
        "norm": (np.linalg.norm, x, lambda x: np.sqrt(np.sum(x * x))),
        "absolute values": (lambda x: np.sum(np.abs(x) ** 1.5), x, None),
        "real part": (lambda x: np.sum(np.real(x) ** 3 * x), x, lambda x: np.sum(x**4)),
        "standard deviation": (np.std, x, lambda x: np.sqrt(np.sum((x - np.sum(x) / n) ** 2) / n)),
        "real buffer": (_into_buffer, x, lambda x: np.sum(np.tanh(x) ** 2)),
        "cast": (lambda x: np.sum(np.asarray(x, dtype=np.float64) ** 4), x, lambda x: np.sum(x**4)),
        "comparison": (lambda x: np.sum(np.where(x > 0, x * x, -x * x * x)), x, None),
    }


def smooth(part: str, rounds: int = 2) -> list[Line]:
    """Smooth functions with closed-form derivatives."""
    rng = generator(part, "smooth")
    lines = []
    for _ in range(rounds):
        for name, (cost, x) in scalar_cases(rng).items():
            lines.append(plain("smooth", name, cost, float(x), direction_for(rng, float(x))))
        for name, (cost, point, twin) in vector_cases(rng).items():
            lines.append(plain("smooth", name, cost, point, direction_for(rng, point), twin))
    return lines


def _expression(rng: Rng, depth: int, size: int) -> Cost:
    if depth == 0:
        index, factor, shift = int(rng.integers(size)), rng.uniform(0.3, 2), rng.uniform(-1, 1)
        return lambda x: factor * x[index] + shift
    left, right = (_expression(rng, depth - 1, size) for _ in range(2))
    a = rng.uniform(0.5, 2.5)
    choices: list[Cost] = [
        lambda x: left(x) + a * right(x),
        lambda x: left(x) * right(x),
        lambda x: np.sin(a * left(x)) + right(x),
        lambda x: np.exp(-((0.5 * left(x)) ** 2)) * right(x),
        lambda x: left(x) / (1.5 + right(x) ** 2),
        lambda x: np.tanh(left(x)) - np.cos(a * right(x)),
        lambda x: np.sqrt(1 + left(x) ** 2) * np.arctan(right(x)),
        lambda x: np.log(1 + left(x) ** 2 + a * right(x) ** 2),
    ]
    return choices[int(rng.integers(len(choices)))]


def compositions(part: str, count: int = 40) -> list[Line]:
    """Random expressions of depth two to four in one to five variables."""
    rng = generator(part, "compositions")
    lines = []
    for index in range(count):
        size = int(rng.integers(1, 6))
        cost = _expression(rng, int(rng.integers(2, 5)), size)
        point = rng.standard_normal(size)
        lines.append(plain("compositions", f"expression {index}", cost, point, rng.standard_normal(size)))
    return lines
