"""The gallery: right gradients and every mutant of them, as the gradient of a cost and as one output's Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from behaviourcases.case import RIGHT, WRONG, Case, Counted, Truth, relative_difference
from gradproof import Report, check_gradient, check_jacobian, check_vjp
from gradproof.testing import GalleryProblem, gallery, mutants

SOURCE: Final = "gallery"
VERBS: Final = ("check_gradient", "check_vjp", "check_jacobian")
STRATEGIES: Final = ("certificate", "auto", "coordinates")
SEEDS: Final = 5
FEW: Final = 128
"""Parameters up to which "auto" measures every coordinate, too, by the documentation."""
MANY: Final = 500
"""Parameters beyond which each mutant's every coordinate takes too long for a table."""
SHARE: Final = 8
"""Of what takes long one claim in so many is in the table."""


@cache
def problems(seed: int) -> list[GalleryProblem]:
    return gallery(seed)


def size(problem: GalleryProblem) -> int:
    return sum(block.size for block in problem.point.values())


def _by_gradient(problem: GalleryProblem, claimed: Any) -> Callable[[str, int], tuple[Report, int]]:
    def check(strategy: Any, seed: int) -> tuple[Report, int]:
        cost = Counted(problem.cost)
        return check_gradient(cost, problem.point, claimed, strategy=strategy, seed=seed), cost.calls

    return check


def _by_vjp(problem: GalleryProblem, claimed: Any) -> Callable[[str, int], tuple[Report, int]]:
    def vjp(_point: Any, cotangent: Any) -> Any:
        return {name: cotangent * block for name, block in claimed.items()}

    def check(strategy: Any, seed: int) -> tuple[Report, int]:
        cost = Counted(problem.cost)
        return check_vjp(cost, vjp, problem.point, strategy=strategy, seed=seed), cost.calls

    return check


def _by_jacobian(problem: GalleryProblem, claimed: Any) -> Callable[[str, int], tuple[Report, int]]:
    def check(strategy: Any, seed: int) -> tuple[Report, int]:
        cost = Counted(problem.cost)
        return check_jacobian(cost, claimed, problem.point, strategy=strategy, seed=seed), cost.calls

    return check


_CHECKS: Final = dict(zip(VERBS, (_by_gradient, _by_vjp, _by_jacobian), strict=True))


def _taken(verb: str, strategy: str, seed: int, parameters: int, number: int) -> bool:
    """Say whether the table holds the claim of this number, where 0 is the right one.

    What takes long or shows little more is thinned: "auto" is the certificate where there are many parameters, "coordinates"
    draws nothing, and the verbs of many outputs share their method.
    """
    if verb == "check_gradient":
        if strategy == "certificate" or parameters <= FEW:
            return True
        if strategy == "auto":
            return seed == 0 or number == 0
        if parameters <= MANY:
            return seed == 0 and number % 2 == 0
        return seed == 0 and (number == 0 or (parameters < 2 * MANY and number % SHARE == 0))
    if strategy == "certificate":
        return verb == "check_vjp" or number % 2 == 0
    if verb == "check_jacobian" or parameters > FEW:
        return number % SHARE == 0 and (strategy == "auto" or parameters <= MANY)
    return number % 2 == 0


def cases(verb: str, number: int, seed: int) -> Iterator[Case]:
    """Yield the claims about one problem of the gallery, at the point and with the data of a seed."""
    problem = problems(seed)[number]
    claims: list[tuple[str, Any, frozenset[str] | None, frozenset[str] | None]] = [
        ("right", problem.gradient, None, None)
    ]
    names: dict[str, int] = {}
    for mutant in mutants(problem.gradient, problem.point, seed=seed):
        names[mutant.name] = names.get(mutant.name, 0) + 1
        name = mutant.name if names[mutant.name] == 1 else f"{mutant.name}, {names[mutant.name]}"
        claims.append((name, mutant.gradient, frozenset({mutant.cause.name}), frozenset(mutant.blocks)))
    prefix = "" if verb == "check_gradient" else "output × "
    for strategy in STRATEGIES:
        for index, (name, claimed, causes, blocks) in enumerate(claims):
            if not _taken(verb, strategy, seed, size(problem), index):
                continue

            def truth(claimed: Any = claimed, index: int = index) -> Truth:
                difference = relative_difference(claimed.values(), problem.gradient.values())
                return Truth(WRONG if index else RIGHT, difference)

            placed = None if blocks is None else frozenset(prefix + block for block in blocks)
            check = _CHECKS[verb](problem, claimed)
            yield Case(verb, SOURCE, problem.name, name, strategy, seed, truth, check, causes, placed)


def units() -> Iterator[tuple[str, int, int]]:
    """Yield what `cases` takes, a part of the table each."""
    for verb in VERBS:
        for seed in range(SEEDS if verb == "check_gradient" else 1):
            for number in range(len(problems(0))):
                yield verb, number, seed


def small(number: int) -> bool:
    """Say whether the checks of a problem take little time."""
    return size(problems(0)[number]) <= FEW
