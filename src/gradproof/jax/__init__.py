"""Checks for JAX: functions of pytrees, ``custom_vjp`` and ``custom_jvp`` rules, by the leaves' paths."""

from gradproof.jax._check import assert_function as assert_function
from gradproof.jax._check import check as check
