"""Evaluating the user's function: its only caller, and the keeper of the budget.

A function is F: ℝᴺ → ℝᴹ, a cost one with M = 1. One displaced evaluation gives all outputs, and so serves every claim.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from gradproof._evaluation.seen import RECENT, Seen
from gradproof._evaluation.site import Site
from gradproof._problem.answers import Answers, NamedOutputs, OneNumber
from gradproof._problem.outputs import Outputs
from gradproof._problem.problem import Problem, Watcher
from gradproof._problem.taps import Met, Recording, visiting
from gradproof._words.directions import Direction
from gradproof._words.errors import CostRaised, MutatedInput, NonFiniteCost, UsageError
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import Components, FloatArray

STILL: Final = 12
"""Displaced values after which a function that was the very same at all of them is not exercised."""


class BudgetSpent(Exception):  # the sentence's subject; never leaves the library
    """The next evaluation would exceed the budget."""


class Engine:
    """Asks for the function's values one after the other, counts them, and learns from them.

    Parameters
    ----------
    problem
        The point, and the function on it (`Problem.cost`).
    answers
        How the function's answers are read.
    budget
        Most calls of the function; None for no limit.
    on_evaluated
        Called with the number of calls so far after each one.
    source
        Where the displaced values come from; None for the function itself, called here.
    spent
        Calls that count already.
    """

    def __init__(
        self,
        problem: Problem,
        answers: Answers,
        *,
        budget: float | None = None,
        on_evaluated: Callable[[int], None] | None = None,
        source: Site | None = None,
        spent: int = 0,
    ) -> None:
        self.problem = problem
        self.answers = answers
        self.budget = math.inf if budget is None else budget
        self.on_evaluated = on_evaluated
        self.source = source or Site(problem, answers)
        self.evaluations = spent
        self.met: tuple[Met, ...] = ()
        self.last_error = ""
        self.base: FloatArray = np.zeros(0)
        self.displaced = 0
        self.moved = False
        self._touched: set[int] = set()
        self._seen: list[Seen] = []
        self._vectorized: dict[int, Callable[[Any], Any] | None] = {}
        self._batches, self._believed = source is None, False

    @property
    def outputs(self) -> Outputs:
        """The structure of a function's outputs; a cost has none."""
        assert isinstance(self.answers, NamedOutputs)  # noqa: S101  # asked for functions with named outputs
        return self.answers.outputs

    # -- the point itself --------------------------------------------------------------------------------------------

    def evaluate_point(self) -> Any:
        """Evaluate F(θ), with everything that can be wrong with a function found before the first displacement.

        Returns
        -------
        Any
            The gradient that a cost returned beside its value, where ``claimed=True``; else None.

        Raises
        ------
        CostRaised, NonFiniteCost, NotScalar, NotDifferentiable, MutatedInput, EmptyProblem
        """
        given = self.problem.point_copy()
        noun, where = self.answers.noun, self.answers.where
        recording = Recording()
        try:
            with np.errstate(all="ignore"), visiting(recording):
                answer = self.problem.cost(given)
        except UsageError:  # of what stands between the problem and the user's function
            raise
        except Exception as error:
            raise CostRaised(
                f"{type(error).__name__}: {error}",
                where=where,
                meaning=f"The {noun} cannot be evaluated at the point itself",
                remedy="Call it once by hand with this point",
            ) from error
        finally:
            self.evaluations += 1
        self.base, gradient = self.answers.learn(answer)
        self.met = recording.met()
        written = self.problem.mutated(given)
        if written:
            raise MutatedInput(
                f"the {noun} writes into its argument: {', '.join(written)} changed during the call",
                where=where,
                meaning=f"Its next value would belong to another point (your own arrays are untouched: the {noun} is given copies)",
                remedy=f"Copy the parameters inside the {noun} before changing them in place",
            )
        bad = np.flatnonzero(~np.isfinite(self.base))
        if bad.size:
            raise self.problem.refusal or NonFiniteCost(
                f"{self.answers.name_of(int(bad[0]))} is {self.base[bad[0]]}",
                where=where,
                meaning=f"The {noun} has no derivative where it is not finite",
                remedy=f"Check at a point where {self.answers.all_of_it} finite",
            )
        self.base = self.source.base(self.base)
        self._seen = [Seen(self.base, block.rows, block.dtype) for block in self.answers.blocks]
        self._told()
        return gradient

    def evaluate_claim(self) -> Any:
        """Call the callable that returns a claimed gradient; return its answer, whose memory it may use again.

        Raises
        ------
        UsageError
            Where it raises; MutatedInput by what it does.
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
        return answer

    # -- displaced points --------------------------------------------------------------------------------------------

    def evaluate(self, direction: Direction, step: float, watch: Watcher | None = None) -> FloatArray | None:
        """Evaluate the function at θ + step · v.

        Parameters
        ----------
        direction, step
            Where.
        watch
            Is told how far each block was displaced.

        Returns
        -------
        ndarray, shape (M,), or None
            F(θ_t) − F(θ); None where the evaluation failed (`last_error` says why).

        Raises
        ------
        BudgetSpent
            Before the evaluation.
        """
        self.reserve(1)
        components = self.components(direction)
        with np.errstate(all="ignore"):
            lost = self.problem.lost(components, step)
            if lost:  # there is no such point: the function is not asked
                self._failed(step, f"{lost} cannot be displaced by so little in its precision")
                return None
            outcome = self.source.get(direction, components, step, watch)
            self.evaluations += not outcome.outside
            if outcome.values is None:
                if not outcome.outside:
                    self._told()
                self._failed(step, outcome.error)
                return None
            values = outcome.values
            change: FloatArray = values - self.base
            # Squares may overflow.
            finite = math.isfinite(change @ change) or bool(np.isfinite(change).all())
        if finite:
            self._keep(values)
            if len(self._touched) < len(components):
                self._touched.update(k for k, component in enumerate(components) if component is not None)
        self._told()
        if not finite:
            row = int(np.flatnonzero(~np.isfinite(change))[0])
            self._failed(step, f"{self.answers.name_of(row)} is {values[row]}")
            return None
        return change

    def ahead(self, direction: Direction, steps: Iterable[float], *, sure: bool = False) -> None:
        """Say where the function is going to be evaluated next; where several can be at once, they are begun.

        Parameters
        ----------
        direction, steps
            Where.
        sure
            All of them are going to be asked for, as far as the budget goes; else perhaps.
        """
        self.source.ahead(direction, steps, self.budget - self.evaluations, sure=sure)

    def _failed(self, step: float, error: str) -> None:
        self.last_error = f"at θ {step:+.3g}·v: {error}"

    def components(self, direction: Direction) -> Components:
        """Return a direction's arrays."""
        return self.source.components(direction)

    def shortest(self, direction: Direction) -> float:
        """Return the shortest t for which θ + t v is represented in the blocks' precision."""
        return self.problem.shortest(self.components(direction))

    def repeat(self) -> FloatArray | None:
        """Evaluate F(θ) again; return by how much it differs, None where it fails."""
        self.reserve(1)
        self.evaluations += 1
        values = self.source.get(None, (), 0.0, None).values
        self._told()
        return values - self.base if values is not None and np.isfinite(values).all() else None

    def reserve(self, count: int) -> None:
        """Raise where so many more evaluations would exceed the budget.

        Raises
        ------
        BudgetSpent
        """
        if self.evaluations + count > self.budget:
            raise BudgetSpent

    def charge(self, evaluations: int) -> None:
        """Count calls of the same function that another engine went on to make: so many in all."""
        self.evaluations = evaluations

    def _told(self) -> None:
        if self.on_evaluated is not None:
            self.on_evaluated(self.evaluations)

    # -- many points at once -----------------------------------------------------------------------------------------

    def vectorized(self, block: int) -> Callable[[Any], Any] | None:
        """Return the function of many points that differ in one block; None where the framework has none."""
        if not self._batches:
            return None
        if block not in self._vectorized:
            problem, answers = self.problem, self.answers
            make = getattr(problem.adapter, "vectorized", None)

            def leaves_of(leaves: Sequence[Any]) -> Any:
                return answers.leaves(problem.cost(problem.joined(leaves)))

            try:
                self._vectorized[block] = None if make is None else make(leaves_of, problem.common_axes(block))
            except Exception:  # whatever a framework has against this function
                self.refuse_batches()
        return self._vectorized.get(block)

    def believe_batches(self) -> None:
        """Learn of the function from batches, too, from now on: their values have been found to be its own."""
        self._believed = True

    def refuse_batches(self) -> None:
        """Evaluate one point after the other from now on."""
        self._batches = False
        self._vectorized.clear()

    def evaluate_rows(self, function: Callable[[Any], Any], block: int, rows: FloatArray) -> FloatArray | None:
        """Evaluate F with a block's values from each row; NaN where it is not finite, None where all of it failed.

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
        ndarray, shape (K, M), or None
            Each row is an evaluation; where all of it failed, one was begun.

        Raises
        ------
        BudgetSpent
            Before the evaluation.
        """
        self.reserve(len(rows))
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a slow path; what the function warns of, it did at the point
                values = self.answers.rows(function(self.problem.stacked(block, rows)), len(rows))
        except Exception:
            values = None
        self.evaluations += 1 if values is None else len(rows)
        if values is not None:
            values[~np.isfinite(values)] = math.nan
            for row in values[-RECENT:] if self._believed else ():
                if np.isfinite(row).all():
                    self._keep(row)
        self._told()
        return values

    def evaluate_complex(self, block: int, index: int, step: float) -> float | None:
        """Return Im J(θ + i·step·e)/step for one coordinate; None where the cost does not allow it.

        Source: Squire & Trapp, SIAM Review 40 (1998) 110. There is no cancellation, and no truncation worth the name;
        but a cost that takes moduli, real parts or casts gives garbage in silence: the answer is a claim, no truth.
        """
        point = self.problem.complex_point(block, index, step)
        self.reserve(1)
        self.evaluations += 1
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("error")  # a discarded imaginary part is a warning only
                answer = self.problem.cost(point)
        except Exception:
            return None
        if isinstance(answer, tuple) and (self.problem.has_aux or self.problem.claimed is True):
            answer = answer[0]
        number = isinstance(answer, (complex, np.complexfloating))
        if not (number or (isinstance(answer, np.ndarray) and answer.dtype.kind == "c")):
            return None
        derivative = float(np.asarray(answer).imag) / step if np.shape(answer) == () else math.nan
        return derivative if math.isfinite(derivative) else None

    # -- what the values say of themselves ---------------------------------------------------------------------------

    def _keep(self, values: FloatArray) -> None:
        """Take in displaced values: what they say of the precision in which they are computed."""
        self.displaced += 1
        self.moved = self.moved or not np.array_equal(values, self.base)
        for seen in self._seen:
            seen.take(values)

    @property
    def still(self) -> bool:
        """The function was the very same at every displaced point: it may not use its argument."""
        return not self.moved and self.displaced >= STILL and len(self._touched) == len(self.problem.blocks)

    def value_precision(self, k: int) -> str:
        """Return the precision of an output's values: of their type, or the lower one in which all are represented."""
        return self._seen[k].precision

    @property
    def precision(self) -> str:
        """The lowest precision that is at work: of the blocks, of the outputs' types, of the values themselves."""
        kinds = {seen.precision for seen in self._seen} | {block.dtype for block in self.problem.all_blocks}
        return max(kinds, key=lambda kind: UNIT_ROUNDOFF.get(kind, 0.0))

    def granularity(self, k: int) -> float:
        """Return the spacing of an output's values where they are visibly rounded, else 0; looked for now and then."""
        return self._seen[k].granularity(self.evaluations)


def onwards(engine: Engine, problem: Problem) -> Engine:
    """Return the engine of a cost that calls another one's, with what is left of its budget."""
    return Engine(
        problem,
        OneNumber(problem),
        budget=engine.budget,
        on_evaluated=engine.on_evaluated,
        spent=engine.evaluations,
    )


def must_be_here(engine: Engine) -> None:
    """Refuse workers and a journal for a cost whose intermediate values are displaced.

    Raises
    ------
    UsageError
    """
    if type(engine.source) is not Site:
        raise UsageError(
            "gradients by tapped values, and workers or a journal",
            meaning="Intermediate values are displaced while the cost runs in this process; a worker or a file knows the parameters only",
            remedy="Leave out workers, engine and journal, or the gradients by what is tapped",
        )
