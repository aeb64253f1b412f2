"""A function along one direction, less what is claimed: t ↦ φ(t), as something to evaluate."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from gradproof._evaluation.engine import Engine
from gradproof._problem.claims import Claim
from gradproof._problem.views import Along, Contraction, View
from gradproof._words.directions import Direction
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import Components, FloatArray, norm, norm_where


class Line:
    """F(θ + t v) − F(θ) less what is claimed of it, in the components that the claim shows; values are kept.

    No displacement is held: the claim contracts each block's θ_t − θ while it is there.

    Parameters
    ----------
    engine, direction, claim
        What to evaluate, along which v, less what.
    keep
        Keep the displacements, so that the line can be seen with other claims too (`viewed`).
    """

    def __init__(self, engine: Engine, direction: Direction, claim: Claim, *, keep: bool = False) -> None:
        self.engine = engine
        self.direction = direction
        self.claim = claim
        self.views: tuple[View, ...] = claim.views
        self.rows = tuple(view.rows for view in self.views)
        self.own_rows = tuple(view.own for view in self.views)
        self.changes: dict[float, FloatArray | None] = {}
        self.moves: dict[float, Components] | None = {} if keep else None
        self.seen: dict[float, tuple[FloatArray, FloatArray] | None] = {}

    @cached_property
    def base(self) -> FloatArray:
        """The function's own values at θ, in the components that are looked at."""
        return self.claim.own(self.engine.base)

    @cached_property
    def along(self) -> Along:
        """What is claimed along this direction."""
        return self.claim.along(lambda: self.engine.components(self.direction))

    @cached_property
    def shortest(self) -> float:
        """Shortest t for which θ + t v is represented in the parameters' precision."""
        return self.engine.shortest(self.direction)

    @cached_property
    def reach(self) -> float:
        """The t by which a displaced block has moved by its own size, where that is less than 1: its scale was raised."""
        blocks = zip(self.engine.problem.values, self.engine.components(self.direction), strict=True)
        own = [norm_where(values, v) / norm(v) for values, v in blocks if v is not None and v.any()]
        return min([1.0, *(size for size in own if size > 0)])

    @property
    def evaluations(self) -> int:
        """Calls of the function so far, on all lines."""
        return self.engine.evaluations

    @property
    def parameter_roundoff(self) -> float:
        """u of the lowest precision at work."""
        return UNIT_ROUNDOFF[self.engine.precision]

    @property
    def known(self) -> Iterable[float]:
        """All t ≠ 0 that were asked for and did not fail."""
        return [t for t, change in self.changes.items() if change is not None and t != 0]

    def unit_roundoff(self, k: int) -> float:
        """Return u of the precision of a block's values."""
        return UNIT_ROUNDOFF[self.engine.value_precision(self.views[k].output)]

    def granularity(self, k: int) -> float:
        """Return the spacing of a block's values where they are visibly rounded, else 0."""
        view = self.views[k]
        return view.weight * self.engine.granularity(view.output)

    def ahead(self, steps: Iterable[float], *, sure: bool = False) -> None:
        """Say which t are going to be asked for, or may be: where there are workers, they begin."""
        self.engine.ahead(self.direction, [t for t in steps if t != 0 and t not in self.changes], sure=sure)

    def at(self, t: float) -> tuple[FloatArray, FloatArray] | None:
        """Return φ(t) and the sizes of what was rounded on the way, shapes (R,); None where the function failed."""
        if t not in self.seen:
            self.seen[t] = self._see(t)
        return self.seen[t]

    def _see(self, t: float) -> tuple[FloatArray, FloatArray] | None:
        if t == 0:
            return self.claim.see(np.zeros_like(self.engine.base), None, self.engine.base)
        contraction = self.along.contraction(t)
        if t in self.changes and self.moves is not None:
            self._contract(contraction, self.moves[t])
        elif t not in self.changes:
            self.changes[t] = self._evaluate(t, contraction)
        change = self.changes[t]
        return None if change is None else self.claim.see(change, contraction.total(), self.engine.base)

    def _evaluate(self, t: float, contraction: Contraction) -> FloatArray | None:
        if self.moves is None:
            return self.engine.evaluate(self.direction, t, contraction.take)
        moved: list[FloatArray | None] = [None] * len(self.engine.problem.blocks)

        def keep(block: int, there: FloatArray, old: FloatArray) -> None:
            moved[block] = there - old

        change = self.engine.evaluate(self.direction, t, keep)
        self.moves[t] = tuple(moved)
        self._contract(contraction, self.moves[t])
        return change

    def _contract(self, contraction: Contraction, moves: Components) -> None:
        for block, move in enumerate(moves):
            if move is not None and contraction.take is not None:
                contraction.take(block, move, np.zeros(1))

    def change(self, t: float) -> FloatArray:
        """Return F(θ + t v) − F(θ) itself, for a t that was asked for before and did not fail."""
        change = self.changes[t]
        assert change is not None  # noqa: S101  # it is asked for values that were read
        return self.claim.own(change)

    def repeat(self) -> FloatArray | None:
        """Evaluate at θ once more; return by how much the components differ, None where the function failed."""
        change = self.engine.repeat()
        return None if change is None else self.claim.see(change, None, self.engine.base)[0]

    def viewed(self, claim: Claim) -> Line:
        """Return the same line less another claim; the evaluations are shared."""
        other = Line(self.engine, self.direction, claim, keep=True)
        other.changes, other.moves = self.changes, self.moves
        return other
