"""What PyTorch claims: products of its own backward pass, and of its forward mode, at one point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch.autograd import forward_ad

from gradproof._problem.outputs import LONE_OUTPUT
from gradproof._words.errors import NotDifferentiable, UsageError
from gradproof.adapters import kind_of
from gradproof.adapters._containers import LONE_NAME, Named, below, flatten
from gradproof.adapters._torch import ADAPTER
from gradproof.torch._randomness import Generators

Function = Callable[[Sequence[Any]], Any]
"""From the values of what is checked to whatever the user's function returns."""
IN_PLACE: Final = "a leaf Variable that requires grad is being used in an in-place operation"
"""What PyTorch says to a function that writes into its arguments."""


class Graph:
    """The function called once with gradients enabled, and the products of its backward pass.

    Parameters
    ----------
    function
        Of the values of what is checked.
    point
        Those values, by name.

    Raises
    ------
    NotDifferentiable
        Where nothing that it returns depends on the inputs, for autograd.
    """

    def __init__(self, function: Function, point: Named) -> None:
        self.names = tuple(point)
        self.leaves = [ADAPTER.copy(leaf).requires_grad_() for leaf in point.values()]
        self.written: list[str] = []
        with torch.enable_grad():
            try:
                answer = self._called(function, self.leaves)
            except RuntimeError as error:
                if not self.written and IN_PLACE not in str(error):
                    raise
                self.leaves = [ADAPTER.copy(leaf).requires_grad_() for leaf in point.values()]
                answer = self._called(function, [_follower(leaf) for leaf in self.leaves])
        self.drawn = Generators()
        """The generators after the call."""
        names, outputs, _ = flatten(answer, what="function's answer", none_is_leaf=True)
        names = [below(LONE_OUTPUT, name) if name == LONE_NAME or name.startswith("[") else name for name in names]
        _refuse_numbers(names, outputs)
        self.chosen = [
            k for k, output in enumerate(outputs) if isinstance(output, torch.Tensor) and output.requires_grad
        ]
        if not self.chosen:
            raise _no_path(names, outputs, self.names)
        self.output_names = tuple(names[k] for k in self.chosen)
        self.outputs = [outputs[k] for k in self.chosen]
        self.left_out = [
            f"{name} ({_why_not(output)})"
            for k, (name, output) in enumerate(zip(names, outputs, strict=True))
            if k not in self.chosen
        ]
        self._reached: set[str] = set()
        self._asked = False

    @property
    def unreached(self) -> list[str]:
        """Names of the inputs to which no output has had a path so far."""
        return [name for name in self.names if self._asked and name not in self._reached]

    def _called(self, function: Function, given: Sequence[torch.Tensor]) -> Any:
        """Call the function, and see what it writes into.

        Raises
        ------
        RuntimeError
            Where that are the leaves themselves: autograd differentiates by what they were before.
        """
        versions = [tensor._version for tensor in given]  # noqa: SLF001  # PyTorch has no other count of writes
        answer = function(given)
        pairs = zip(self.names, given, versions, strict=True)
        self.written = [name for name, tensor, before in pairs if tensor._version != before]  # noqa: SLF001
        if self.written and given is self.leaves:
            raise RuntimeError(IN_PLACE)
        return answer

    def refuses_backward(self) -> bool:
        """Say whether PyTorch has put a node into the graph that raises when it is differentiated.

        That is what ``@once_differentiable`` does; the node has no path to the inputs, so that asking for their
        gradients gives none, without the error.
        """
        waiting, seen = [output.grad_fn for output in self.outputs], set[Any]()
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            if node.name().endswith("Error"):
                return True
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
        return False

    def values(self, answer: Any) -> Named:
        """Return those outputs of another call that are differentiable, by name."""
        _, outputs, _ = flatten(answer, what="function's answer", none_is_leaf=True)
        return Named({name: outputs[k] for name, k in zip(self.output_names, self.chosen, strict=True)})

    def pull(self, cotangents: Named) -> Named:
        """Return Jᵀu by autograd; zeros where autograd knows of no path.

        Outputs whose cotangent is zero are left out, as a cost that does not use them leaves them out: backward passes
        go wrong there, too.
        """
        outputs, given = self.outputs, list(cotangents.values())
        if len(outputs) > 1:
            used = [k for k, cotangent in enumerate(given) if bool(cotangent.any())]
            if used:
                outputs, given = [outputs[k] for k in used], [given[k] for k in used]
        products = torch.autograd.grad(outputs, self.leaves, grad_outputs=given, retain_graph=True, allow_unused=True)
        self._asked = True
        if len(self._reached) < len(self.names):
            self._reached |= {name for name, product in zip(self.names, products, strict=True) if product is not None}
        return Named(
            {
                name: torch.zeros_like(leaf) if product is None else _dense(product)
                for name, leaf, product in zip(self.names, self.leaves, products, strict=True)
            }
        )


