#!/bin/sh
# JAX 0.10.2: check_grads(order=2, modes=["rev"]) accepts any second derivative where f(x) = 0.
#
# jax.test_util.check_grads checks the second order in reverse mode by the function x ↦ vjp_x(f(x)): the cotangent is the
# function's own value. Where that is zero the product is zero whatever the second derivative is claimed to be, and its
# derivative by x is f′(x)², in which f″ does not occur. Points with f(x) = 0 are no exception: residuals at a solution,
# x = 0 of an odd function, anything centred.
#
# Seen with Python 3.11.7 (float64), of a rule for cos that is wrong by a factor of 3:
#   f(x) = sin(x):              rejected
#   f(x) = sin(x) - sin(0.7):   accepted; jax.grad(jax.grad(f))(0.7) = -1.933, true is -0.644
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
JAX_ENABLE_X64=1 JAX_PLATFORMS=cpu "$folder/venv/bin/python" -W ignore - <<'END'
import jax
import jax.numpy as jnp
from jax.test_util import check_grads


@jax.custom_jvp
def cosine(x):
    return jnp.cos(x)


@jax.custom_jvp
def sine(x):
    return jnp.sin(x)


cosine.defjvp(lambda x, v: (cosine(*x), -3 * jnp.sin(x[0]) * v[0]))  # -1 is right
sine.defjvp(lambda x, v: (sine(*x), cosine(x[0]) * v[0]))


def accepted(f):
    try:
        check_grads(f, (0.7,), order=2, modes=["rev"])
    except AssertionError:
        return False
    return True


def shifted(x):
    return sine(x) - jnp.sin(0.7)


print("f(x) = sin(x):            ", "accepted" if accepted(sine) else "rejected")
print("f(x) = sin(x) - sin(0.7): ", "accepted" if accepted(shifted) else "rejected")
print("second derivative:", float(jax.grad(jax.grad(shifted))(0.7)), "true:", float(-jnp.sin(0.7)))
assert not accepted(sine)
assert accepted(shifted), "it is no longer accepted"
assert abs(jax.grad(jax.grad(shifted))(0.7) + 3 * jnp.sin(0.7)) < 1e-12
END
