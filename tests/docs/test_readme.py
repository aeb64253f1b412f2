"""The picture of a report in README.md is a real one: its sentences are those of the same check, made again."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import gradproof
from gradproof import course

README = Path(__file__).parents[2] / "README.md"


def picture():
    return re.search(r"```text\n(.*?)```", README.read_text("utf-8"), re.DOTALL)[1]


def sentences(text):
    """Pick the lines without measured digits: the verdict, the causes, the remedies, each block's verdict."""
    causes = re.findall(r"^WRONG: .*|^  - The gradient of .*|^    remedy: .*", text, re.MULTILINE)
    return [*causes, *re.findall(r"^  (\w+ +\S+ +(?:CORRECT|WRONG))\b", text, re.MULTILINE)]


def real_report(backward):
    X, Y, parameters = course.gradient_check_n_test_case()
    _, cache = course.forward_propagation_n(X, Y, parameters)
    return course.check(parameters, backward(X, Y, cache), X, Y, seed=7)


def test_the_picture_shows_what_the_check_says():
    report = real_report(course.backward_propagation_n_with_mistakes)
    assert report.verdict is gradproof.Verdict.WRONG
    assert len(sentences(picture())) == 11
    assert sentences(picture()) == sentences(str(report))


def test_another_report_is_noticed():
    assert sentences(picture()) != sentences(str(real_report(course.backward_propagation_n)))


@pytest.mark.parametrize(
    ("size", "strategy", "calls"), [(100, "certificate", 13), (100, "auto", 213), (10_000, "auto", 13)]
)
def test_a_right_gradient_takes_as_many_calls_as_the_first_paragraph_says(size, strategy, calls):
    x = np.random.default_rng(3).standard_normal((20, size)) / np.sqrt(size)
    cost = lambda w: float(np.mean(np.tanh(x @ w) ** 2))
    gradient = lambda w: x.T @ (2 * np.tanh(x @ w) * (1 - np.tanh(x @ w) ** 2)) / 20
    report = gradproof.check_gradient(cost, np.full(size, 0.3), gradient, strategy=strategy, seed=0)
    assert report.verdict is gradproof.Verdict.CORRECT
    assert report.evaluations <= calls + 7
    if size == 100:
        assert "(100 parameters: 213 calls instead of 13)" in README.read_text("utf-8").replace("\n", " ")
