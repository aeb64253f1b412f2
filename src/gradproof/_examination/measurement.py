"""Measuring derivatives without a claim: along one direction, or every coordinate by itself or by the complex step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from gradproof._evaluation.engine import Engine
from gradproof._evaluation.lines import Line
from gradproof._examination.certification import certify_only
from gradproof._examination.study import Study
from gradproof._numerics.lines import careful_derivative
from gradproof._numerics.noise import Pool
from gradproof._numerics.projections import Projection
from gradproof._numerics.tables import Phi
from gradproof._problem.answers import OneNumber
from gradproof._problem.claims import GradientClaim
from gradproof._problem.problem import Problem
from gradproof._problem.scales import coordinate_scales, length_along
from gradproof._words.directions import Coordinate, GivenDirection
from gradproof._words.errors import UsageError
from gradproof._words.results import Estimate, NumericalGradient
from gradproof._words.settings import Settings
from gradproof._words.vectors import FloatArray


def measure_direction(problem: Problem, direction: Any) -> Estimate:
    """Do what `gradproof.directional_derivative` says."""
    components = problem.claimed_values(direction)
    for block, component in zip(problem.blocks, components, strict=True):
        if not np.all(np.isfinite(component)):
            raise UsageError(
                "the direction is not finite", where=block.name, remedy="Give a direction of finite numbers"
            )
    moved = [(b, int(j)) for b, component in enumerate(components) for j in np.flatnonzero(component)[:2]]
    if not moved:
        raise UsageError(
            "the direction is zero",
            meaning="Nothing would be displaced",
            remedy="Give a direction with a nonzero entry",
        )
    engine = Engine(problem, OneNumber(problem))
    engine.evaluate_point()
    scale = length_along(problem, components)
    pool = Pool()
    if len(moved) == 1:
        (b, j), length = moved[0], float(components[moved[0][0]][moved[0][1]])
        estimate = _along_coordinate(engine, b, j, scale * abs(length), pool)
        estimate = _rescaled(estimate, length)
    else:
        estimate = careful_derivative(_without_claim(engine, GivenDirection(components)), scale, pool=pool)
    return replace(estimate, evaluations=engine.evaluations)


COMPLEX_STEP: Final = 1e-100
"""Of a coordinate's length: its square is nothing beside 1, and its product with a derivative no underflow."""
CERTIFIED_TO: Final = 1e-9
"""Relative difference to which real lines are to certify a complex step, as far as their number goes."""
NO_USE: Final = 1e-4
"""A complex step that is certified no better than this is no better than real differences."""


def measure_gradient(problem: Problem, *, complex_step: bool = True) -> NumericalGradient:
    """Do what `gradproof.numerical_gradient` says."""
    engine = Engine(problem, OneNumber(problem))
    engine.evaluate_point()
    pool = Pool()
    if complex_step:
        certified = _certified_complex_step(problem, engine)
        if certified is not None:
            return certified
    values = [np.zeros(block.size) for block in problem.blocks]
    bars = [np.zeros(block.size) for block in problem.blocks]
    scales = coordinate_scales(problem, values)
    for b, block in enumerate(problem.blocks):
        for j in range(block.size):
            estimate = _along_coordinate(engine, b, j, float(scales[b][j]), pool)
            values[b][j], bars[b][j] = estimate.value, estimate.error_bar
    return NumericalGradient(problem.assembled(values), problem.assembled(bars), engine.evaluations, "real differences")


