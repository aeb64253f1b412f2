"""The public names are a test: adding or losing one is a decision, written down here and in the change log."""

from __future__ import annotations

import enum
import inspect
import types

import pytest

import gradproof
from gradproof import ase, course, monitor, statsmodels

FUNCTIONS = {
    "assert_adjoint",
    "assert_gradient",
    "assert_hessian",
    "assert_hvp",
    "assert_jacobian",
    "assert_jvp",
    "assert_scipy",
    "assert_vjp",
    "check_adjoint",
    "check_gradient",
    "check_hessian",
    "check_hvp",
    "check_jacobian",
    "check_jvp",
    "check_scipy",
    "check_vjp",
    "directional_derivative",
    "numerical_gradient",
    "tap",
}

RESULTS = {
    "NumericalGradient",
    "BlockResult",
    "Cause",
    "Certificate",
    "CoordinateResult",
    "Diagnosis",
    "Difference",
    "Estimate",
    "Kink",
    "Problem",
    "Reason",
    "Report",
    "SelfTestResult",
    "Step",
    "Verdict",
}

ERRORS = {
    "BudgetTooSmall",
    "CostRaised",
    "EmptyProblem",
    "EvaluationError",
    "GradproofError",
    "GradproofWarning",
    "InconclusiveGradient",
    "JournalError",
    "MissingFramework",
    "MixedFrameworks",
    "MutatedInput",
    "NonFiniteCost",
    "NonFinitePoint",
    "NotDifferentiable",
    "NotScalar",
    "ShapeMismatch",
    "TapMismatch",
    "UnknownName",
    "UsageError",
    "WorkersLost",
    "WrongGradient",
}


def public_names(module):
    """Return the names that a module offers: those it lists, or all its own that have no underscore."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and getattr(value, "__module__", PACKAGE).startswith(PACKAGE)
    }


PACKAGE = gradproof.__name__
OWN = {
    module: {
        name for name in public_names(module) if getattr(getattr(module, name), "__module__", "") == module.__name__
    }
    for module in (ase, course, monitor, statsmodels)
}


def test_the_package_offers_exactly_these_names():
    assert public_names(gradproof) == FUNCTIONS | RESULTS | ERRORS


def without_an_assertion(names):
    return sorted(name for name in names if name.startswith("check_") and f"assert_{name[6:]}" not in names)


def test_each_check_has_its_assertion():
    assert without_an_assertion(FUNCTIONS) == []
    assert without_an_assertion(FUNCTIONS - {"assert_scipy"}) == ["check_scipy"]


def test_every_error_of_the_package_is_offered():
    from gradproof._words import errors

    assert {name for name in public_names(errors) if inspect.isclass(getattr(errors, name))} == ERRORS


def public_objects():
    yield from ((f"gradproof.{name}", getattr(gradproof, name)) for name in sorted(public_names(gradproof)))
    for module, names in OWN.items():
        yield from ((f"{module.__name__}.{name}", getattr(module, name)) for name in sorted(names))


@pytest.mark.parametrize(("name", "value"), list(public_objects()))
def test_every_public_object_is_documented(name, value):
    if not callable(value) or isinstance(value, types.GenericAlias):
        return
    assert missing_sections(value) == [], f"{name}: its docstring lacks these"


def missing_sections(value):
    """Say what the docstring of a function or class lacks of numpydoc's sections."""
    text = inspect.getdoc(value) or ""
    if not text or (inspect.isclass(value) and text.startswith(f"{value.__name__}(")):
        return ["a docstring"]  # that of a dataclass is its signature where nobody wrote one
    if inspect.isclass(value):
        return []
    signature = inspect.signature(value)
    missing = []
    if signature.parameters and "Parameters\n----------" not in text:
        missing.append("Parameters")
    if signature.return_annotation not in (None, "None", "NoReturn") and "Returns\n-------" not in text:
        missing.append("Returns")
    if "Parameters" not in missing:
        missing += [name for name in signature.parameters if name not in text]
    return missing


def test_a_missing_section_would_be_noticed():
    def bare(cost): ...

    def half(cost) -> float:
        """Do.

        Parameters
        ----------
        point
            Another name.
        """

    def whole(cost) -> float:
        """Do.

        Parameters
        ----------
        cost
            The cost.

        Returns
        -------
        float
            J.
        """

    assert missing_sections(bare) == ["a docstring"]
    assert missing_sections(half) == ["Returns", "cost"]
    assert missing_sections(whole) == []


def test_verdicts_reasons_and_causes_are_sentences_for_people():
    for kind in (gradproof.Verdict, gradproof.Reason, gradproof.Cause):
        assert issubclass(kind, enum.Enum)
        assert all(isinstance(member.value, str) and " " in member.value for member in kind)


def test_a_surface_whose_framework_is_not_installed_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not there
    for name in [name for name in sys.modules if name.startswith("gradproof.torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(vars(gradproof), "torch", raising=False)  # delattr would ask for it, and so load it
    with pytest.raises(gradproof.MissingFramework, match=r"torch is not installed.*pip install torch"):
        gradproof.torch  # noqa: B018
