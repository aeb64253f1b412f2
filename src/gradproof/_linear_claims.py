"""What is claimed of a derivative, as a linear map that can be applied to tangents, or pulled back from cotangents.

In the flat view a point's displacement is a vector of N real numbers, an output's change one of M, and the claim a
matrix A of M rows and N columns, of which some claims show the products A v only and others Aᵀ u only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np

from gradproof._directions import FloatArray
from gradproof._errors import GradproofError, MutatedInput, UsageError
from gradproof._map_engine import Components, MapEngine
from gradproof._outputs import Outputs, flipped
from gradproof._statistics import chi_square_lower_quantile, chi_square_upper_quantile

Blocks = tuple[FloatArray, ...]
"""One flat array for each selected block of the point."""
NORM_PROBES: Final = 8
MOST_NORM_CALLS: Final = 200
"""Products that measure the norm of each block of a claim; at most so many in all, but four a block."""
EXPLICIT_SIZE: Final = 64
EXPLICIT_ENTRIES: Final = 4_000_000
"""A map of at most so many rows (VJP) or columns (JVP), and entries in all, is written out as a matrix."""
FEW_COLUMNS_ROWS: Final = 512
"""The same number of rows where the columns are measured one by one anyway."""
LINEARITY: Final = 1.0e3
"""A map is not called nonlinear for less than this many roundings."""


class Claim(Protocol):
    """A claimed derivative A."""

    kind: str
    notes: list[str]

    @property
    def rows_known(self) -> bool:
        """Aᵀ u can be had."""

    @property
    def columns_known(self) -> bool:
        """A v can be had."""

    def apply(self, components: Components) -> FloatArray:
        """Return A v."""

    def pull(self, cotangent: FloatArray) -> Blocks:
        """Return Aᵀ u."""

    def norms(self, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return lower bounds, estimates and upper bounds of ‖A_op‖ per output block and block of the point."""


class Structure:
    """The point's structure as the user knows it, beside the selected real blocks.

    Parameters
    ----------
    point
        As given, complex arrays included.
    names
        Of the selected blocks.
    """

    def __init__(self, point: Any, names: Sequence[str]) -> None:
        self.leaves = Outputs(point, "point", lone="point", opaque=True)
        by_name = {block.name: block for block in self.leaves.blocks}
        self.blocks = tuple(by_name[name] for name in names)
        offsets = np.cumsum([0, *(block.size for block in self.blocks)])
        self.columns = tuple(slice(int(a), int(b)) for a, b in pairwise(offsets))
        self.size = int(offsets[-1])

    def tree(self, components: Components, layout: str = "C") -> Any:
        """Return a direction in the point's structure; zeros in blocks that were left out."""
        vector = np.zeros(self.leaves.size)
        for block, part in zip(self.blocks, components, strict=True):
            if part is not None:
                vector[block.rows] = part
        return self.leaves.tree(vector, layout)

    def pick(self, value: Any, where: str) -> Blocks:
        """Return an answer in the point's structure, the selected blocks flat."""
        vector = self.leaves.vector(value, where)
        return tuple(vector[block.rows] for block in self.blocks)

    def conjugated(self, blocks: Blocks) -> Blocks:
        """Return complex blocks conjugated."""
        return tuple(_conjugate(b) if s.is_complex else b for b, s in zip(blocks, self.blocks, strict=True))


class Called:
    """A user's function of the point and one more argument, called with care.

    Parameters
    ----------
    function
        ``vjp`` or ``jvp``.
    engine
        Gives the point.
    restore
        Takes the real point back to the user's.
    name
        How the call reads: ``vjp(point, cotangent)``.
    """

    def __init__(
        self, function: Callable[..., Any], engine: MapEngine, restore: Callable[[Any], Any], name: str
    ) -> None:
        if not callable(function):
            raise UsageError(f"{name.partition('(')[0]} is {type(function).__name__}", remedy=f"Give a function {name}")
        self.function = function
        self.engine = engine
        self.restore = restore
        self.name = name
        self.calls = 0

    def __call__(self, argument: Any) -> Any:
        """Call it; its exceptions are named."""
        given = self.engine.problem.point_copy()
        self.calls += 1
        try:
            with np.errstate(all="ignore"):
                answer = self.function(self.restore(given), argument)
        except GradproofError:
            raise
        except Exception as error:
            raise UsageError(
                f"{type(error).__name__}: {error}",
                where=self.name,
                meaning="The claim cannot be evaluated at the point",
                remedy="Call it once by hand with this point",
            ) from error
        if self.calls == 1 and (written := self.engine.problem.mutated(given)):
            raise MutatedInput(
                f"it writes into its argument: {', '.join(written)} changed during the call",
                where=self.name,
                meaning="The next product would belong to another point (your own arrays are untouched)",
                remedy="Copy the parameters before changing them in place",
            )
        return answer


