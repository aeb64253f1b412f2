"""A vector-valued function along one direction, as something to evaluate; and a weighted sum of it, as φ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

import numpy as np

from gradproof._evaluation.map_engine import MapEngine, Moved
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import Components, FloatArray, norm

View = Callable[[Moved, float], tuple[FloatArray, FloatArray]]
"""From a displaced evaluation at t: the discrepancies, and the size of what was rounded on the way, per component."""
CENTRAL: Final = (-3, -2, -1, 1, 2, 3)
"""Multiples of a step at which a line is read about the point."""


class VectorLine:
    """F along one direction; the evaluations are kept.

    Parameters
    ----------
    engine, components
        What to displace, and where to.
    view
        Which discrepancies to look at.
    """

    def __init__(self, engine: MapEngine, components: Components, view: View) -> None:
        self.engine = engine
        self.components = components
        self.view = view
        self.raw: dict[float, Moved] = {}
        self.seen: dict[float, tuple[FloatArray, FloatArray] | None] = {}

    @cached_property
    def shortest(self) -> float:
        """Shortest t for which θ + t v is represented in the parameters' precision."""
        return self.engine.problem.shortest(self.components)

    def at(self, t: float) -> tuple[FloatArray, FloatArray] | None:
        """Return the discrepancies at t and their roundings; None where the function failed."""
        if t not in self.seen:
            moved = self.raw[t] = self.engine.evaluate(self.components, t)
            self.seen[t] = None if moved.change is None else self.view(moved, t)
        return self.seen[t]


class Projection:
    """A weighted sum of a vector line's components: φ for the scalar search of a step.

    Parameters
    ----------
    line, weights, roundoff
        What to sum; u of the lowest precision at work.
    rows
        The components of each output block, where the view has a claim taken off.
    """

    def __init__(
        self, line: VectorLine, weights: FloatArray, roundoff: float, rows: Sequence[slice] | None = None
    ) -> None:
        self.line = line
        self.weights = weights
        self.unit_roundoff = roundoff
        self.parameter_roundoff = max(UNIT_ROUNDOFF[block.dtype] for block in line.engine.problem.blocks)
        self.asked = 0
        self.roundings: dict[float, float] = {}
        self.weighed = [
            (norm(weights[own]) / math.sqrt(max(own.stop - own.start, 1)), block)
            for own, block in zip(rows or (), line.engine.outputs.blocks if rows else (), strict=True)
        ]

    @property
    def shortest(self) -> float:
        """Shortest t for which θ + t v is represented in the parameters' precision."""
        return self.line.shortest

    @property
    def granularity(self) -> float:
        """Not looked for: sums of many outputs hide it."""
        return 0.0

    @property
    def evaluations(self) -> int:
        """Values asked for on this projection."""
        return self.asked

    def __call__(self, steps: Sequence[float]) -> FloatArray:
        """Return the projected discrepancies."""
        result = []
        for t in steps:
            if t == 0:
                result.append(0.0)
                continue
            if t not in self.roundings:
                self.asked += 1
            found = self.line.at(t)
            self.roundings[t] = 0.0 if found is None else norm(self.weights * found[1])
            result.append(math.nan if found is None else float(self.weights @ found[0]))
        return np.array(result)

    def changes(self, steps: Sequence[float]) -> FloatArray:
        """Return how the function itself changes, by its size: the view has the claim taken off."""
        if not self.weighed:
            return self(steps)
        result = []
        for t in steps:
            moved = self.line.raw.get(t)
            change = None if moved is None else moved.change
            sizes = [0.0 if change is None else w * norm(change[b.rows]) for w, b in self.weighed]
            result.append(math.copysign(math.hypot(*sizes), t) if t else 0.0)
        return np.array(result)

    def magnitude(self, reach: float) -> float:
        """Return the largest size that was rounded within reach, or as near to the point as there is a value."""
        reach = max(reach, min((abs(t) for t in self.roundings), default=0.0))
        return max((r for t, r in self.roundings.items() if abs(t) <= reach), default=0.0)

    def repeat(self) -> float:
        """Evaluate at θ again; return the projected change."""
        change = self.line.engine.repeat()
        if change is None:
            return 0.0
        zero: Components = (None,) * len(self.line.components)
        return abs(float(self.weights @ self.line.view(Moved(change, zero), 0.0)[0]))


def tables_at(line: VectorLine) -> list[float]:
    """Return the steps at which all six values about the point are there."""
    usable = {t for t, moved in line.raw.items() if moved.change is not None}
    return [t for t in usable if t > 0 and all(k * t in usable for k in CENTRAL)]
