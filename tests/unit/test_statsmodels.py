"""Likelihood models of statsmodels: right ones, the two that are not, and models of one's own."""

from __future__ import annotations

import types
import warnings

import numpy as np
import pytest

import gradproof as gp

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    sm = pytest.importorskip("statsmodels.api")

from gradproof.statsmodels import assert_model, check_model

GENERATOR = np.random.default_rng(0)
x = GENERATOR.standard_normal(120)
X = np.column_stack([np.ones(120), x])
RATE, INFLATED = np.exp(0.5 + 0.6 * x), 1 / (1 + np.exp(0.5 - 0.8 * x))
COUNTS = np.where(GENERATOR.random(120) < INFLATED, 0, GENERATOR.poisson(RATE))
BINARY = (x + GENERATOR.standard_normal(120) > 0).astype(float)


@pytest.mark.parametrize(
    ("model", "params"),
    [
        (lambda: sm.Logit(BINARY, X), [0.2, 0.5]),
        (lambda: sm.Probit(BINARY, X), [0.2, 0.5]),
        (lambda: sm.Poisson(COUNTS, X), [0.2, 0.5]),
        (lambda: sm.GLM(COUNTS, X, family=sm.families.Poisson()), [0.2, 0.5]),
        (lambda: sm.NegativeBinomialP(COUNTS, X), [0.3, 0.4, 0.7]),
        (lambda: sm.MNLogit(np.minimum(COUNTS, 2), X), [0.1, 0.2, 0.3, 0.4]),
    ],
    ids=["Logit", "Probit", "Poisson", "GLM", "NegativeBinomialP", "MNLogit"],
)
def test_right_models_are_certified(model, params):
    report = assert_model(model(), params, seed=1)
    assert report.verb == "statsmodels.check_model"
    assert "hessian against score: CORRECT" in " ".join(report.notes)


def test_the_zero_inflated_hessian_lacks_its_cross_block():
    model = sm.ZeroInflatedPoisson(COUNTS, X, exog_infl=X)
    report = check_model(model, [-0.4, 0.7, 0.45, 0.62], seed=1)
    assert report.verdict is gp.Verdict.WRONG
    assert set(report.faulty) == {"inflate × exog", "exog × inflate"}
    assert {d.cause for d in report.diagnoses} == {gp.Cause.ZERO}
    assert "score against loglike: CORRECT" in " ".join(report.notes)
    assert "The parameters are inflate_const, inflate_x1, const, x1." in report.notes


def test_the_negative_binomials_hessian_is_by_another_variable_until_a_fit():
    model = sm.NegativeBinomial(COUNTS, X)
    params = np.array([0.3, 0.4, 0.7])
    report = check_model(model, params, seed=1)
    assert set(report.faulty) == {"exog × alpha", "alpha × exog", "alpha × alpha"}
    factor = {d.block: d.coefficient for d in report.diagnoses}["exog × alpha"]
    assert factor == pytest.approx(np.exp(-0.7), rel=1e-6)
    assert "score_obs is a finite difference in statsmodels itself." in report.notes
    model.fit(disp=0)
    assert check_model(model, params, seed=1).verdict is gp.Verdict.CORRECT


class OwnModel:
    """A normal likelihood with known variance, as one writes it oneself."""

    exog, exog_names = X, ["const", "slope"]

    def __init__(self, factor=1.0):
        self.factor = factor

    def loglike(self, params):
        return -0.5 * np.sum((BINARY - X @ params) ** 2)

    def score(self, params):
        return self.factor * X.T @ (BINARY - X @ params)


def test_a_model_of_ones_own_is_checked_as_far_as_it_goes():
    report = check_model(OwnModel(), [0.1, 0.2], seed=1)
    assert (report.verdict, len(report.blocks)) == (gp.Verdict.CORRECT, 1)
    with pytest.raises(gp.WrongGradient, match="2 × the true one"):
        assert_model(OwnModel(2.0), [0.1, 0.2], seed=1)


def test_bad_input_is_refused_in_a_sentence():
    with pytest.raises(gp.UsageError, match="which has no loglike"):
        check_model(types.SimpleNamespace(), [0.1])
    with pytest.raises(gp.UsageError, match=r"params has shape \(1, 2\)"):
        check_model(OwnModel(), [[0.1, 0.2]])
    with pytest.raises(gp.UsageError, match="has no option points"):
        check_model(OwnModel(), [0.1, 0.2], points=3)
    with pytest.raises(gp.UsageError, match="has no score"):
        check_model(types.SimpleNamespace(loglike=lambda p: 0.0), [0.1])


def test_importing_it_loads_no_statsmodels():
    import subprocess
    import sys

    code = "import sys, gradproof.statsmodels; assert 'statsmodels' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
