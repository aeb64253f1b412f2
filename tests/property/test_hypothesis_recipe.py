"""``assert_gradient`` inside ``@given``: it shrinks to the simplest point, and what failed fails again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, assume, given, reproduce_failure, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.errors import FlakyFailure
from hypothesis.extra.numpy import arrays

import gradproof

POINTS = arrays(np.float64, st.integers(1, 5), elements=st.floats(-30, 30, width=32))


def softplus(x):
    return np.sum(np.logaddexp(0, x))


def gradient(x):
    return 1 / (1 + np.exp(-x))


def wrong_above_three(x):
    return np.where(x > 3, 1.0, gradient(x))


class Recipe:
    """The recipe of docs/hypothesis.md for one claim; it remembers the points and the reports of its failures."""

    def __init__(self, claim, **options):
        self.points = []
        self.failures = []
        chosen = settings(**{"derandomize": True, "database": None, "deadline": None, "max_examples": 60} | options)

        @chosen
        @given(POINTS)
        def run(x):
            self.points.append(x)
            try:
                report = gradproof.assert_gradient(softplus, x, claim, inconclusive="skip", seed=0)
            except gradproof.WrongGradient as error:
                self.failures.append(error.report)
                raise
            assume(report.verdict is gradproof.Verdict.CORRECT)

        self.run = run

    def fail(self):
        with pytest.raises(gradproof.WrongGradient) as caught:
            self.run()
        return caught.value


def test_a_right_gradient_passes_at_every_point():
    recipe = Recipe(gradient)
    recipe.run()
    assert len(recipe.points) >= 60


def test_a_wrong_gradient_shrinks_to_the_simplest_point_at_which_it_is_wrong():
    recipe = Recipe(wrong_above_three)
    error = recipe.fail()
    assert recipe.points[-1].tolist() == [4.0]  # one element, the smallest whole number above three
    assert error.report is recipe.failures[-1]
    assert error.report.cost == softplus(np.array([4.0]))
    assert "x=array([4.])" in "".join(error.__notes__)


def test_a_run_ends_at_the_same_point_with_the_same_measurement_to_the_last_digit():
    first, second = Recipe(wrong_above_three), Recipe(wrong_above_three)
    first.fail()
    second.fail()
    assert first.points[-1].tolist() == second.points[-1].tolist()
    assert first.failures[-1].difference == second.failures[-1].difference
    assert first.failures[-1].diagnoses == second.failures[-1].diagnoses


def test_a_failure_of_yesterday_is_the_first_point_of_today():
    database = InMemoryExampleDatabase()
    yesterday = Recipe(wrong_above_three, database=database, derandomize=False)
    yesterday.fail()
    today = Recipe(wrong_above_three, database=database, derandomize=False)
    today.fail()
    assert yesterday.points[-1].tolist() == today.points[0].tolist() == [4.0]
    assert len(today.points) < len(yesterday.points)


def test_the_printed_blob_reproduces_the_failure():
    recipe = Recipe(wrong_above_three, print_blob=True)
    (note,) = [note for note in recipe.fail().__notes__ if "@reproduce_failure" in note]
    again = Recipe(wrong_above_three)
    decorator = note.partition("@")[2].partition(" as a decorator")[0]
    again.run = eval(decorator, {"reproduce_failure": reproduce_failure})(again.run)
    again.fail()
    assert [x.tolist() for x in again.points] == [[4.0]]


def test_a_claim_that_changes_its_mind_is_noticed():
    asked = []

    def wrong_only_once(x):
        asked.append(x)
        return 2 * gradient(x) if len(asked) == 1 else gradient(x)

    with pytest.raises(FlakyFailure):
        Recipe(wrong_only_once, phases=[Phase.generate]).run()
