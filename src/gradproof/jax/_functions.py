"""A function of JAX as the numerics see it: from a list of arrays to a list of arrays, both named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradproof._problem.outputs import LONE_OUTPUT
from gradproof._words.errors import CostRaised, NotDifferentiable, ShapeMismatch
from gradproof.adapters import kind_of
from gradproof.adapters._containers import Named
from gradproof.jax._arguments import Arguments, is_inexact, named_leaves, zero_tangent
from gradproof.jax._compilation import DISPATCH, TRACING, pays
from gradproof.jax._errors import quoted
from gradproof.jax._values import alike, difference

Arrays = list[Any]


class Function:
    """A user's function of the checked leaves.

    Parameters
    ----------
    f, arguments
        As given.
    """

    overhead = DISPATCH

    def __init__(self, f: Callable[..., Any], arguments: Arguments) -> None:
        self.f = f
        self.arguments = arguments
        self.names = arguments.names
        self.leaves: Arrays = arguments.leaves
        self.out_names: tuple[str, ...] = ()
        self.left_out: list[str] = []
        self.donates = False
        self.compiled = hasattr(f, "lower") and hasattr(f, "trace")
        self._structure: Any = None
        self._chosen: list[int] = []
        self._out: Arrays = []

    def __call__(self, leaves: Sequence[Any]) -> Arrays:
        """Return the differentiable outputs."""
        if self.donates:
            leaves = fresh(leaves)
        return self.outputs(self.f(*self.arguments.rebuilt(leaves)))

    def outputs(self, answer: Any) -> Arrays:
        """Return an answer's floating-point leaves; the first one settles which.

        Raises
        ------
        NotDifferentiable
            Where there is none.
        ShapeMismatch
            Where another answer is of another structure.
        """
        if self._structure is None:
            self._learn(answer)
        found, structure = jax.tree.flatten(answer)
        if structure != self._structure:
            raise ShapeMismatch(
                f"f returns {structure}, where it returned {self._structure}",
                where="f(*args)",
                meaning="There is nothing to compare some outputs with",
                remedy="Return the same structure at every point",
            )
        return [found[k] if isinstance(found[k], jax.Array) else jnp.asarray(found[k]) for k in self._chosen]

    def _learn(self, answer: Any) -> None:
        names, self._out, _ = named_leaves((answer,), ("",), LONE_OUTPUT)
        names = [f"{LONE_OUTPUT}{name}" if name.startswith("[") else name for name in names]
        self._structure = jax.tree.structure(answer)
        self._chosen = [k for k, leaf in enumerate(self._out) if is_inexact(leaf)]
        if not self._chosen:
            kinds = ", ".join(kind_of(leaf) for leaf in self._out[:3]) or "None"
            self._structure = None
            raise NotDifferentiable(
                f"f returns {kinds}",
                where="f(*args)",
                meaning="That has no derivative: only floating-point outputs do",
                remedy="Return floating-point arrays" if self._out else "Does it lack a return statement?",
            )
        self.out_names = tuple(names[k] for k in self._chosen)
        self.left_out = [
            f"{name} ({getattr(leaf, 'dtype', type(leaf).__name__)})"
            for k, (name, leaf) in enumerate(zip(names, self._out, strict=True))
            if k not in self._chosen
        ]

    def cotangent(self, values: Sequence[Any]) -> Any:
        """Return cotangents in the structure of the function's answer, as `jax.vjp` takes them."""
        leaves = [zero_tangent(leaf) for leaf in self._out]
        for k, value in zip(self._chosen, values, strict=True):
            leaves[k] = value
        return jax.tree.unflatten(self._structure, leaves)


