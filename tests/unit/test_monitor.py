"""The monitor checks when it should, reacts as it was told, and is otherwise not there."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from gradproof._words.errors import (
    GradproofWarning,
    InconclusiveGradient,
    NonFiniteCost,
    ShapeMismatch,
    UsageError,
    WrongGradient,
)
from gradproof._words.results import BlockResult, Difference, Reason, Report, Verdict
from gradproof.monitor import GradientMonitor


def report_with(verdict):
    difference = Difference(estimate=0.25, lower=0.2, upper=0.3)
    blocks = tuple(
        BlockResult(
            name=name,
            shape=(2,),
            dtype="float64",
            verdict=verdict,
            difference=difference,
            resolution=1e-9,
            tolerance=1e-7,
        )
        for name in ("W2", "b1")
    )
    return Report(
        verdict=verdict,
        difference=difference,
        blocks=blocks,
        tolerance=1e-7,
        tolerance_reason="given",
        confidence=0.999999,
        strategy="auto",
        seed=1,
        budget=1000,
        evaluations=11,
        cost=1.0,
        noise=1e-16,
        reason=Reason.NOISE if verdict is Verdict.INCONCLUSIVE else None,
    )


def checked_steps(steps, **schedule):
    """Run a loop and return the steps at which the check was made."""
    monitor = GradientMonitor(lambda: report_with(Verdict.CORRECT), **schedule)
    made = [step for step in steps if monitor(step) is not None]
    assert made == list(monitor.reports)
    return made, monitor


def test_by_default_it_checks_at_steps_0_10_and_100_and_is_then_off():
    made, monitor = checked_steps(range(1000))
    assert made == [0, 10, 100]
    assert not monitor.active


def test_it_is_active_until_its_last_step():
    _, monitor = checked_steps(range(100))
    assert monitor.active
    monitor(100)
    assert not monitor.active


def test_every_adds_multiples_and_never_ends():
    made, monitor = checked_steps(range(100), at=(0, 7), every=30)
    assert made == [0, 7, 30, 60, 90]
    assert monitor.active


def test_every_alone_begins_at_step_0():
    assert checked_steps(range(9), at=(), every=4)[0] == [0, 4, 8]


def test_without_any_step_it_is_off_from_the_start():
    made, monitor = checked_steps(range(9), at=())
    assert made == []
    assert not monitor.active


def test_steps_may_be_given_in_any_order_and_twice():
    assert checked_steps(range(9), at=(5, 2, 5))[0] == [2, 5]


def test_a_step_that_the_loop_leaps_over_is_checked_at_the_next_one_once():
    assert checked_steps(range(3, 40, 4), at=(0, 1, 10, 20))[0] == [3, 11, 23]


def test_due_foretells_the_check_without_making_it():
    monitor = GradientMonitor(lambda: report_with(Verdict.CORRECT), at=(1,))
    assert [monitor.due(step) for step in (0, 1, 1)] == [False, True, True]
    assert monitor.reports == {}
    monitor(1)
    assert not monitor.due(1)


def test_what_the_loop_passes_reaches_the_check_as_it_is():
    seen = []

    def check(parameters, *, gradients):
        seen.append((parameters, gradients))
        return report_with(Verdict.CORRECT)

    parameters, gradients = {"W": np.ones(3)}, {"W": np.zeros(3)}
    monitor = GradientMonitor(check, at=(1,))
    for step in range(3):
        monitor(step, parameters, gradients=gradients)
    assert len(seen) == 1
    assert seen[0][0] is parameters
    assert seen[0][1] is gradients


def test_in_between_and_after_the_last_step_nothing_of_the_arguments_is_touched():
    class Untouchable:
        def __getattribute__(self, name):
            raise AssertionError(name)

    monitor = GradientMonitor(lambda _: report_with(Verdict.CORRECT), at=(5,))
    assert monitor(0, Untouchable()) is None
    monitor(5, None)
    assert monitor(6, Untouchable()) is None


def test_a_correct_gradient_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GradientMonitor(lambda: report_with(Verdict.CORRECT))(0)


def test_a_wrong_gradient_warns_at_the_line_of_the_loop_and_the_training_goes_on():
    monitor = GradientMonitor(lambda: report_with(Verdict.WRONG))
    sentence = r"step 10: the gradient is wrong in W2, b1; relative difference 0\.25, .*monitor\.reports\[10\]"
    with pytest.warns(GradproofWarning, match=sentence) as caught:
        report = monitor(10)
    assert caught[0].filename == __file__
    assert report is monitor.reports[10]
    assert report.verdict is Verdict.WRONG


def test_a_wrong_gradient_stops_the_training_where_asked_for():
    monitor = GradientMonitor(lambda: report_with(Verdict.WRONG), on_wrong="stop")
    with pytest.raises(WrongGradient) as caught:
        monitor(0)
    assert caught.value.report is monitor.reports[0]


def test_an_inconclusive_check_warns_with_its_reason():
    monitor = GradientMonitor(lambda: report_with(Verdict.INCONCLUSIVE))
    with pytest.warns(GradproofWarning, match=r"neither right nor wrong \(the noise of the cost hides"):
        monitor(0)


def test_an_inconclusive_check_stops_the_training_only_where_that_is_asked_for():
    with pytest.raises(InconclusiveGradient):
        GradientMonitor(lambda: report_with(Verdict.INCONCLUSIVE), on_inconclusive="stop")(0)
    with pytest.warns(GradproofWarning):
        GradientMonitor(lambda: report_with(Verdict.INCONCLUSIVE), on_wrong="stop")(0)


@pytest.mark.parametrize("verdict", [Verdict.WRONG, Verdict.INCONCLUSIVE])
def test_ignored_verdicts_are_kept_in_the_reports(verdict):
    monitor = GradientMonitor(lambda: report_with(verdict), on_wrong="ignore", on_inconclusive="ignore")
    assert monitor(0).verdict is verdict
    assert list(monitor.reports) == [0]


def failing_check(error):
    def check():
        raise error

    return check


@pytest.mark.parametrize("on_wrong", ["warn", "ignore"])
def test_a_cost_that_cannot_be_evaluated_warns_and_the_next_check_is_made(on_wrong):
    monitor = GradientMonitor(failing_check(NonFiniteCost("J(θ) is nan")), on_wrong=on_wrong)
    with pytest.warns(GradproofWarning, match=r"step 0: the gradient could not be checked\. J\(θ\) is nan"):
        assert monitor(0) is None
    assert monitor.due(10)


def test_a_cost_that_cannot_be_evaluated_stops_the_training_where_asked_for():
    with pytest.raises(NonFiniteCost):
        GradientMonitor(failing_check(NonFiniteCost("J(θ) is nan")), on_wrong="stop")(0)


def test_a_check_that_is_called_wrongly_is_never_hidden():
    with pytest.raises(ShapeMismatch):
        GradientMonitor(failing_check(ShapeMismatch("W1 has shape (2,)")), on_wrong="ignore")(0)


def test_a_check_that_returns_no_report_is_refused():
    with pytest.raises(UsageError, match="step 0: the check returned NoneType"):
        GradientMonitor(lambda: None)(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"at": (0, -1)}, "at has -1"),
        ({"at": (0.5,)}, r"at has 0\.5"),
        ({"at": (True,)}, "at has True"),
        ({"every": 0}, "every has 0"),
        ({"on_wrong": "shout"}, "on_wrong is 'shout'.*'warn', 'stop', 'ignore'"),
        ({"on_inconclusive": None}, "on_inconclusive is None"),
        ({"check": "course.check"}, "check is 'course.check'"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        GradientMonitor(**({"check": lambda: None} | arguments))


def test_steps_of_any_integer_type_are_taken():
    assert checked_steps(np.arange(5), at=np.array([1, 3]))[0] == [1, 3]


def test_a_course_network_in_training_is_caught_with_its_mistakes(network):
    from gradproof import course

    monitor = GradientMonitor(
        lambda parameters, gradients: course.check(parameters, gradients, network.X, network.Y, seed=1),
        at=(1,),
        on_wrong="stop",
    )

    def train(parameters):
        for step in range(3):
            _, cache = course.forward_propagation_n(network.X, network.Y, parameters)
            gradients = course.backward_propagation_n_with_mistakes(network.X, network.Y, cache)
            monitor(step, parameters, gradients)
            parameters = {name: value - 0.01 * gradients[f"d{name}"] for name, value in parameters.items()}

    with pytest.raises(WrongGradient) as caught:
        train(network.parameters)
    assert set(caught.value.report.faulty) == {"W2", "b1"}
    assert list(monitor.reports) == [1]
