"""gradproof: proves a gradient right, or wrong; what, where, by how much and why.

The surfaces `gradproof.torch`, `gradproof.jax`, `gradproof.course`, `gradproof.monitor`, `gradproof.testing`,
`gradproof.ase`, `gradproof.statsmodels` and `gradproof.compat` are modules of their own, loaded by the first use of their name.
"""

from importlib import import_module as _import_module
from types import ModuleType as _ModuleType

from gradproof._problem.problem import Problem as Problem
from gradproof._problem.taps import tap as tap
from gradproof._verbs.adjoint import assert_adjoint as assert_adjoint
from gradproof._verbs.adjoint import check_adjoint as check_adjoint
from gradproof._verbs.derivatives import directional_derivative as directional_derivative
from gradproof._verbs.derivatives import numerical_gradient as numerical_gradient
from gradproof._verbs.gradient import assert_gradient as assert_gradient
from gradproof._verbs.gradient import check_gradient as check_gradient
from gradproof._verbs.maps import assert_hessian as assert_hessian
from gradproof._verbs.maps import assert_hvp as assert_hvp
from gradproof._verbs.maps import assert_jacobian as assert_jacobian
from gradproof._verbs.maps import assert_jvp as assert_jvp
from gradproof._verbs.maps import assert_vjp as assert_vjp
from gradproof._verbs.maps import check_hessian as check_hessian
from gradproof._verbs.maps import check_hvp as check_hvp
from gradproof._verbs.maps import check_jacobian as check_jacobian
from gradproof._verbs.maps import check_jvp as check_jvp
from gradproof._verbs.maps import check_vjp as check_vjp
from gradproof._verbs.scipy import assert_scipy as assert_scipy
from gradproof._verbs.scipy import check_scipy as check_scipy
from gradproof._words.errors import BudgetTooSmall as BudgetTooSmall
from gradproof._words.errors import CostRaised as CostRaised
from gradproof._words.errors import EmptyProblem as EmptyProblem
from gradproof._words.errors import EvaluationError as EvaluationError
from gradproof._words.errors import GradproofError as GradproofError
from gradproof._words.errors import GradproofWarning as GradproofWarning
from gradproof._words.errors import InconclusiveGradient as InconclusiveGradient
from gradproof._words.errors import JournalError as JournalError
from gradproof._words.errors import MissingFramework as MissingFramework
from gradproof._words.errors import MixedFrameworks as MixedFrameworks
from gradproof._words.errors import MutatedInput as MutatedInput
from gradproof._words.errors import NonFiniteCost as NonFiniteCost
from gradproof._words.errors import NonFinitePoint as NonFinitePoint
from gradproof._words.errors import NotDifferentiable as NotDifferentiable
from gradproof._words.errors import NotScalar as NotScalar
from gradproof._words.errors import ShapeMismatch as ShapeMismatch
from gradproof._words.errors import TapMismatch as TapMismatch
from gradproof._words.errors import UnknownName as UnknownName
from gradproof._words.errors import UsageError as UsageError
from gradproof._words.errors import WorkersLost as WorkersLost
from gradproof._words.errors import WrongGradient as WrongGradient
from gradproof._words.results import BlockResult as BlockResult
from gradproof._words.results import Cause as Cause
from gradproof._words.results import Certificate as Certificate
from gradproof._words.results import CoordinateResult as CoordinateResult
from gradproof._words.results import Diagnosis as Diagnosis
from gradproof._words.results import Difference as Difference
from gradproof._words.results import Estimate as Estimate
from gradproof._words.results import Kink as Kink
from gradproof._words.results import NumericalGradient as NumericalGradient
from gradproof._words.results import Reason as Reason
from gradproof._words.results import Report as Report
from gradproof._words.results import SelfTestResult as SelfTestResult
from gradproof._words.results import Step as Step
from gradproof._words.results import Verdict as Verdict

_SURFACES = ("ase", "compat", "course", "jax", "monitor", "reports", "statsmodels", "testing", "torch")


def __getattr__(name: str) -> _ModuleType:
    """Load a surface when it is first named."""
    if name in _SURFACES:
        try:
            return _import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise MissingFramework(
                f"{name} is not installed",
                where=f"gradproof.{name}",
                meaning="Its functions cannot be checked without it",
                remedy=f"Install it beside gradproof, for instance with pip install {name}",
            ) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
