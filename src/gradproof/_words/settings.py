"""Settings of a check: the only module that knows default numbers of the public interface."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from gradproof._words.errors import BudgetTooSmall, UsageError

Strategy = Literal["auto", "certificate", "coordinates"]
Convention = Literal["torch", "jax"]
"""Of complex derivatives: g = ∂/∂Re + i ∂/∂Im, or its complex conjugate."""
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""A map-like callable: a function and what to apply it to → the results, in order."""
STRATEGIES: Final[tuple[Strategy, ...]] = ("auto", "certificate", "coordinates")

DEFAULT_CONFIDENCE: Final = 0.999999
DEFAULT_BUDGET: Final = 1000
"""Cost calls for "auto" and "certificate", search and diagnosis included."""
SMALLEST_BUDGET: Final = 12
"""Fewest calls of the cost that can certify anything: seven for the first line, four for a second, one to spare."""
UNLIMITED: Final = 2**62
"""The budget of "coordinates" where none is given."""
EXHAUSTIVE_EVALUATIONS: Final = 256
""""auto" measures every coordinate, too, where 2N is at most this."""
DEFAULT_TOLERANCES: Final = {"float64": 1e-7, "float32": 1e-3, "float16": 1e-2, "bfloat16": 1e-1}
"""Default tolerance on the relative difference, by the lower of the block's and the cost's precision."""
HIGHEST_TOLERANCES: Final = {"float64": 1e-2, "float32": 1e-2, "float16": 2e-1, "bfloat16": 2e-1}
"""How far measured noise may raise a tolerance that was not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user asked for, validated once.

    Parameters
    ----------
    tolerance
        Largest acceptable relative difference D, in (0, 1); None chooses it by precision and noise.
    confidence
        In [0.5, 1): whatever is claimed, a verdict is false with probability 1 − confidence at most, over the directions drawn.
    strategy
        "auto", "certificate" or "coordinates".
    budget
        Hard limit on calls of the cost; None for the strategy's default.
    seed
        Seed of every random direction, a non-negative integer.
    diagnose
        After WRONG, spend evaluations on where the fault is, why, and whether a remedy certifies.
    """

    tolerance: float | None = None
    confidence: float = DEFAULT_CONFIDENCE
    strategy: Strategy = "auto"
    budget: int | None = None
    seed: int = 0
    diagnose: bool = True

    def __post_init__(self) -> None:
        if self.tolerance is not None and not (
            isinstance(self.tolerance, (int, float)) and math.isfinite(self.tolerance) and 0 < self.tolerance < 1
        ):
            raise UsageError(
                f"tolerance is {self.tolerance!r}",
                meaning="It bounds the relative difference ‖grad − gradapprox‖ / (‖grad‖ + ‖gradapprox‖), which lies between 0 and 1",
                remedy="Give a number such as 1e-7, or None to have it chosen by precision and noise",
            )
        if not (isinstance(self.confidence, (int, float)) and 0.5 <= self.confidence < 1):
            raise UsageError(
                f"confidence is {self.confidence!r}",
                meaning="It is 1 less the probability of a false verdict",
                remedy="Give a number in [0.5, 1), such as 0.999999",
            )
        if self.strategy not in STRATEGIES:
            raise UsageError(
                f"strategy is {self.strategy!r}", remedy=f"Choose one of {', '.join(map(repr, STRATEGIES))}"
            )
        if isinstance(self.budget, bool) or not (self.budget is None or isinstance(self.budget, int)):
            raise UsageError(f"budget is {self.budget!r}", remedy="Give a whole number of cost calls, or None")
        if self.budget is not None and self.budget < SMALLEST_BUDGET:
            raise BudgetTooSmall(
                f"budget is {self.budget}",
                meaning=f"A first line takes 7 calls of the cost and a second one 4, so that nothing can be certified with fewer than {SMALLEST_BUDGET}",
                remedy=f"Give at least {SMALLEST_BUDGET}, or None for {DEFAULT_BUDGET}",
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise UsageError(f"seed is {self.seed!r}", remedy="Give a whole number that is not negative, or None")

    @property
    def alpha(self) -> float:
        """1 − confidence: the probability of a wrong verdict that is accepted."""
        return 1.0 - self.confidence

    @property
    def allowance(self) -> int:
        """The budget in calls of the cost: as given, or the strategy's default."""
        if self.budget is not None:
            return self.budget
        return UNLIMITED if self.strategy == "coordinates" else DEFAULT_BUDGET

    @property
    def stated_budget(self) -> int:
        """The budget as a report states it: 0 where there is none."""
        return 0 if self.allowance >= UNLIMITED else self.allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How the function is evaluated, validated once: nothing of it changes the report.

    Parameters
    ----------
    engine
        A `concurrent.futures.Executor` to evaluate with, which stays its owner's; None for none.
    workers
        How many local processes to start, −1 for one a core; or a map-like callable; None for none.
    timeout
        Seconds after which a call of a worker is given up; None for never.
    journal
        The file in which every value is kept; None for none.
    """

    engine: Any = None
    workers: Any = None
    timeout: float | None = None
    journal: Any = None

    def __post_init__(self) -> None:
        if self.engine is not None and not callable(getattr(self.engine, "submit", None)):
            raise UsageError(
                f"engine is {type(self.engine).__name__}",
                meaning="It has no submit",
                remedy="Give a concurrent.futures.Executor, such as ThreadPoolExecutor(8) or a Dask client's get_executor(pure=False)",
            )
        number = isinstance(self.workers, int) and not isinstance(self.workers, bool)
        if (
            self.workers is not None
            and not callable(self.workers)
            and not (number and (self.workers > 0 or self.workers == -1))
        ):
            raise UsageError(
                f"workers is {self.workers!r}",
                remedy="Give a number of processes, -1 for one a core, or a map-like callable such as multiprocessing.Pool(8).map",
            )
        if self.engine is not None and self.workers is not None:
            raise UsageError(
                "engine and workers", meaning="Either evaluates all there is to evaluate", remedy="Give one of them"
            )
        if self.timeout is not None:
            known = isinstance(self.timeout, (int, float)) and self.timeout > 0
            if not known or isinstance(self.timeout, bool):
                raise UsageError(f"timeout is {self.timeout!r}", remedy="Give a number of seconds, or None")
            if self.engine is None and not number:
                raise UsageError(
                    f"timeout is {self.timeout!r}, and no workers have one",
                    meaning="A call in this process, or in a map, cannot be given up",
                    remedy="Give workers=1, or more, or an engine",
                )
        if not (self.journal is None or isinstance(self.journal, (str, os.PathLike))):
            raise UsageError(f"journal is {self.journal!r}", remedy='Give the path of a file, such as "run.sqlite"')

    @property
    def elsewhere(self) -> bool:
        """Workers evaluate."""
        return self.engine is not None or self.workers is not None


def round_up(tolerance: float) -> float:
    """Round a tolerance that noise has raised up to 1, 2 or 5 times a power of ten."""
    if not (tolerance > 0 and math.isfinite(tolerance)):
        return tolerance
    power = 10.0 ** math.floor(math.log10(tolerance))
    digit = next((d for d in (1, 2, 5, 10) if d * power >= tolerance), 10)
    return float(f"{digit * power:.3g}")
