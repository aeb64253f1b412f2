"""Gradients that are wrong on purpose: the catalogue that the self-test and `gradproof.testing` share.

Each function below makes mutations of one kind on shaped blocks; a block is chosen at random among those where the
mutation changes something. A mutation of a part leaves something outside it, so that it is not a mutation of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gradproof._diagnosis import mistakes
from gradproof._words.precision import round_to
from gradproof._words.results import Cause
from gradproof._words.vectors import FloatArray

SMALLEST_CHANGE: Final = 1e-6
"""Relative change of a block below which a mutation is not made: it would be no mistake worth finding."""
FACTORS: Final = (
    ("doubled", 2.0),
    ("halved", 0.5),
    ("three times", 3.0),
    ("a tenth", 0.1),
    ("1.37 times", 1.37),
    ("a thousandth too large", 1.001),
    ("one in ten thousand too small", 0.9999),
)
SMALLEST_OUTSIDE: Final = 1e-2
"""Share of the block's norm that stays outside a mutated part."""
SMALLEST_LIVE: Final = 1e-9
"""Share of the whole gradient's norm below which a block is not mutated."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A wrong gradient.

    Parameters
    ----------
    name
        What was done, for people.
    cause
        What a diagnosis should name.
    coefficient
        Of the mistake (claimed = coefficient × true, true + coefficient·θ …); NaN where there is none.
    blocks
        The mutated blocks by index; all others are as they were.
    """

    name: str
    cause: Cause
    coefficient: float
    blocks: Mapping[int, FloatArray]


class _Catalogue:
    """The blocks, what may be mutated of them, and the generator that chooses."""

    def __init__(
        self, claimed: Sequence[FloatArray], point: Sequence[FloatArray] | None, generator: np.random.Generator
    ) -> None:
        self.claimed = claimed
        self.point = point
        self.generator = generator
        self.norms = [float(np.linalg.norm(block)) for block in claimed]
        total = math.hypot(*self.norms)
        self.live = [block for block, norm in enumerate(self.norms) if norm > SMALLEST_LIVE * total]

    def choose(self, blocks: Sequence[int]) -> list[int]:
        """Choose one of the blocks at random; none where there is none."""
        return [int(self.generator.choice(blocks))] if blocks else []

    def matrices(self) -> list[int]:
        """Live blocks with at least two axes longer than one."""
        return [block for block in self.live if sum(size > 1 for size in self.claimed[block].shape) > 1]

    def several(self) -> list[int]:
        """Live blocks with at least two entries that are not zero."""
        return [block for block in self.live if np.count_nonzero(self.claimed[block]) > 1]

    def large_entry(self, block: int) -> tuple[int, ...]:
        """Choose an entry at random among the larger half of those that are not zero."""
        sizes = np.abs(self.claimed[block]).reshape(-1)
        median = float(np.median(sizes[sizes > 0]))
        index = int(self.generator.choice(np.flatnonzero(sizes >= median)))
        return tuple(int(i) for i in np.unravel_index(index, self.claimed[block].shape))


def mutations(
    claimed: Sequence[FloatArray], point: Sequence[FloatArray] | None, generator: np.random.Generator
) -> Iterator[Mutation]:
    """Yield wrong gradients of every kind that these blocks allow, each different from the right one and the others.

    Parameters
    ----------
    claimed
        The right gradient's blocks, shaped.
    point
        The parameters, for mistakes that involve them; None leaves those out.
    generator
        Chooses blocks, rows and entries.
    """
    catalogue = _Catalogue(claimed, point, generator)
    seen: list[Mapping[int, FloatArray]] = []
    for kind in _KINDS:
        for mutation in kind(catalogue):
            changed = _changed(claimed, mutation)
            if changed and not any(_same(changed, other) for other in seen):
                seen.append(changed)
                yield mutation


def _changed(claimed: Sequence[FloatArray], mutation: Mutation) -> dict[int, FloatArray]:
    """Return the blocks that really changed; none of them where the change is too small to be a mistake."""
    changed = {block: new for block, new in mutation.blocks.items() if not np.array_equal(new, claimed[block])}
    for block, new in changed.items():
        size = float(np.linalg.norm(claimed[block]))
        if np.isfinite(new).all() and np.linalg.norm(new - claimed[block]) < SMALLEST_CHANGE * size:
            return {}
    return changed


