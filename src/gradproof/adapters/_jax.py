"""JAX's arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from gradproof._words.vectors import FloatArray
from gradproof.adapters import kind_of
from gradproof.adapters._containers import flatten
from gradproof.adapters._numpy import ADAPTER as NUMBERS

_PRECISIONS: Final = ("float64", "float32", "float16", "bfloat16")


class JaxAdapter:
    """The adapter of JAX: values on any device; numbers that yield to other precisions (weak types) stay so."""

    name = "jax"
    least_batch = 64

    def describe(self, leaf: Any) -> tuple[tuple[int, ...], str]:
        """Return shape and dtype; tracers, keys and what is not floating-point are refused."""
        if not isinstance(leaf, jax.Array):
            return NUMBERS.describe(leaf)
        if isinstance(leaf, jax.core.Tracer):
            raise TypeError(
                f"a tracer ({type(leaf).__name__} of {leaf.dtype} of shape {leaf.shape}), which has no values"
            )
        if leaf.dtype.name not in _PRECISIONS:
            raise TypeError(kind_of(leaf))
        return tuple(leaf.shape), leaf.dtype.name

    def to_flat(self, leaf: Any) -> FloatArray:
        """Return the values in float64, C order, as a copy."""
        return np.array(self.flat_view(leaf))

    def flat_view(self, leaf: Any) -> FloatArray:
        """Return the values in float64, C order, without a copy where that is possible.

        Raises
        ------
        ValueError
            Where the array is deleted: its buffer was donated.
        """
        if not isinstance(leaf, jax.Array):
            return NUMBERS.flat_view(leaf)
        try:
            return np.asarray(leaf).astype(np.float64, order="C", copy=False).reshape(-1)
        except RuntimeError as error:
            raise ValueError(str(error)) from error

    def from_flat(self, values: FloatArray, like: Any) -> Any:
        """Return an array in the shape, precision and weakness of `like`, on its devices."""
        if not isinstance(like, jax.Array):
            return NUMBERS.from_flat(values, like)
        if like.weak_type and not like.shape:
            return jnp.asarray(float(values[0]))
        return _placed(values.reshape(like.shape), like)

    def copy(self, leaf: Any) -> Any:
        """Return a copy."""
        return jnp.copy(leaf) if isinstance(leaf, jax.Array) else NUMBERS.copy(leaf)

    def pairs(self, leaf: Any) -> Any | None:
        """Return a complex array as a real one with a further axis of two."""
        if not isinstance(leaf, jax.Array):
            return NUMBERS.pairs(leaf)
        return jnp.stack([leaf.real, leaf.imag], axis=-1) if jnp.iscomplexobj(leaf) else None

    def from_pairs(self, pairs: Any, like: Any) -> Any:
        """Return pairs joined; a batch of them under `jax.vmap`, too."""
        if not isinstance(like, jax.Array) and not isinstance(pairs, jax.Array):
            return NUMBERS.from_pairs(pairs, like)
        return jax.lax.complex(pairs[..., 0], pairs[..., 1])

    def laid_out(self, leaf: Any, layout: str) -> Any:
        """Return the leaf as it is: a program does not see how JAX lays its arrays out."""
        del layout
        return leaf

    def vectorized(self, function: Callable[[Any], Any], axes: Any) -> Callable[[Any], Any] | None:
        """Return the function under `jax.vmap`, compiled once for each width; what is no array stays out of the tracing."""
        _, in_axes, spec = flatten(axes, none_is_leaf=True)
        constants: dict[int, Any] = {}

        def of_arrays(arrays: dict[int, Any]) -> Any:
            return function(spec.unflatten([arrays.get(k, constants.get(k)) for k in range(len(in_axes))]))

        compiled = None

        def run(point: Any) -> Any:
            nonlocal compiled
            leaves = dict(enumerate(flatten(point, none_is_leaf=True)[1]))
            arrays = {k: leaf for k, leaf in leaves.items() if isinstance(leaf, jax.Array)}
            if compiled is None:
                constants.update((k, leaf) for k, leaf in leaves.items() if k not in arrays)
                mapped = jax.vmap(of_arrays, in_axes=({k: in_axes[k] for k in arrays},))
                compiled = jax.jit(mapped)
            return compiled(arrays)

        return run

    def stacked(self, values: FloatArray, like: Any) -> Any:
        """Return an array of one row for each leaf."""
        if not isinstance(like, jax.Array):
            return NUMBERS.stacked(values, like)
        rows = np.ascontiguousarray(values).reshape(len(values), *like.shape)
        return _placed(rows, like, sharded=False)

    def scalar(self, value: Any) -> tuple[float, str]:
        """Return a real 0-d array, or a number, and its dtype."""
        if not isinstance(value, jax.Array):
            return NUMBERS.scalar(value)
        if value.ndim or isinstance(value, jax.core.Tracer) or not jnp.issubdtype(value.dtype, jnp.number):
            raise TypeError(kind_of(value))
        if jnp.iscomplexobj(value):
            raise TypeError(kind_of(value))
        return float(value), value.dtype.name if value.dtype.name in _PRECISIONS else "float64"


def _placed(values: Any, like: jax.Array, *, sharded: bool = True) -> jax.Array:
    """Return values in the precision of `like`, where it lies if it was put there on purpose."""
    wide = like.dtype in {jnp.dtype(jnp.float64), jnp.dtype(jnp.complex128)}
    with jax.enable_x64(wide or jnp.result_type(float) == jnp.float64):  # it may have been made where that was enabled
        made: jax.Array = jnp.asarray(values, dtype=like.dtype)
        if like.committed:
            made = jax.device_put(made, like.sharding if sharded else next(iter(like.devices())))
        return made


ADAPTER: Final = JaxAdapter()
