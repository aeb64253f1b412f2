"""What is claimed of a derivative, as a linear map that can be applied to tangents, or pulled back from cotangents.

In the flat view a point's displacement is a vector of N real numbers, an output's change one of M, and the claim a
matrix A of M rows and N columns, of which some claims show the products A v only and others Aᵀ u only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np

from gradproof._numerics.statistics import chi_square_lower_quantile, chi_square_upper_quantile
from gradproof._problem.called import Called
from gradproof._problem.contractions import Applied, Cotangents, Inner, OneEntry, whole_rows
from gradproof._problem.outputs import OutputBlock, Outputs, flipped
from gradproof._problem.structure import Blocks, Structure
from gradproof._problem.views import Along, View
from gradproof._words.precision import HALF, UNIT_ROUNDOFF
from gradproof._words.vectors import CHUNK, Components, FloatArray, inner, norm

Norms = tuple[FloatArray, FloatArray, FloatArray]
"""Lower bounds, estimates and upper bounds of ‖A_op‖ per output block and block of the point, shape (outputs, blocks)."""
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
    def cotangents(self) -> int:
        """k where k cotangents' products are seen of each output; 0 where its whole vector is."""

    @property
    def views(self) -> tuple[View, ...]:
        """What a line shows of each output."""

    def own(self, change: FloatArray) -> FloatArray:
        """Return the components of the function's own values, or changes, that the views belong to."""

    def along(self, components: Callable[[], Components]) -> Along:
        """Return what forms the claimed change along a direction."""

    def see(self, change: FloatArray, claimed: FloatArray | None, base: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return discrepancies and the sizes of what was rounded on the way, shape (R,), of a change of shape (M,)."""

    def norms(self, alpha: float) -> Norms:
        """Return lower bounds, estimates and upper bounds of ‖A_op‖ per output block and block of the point."""

    def refine(self, alpha: float) -> Norms | None:
        """Return better ones, asked for where the first do not decide; None where there are none."""


class LinearMap(Claim, Protocol):
    """A claimed derivative of many outputs, as it can be applied, or pulled back, or both."""

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


class GradientClaim:
    """A gradient, or the row u·A of a matrix: a map with one output, kept as blocks.

    Parameters
    ----------
    blocks
        g: one flat array for each selected block of the point.
    weights
        u, where the one output is a weighted sum of a function's, shape (M,); None for a cost.
    output
        Number of the output block that the weights are in.
    """

    kind = "gradient"
    cotangents = 0

    def __init__(self, blocks: Blocks, weights: FloatArray | None = None, output: int = 0) -> None:
        self.blocks = blocks
        self.weights = weights
        weight = 1.0 if weights is None else norm(weights)
        self.views = (View(slice(0, 1), slice(0, 1), output, weight),)
        self.notes: list[str] = []

    def own(self, change: FloatArray) -> FloatArray:
        """Return the one component."""
        return change if self.weights is None else np.array([self.weights @ change])

    def along(self, components: Callable[[], Components]) -> Along:
        """Return what forms ⟨g, θ_t − θ⟩."""
        del components
        return Inner(self.blocks)

    def see(self, change: FloatArray, claimed: FloatArray | None, base: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the discrepancy, and the size of what was rounded."""
        taken = 0.0 if claimed is None else float(claimed[0])
        if self.weights is None:
            value, start = float(change[0]), float(base[0])
            size = max(abs(start), abs(start + value))
        else:
            value = float(self.weights @ change)
            size = norm(self.weights * np.maximum(np.abs(base), np.abs(base + change)))
        return np.array([value - taken]), np.array([max(size, abs(taken))])

    def apply(self, components: Components) -> FloatArray:
        """Return ⟨g, v⟩, shape (1,)."""
        return np.array([inner(self.blocks, components)])

    def norms(self, alpha: float) -> Norms:
        """Return ‖g_b‖, exactly, shape (1, blocks)."""
        del alpha
        sizes = np.array([[norm(g) for g in self.blocks]])
        return sizes, sizes, sizes

    def refine(self, alpha: float) -> None:
        """There is nothing more to ask."""


class EntryClaim:
    """One entry A[row, column] of a matrix, seen along its column.

    Parameters
    ----------
    row, output
        Of the function's values, and the number of the output block that it lies in.
    block, index, value
        The column's place in the point, and what is claimed.
    """

    kind = "entry"
    cotangents = 0

    def __init__(self, row: int, output: int, block: int, index: int, value: float) -> None:
        self.row, self.block, self.index, self.value = row, block, index, value
        self.views = (View(slice(0, 1), slice(0, 1), output),)
        self.notes: list[str] = []

    def own(self, change: FloatArray) -> FloatArray:
        """Return the row."""
        return change[self.row : self.row + 1]

    def along(self, components: Callable[[], Components]) -> Along:
        """Return what forms the entry's change."""
        del components
        return OneEntry(self.block, self.index, self.value)

    def see(self, change: FloatArray, claimed: FloatArray | None, base: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the discrepancy, and the size of what was rounded."""
        taken = 0.0 if claimed is None else float(claimed[0])
        value, start = float(change[self.row]), float(base[self.row])
        return np.array([value - taken]), np.array([max(abs(start), abs(start + value), abs(taken))])

    def norms(self, alpha: float) -> Norms:
        """Return |A[row, column]|."""
        del alpha
        size = np.array([[abs(self.value)]])
        return size, size, size

    def refine(self, alpha: float) -> None:
        """There is nothing more to ask."""


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
        precision, worked_out = lowest_precision(outputs, structure), called.problem.claimed_precision
        # The rounding of a claim in half precision is not far below its tolerance, whatever judges it.
        self.count = COTANGENTS[worked_out if UNIT_ROUNDOFF[worked_out] > HALF else precision]
        self.drawn: list[FloatArray] = []
        """Per output block, its certifying cotangents, a row each."""
        self.pulled: list[list[FloatArray]] = []
        """Per output block and block of the point, their products, a row each."""
        self.apart = np.zeros(0)
        """Norms as the other cotangents show them."""
        self.squares = np.zeros((0, 0))
        self.probes = self.left = 0
        """Cotangents an output that have measured the norms, and that may."""

    @property
    def cotangents(self) -> int:
        """Cotangents of each output that certify."""
        return self.count

    @property
    def views(self) -> tuple[View, ...]:
        """The products with each output's cotangents."""
        k = self.count
        return tuple(View(slice(k * o, k * (o + 1)), b.rows, o) for o, b in enumerate(self.outputs.blocks))

    def own(self, change: FloatArray) -> FloatArray:
        """Return all components."""
        return change

    def along(self, components: Callable[[], Components]) -> Along:
        """Return what forms (Aᵀu)·(θ_t − θ) for each cotangent u."""
        del components
        return Cotangents(self.pulled, self.count)

    def see(self, change: FloatArray, claimed: FloatArray | None, base: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return u·change less what is claimed, for each cotangent."""
        size = np.maximum(np.abs(base), np.abs(base + change))
        values, sizes = [], []
        for block, u in zip(self.outputs.blocks, self.drawn, strict=True):
            values.append(u @ change[block.rows])
            own = size[block.rows]
            squared = np.square(u) @ (own * own) if u.size <= CHUNK else np.array([math.inf])
            if not np.isfinite(squared).all():  # too many to square at once, or too large
                sizes.append(np.array([norm(row * own) for row in u]))
            else:
                sizes.append(np.sqrt(squared))
        value, rounding = np.concatenate(values), np.concatenate(sizes)
        if claimed is None:
            return value, rounding
        return value - claimed, np.maximum(rounding, np.abs(claimed))

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
        """Return a cotangent of ones, as losses that are sums have: one number can stand for it in memory."""
        return np.ones(self.outputs.size)

    def norms(self, alpha: float) -> Norms:
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
        self.drawn, self.pulled = [], []
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
            self.drawn.append(kept)
            self.pulled.append(products)
        self.apart = np.sqrt(apart / (probes - self.count)) if probes > self.count else np.sqrt(squares / probes)
        self.known = None
        self.squares, self.probes, self.left = squares, probes, max(NORM_PROBES - probes, 0)
        return norm_bounds(squares, probes, alpha / 2 if self.left else alpha)

    def refine(self, alpha: float) -> Norms | None:
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
    cotangents = 0

    def __init__(
        self, called: Called, outputs: Outputs, structure: Structure, *, kind: str, seed: int, scales: Sequence[float]
    ) -> None:
        self.called, self.outputs, self.structure = called, outputs, structure
        self.kind = kind
        self.generator = np.random.default_rng([seed, 0x6E6F726D])
        self.scales = scales
        self.notes: list[str] = []
        self.known: tuple[FloatArray, FloatArray] | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """The outputs themselves."""
        return whole_views(self.outputs)

    def own(self, change: FloatArray) -> FloatArray:
        """Return all components."""
        return change

    def along(self, components: Callable[[], Components]) -> Along:
        """Return what forms A (θ_t − θ)."""
        return Applied(
            self.apply,
            components,
            len(self.structure.blocks),
            exact=all(b.dtype == "float64" for b in self.structure.blocks),
        )

    def see(self, change: FloatArray, claimed: FloatArray | None, base: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the change less what is claimed."""
        return whole_rows(change, claimed, base)

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

    def norms(self, alpha: float) -> Norms:
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
    cotangents = 0

    def __init__(self, matrix: Any, outputs: Outputs, structure: Structure, *, kind: str) -> None:
        self.matrix = matrix
        self.outputs, self.structure = outputs, structure
        self.kind = kind
        self.sparse = not isinstance(matrix, np.ndarray)
        self.transposed = matrix.T.tocsr() if self.sparse else matrix.T
        self.notes: list[str] = []

    @property
    def views(self) -> tuple[View, ...]:
        """The outputs themselves."""
        return whole_views(self.outputs)

    def own(self, change: FloatArray) -> FloatArray:
        """Return all components."""
        return change

    def along(self, components: Callable[[], Components]) -> Along:
        """Return what forms A (θ_t − θ)."""
        return Applied(self.apply, components, len(self.structure.blocks), exact=False)

    def see(self, change: FloatArray, claimed: FloatArray | None, base: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the change less what is claimed."""
        return whole_rows(change, claimed, base)

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

    def norms(self, alpha: float) -> Norms:
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


def whole_views(outputs: Outputs) -> tuple[View, ...]:
    """Return the outputs themselves as what a line shows."""
    return tuple(View(block.rows, block.rows, o) for o, block in enumerate(outputs.blocks))


def norm_bounds(squares: FloatArray, probes: int, alpha: float) -> Norms:
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
