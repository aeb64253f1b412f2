"""How a claim is seen along a line: which components, and what is taken off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gradproof._problem.problem import Watcher
from gradproof._words.vectors import FloatArray


@dataclass(frozen=True, slots=True)
class View:
    """One block of what a line shows.

    Parameters
    ----------
    rows
        Its discrepancies, of all that a line shows.
    own
        Its components of the function's own values.
    output
        Number of the output that they belong to.
    weight
        By how much the spacing of that output's values is multiplied in them.
    """

    rows: slice
    own: slice
    output: int
    weight: float = 1.0


class Contraction(Protocol):
    """Forms what is claimed of one displacement while its blocks are made."""

    @property
    def take(self) -> Watcher | None:
        """Takes in one displaced block; None where no displacement is needed."""

    def total(self) -> FloatArray:
        """Return what is claimed of the change, in the form that the claim's `see` takes."""


class Along(Protocol):
    """What is claimed along one direction."""

    def contraction(self, t: float) -> Contraction:
        """Return what forms the claimed change at t."""
