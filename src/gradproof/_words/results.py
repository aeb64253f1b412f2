"""The nouns: what a check measured and what it concluded.

Frozen, slotted, keyword-only dataclasses of numbers, strings, enumerations and tuples, so that they compare, hash and
survive a journey through JSON (``from_json(to_json(r)) == r``).
"""

from __future__ import annotations

import enum
import math
import os
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, NoReturn

from gradproof._words import codec


@enum.unique
class Verdict(enum.Enum):
    """What was concluded; the value is the sentence that people read."""

    CORRECT = "the gradient is correct within the tolerance"
    WRONG = "the gradient is wrong"
    INCONCLUSIVE = "the gradient could be proved neither right nor wrong"


@enum.unique
class Reason(enum.Enum):
    """Why a check stayed undecided; the value is the sentence that people read."""

    NOISE = "the noise of the cost hides errors of the size of the tolerance"
    KINK = "the cost has a kink at this point, where the gradient is not defined; check at a nearby point θ + δ"
    BORDER = "the difference lies too near to the tolerance to be called smaller or larger; give another tolerance"
    BUDGET = "the budget of cost calls was spent before the question was settled"
    DOMAIN = "the cost could not be evaluated at displaced points"
    CLAIM = "the claimed gradient gives a different answer at each call"
    NOT_EXERCISED = "the cost gives the same value at every displaced point: does it use its argument?"
    STRUCTURE = "short and long steps show different slopes: there is structure between them (kinks, ripples, or rounding of intermediate values)"
    STAIRCASE = "the cost stands still and jumps: its slope is zero between the jumps, and something else across them"
    RANDOM = "two evaluations at the same point differ, because random numbers are drawn"


@enum.unique
class Cause(enum.Enum):
    """What is wrong, in one word; the value is a phrase for people."""

    FACTOR = "a constant factor"
    SIGN = "the opposite sign"
    COMMON_FACTOR = "one factor in every block"
    TRANSPOSE = "a transposed block"
    FLIP = "a flipped axis"
    ROLL = "a shifted axis"
    PERMUTED_AXES = "permuted axes"
    PARAMETER_TERM = "a missing or doubled multiple of the parameter"
    OFFSET = "a constant added to every entry"
    ZERO = "a gradient of zero where the true one is not"
    NOT_ZERO = "a gradient that is not zero where the true one is"
    SWAPPED = "two blocks exchanged"
    SLICES = "some rows, columns or slices are wrong"
    COORDINATES = "some coordinates are wrong"
    PATTERN = "an entry missing from the sparsity pattern"
    NOT_LINEAR = "a product that is not linear in its argument"
    LAYOUT = "a product that depends on the memory layout of its argument"
    NOT_SYMMETRIC = "a Hessian that is not symmetric"
    NOT_ADJOINT = "two products that do not belong to one operator"
    CONVENTION = "the other convention for complex derivatives"
    FRAME = "a tangent of another frame"
    OTHER_VALUE = "another value where it is differentiated"
    NOT_SUMMED = "a gradient not summed or averaged over the batch"
    LOW_PRECISION = "a residue of lower-precision arithmetic"
    NON_FINITE = "NaN or infinity in the claimed gradient"
    KINK = "a kink at the point"
    NOISE = "a noisy cost"
    NON_DETERMINISTIC_COST = "a cost with a different value at each call"
    NON_DETERMINISTIC_CLAIM = "a claimed gradient with a different answer at each call"
    UNKNOWN = "no known pattern"


