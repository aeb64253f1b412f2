"""The self-test: mutate the claim, and say which mistakes this check would have caught here.

No evaluation is spent. The lines that were measured gave y = (∇J − g)·v; of a claim g + δ they would have given y − δ·v,
exactly, so that the decision can be made again for each mutation; and likewise for single coordinates.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from gradproof._diagnosis.mutations import Mutation, mutations
from gradproof._evidence.evidence import Evidence
from gradproof._examination.study import Study
from gradproof._words.results import SelfTestResult
from gradproof._words.vectors import FloatArray

STREAM: Final = 0x73656C66


def self_test_results(study: Study) -> tuple[SelfTestResult, ...]:
    """Judge the mutations of a claim by the measurements that a check has made.

    Parameters
    ----------
    study
        Of a finished check.

    Returns
    -------
    tuple of SelfTestResult
        One for each mutation; none where the claim was found WRONG or not finite, as its mutations say nothing then.
    """
    if study.faulty:
        return ()
    problem = study.problem
    shapes = [block.shape for block in problem.blocks]
    claimed = [g.reshape(shape) for g, shape in zip(study.claimed, shapes, strict=True)]
    point = [v.reshape(shape) for v, shape in zip(problem.values, shapes, strict=True)]
    generator = np.random.default_rng([study.settings.seed, STREAM])
    return tuple(_judge(study, mutation) for mutation in mutations(claimed, point, generator))


def _judge(study: Study, mutation: Mutation) -> SelfTestResult:
    changes = {
        b: np.asarray(mutated, dtype=np.float64).reshape(-1) - study.claimed[b]
        for b, mutated in mutation.blocks.items()
    }
    name, blocks = mutation.name, ", ".join(study.problem.blocks[b].name for b in sorted(changes))
    if not all(np.isfinite(change).all() for change in changes.values()):
        # What is not finite is found in the claim itself, by every strategy.
        return SelfTestResult(mutation=name, block=blocks, relative_difference=float("nan"), caught=True)
    difference = max(_relative(study.claimed[b], change) for b, change in changes.items())
    tolerance = min(study.pairs[0][b].tolerance for b in changes)
    seen = _seen_by_coordinates(study, changes)
    # Lines that do not certify any more would be followed by others, until the mistake is proved.
    caught = seen or (difference > tolerance and _seen_by_lines(study, changes))
    note = ""
    if not caught:
        below = difference <= tolerance
        note = "below the tolerance" if below else "hidden by noise, or masked by larger entries of its block"
    return SelfTestResult(
        mutation=name,
        block=blocks,
        relative_difference=difference,
        caught=caught,
        note=note,
    )


def _relative(gradient: FloatArray, change: FloatArray) -> float:
    """Return D between a gradient and its mutation."""
    total = float(np.linalg.norm(gradient) + np.linalg.norm(gradient + change))
    return float(np.linalg.norm(change)) / total if total > 0 else 0.0


def _seen_by_lines(study: Study, changes: dict[int, FloatArray]) -> bool:
    """Decide again with the same lines, had the mutated gradient been claimed."""
    for certifier in study.certifiers:
        concerned = [m for m in certifier.members if m.block in changes]
        evidence = certifier.evidence[0]
        if not concerned or len(evidence.lines) < 2 or len(evidence.lines) != len(certifier.lines):
            continue
        pairs = [
            replace(pair, low=size, norm=size, high=size, zero=False)
            if (mutated := changes.get(pair.block)) is not None
            and (size := float(np.linalg.norm(study.claimed[pair.block] + mutated))) >= 0
            else pair
            for pair in evidence.pairs
        ]
        again = Evidence(pairs, evidence.scales, evidence.law, evidence.correct, evidence.wrong)
        for block, (line, reading) in zip(evidence.lines, certifier.lines, strict=True):
            shift = 0.0
            for m in concerned:
                component = line.direction.component(m.block, study.problem.blocks[m.block].shape)
                if component is not None:
                    shift += float(changes[m.block] @ component)
            again.lines.append(replace(block, size=abs(math.copysign(block.size, reading.value) - shift)))
        if not again.certified():
            return True
    return False


def _seen_by_coordinates(study: Study, changes: dict[int, FloatArray]) -> bool:
    """Look at single coordinates again, had the mutated gradient been claimed."""
    exhaustive = study.exhaustive
    return exhaustive is not None and any(exhaustive.would_suspect(b, change) for b, change in changes.items())
