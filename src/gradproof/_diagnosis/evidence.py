"""What a diagnosis works from, and what it hands back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradproof._words.directions import BlockDirection, Coordinate, Direction, Slab
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Diagnosis
from gradproof._words.vectors import FloatArray

ROUNDING = 16.0
"""Unit roundoffs by which a right claim may differ from the truth in each entry, relative to its size."""


MARGIN = 3.0
"""Widens every bar: all of them must hold at once, hundreds at times, and one too narrow would refute the true cause."""
VISIBLE = 4.0
"""A probe says something where its misfit exceeds its bar by this factor."""
LARGE = 100_000
MOST_LINES_SMALL = 64
MOST_LINES_LARGE = 12
"""Lines that are worked with, in blocks of up to LARGE entries and in larger ones: each is made anew a few times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One measured directional derivative of the true gradient.

    Parameters
    ----------
    direction
        The recipe, restricted to one block.
    value
        ∇J·v as measured.
    bar
        |value − ∇J·v| ≤ bar, of the width that decisions are made with.
    """

    direction: Direction
    value: float
    bar: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known when the cause is asked for.

    Parameters
    ----------
    names, shapes, dtypes
        Of every block.
    claimed, point
        Every block, flat, in C order.
    faulty
        Indices of the blocks that were found WRONG.
    probes
        The measurements within each block.
    located
        Parts of a block that a search proved to hold the fault, each a slab or what several slabs have in common;
        missing or empty where the block is wrong as a whole.
    counts
        Numbers worth recognising in a coefficient, with what they count ("samples": 32), beyond those in the shapes.
    frames
        The arrays, by name, of a point on a manifold of which the parameters are a displacement.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    claimed: Sequence[FloatArray]
    point: Sequence[FloatArray]
    faulty: tuple[int, ...]
    probes: Mapping[int, Sequence[Probe]]
    located: Mapping[int, Sequence[Slab | tuple[Slab, ...]]]
    counts: Mapping[str, int]
    frames: Sequence[tuple[str, FloatArray]] = ()

    def display(self, block: int) -> str:
        """Name a block's gradient in a sentence."""
        alone = len(self.names) == 1 and self.names[0] == "point"
        return "the gradient" if alone else f"the gradient of {self.names[block]}"

    def code(self, block: int) -> str:
        """Name a block's gradient in code."""
        alone = len(self.names) == 1 and self.names[0] == "point"
        return "gradient" if alone else self.names[block]

    def parameter(self, block: int) -> str:
        """Name a block's parameter in a sentence or in code."""
        alone = len(self.names) == 1 and self.names[0] == "point"
        return "θ" if alone else f"θ.{self.names[block]}"


@dataclass(frozen=True, slots=True)
class Trial:
    """How a cause without a remedy is put to the test: by one line among the entries where it says the claim is right.

    Parameters
    ----------
    right
        Makes the mask of these entries of the block, flat.
    confirmed
        The sentence where the claim is right there.
    otherwise
        What is known where it is not.
    """

    right: Callable[[], NDArray[np.bool_]]
    confirmed: str
    otherwise: Diagnosis


@dataclass(frozen=True, slots=True)
class Finding:
    """A named cause, and what the claim becomes when its remedy is applied.

    Parameters
    ----------
    diagnosis
        For people; nothing in it is certified yet.
    corrected
        For each block that the remedy changes, a function that makes the remedied claim, flat; empty where there is
        no remedy.
    trial
        How to test it, where there is no remedy to certify and the claim alone suggested it.
    """

    diagnosis: Diagnosis
    corrected: Mapping[int, Callable[[], FloatArray]]
    trial: Trial | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """What one probe says against the claim: ``value`` = (true − claimed)·z, known to ``bar``.

    ``true`` is the measured derivative, ``scale`` the size of z's entries, and ``whole`` says whether z reaches every
    coordinate of the block.
    """

    true: float
    value: float
    bar: float
    scale: float
    whole: bool


