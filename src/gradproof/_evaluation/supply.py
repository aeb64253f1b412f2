"""Where an engine's values come from: a journal, workers, or the function called here; the numbers are the same ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from gradproof._evaluation.site import Clock, Marker, Outcome, Site
from gradproof._problem.answers import Answers
from gradproof._problem.problem import Problem, Watcher
from gradproof._words.directions import Direction
from gradproof._words.errors import UsageError
from gradproof._words.events import Failed, Observer
from gradproof._words.results import Report
from gradproof._words.settings import Execution, Settings
from gradproof._words.vectors import Components, FloatArray

if TYPE_CHECKING:  # loaded when they are used: most checks have neither, and some Pythons no SQLite
    from gradproof._evaluation.journal import Journal, Run
    from gradproof._evaluation.workers import Task, Workers

WIDTH: Final = 256
"""Points that are on their way at once: enough for any pool that is kept busy, few enough to be watched."""


class Supply(Site):
    """The source of one engine's values.

    A value is known by its recipe and step, and by how often it was asked for: a random function may be asked for the
    same point twice, and answers twice.

    Parameters
    ----------
    problem, answers, clock
        As for any site.
    run
        The journal's; None where none is kept.
    workers
        Evaluate, where there are some.
    guesses
        What may be asked for is evaluated, too, where workers would be idle.
    observer
        Is told of calls that failed elsewhere.
    """

    def __init__(
        self,
        problem: Problem,
        answers: Answers,
        clock: Clock,
        run: Run | None = None,
        workers: Workers | None = None,
        *,
        guesses: bool = True,
        observer: Observer | None = None,
    ) -> None:
        super().__init__(problem, answers, clock)
        self.run = run
        self.workers = workers
        self.guesses = guesses
        self.width = 1 if workers is None else WIDTH
        self.lost = 0
        self.observer = observer
        self.asked: Counter[tuple[str, float]] = Counter()
        self._text: tuple[Direction | None, str] = None, ""
        self.started = clock()

    def base(self, values: FloatArray) -> FloatArray:
        """Take in F(θ) as it was just evaluated; return that of the journal."""
        assert self.clock is not None  # noqa: S101  # a supply has one
        if self.workers is not None and self.answers.learns:
            self.workers.refresh()
        return values if self.run is None else self.run.base(values, self.clock() - self.started)

    def claims(self, blocks: Sequence[FloatArray]) -> None:
        """Take in the gradient that is claimed."""
        if self.run is not None:
            self.run.claims(list(blocks))

    def get(self, direction: Direction | None, components: Components, step: float, watch: Watcher | None) -> Outcome:
        """Return what is known of θ + step · v, or have it evaluated."""
        text = self.text(direction)
        key = self.key(text, step)
        self.asked[text, step] += 1
        marker = Marker(watch)
        known = None if self.run is None else self.run.recall(key)
        if known is None and self.workers is None:
            outcome = self.ask(components, step, marker)
            outcome = replace(outcome, mark=marker.digest.digest())
            self.arrived(key, direction, step, outcome)
            return outcome
        self.displaced(components, step, marker)
        mark = marker.digest.digest()
        if known is not None and known.mark != mark:
            known = None  # the recipe is made into another displacement than it was: by another NumPy, say
        outcome = known or self.elsewhere(key, direction, step, mark)
        self.lost += outcome.lost
        if self.observer is not None and (outcome.trace or outcome.lost):
            self.observer(Failed(text, step, outcome.error, outcome.trace))
        return outcome

    def elsewhere(self, key: bytes, direction: Direction | None, step: float, mark: bytes) -> Outcome:
        """Have a call made by workers, or here where there are none.

        Raises
        ------
        UsageError
            Where a worker displaces otherwise than is done here.
        """
        if self.workers is None:
            outcome = replace(self.ask(() if direction is None else self.components(direction), step, None), mark=mark)
            self.arrived(key, direction, step, outcome)
            return outcome
        self.workers.send([(key, direction, step)])
        outcome = self.workers.take(key)
        if not outcome.lost and outcome.mark != mark:
            raise UsageError(
                "a worker makes another displacement of the same recipe",
                where="engine=",
                meaning="It runs another version of NumPy, or its framework is set otherwise: double precision in JAX, say",
                remedy="Install there what is installed here, and set it by the environment, as JAX_ENABLE_X64=1 does",
            )
        return outcome

    def ahead(self, direction: Direction, steps: Iterable[float], room: float, *, sure: bool) -> None:
        """Begin what is going to be asked for, and what may be, where that is allowed."""
        if self.workers is None or not (sure or self.guesses):
            return
        components, text = self.components(direction), self.text(direction)
        tasks: list[Task] = []
        for step in dict.fromkeys(steps):
            key = self.key(text, step)
            if key in self.workers or (self.run is not None and self.run.recall(key) is not None):
                continue
            idle = sure or self.workers.idle > len(tasks)
            if idle and len(tasks) + len(self.workers) < room and not self.problem.lost(components, step):
                tasks.append((key, direction, step))
        self.workers.send(tasks)

    def arrived(self, key: bytes, direction: Direction | None, step: float, outcome: Outcome) -> None:
        """Keep what came of a call, asked for or not: what was not asked of the function, or was lost, is no value."""
        if self.run is not None and not (outcome.outside or outcome.lost):
            self.run.record(key, self.text(direction), step, outcome)

    def text(self, direction: Direction | None) -> str:
        """Write a recipe out; "" for the point itself."""
        if direction is None:
            return ""
        if self._text[0] is not direction:
            self._text = direction, repr(direction)
        return self._text[1]

    def key(self, text: str, step: float) -> bytes:
        """Return by what the next call at a recipe and step is known."""
        return blake2b(f"{text}|{step.hex()}|{self.asked[text, step]}".encode(), digest_size=16).digest()


@dataclass(slots=True)
class Means:
    """What a check evaluates with: opened before its first point, closed after its last.

    Parameters
    ----------
    execution
        As the user asked.
    clock
        Seconds, increasing.
    observer
        Is told of calls that failed elsewhere.
    """

    execution: Execution
    clock: Clock
    observer: Observer | None = None
    journal: Journal | None = None
    workers: Workers | None = None
    run: Run | None = None

    def __enter__(self) -> Self:
        try:
            if self.execution.journal is not None:
                from gradproof._evaluation.journal import Journal

                self.journal = Journal(self.execution.journal)
            if self.execution.elsewhere:
                from gradproof._evaluation.workers import Workers

                self.workers = Workers(self.execution, self.clock)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for opened in (self.workers, self.journal):
            if opened is not None:
                opened.close()

    def seed(self, drawn: int) -> int:
        """Return the seed that goes on with the journal; the one that was drawn where there is nothing to go on with."""
        found = None if self.journal is None else self.journal.seed()
        return drawn if found is None else found

    def source(
        self,
        problem: Problem,
        answers: Answers,
        settings: Settings,
        *,
        verb: str,
        place: int,
        function: Any,
        claim: Any,
    ) -> Supply | None:
        """Return where the values of one point come from; None for calls of the function, here, and nothing else.

        Parameters
        ----------
        problem, answers, settings
            Of the check.
        verb, place
            Which check, at which of its points.
        function, claim
            As the user gave them: the function is known by its name, the claim by its values, or its name.

        Raises
        ------
        JournalError
            Where the journal is another check's.
        UsageError
            Where the problem cannot be sent to workers.
        """
        if self.journal is not None:
            self.run = self.journal.run(verb, place, problem, answers.noun, function, claim, settings)
        if self.journal is None and self.workers is None:
            return None
        supply = Supply(
            problem,
            answers,
            self.clock,
            self.run,
            self.workers,
            guesses=settings.budget is None,
            observer=self.observer,
        )
        if self.workers is not None:
            self.workers.introduce(supply, supply.arrived)
        return supply

    def conclude(self, report: Report) -> None:
        """Keep the report of the point."""
        if self.run is not None:
            self.run.conclude(report.verdict.name, report.to_json())
