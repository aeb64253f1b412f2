"""Pools of workers: started, made anew, ended at once; and what is sent to them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from gradproof._evaluation.site import Site
from gradproof._words.errors import UsageError
from gradproof._words.settings import Map


def said(error: BaseException) -> str:
    """Return what an error of a pool says, in one line."""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"


class Mapped(Executor):
    """A map-like callable, as SciPy takes it for `workers`: what is submitted waits, and is then done in one map.

    Parameters
    ----------
    mapping
        Called with a function and an iterable; returns an iterable of results in order.
    """

    def __init__(self, mapping: Map) -> None:
        self.mapping = mapping
        self.waiting: list[tuple[Future[Any], tuple[Callable[..., Any], tuple[Any, ...]]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Let a call wait for the next `flush`."""
        del kwargs
        future: Future[Any] = Future()
        self.waiting.append((future, (fn, args)))
        return future

    def flush(self) -> None:
        """Make the calls that wait."""
        waiting, self.waiting = [(f, call) for f, call in self.waiting if not f.cancelled()], []
        try:
            results = list(self.mapping(spread, [call for _, call in waiting])) if waiting else []
            for (future, _), result in zip(waiting, results, strict=True):
                future.set_result(result)
        except Exception as error:
            for future, _ in waiting:
                if not future.done():
                    future.set_exception(error)


def spread(call: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
    """Call a function with its arguments: what a map of one argument does in a worker."""
    function, arguments = call
    return function(*arguments)


# -- pools ---------------------------------------------------------------------------------------------------------------


def started(workers: int) -> Executor:
    """Start processes of our own: loky's where it is installed, as it takes lambdas and survives a script's main part."""
    count = workers if workers > 0 else os.cpu_count() or 1
    try:
        from loky import ProcessPoolExecutor as Loky
    except ImportError:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))
    pool: Executor = Loky(max_workers=count)
    return pool


def size_of(executor: Any) -> int:
    """Return how many calls a pool makes at once, 0 where it does not tell: the library's and loky's, MPI's, Dask's do."""
    threads = getattr(getattr(executor, "_client", None), "nthreads", None)
    if threads is not None:
        return sum(threads().values())
    return int(getattr(executor, "_max_workers", 0) or getattr(executor, "num_workers", 0) or 0)


def like(executor: Any) -> Executor | None:
    """Return a fresh pool like one of processes that broke; None where that is not known to be possible."""
    from concurrent.futures import ProcessPoolExecutor

    if type(executor) is ProcessPoolExecutor:
        given: Any = executor  # which tells nobody how it was made
        return ProcessPoolExecutor(
            given._max_workers,  # noqa: SLF001
            mp_context=given._mp_context,  # noqa: SLF001
            initializer=given._initializer,  # noqa: SLF001
            initargs=given._initargs,  # noqa: SLF001
        )
    if _is_loky(executor):
        return started(executor._max_workers)  # noqa: SLF001
    return None


def kill(executor: Any) -> None:
    """End a pool's processes at once: a call that hangs hears nothing else."""
    if _is_loky(executor):
        executor.shutdown(wait=False, kill_workers=True)
        return
    processes = list((executor._processes or {}).values())  # noqa: SLF001  # what kill_workers() is in Python 3.14
    executor.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


def _is_loky(executor: Any) -> bool:
    return type(executor).__module__.startswith("loky.")


# -- sending a problem ---------------------------------------------------------------------------------------------------


def packed(site: Site | None) -> bytes:
    """Return a problem as it is sent: without the claim, which stays at home.

    Raises
    ------
    UsageError
        Where it cannot be pickled, naming the part.
    """
    assert site is not None  # noqa: S101  # a problem was introduced
    try:
        from cloudpickle import dumps
    except ImportError:
        dumps = pickle.dumps
    problem = site.problem
    parts = problem.parts()
    try:
        return bytes(dumps((*parts, site.answers, site.clock)))
    except Exception as error:
        for what, part in (("point", parts[1]), (site.answers.noun, parts[0])):
            try:
                dumps(part)
            except Exception as own:
                raise _unsendable(what, own) from own
        raise _unsendable("problem", error) from error


def _unsendable(what: str, error: Exception) -> UsageError:
    return UsageError(
        f"it cannot be pickled: {' '.join(str(error).split())}",
        where=what,
        meaning="It has to be sent to the workers' processes",
        remedy="Take what belongs to one process (locks, open files, connections, generators) out of it, or open that inside; "
        "functions within functions need pip install cloudpickle; threads, engine=ThreadPoolExecutor(n), need nothing sent",
    )
