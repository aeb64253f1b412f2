"""What JAX claims: products of reverse and forward mode at one point, or what the user gives in their place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp

from gradproof._words.errors import GradproofError, UsageError
from gradproof.adapters._containers import Named
from gradproof.jax._errors import quoted
from gradproof.jax._functions import Arrays, Evaluator, Function, fresh

ENOUGH: Final = 24
"""Products that are made as they are before they are compiled: by then they have taken as long as that does. What
Python does within a rule is seen in these."""
NO_FORWARD: Final = "can't apply forward-mode autodiff (jvp) to a custom_vjp function"
NO_REVERSE: Final = "Reverse-mode differentiation does not work for lax.while_loop"
CALLS: Final = {"rev": "jax.vjp(f, *args)", "fwd": "jax.jvp(f, args, tangents)"}


class ModeMissing(Exception):
    """JAX has no rule for this mode; the other one may be checked."""


class Products:
    """A linear map that is called again and again: compiled after some calls, where that works."""

    def __init__(self, product: Callable[..., Arrays], *constants: Any) -> None:
        self.product = product
        self.constants = constants
        self.calls = 0

    def __call__(self, values: Arrays) -> Arrays:
        """Return the product with a cotangent or a tangent."""
        self.calls += 1
        if self.calls == ENOUGH + 1:
            compiled = jax.jit(self.product)
            try:
                result: Arrays = jax.block_until_ready(compiled(*self.constants, values))
            except Exception:  # a rule that looks at values, say: it runs as it is
                return self.product(*self.constants, values)
            self.product = compiled
            return result
        return self.product(*self.constants, values)


class Derivative:
    """JAX's own product of one mode, by names.

    Parameters
    ----------
    evaluator
        The function, evaluated at the point.
    mode
        "rev" or "fwd".
    what
        How the function is called in messages.

    Raises
    ------
    ModeMissing
        Where JAX says that it cannot differentiate this function in this mode.
    UsageError
        With JAX's own error, for everything else that it has against it.
    """

    def __init__(self, evaluator: Evaluator, mode: str, what: str = "f") -> None:
        self.mode = mode
        self.where = CALLS[mode].replace("(f,", f"({what},")
        self.names = evaluator.names if mode == "rev" else evaluator.out_names
        leaves = fresh(evaluator.leaves)
        function = evaluator.function
        with quoting(self.where):
            if mode == "rev":
                self.values, pull = jax.vjp(function, leaves)
                self.products = Products(lambda pull, u: list(pull(u)[0]), pull)
                one = evaluator.values
            else:
                self.values, _ = jax.jvp(function, (leaves,), ([jnp.zeros_like(leaf) for leaf in leaves],))
                self.products = Products(lambda x, v: list(jax.jvp(function, (fresh(x),), (v,))[1]), evaluator.leaves)
                one = leaves
            self.products([jnp.ones_like(value) for value in one])

    def __call__(self, point: Any, values: Named) -> Named:
        """Return the product, at the point at which it was made."""
        del point
        with quoting(self.where):
            return Named(zip(self.names, self.products(list(values.values())), strict=True))


@contextlib.contextmanager
def quoting(where: str) -> Iterator[None]:
    """Turn JAX's errors into ours, with theirs quoted."""
    try:
        yield
    except GradproofError:
        raise
    except Exception as error:
        text = str(error)
        if NO_FORWARD in text or NO_REVERSE in text:
            raise ModeMissing(quoted(error)) from error
        raise UsageError(
            quoted(error), where=where, meaning="JAX cannot differentiate it", remedy=_remedy(error, text)
        ) from error


def _remedy(error: BaseException, text: str) -> str:
    if "callback" in text:
        return "Give it a derivative of its own, with jax.custom_jvp or jax.custom_vjp"
    if "Custom VJP" in text or "custom_vjp" in text or "bwd" in text:
        return "Let the bwd rule return a tuple of one cotangent for each argument, in its structure, shape and dtype"
    if "Custom JVP" in text or "custom_jvp" in text:
        return "Let the jvp rule return (primal_out, tangent_out), alike in structure, shape and dtype"
    if isinstance(error, jax.errors.UnexpectedTracerError):
        return "Look for an assignment to something outside the function: it keeps a tracer beyond its tracing. Return the value instead"
    if isinstance(error, jax.errors.TracerArrayConversionError):
        return "Look for NumPy's functions within f, and write jax.numpy's"
    return "Call it once by hand with these arguments"


class GivenVjp:
    """The user's product in the place of JAX's: called with the arguments and, last, the cotangent."""

    def __init__(self, claimed: Callable[..., Any], function: Function) -> None:
        self.claimed = claimed
        self.function = function

    def __call__(self, point: Named, cotangents: Named) -> Named:
        """Return it by names."""
        arguments = self.function.arguments
        cotangent = self.function.cotangent(list(cotangents.values()))
        return Named(arguments.by_name(self.claimed(*arguments.rebuilt(list(point.values())), cotangent)))


class GivenGradient:
    """The user's gradient of a function with one real output, as a product with its cotangent."""

    def __init__(self, claimed: Any, function: Function, values: Sequence[Any]) -> None:
        if len(values) != 1 or values[0].shape or jnp.iscomplexobj(values[0]):
            raise UsageError(
                f"claimed is a gradient, but f returns {', '.join(function.out_names)}",
                where="claimed",
                meaning="Only a function with one real number for its output has a gradient",
                remedy="Give a callable claimed(*args, cotangent) that returns Jᵀu",
            )
        self.gradient = function.arguments.by_name(claimed)

    def __call__(self, point: Any, cotangents: Named) -> Named:
        """Return the gradient times the cotangent."""
        del point
        (u,) = cotangents.values()
        return Named({name: None if leaf is None else leaf * u for name, leaf in self.gradient.items()})
