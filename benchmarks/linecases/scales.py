"""Parameters of every size, parameters that are zero, and points at the edge of the domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from linecases.exact import special
from linecases.line import Cost, Line, direction_for, generator, plain


def scales(part: str, count: int = 48) -> list[Line]:
    """Parameters of size 1e-12 … 1e12: one, or two blocks of different sizes, along everything or one coordinate."""
    rng = generator(part, "scales")
    lines = []
    for index in range(count):
        s = 10 ** (-12 + 24 * (index + rng.random()) / count)
        other = 10 ** rng.uniform(-12, 12)
        a, b = rng.uniform(0.5, 2), rng.uniform(-1, 1)
        shape = [
            lambda u, a=a, b=b: np.sin(a * u + b),
            lambda u, a=a: np.exp(-a * u),
            lambda u, a=a, b=b: 1 / (1 + (a * u - b) ** 2),
            lambda u, a=a: u * u * u - a * u,
        ][index % 4]
        if index % 3 < 2:
            x = float(s * rng.uniform(0.3, 2) * rng.choice([-1, 1]))
            direction = 1.0 if index % 2 else float(s)
            lines.append(plain("scales", f"one of {s:.0e}", lambda x, f=shape, s=s: f(x / s), x, direction))
            continue
        point = {"small": s * rng.standard_normal(3), "large": other * rng.standard_normal(4)}
        direction: Any = {"small": s * rng.standard_normal(3), "large": other * rng.standard_normal(4)}
        if rng.random() < 0.5:
            direction = {"small": np.array([0.0, 1.0, 0.0]), "large": np.zeros(4)}

        def cost(p: Any, f: Cost = shape, s: float = s, o: float = other) -> Any:
            return np.sum(f(p["small"] / s)) + np.sum(np.cos(p["large"] / o) * np.sum(p["small"] / s))

        lines.append(plain("scales", f"blocks of {s:.0e} and {other:.0e}", cost, point, direction))
    return lines


def zeros(part: str, count: int = 40) -> list[Line]:
    """Parameters that are zero, of costs that vary over lengths of 1e-5 … 1e6."""
    rng = generator(part, "zero parameters")
    lines = []
    for index in range(count):
        k = 10 ** (-6 + 11 * (index + rng.random()) / count)
        a, b = rng.uniform(0.5, 2), rng.uniform(-1, 1)
        n = int(rng.integers(2, 6))
        features = rng.standard_normal((12, n))
        if index % 2:
            shape = [
                lambda u, b=b: np.sin(u + b),
                np.exp,
                lambda u, a=a, b=b: 1 / (1 + a * (u - b) ** 2),
                lambda u, b=b: np.tanh(u + b),
            ][index // 2 % 4]
            cost: Cost = lambda x, f=shape, k=k: f(k * x)  # noqa: E731
            lines.append(plain("zero parameters", f"scalar, {k:.0e}", cost, 0.0, direction_for(rng, 0.0)))
            continue
        labels = rng.choice([-1.0, 1.0], size=12)

        def regression(p: Any, x: Any = features, y: Any = labels, k: float = k) -> Any:
            return np.sum(special("softplus", -y * (k * (x @ p["w"]) + p["b"])))

        bias = 0.0 if rng.random() < 0.5 else float(rng.standard_normal())
        point = {"w": np.zeros(n), "b": bias}
        direction = {"w": rng.standard_normal(n), "b": 0.0 if k > 10 or k < 0.1 else 1.0}
        lines.append(plain("zero parameters", f"regression, {k:.0e}", regression, point, direction))
    return lines


def _guarded(function: Cost, inside: Callable[[Any], Any], *, raises: bool) -> Cost:
    def cost(x: Any) -> Any:
        if not inside(x):
            if raises:
                msg = "math domain error"
                raise ValueError(msg)
            return float("nan")
        return function(x)

    return cost


def edges(part: str, count: int = 48) -> list[Line]:
    """Points 1e-9 … 1e-2 from the edge of the domain, where the cost is NaN or raises; both sides."""
    rng = generator(part, "edge of the domain")
    lines = []
    shapes: dict[str, Cost] = {
        "log": np.log,
        "sqrt": np.sqrt,
        "1/x": lambda u: 1 / u,
        "x log x": lambda u: u * np.log(u),
        "power 1.5": lambda u: u**1.5,
        "arcsin": lambda u: np.arcsin(1 - u),
        "arctanh": lambda u: np.arctanh(1 - u),
        "barrier": lambda u: -np.log(u),
    }
    for index in range(count):
        name = list(shapes)[index % len(shapes)]
        distance = 1e-9 if index % 3 == 0 else float(10 ** rng.uniform(-9, -2))
        raises = bool(rng.random() < 0.5)
        a = rng.uniform(-2, 2)
        shape = shapes[name]
        side = float(rng.choice([-1.0, 1.0]))
        label = f"{name} at {distance:.0e}, {'raises' if raises else 'NaN'}"
        if name == "barrier":
            rows = rng.standard_normal((6, 3))
            x = rng.standard_normal(3)
            slack = rng.uniform(0.5, 2, size=6)
            slack[0] = distance
            limit = rows @ x + slack
            cost = _guarded(
                lambda x, rows=rows, limit=limit: -np.sum(np.log(limit - rows @ x)),
                lambda x, rows=rows, limit=limit: np.all(limit - rows @ x > 0),
                raises=raises,
            )
            lines.append(plain("edge of the domain", label, cost, x, rng.standard_normal(3)))
            continue
        if name.startswith("arc") and rng.random() < 0.5:  # the edge at ±1 itself, as users write it
            function = np.arcsin if name == "arcsin" else np.arctanh
            x = side * (1 - distance)
            cost = _guarded(lambda x, f=function: f(x), lambda x: abs(x) < 1, raises=raises)
            lines.append(plain("edge of the domain", label, cost, x, float(rng.choice([1.0, -1.0]))))
            continue
        at_zero = name in ("log", "sqrt", "1/x", "x log x") and rng.random() < 0.5
        edge = 0.0 if at_zero else float(rng.uniform(0.5, 2))
        x = side * distance if at_zero else edge + side * distance
        cost = _guarded(
            lambda x, f=shape, e=edge, s=side, a=a: f(s * (x - e)) + a * x,
            lambda x, e=edge, s=side: s * (x - e) > 0,
            raises=raises,
        )
        lines.append(plain("edge of the domain", label, cost, x, float(rng.choice([1.0, -1.0]))))
    return lines