class Second:
    """The derivative of a function as a function itself: (x, u) ↦ Jᵀu, or (x, v) ↦ J v.

    The cotangents (tangents) are parameters like any other, drawn independently of x and of f(x): along those a
    derivative says nothing where they are zero.

    Parameters
    ----------
    function
        From leaves to outputs.
    names, leaves, out_names, outputs
        Its point and its value there.
    mode
        "rev" for the former, "fwd" for the latter.
    seed
        Of the cotangents.
    """

    donates = False
    compiled = False
    overhead = TRACING

    def __init__(
        self,
        function: Callable[[Sequence[Any]], Arrays],
        first: Evaluator,
        mode: str,
        seed: int,
    ) -> None:
        self.function = function
        self.mode = mode
        self.count = len(first.leaves)
        generator = np.random.default_rng([seed, 0x7365636F])
        like, named = (first.values, first.out_names) if mode == "rev" else (first.leaves, first.names)
        what, result = ("cotangent", "gradient") if mode == "rev" else ("tangent", "tangent")
        self.names = (*first.names, *(f"{what} of {name}" for name in named))
        self.leaves = [*first.leaves, *(_normal(generator, leaf) for leaf in like)]
        self.out_names = tuple(f"{result} of {name}" for name in (first.names if mode == "rev" else first.out_names))

    def __call__(self, leaves: Sequence[Any]) -> Arrays:
        """Return the product."""
        x, u = list(leaves[: self.count]), list(leaves[self.count :])
        if self.mode == "rev":
            _, pull = jax.vjp(self.function, x)
            return list(pull(u)[0])
        return list(jax.jvp(self.function, (x,), (u,))[1])


def fresh(leaves: Sequence[Any]) -> Arrays:
    """Return copies: a function may give its arguments' buffers away."""
    return [leaf if isinstance(leaf, jax.core.Tracer) else jnp.copy(leaf) for leaf in leaves]


def _normal(generator: np.random.Generator, like: Any) -> Any:
    values = generator.standard_normal(like.shape)
    if jnp.iscomplexobj(like):
        values = values + 1j * generator.standard_normal(like.shape)
    return jnp.asarray(values, dtype=like.dtype)


class Evaluator:
    """A function evaluated at the point twice, and compiled where that was asked for, or pays.

    Two calls show whether it gives the same value again. What is compiled is compiled once, and evaluated at every
    point of the check. Whether that pays is estimated from its operations, not by a clock: a report can be repeated.

    Parameters
    ----------
    function
        `Function` or `Second`.
    compile_
        True to compile it, False not to, None to do what is faster.

    Raises
    ------
    CostRaised
        Where it cannot be evaluated.
    """

    def __init__(self, function: Function | Second, compile_: bool | None) -> None:
        self.source = function
        self.names: tuple[str, ...] = function.names
        self.leaves: Arrays = function.leaves
        self.function: Callable[[Sequence[Any]], Arrays] = function
        given = fresh(self.leaves)
        self.values: Arrays = self._once(given)
        function.donates = any(leaf.is_deleted() for leaf in given)
        again = self._once(fresh(self.leaves))
        self.out_names: tuple[str, ...] = function.out_names
        self.unsteady = max(difference(one, two) for one, two in zip(self.values, again, strict=True))
        self.is_compiled = False
        self.refusal = ""
        if compile_ or (compile_ is None and not self.unsteady and not function.compiled):
            self._compile(forced=compile_ is True)

    def __call__(self, point: Named) -> Named:
        """Evaluate at a point."""
        return Named(zip(self.out_names, self.function(list(point.values())), strict=True))

    def _once(self, given: Arrays) -> Arrays:
        try:
            values: Arrays = jax.block_until_ready(self.source(given))
        except NotDifferentiable:
            raise
        except Exception as error:
            raise CostRaised(
                quoted(error),
                where="f(*args)",
                meaning="The function cannot be evaluated at the point itself",
                remedy="Call it once by hand with these arguments",
            ) from error
        return values

    def _compile(self, *, forced: bool) -> None:
        """Compile, where it works, gives the same values and (unless it is asked for) pays."""
        compiled = jax.jit(self.source.__call__)
        try:
            if not forced and not pays(compiled.trace(self.leaves).jaxpr.jaxpr, self.source.overhead):
                return
            values = jax.block_until_ready(compiled(self.leaves))
        except Exception as error:  # whatever JAX has against tracing this function: it runs as it is
            self.refusal = quoted(error)
            return
        if not all(alike(one, two) for one, two in zip(self.values, values, strict=True)):
            self.refusal = "compiled, it returns other values"
            return
        self.function, self.values, self.is_compiled = compiled, values, True
