"""PyTorch's tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch

from gradproof._words.vectors import FloatArray
from gradproof.adapters import kind_of
from gradproof.adapters._numpy import ADAPTER as NUMBERS

PRECISIONS: Final = {
    torch.float64: "float64",
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}
"""Types of real numbers, by the names of their precisions."""


class TorchAdapter:
    """The adapter of PyTorch: values on any device, with or without a gradient; subclasses of tensors as tensors."""

    name = "torch"
    least_batch = 32

    def describe(self, leaf: Any) -> tuple[tuple[int, ...], str]:
        """Return shape and dtype; sparse and quantised tensors are refused."""
        if not isinstance(leaf, torch.Tensor):
            return NUMBERS.describe(leaf)
        if leaf.layout != torch.strided:
            raise TypeError(f"a tensor of layout {leaf.layout} of shape {tuple(leaf.shape)}")
        if leaf.is_meta:
            raise TypeError(f"a tensor on the device meta of shape {tuple(leaf.shape)}, which has no values")
        dtype = PRECISIONS.get(leaf.dtype)
        if dtype is None:
            raise TypeError(kind_of(leaf.detach()))
        return tuple(leaf.shape), dtype

    def to_flat(self, leaf: Any) -> FloatArray:
        """Return the values in float64, C order, as a copy."""
        if not isinstance(leaf, torch.Tensor):
            return NUMBERS.to_flat(leaf)
        return np.array(self.flat_view(leaf))

    def flat_view(self, leaf: Any) -> FloatArray:
        """Return the values in float64, C order, without a copy where that is possible."""
        if not isinstance(leaf, torch.Tensor):
            return NUMBERS.flat_view(leaf)
        plain = leaf.detach()
        if plain.layout != torch.strided:
            plain = plain.to_dense()
        if plain._is_zerotensor():  # noqa: SLF001  # what autograd returns for a gradient of zero: it has no memory
            return np.zeros(plain.numel())
        if plain.is_neg() or plain.is_conj():  # such views are lazy: their memory does not hold their values
            plain = plain.resolve_conj().resolve_neg()
        if plain.dtype is not torch.float64 or not plain.is_cpu:
            plain = plain.to(device="cpu", dtype=torch.float64)
        values: FloatArray = plain.contiguous().numpy().reshape(-1)
        return values

    def from_flat(self, values: FloatArray, like: Any) -> Any:
        """Return a tensor in the shape, precision, device and memory layout of `like`."""
        if not isinstance(like, torch.Tensor):
            return NUMBERS.from_flat(values, like)
        made = torch.from_numpy(np.ascontiguousarray(values).reshape(like.shape))
        if like.dtype is not torch.float64 or not like.is_cpu:
            made = made.to(device=like.device, dtype=like.dtype)
        return made if like.is_contiguous() else _with_strides_of(like, made)

    def copy(self, leaf: Any) -> Any:
        """Return a detached copy in the same memory layout."""
        if not isinstance(leaf, torch.Tensor):
            return NUMBERS.copy(leaf)
        plain = leaf.detach()
        if plain.layout != torch.strided or plain.is_contiguous():
            return plain.clone()
        return _with_strides_of(plain, plain)

    def pairs(self, leaf: Any) -> Any | None:
        """Return a complex tensor as a real one with a further axis of two."""
        if not isinstance(leaf, torch.Tensor):
            return NUMBERS.pairs(leaf)
        if not leaf.is_complex():
            return None
        if leaf._is_zerotensor():  # noqa: SLF001
            return torch.zeros((*leaf.shape, 2), dtype=leaf.real.dtype, device=leaf.device)
        return torch.view_as_real(leaf.detach().resolve_conj())

    def from_pairs(self, pairs: Any, like: Any) -> Any:
        """Return pairs joined, in the memory layout of `like`."""
        if not isinstance(like, torch.Tensor):
            return NUMBERS.from_pairs(pairs, like)
        joined = torch.view_as_complex(pairs.contiguous())
        return joined if like.is_contiguous() else _with_strides_of(like, joined)

    def laid_out(self, leaf: Any, layout: str) -> Any:
        """Return a tensor in another memory layout."""
        if not isinstance(leaf, torch.Tensor) or not leaf.ndim or not leaf.numel():
            return leaf
        if layout == "F":
            reverse = tuple(range(leaf.ndim - 1, -1, -1))
            return leaf.permute(reverse).contiguous().permute(reverse)
        if layout == "strided":
            wide = torch.full((*leaf.shape[:-1], 2 * leaf.shape[-1]), math.nan, dtype=leaf.dtype, device=leaf.device)
            wide[..., ::2] = leaf
            return wide[..., ::2]
        if layout == "expanded":
            return leaf.reshape(-1)[:1].clone().reshape((1,) * leaf.ndim).expand(leaf.shape)
        return leaf

    def overlaps(self, leaf: torch.Tensor) -> bool:
        """Say whether two entries share memory: sorted by stride, each axis must step over all the smaller ones."""
        reach = 0
        for stride, size in sorted((s, n) for s, n in zip(leaf.stride(), leaf.shape, strict=True) if n > 1):
            if stride <= reach:
                return True
            reach += stride * (size - 1)
        return False

    def vectorized(self, function: Callable[[Any], Any], axes: Any) -> Callable[[Any], Any] | None:
        """Return the function under `torch.func.vmap`; one that draws random numbers is refused there."""
        mapped = torch.func.vmap(function, in_dims=(axes,))

        def run(point: Any) -> Any:
            with torch.no_grad():
                return mapped(point)

        return run

    def stacked(self, values: FloatArray, like: Any) -> Any:
        """Return a tensor of one row for each leaf."""
        if not isinstance(like, torch.Tensor):
            return NUMBERS.stacked(values, like)
        rows = torch.from_numpy(np.ascontiguousarray(values)).reshape(len(values), *like.shape)
        return rows.to(dtype=like.dtype, device=like.device)

    def scalar(self, value: Any) -> tuple[float, str]:
        """Return a real 0-d tensor, or a number, and its dtype."""
        if not isinstance(value, torch.Tensor):
            return NUMBERS.scalar(value)
        if value.ndim or value.is_complex() or value.dtype == torch.bool or value.is_meta:
            raise TypeError(kind_of(value.detach()))
        return float(value.detach()), PRECISIONS.get(value.dtype, "float64")


def _with_strides_of(like: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return the values in the memory layout of `like`; contiguous where entries of `like` share memory."""
    if ADAPTER.overlaps(like):
        return values.clone(memory_format=torch.contiguous_format)
    made = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=like.device)
    return made.copy_(values)


ADAPTER: Final = TorchAdapter()