def _certified_complex_step(problem: Problem, engine: Engine) -> NumericalGradient | None:
    """Take the gradient by the complex step, and believe it only as far as real lines certify it."""
    if problem.adapter.name != "numpy" or engine.precision != "float64":
        return None
    scales = coordinate_scales(problem, [np.zeros(block.size) for block in problem.blocks])
    gradient = [np.zeros(block.size) for block in problem.blocks]
    for b, block in enumerate(problem.blocks):
        for j in range(block.size):
            derivative = engine.evaluate_complex(b, j, COMPLEX_STEP * float(scales[b][j]))
            if derivative is None:
                return None
            gradient[b][j] = derivative
    study = Study(engine, GradientClaim(tuple(gradient)), Settings(tolerance=CERTIFIED_TO, seed=0))
    certify_only(study, study.every_pair)
    bars = []
    for block, pair in zip(problem.blocks, study.every_pair, strict=True):
        if pair.lower > 0 or not math.isfinite(pair.upper) or (not pair.zero and pair.upper > NO_USE * pair.norm):
            return None
        bars.append(np.full(block.size, pair.upper))
    lines = "complex step, certified by real lines"
    return NumericalGradient(problem.assembled(gradient), problem.assembled(bars), engine.evaluations, lines)


def _without_claim(engine: Engine, direction: GivenDirection) -> Phi:
    """Return φ along a direction, nothing taken off."""
    nothing = GradientClaim(tuple(np.zeros(block.size) for block in engine.problem.blocks))
    return Projection(Line(engine, direction, nothing), np.ones(1))


def _along_coordinate(engine: Engine, b: int, j: int, scale: float, pool: Pool) -> Estimate:
    """Measure ∂J/∂θ for one coordinate, free of the rounding of the displacement."""
    unit: list[FloatArray] = [np.zeros(block.size) for block in engine.problem.blocks]
    unit[b][j] = 1.0
    return careful_derivative(Displaced(engine, b, j, GradientClaim(tuple(unit))), scale, pool=pool)


class Displaced(Projection):
    """φ along one coordinate where nothing is claimed: the rounding of the displacement is taken out all the same.

    The displacement δ(t) that was representable differs from t by rounding; J changes by slope · (δ(t) − t) too much.
    The slope is read off the values, which is accurate enough for a correction of the size of u.
    """

    def __init__(self, engine: Engine, block: int, index: int, claim: GradientClaim) -> None:
        self.moved = Line(engine, Coordinate(block, index), claim, keep=True)
        super().__init__(self.moved, np.ones(1))
        self.block, self.index = block, index

    def displacement(self, t: float) -> float:
        """Return δ(t)."""
        part = (self.moved.moves or {})[t][self.block]
        return 0.0 if part is None else float(part[self.index])

    def __call__(self, steps: Sequence[float]) -> FloatArray:
        """Return φ(t) − φ(0) for the exact t; the slope is that of the values that are asked for together."""
        values = super().__call__(steps)
        found = {t: self._change(t) for t, v in zip(steps, values.tolist(), strict=True) if t != 0 and math.isfinite(v)}
        moved = {t: self.displacement(t) for t in found}
        slope = secant([(moved[t], change) for t, change in found.items() if moved[t] != 0])
        exact = {t: change - slope * (moved[t] - t) for t, change in found.items()}
        return np.array([0.0 if t == 0 else exact.get(t, math.nan) for t in steps])

    def magnitude(self, reach: float) -> float:
        """Return the largest |J| within reach."""
        base = abs(float(self.line.base[0]))
        near = [abs(float(self.line.base[0]) + self._change(t)) for t in self.line.known if abs(t) <= reach]
        return max([base, *near])


def secant(moved: Sequence[tuple[float, float]]) -> float:
    """Return the slope through the outermost of some (δ, change), or through the point itself and the only one."""
    if not moved:
        return 0.0
    high, low = max(moved), min(moved)
    if high == low:
        return high[1] / high[0]
    return (high[1] - low[1]) / (high[0] - low[0])


def _rescaled(estimate: Estimate, length: float) -> Estimate:
    """Turn a derivative along a coordinate into one along `length` times it."""
    kink = estimate.kink
    size = abs(length)
    if kink is not None:
        ends = (kink.left * length, kink.right * length)
        left, right = ends if length > 0 else ends[::-1]
        kink = replace(kink, left=left, right=right, error_bar=kink.error_bar * size)
    return replace(
        estimate,
        value=estimate.value * length,
        truncation_error=estimate.truncation_error * size,
        roundoff_error=estimate.roundoff_error * size,
        error_bar=estimate.error_bar * size,
        step=estimate.step / size,
        kink=kink,
    )
