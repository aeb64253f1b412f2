"""Where an engine's values come from, and by what each of them is known."""

from __future__ import annotations

import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from gradproof import Problem, UsageError
from gradproof._evaluation.journal import Journal
from gradproof._evaluation.site import Outcome
from gradproof._evaluation.supply import Means, Supply
from gradproof._problem.answers import OneNumber
from gradproof._words.directions import Coordinate, RandomDirection
from gradproof._words.settings import Execution, Settings

W = np.array([1.0, 2.0, 3.0])
EAST = Coordinate(0, 0)


def problem_of(cost):
    return Problem(cost, W, 2 * W)


def source_of(means, problem):
    given = {"verb": "check_gradient", "place": 0, "function": problem.cost, "claim": problem.claimed}
    return means.source(problem, OneNumber(problem), Settings(), **given)


def ask(supply, direction, step):
    seen = []
    outcome = supply.get(direction, supply.components(direction), step, lambda *shown: seen.append(shown))
    return outcome.values.tolist(), len(seen)


def test_without_a_journal_or_workers_there_is_nothing_between_the_engine_and_the_function():
    with Means(Execution(), time.perf_counter) as means:
        assert source_of(means, problem_of(np.sum)) is None
        assert means.seed(7) == 7


def test_values_are_known_by_recipe_step_and_how_often_they_were_asked_for(tmp_path):
    calls = []

    def cost(w):
        calls.append(1)
        return float(np.sum(w)) + len(calls)  # never the same twice

    def all_of_them():
        with Means(Execution(journal=tmp_path / "run.sqlite"), time.perf_counter) as means:
            supply = source_of(means, problem_of(cost))
            return [ask(supply, EAST, t) for t in (0.5, -0.5, 0.5, 0.5)] + [supply.get(None, (), 0.0, None).values]

    first = all_of_them()
    assert [values for values, _ in first[:-1]] == [[7.5], [7.5], [9.5], [10.5]]
    assert all_of_them() == first
    assert len(calls) == 5


def test_a_value_that_is_known_is_displaced_all_the_same_once_each_time(tmp_path):
    with Means(Execution(journal=tmp_path / "run.sqlite"), time.perf_counter) as means:
        assert ask(source_of(means, problem_of(np.sum)), EAST, 0.5) == ([6.5], 1)
        assert ask(source_of(means, problem_of(np.sum)), EAST, 0.5) == ([6.5], 1)


def test_recipes_of_one_text_are_one(tmp_path):
    journal = Journal(str(tmp_path / "run.sqlite"))
    problem = problem_of(np.sum)
    run = journal.identified("check_gradient", 0, {"point": "", "seed": 0})
    supply = Supply(problem, OneNumber(problem), time.perf_counter, run)
    one, same, other = (RandomDirection(1, stream, (0.5,)) for stream in (1, 1, 2))
    assert supply.text(one) == supply.text(same) != supply.text(other)
    assert supply.text(None) == ""
    journal.close()


class Otherwise(Executor):
    """A worker that displaces otherwise than the checking process does."""

    def submit(self, function, *arguments):
        future, answer = Future(), function(*arguments)
        future.set_result(replace(answer, mark=b"else") if isinstance(answer, Outcome) else answer)
        return future


def test_a_worker_that_makes_another_displacement_of_a_recipe_is_not_believed():
    with (
        Means(Execution(engine=Otherwise()), time.perf_counter) as means,
        pytest.raises(UsageError, match=r"another displacement .*NumPy.*JAX_ENABLE_X64"),
    ):
        ask(source_of(means, problem_of(np.sum)), EAST, 0.5)


def test_what_is_asked_for_ahead_is_begun_once_within_the_budget_and_taken_from_what_has_arrived():
    calls, point = [], problem_of(lambda w: calls.append(w[0] - 1.0) or 0.0)
    with ThreadPoolExecutor(1) as threads, Means(Execution(engine=threads), time.perf_counter) as means:
        supply = source_of(means, point)
        supply.ahead(EAST, [0.5, -0.5, 0.5, 0.25], 2, sure=True)
        supply.ahead(EAST, [0.5], 9, sure=True)
        supply.ahead(EAST, [0.125], 9, sure=False)  # the only worker has enough to do
        assert [ask(supply, EAST, t)[0] for t in (-0.5, 0.5)] == [[0.0], [0.0]]
        assert calls == [0.5, -0.5]


def test_what_may_be_asked_for_is_begun_where_workers_are_idle_and_no_budget_is_given():
    for budget, begun in ((None, 2), (50, 0)):
        with ThreadPoolExecutor(2) as threads, Means(Execution(engine=threads), time.perf_counter) as means:
            given = {"verb": "check_gradient", "place": 0, "function": np.sum, "claim": None}
            problem = problem_of(np.sum)
            supply = means.source(problem, OneNumber(problem), Settings(budget=budget), **given)
            supply.ahead(EAST, [0.5, -0.5, 0.25], 9, sure=False)
            assert len(means.workers) == begun
