"""Hypotheses on a claim in a tangent space: that it is the gradient by a tangent of another frame, left for right.

Near a rotation or a rigid pose X, X exp(δ) and exp(δ′) X are the same point where δ′ = Ad δ, so that the gradients by the
two are g = Adᵀ g′. Which of the two retract displaces by need not be known: one of Adᵀ g and Ad⁻ᵀ g is the true one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gradproof._diagnosis.evidence import Evidence, Finding
from gradproof._diagnosis.fitting import Fit, Hypothesis, inverse
from gradproof._words.results import Cause, Diagnosis
from gradproof._words.vectors import FloatArray, norm

ORTHOGONAL = 1e-5
"""A matrix with RᵀR = 1 to this is a rotation, single precision included."""
LEFT, RIGHT = "exp(δ)·X", "X·exp(δ)"


def other_frames(evidence: Evidence, block: int) -> Iterator[Hypothesis]:
    """claimed = the gradient by a tangent of another frame, for each rotation or pose of the point that δ may belong to."""
    for name, leaf in evidence.frames:
        for adjoint, code in _adjoints(leaf, evidence.claimed[block].size):
            yield _other_frame(evidence, block, name, adjoint.T, (LEFT, RIGHT, f"{code}.T"))
            inverted = "R" if code == "R" else f"inv({code}).T"
            yield _other_frame(evidence, block, name, np.linalg.inv(adjoint).T, (RIGHT, LEFT, inverted))


def _other_frame(
    evidence: Evidence, block: int, name: str, turned: NDArray[np.floating], words: tuple[str, str, str]
) -> Hypothesis:
    claimed, retracts, code = words

    def vector() -> FloatArray:
        return np.asarray(turned @ evidence.claimed[block], dtype=np.float64)

    def describe(fit: Fit) -> Finding:
        del fit
        what = "R is the rotation of X" if "R" in code else "Ad is X's adjoint"
        diagnosis = Diagnosis(
            cause=Cause.FRAME,
            block=evidence.names[block],
            where=name,
            coefficient=1.0,
            sentence=f"{evidence.display(block)} is that by a tangent of another frame: it belongs to {claimed}, and retract displaces X = {name} as {retracts} ({what}).",
            remedy=f"{code} @ {evidence.code(block)}",
        )
        return Finding(diagnosis, {block: vector})

    # Only the very matrix is a frame's: a multiple of it is no candidate, for 1 is the one value that counts.
    return Hypothesis(
        cause=Cause.FRAME, vector=vector, added=False, mistake=inverse, describe=describe, plain=1.0, factor=False
    )


def _adjoints(leaf: FloatArray, size: int) -> Iterator[tuple[FloatArray, str]]:
    """Yield Ad of a rotation (3×3, or the quaternion of one) or of a rigid pose (4×4), and its name.

    For a pose, δ is (rotation, translation) or (translation, rotation): Ad is [[R, 0], [p× R, R]] or [[R, p× R], [0, R]]
    (Murray, Li & Sastry 1994, 2.4.2).
    """
    if size == 3:
        yield from ((R, "R") for R in _rotations(leaf))
    elif size == 6 and leaf.shape == (4, 4) and np.array_equal(leaf[3], [0, 0, 0, 1]):
        for R in _rotations(leaf[:3, :3]):
            x, y, z = leaf[:3, 3]
            moved = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ R
            zero = np.zeros((3, 3))
            yield np.block([[R, zero], [moved, R]]), "Ad"
            yield np.block([[R, moved], [zero, R]]), "Ad"


def _rotations(leaf: FloatArray) -> Iterator[FloatArray]:
    if leaf.shape == (3, 3) and norm((leaf.T @ leaf - np.eye(3)).reshape(-1)) <= ORTHOGONAL and np.linalg.det(leaf) > 0:
        yield leaf
    if leaf.shape == (4,) and abs(norm(leaf) - 1) <= ORTHOGONAL:
        for quaternion in (leaf, np.roll(leaf, 1)):  # scalar first, scalar last
            yield _rotation(*quaternion.tolist())


def _rotation(w: float, x: float, y: float, z: float) -> FloatArray:
    """Return the rotation of a unit quaternion: (w² − ‖v‖²) 1 + 2 v vᵀ + 2 w v×."""
    v = np.array([x, y, z])
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation: FloatArray = (w * w - v @ v) * np.eye(3) + 2 * np.outer(v, v) + 2 * w * cross
    return rotation
