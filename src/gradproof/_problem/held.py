"""Entries of a point that are NaN or infinite, where the function treats them: held constant, as nobody can displace them.

A composition before the problem is built, as for tangent spaces: the problem's point has zeros there, the function and the
claim are given the entries back, and what is claimed of them is taken as zero, which is how the function depends on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof._problem.blocks import position
from gradproof._problem.leaves import Leaf, look_at
from gradproof._problem.problem import Problem
from gradproof._words.errors import NonFinitePoint
from gradproof.adapters._containers import flatten


class HeldEntries:
    """The entries of a point that are not finite.

    Parameters
    ----------
    point
        As given; real leaves are looked at.
    """

    def __init__(self, point: Any) -> None:
        names, leaves, self._spec = flatten(point)
        known = [look_at(name, leaf) for name, leaf in zip(names, leaves, strict=True)]
        self._given: dict[str, Leaf] = {}
        self.masks: dict[str, NDArray[np.bool_]] = {}
        for leaf in known:
            if leaf.values is not None and leaf.adapter is not None and not np.isfinite(leaf.values).all():
                self.masks[leaf.name] = ~np.isfinite(leaf.values)
                self._given[leaf.name] = leaf
        self.finite = self.zeroed(point)

    @property
    def note(self) -> str:
        """What the report is to say."""
        parts = []
        for name, mask in self.masks.items():
            values, shape = self._given[name].values, np.shape(self._given[name].given)
            first = int(np.flatnonzero(mask)[0])
            assert values is not None  # noqa: S101  # it has a mask
            where = f"{name}{position(first, shape)}" if shape else name
            parts.append(f"{int(mask.sum())} of {mask.size} entries of {name} ({where} is {values[first]})")
        return f"Not finite: {'; '.join(parts)}. They were held constant, and what is claimed of them was not checked."

    def restored(self, point: Any) -> Any:
        """Return a point with these entries as they were."""
        return self._with(point, restore=True)

    def zeroed(self, tree: Any) -> Any:
        """Return a tree like the point with zeros in these entries; what it lacks, it lacks."""
        return self._with(tree, restore=False)

    def _with(self, tree: Any, *, restore: bool) -> Any:
        names, leaves, spec = flatten(tree, none_is_leaf=True)
        made = []
        for name, leaf in zip(names, leaves, strict=True):
            found = look_at(name, leaf) if name in self.masks else None
            if found is None or found.adapter is None or found.values is None:
                made.append(leaf)
                continue
            mask, original = self.masks[name], self._given[name].values
            if found.values.size == mask.size and original is not None:
                found.values[mask] = original[mask] if restore else 0.0
                leaf = found.adapter.from_flat(found.values, leaf)  # noqa: PLW2901
            made.append(leaf)
        return spec.unflatten(made)

    def function(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return the function of a finite point."""
        return lambda point: function(self.restored(point))


class HoldingProblem(Problem):
    """A problem some of whose entries are not finite, and held; refused after all where the function is not finite either."""

    def __init__(self, refusal: NonFinitePoint, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.refusal = refusal


def held_problem(
    refusal: NonFinitePoint, cost: Any, point: Any, claimed: Any, **options: Any
) -> tuple[HoldingProblem, str]:
    """Return a cost's problem with the entries held that are not finite, and the note for its report.

    Raises
    ------
    UsageError
        For everything else that is wrong with it.
    """
    held = HeldEntries(point)

    def gradient(at: Any) -> Any:
        return held.zeroed(claimed(held.restored(at)))

    def both(at: Any) -> Any:
        value, slope, *rest = cost(held.restored(at))
        return (value, held.zeroed(slope), *rest)

    own = both if claimed is True else held.function(cost)
    claim = True if claimed is True else gradient if callable(claimed) else held.zeroed(claimed)
    return HoldingProblem(refusal, own, held.finite, claim, **options), held.note
