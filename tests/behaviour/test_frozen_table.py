"""The short form of the frozen table: no right claim has become WRONG, no wrong one CORRECT, and no verdict has changed unseen."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from behaviourcases import along, costs, maps
from behaviourcases.case import Row, Truth, run

import behaviour

MEANT = behaviour.improved()


@pytest.fixture(scope="module")
def frozen():
    return behaviour.read(behaviour.FROZEN)


@pytest.fixture(scope="module", params=["costs", "along", "maps"])
def rows(request):
    units = [unit for unit in behaviour.units(quick=True) if unit.module == request.param]
    found = [row for unit in units for row in behaviour.run_unit((unit, True, "*"))[1]]
    return {row.key: row for row in found}


def test_no_verdict_of_the_short_form_is_worse_than_the_frozen_one(rows, frozen):
    assert rows.keys() <= frozen.keys()
    result = behaviour.compare({key: frozen[key] for key in rows}, rows, MEANT, part=False)
    assert result.alarms == []
    assert result.misses == []
    assert result.raised == []
    assert result.gone == []
    assert result.other == []  # what is meant stands in benchmarks/behaviour/improved.json, with its reason


def test_calls_are_those_stated_and_within_the_budget(rows):
    assert [row.key for row in rows.values() if row.over_budget] == []


def test_the_truths_are_those_of_the_frozen_table(rows, frozen):
    assert {key: row.truth for key, row in rows.items()} == {key: frozen[key].truth for key in rows}


def test_the_short_form_has_right_and_wrong_claims_that_are_decided(rows):
    decided = [row for row in rows.values() if row.decided_rightly]
    assert sum(row.truth == "right" for row in decided) >= 15
    assert sum(row.truth == "wrong" for row in decided) >= 30


# ---------------------------------------------------------------------------------------------------- it can fail


ROW = Row(
    key="check_vjp | auto | maps | tanh layer | right | 0",
    truth="right",
    difference=0.0,
    exact=1e-12,
    verdict="CORRECT",
    reason="",
    lower=0.0,
    estimate=1e-12,
    upper=1e-9,
    tolerance=1e-7,
    evaluations=13,
    counted=13,
    blocks=[],
    causes=[],
    placed=None,
    named=None,
)
WRONG = ROW._replace(truth="wrong", difference=0.3, verdict="WRONG")
UNDECIDED = {"verdict": "INCONCLUSIVE", "reason": "NOISE"}


def compared(before, after, meant=()):
    result = behaviour.compare({before.key: before}, {after.key: after}, meant, part=False)
    kinds = ("alarms", "misses", "raised", "gone", "over_budget", "better", "meant", "other")
    return {kind for kind in kinds if getattr(result, kind)}, result.failed


@pytest.mark.parametrize(
    ("before", "after", "kind", "failed"),
    [
        (ROW, ROW._replace(verdict="WRONG"), "alarms", True),
        (ROW._replace(**UNDECIDED), ROW._replace(verdict="WRONG"), "alarms", True),
        (WRONG, WRONG._replace(verdict="CORRECT"), "misses", True),
        (WRONG._replace(**UNDECIDED), WRONG._replace(verdict="CORRECT"), "misses", True),
        (WRONG._replace(truth="masked"), WRONG._replace(truth="masked", verdict="CORRECT"), "misses", True),
        (ROW, ROW._replace(verdict="RAISED", reason="KeyError"), "raised", True),
        (ROW, ROW._replace(counted=14), "over_budget", True),
        (ROW, ROW._replace(evaluations=1001, counted=1001), "over_budget", True),
        (ROW, ROW._replace(key="another | auto | maps | tanh layer | right | 0"), "gone", True),
        (ROW, ROW._replace(**UNDECIDED), "other", False),
        (WRONG, WRONG._replace(**UNDECIDED), "other", False),
        (ROW._replace(**UNDECIDED), ROW, "better", False),
        (WRONG._replace(**UNDECIDED), WRONG, "better", False),
    ],
)
def test_a_change_of_a_verdict_is_told_by_its_kind(before, after, kind, failed):
    assert compared(before, after) == ({kind}, failed)


def test_what_a_raised_tolerance_covers_is_no_miss():
    masked = WRONG._replace(truth="masked", difference=5e-4)
    assert compared(masked, masked._replace(verdict="CORRECT", tolerance=1e-3)) == ({"other"}, False)


def test_a_false_alarm_that_is_old_is_not_new():
    alarm = ROW._replace(verdict="WRONG")
    assert compared(alarm, alarm) == (set(), False)


def test_what_is_meant_is_told_apart_but_excuses_no_false_alarm():
    meant = [
        {"cases": "check_vjp | * | maps | *", "verdict": verdict, "why": ""} for verdict in ("INCONCLUSIVE", "WRONG")
    ]
    assert compared(ROW, ROW._replace(**UNDECIDED), meant) == ({"meant"}, False)
    assert compared(ROW, ROW._replace(verdict="WRONG"), meant) == ({"alarms"}, True)


def test_each_meant_change_has_a_reason():
    assert all(one.keys() == {"cases", "verdict", "why"} and one["why"] for one in MEANT)


def test_evaluations_without_a_budget_may_be_many():
    many = ROW._replace(key=ROW.key.replace("auto", "coordinates"), evaluations=5000, counted=5000)
    assert compared(many, many) == (set(), False)
    assert not many.over_budget


@pytest.mark.parametrize(("verdict", "code"), [("CORRECT", 0), ("WRONG", 1)])
@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_the_exit_code_says_whether_a_table_is_worse(tmp_path, capsys, verdict, code, suffix):
    old, new = tmp_path / f"old{suffix}", tmp_path / f"new{suffix}"
    behaviour.write(old, [ROW])
    behaviour.write(new, [ROW._replace(verdict=verdict)])
    assert behaviour.main(["compare", str(old), str(new)]) == code
    assert f"new false alarms (right, now WRONG): {code}" in capsys.readouterr().out


def test_a_table_reads_back_as_it_was_written(tmp_path):
    path = tmp_path / "table.json.gz"
    row = WRONG._replace(blocks=["output × W"], causes=["FACTOR"], placed=True, named=False)
    behaviour.write(path, [row])
    assert behaviour.read(path) == {row.key: row}


def test_a_table_of_other_columns_is_refused(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(json.dumps(["key", "verdict"]) + "\n")
    with pytest.raises(ValueError, match="columns"):
        behaviour.read(path)


@pytest.mark.parametrize(
    "unit", [("check_vjp", "polar coordinates", 0), ("check_hessian", "Rosenbrock, N = 10", 0)], ids=str
)
def test_a_wrong_claim_that_is_called_right_shows_as_a_false_alarm_and_a_right_one_as_a_miss(unit):
    every = [case for case in maps.cases(*unit) if case.strategy == "certificate"]
    right = next(case for case in every if case.claim == "right")
    wrong = next(case for case in every if case.claim == "one pair doubled")
    assert run(replace(wrong, truth=lambda: Truth("right", 0.0))).false_alarm
    assert run(replace(right, truth=lambda: Truth("wrong", 0.3))).miss


# ---------------------------------------------------------------------------------------------------- the truths


def test_the_jacobians_of_the_maps_are_those_on_paper():
    x, polar = maps.problems()["Broyden's tridiagonal function"], maps.problems()["polar coordinates"]
    entries = x.point["x"]
    expected = np.diag(3 - 2 * entries) - np.eye(50, k=-1) - 2 * np.eye(50, k=1)
    np.testing.assert_allclose(maps.jacobian(x.function, x.point), expected, rtol=1e-14)
    radius, angle = polar.point["radius"], polar.point["angle"]
    expected = np.block(
        [
            [np.diag(np.cos(angle)), np.diag(-radius * np.sin(angle))],
            [np.diag(np.sin(angle)), np.diag(radius * np.cos(angle))],
        ]
    )
    np.testing.assert_allclose(maps.jacobian(polar.function, polar.point), expected, rtol=1e-14)


def test_the_hessians_of_the_maps_are_symmetric():
    for problem in maps.problems().values():
        if problem.verbs == maps.HESSIANS:
            hessian = maps.jacobian(problem.function, problem.point)
            np.testing.assert_allclose(hessian, hessian.T, rtol=1e-12, atol=1e-14)


def test_a_slope_in_units_of_the_parameters_is_that_of_the_cost_of_one_number():
    for number in (1, 7, 30):
        line = along.lines_of("compositions")[number]
        cost = along.make_cost(line)
        difference = (cost(1 + 1e-6) - cost(1 - 1e-6)) / 2e-6
        assert difference == pytest.approx(along.slopes(line)[0], rel=1e-5, abs=1e-8)


def test_the_table_has_every_mutant_of_the_gallery_with_five_seeds(frozen):
    keys = [key.split(" | ") for key in frozen if key.startswith("check_gradient | certificate | gallery | ")]
    assert {int(key[-1]) for key in keys} == set(range(costs.SEEDS))
    for number, problem in enumerate(costs.problems(0)):
        expected = {case.claim for case in costs.cases("check_gradient", number, 0)}
        assert len(expected) > 25
        assert {key[4] for key in keys if key[3] == problem.name and key[-1] == "0"} == expected
