"""Every coordinate by itself: two evaluations each, and a second look at those that do not fit.

What it sees that a norm masks: a coordinate that is tiny beside its block's. What it costs: what the classic loop
costs, 2N.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from gradproof._evidence.looks import SHORTENED
from gradproof._numerics.formulas import BETWEEN
from gradproof._numerics.lines import careful_derivative
from gradproof._numerics.noise import STANDS_OUT, Pool
from gradproof._numerics.readings import ALMOST
from gradproof._numerics.statistics import chi_square_upper_quantile, difference_from_above, student_quantile, within
from gradproof._numerics.tables import REPRESENTED, Phi, shorten_mantissa, shorten_mantissas
from gradproof._numerics.witnesses import AGAIN, NEAR, SAME, Witness, breaks_off, short_witness
from gradproof._words.directions import Coordinate, Direction
from gradproof._words.precision import HALF
from gradproof._words.results import Difference, Kink
from gradproof._words.vectors import FloatArray

TWO_POINTS: Final = 1 / math.sqrt(2)
FOUR_POINTS: Final = 0.950
"""Standard deviations of the formulas of order 2 and 4, over noise/step."""
CLAIM_ROUNDING: Final = 100.0
CLAIM_ROUNDING_HALF: Final = 1000.0
"""A coordinate is not called wrong for less than this many roundings of its block's norm. In half precision the forward
pass is a staircase, whose steps are no noise: there only what is as large as half of the block is wrong by itself."""
BY_ITSELF: Final = 1e-3
"""An entry is wrong by itself where it is off by more than the tolerance, and by more than this share of the tolerance
times its block's entries, root mean square."""
MOST_WITNESSES: Final = 24
"""Coordinates of one check that are confirmed by a witness each; what the same steps show beside them is believed."""
FOLLOWED: Final = 2
"""Of those the worst are followed further out, too: what is a piece of a rounded function is so at the worst of them."""
LEFT_FOR_CAUSES: Final = 32
"""Evaluations for each block that second looks at a wrong block's entries leave for the search for its cause (twelve
probes and a certificate), up to a quarter of what there was."""
LOOK_AGAIN: Final = 1e-3
"""Probability with which the noise alone sends a coordinate to a second look."""
BENT: Final = 0.02
"""Slopes on both sides that differ by more than this share of the gradient are looked at again for a kink."""
SCATTER: Final = 64
"""Coordinates from which on their scatter tells the noise."""
MANY: Final = 8
"""Coordinates from which on their usual curvature is known."""
STEADY: Final = 0.02
"""Two steps, no multiples of each other, that show the same discrepancy to this fraction confirm each other."""
TWO_STEPS: Final = 2.2
"""Standard deviation of the formula on both steps, over noise/step."""
SHORTER: Final = 1 / (10 * math.pi)
"""How much shorter the step is at which a coordinate is asked again before it is measured with care."""
FALLS: Final = 0.5
"""Truncation of order 2 falls to 1e-3 there, and what a crossed kink feigns vanishes: to much less than this part."""
SHORTEST_TWO_POINT_STEP: Final = 1e-5
"""However small the tolerance is, two values at a shorter step tell less of it, not more."""
RESWEEPS: Final = 4
"""Times that a block may be swept again at another step."""
TWO_STEPS_OUT: Final = (1.0, -1.0)
FOUR_STEPS_OUT: Final = (-2.0, -1.0, 1.0, 2.0)
"""Multiples of the step at which the formulas of order 2 and 4 take their values."""
SAMPLE: Final = 3
"""Coordinates of a block that are looked at carefully before the block's step is blamed."""
ONE_SIDE_TWO: Final = math.sqrt(4**2 + 1) / 2 / TWO_POINTS
ONE_SIDE_FOUR: Final = math.sqrt(48**2 + 36**2 + 16**2 + 3**2) / 12 / FOUR_POINTS
"""By how much noisier the one-sided formulas of order 2 and 4 are than the central ones."""
LineOf = Callable[[Direction], Phi]


class Lines(Protocol):
    """φ along n coordinates of one block at once, each in units of its own length."""

    @property
    def granularity(self) -> float:
        """Spacing of the cost's values where it is visibly rounded, else 0."""

    @property
    def unit_roundoff(self) -> float:
        """u of the precision of the cost's values."""

    @property
    def rounding(self) -> float:
        """Difference of two values at the same point that rounding alone explains."""

    @property
    def shortest(self) -> FloatArray:
        """Shortest t for which θ + t v is represented, shape (n,)."""

    def magnitude(self) -> FloatArray:
        """Return the largest absolute values that were rounded on the way, shape (n,)."""

    def __call__(self, steps: FloatArray) -> FloatArray | None:
        """Return φ(t) − φ(0), less what is claimed, for steps of shape (n, m); None where it has to be done serially."""


