"""What a check returns: JSON and back, equality, pickling, and a report that refuses to be a truth value."""

from __future__ import annotations

import copy
import inspect
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradproof._words import errors
from gradproof._words.results import (
    BlockResult,
    Cause,
    Certificate,
    CoordinateResult,
    Diagnosis,
    Difference,
    Estimate,
    Kink,
    Reason,
    Report,
    SelfTestResult,
    Verdict,
)

REPORT = Report(
    verdict=Verdict.WRONG,
    difference=Difference(estimate=0.25, lower=0.2, upper=0.3),
    blocks=(
        BlockResult(
            name="W",
            shape=(2, 3),
            dtype="float64",
            verdict=Verdict.WRONG,
            difference=Difference(estimate=0.25, lower=0.2, upper=0.3),
            resolution=1e-9,
            tolerance=1e-7,
        ),
        BlockResult(
            name="b",
            shape=(),
            dtype="float64",
            verdict=Verdict.CORRECT,
            difference=Difference(estimate=0.0, lower=0.0, upper=0.0),
            resolution=1e-9,
            tolerance=1e-7,
        ),
    ),
    tolerance=1e-7,
    tolerance_reason="given",
    confidence=0.999999,
    strategy="auto",
    seed=2**127,
    budget=1000,
    evaluations=11,
    cost=1.5,
    noise=0.0,
    diagnoses=(Diagnosis(cause=Cause.FACTOR, block="W", sentence="It is doubled."),),
)


def few(strategy):
    """Tuples of few elements keep the examples small enough to read and to be quick."""
    return st.lists(strategy, max_size=2).map(tuple)


LOCATIONS = few(st.integers(0, 10**9))
KINKS = st.none() | st.builds(Kink)
COORDINATES = st.builds(CoordinateResult, index=LOCATIONS, kink=KINKS)
BLOCKS = st.builds(BlockResult, shape=LOCATIONS)
REPORTS = st.builds(
    Report,
    blocks=few(BLOCKS),
    coordinates=few(COORDINATES),
    diagnoses=few(st.builds(Diagnosis)),
    certificate=st.none() | st.builds(Certificate),
    reason=st.none() | st.sampled_from(Reason),
    notes=few(st.text()),
    skipped=few(st.text()),
    self_test=few(st.builds(SelfTestResult)),
)


@given(REPORTS)
@settings(max_examples=150)
def test_a_report_survives_the_journey_through_json(report):
    text = report.to_json()
    returned = Report.from_json(text)
    assert returned == report
    assert hash(returned) == hash(report)
    assert returned.to_json() == text


@given(REPORTS)
@settings(max_examples=25)
def test_a_report_survives_pickling_and_copying(report):
    assert pickle.loads(pickle.dumps(report)) == report
    assert copy.deepcopy(report) == report


@given(REPORTS)
@settings(max_examples=100)
def test_every_report_can_be_printed(report):
    lines = str(report).split("\n")
    assert lines[0].startswith(report.verdict.name)
    assert all(line.isprintable() for line in lines)


def test_json_is_standard_json_with_a_schema_number():
    data = json.loads(REPORT.to_json(), parse_constant=pytest.fail)
    assert data["schema"] == 1
    assert data["verdict"] == "WRONG"
    assert data["diagnoses"][0]["coefficient"] == "nan"
    assert data["seed"] == 2**127


@pytest.mark.parametrize("value", [float("nan"), math.inf, -math.inf, np.float64("nan"), np.float64("inf")])
def test_numbers_that_are_not_finite_are_spelled_as_strings_and_come_back(value):
    kink = Kink(left=value, right=0.0, error_bar=1.0)
    returned = Report.from_json(_with_kink(kink).to_json()).coordinates[0].kink
    assert returned == kink
    assert repr(returned.left) == repr(float(value))


def _with_kink(kink):
    result = CoordinateResult(block="W", index=(0,), claimed=0.0, numerical=0.0, error_bar=0.0, kink=kink)
    return _changed(coordinates=(result,))


def _changed(**changes):
    from dataclasses import replace

    return replace(REPORT, **changes)


def test_two_reports_that_differ_in_one_nested_number_are_not_equal():
    assert _with_kink(Kink(left=0.0, right=1.0, error_bar=0.0)) != _with_kink(Kink(left=0.0, right=2.0, error_bar=0.0))
    assert _with_kink(None) != REPORT
    assert REPORT != "a report"
    assert Kink(left=float("nan"), right=0.0, error_bar=0.0) != Kink(left=0.0, right=0.0, error_bar=0.0)


