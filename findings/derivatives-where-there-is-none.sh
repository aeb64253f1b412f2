#!/bin/sh
# JAX 0.10.2 and autograd 1.8.0: what is taken for the derivative where there is none.
#
# At a kink libraries choose some number, and they choose differently: the derivative of abs at 0 is 1 for JAX (a forward
# difference) and 0 for autograd (the mean of both sides); that of clip at its bound is ½ and 0. Both halve ties of max, and
# both give NaN for the norm at 0, so that a model whose loss holds ‖x‖ stops at x = 0. A test that compares two libraries
# at such a point compares conventions.
#
# Seen with Python 3.11.7:
#                      JAX          autograd
#   abs at 0           1.0          0.0
#   clip at its bound  0.5          0.0
#   ties of max        [0.5 0.5]    [0.5 0.5]
#   maximum at a tie   0.5          0.5
#   norm at 0          [nan nan]    [nan nan]
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 autograd==1.8.0
JAX_ENABLE_X64=1 JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore - <<'END'
import autograd
import autograd.numpy as anp
import jax
import jax.numpy as jnp
import numpy as np

CASES = {
    "abs at 0": (lambda np_: np_.abs, 0.0, 1.0, 0.0),
    "clip at its bound": (lambda np_: lambda x: np_.clip(x, 0.0, 1.0), 1.0, 0.5, 0.0),
    "ties of max": (lambda np_: np_.max, np.array([1.0, 1.0]), [0.5, 0.5], [0.5, 0.5]),
    "maximum at a tie": (lambda np_: lambda x: np_.maximum(x, 1.0), 1.0, 0.5, 0.5),
    "norm at 0": (lambda np_: np_.linalg.norm, np.zeros(2), [np.nan, np.nan], [np.nan, np.nan]),
}
for name, (of, x, by_jax, by_autograd) in CASES.items():
    ours = np.asarray(jax.grad(of(jnp))(x)), np.asarray(autograd.grad(of(anp))(x))
    print(f"{name:18}", *ours)
    assert np.array_equal(ours[0], by_jax, equal_nan=True), f"JAX: {name} has changed"
    assert np.array_equal(ours[1], by_autograd, equal_nan=True), f"autograd: {name} has changed"
END
