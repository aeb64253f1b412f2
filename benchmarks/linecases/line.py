"""Lines with exact truths: the examination paper of the derivative along a line.

A line is a cost, a point, a direction and the exact directional derivative. Every parameter is drawn from
``default_rng([seed of the part, crc of the family's name])``; the two parts share the families and no draw.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from linecases.exact import exact_derivative

Cost = Callable[[Any], Any]
Rng = np.random.Generator

SEEDS: Final = {"development": 20_260_301, "held-out": 981_127_443, "calibration": 55_780_112}
"""Methods are tuned on the first part only; the second is looked at as one table; the third belongs to the tests."""
ROUNDOFF: Final = 2.0**-53


@dataclass
class Line:
    """One line of a family.

    ``make_cost`` gives a fresh cost (with a fresh generator where it is noisy), so that every tool sees the same one.
    ``truths`` returns the exact derivative, or two where a program that stops early has one of its own besides the one
    of the ideal function: what lies between them is right.
    """

    family: str
    name: str
    make_cost: Callable[[], Cost]
    point: Any
    direction: Any
    truths: Callable[[], Sequence[float]]

    @cached_property
    def interval(self) -> tuple[float, float]:
        found = self.truths()
        return min(found), max(found)

    def error(self, value: float) -> float:
        """Return the distance from a value to the truth."""
        low, high = self.interval
        return max(low - value, value - high, 0.0)

    @cached_property
    def floor(self) -> float:
        """Rounding of the truth, or its width; of a zero, the cost's rounding over the parameters' size along the line."""
        largest = max(map(abs, self.interval))
        if largest > 0:
            return max(ROUNDOFF * largest, self.interval[1] - self.interval[0])
        ratios = [abs(p / d) for p, d in zip(flat(self.point), flat(self.direction), strict=True) if d != 0]
        value = abs(float(self.make_cost()(self.point)))
        return ROUNDOFF * (value or 1.0) / (max(ratios, default=1.0) or 1.0)


def flat(tree: Any) -> list[float]:
    """Return the numbers of a scalar, an array or a dictionary of them."""
    if isinstance(tree, dict):
        return [number for part in tree.values() for number in flat(part)]
    return [float(number) for number in np.ravel(tree)]


def generator(part: str, family: str) -> Rng:
    """Return the family's own stream of a part."""
    return np.random.default_rng([SEEDS[part], zlib.crc32(family.encode())])


def plain(family: str, name: str, cost: Cost, point: Any, direction: Any, twin: Cost | None = None) -> Line:
    """Return a line whose truth is the cost's own code (or an exact twin's) run on dual numbers."""
    return Line(
        family, name, lambda: cost, point, direction, lambda: [exact_derivative(twin or cost, point, direction)]
    )


def direction_for(rng: Rng, point: Any, scale: float = 1.0) -> Any:
    """Draw a direction of the point's structure: normal entries, or ± one number for a scalar."""
    if isinstance(point, dict):
        return {name: direction_for(rng, part, scale) for name, part in point.items()}
    if np.ndim(point) == 0:
        return float(scale * rng.choice([1.0, 1.0, -1.0, 0.37, 2.6]))
    return np.asarray(scale * rng.standard_normal(np.shape(point)), dtype=np.asarray(point).dtype)
