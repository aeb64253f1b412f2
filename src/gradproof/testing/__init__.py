"""For testing gradient checks themselves: wrong gradients on purpose, problems with right ones, adapters' conformance.

Examples
--------
Every mutant of a gradient is wrong in a known way:

>>> import numpy as np
>>> from gradproof.testing import mutants
>>> wrong = list(mutants({"w": np.array([1.0, 2.0, 3.0]), "b": np.array(4.0)}))
>>> wrong[0].name, wrong[0].cause.name, wrong[0].coefficient
('doubled', 'FACTOR', 2.0)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optree

from gradproof._diagnosis.mutations import mutations
from gradproof._words.results import Cause
from gradproof._words.vectors import FloatArray
from gradproof.testing._conformance import check_adapter
from gradproof.testing._gallery import GalleryProblem, gallery

STREAM: Final = 0x6D757461

__all__ = ["GalleryProblem", "Mutant", "check_adapter", "gallery", "mutants"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A gradient that is wrong on purpose.

    Parameters
    ----------
    name
        What was done, for people.
    cause
        What a diagnosis should name.
    blocks
        Paths of the wrong blocks, as Python would write them.
    coefficient
        Of the mistake; NaN where it has none.
    gradient
        The wrong gradient, in the structure of the right one.
    """

    name: str
    cause: Cause
    blocks: tuple[str, ...]
    coefficient: float
    gradient: Any


def mutants(claimed: Any, point: Any = None, seed: int = 0) -> Iterator[Mutant]:
    """Yield wrong gradients made from a right one, in some thirty ways.

    Parameters
    ----------
    claimed
        A right gradient: an array, or nested dicts, lists, tuples or namedtuples of arrays.
    point
        The parameters, in the same structure; without it mistakes that involve them are left out.
    seed
        Chooses blocks, rows and entries.

    Yields
    ------
    Mutant
        Each differs from the right gradient by at least 1e-6 of the norm of its block, and from all the others.
    """
    paths, leaves, spec = optree.tree_flatten_with_path(claimed)
    shaped = [np.asarray(leaf, dtype=np.float64) for leaf in leaves]
    parameters: list[FloatArray] | None = None
    if point is not None:
        parameters = [np.asarray(leaf, dtype=np.float64) for leaf in optree.tree_leaves(point)]
    names = [_name(path) for path in paths]
    for mutation in mutations(shaped, parameters, np.random.default_rng([seed, STREAM])):
        changed = [mutation.blocks.get(block, right) for block, right in enumerate(shaped)]
        yield Mutant(
            name=mutation.name,
            cause=mutation.cause,
            blocks=tuple(names[block] for block in sorted(mutation.blocks)),
            coefficient=mutation.coefficient,
            gradient=optree.tree_unflatten(spec, [np.array(block) for block in changed]),
        )


def _name(path: tuple[Any, ...]) -> str:
    """Write a path as Python would: encoder.layers[0].weight, ['a.b'], `point` for a lone array."""
    text = ""
    for part in path:
        if isinstance(part, str) and part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text or "point"
