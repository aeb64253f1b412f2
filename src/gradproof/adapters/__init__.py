"""The outside world's arrays: what the library needs to know of a leaf, one file a framework.

Adapters are found by the root module of a leaf's type, over its method resolution order: nothing is imported to
recognise an array, and subclasses are recognised with it. Other packages add theirs by an entry point of the group
``gradproof.adapters``, whose name is that root module and whose value is "module:ADAPTER".
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from gradproof._words.errors import MissingFramework, MixedFrameworks, NotDifferentiable
from gradproof._words.vectors import FloatArray


class Adapter(Protocol):
    """What a framework must answer about its arrays."""

    name: str
    least_batch: int
    """Points from which on a call of `vectorized` is worth setting up."""

    def describe(self, leaf: Any) -> tuple[tuple[int, ...], str]:
        """Return the leaf's shape and the name of its dtype ("float32").

        Raises
        ------
        TypeError
            With a phrase that says what the leaf is, where it is not real floating-point.
        """

    def to_flat(self, leaf: Any) -> FloatArray:
        """Return the leaf's values as a new flat float64 array in C order."""

    def flat_view(self, leaf: Any) -> FloatArray:
        """Return the leaf's values as a flat float64 array in C order, which may share the leaf's memory."""

    def from_flat(self, values: FloatArray, like: Any) -> Any:
        """Return a new leaf of the type, shape and precision of `like` with these values, rounded to its precision.

        The values are given away: the leaf may keep their memory.
        """

    def copy(self, leaf: Any) -> Any:
        """Return a copy that shares no memory with the leaf."""

    def pairs(self, leaf: Any) -> Any | None:
        """Return a complex leaf as a real one with a further axis of two, real and imaginary part; None for others."""

    def from_pairs(self, pairs: Any, like: Any) -> Any:
        """Return what `pairs` took apart: a complex leaf of the type and precision of `like`."""

    def laid_out(self, leaf: Any, layout: str) -> Any:
        """Return equal values in another memory layout: "F" (first axis fastest), "strided" (with gaps) or "expanded".

        An expanded leaf has one number for all entries (stride 0); it is asked for where all entries are equal.
        """

    def vectorized(self, function: Callable[[Any], Any], axes: Any) -> Callable[[Any], Any] | None:
        """Return the function of a point as one of many points at once; None where the framework cannot.

        Parameters
        ----------
        function
            Callable: point → anything.
        axes
            Tree like the point: 0 for a leaf with a leading axis of many, None for one that is common to all.
        """

    def stacked(self, values: FloatArray, like: Any) -> Any:
        """Return leaves like `like`, stacked along a leading axis; `values` has a row for each of them."""

    def scalar(self, value: Any) -> tuple[float, str]:
        """Return what the cost returned as a float, and the name of its dtype.

        Raises
        ------
        TypeError
            With a phrase that says what was returned, where it is not one real number.
        """


def kind_of(value: Any) -> str:
    """Say what a value is, for people: "an array of int64 of shape (3,)", "a str ('relu')", "None"."""
    if value is None:
        return "None"
    kind = type(value)
    name = (
        kind.__qualname__
        if kind.__module__ in {"builtins", "numpy", "__main__"}
        else NAMES.get(kind.__qualname__, f"{kind.__module__}.{kind.__qualname__}")
    )
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and shape:
        return f"{_article('array' if name == 'ndarray' else name)} of {dtype} of shape {tuple(shape)}"
    shown = repr(value) if dtype is None else str(value)
    if isinstance(value, (dict, list, tuple, set)) or len(shown) > LONGEST_SHOWN or " at 0x" in shown:
        return _article(name)
    return f"{_article(name if dtype is None or name != 'ndarray' else f'0-d array of {dtype}')} ({shown})"


NAMES: Final = {"ArrayImpl": "jax.Array"}
"""Types whose users know them by another name."""
LONGEST_SHOWN: Final = 40
"""Characters up to which an error message shows a value."""


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"


MODULES: Final = {
    "builtins": "gradproof.adapters._numpy",
    "numpy": "gradproof.adapters._numpy",
    "torch": "gradproof.adapters._torch",
    "jax": "gradproof.adapters._jax",
    "jaxlib": "gradproof.adapters._jax",
}
"""Root module of a leaf's type → module of its adapter."""
GROUP: Final = "gradproof.adapters"
"""Of the entry points by which other packages add adapters."""


def adapter_for(leaves: Sequence[tuple[str, Any]]) -> Adapter:
    """Find the one adapter for all leaves.

    Parameters
    ----------
    leaves
        Pairs of a block's name and its leaf.

    Returns
    -------
    Adapter

    Raises
    ------
    NotDifferentiable
        Where no adapter knows the type of a leaf.
    MixedFrameworks
        Where two leaves belong to two frameworks.
    MissingFramework
        Where the adapter, or its framework, cannot be imported.
    """
    if len(leaves) == 1 and (known := _adapters.get(type(leaves[0][1]))) is not None:
        return known
    found: dict[str, str] = {}
    for name, leaf in leaves:
        module = _module_for(type(leaf))
        if module is None:
            raise NotDifferentiable(
                kind_of(leaf),
                where=name,
                meaning="It is neither a number, nor an array, nor a container that can be taken apart",
                remedy="Give floats, arrays, or dicts, lists, tuples and dataclasses of them; what is held constant may be anything, with exclude=",
            )
        found.setdefault(module, name)
    if len(found) > 1:
        first, second, *_ = found.items()
        raise MixedFrameworks(
            f"blocks of two frameworks: {first[1]} ({_short(first[0])}) and {second[1]} ({_short(second[0])})",
            meaning="One cost is displaced in one framework",
            remedy="Convert them to one",
        )
    (module,) = found or {MODULES["numpy"]: ""}
    where, _, name = module.partition(":")
    try:
        adapter: Adapter = getattr(importlib.import_module(where), name or "ADAPTER")
    except (ImportError, AttributeError) as error:
        raise MissingFramework(str(error), remedy=f"Install what {_short(module)} needs") from error
    if len(leaves) == 1:
        _adapters[type(leaves[0][1])] = adapter
    return adapter


_adapters: Final[dict[type, Adapter]] = {}
"""Adapters of types that were asked for."""


def _module_for(kind: type) -> str | None:
    """Return where the adapter of a type is; other packages are asked only about types that we do not know."""
    roots = [base.__module__.partition(".")[0] for base in kind.__mro__[:-1]]
    known = next((MODULES[root] for root in roots if root in MODULES), None)
    return known or next((_of_others()[root] for root in roots if root in _of_others()), None)


@functools.cache
def _of_others() -> Mapping[str, str]:
    """Return root module → "module:name" of the adapters that installed packages offer."""
    from importlib import metadata  # loaded for types that nothing here knows

    return {entry.name: entry.value.replace(" ", "") for entry in metadata.entry_points(group=GROUP)}


def _short(module: str) -> str:
    """Return an adapter's name, for people."""
    return module.rpartition("._")[2] if module in MODULES.values() else module
