"""gradproof: proves a gradient right, or wrong; what, where, by how much and why.

The surfaces `gradproof.torch`, `gradproof.jax`, `gradproof.course`, `gradproof.monitor` and `gradproof.testing` are
modules of their own, loaded by the first use of their name.
"""

from importlib import import_module as _import_module
from types import ModuleType as _ModuleType

from gradproof._adjoint import assert_adjoint as assert_adjoint
from gradproof._adjoint import check_adjoint as check_adjoint
from gradproof._check import assert_gradient as assert_gradient
from gradproof._check import check_gradient as check_gradient
from gradproof._derivatives import directional_derivative as directional_derivative
from gradproof._derivatives import numerical_gradient as numerical_gradient
from gradproof._errors import BudgetTooSmall as BudgetTooSmall
from gradproof._errors import CostRaised as CostRaised
from gradproof._errors import EmptyProblem as EmptyProblem
from gradproof._errors import EvaluationError as EvaluationError
from gradproof._errors import GradproofError as GradproofError
from gradproof._errors import GradproofWarning as GradproofWarning
from gradproof._errors import InconclusiveGradient as InconclusiveGradient
from gradproof._errors import MissingFramework as MissingFramework
from gradproof._errors import MixedFrameworks as MixedFrameworks
from gradproof._errors import MutatedInput as MutatedInput
from gradproof._errors import NonFiniteCost as NonFiniteCost
from gradproof._errors import NonFinitePoint as NonFinitePoint
from gradproof._errors import NotDifferentiable as NotDifferentiable
from gradproof._errors import NotScalar as NotScalar
from gradproof._errors import ShapeMismatch as ShapeMismatch
from gradproof._errors import UnknownName as UnknownName
from gradproof._errors import UsageError as UsageError
from gradproof._errors import WrongGradient as WrongGradient
from gradproof._map_verbs import assert_hessian as assert_hessian
from gradproof._map_verbs import assert_hvp as assert_hvp
from gradproof._map_verbs import assert_jacobian as assert_jacobian
from gradproof._map_verbs import assert_jvp as assert_jvp
from gradproof._map_verbs import assert_vjp as assert_vjp
from gradproof._map_verbs import check_hessian as check_hessian
from gradproof._map_verbs import check_hvp as check_hvp
from gradproof._map_verbs import check_jacobian as check_jacobian
from gradproof._map_verbs import check_jvp as check_jvp
from gradproof._map_verbs import check_vjp as check_vjp
from gradproof._problem import Problem as Problem
from gradproof._results import BlockResult as BlockResult
from gradproof._results import Cause as Cause
from gradproof._results import Certificate as Certificate
from gradproof._results import CoordinateResult as CoordinateResult
from gradproof._results import Diagnosis as Diagnosis
from gradproof._results import Difference as Difference
from gradproof._results import Estimate as Estimate
from gradproof._results import Kink as Kink
from gradproof._results import NumericalGradient as NumericalGradient
from gradproof._results import Reason as Reason
from gradproof._results import Report as Report
from gradproof._results import SelfTestResult as SelfTestResult
from gradproof._results import Verdict as Verdict
from gradproof._scipy_pairs import check_scipy as check_scipy

_SURFACES = ("course", "jax", "monitor", "reports", "testing", "torch")


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
                remedy=f"Install it, for instance with pip install 'gradproof[{name}]'",
            ) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
