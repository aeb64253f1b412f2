"""Which step of a backward pass is wrong: named by what it starts from and where it ends."""

from __future__ import annotations

import numpy as np
import pytest

from gradproof import Report, Step, Verdict, check_gradient, tap

RNG = np.random.default_rng(8)
X = RNG.standard_normal((3, 7))
POINT = {"W1": RNG.standard_normal((4, 3)), "W2": RNG.standard_normal((4, 4)), "W3": RNG.standard_normal((1, 4))}
PASS = ("W1", "W2", "W3", "Z1", "A1", "Z2", "S", "y")


def forward(p):
    Z1 = tap("Z1", p["W1"] @ X)
    A1 = tap("A1", np.tanh(Z1))
    Z2 = tap("Z2", p["W2"] @ A1)
    S = tap("S", Z2 + A1)  # a residual connection: A1 feeds Z2 and S
    return Z1, A1, Z2, S, tap("y", p["W3"] @ S)


def cost(p):
    return float(np.mean(forward(p)[-1] ** 2))


def backward(p, mistakes=()):
    return both(p, mistakes)[1]


def both(p, mistakes=()):
    Z1, A1, _, S, y = forward(p)
    g = {}

    def put(name, value):
        g[name] = mistakes[name](value) if name in mistakes else value
        return g[name]

    dy = put("y", 2 * y / y.size)
    put("W3", dy @ S.T)
    dS = put("S", p["W3"].T @ dy)
    dZ2 = put("Z2", dS)
    put("W2", dZ2 @ A1.T)
    dA1 = put("A1", p["W2"].T @ dZ2 + dS)
    dZ1 = put("Z1", dA1 * (1 - np.tanh(Z1) ** 2))
    put("W1", dZ1 @ X.T)
    return float(np.mean(y**2)), g


def check(mistakes=(), **options):
    return check_gradient(cost, POINT, backward(POINT, mistakes), seed=3, strategy="certificate", **options)


def twice(value):
    return 2 * value


FEEDS = {
    "y": (),
    "W3": ("y",),
    "S": ("y",),
    "Z2": ("S",),
    "W2": ("Z2",),
    "A1": ("S", "Z2"),
    "Z1": ("A1",),
    "W1": ("Z1",),
}


def test_a_right_backward_pass_has_no_wrong_step():
    report = check()
    assert (report.verdict, report.step) == (Verdict.CORRECT, None)
    assert [block.name for block in report.blocks] == list(PASS)


@pytest.mark.parametrize("name", FEEDS)
@pytest.mark.parametrize("mistake", [twice, np.negative, lambda g: np.roll(g, 1, axis=-1)], ids=["2", "-1", "roll"])
def test_the_one_wrong_step_is_named_by_its_two_ends(name, mistake):
    report = check({name: mistake})
    assert (report.step.right, report.step.wrong) == (FEEDS[name], (name,))
    assert name in report.faulty
    assert "at least" not in report.step.sentence
    assert {diagnosis.block for diagnosis in report.diagnoses} == {name}


def test_the_sentence_says_from_where_to_where():
    assert check({"Z1": twice}).step.sentence == (
        "The gradient by A1 is right, the one by Z1 is not: the mistake is in the step of the backward pass from A1 to Z1."
    )
    assert check({"A1": twice}).step.sentence.startswith("The gradients by S and Z2 are right, the one by A1 is not")
    assert "from the cost to y" in check({"y": twice}).step.sentence


def test_the_first_of_several_wrong_steps_is_the_step_and_the_others_are_mentioned():
    report = check({"W2": twice, "Z1": twice, "W3": twice})
    assert (report.step.right, report.step.wrong) == (("y",), ("W3",))
    assert report.step.sentence.endswith("There are at least 3 mistakes: also from Z2 to W2 and from A1 to Z1.")


def test_two_mistakes_that_cancel_in_the_parameters_are_found():
    report = check({"A1": twice, "Z1": lambda g: g / 2})
    assert report.faulty == ("A1",)
    assert (report.step.right, report.step.wrong) == (("S", "Z2"), ("A1",))
    assert "from A1 to Z1" in report.step.sentence


