"""Lines known in closed form, in the place of a cost: for tests of what is made of a line's values."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

ROUNDOFF = 2.0**-53


class KnownLine:
    """φ(t) − φ(0) of a given φ: ℝ → ℝ, as `gradproof._numerics.tables.Phi` asks for it.

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

    unit_roundoff = parameter_roundoff = ROUNDOFF
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

    def ahead(self, steps, *, sure=False):
        pass

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


class KnownBlocks:
    """φ(t) − φ(0) of a given φ: ℝ → ℝᴿ in blocks, as `gradproof._numerics.tables.Line` asks for it.

    Parameters
    ----------
    function
        φ: a discrepancy; a number, or shape (R,). NaN where the function fails.
    sizes
        Of the components of each block.
    size
        Of each value that is rounded on the way.
    noise, seed
        Standard deviation of an error of each value, and where it is drawn from.
    claimed
        What is taken off per unit of t in φ; the function's own changes have it.
    grain
        Spacing of the function's values, where it is visible.
    """

    parameter_roundoff = ROUNDOFF
    shortest = 0.0
    reach = 1.0

    def __init__(self, function, *, sizes=(1,), size=1.0, noise=0.0, seed=5, claimed=0.0, grain=0.0):
        self.function, self.size, self.noise, self.claimed, self.grain = function, size, noise, claimed, grain
        self.rng = np.random.default_rng(seed)
        ends = np.cumsum([0, *sizes]).tolist()
        self.rows = self.own_rows = tuple(slice(a, b) for a, b in pairwise(ends))
        self.start = np.atleast_1d(np.asarray(function(0.0), dtype=float))
        self.base = np.full(self.start.size, float(size))
        self.values = {}

    @property
    def evaluations(self):
        return len(self.values)

    @property
    def steps(self):
        return sorted({abs(t) for t in self.values})

    @property
    def known(self):
        return [t for t, value in self.values.items() if np.isfinite(value).all()]

    def unit_roundoff(self, k):
        return ROUNDOFF

    def granularity(self, k):
        return self.grain

    def ahead(self, steps, *, sure=False):
        pass

    def at(self, t):
        sizes = np.full(self.start.size, float(self.size))
        if t == 0:
            return np.zeros(self.start.size), sizes
        if t not in self.values:
            self.values[t] = np.atleast_1d(np.asarray(self.function(t), dtype=float)) - self.start
            if self.noise:
                self.values[t] = self.values[t] + self.noise * self.rng.standard_normal(self.start.size)
        value = self.values[t]
        return (value, sizes) if np.isfinite(value).all() else None

    def change(self, t):
        return self.values[t] + t * self.claimed

    def repeat(self):
        return self.noise * self.rng.standard_normal(self.start.size)
