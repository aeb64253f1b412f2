"""Progress of a long check on a terminal, drawn only once it is clear that the check is long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

from gradproof._words.events import Evaluated, Event, Planned, Settled
from gradproof.reports._layout import pad, safe
from gradproof.reports._numbers import count, duration

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

PATIENCE: Final = 1.0
"""Seconds that a check may take, or be expected to take, before anything is shown."""
FIRST_GUESS: Final = 0.25
"""Seconds of measuring before the time still to come is extrapolated."""
REDRAW: Final = 0.1
BAR_WIDTH: Final = 24
ERASE_LINE: Final = "\r\x1b[2K"
PHASES: Final = {
    "noise": "measuring the noise",
    "lines": "random directions",
    "coordinates": "every coordinate",
    "search": "searching the fault",
    "diagnosis": "naming the cause",
    "remedy": "certifying the remedy",
}
PHASE_WIDTH: Final = max(map(len, PHASES.values()))


class Progress:
    """An observer for ``check_gradient(..., observer=)``: a progress bar with the remaining time, on a terminal.

    Nothing is shown where the output is no terminal, nor while the check may still end within a second. There is no
    thread and no hidden cursor, so that nothing is left running after an exception; used in a ``with`` statement, the
    bar is wiped away then, too.

    Parameters
    ----------
    console
        Where to draw; standard error by default, so that piped output stays clean.
    clock
        Seconds, increasing; for tests.

    Examples
    --------
    >>> import gradproof
    >>> from gradproof.reports import Progress
    >>> with Progress() as progress:
    ...     report = gradproof.check_gradient(lambda x: x**2, 3.0, 6.0, observer=progress)
    """

    def __init__(self, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        if console is None:
            from rich.console import Console

            console = Console(stderr=True)
        self._console = console
        self._clock = clock
        self._silent = not (console.is_terminal and console.file.isatty()) or console.is_dumb_terminal
        self._first: tuple[float, int] | None = None
        self._planned: Planned | None = None
        self._plan_shown = False
        self._last_drawn: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wipe()

    def __call__(self, event: Event) -> None:
        """Take one event of a check."""
        if self._silent:
            return
        if self._first is None:
            self._first = self._clock(), event.evaluations if isinstance(event, Evaluated) else 0
        if isinstance(event, Planned):
            self._planned = event
            if event.seconds is not None and event.seconds > PATIENCE:
                self._show_plan(event)
        elif isinstance(event, Evaluated):
            self._advance(event)
        elif isinstance(event, Settled):
            self._wipe()
            self._first = self._planned = None  # another point may follow
            self._plan_shown = False

    def _advance(self, event: Evaluated) -> None:
        now = self._clock()
        if self._last_drawn is not None and now - self._last_drawn < REDRAW:
            return
        expected = self._expected(event)
        started, already = self._first or (now, 0)
        elapsed = now - started
        rate = elapsed / max(event.evaluations - already, 1)
        is_long = elapsed > PATIENCE or (elapsed > FIRST_GUESS and rate * expected > PATIENCE)
        if is_long or self._plan_shown:
            if self._planned is not None and not self._plan_shown:
                self._show_plan(self._planned)
            self._last_drawn = now
            self._draw(event, expected, rate * (expected - event.evaluations))

    def _expected(self, event: Evaluated) -> int:
        """Return the calls expected in all: the plan while it holds, then the budget."""
        if self._planned is not None and event.evaluations <= self._planned.evaluations:
            return self._planned.evaluations
        return max(event.budget, event.evaluations)

    def _show_plan(self, plan: Planned) -> None:
        self._plan_shown = True
        lasting = f", some {duration(plan.seconds)}" if plan.seconds is not None else ""
        self._wipe()
        self._write(f"Planned: {count(plan.evaluations, 'evaluation')} of the cost{lasting} ({safe(plan.strategy)}).\n")

    def _draw(self, event: Evaluated, expected: int, remaining: float) -> None:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        # Past the plan, the search for the fault may stop long before the budget is spent.
        beyond = self._planned is None or expected > self._planned.evaluations
        left = f"{'at most ' if beyond else ''}{duration(remaining)} left"
        row = Table.grid(padding=(0, 1))
        row.add_row(
            pad(PHASES.get(event.phase, safe(event.phase)), PHASE_WIDTH),
            ProgressBar(total=expected, completed=event.evaluations, width=BAR_WIDTH),
            f"{event.evaluations}/{expected}",
            left if remaining > 0 else "",
        )
        with self._console.capture() as captured:
            self._console.print(row, no_wrap=True, overflow="crop", end="")
        self._write(ERASE_LINE + captured.get().partition("\n")[0])

    def _wipe(self) -> None:
        if self._last_drawn is not None and not self._silent:
            self._write(ERASE_LINE)
            self._last_drawn = None

    def _write(self, text: str) -> None:
        """Write past rich: the line is already rendered, and must not end in a line feed."""
        self._console.file.write(text)
        self._console.file.flush()
