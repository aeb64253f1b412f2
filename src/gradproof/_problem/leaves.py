"""Leaves of a point, or of an answer, of which some may be of types that nothing here knows: they are handed on."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gradproof._words.errors import NotDifferentiable
from gradproof._words.vectors import FloatArray
from gradproof.adapters import Adapter, adapter_for
from gradproof.adapters._containers import flatten

REPRODUCED: Final = 1e4
"""Roundings of its norm by which a block of retract(point, 0) may differ from the point's."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf of a point: its name, the leaf, and its numbers, None where they are not known."""

    name: str
    given: Any
    adapter: Adapter | None
    values: FloatArray | None

    def copied(self) -> Any:
        """Return a copy that shares no memory."""
        return copy.deepcopy(self.given) if self.adapter is None else self.adapter.copy(self.given)

    @property
    def dtype(self) -> str:
        """Its precision, double where that is not known."""
        return "float64" if self.adapter is None else self.adapter.describe(self.given)[1]


def look_at(name: str, leaf: Any) -> Leaf:
    """Look at a leaf; what is no array of real or complex numbers is handed on as it is."""
    try:
        adapter = adapter_for([(name, leaf)])
        pairs = adapter.pairs(leaf)
        adapter.describe(leaf if pairs is None else pairs)
        values = adapter.to_flat(leaf if pairs is None else pairs)
    except (NotDifferentiable, TypeError, ValueError):
        return Leaf(name, leaf, None, None)
    return Leaf(name, leaf, adapter if pairs is None else None, values)


def numbers_of(tree: Any) -> list[FloatArray | None]:
    """Return the numbers of each leaf of a container, None for a leaf of an unknown type."""
    names, leaves, _ = flatten(tree)
    return [look_at(name, leaf).values for name, leaf in zip(names, leaves, strict=True)]


def same(one: FloatArray, other: FloatArray | None) -> bool:
    """Say whether all numbers are the same, NaN included."""
    return other is not None and np.array_equal(one, other, equal_nan=True)
