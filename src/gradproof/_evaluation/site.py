"""Where the function is called, here or in a worker: a recipe becomes a displaced point, and the point an outcome."""

from __future__ import annotations

import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pickle import loads
from typing import Any, Final

import numpy as np

from gradproof._problem.answers import Answers
from gradproof._problem.problem import OutOfBounds, Problem, Watcher
from gradproof._words.directions import Direction
from gradproof._words.errors import TapMismatch
from gradproof._words.vectors import Components, FloatArray

LARGE: Final = 50_000
"""Coordinates above which a direction is made anew for each displacement: it costs time, and saves a vector."""
KEPT: Final = 4
"""Directions whose arrays are kept, the lines that are looked at again; and problems that a worker keeps."""
MARKED: Final = 64
"""Values of each displaced block, evenly spaced, that go into its mark."""
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call of the function.

    Parameters
    ----------
    values
        F, shape (M,), finite or not; None where there is none.
    error
        Why there is none.
    outside
        The function was not asked: the point lies outside of its bounds.
    trace
        The traceback of what was raised elsewhere, as text.
    mark
        Of the displaced values: equal marks are equal points, whoever displaced them.
    seconds
        That the call took, by the clock where it was made.
    lost
        It is not the function that failed: a worker died, or hung.
    """

    values: FloatArray | None
    error: str = ""
    outside: bool = False
    trace: str = ""
    mark: bytes = b""
    seconds: float = 0.0
    lost: bool = False


class Marker:
    """Watches a displacement, and marks it by a digest of some of its values."""

    def __init__(self, watch: Watcher | None = None) -> None:
        self.watch = watch
        self.digest = blake2b(digest_size=8)

    def __call__(self, block: int, there: FloatArray, old: FloatArray) -> None:
        """See one block displaced."""
        self.digest.update(np.ascontiguousarray(there[:: -(-there.size // MARKED) or 1], dtype="<f8").tobytes())
        if self.watch is not None:
            self.watch(block, there, old)


class Site:
    """Calls the function at displaced points; the source of an engine's values where nothing else is asked for.

    Parameters
    ----------
    problem, answers
        The function and the point; how its answers are read.
    clock
        Seconds, increasing; None where nobody asks how long a call took.
    """

    width = 1
    """Points that are worth asking for ahead."""
    lost = 0
    """Calls of which there is no value, as their workers died or hung."""

    def __init__(self, problem: Problem, answers: Answers, clock: Clock | None = None) -> None:
        self.problem = problem
        self.answers = answers
        self.clock = clock
        self._made: deque[tuple[Direction, Components]] = deque(maxlen=KEPT)

    # -- what an engine asks for -------------------------------------------------------------------------------------

    def base(self, values: FloatArray) -> FloatArray:
        """Take in F(θ) as it was just evaluated; return the one to go by."""
        return values

    def claims(self, blocks: Sequence[FloatArray]) -> None:
        """Take in the gradient that is claimed."""

    def get(self, direction: Direction | None, components: Components, step: float, watch: Watcher | None) -> Outcome:
        """Return the outcome at θ + step · v, at θ itself where there is no direction; the components are given away."""
        del direction
        return self.ask(components, step, watch)

    def ahead(self, direction: Direction, steps: Iterable[float], room: float, *, sure: bool) -> None:
        """Take in what is going to be asked for, or perhaps; no more than there is room for in the budget."""

    # -- here --------------------------------------------------------------------------------------------------------

    def components(self, direction: Direction) -> Components:
        """Return a direction's arrays, kept for the next displacement along it; made anew each time where they are large."""
        for kept, components in tuple(self._made):
            if kept is direction or kept == direction:
                return components
        made = tuple(direction.component(k, block.shape) for k, block in enumerate(self.problem.blocks))
        if self.problem.size <= LARGE:
            self._made.append((direction, made))
        return made

    def displaced(self, components: Components, step: float, watch: Watcher | None) -> Any:
        """Return the displaced point, new memory throughout."""
        if not components:
            return self.problem.point_copy()
        # Made within the call, so that nothing else holds them and their memory can be given away.
        own = self.problem.size > LARGE
        pairs = zip(self.problem.values, components, strict=True)
        return self.problem.displaced(
            [None if component is None else _moved(start, component, step, own=own) for start, component in pairs],
            watch,
        )

    def ask(self, components: Components, step: float, watch: Watcher | None) -> Outcome:
        """Call the function at θ + step · v, at θ where there are no components."""
        with np.errstate(all="ignore"):
            point = self.displaced(components, step, watch)
            started = self.clock() if self.clock else 0.0
            try:
                outcome = Outcome(self.answers.vector(self.problem.cost(point)))
            except TapMismatch:  # the cost is not one function of its coordinates
                raise
            except OutOfBounds as outside:
                return Outcome(None, str(outside), outside=True)
            except Exception as raised:
                outcome = Outcome(
                    None, self.answers.failure(raised), trace=traceback.format_exc() if self.clock else ""
                )
        return replace(outcome, seconds=self.clock() - started) if self.clock else outcome


def _moved(start: FloatArray, component: FloatArray, step: float, *, own: bool) -> FloatArray:
    """Return θ + t v, with one new vector; with none where the direction's component may be overwritten."""
    moved = np.multiply(component, step, out=component if own else None)
    moved += start
    return moved


# -- in a worker ---------------------------------------------------------------------------------------------------------

SITES: OrderedDict[str, Site] = OrderedDict()
"""The problems that this process knows, by key. The checking process knows its own, and so do its threads."""


def call_there(key: str, shipment: bytes | None, direction: Direction | None, step: float) -> Outcome | None:
    """Evaluate in a worker; return None where it does not know the problem, and was not given it."""
    site = SITES.get(key) or (None if shipment is None else unpack(key, shipment))
    if site is None:
        return None
    marker = Marker()
    outcome = site.ask(() if direction is None else site.components(direction), step, marker)
    return replace(outcome, mark=marker.digest.digest())


def unpack(key: str, shipment: bytes) -> Site:
    """Take in a problem that was sent by the checking process, and keep it."""
    cost, point, claimed, only, exclude, has_aux, answers, clock = loads(shipment)  # noqa: S301  # we have sent it
    # What is claimed stays at home; whether a gradient comes back beside the cost is known here, too.
    problem = Problem(cost, point, claimed, only=only, exclude=exclude, has_aux=has_aux)
    SITES[key] = site = Site(problem, answers, clock)
    while len(SITES) > KEPT:
        SITES.popitem(last=False)
    return site


def knows(key: str, shipment: bytes | None) -> str | None:
    """Say whether a worker can take a problem: "" where it knows it, None where it has not got it, else why not."""
    if key in SITES:
        return ""
    if shipment is None:
        return None
    try:
        unpack(key, shipment)
    except Exception:
        return traceback.format_exc()
    return ""
