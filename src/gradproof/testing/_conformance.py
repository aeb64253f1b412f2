"""Whether an adapter keeps the Protocol: ours and other packages' go through the same suite."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import numpy as np

from gradproof._words.precision import UNIT_ROUNDOFF, rounded_to
from gradproof._words.vectors import FloatArray
from gradproof.adapters import Adapter, kind_of

STREAM: Final = 0x636F6E66
ROWS: Final = 3
LAYOUTS: Final = ("F", "strided")


def check_adapter(adapter: Adapter, leaves: Iterable[Any]) -> None:
    """Check that an adapter answers as `gradproof.adapters.Adapter` promises.

    Parameters
    ----------
    adapter
        Of one framework.
    leaves
        Arrays of it: floating-point ones, of all precisions that it knows, with at least one number (shape ``()``) and
        one matrix among them; complex ones, if it has some. They are not written to.

    Raises
    ------
    AssertionError
        With a sentence for each method that misbehaves, and the leaf with which it does.

    Examples
    --------
    >>> import numpy as np
    >>> from gradproof.adapters._numpy import ADAPTER
    >>> check_adapter(ADAPTER, [np.float32(0.5), np.ones((2, 3)), np.array([1j, 2.0])])
    """
    faults = list(_of_names(adapter))
    count = 0
    for leaf in leaves:
        count += 1
        for method in (*METHODS, _of_scalar):
            try:
                found = list(method(adapter, leaf))
            except Exception as error:
                found = [f"{method.__name__.removeprefix('_of_')} raises {type(error).__name__}: {error}"]
            faults += [f"{fault} (with {kind_of(leaf)})" for fault in found]
    if not count:
        faults.append("no leaf was given, so that nothing was checked")
    if faults:
        name = getattr(adapter, "name", type(adapter).__name__)
        listed = "\n".join(f"  - {fault}" for fault in dict.fromkeys(faults))
        raise AssertionError(f"the adapter {name} does not keep the Protocol:\n{listed}")


def _of_names(adapter: Any) -> Iterator[str]:
    if not (isinstance(getattr(adapter, "name", None), str) and adapter.name):
        yield "name is no string"
    public = [name for name in vars(Adapter) if not name.startswith("_") and callable(getattr(Adapter, name))]
    for name in public:
        if not callable(getattr(adapter, name, None)):
            yield f"{name} is missing"
    for name in ("describe", "scalar"):
        method = getattr(adapter, name, None)
        if callable(method) and _raised(functools.partial(method, "text")) is not TypeError:
            yield f"{name} does not raise a TypeError for what is no array of numbers"


def _of_describe(adapter: Adapter, leaf: Any) -> Iterator[str]:
    shape, dtype = _described(adapter, leaf)
    if not isinstance(shape, tuple) or not all(isinstance(n, int) for n in shape):
        yield f"describe returns {shape!r} for a shape, which is no tuple of whole numbers"
    elif math.prod(shape) != adapter.to_flat(_real(adapter, leaf)).size:
        yield f"describe returns the shape {shape}, but to_flat another number of values"
    if dtype not in UNIT_ROUNDOFF:
        yield f"describe returns {dtype!r} for a dtype, which is none of {', '.join(UNIT_ROUNDOFF)}"


def _of_to_flat(adapter: Adapter, leaf: Any) -> Iterator[str]:
    leaf = _real(adapter, leaf)
    flat = adapter.to_flat(leaf)
    if not isinstance(flat, np.ndarray) or flat.dtype != np.float64 or flat.ndim != 1:
        yield "to_flat returns no flat array of float64"
        return
    before = flat.copy()
    if not flat.flags.writeable:
        yield "to_flat returns an array that cannot be written to"
    else:
        flat += 1
        if not np.array_equal(adapter.to_flat(leaf), before):
            yield "to_flat returns the leaf's own memory, not a copy"
    view = adapter.flat_view(leaf)
    if view.dtype != np.float64 or view.ndim != 1 or not np.array_equal(view, before):
        yield "flat_view returns other values than to_flat"
    shape, _ = _described(adapter, leaf)
    if len(shape) > 1 and before.size:
        row = adapter.to_flat(leaf[0])
        if not np.array_equal(row, before[: row.size]):
            yield "to_flat does not return the values in C order"


def _of_from_flat(adapter: Adapter, leaf: Any) -> Iterator[str]:
    leaf = _real(adapter, leaf)
    described = _described(adapter, leaf)
    before = adapter.to_flat(leaf)
    values = before + np.random.default_rng([STREAM]).standard_normal(before.size)
    made = adapter.from_flat(values.copy(), leaf)
    if type(made) is not type(leaf) and described[0]:
        yield f"from_flat returns {kind_of(made)}, which is of another type"
    if _described(adapter, made) != described:
        yield f"from_flat returns a leaf that describes itself as {_described(adapter, made)}, not {described}"
    elif not np.array_equal(adapter.to_flat(made), rounded_to(values, described[1])):
        yield "from_flat does not return the values, rounded to the leaf's precision"
    if not np.array_equal(adapter.to_flat(leaf), before):
        yield "from_flat writes into the leaf that it is given as an example"


def _of_copy(adapter: Adapter, leaf: Any) -> Iterator[str]:
    leaf = _real(adapter, leaf)
    made = adapter.copy(leaf)
    if not np.array_equal(adapter.to_flat(made), adapter.to_flat(leaf)):
        yield "copy returns other values"
    if _described(adapter, made) != _described(adapter, leaf):
        yield "copy returns another shape or precision"
    if _described(adapter, leaf)[0] and (
        made is leaf or np.shares_memory(adapter.flat_view(made), adapter.flat_view(leaf))
    ):
        yield "copy returns the leaf's own memory"


def _of_pairs(adapter: Adapter, leaf: Any) -> Iterator[str]:
    pairs = adapter.pairs(leaf)
    if pairs is None:
        if _raised(lambda: adapter.describe(leaf)):
            yield "pairs returns None for a leaf that describe refuses: a complex one is to become a real one"
        return
    if not _raised(lambda: adapter.describe(leaf)):
        yield "pairs takes a leaf apart that describe calls real"
    shape, _ = _described(adapter, pairs)
    if shape != (*tuple(getattr(leaf, "shape", ())), 2):
        yield f"pairs returns the shape {shape}: two numbers for each one are to come last"
    joined = adapter.from_pairs(pairs, leaf)
    again = adapter.pairs(joined)
    if again is None or not np.array_equal(adapter.to_flat(again), adapter.to_flat(pairs)):
        yield "from_pairs does not return what pairs took apart"
    elif getattr(joined, "dtype", None) != getattr(leaf, "dtype", None):
        yield "from_pairs returns another precision"


def _of_laid_out(adapter: Adapter, leaf: Any) -> Iterator[str]:
    leaf = _real(adapter, leaf)
    constant = adapter.from_flat(np.full(adapter.to_flat(leaf).size, 0.5), leaf)
    for layout, given in [*((layout, leaf) for layout in LAYOUTS), ("expanded", constant)]:
        made = adapter.laid_out(given, layout)
        same = np.array_equal(adapter.to_flat(made), adapter.to_flat(given))
        if not same or _described(adapter, made) != _described(adapter, given):
            yield f'laid_out returns other values for "{layout}"'


def _of_stacked(adapter: Adapter, leaf: Any) -> Iterator[str]:
    leaf = _real(adapter, leaf)
    shape, dtype = _described(adapter, leaf)
    rows = _rows(adapter, leaf)
    made = adapter.stacked(rows.copy(), leaf)
    if _described(adapter, made) != ((ROWS, *shape), dtype):
        yield f"stacked returns {_described(adapter, made)}, not {((ROWS, *shape), dtype)}"
    elif not np.array_equal(adapter.to_flat(made), rounded_to(rows, dtype).reshape(-1)):
        yield "stacked returns other values"


def _of_vectorized(adapter: Adapter, leaf: Any) -> Iterator[str]:
    leaf = _real(adapter, leaf)
    many = adapter.vectorized(lambda point: point[0] * point[1], [0, None])
    if many is None:
        return
    rows = _rows(adapter, leaf)
    found = adapter.to_flat(many([adapter.stacked(rows.copy(), leaf), leaf])).reshape(ROWS, -1)
    for k, row in enumerate(rows):
        alone = adapter.from_flat(row.copy(), leaf) * leaf
        _, dtype = _described(adapter, leaf)
        wanted = adapter.to_flat(alone)
        if np.max(np.abs(found[k] - wanted), initial=0.0) > 4 * UNIT_ROUNDOFF[dtype] * np.max(
            np.abs(wanted), initial=0.0
        ):
            yield "vectorized returns a function with other values than one point after the other"
            return


def _of_scalar(adapter: Adapter, leaf: Any) -> Iterator[str]:
    if adapter.pairs(leaf) is not None:
        if not _raised(lambda: adapter.scalar(leaf)):
            yield "scalar takes a complex leaf"
        return
    shape, dtype = _described(adapter, leaf)
    if shape:
        if _raised(lambda: adapter.scalar(leaf)) is not TypeError:
            yield "scalar does not raise a TypeError for an array"
        return
    value, kind = adapter.scalar(leaf)
    if type(value) is not float or value != adapter.to_flat(leaf)[0] or kind != dtype:
        yield f"scalar returns {(value, kind)}, not {(float(adapter.to_flat(leaf)[0]), dtype)}"


METHODS: Final[tuple[Callable[[Adapter, Any], Iterator[str]], ...]] = (
    _of_describe,
    _of_to_flat,
    _of_from_flat,
    _of_copy,
    _of_pairs,
    _of_laid_out,
    _of_stacked,
    _of_vectorized,
)


def _real(adapter: Adapter, leaf: Any) -> Any:
    pairs = adapter.pairs(leaf)
    return leaf if pairs is None else pairs


def _described(adapter: Adapter, leaf: Any) -> tuple[tuple[int, ...], str]:
    return adapter.describe(_real(adapter, leaf))


def _rows(adapter: Adapter, leaf: Any) -> FloatArray:
    return np.random.default_rng([STREAM]).standard_normal((ROWS, adapter.to_flat(leaf).size))


def _raised(call: Callable[[], Any]) -> type[Exception] | None:
    try:
        call()
    except Exception as error:
        return type(error)
    return None
