"""Kinks at the point, kinks near it, and smooth costs that look like kinks and are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from linecases.exact import exact_derivative, special
from linecases.line import Cost, Line, Rng, direction_for, generator, plain


def _relu(x: Any) -> Any:
    return np.maximum(x, 0.0)


def one_sided(line: Line) -> tuple[float, float]:
    """Return the exact derivatives to the left and to the right."""
    cost = line.make_cost()
    backward = _negated(line.direction)
    return -exact_derivative(cost, line.point, backward), exact_derivative(cost, line.point, line.direction)


def _negated(tree: Any) -> Any:
    return {name: _negated(part) for name, part in tree.items()} if isinstance(tree, dict) else -tree


def _unit_network(rng: Rng, distance: float) -> tuple[Cost, dict[str, np.ndarray]]:
    """Return a ReLU network one of whose units has the pre-activation ``distance``, exactly 0 for 0."""
    inputs, units = int(rng.integers(2, 6)), int(rng.integers(3, 9))
    # on a coarse binary grid, so that products and sums are exact and the kink is where it is said to be
    sample = np.round(64 * rng.standard_normal((inputs, 1))) / 64
    point = {
        "W1": np.round(64 * rng.standard_normal((units, inputs))) / 64,
        "b1": np.zeros((units, 1)),
        "W2": rng.choice([-1, 1], size=(1, units)) * rng.uniform(0.3, 1.5, size=(1, units)),
    }
    unit = int(rng.integers(units))
    point["b1"][unit, 0] = distance - (point["W1"] @ sample)[unit, 0]

    def cost(p: Any) -> Any:
        hidden = _relu(p["W1"] @ sample + p["b1"])
        return np.sum((p["W2"] @ hidden - 0.5) ** 2) + 0.01 * np.sum(p["W1"] ** 2)

    return cost, point


def _kinked_cases(rng: Rng) -> dict[str, Callable[[], tuple[Cost, Any]]]:
    """Return makers of a cost and a point at which it has a kink."""
    a, b = rng.uniform(0.3, 2), rng.uniform(-2, 2)
    s = 10 ** rng.uniform(-6, 6)
    c = float(rng.uniform(0.3, 2))
    n = int(rng.integers(3, 8))
    x = rng.standard_normal(n)
    matrix = rng.standard_normal((n, n)) / n

    def sparse() -> tuple[Cost, Any]:
        point = np.where(rng.random(n) < 0.5, x, 0.0)
        point[0] = 0.0
        return lambda x: np.sum((matrix @ x - 1) ** 2) + 0.1 * a * np.sum(np.abs(x)), point

    def ties() -> tuple[Cost, Any]:
        point = x.copy()
        point[: int(rng.integers(2, n + 1))] = np.max(x) + 0.5
        return lambda x: np.max(x) + 0.2 * np.sum(np.sin(x)), point

    def pooled() -> tuple[Cost, Any]:
        point = {"u": x.copy(), "w": np.where(rng.random(n) < 0.6, x, x - 1)}
        point["w"][0] = x[0]
        return lambda p: np.sum(np.maximum(p["u"], p["w"]) ** 2 + 3 * np.maximum(p["u"], p["w"])), point

    def hinge() -> tuple[Cost, Any]:
        weights = np.round(x * 8) / 8
        weights[0] = weights[0] or 0.5
        sample = np.zeros(n)
        sample[0] = 1 / weights[0] if np.log2(abs(weights[0])).is_integer() else 0.0
        if sample[0] == 0.0:
            weights[0], sample[0] = 0.5, 2.0
        return lambda w: _relu(1 - np.sum(sample * w)) + 0.1 * np.sum(w * w), weights

    return {
        "ReLU at its kink": lambda: (lambda x: a * _relu(x - c) + np.sin(b * x), c),
        "ReLU at zero, scaled": lambda: (lambda x: _relu(x / s) + b * x / s, 0.0),
        "100x + relu(x)": lambda: (lambda x: 100 * x + _relu(x), 0.0),
        "small ReLU beside curvature": lambda: (lambda x: _relu(x) / 30 + np.exp(a * x) + b * x, 0.0),
        "ReLU network": lambda: _unit_network(rng, 0.0),
        "L1 at zero": sparse,
        "absolute value": lambda: (lambda x: np.abs(x - c) + x * x, c),
        "max ties": ties,
        "max pooling": pooled,
        "hinge": hinge,
        "leaky ReLU": lambda: (lambda x: np.maximum(x, 0.1 * a * x) + np.cos(x), 0.0),
    }


def kinks_at_the_point(part: str, rounds: int = 20) -> list[Line]:
    """ReLU at its kink, L1 at zero, ties of a maximum, and their like: the slope jumps at the point itself."""
    rng = generator(part, "kinks at the point")
    lines = []
    for _ in range(rounds):
        for name, make in _kinked_cases(rng).items():
            cost, point = make()
            lines.append(plain("kinks at the point", name, cost, point, _kink_direction(rng, name, point)))
    return lines


def _kink_direction(rng: Rng, name: str, point: Any) -> Any:
    """Draw a direction; along one coordinate in a third of the costs with several."""
    if name in ("L1 at zero", "max ties") and rng.random() < 0.33:
        unit = np.zeros(len(point))
        unit[0] = 1.0
        return unit
    return direction_for(rng, point)


def kinks_nearby(part: str, count: int = 60) -> list[Line]:
    """A kink 1e-12 … 1e-2 from the point, which itself has a derivative."""
    rng = generator(part, "kinks nearby")
    lines = []
    for index in range(count):
        distance = float(10 ** (-12 + 10 * (index + rng.random()) / count))
        side = float(rng.choice([-1.0, 1.0]))
        a, c = rng.uniform(0.3, 2), float(rng.uniform(0.3, 2))
        name = ("ReLU", "absolute value", "ReLU network", "maximum")[index % 4]
        point: Any
        if name == "ReLU":
            cost, point = (lambda x, a=a, c=c: a * _relu(x - c) + np.sin(x)), c + side * distance
        elif name == "absolute value":
            cost, point = (lambda x, a=a: a * np.abs(x) + np.exp(x)), side * distance
        elif name == "ReLU network":
            cost, point = _unit_network(rng, side * distance)
        else:
            point = rng.standard_normal(4)
            point[0] = np.max(point) + 0.5
            point[1] = point[0] - distance
            cost = lambda x, a=a: a * np.max(x) + 0.2 * np.sum(np.sin(x))  # noqa: E731
        direction = direction_for(rng, point)
        line = plain("kinks nearby", f"{name} at {distance:.1e}", cost, point, direction)
        lines.append(line)
    return lines


def gap(line: Line) -> float:
    """Return the distance that a nearby kink's name states."""
    return float(line.name.rsplit(" ", 1)[1])