def test_nan_equals_nan_in_a_result_and_hashes_alike():
    one, other = (Difference(estimate=float(text), lower=0.0, upper=1.0) for text in ("nan", "NaN"))
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1


def test_a_lone_surrogate_in_a_name_survives_json():
    report = _changed(skipped=("\udc80",))
    written = report.to_json().encode("utf-8", "backslashreplace")
    assert Report.from_json(written.decode("utf-8")) == report


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"schema": 1}',
        '{"schema": 2}',
        REPORT.to_json().replace('"schema": 1', '"schema": 99'),
        REPORT.to_json().replace('"WRONG"', '"PERHAPS"'),
        REPORT.to_json().replace('"estimate"', '"estimated"'),
        REPORT.to_json().replace('"shape": [', '"shape": 3, "was": ['),
    ],
)
def test_what_is_no_report_is_refused_with_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        Report.from_json(text)


def test_a_field_that_a_later_version_adds_is_passed_over():
    text = REPORT.to_json().replace('"schema": 1,', '"schema": 1, "mood": "good",')
    assert "mood" in text
    assert Report.from_json(text) == REPORT


def test_a_report_refuses_to_be_true_or_false():
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(REPORT)
    with pytest.raises(TypeError, match="assert_gradient"):
        assert REPORT


def test_results_cannot_be_changed():
    with pytest.raises(AttributeError):
        REPORT.verdict = Verdict.CORRECT  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        REPORT.mood = "good"  # type: ignore[attr-defined]


def test_the_faulty_blocks_are_those_found_wrong():
    assert REPORT.faulty == ("W",)
    assert _changed(blocks=REPORT.blocks[1:]).faulty == ()


@pytest.mark.parametrize(
    ("claimed", "numerical", "ratio"),
    [(4.0, 2.0, 2.0), (-1.0, 1.0, -1.0), (1.0, 0.0, math.inf), (0.0, 2.0, 0.0)],
)
def test_the_ratio_is_claimed_over_numerical(claimed, numerical, ratio):
    assert CoordinateResult(block="W", index=(), claimed=claimed, numerical=numerical, error_bar=0.0).ratio == ratio


def test_the_ratio_of_two_zeros_is_nan():
    assert math.isnan(CoordinateResult(block="W", index=(), claimed=0.0, numerical=0.0, error_bar=0.0).ratio)


def test_an_estimate_is_a_value_too():
    values = {
        "value": 1.0,
        "truncation_error": 0.0,
        "roundoff_error": 0.0,
        "error_bar": 1e-12,
        "degrees_of_freedom": 3.0,
        "step": 1e-3,
        "order": 6,
        "evaluations": 7,
        "method": "central, order 6",
        "noise": 1e-16,
    }
    assert Estimate(**values) == Estimate(**values)
    assert Estimate(**values) != Estimate(**(values | {"step": 1e-4}))


# --- errors -----------------------------------------------------------------------------------------------------------

ERRORS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.GradproofError)]


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_crosses_a_process_with_all_its_parts(kind):
    error = kind("seen 3", where="block W", meaning="it means this", remedy="do that")
    returned = pickle.loads(pickle.dumps(error))
    assert type(returned) is kind
    assert str(returned) == str(error) == "block W: seen 3. it means this. do that."
    assert (returned.seen, returned.where, returned.meaning, returned.remedy) == (
        "seen 3",
        "block W",
        "it means this",
        "do that",
    )


def test_the_parts_that_are_not_given_leave_no_trace_in_the_message():
    assert str(errors.UsageError("seen")) == "seen."
    assert str(errors.UsageError("seen?", remedy="Do that!")) == "seen? Do that!"


@pytest.mark.parametrize("kind", [errors.WrongGradient, errors.InconclusiveGradient])
def test_a_failed_assertion_carries_its_report_through_pickling_and_prints_it(kind):
    error = kind(REPORT)
    assert isinstance(error, AssertionError)
    returned = pickle.loads(pickle.dumps(error))
    assert type(returned) is kind
    assert returned.report == REPORT
    assert str(returned) == str(REPORT)


def test_usage_errors_are_value_errors_and_evaluation_errors_are_not():
    assert issubclass(errors.ShapeMismatch, ValueError)
    assert not issubclass(errors.NonFiniteCost, ValueError)
