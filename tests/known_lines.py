"""Lines known in closed form, in the place of a cost: for tests of what is made of a line's values."""

from __future__ import annotations

import numpy as np


class KnownLine:
    """φ(t) − φ(0) of a given φ, as `gradproof._numerics.tables.Line` asks for it.

    Parameters
    ----------
    function
        φ: a discrepancy, of which nothing more is taken off.
    size
        Largest value that is rounded on the way.
    noise, seed
        Standard deviation of an error of each value, and where it is drawn from.
    told
        Called once for each step that is evaluated.
    """

    unit_roundoff = parameter_roundoff = 2.0**-53
    granularity = shortest = 0.0

    def __init__(self, function, *, size=1.0, noise=0.0, seed=5, told=None):
        self.function, self.size, self.noise, self.told = function, size, noise, told
        self.rng = np.random.default_rng(seed) if noise else None
        self.known = {0.0: 0.0}

    @property
    def evaluations(self):
        return len(self.known) - 1

    @property
    def steps(self):
        return sorted({abs(t) for t in self.known} - {0.0})

    def magnitude(self, reach):
        return self.size

    def __call__(self, steps):
        for t in steps:
            if t not in self.known:
                error = self.noise * self.rng.standard_normal() if self.noise else 0.0
                self.known[t] = self.function(t) - self.function(0.0) + error
                if self.told is not None:
                    self.told(t)
        return np.array([self.known[t] for t in steps])

    changes = __call__

    def repeat(self):
        return abs(self.noise * self.rng.standard_normal()) if self.noise else 0.0
