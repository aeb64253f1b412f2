"""The user's problem: named blocks, and every check of what was given.

A point is a number, an array, or any nesting of dict, list, tuple, namedtuple and dataclass; its arrays are called
blocks, and a block's name is the path to it as Python would write it.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optree

from gradproof._directions import FloatArray
from gradproof._errors import (
    EmptyProblem,
    NonFinitePoint,
    NotDifferentiable,
    ShapeMismatch,
    UnknownName,
    UsageError,
)
from gradproof.adapters import Adapter, adapter_for

NAMESPACE: Final = "gradproof"
LONE_NAME: Final = "point"
SHOWN: Final = 6
"""How many names or positions an error message lists."""


@dataclass(frozen=True, slots=True)
class Block:
    """One named array of the parameters."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return math.prod(self.shape)


class Problem:
    """A cost, the point at which its gradient is checked, and the gradient that is claimed.

    Parameters
    ----------
    cost
        Callable: point → a real number. ``(J, anything)`` with ``has_aux=True``; ``(J, gradient)`` with
        ``claimed=True``.
    point
        A number, an array, or nested dict, list, tuple, namedtuple or dataclass of them. Never written to.
    claimed
        The claimed gradient in the point's structure; or a callable point → that structure; or True where the cost
        returns it.
    only, exclude
        Name patterns (``fnmatch``) of the blocks to check, or to leave alone.
    has_aux
        The cost returns ``(J, anything)``.

    Raises
    ------
    UsageError
        One of its kinds, naming the block, for everything that can be seen before the first evaluation.
    """

    def __init__(
        self,
        cost: Callable[[Any], Any],
        point: Any,
        claimed: Any,
        *,
        only: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        has_aux: bool = False,
    ) -> None:
        if not callable(cost):
            raise UsageError(
                f"cost is {_kind(cost)}", meaning="It must be callable", remedy="Give a function point → a real number"
            )
        self.cost = cost
        self.point = point
        self.claimed = claimed
        self.has_aux = has_aux
        self._only, self._exclude = only, exclude
        names, leaves, self._treespec = flatten(point)
        self.adapter: Adapter = adapter_for(list(zip(names, leaves, strict=True)))
        self.all_blocks = tuple(
            _block(name, leaf, self.adapter) for name, leaf in zip(names, leaves, strict=True)
        )
        self._leaves = tuple(self.adapter.copy(leaf) for leaf in leaves)
        self.selected, self.skipped = _select(self.all_blocks, only, exclude)
        self.blocks = tuple(self.all_blocks[k] for k in self.selected)
        self.values = tuple(self.adapter.flat_view(self._leaves[k]) for k in self.selected)
        _check_finite_point(self.blocks, self.values)
        if claimed is None:
            raise ShapeMismatch(
                "claimed is None",
                meaning="There is no gradient to check",
                remedy="Give the gradient in the point's structure, a callable that returns it, or True where the cost returns (J, gradient)",
            )

    def at(self, point: Any) -> Problem:
        """Return the same problem at another point."""
        return Problem(self.cost, point, self.claimed, only=self._only, exclude=self._exclude, has_aux=self.has_aux)

    @property
    def size(self) -> int:
        """Number of coordinates that are checked."""
        return sum(block.size for block in self.blocks)

    def point_copy(self) -> Any:
        """Return the point anew, sharing no memory with the user's."""
        return self._treespec.unflatten([self.adapter.copy(leaf) for leaf in self._leaves])

    def displaced(
        self, values: list[FloatArray | None], claimed: Sequence[FloatArray] | None
    ) -> tuple[Any, float]:
        """Return the point with some selected blocks replaced, and what is claimed of the change.

        Parameters
        ----------
        values
            Per selected block the flat values in float64, or None to leave it as it is. They are given away.
        claimed
            Per selected block the claimed gradient g, flat; or None.

        Returns
        -------
        Any
            The point, new memory throughout.
        float
            ⟨g, θ_t − θ⟩ in float64, for the θ_t that was representable in the blocks' own precision; 0 without a claim.
        """
        leaves: list[Any] = [None] * len(self._leaves)
        position_of = {k: i for i, k in enumerate(self.selected)}
        total = 0.0
        for k, leaf in enumerate(self._leaves):
            i = position_of.get(k)
            new = None if i is None else values[i]
            if i is None or new is None:
                leaves[k] = self.adapter.copy(leaf)
                continue
            values[i] = None
            exact = self.all_blocks[k].dtype == "float64"
            leaves[k] = self.adapter.from_flat(new, leaf)
            if claimed is not None:
                if not exact:
                    new = self.adapter.to_flat(leaves[k])
                change = new - self.values[i]
                total += float(claimed[i] @ change)
        return self._treespec.unflatten(leaves), total

    def assembled(self, values: Sequence[FloatArray]) -> Any:
        """Return flat values of the selected blocks in the point's structure, NaN in blocks that were left out."""
        by_position = dict(zip(self.selected, values, strict=True))
        leaves = []
        for k, block in enumerate(self.all_blocks):
            flat = by_position.get(k, np.full(block.size, math.nan))
            leaves.append(flat.reshape(block.shape) if block.shape else float(flat[0]))
        return self._treespec.unflatten(leaves)

    def mutated(self, given: Any) -> list[str]:
        """Return the names of blocks that differ from the point: what a callable wrote into its argument."""
        try:
            names, leaves, _ = flatten(given)
        except UsageError:
            return [LONE_NAME]
        if names != [block.name for block in self.all_blocks]:
            return sorted(set(names) ^ {block.name for block in self.all_blocks})
        return [
            block.name
            for block, leaf, mine in zip(self.all_blocks, leaves, self._leaves, strict=True)
            if np.shape(leaf) != np.shape(mine)
            or not np.array_equal(self.adapter.to_flat(leaf), self.adapter.to_flat(mine), equal_nan=True)
        ]

    def claimed_values(self, claimed: Any) -> tuple[FloatArray, ...]:
        """Check a claimed gradient's structure against the point's; return the selected blocks, flat, in float64.

        Raises
        ------
        ShapeMismatch, NotDifferentiable
            Naming the block, with both sides shown.
        """
        if len(self.all_blocks) == 1 and isinstance(claimed, (list, tuple)) and self.all_blocks[0].name == LONE_NAME:
            claimed = _as_array(claimed)
        names, leaves, _ = flatten(claimed, what="claimed")
        by_name = dict(zip(names, leaves, strict=True))
        wanted = [block.name for block in self.all_blocks]
        if set(by_name) != set(wanted):
            missing_selected = [block.name for block in self.blocks if block.name not in by_name]
            extra = [name for name in names if name not in wanted]
            if missing_selected or extra:
                raise _structure_mismatch(wanted, names)
        return tuple(self._claimed_block(block, by_name[block.name]) for block in self.blocks)

    def _claimed_block(self, block: Block, leaf: Any) -> FloatArray:
        array = np.asarray(self.adapter.to_flat(leaf) if _is_foreign(leaf) else leaf)
        shape = tuple(np.shape(leaf))
        if array.dtype.kind not in "fiu" or isinstance(leaf, bool):
            meaning = "A real cost has a real gradient" if array.dtype.kind == "c" else "A gradient consists of real numbers"
            raise NotDifferentiable(f"the claimed gradient is {_kind(leaf)}", where=block.name, meaning=meaning)
        if shape != block.shape:
            raise _shape_mismatch(block, shape)
        return np.asarray(array, dtype=np.float64).reshape(-1)


