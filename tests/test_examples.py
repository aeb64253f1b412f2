"""The examples run as a user runs them, and end with a failure when their story does not come out."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from gradproof import course

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))

pytestmark = pytest.mark.example


def test_there_are_examples():
    assert [path.name for path in EXAMPLES] == ["three_layer_network.py"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_example_ends_well(path):
    pytest.importorskip("sklearn")
    done = subprocess.run([sys.executable, "-W", "error", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("wrong", ["dW2", "db1"])
def test_the_network_example_fails_when_its_backward_pass_is_not_right(wrong, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    right = course.backward_propagation_n

    def mistaken(X, Y, cache):
        gradients = right(X, Y, cache)
        return gradients | {wrong: 1.01 * gradients[wrong]}

    spec = importlib.util.spec_from_file_location("three_layer_network", EXAMPLES[0])
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(course, "backward_propagation_n", mistaken)
    monkeypatch.setattr(example, "STEPS", 101)
    with pytest.raises(example.WrongGradient) as caught:
        example.main()
    assert caught.value.report.faulty == (wrong.removeprefix("d"),)
