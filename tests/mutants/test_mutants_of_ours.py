"""The mistakes that `benchmarks/mutants_of_ours.py` plants are still there to be planted."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "mutants_of_ours.py"


def load():
    """Import the benchmark under a name of its own: dataclasses look their module up."""
    spec = importlib.util.spec_from_file_location("benchmark_of_mutants_of_ours", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ours = load()


@pytest.mark.parametrize("mutant", ours.MUTANTS, ids=lambda m: m.label)
def test_a_pattern_is_in_its_source_exactly_once(mutant):
    source = ours.mutated(mutant)
    compile(source, mutant.module, "exec")


def test_a_pattern_that_is_not_there_is_an_error():
    with pytest.raises(ours.Stale, match="0 times"):
        ours.mutated(ours.Mutant("_numerics/statistics", "within", "none", "abs(discrepancy) < 17", "True"))


def test_a_pattern_that_is_there_twice_is_an_error():
    with pytest.raises(ours.Stale, match=r"[23] times"):
        ours.mutated(ours.Mutant("_numerics/statistics", "difference_from_below", "two", "residual", "0"))


def test_the_mistakes_are_many_and_each_has_a_name_of_its_own():
    labels = [mutant.label for mutant in ours.MUTANTS]
    assert len(set(labels)) == len(labels) >= 100
    assert set(ours.WHY) <= set(labels)
