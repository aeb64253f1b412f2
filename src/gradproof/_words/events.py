"""What a check tells its observer while it runs: small frozen records; the method itself never prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from gradproof._words.results import Verdict

Phase: TypeAlias = Literal["noise", "lines", "coordinates", "search", "diagnosis", "remedy"]


@dataclass(frozen=True, slots=True)
class Planned:
    """What lies ahead, known after the first call of the cost.

    Parameters
    ----------
    evaluations
        Cost calls expected where all goes well.
    seconds
        The time that they will take, judged from the first one's; None where it is not known.
    strategy
        As it was resolved.
    """

    evaluations: int
    seconds: float | None
    strategy: str


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Where the check stands.

    Parameters
    ----------
    evaluations
        Cost calls made so far, in all.
    budget
        The most that may be made.
    phase
        What they are made for.
    """

    evaluations: int
    budget: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class Failed:
    """A call of the function came to nothing in a worker, or took the worker with it.

    Parameters
    ----------
    recipe, step
        The displacement.
    error
        Why, in a sentence.
    trace
        The traceback there, as text; "" where the worker itself was lost.
    """

    recipe: str
    step: float
    error: str
    trace: str


@dataclass(frozen=True, slots=True)
class Settled:
    """The check is over."""

    verdict: Verdict


Event: TypeAlias = Planned | Evaluated | Failed | Settled
Observer: TypeAlias = Callable[[Event], None]
