"""Every adapter keeps the Protocol, ours and other packages'; and the suite notices each method that does not."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import gradproof
from gradproof import adapters
from gradproof.adapters import _numpy
from gradproof.testing import check_adapter

LEAVES = [0.5, np.float32(0.5), np.arange(6.0).reshape(2, 3) / 7, np.ones((2, 1), np.float16), np.array([1j, 2.0])]


def test_numpys_adapter_keeps_the_protocol():
    column_major = np.asfortranarray(np.random.default_rng(0).standard_normal((3, 4)))
    check_adapter(_numpy.ADAPTER, [*LEAVES, column_major, np.complex64(1j), 2j, np.zeros((0, 2))])


def test_pytorchs_adapter_keeps_the_protocol():
    torch = pytest.importorskip("torch")
    from gradproof.adapters._torch import ADAPTER

    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64)
    check_adapter(ADAPTER, [torch.tensor(0.5), torch.randn(3, 4).T, *(torch.randn(3, 4).to(kind) for kind in kinds)])


def test_jaxs_adapter_keeps_the_protocol():
    jax = pytest.importorskip("jax")
    from gradproof.adapters._jax import ADAPTER

    values = jax.random.normal(jax.random.key(0), (3, 4))
    kinds = ("float32", "float16", "bfloat16", "complex64")
    check_adapter(ADAPTER, [jax.numpy.asarray(0.5), *(values.astype(kind) for kind in kinds)])
    with jax.enable_x64(True):
        check_adapter(ADAPTER, [jax.numpy.ones((3, 2)), jax.numpy.array([1j, 2])])


class Other(_numpy.NumpyAdapter):
    """NumPy's adapter with one method of another's."""

    def __init__(self, **methods):
        for name, method in methods.items():
            setattr(self, name, method)


NUMPY = _numpy.ADAPTER


@pytest.mark.parametrize(
    ("methods", "sentence"),
    [
        ({"name": ""}, "name is no string"),
        ({"copy": None}, "copy is missing"),
        ({"describe": lambda leaf: ((2, 3), "float64")}, "describe does not raise a TypeError"),
        ({"describe": lambda leaf: (list(NUMPY.describe(leaf)[0]), "float64")}, "no tuple of whole numbers"),
        ({"describe": lambda leaf: (NUMPY.describe(leaf)[0], "f8")}, "none of float64"),
        ({"to_flat": lambda leaf: np.float32(leaf).reshape(-1)}, "to_flat returns no flat array of float64"),
        ({"to_flat": NUMPY.flat_view}, "to_flat returns the leaf's own memory"),
        ({"to_flat": lambda leaf: np.array(leaf, dtype=float).T.reshape(-1)}, "C order"),
        ({"flat_view": lambda leaf: NUMPY.to_flat(leaf) + 1}, "flat_view returns other values"),
        ({"from_flat": lambda values, like: values}, "from_flat returns"),
        ({"from_flat": lambda values, like: NUMPY.copy(like)}, "from_flat does not return the values"),
        ({"copy": lambda leaf: leaf}, "copy returns the leaf's own memory"),
        ({"copy": lambda leaf: leaf + 1}, "copy returns other values"),
        ({"pairs": lambda leaf: None}, "pairs returns None for a leaf that describe refuses"),
        ({"from_pairs": lambda pairs, like: like.conj()}, "from_pairs does not return what pairs took apart"),
        ({"laid_out": lambda leaf, layout: leaf + 1}, 'laid_out returns other values for "F"'),
        ({"stacked": lambda values, like: values[:1]}, "stacked returns"),
        ({"vectorized": lambda function, axes: lambda point: point[0] + point[1]}, "vectorized returns a function"),
        ({"scalar": lambda value: (1.0, "float64")}, "scalar"),
        ({"to_flat": lambda leaf: 1 / 0}, "ZeroDivisionError"),
    ],
)
def test_each_method_that_misbehaves_is_named(methods, sentence):
    with pytest.raises(AssertionError, match="does not keep the Protocol") as caught:
        check_adapter(Other(**methods), LEAVES)
    assert sentence in str(caught.value)


def test_no_leaf_at_all_is_no_proof():
    with pytest.raises(AssertionError, match="nothing was checked"):
        check_adapter(NUMPY, [])


# --- an adapter of another package --------------------------------------------------------------------------------------

TOY = """
import numpy as np

from gradproof.adapters import kind_of
from gradproof.adapters._numpy import ADAPTER as NUMBERS