@dataclass(frozen=True, slots=True, eq=False)
class _Comparable:
    """Equality and hash by value in which NaN equals NaN: a report equals what `Report.from_json` reads back."""

    def _key(self) -> tuple[object, ...]:
        values = (getattr(self, field.name) for field in fields(self))
        return tuple("nan" if isinstance(value, float) and math.isnan(value) else value for value in values)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kink(_Comparable):
    """A point where the slope jumps: the one-sided derivatives with their bars."""

    left: float
    right: float
    error_bar: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate(_Comparable):
    """A derivative φ′(0) along a line, and how well it is known.

    Parameters
    ----------
    value
        The derivative, in the cost's units per unit of the line's parameter.
    truncation_error
        Bound on the error of the formula.
    roundoff_error
        Standard deviation of the error that the noise of the cost causes.
    error_bar
        Half-width of the displayed interval: truncation and noise together.
    degrees_of_freedom
        Of the noise estimate: how far its Student quantiles must be widened in a decision.
    step
        The step h of the formula that was used.
    order
        Its order in h.
    evaluations
        Cost calls that this estimate took.
    method
        For people: "central, order 6", "forward, order 4", "complex step" …
    noise
        Standard deviation of one value of the cost, as measured.
    kink
        The one-sided derivatives, where the slope jumps at the point itself.
    trusted
        False where no consistent step was found; the bar is then only what was seen.
    """

    value: float
    truncation_error: float
    roundoff_error: float
    error_bar: float
    degrees_of_freedom: float
    step: float
    order: int
    evaluations: int
    method: str
    noise: float
    kink: Kink | None = None
    trusted: bool = True

    def shifted(self, by: float) -> Estimate:
        """Return the same measurement of a function whose derivative is known to differ by so much."""
        kink = self.kink
        if kink is not None:
            kink = replace(kink, left=kink.left + by, right=kink.right + by)
        return replace(self, value=self.value + by, kink=kink)


