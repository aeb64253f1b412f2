"""The user's problem: named blocks, and every check of what was given.

A point is a number, an array, or any nesting of dict, list, tuple, namedtuple and dataclass; its arrays are called
blocks, and a block's name is the path to it as Python would write it. None within a container is no parameter: it
stays where it is.
"""

from __future__ import annotations

import copy
import fnmatch
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gradproof._containers import LONE_NAME, flatten, unknown_container
from gradproof._directions import FloatArray
from gradproof._errors import (
    EmptyProblem,
    NonFinitePoint,
    NotDifferentiable,
    ShapeMismatch,
    UnknownName,
    UsageError,
)
from gradproof._settings import UNIT_ROUNDOFF
from gradproof.adapters import Adapter, adapter_for, kind_of

SHOWN: Final = 6
"""How many names or positions an error message lists."""
CHUNK: Final = 65536
"""Entries of a block that are compared at once, so that no further vector of its size is made."""
REPRESENTED: Final = 0.5
"""Share of a displacement by which what is representable may differ from it."""
RANGE: Final = {"float64": 1e300, "float32": 1e38, "float16": 6e4, "bfloat16": 1e38}
"""Sizes that are represented for certain."""


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
        Patterns of the names of the blocks to check, or to hold constant: ``*`` and ``?`` stand for any characters,
        and brackets for themselves. What is held constant may be of any type.
    has_aux
        The cost returns ``(J, anything)``; ``((J, anything), gradient)`` with ``claimed=True``.

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
                f"cost is {kind_of(cost)}",
                meaning="It cannot be called",
                remedy="Give a function of the point that returns a real number",
            )
        if point is None:
            raise UsageError(
                "point is None",
                meaning="A gradient is checked at a point, and none was given",
                remedy="Give the parameters: a number, an array, or a dict, list, tuple or dataclass of them",
            )
        if claimed is None:
            raise ShapeMismatch(
                "claimed is None",
                meaning="There is no gradient to check",
                remedy="Give the gradient in the point's structure, a callable that returns it, or True where the cost returns (J, gradient)",
            )
        self.cost = cost
        self.point = point
        self.claimed = claimed
        self.has_aux = has_aux
        self._only, self._exclude = only, exclude
        names, leaves, self._treespec = flatten(point)
        self._lone = len(leaves) == 1 and leaves[0] is point
        chosen = [k for k in _chosen(names, only, exclude) if 0 not in getattr(leaves[k], "shape", ())]
        self.adapter: Adapter = adapter_for([(names[k], leaves[k]) for k in chosen])
        self.selected = tuple(chosen)
        self.all_blocks = tuple(
            _block(name, leaf, self.adapter) if k in set(chosen) else _held(name, leaf, self.adapter)
            for k, (name, leaf) in enumerate(zip(names, leaves, strict=True))
        )
        self.blocks = tuple(self.all_blocks[k] for k in self.selected)
        self.skipped = tuple(block.name for k, block in enumerate(self.all_blocks) if k not in set(chosen))
        if not self.blocks:
            raise _nothing_to_check(self.all_blocks, only, exclude)
        self._leaves = tuple(self._copied(leaf) for leaf in leaves)
        self.values = tuple(self.adapter.flat_view(self._leaves[k]) for k in self.selected)
        _check_finite_point(self.blocks, self.values)
        self._largest = tuple(max(float(flat.max()), -float(flat.min())) for flat in self.values)

    def at(self, point: Any) -> Problem:
        """Return the same problem at another point."""
        return Problem(self.cost, point, self.claimed, only=self._only, exclude=self._exclude, has_aux=self.has_aux)

    @property
    def size(self) -> int:
        """Number of coordinates that are checked."""
        return sum(block.size for block in self.blocks)

    def point_copy(self) -> Any:
        """Return the point anew, sharing no memory with the user's."""
        return self._treespec.unflatten([self._copied(leaf) for leaf in self._leaves])

    def _copied(self, leaf: Any) -> Any:
        try:
            self.adapter.describe(leaf)
        except TypeError:
            return copy.deepcopy(leaf)  # held constant, of any type
        return self.adapter.copy(leaf)

    def displaced(self, values: list[FloatArray | None], claimed: Sequence[FloatArray] | None) -> tuple[Any, float]:
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
                leaves[k] = self._copied(leaf)
                continue
            values[i] = None
            with np.errstate(all="ignore"):  # what is too long for the block's precision is infinite, and fails as such
                leaves[k] = self.adapter.from_flat(new, leaf)
                if claimed is not None:
                    if self.all_blocks[k].dtype != "float64":
                        new = self.adapter.flat_view(leaves[k])
                    total += _change(claimed[i], new, self.values[i])
        return self._treespec.unflatten(leaves), total

    def lost(self, components: Sequence[FloatArray | None], step: float) -> str:
        """Name a block in which θ + t v is not represented: where it differs from what can be by half of t v and more.

        A displacement that is lost in the spacing of the parameters shows no change of the cost, whatever is claimed.

        Parameters
        ----------
        components
            v per selected block, flat; None where it is zero.
        step
            t.

        Returns
        -------
        str
            The name, "" where all are represented.
        """
        for k, old, largest, component in zip(self.selected, self.values, self._largest, components, strict=True):
            if component is None:
                continue
            block = self.all_blocks[k]
            with np.errstate(all="ignore"):
                length = abs(step) * math.sqrt(float(component @ component))
                rounding = UNIT_ROUNDOFF[block.dtype] * (math.sqrt(block.size) * largest + length)
                if rounding <= REPRESENTED * length and length + largest <= RANGE[block.dtype]:
                    continue  # no entry is rounded by more than u of itself
                new = component * step
                wanted = new.copy()
                new += old
                moved = self.adapter.flat_view(self.adapter.from_flat(new, self._leaves[k])) - old
                size = float(np.max(np.abs(wanted)))
                off = np.linalg.norm((moved - wanted) / size) if size > 0 else math.inf
                if not off <= REPRESENTED * np.linalg.norm(wanted / size):
                    return block.name
        return ""

    def complex_point(self, block: int, index: int, step: float) -> Any:
        """Return the point in complex numbers, with one coordinate of a selected block displaced by i·step."""
        leaves: list[Any] = []
        for k, leaf in enumerate(self._leaves):
            flat = np.array(self.adapter.flat_view(leaf), dtype=np.complex128)
            if k == self.selected[block]:
                flat[index] += 1j * step
            shape = self.all_blocks[k].shape
            leaves.append(flat.reshape(shape) if isinstance(leaf, np.ndarray) else complex(flat[0]))
        return self._treespec.unflatten(leaves)

    def shortest(self, components: Sequence[FloatArray | None]) -> float:
        """Return the t below which `lost` names a block, as far as roundings are independent of each other.

        An entry is then off by spacing/√12 in the root mean square.
        """
        result = 0.0
        for k, old, component in zip(self.selected, self.values, components, strict=True):
            if component is None:
                continue
            moved = component != 0
            spacing = (
                2 * UNIT_ROUNDOFF[self.all_blocks[k].dtype] * np.exp2(np.floor(np.log2(np.abs(old[moved]) + 1e-300)))
            )
            length = float(np.linalg.norm(component))
            if length > 0:
                result = max(result, float(np.linalg.norm(spacing)) / math.sqrt(12) / (REPRESENTED * length))
        return result

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
        found = dict(zip(names, leaves, strict=True))
        changed = [
            block.name
            for block, mine in zip(self.all_blocks, self._leaves, strict=True)
            if block.name not in found or not self._equal(found[block.name], mine)
        ]
        known = {block.name for block in self.all_blocks}
        return changed + [name for name in names if name not in known]

    def _equal(self, leaf: Any, mine: Any) -> bool:
        if type(leaf) is not type(mine) or getattr(leaf, "shape", ()) != getattr(mine, "shape", ()):
            return False
        try:
            one, two = self.adapter.flat_view(leaf), self.adapter.flat_view(mine)
        except (TypeError, ValueError):
            return True  # held constant, of a type that has no values to compare
        return np.array_equal(one, two, equal_nan=True)

    def claimed_values(self, claimed: Any) -> tuple[FloatArray, ...]:
        """Check a claimed gradient's structure against the point's; return the selected blocks, flat, in float64.

        Raises
        ------
        ShapeMismatch, NotDifferentiable
            Naming the block, with both sides shown.
        """
        if self._lone and isinstance(claimed, (list, tuple)):
            claimed = _as_array(claimed)
        names, leaves, _ = flatten(claimed, what="claimed gradient")
        by_name = dict(zip(names, leaves, strict=True))
        wanted = [block.name for block in self.all_blocks]
        if any(block.name not in by_name for block in self.blocks) or any(name not in wanted for name in names):
            raise _structure_mismatch(self.blocks, wanted, claimed, names)
        return tuple(self._claimed_block(block, by_name[block.name]) for block in self.blocks)

    def _claimed_block(self, block: Block, leaf: Any) -> FloatArray:
        try:
            array = np.asarray(leaf)
            if array.dtype.kind not in "fiu":
                array = np.asarray(self.adapter.to_flat(leaf)) if _is_foreign(leaf) else array
        except (TypeError, ValueError, OverflowError):
            array = np.asarray(None)
        if array.dtype.kind not in "fiu":
            complex_ = array.dtype.kind == "c"
            raise NotDifferentiable(
                f"the claimed gradient is {kind_of(leaf)}",
                where=block.name,
                meaning="The gradient of a real cost with respect to real parameters is real"
                if complex_
                else "A gradient consists of real numbers",
                remedy="Give its real part, if the imaginary one is zero"
                if complex_
                else f"Give {f'an array of shape {block.shape}' if block.shape else 'a number'} in floating point",
            )
        shape = tuple(np.shape(leaf))
        if shape != block.shape:
            raise _shape_mismatch(block, shape)
        # A copy: a cost that computes its gradient along the way may write into the very array that is claimed.
        return np.array(array, dtype=np.float64).reshape(-1)


