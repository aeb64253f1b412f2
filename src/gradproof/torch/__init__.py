"""Checks for PyTorch: functions, custom backward passes, whole modules by their parameters' names."""

from gradproof.torch._functions import assert_function as assert_function
from gradproof.torch._functions import check as check
from gradproof.torch._modules import assert_module as assert_module
from gradproof.torch._modules import check_module as check_module
