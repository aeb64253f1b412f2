"""NumPy arrays, NumPy scalars and Python numbers."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import FloatArray
from gradproof.adapters import kind_of

_PRECISIONS: Final = ("float64", "float32", "float16")


class NumpyAdapter:
    """The adapter of NumPy and of plain Python."""

    name = "numpy"
    least_batch = 64

    def describe(self, leaf: Any) -> tuple[tuple[int, ...], str]:
        """Return shape and dtype; a Python or NumPy integer number is promoted to float64, an integer array is not."""
        if isinstance(leaf, (bool, np.bool_)):
            raise TypeError(kind_of(leaf))
        if isinstance(leaf, (int, float, np.integer)):
            try:
                float(leaf)
            except OverflowError:
                raise TypeError("a whole number beyond the largest float") from None
            return (), "float64"
        if isinstance(leaf, np.ma.MaskedArray):
            raise TypeError(f"a masked array of {leaf.dtype} of shape {leaf.shape}")
        if isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.name in _PRECISIONS:
            return leaf.shape, leaf.dtype.name
        raise TypeError(kind_of(leaf))

    def to_flat(self, leaf: Any) -> FloatArray:
        """Return the values in float64, C order, as a copy."""
        return np.array(leaf, dtype=np.float64).reshape(-1)

    def flat_view(self, leaf: Any) -> FloatArray:
        """Return the values in float64, C order, without a copy where that is possible."""
        return np.asarray(leaf, dtype=np.float64).reshape(-1)

    def from_flat(self, values: FloatArray, like: Any) -> Any:
        """Return values in the shape, precision and kind of `like`."""
        if isinstance(like, np.ndarray):
            if type(like) is np.ndarray:
                return np.asarray(values, dtype=like.dtype).reshape(like.shape)
            array = like.copy(order="C")  # a subclass keeps what else it knows: units, a header
            array.view(np.ndarray)[...] = values.reshape(like.shape)
            return array
        if isinstance(like, np.floating):
            return like.dtype.type(values[0])
        return float(values[0])

    def copy(self, leaf: Any) -> Any:
        """Return a copy; numbers are immutable and returned as floats of their precision."""
        return leaf.copy(order="C") if isinstance(leaf, np.ndarray) else self.from_flat(self.to_flat(leaf), leaf)

    def pairs(self, leaf: Any) -> Any | None:
        """Return a complex array or number as a real array with a further axis of two."""
        if not (
            isinstance(leaf, (complex, np.complexfloating)) or (isinstance(leaf, np.ndarray) and leaf.dtype.kind == "c")
        ):
            return None
        array = np.ascontiguousarray(leaf).reshape(np.shape(leaf))
        return np.stack([array.real, array.imag], axis=-1)

    def from_pairs(self, pairs: Any, like: Any) -> Any:
        """Return pairs joined, in the precision and kind of `like`."""
        contiguous = np.ascontiguousarray(pairs)
        joined = contiguous.view(np.result_type(contiguous.dtype, np.complex64))[..., 0]
        return joined if isinstance(like, np.ndarray) else type(like)(joined[()])

    def laid_out(self, leaf: Any, layout: str) -> Any:
        """Return an array in another memory layout; what is no plain array as it is."""
        if type(leaf) is not np.ndarray or not leaf.ndim:
            return leaf
        if layout == "F":
            return np.asfortranarray(leaf)
        if layout == "strided":
            wide = np.full((*leaf.shape[:-1], 2 * leaf.shape[-1]), np.nan, dtype=leaf.dtype)
            wide[..., ::2] = leaf
            return wide[..., ::2]
        if layout == "expanded" and leaf.size:
            return np.broadcast_to(leaf.reshape(-1)[:1].copy().reshape((1,) * leaf.ndim), leaf.shape)
        return leaf

    def vectorized(self, function: Callable[[Any], Any], axes: Any) -> Callable[[Any], Any] | None:
        """Return None: a function of NumPy arrays knows nothing of batches."""
        del function, axes
        return None

    def stacked(self, values: FloatArray, like: Any) -> Any:
        """Return an array of one row for each leaf."""
        dtype = like.dtype if isinstance(like, (np.ndarray, np.generic)) else np.float64
        return np.asarray(values, dtype=dtype).reshape(len(values), *np.shape(like))

    def scalar(self, value: Any) -> tuple[float, str]:
        """Return a real number and its dtype."""
        if type(value) is float or type(value) is np.float64:  # as most costs return: no type's name is made
            return float(value), "float64"
        dtype = str(getattr(value, "dtype", "float64")).rpartition(".")[2]
        if isinstance(value, (bool, np.bool_, str, bytes)) or getattr(value, "shape", ()) != ():
            raise TypeError(kind_of(value))
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind not in "fiu":
            raise TypeError(kind_of(value))
        if not isinstance(value, numbers.Real) and (
            isinstance(value, numbers.Complex) or not hasattr(value, "__float__")
        ):
            raise TypeError(kind_of(value))
        try:
            return float(value), dtype if dtype in UNIT_ROUNDOFF else "float64"
        except OverflowError:
            raise TypeError("a whole number beyond the largest float") from None


ADAPTER: Final = NumpyAdapter()