def push(function: Function, graph: Graph, tangents: Named) -> Named:
    """Return J v by forward mode.

    Raises
    ------
    NotImplementedError
        Where an operation has no rule for it.
    """
    with torch.no_grad(), forward_ad.dual_level():
        duals = [
            forward_ad.make_dual(leaf.detach(), tangents[name])
            for name, leaf in zip(graph.names, graph.leaves, strict=True)
        ]
        outputs = graph.values(function(duals))
        found = {name: forward_ad.unpack_dual(output) for name, output in outputs.items()}
        return Named({name: torch.zeros_like(p) if t is None else t.clone() for name, (p, t) in found.items()})


def derivative_of(function: Function, graph: Graph) -> tuple[Function, Named]:
    """Return (x, u) ↦ Jᵀu as a function of its own, and a point for it: what the second order is about.

    The cotangents are drawn anew, independent of the inputs and of the outputs: where f(x) = 0 or x = 0 a derivative
    along them would say nothing.
    """
    count = len(graph.leaves)

    def second(values: Sequence[Any]) -> Any:
        with torch.enable_grad():
            inputs = [value if value.requires_grad else value.detach().requires_grad_() for value in values[:count]]
            outputs = list(graph.values(function([_follower(leaf) for leaf in inputs])).values())
            used = [k for k, output in enumerate(outputs) if output.requires_grad]
            products = torch.autograd.grad(
                [outputs[k] for k in used],
                inputs,
                grad_outputs=[values[count + k] for k in used],
                create_graph=True,
                allow_unused=True,
            )
        return Named(
            {f"gradient of {name}": _dense(p) for name, p in zip(graph.names, products, strict=True) if p is not None}
        )

    generator = torch.Generator().manual_seed(0x7365636F)
    cotangents = {
        f"cotangent of {name}": torch.randn(output.shape, dtype=output.dtype, generator=generator).to(output.device)
        for name, output in zip(graph.output_names, graph.outputs, strict=True)
    }
    point = Named({name: leaf.detach() for name, leaf in zip(graph.names, graph.leaves, strict=True)})
    return second, Named({**point, **cotangents})


def _follower(leaf: torch.Tensor) -> torch.Tensor:
    """Return a copy in the same memory layout that autograd follows: a function may write into it."""
    if leaf.is_contiguous() or ADAPTER.overlaps(leaf):
        return leaf.clone()
    made = torch.empty_strided(leaf.shape, leaf.stride(), dtype=leaf.dtype, device=leaf.device)
    return made.copy_(leaf)


def _dense(product: torch.Tensor) -> torch.Tensor:
    return product.to_dense() if product.layout != torch.strided else product


def _refuse_numbers(names: Sequence[str], outputs: Sequence[Any]) -> None:
    for name, output in zip(names, outputs, strict=True):
        if output is None and len(outputs) == 1:
            raise NotDifferentiable(
                "the function returns None",
                where="function(*inputs)",
                meaning="There is nothing to differentiate",
                remedy="Does it lack a return statement?",
            )
        if isinstance(output, float):
            raise NotDifferentiable(
                f"the function returns {kind_of(output)}",
                where=f"function(*inputs), {name}",
                meaning="A Python number has no path back to the inputs",
                remedy="Return the tensor itself, without .item() or float(…)",
            )


def _no_path(names: Sequence[str], outputs: Sequence[Any], inputs: Sequence[str]) -> UsageError:
    path = f"no path from {names[0] if len(names) == 1 else 'the outputs'} to {', '.join(repr(name) for name in inputs[:4])}"
    if not any(isinstance(o, torch.Tensor) and (o.is_floating_point() or o.is_complex()) for o in outputs):
        kinds = ", ".join(
            kind_of(output.detach() if isinstance(output, torch.Tensor) else output) for output in outputs[:3]
        )
        return NotDifferentiable(
            f"the function returns {kinds or 'nothing'}",
            where="function(*inputs)",
            meaning=f"That has no derivative: {path}",
            remedy="Return floating-point tensors",
        )
    return NotDifferentiable(
        path,
        where="function(*inputs)",
        meaning="Autograd records nothing between them: no output requires a gradient",
        remedy="Look for .detach(), .data, .numpy(), .item(), torch.no_grad() or an integer conversion within the function",
    )


def _why_not(output: Any) -> str:
    if not isinstance(output, torch.Tensor):
        return kind_of(output)
    if output.is_floating_point() or output.is_complex():
        return "it does not require a gradient"
    return str(output.dtype).removeprefix("torch.")
