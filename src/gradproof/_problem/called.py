"""A user's function of the point and one more argument, called with care."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradproof._problem.problem import Problem
from gradproof._words.errors import GradproofError, MutatedInput, UsageError


class Called:
    """A user's function of the point and one more argument, called with care.

    Parameters
    ----------
    function
        ``vjp`` or ``jvp``.
    problem
        Gives the point.
    restore
        Takes the real point back to the user's.
    name
        How the call reads: ``vjp(point, cotangent)``.
    given_point
        False where the function belongs to the point already, and is given None for it.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        problem: Problem,
        restore: Callable[[Any], Any],
        name: str,
        *,
        given_point: bool = True,
    ) -> None:
        if not callable(function):
            raise UsageError(f"{name.partition('(')[0]} is {type(function).__name__}", remedy=f"Give a function {name}")
        self.function = function
        self.problem = problem
        self.restore = restore
        self.name = name
        self.given_point = given_point
        self.calls = 0

    def __call__(self, argument: Any) -> Any:
        """Call it; its exceptions are named."""
        given = self.problem.point_copy() if self.given_point else None
        self.calls += 1
        try:
            with np.errstate(all="ignore"):
                answer = self.function(self.restore(given) if self.given_point else None, argument)
        except GradproofError:
            raise
        except Exception as error:
            raise UsageError(
                f"{type(error).__name__}: {error}",
                where=self.name,
                meaning="The claim cannot be evaluated at the point",
                remedy="Call it once by hand with this point",
            ) from error
        if self.calls == 1 and self.given_point and (written := self.problem.mutated(given)):
            raise MutatedInput(
                f"it writes into its argument: {', '.join(written)} changed during the call",
                where=self.name,
                meaning="The next product would belong to another point (your own arrays are untouched)",
                remedy="Copy the parameters before changing them in place",
            )
        return answer
