"""Train the course's three-layer network on real data, with its gradient checked at three steps and then no more.

The data: 569 tumours, 30 measurements each, benign or malignant (scikit-learn's breast-cancer table). The network is
the course's LINEAR → RELU → LINEAR → RELU → LINEAR → SIGMOID with 16 and 8 hidden units: 641 parameters. Afterwards the
same checks judge each of the course's two mistakes.

    python examples/three_layer_network.py

It ends with exit code 0 if the story comes out as it should: the right gradient CORRECT, each mistake found by name.
"""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
from sklearn.datasets import load_breast_cancer

from gradproof import Verdict, WrongGradient, course
from gradproof.monitor import GradientMonitor

SIZES = (30, 16, 8, 1)
STEPS = 200
LEARNING_RATE = 0.2


def load():
    """Return standardised inputs (30, m) and labels (1, m) of a training part and of a held-out quarter."""
    table = load_breast_cancer()
    X, Y = table.data.T, table.target.reshape(1, -1)
    order = np.random.default_rng(0).permutation(X.shape[1])
    held_out, training = np.split(order, [X.shape[1] // 4])
    mean, deviation = X[:, training].mean(axis=1, keepdims=True), X[:, training].std(axis=1, keepdims=True)
    X = (X - mean) / deviation
    return X[:, training], Y[:, training], X[:, held_out], Y[:, held_out]


def initial_parameters():
    """Draw W from N(0, 2/fan-in) (He et al., ICCV 2015), b = 0."""
    rng = np.random.default_rng(1)
    parameters = {}
    for layer, (fan_in, size) in enumerate(pairwise(SIZES), start=1):
        parameters[f"W{layer}"] = rng.standard_normal((size, fan_in)) * np.sqrt(2 / fan_in)
        parameters[f"b{layer}"] = np.zeros((size, 1))
    return parameters


def train(X, Y, backward, monitor):
    """Descend along what the backward pass calls the gradient; the monitor looks at it at its steps."""
    parameters = initial_parameters()
    for step in range(STEPS):
        _, cache = course.forward_propagation_n(X, Y, parameters)
        gradients = backward(X, Y, cache)
        monitor(step, parameters, gradients)
        parameters = {name: value - LEARNING_RATE * gradients[f"d{name}"] for name, value in parameters.items()}
    return parameters


def accuracy(X, Y, parameters):
    """Return the share of examples whose probability is on the right side of one half."""
    _, cache = course.forward_propagation_n(X, Y, parameters)
    A3 = cache[9]
    return float(np.mean((A3 > 0.5) == Y))


def main() -> int:
    X, Y, X_held_out, Y_held_out = load()
    as_it_should_be = []

    def expect(sentence, condition):
        as_it_should_be.append(condition)
        print(f"{sentence}{'' if condition else '   <-- NOT AS IT SHOULD BE'}")

    def new_monitor():
        return GradientMonitor(
            lambda parameters, gradients: course.check(parameters, gradients, X, Y, seed=0), on_wrong="stop"
        )

    monitor = new_monitor()
    parameters = train(X, Y, course.backward_propagation_n, monitor)
    for step, report in monitor.reports.items():
        expect(
            f"training, step {step:3}: {report.verdict.name}, difference at most {report.difference.upper:.1e}, "
            f"{report.evaluations} evaluations",
            report.verdict is Verdict.CORRECT,
        )
    expect(f"the monitor is off after {len(monitor.reports)} checks", not monitor.active and len(monitor.reports) == 3)
    share = accuracy(X_held_out, Y_held_out, parameters)
    expect(f"accuracy on the held-out quarter: {share:.1%}", share > 0.9)

    _, cache = course.forward_propagation_n(X, Y, parameters)
    right = course.backward_propagation_n(X, Y, cache)
    mistaken = course.backward_propagation_n_with_mistakes(X, Y, cache)
    print(f"\n{'after training, every coordinate':34}  classic difference  verdict       wrong in")
    for title, wrong in (("right", ()), ("dW2 doubled", ("W2",)), ("db1 with 4/m for 1/m", ("b1",))):
        gradients = right | {f"d{name}": mistaken[f"d{name}"] for name in wrong}
        classic = course.gradient_check_n(parameters, gradients, X, Y)
        report = course.check(parameters, gradients, X, Y, strategy="coordinates", seed=0)
        expect(
            f"{title:34}  {classic:18.2e}  {report.verdict.name:12}  {', '.join(report.faulty) or '-'}",
            report.verdict is (Verdict.WRONG if wrong else Verdict.CORRECT) and report.faulty == wrong,
        )

    print()
    try:
        train(X, Y, course.backward_propagation_n_with_mistakes, new_monitor())
        expect("training with both mistakes went on", condition=False)
    except WrongGradient as stop:
        faulty = stop.report.faulty
        expect(f"training with both mistakes: stopped, wrong in {', '.join(faulty)}", set(faulty) == {"W2", "b1"})
    return 0 if all(as_it_should_be) else 1


if __name__ == "__main__":
    sys.exit(main())
