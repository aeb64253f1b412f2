"""The benchmark's lines as costs of one number, and as functions with one output of one number.

φ(s) = cost(p + (s − 1)·ρ·v) at s = 1, where ρ = ‖p‖ / ‖v‖ over the entries that move (1 where p is zero): s is in units of the
parameters' own size along the line. Claimed are φ′(1), 1.001 φ′(1) and 2 φ′(1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, Final

import numpy as np
from linecases import kinks
from linecases.exact import moved
from linecases.line import Line, flat
from lines import FAMILIES

from behaviourcases.case import (
    DEFAULT_TOLERANCE,
    HIGHEST_TOLERANCE,
    MASKED,
    OPEN,
    RIGHT,
    WRONG,
    Case,
    Counted,
    Truth,
)
from gradproof import Report, check_gradient, check_vjp

PART: Final = "development"
VERBS: Final = ("check_gradient", "check_vjp")
STRATEGIES: Final = ("certificate", "auto", "coordinates")
FACTORS: Final = (("right", 1.0), ("× 1.001", 1.001), ("× 2", 2.0))
LINES: Final[dict[str, Callable[[str], list[Line]]]] = {
    **FAMILIES,
    "kinks at the point": partial(kinks.kinks_at_the_point, rounds=4),
    "kinks nearby": kinks.kinks_nearby,
    "smooth lookalikes": partial(kinks.smooth_lookalikes, rounds=3),
}
SLOW: Final = ("ODE solvers", "iterations stopped at 1e-8")
"""Families whose costs take milliseconds: half of their lines."""
SHARE: Final = 4
"""One line in so many is checked by "auto" and "coordinates", too, which are much the same for one number."""
QUIET: Final = (
    "smooth",
    "compositions",
    "network float64",
    "scales",
    "zero parameters",
    "smooth lookalikes",
    "kinks nearby",
)
"""Families in float64 with the rounding of ordinary arithmetic, which raises no tolerance."""
CANCELLING: Final = ("ill-conditioned code", "polynomial, expanded")
"""… but for these, whose code loses digits."""
VISIBLE: Final = 1e-13
"""Change of a cost over the parameters' own size, relatively to its value, from which on a slope shows at all."""
FAR: Final = 1e-8
"""A kink nearer than this, relative to the parameters, may be taken for one at the point."""


@cache
def lines_of(family: str) -> list[Line]:
    return LINES[family](PART)


def own_size(line: Line) -> float:
    """Return ρ: how long the parameters are beside the direction, over the entries that move."""
    pairs = [(p, v) for p, v in zip(flat(line.point), flat(line.direction), strict=True) if v != 0]
    point, direction = (float(np.linalg.norm(numbers)) for numbers in zip(*pairs, strict=True))
    return point / direction or 1.0


def make_cost(line: Line) -> Callable[[Any], Any]:
    """Return φ, with a fresh cost where it is noisy."""
    cost, rho = line.make_cost(), own_size(line)
    return lambda s: cost(moved(line.point, line.direction, float(s - 1.0) * rho))


def slopes(line: Line) -> tuple[float, float, float]:
    """Return what is claimed, and between what a derivative is right."""
    rho = own_size(line)
    if line.family == "kinks at the point":
        left, right = kinks.one_sided(line)
        return rho * (left + right) / 2, rho * min(left, right), rho * max(left, right)
    return rho * line.truths()[0], rho * line.interval[0], rho * line.interval[1]


def truth_of(line: Line, factor: float) -> Truth:
    """Return whether factor × φ′(1) is right."""
    slope, low, high = slopes(line)
    claim = factor * slope
    distance = max(low - claim, claim - high, 0.0)
    nearest = min(max(claim, low), high)
    difference = distance / (abs(claim) + abs(nearest)) if distance else 0.0
    exact = 1e-12 + (high - low) / (abs(claim) + abs(nearest) or 1.0)
    ambiguous = line.family == "kinks at the point" or (line.family == "kinks nearby" and kinks.gap(line) < FAR)
    if ambiguous:
        return Truth(
            WRONG if line.family == "kinks at the point" and difference > HIGHEST_TOLERANCE else OPEN, difference
        )
    if difference == 0:
        return Truth(RIGHT, difference, exact)
    with np.errstate(all="ignore"):
        value = abs(float(line.make_cost()(line.point)))
    if distance <= VISIBLE * value:
        return Truth(OPEN, difference, exact)
    quiet = line.family in QUIET and line.name not in CANCELLING
    if difference > HIGHEST_TOLERANCE or (quiet and difference > 2 * DEFAULT_TOLERANCE):
        return Truth(WRONG, difference, exact)
    return Truth(MASKED, difference, exact)


def _check(verb: str, line: Line, factor: float, strategy: Any, seed: int) -> tuple[Report, int]:
    cost = Counted(make_cost(line))
    claim = np.array(factor * slopes(line)[0])
    point = np.array(1.0)
    if verb == "check_gradient":
        return check_gradient(cost, point, claim, strategy=strategy, seed=seed), cost.calls
    return check_vjp(cost, lambda _point, u: u * claim, point, strategy=strategy, seed=seed), cost.calls


def cases(verb: str, family: str, _seed: int = 0) -> Iterator[Case]:
    """Yield the claims about the lines of a family; the lines' numbers give the seeds of the checks."""
    lines = lines_of(family)
    for number, line in enumerate(lines[: len(lines) // 2] if family in SLOW else lines):
        for strategy in STRATEGIES if number % SHARE == 0 else STRATEGIES[:1]:
            for name, factor in FACTORS:
                truth = partial(truth_of, line, factor)
                check = partial(_check, verb, line, factor)
                yield Case(verb, f"lines: {family}", f"{number}: {line.name}", name, strategy, number, truth, check)


def units() -> Iterator[tuple[str, str, int]]:
    """Yield what `cases` takes, a part of the table each."""
    for verb in VERBS:
        for family in LINES:
            yield verb, family, 0
