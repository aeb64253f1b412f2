"""Evaluating a function with many outputs: its only caller, and the keeper of the budget.

One displaced evaluation gives all outputs, and so serves every cotangent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradproof._evaluation.engine import BudgetSpent
from gradproof._problem.outputs import Outputs
from gradproof._problem.problem import OutOfBounds, Problem, position
from gradproof._words.directions import Direction
from gradproof._words.errors import CostRaised, EmptyProblem, MutatedInput, NonFiniteCost
from gradproof._words.precision import rounded_to
from gradproof._words.vectors import Components, FloatArray


@dataclass(frozen=True, slots=True)
class Moved:
    """What one displaced evaluation gave.

    Parameters
    ----------
    change
        F(θ_t) − F(θ), flat; None where the evaluation failed.
    displacement
        θ_t − θ as it was representable.
    """

    change: FloatArray | None
    displacement: Components


class MapEngine:
    """Serial evaluation of a function with many outputs.

    Parameters
    ----------
    problem
        The point, in real numbers, and the function on it (`Problem.cost`).
    budget
        Most calls of the function.
    lone
        Name of a lone output.
    """

    def __init__(self, problem: Problem, *, budget: float, lone: str) -> None:
        self.problem = problem
        self.precisions = [block.dtype for block in problem.blocks]
        self.budget = budget
        self.lone = lone
        self.evaluations = 0
        self.last_error = ""
        self.on_evaluated: Callable[[int], None] | None = None
        self.outputs: Outputs
        self.base: FloatArray

    def evaluate_point(self) -> None:
        """Evaluate F(θ), and learn the structure of the outputs.

        Raises
        ------
        CostRaised, NonFiniteCost, NotDifferentiable, MutatedInput, EmptyProblem
        """
        given = self.problem.point_copy()
        self.count()
        where = "function(point)"
        try:
            with np.errstate(all="ignore"):
                answer = self.problem.cost(given)
        except Exception as error:
            raise CostRaised(
                f"{type(error).__name__}: {error}",
                where=where,
                meaning="The function cannot be evaluated at the point itself",
                remedy="Call it once by hand with this point",
            ) from error
        self.outputs = Outputs(answer, where, lone=self.lone)
        if self.outputs.size == 0:
            raise EmptyProblem(
                "the function returns no number", where=where, remedy="Return at least one floating-point number"
            )
        self.base = self.outputs.vector(answer, where)
        written = self.problem.mutated(given)
        if written:
            raise MutatedInput(
                f"the function writes into its argument: {', '.join(written)} changed during the call",
                where=where,
                meaning="Its next value would belong to another point (your own arrays are untouched)",
                remedy="Copy the parameters inside the function before changing them in place",
            )
        bad = np.flatnonzero(~np.isfinite(self.base))
        if bad.size:
            raise NonFiniteCost(
                f"{self.outputs.name_of(int(bad[0]))} is {self.base[bad[0]]}",
                where=where,
                meaning="The function has no derivative where it is not finite",
                remedy="Check at a point where all outputs are finite",
            )

    def count(self) -> None:
        """Count one call."""
        self.evaluations += 1
        if self.on_evaluated is not None:
            self.on_evaluated(self.evaluations)

    def components(self, direction: Direction) -> Components:
        """Return a direction's arrays."""
        return tuple(direction.component(k, block.shape) for k, block in enumerate(self.problem.blocks))

    def evaluate(self, components: Components, step: float) -> Moved:
        """Evaluate the function at θ + step · v; a failure has no change.

        Raises
        ------
        BudgetSpent
            Before the evaluation.
        """
        if self.evaluations + 1 > self.budget:
            raise BudgetSpent
        values: list[FloatArray | None] = []
        moved: list[FloatArray | None] = []
        for precision, start, component in zip(self.precisions, self.problem.values, components, strict=True):
            if component is None:
                values.append(None)
                moved.append(None)
                continue
            new = component * step
            new += start
            if precision != "float64":
                new = rounded_to(new, precision)
            moved.append(new - start)
            values.append(new)
        point, _ = self.problem.displaced(values, None)
        self.count()
        change: FloatArray | None = None
        try:
            with np.errstate(all="ignore"):
                change = self.outputs.vector(self.problem.cost(point), "function(point)") - self.base
                finite = math.isfinite(change @ change) or bool(np.isfinite(change).all())  # squares may overflow
        except OutOfBounds as outside:  # the function was not asked
            self.evaluations -= 1
            self.last_error = str(outside)
        except Exception as error:
            self.last_error = f"{type(error).__name__}: {error}"
        else:
            if not finite:
                row = int(np.flatnonzero(~np.isfinite(change))[0])
                self.last_error = f"{self.outputs.name_of(row)} is not finite"
                change = None
        return Moved(change, tuple(moved))

    def repeat(self) -> FloatArray | None:
        """Evaluate at θ again; return the change, None where it fails."""
        zero: Components = (None,) * len(self.problem.blocks)
        return self.evaluate(zero, 0.0).change


def check_finite(blocks: Sequence[Any], vectors: Sequence[FloatArray]) -> str:
    """Return where the first number that is not finite lies, "" where all are."""
    for block, vector in zip(blocks, vectors, strict=True):
        bad = np.flatnonzero(~np.isfinite(vector))
        if bad.size:
            return f"{vector[bad[0]]} in {block.name} at {position(int(bad[0]), block.shape)}"
    return ""
