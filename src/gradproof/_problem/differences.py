"""Answers on a circle or a manifold: a function seen by the displacement of its answers from the first one."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradproof._problem.leaves import REPRODUCED, numbers_of
from gradproof._words.errors import UsageError
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import norm, rms
from gradproof.adapters import kind_of
from gradproof.adapters._containers import flatten


class Compared:
    """A function whose answers are compared with the first one by the user's difference: angles, poses.

    Its value is difference(answer, first) beside a constant of the answers' own size: the constant has no derivative, and
    shows to which rounding the answers are known, which numbers about zero would not.

    Parameters
    ----------
    function
        Of the point.
    difference
        (answer, first) → the displacement from the first answer to the other, zero for equal ones.
    """

    def __init__(self, function: Callable[[Any], Any], difference: Callable[[Any, Any], Any]) -> None:
        if not callable(difference):
            raise UsageError(
                f"difference is {kind_of(difference)}",
                remedy="Give a function difference(answer, first) → the displacement from the first answer to the other",
            )
        self.function, self.difference = function, difference
        self.first: tuple[Any] | None = None
        self.size = 0.0

    def __call__(self, point: Any) -> Any:
        """Return what is differentiated."""
        answer = self.function(point)
        if self.first is None:
            self.first = (copy.deepcopy(answer),)
            self._must_vanish(answer)
        _, leaves, spec = flatten(self.difference(answer, self.first[0]), what="difference")
        return spec.unflatten([leaf + self.size for leaf in leaves])

    def _must_vanish(self, answer: Any) -> None:
        known = [values for values in numbers_of(answer) if values is not None and values.size]
        self.size = max((rms(values) for values in known if np.isfinite(values).all()), default=0.0)
        parts = numbers_of(self.difference(answer, copy.deepcopy(answer)))
        # A logarithm by arccos knows the identity to the root of double precision only.
        off = math.hypot(*(norm(part) for part in parts if part is not None))
        if not off <= REPRODUCED * UNIT_ROUNDOFF["float32"] * (self.size or 1.0):
            raise UsageError(
                f"it is of size {off:.2g}",
                where="difference(answer, answer)",
                meaning="The difference of equal answers is to be zero",
                remedy="Return the displacement from the second argument to the first",
            )
