"""What a function with many outputs returns: named blocks, seen as one flat vector of real numbers.

A complex number is a pair of reals. The block of a complex array of shape (3,) has the shape (3, 2): the last index is 0
for the real part and 1 for the imaginary part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from gradproof._words.errors import NotDifferentiable, ShapeMismatch
from gradproof._words.precision import UNIT_ROUNDOFF, rounded_to
from gradproof._words.vectors import FloatArray
from gradproof.adapters import Adapter, adapter_for, kind_of
from gradproof.adapters._containers import LONE_NAME, Named, flatten
from gradproof.adapters._numpy import ADAPTER as NUMBERS

LONE_OUTPUT: Final = "output"
REAL_PARTS: Final = {"complex128": "float64", "complex64": "float32"}
HELD: Final = "held"
"""Stands for the precision of a leaf that is let through as it is."""
LAYOUTS: Final = ("C", "F", "strided", "expanded")
"""Memory layouts in which cotangents are handed out: code that reads raw memory breaks in the last two."""


@dataclass(frozen=True, slots=True)
class OutputBlock:
    """One named array of a function's outputs.

    Parameters
    ----------
    name, shape
        As for a block of the point; a complex array has the axis of its two parts last.
    dtype
        Precision of its real numbers.
    is_complex
        Its numbers are pairs.
    start, stop
        Its rows in the flat vector.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_complex: bool
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of real numbers."""
        return self.stop - self.start

    @property
    def rows(self) -> slice:
        """Where it lies in the flat vector."""
        return slice(self.start, self.stop)


class Outputs:
    """The structure of what a function returns, learnt from its first answer.

    Parameters
    ----------
    value
        An array, a number, or nested containers of them.
    where
        The call that returned it, for error messages.
    lone
        Name of a lone array.
    opaque
        Leaves that are not floating-point are let through as they are: what a point holds constant.

    Raises
    ------
    NotDifferentiable
        Where a leaf is not floating-point.
    """

    def __init__(self, value: Any, where: str, *, lone: str = LONE_OUTPUT, opaque: bool = False) -> None:
        names, self._like, self._spec = flatten(value, what="function's answer", none_is_leaf=True)
        self._lone = lone
        self.like = "the point" if opaque else "the function's answer"
        blocks, start = [], 0
        self._adapters: list[Adapter] = []
        self._like_pairs: list[Any] = []
        for name, leaf in zip(names, self._like, strict=True):
            own = lone if name == LONE_NAME else name
            adapter: Adapter = NUMBERS
            pairs: Any = None
            try:
                adapter, pairs, shape, dtype = _describe(leaf, own, where)
            except NotDifferentiable:
                if not opaque:
                    raise
                shape, dtype = (0,), HELD
            is_complex = pairs is not None
            self._adapters.append(adapter)
            self._like_pairs.append(pairs)
            stop = start + math.prod(shape)
            blocks.append(OutputBlock(own, shape, dtype, is_complex, start, stop))
            start = stop
        self.blocks = tuple(blocks)
        self.size = start
        self._names = [block.name for block in blocks]
        self._double = all(block.dtype in {"float64", HELD} for block in blocks)
        self._kept = [k for k, block in enumerate(blocks) if block.dtype != HELD]
        self._has_dtype = [hasattr(leaf, "dtype") and hasattr(leaf, "shape") for leaf in self._like]

    def nested(self, tree: Any) -> Any:
        """Return the outputs' structure with a tree in the place of each leaf: that of a Jacobian in blocks."""
        return self._spec.unflatten([tree for _ in self.blocks])

    def numbers(self, flat: Any, where: str) -> Any:
        """Return a flat vector of numbers, complex ones counted once, in the structure: what a matvec returns.

        Raises
        ------
        ShapeMismatch
            Where there are not as many numbers as the structure has.
        """
        sizes = [math.prod(_given_shape(block)) for block in self.blocks]
        flat = np.asarray(flat).reshape(-1)
        if flat.size != sum(sizes):
            raise ShapeMismatch(
                f"{flat.size} numbers, where {self.like} has {sum(sizes)}",
                where=where,
                meaning="They must be equal, entry by entry",
                remedy=f"Return one number for each of {self.like}",
            )
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return self._spec.unflatten([part.reshape(_given_shape(b)) for part, b in zip(parts, self.blocks, strict=True)])

    def narrower(self, value: Any) -> str:
        """Say which answer is of a lower precision than what it is like; "" where none is."""
        _, leaves, _ = flatten(value, what="answer", none_is_leaf=True)
        for block, leaf in zip(self.blocks, leaves, strict=False):
            dtype = str(getattr(leaf, "dtype", "float64")).rpartition(".")[2]
            if UNIT_ROUNDOFF.get(REAL_PARTS.get(dtype, dtype), 0.0) > UNIT_ROUNDOFF.get(block.dtype, 1.0):
                return f"{block.name} comes back in {dtype}, where {self.like} is {block.dtype}"
        return ""

    @property
    def roundoff(self) -> FloatArray:
        """u of each row's precision."""
        parts = [np.full(block.size, UNIT_ROUNDOFF[block.dtype]) for block in self.blocks if block.size]
        return np.concatenate(parts) if parts else np.zeros(0)

    def vector(self, value: Any, where: str) -> FloatArray:
        """Return an answer as one flat float64 vector.

        Raises
        ------
        ShapeMismatch, NotDifferentiable
            Where it does not have the structure, the shapes or the kind of numbers of the first answer.
        """
        if type(value) is Named:
            names, leaves = list(value), list(value.values())
        else:
            names, leaves, _ = flatten(value, what="answer", none_is_leaf=True)
            if names == [LONE_NAME]:
                names = [self._lone]
        if names != self._names:
            leaves = self._in_order(names, leaves, where)
        if len(self._kept) == 1:
            return self._part(self._kept[0], leaves[self._kept[0]], where)  # it is a copy already
        parts = [self._part(k, leaves[k], where) for k in self._kept]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _in_order(self, names: list[str], leaves: list[Any], where: str) -> list[Any]:
        """Return leaves in the order of the blocks; those held constant may be missing."""
        wanted = self._names
        needed = {wanted[k] for k in self._kept}
        if not needed <= set(names) or not set(names) <= set(wanted):
            odd = [name for name in wanted if name not in names] or [name for name in names if name not in wanted]
            raise ShapeMismatch(
                f"the answer has {_listed(names)}, where {_listed(wanted)} is wanted",
                where=where,
                meaning=f"There is nothing to compare {odd[0]} with",
                remedy=f"Return the structure of {self.like}",
            )
        by_name = dict(zip(names, leaves, strict=True))
        return [by_name.get(name) for name in wanted]

    def _part(self, k: int, leaf: Any, where: str) -> FloatArray:
        block, like = self.blocks[k], self._like[k]
        if (
            type(leaf) is type(like)
            and self._has_dtype[k]
            and leaf.dtype == like.dtype
            and leaf.shape == like.shape
            and not block.is_complex
        ):
            return self._adapters[k].to_flat(leaf)
        if leaf is None:
            raise ShapeMismatch(
                f"None for {block.name}",
                where=where,
                meaning="None is no derivative",
                remedy=f"Return zeros of shape {_given_shape(block)} where there is no dependence",
            )
        shape = tuple(np.shape(leaf))
        if shape != _given_shape(block):
            raise ShapeMismatch(
                f"{block.name} has shape {shape}, {self.like} has shape {_given_shape(block)}",
                where=where,
                meaning="They must be equal, entry by entry",
                remedy=f"Return the shapes of {self.like}",
            )
        try:
            adapter = adapter_for([(block.name, leaf)])
        except NotDifferentiable:
            adapter = None
        if adapter is None or _is_truth(leaf):
            raise NotDifferentiable(
                kind_of(leaf), where=f"{where}, {block.name}", meaning="A derivative consists of floating-point numbers"
            )
        pairs = adapter.pairs(leaf)
        if pairs is not None and not block.is_complex:
            raise NotDifferentiable(
                kind_of(leaf),
                where=f"{where}, {block.name}",
                meaning=f"{self.like} is real there, and so is this derivative",
                remedy="Return its real part, if that is what is meant",
            )
        if not block.is_complex:
            return adapter.to_flat(leaf)
        if pairs is not None:
            return adapter.to_flat(pairs)
        return np.stack([adapter.to_flat(leaf), np.zeros(block.size // 2)], axis=-1).reshape(-1)

    def tree(self, vector: FloatArray, layout: str = "C") -> Any:
        """Return a flat vector in the structure, shapes and precisions of the function's answers."""
        return self._spec.unflatten([self._leaf(k, vector, layout) for k in range(len(self.blocks))])

    def _leaf(self, k: int, vector: FloatArray, layout: str) -> Any:
        block, like, adapter, pairs = self.blocks[k], self._like[k], self._adapters[k], self._like_pairs[k]
        if block.dtype == HELD:
            return like
        values = np.array(vector[block.rows])
        leaf = adapter.from_flat(values, like if pairs is None else pairs)
        leaf = leaf if pairs is None else adapter.from_pairs(leaf, like)
        return leaf if layout == "C" else adapter.laid_out(leaf, layout)

    def rounded(self, vector: FloatArray) -> FloatArray:
        """Return a vector as it arrives in the outputs' precisions: itself, where they are all double."""
        if self._double:
            return vector
        result = np.array(vector)
        for block in self.blocks:
            if block.dtype not in {"float64", HELD}:
                result[block.rows] = rounded_to(vector[block.rows], block.dtype)
        return result

    def place(self, row: int) -> tuple[OutputBlock, tuple[int, ...]]:
        """Return the block that a row belongs to, and its index there."""
        block = next(block for block in self.blocks if block.start <= row < block.stop)
        return block, tuple(int(i) for i in np.unravel_index(row - block.start, block.shape)) if block.shape else ()

    def name_of(self, row: int) -> str:
        """Write a row as Python would: ``output[3, 0]``."""
        block, index = self.place(row)
        return f"{block.name}{list(index)}" if index else block.name


def flipped(vector: FloatArray, structure: Outputs) -> FloatArray:
    """Return a vector with its complex blocks conjugated."""
    result = np.array(vector)
    for block in structure.blocks:
        if block.is_complex:
            result[block.start + 1 : block.stop : 2] *= -1
    return result


def real_pairs(tree: Any) -> tuple[Any, Callable[[Any], Any], dict[str, str]]:
    """Replace complex arrays by real ones of a further axis of two.

    Returns
    -------
    Any
        The tree with real leaves.
    Callable
        Takes a tree like that back.
    dict
        Names of the complex leaves, and their dtypes.
    """
    names, leaves, spec = flatten(tree)
    like, adapters, kinds = {}, {}, {}
    for k, (name, leaf) in enumerate(zip(names, leaves, strict=True)):
        try:
            adapter = adapter_for([(name, leaf)])
            pairs = adapter.pairs(leaf)
        except NotDifferentiable:  # held constant, perhaps: the problem will say so where it is not
            continue
        if pairs is not None:
            like[k], adapters[k], leaves[k] = leaf, adapter, pairs
            kinds[name] = str(getattr(leaf, "dtype", "complex128")).rpartition(".")[2]
    if not like:
        return tree, lambda given: given, {}

    def restore(given: Any) -> Any:
        _, parts, _ = flatten(given)
        for k, leaf in like.items():
            parts[k] = adapters[k].from_pairs(parts[k], leaf)
        return spec.unflatten(parts)

    return spec.unflatten(leaves), restore, kinds


def _is_truth(leaf: Any) -> bool:
    return isinstance(leaf, (bool, np.bool_)) or _is_truth_type(getattr(leaf, "dtype", None))


@cache
def _is_truth_type(dtype: Any) -> bool:
    return str(dtype).rpartition(".")[2] in {"bool", "object"}


def _describe(leaf: Any, name: str, where: str) -> tuple[Adapter, Any, tuple[int, ...], str]:
    """Return the adapter of an output, its pairs where it is complex, its real shape and precision."""
    try:
        adapter = adapter_for([(name, leaf)])
        pairs = adapter.pairs(leaf)
        shape, dtype = adapter.describe(leaf if pairs is None else pairs)
    except (TypeError, NotDifferentiable):
        raise NotDifferentiable(
            f"the function returns {kind_of(leaf)}",
            where=f"{where}, {name}",
            meaning="A derivative is defined for floating-point outputs only",
            remedy="Return floating-point arrays (or leave this output out)",
        ) from None
    return adapter, pairs, shape, dtype


def _given_shape(block: OutputBlock) -> tuple[int, ...]:
    return block.shape[:-1] if block.is_complex else block.shape


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:6])}{' …' if len(names) > 6 else ''}" if names else "nothing"