def _same(one: Mapping[int, FloatArray], other: Mapping[int, FloatArray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[block], other[block], equal_nan=True) for block in one)


def _factors(catalogue: _Catalogue) -> Iterator[Mutation]:
    for name, factor in FACTORS:
        for block in catalogue.choose(catalogue.live):
            yield Mutation(name, Cause.FACTOR, factor, {block: factor * catalogue.claimed[block]})
    for block in catalogue.choose([b for b in catalogue.live if max(catalogue.claimed[b].shape, default=1) > 2]):
        count = float(max(catalogue.claimed[block].shape))
        array = catalogue.claimed[block]
        yield Mutation("summed where the mean is meant", Cause.FACTOR, count, {block: count * array})
    biases = [block for block in catalogue.live if mistakes.bias_like(catalogue.claimed[block].shape)]
    for block in catalogue.choose(biases):
        yield Mutation("the bias four times", Cause.FACTOR, 4.0, {block: 4.0 * catalogue.claimed[block]})


def _signs(catalogue: _Catalogue) -> Iterator[Mutation]:
    for block in catalogue.choose(catalogue.live):
        yield Mutation("of the opposite sign", Cause.SIGN, -1.0, {block: -catalogue.claimed[block]})


def _common_factors(catalogue: _Catalogue) -> Iterator[Mutation]:
    if len(catalogue.live) < 2 or len(catalogue.live) < sum(norm > 0 for norm in catalogue.norms):
        return
    for name, factor in (("every block times 8", 8.0), ("every block times 1/5", 0.2)):
        blocks = {block: factor * catalogue.claimed[block] for block in catalogue.live}
        yield Mutation(name, Cause.COMMON_FACTOR, factor, blocks)


def _rearrangements(catalogue: _Catalogue) -> Iterator[Mutation]:
    kinds: dict[str, list[tuple[int, mistakes.Rearrangement]]] = {}
    for block in catalogue.several():
        for one in mistakes.rearrangements(catalogue.claimed[block].shape):
            kinds.setdefault(one.cause, []).append((block, one))
    for cause, choices in kinds.items():
        for number in catalogue.generator.choice(len(choices), size=min(2, len(choices)), replace=False):
            block, one = choices[int(number)]
            new = np.array(one.apply(catalogue.claimed[block]))
            yield Mutation(one.code("gradient"), Cause[cause], 1.0, {block: new})


def _parameter_terms(catalogue: _Catalogue) -> Iterator[Mutation]:
    if catalogue.point is None:
        return
    usable = [block for block in catalogue.several() if catalogue.point[block].any()]
    for name, coefficient in (("weight decay forgotten", -0.01), ("weight decay twice", 0.1)):
        for block in catalogue.choose(usable):
            new = mistakes.add_parameter(catalogue.claimed[block], catalogue.point[block], coefficient)
            yield Mutation(name, Cause.PARAMETER_TERM, coefficient, {block: new})


def _offsets(catalogue: _Catalogue) -> Iterator[Mutation]:
    for block in catalogue.choose(catalogue.several()):
        array = catalogue.claimed[block]
        offset = mistakes.short_decimal(0.3 * float(np.abs(array).max()))
        yield Mutation("a constant added", Cause.OFFSET, offset, {block: array + offset})


def _zeros(catalogue: _Catalogue) -> Iterator[Mutation]:
    for block in catalogue.choose(catalogue.live):
        new = np.zeros_like(catalogue.claimed[block])
        yield Mutation("zero: detached", Cause.ZERO, math.nan, {block: new})
    size = max(catalogue.norms, default=0.0)
    for block in catalogue.choose([block for block, norm in enumerate(catalogue.norms) if norm == 0]):
        noise = catalogue.generator.standard_normal(catalogue.claimed[block].shape)
        name = "not zero where the truth is"
        yield Mutation(name, Cause.NOT_ZERO, math.nan, {block: size * noise / np.linalg.norm(noise)})


