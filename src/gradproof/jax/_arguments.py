"""The arguments of a function: what is checked, what is held constant, and what everything is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from gradproof._problem.blocks import choose
from gradproof._words.errors import EmptyProblem, NotDifferentiable, UsageError
from gradproof.adapters import kind_of
from gradproof.adapters._containers import LONE_NAME

SHOWN: Final = 8
"""Constants that a note lists."""


class Arguments:
    """A function's arguments, taken apart.

    Parameters
    ----------
    f
        It gives its parameters' names.
    args
        A tuple or list of the arguments; anything else, a namedtuple too, is the only one.
    only, exclude
        Patterns of names to check, or to hold constant.

    Raises
    ------
    NotDifferentiable
        For tracers, deleted arrays, and where nothing can be checked.
    UnknownName, EmptyProblem
        Where a pattern matches nothing, or nothing is left.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        args: Any,
        *,
        only: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
    ) -> None:
        several = isinstance(args, (tuple, list)) and not hasattr(args, "_fields")
        self._given = given = tuple(args) if several else (args,)
        self.parameters = parameter_names(f, len(given))
        self.all_names, self._leaves, self._structure = named_leaves(given, self.parameters)
        if not self._leaves:
            raise EmptyProblem("args holds no leaf", where="args", remedy="Give at least one floating-point array")
        for name, leaf in zip(self.all_names, self._leaves, strict=True):
            refuse_without_values(name, leaf)
        inexact = [k for k, leaf in enumerate(self._leaves) if is_inexact(leaf)]
        if not inexact:
            raise nothing_to_check(self.all_names, self._leaves)
        chosen = set(choose(self.all_names, only, exclude))
        self._checked = [k for k in inexact if k in chosen]
        self.skipped = tuple(self.all_names[k] for k in inexact if k not in chosen)
        if not self._checked:
            raise EmptyProblem(
                "nothing is left to check",
                meaning=f"Of the floating-point leaves {', '.join(self.skipped[:SHOWN])} none was chosen",
                remedy="Give patterns that leave one of them",
            )
        self._constants = {k: _Constant(leaf) for k, leaf in enumerate(self._leaves) if k not in self._checked}
        self.names = tuple(self.all_names[k] for k in self._checked)
        self.leaves = [
            jnp.array(self._leaves[k]) if _is_strong(self._leaves[k]) else jnp.asarray(self._leaves[k])
            for k in self._checked
        ]
        self.notes = self._notes(inexact)

    def rebuilt(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Return the arguments with these values of what is checked; the constants as they were given."""
        leaves: list[Any] = [None] * len(self._leaves)
        for k, constant in self._constants.items():
            leaves[k] = constant.alive()
        for k, value in zip(self._checked, values, strict=True):
            leaves[k] = value
        rebuilt: tuple[Any, ...] = jax.tree.unflatten(self._structure, leaves)
        return rebuilt

    def tangents(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Return a tangent of the arguments: zeros for what is held constant."""
        leaves = [zero_tangent(leaf) for leaf in self._leaves]
        for k, value in zip(self._checked, values, strict=True):
            leaves[k] = value
        rebuilt: tuple[Any, ...] = jax.tree.unflatten(self._structure, leaves)
        return rebuilt

    def by_name(self, answer: Any) -> dict[str, Any]:
        """Return the leaves of an answer in the arguments' structure by name, without those of what is held constant."""
        if len(self.parameters) == 1 and not self._is_tuple_of_one(answer):
            answer = (answer,)
        answer = tuple(answer) if isinstance(answer, (tuple, list)) else (answer,)
        if len(answer) != len(self.parameters):
            raise UsageError(
                f"it returns {len(answer)} gradients, for {len(self.parameters)} arguments",
                where="claimed",
                remedy="Return one for each argument; None for what is held constant",
            )
        names, leaves, _ = named_leaves(answer, self.parameters)
        constants = {self.all_names[k] for k in self._constants}
        return {name: leaf for name, leaf in zip(names, leaves, strict=True) if name not in constants}

    def _is_tuple_of_one(self, answer: Any) -> bool:
        """Say whether an answer is a tuple around that of the only argument, as the function of `jax.vjp` returns it."""
        if not (type(answer) in {tuple, list} and len(answer) == 1):
            return False
        bare = type(self._given[0]) in {tuple, list} and len(self._given[0]) == 1
        return not bare or type(answer[0]) in {tuple, list}

    def _notes(self, inexact: Sequence[int]) -> list[str]:
        """Say what is held constant, and what was rounded."""
        found = []
        held = [f"{self.all_names[k]} ({_short(self._leaves[k])})" for k in self._constants if k not in inexact]
        if held:
            more = f" and {len(held) - SHOWN} more" if len(held) > SHOWN else ""
            found.append(f"Held constant: {', '.join(held[:SHOWN])}{more}.")
        rounded = [
            f"{name} ({self._leaves[k].dtype})"
            for k, name, leaf in zip(self._checked, self.names, self.leaves, strict=True)
            if getattr(self._leaves[k], "dtype", leaf.dtype) != leaf.dtype
        ]
        if rounded:
            found.append(
                f"{', '.join(rounded)}: rounded to 32 bits, as JAX does with NumPy's arrays while jax_enable_x64 is off."
            )
        return found


class _Constant:
    """A leaf that is held constant, and survives its buffer's donation."""

    def __init__(self, leaf: Any) -> None:
        self.leaf = leaf
        self.values: Any = None
        if isinstance(leaf, jax.Array) and not jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
            self.leaf = jnp.copy(leaf)
            self.values = np.array(leaf)

    def alive(self) -> Any:
        """Return it, made anew where its buffer was given away."""
        if self.values is not None and self.leaf.is_deleted():
            self.leaf = jnp.array(self.values)
        return self.leaf


def parameter_names(f: Callable[..., Any], count: int) -> list[str]:
    """Return the names of the first parameters of a function; by number where it does not tell."""
    names: list[str] = []
    kinds = inspect.Parameter
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    for parameter in parameters:
        if parameter.kind in {kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD}:
            names.append(parameter.name)
        elif parameter.kind is kinds.VAR_POSITIONAL:
            names += [f"{parameter.name}[{k}]" for k in range(count - len(names))]
    if not names and count == 1:
        return [""]
    return (names + [f"args[{k}]" for k in range(len(names), count)])[:count]


def named_leaves(
    trees: Sequence[Any], prefixes: Sequence[str], lone: str = LONE_NAME
) -> tuple[list[str], list[Any], Any]:
    """Take pytrees apart; their leaves' names are paths as Python would write them.

    Raises
    ------
    UsageError
        Where JAX cannot take them apart, or two leaves have one name.
    """
    try:
        paths, structure = jax.tree_util.tree_flatten_with_path(tuple(trees))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{type(error).__name__}: {error}", where="args", meaning="JAX cannot take this pytree apart"
        ) from error
    names = [_written(path[1:], prefixes[path[0].idx]) or lone for path, _ in paths]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(
            "two leaves have this name",
            where=twice,
            meaning="A block is known by its name, the path that its container gives",
            remedy="Let the container's flattening give different keys",
        )
    return names, [leaf for _, leaf in paths], structure


