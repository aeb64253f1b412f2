#!/bin/sh
# statsmodels 0.15.0: before a fit, NegativeBinomial's score is by ln α, and its Hessian by α.
#
# NegativeBinomial(y, X) as it is made takes the last of its params for ln α in loglike and score, and for α in hessian: at
# one and the same params the Hessian is not the derivative of the score. After fit() all three take it for α, and the
# answers of the same calls at the same params are others than before.
#
# Seen with Python 3.11.7, at params = [0.3, 0.4, 0.7]:
#   before a fit, hessian / derivative of score: 1 among the first two, 0.497 = 1 / exp(0.7) between them and the last one,
#   -0.021 for the last one itself
#   loglike before and after fit() at the same params: -928.1 -872.2
#   after fit(), hessian / derivative of score: 1 everywhere
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
rate = np.exp(0.5 + 0.6 * x)
y = rng.poisson(rate * rng.gamma(2.0, 0.5, size=500))
model = sm.NegativeBinomial(y, sm.add_constant(x))
params, step = np.array([0.3, 0.4, 0.7]), 1e-5


def difference(function):
    return np.array([(function(params + step * e) - function(params - step * e)) / (2 * step) for e in np.eye(3)])


before = model.loglike(params)
assert np.abs(model.score(params) - difference(model.loglike)).max() < 1e-4, "the score has changed"
ratio = model.hessian(params) / difference(model.score)
print("before a fit: hessian / derivative of score\n", ratio.round(3))
assert np.abs(ratio[:2, :2] - 1).max() < 1e-3
assert np.abs(ratio[2, :2] - np.exp(-0.7)).max() < 1e-3, "the Hessian's last row has changed"
assert ratio[2, 2] < 0.5

model.fit(disp=0)
print("loglike before and after fit() at the same params:", round(before, 1), round(model.loglike(params), 1))
assert abs(before - model.loglike(params)) > 1
ratio = model.hessian(params) / difference(model.score)
print("after fit(): hessian / derivative of score\n", ratio.round(3))
assert np.abs(ratio - 1).max() < 1e-3
# It is a change of variable: what was taken for ln α is taken for α.
by_log = np.append(params[:2], np.log(params[2]))
assert abs(sm.NegativeBinomial(y, sm.add_constant(x)).loglike(by_log) - model.loglike(params)) < 1e-8
END
