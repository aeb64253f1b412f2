"""Evaluating the cost: the only caller of the user's functions, and the keeper of the budget."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gradproof._numerics.formulas import POINTS
from gradproof._numerics.noise import granularity_of
from gradproof._problem.problem import OutOfBounds, Problem
from gradproof._words.directions import Direction
from gradproof._words.errors import CostRaised, MutatedInput, NonFiniteCost, NotScalar, UsageError
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import FloatArray
from gradproof.adapters import kind_of

ENOUGH_VALUES: Final = 7
"""Distinct values after which the precision in which they are returned is read off them."""
LARGE: Final = 50_000
"""Coordinates above which a direction is made anew for each displacement: it costs time, and saves a vector."""
RECENT: Final = 64
"""Latest values, from which a visible rounding of the cost is read."""
NARROW: Final[dict[str, Callable[[float], Any]]] = {"float16": np.float16, "float32": np.float32}


class BudgetSpent(Exception):  # the sentence's subject; never leaves the library
    """The next evaluation would exceed the budget."""


@dataclass(frozen=True, slots=True)
class Displacement:
    """θ + step · direction."""

    direction: Direction
    step: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The cost at one displacement.

    Parameters
    ----------
    value
        J(θ_t); NaN where it failed.
    claimed_change
        ⟨g, θ_t − θ⟩ for the θ_t that was representable; 0 where nothing is claimed.
    error
        Why it failed, for people; "" where it did not.
    """

    value: float
    claimed_change: float
    error: str = ""


