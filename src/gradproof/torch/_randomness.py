"""The global random generators: to see whether a function draws from them, to replay it, to leave them as they were."""

from __future__ import annotations

import random as python_random
from typing import Any

import torch
from numpy import random as numpy_random


class Generators:
    """The states of PyTorch's, NumPy's and Python's global generators, as they were when this was made."""

    def __init__(self) -> None:
        self.torch = torch.get_rng_state()
        self.devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        self.numpy: Any = numpy_random.get_state()  # noqa: NPY002  # the user's own, to be left as it was
        self.python = python_random.getstate()

    def restore(self) -> None:
        """Put the generators back into these states."""
        torch.set_rng_state(self.torch)
        if self.devices:
            torch.cuda.set_rng_state_all(self.devices)
        numpy_random.set_state(self.numpy)  # noqa: NPY002
        python_random.setstate(self.python)

    def moved(self, *, everywhere: bool = True) -> bool:
        """Say whether somebody has drawn numbers since; NumPy's and the devices' generators are looked at on request."""
        if not torch.equal(self.torch, torch.get_rng_state()) or self.python != python_random.getstate():
            return True
        if not everywhere:
            return False
        numpy: Any = numpy_random.get_state()  # noqa: NPY002
        if self.numpy[2:] != numpy[2:] or bool((self.numpy[1] != numpy[1]).any()):
            return True
        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        return len(self.devices) != len(devices) or any(
            not torch.equal(a, b) for a, b in zip(self.devices, devices, strict=True)
        )
