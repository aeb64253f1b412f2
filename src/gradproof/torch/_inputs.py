"""The inputs of a function: what is checked, what is held constant, and what everything is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from gradproof._words.errors import MixedFrameworks, NotDifferentiable, UsageError
from gradproof.adapters import kind_of
from gradproof.adapters._containers import Named, Spec, below, flatten
from gradproof.adapters._torch import ADAPTER


class Inputs:
    """A function's arguments.

    Parameters
    ----------
    function
        It gives its parameters' names.
    inputs
        A tensor or any other single argument, or a tuple or list of the arguments.

    Raises
    ------
    NotDifferentiable, MixedFrameworks, UsageError
        Where nothing can be checked, each leaf that is to blame named.
    """

    def __init__(self, function: Callable[..., Any], inputs: Any) -> None:
        arguments = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
        if isinstance(inputs, list) and not _takes(function, len(arguments)) and _takes(function, 1):
            arguments = (inputs,)
        self.unpacked_list = inputs if isinstance(inputs, list) and arguments[0] is not inputs else []
        self.argument_names = _names(function, len(arguments))
        names, leaves = self._flatten(self.argument_names, arguments)
        self._leaves = leaves
        self._checked = [k for k, leaf in enumerate(leaves) if _is_checked(names[k], leaf)]
        self.names = tuple(names[k] for k in self._checked)
        if not self._checked:
            raise _nothing_to_check(names, leaves)
        for k, leaf in enumerate(leaves):
            _refuse_foreign(names[k], leaf)
        self.point = Named({names[k]: leaves[k].detach() for k in self._checked})
        self._constants = [k for k, leaf in enumerate(leaves) if k not in self._checked]
        # Every argument is one tensor, and all of them are checked.
        self._plain = len(arguments) == len(self._checked) and all(
            argument is leaf for argument, leaf in zip(arguments, leaves, strict=False)
        )
        self.notes = _notes(names, leaves, self._checked)

    def call(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        """Call the function with these values of what is checked; constants are copies of their own."""
        if self._plain:
            return function(*values)
        leaves = list(self._leaves)
        for k in self._constants:
            if isinstance(leaves[k], torch.Tensor):
                leaves[k] = leaves[k].detach().clone()
        for k, value in zip(self._checked, values, strict=True):
            leaves[k] = value
        return function(*(spec.unflatten(leaves[part]) for part, spec in self._parts))

    def _flatten(self, own: Sequence[str], arguments: Sequence[Any]) -> tuple[list[str], list[Any]]:
        """Return names and leaves of all arguments, and keep how they are put together."""
        names: list[str] = []
        leaves: list[Any] = []
        self._parts: list[tuple[slice, Spec]] = []
        for name, argument in zip(own, arguments, strict=True):
            paths, found, spec = flatten(argument, what=f"input {name}", none_is_leaf=True)
            self._parts.append((slice(len(leaves), len(leaves) + len(found)), spec))
            names += [below(name, path) for path in paths]
            leaves += found
        return names, leaves


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Say whether a function can be called with so many arguments, as far as it tells."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # no signature: a built-in function
        return count > 1
    return True


def _names(function: Callable[..., Any], count: int) -> list[str]:
    """Return the names of the function's parameters; numbers where it does not tell."""
    names = [f"inputs[{k}]" for k in range(count)] if count > 1 else ["input"]
    fixed = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    told = [name for name, parameter in _parameters(function).items() if parameter.kind in fixed]
    names[: len(told)] = told[: len(names)]
    return names


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters by name, of what is behind ``apply`` and ``__call__`` too; none where it does not tell."""
    owner = getattr(function, "__self__", None)
    try:
        if inspect.isclass(owner) and issubclass(owner, torch.autograd.Function):
            found = dict(inspect.signature(owner.forward).parameters)
            if owner.setup_context is torch.autograd.function._SingleLevelFunction.setup_context:  # noqa: SLF001
                found.pop(next(iter(found)), None)  # ctx
            return found
        if isinstance(function, torch.nn.Module):
            return dict(inspect.signature(function.forward).parameters)
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}


def _is_checked(name: str, leaf: Any) -> bool:
    """Say whether a leaf asks for a gradient; refuse one that asks for what cannot be had.

    Raises
    ------
    NotDifferentiable
        For a tensor that requires a gradient and cannot be displaced.
    """
    if not (isinstance(leaf, torch.Tensor) and leaf.requires_grad):
        return False
    try:
        ADAPTER.describe(leaf if not leaf.is_complex() else torch.view_as_real(leaf.detach()))
    except (TypeError, RuntimeError) as error:
        raise NotDifferentiable(
            str(error),
            where=name,
            meaning="Its entries cannot be displaced one by one",
            remedy=f"Give {name}.to_dense(), or its values alone and the indices within the function",
        ) from None
    return True


def _nothing_to_check(names: Sequence[str], leaves: Sequence[Any]) -> UsageError:
    """Say that no input requires a gradient, and why not."""
    tensors = [(n, leaf) for n, leaf in zip(names, leaves, strict=True) if isinstance(leaf, torch.Tensor)]
    floating = [name for name, leaf in tensors if leaf.is_floating_point() or leaf.is_complex()]
    if floating:
        return UsageError(
            "no input requires a gradient",
            where=", ".join(floating[:4]),
            meaning="What does not require one is held constant, so that nothing is left to check",
            remedy=f"Mark what is to be checked: {floating[0]}.requires_grad_()",
        )
    if tensors:
        name, leaf = tensors[0]
        return NotDifferentiable(
            kind_of(leaf),
            where=name,
            meaning="Whole numbers have no derivative; they may be passed beside floating-point inputs, as constants (indices, say)",
            remedy=f"Give at least one floating-point tensor that requires a gradient, for instance {name}.double().requires_grad_()",
        )
    given = ", ".join(f"{name} is {kind_of(leaf)}" for name, leaf in list(zip(names, leaves, strict=True))[:4])
    return UsageError(
        f"no tensor among the inputs{': ' + given if given else ''}",
        meaning="Only tensors that require a gradient are checked",
        remedy="Give tensors, for instance torch.randn(3, dtype=torch.float64, requires_grad=True)",
    )


def _refuse_foreign(name: str, leaf: Any) -> None:
    if isinstance(leaf, torch.Tensor) or "float" not in str(getattr(leaf, "dtype", "")):
        return
    if getattr(leaf, "shape", ()):
        raise MixedFrameworks(
            f"{kind_of(leaf)} among PyTorch's tensors",
            where=name,
            meaning="It would be held constant in silence, although it looks like a parameter",
            remedy=f"Convert it, for instance with torch.as_tensor({name})",
        )


def _notes(names: Sequence[str], leaves: Sequence[Any], checked: Sequence[int]) -> list[str]:
    """Say what is held constant though it could be checked, and which memory layouts could not be kept."""
    found = []
    held = [
        f"{name} ({str(leaf.dtype).removeprefix('torch.')})"
        for k, (name, leaf) in enumerate(zip(names, leaves, strict=True))
        if k not in checked and isinstance(leaf, torch.Tensor)
    ]
    if held:
        found.append(f"Held constant, because no gradient is required of them: {', '.join(held)}.")
    shared = [names[k] for k in checked if ADAPTER.overlaps(leaves[k])]
    if shared:
        found.append(
            f"Entries of {', '.join(shared)} share memory (an expanded view): a contiguous copy was checked, in which each entry has a derivative of its own."
        )
    return found