class Engine:
    """Serial evaluation.

    Parameters
    ----------
    problem
        What to evaluate.
    budget
        Most calls of the cost; None for no limit.
    on_evaluated
        Called with the number of calls so far after each one.
    """

    def __init__(
        self, problem: Problem, *, budget: int | None = None, on_evaluated: Callable[[int], None] | None = None
    ) -> None:
        self.problem = problem
        self.budget = math.inf if budget is None else budget
        self.on_evaluated = on_evaluated
        self.evaluations = 0
        self.claimed: tuple[FloatArray, ...] | None = None
        self.cost_dtype = "float64"
        self.last_error = ""
        self._values: deque[float] = deque(maxlen=RECENT)
        self._grain, self._look_for_grain = 0.0, 0
        self._distinct: set[float] = set()
        self._narrow = dict.fromkeys(NARROW, True)
        self._cached: tuple[Direction, list[FloatArray | None]] | None = None
        self._vectorized: dict[int, Callable[[Any], Any] | None] = {}
        self._batches = True

    # -- the point itself --------------------------------------------------------------------------------------------

    def evaluate_point(self) -> tuple[float, Any]:
        """Evaluate J(θ), with everything that can be wrong with a cost found before the first displacement.

        Returns
        -------
        float
            J(θ).
        Any
            The gradient that the cost returned beside it, where ``claimed=True``; else None.

        Raises
        ------
        CostRaised, NonFiniteCost, NotScalar, MutatedInput
        """
        given = self.problem.point_copy()
        self._count()
        try:
            with np.errstate(all="ignore"):
                answer = self.problem.cost(given)
        except Exception as error:
            raise CostRaised(
                f"{type(error).__name__}: {error}",
                where="cost(point)",
                meaning="The cost cannot be evaluated at the point itself",
                remedy="Call it once by hand with this point",
            ) from error
        try:
            value, gradient = self._take_apart(answer)
        except TypeError as error:
            raise NotScalar(
                f"the cost returns {error}",
                where="cost(point)",
                meaning="A gradient is checked against one real number",
                remedy=self._instead_of(answer),
            ) from None
        written = self.problem.mutated(given)
        if written:
            raise MutatedInput(
                f"the cost writes into its argument: {', '.join(written)} changed during the call",
                where="cost(point)",
                meaning="Its next value would belong to another point (your own arrays are untouched: the cost is given copies)",
                remedy="Copy the parameters inside the cost before changing them in place",
            )
        if not math.isfinite(value):
            raise NonFiniteCost(
                f"J is {value}",
                where="cost(point)",
                meaning="The cost has no derivative where it is not finite",
                remedy="Check at a point where the cost is finite",
            )
        self._keep(value)
        self._evaluated()
        return value, gradient

    def evaluate_claim(self) -> tuple[FloatArray, ...]:
        """Call the claimed gradient's callable; return its selected blocks, flat.

        Raises
        ------
        UsageError
            Where it raises; ShapeMismatch, NotDifferentiable or MutatedInput by what it returns or does.
        """
        given = self.problem.point_copy()
        try:
            with np.errstate(all="ignore"):
                answer = self.problem.claimed(given)
        except Exception as error:
            raise UsageError(
                f"{type(error).__name__}: {error}",
                where="claimed(point)",
                meaning="The claimed gradient's function cannot be called at the point",
                remedy="Call it once by hand with this point",
            ) from error
        written = self.problem.mutated(given)
        if written:
            raise MutatedInput(
                f"the claimed gradient's function writes into its argument: {', '.join(written)} changed during the call",
                where="claimed(point)",
                meaning="It would change the parameters that it differentiates at (your own arrays are untouched)",
                remedy="Copy the parameters inside the function before changing them in place",
            )
        return tuple(np.array(flat) for flat in self.problem.claimed_values(answer))  # it may reuse its memory

    def _take_apart(self, answer: Any) -> tuple[float, Any]:
        gradient = None
        if self.problem.claimed is True:
            answer, gradient = _pair(answer, f"claimed=True promises {self._promised}")
        if self.problem.has_aux:
            answer, _ = _pair(answer, f"has_aux=True promises {self._promised}")
        value, self.cost_dtype = self.problem.adapter.scalar(answer)
        return value, gradient

    @property
    def _promised(self) -> str:
        value = "(J, anything)" if self.problem.has_aux else "J"
        return f"({value}, gradient)" if self.problem.claimed is True else value

    def _instead_of(self, answer: Any) -> str:
        """Say what a cost should return instead."""
        if answer is None:
            return "Does the cost lack a return statement?"
        if self._promised != "J":
            return f"Return {self._promised}, J being one real number"
        if isinstance(answer, (tuple, list)) and len(answer) > 1:
            return "Return J alone, or say has_aux=True where the cost returns (J, anything) and claimed=True where it returns (J, gradient)"
        shape = getattr(answer, "shape", ())
        if math.prod(shape) == 1 and shape:
            return "It holds one number: return it with .item(), or sum over the axes that are left"
        if isinstance(answer, complex) or getattr(getattr(answer, "dtype", None), "kind", "") == "c":
            return "Return its real part, or the square of its absolute value, whichever is meant"
        return "Return one real number, for instance a sum or a mean" if shape else "Return one real number"

    # -- displaced points --------------------------------------------------------------------------------------------

    def evaluate(self, displacements: Sequence[Displacement]) -> list[Evaluation]:
        """Evaluate the cost at displaced points, in order; a failure is an evaluation with an error, never lost.

        Raises
        ------
        BudgetSpent
            Before the first of them, where not all fit into the budget.
        """
        if self.evaluations + len(displacements) > self.budget:
            raise BudgetSpent
        return [self._evaluate_one(displacement) for displacement in displacements]

    def _evaluate_one(self, displacement: Displacement) -> Evaluation:
        components, step = self._components(displacement.direction), displacement.step
        lost = self.problem.lost(components, step)
        if lost:  # there is no such point: the cost is not asked
            error = f"{lost} cannot be displaced by so little in its precision"
            return Evaluation(math.nan, 0.0, self._failed(displacement, error))
        point, claimed_change = self._displace(components, step)
        self._count()
        error = ""
        value = math.nan
        try:
            with np.errstate(all="ignore"):
                answer = self.problem.cost(point)
        except OutOfBounds as outside:  # the cost was not asked
            self.evaluations -= 1
            return Evaluation(math.nan, 0.0, self._failed(displacement, str(outside)))
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        else:
            try:
                value, _ = self._take_apart(answer)
            except TypeError as unsuitable:
                error = f"the cost returns {unsuitable}"
        if not error and not math.isfinite(value):
            error, value = f"J is {value}", math.nan
        if not error and not math.isfinite(claimed_change):
            error, value = "the claimed change of the cost is not finite", math.nan
        if error:
            self._failed(displacement, error)
        else:
            self._keep(value)
        self._evaluated()
        return Evaluation(value, claimed_change, error)

    def _displace(self, components: Sequence[FloatArray | None], step: float) -> tuple[Any, float]:
        # Made within the call, so that nothing else holds them and their memory can be given away.
        own = self.problem.size > LARGE
        pairs = zip(self.problem.values, components, strict=True)
        return self.problem.displaced(
            [None if component is None else _moved(start, component, step, own=own) for start, component in pairs],
            self.claimed,
        )

    def _failed(self, displacement: Displacement, error: str) -> str:
        self.last_error = f"at θ {displacement.step:+.3g}·v: {error}"
        return error

    def _components(self, direction: Direction) -> list[FloatArray | None]:
        """Return the direction, kept for the next displacement along it; made anew each time where it is large."""
        if self.problem.size > LARGE:
            return [direction.component(k, block.shape) for k, block in enumerate(self.problem.blocks)]
        if self._cached is None or self._cached[0] != direction:
            self._cached = None
            made = [direction.component(k, block.shape) for k, block in enumerate(self.problem.blocks)]
            self._cached = (direction, made)
        return self._cached[1]

    def shortest(self, direction: Direction) -> float:
        """Return the shortest t for which θ + t v is represented in the blocks' precision."""
        return self.problem.shortest(self._components(direction))

    def dot(self, vectors: Sequence[FloatArray], direction: Direction) -> float:
        """Return ⟨vectors, v⟩ over the selected blocks, in float64."""
        pairs = zip(vectors, self._components(direction), strict=True)
        return sum((float(vector @ part) for vector, part in pairs if part is not None), 0.0)

    # -- many points at once -----------------------------------------------------------------------------------------

    def vectorized(self, block: int) -> Callable[[Any], Any] | None:
        """Return the cost as a function of many points that differ in one block; None where the framework has none."""
        if not self._batches:
            return None
        if block not in self._vectorized:
            problem = self.problem

            def cost_of(leaves: Sequence[Any]) -> Any:
                answer = problem.cost(problem.joined(leaves))
                for promised in (problem.claimed is True, problem.has_aux):
                    answer = _pair(answer, "more was promised")[0] if promised else answer
                return answer

            make = getattr(problem.adapter, "vectorized", None)
            try:
                self._vectorized[block] = None if make is None else make(cost_of, problem.common_axes(block))
            except Exception:  # whatever a framework has against this function
                self.refuse_batches()
        return self._vectorized.get(block)

    def refuse_batches(self) -> None:
        """Evaluate one point after the other from now on."""
        self._batches = False
        self._vectorized.clear()

    def evaluate_rows(self, function: Callable[[Any], Any], block: int, rows: FloatArray) -> FloatArray | None:
        """Evaluate J with a block's values from each row; NaN where it is not finite, None where all of it failed.

        Parameters
        ----------
        function
            From `vectorized`.
        block
            Which.
        rows
            Its flat values, shape (K, size).

        Returns
        -------
        ndarray, shape (K,), or None
            Each of them is an evaluation; where all of it failed, one was begun.

        Raises
        ------
        BudgetSpent
            Before the evaluation.
        """
        if self.evaluations + len(rows) > self.budget:
            raise BudgetSpent
        adapter = self.problem.adapter
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a slow path; what the cost itself warns of, it did at the point
                answer = function(self.problem.stacked(block, rows))
            suits = adapter.describe(answer) == ((len(rows),), self.cost_dtype)
            values = adapter.to_flat(answer) if suits else None
        except Exception:
            values = None
        self.evaluations += 1 if values is None else len(rows)
        if values is not None:
            values[~np.isfinite(values)] = math.nan
            self._keep_many(values[np.isfinite(values)])
        self._evaluated()
        return values

    def largest_change(self, base: float) -> float:
        """Return by how much the values of late differ from J(θ); infinite where there are too few to tell."""
        if len(self._values) < POINTS:
            return math.inf
        return max((abs(value - base) for value in self._values if math.isfinite(value)), default=0.0)

    def _keep_many(self, values: FloatArray) -> None:
        """Take in values as `_keep` does."""
        self._values.extend(values[-RECENT:].tolist())
        if len(self._distinct) < ENOUGH_VALUES:
            self._distinct.update(values[:RECENT].tolist())
        with np.errstate(all="ignore"):
            for kind in NARROW:
                self._narrow[kind] = self._narrow[kind] and bool(np.array_equal(values.astype(kind), values))

    def evaluate_complex(self, block: int, index: int, step: float) -> float | None:
        """Return Im J(θ + i·step·e)/step for one coordinate; None where the cost does not allow it.

        Source: Squire & Trapp, SIAM Review 40 (1998) 110. There is no cancellation, and no truncation worth the name;
        but a cost that takes moduli, real parts or casts gives garbage in silence: the answer is a claim, no truth.
        """
        point = self.problem.complex_point(block, index, step)
        if self.evaluations + 1 > self.budget:
            raise BudgetSpent
        self._count()
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("error")  # a discarded imaginary part is a warning only
                answer = self.problem.cost(point)
        except Exception:
            return None
        if isinstance(answer, tuple) and (self.problem.has_aux or self.problem.claimed is True):
            answer = answer[0]
        if not (
            isinstance(answer, (complex, np.complexfloating))
            or (isinstance(answer, np.ndarray) and answer.dtype.kind == "c")
        ):
            return None
        derivative = float(np.asarray(answer).imag) / step if np.shape(answer) == () else math.nan
        return derivative if math.isfinite(derivative) else None

    def repeat(self) -> float:
        """Evaluate J(θ) again; NaN where it fails."""
        if self.evaluations + 1 > self.budget:
            raise BudgetSpent
        self._count()
        try:
            with np.errstate(all="ignore"):
                value, _ = self._take_apart(self.problem.cost(self.problem.point_copy()))
        except Exception:
            return math.nan
        finally:
            self._evaluated()
        return value

    def _count(self) -> None:
        self.evaluations += 1

    def _evaluated(self) -> None:
        if self.on_evaluated is not None:
            self.on_evaluated(self.evaluations)

    def _keep(self, value: float) -> None:
        """Take in a value of the cost: what it says of the precision in which the cost is computed."""
        self._values.append(value)
        if len(self._distinct) < ENOUGH_VALUES:
            self._distinct.add(value)
        with np.errstate(all="ignore"):
            for kind, dtype in NARROW.items():
                self._narrow[kind] = self._narrow[kind] and float(dtype(value)) == value

    # -- what the values say of themselves ---------------------------------------------------------------------------

    @property
    def precision(self) -> str:
        """The lowest precision that is at work: of the blocks, of the cost's type, of the values themselves."""
        kinds = {self.value_precision, *(block.dtype for block in self.problem.all_blocks)}
        return max(kinds, key=lambda kind: UNIT_ROUNDOFF.get(kind, 0.0))

    @property
    def value_precision(self) -> str:
        """The precision of the cost's values: of their type, or the lower one in which they are all represented."""
        if self.cost_dtype == "float64" and len(self._distinct) >= ENOUGH_VALUES:
            return next((kind for kind, fits in self._narrow.items() if fits), self.cost_dtype)
        return self.cost_dtype

    @property
    def granularity(self) -> float:
        """Spacing of the values where the cost rounds its result visibly, else 0; looked for now and then."""
        if self.evaluations >= self._look_for_grain:
            # Once seen it stays: values of another size may hide it again.
            self._grain = granularity_of(np.array(self._values), UNIT_ROUNDOFF[self.cost_dtype]) or self._grain
            self._look_for_grain = self.evaluations + max(self.evaluations // 8, 1)
        return self._grain

    def line(self, direction: Direction, base: float) -> EngineLine:
        """Return φ(t) − φ(0) along a direction, less what is claimed."""
        return EngineLine(self, direction, base)


class EngineLine:
    """φ along one direction, for `gradproof._numerics.lines`; values are kept."""

    def __init__(self, engine: Engine, direction: Direction, base: float) -> None:
        self.engine = engine
        self.direction = direction
        self.base = base
        self.known: dict[float, Evaluation] = {0.0: Evaluation(base, 0.0)}

    @property
    def unit_roundoff(self) -> float:
        """u of the precision of the cost's values: the parameters' own rounding is no noise in a discrepancy."""
        return UNIT_ROUNDOFF[self.engine.value_precision]

    @property
    def parameter_roundoff(self) -> float:
        """u of the lowest precision at work."""
        return UNIT_ROUNDOFF[self.engine.precision]

    @property
    def granularity(self) -> float:
        """Spacing of the cost's values, where visible."""
        return self.engine.granularity if len(self.engine._values) >= POINTS else 0.0  # noqa: SLF001

    @property
    def evaluations(self) -> int:
        """Cost calls so far, on all lines."""
        return self.engine.evaluations

    @property
    def shortest(self) -> float:
        """Shortest t for which θ + t v is represented in the blocks' precision; a shorter one gives NaN."""
        return self.engine.shortest(self.direction)

    def magnitude(self, reach: float) -> float:
        """Return the largest |J| or claimed change among the values with |t| ≤ reach."""
        near = [e for t, e in self.known.items() if abs(t) <= reach and not e.error]
        return max(max(abs(e.value), abs(e.claimed_change)) for e in near)

    def __call__(self, steps: Sequence[float]) -> FloatArray:
        """Return φ(t) − φ(0) − ⟨g, θ_t − θ⟩ for each t, NaN where the cost failed."""
        fresh = [t for t in dict.fromkeys(steps) if t not in self.known]
        if fresh:
            found = self.engine.evaluate([Displacement(self.direction, t) for t in fresh])
            self.known.update(zip(fresh, found, strict=True))
        picked = [self.known[t] for t in steps]
        return np.array([(e.value - self.base) - e.claimed_change for e in picked])

    def changes(self, steps: Sequence[float]) -> FloatArray:
        """Return J(θ + t v) − J(θ) for steps that were asked for before."""
        return np.array([self.known[t].value - self.base for t in steps])

    def repeat(self) -> float:
        """Evaluate at θ once more; return by how much the cost differs from its first value there."""
        again = self.engine.repeat()
        return abs(again - self.base) if math.isfinite(again) else 0.0


class CoordinateLine(EngineLine):
    """φ along one coordinate where nothing is claimed: the rounding of the displacement is taken out all the same.

    The displacement δ(t) that was representable differs from t by rounding; J changes by slope · (δ(t) − t) too much.
    The slope is read off the values, which is accurate enough for a correction of the size of u. The engine's
    ``claimed`` must be 1 for the coordinate and 0 elsewhere, so that the claimed change is δ(t).
    """

    def __call__(self, steps: Sequence[float]) -> FloatArray:
        """Return φ(t) − φ(0) for the exact t; the slope is that of the values that are asked for together."""
        super().__call__(steps)
        picked = [self.known[t] for t in steps]
        slope = self.slope([e for e in picked if not e.error and e.claimed_change != 0])
        return np.array(
            [(e.value - self.base) - slope * (e.claimed_change - t) for e, t in zip(picked, steps, strict=True)]
        )

    def slope(self, moved: Sequence[Evaluation]) -> float:
        """Return the secant through the outermost values, or through the point itself and the only one."""
        if not moved:
            return 0.0
        high = max(moved, key=lambda e: e.claimed_change)
        low = min(moved, key=lambda e: e.claimed_change)
        if high is low:
            return (high.value - self.base) / high.claimed_change
        return (high.value - low.value) / (high.claimed_change - low.claimed_change)

    def magnitude(self, reach: float) -> float:
        """Return the largest |J| among the values with |t| ≤ reach."""
        return max(abs(e.value) for t, e in self.known.items() if abs(t) <= reach and not e.error)


def _moved(start: FloatArray, component: FloatArray, step: float, *, own: bool) -> FloatArray:
    """Return θ + t v, with one new vector; with none where the direction's component may be overwritten."""
    moved = np.multiply(component, step, out=component if own else None)
    moved += start
    return moved


def _pair(answer: Any, promise: str) -> tuple[Any, Any]:
    """Return the first two of what the cost returned.

    Raises
    ------
    TypeError
        Where it did not keep its promise.
    """
    if not isinstance(answer, (tuple, list)) or len(answer) < 2:
        raise TypeError(f"{kind_of(answer)}, but {promise}")
    return answer[0], answer[1]
