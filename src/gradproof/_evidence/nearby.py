"""How much each output of a function changes nearby: what a claim of zero is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gradproof._evaluation.vector_lines import VectorLine
from gradproof._evidence.zero import NEARBY
from gradproof._problem.outputs import OutputBlock
from gradproof._words.vectors import norm

LONG_ENOUGH: Final = 0.25
"""Power of the unit roundoff, in units of the parameters' scale, from which on a step that changes nothing tells."""


class Nearby:
    """What the lines have shown of the outputs, no further out than a first look goes where that is known.

    Parameters
    ----------
    blocks
        The output blocks.
    roundings
        Change of each that is rounding of its value.
    roundoff
        u of the lowest precision at work.
    """

    def __init__(self, blocks: Sequence[OutputBlock], roundings: Sequence[float], roundoff: float) -> None:
        self.blocks = blocks
        self.roundings = roundings
        self.roundoff = roundoff
        self.slopes = [0.0] * len(blocks)
        """Largest change of each output block per unit of t, in units of F: t = 1 is the parameters' scale."""
        self.changes = [0.0] * len(blocks)
        self.reach = 0.0

    def take(self, line: VectorLine, steps: Sequence[float]) -> None:
        """Learn from a line that was read at some steps t, or from the search for them where they are too long.

        At much shorter ones rounding would pass for change.
        """
        near = [t for t in steps if abs(t) <= NEARBY]
        if not near:
            looked_at = [t for t, moved in line.raw.items() if 0 < abs(t) <= NEARBY and moved.change is not None]
            if not looked_at and 0 < self.reach <= NEARBY:
                return  # an earlier line has shown it
            reach = max(map(abs, looked_at)) if looked_at else min(map(abs, steps))
            near = [t for t in looked_at or steps if abs(t) == reach]
        self.reach = max(self.reach, *map(abs, near))
        for t in near:
            change = line.raw[t].change
            assert change is not None  # noqa: S101  # they were chosen for it
            for o, block in enumerate(self.blocks):
                size = norm(change[block.rows])
                self.changes[o] = max(self.changes[o], size)
                self.slopes[o] = max(self.slopes[o], size / abs(t))

    def constant(self, o: int) -> bool:
        """Say whether an output changes by rounding only, at steps that are no rounding of the parameters themselves."""
        return self.reach >= self.roundoff**LONG_ENOUGH and self.changes[o] <= self.roundings[o]