def flatten(tree: Any, *, what: str = "point") -> tuple[list[str], list[Any], optree.PyTreeSpec]:
    """Take a nested container apart.

    Returns
    -------
    list of str
        Names: paths as Python would write them; "point" for a lone leaf.
    list
        The leaves.
    PyTreeSpec
        Puts leaves together again.

    Raises
    ------
    UsageError
        Where the container refers to itself.
    """
    _register_dataclasses(tree)
    try:
        with optree.dict_insertion_ordered(True, namespace=NAMESPACE):
            accessors, leaves, treespec = optree.tree_flatten_with_accessor(tree, namespace=NAMESPACE)
    except RecursionError as error:
        raise UsageError(f"{what} is a container that contains itself", remedy="Give a tree of arrays") from error
    return [_name(accessor) for accessor in accessors], leaves, treespec


def _register_dataclasses(tree: Any) -> None:
    """Teach optree, in our own namespace, each dataclass that occurs: its fields are its children."""
    stack, seen = [tree], set[int]()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, (list, tuple)):
            stack.extend(node)
        elif dataclasses.is_dataclass(node) and not isinstance(node, type):
            _register(type(node))
            stack.extend(getattr(node, field.name) for field in dataclasses.fields(node))


_registered: set[type] = set()


def _register(kind: type) -> None:
    if kind in _registered:
        return
    names = tuple(field.name for field in dataclasses.fields(kind))

    def take_apart(instance: Any) -> tuple[tuple[Any, ...], None, tuple[str, ...]]:
        return tuple(getattr(instance, name) for name in names), None, names

    def put_together(_: None, children: Sequence[Any]) -> Any:
        instance = object.__new__(kind)
        for name, child in zip(names, children, strict=True):
            object.__setattr__(instance, name, child)
        return instance

    optree.register_pytree_node(
        kind, take_apart, put_together, path_entry_type=optree.GetAttrEntry, namespace=NAMESPACE
    )
    _registered.add(kind)