def _change(claimed: FloatArray, new: FloatArray, old: FloatArray) -> float:
    """Return ⟨claimed, new − old⟩ without a vector for the difference."""
    if new.size <= CHUNK:
        return float(claimed @ (new - old))
    parts = (slice(start, start + CHUNK) for start in range(0, new.size, CHUNK))
    return sum((float(claimed[part] @ (new[part] - old[part])) for part in parts), 0.0)


def _block(name: str, leaf: Any, adapter: Adapter) -> Block:
    """Describe a block that is checked.

    Raises
    ------
    NotDifferentiable
        Where its values are not real floating-point numbers.
    """
    try:
        shape, dtype = adapter.describe(leaf)
    except TypeError as error:
        raise NotDifferentiable(
            str(error),
            where=name,
            meaning="A gradient is defined for real floating-point parameters only",
            remedy=_instead_of(name, leaf),
        ) from None
    return Block(name, shape, dtype)


def _instead_of(name: str, leaf: Any) -> str:
    """Say what to do about a block that is not differentiable."""
    kind = getattr(getattr(leaf, "dtype", None), "kind", "")
    hold = "" if name == LONE_NAME else f", or hold it constant with exclude={name!r}"
    if isinstance(leaf, np.ma.MaskedArray):
        return "Give its values without the mask, and apply the mask inside the cost"
    if kind == "c" or isinstance(leaf, complex):
        return (
            "Give a complex parameter as a pair of reals, the real and the imaginary part, and join them inside the "
            f"cost: z = re + 1j * im{hold}"
        )
    if kind == "f":
        return f"Of the real types float64, float32 and float16 can be displaced: convert it with {name}.astype(float){hold}"
    if kind in {"i", "u", "b"}:
        return f"Convert it, for instance with {name}.astype(float){hold}"
    container = unknown_container(leaf)
    return f"{container or 'Give floating-point numbers'}{hold}"


