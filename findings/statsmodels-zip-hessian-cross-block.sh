#!/bin/sh
# statsmodels 0.15.0: the Hessian of ZeroInflatedPoisson is zero between the two parts of the model.
#
# ZeroInflatedPoisson(…, inflation="logit").hessian(params) has a block of exact zeros between the parameters of the
# inflation and those of the mean. The log-likelihood mixes both in every observation that is zero, and differences of the
# model's own score (which is right) show the block. results.bse inverts that Hessian: the standard errors of the fit below
# are 7 to 17 % too small.
#
# Seen with Python 3.11.7:
#   claimed cross block    0.0 0.0 0.0 0.0
#   by the score          51.2 -5.3 -5.3 24.8
#   bse over what the score's Hessian gives: 0.827 0.871 0.842 0.927
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check statsmodels==0.15.0
"$folder/venv/bin/python" -W ignore - <<'END'
import numpy as np
import statsmodels.api as sm

rng = np.random.default_rng(0)
x = rng.standard_normal(500)
rate, inflated = np.exp(0.5 + 0.6 * x), 1 / (1 + np.exp(0.5 - 0.8 * x))
y = np.where(rng.random(500) < inflated, 0, rng.poisson(rate))
X = sm.add_constant(x)
model = sm.ZeroInflatedPoisson(y, X, exog_infl=X, inflation="logit")
fit = model.fit(method="bfgs", maxiter=500, disp=0)

step = 1e-5
claimed = model.hessian(fit.params)
by_score = np.array([(model.score(fit.params + step * e) - model.score(fit.params - step * e)) / (2 * step) for e in np.eye(4)])
by_score = (by_score + by_score.T) / 2
ratio = fit.bse / np.sqrt(np.diag(np.linalg.inv(-by_score)))
print("claimed cross block   ", *claimed[:2, 2:].ravel())
print("by the score          ", *by_score[:2, 2:].ravel().round(1))
print("bse over what the score's Hessian gives:", *ratio.round(3))

# The score itself is that of the log-likelihood, and the other blocks agree.
slope = np.array([(model.loglike(fit.params + 0.3 + step * e) - model.loglike(fit.params + 0.3 - step * e)) / (2 * step) for e in np.eye(4)])
assert np.abs(model.score(fit.params + 0.3) - slope).max() < 1e-4
assert np.abs(claimed[:2, :2] - by_score[:2, :2]).max() < 1e-3
assert np.abs(claimed[2:, 2:] - by_score[2:, 2:]).max() < 1e-3
assert np.all(claimed[:2, 2:] == 0), "the cross block is no longer zero"
assert np.abs(by_score[:2, 2:]).max() > 10
assert np.all((0.8 < ratio) & (ratio < 0.95)), "the standard errors have changed"
END
