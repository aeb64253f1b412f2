"""Where the function is called: the displaced point, its mark, and what comes of the call."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from gradproof import Problem
from gradproof._evaluation.site import KEPT, SITES, Marker, Site, call_there, knows, unpack
from gradproof._problem.answers import OneNumber
from gradproof._problem.problem import OutOfBounds
from gradproof._words.directions import Coordinate, GivenDirection, RandomDirection

W = np.array([1.0, 2.0, 3.0])
EAST = Coordinate(0, 0)
ANYWHERE = RandomDirection(7, 1, (0.5,))


def site_of(cost, point=W, clock=None):
    problem = Problem(cost, point, point)
    return Site(problem, OneNumber(problem), clock)


def shipment_of(cost, point=W):
    problem = Problem(cost, point, point)
    return pickle.dumps((cost, point, 0.0, None, None, False, OneNumber(problem), float))


@pytest.fixture(autouse=True)
def _forgetful():
    SITES.clear()
    yield
    SITES.clear()


def test_the_function_is_called_at_the_displaced_point_and_at_the_point_itself():
    site = site_of(lambda w: float(w[0]))
    assert site.ask(site.components(EAST), 0.25, None).values == [1.25]
    assert site.get(None, (), 0.0, None).values == [1.0]


def test_what_the_function_raises_is_an_outcome_and_its_traceback_is_kept_where_there_is_a_clock():
    def cost(w):
        raise ValueError("no")

    assert site_of(cost).ask((), 0.0, None).error == "ValueError: no"
    assert site_of(cost).ask((), 0.0, None).trace == ""
    assert 'raise ValueError("no")' in site_of(cost, clock=iter(range(9)).__next__).ask((), 0.0, None).trace


def test_a_call_is_timed_by_the_clock():
    assert site_of(lambda w: 1.0, clock=iter([3.0, 5.5]).__next__).ask((), 0.0, None).seconds == 2.5


def test_a_function_that_was_not_asked_says_so():
    def cost(w):
        raise OutOfBounds("outside")

    outcome = site_of(cost).ask((), 0.0, None)
    assert outcome.outside
    assert outcome.values is None


def test_equal_displacements_have_equal_marks_and_others_have_others():
    site = site_of(lambda w: 1.0)

    def mark(direction, step):
        marker = Marker()
        site.ask(site.components(direction), step, marker)
        return marker.digest.digest()

    assert mark(ANYWHERE, 0.1) == mark(ANYWHERE, 0.1)
    assert len({mark(ANYWHERE, 0.1), mark(ANYWHERE, 0.1 + 1e-15), mark(EAST, 0.1)}) == 3


def test_a_marker_hands_on_what_it_sees():
    seen = []
    site = site_of(lambda w: 1.0)
    site.ask(site.components(EAST), 0.5, Marker(lambda *shown: seen.append(shown)))
    ((block, there, old),) = seen
    assert (block, there.tolist(), old.tolist()) == (0, [1.5, 2.0, 3.0], [1.0, 2.0, 3.0])


def test_given_directions_are_told_apart_by_their_text():
    one, other = GivenDirection((W,)), GivenDirection((2 * W,))
    assert repr(one) == repr(GivenDirection((W.copy(),)))
    assert repr(one) != repr(other)


# --- in a worker ------------------------------------------------------------------------------------------------------


def test_a_worker_that_does_not_know_the_problem_asks_for_it_and_keeps_it():
    assert call_there("a", None, EAST, 0.5) is None
    first = call_there("a", shipment_of(np.sum), EAST, 0.5)
    again = call_there("a", None, EAST, 0.5)
    assert first.values == again.values == [6.5]
    assert first.mark == again.mark != b""


def test_a_worker_displaces_as_the_checking_process_does():
    here = site_of(np.sum)
    marker = Marker()
    outcome = here.ask(here.components(ANYWHERE), 0.1, marker)
    there = call_there("a", shipment_of(np.sum), ANYWHERE, 0.1)
    assert there.mark == marker.digest.digest()
    assert there.values == outcome.values


def test_a_worker_repeats_the_point():
    assert call_there("a", shipment_of(np.sum), None, 0.0).values == [6.0]


def test_a_worker_says_why_it_cannot_take_a_problem():
    assert knows("a", None) is None
    assert "UnpicklingError" in knows("a", b"no pickle")
    assert knows("a", shipment_of(np.sum)) == ""
    assert knows("a", None) == ""


def test_a_worker_forgets_the_oldest_of_many_problems():
    for k in range(KEPT + 1):
        unpack(str(k), shipment_of(np.sum))
    assert list(SITES) == [str(k) for k in range(1, KEPT + 1)]
