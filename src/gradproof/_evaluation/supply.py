"""Where an engine's values come from: a journal, workers, or the function called here; the numbers are the same ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from types import TracebackType
from typing import Any, Self

from gradproof._evaluation.journal import Journal, Run, digest_of, name_of
from gradproof._evaluation.site import Clock, Marker, Outcome, Site
from gradproof._problem.answers import Answers
from gradproof._problem.problem import Problem, Watcher
from gradproof._words.directions import Direction
from gradproof._words.results import Report
from gradproof._words.settings import Execution, Settings
from gradproof._words.vectors import Components, FloatArray


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
    """

    def __init__(self, problem: Problem, answers: Answers, clock: Clock, run: Run | None) -> None:
        super().__init__(problem, answers, clock)
        self.run = run
        self.asked: Counter[tuple[str, float]] = Counter()
        self._text: tuple[Direction | None, str] = None, ""
        self.started = clock()

    def base(self, values: FloatArray) -> FloatArray:
        """Take in F(θ) as it was just evaluated; return that of the journal."""
        assert self.clock is not None  # noqa: S101  # a supply has one
        return values if self.run is None else self.run.base(values, self.clock() - self.started)

    def claims(self, blocks: Sequence[FloatArray]) -> None:
        """Take in the gradient that is claimed."""
        if self.run is not None:
            self.run.claims(digest_of(list(blocks)))

    def get(self, direction: Direction | None, components: Components, step: float, watch: Watcher | None) -> Outcome:
        """Return what is known of θ + step · v, or have it evaluated."""
        text = self.text(direction)
        key = self.key(text, step)
        self.asked[text, step] += 1
        marker = Marker(watch)
        known = None if self.run is None else self.run.recall(key)
        if known is not None:
            self.displaced(components, step, marker)
            if known.mark == marker.digest.digest():
                return known
            # The recipe is made into another displacement than it was: by another NumPy, say.
            components, marker = () if direction is None else self.components(direction), Marker()
        outcome = self.ask(components, step, marker)
        outcome = replace(outcome, mark=marker.digest.digest())
        if self.run is not None and not outcome.outside:
            self.run.record(key, text, step, outcome)
        return outcome

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
    """

    execution: Execution
    clock: Clock
    journal: Journal | None = None
    run: Run | None = None

    def __enter__(self) -> Self:
        if self.execution.journal is not None:
            self.journal = Journal(self.execution.journal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.journal is not None:
            self.journal.close()

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
        """
        if self.journal is None:
            return None
        identity = {
            answers.noun: name_of(function),
            "point": digest_of([repr([(b.name, b.shape, b.dtype) for b in problem.all_blocks]), *problem.values]),
            "claim": name_of(claim) if callable(claim) else "",
            "blocks": [block.name for block in problem.blocks],
            **{name: getattr(settings, name) for name in ("tolerance", "confidence", "strategy", "budget", "seed")},
        }
        self.run = self.journal.run(verb, place, identity)
        return Supply(problem, answers, self.clock, self.run)

    def conclude(self, report: Report) -> None:
        """Keep the report of the point."""
        if self.run is not None:
            self.run.conclude(report.verdict.name, report.to_json())
