"""The parameters of a module: each once, under all of its names; what is frozen, left out, not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gradproof._problem.blocks import choose
from gradproof._words.errors import EmptyProblem, UsageError


class Parameters:
    """The parameters of a module: each once, under all of its names.

    Parameters
    ----------
    module
        Whose.
    only, exclude
        Patterns of names.
    """

    def __init__(
        self, module: torch.nn.Module, only: str | Sequence[str] | None, exclude: str | Sequence[str] | None
    ) -> None:
        aliases: dict[int, list[str]] = {}
        tensors: dict[int, torch.nn.Parameter] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            _refuse_uninitialised(name, parameter)
            aliases.setdefault(id(parameter), []).append(name)
            tensors[id(parameter)] = parameter
        names = [(name, key) for key, own in aliases.items() for name in own]
        chosen = {names[k][1] for k in choose([name for name, _ in names], only, exclude)} if names else set[int]()
        if exclude is not None:  # either name excludes a tied parameter
            kept = set(choose([name for name, _ in names], None, exclude))
            chosen -= {key for k, (_, key) in enumerate(names) if k not in kept}
        trained = [key for key in tensors if tensors[key].requires_grad]
        self.checked = {
            " = ".join(aliases[key]): tensors[key] for key in trained if key in chosen and tensors[key].numel()
        }
        self.frozen = [" = ".join(aliases[key]) for key in tensors if not tensors[key].requires_grad]
        self.left_out = tuple(
            " = ".join(aliases[key]) for key in trained if key not in chosen or not tensors[key].numel()
        )
        if not self.checked:
            raise _nothing_to_check(self, only, exclude)

    def notes(self, unused: Sequence[str]) -> list[str]:
        """Say which parameters are tied, frozen, unused."""
        tied = [name for name in self.checked if " = " in name]
        found = []
        if tied:
            found.append(f"One tensor under several names, counted once: {', '.join(tied)}.")
        if self.frozen:
            found.append(f"Frozen, and so held constant: {listed(self.frozen)}.")
        if unused:
            found.append(
                f"Unused by this cost, as far as autograd knows: {listed(unused)}; their gradient counts as zero."
            )
        return found


def _refuse_uninitialised(name: str, parameter: Any) -> None:
    if isinstance(parameter, torch.nn.UninitializedParameter):
        raise UsageError(
            "it is not initialised yet",
            where=name,
            meaning="A lazy module makes its parameters in its first call",
            remedy="Call the module once before it is checked",
        )


def _nothing_to_check(
    parameters: Parameters, only: str | Sequence[str] | None, exclude: str | Sequence[str] | None
) -> EmptyProblem:
    if parameters.left_out:
        given = " and ".join(f"{k}={v!r}" for k, v in (("only", only), ("exclude", exclude)) if v is not None)
        meaning = f"With {given or 'empty parameters only'} nothing is left of {listed(parameters.left_out)}"
        return EmptyProblem("no parameter is left to check", meaning=meaning, remedy="Give other patterns")
    if parameters.frozen:
        return EmptyProblem(
            "no parameter requires a gradient",
            meaning=f"All are frozen: {listed(parameters.frozen)}",
            remedy="Unfreeze what is to be checked: parameter.requires_grad_(True)",
        )
    return EmptyProblem(
        "the module has no parameter", remedy="Check a function of its inputs with gradproof.torch.check"
    )


def listed(names: Sequence[str]) -> str:
    """Join names for a sentence, the first eight of them."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