class VjpClaim:
    """Aᵀ u by the user's VJP.

    Parameters
    ----------
    called, outputs, structure
        The function, and both structures.
    conjugate
        Cotangents and answers of complex arrays are conjugated: the convention in which ⟨u, y⟩ = Re Σ u·y.
    seed
        Of the cotangents that measure the norms.
    """

    kind = "VJP"
    rows_known = True
    columns_known = False

    def __init__(self, called: Called, outputs: Outputs, structure: Structure, *, conjugate: bool, seed: int) -> None:
        self.called, self.outputs, self.structure = called, outputs, structure
        self.conjugate = conjugate
        self.seed = seed
        self.notes: list[str] = []

    def apply(self, components: Components) -> FloatArray:
        """Not known."""
        raise NotImplementedError

    def pull(self, cotangent: FloatArray, layout: str = "C") -> Blocks:
        """Return Aᵀ u."""
        u = flipped(cotangent, self.outputs) if self.conjugate else cotangent
        answer = self.called(self.outputs.tree(u, layout))
        blocks = self.structure.pick(answer, self.called.name)
        if self.called.calls == 1 and (narrow := self.structure.leaves.narrower(answer)):
            self.notes.append(f"{self.called.name}: {narrow}; its digits are lost.")
        return self.structure.conjugated(blocks) if self.conjugate else blocks

    def random(self, generator: np.random.Generator, block: int | None = None) -> FloatArray:
        """Return a normal cotangent, in one output block or in all, as it arrives in the outputs' precision."""
        cotangent = np.zeros(self.outputs.size)
        rows = slice(None) if block is None else self.outputs.blocks[block].rows
        cotangent[rows] = generator.standard_normal(cotangent[rows].size)
        return self.outputs.rounded(cotangent)

    def norms(self, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Measure them by normal cotangents of their own: E‖Aᵀu‖² = ‖A‖²."""
        count = len(self.outputs.blocks)
        probes = max(min(NORM_PROBES, MOST_NORM_CALLS // count), 4)
        generator = np.random.default_rng([self.seed, 0x6E6F726D])
        squares = np.zeros((count, len(self.structure.blocks)))
        for o in range(count):
            for _ in range(probes):
                squares[o] += [float(g @ g) for g in self.pull(self.random(generator, o))]
        return norm_bounds(squares, probes, alpha)


class JvpClaim:
    """A v by the user's JVP, or by a linear operator's matvec."""

    rows_known = False
    columns_known = True

    def __init__(
        self, called: Called, outputs: Outputs, structure: Structure, *, kind: str, seed: int, scales: Sequence[float]
    ) -> None:
        self.called, self.outputs, self.structure = called, outputs, structure
        self.kind = kind
        self.seed = seed
        self.scales = scales
        self.notes: list[str] = []

    def apply(self, components: Components, layout: str = "C") -> FloatArray:
        """Return A v."""
        answer = self.called(self.structure.tree(components, layout))
        result = self.outputs.vector(answer, self.called.name)
        if self.called.calls == 1 and (narrow := self.outputs.narrower(answer)):
            self.notes.append(f"{self.called.name}: {narrow}; its digits are lost.")
        return result

    def pull(self, cotangent: FloatArray) -> Blocks:
        """Not known."""
        raise NotImplementedError

    def norms(self, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Measure them by normal tangents of their own: E‖Av‖² = ‖A‖²."""
        count = len(self.structure.blocks)
        probes = max(min(NORM_PROBES, MOST_NORM_CALLS // count), 4)
        generator = np.random.default_rng([self.seed, 0x6E6F726D])
        squares = np.zeros((len(self.outputs.blocks), count))
        for p, block in enumerate(self.structure.blocks):
            for _ in range(probes):
                parts: list[FloatArray | None] = [None] * count
                parts[p] = generator.standard_normal(block.size) * self.scales[p]
                product = self.apply(tuple(parts)) / self.scales[p]
                squares[:, p] += [float(product[o.rows] @ product[o.rows]) for o in self.outputs.blocks]
        return norm_bounds(squares, probes, alpha)


class MatrixClaim:
    """A as a matrix, dense or sparse."""

    rows_known = True
    columns_known = True

    def __init__(self, matrix: Any, outputs: Outputs, structure: Structure, *, kind: str) -> None:
        self.matrix = matrix
        self.outputs, self.structure = outputs, structure
        self.kind = kind
        self.sparse = not isinstance(matrix, np.ndarray)
        self.transposed = matrix.T.tocsr() if self.sparse else matrix.T
        self.notes: list[str] = []

    def apply(self, components: Components) -> FloatArray:
        """Return A v."""
        vector = np.zeros(self.structure.size)
        for columns, part in zip(self.structure.columns, components, strict=True):
            if part is not None:
                vector[columns] = part
        return np.asarray(self.matrix @ vector)

    def pull(self, cotangent: FloatArray) -> Blocks:
        """Return Aᵀ u."""
        product = np.asarray(self.transposed @ cotangent)
        return tuple(product[columns] for columns in self.structure.columns)

    def entry(self, row: int, column: int) -> float:
        """Return A[row, column]."""
        return float(self.matrix[row, column])

    def column(self, column: int) -> FloatArray:
        """Return a column of A."""
        if self.sparse:
            return np.asarray(self.transposed[[column], :].toarray(), dtype=np.float64).reshape(-1)
        return np.asarray(self.matrix[:, column], dtype=np.float64)

    def row_norms(self) -> FloatArray:
        """Return ‖A_r‖ of each row."""
        squares = self.matrix.multiply(self.matrix).sum(axis=1) if self.sparse else np.sum(self.matrix**2, axis=1)
        return np.sqrt(np.asarray(squares, dtype=np.float64).reshape(-1))

    def norms(self, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return them, exactly."""
        del alpha
        squares = np.zeros((len(self.outputs.blocks), len(self.structure.blocks)))
        for o, output in enumerate(self.outputs.blocks):
            for p, columns in enumerate(self.structure.columns):
                part = self.matrix[output.rows, columns]
                squares[o, p] = float(part.multiply(part).sum()) if self.sparse else float(np.sum(part**2))
        root = np.sqrt(squares)
        return root, root, root


def norm_bounds(squares: FloatArray, probes: int, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bound norms from sums of `probes` squares: rank one, where they are σ²χ², is the worst case for both tails."""
    each = alpha / (2 * squares.size)
    low = np.sqrt(squares / chi_square_upper_quantile(probes, each))
    high = np.sqrt(squares / chi_square_lower_quantile(probes, each))
    return low, np.sqrt(squares / probes), high


def written_out(claim: VjpClaim | JvpClaim, *, forced: bool = False, few_columns: int = 0) -> MatrixClaim | None:
    """Return a small claim as a matrix, by unit cotangents or unit tangents; None where it is not small.

    Parameters
    ----------
    claim
        Any product.
    forced
        Where every column is to be measured, whatever it takes.
    few_columns
        So many columns will be measured one by one, so that more calls of a VJP are worth while.
    """
    rows, columns = claim.outputs.size, claim.structure.size
    most = FEW_COLUMNS_ROWS if columns <= few_columns else EXPLICIT_SIZE
    count = rows if claim.rows_known else columns
    if not forced and (count > most or rows * columns > EXPLICIT_ENTRIES):
        return None
    matrix = np.empty((rows, columns))
    if isinstance(claim, VjpClaim):
        for r in range(rows):
            matrix[r] = np.concatenate(claim.pull(np.eye(1, rows, r)[0]))
    else:
        for p, part in enumerate(claim.structure.columns):
            for j in range(part.stop - part.start):
                parts: list[FloatArray | None] = [None] * len(claim.structure.blocks)
                parts[p] = np.eye(1, part.stop - part.start, j)[0]
                matrix[:, part.start + j] = claim.apply(tuple(parts))
    result = MatrixClaim(matrix, claim.outputs, claim.structure, kind=claim.kind)
    result.notes = claim.notes
    return result


def nonlinearity(
    product: Callable[..., FloatArray], draw: Callable[[], Any], combine: Callable[..., Any]
) -> dict[str, float]:
    """Measure by how much a product deviates from linearity, relatively.

    Returns
    -------
    dict
        "repeated", "a sum", "a multiple", and one entry for each memory layout.
    """
    first, second = draw(), draw()
    one, two = product(first), product(second)
    size = float(np.linalg.norm(one) + np.linalg.norm(two)) or 1.0
    result = {"repeated": float(np.linalg.norm(product(first) - one)) / size}
    result["a sum"] = float(np.linalg.norm(product(combine(first, second, 1.0, 1.0)) - (one + two))) / size
    result["a multiple"] = float(np.linalg.norm(product(combine(first, second, -2.5, 0.0)) + 2.5 * one)) / size
    result["F"] = float(np.linalg.norm(product(first, "F") - one)) / size
    result["strided"] = float(np.linalg.norm(product(first, "strided") - one)) / size
    return {name: value if math.isfinite(value) else math.inf for name, value in result.items()}


def _conjugate(flat: FloatArray) -> FloatArray:
    result = np.array(flat)
    result[1::2] *= -1
    return result
