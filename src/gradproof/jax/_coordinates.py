"""Every coordinate of a function of one number: many at a time, under `jit(vmap(…))`, as for any other cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gradproof._problem.problem import Problem
from gradproof._verbs.gradient import check_gradient
from gradproof._verbs.modes import of_output
from gradproof._words.results import Report
from gradproof.adapters._containers import Named
from gradproof.jax._functions import Evaluator
from gradproof.jax._reference import Doubled


def returns_one_number(evaluator: Evaluator) -> bool:
    """Say whether a function is a cost of real numbers."""
    real = not any(jnp.iscomplexobj(array) for array in (*evaluator.leaves, *evaluator.values))
    return real and len(evaluator.values) == 1 and not evaluator.values[0].shape


def report_of_coordinates(
    function: Evaluator | Doubled,
    claim: Callable[[Any, Any], Any],
    point: Named,
    options: dict[str, Any],
    precision: str,
) -> Report:
    """Check each coordinate of a cost by itself; the blocks are named as those of several outputs are."""
    (output,) = function.out_names
    gradient = claim(point, Named({output: jnp.ones_like(function(point)[output])}))
    options = {name: given for name, given in options.items() if name != "convention"}
    problem = Problem(lambda point: function(point)[output], point, gradient, claimed_precision=precision)
    report = check_gradient(problem, **options)
    return of_output(report, output)