def smooth_lookalikes(part: str, rounds: int = 20) -> list[Line]:
    """Smooth costs that crude tests call kinks: odd cubes, high curvature, steep steps, jumps of second derivatives."""
    rng = generator(part, "smooth lookalikes")
    lines = []
    for _ in range(rounds):
        a, b = rng.uniform(0.3, 3), rng.uniform(-2, 2)
        steep = 10 ** rng.uniform(0, 4)
        width = 10 ** rng.uniform(-4, 0)
        scale = 10 ** rng.uniform(-6, 6)
        cases: dict[str, tuple[Cost, float]] = {
            "x cubed": (lambda x, a=a: a * x**3, 0.0),
            "x cubed beside a slope": (lambda x, a=a, b=b: a * x**3 + b * x, 0.0),
            "|x| cubed": (lambda x, a=a: a * np.abs(x) ** 3, 0.0),
            "|x| cubed, scaled": (lambda x, s=scale, b=b: np.abs(x / s) ** 3 + b * x / s, 0.0),
            "x squared times |x|": (lambda x, a=a, b=b: a * x * x * np.abs(x) + b * x, 0.0),
            "sin(3000 x)": (lambda x, b=b: np.sin(3000 * x + b), a),
            "sin(3000 x) at its maximum": (lambda x: np.cos(3000 * x), 0.0),
            "steep tanh": (lambda x, s=steep: np.tanh(s * x), 0.0),
            "steep tanh, off centre": (lambda x, s=steep: np.tanh(s * (x - 1)), 1.0 + b / steep),
            "steep softplus": (lambda x, s=steep: special("softplus", s * x) / s, 0.0),
            "narrow bell": (lambda x, w=width, b=b: np.exp(-((x / w) ** 2)) + b * x, 0.0),
            "narrow hyperbola": (lambda x, w=width: np.sqrt(x * x + w * w), 0.3 * b * width),
            "Lorentz line": (lambda x, s=steep: 1 / (1 + (s * x) ** 2), b / steep),
            "cosh": (lambda x, a=a: np.cosh(20 * a * x), 0.0),
            "large parabola": (lambda x, s=steep, b=b: s * s * x * x + b * x, 0.0),
            "fourth power": (lambda x, a=a: a * x**4, 0.0),
            # the second derivative jumps, the first does not
            "ELU at zero": (lambda x, a=a: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))) + a * x * x, 0.0),
            "Huber at its seam": (
                lambda x, a=a: np.where(abs(x) <= a, 0.5 * x * x, a * (abs(x) - 0.5 * a)),
                float(a),
            ),
            "squared hinge": (lambda x, a=a: _relu(1 - x) ** 2 + a * x, 1.0),
        }
        lines.extend(
            plain("smooth lookalikes", name, cost, float(x), float(rng.choice([1.0, -1.0])))
            for name, (cost, x) in cases.items()
        )
    return lines
