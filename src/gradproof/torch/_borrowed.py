"""A module on loan: its parameters take other values for a call, and everything is put back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import torch


class Borrowed:
    """Remembers what a forward pass may change in a module, and puts it back at the end.

    The memory of parameters and buffers is never written: for the time of a call their ``.data`` is another tensor, so
    that whoever holds a reference to the parameter itself sees the displaced values, and nothing is left to undo but to
    put the pointer back.

    Parameters
    ----------
    module
        The user's.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module

    def __enter__(self) -> Self:
        """Remember."""
        modules = list(self.module.modules())
        self._training = [(module, module.training) for module in modules]
        slots: list[Any] = [s for m in modules for s in (m._parameters, m._buffers)]  # noqa: SLF001
        # A buffer may be replaced, or None; those of a script are no dict, and cannot be.
        self._slots = [(own, dict(own)) for own in slots if isinstance(own, dict)]
        self._data = [(b, b.data) for b in self.module.buffers()]
        self._parameters = [(p, p.data, p.grad, p.requires_grad) for p in self.module.parameters()]
        for parameter, _, _, _ in self._parameters:
            parameter.grad = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put everything back."""
        self._put_back()
        for parameter, data, gradient, requires_grad in self._parameters:
            parameter.data = data
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient

    def _put_back(self) -> None:
        for module, training in self._training:
            module.training = training
        for slots, own in self._slots:
            if slots.keys() != own.keys() or any(slots[name] is not tensor for name, tensor in own.items()):
                slots.clear()
                slots.update(own)
        for buffer, data in self._data:
            buffer.data = data

    @contextmanager
    def replaced(self, tensors: Mapping[int, torch.Tensor]) -> Iterator[None]:
        """Put tensors of another precision in the places of parameters and buffers, by identity, for one call.

        The parameters themselves are not touched: with another type under their ``.data`` they would lose what hangs on
        their gradient accumulators (the hooks of distributed training). Tensors that the modules keep of such a call as
        plain attributes (caches) are taken away again.
        """
        kept = [(m, {n: v for n, v in vars(m).items() if isinstance(v, torch.Tensor)}) for m, _ in self._training]
        try:
            for slots, own in self._slots:
                for name, tensor in own.items():
                    if id(tensor) in tensors:
                        slots[name] = tensors[id(tensor)]
            yield
        finally:
            self._put_back()
            for module, attributes in kept:
                for name in [n for n, v in vars(module).items() if isinstance(v, torch.Tensor)]:
                    del module.__dict__[name]
                module.__dict__.update(attributes)

    @contextmanager
    def displaced(self, parameters: Sequence[torch.Tensor], values: Sequence[Any]) -> Iterator[None]:
        """Give parameters other values, and buffers copies of their own, for the time of one call."""
        kept = [parameter.data for parameter in parameters]
        for buffer, data in self._data:
            buffer.data = data.clone()
        try:
            for parameter, value in zip(parameters, values, strict=True):
                parameter.data = value
            yield
        finally:
            for parameter, data in zip(parameters, kept, strict=True):
                parameter.data = data
            self._put_back()
