"""Every exception and warning of gradproof.

::

    GradproofError
      UsageError (ValueError)          found before any displacement is tried
        ShapeMismatch                  claimed and point do not have the same structure or shapes
        NotDifferentiable              a block of integers, booleans, strings or objects
        NotScalar                      the cost does not return one real number
        NonFinitePoint                 NaN or inf among the parameters
        EmptyProblem                   no coordinate is left to check
        MixedFrameworks                blocks of two array libraries
        MissingFramework               an extra that is not installed
        MutatedInput                   the cost (or the claimed callable) writes into its argument
        TapMismatch                    other intermediate values are tapped at another point
        UnknownName                    a pattern of only= or exclude= that matches no block
        BudgetTooSmall                 fewer evaluations than any answer takes
      EvaluationError                  the cost failed at one displacement, named
        NonFiniteCost
        CostRaised
        WorkersLost                    the pool that evaluates broke, and cannot be made anew
      JournalError                     a journal of another check, locked, full, damaged, or none at all
    WrongGradient (AssertionError)     raised by assert_* only; carries .report
    InconclusiveGradient (AssertionError)
    GradproofWarning (UserWarning)

A wrong gradient is the product, not a failure: ``check_*`` returns it in a report, ``assert_*`` raises it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gradproof._words.results import Report

PACKAGE: Final = "gradproof"
"""Where users import errors from: tracebacks and pickles name them by that, wherever their file lies."""


class GradproofError(Exception):
    """Root of everything that gradproof raises about its own use.

    Parameters
    ----------
    seen
        What was seen: the value, the shapes, the types.
    where
        The block, the argument or the displacement that it concerns.
    meaning
        What it means for the check.
    remedy
        What to do.
    """

    __module__ = PACKAGE

    def __init__(self, seen: str, *, where: str = "", meaning: str = "", remedy: str = "") -> None:
        self.seen = seen
        self.where = where
        self.meaning = meaning
        self.remedy = remedy
        head = f"{where}: {seen}" if where else seen
        parts = [head, *(part for part in (meaning, remedy) if part)]
        super().__init__(" ".join(part if part.endswith((".", "?", "!", "\n")) else f"{part}." for part in parts))

    def at(self, place: str) -> GradproofError:
        """Return the same error with a place put before where it was seen: one of several points, say."""
        where = f"{place}, {self.where}" if self.where else place
        return type(self)(self.seen, where=where, meaning=self.meaning, remedy=self.remedy)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by parts, so that an error crosses a process with all it knows."""
        state = {"where": self.where, "meaning": self.meaning, "remedy": self.remedy}
        return (_rebuild, (type(self), self.seen, state))


def _rebuild(kind: type[GradproofError], seen: str, parts: dict[str, str]) -> GradproofError:
    return kind(seen, **parts)


class UsageError(GradproofError, ValueError):
    """The call cannot be answered as it stands; nothing was displaced yet."""

    __module__ = PACKAGE


class ShapeMismatch(UsageError):
    """The claimed gradient and the point differ in structure or shape."""

    __module__ = PACKAGE


class NotDifferentiable(UsageError):
    """A block whose values are not real floating-point numbers."""

    __module__ = PACKAGE


class NotScalar(UsageError):
    """The cost does not return one real number."""

    __module__ = PACKAGE


class NonFinitePoint(UsageError):
    """NaN or inf among the parameters."""

    __module__ = PACKAGE


class EmptyProblem(UsageError):
    """No coordinate is left to check."""

    __module__ = PACKAGE


class MixedFrameworks(UsageError):
    """Blocks that belong to two array libraries."""

    __module__ = PACKAGE


class MissingFramework(UsageError):
    """An optional dependency that is not installed."""

    __module__ = PACKAGE


class MutatedInput(UsageError):
    """A callable wrote into the parameters it was given."""

    __module__ = PACKAGE


class TapMismatch(UsageError):
    """Other intermediate values are tapped at another point, in another order or of other shapes."""

    __module__ = PACKAGE


class UnknownName(UsageError):
    """A name pattern that matches no block."""

    __module__ = PACKAGE


class BudgetTooSmall(UsageError):
    """Fewer evaluations than any honest answer takes."""

    __module__ = PACKAGE


class EvaluationError(GradproofError):
    """The cost could not be evaluated."""

    __module__ = PACKAGE


class NonFiniteCost(EvaluationError):
    """The cost is NaN or infinite at the point itself."""

    __module__ = PACKAGE


class CostRaised(EvaluationError):
    """The cost raised an exception at the point itself."""

    __module__ = PACKAGE


class WorkersLost(EvaluationError):
    """The pool of workers broke, and cannot be made anew."""

    __module__ = PACKAGE


class JournalError(GradproofError):
    """A journal that cannot be used: another check's, locked, full, damaged, or no journal at all."""

    __module__ = PACKAGE


class _ReportedFailure(AssertionError):
    """An assertion about a gradient that failed; carries the report."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.shown = ""  # printed in place of the whole report by who shows that elsewhere: the pytest plugin
        super().__init__(report)

    def __str__(self) -> str:
        return self.shown or str(self.report)


class WrongGradient(_ReportedFailure):
    """The gradient is proved wrong; ``.report`` says where, by how much and why."""

    __module__ = PACKAGE


class InconclusiveGradient(_ReportedFailure):
    """The gradient could be proved neither right nor wrong; ``.report`` says what stood in the way."""

    __module__ = PACKAGE


class GradproofWarning(UserWarning):
    """Something the user should know that does not change the verdict."""

    __module__ = PACKAGE