class NumericalGradient(NamedTuple):
    """A gradient that was measured, in the structure of the point."""

    values: Any
    error_bars: Any
    evaluations: int
    method: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Difference(_Comparable):
    """The classic relative difference D = ‖grad − gradapprox‖ / (‖grad‖ + ‖gradapprox‖), with what is proved of it.

    ``lower`` ≤ D ≤ ``upper`` at the check's confidence; D of two zero gradients is defined as 0.
    """

    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoordinateResult(_Comparable):
    """One coordinate that was measured by itself and found wrong, or judged at a kink."""

    block: str
    index: tuple[int, ...]
    claimed: float
    numerical: float
    error_bar: float
    kink: Kink | None = None

    @property
    def ratio(self) -> float:
        """Claimed over numerical; NaN for 0/0."""
        if self.numerical == 0:
            return float("nan") if self.claimed == 0 else float("inf")
        return self.claimed / self.numerical


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockResult(_Comparable):
    """What was concluded of one named block.

    Parameters
    ----------
    name, shape, dtype
        The block, named as Python would write the path to it.
    verdict
        Of this block.
    difference
        Of this block, on its own norms.
    resolution
        The smallest relative difference that would have been called WRONG in this block, never below the tolerance: 999
        times in a thousand for a cost that is known to its rounding, and in noise to a factor of about two.
    tolerance
        Applied to this block.
    not_exercised
        Coordinates that this point does not exercise: zero on both sides.
    wrong_coordinates
        Coordinates measured singly and found wrong.
    reason
        Why INCONCLUSIVE, else None.
    zero
        It is CORRECT as zero on both sides: over its own scale it changes the cost by no more than 30 of its roundings.
    noise_floor
        What noise and truncation alone come to, as a relative difference: no tolerance below it can be certified.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    verdict: Verdict
    difference: Difference
    resolution: float
    tolerance: float
    not_exercised: int = 0
    wrong_coordinates: int = 0
    reason: Reason | None = None
    zero: bool = False
    noise_floor: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Diagnosis(_Comparable):
    """A named cause.

    Parameters
    ----------
    cause
        The kind of mistake.
    block
        The block that it concerns; "" where it concerns the cost or every block.
    coefficient, coefficient_bar
        The measured coefficient (a factor, c of c·θ, an offset) and its bar; NaN where there is none.
    where
        Rows, columns, coordinates, the sibling block …: the location, for people.
    sentence
        What is wrong, in the user's words.
    remedy
        What to write instead, as code.
    certified_remedy
        The remedy again where it was certified with fresh directions, else None.
    certified_to
        The relative difference to which the remedied gradient is certified; NaN where it is not.
    """

    cause: Cause
    block: str
    sentence: str
    coefficient: float = float("nan")
    coefficient_bar: float = float("nan")
    where: str = ""
    remedy: str = ""
    certified_remedy: str | None = None
    certified_to: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step(_Comparable):
    """The step of the backward pass that is wrong, the first one if there are several.

    Parameters
    ----------
    right
        Names of what the step starts from: their gradients are right. None where that is the cost alone.
    wrong
        Names of what it ends in: their gradients are wrong.
    module
        Path of the submodule whose step it is; "" where that is not known.
    sentence
        For people; says whether there are more mistakes.
    """

    right: tuple[str, ...]
    wrong: tuple[str, ...]
    module: str = ""
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SelfTestResult(_Comparable):
    """One mutation of the claim, and whether this check would have caught it at this point and tolerance."""

    mutation: str
    block: str
    relative_difference: float
    caught: bool
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Certificate(_Comparable):
    """What random directions prove: that D exceeds ``upper`` has probability 1 − ``confidence`` at most, over them."""

    lines: int
    remeasured: int
    confidence: float
    upper: float
    lower: float
    noise: float
    evaluations: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report(_Comparable):
    """All that a check found out; print it, save it as JSON, or read its fields.

    Parameters
    ----------
    verdict, difference
        Of the whole gradient.
    blocks
        One result a block, in the order of the point.
    coordinates
        Faulty coordinates and those judged at a kink, worst first (the first hundred).
    diagnoses
        Named causes.
    tolerance, tolerance_reason
        What was used, and why where it was not given.
    confidence, strategy, seed, budget
        As used.
    evaluations
        Calls of the cost in all.
    cost
        J(θ).
    noise
        Standard deviation of one value of the cost.
    certificate
        Of the random directions, where they were used.
    reason
        Why INCONCLUSIVE, else None.
    notes
        Sentences about what was not as usual.
    skipped
        Names of blocks that were left out (empty or excluded).
    seconds
        Wall-clock time of the check.
    where
        Which of several points this report is about; "" for the only one.
    self_test
        Mutations and whether they would have been caught.
    step
        Which step of the backward pass is wrong, where that is known: see `gradproof.tap`.
    verb
        The function that made it: "check_gradient", "check_vjp" …; where a function has many outputs, ``cost`` is the
        norm of its value, and the blocks are pairs "output × parameter".
    """

    verdict: Verdict
    difference: Difference
    blocks: tuple[BlockResult, ...]
    tolerance: float
    tolerance_reason: str
    confidence: float
    strategy: str
    seed: int
    budget: int
    evaluations: int
    cost: float
    noise: float
    coordinates: tuple[CoordinateResult, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    certificate: Certificate | None = None
    reason: Reason | None = None
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    seconds: float = 0.0
    where: str = ""
    self_test: tuple[SelfTestResult, ...] = ()
    verb: str = "check_gradient"
    step: Step | None = None

    @property
    def faulty(self) -> tuple[str, ...]:
        """Names of the WRONG blocks."""
        return tuple(block.name for block in self.blocks if block.verdict is Verdict.WRONG)

    def __bool__(self) -> NoReturn:
        """Refuse: a report is neither true nor false.

        Raises
        ------
        TypeError
            Always; ``assert check_gradient(…)`` would pass for every gradient otherwise.
        """
        msg = (
            "A Report has three verdicts, so it is neither true nor false. "
            "Use gradproof.assert_gradient(…), or compare report.verdict with gradproof.Verdict.CORRECT."
        )
        raise TypeError(msg)

    def __str__(self) -> str:
        from gradproof.reports import to_text  # the one lazy import of the library; see ARCHITECTURE.md

        return to_text(self)

    def _repr_html_(self) -> str | None:
        from gradproof.reports import to_cell

        return to_cell(self)

    def _repr_markdown_(self) -> str:
        from gradproof.reports import to_markdown

        return to_markdown(self)

    def to_html(self) -> str:
        """Return the report as one HTML page: see `gradproof.reports.to_html`."""
        from gradproof.reports import to_html

        return to_html(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as a page (``.html``) or as JSON (``.json``): see `gradproof.reports.save`."""
        from gradproof.reports import save

        save(self, path)

    def to_json(self) -> str:
        """Serialise to JSON, NaN and infinities spelled as strings; `from_json` gives an equal report back."""
        return codec.dumps(self)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Read what `to_json` wrote.

        Raises
        ------
        ValueError
            Where the text is not a report, or of a schema that this version does not know.
        """
        return codec.loads(cls, text)