def _written(path: Sequence[Any], prefix: str) -> str:
    text = prefix
    for entry in path:
        if isinstance(entry, jax.tree_util.GetAttrKey):
            key: Any = entry.name
        elif isinstance(entry, jax.tree_util.SequenceKey):
            key = entry.idx
        else:
            key = getattr(entry, "key", str(entry))
        if isinstance(key, str) and key.isidentifier():
            text += f".{key}" if text else key
        else:
            text += f"[{key!r}]"
    return text


def is_inexact(leaf: Any) -> bool:
    """Say whether a leaf is made of real or complex floating-point numbers."""
    if isinstance(leaf, (float, complex)):
        return True
    if not isinstance(leaf, (jax.Array, np.ndarray, np.generic)) or isinstance(leaf, np.ma.MaskedArray):
        return False
    return bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def zero_tangent(leaf: Any) -> Any:
    """Return the tangent of a constant: zeros, of dtype float0 for whole numbers, keys and truth values."""
    if is_inexact(leaf):
        return jnp.zeros_like(leaf)
    if isinstance(leaf, (jax.Array, np.ndarray, np.generic, int)):
        return np.zeros(np.shape(leaf), jax.dtypes.float0)
    return None


def refuse_without_values(name: str, leaf: Any) -> None:
    """Refuse a leaf that has no values.

    Raises
    ------
    NotDifferentiable
    """
    if isinstance(leaf, jax.core.Tracer):
        raise NotDifferentiable(
            f"a tracer ({type(leaf).__name__} of {leaf.dtype} of shape {leaf.shape})",
            where=name,
            meaning="The check is called inside a function that JAX is tracing (jit, grad, vmap, scan …), where arrays have no values",
            remedy="Call it outside, on concrete arrays; the function that is checked may use any of these transformations",
        )
    if isinstance(leaf, jax.Array) and leaf.is_deleted():
        raise NotDifferentiable(
            f"a deleted array of {leaf.dtype} of shape {leaf.shape}",
            where=name,
            meaning="Its buffer was donated to an earlier call (donate_argnums), or deleted",
            remedy="Give an array that still has its values, for instance a copy made before that call",
        )


def nothing_to_check(names: Sequence[str], leaves: Sequence[Any]) -> UsageError:
    """Say that there is no floating-point leaf, and what there is."""
    given = ", ".join(f"{name} is {kind_of(leaf)}" for name, leaf in list(zip(names, leaves, strict=True))[:4])
    numbers = any(isinstance(leaf, (int, np.ndarray, np.generic, jax.Array)) for leaf in leaves)
    return NotDifferentiable(
        f"no floating-point leaf among the arguments: {given}",
        meaning="Only those have a derivative; all others are held constant",
        remedy=f"Give at least one array of floats, for instance {names[0]}.astype(float)"
        if numbers
        else "Give arrays, or pytrees of them; a class of your own is one once it is registered, for instance with jax.tree_util.register_dataclass",
    )


def _is_strong(leaf: Any) -> bool:
    """Say whether a number's precision is its own: Python's numbers take on that of what they meet."""
    return not isinstance(leaf, (float, complex)) and not getattr(leaf, "weak_type", False)


def _short(leaf: Any) -> str:
    """Say what a constant is, in two words."""
    dtype = getattr(leaf, "dtype", None)
    if dtype is None:
        return type(leaf).__name__
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return "PRNG key"
    return f"{dtype}{list(leaf.shape) if leaf.shape else ''}"
