"""NumPy arrays, NumPy scalars and Python numbers."""

from __future__ import annotations

import numbers
from typing import Any, Final

import numpy as np

from gradproof._directions import FloatArray

_PRECISIONS: Final = ("float64", "float32", "float16")


class NumpyAdapter:
    """The adapter of NumPy and of plain Python."""

    name = "numpy"

    def describe(self, leaf: Any) -> tuple[tuple[int, ...], str]:
        """Return shape and dtype; a Python or NumPy integer number is promoted to float64, an integer array is not."""
        if isinstance(leaf, (bool, np.bool_, str, bytes)):
            raise TypeError(f"a {type(leaf).__name__} ({leaf!r})")
        if isinstance(leaf, (int, float, np.integer)):
            return (), "float64"
        if isinstance(leaf, (np.ndarray, np.generic)):
            if leaf.dtype.name in _PRECISIONS:
                return leaf.shape, leaf.dtype.name
            if leaf.dtype == np.longdouble:
                raise TypeError("an array of extended precision (longdouble), whose displacements need float64")
            raise TypeError(f"an array of {leaf.dtype.name}")
        raise TypeError(f"a {type(leaf).__name__}")

    def to_flat(self, leaf: Any) -> FloatArray:
        """Return the values in float64, C order, as a copy."""
        return np.array(leaf, dtype=np.float64).reshape(-1)

    def flat_view(self, leaf: Any) -> FloatArray:
        """Return the values in float64, C order, without a copy where that is possible."""
        return np.asarray(leaf, dtype=np.float64).reshape(-1)

    def from_flat(self, values: FloatArray, like: Any) -> Any:
        """Return values in the shape, precision and kind of `like`."""
        if isinstance(like, np.ndarray):
            array = np.asarray(values, dtype=like.dtype).reshape(like.shape)
            return array if type(like) is np.ndarray else array.view(type(like))
        if isinstance(like, np.floating):
            return like.dtype.type(values[0])
        return float(values[0])

    def copy(self, leaf: Any) -> Any:
        """Return a copy; numbers are immutable and returned as floats of their precision."""
        return leaf.copy(order="C") if isinstance(leaf, np.ndarray) else self.from_flat(self.to_flat(leaf), leaf)

    def scalar(self, value: Any) -> tuple[float, str]:
        """Return a real number and its dtype."""
        if value is None:
            raise TypeError("None (does the cost lack a return statement?)")
        if isinstance(value, (bool, np.bool_)):
            raise TypeError(f"a boolean ({value})")
        if isinstance(value, (np.ndarray, np.generic)):
            if value.dtype.kind == "c":
                raise TypeError(f"a complex number ({value})" if value.ndim == 0 else f"a complex array {value.shape}")
            if value.ndim > 0:
                raise TypeError(f"an array of shape {value.shape}")
            if value.dtype.kind not in "fiu":
                raise TypeError(f"a value of dtype {value.dtype.name}")
            return float(value), value.dtype.name if value.dtype.name in _PRECISIONS else "float64"
        if isinstance(value, numbers.Real):
            return float(value), "float64"
        if isinstance(value, numbers.Complex):
            raise TypeError(f"a complex number ({value})")
        if isinstance(value, tuple):
            raise TypeError(f"a tuple of {len(value)} values (has_aux=True is for costs that return (J, anything))")
        if hasattr(value, "__float__") and getattr(value, "shape", ()) == ():
            return float(value), "float64"
        raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__}")


ADAPTER: Final = NumpyAdapter()
