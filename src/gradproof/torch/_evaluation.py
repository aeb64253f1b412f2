"""The function as the numerics see it: values at displaced points, the same as those that autograd has differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import numpy as np
import torch

from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof.adapters._containers import Named
from gradproof.adapters._torch import ADAPTER
from gradproof.torch._autograd import Graph
from gradproof.torch._reference import doubling

SAME: Final = 1.0e3
"""Two values of a function are the same where they differ by no more than so many roundings of the largest."""


class Evaluator:
    """The function as the numerics see it: its differentiable outputs, without a graph where that changes nothing."""

    def __init__(
        self, function: Callable[[Sequence[Any]], Any], graph: Graph, *, claimed_precision: str = "float64"
    ) -> None:
        self.function = function
        self.graph = graph
        self.precision = claimed_precision
        """That of what is claimed of it: where it is lower, the function is evaluated in double precision."""
        self.within: Callable[[], AbstractContextManager[Any]] = (
            nullcontext if claimed_precision == "float64" else doubling
        )
        self.with_gradients = False
        self.compared = claimed_precision != "float64"
        self.notes: list[str] = []
        self.known: Named | None = None

    def doubled(self, precision: str) -> Evaluator:
        """Return the same function in double precision, to judge what was worked out in a lower one."""
        return Evaluator(self.function, self.graph, claimed_precision=precision)

    def evaluated(self, point: Named, *, with_gradients: bool) -> Named:
        """Evaluate at the point itself, once for all."""
        self.with_gradients = with_gradients
        self.known = self.once([ADAPTER.copy(value) for value in point.values()])
        return self.known

    def __call__(self, point: Named) -> Named:
        """Return the outputs at a point."""
        if self.known is not None:
            known, self.known = self.known, None
            return known
        values = list(point.values())
        if self.graph.written:
            values = [ADAPTER.copy(value) for value in values]
        if self.compared:
            return self.once(values)
        self.compared = True
        return self.first(values)

    def once(self, values: Sequence[Any]) -> Named:
        """Evaluate."""
        if self.with_gradients:
            with torch.enable_grad(), self.within():
                tracked = [value.requires_grad_() for value in values]
                return self.graph.values(self.function([value.clone() for value in tracked]))
        with torch.no_grad(), self.within():
            return self.graph.values(self.function(values))

    def first(self, values: Sequence[Any]) -> Named:
        """Evaluate at the point itself, and see that the value is the one that autograd has differentiated."""
        copies = [ADAPTER.copy(value) for value in values]
        try:
            found = self.once(values)
        except Exception:
            self.with_gradients = True  # it differentiates something itself
            return self.once(copies)
        if self.distance(found) == 0:
            return found
        self.with_gradients = True
        again = self.once(copies)
        if self.distance(again) > 0:  # noisy in both ways: that will be measured
            self.with_gradients = False
            return found
        self.notes.append(
            f"The function's value differs with and without gradients enabled (by {self.distance(found):.1e}, relatively): it was evaluated with them, as autograd did."
        )
        return again

    def difference_from_graph(self) -> float:
        """Evaluate at the point itself once more; return by how much it differs from what autograd has seen."""
        return self.distance(self.once([ADAPTER.copy(leaf) for leaf in self.graph.leaves]))

    def distance(self, found: Named) -> float:
        """Return the largest relative distance to the outputs that autograd has differentiated; 0 for roundings."""
        return max((off for off, unit in self.distances(found) if off > SAME * unit), default=0.0)

    def distances(self, found: Named) -> list[tuple[float, float]]:
        """Return the relative distance of each output to what autograd has differentiated, and u of its precision."""
        all_ = []
        for output, value in zip(self.graph.outputs, found.values(), strict=True):
            one, two = _plain(output), _plain(value)
            if one.shape != two.shape or not one.size:
                continue
            if np.array_equal(one, two):
                continue
            both = np.isfinite(one) & np.isfinite(two)
            size = float(np.max(np.abs(one[both]), initial=0.0))
            off = float(np.max(np.abs(one[both] - two[both]), initial=0.0))
            dtype = ADAPTER.describe(
                torch.view_as_real(output.detach().resolve_conj()) if output.is_complex() else output
            )[1]
            all_.append((off / size if size > 0 else off, UNIT_ROUNDOFF[dtype]))
        return all_


def _plain(tensor: torch.Tensor) -> Any:
    pairs = ADAPTER.pairs(tensor)
    return ADAPTER.flat_view(tensor if pairs is None else pairs)