def _name(accessor: optree.PyTreeAccessor) -> str:
    """Write a path as Python would, identifiers without quotes: ``encoder.layers[0].weight``."""
    if not len(accessor):
        return LONE_NAME
    parts: list[str] = []
    for entry in accessor:
        if isinstance(entry, optree.NamedTupleEntry):
            key: Any = entry.field
        elif isinstance(entry, optree.GetAttrEntry):
            key = entry.name
        else:
            key = entry.entry
        if isinstance(key, str) and key.isidentifier():
            parts.append(f".{key}" if parts else key)
        else:
            parts.append(f"[{key!r}]")
    return "".join(parts)


def _block(name: str, leaf: Any, adapter: Adapter) -> Block:
    try:
        shape, dtype = adapter.describe(leaf)
    except TypeError as error:
        phrase = str(error)
        remedy = (
            f"Convert it, for instance with {name}.astype(float), or hold it constant inside the cost"
            if "array of" in phrase
            else "Hold it constant inside the cost, or give a float"
        )
        raise NotDifferentiable(
            phrase, where=name, meaning="A gradient is defined for real floating-point parameters only", remedy=remedy
        ) from None
    return Block(name, shape, dtype)


def _select(
    blocks: tuple[Block, ...], only: str | Sequence[str] | None, exclude: str | Sequence[str] | None
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the positions of the blocks to check and the names of the others."""
    chosen = set(range(len(blocks)))
    for argument, patterns, keep in (("only", only, True), ("exclude", exclude, False)):
        if patterns is None:
            continue
        matched = set[int]()
        for pattern in [patterns] if isinstance(patterns, str) else list(patterns):
            hits = {k for k, block in enumerate(blocks) if block.name == pattern or fnmatch.fnmatchcase(block.name, pattern)}
            if not hits:
                raise UnknownName(
                    f"{argument}={pattern!r} matches no block",
                    remedy=f"The blocks are {_listed([block.name for block in blocks])}",
                )
            matched |= hits
        chosen = chosen & matched if keep else chosen - matched
    positions = tuple(k for k in sorted(chosen) if blocks[k].size > 0)
    if not positions:
        sizes = _listed([f"{block.name} {block.shape}" for block in blocks]) if blocks else "none"
        raise EmptyProblem(
            "no coordinate to check",
            meaning=f"The blocks are: {sizes}",
            remedy="Give a point with at least one floating-point number, and patterns that leave one",
        )
    return positions, tuple(block.name for k, block in enumerate(blocks) if k not in positions)


def _check_finite_point(blocks: Sequence[Block], values: Sequence[FloatArray]) -> None:
    for block, flat in zip(blocks, values, strict=True):
        bad = np.flatnonzero(~np.isfinite(flat))
        if bad.size:
            raise NonFinitePoint(
                f"{bad.size} of {block.size} values are not finite, the first one {flat[bad[0]]} at {position(bad[0], block.shape)}",
                where=block.name,
                meaning="The cost has no derivative there",
                remedy="Check at a point of finite numbers",
            )


def position(flat: int, shape: tuple[int, ...]) -> str:
    """Write a flat position as the index that reaches it: ``[2, 0]``; ``[]`` for a number."""
    return str([int(i) for i in np.unravel_index(int(flat), shape)]) if shape else "[]"


def _shape_mismatch(block: Block, shape: tuple[int, ...]) -> ShapeMismatch:
    remedy = "Return the gradient in the parameter's own shape"
    if shape == block.shape[::-1] and len(shape) > 1:
        remedy = "It has the transposed shape: did you mean the transpose?"
    elif math.prod(shape) == block.size:
        remedy = f"It has as many entries: did you mean .reshape({block.shape})?"
    return ShapeMismatch(
        f"the claimed gradient has shape {shape}, the parameter has shape {block.shape}",
        where=block.name,
        meaning="They must be equal",
        remedy=remedy,
    )


def _structure_mismatch(wanted: list[str], names: list[str]) -> ShapeMismatch:
    missing = [name for name in wanted if name not in names]
    extra = [name for name in names if name not in wanted]
    prefixed = [name for name in missing if f"d{name}" in names]
    if prefixed:
        remedy = (
            f"The claimed keys carry the prefix 'd' ({_listed([f'd{name}' for name in prefixed])}): "
            f"rename them, for instance {{key[1:]: value for key, value in claimed.items()}}"
        )
    else:
        remedy = "Give the claimed gradient in the point's own structure"
    return ShapeMismatch(
        f"the claimed gradient has the blocks {_listed(names)}, the point has {_listed(wanted)}",
        where=f"block {(missing or extra)[0]}",
        meaning=f"Missing: {_listed(missing)}; not in the point: {_listed(extra)}",
        remedy=remedy,
    )


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _as_array(values: Sequence[Any]) -> Any:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return values


def _is_foreign(leaf: Any) -> bool:
    return not isinstance(leaf, (np.ndarray, np.generic, int, float, complex, str, bytes)) and hasattr(leaf, "shape")


def _kind(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return f"{type(value).__name__} of {dtype}" if dtype is not None else f"{type(value).__name__} ({value!r})"
