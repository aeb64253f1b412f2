"""What is claimed of a derivative, as a linear map that can be applied to tangents, or pulled back from cotangents.

In the flat view a point's displacement is a vector of N real numbers, an output's change one of M, and the claim a
matrix A of M rows and N columns, of which some claims show the products A v only and others Aᵀ u only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np

from gradproof._numerics.statistics import chi_square_lower_quantile, chi_square_upper_quantile
from gradproof._problem.outputs import OutputBlock, Outputs, flipped
from gradproof._problem.problem import Problem
from gradproof._words.errors import GradproofError, MutatedInput, UsageError
from gradproof._words.precision import UNIT_ROUNDOFF, rounded_to
from gradproof._words.vectors import Components, FloatArray

Blocks = tuple[FloatArray, ...]
"""One flat array for each selected block of the point."""
NORM_PROBES: Final = 8
MOST_NORM_CALLS: Final = 200
"""Products that measure the norm of each block of a claim; at most so many in all, but four a block."""
COTANGENTS: Final = {"float64": 4, "float32": 12, "float16": 12, "bfloat16": 12}
"""Cotangents an output that certify, by precision: where noise limits, more of them are cheaper than more lines."""
APART: Final = 4
"""Cotangents an output that measure norms and certify nothing: what is chosen by them depends on no certifying one."""
EXPLICIT_SIZE: Final = 64
EXPLICIT_ENTRIES: Final = 4_000_000
"""A map of at most so many rows (VJP) or columns (JVP), and entries in all, is written out as a matrix."""
FEW: Final = 12
"""The same for "certificate": no more products than would certify it."""
FEW_COLUMNS_ROWS: Final = 512
"""The same number of rows where the columns are measured one by one anyway."""


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

    def refine(self, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Return better ones, asked for where the first do not decide; None where there are none."""


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
        self.whole = all(b.rows == columns for b, columns in zip(self.blocks, self.columns, strict=True))
        self.whole = self.whole and self.size == self.leaves.size

    def vector(self, components: Components) -> FloatArray:
        """Return a direction as one vector of the selected blocks."""
        if len(components) == 1 and components[0] is not None:
            return components[0]
        vector = np.zeros(self.size)
        for columns, part in zip(self.columns, components, strict=True):
            if part is not None:
                vector[columns] = part
        return vector

    def tree(self, vector: FloatArray, layout: str = "C") -> Any:
        """Return a vector of the selected blocks in the point's structure; zeros in blocks that were left out."""
        if self.whole:
            return self.leaves.tree(vector, layout)
        everything = np.zeros(self.leaves.size)
        for block, columns in zip(self.blocks, self.columns, strict=True):
            everything[block.rows] = vector[columns]
        return self.leaves.tree(everything, layout)

    def pick(self, value: Any, where: str) -> FloatArray:
        """Return an answer in the point's structure as one vector of the selected blocks."""
        vector = self.leaves.vector(value, where)
        return vector if self.whole else np.concatenate([vector[block.rows] for block in self.blocks])

    def rounded(self, vector: FloatArray) -> FloatArray:
        """Return a vector of the selected blocks as it arrives in their precisions."""
        if all(block.dtype == "float64" for block in self.blocks):
            return vector
        parts = zip(self.blocks, self.columns, strict=True)
        return np.concatenate([rounded_to(vector[columns], block.dtype) for block, columns in parts])

    def conjugated(self, vector: FloatArray) -> FloatArray:
        """Return a vector of the selected blocks with the complex ones conjugated."""
        result = np.array(vector)
        for block, columns in zip(self.blocks, self.columns, strict=True):
            if block.is_complex:
                result[columns.start + 1 : columns.stop : 2] *= -1
        return result


