"""After WRONG, where intermediate values are tapped: which step of the backward pass is wrong, and why.

All steps are judged at once, each by itself: a block is wrong in the Lagrangian (`_problem.taps`) where the steps of the
backward pass that end in it are, given what is claimed of the values that they start from. Which these are is seen by
one evaluation with the block displaced and all tapped values held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gradproof._evaluation.engine import BudgetSpent, onwards
from gradproof._examination.certification import certify
from gradproof._examination.explanation import Explanation, explain
from gradproof._examination.study import Study
from gradproof._problem.claims import GradientClaim
from gradproof._problem.taps import LagrangianProblem, TappedProblem
from gradproof._words.errors import UsageError
from gradproof._words.results import Step, Verdict

REACH: Final = (0.01, 1.0, -1.0)
"""Displacements, in units of a block's scale, at which is seen what it feeds: the larger ones where the first shows nothing."""


@dataclass(frozen=True, slots=True)
class Fed:
    """What a wrong block feeds: other tapped values, in the order of the backward pass, and the cost itself."""

    block: str
    taps: tuple[str, ...]
    cost: bool


def explain_steps(study: Study) -> Explanation:
    """Find the wrong steps, and the cause in each; where no step is wrong by itself, explain as without taps.

    Raises
    ------
    UsageError
        Where a tapped value never reaches the cost.
    """
    tapped = study.problem
    assert isinstance(tapped, TappedProblem)  # noqa: S101  # called for these only
    problem = LagrangianProblem(tapped, study.claimed)
    engine = onwards(study.engine, problem)
    try:
        engine.reserve(1)
        engine.evaluate_point()
        alone = Study(engine, GradientClaim(study.claimed), replace(study.settings, seed=study.settings.seed + 2))
        certify(alone)
        order = [tap.name for tap in reversed(tapped.taps) if tap.name]
        wrong = [fed_by(alone, problem, pair.block, order) for pair in alone.faulty]
    except BudgetSpent:
        study.engine.charge(engine.evaluations)
        return Explanation((), ("The budget ended the search for the wrong step; a larger budget= lets it go on.",))
    if not wrong:
        study.engine.charge(engine.evaluations)
        return explain(study)
    found = explain(alone)
    study.engine.charge(engine.evaluations)
    return replace(found, step=first_step(study, in_order(wrong, order)))


def fed_by(study: Study, problem: LagrangianProblem, b: int, order: Sequence[str]) -> Fed:
    """Displace one block while all tapped values are held, and see what comes out otherwise.

    Raises
    ------
    UsageError
        Where nothing does: a tapped value whose displacement is lost on the way.
    """
    name = study.problem.blocks[b].name
    direction = study.block_direction(b, study.next_streams())
    for t in REACH:
        if study.engine.evaluate(direction, t) is None:
            continue
        cost = problem.cost_alone != study.engine.base[0]
        taps = tuple(tap for tap in order if tap in problem.changed and tap != name)
        if taps or cost:
            return Fed(name, taps, cost)
    if name in order:
        raise UsageError(
            "the cost stays the same, wherever this tapped value goes",
            where=name,
            meaning="Either nothing that follows uses it, or what uses it is not what tap returned",
            remedy=f"Go on with what tap returns, {name} = gradproof.tap({name!r}, {name}); or claim no gradient of it",
        )
    return Fed(name, (), cost=True)


def in_order(wrong: Sequence[Fed], order: Sequence[str]) -> list[Fed]:
    """Sort wrong blocks as the backward pass comes to them: a parameter before the values that feed the same ones."""
    place = {name: k for k, name in enumerate(order)}
    return sorted(wrong, key=lambda fed: (max((place[t] for t in fed.taps), default=-1), place.get(fed.block, -1)))


def first_step(study: Study, wrong: Sequence[Fed]) -> Step:
    """Say which step is wrong, the first one where there are several."""
    first = wrong[0]
    verdicts = {study.problem.blocks[pair.block].name: pair.verdict for pair in study.every_pair}
    right = tuple(tap for tap in first.taps if verdicts[tap] is Verdict.CORRECT)
    where = f"the mistake is in the step of the backward pass from {source(first)} to {first.block}"
    if not first.taps:
        sentence = f"The gradient by {first.block} is wrong, and {first.block} feeds the cost directly: {where}"
    elif right != first.taps:
        sentence = f"The gradient by {first.block} does not follow from what is claimed of {source(first)}: {where}"
    else:
        of = f"gradients by {_joined(right)} are" if len(right) > 1 else f"gradient by {right[0]} is"
        sentence = f"The {of} right, the one by {first.block} is not: {where}"
    others = [f"from {source(fed)} to {fed.block}" for fed in wrong[1:]]
    more = f" There are at least {len(wrong)} mistakes: also {_joined(others)}." if others else ""
    return Step(right=right, wrong=(first.block,), sentence=f"{sentence}.{more}")


def source(fed: Fed) -> str:
    """Name what a step starts from."""
    return _joined([*fed.taps, *(["the cost"] if fed.cost else [])])


def _joined(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
