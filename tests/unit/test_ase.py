"""Forces and stresses of atoms: right calculators, and calculators that are wrong in known ways."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import gradproof as gp

pytest.importorskip("ase")

from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms, FixBondLength

from gradproof.ase import assert_forces, assert_stress, check_forces, check_stress


def copper(repeat=(1, 1, 1)):
    atoms = bulk("Cu", cubic=True) * repeat
    atoms.rattle(0.1, seed=1)
    atoms.calc = EMT()
    return atoms


def argon(**options):
    atoms = bulk("Ar", cubic=True, a=5.3) * (2, 2, 2)
    atoms.rattle(0.1, seed=1)
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.01, rc=8.0, **options)
    return atoms


class Springs(Calculator):
    """Springs between all pairs, with what a mistake does to forces and stress; NaN beyond a stretch."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, forces=1.0, stress=1.0, fails=False):
        super().__init__()
        self.factors, self.fails = (forces, stress), fails

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = self.atoms.get_positions()
        d = x[:, None] - x[None, :]
        r = np.sqrt(np.sum(d**2, axis=-1) + np.eye(len(x)))
        slope = np.where(np.eye(len(x)) > 0, 0, r - 1.5)
        forces = -np.sum((slope / r)[:, :, None] * d, axis=1)
        energy = 0.25 * np.sum(slope**2)
        if self.fails and energy > self.fails:
            raise RuntimeError("SCF did not converge")
        virial = -forces.T @ x
        voigt = (virial + virial.T)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / 2
        volume = self.atoms.get_volume() if self.atoms.cell.rank == 3 else 1.0
        self.results = {
            "energy": energy,
            "forces": self.factors[0] * forces,
            "stress": self.factors[1] * voigt / volume,
        }


def cluster(periodic=True, **wrong):
    x = np.random.default_rng(0).uniform(0, 3, size=(4, 3))
    atoms = Atoms("Ar4", positions=x, cell=[9.0, 9.0, 9.0] if periodic else None)
    atoms.calc = Springs(**wrong)
    return atoms


@pytest.mark.parametrize("make", [copper, lambda: copper((2, 1, 1)), argon, lambda: argon(smooth=True)])
def test_the_forces_and_stresses_of_ases_calculators_are_certified(make):
    report = assert_forces(make(), seed=1, strategy="certificate")
    assert (report.verb, report.blocks[0].name) == ("ase.check_forces", "positions")
    assert "gradproof.ase.check_forces(atoms, seed=1" in " ".join(str(report).split())
    assert assert_stress(make(), seed=1).blocks[0].shape == (6,)


def test_atoms_far_from_the_origin_are_displaced_no_further():
    near, far = copper(), copper()
    far.translate([1e4, -2e4, 3e4])
    one, other = (check_forces(atoms, seed=1, strategy="certificate") for atoms in (near, far))
    assert (one.verdict, other.verdict) == (gp.Verdict.CORRECT, gp.Verdict.CORRECT)
    assert "0.1 Å" in one.notes[0]


def test_wrong_forces_are_named():
    assert check_forces(cluster(), seed=1).verdict is gp.Verdict.CORRECT
    report = check_forces(cluster(forces=-1.0), seed=1)
    assert (report.verdict, report.diagnoses[0].cause) == (gp.Verdict.WRONG, gp.Cause.SIGN)
    with pytest.raises(gp.WrongGradient, match="2 × the true one"):
        assert_forces(cluster(forces=2.0), seed=1)


def test_a_wrong_stress_is_named():
    assert check_stress(cluster(), seed=1).verdict is gp.Verdict.CORRECT
    report = check_stress(cluster(stress=-1.0), seed=1)
    assert (report.verdict, report.diagnoses[0].cause) == (gp.Verdict.WRONG, gp.Cause.SIGN)
    shears = np.array([1, 1, 1, 2, 2, 2])  # a shear counted once for each of its two entries
    assert check_stress(cluster(stress=shears), seed=1).verdict is gp.Verdict.WRONG


def test_fixed_atoms_are_held():
    atoms = copper((2, 1, 1))
    atoms.set_constraint(FixAtoms([0, 3]))
    report = check_forces(atoms, seed=1)
    assert (report.verdict, report.blocks[0].shape) == (gp.Verdict.CORRECT, (6, 3))
    assert "2 atoms are fixed; the rows of positions are the atoms 1, 2, 4, 5, 6, 7." in report.notes
    assert len(atoms.constraints) == 1
    atoms.set_constraint(FixAtoms(range(len(atoms))))
    with pytest.raises(gp.UsageError, match="all of the 8 atoms are fixed"):
        check_forces(atoms)


def test_other_constraints_do_not_enter():
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=1)
    atoms.calc = EMT()
    atoms.set_constraint(FixBondLength(0, 1))
    report = check_forces(atoms, seed=1)
    assert report.verdict is gp.Verdict.CORRECT
    assert "not applied: FixBondLength" in report.notes[0]


def test_nothing_of_the_users_is_changed():
    atoms = copper()
    before = atoms.get_potential_energy(), atoms.get_positions(), atoms.cell.array.copy(), dict(atoms.calc.results)
    check_forces(atoms, seed=1)
    check_stress(atoms, seed=1)
    assert atoms.get_potential_energy() == before[0]
    assert np.array_equal(atoms.get_positions(), before[1])
    assert np.array_equal(atoms.cell.array, before[2])
    assert atoms.calc.results.keys() == before[3].keys()
    assert not atoms.calc.calculation_required(atoms, ["energy"])


class Uncopied(EMT):
    def __deepcopy__(self, memo):
        raise TypeError("a running program")


def test_a_calculator_that_cannot_be_copied_is_used_itself():
    atoms = copper()
    atoms.calc = Uncopied()
    report = check_forces(atoms, seed=1)
    assert report.verdict is gp.Verdict.CORRECT
    assert "could not be copied" in report.notes[1]


def test_displaced_atoms_that_cannot_be_calculated_are_told():
    atoms = cluster()
    limit = atoms.get_potential_energy() * 1.000001
    report = check_forces(cluster(fails=limit), seed=1)
    assert report.verdict is gp.Verdict.CORRECT  # by the side on which it converges
    assert "measured on one side" in " ".join(report.notes)
    report = check_forces(cluster(fails=limit), seed=1, strategy="certificate")
    assert report.verdict is gp.Verdict.CORRECT  # by shorter displacements
    assert "SCF did not converge" in " ".join(report.notes)


def test_what_cannot_be_checked_is_refused_in_a_sentence():
    atoms = molecule("H2O")
    with pytest.raises(gp.UsageError, match="the atoms have no calculator"):
        check_forces(atoms)
    with pytest.raises(gp.UsageError, match="check_forces has no option workers"):
        check_forces(copper(), workers=2)
    with pytest.raises(gp.UsageError, match="atoms is str"):
        check_forces("H2O")
    atoms.calc = EMT()
    with pytest.raises(gp.UsageError, match="the cell has 0 of three axes"):
        check_stress(atoms)
    atoms = cluster()
    atoms.calc = Springs()
    atoms.calc.implemented_properties = ("energy", "forces")
    with pytest.raises(gp.UsageError, match="stress of Springs"):
        check_stress(atoms)


def test_importing_it_loads_no_ase():
    code = "import sys, gradproof.ase; assert 'ase' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