class Called:
    """A user's function of the point and one more argument, called with care.

    Parameters
    ----------
    function
        ``vjp`` or ``jvp``.
    problem
        Gives the point.
    restore
        Takes the real point back to the user's.
    name
        How the call reads: ``vjp(point, cotangent)``.
    given_point
        False where the function belongs to the point already, and is given None for it.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        problem: Problem,
        restore: Callable[[Any], Any],
        name: str,
        *,
        given_point: bool = True,
    ) -> None:
        if not callable(function):
            raise UsageError(f"{name.partition('(')[0]} is {type(function).__name__}", remedy=f"Give a function {name}")
        self.function = function
        self.problem = problem
        self.restore = restore
        self.name = name
        self.given_point = given_point
        self.calls = 0

    def __call__(self, argument: Any) -> Any:
        """Call it; its exceptions are named."""
        given = self.problem.point_copy() if self.given_point else None
        self.calls += 1
        try:
            with np.errstate(all="ignore"):
                answer = self.function(self.restore(given) if self.given_point else None, argument)
        except GradproofError:
            raise
        except Exception as error:
            raise UsageError(
                f"{type(error).__name__}: {error}",
                where=self.name,
                meaning="The claim cannot be evaluated at the point",
                remedy="Call it once by hand with this point",
            ) from error
        if self.calls == 1 and self.given_point and (written := self.problem.mutated(given)):
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
        Of the cotangents.
    """

    kind = "VJP"
    rows_known = True
    columns_known = False

    def __init__(self, called: Called, outputs: Outputs, structure: Structure, *, conjugate: bool, seed: int) -> None:
        self.called, self.outputs, self.structure = called, outputs, structure
        self.conjugate = conjugate
        self.generator = np.random.default_rng([seed, 0x6E6F726D])
        self.notes: list[str] = []
        self.known: tuple[FloatArray, FloatArray] | None = None
        precision = lowest_precision(outputs, structure)
        self.count = COTANGENTS[precision]
        self.cotangents: list[FloatArray] = []
        """Per output block, its certifying cotangents, a row each."""
        self.pulled: list[list[FloatArray]] = []
        """Per output block and block of the point, their products, a row each."""
        self.apart = np.zeros(0)
        """Norms as the other cotangents show them."""
        self.squares = np.zeros((0, 0))
        self.probes = self.left = 0
        """Cotangents an output that have measured the norms, and that may."""

    def apply(self, components: Components) -> FloatArray:
        """Not known."""
        raise NotImplementedError

    def pull(self, cotangent: FloatArray, layout: str = "C") -> Blocks:
        """Return Aᵀ u."""
        product = self.product(cotangent, layout)
        return tuple(product[columns] for columns in self.structure.columns)

    def product(self, cotangent: FloatArray, layout: str = "C") -> FloatArray:
        """Return Aᵀ u as one vector."""
        u = flipped(cotangent, self.outputs) if self.conjugate else cotangent
        answer = self.called(self.outputs.tree(u, layout))
        product = self.structure.pick(answer, self.called.name)
        if self.called.calls == 1 and (narrow := self.structure.leaves.narrower(answer)):
            self.notes.append(f"{self.called.name}: {narrow}; its digits are lost.")
        return self.structure.conjugated(product) if self.conjugate else product

    def random(self, generator: np.random.Generator, block: int | None = None) -> FloatArray:
        """Return a normal cotangent, in one output block or in all, as it arrives in the outputs' precision."""
        if block is None:
            return self.outputs.rounded(generator.standard_normal(self.outputs.size))
        cotangent = np.zeros(self.outputs.size)
        rows = self.outputs.blocks[block].rows
        cotangent[rows] = generator.standard_normal(cotangent[rows].size)
        return self.outputs.rounded(cotangent)

    def first(self) -> tuple[FloatArray, FloatArray]:
        """Return a normal cotangent in all output blocks, and its product: called for once."""
        if self.known is None:
            u = self.random(self.generator)
            self.known = u, self.product(u)
        return self.known

    def even(self) -> FloatArray:
        """Return a cotangent that is constant in each output block, so that one number can stand for it in memory."""
        return self.outputs.rounded(even(self.generator, self.outputs.blocks))

    def norms(self, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Measure them by normal cotangents: E‖Aᵀu‖² = ‖A‖².

        A right claim needs no more than those that certify it; `refine` asks further ones, with half of the probability.

        Some of them certify, too, later on: the bounds on the norms and those on the residual are separate events, so
        that the union bound holds whatever they share. How far to displace each of several blocks is no event, and is
        chosen by the cotangents that are kept apart.
        """
        count, columns = len(self.outputs.blocks), self.structure.columns
        # The bounds do not depend on the one scale that a lone block is displaced by.
        probes = self.count + (APART if len(columns) > 1 else 0)
        squares, apart = np.zeros((count, len(columns))), np.zeros((count, len(columns)))
        self.cotangents, self.pulled = [], []
        for o, output in enumerate(self.outputs.blocks):
            kept = np.empty((self.count, output.size))
            products = [np.empty((self.count, c.stop - c.start)) for c in columns]
            for k in range(probes):
                # With one output block, the first cotangent is known already.
                u, product = self.first() if k == 0 and count == 1 else self.random_product(o)
                parts = [product[c] for c in columns]
                sizes = [float(g @ g) for g in parts]
                squares[o] += sizes
                if k >= self.count:
                    apart[o] += sizes
                    continue
                kept[k] = u[output.rows]
                for own, part in zip(products, parts, strict=True):
                    own[k] = part
            self.cotangents.append(kept)
            self.pulled.append(products)
        self.apart = np.sqrt(apart / (probes - self.count)) if probes > self.count else np.sqrt(squares / probes)
        self.known = None
        self.squares, self.probes, self.left = squares, probes, max(NORM_PROBES - probes, 0)
        return norm_bounds(squares, probes, alpha / 2 if self.left else alpha)

    def refine(self, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Measure them by more cotangents."""
        if not self.left:
            return None
        for o in range(len(self.outputs.blocks)):
            for _ in range(self.left):
                _, product = self.random_product(o)
                self.squares[o] += [float(product[c] @ product[c]) for c in self.structure.columns]
        self.probes, self.left = self.probes + self.left, 0
        return norm_bounds(self.squares, self.probes, alpha / 2)

    def random_product(self, block: int) -> tuple[FloatArray, FloatArray]:
        """Return a normal cotangent in one output block, and its product."""
        u = self.random(self.generator, block)
        return u, self.product(u)


class JvpClaim:
    """A v by the user's JVP, or by a linear operator's matvec."""

    rows_known = False
    columns_known = True

    def __init__(
        self, called: Called, outputs: Outputs, structure: Structure, *, kind: str, seed: int, scales: Sequence[float]
    ) -> None:
        self.called, self.outputs, self.structure = called, outputs, structure
        self.kind = kind
        self.generator = np.random.default_rng([seed, 0x6E6F726D])
        self.scales = scales
        self.notes: list[str] = []
        self.known: tuple[FloatArray, FloatArray] | None = None

    def apply(self, components: Components, layout: str = "C") -> FloatArray:
        """Return A v."""
        return self.product(self.structure.vector(components), layout)

    def product(self, tangent: FloatArray, layout: str = "C") -> FloatArray:
        """Return A v for a tangent as one vector of the selected blocks."""
        answer = self.called(self.structure.tree(tangent, layout))
        result = self.outputs.vector(answer, self.called.name)
        if self.called.calls == 1 and (narrow := self.outputs.narrower(answer)):
            self.notes.append(f"{self.called.name}: {narrow}; its digits are lost.")
        return result

    def pull(self, cotangent: FloatArray) -> Blocks:
        """Not known."""
        raise NotImplementedError

    def first(self) -> tuple[FloatArray, FloatArray]:
        """Return a normal tangent in all blocks, each scaled, and its product: called for once."""
        if self.known is None:
            v = self.scaled(self.generator.standard_normal(self.structure.size))
            self.known = v, self.product(v)
        return self.known

    def even(self) -> FloatArray:
        """Return a tangent that is constant in each block, so that one number can stand for it in memory."""
        return self.scaled(even(self.generator, self.structure.blocks))

    def scaled(self, tangent: FloatArray) -> FloatArray:
        """Return a tangent times the blocks' scales, as it arrives in their precisions."""
        for scale, columns in zip(self.scales, self.structure.columns, strict=True):
            tangent[columns] *= scale
        return self.structure.rounded(tangent)

    def norms(self, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Measure them by normal tangents: E‖Av‖² = ‖A‖²."""
        count = len(self.structure.blocks)
        probes = max(min(NORM_PROBES, MOST_NORM_CALLS // count), 4)
        squares = np.zeros((len(self.outputs.blocks), count))
        for p, (columns, scale) in enumerate(zip(self.structure.columns, self.scales, strict=True)):
            for k in range(probes):
                if k == 0 and count == 1:
                    _, product = self.first()
                else:
                    v = np.zeros(self.structure.size)
                    v[columns] = self.generator.standard_normal(columns.stop - columns.start) * scale
                    product = self.product(v)
                product = product / scale
                squares[:, p] += [float(product[o.rows] @ product[o.rows]) for o in self.outputs.blocks]
        self.known = None
        return norm_bounds(squares, probes, alpha)

    def refine(self, alpha: float) -> None:
        """There is nothing more to ask."""


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
        return np.asarray(self.matrix @ self.structure.vector(components))

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

    def refine(self, alpha: float) -> None:
        """There is nothing more to ask."""


def norm_bounds(squares: FloatArray, probes: int, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bound norms from sums of `probes` squares: rank one, where they are σ²χ², is the worst case for both tails."""
    each = alpha / (2 * squares.size)
    low = np.sqrt(squares / chi_square_upper_quantile(probes, each))
    high = np.sqrt(squares / chi_square_lower_quantile(probes, each))
    return low, np.sqrt(squares / probes), high


def written_out(
    claim: VjpClaim | JvpClaim, *, forced: bool = False, few_columns: int = 0, most: int = EXPLICIT_SIZE
) -> MatrixClaim | None:
    """Return a small claim as a matrix, by unit cotangents or unit tangents; None where it is not small.

    Parameters
    ----------
    claim
        Any product.
    forced
        Where every column is to be measured, whatever it takes.
    few_columns
        So many columns will be measured one by one, so that more calls of a VJP are worth while.
    most
        Calls that are worth while otherwise.
    """
    rows, columns = claim.outputs.size, claim.structure.size
    most = FEW_COLUMNS_ROWS if columns <= few_columns else most
    count = rows if claim.rows_known else columns
    if not forced and (count > most or rows * columns > EXPLICIT_ENTRIES):
        return None
    matrix = np.empty((rows, columns))
    unit = np.zeros(count)
    for k in range(count):
        unit[k] = 1.0
        matrix[k if claim.rows_known else (slice(None), k)] = claim.product(unit)
        unit[k] = 0.0
    result = MatrixClaim(matrix, claim.outputs, claim.structure, kind=claim.kind)
    result.notes = claim.notes
    return result


def lowest_precision(outputs: Outputs, structure: Structure) -> str:
    """Return the lowest precision among the outputs and the selected blocks of the point."""
    return max({b.dtype for b in (*outputs.blocks, *structure.blocks)}, key=lambda kind: UNIT_ROUNDOFF[kind])


def even(generator: np.random.Generator, blocks: Sequence[OutputBlock]) -> FloatArray:
    """Return a vector with one normal number a block, repeated: one for each part where the block is complex."""
    numbers = generator.standard_normal(2 * len(blocks))
    parts = [
        np.tile(numbers[2 * k : 2 * k + 2], b.size // 2) if b.is_complex else np.full(b.size, numbers[2 * k])
        for k, b in enumerate(blocks)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