class Grid:
    '''An array type that is nobody's subclass.'''

    def __init__(self, values):
        self.values = np.array(values)

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)

    def __getitem__(self, index):
        return Grid(self.values[index])

    def __mul__(self, other):
        return Grid(self.values * other.values)

    def sum(self):
        return Grid(self.values.sum())


def opened(leaf):
    return leaf.values if isinstance(leaf, Grid) else leaf


class Adapter:
    name = "toy"

    def describe(self, leaf):
        return NUMBERS.describe(opened(leaf))

    def to_flat(self, leaf):
        return NUMBERS.to_flat(opened(leaf))

    def flat_view(self, leaf):
        return NUMBERS.flat_view(opened(leaf))

    def from_flat(self, values, like):
        return Grid(np.asarray(values, dtype=like.dtype).reshape(like.shape))

    def copy(self, leaf):
        return Grid(leaf.values)

    def pairs(self, leaf):
        return None

    def from_pairs(self, pairs, like):
        raise NotImplementedError

    def laid_out(self, leaf, layout):
        return leaf

    def vectorized(self, function, axes):
        return None

    def stacked(self, values, like):
        return Grid(np.asarray(values, dtype=like.dtype).reshape(len(values), *like.shape))

    def scalar(self, value):
        return NUMBERS.scalar(value.values[()] if isinstance(value, Grid) and not value.shape else opened(value))


ADAPTER = Adapter()
"""


@pytest.fixture
def installed(tmp_path):
    """Install the toy package beside nothing else: its module, and the entry point that announces it."""
    (tmp_path / "toygrid.py").write_text(TOY)
    about = tmp_path / "toygrid-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toygrid\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[gradproof.adapters]\ntoygrid = toygrid:ADAPTER\n")
    return tmp_path


def run(code, path):
    """Run code in a fresh interpreter that finds what is installed at the path."""
    prelude = f"import sys\nsys.path.insert(0, {str(path)!r})\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(code)], capture_output=True, text=True, check=False
    )


def test_an_adapter_that_another_package_installs_is_found_and_used(installed):
    found = run(
        """
        import numpy as np
        import gradproof, toygrid
        from gradproof.testing import check_adapter

        check_adapter(toygrid.ADAPTER, [toygrid.Grid(0.5), toygrid.Grid(np.ones((2, 3), np.float32))])
        point = {"a": toygrid.Grid([1.0, 2.0, 3.0]), "b": toygrid.Grid([0.5, 0.25, 2.0])}
        cost = lambda p: (p["a"] * p["a"] * p["b"]).sum()
        a, b = point["a"].values, point["b"].values
        right = gradproof.check_gradient(cost, point, {"a": 2 * a * b, "b": a**2}, seed=0)
        wrong = gradproof.check_gradient(cost, point, {"a": 2 * a * b, "b": 2 * a**2}, seed=0)
        print(right.verdict.name, wrong.verdict.name, wrong.faulty)
        """,
        installed,
    )
    assert found.stderr == ""
    assert found.stdout.split("\n")[0] == "CORRECT WRONG ('b',)"


def test_without_the_entry_point_nobody_knows_the_type(installed):
    (installed / "toygrid-1.0.dist-info" / "entry_points.txt").unlink()
    found = run(
        """
        import gradproof, toygrid

        try:
            gradproof.check_gradient(lambda p: (p * p).sum(), toygrid.Grid([1.0]), toygrid.Grid([2.0]))
        except gradproof.NotDifferentiable as error:
            print(error)
        """,
        installed,
    )
    assert found.stdout.startswith("point: a toygrid.Grid")


def test_an_adapter_that_cannot_be_loaded_is_named(installed):
    (installed / "toygrid-1.0.dist-info" / "entry_points.txt").write_text(
        "[gradproof.adapters]\ntoygrid = toygrid:MISSPELT\n"
    )
    found = run(
        """
        import gradproof, toygrid

        try:
            gradproof.check_gradient(lambda p: (p * p).sum(), toygrid.Grid([1.0]), toygrid.Grid([2.0]))
        except gradproof.MissingFramework as error:
            print(error)
        """,
        installed,
    )
    assert "MISSPELT" in found.stdout
    assert "toygrid:MISSPELT" in found.stdout


def test_other_packages_are_asked_only_about_types_that_we_do_not_know(monkeypatch):
    def entry_points(**_):
        raise AssertionError

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    adapters._of_others.cache_clear()
    assert adapters.adapter_for([("x", np.ones(2)), ("y", 2.0)]).name == "numpy"
    with pytest.raises(AssertionError):
        adapters.adapter_for([("x", gradproof.Verdict.CORRECT)])
    adapters._of_others.cache_clear()
