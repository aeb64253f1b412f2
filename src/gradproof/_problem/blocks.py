"""Named blocks: describing and choosing them, and the words in which one is refused."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gradproof._words.errors import EmptyProblem, NonFinitePoint, NotDifferentiable, ShapeMismatch, UnknownName
from gradproof._words.vectors import FloatArray
from gradproof.adapters import Adapter
from gradproof.adapters._containers import LONE_NAME, flatten, unknown_container


class NothingThere(EmptyProblem):  # the sentence's subject; a check turns it into a report
    """Arrays of size 0 are all that there is: whatever is claimed of them is right."""


SHOWN: Final = 6
"""How many names an error message lists."""


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


def describe_block(name: str, leaf: Any, adapter: Adapter) -> Block:
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
    dtype = str(getattr(leaf, "dtype", "")).rpartition(".")[2]  # torch.int64, jax's and NumPy's int64
    cast = "double()" if str(getattr(leaf, "dtype", "")).startswith("torch.") else "astype(float)"
    hold = "" if name == LONE_NAME else f", or hold it constant with exclude={name!r}"
    if isinstance(leaf, np.ma.MaskedArray):
        return "Give its values without the mask, and apply the mask inside the cost"
    if "sparse" in str(getattr(leaf, "layout", "")):
        return f"Give {name}.to_dense(), or its values alone and the indices within the cost{hold}"
    if dtype.startswith("complex") or isinstance(leaf, complex):
        return (
            "Give a complex parameter as a pair of reals, the real and the imaginary part, and join them inside the "
            f"cost: z = re + 1j * im{hold}"
        )
    if dtype.startswith(("float", "longdouble")):
        return f"Of the real types float64, float32 and float16 can be displaced: convert it with {name}.{cast}{hold}"
    if dtype.startswith(("int", "uint", "bool")):
        return f"Convert it, for instance with {name}.{cast}{hold}"
    container = unknown_container(leaf)
    return f"{container or 'Give floating-point numbers'}{hold}"


def describe_constant(name: str, leaf: Any, adapter: Adapter) -> Block:
    """Describe a block that is held constant, or is empty: it may be of any type."""
    try:
        shape, dtype = adapter.describe(leaf)
    except TypeError:
        shape, dtype = tuple(getattr(leaf, "shape", ())), type(leaf).__name__
    return Block(name, shape, dtype)


def choose(names: list[str], only: str | Sequence[str] | None, exclude: str | Sequence[str] | None) -> list[int]:
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
                    meaning=f"The blocks are {listed(names)}",
                    remedy="Give one of these names, or a pattern with * and ?",
                )
            matched |= hits
        chosen = chosen & matched if keep else chosen - matched
    return sorted(chosen)


def _matches(name: str, pattern: str) -> bool:
    """Match a pattern in which brackets stand for themselves, as in ``layers[0].*``; or for fnmatch's sets."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]")) or fnmatch.fnmatchcase(name, pattern)


def nothing_to_check(
    blocks: Sequence[Block], only: str | Sequence[str] | None, exclude: str | Sequence[str] | None
) -> EmptyProblem:
    """Say that nothing is left to check, and why."""
    if not blocks:
        return EmptyProblem(
            "there is no coordinate to check",
            meaning="The point is an empty container",
            remedy="Give a point with at least one floating-point number",
        )
    sizes = listed([f"{block.name} of shape {block.shape}" for block in blocks])
    if only is None and exclude is None:
        return NothingThere(
            "there is no coordinate to check",
            meaning=f"All arrays of the point are empty: {sizes}",
            remedy="Give a point with at least one floating-point number",
        )
    patterns = " and ".join(
        f"{name}={given!r}" for name, given in (("only", only), ("exclude", exclude)) if given is not None
    )
    return EmptyProblem(
        "there is no coordinate to check",
        meaning=f"With {patterns} nothing is left of {sizes}",
        remedy="Give patterns that leave a block that is not empty",
    )


def check_finite(blocks: Sequence[Block], values: Sequence[FloatArray]) -> None:
    """Refuse a point that is not finite, with the place.

    Raises
    ------
    NonFinitePoint
    """
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


def shape_mismatch(block: Block, shape: tuple[int, ...]) -> ShapeMismatch:
    """Say that a claimed block has another shape, and which mistake is likely."""
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


def structure_mismatch(blocks: Sequence[Block], wanted: list[str], claimed: Any, names: list[str]) -> ShapeMismatch:
    """Say which blocks a claim lacks and has too many, and which mistake is likely."""
    missing = [block.name for block in blocks if block.name not in names]
    extra = [name for name in names if name not in wanted]
    lacks = f"The claimed gradient lacks {listed(missing)}" if missing else ""
    has = f"{'it' if missing else 'The claimed gradient'} has {listed(extra)}, which the point has not" if extra else ""
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
    return f"the block{'s' if len(names) > 1 else ''} {listed(names)}"


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
        return f"Leave {listed(extra)} out, or make it part of the point; an intermediate value is marked in the cost by gradproof.tap"
    return "Give the claimed gradient in the point's own structure"


def _names_of_none(claimed: Any) -> list[str]:
    names, leaves, _ = flatten(claimed, what="claimed gradient", none_is_leaf=True)
    return [name for name, leaf in zip(names, leaves, strict=True) if leaf is None]


def listed(names: Sequence[str]) -> str:
    """Join names for a sentence, the first six of them."""
    if not names:
        return "none"
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def must_fit(blocks: Sequence[Block], claimed: Any) -> None:
    """Refuse a claim of another structure or shape where every block is empty."""
    names, leaves, _ = flatten(claimed, what="claimed gradient")
    given = dict(zip(names, leaves, strict=True))
    if not set(given) <= {block.name for block in blocks}:
        raise structure_mismatch((), [block.name for block in blocks], claimed, names)
    for block in blocks:
        if block.name in given and tuple(np.shape(given[block.name])) != block.shape:
            raise shape_mismatch(block, tuple(np.shape(given[block.name])))