LinesOf = Callable[[int, NDArray[np.intp], FloatArray], Lines]
"""Makes lines of a block, of the coordinates' numbers and of their lengths."""


def two_point_step(noise: float, tolerance: float) -> float:
    """Return the step of the two-point formula, in units of the length over which the cost changes.

    Truncation h²φ‴/6 is to stay a tenth of the tolerance, and below the bar of the noise, a few times ε/h:
    h = (30 ε/A)^⅓ for a cost that changes by A over the parameters' own lengths. A longer step is taken for a
    mistake where a kink is crossed, or where a coordinate's gradient is small; a shorter one drowns in noise.

    Parameters
    ----------
    noise
        ε/A.
    tolerance
        τ.
    """
    balanced = float((30 * max(noise, 1e-17)) ** (1 / 3))
    return min(balanced, max(math.sqrt(tolerance) / 3, SHORTEST_TWO_POINT_STEP), 0.1) * 1.0371


def one_sided_as_central(outward: FloatArray) -> tuple[FloatArray, float]:
    """Return the central values with the derivatives that one-sided values have, and the factor on their noise.

    With φ₁ … φ₄ at h … 4h, and φ(0) = 0, hφ′ = (4φ₁ − φ₂)/2 to order 2, (48φ₁ − 36φ₂ + 16φ₃ − 3φ₄)/12 to order 4.

    Parameters
    ----------
    outward
        φ₁, φ₂ or φ₁ … φ₄, of the sign that they have on the positive side.

    Returns
    -------
    ndarray
        In the order of TWO_STEPS_OUT or FOUR_STEPS_OUT.
    float
        Its formula's standard deviation over that of the central one.
    """
    second = float(outward[:2] @ [4, -1]) / 2
    if outward.size == 2:
        return np.array([second, -second]), ONE_SIDE_TWO
    fourth = float(outward @ [48, -36, 16, -3]) / 12
    far = 8 * second - 6 * fourth
    return np.array([-far, -second, second, far]), ONE_SIDE_FOUR


@dataclass(slots=True)
class BlockMeasurement:
    """The discrepancies ∇J − g of one block, coordinate by coordinate.

    Parameters
    ----------
    discrepancy, spread, truncation
        Per coordinate, in the gradient's units: value, standard deviation by noise, bound on the rest.
    wrong
        Coordinates that were confirmed to be wrong.
    undecided
        Coordinates that could not be measured well enough.
    still
        Coordinates along which the cost does not change at all.
    failed
        Coordinates at which the cost could not be evaluated.
    jump
        By how much the slopes on both sides differ, where that is a good part of the gradient; else 0.
    judged
        Coordinates whose truncation error was measured, by a second step.
    side
        Side on which a coordinate is measured: 0 for both, ±1 where the cost cannot be evaluated on the other.
    kinks
        One-sided derivatives of the coordinates at a kink, of the cost itself.
    """

    discrepancy: FloatArray
    spread: FloatArray
    truncation: FloatArray
    wrong: NDArray[np.bool_]
    undecided: NDArray[np.bool_]
    still: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    jump: FloatArray
    judged: NDArray[np.bool_]
    side: NDArray[np.int8]
    kinks: dict[int, Kink] = field(default_factory=dict)

    @classmethod
    def empty(cls, size: int) -> BlockMeasurement:
        """Return one of `size` coordinates that were not measured yet: nothing is known of their noise."""
        values, flags = [np.zeros(size) for _ in range(3)], [np.zeros(size, dtype=bool) for _ in range(5)]
        unknown = np.full(size, math.inf)
        side = np.zeros(size, dtype=np.int8)
        return cls(values[0], unknown, values[1], flags[0], flags[1], flags[2], flags[3], values[2], flags[4], side)


@dataclass(frozen=True, slots=True)
class Values:
    """φ(t) − φ(0), less what is claimed, of n coordinates at m multiples of their steps.

    Parameters
    ----------
    steps
        Each coordinate's step, in units of its length, shape (n,).
    found
        Values, NaN where the cost failed, shape (m, n).
    noise
        Standard deviation of one value, shape (n,).
    rounding
        Difference of two values at the same point that rounding alone explains.
    """

    steps: FloatArray
    found: FloatArray
    noise: FloatArray
    rounding: float = 0.0


