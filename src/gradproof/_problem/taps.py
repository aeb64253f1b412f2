"""Intermediate values of a cost as further coordinates: what `tap` marks, and the two costs that displace it.

J(θ, δ) adds δ to the values that are tapped, and ∂J/∂δ at 0 is what back-propagation calls dZ. In the Lagrangian
𝓛(θ, z) = J(θ, z) + Σ λ·f(θ, z) each tapped value z is a coordinate by itself, f what the cost computes for it, and λ the
claimed gradient by it: ∂𝓛/∂z is what the steps of the backward pass that start from the values which z feeds make of
their claimed gradients. It is the claimed one where these steps are right, whatever is wrong elsewhere; so is ∂𝓛/∂θ.
Source: LeCun, A Theoretical Framework for Back-Propagation (1988), section 2.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np

from gradproof._problem.blocks import listed
from gradproof._problem.problem import Problem
from gradproof._words.errors import MutatedInput, NotDifferentiable, ShapeMismatch, TapMismatch, UsageError
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import FloatArray
from gradproof.adapters import adapter_for, kind_of
from gradproof.adapters._containers import Named, flatten

T = TypeVar("T")
Visitor = Callable[[str, Any], Any]
"""Told of each value that is tapped, by name; returns the value with which the cost goes on."""
FED: Final = 1.0e3
"""Roundings of a value above which it has changed because what feeds it has."""

_visitor: ContextVar[Visitor | None] = ContextVar("gradproof tap", default=None)


def tap(name: str, value: T) -> T:
    """Mark an intermediate value in a forward pass, so that a check can tell which step of the backward pass is wrong.

    Parameters
    ----------
    name
        What the value is called in the claimed gradient. In a loop the values are numbered, ``h[0]``, ``h[1]``, …
    value
        A floating-point array, or number.

    Returns
    -------
    Any
        The value itself outside a check; within one a value that may be displaced. Go on with what is returned.

    Examples
    --------
    >>> import numpy as np
    >>> import gradproof
    >>> def cost(p):
    ...     Z = gradproof.tap("Z", p["W"] @ np.array([1.0, 2.0]))
    ...     return float(np.sum(np.tanh(Z) ** 2))
    >>> W = np.array([[0.3, -0.1], [0.2, 0.4]])
    >>> A = np.tanh(W @ np.array([1.0, 2.0]))
    >>> dZ = 2 * A  # times the derivative of tanh, 1 - A**2, which is forgotten
    >>> report = gradproof.check_gradient(cost, {"W": W}, {"W": np.outer(dZ, [1.0, 2.0]), "Z": dZ}, seed=0)
    >>> print(report.step.sentence)
    The gradient by Z is wrong, and Z feeds the cost directly: the mistake is in the step of the backward pass from the cost to Z.
    """
    visit = _visitor.get()
    return value if visit is None else visit(name, value)


@contextmanager
def visiting(visitor: Visitor) -> Iterator[None]:
    """Let a visitor see what is tapped."""
    token = _visitor.set(visitor)
    try:
        yield
    finally:
        _visitor.reset(token)


@dataclass(frozen=True, slots=True)
class Met:
    """A value that was tapped: its name, the name that was given, a copy of the value or what is against it."""

    name: str
    given: str
    value: Any
    shape: tuple[int, ...] = ()
    unfit: str = ""


class Recording:
    """Notes what a cost taps at the point."""

    def __init__(self) -> None:
        self._met: list[Met] = []
        self._sites: dict[str, set[tuple[Any, int]]] = {}
        self._given: list[Any] = []

    def __call__(self, name: str, value: Any) -> Any:
        """Note a value, and return it."""
        caller = sys._getframe(2)  # noqa: SLF001  # of `tap`: the same line again is a loop, another one a mistake
        self._sites.setdefault(name, set()).add((caller.f_code, caller.f_lasti))
        self._given.append(value)
        self._met.append(_described(name, value))
        return value

    def met(self) -> tuple[Met, ...]:
        """Return what was tapped, in order; numbered where a name came again at the same place of the code.

        Raises
        ------
        UsageError
            Where a name is no string, or stands at two places; MutatedInput where a value was written in place.
        """
        for name, sites in self._sites.items():
            if not isinstance(name, str) or not name:
                raise UsageError(f"the name is {kind_of(name)}", where="tap(name, value)", remedy="Give a string")
            if len(sites) > 1:
                raise UsageError(
                    "two calls of tap have the same name",
                    where=name,
                    meaning="An intermediate value is known by its name; only a loop, which comes to the same call again, numbers them",
                    remedy="Give each its own name",
                )
        for met, value in zip(self._met, self._given, strict=True):
            if not met.unfit and not _same(met.value, value):
                raise MutatedInput(
                    "the value was written in place after it was tapped",
                    where=met.name,
                    meaning="Its gradient would belong to a value that is not there any more",
                    remedy=f"Write {met.name} = {met.name} + … in place of {met.name} += …, or tap it after the last change",
                )
        counts, seen = Counter(met.given for met in self._met), Counter[str]()
        numbered = []
        for met in self._met:
            numbered.append(replace(met, name=f"{met.given}[{seen[met.given]}]") if counts[met.given] > 1 else met)
            seen[met.given] += 1
        return tuple(numbered)


def _described(name: str, value: Any) -> Met:
    try:
        adapter = adapter_for([(name, value)])
        shape, _ = adapter.describe(value)
        if isinstance(value, (int, np.integer)):
            return Met(name, name, None, unfit=kind_of(value))
        adapter.flat_view(value)  # a value that is only traced has none
        return Met(name, name, adapter.copy(value), shape)
    except NotDifferentiable as error:
        return Met(name, name, None, unfit=error.seen)
    except TypeError as error:
        return Met(name, name, None, unfit=str(error))
    except Exception:  # whatever a framework has against it
        return Met(name, name, None, unfit=f"{kind_of(value)} that is traced, and has no numbers yet")


def _same(one: Any, two: Any) -> bool:
    adapter = adapter_for([("", one)])
    return np.array_equal(adapter.flat_view(one), adapter.flat_view(two), equal_nan=True)


def claimed_taps(problem: Problem, claimed: Any, met: Sequence[Met]) -> tuple[Met, ...]:
    """Return, of what was tapped, what a gradient is claimed of, under the names of the claim.

    Raises
    ------
    ShapeMismatch
        Where the claim names what is neither a parameter nor tapped; UsageError where it is both.
    NotDifferentiable
        Where such a value is no floating-point number.
    """
    names = set(flatten(claimed, what="claimed gradient")[0])
    once = Counter(tap.given for tap in met)
    # A loop that is gone through once: claimed as a list of one.
    met = [
        replace(tap, name=f"{tap.given}[0]") if once[tap.given] == 1 and f"{tap.given}[0]" in names else tap
        for tap in met
    ]
    parameters = {block.name for block in problem.all_blocks}
    unknown = names - parameters - {tap.name for tap in met}
    if unknown:
        raise ShapeMismatch(
            f"a gradient is claimed of {listed(sorted(unknown))}, which is neither a parameter nor tapped",
            where=min(unknown),
            meaning=f"The parameters are {listed(sorted(parameters))}; the cost taps {listed([tap.name for tap in met])}",
            remedy="Claim these, or mark the value in the cost: value = gradproof.tap(name, value)",
        )
    chosen = []
    for tap in met:
        if tap.name not in names:
            chosen.append(replace(tap, name=""))
            continue
        if tap.name in parameters:
            raise UsageError(
                "a parameter and a tapped value have the same name", where=tap.name, remedy="Tap it by another name"
            )
        if tap.unfit:
            raise NotDifferentiable(
                tap.unfit,
                where=f"tap({tap.given!r}, …)",
                meaning="A gradient is defined for real floating-point values, computed when the cost is called",
                remedy="Tap a floating-point array, outside of what is compiled; or claim no gradient of it",
            )
        chosen.append(tap)
    wanted = {tap.given for tap in chosen if tap.name}  # the others of a loop are counted, too
    return tuple(tap for tap in chosen if tap.given in wanted)


class TappedProblem(Problem):
    """A problem whose point holds tapped values beside the parameters.

    Parameters
    ----------
    problem
        Of the parameters alone.
    claimed
        Their gradients, and those of the tapped values.
    taps
        From `claimed_taps`.
    """

    def __init__(self, problem: Problem, claimed: Any, taps: Sequence[Met]) -> None:
        names, leaves, self._own = flatten(problem.point_copy())
        self._parameters = len(leaves)
        self.parameters = problem
        self.taps = tuple(taps)
        values = {tap.name: tap.value for tap in taps if tap.name}
        super().__init__(
            self.shifted,
            Named({**dict(zip(names, leaves, strict=True)), **values}),
            True if problem.claimed is True else claimed,
            only=[*(block.name for block in problem.blocks), *values],
            has_aux=problem.has_aux,
        )

    def shifted(self, point: Named) -> Any:
        """Return what the cost returns, the tapped values displaced by what the point's differ by from those met."""

        def shift(tap: Met, value: Any) -> Any:
            return value + (point[tap.name] - tap.value)

        return self.visited(point, shift)

    def visited(self, point: Named, visit: Callable[[Met, Any], Any]) -> Any:
        """Call the user's cost; each claimed tap goes on with what `visit` returns for its value.

        Raises
        ------
        TapMismatch
            Where other taps are met than at the point itself.
        """
        given = {tap.given for tap in self.taps}
        expected, seen, apart = iter(self.taps), list[str](), False

        def visitor(name: str, value: Any) -> Any:
            nonlocal apart
            if name not in given:
                return value
            seen.append(name)
            tap = next(expected, None)
            apart = apart or tap is None or tap.given != name or (not tap.unfit and tuple(np.shape(value)) != tap.shape)
            return value if apart or tap is None or not tap.name else visit(tap, value)

        own = self._own.unflatten(list(point.values())[: self._parameters])
        with visiting(visitor):
            answer = self.parameters.cost(own)
        if apart or len(seen) != len(self.taps):
            raise TapMismatch(
                f"{listed([tap.given for tap in self.taps])} at the point itself, {listed(seen)} at another one",
                where="tap",
                meaning="Their number, order or shapes depend on the parameters, so that they are no coordinates",
                remedy="Tap outside of what runs a varying number of times, or claim no gradient of these",
            )
        return answer


