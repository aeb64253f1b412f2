"""What all tests share: repeatable hypothesis runs, a generator, and the course's fixture."""

from __future__ import annotations

from typing import NamedTuple

import hypothesis
import numpy as np
import pytest

# The same examples in every run (a failure is a failure of the code, never of the day), and no assertion on time.
hypothesis.settings.register_profile("gradproof", derandomize=True, deadline=None, database=None, print_blob=True)
hypothesis.settings.load_profile("gradproof")


class CourseNetwork(NamedTuple):
    """The course's network at its fixture, with its gradient right and with both planted mistakes."""

    X: np.ndarray
    Y: np.ndarray
    parameters: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    mistaken: dict[str, np.ndarray]

    def cost(self, parameters):
        from gradproof import course

        return course.forward_propagation_n(self.X, self.Y, parameters)[0]


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


@pytest.fixture
def network():
    from gradproof import course

    X, Y, parameters = course.gradient_check_n_test_case()
    _, cache = course.forward_propagation_n(X, Y, parameters)
    return CourseNetwork(
        X,
        Y,
        parameters,
        course.backward_propagation_n(X, Y, cache),
        course.backward_propagation_n_with_mistakes(X, Y, cache),
    )
