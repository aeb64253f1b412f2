"""The function in double precision, at the same values: it judges a derivative that was worked out in a lower one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from gradproof._problem.outputs import REAL_PARTS
from gradproof._words.errors import UsageError
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof.adapters._containers import Named
from gradproof.jax._errors import quoted
from gradproof.jax._functions import Evaluator, fresh
from gradproof.jax._values import difference

LARGEST: Final = 0.05
SAME: Final = 1.0e3
"""The function in double precision is the same one where it differs by no more than so many roundings of its own
precision, and by no more than this share of its largest value: other random numbers are told from rounding."""


class Doubled:
    """A function on NumPy's arrays in double precision, evaluated by JAX with 64 bits enabled.

    Parameters
    ----------
    evaluator
        The function in its own precision, evaluated at the point.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        source = evaluator.source
        self.names, self.out_names, self.leaves = evaluator.names, evaluator.out_names, evaluator.leaves
        self.function: Callable[[Sequence[Any]], list[Any]] = (
            jax.jit(source.__call__) if evaluator.is_compiled else source
        )
        self.donates = source.donates
        self.point = Named(zip(self.names, (in_double(leaf) for leaf in self.leaves), strict=True))

    def __call__(self, point: Named) -> Named:
        """Return the outputs."""
        with jax.enable_x64(True):  # noqa: FBT003  # JAX's own signature
            leaves = self.placed(point)
            return Named(zip(self.out_names, map(in_double, self.function(leaves)), strict=True))

    def placed(self, point: Named) -> list[Any]:
        """Return a point's arrays on the devices of the user's."""
        return [
            jax.device_put(np.asarray(value), leaf.sharding)
            for value, leaf in zip(point.values(), self.leaves, strict=True)
        ]

    def precision(self) -> str:
        """Return the lowest precision that the function computes in, for all that 64 bits are enabled."""
        with jax.enable_x64(True):  # noqa: FBT003  # JAX's own signature
            return lowest_precision(self.function, self.placed(self.point), donates=self.donates)


def in_double(leaf: Any) -> Any:
    """Return an array's values as one of NumPy's, in double precision."""
    array = np.asarray(leaf)
    return array.astype(np.complex128 if np.issubdtype(array.dtype, np.complexfloating) else np.float64)


def lowest_precision(function: Callable[[Sequence[Any]], Any], leaves: Sequence[Any], *, donates: bool) -> str:
    """Return the lowest precision at work between leaves and outputs; that of the leaves where JAX cannot trace it."""
    kinds = {leaf.dtype.name for leaf in leaves}
    if donates:  # what is held constant is made anew in its calls, and would be a tracer
        return max(map(_real, leaves), key=UNIT_ROUNDOFF.__getitem__)
    try:
        kinds |= set(_kinds(jax.make_jaxpr(function)(list(leaves)).jaxpr))
    except Exception:  # it looks at values: what its types say is all that is known
        kinds |= set()
    named = {str(REAL_PARTS.get(kind, kind)) for kind in kinds}
    return max((kind for kind in named if kind in UNIT_ROUNDOFF), key=UNIT_ROUNDOFF.__getitem__)


def _kinds(program: Any) -> Iterator[str]:
    """Yield the types of all results in a program."""
    for equation in program.eqns:
        for parameter in equation.params.values():
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from _kinds(inner)
        for variable in equation.outvars:
            yield getattr(getattr(variable.aval, "dtype", None), "name", "")


def reference_of(evaluator: Evaluator, reference: str | None, notes: list[str]) -> tuple[Doubled | None, str]:
    """Return the function in double precision, and the lowest precision at work in its own; None where that cannot judge.

    Parameters
    ----------
    evaluator
        The function in its own precision.
    reference
        As given: "float64" makes an error of what is a note otherwise.
    notes
        Are added to.

    Raises
    ------
    UsageError
    """
    low = any(UNIT_ROUNDOFF.get(_real(leaf), 0.0) > UNIT_ROUNDOFF["float64"] for leaf in evaluator.leaves)
    if reference is None or evaluator.unsteady or not low:
        return None, "float64"
    precision = lowest_precision(evaluator.function, evaluator.leaves, donates=evaluator.source.donates)
    precision = max([precision, *map(_real, evaluator.values)], key=UNIT_ROUNDOFF.__getitem__)
    try:
        doubled = Doubled(evaluator)
        found = doubled(doubled.point)
        off = max(difference(one, two) for one, two in zip(evaluator.values, found.values(), strict=True))
        why = f"in float64 f has another value (by {off:.1e}, relatively, more than rounding makes)"
        fits = off <= min(SAME * UNIT_ROUNDOFF[precision], LARGEST)
    except Exception as error:  # whatever it has against double precision
        why, fits = f"f cannot be evaluated in float64: {quoted(error)}", False
    if fits:
        own = f"Judged by a reference: f was evaluated in float64 at the same values; what it judges was worked out in {precision}."
        inside = doubled.precision()
        if inside != "float64":
            own += f" Within f something is computed in {inside} all the same (a cast): its rounding is the reference's, too."
        notes.append(own)
        return doubled, precision
    if reference == "float64":
        raise UsageError(
            why,
            where='reference="float64"',
            meaning=f"It cannot judge what was worked out in {precision}",
            remedy=f'Make it run in float64, or give reference="auto": then it is checked in {precision}',
        )
    notes.append(f"Not judged by a reference: {why}. It was checked in its own precision, {precision}.")
    return None, "float64"


def _real(leaf: Any) -> str:
    return str(REAL_PARTS.get(leaf.dtype.name, leaf.dtype.name))


def in_own_precision(
    claim: Callable[[Any, Any], Any], evaluator: Evaluator, like: Sequence[Any]
) -> Callable[[Any, Any], Any]:
    """Return a product that takes its cotangents or tangents, and gives its answers, in double precision.

    Parameters
    ----------
    claim
        Of the point and named values in the precision of `like`.
    evaluator
        Gives the point in its own precision.
    like
        The outputs for cotangents, the leaves for tangents.
    """

    def product(point: Any, given: Named) -> Named:
        del point
        own = Named({name: jnp.asarray(u, dtype=one.dtype) for (name, u), one in zip(given.items(), like, strict=True)})
        there = Named(zip(evaluator.names, fresh(evaluator.leaves), strict=True))
        found = claim(there, own)
        return Named({name: None if g is None else in_double(g) for name, g in found.items()})

    return product