class Measurements:
    """The probes of one block, single coordinates gathered in arrays and the others kept as recipes."""

    def __init__(self, evidence: Evidence, block: int) -> None:
        self.block = block
        self.shape = evidence.shapes[block]
        self.size = math.prod(self.shape)
        self.claimed = evidence.claimed[block]
        self.unit = ROUNDING * UNIT_ROUNDOFF.get(evidence.dtypes[block], UNIT_ROUNDOFF["float64"])
        singles: dict[int, Probe] = {}
        self.lines: list[Probe] = []
        for probe in evidence.probes.get(block, ()):
            if not isinstance(probe.direction, Coordinate):
                self.lines.append(probe)
                continue
            known = singles.get(probe.direction.index)
            if known is None or probe.bar / abs(probe.direction.scale) < known.bar / abs(_scale(known)):
                singles[probe.direction.index] = probe
        self.lines = sorted(self.lines, key=_restricted)[: MOST_LINES_SMALL if self.size <= LARGE else MOST_LINES_LARGE]
        self.indices: NDArray[np.intp] = np.array(sorted(singles), dtype=np.intp)
        ordered = [singles[index] for index in sorted(singles)]
        scales = np.array([_scale(probe) for probe in ordered])
        self.entries: FloatArray = np.array([probe.value for probe in ordered]) / scales
        """The true gradient's entries where they were measured one by one."""
        bars = MARGIN * np.array([probe.bar for probe in ordered]) / np.abs(scales)
        rms = float(np.linalg.norm(self.claimed)) / math.sqrt(max(self.size, 1))
        self.entry_bars: FloatArray = bars + self.unit * (np.abs(self.claimed[self.indices]) + rms)

    def components(self) -> Iterator[tuple[Probe, FloatArray, float]]:
        """Make the lines one at a time: the probe, its direction, and the size of that direction's entries."""
        for probe in self.lines:
            component = probe.direction.component(self.block, self.shape)
            if component is None:
                continue
            support = int(np.count_nonzero(component))
            if support:
                yield (
                    replace(probe, bar=MARGIN * probe.bar),
                    component,
                    float(np.linalg.norm(component)) / math.sqrt(support),
                )

    def slack(self, norm: float, scale: float) -> float:
        """Bound the rounding in v·z for a vector of the given norm and a direction of the given scale."""
        return (self.unit + UNIT_ROUNDOFF["float64"] * math.sqrt(self.size)) * norm * scale

    @cached_property
    def misfits(self) -> tuple[Misfit, ...]:
        """(true − claimed)·z for each probe; coordinates first."""
        norm = float(np.linalg.norm(self.claimed))
        single = (
            Misfit(true=float(true), value=float(true - claimed), bar=float(bar), scale=1.0, whole=self.size == 1)
            for true, claimed, bar in zip(self.entries, self.claimed[self.indices], self.entry_bars, strict=True)
        )
        lines = (
            Misfit(
                true=probe.value,
                value=probe.value - float(self.claimed @ z),
                bar=probe.bar + self.slack(norm, scale),
                scale=scale,
                whole=int(np.count_nonzero(z)) == self.size,
            )
            for probe, z, scale in self.components()
        )
        return (*single, *lines)

    @property
    def visible(self) -> bool:
        """Say whether any probe alone contradicts the claim beyond doubt."""
        return any(abs(misfit.value) > VISIBLE * misfit.bar for misfit in self.misfits)

    @cached_property
    def residual_norm(self) -> float:
        """Estimate ‖true − claimed‖: exactly from all coordinates, else from lines across the block; NaN without any."""
        if self.complete:
            return float(np.linalg.norm(self.entries - self.claimed[self.indices]))
        whole = [misfit.value / misfit.scale for misfit in self.misfits if misfit.whole]
        return math.hypot(*whole) / math.sqrt(len(whole)) if whole else math.nan

    @property
    def complete(self) -> bool:
        """Say whether every coordinate was measured by itself."""
        return self.indices.size == self.size


def _restricted(probe: Probe) -> bool:
    """Say whether a line reaches only a part of its block: such lines tell less, and are left out first."""
    direction = probe.direction
    return isinstance(direction, BlockDirection) and (bool(direction.parts) or direction.sample > 1)


def _scale(probe: Probe) -> float:
    return probe.direction.scale if isinstance(probe.direction, Coordinate) else 1.0
