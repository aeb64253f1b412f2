"""Claims in a tangent space: δ ↦ function(retract(point, δ)) at δ = 0, as a problem like any other.

A point on a manifold (a rotation, a unit vector, a symmetric matrix) cannot be displaced entry by entry. The user's
retraction says how it is displaced by δ, a vector without constraints, and the claim is the derivative by δ. Everything
below is a composition before the problem is built: the method sees a point of zeros, and the scale of the displacements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Final

import numpy as np

from gradproof._problem.leaves import REPRODUCED, look_at, numbers_of, same
from gradproof._problem.problem import Problem
from gradproof._words.errors import GradproofError, MutatedInput, NotDifferentiable, ShapeMismatch, UsageError
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import FloatArray, norm, rms
from gradproof.adapters import kind_of
from gradproof.adapters._containers import LONE_NAME, flatten

Retraction = Callable[[Any, Any], Any]
"""(point, δ) → the displaced point."""
SEEN: Final = (1e-4, 1e-2)
"""Shares of its own size by which a trial displacement is to move the point: seen in single precision, and still linear."""
TRIALS: Final = 80
"""Trial displacements, each ten times the last one or a tenth of it, that look for such a share."""
FRAME: Final = "Symmetry was not tested: a gradient's derivative along a retraction is symmetric in some frames only."


class TangentSpace:
    """The displacements of a point by a retraction; what can be wrong with it is found here, by calls of retract alone.

    Parameters
    ----------
    point
        As given: any container; leaves of unknown types (a pose of a robot's library) are copied and handed on.
    retract
        (point, δ) → the displaced point, in the point's structure; δ = 0 gives the point itself.
    tangent
        δ's shape (a whole number, a tuple of them), or an example of δ in its structure, whose values do not matter;
        None to take it from the claim.
    claimed
        What is claimed, in δ's structure, or a callable of the point that returns it.
    columns
        What is claimed is a matrix, with a column for each number of δ.

    Raises
    ------
    UsageError, ShapeMismatch, MutatedInput
    """

    def __init__(self, point: Any, retract: Retraction, tangent: Any, claimed: Any, *, columns: bool = False) -> None:
        if not callable(retract):
            raise UsageError(
                f"retract is {kind_of(retract)}", remedy="Give a function retract(point, delta) → the displaced point"
            )
        if point is None:
            raise UsageError("point is None", meaning="There is nothing to displace", remedy="Give the point")
        self.point, self.retract = point, retract
        names, leaves, self._spec = flatten(point)
        self.leaves = [look_at(name, leaf) for name, leaf in zip(names, leaves, strict=True)]
        self.origin = self._zeros(self._of_the_claim(claimed, columns=columns) if tangent is None else tangent)
        names, deltas, self._delta_spec = flatten(self.origin, what="tangent")
        self._deltas = [look_at(name, leaf) for name, leaf in zip(names, deltas, strict=True)]
        self.unknown = [leaf.name for leaf in self.leaves if leaf.values is None]
        self._reproduce()
        self.lengths = self._lengths()

    def copied(self) -> Any:
        """Return the point anew, sharing no memory with the user's."""
        return self._spec.unflatten([leaf.copied() for leaf in self.leaves])

    def moved(self, delta: Any) -> Any:
        """Return the point displaced by δ."""
        return self.retract(self.copied(), delta)

    @property
    def arrays(self) -> list[tuple[str, FloatArray]]:
        """The point's leaves of real numbers, by name."""
        known = [leaf for leaf in self.leaves if leaf.values is not None and leaf.adapter is not None]
        return [(leaf.name, leaf.values.reshape(np.shape(leaf.given))) for leaf in known if leaf.values is not None]

    def pulled(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return δ ↦ function(retract(point, δ))."""
        return lambda delta: function(self.moved(delta))

    def claim(self, claimed: Any) -> Any:
        """Return what is claimed as a claim at δ = 0: a callable gets the point."""
        if not callable(claimed) or hasattr(claimed, "matvec"):
            return claimed
        return lambda _, *further: claimed(self.copied(), *further)

    def note(self, noun: str) -> str:
        """Say what was checked, and by how much was displaced."""
        sizes = ", ".join(
            f"{length:.2g}" if name == LONE_NAME else f"{length:.2g} ({name})" for name, length in self.lengths.items()
        )
        text = (
            f"The derivative is that of δ ↦ {noun}(retract(point, δ)) at δ = 0. Zeros have no scale of their own: "
            f"that of the displacements is {sizes}, the rms of a δ that moves the point by its own size."
        )
        if self.unknown:
            text += (
                f" What {', '.join(self.unknown[:3])} holds cannot be seen: that retract(point, 0) returns it was not compared"
                f"{', and the scale is 1' if len(self.unknown) == len(self.leaves) else ''}."
            )
        return text

    # -- δ = 0 -------------------------------------------------------------------------------------------------------

    def _zeros(self, tangent: Any) -> Any:
        """Return δ = 0 in its structure; where that is but a shape, in the point's framework and precision."""
        if isinstance(tangent, (int, np.integer)) and not isinstance(tangent, bool):
            tangent = (int(tangent),)
        if isinstance(tangent, (tuple, list)) and all(isinstance(n, int) and not isinstance(n, bool) for n in tangent):
            return self._array(tuple(tangent))
        names, leaves, spec = flatten(tangent, what="tangent")
        made = []
        for name, leaf in zip(names, leaves, strict=True):
            known = look_at(name, leaf)
            if known.values is None or known.adapter is None:
                raise NotDifferentiable(
                    kind_of(leaf),
                    where=f"tangent, {name}",
                    remedy="Give δ's shape, or an example of δ in floating point",
                )
            made.append(known.adapter.from_flat(np.zeros(known.values.size), leaf))
        return spec.unflatten(made)

    def _array(self, shape: tuple[int, ...]) -> Any:
        """Return zeros of a shape, like the point's first leaf of real numbers."""
        count = math.prod(shape)
        if count <= 0:
            raise UsageError(f"tangent is {shape}", remedy="Give the shape of δ, at least one number")
        like = next((leaf for leaf in self.leaves if leaf.adapter is not None and leaf.values is not None), None)
        if like is None or not hasattr(like.given, "reshape") or like.adapter is None:
            return np.zeros(shape)
        return like.adapter.stacked(np.zeros((count, 1)), like.given.reshape(-1)[0]).reshape(shape)

    def _of_the_claim(self, claimed: Any, *, columns: bool) -> Any:
        """Return the tangent that a claim shows: a gradient itself, or the number of a matrix's columns."""
        if callable(claimed) and not hasattr(claimed, "matvec"):
            try:
                claimed = claimed(self.copied())
            except Exception as error:
                raise UsageError(
                    f"{type(error).__name__}: {error}",
                    where="claimed(point)",
                    meaning="The shape of δ was to be taken from the claim",
                    remedy="Give it by tangent=, or call the claim once by hand",
                ) from error
        if claimed is True or claimed is None:
            raise UsageError(
                "tangent is None",
                meaning="The claim does not show which shape δ has",
                remedy="Give it: tangent=3, tangent=(2, 3), or an example of δ",
            )
        shape = tuple(getattr(claimed, "shape", np.shape(claimed) if columns else ()))
        if columns and len(shape) != 2:
            raise UsageError(
                f"tangent is None, and the claim is {kind_of(claimed)}",
                meaning="Only a matrix of one row an output shows how many numbers δ has",
                remedy="Give δ's shape: tangent=3, tangent=(2, 3), or an example of δ",
            )
        return shape[1] if columns else claimed

    # -- what retract does -------------------------------------------------------------------------------------------

    def _called(self, delta: Any, what: str) -> list[FloatArray | None]:
        """Return the numbers of the leaves of retract(point, δ), with retract watched for what it writes into."""
        given, before = self.copied(), numbers_of(delta)
        try:
            with np.errstate(all="ignore"):
                answer = self.retract(given, delta)
        except GradproofError:
            raise
        except Exception as error:
            shapes = ", ".join(str(tuple(np.shape(leaf.given))) for leaf in self._deltas)
            raise UsageError(
                f"{type(error).__name__}: {error}",
                where=f"retract(point, {what}), δ of shape {shapes}",
                meaning="The point cannot be displaced so; has δ the dimension that retract expects?",
                remedy="Call retract once by hand with this point; give δ's shape by tangent=",
            ) from error
        written = [
            leaf.name
            for leaf, now in zip(self.leaves, numbers_of(given), strict=True)
            if leaf.values is not None and not same(leaf.values, now)
        ]
        if any(was is not None and not same(was, now) for was, now in zip(before, numbers_of(delta), strict=True)):
            written.append("delta")
        if written:
            raise MutatedInput(
                f"it writes into its argument: {', '.join(written)} changed during the call",
                where=f"retract(point, {what})",
                meaning="The next displacement would start elsewhere (your own arrays are untouched)",
                remedy="Let retract return a new point, without changing what it is given",
            )
        names, leaves, _ = flatten(answer)
        wanted = [leaf.name for leaf in self.leaves]
        if names != wanted:
            raise ShapeMismatch(
                f"it returns {', '.join(names[:6]) or 'nothing'}, the point has {', '.join(wanted[:6])}",
                where=f"retract(point, {what})",
                meaning="The displaced point is handed to the function in the place of the point",
                remedy="Return the structure of the point",
            )
        for own, leaf in zip(self.leaves, leaves, strict=True):
            if own.values is not None and np.shape(leaf) != np.shape(own.given):
                raise ShapeMismatch(
                    f"{own.name} comes back with shape {np.shape(leaf)}, in the point it has shape {np.shape(own.given)}",
                    where=f"retract(point, {what})",
                    meaning="The displaced point is handed to the function in the place of the point",
                    remedy="Return the shapes of the point; give δ's own shape by tangent=",
                )
        return [look_at(own.name, leaf).values for own, leaf in zip(self.leaves, leaves, strict=True)]

    def _reproduce(self) -> None:
        """Refuse a retraction that does not return the point at δ = 0."""
        for leaf, found in zip(self.leaves, self._called(self._copied_delta(), "0"), strict=True):
            if leaf.values is None or not leaf.values.size or not np.isfinite(leaf.values).all():
                continue
            off = math.inf if found is None else norm(found - leaf.values)
            u = UNIT_ROUNDOFF.get(leaf.dtype, UNIT_ROUNDOFF["float64"])
            if not off <= REPRODUCED * u * norm(leaf.values):
                size = norm(leaf.values)
                raise UsageError(
                    f"it differs from the point by {off:.2g}, the point is of size {size:.2g}",
                    where=f"retract(point, 0), {leaf.name}",
                    meaning="The claim belongs to the point, and the function would be displaced around another one",
                    remedy="Let retract(point, 0) return the point; where the point lies beside its manifold (a unit vector of length 1.001), normalise it first",
                )

    def _copied_delta(self) -> Any:
        return self._delta_spec.unflatten([leaf.copied() for leaf in self._deltas])

    def _lengths(self) -> dict[str, float]:
        """Return for each block of δ the rms of what moves the point by its own size, as a short trial shows.

        The trial is a random direction; a block of the point that is zero has no size, and is not looked at.
        """
        generator = np.random.default_rng([0x74616E67])
        sizes = [0.0 if leaf.values is None or not leaf.values.size else rms(leaf.values) for leaf in self.leaves]
        fallback = max((size for size in sizes if math.isfinite(size)), default=0.0) or 1.0
        sizes = [size or fallback for size in sizes]
        lengths = {}
        for k, block in enumerate(self._deltas):
            assert block.values is not None  # noqa: S101  # δ consists of numbers
            direction = generator.standard_normal(block.values.size)
            lengths[block.name] = self._length(k, direction / (rms(direction) or 1.0), sizes, fallback)
        if all(math.isinf(length) for length in lengths.values()) and len(self.unknown) < len(self.leaves):
            raise UsageError(
                "it returns the point for every δ that was tried",
                where="retract(point, delta)",
                meaning="Nothing would be displaced",
                remedy="Let retract displace the point by delta",
            )
        return {name: fallback if math.isinf(length) else length for name, length in lengths.items()}

    def _length(self, k: int, direction: FloatArray, sizes: Sequence[float], fallback: float) -> float:
        """Return it for one block; infinite where the point does not move."""
        t, low, high = fallback * SEEN[0], *SEEN
        for _ in range(TRIALS if len(self.unknown) < len(self.leaves) else 0):
            found = self._called(self._delta(k, t * direction), "δ")
            share = 0.0
            for leaf, size, values in zip(self.leaves, sizes, found, strict=True):
                if leaf.values is not None and values is not None and values.size:
                    with np.errstate(all="ignore"):
                        share = max(share, float(rms(np.nan_to_num(values - leaf.values, nan=math.inf)) / size))
            if low <= share <= high:
                return t / share
            t = t * 10 if share < low else t / 10
            if not 0 < t < math.inf:
                break
        return math.inf

    def _delta(self, k: int, values: FloatArray) -> Any:
        """Return a δ of which one block is not zero."""
        leaves = []
        for n, leaf in enumerate(self._deltas):
            assert leaf.adapter is not None  # noqa: S101  # δ consists of numbers
            leaves.append(leaf.adapter.from_flat(values, leaf.given) if n == k else leaf.copied())
        return self._delta_spec.unflatten(leaves)


class Displacements(Problem):
    """A problem whose point is δ = 0.

    Parameters
    ----------
    lengths
        Of δ's blocks, by name: how far they are displaced at first.
    frames
        The arrays, by name, of the point that δ displaces.
    elsewhere
        Makes the problem at another point; None where there is none other.
    **given
        As for `Problem`.
    """

    def __init__(
        self,
        *given: Any,
        lengths: Mapping[str, float],
        frames: Sequence[tuple[str, FloatArray]] = (),
        elsewhere: Callable[[Any], Problem] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*given, **options)
        self.lengths, self.known_frames, self.elsewhere = lengths, frames, elsewhere

    @cached_property
    def sizes(self) -> list[float]:
        """The lengths of the selected blocks, as the retraction gives them: zeros have none of their own."""
        return [self.lengths[block.name] for block in self.blocks]

    @property
    def frames(self) -> list[tuple[str, FloatArray]]:
        """The arrays of the point on its manifold."""
        return list(self.known_frames)

    def at(self, point: Any) -> Problem:
        """Return the same problem at another point of the manifold."""
        return super().at(point) if self.elsewhere is None else self.elsewhere(point)


def tangent_problem(
    cost: Any, point: Any, claimed: Any, *, retract: Retraction, tangent: Any, **options: Any
) -> tuple[Displacements, str]:
    """Return the problem of a cost in the tangent space of a point, and the note for its report.

    Raises
    ------
    UsageError
    """
    if claimed is None:
        Problem(cost, point, claimed)  # says so
    space = TangentSpace(point, retract, tangent, claimed)
    again = partial(_problem_of, cost, claimed, retract, tangent, options)
    return again(point, space), space.note("cost")


def _problem_of(
    cost: Any,
    claimed: Any,
    retract: Retraction,
    tangent: Any,
    options: dict[str, Any],
    point: Any,
    space: TangentSpace | None = None,
) -> Displacements:
    own = TangentSpace(point, retract, tangent, claimed) if space is None else space
    elsewhere = partial(_problem_of, cost, claimed, retract, tangent, options)
    pulled = own.pulled(cost) if callable(cost) else cost
    claim = own.claim(claimed)
    return Displacements(
        pulled, own.origin, claim, lengths=own.lengths, frames=own.arrays, elsewhere=elsewhere, **options
    )


def unclaimed_problem(cost: Any, point: Any, retract: Any, tangent: Any, **options: Any) -> Displacements:
    """Return the problem of a cost of which nothing is claimed.

    Raises
    ------
    UsageError
    """
    if retract is None:
        must_have_retraction(tangent)
    space = TangentSpace(point, retract, tangent, None)
    pulled = space.pulled(cost) if callable(cost) else cost
    return Displacements(pulled, space.origin, space.origin, lengths=space.lengths, **options)


def must_have_retraction(tangent: Any) -> None:
    """Refuse a tangent without a retraction.

    Raises
    ------
    UsageError
    """
    if tangent is not None:
        raise UsageError(
            f"tangent is {kind_of(tangent)}, and there is no retract",
            meaning="A tangent is what retract displaces the point by",
            remedy="Give retract(point, delta), too",
        )
