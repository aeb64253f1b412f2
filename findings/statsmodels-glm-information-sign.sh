#!/bin/sh
# statsmodels 0.15.0: GLM.information has the opposite sign of what it is said to be.
#
# LikelihoodModel.information is documented as "-1 * Hessian of the log-likelihood evaluated at params", GLM.information as
# "Fisher information matrix"; it returns the Hessian itself, which is negative definite where an information is positive.
# The inverse of it gives negative variances.
#
# Seen with Python 3.11.7, for a Poisson model with its canonical link:
#   eigenvalues of GLM.information: -400.3 -152.4
#   GLM.information / -hessian: -1 in every entry
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check statsmodels==0.15.0
"$folder/venv/bin/python" -W ignore - <<'END'
import numpy as np
import statsmodels.api as sm

rng = np.random.default_rng(0)
x = rng.standard_normal(200)
model = sm.GLM(rng.poisson(np.exp(0.5 + 0.6 * x)), sm.add_constant(x), family=sm.families.Poisson())
params, step = np.array([0.2, 0.5]), 1e-5
information, hessian = model.information(params), model.hessian(params)
by_score = np.array([(model.score(params + step * e) - model.score(params - step * e)) / (2 * step) for e in np.eye(2)])
print("eigenvalues of GLM.information:", *np.linalg.eigvalsh(information).round(1))
print("GLM.information / -hessian:", *(information / -hessian).ravel().round(6))
assert np.abs(hessian / by_score - 1).max() < 1e-6
assert np.abs(information / -hessian + 1).max() < 1e-9, "the sign has changed"
assert np.all(np.linalg.eigvalsh(information) < 0)
END
