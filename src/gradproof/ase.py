"""`check_forces` and `check_stress`: the energy of atoms against what their calculator says of its derivatives (ASE)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from gradproof._problem.tangents import Displacements
from gradproof._verbs.assertions import Inconclusive, asserted
from gradproof._verbs.gradient import check_gradient
from gradproof._words.errors import UsageError
from gradproof._words.results import Report
from gradproof._words.vectors import FloatArray

LENGTH: Final = 0.1
"""Å: about as far as atoms move by heat; the first displacements are parts of it, whatever the origin is."""
STRAIN: Final = 0.03
"""The same over the distance of two atoms."""
OPTIONS: Final = {"tolerance", "confidence", "strategy", "budget", "seed", "diagnose", "self_test", "observer"}
"""Of check_gradient; a calculator keeps what it calculated last, and is asked one thing at a time."""


def check_forces(atoms: Any, **options: Any) -> Report:
    """Check a calculator's forces against its energy: −∂E/∂x of every atom that is not fixed.

    Parameters
    ----------
    atoms
        `ase.Atoms` with a calculator. Away from a minimum, where there are forces. They are not changed.
    **options
        As for `check_gradient`: tolerance, confidence, strategy, budget, seed, diagnose, self_test, observer.

    Returns
    -------
    Report
        Of the gradient −forces in eV/Å; its one block is "positions", of a row an atom that is not fixed.

    Raises
    ------
    UsageError
        For atoms without a calculator, and calculators without forces.
    EvaluationError
        Where the energy cannot be calculated.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> atoms = bulk("Cu", cubic=True)
    >>> atoms.rattle(0.1, seed=1)
    >>> atoms.calc = EMT()
    >>> check_forces(atoms, seed=0).verdict.name
    'CORRECT'
    """
    own = _Own(atoms)
    free, notes = _free(atoms)
    forces = own.asked(lambda: own.atoms.get_forces(apply_constraint=False), "forces")
    start = atoms.get_positions()

    def energy(point: dict[str, FloatArray]) -> float:
        moved = start.copy()
        moved[free] += point["positions"]
        own.atoms.set_positions(moved, apply_constraint=False)
        return own.energy()

    notes.append(f"The claim is −forces, in eV/Å; displacements are measured by {LENGTH} Å.")
    problem = Displacements(
        energy,
        {"positions": np.zeros((len(free), 3))},
        {"positions": -forces[free]},
        lengths={"positions": LENGTH},
    )
    return _report("ase.check_forces", problem, [*notes, *own.notes], options)


def assert_forces(atoms: Any, *, inconclusive: Inconclusive = "raise", **options: Any) -> Report:
    """Assert what `check_forces` checks, with an exception where it is not so.

    Parameters
    ----------
    atoms
        As for `check_forces`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_forces`.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check_forces, atoms, **options)


def check_stress(atoms: Any, **options: Any) -> Report:
    """Check a calculator's stress against its energy: V σ = ∂E/∂ε, the atoms being strained with their cell.

    Parameters
    ----------
    atoms
        `ase.Atoms` with a cell and a calculator. They are not changed.
    **options
        As for `check_forces`.

    Returns
    -------
    Report
        Of the six numbers V σ in eV, in ASE's order (xx, yy, zz, yz, xz, xy; shears twice ε_yz …, after Voigt).

    Raises
    ------
    UsageError
        For atoms without a calculator or a cell, and calculators without a stress.
    EvaluationError
        Where the energy cannot be calculated.
    """
    own = _Own(atoms)
    if atoms.cell.rank < 3:
        raise UsageError(
            f"the cell has {atoms.cell.rank} of three axes",
            where="atoms",
            meaning="A stress belongs to a volume",
            remedy="Give atoms with a cell of three axes",
        )
    stress = own.asked(lambda: own.atoms.get_stress(apply_constraint=False), "stress")
    cell, start, volume = atoms.cell.array.copy(), atoms.get_positions(), atoms.get_volume()

    def energy(point: dict[str, FloatArray]) -> float:
        xx, yy, zz, yz, xz, xy = point["strain"]
        strained = np.eye(3) + np.array([[xx, xy / 2, xz / 2], [xy / 2, yy, yz / 2], [xz / 2, yz / 2, zz]])
        own.atoms.set_cell(cell @ strained)
        own.atoms.set_positions(start @ strained, apply_constraint=False)
        return own.energy()

    notes = ["The claim is volume × stress, in eV, for xx, yy, zz, yz, xz, xy (shears after Voigt)."]
    problem = Displacements(
        energy, {"strain": np.zeros(6)}, {"strain": volume * np.asarray(stress)}, lengths={"strain": STRAIN}
    )
    return _report("ase.check_stress", problem, [*notes, *own.notes], options)


def assert_stress(atoms: Any, *, inconclusive: Inconclusive = "raise", **options: Any) -> Report:
    """Assert what `check_stress` checks, with an exception where it is not so.

    Parameters
    ----------
    atoms
        As for `check_stress`.
    inconclusive
        What to do where it could be proved neither right nor wrong: "raise", "warn" or "skip" (return).
    **options
        As for `check_stress`.

    Returns
    -------
    Report
        Of what is correct (or undecided).

    Raises
    ------
    WrongGradient, InconclusiveGradient
        AssertionErrors that print, and carry, the report.
    """
    return asserted(inconclusive, check_stress, atoms, **options)


class _Own:
    """Atoms of our own with a calculator of our own, where it can be copied.

    Parameters
    ----------
    atoms
        The user's.
    """

    def __init__(self, atoms: Any) -> None:
        if getattr(atoms, "calc", None) is None:
            raise UsageError(
                "the atoms have no calculator" if hasattr(atoms, "calc") else f"atoms is {type(atoms).__name__}",
                meaning="There is no energy to compare with",
                remedy="Give ase.Atoms, and set atoms.calc",
            )
        self.notes: list[str] = []
        calculator = atoms.calc
        try:
            calculator = copy.deepcopy(calculator)
        except Exception:  # of a program that runs elsewhere, say
            self.notes.append("The calculator could not be copied, and was used itself.")
        self.atoms = type(atoms)(atoms, calculator=calculator)
        self.atoms.set_constraint()
        self.consistent = "free_energy" in getattr(atoms.calc, "implemented_properties", ())

    def energy(self) -> float:
        """Return the energy that the forces are derivatives of: the free energy, where there is one."""
        return float(self.atoms.get_potential_energy(force_consistent=self.consistent))

    def asked(self, question: Callable[[], Any], what: str) -> Any:
        """Return what the calculator says.

        Raises
        ------
        UsageError
            Where it does not know, or fails.
        """
        try:
            return question()
        except Exception as error:
            name = type(self.atoms.calc).__name__
            raise UsageError(
                f"{type(error).__name__}: {error}".rstrip(": "),
                where=f"{what} of {name}",
                meaning=f"The calculator gives no {what} for these atoms",
                remedy=f"Give a calculator that implements {what}",
            ) from error


def _free(atoms: Any) -> tuple[FloatArray, list[str]]:
    """Return the atoms that are not fixed, and notes on constraints."""
    fixed: set[int] = set()
    others = []
    for constraint in atoms.constraints:
        if type(constraint).__name__ == "FixAtoms":
            fixed |= {int(k) for k in np.asarray(constraint.index).reshape(-1)}
        else:
            others.append(type(constraint).__name__)
    free = np.array([k for k in range(len(atoms)) if k not in fixed], dtype=int)
    if not free.size:
        raise UsageError(
            f"all of the {len(atoms)} atoms are fixed", where="atoms", remedy="Give atoms of which some may move"
        )
    notes = []
    if fixed:
        shown = ", ".join(map(str, free[:10])) + (" …" if free.size > 10 else "")
        notes.append(f"{len(fixed)} atoms are fixed; the rows of positions are the atoms {shown}.")
    if others:
        notes.append(f"The forces are those without constraints; not applied: {', '.join(sorted(set(others)))}.")
    return free, notes


def _report(verb: str, problem: Displacements, notes: list[str], options: dict[str, Any]) -> Report:
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise UsageError(f"{verb} has no option {unknown[0]}", remedy=f"Its options are {', '.join(sorted(OPTIONS))}")
    report = check_gradient(problem, **options)
    return replace(report, verb=verb, notes=(*notes, *report.notes))