def _held(name: str, leaf: Any, adapter: Adapter) -> Block:
    """Describe a block that is held constant, or is empty: it may be of any type."""
    try:
        shape, dtype = adapter.describe(leaf)
    except TypeError:
        shape, dtype = tuple(getattr(leaf, "shape", ())), type(leaf).__name__
    return Block(name, shape, dtype)


def _chosen(names: list[str], only: str | Sequence[str] | None, exclude: str | Sequence[str] | None) -> list[int]:
    """Return the positions of the names that are chosen by only= and not by exclude=."""
    chosen = set(range(len(names)))
    for argument, patterns, keep in (("only", only, True), ("exclude", exclude, False)):
        if patterns is None:
            continue
        matched = set[int]()
        for pattern in [patterns] if isinstance(patterns, str) else list(patterns):
            hits = {k for k, name in enumerate(names) if _matches(name, pattern)}
            if not hits:
                raise UnknownName(
                    f"{argument}={pattern!r} matches no block",
                    meaning=f"The blocks are {_listed(names)}",
                    remedy="Give one of these names, or a pattern with * and ?",
                )
            matched |= hits
        chosen = chosen & matched if keep else chosen - matched
    return sorted(chosen)


def _matches(name: str, pattern: str) -> bool:
    """Match a pattern in which brackets stand for themselves, as in ``layers[0].*``; or for fnmatch's sets."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]")) or fnmatch.fnmatchcase(name, pattern)


def _nothing_to_check(
    blocks: Sequence[Block], only: str | Sequence[str] | None, exclude: str | Sequence[str] | None
) -> EmptyProblem:
    if not blocks:
        return EmptyProblem(
            "there is no coordinate to check",
            meaning="The point is an empty container",
            remedy="Give a point with at least one floating-point number",
        )
    sizes = _listed([f"{block.name} of shape {block.shape}" for block in blocks])
    patterns = " and ".join(
        f"{name}={given!r}" for name, given in (("only", only), ("exclude", exclude)) if given is not None
    )
    return EmptyProblem(
        "there is no coordinate to check",
        meaning=f"With {patterns} nothing is left of {sizes}" if patterns else f"All blocks are empty: {sizes}",
        remedy="Give patterns that leave a block that is not empty"
        if patterns
        else "Give a point with at least one floating-point number",
    )


def _check_finite_point(blocks: Sequence[Block], values: Sequence[FloatArray]) -> None:
    for block, flat in zip(blocks, values, strict=True):
        bad = np.flatnonzero(~np.isfinite(flat))
        if bad.size:
            first = f"{flat[bad[0]]} at {position(bad[0], block.shape)}"
            some = f"{bad.size} of {block.size} values are not finite, the first one {first}"
            one = f"the value is {first}" if block.shape else f"the value is {flat[0]}"
            raise NonFinitePoint(
                one if bad.size == 1 else some,
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
        meaning="They must be equal, entry by entry",
        remedy=remedy,
    )


def _structure_mismatch(blocks: Sequence[Block], wanted: list[str], claimed: Any, names: list[str]) -> ShapeMismatch:
    missing = [block.name for block in blocks if block.name not in names]
    extra = [name for name in names if name not in wanted]
    lacks = f"The claimed gradient lacks {_listed(missing)}" if missing else ""
    has = (
        f"{'it' if missing else 'The claimed gradient'} has {_listed(extra)}, which the point has not" if extra else ""
    )
    return ShapeMismatch(
        f"the claimed gradient has {_counted(names)}, the point has {_counted(wanted)}",
        where=f"block {(missing or extra)[0]}",
        meaning=f"{lacks}{'; ' if lacks and has else ''}{has}",
        remedy=_mend_structure(missing, extra, wanted, claimed),
    )


def _counted(names: list[str]) -> str:
    if not names:
        return "no block at all"
    if names == [LONE_NAME]:
        return "one lone array or number"
    return f"the block{'s' if len(names) > 1 else ''} {_listed(names)}"


def _mend_structure(missing: list[str], extra: list[str], wanted: list[str], claimed: Any) -> str:
    """Say what to do about the most likely mistake."""
    if claimed is None:
        return "None was returned: does the gradient's function lack a return statement?"
    prefixed = [name for name in missing if f"d{name}" in extra]
    if prefixed:
        return (
            f"The claimed keys carry the prefix 'd' (d{prefixed[0]} for {prefixed[0]}): "
            'rename them, for instance {name: claimed["d" + name] for name in point}'
        )
    absent = set(_names_of_none(claimed)) & set(missing)
    if absent:
        name = next(name for name in missing if name in absent)
        return f"It is None for {name}, which is no gradient: give zeros of its shape where the cost does not depend on it, or exclude={name!r}"
    nested = [name for name in missing if any(other.startswith((f"{name}[", f"{name}.")) for other in extra)]
    if nested:
        return f"{nested[0]} is a container in the claimed gradient and an array in the point: give an array, for instance with numpy.array(…)"
    if wanted == [LONE_NAME] or extra == [LONE_NAME]:
        return "Give both in the same structure: one array for an array, a container with the same keys for a container"
    if extra and not missing:
        return f"Leave {_listed(extra)} out, or make it part of the point"
    return "Give the claimed gradient in the point's own structure"


def _names_of_none(claimed: Any) -> list[str]:
    names, leaves, _ = flatten(claimed, what="claimed gradient", none_is_leaf=True)
    return [name for name, leaf in zip(names, leaves, strict=True) if leaf is None]


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def _as_array(values: Sequence[Any]) -> Any:
    try:
        return np.asarray(values)
    except ValueError:  # ragged
        return values


def _is_foreign(leaf: Any) -> bool:
    return not isinstance(leaf, (np.ndarray, np.generic, int, float, complex, str, bytes)) and hasattr(leaf, "shape")
