"""Reading a claimed Jacobian: an array, nested blocks, a SciPy sparse matrix; and everything that can be wrong with one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradproof._problem.outputs import OutputBlock, Outputs
from gradproof._problem.structure import Structure
from gradproof._words.errors import NotDifferentiable, ShapeMismatch
from gradproof.adapters import kind_of
from gradproof.adapters._containers import flatten

WHERE = "jacobian"


def is_operator(value: Any) -> bool:
    """Say whether a value is a linear operator: something with a shape and a matvec that is no matrix."""
    return hasattr(value, "matvec") and hasattr(value, "shape") and not is_sparse(value)


def is_sparse(value: Any) -> bool:
    """Say whether a value is a SciPy sparse matrix or array."""
    return type(value).__module__.startswith("scipy.sparse") and hasattr(value, "tocoo")


def read_jacobian(
    value: Any, outputs: Outputs, structure: Structure, point: Any, *, conjugate: bool
) -> tuple[Any, list[str]]:
    """Return a claimed Jacobian as one matrix of reals, selected columns only, and notes about it.

    Raises
    ------
    ShapeMismatch, NotDifferentiable
        Naming what does not fit; a transposed shape is called that.
    """
    notes: list[str] = []
    whole = _complex_size(outputs.blocks), _complex_size(structure.leaves.blocks)
    if is_sparse(value):
        return _sparse(value, outputs, structure, whole, notes, conjugate=conjugate), notes
    if not isinstance(value, np.ndarray) and isinstance(value, (list, tuple)):
        as_array = _numbers(value)
        value = value if as_array is None else as_array
    if isinstance(value, (np.ndarray, float, int, complex, np.generic)):
        array = np.asarray(value)
        _check_kind(array, WHERE)
        if array.shape == whole or (
            array.size == whole[0] * whole[1] and array.shape in _tensor_shapes(outputs, structure)
        ):
            return _assemble(array.reshape(whole), outputs, structure, conjugate=conjugate), notes
        raise wrong_shape(array.shape, whole, _tensor_shapes(outputs, structure), WHERE)
    return _nested(value, outputs, structure, point, conjugate=conjugate), notes


def _numbers(value: Any) -> Any:
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    return array if array.dtype.kind in "fciu" else None


def _complex_size(blocks: tuple[OutputBlock, ...]) -> int:
    return sum(block.size // (2 if block.is_complex else 1) for block in blocks)


def _given_shape(block: OutputBlock) -> tuple[int, ...]:
    return block.shape[:-1] if block.is_complex else block.shape


def _tensor_shapes(outputs: Outputs, structure: Structure) -> list[tuple[int, ...]]:
    """Return the shape output.shape + parameter.shape, where there is one output and one parameter."""
    if len(outputs.blocks) == 1 and len(structure.leaves.blocks) == 1:
        return [(*_given_shape(outputs.blocks[0]), *_given_shape(structure.leaves.blocks[0]))]
    return []


def _check_kind(array: Any, where: str) -> None:
    if array.dtype.kind not in "fciu":
        raise NotDifferentiable(
            kind_of(array),
            where=where,
            meaning="A Jacobian consists of floating-point numbers",
            remedy="Give a float array",
        )


def wrong_shape(
    shape: tuple[int, ...], whole: tuple[int, int], tensors: list[tuple[int, ...]], where: str
) -> ShapeMismatch:
    """Return the error that names a wrong shape, and what was probably meant."""
    rows, columns = whole
    wanted = " or ".join(str(s) for s in dict.fromkeys([whole, *tensors]))
    remedy = f"Give {rows} rows, one an output, and {columns} columns, one a parameter"
    if shape in {whole[::-1], *(t[::-1] for t in tensors)}:
        remedy = "It has the transposed shape: rows belong to outputs, columns to parameters; did you mean its transpose, .T?"
    elif math.prod(shape) == rows * columns:
        remedy = f"It has as many entries: did you mean .reshape({whole})?"
    return ShapeMismatch(
        f"the claimed Jacobian has shape {shape}, where {wanted} is wanted",
        where=where,
        meaning="Entry [i, j] is the derivative of output i by parameter j",
        remedy=remedy,
    )


def _sparse(
    value: Any, outputs: Outputs, structure: Structure, whole: tuple[int, int], notes: list[str], *, conjugate: bool
) -> Any:
    from scipy import sparse

    if tuple(value.shape) != whole:
        raise wrong_shape(tuple(value.shape), whole, [], WHERE)
    _check_kind(value, WHERE)
    coo = value.tocoo()
    rows, columns = coo.coords if hasattr(coo, "coords") else (coo.row, coo.col)
    keys = np.asarray(rows, dtype=np.int64) * whole[1] + np.asarray(columns, dtype=np.int64)
    order = np.sort(keys)
    twice = order[1:][order[1:] == order[:-1]]
    if twice.size:
        r, c = divmod(int(twice[0]), whole[1])
        notes.append(
            f"The claimed pattern holds {twice.size} entries twice, the first at row {r}, column {c}: SciPy adds them up, and the sum is what was checked."
        )
    matrix = sparse.csr_array(coo)
    matrix.sum_duplicates()
    pieces = []
    for output in outputs.blocks:
        line = []
        for block in structure.blocks:
            part = matrix[_complex_rows(outputs.blocks, output), :][:, _complex_rows(structure.leaves.blocks, block)]
            line.append(_real(part, output, block, sparse.kron, conjugate=conjugate))
        pieces.append(line)
    plain = len(pieces) == 1 and len(pieces[0]) == 1
    return sparse.csr_array(pieces[0][0] if plain else sparse.block_array(pieces, format="csr"))


def _complex_rows(blocks: tuple[OutputBlock, ...], wanted: OutputBlock) -> slice:
    start = 0
    for block in blocks:
        size = _complex_size((block,))
        if block is wanted:
            return slice(start, start + size)
        start += size
    raise AssertionError(wanted.name)


def _assemble(array: Any, outputs: Outputs, structure: Structure, *, conjugate: bool) -> Any:
    lines = []
    for output in outputs.blocks:
        rows = array[_complex_rows(outputs.blocks, output)]
        parts = [rows[:, _complex_rows(structure.leaves.blocks, block)] for block in structure.blocks]
        lines.append(
            np.hstack(
                [
                    _real(part, output, b, np.kron, conjugate=conjugate)
                    for part, b in zip(parts, structure.blocks, strict=True)
                ]
            )
        )
    return np.asarray(np.vstack(lines), dtype=np.float64)


def _real(part: Any, output: OutputBlock, block: OutputBlock, kron: Any, *, conjugate: bool) -> Any:
    """Write a block of complex numbers as one of pairs of reals.

    A complex-linear entry a + ib is [[a, −b], [b, a]]. From a complex parameter to a real output it is the gradient's
    convention that decides: δy = Re(conj(g) δz), the row (a, b); or, conjugated, Re(g δz), the row (a, −b).
    """
    is_complex = part.dtype.kind == "c"
    if not output.is_complex and not block.is_complex:
        if is_complex:
            raise NotDifferentiable(
                f"complex entries between {output.name} and {block.name}",
                where=WHERE,
                meaning="Both of them are real, and so is the derivative",
                remedy="Give the real part, if that is what is meant",
            )
        return part.astype(np.float64)
    real, imaginary = (part.real, part.imag) if is_complex else (part, 0 * part)
    if output.is_complex and block.is_complex:
        shapes = np.eye(2), np.array([[0.0, -1.0], [1.0, 0.0]])
    elif output.is_complex:
        shapes = np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]])
    else:
        shapes = np.array([[1.0, 0.0]]), np.array([[0.0, -1.0 if conjugate else 1.0]])
    return kron(real, shapes[0]) + kron(imaginary, shapes[1])


def _nested(value: Any, outputs: Outputs, structure: Structure, point: Any, *, conjugate: bool) -> Any:
    names, leaves, _ = flatten(value, what="jacobian", none_is_leaf=True)
    wanted, _, _ = flatten(outputs.nested(point), what="jacobian", none_is_leaf=True)
    if names != wanted and set(names) != set(wanted):
        missing = [name for name in wanted if name not in names]
        extra = [name for name in names if name not in wanted]
        raise ShapeMismatch(
            f"the claimed Jacobian has the blocks {', '.join(names[:6])}",
            where=f"{WHERE}, block {(missing or extra)[0]}",
            meaning=f"Wanted are {', '.join(wanted[:6])}: each output's structure, with the point's structure in its place",
            remedy='Give nested blocks as jacobian["output"]["parameter"], an array, or a sparse matrix',
        )
    by_name = dict(zip(names, leaves, strict=True))
    of_point = structure.leaves.blocks
    lines = []
    for o, output in enumerate(outputs.blocks):
        line = []
        for p, block in enumerate(of_point):
            if block not in structure.blocks:
                continue
            name = wanted[o * len(of_point) + p]
            line.append(_real(_leaf(by_name[name], name, output, block), output, block, np.kron, conjugate=conjugate))
        lines.append(np.hstack(line))
    return np.asarray(np.vstack(lines), dtype=np.float64)


def _leaf(leaf: Any, name: str, output: OutputBlock, block: OutputBlock) -> Any:
    where = f"{WHERE}, block {name}"
    size = _complex_size((output,)), _complex_size((block,))
    if leaf is None:
        raise ShapeMismatch(
            "None",
            where=where,
            meaning="None is no derivative",
            remedy=f"Give zeros of shape {size} where there is no dependence",
        )
    array = leaf.toarray() if is_sparse(leaf) else np.asarray(leaf)
    _check_kind(array, where)
    tensor = (*_given_shape(output), *_given_shape(block))
    if array.shape not in {size, tensor}:
        raise wrong_shape(array.shape, size, [tensor], where)
    return array.reshape(size)
