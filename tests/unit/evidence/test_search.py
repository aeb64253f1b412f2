"""Finding the wrong entries: in few lines, exactly, and with what was found when the budget ends."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from gradproof import Cause, Verdict, check_gradient
from gradproof._evidence.search import Locator
from gradproof._words.directions import Slab

BAR = 1e-9


class Spent(Exception):
    """The budget of a test's measurements."""


def search(residual, *, seed=0, bar=BAR, budget=math.inf):
    """Search a block whose residual is known; return what was found and the directions that were measured."""
    asked = []

    def measure(direction):
        if len(asked) >= budget:
            raise Spent
        asked.append(direction)
        component = direction.component(0, residual.shape)
        return float(residual.reshape(-1) @ component), bar

    return Locator(measure, 0, residual.shape, 1.0, seed=seed, stream=1).run(Spent), asked


def planted(size, places, shape=None, value=1.0):
    residual = np.zeros(size)
    residual[list(places)] = value
    return residual.reshape(shape or (size,))


def places_of(location, shape):
    """Return the flat places of a location's parts."""
    covered = np.zeros(math.prod(shape), dtype=bool)
    for parts in location.parts:
        mask = np.ones(math.prod(shape), dtype=bool)
        for part in parts:
            mask &= part.mask(shape)
        covered |= mask
    return np.flatnonzero(covered).tolist()


# ------------------------------------------------------------------------------------------ few lines
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("faults", [1, 3, 10])
def test_faults_among_a_hundred_thousand_are_found_exactly_in_few_lines(faults, seed):
    size = 100_000
    places = sorted(np.random.default_rng([seed, faults]).choice(size, faults, replace=False).tolist())
    location, asked = search(planted(size, places), seed=seed)
    assert places_of(location, (size,)) == places
    assert location.lines == len(asked) <= 2 * faults * math.log2(size / faults)
    assert location.complete


@pytest.mark.parametrize("shape", [(40, 50), (2000, 1), (1, 2000), (10, 20, 10)])
def test_a_single_entry_is_found_in_a_block_of_any_shape(shape):
    location, asked = search(planted(2000, [777], shape))
    assert places_of(location, shape) == [777]
    assert len(asked) <= 2 * math.log2(2000) + 6  # and the subsets that are asked first


def test_no_fault_takes_no_halving():
    location, asked = search(np.zeros(4096))
    assert location.parts == []
    assert len(asked) <= 3


def test_a_fault_of_any_size_above_the_bar_is_found_beside_larger_ones():
    residual = planted(4096, [5, 3000])
    residual[3000] = 1e-6
    assert places_of(search(residual)[0], (4096,)) == [5, 3000]


@pytest.mark.parametrize("size", [1, 2, 3, 63])
def test_small_blocks_are_searched_too(size):
    location, _ = search(planted(size, [size - 1]))
    assert places_of(location, (size,)) == ([size - 1] if size > 1 else [])


# ------------------------------------------------------------------------------------------ rows, columns, all of it
@pytest.mark.parametrize("axis", [0, 1])
def test_a_short_row_or_column_is_left_whole(axis):
    shape = (8, 400) if axis else (400, 8)
    residual = np.zeros(shape)
    wrong = (slice(None),) * axis + (7,)
    residual[wrong] = np.random.default_rng(1).standard_normal(8)
    location, asked = search(residual)
    assert places_of(location, shape) == np.flatnonzero(residual).tolist()
    assert len(asked) <= 60


@pytest.mark.xfail(
    reason="a long row makes every random subset of 1/32 faulty, so the block is taken to be wrong as a whole"
)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_long_row_or_column_is_found(axis):
    residual = np.zeros((200, 300))
    wrong = (slice(None),) * axis + (7,)
    residual[wrong] = np.random.default_rng(1).standard_normal(residual[wrong].shape)
    location, asked = search(residual)
    assert location.parts == [(Slab(axis, 7, 8),)]
    assert len(asked) <= 40