class LagrangianProblem(Problem):
    """The Lagrangian of a tapped problem: each step of the backward pass is seen by itself.

    Parameters
    ----------
    tapped
        Of which.
    claimed
        The claimed gradients, one flat array for each of its selected blocks: the multipliers λ.
    """

    def __init__(self, tapped: TappedProblem, claimed: Sequence[FloatArray]) -> None:
        self.tapped = tapped
        self._multipliers = {block.name: g for block, g in zip(tapped.blocks, claimed, strict=True)}
        self._met = {tap.name: tap.value for tap in tapped.taps if tap.name}
        self._tolerated = {
            block.name: FED * UNIT_ROUNDOFF[block.dtype] * float(np.max(np.abs(values), initial=0.0))
            for block, values in zip(tapped.blocks, tapped.values, strict=True)
        }
        self.changed: list[str] = []
        names = [block.name for block in tapped.blocks]
        super().__init__(self.lagrangian, tapped.point_copy(), Named(zip(names, claimed, strict=True)), only=names)

    def lagrangian(self, point: Named) -> float:
        """Return 𝓛, and note which tapped values came out otherwise than at the point (`changed`)."""
        total = 0.0
        self.changed = []

        def cut(tap: Met, value: Any) -> Any:
            nonlocal total
            change = self.adapter.flat_view(value) - self.adapter.flat_view(self._met[tap.name])
            if tap.name in self._multipliers:
                total += float(self._multipliers[tap.name] @ change)
                if np.max(np.abs(change), initial=0.0) > self._tolerated[tap.name]:
                    self.changed.append(tap.name)
            return point[tap.name]

        answer = self.tapped.visited(point, cut)
        for promised in (self.tapped.parameters.claimed is True, self.tapped.parameters.has_aux):
            answer = answer[0] if promised else answer
        value, _ = self.adapter.scalar(answer)
        self.cost_alone = value
        return value + total