def test_a_step_over_what_is_not_claimed_is_named_by_what_is():
    claimed = backward(POINT, {"Z2": twice})
    for name in ("Z2", "A1"):
        del claimed[name]
    report = check_gradient(cost, POINT, claimed, seed=3, strategy="certificate")
    assert (report.step.right, report.step.wrong) == (("S",), ("W2",))
    assert "from S to Z1" in report.step.sentence


def test_the_cause_is_looked_for_in_the_step_alone():
    report = check({"S": lambda g: 3 * g})
    assert len(report.faulty) == 6
    (diagnosis,) = report.diagnoses
    assert diagnosis.coefficient == pytest.approx(3, rel=1e-6)
    assert diagnosis.certified_remedy == "S / 3"


@pytest.mark.parametrize("strategy", ["auto", "certificate", "coordinates"])
@pytest.mark.parametrize("kind", ["arrays", "callable", "with the cost"])
def test_claims_of_every_kind_and_strategy_name_the_step(strategy, kind):
    mistakes = {"Z2": twice}
    claimed = backward(POINT, mistakes)
    if kind == "with the cost":
        report = check_gradient(lambda p: both(p, mistakes), POINT, True, seed=3, strategy=strategy)
    else:
        given = claimed if kind == "arrays" else lambda p: backward(p, mistakes)
        report = check_gradient(cost, POINT, given, seed=3, strategy=strategy)
    assert (report.step.right, report.step.wrong) == (("S",), ("Z2",))


def test_auxiliary_values_beside_the_cost_do_not_matter():
    report = check_gradient(
        lambda p: (cost(p), "more"), POINT, backward(POINT, {"Z2": twice}), seed=3, has_aux=True, strategy="certificate"
    )
    assert report.step.wrong == ("Z2",)


def test_patterns_choose_among_the_parameters_and_leave_the_taps():
    report = check_gradient(cost, POINT, backward(POINT, {"Z2": twice}), seed=3, only="W3", strategy="certificate")
    assert [block.name for block in report.blocks] == ["W3", "Z1", "A1", "Z2", "S", "y"]
    assert report.step.wrong == ("Z2",)


def test_a_point_that_is_no_dictionary_is_claimed_as_one_by_its_positions():
    claimed = backward(POINT, {"Z2": twice})
    weights = list(POINT.values())
    given = {0: claimed["W1"], 1: claimed["W2"], 2: claimed["W3"]} | {name: claimed[name] for name in PASS[3:]}
    report = check_gradient(
        lambda w: cost(dict(zip(POINT, w, strict=True))), weights, given, seed=3, strategy="certificate"
    )
    assert report.step.wrong == ("Z2",)


def test_each_call_of_the_cost_is_counted_and_within_the_budget():
    calls = 0

    def counted(p):
        nonlocal calls
        calls += 1
        return cost(p)

    for budget in (None, 400, 120, 60, 20):
        calls = 0
        report = check_gradient(
            counted, POINT, backward(POINT, {"Z2": twice}), seed=3, budget=budget, strategy="certificate"
        )
        assert report.evaluations == calls <= report.budget
        assert report.verdict is not Verdict.CORRECT


def test_a_step_survives_the_journey_through_json():
    report = check({"Z2": twice})
    again = Report.from_json(report.to_json())
    assert again == report
    assert again.step == Step(right=("S",), wrong=("Z2",), sentence=report.step.sentence)


def test_the_text_has_the_step_before_the_causes():
    text = str(check({"Z2": twice}))
    assert text.index("Step\n") < text.index("Cause\n") < text.index("Blocks\n")


def test_several_points_each_have_their_own_taps():
    points = [{name: value + 0.01 * k for name, value in POINT.items()} for k in range(2)]
    report = check_gradient(
        cost, POINT, lambda p: backward(p, {"Z2": twice}), points=points, seed=3, strategy="certificate"
    )
    assert report.step.wrong == ("Z2",)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_low_precision_is_judged_by_its_own_tolerance(dtype):
    point = {name: value.astype(dtype) for name, value in POINT.items()}

    def low(p, mistakes=()):
        return {name: g.astype(dtype) for name, g in backward(p, mistakes).items()}

    right = check_gradient(cost, point, low(point), seed=3, strategy="certificate")
    wrong = check_gradient(cost, point, low(point, {"Z2": twice}), seed=3, strategy="certificate")
    assert (right.verdict, right.step) == (Verdict.CORRECT, None)
    assert (wrong.step.right, wrong.step.wrong) == (("S",), ("Z2",))