class Exhaustive:
    """Measures every coordinate of every block.

    Parameters
    ----------
    claimed
        The claimed gradient's blocks, flat.
    scales
        Length for each coordinate.
    line_of
        Makes a line of a recipe; its values are discrepancies: what is claimed is taken off.
    pool
        The noise of the cost.
    step
        First step, in units of each coordinate's length.
    tolerances
        τ of each block.
    alpha
        Probability of a wrong verdict.
    roundoff
        u of the precision at work.
    negligible
        For each block the norm of a residual that counts as none; 0 where the tolerance alone decides.
    lines_of
        Makes many lines of one block, where they can be evaluated together.
    left, hidden
        Return how many evaluations are left, and what the cost may change by unseen.
    ahead
        Coordinates that are asked for at once.
    """

    def __init__(
        self,
        claimed: Sequence[FloatArray],
        scales: Sequence[FloatArray],
        line_of: LineOf,
        *,
        pool: Pool,
        step: float,
        tolerances: Sequence[float],
        alpha: float,
        roundoff: float,
        negligible: Sequence[float] = (),
        lines_of: LinesOf | None = None,
        left: Callable[[], float] = lambda: math.inf,
        hidden: Callable[[], float] = lambda: 0.0,
        ahead: int = 1,
    ) -> None:
        self.claimed = claimed
        self.scales = scales
        self.line_of = line_of
        self.lines_of = lines_of
        self.left = left
        self.hidden = hidden
        self.ahead = ahead
        self.pool = pool
        self.tolerances = tolerances
        self.alpha = alpha
        self.roundoff = roundoff
        self.negligible = list(negligible) or [0.0] * len(claimed)
        self.first, self.steps = step, [step] * len(claimed)
        self.scatter, self.scatter_degrees = 1.0, 0.0
        self.confirmed, self.structured, self.reserve = 0, False, 0.0
        self.total = sum(gradient.size for gradient in claimed)
        self.blocks = [BlockMeasurement.empty(gradient.size) for gradient in claimed]
        # Root mean squares of the claimed entries.
        self.typical = [
            max(float(np.linalg.norm(g)), least) / math.sqrt(max(g.size, 1))
            for g, least in zip(claimed, self.negligible, strict=True)
        ]

    def run(self) -> None:
        """Measure all blocks, then look again at what does not fit."""
        self.reserve = min(LEFT_FOR_CAUSES * len(self.claimed), self.left() / 4)
        for b in range(len(self.claimed)):
            self.sweep(b)
        self.learn_from_scatter()
        for b in range(len(self.claimed)):
            self.look_again(b)

    def learn_from_scatter(self) -> None:
        """Read the noise off the discrepancies themselves: most coordinates of most claims are right.

        The median of |y|/s, over 0.6745, is the factor by which the noise was misjudged (its sample has some N/3
        degrees of freedom, by the median's efficiency of 0.37); what it shows of truncation errs on the safe side.
        """
        sizes = [np.abs(block.discrepancy[~block.failed]) for block in self.blocks]
        spreads = [block.spread[~block.failed] for block in self.blocks]
        size, spread = np.concatenate(sizes), np.concatenate(spreads)
        seen = spread > 0
        if np.count_nonzero(seen) >= SCATTER:
            self.scatter = max(float(np.median(size[seen] / spread[seen])) / 0.6745, 1.0)
            self.scatter_degrees = float(np.count_nonzero(seen)) / 3

    def quantile(self, alpha: float) -> float:
        """Return Student's quantile for the noise, as well as the lines or the coordinates' own scatter know it."""
        _, degrees = self.pool.level(0.0)
        t = student_quantile(degrees, alpha)
        return min(t, self.scatter * student_quantile(self.scatter_degrees, alpha)) if self.scatter_degrees else t

    # -- first pass --------------------------------------------------------------------------------------------------

    def sweep(self, b: int) -> None:
        """Measure every coordinate of a block with two values."""
        every = np.arange(self.claimed[b].size)
        together = self.values_together(b, every, self.steps[b], TWO_STEPS_OUT)
        self.take_two(b, every, together or self.values_in_turn(b, every, self.steps[b], TWO_STEPS_OUT))

    def values_together(
        self, b: int, chosen: NDArray[np.intp], step: float, multiples: Sequence[float]
    ) -> Values | None:
        """Evaluate coordinates at multiples of a step in batches; None where that cannot be done."""
        if self.lines_of is None:
            return None
        lines = self.lines_of(b, chosen, self.scales[b][chosen])
        steps = shorten_mantissas(np.maximum(step, REPRESENTED * lines.shortest))
        found = lines(np.multiply.outer(steps, multiples))
        if found is None:
            return None
        noise = self.pool.levels(0.5 * lines.unit_roundoff * lines.magnitude())
        return Values(steps, found.T, np.maximum(noise, lines.granularity / math.sqrt(12)), lines.rounding)

    def values_in_turn(self, b: int, chosen: NDArray[np.intp], step: float, multiples: Sequence[float]) -> Values:
        """Evaluate coordinates at multiples of a step, one after the other."""
        steps, noise = np.empty(chosen.size), np.empty(chosen.size)
        found = np.empty((len(multiples), chosen.size))
        for k, (j, line) in enumerate(self.lines_ahead(b, chosen, step, multiples)):
            steps[k] = own = shorten_mantissa(max(step, REPRESENTED * line.shortest))
            found[:, k], noise[k] = self.values_at(b, j, line, own, multiples)
        return Values(steps, found, noise)

    def lines_ahead(
        self, b: int, chosen: NDArray[np.intp], step: float, multiples: Sequence[float]
    ) -> Iterator[tuple[int, Phi]]:
        """Yield coordinates and their lines; where workers wait, those that come are asked for ahead."""
        coming, ready = iter(chosen.tolist()), deque[tuple[int, Phi]]()
        for _ in range(chosen.size):
            for j in islice(coming, self.ahead - len(ready)):
                line = self.line(b, j)
                if self.ahead > 1:
                    own = shorten_mantissa(max(step, REPRESENTED * line.shortest))
                    line.ahead([m * own for m in multiples], sure=not self.blocks[b].side[j])
                ready.append((j, line))
            yield ready.popleft()

    def values_at(self, b: int, j: int, line: Phi, step: float, multiples: Sequence[float]) -> tuple[FloatArray, float]:
        """Evaluate a coordinate at multiples of a step; at as many on one side where the cost fails on the other.

        Returns
        -------
        ndarray
            The values; where there is one side only, those of which the central formulas make its derivatives.
        float
            The noise of one, with which the central formula's is that of the one that was used.
        """
        side = int(self.blocks[b].side[j])
        if side == 0:
            values = line([m * step for m in multiples])
            up, down = (np.isfinite(values[np.sign(multiples) == sign]).all() for sign in (1, -1))
            if up == down:
                return values, self.noise(line, max(multiples) * step)
            side = 1 if up else -1
        outward = side * line([side * m * step for m in range(1, len(multiples) + 1)])
        if np.isfinite(outward).all():
            self.blocks[b].side[j] = side
        values, factor = one_sided_as_central(outward)
        return values, factor * self.noise(line, len(multiples) * step)

    def line(self, b: int, j: int) -> Phi:
        """Return the line along a coordinate: in units of its length, kept while it is being measured."""
        return self.line_of(Coordinate(b, j, float(self.scales[b][j])))

    def step(self, b: int, line: Phi) -> float:
        """Return the block's step, or the shortest one that the coordinate's precision represents."""
        return shorten_mantissa(max(self.steps[b], REPRESENTED * line.shortest))

    def noise(self, line: Phi, reach: float) -> float:
        """Return the standard deviation of one value on a line, rounding to a visible granularity included."""
        noise, _ = self.pool.level(0.5 * line.unit_roundoff * line.magnitude(reach))
        return max(noise, line.granularity / math.sqrt(12))

    def measure_two(self, b: int, j: int) -> Phi:
        """Measure a coordinate with two values."""
        line = self.line(b, j)
        self.take_two_of(b, j, line, self.step(b, line))
        return line

    def take_two_of(self, b: int, j: int, line: Phi, step: float) -> None:
        """Measure a coordinate with two values at a given step."""
        step = shorten_mantissa(step)
        found, noise = self.values_at(b, j, line, step, TWO_STEPS_OUT)
        self.take_two(b, np.array([j]), Values(np.array([step]), found[:, None], np.array([noise])))

    def take_two(self, b: int, chosen: NDArray[np.intp], values: Values) -> None:
        """Take in what two values say of each of some coordinates."""
        measured, scale, claimed = self.blocks[b], self.scales[b][chosen], self.claimed[b][chosen]
        (up, down), step = values.found, values.steps
        measured.discrepancy[chosen] = (up - down) / (2 * step) / scale
        measured.spread[chosen] = TWO_POINTS * values.noise / step / scale
        measured.truncation[chosen] = 0.0
        measured.judged[chosen] = False
        measured.failed[chosen] = ~(np.isfinite(up) & np.isfinite(down))
        unmoved = np.maximum(np.abs(up), np.abs(down)) <= values.rounding
        measured.still[chosen] = unmoved & (claimed == 0)
        jump = np.abs(up + down) / step / scale
        bent = jump > BENT * np.maximum(np.abs(claimed), self.typical[b])
        measured.jump[chosen] = np.where(bent, jump, 0.0)

    def sweep_four(self, b: int, longest: float) -> None:
        """Measure every coordinate with four values at a longer step, which tells more where noise is what limits."""
        measured = self.blocks[b]
        open_ = ~measured.wrong
        open_[list(measured.kinks)] = False
        chosen = np.flatnonzero(open_)
        values = self.values_together(b, chosen, longest, FOUR_STEPS_OUT)
        values = values or self.values_in_turn(b, chosen, longest, FOUR_STEPS_OUT)
        (far_down, down, up, far_up), step, scale = values.found, values.steps, self.scales[b][chosen]
        value = (8 * (up - down) - (far_up - far_down)) / (12 * step)
        correction = np.abs(value - (up - down) / (2 * step))
        spread = FOUR_POINTS * values.noise / step
        truncation = np.where(correction <= 3 * spread, 0.0, 0.1 * correction)
        known = measured.spread[chosen] + measured.truncation[chosen]
        better = np.isfinite(value) & ((spread + truncation) / scale < known)
        chosen = chosen[better]
        measured.discrepancy[chosen] = (value / scale)[better]
        measured.spread[chosen], measured.truncation[chosen] = (spread / scale)[better], (truncation / scale)[better]

    # -- second look -------------------------------------------------------------------------------------------------

    def suspicious(self, b: int, alpha: float = LOOK_AGAIN) -> NDArray[np.bool_]:
        """Return the coordinates whose discrepancy is more than noise, rounding and tolerance explain."""
        measured, claimed = self.blocks[b], self.claimed[b]
        t = self.quantile(alpha)
        size = np.abs(measured.discrepancy)
        explained = np.maximum(
            t * measured.spread + measured.truncation,
            (CLAIM_ROUNDING if self.roundoff < HALF else CLAIM_ROUNDING_HALF)
            * self.roundoff
            * float(np.linalg.norm(claimed)),
        )
        relative = self.tolerances[b] * (np.abs(claimed) + np.abs(claimed + measured.discrepancy))
        # What is nothing beside its block's entries is no mistake of its own, whatever its digits.
        relative = np.maximum(relative, BY_ITSELF * self.tolerances[b] * self.typical[b])
        relative = np.maximum(relative, self.negligible[b] / math.sqrt(claimed.size))
        return (size > np.maximum(explained, relative)) | measured.failed

    def proved(self, b: int) -> NDArray[np.bool_]:
        """Return the coordinates that are suspicious at the level of a verdict, for all coordinates together."""
        return self.suspicious(b, self.alpha / self.total)

    @contextmanager
    def claiming_more(self, b: int, change: FloatArray) -> Iterator[BlockMeasurement]:
        """See what was measured of a block as it would be, had the claim been so much larger."""
        measured = self.blocks[b]
        kept, self.claimed = self.claimed, tuple(g + change if k == b else g for k, g in enumerate(self.claimed))
        discrepancy = measured.discrepancy
        measured.discrepancy = discrepancy - change
        try:
            yield measured
        finally:
            self.claimed = kept
            measured.discrepancy = discrepancy

    def would_suspect(self, b: int, change: FloatArray) -> bool:
        """Say whether some coordinate would have stood out, had the claim been so much larger."""
        with self.claiming_more(b, change):
            return bool((self.proved(b) & (change != 0)).any())

    def certified_instead(self, b: int, claimed: FloatArray) -> float | None:
        """Return the bound on D to which another claim would have been certified by what was measured, if it would.

        The bound holds for any claim, one that was chosen by these very measurements included: the noise is bounded in
        norm, whichever way it points.
        """
        with self.claiming_more(b, claimed - self.claimed[b]) as measured:
            upper = self.difference(b).upper
            known = not (measured.undecided.any() or measured.kinks or measured.failed.any() or self.proved(b).any())
        return upper if known and upper <= self.tolerances[b] else None

    def look_again(self, b: int) -> None:
        """Confirm, or explain, each suspicious coordinate; shorten the block's step where it is to blame."""
        for _ in range(RESWEEPS):
            suspects = self.worst_first(b)
            if not suspects or not self.step_to_blame(b, suspects):
                break
            self.sweep(b)
        believed = bool(self.blocks[b].wrong.any())
        for j in self.worst_first(b):
            if believed and self.left() < self.reserve:
                return  # the block is wrong; more of its entries tell less than why
            if not self.blocks[b].wrong[j]:
                self.judge(b, j, two_steps_are_enough=believed)
        for j in self.bent(b):
            self.judge(b, j, two_steps_are_enough=not self.blocks[b].failed[j])
            if self.blocks[b].wrong[j] and not believed:
                self.judge(b, j, two_steps_are_enough=False)

    def bent(self, b: int) -> list[int]:
        """Return coordinates that may have a kink, though the mean of their slopes is what is claimed.

        Where most coordinates are bent, it is the curvature of a cost near its minimum: kinks stand out from it.
        """
        measured = self.blocks[b]
        jumps = np.concatenate([block.jump for block in self.blocks])
        usual = float(np.median(jumps)) if jumps.size >= MANY else 0.0
        candidates = np.flatnonzero((measured.jump > STANDS_OUT * usual) & (measured.jump > 10 * measured.spread))
        return [j for j in candidates.tolist() if not measured.wrong[j] and j not in measured.kinks]

    def worst_first(self, b: int) -> list[int]:
        measured = self.blocks[b]
        suspects = np.flatnonzero(self.suspicious(b))
        size = np.where(np.isfinite(measured.discrepancy), np.abs(measured.discrepancy), np.inf)
        return [int(j) for j in suspects[np.argsort(-size[suspects], kind="stable")] if int(j) not in measured.kinks]

    def step_to_blame(self, b: int, suspects: list[int]) -> bool:
        """Say whether suspicious coordinates turn out right when they are measured with care; then shorten the step.

        The worst one always is: a mistake that the same step showed in several coordinates would be no proof.
        """
        measured = self.blocks[b]
        several = len(suspects) > max(SAMPLE, self.claimed[b].size // 8)
        steps = []
        for j in suspects[:: max(len(suspects) // SAMPLE, 1)][: SAMPLE if several else 1]:
            if measured.wrong[j]:
                continue
            line = self.line(b, j)
            if self.right_at_a_shorter_step(b, j, line):
                steps.append(self.step(b, line))
            else:
                steps.append(self.judge_carefully(b, j, line))
            if measured.wrong[j] or measured.undecided[j] or j in measured.kinks:
                return False
        if several and steps:
            # The formula of order 2 wants a shorter step than that of order 6.
            self.steps[b] = min(self.steps[b] / 8, *(step / 8 for step in steps))
        return several and bool(steps)

    def judge(self, b: int, j: int, *, two_steps_are_enough: bool = True) -> None:
        """Measure a coordinate at a second step; carefully where the two do not agree.

        Carefully in any case, where this step misled about the worst coordinate of the block.
        """
        measured, scale = self.blocks[b], float(self.scales[b][j])
        line = self.measure_two(b, j)
        step = self.step(b, line)
        if two_steps_are_enough and not measured.failed[j]:
            near_step = shorten_mantissa(BETWEEN * step)
            (up, down), noise = self.values_at(b, j, line, step, TWO_STEPS_OUT)
            (near_up, near_down), _ = self.values_at(b, j, line, near_step, TWO_STEPS_OUT)
            far, near = (up - down) / (2 * step), (near_up - near_down) / (2 * near_step)
            ratio = (near_step / step) ** 2
            value = (near - ratio * far) / (1 - ratio) / scale
            even, near_even = abs(up + down), abs(near_up + near_down)
            kinked = even > 0.05 * abs(up - down) and near_even > 0.25 * even
            steady = within(value - measured.discrepancy[j], STEADY * abs(value))
            if steady and not kinked and math.isfinite(value):
                measured.truncation[j] = abs(value - measured.discrepancy[j])
                measured.spread[j] = TWO_STEPS * noise / step / scale
                measured.discrepancy[j] = value
                measured.judged[j] = True
                measured.wrong[j] = bool(self.proved(b)[j]) and self.witnessed(b, j, line, near_step)
                return
        if not self.right_at_a_shorter_step(b, j, line):
            self.judge_carefully(b, j, line)

    def right_at_a_shorter_step(self, b: int, j: int, line: Phi) -> bool:
        """Say whether the claim fits at a much shorter step: then a kink beside the point was crossed, or truncation seen.

        Either is less at the shorter step; a discrepancy that stays, and only has wider bars there, is not excused.
        """
        measured = self.blocks[b]
        kept = [array[j] for array in (measured.discrepancy, measured.spread, measured.failed, measured.jump)]
        self.take_two_of(b, j, line, max(SHORTER * self.step(b, line), REPRESENTED * line.shortest))
        less = kept[2] or abs(measured.discrepancy[j]) <= FALLS * abs(kept[0])
        if less and not self.suspicious(b)[j] and measured.jump[j] == 0:
            return True
        measured.discrepancy[j], measured.spread[j], measured.failed[j], measured.jump[j] = kept
        return False

    def judge_carefully(self, b: int, j: int, line: Phi) -> float:
        """Measure a coordinate as well as it can be; at a kink, ask whether the claim is one of its slopes.

        Returns
        -------
        float
            The step at which it was measured.
        """
        measured, scale, claimed = self.blocks[b], float(self.scales[b][j]), float(self.claimed[b][j])
        estimate = careful_derivative(line, self.steps[b] / 3.2e-3, pool=self.pool)
        measured.failed[j] = False
        measured.undecided[j] = False
        measured.judged[j] = True
        if not math.isfinite(estimate.value):
            measured.undecided[j] = True
            measured.discrepancy[j], measured.spread[j], measured.truncation[j] = 0.0, 0.0, math.inf
            return estimate.step
        measured.discrepancy[j] = estimate.value / scale
        measured.spread[j] = estimate.roundoff_error / scale
        measured.truncation[j] = estimate.truncation_error / scale
        if estimate.kink is not None:
            low, high = sorted((estimate.kink.left, estimate.kink.right))
            bar = estimate.kink.error_bar
            kink = Kink(
                left=estimate.kink.left / scale + claimed,
                right=estimate.kink.right / scale + claimed,
                error_bar=bar / scale,
            )
            measured.kinks[j] = kink
            # The lines are discrepancies: the claim lies between the one-sided derivatives where 0 does here.
            allowed = bar + self.tolerances[b] * scale * (abs(claimed) + abs(claimed + estimate.value / scale))
            accepted = low - allowed <= 0 <= high + allowed
            measured.wrong[j] = not accepted
            measured.discrepancy[j] = 0.0 if accepted else min((low, high), key=abs) / scale
            # Between the two slopes any claim is right, and no bar leaves it open.
            measured.truncation[j] = 0.0 if low <= 0 <= high else bar / scale
            measured.spread[j] = 0.0 if low <= 0 <= high else measured.spread[j]
            return estimate.step
        if not estimate.trusted:
            measured.truncation[j] = max(measured.truncation[j], estimate.error_bar / scale)
            measured.undecided[j] = bool(self.suspicious(b)[j]) or not within(
                estimate.error_bar / scale,
                max(self.tolerances[b] * float(np.linalg.norm(self.claimed[b])), self.negligible[b]),
            )
            return estimate.step
        measured.wrong[j] = bool(self.proved(b)[j]) and self.witnessed(b, j, line, estimate.step)
        return estimate.step

    def witnessed(self, b: int, j: int, line: Phi, step: float) -> bool:
        """Say whether a step as short as noise allows shows the same discrepancy; leave the coordinate open where it does not.

        What is there at long steps only lies in kinks, knots, ripples or stairs between the two.
        """
        measured = self.blocks[b]
        if self.confirmed >= MOST_WITNESSES:
            return True
        value = float(measured.discrepancy[j]) * float(self.scales[b][j])
        rounding = 0.5 * line.unit_roundoff * line.magnitude(step)

        def slope(h: float) -> FloatArray:
            side = int(measured.side[j])
            steps = [side * h, side * 2 * h] if side else [h, -h]
            up, down = one_sided_as_central(side * line(steps))[0] if side else line(steps)
            moves = bool(np.any(line.changes([step, -step] if not side else [side * step])))
            still = moves and not np.any(line.changes(steps)) if math.isfinite(up) and math.isfinite(down) else True
            return np.array([math.nan if still else (up - down) / (2 * h)])

        def bar(h: float) -> float:
            return ALMOST * TWO_POINTS * self.noise(line, h) / h

        def agrees(h: float) -> bool:
            there = float(slope(shorten_mantissa(h))[0])
            return math.isfinite(there) and within(there - value, bar(h) + SAME * abs(value))

        def bend(h: float) -> float:
            both = float(np.sum(line([h, -h]))) if not measured.side[j] else 0.0
            return abs(both) / (2 * h) if math.isfinite(both) else math.inf

        short = Witness.AGREES
        if not self.pool.repetition:
            shortest = REPRESENTED * line.shortest
            own = abs(value + float(self.claimed[b][j] * self.scales[b][j]))
            rounding = max(rounding, own * line.shortest)  # the arguments are rounded, too
            short = short_witness(slope, np.array([value]), rounding, step, shortest, self.noise(line, step), bend)
        seen = short in {Witness.AGREES, Witness.SILENT}
        if short is Witness.CONFUSED:  # a longer step may tell what shorter ones do not
            seen = agrees(AGAIN * step)
        if step > 1 and not self.pool.repetition:  # beyond the scale what is even hides what is not
            seen = seen and bar(NEAR) <= SAME * abs(value) and agrees(NEAR)
        # Where the cost does not move, what is claimed over the whole length must be more than what it hides.
        sides = [t for t in (step, -step) if math.isfinite(line([t])[0])]
        moved = float(np.max(np.abs(line.changes(sides)), initial=0.0))
        seen = seen and (moved > 0 or abs(value) >= self.hidden())
        beneath = moved <= SAME * step * abs(value) or step < min(self.first / AGAIN, SHORTENED)
        if seen and beneath and self.confirmed < FOLLOWED and not (self.pool.repetition or measured.side[j]):

            def odd(t: float) -> FloatArray | None:
                up, down = line([t, -t])
                return np.array([(up - down) / 2]) if math.isfinite(up) and math.isfinite(down) else None

            seen = not breaks_off(odd, np.array([value]), step, self.noise(line, step))
        if seen:
            self.confirmed += 1
            return True
        measured.undecided[j] = True
        self.structured = True
        return False

    # -- conclusions -------------------------------------------------------------------------------------------------

    def residual_bounds(self, b: int) -> tuple[float, float, float]:
        """Return estimate, lower and upper bound of ‖∇J − g‖ in one block.

        ‖r‖ ≤ ‖y‖ + ‖T‖ + ‖n‖, and the noise n has ‖n‖ ≤ s√q_n(1 − α) for the χ² of its n entries.
        """
        measured = self.blocks[b]
        n = max(measured.discrepancy.size, 1)
        # The confidence is over directions, given the noise; how well the noise is known widens what is displayed.
        widen = self.quantile(LOOK_AGAIN) / student_quantile(math.inf, LOOK_AGAIN)
        spread = float(np.max(measured.spread, initial=0.0))
        noise = spread * math.sqrt(chi_square_upper_quantile(n, self.alpha / 2)) * widen
        estimate = float(np.linalg.norm(measured.discrepancy))
        truncation = float(np.linalg.norm(measured.truncation))
        t = self.quantile(self.alpha / self.total)
        excess = np.maximum(np.abs(measured.discrepancy) - 3 * measured.truncation - t * measured.spread, 0.0)
        excess[~measured.wrong] = 0.0  # what no witness has confirmed is no proof
        return estimate, float(np.linalg.norm(excess)), estimate + truncation + noise

    def bar(self, b: int) -> float:
        """Return the norm of what an entry's lower bound takes off."""
        t = self.quantile(self.alpha / self.total)
        return float(np.linalg.norm(3 * self.blocks[b].truncation + t * self.blocks[b].spread))

    def difference(self, b: int) -> Difference:
        """Return D of one block: all of its coordinates are known."""
        estimate, lower, upper = self.residual_bounds(b)
        claimed = float(np.linalg.norm(self.claimed[b]))
        numerical = float(np.linalg.norm(self.claimed[b] + self.blocks[b].discrepancy))
        total = claimed + numerical
        return Difference(
            estimate=estimate / total if total > 0 else 0.0,
            lower=lower / total if total > 0 else 0.0,
            upper=difference_from_above(upper, claimed) if claimed > 0 else float(upper > 0),
        )
