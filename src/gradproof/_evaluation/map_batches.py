"""A function with many outputs at many points in one call, where the framework can: two values for each of many columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gradproof._evaluation.batches import Batches, IntArray, least_batch, same_base, same_change
from gradproof._evaluation.engine import Engine
from gradproof._problem.problem import REPRESENTED
from gradproof._words.directions import Coordinate
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.vectors import FloatArray, norm


class MapBatches:
    """Evaluates a function with many outputs in batches; not any more, once one of them failed.

    Once one has been believed, few points are evaluated one by one: they are not worth a batch.

    Parameters
    ----------
    engine
        Its function, point, count and budget.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.refused = self.believed = False

    def pairs(
        self, block: int, indices: IntArray, scales: FloatArray, steps: FloatArray, noise: float
    ) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Evaluate on both sides of θ along some coordinates of a block; None where that cannot be done in batches.

        Parameters
        ----------
        block, indices
            Which coordinates, shape (n,).
        scales, steps
            Length and step for each, shape (n,).
        noise
            Standard deviation of the norm of one value.

        Returns
        -------
        ndarray, shape (2, n, outputs)
            F(θ_t) − F(θ) at t and at −t; NaN where the function is not finite, or θ_t not represented.
        ndarray, shape (2, n)
            θ_t − θ as it was representable.
        ndarray, shape (outputs,)
            |F| there, at most.
        """
        engine, problem = self.engine, self.engine.problem
        coordinates = np.repeat(indices, 2)
        wanted = np.outer(scales * steps, [1.0, -1.0]).ravel()
        start = problem.values[block][coordinates]
        with np.errstate(all="ignore"):
            moved = problem.represented(block, start + wanted)
            live = np.flatnonzero(np.abs(moved - start - wanted) <= REPRESENTED * np.abs(wanted))
        if self.refused or engine.evaluations + live.size + Batches.reserve(live.size) > engine.budget:
            return None
        few = live.size < least_batch(problem.adapter)
        function = None if few else engine.vectorized(block)
        if function is None and not (few and self.believed):
            return None
        changes = np.full((wanted.size, engine.base.size), np.nan)
        largest = np.abs(engine.base)
        if function is None:
            for k in live.tolist():
                changes[k] = self._alone(block, int(coordinates[k]), float(wanted[k]))
        elif not self._together(function, block, coordinates, moved, live, wanted, noise, changes, largest):
            self.refused = True
            engine.refuse_batches()
            return None
        by_side = changes.reshape(indices.size, 2, -1).swapaxes(0, 1)
        return by_side, (moved - start).reshape(-1, 2).T, largest

    def _alone(self, block: int, coordinate: int, length: float) -> FloatArray | float:
        """Evaluate at one point; return F(θ_t) − F(θ), NaN where it fails."""
        change = self.engine.evaluate(Coordinate(block, coordinate), length)
        return math.nan if change is None else change

    def _together(
        self,
        function: Callable[[Any], Any],
        block: int,
        coordinates: IntArray,
        moved: FloatArray,
        live: IntArray,
        wanted: FloatArray,
        noise: float,
        changes: FloatArray,
        largest: FloatArray,
    ) -> bool:
        """Fill in the changes at the live points, and the largest values; return False where batches fail."""
        engine = self.engine
        batches = Batches(
            engine.problem.values[block], partial(engine.evaluate_rows, function, block), answers=engine.base.size
        )
        for k, part in enumerate(batches.parts(live)):
            found = batches.evaluate(coordinates[part], moved[part])
            if found is None:
                return False
            values, base = found
            changes[part] = values - base
            if k == 0 and not self._agree(block, base, changes, part, coordinates, wanted, noise):
                return False
            engine.believe_batches()
            np.fmax(largest, np.fmax.reduce(np.abs(values), axis=0), out=largest)
        self.believed = batches.worthwhile
        return self.believed

    def _agree(
        self,
        block: int,
        base: FloatArray,
        changes: FloatArray,
        part: IntArray,
        coordinates: IntArray,
        wanted: FloatArray,
        noise: float,
    ) -> bool:
        """Evaluate the point that changes most, and the last one, alone; say whether the batch is right."""
        engine = self.engine
        kinds = [engine.value_precision(o) for o in range(len(engine.answers.blocks))]
        allowed = max(UNIT_ROUNDOFF[kind] for kind in kinds) * norm(engine.base), noise
        if not same_base(norm(base - engine.base), *allowed):
            return False
        sizes = np.linalg.norm(np.nan_to_num(changes[part]), axis=1)
        for k in sorted({int(part[np.argmax(sizes)]), int(part[-1])}):
            alone = self._alone(block, int(coordinates[k]), float(wanted[k]))
            failed = not np.isfinite(alone).all(), not np.isfinite(changes[k]).all()
            if not (all(failed) or same_change(norm(changes[k] - alone), *allowed)):
                return False
        return True
