"""Measuring derivatives without a claim: along one direction, or every coordinate by itself or by the complex step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from gradproof._evaluation.engine import CoordinateLine, Engine
from gradproof._evidence.certificate import Certifier, group_blocks
from gradproof._numerics.lines import careful_derivative
from gradproof._numerics.noise import Pool
from gradproof._problem.problem import Problem
from gradproof._problem.scales import block_scales, coordinate_scales, length_along
from gradproof._words.directions import Coordinate, GivenDirection
from gradproof._words.errors import UsageError
from gradproof._words.results import Estimate, NumericalGradient
from gradproof._words.settings import DEFAULT_CONFIDENCE
from gradproof._words.vectors import FloatArray


def measure_direction(cost: Callable[[Any], Any], point: Any, direction: Any, *, has_aux: bool) -> Estimate:
    """Do what `gradproof.directional_derivative` says."""
    problem = Problem(cost, point, direction, has_aux=has_aux)
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
    engine = Engine(problem)
    base, _ = engine.evaluate_point()
    scale = length_along(problem, components)
    pool = Pool()
    if len(moved) == 1:
        (b, j), length = moved[0], float(components[moved[0][0]][moved[0][1]])
        estimate = _along_coordinate(engine, base, b, j, scale * abs(length), pool)
        estimate = _rescaled(estimate, length)
    else:
        estimate = careful_derivative(engine.line(GivenDirection(components), base), scale, pool=pool)
    return replace(estimate, evaluations=engine.evaluations)


COMPLEX_STEP: Final = 1e-100
"""Of a coordinate's length: its square is nothing beside 1, and its product with a derivative no underflow."""
CERTIFIED_TO: Final = 1e-9
"""Relative difference to which real lines are to certify a complex step, as far as their number goes."""
NO_USE: Final = 1e-4
"""A complex step that is certified no better than this is no better than real differences."""


def measure_gradient(
    cost: Callable[[Any], Any], point: Any, *, has_aux: bool, complex_step: bool = True
) -> NumericalGradient:
    """Do what `gradproof.numerical_gradient` says."""
    problem = Problem(cost, point, point, has_aux=has_aux)
    engine = Engine(problem)
    base, _ = engine.evaluate_point()
    pool = Pool()
    if complex_step:
        certified = _certified_complex_step(problem, engine, base, pool)
        if certified is not None:
            return certified
    values = [np.zeros(block.size) for block in problem.blocks]
    bars = [np.zeros(block.size) for block in problem.blocks]
    scales = coordinate_scales(problem, values)
    for b, block in enumerate(problem.blocks):
        for j in range(block.size):
            estimate = _along_coordinate(engine, base, b, j, float(scales[b][j]), pool)
            values[b][j], bars[b][j] = estimate.value, estimate.error_bar
    return NumericalGradient(problem.assembled(values), problem.assembled(bars), engine.evaluations, "real differences")


def _certified_complex_step(problem: Problem, engine: Engine, base: float, pool: Pool) -> NumericalGradient | None:
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
    engine.claimed = tuple(gradient)
    norms = [float(np.linalg.norm(g)) for g in gradient]
    groups = group_blocks(block_scales(problem, gradient), norms, [norm == 0 for norm in norms])
    bars = [np.zeros(block.size) for block in problem.blocks]
    for k, members in enumerate(groups):
        certifier = Certifier(
            members,
            lambda direction: engine.line(direction, base),
            len(problem.blocks),
            seed=0,
            stream=1000 * k,
            alpha=(1 - DEFAULT_CONFIDENCE) / len(groups),
            pool=pool,
        )
        certifier.run([CERTIFIED_TO] * len(members))
        upper = certifier.evidence.upper()
        if certifier.kink or certifier.failed or certifier.evidence.lower() > 0 or not math.isfinite(upper):
            return None
        for member in members:
            bars[member.block][:] = upper / member.scale
            if member.norm > 0 and not member.zero and upper / member.scale > NO_USE * member.norm:
                return None
    lines = "complex step, certified by real lines"
    return NumericalGradient(problem.assembled(gradient), problem.assembled(bars), engine.evaluations, lines)


def _along_coordinate(engine: Engine, base: float, b: int, j: int, scale: float, pool: Pool) -> Estimate:
    """Measure ∂J/∂θ for one coordinate, free of the rounding of the displacement."""
    unit: list[FloatArray] = [np.zeros(block.size) for block in engine.problem.blocks]
    unit[b][j] = 1.0
    engine.claimed = tuple(unit)
    line = CoordinateLine(engine, Coordinate(b, j), base)
    return careful_derivative(line, scale, pool=pool)


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
