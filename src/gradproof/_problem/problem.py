"""The user's problem: named blocks, and every check of what was given.

A point is a number, an array, or any nesting of dict, list, tuple, namedtuple and dataclass; its arrays are called
blocks, and a block's name is the path to it as Python would write it. None within a container is no parameter: it
stays where it is.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gradproof._problem.blocks import (
    Block,
    check_finite,
    choose,
    describe_block,
    describe_constant,
    must_fit,
    nothing_to_check,
    position,
    shape_mismatch,
    structure_mismatch,
)
from gradproof._words.errors import NonFinitePoint, NotDifferentiable, ShapeMismatch, UsageError
from gradproof._words.precision import RANGE, UNIT_ROUNDOFF
from gradproof._words.vectors import CHUNK, FloatArray, norm_where, rms
from gradproof.adapters import Adapter, adapter_for, kind_of
from gradproof.adapters._containers import LONE_NAME, flatten

__all__ = ["Block", "Problem", "position"]

Watcher = Callable[[int, FloatArray, FloatArray], None]
"""Told of each displaced block: its number, θ_t as it was representable, and θ."""
REPRESENTED: Final = 0.5
"""Share of a displacement by which what is representable may differ from it."""


class OutOfBounds(ValueError):
    """A displaced point lies outside of where a function may be asked; raised before it is, so that it is no call."""


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
    claimed_precision
        In which the claim was worked out, where that is below the point's: its default tolerance is that of "float32".

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
        claimed_precision: str = "float64",
    ) -> None:
        _must_be_given(cost, point, claimed)
        self.cost = cost
        self.claimed = claimed
        self.has_aux = has_aux
        self.claimed_precision = _known_precision(claimed_precision)
        self._options = {"only": only, "exclude": exclude, "has_aux": has_aux, "claimed_precision": claimed_precision}
        names, leaves, self._treespec = flatten(point)
        self._lone = len(leaves) == 1 and leaves[0] is point
        chosen = [k for k in choose(names, only, exclude) if 0 not in getattr(leaves[k], "shape", ())]
        self.adapter: Adapter = adapter_for([(names[k], leaves[k]) for k in chosen])
        self.selected = tuple(chosen)
        self._position_of = {k: i for i, k in enumerate(chosen)}
        self.all_blocks = tuple(
            describe_block(name, leaf, self.adapter)
            if k in set(chosen)
            else describe_constant(name, leaf, self.adapter)
            for k, (name, leaf) in enumerate(zip(names, leaves, strict=True))
        )
        self.blocks = tuple(self.all_blocks[k] for k in self.selected)
        self.skipped = tuple(block.name for k, block in enumerate(self.all_blocks) if k not in set(chosen))
        if not self.blocks:
            if claimed is not True and not callable(claimed):
                must_fit(self.all_blocks, claimed)
            raise nothing_to_check(self.all_blocks, only, exclude)
        self._known = tuple(_is_known(leaf, self.adapter) for leaf in leaves)
        self._leaves = tuple(self._copied(k, leaf) for k, leaf in enumerate(leaves))
        self.values = tuple(self.adapter.flat_view(self._leaves[k]) for k in self.selected)
        check_finite(self.blocks, self.values)
        self._largest = tuple(max(float(flat.max()), -float(flat.min())) for flat in self.values)

    def at(self, point: Any) -> Problem:
        """Return the same problem at another point."""
        return Problem(self.cost, point, self.claimed, **self._options)  # type: ignore[arg-type]  # as they were given

    def parts(self) -> tuple[Any, ...]:
        """Return what the same problem is made of elsewhere, but for values that are claimed: they are of no use there."""
        claimed = True if self.claimed is True else 0.0
        return self.cost, self.point_copy(), claimed, self._options["only"], self._options["exclude"], self.has_aux

    @cached_property
    def size(self) -> int:
        """Number of coordinates that are checked."""
        return sum(block.size for block in self.blocks)

    @cached_property
    def sizes(self) -> list[float]:
        """rms(θ_b) of each selected block: by how much it is displaced, until the values say better."""
        return [rms(values) for values in self.values]

    refusal: NonFinitePoint | None = None
    """Raised where the function is not finite at the point: some entries are not, and were only held constant if it is."""

    @property
    def frames(self) -> list[tuple[str, FloatArray]]:
        """The arrays, by name, of a point of which θ is a displacement; none where θ is the point itself."""
        return []

    @cached_property
    def precision(self) -> str:
        """The lowest precision among the selected blocks."""
        return max((block.dtype for block in self.blocks), key=lambda kind: UNIT_ROUNDOFF[kind])

    def point_copy(self) -> Any:
        """Return the point anew, sharing no memory with the user's."""
        return self._treespec.unflatten([self._copied(k, leaf) for k, leaf in enumerate(self._leaves)])

    def _copied(self, k: int, leaf: Any) -> Any:
        """Return a copy; what is held constant may be of any type."""
        return self.adapter.copy(leaf) if self._known[k] else copy.deepcopy(leaf)

    def displaced(self, values: list[FloatArray | None], watch: Watcher | None) -> Any:
        """Return the point with some selected blocks replaced, new memory throughout.

        Parameters
        ----------
        values
            Per selected block the flat values in float64, or None to leave it as it is. They are given away.
        watch
            Told of each block that is replaced: its number, the θ_t that was representable in its own precision, and θ.
        """
        leaves: list[Any] = []
        for k, leaf in enumerate(self._leaves):
            i = self._position_of.get(k)
            new = None if i is None else values[i]
            if i is None or new is None:
                leaves.append(self._copied(k, leaf))
                continue
            values[i] = None
            exact = self.all_blocks[k].dtype == "float64"
            if exact and watch is None:
                leaves.append(self.adapter.from_flat(new, leaf))
                continue
            with np.errstate(all="ignore"):  # what is too long for the block's precision is infinite, and fails as such
                leaves.append(self.adapter.from_flat(new, leaf))
                if watch is not None:
                    if not exact:
                        new = None  # its memory is free before the rounded values take theirs
                    watch(i, self.adapter.flat_view(leaves[k]) if new is None else new, self.values[i])
        return self._treespec.unflatten(leaves)

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
            length = abs(step) * math.sqrt(float(component @ component))
            rounding = UNIT_ROUNDOFF[block.dtype] * (math.sqrt(block.size) * largest + length)
            if rounding <= REPRESENTED * length and length + largest <= RANGE[block.dtype]:
                continue  # no entry is rounded by more than u of itself
            with np.errstate(all="ignore"):
                new = component * step
                new += old
                there = self.adapter.flat_view(self.adapter.from_flat(new, self._leaves[k]))
                size, off, wanted = abs(step) * max(float(np.max(component)), -float(np.min(component))), 0.0, 0.0
                for part in (
                    slice(i, i + CHUNK // 4) for i in range(0, component.size, CHUNK // 4)
                ):  # no vector for each term
                    asked = component[part] * (step / size) if size > 0 else component[part]
                    wanted += float(asked @ asked)
                    asked -= (there[part] - old[part]) / size
                    off += float(asked @ asked)
                if not (size > 0 and off <= REPRESENTED**2 * wanted):
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

        An entry is then off by spacing/√12 in the root mean square, and the spacing is at most 2u of the entry.
        """
        result = 0.0
        for k, old, component in zip(self.selected, self.values, components, strict=True):
            if component is None:
                continue
            length = math.sqrt(float(component @ component))
            if length > 0:
                spacing = 2 * UNIT_ROUNDOFF[self.all_blocks[k].dtype] * norm_where(old, component)
                result = max(result, spacing / math.sqrt(12) / (REPRESENTED * length))
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
            if block.name not in found or not _equal(found[block.name], mine, self.adapter)
        ]
        known = {block.name for block in self.all_blocks}
        return changed + [name for name in names if name not in known]

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
            raise structure_mismatch(self.blocks, wanted, claimed, names)
        return tuple(_claimed_block(block, by_name[block.name]) for block in self.blocks)

    def beyond(self, claimed: Any) -> bool:
        """Say whether a claim has all blocks and more: gradients by intermediate values, perhaps."""
        if self._lone and isinstance(claimed, (list, tuple)):
            return False
        names = set(flatten(claimed, what="claimed gradient")[0])
        return names.issuperset(block.name for block in self.blocks) and not names.issubset(
            block.name for block in self.all_blocks
        )

    # -- many points at once, which differ in one block --------------------------------------------------------------

    def represented(self, block: int, values: FloatArray) -> FloatArray:
        """Return numbers as the precision of a selected block represents them, shape (n,)."""
        if self.blocks[block].dtype == "float64":
            return values
        like, size = self._leaves[self.selected[block]], self.blocks[block].size
        padded = np.zeros(-(-values.size // size) * size)
        padded[: values.size] = values
        parts = (self.adapter.flat_view(self.adapter.from_flat(part.copy(), like)) for part in padded.reshape(-1, size))
        return np.concatenate([*parts, np.zeros(0)])[: values.size]

    def shortest_steps(self, block: int, indices: NDArray[np.intp], scales: FloatArray) -> FloatArray:
        """Return what `shortest` does, for single coordinates of a selected block, each times its scale; shape (n,)."""
        spacing = 2 * UNIT_ROUNDOFF[self.blocks[block].dtype] * np.abs(self.values[block][indices])
        return spacing / math.sqrt(12) / (REPRESENTED * scales)

    def common_axes(self, block: int) -> list[int | None]:
        """Return, for the leaves of `stacked`, 0 for the one that has a leading axis of many, None for the others."""
        known = [k for k, is_known in enumerate(self._known) if is_known]
        return [0 if k == self.selected[block] else None for k in known]

    def stacked(self, block: int, rows: FloatArray) -> list[Any]:
        """Return the point's leaves, anew, but for those of unknown types; a selected block's stacked from its rows.

        Parameters
        ----------
        block
            Which.
        rows
            Its flat values at each point, shape (K, size). The leaf may share their memory.
        """
        return [
            self.adapter.stacked(rows, leaf) if k == self.selected[block] else self._copied(k, leaf)
            for k, leaf in enumerate(self._leaves)
            if self._known[k]
        ]

    def joined(self, leaves: Sequence[Any]) -> Any:
        """Return the point with these leaves of known types, and its own of others."""
        given = iter(leaves)
        return self._treespec.unflatten(
            [next(given) if self._known[k] else self._copied(k, leaf) for k, leaf in enumerate(self._leaves)]
        )


def _must_be_given(cost: Any, point: Any, claimed: Any) -> None:
    """Refuse what is no cost, no point or no claim."""
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


def _claimed_block(block: Block, leaf: Any) -> FloatArray:
    array, complex_ = _numbers(block.name, leaf)
    if array is None:
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
        raise shape_mismatch(block, shape)
    return array


def _equal(leaf: Any, mine: Any, adapter: Adapter) -> bool:
    if type(leaf) is not type(mine) or getattr(leaf, "shape", ()) != getattr(mine, "shape", ()):
        return False
    try:
        one, two = adapter.flat_view(leaf), adapter.flat_view(mine)
    except (TypeError, ValueError):
        return True  # held constant, of a type that has no values to compare
    return np.array_equal(one, two) or np.array_equal(one, two, equal_nan=True)


def _known_precision(name: str) -> str:
    if name not in UNIT_ROUNDOFF:
        raise UsageError(f"claimed_precision is {name!r}", remedy=f"Choose one of {', '.join(UNIT_ROUNDOFF)}")
    return name


def _is_known(leaf: Any, adapter: Adapter) -> bool:
    try:
        adapter.describe(leaf)
    except TypeError:
        return False
    return True


def _as_array(values: Sequence[Any]) -> Any:
    try:
        return np.asarray(values)
    except ValueError:  # ragged
        return values


def _numbers(name: str, leaf: Any) -> tuple[FloatArray | None, bool]:
    """Return a claimed block's numbers, flat; None where they are no real numbers, and whether they are complex.

    It is a copy: a cost that computes its gradient along the way may write into the very array that is claimed.
    """
    try:
        adapter = adapter_for([(name, leaf)])
        if adapter.name != "numpy":
            complex_ = adapter.pairs(leaf) is not None
            return (None if complex_ else adapter.to_flat(leaf)), complex_
    except (NotDifferentiable, TypeError, ValueError):
        pass
    try:
        array = np.asarray(leaf)
        if array.dtype.kind not in "fiu":
            return None, array.dtype.kind == "c"
        return np.array(array, dtype=np.float64).reshape(-1), False
    except (TypeError, ValueError, OverflowError):
        return None, False
