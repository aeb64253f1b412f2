"""The structure of the point, as the user knows it, beside the selected real blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gradproof._problem.outputs import Outputs
from gradproof._words.precision import rounded_to
from gradproof._words.vectors import Components, FloatArray

Blocks = tuple[FloatArray, ...]
"""One flat array for each selected block of the point."""


class Structure:
    """The point's structure as the user knows it, beside the selected real blocks.

    Parameters
    ----------
    point
        As given, complex arrays included.
    names
        Of the selected blocks.
    """

    def __init__(self, point: Any, names: Sequence[str]) -> None:
        self.leaves = Outputs(point, "point", lone="point", opaque=True)
        by_name = {block.name: block for block in self.leaves.blocks}
        self.blocks = tuple(by_name[name] for name in names)
        offsets = np.cumsum([0, *(block.size for block in self.blocks)])
        self.columns = tuple(slice(int(a), int(b)) for a, b in pairwise(offsets))
        self.size = int(offsets[-1])
        self.whole = all(b.rows == columns for b, columns in zip(self.blocks, self.columns, strict=True))
        self.whole = self.whole and self.size == self.leaves.size

    def vector(self, components: Components) -> FloatArray:
        """Return a direction as one vector of the selected blocks."""
        if len(components) == 1 and components[0] is not None:
            return components[0]
        vector = np.zeros(self.size)
        for columns, part in zip(self.columns, components, strict=True):
            if part is not None:
                vector[columns] = part
        return vector

    def tree(self, vector: FloatArray, layout: str = "C") -> Any:
        """Return a vector of the selected blocks in the point's structure; zeros in blocks that were left out."""
        if self.whole:
            return self.leaves.tree(vector, layout)
        everything = np.zeros(self.leaves.size)
        for block, columns in zip(self.blocks, self.columns, strict=True):
            everything[block.rows] = vector[columns]
        return self.leaves.tree(everything, layout)

    def pick(self, value: Any, where: str) -> FloatArray:
        """Return an answer in the point's structure as one vector of the selected blocks."""
        vector = self.leaves.vector(value, where)
        return vector if self.whole else np.concatenate([vector[block.rows] for block in self.blocks])

    def rounded(self, vector: FloatArray) -> FloatArray:
        """Return a vector of the selected blocks as it arrives in their precisions."""
        if all(block.dtype == "float64" for block in self.blocks):
            return vector
        parts = zip(self.blocks, self.columns, strict=True)
        return np.concatenate([rounded_to(vector[columns], block.dtype) for block, columns in parts])

    def conjugated(self, vector: FloatArray) -> FloatArray:
        """Return a vector of the selected blocks with the complex ones conjugated."""
        result = np.array(vector)
        for block, columns in zip(self.blocks, self.columns, strict=True):
            if block.is_complex:
                result[columns.start + 1 : columns.stop : 2] *= -1
        return result
