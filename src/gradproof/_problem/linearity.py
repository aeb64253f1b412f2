"""By how much a claimed product deviates from linearity, and from itself in another memory layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gradproof._problem.claims import JvpClaim, VjpClaim
from gradproof._problem.outputs import HELD, LAYOUTS, OutputBlock
from gradproof._words.errors import GradproofError
from gradproof._words.vectors import FloatArray, norm

LINEARITY: Final = 1.0e3
"""A map is not called nonlinear for less than this many roundings."""
REPEATS: Final = 2
"""Further calls that tell a product which differs from call to call from one that is not linear."""


def distinct_layouts(blocks: Sequence[OutputBlock]) -> tuple[str, ...]:
    """Return the memory layouts in which some of these arrays can be told from its plain copy."""
    shapes = [block.shape[:-1] if block.is_complex else block.shape for block in blocks if block.dtype != HELD]
    layouts = ("F",) if any(sum(n > 1 for n in shape) > 1 for shape in shapes) else ()
    return (*layouts, "strided", "expanded") if any(math.prod(shape) > 1 for shape in shapes) else ()


@dataclass(frozen=True, slots=True)
class Nonlinearity:
    """By how much a product deviates from linearity, relatively: infinite where it is not finite.

    Parameters
    ----------
    repeated
        Two calls with the same argument.
    multiple, sum
        Of arguments, against the same of their answers.
    apart
        The argument block by block, in two halves: nothing is asked of the others.
    layouts
        The same values in another memory layout.
    failures
        What the layouts raised that the plain one does not.
    """

    repeated: float
    multiple: float
    sum: float
    apart: float
    layouts: dict[str, float]
    failures: dict[str, str]


def nonlinearity(claim: VjpClaim | JvpClaim, steady: float, limit: float, least: float = 0.0) -> Nonlinearity:
    """Measure by how much a product deviates from linearity; what one call shows to be small is not asked for twice.

    Parameters
    ----------
    claim
        The product.
    steady, limit
        Up to where two calls count as the same, and a product as linear.
    least
        Norm of an answer below which it is the rounding of a derivative of zero: that obeys no law.
    """
    test = _LinearityTest(claim, steady, limit, least)
    return test.at_once() or test.one_by_one()


class _LinearityTest:
    """Asks a product for answers that belong together."""

    def __init__(self, claim: VjpClaim | JvpClaim, steady: float, limit: float, least: float) -> None:
        self.claim, self.steady, self.limit, self.least = claim, steady, limit, least
        of = claim.outputs if isinstance(claim, VjpClaim) else claim.structure
        self.rounded, self.blocks = of.rounded, of.blocks
        self.layouts = distinct_layouts(self.blocks)
        self.first, self.one = claim.first()
        self.second = claim.even()

    def relative(self, off: FloatArray, size: float) -> float:
        """Return ‖off‖ over a size; infinite where it is not finite."""
        result = norm(off) / size
        return result if math.isfinite(result) else math.inf

    def apart(self, size: float) -> float:
        """Compare the answers to the blocks, each by itself, with that to all of them."""
        if len(self.blocks) == 1:
            return 0.0
        return self.relative(_in_halves(self.claim, self.first, self.blocks) - self.one, size)

    def at_once(self) -> Nonlinearity | None:
        """Ask for each layout in the course of another question; None where some answer is not as it should be.

        What misreads one layout takes part in a sum whose other parts it reads aright, and does not fit.
        """
        claim, one = self.claim, self.one
        layout = {name: name if name in self.layouts else "C" for name in LAYOUTS}
        try:
            two = claim.product(self.second, layout["expanded"])
            size = norm(one) + norm(two)
            if size <= 2 * self.least:
                return Nonlinearity(0.0, 0.0, 0.0, 0.0, {}, {})
            mixed = claim.product(self.rounded(self.second - 2.5 * self.first), layout["F"])
            total = self.relative(mixed - (two - 2.5 * one), size)
            repeated = self.relative(claim.product(self.first, layout["strided"]) - one, size)
        except GradproofError:
            return None
        if total > self.limit or repeated > self.steady:
            return None
        seen = {"F": total, "strided": repeated, "expanded": total}
        return Nonlinearity(repeated, total, total, self.apart(size), {name: seen[name] for name in self.layouts}, {})

    def one_by_one(self) -> Nonlinearity:
        """Ask for each law and layout by itself."""
        claim, first, second, one = self.claim, self.first, self.second, self.one
        two = claim.product(second)
        size = norm(one) + norm(two)
        if size <= 2 * self.least:
            return Nonlinearity(0.0, 0.0, 0.0, 0.0, {}, {})
        layouts, failures = dict[str, float](), dict[str, str]()
        for layout in self.layouts:
            argument, answer = (second, two) if layout == "expanded" else (first, one)
            try:
                layouts[layout] = self.relative(claim.product(argument, layout) - answer, size)
            except GradproofError as error:
                claim.product(argument)  # raises where this is not the layout's fault
                layouts[layout], failures[layout] = math.inf, error.seen
        # A call in another layout is a second call with the same values.
        repeated = layouts.get("strided", math.inf)
        if repeated > self.steady:
            repeated = self.relative(claim.product(first) - one, size)
        mixed = claim.product(self.rounded(second - 2.5 * first))
        total = multiple = self.relative(mixed - (two - 2.5 * one), size)
        if total > self.limit:
            # Two answers of a product that draws a few random numbers may be the same by accident.
            more = (self.relative(claim.product(first) - one, size) for _ in range(REPEATS))
            repeated = max(repeated, *more)
            total = self.relative(claim.product(self.rounded(first + second)) - (one + two), size)
            multiple = self.relative(claim.product(self.rounded(-2.5 * first)) + 2.5 * one, size)
        return Nonlinearity(repeated, multiple, total, self.apart(size), layouts, failures)


def _in_halves(claim: VjpClaim | JvpClaim, argument: FloatArray, blocks: Sequence[OutputBlock]) -> FloatArray:
    """Return the sum of the answers to every other block, and to the rest."""
    parts = [np.zeros(argument.size), np.zeros(argument.size)]
    start = 0
    for k, block in enumerate(blocks):
        rows = slice(start, start + block.size)
        parts[k % 2][rows] = argument[rows]
        start = rows.stop
    return claim.product(parts[0]) + claim.product(parts[1])
