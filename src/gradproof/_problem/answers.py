"""How a function's answers are read: a cost's as one number, another function's as named outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from gradproof._problem.blocks import NothingThere
from gradproof._problem.outputs import OutputBlock, Outputs
from gradproof._problem.problem import Problem
from gradproof._words.errors import EmptyProblem, NotScalar
from gradproof._words.vectors import FloatArray
from gradproof.adapters import adapter_for, kind_of
from gradproof.adapters._containers import flatten


class Answers(Protocol):
    """Reads answers; the first one is learnt from."""

    noun: str
    """What the user calls the function."""
    where: str
    """How its call reads."""
    all_of_it: str
    """Subject and verb of "… finite"."""
    blocks: tuple[OutputBlock, ...]
    notes: list[str]
    """What was not as usual in the answers."""
    learns: bool
    """No answer can be read before the first one."""

    def learn(self, answer: Any) -> tuple[FloatArray, Any]:
        """Return the first answer as a vector, shape (M,), and the gradient that came with it, else None."""

    def vector(self, answer: Any) -> FloatArray:
        """Return an answer as a vector, shape (M,)."""

    def failure(self, raised: Exception) -> str:
        """Say what went wrong with a displaced evaluation."""

    def name_of(self, row: int) -> str:
        """Name a component."""

    def leaves(self, answer: Any) -> Any:
        """Return what `rows` wants of an answer that a framework makes of many points at once."""

    def rows(self, answer: Any, points: int) -> FloatArray | None:
        """Return many answers, shape (points, M); None where they are not of the kind that was learnt."""


class OneNumber:
    """A cost's answers: J, or what it promises beside it.

    Parameters
    ----------
    problem
        Knows what the cost promises.
    """

    noun, where, all_of_it, learns = "cost", "cost(point)", "the cost is", False

    def __init__(self, problem: Problem) -> None:
        # Not the problem itself: these cross to workers, and what is claimed need not.
        self.adapter, self.has_aux, self.has_gradient = problem.adapter, problem.has_aux, problem.claimed is True
        self.dtype = "float64"
        self.notes: list[str] = []
        self.blocks: tuple[OutputBlock, ...] = (OutputBlock("J", (), "float64", is_complex=False, start=0, stop=1),)

    def learn(self, answer: Any) -> tuple[FloatArray, Any]:
        """Return J and the gradient beside it.

        Raises
        ------
        NotScalar
        """
        try:
            value, gradient = self._take_apart(answer)
        except TypeError as error:
            raise NotScalar(
                f"the cost returns {error}",
                where=self.where,
                meaning="A gradient is checked against one real number",
                remedy=self._instead_of(answer),
            ) from None
        self.blocks = (OutputBlock("J", (), self.dtype, is_complex=False, start=0, stop=1),)
        return np.array([value]), gradient

    def vector(self, answer: Any) -> FloatArray:
        """Return J."""
        value, first = self._take_apart(answer)[0], self.blocks[0].dtype
        if self.dtype != first:
            self._note(f"The cost returns {first} at the point, and {self.dtype} at displaced ones.")
        return np.array([value])

    def failure(self, raised: Exception) -> str:
        """Say what went wrong."""
        return f"the cost returns {raised}" if isinstance(raised, Unsuitable) else f"{type(raised).__name__}: {raised}"

    def name_of(self, row: int) -> str:
        """Name the cost."""
        del row
        return "J"

    def leaves(self, answer: Any) -> Any:
        """Return J alone."""
        for promised in (self.has_gradient, self.has_aux):
            answer = _pair(answer, "more was promised")[0] if promised else answer
        return answer

    def rows(self, answer: Any, points: int) -> FloatArray | None:
        """Return the values, shape (points, 1)."""
        if self.adapter.describe(answer) != ((points,), self.dtype):
            return None
        return self.adapter.to_flat(answer).reshape(points, 1)

    def _take_apart(self, answer: Any) -> tuple[float, Any]:
        gradient = None
        if self.has_gradient:
            answer, gradient = _pair(answer, f"claimed=True promises {self._promised}")
        if self.has_aux:
            answer, _ = _pair(answer, f"has_aux=True promises {self._promised}")
        shape = getattr(answer, "shape", ())
        if shape and math.prod(shape) == 1 and hasattr(answer, "reshape"):
            answer = answer.reshape(())
            self._note(f"The cost returns an array of shape {tuple(shape)}; its one number was checked.")
        try:
            value, self.dtype = self.adapter.scalar(answer)
        except TypeError as error:
            raise Unsuitable(str(error)) from None
        return value, gradient

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    @property
    def _promised(self) -> str:
        value = "(J, anything)" if self.has_aux else "J"
        return f"({value}, gradient)" if self.has_gradient else value

    def _instead_of(self, answer: Any) -> str:
        """Say what a cost should return instead."""
        if answer is None:
            return "Does the cost lack a return statement?"
        if self._promised != "J":
            return f"Return {self._promised}, J being one real number"
        if isinstance(answer, (tuple, list)) and len(answer) > 1:
            return "Return J alone, or say has_aux=True where the cost returns (J, anything) and claimed=True where it returns (J, gradient)"
        shape = getattr(answer, "shape", ())
        if isinstance(answer, complex) or getattr(getattr(answer, "dtype", None), "kind", "") == "c":
            return "Return its real part, or the square of its absolute value, whichever is meant"
        return "Return one real number, for instance a sum or a mean" if shape else "Return one real number"


class NamedOutputs:
    """Another function's answers: arrays in nested containers, as named outputs.

    Parameters
    ----------
    lone
        Name of a lone output.
    """

    noun, where, all_of_it, learns = "function", "function(point)", "all outputs are", True

    def __init__(self, lone: str) -> None:
        self.lone = lone
        self.notes: list[str] = []
        self.outputs: Outputs
        self.blocks: tuple[OutputBlock, ...] = ()

    def learn(self, answer: Any) -> tuple[FloatArray, Any]:
        """Learn the structure.

        Raises
        ------
        NotDifferentiable, EmptyProblem
        """
        self.outputs = Outputs(answer, self.where, lone=self.lone)
        if self.outputs.size == 0:
            empty = ", ".join(f"{block.name} of shape {block.shape}" for block in self.outputs.blocks[:4])
            raise (NothingThere if empty else EmptyProblem)(
                "the function returns no number",
                where=self.where,
                meaning=f"All that it returns is empty: {empty}" if empty else "",
                remedy="Return at least one floating-point number",
            )
        self.blocks = self.outputs.blocks
        return self.outputs.vector(answer, self.where), None

    def vector(self, answer: Any) -> FloatArray:
        """Return the outputs, flat."""
        return self.outputs.vector(answer, self.where)

    def failure(self, raised: Exception) -> str:
        """Say what went wrong."""
        return f"{type(raised).__name__}: {raised}"

    def name_of(self, row: int) -> str:
        """Write a row as Python would: ``output[3, 0]``."""
        return self.outputs.name_of(row)

    def leaves(self, answer: Any) -> Any:
        """Return the leaves by name."""
        names, found, _ = flatten(answer, what="answer", none_is_leaf=True)
        return dict(zip(names, found, strict=True))

    def rows(self, answer: Any, points: int) -> FloatArray | None:
        """Return the outputs flat, shape (points, M)."""
        if len(answer) != len(self.blocks):
            return None
        parts = []
        for block, (name, leaf) in zip(self.blocks, answer.items(), strict=True):
            adapter = adapter_for([(name, leaf)])
            pairs = adapter.pairs(leaf)
            real = leaf if pairs is None else pairs
            wanted = (points, *block.shape), block.dtype
            if (pairs is not None) != block.is_complex or adapter.describe(real) != wanted:
                return None
            parts.append(adapter.to_flat(real).reshape(points, -1))
        return np.concatenate(parts, axis=1)


class Unsuitable(TypeError):  # the sentence's subject; never leaves the library
    """A cost's answer is no number: which."""


def _pair(answer: Any, promise: str) -> Sequence[Any]:
    """Return the first two of what the cost returned.

    Raises
    ------
    Unsuitable
        Where it did not keep its promise.
    """
    if not isinstance(answer, (tuple, list)) or len(answer) < 2:
        raise Unsuitable(f"{kind_of(answer)}, but {promise}")
    return answer[:2]
