"""Costs with stochastic noise, and costs whose values are written with few digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from linecases.exact import exact_derivative, special
from linecases.line import Cost, Line, Rng, direction_for, generator, plain


def ordinary_cases(rng: Rng) -> dict[str, tuple[Cost, Any]]:
    """Return one draw of costs of size about one that vary over lengths of about one."""
    a, b = rng.uniform(0.7, 1.5), rng.uniform(-1, 1)
    n = int(rng.integers(3, 9))
    x = rng.standard_normal(n)
    matrix = rng.standard_normal((n, n)) / n
    return {
        "sine": (lambda x: 2 + np.sin(a * x + b), float(x[0])),
        "exponential": (lambda x: np.exp(0.5 * a * x), float(x[1])),
        "bell": (lambda x: np.exp(-((x - b) ** 2) / 2), float(x[2])),
        "log-sum-exp": (lambda x: np.log(np.sum(np.exp(x))), x),
        "mean square": (lambda x: np.sum((x - b) ** 2) / n, x),
        "softplus": (lambda x: np.sum(special("softplus", matrix @ x)) / n, x),
        "tanh": (lambda x: 1 + np.sum(np.tanh(matrix @ x)) / n, x),
        "rational": (lambda x: 1 / (1 + a * np.sum(x * x) / n), x),
    }


def _draw_ordinary(rng: Rng, index: int) -> tuple[str, Cost, Any, Any]:
    cases = ordinary_cases(rng)
    name = list(cases)[index % len(cases)]
    cost, point = cases[name]
    direction = direction_for(rng, point)
    if np.ndim(point):
        direction = direction / np.sqrt(np.mean(direction**2))
    return name, cost, point, direction


def noisy(part: str, count: int = 48) -> list[Line]:
    """Stochastic noise of 1e-10 … 1e-3 of the cost's scale: additive, proportional, or uniform."""
    rng = generator(part, "stochastic noise")
    lines = []
    for index in range(count):
        name, cost, point, direction = _draw_ordinary(rng, index)
        level = 10 ** (-10 + 7 * ((index * 13) % count + rng.random()) / count)
        kind = ("normal", "proportional", "uniform")[index % 3]
        seed = int(rng.integers(2**32))

        def make(cost: Cost = cost, level: float = level, kind: str = kind, seed: int = seed) -> Cost:
            own = np.random.default_rng(seed)

            def noisy_cost(x: Any) -> float:
                value = float(cost(x))
                draw = own.standard_normal() if kind != "uniform" else np.sqrt(12) * (own.random() - 0.5)
                return value + level * float(draw) * (value if kind == "proportional" else 1.0)

            return noisy_cost

        lines.append(
            Line(
                "stochastic noise",
                f"{name}, {kind} {level:.1e}",
                make,
                point,
                direction,
                lambda c=cost, p=point, v=direction: [exact_derivative(c, p, v)],
            )
        )
    return lines


def _rounding(rng: Rng, index: int) -> tuple[str, Callable[[float], float]]:
    if index % 4 < 2:
        return "rounded to 1e-6", lambda value: round(float(value), 6)
    if index % 4 == 3:
        return "rounded to float32", lambda value: float(np.float32(value))
    if index % 8 == 2:
        grid = 2.0 ** -int(rng.integers(12, 30))
        return f"multiples of {grid:.1e}", lambda value: grid * round(float(value) / grid)
    digits = int(rng.integers(4, 11))
    return f"{digits} decimal digits", lambda value: float(f"{float(value):.{digits - 1}e}")


def rounded(part: str, count: int = 40) -> list[Line]:
    """Costs that are written with few digits: to 1e-6, to 4 … 10 decimal digits, to a binary grid, to float32."""
    rng = generator(part, "rounded output")
    lines = []
    for index in range(count):
        name, cost, point, direction = _draw_ordinary(rng, index)
        label, shorten = _rounding(rng, index // 2)

        def rounded_cost(x: Any, cost: Cost = cost, shorten: Callable[[float], float] = shorten) -> float:
            return shorten(cost(x))

        lines.append(plain("rounded output", f"{name}, {label}", rounded_cost, point, direction, cost))
    return lines