def test_a_block_that_is_wrong_as_a_whole_is_recognised_at_once():
    residual = np.random.default_rng(1).standard_normal((200, 300))
    location, asked = search(residual)
    assert location.parts == []
    assert location.complete
    assert len(asked) <= 4 + 5  # halves of the rows and of the columns, then five random subsets


@pytest.mark.parametrize("seed", range(5))
def test_two_faults_are_not_taken_for_a_block_that_is_wrong_as_a_whole(seed):
    # Two faults make three of four random halves faulty: subsets of 1/32 do not mislead.
    places = sorted(np.random.default_rng([seed, 9]).choice(10_000, 2, replace=False).tolist())
    assert places_of(search(planted(10_000, places), seed=seed)[0], (10_000,)) == places


def test_a_small_block_of_which_all_entries_are_wrong_is_wrong_as_a_whole():
    assert search(np.ones(20))[0].parts == []


def test_nothing_is_found_below_the_bar():
    assert search(planted(4096, [5], value=1e-12))[0].parts == []


# ------------------------------------------------------------------------------------------ the budget
def test_a_search_ends_with_its_budget():
    location, asked = search(planted(4096, [5, 700, 3000]), budget=20)
    assert not location.complete
    assert location.lines <= len(asked) + 1 == 21


def test_what_was_found_before_the_budget_ended_is_kept():
    places = [5, 700, 3000]
    _, asked = search(planted(4096, places))
    early, _ = search(planted(4096, places), budget=len(asked) - 3)
    assert not early.complete
    assert set(places_of(early, (4096,))) >= {5, 700}


# ------------------------------------------------------------------------------------------ from end to end
def cosines(size, seed):
    rng = np.random.default_rng([seed, 3])
    weights, point = rng.random(size) + 0.5, rng.standard_normal(size)
    return (lambda x: float(np.sum(weights * np.cos(x)))), point, -weights * np.sin(point)


@pytest.mark.parametrize("faults", [1, 3, 10])
def test_wrong_entries_are_named_in_the_diagnosis(faults):
    size = 100_000
    cost, point, gradient = cosines(size, faults)
    places = sorted(np.random.default_rng(faults).choice(size, faults, replace=False).tolist())
    gradient[places] += 0.3
    searching = 0

    def observer(event):
        nonlocal searching
        searching += getattr(event, "phase", "") == "search"

    report = check_gradient(cost, point, gradient, strategy="certificate", seed=faults, budget=5000, observer=observer)
    (diagnosis,) = report.diagnoses
    assert report.verdict is Verdict.WRONG
    assert diagnosis.cause is Cause.COORDINATES
    assert [int(number) for number in re.findall(r"\d+", diagnosis.where)] == places
    # Four calls a line, and some for a first line and the probes.
    assert searching <= 4 * 2 * faults * math.log2(size / faults) + 60


def test_a_wrong_row_is_named_as_a_row_and_certified():
    rng = np.random.default_rng(4)
    weights, point = rng.standard_normal((2, 60, 80))
    gradient = weights * np.cos(point)
    gradient[7] *= 3
    report = check_gradient(
        lambda p: float(np.sum(weights * np.sin(p))), point, gradient, strategy="certificate", seed=1
    )
    assert report.diagnoses[0].cause is Cause.SLICES
    assert report.diagnoses[0].where == "row 7"
    assert report.diagnoses[0].certified_remedy is not None


@pytest.mark.parametrize("budget", [40, 100, 250])
def test_the_budget_bounds_the_search_and_the_report_says_so(budget):
    cost, point, gradient = cosines(10_000, 0)
    gradient[np.random.default_rng(3).choice(10_000, 10, replace=False)] += 0.3
    calls = 0

    def counted(x):
        nonlocal calls
        calls += 1
        return cost(x)

    report = check_gradient(counted, point, gradient, strategy="certificate", seed=1, budget=budget)
    assert report.verdict is Verdict.WRONG
    assert calls == report.evaluations <= budget
    assert any("budget ended the search" in note for note in report.notes)
