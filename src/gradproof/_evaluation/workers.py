"""Workers that evaluate at once, and what becomes of a call when one of them dies, hangs, or answers nonsense.

Whatever engine does the distributing, the watching is ours: a future's own timeout stops no call, and a pool that breaks
takes all pending calls with it. Recipes travel, of some fifty bytes; the problem itself is sent once to each worker. The
order in which answers arrive decides nothing.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final

import numpy as np

from gradproof._evaluation.pools import Mapped, kill, like, packed, said, size_of, started
from gradproof._evaluation.site import SITES, Clock, Outcome, Site, call_there, knows
from gradproof._words.directions import Direction
from gradproof._words.errors import UsageError, WorkersLost
from gradproof._words.settings import Execution

RETRIES: Final = 2
"""Times that a call is sent again after its worker died or hung; the last time alone, so that it answers for itself."""
Arrival = Callable[[bytes, Direction | None, float, Outcome], None]
"""Told of each outcome that has come home."""
Task = tuple[bytes, Direction | None, float]
"""A key, and the recipe and step that it stands for; no recipe stands for the point itself."""


@dataclass(slots=True)
class Flight:
    """A call on its way.

    Parameters
    ----------
    direction, step
        Where.
    future
        Of its answer.
    since
        When it was sent.
    lost
        How often its worker died or hung.
    answer
        A first answer that was no number: the function's own, if a second call says the same.
    """

    direction: Direction | None
    step: float
    future: Future[Outcome | None] = field(default_factory=Future)
    since: float = 0.0
    lost: int = 0
    answer: Outcome | None = None

    def sent(self, future: Future[Outcome | None], now: float) -> None:
        """Note that it is on its way again."""
        self.future, self.since = future, now

    def lose(self) -> int:
        """Note that its worker was lost; return how often that is by now."""
        self.lost += 1
        return self.lost

    def doubt(self, outcome: Outcome) -> None:
        """Note a first answer that was no number."""
        self.answer = outcome


class Workers:
    """Sends calls to a pool, and brings their outcomes home.

    Parameters
    ----------
    execution
        The pool, or how many workers to start; how long a call may take.
    clock
        Seconds, increasing.
    """

    def __init__(self, execution: Execution, clock: Clock) -> None:
        self.execution = execution
        self.clock = clock
        self.own = isinstance(execution.workers, int)
        self.executor: Executor = Mapped(execution.workers) if callable(execution.workers) else execution.engine
        if self.own:
            self.executor = started(execution.workers)
        self.count = size_of(self.executor)
        self.flights: dict[bytes, Flight] = {}
        self.landed: SimpleQueue[tuple[bytes, Future[Outcome | None]]] = SimpleQueue()
        self.arrived: dict[bytes, Outcome] = {}
        self.site: Site | None = None
        self.key, self.shipment = "", b""
        self.arrival: Arrival = lambda *_: None
        self.last = clock()

    # -- the problem -------------------------------------------------------------------------------------------------

    def introduce(self, site: Site, arrival: Arrival) -> None:
        """Make a problem known to the workers; calls of another one are forgotten.

        Raises
        ------
        UsageError
            Where it cannot be sent, or a worker cannot take it.
        """
        self.forget()
        self.site, self.arrival = site, arrival
        self.key, self.shipment = secrets.token_hex(8), b""
        SITES[self.key] = site
        self.warm_up()

    def refresh(self) -> None:
        """Send the problem anew: of a function's answers the structure has been learnt."""
        if self.shipment and self.site is not None:
            SITES.pop(self.key, None)
            self.key, self.shipment = secrets.token_hex(8), b""
            SITES[self.key] = self.site

    def warm_up(self) -> None:
        """Start the workers, and see that they take the problem."""
        answers = self._asked(None)
        if None in answers:
            self.shipment = self.shipment or packed(self.site)
            answers = self._asked(self.shipment)
        if any(answers):
            *_, last = next(filter(None, answers)).strip().splitlines()
            raise UsageError(
                f"a worker cannot take the problem: {last}",
                where="engine=",
                meaning="What it consists of must be importable there, in the same versions as here",
                remedy="Install there what is installed here, and put the function into a module that both can import",
            )
        self.last = self.clock()

    def _asked(self, shipment: bytes | None) -> list[str | None]:
        """Ask workers, as many as are ours, whether they can take the problem."""
        try:
            asked = [self.executor.submit(knows, self.key, shipment) for _ in range(self.count if self.own else 1)]
            if isinstance(self.executor, Mapped):
                self.executor.flush()
            return [future.result() for future in asked]
        except BrokenExecutor as error:
            raise WorkersLost(
                said(error),
                where="engine=",
                meaning="The workers die before the first call",
                remedy='Put what starts the check under if __name__ == "__main__":, as new processes import the script',
            ) from error
        except RuntimeError as error:
            raise WorkersLost(
                said(error), where="engine=", meaning="It takes no calls", remedy="Give one that is not shut down"
            ) from error

    def forget(self) -> None:
        """Let go of all calls that are on their way."""
        for flight in self.flights.values():
            flight.future.cancel()
        self.flights.clear()
        self.arrived.clear()
        SITES.pop(self.key, None)

    def close(self) -> None:
        """Let go of all calls; a pool of our own ends."""
        self.forget()
        if self.own:
            kill(self.executor)

    # -- calls -------------------------------------------------------------------------------------------------------

    def __contains__(self, key: bytes) -> bool:
        return key in self.flights or key in self.arrived

    def __len__(self) -> int:
        return len(self.flights) + len(self.arrived)

    @property
    def idle(self) -> float:
        """How many workers have nothing to do; any number, where it is not known how many there are."""
        return self.count - len(self.flights) if self.count else math.inf

    def send(self, tasks: Iterable[Task]) -> None:
        """Send calls that are not on their way yet."""
        for key, direction, step in tasks:
            if key not in self:
                self._launch(key, Flight(direction, step))

    def take(self, key: bytes) -> Outcome:
        """Wait for a call's outcome, and take it; whatever else has arrived meanwhile is kept."""
        self._collect([])
        while key not in self.arrived:
            self._wait()
        return self.arrived.pop(key)

    def _launch(self, key: bytes, flight: Flight, shipment: bytes | None = None) -> None:
        """Send a call; when it has landed, it says so in the queue."""
        try:
            future = self.executor.submit(call_there, self.key, shipment, flight.direction, flight.step)
        except RuntimeError as error:  # broken, or shut down: it will be seen with the others
            future = Future()
            future.set_exception(error)
        flight.sent(future, self.clock())
        self.flights[key] = flight
        future.add_done_callback(lambda landed: self.landed.put((key, landed)))

    def _again(self, key: bytes, shipment: bytes | None = None) -> None:
        self._launch(key, self.flights[key], shipment)

    def _arrive(self, key: bytes, outcome: Outcome) -> None:
        flight = self.flights.pop(key)
        self.arrived[key] = outcome
        self.arrival(key, flight.direction, flight.step, outcome)

    def _wait(self) -> None:
        """Wait until something has arrived, or hangs."""
        if isinstance(self.executor, Mapped):
            self.executor.flush()
        try:
            first = self.landed.get(timeout=self._patience())
        except Empty:
            self._give_up()
        else:
            self._collect([first])

    def _collect(self, landed: list[tuple[bytes, Future[Outcome | None]]]) -> None:
        """Take in all that has landed by now."""
        while not self.landed.empty():
            landed.append(self.landed.get())
        if landed:
            self.last = self.clock()
        broken: BaseException | None = None
        for key, future in landed:
            flight = self.flights.get(key)
            if flight is None or flight.future is not future:
                continue  # it was given up, or sent again
            error = future.exception() if not future.cancelled() else CancelledError("it was cancelled")
            if isinstance(error, BrokenExecutor):
                broken = error
            elif error is not None:
                self._lose(key, said(error))
            else:
                self._land(key, flight)
        if broken is not None:
            self._mend(said(broken))

    def _land(self, key: bytes, flight: Flight) -> None:
        outcome = flight.future.result()
        if outcome is None:  # a worker that has not seen the problem yet
            self.shipment = self.shipment or packed(self.site)
            self._again(key, self.shipment)
        elif outcome.outside or (outcome.values is not None and np.isfinite(outcome.values).all()) or flight.answer:
            self._arrive(key, outcome)
        else:
            flight.doubt(outcome)
            self._again(key)

    # -- faults ------------------------------------------------------------------------------------------------------

    def _lose(self, key: bytes, why: str) -> None:
        """Send a call again whose worker died or hung, or let it fail."""
        lost = self.flights[key].lose()
        if lost > RETRIES:
            times = f"its worker was lost {lost} times"
            self._arrive(key, Outcome(None, f"{times}, at last by {why}", lost=True))
            return
        self._again(key)
        if lost == RETRIES and isinstance(self.executor, Mapped):
            self.executor.flush()  # by itself: one call that a map cannot make fails all of its calls

    def _mend(self, why: str) -> None:
        """The pool broke, and lost every call: send them again to a fresh one; who may have broken two is sent alone."""
        suspects = self._oldest()[: self.count or None]
        self._renew(why)
        for key in suspects:
            if self.flights[key].lose() == RETRIES:
                self._send_alone(key)
        for key in self._oldest():
            self._again(key)

    def _oldest(self) -> list[bytes]:
        """Return the calls on their way in the order in which they were sent: the first are those that are being made."""
        return sorted(self.flights, key=lambda key: self.flights[key].since)

    def _send_alone(self, key: bytes) -> None:
        """Send a call while no other is on its way, and wait for it: if the pool breaks, this call has broken it."""
        self._again(key)
        while key in self.flights:
            flight = self.flights[key]
            done, _ = wait([flight.future], timeout=self.execution.timeout)
            error = flight.future.exception() if done else None
            if done and error is None:
                self._land(key, flight)  # which may send it once more
                continue
            why = said(error) if error else self._too_long
            self._renew(why)
            self._lose(key, why)

    def _patience(self) -> float | None:
        """Return how long to wait for anything at all."""
        if self.execution.timeout is None:
            return None
        first = min(max(flight.since, self.last) for flight in self.flights.values())
        return max(first + float(self.execution.timeout) - self.clock(), 0.0)

    def _give_up(self) -> None:
        """Nothing has arrived for too long: those that are being evaluated hang. Processes of ours are ended, of others left."""
        oldest = self._oldest()
        hung = oldest[: self.count or None]
        fresh = like(self.executor)
        if fresh is not None:
            self._replace(fresh)
            for key in oldest[len(hung) :]:
                self._again(key)
        for key in hung:
            self.flights[key].future.cancel()
            self._lose(key, self._too_long)
        self.last = self.clock()

    @property
    def _too_long(self) -> str:
        return f"a call of more than {self.execution.timeout:g} s"

    def _renew(self, why: str) -> None:
        """Replace a pool that is broken.

        Raises
        ------
        WorkersLost
            Where it is none of those that can be made anew.
        """
        fresh = like(self.executor)
        if fresh is None:
            raise WorkersLost(
                why,
                where="engine=",
                meaning="The pool broke, and only its owner can make another",
                remedy="Call again with a fresh one; with journal= nothing that arrived is evaluated again",
            )
        self._replace(fresh)

    def _replace(self, fresh: Executor) -> None:
        if self.own:
            kill(self.executor)
        self.own, self.executor = True, fresh  # a pool that we have made is ours to end
        self.warm_up()