def _swaps(catalogue: _Catalogue) -> Iterator[Mutation]:
    shapes = [block.shape for block in catalogue.claimed]
    pairs = [(a, b) for a in catalogue.live for b in catalogue.live if a < b and shapes[a] == shapes[b]]
    pairs = [(a, b) for a, b in pairs if catalogue.claimed[a].size > 1]
    for number in catalogue.choose(range(len(pairs))):
        a, b = pairs[number]
        swapped = {a: catalogue.claimed[b].copy(), b: catalogue.claimed[a].copy()}
        yield Mutation("exchanged with a sibling", Cause.SWAPPED, 1.0, swapped)


def _coordinates(catalogue: _Catalogue) -> Iterator[Mutation]:
    for name, factor in (("one entry zero", 0.0), ("one entry's sign", -1.0), ("one entry doubled", 2.0)):
        for block in catalogue.choose(catalogue.several()):
            new = mistakes.scale_part(catalogue.claimed[block], catalogue.large_entry(block), factor)
            yield Mutation(name, Cause.COORDINATES, factor or math.nan, {block: new})
    large = [block for block in catalogue.several() if np.count_nonzero(catalogue.claimed[block]) >= 100]
    for block in catalogue.choose(large):
        new = catalogue.claimed[block].copy()
        live = np.flatnonzero(new)
        new.reshape(-1)[catalogue.generator.choice(live, size=live.size // 50, replace=False)] = 0.0
        yield Mutation("2 % of the entries zero", Cause.COORDINATES, math.nan, {block: new})


def _slices(catalogue: _Catalogue) -> Iterator[Mutation]:
    kinds = (
        ("last row missing", 0, -1, 0.0),
        ("first column missing", 1, 0, 0.0),
        ("one row doubled", 0, None, 2.0),
        ("one column's sign", 1, None, -1.0),
    )
    for name, axis, place, factor in kinds:
        for block in catalogue.choose(catalogue.matrices()):
            array = catalogue.claimed[block]
            if array.shape[axis] < 3 or sum(size > 1 for size in array.shape) != array.ndim:
                continue
            index = place if place is not None else int(catalogue.generator.integers(array.shape[axis]))
            part = (slice(None),) * axis + (index,)
            inside, whole = float(np.linalg.norm(array[part])), catalogue.norms[block]
            alone = np.count_nonzero(array[part]) < 2
            if alone or whole**2 - inside**2 < (SMALLEST_OUTSIDE * whole) ** 2:
                continue
            new = mistakes.scale_part(array, part, factor)
            yield Mutation(name, Cause.SLICES, factor or math.nan, {block: new})


def _roundings(catalogue: _Catalogue) -> Iterator[Mutation]:
    for precision in ("float16", "bfloat16"):
        for block in catalogue.choose(catalogue.live):
            new = round_to(catalogue.claimed[block], precision)
            yield Mutation(f"rounded to {precision}", Cause.LOW_PRECISION, math.nan, {block: new})


def _reductions(catalogue: _Catalogue) -> Iterator[Mutation]:
    biases = [block for block in catalogue.several() if mistakes.bias_like(catalogue.claimed[block].shape)]
    for name, mean in (("summed over the units, too", False), ("averaged over the units, too", True)):
        for block in catalogue.choose(biases):
            new = mistakes.broadcast_total(catalogue.claimed[block], mean=mean)
            if new.any():
                yield Mutation(name, Cause.NOT_SUMMED, math.nan, {block: new})


def _others(catalogue: _Catalogue) -> Iterator[Mutation]:
    for block in catalogue.choose(catalogue.live):
        new = catalogue.claimed[block].copy()
        new[tuple(int(catalogue.generator.integers(size)) for size in new.shape)] = math.nan
        yield Mutation("NaN in one entry", Cause.NON_FINITE, math.nan, {block: new})
    for block in catalogue.choose([block for block in catalogue.several() if catalogue.claimed[block].size >= 8]):
        array = catalogue.claimed[block]
        noise = catalogue.generator.standard_normal(array.shape)
        noise *= 0.1 * catalogue.norms[block] / np.linalg.norm(noise)
        yield Mutation("a tenth of noise added", Cause.UNKNOWN, math.nan, {block: array + noise})


_KINDS: Final = (
    _factors,
    _signs,
    _common_factors,
    _rearrangements,
    _parameter_terms,
    _offsets,
    _zeros,
    _swaps,
    _coordinates,
    _slices,
    _roundings,
    _reductions,
    _others,
)
