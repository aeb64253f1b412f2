"""Reports of what could not be checked, for reasons that only the framework knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gradproof._words.results import BlockResult, Cause, Diagnosis, Difference, Reason, Report, Verdict
from gradproof._words.settings import DEFAULT_BUDGET, DEFAULT_TOLERANCES
from gradproof.adapters._torch import ADAPTER
from gradproof.torch._autograd import Graph

UNKNOWN = Difference(estimate=math.nan, lower=0.0, upper=1.0)


def random_report(
    graph: Graph, difference: float, options: dict[str, Any], *, evaluations: int, notes: Sequence[str]
) -> Report:
    """Report a function that draws random numbers: two calls differ, and nothing can be said of its derivative."""
    blocks = []
    for output, result in zip(graph.output_names, graph.outputs, strict=True):
        for name, leaf in zip(graph.names, graph.leaves, strict=True):
            dtype = ADAPTER.describe(leaf if ADAPTER.pairs(leaf) is None else ADAPTER.pairs(leaf))[1]
            blocks.append(
                BlockResult(
                    name=f"{output} × {name}",
                    shape=(*result.shape, *leaf.shape),
                    dtype=dtype,
                    verdict=Verdict.INCONCLUSIVE,
                    difference=UNKNOWN,
                    resolution=1.0,
                    tolerance=options["tolerance"] or DEFAULT_TOLERANCES[dtype],
                    reason=Reason.RANDOM,
                )
            )
    return random(
        blocks,
        difference,
        options,
        evaluations=evaluations,
        notes=notes,
        verb="torch.check",
        subject="function",
        cost=math.hypot(*(float(result.detach().abs().double().norm()) for result in graph.outputs)),
    )


def random(
    blocks: Sequence[BlockResult],
    difference: float,
    options: dict[str, Any],
    *,
    evaluations: int,
    notes: Sequence[str],
    verb: str,
    subject: str,
    cost: float,
) -> Report:
    """Assemble the report."""
    return Report(
        verdict=Verdict.INCONCLUSIVE,
        difference=UNKNOWN,
        blocks=tuple(blocks),
        tolerance=max(block.tolerance for block in blocks),
        tolerance_reason="as given" if options["tolerance"] else "the default",
        confidence=options["confidence"],
        strategy=options["strategy"],
        seed=options["seed"],
        budget=options["budget"] or DEFAULT_BUDGET,
        evaluations=evaluations,
        cost=cost,
        noise=math.nan,
        reason=Reason.RANDOM,
        diagnoses=(
            Diagnosis(
                cause=Cause.NON_DETERMINISTIC_COST,
                block="",
                coefficient=difference,
                sentence=f"The {subject} draws random numbers (dropout, noise, sampling): two calls at the same point differ by {difference:.1e}, relatively.",
                remedy="pass replay_rng=True, so that each call draws the same numbers; or switch the randomness off, for instance with module.eval()",
            ),
        ),
        notes=tuple(notes),
        verb=verb,
    )
