"""The course's story, told in plain sentences: a gradient checked, two mistakes found and mended, then turned off."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any, Final

from gradproof import course
from gradproof._numerics.statistics import within
from gradproof._words.results import Report, Verdict
from gradproof.monitor import GradientMonitor
from gradproof.reports import to_text
from gradproof.reports._numbers import bound, short

Write = Callable[[str], None]

SEED: Final = 7
"""Of the random directions: the story is the same each time it is told."""
CLASSIC_THRESHOLD: Final = 1e-7
LATER_THRESHOLD: Final = 2e-7
STEPS: Final = 200
LEARNING_RATE: Final = 0.05
MULTIPLES: Final = {"W2": 2.0, "b1": 4.0}
"""The planted mistakes: what the claimed gradients of these blocks are multiples by."""


class _Story:
    """Writes paragraphs, and keeps count of what did not come out as told."""

    def __init__(self, write: Write, *, color: bool) -> None:
        self.write = write
        self.color = color
        self.lapses: list[str] = []

    def say(self, text: str) -> None:
        self.write(textwrap.fill(" ".join(text.split()), 80))

    def title(self, text: str) -> None:
        self.write(f"\n{text}\n{'-' * len(text)}")

    def show(self, report: Report) -> None:
        self.write("\n" + textwrap.indent(to_text(report, width=76, color=self.color), "    "))

    def expect(self, came_out: bool, what: str) -> None:
        if not came_out:
            self.lapses.append(what)


def tell(write: Write, *, color: bool = False) -> bool:
    """Tell the story.

    Parameters
    ----------
    write
        Takes a paragraph at a time.
    color
        Whether the reports have ANSI colours.

    Returns
    -------
    bool
        Whether all came out as told.
    """
    story = _Story(write, color=color)
    _one_parameter(story)
    X, Y, parameters = course.gradient_check_n_test_case()
    _with_mistakes(story, X, Y, parameters)
    _mended(story, X, Y, parameters)
    _trained(story, X, Y, parameters)
    for lapse in story.lapses:
        story.say(f"This did not come out as told: {lapse}.")
    return not story.lapses


def _one_parameter(story: _Story) -> None:
    x, theta = 2.0, 4.0
    difference = course.gradient_check(x, theta)
    story.title("1. One parameter")
    story.say(
        f"The cost is J(θ) = θ·x with x = {x:g}, and backward propagation says dJ/dθ = x. The classic check moves θ = {theta:g} by "
        f"1e-7 to either side and compares: difference = {short(difference, 4)}, far below {short(CLASSIC_THRESHOLD)}. The "
        "derivative is right."
    )
    story.expect(within(difference - 2.919335883291695e-10, 1e-15), "the difference is 2.919e-10")


def _with_mistakes(story: _Story, X: Any, Y: Any, parameters: dict[str, Any]) -> None:
    _, cache = course.forward_propagation_n(X, Y, parameters)
    gradients = course.backward_propagation_n_with_mistakes(X, Y, cache)
    difference = course.gradient_check_n(parameters, gradients, X, Y)
    report = course.check(parameters, gradients, X, Y, seed=SEED)
    story.title("2. A three-layer network, with two mistakes planted in it")
    story.say(
        f"Now 47 parameters. The classic check calls the cost {2 * 47} times and answers with one number: difference = "
        f"{difference:.6f}. There is a mistake in the backward propagation, but where? The same question to gradproof:"
    )
    story.show(report)
    story.write("")
    story.say("The blocks are named, and so are the causes: dW2 was doubled, and db1 was multiplied by 4/m, not 1/m.")
    story.expect(within(difference - 0.2850931567761623, 1e-6), "the classic difference is 0.285093")
    story.expect(report.verdict is Verdict.WRONG, "the gradient with mistakes is WRONG")
    story.expect(set(report.faulty) == set(MULTIPLES), "W2 and b1, and no other block, are named")
    for block, multiple in MULTIPLES.items():
        named = any(d.block == block and within(d.coefficient - multiple, 1e-3) for d in report.diagnoses)
        story.expect(named, f"the cause in {block} is named as a factor of {multiple:g}")


def _mended(story: _Story, X: Any, Y: Any, parameters: dict[str, Any]) -> None:
    _, cache = course.forward_propagation_n(X, Y, parameters)
    gradients = course.backward_propagation_n(X, Y, cache)
    difference = course.gradient_check_n(parameters, gradients, X, Y)
    report = course.check(parameters, gradients, X, Y, seed=SEED)
    story.title("3. Mended")
    story.say(
        f"With both lines mended the classic difference is {short(difference, 4)}. That is rounding noise of the cost, and yet it fails "
        f"the original threshold of {short(CLASSIC_THRESHOLD)}; later editions of the course ask for {short(LATER_THRESHOLD)}, which "
        "it passes. A correct gradient should not need a lenient threshold; gradproof measures the noise and says:"
    )
    story.show(report)
    story.expect(CLASSIC_THRESHOLD < difference < LATER_THRESHOLD, "the classic difference is between 1e-7 and 2e-7")
    story.expect(report.verdict is Verdict.CORRECT, "the mended gradient is CORRECT")


def _trained(story: _Story, X: Any, Y: Any, parameters: dict[str, Any]) -> None:
    monitor = GradientMonitor(
        lambda parameters, gradients: course.check(parameters, gradients, X, Y, seed=SEED),
        at=(0, 10, 100),
        on_wrong="stop",
    )
    costs = []
    for step in range(STEPS):
        cost, cache = course.forward_propagation_n(X, Y, parameters)
        gradients = course.backward_propagation_n(X, Y, cache)
        monitor(step, parameters, gradients)
        parameters = {name: value - LEARNING_RATE * gradients[f"d{name}"] for name, value in parameters.items()}
        costs.append(float(cost))
    checked = monitor.reports
    story.title("4. Trained, and the check turned off")
    story.say(
        f"The network is trained for {STEPS} steps, and the cost falls from {costs[0]:.3f} to {costs[-1]:.3f}. A GradientMonitor "
        f"in the loop checked the gradient at steps {', '.join(map(str, checked))}:"
    )
    for step, report in checked.items():
        story.write(
            f"    step {step:3d}: {report.verdict.name}, difference at most {bound(report.difference.upper, 2)}"
        )
    story.say(
        "It has been off since: checking is for making sure that the code is right, and it costs nothing afterwards."
    )
    story.expect(costs[-1] < costs[0] / 2, "training more than halves the cost")
    story.expect(list(checked) == [0, 10, 100] and not monitor.active, "the monitor checks three times and is over")
    right = all(report.verdict is Verdict.CORRECT for report in checked.values())
    story.expect(right, "the gradient is CORRECT all along the training")
