"""Pools: which one is started, which can be made anew, and how one is ended that does not answer."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.connection import wait
from types import SimpleNamespace

import numpy as np

from gradproof import Problem
from gradproof._evaluation.pools import Mapped, kill, like, packed, said, size_of, spread, started
from gradproof._evaluation.site import Site, unpack
from gradproof._problem.answers import OneNumber


def test_minus_one_is_one_a_core_and_without_loky_the_standard_library_does(monkeypatch):
    pool = started(-1)
    assert pool._max_workers == os.cpu_count()
    pool.shutdown()
    monkeypatch.setitem(sys.modules, "loky", None)
    pool = started(2)
    assert type(pool) is ProcessPoolExecutor
    assert like(pool)._max_workers == 2
    pool.shutdown()


def mapped(mapping, *calls):
    pool = Mapped(mapping)
    futures = [pool.submit(*call) for call in calls]
    pool.flush()
    return futures


def test_a_map_that_returns_too_few_is_noticed():
    futures = mapped(lambda function, items: [], (len, "a"), (len, "b"))
    assert all(isinstance(future.exception(), ValueError) for future in futures)


def test_a_map_calls_functions_with_their_arguments_all_at_once():
    sizes = []

    def mapping(function, items):
        sizes.append(len(items))
        return map(function, items)

    assert [future.result() for future in mapped(mapping, (divmod, 7, 2), (max, 1, 2))] == [(3, 1), 2]
    assert sizes == [2]
    assert spread((divmod, (7, 2))) == (3, 1)


def test_a_map_makes_no_call_that_was_cancelled():
    pool = Mapped(map)
    pool.submit(len, "a").cancel()
    pool.flush()
    assert pool.waiting == []


def test_a_pool_of_threads_is_not_made_anew():
    with ThreadPoolExecutor(1) as pool:
        assert like(pool) is None


def test_a_pool_that_does_not_answer_is_ended(monkeypatch):
    for without_loky in (False, True):
        if without_loky:
            monkeypatch.setitem(sys.modules, "loky", None)
        pool = started(1)
        pool.submit(os.getpid).result()
        (process,) = pool._processes.values()
        pool.submit(time.sleep, 600)
        kill(pool)
        assert wait([process.sentinel], timeout=20)  # it has ended


def test_an_error_is_told_in_one_line():
    assert said(OSError("one\ntwo")) == "OSError: one"
    assert said(OSError()) == "OSError: no message"


def test_a_problem_is_sent_without_its_claim():
    problem = Problem(np.sum, np.ones(3), np.full(3, 7.0))
    site = unpack("key", packed(Site(problem, OneNumber(problem))))
    assert site.problem.claimed == 0.0
    assert site.ask((), 0.0, None).values == [3.0]


def test_how_many_calls_a_pool_makes_at_once_is_asked_of_each_kind():
    client = SimpleNamespace(nthreads=lambda: {"one": 4, "other": 2})
    with ThreadPoolExecutor(3) as threads:
        pools = [threads, SimpleNamespace(_client=client), SimpleNamespace(num_workers=5), Mapped(map)]
        assert [size_of(pool) for pool in pools] == [3, 6, 5, 0]
