"""The house rules that a machine can see: imports point strictly down, and each side effect has one door.

The floors are those of ARCHITECTURE.md, and so is the order inside each room. Every rule is a function from sources to
sentences about what breaks it, and each is fed a synthetic offender, so that a rule which has gone blind is noticed.
Rules that the sources do not keep yet are ratchets: what breaks them is counted, and the count may only fall.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

PACKAGE = "gradproof"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE
UNIT_TESTS = Path(__file__).parent / "unit"
MOST_ENTRIES = 22
"""Files and rooms on the top floor of the package."""

BOTTOM_UP = [  # the same table stands in ARCHITECTURE.md, and a test compares them
    "_words",
    "_numerics",
    "adapters reports",
    "_problem",
    "_evaluation",
    "_evidence _diagnosis",
    "_examination",
    "_verbs",
    "torch jax course monitor ase statsmodels testing __init__",
    "compat",
    "_command_line",
]
FLOORS = {name: floor for floor, names in enumerate(BOTTOM_UP) for name in names.split()}

ORDER = {  # inside a room a file imports from files to its left only; ARCHITECTURE.md has its lines in the same order
    "_words": "vectors precision errors settings directions events codec results",
    "_numerics": "statistics formulas noise tables kinks steps projections readings witnesses lines",
    "adapters": "__init__ _containers _numpy _torch _jax",
    "reports": "_layout _numbers _sections _comparison _changes _progress _tables _text _page _terminal __init__",
    "_problem": "blocks outputs problem taps views answers scales structure contractions called claims linearity jacobians leaves differences tangents held",
    "_evaluation": "seen site engine batches journal pools workers supply coordinate_lines map_batches lines",
    "_evidence": "ledger evidence zero looks certificate search columns column_groups",
    "_diagnosis": "mistakes mutations evidence telling fitting frames residue decoding causes parts naming",
    "_examination": "study certification enumeration explanation steps conclusion examination self_test measurement "
    "dot_test maps map_tests map_hypotheses map_report map_faults map_columns map_groups check_maps",
    "_verbs": "assertions gradient maps adjoint derivatives modes scipy",
    "torch": "_randomness _autograd _inputs _parameters _reference _borrowed _evaluation _reports _modules _functions __init__",
    "jax": "_errors _values _arguments _compilation _findings _functions _reference _coordinates _derivatives _check __init__",
    "testing": "_conformance _gallery __init__",
    "compat": "__init__ _outcome torch jax autograd scipy _shadow",
    "_command_line": "problem_file story kept_runs app __main__",
}

LAZY = {("_words.results", "reports")}
"""The one declared import against the direction, made inside a function: print(report)."""

METHOD = {"_numerics", "_evaluation", "_evidence", "_examination"}
"""Rooms whose numbers govern the method."""

OUTSIDE = re.compile(r"(^|\.)(print|open|write_text|write_bytes|read_text|read_bytes)$|^sys\.std(out|err)\.")
"""Calls that reach a terminal or a file."""

FRAMEWORKS = {"torch", "jax", "jaxlib", "tensorflow", "keras", "flax", "mlx", "cupy", "paddle", "autograd", "tinygrad"}


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported module, and how: at import time, inside a function, or for the type checker only."""

    module: str
    line: int
    lazy: bool = False
    typing_only: bool = False


# --- reading the sources ----------------------------------------------------------------------------------------------


def sources() -> dict[str, str]:
    """Return the text of every module by its dotted name within the package."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path.read_text("utf-8")
    return found


def room(module: str) -> str:
    """Return what has a floor: the top-level module or package. `__main__` is the front door of the command line."""
    return "_command_line" if module == "__main__" else module.split(".", maxsplit=1)[0]


def place(module: str) -> str:
    """Return the name by which a module stands in the order of its room."""
    return module.split(".", maxsplit=1)[1] if "." in module else module if module == "__main__" else "__init__"


def imports(module: str, text: str, modules: set[str]) -> Iterator[Import]:
    """Yield the imports of a module; `from gradproof import _x` is resolved to the module _x where there is one."""

    def resolve(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            return
        base = node.module or ""
        if node.level:
            above = [PACKAGE, *module.split(".")]
            if module not in {name.rpartition(".")[0] for name in modules}:  # a module, not a package
                above.pop()
            base = ".".join([*above[: len(above) - node.level + 1], *([base] if base else [])])
        for alias in node.names:
            full = f"{base}.{alias.name}"
            yield full if full.removeprefix(f"{PACKAGE}.") in modules else base

    def visit(node: ast.AST, *, lazy: bool, typing_only: bool) -> Iterator[Import]:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for name in resolve(node):
                yield Import(name, node.lineno, lazy, typing_only)
        if isinstance(node, ast.If) and ast.unparse(node.test).split(".")[-1] == "TYPE_CHECKING":
            for child in node.body:
                yield from visit(child, lazy=lazy, typing_only=True)
            for child in node.orelse:
                yield from visit(child, lazy=lazy, typing_only=typing_only)
            return
        inside = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, lazy=inside, typing_only=typing_only)

    yield from visit(ast.parse(text), lazy=False, typing_only=False)


def own(name: str) -> str | None:
    """Return the name within the package, "__init__" for the package itself, None for what is not ours."""
    if name == PACKAGE:
        return "__init__"
    return name.removeprefix(f"{PACKAGE}.") if name.startswith(f"{PACKAGE}.") else None


# --- the rules --------------------------------------------------------------------------------------------------------


def floor_violations(texts: dict[str, str]) -> list[str]:
    """Find modules without a floor, and imports between rooms that do not point strictly down."""
    found = []
    for module, text in texts.items():
        here = room(module)
        if here not in FLOORS:
            found.append(f"{module} has no floor: add its room to the table here and in ARCHITECTURE.md")
            continue
        for item in imports(module, text, set(texts)):
            target = own(item.module)
            if target is None or item.typing_only or room(target) == here:
                continue
            if item.lazy and (module, room(target)) in LAZY:
                continue
            if FLOORS.get(room(target), 99) >= FLOORS[here]:
                found.append(f"{module}:{item.line} imports {target}, which is not below it")
    return found


def order_violations(texts: dict[str, str]) -> list[str]:
    """Find files without a place in the order of their room, and imports that point to the right of it."""
    found = []
    for module, text in texts.items():
        here = room(module)
        order = [*(["__init__"] if here.startswith("_") else []), *ORDER.get(here, "__init__").split()]
        if place(module) not in order:
            found.append(f"{module} has no place in its room: add it to the order here and in ARCHITECTURE.md")
            continue
        for item in imports(module, text, set(texts)):
            target = own(item.module)
            if target is None or item.typing_only or room(target) != here or target == module:
                continue
            if place(target) not in order or order.index(place(target)) >= order.index(place(module)):
                found.append(f"{module}:{item.line} imports {target}, which is not before it in the room")
    return found


def entrance_violations(texts: dict[str, str]) -> list[str]:
    """Find private rooms whose `__init__` does more than say what the room is for."""
    return [
        f"{module}:{node.lineno} has more than its docstring"
        for module, text in texts.items()
        if module in ORDER and module.startswith("_")
        for node in ast.parse(text).body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]


def numerics_violations(texts: dict[str, str]) -> list[str]:
    """Find what `_numerics` imports beside the words, the standard library, NumPy and SciPy."""
    known = {PACKAGE, "numpy", "scipy", *sys.stdlib_module_names}
    return [
        f"{module}:{item.line} imports {item.module}"
        for module, text in texts.items()
        if room(module) == "_numerics"
        for item in imports(module, text, set(texts))
        if item.module.split(".")[0] not in known
    ]


def reports_violations(texts: dict[str, str]) -> list[str]:
    """Find what the reports import of ours beside the words and `within`."""
    return [
        f"{module}:{item.line} imports {target}"
        for module, text in texts.items()
        if room(module) == "reports"
        for item in imports(module, text, set(texts))
        if (target := own(item.module)) is not None
        and room(target) not in {"_words", "reports"}
        and target != "_numerics.statistics"
    ]


def cycles(texts: dict[str, str]) -> list[str]:
    """Find modules that import themselves at import time, by way of others of the same package."""
    graph = {
        module: {
            target
            for item in imports(module, text, set(texts))
            if not (item.lazy or item.typing_only) and (target := own(item.module)) in texts and target != module
        }
        for module, text in texts.items()
    }

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(graph[start])
        while todo:
            module = todo.pop()
            if module not in seen:
                seen.add(module)
                todo.extend(graph[module])
        return seen

    return [f"{module} imports itself" for module in graph if module in reachable(module)]


def framework_violations(texts: dict[str, str]) -> list[str]:
    """Find imports of a framework outside the adapter and the surface that are named after it."""
    return [
        f"{module}:{item.line} imports {item.module}"
        for module, text in texts.items()
        for item in imports(module, text, set(texts))
        if not item.typing_only
        and (root := item.module.split(".")[0]) in FRAMEWORKS
        and module != f"adapters._{root.removesuffix('lib')}"
        and room(module) != root
        and module != f"compat.{root}"
    ]


def closeness_violations(texts: dict[str, str]) -> list[str]:
    """Find any mention of the comparisons that hide their tolerance."""
    return [
        f"{module} has {match[0]}"
        for module, text in texts.items()
        for match in re.finditer(r"\w*(?:all|is)close\b", text)
    ]


def clock_violations(texts: dict[str, str]) -> list[str]:
    """Find modules below the verbs that read a clock; the flow of the verbs for maps, and the reports, may."""
    return [
        f"{module}:{item.line} imports {item.module}"
        for module, text in texts.items()
        for item in imports(module, text, set(texts))
        if item.module.split(".")[0] in {"time", "datetime"}
        and FLOORS.get(room(module), 0) < FLOORS["_verbs"]
        and room(module) != "reports"
        and module != "_examination.check_maps"
    ]


def terminal_violations(texts: dict[str, str]) -> list[str]:
    """Find modules below the surfaces, other than the reports, that print, or open a file."""
    return [
        f"{module}:{node.lineno} prints, or opens a file"
        for module, text in texts.items()
        if FLOORS.get(room(module), 0) < FLOORS["course"] and room(module) != "reports"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and OUTSIDE.search(ast.unparse(node.func))
    ]


def randomness_violations(texts: dict[str, str]) -> list[str]:
    """Find random numbers that do not come from [seed, a constant that keeps our streams apart from the users'].

    `course` alone draws the known numbers' legacy stream.
    """
    found = []
    for module, text in texts.items():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            if name.split(".")[-1] == "default_rng":
                seeded = len(node.args) == 1 and isinstance(node.args[0], (ast.List, ast.Constant))
            else:
                seeded = not re.fullmatch(r"((np|numpy)\.)?random\.\w+", name) or module == "course"
            if not seeded:
                found.append(f"{module}:{node.lineno} draws from {ast.unparse(node)}")
    return found


def door_violations(texts: dict[str, str]) -> list[str]:
    """Find modules other than the engines that call the cost of a problem, or its claim.

    A function that wraps the cost into another problem's, for that one's engine to call and count, is no caller.
    """
    return [
        f"{module}:{node.lineno} calls {ast.unparse(node.func)}"
        for module, text in texts.items()
        if module not in {"_evaluation.engine", "_evaluation.site"}
        for node in _calls_made_here(ast.parse(text))
        if re.search(r"\bproblem\.(cost|claimed)$", ast.unparse(node.func))
    ]


def _calls_made_here(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield all calls but those in lambdas and in functions within functions."""

    def visit(node: ast.AST, *, inside: bool) -> Iterator[ast.Call]:
        for child in ast.iter_child_nodes(node):
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            if function and inside:
                continue
            if isinstance(child, ast.Call):
                yield child
            yield from visit(child, inside=inside or function)

    yield from visit(tree, inside=False)


RULES = [
    floor_violations,
    order_violations,
    entrance_violations,
    numerics_violations,
    reports_violations,
    cycles,
    framework_violations,
    closeness_violations,
    clock_violations,
    terminal_violations,
    randomness_violations,
    door_violations,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_sources_keep_the_rule(rule):
    assert rule(sources()) == []


def test_the_sources_are_really_read():
    texts = sources()
    assert {"__init__", "_words.errors", "_words.results", "course", "adapters", "reports", "_numerics"} <= set(texts)
    seen = {own(item.module) for item in imports("course", texts["course"], set(texts))}
    assert {"_words.errors", "_words.results", "_verbs.gradient"} <= seen


INNOCENT = dict.fromkeys(
    [
        "__init__",
        "_words",
        "_words.errors",
        "_words.results",
        "_evaluation",
        "_evaluation.engine",
        "_evidence",
        "reports",
        "adapters",
        "adapters._numpy",
    ],
    "",
)


@pytest.mark.parametrize(
    ("rule", "module", "text"),
    [
        pytest.param(floor_violations, "_words.errors", "from gradproof._evaluation.engine import x", id="upwards"),
        pytest.param(floor_violations, "_words.errors", "import gradproof._evaluation.engine", id="upwards, plain"),
        pytest.param(floor_violations, "_words.errors", "from gradproof._evaluation import engine", id="from the room"),
        pytest.param(floor_violations, "_words.errors", "from gradproof import _evaluation", id="from the package"),
        pytest.param(floor_violations, "_words.errors", "from .._evaluation import engine", id="upwards, relative"),
        pytest.param(floor_violations, "adapters._numpy", "from .._evaluation.engine import x", id="out of a package"),
        pytest.param(floor_violations, "_evidence.evidence", "from gradproof._diagnosis import x", id="sideways"),
        pytest.param(floor_violations, "adapters._numpy", "from gradproof import reports", id="sideways, public"),
        pytest.param(floor_violations, "_words.errors", "def f():\n    from gradproof import reports", id="lazily"),
        pytest.param(floor_violations, "_words.results", "from gradproof import reports", id="the lazy one, at once"),
        pytest.param(
            floor_violations, "_evaluation.engine", "from gradproof import check_gradient", id="the public names"
        ),
        pytest.param(floor_violations, "_utils", "", id="a module without a floor"),
        pytest.param(floor_violations, "_utils.helpers", "", id="a room without a floor"),
        pytest.param(
            floor_violations, "_words.errors", "from gradproof._utils import x", id="an import without a floor"
        ),
        pytest.param(
            floor_violations,
            "_words.errors",
            "if TYPE_CHECKING:\n    pass\nelse:\n    from gradproof._evaluation import engine",
            id="the other branch",
        ),
        pytest.param(order_violations, "_words.errors", "from gradproof._words import results", id="to the right"),
        pytest.param(order_violations, "_words.errors", "from gradproof._words.results import x", id="a name of it"),
        pytest.param(order_violations, "_words.errors", "from . import results", id="to the right, relative"),
        pytest.param(
            order_violations, "_words.errors", "def f():\n    from .results import x", id="to the right, lazily"
        ),
        pytest.param(order_violations, "adapters", "from gradproof.adapters import _numpy", id="from a public room"),
        pytest.param(
            order_violations, "_words.results", "from gradproof._words.others import x", id="what is not there"
        ),
        pytest.param(order_violations, "_words.others", "", id="a file without a place"),
        pytest.param(entrance_violations, "_words", "from gradproof._words.errors import UsageError", id="an entrance"),
        pytest.param(entrance_violations, "_evidence", '"""Words."""\nMOST = 3', id="an entrance with a number"),
        pytest.param(numerics_violations, "_numerics.noise", "import optree", id="another dependency"),
        pytest.param(
            numerics_violations, "_numerics.noise", "def f():\n    import rich.text", id="another one, lazily"
        ),
        pytest.param(reports_violations, "reports._text", "from gradproof import adapters", id="reports of adapters"),
        pytest.param(reports_violations, "reports._text", "from gradproof._numerics.noise import x", id="of numerics"),
        pytest.param(cycles, "_words.errors", "from gradproof import _loop", id="a cycle"),
        pytest.param(framework_violations, "_verbs.gradient", "import torch.nn", id="a framework"),
        pytest.param(framework_violations, "_verbs.gradient", "def f():\n    from jax import numpy", id="one, lazily"),
        pytest.param(framework_violations, "adapters._torch", "import jax", id="another adapter's framework"),
        pytest.param(
            closeness_violations, "_evidence.evidence", "np.testing.assert_allclose(a, b)", id="assert_allclose"
        ),
        pytest.param(closeness_violations, "_evidence.evidence", "from math import isclose", id="isclose"),
        pytest.param(clock_violations, "_evaluation.engine", "from time import perf_counter", id="a clock"),
        pytest.param(clock_violations, "_examination.examination", "import time", id="a clock, a floor below"),
        pytest.param(terminal_violations, "_evaluation.engine", "print(1)", id="print"),
        pytest.param(terminal_violations, "_verbs.gradient", "sys.stdout.write('')", id="stdout"),
        pytest.param(terminal_violations, "_words.results", "Path('x').write_text('')", id="a file"),
        pytest.param(randomness_violations, "_numerics.noise", "np.random.default_rng()", id="no seed"),
        pytest.param(randomness_violations, "_numerics.noise", "default_rng(seed)", id="the users' own stream"),
        pytest.param(randomness_violations, "_numerics.noise", "np.random.rand(3)", id="the global generator"),
        pytest.param(door_violations, "_evidence.certificate", "def f(problem):\n    problem.cost(0)", id="the cost"),
        pytest.param(
            door_violations, "_evidence.certificate", "def f(self):\n    self.problem.claimed(0)", id="the claim"
        ),
    ],
)
def test_each_rule_notices_an_offender(rule, module, text):
    innocent = dict(INNOCENT)
    if rule is cycles:
        innocent["_loop"] = "import gradproof._words.errors"
    assert rule(innocent) == []
    assert len(rule(innocent | {module: text})) >= 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("_words.results", "from gradproof._words import errors"),
        ("_words.results", "def f():\n    from gradproof.reports import to_text"),
        ("_words.errors", "if TYPE_CHECKING:\n    from gradproof._words.results import Report"),
        ("_words.errors", "if typing.TYPE_CHECKING:\n    import torch"),
        ("_words", '"""What everybody says."""'),
        ("_numerics.noise", "import math\nimport numpy as np\nfrom scipy.special import ndtri"),
        ("adapters._numpy", "from gradproof.adapters import Adapter"),
        ("adapters._torch", "import torch"),
        ("adapters._jax", "import jaxlib"),
        ("_evaluation.engine", "import concurrent.futures"),
        ("_evaluation.engine", "def f(problem):\n    problem.cost(0)"),
        ("_examination.map_faults", "def f(problem):\n    return lambda p: 2 * problem.cost(p)"),
        ("_examination.check_maps", "import time"),
        ("_numerics.noise", "np.random.default_rng([seed, 7])"),
        ("reports._text", "from gradproof._numerics.statistics import within"),
        ("reports", "from gradproof.reports._text import to_text"),
        ("course", "np.random.RandomState(1)"),
        ("_command_line.app", "from gradproof import check_gradient, course"),
        ("__main__", "from gradproof._command_line.app import main"),
    ],
)
def test_what_is_allowed_is_not_complained_about(module, text):
    texts = INNOCENT | {"course": "", "_numerics.statistics": "", "reports._text": "", "_command_line.app": ""}
    assert [sentence for rule in RULES for sentence in rule(texts | {module: text})] == []


def test_the_top_floor_is_small():
    entries = [path.name for path in SOURCE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES, entries


# --- ratchets: rules that are not kept yet ----------------------------------------------------------------------------


def foreign_assignments(texts: dict[str, str]) -> list[str]:
    """Find assignments to an attribute of anything but `self`, outside the study that phases fill."""
    return [
        f"{module}:{node.lineno} sets {ast.unparse(node)}"
        for module, text in texts.items()
        if module != "_examination.study"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, (ast.Store, ast.Del))
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]


def questions_to_claims(texts: dict[str, str]) -> list[str]:
    """Find claims that are asked what they are."""
    trees = {module: ast.parse(text) for module, text in texts.items()}
    classes = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    claims = {"Claim", "VjpClaim", "JvpClaim", "MatrixClaim"}
    while found := {c.name for c in classes if claims & {ast.unparse(base) for base in c.bases}} - claims:
        claims |= found
    return [
        f"{module}:{node.lineno} asks {ast.unparse(node)}"
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"isinstance", "issubclass"}
        and claims & set(re.findall(r"\w+", ast.unparse(node.args[-1])))
    ]


def verdicts_made_elsewhere(texts: dict[str, str]) -> list[str]:
    """Find verdicts and reports that are made outside the decision and the conclusion.

    A verdict that is compared with, looked up in a table, or has its place in an order of them, is not made there.
    """

    def is_verdict(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Verdict"

    def made(node: ast.AST) -> Iterator[ast.AST]:
        if isinstance(node, ast.Compare) or (
            isinstance(node, (ast.Tuple, ast.List)) and all(map(is_verdict, node.elts))
        ):
            return
        if is_verdict(node):
            yield node
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Report":
            yield node.func
        for child in ast.iter_child_nodes(node):
            if not (isinstance(node, ast.Dict) and child in node.keys):
                yield from made(child)

    return [
        f"{module}:{node.lineno} makes a {ast.unparse(node)}"
        for module, text in texts.items()
        if module not in {"_evidence.evidence", "_examination.conclusion"}
        for node in made(ast.parse(text))
    ]


def _lines(node: ast.AST) -> int:
    """Count the lines of a function or class, without its docstring where it is a function's."""
    first = node.body[0]
    doc = ast.get_docstring(node) is not None and not isinstance(node, ast.ClassDef)
    return node.end_lineno - node.lineno + 1 - (first.end_lineno - first.lineno + 1 if doc else 0)


def long_files(texts: dict[str, str]) -> list[str]:
    """Find files of more than 450 lines."""
    return [f"{module} has {n} lines" for module, text in texts.items() if (n := len(text.splitlines())) > 450]


def long_classes(texts: dict[str, str]) -> list[str]:
    """Find classes of more than 300 lines."""
    return [
        f"{module}.{node.name} has {_lines(node)} lines"
        for module, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef) and _lines(node) > 300
    ]


def long_functions(texts: dict[str, str]) -> list[str]:
    """Find functions of more than 60 lines without their docstring."""
    return [
        f"{module}.{node.name} has {_lines(node)} lines"
        for module, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _lines(node) > 60
    ]


def files_without_a_unit_test(texts: dict[str, str]) -> list[str]:
    """Find files of the numerics, the evaluation and the evidence that have no unit test of their name."""
    return [
        f"{module} has no tests/unit/{here}/test_{place(module)}.py"
        for module in texts
        if room(module) in {"_numerics", "_evaluation", "_evidence"}
        and "." in module
        and not (UNIT_TESTS / (here := room(module).removeprefix("_")) / f"test_{place(module)}.py").exists()
    ]


def _numbers(text: str) -> Iterator[tuple[str, str, int, bool]]:
    """Yield the numbers of a module: name, value, line, and whether a docstring follows."""
    body = ast.parse(text).body
    for node, after in itertools.zip_longest(body, body[1:]):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if not isinstance(target, ast.Name) or not re.search(r"(?<![\w.])\d", value := ast.unparse(node.value)):
            continue
        told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        yield target.id, value, node.lineno, told


def numbers_without_a_docstring(texts: dict[str, str]) -> list[str]:
    """Find numbers of the method of which nothing is said."""
    return [
        f"{module}:{line} does not say what {name} is"
        for module, text in texts.items()
        if room(module) in METHOD
        for name, _, line, told in _numbers(text)
        if not told
    ]


def names_with_two_values(texts: dict[str, str]) -> list[str]:
    """Find names that stand for two numbers of the method."""
    values: dict[str, set[str]] = {}
    for module, text in texts.items():
        if room(module) in METHOD:
            for name, value, _, _ in _numbers(text):
                values.setdefault(name, set()).add(value)
    return [f"{name} is {', '.join(sorted(found))}" for name, found in values.items() if len(found) > 1]


RATCHETS = {  # how many offences there are today; lower a number as soon as there are fewer, and never raise one
    foreign_assignments: 67,
    questions_to_claims: 25,
    verdicts_made_elsewhere: 17,
    long_files: 8,
    long_classes: 6,
    long_functions: 0,
    files_without_a_unit_test: 11,
    numbers_without_a_docstring: 26,
    names_with_two_values: 10,
}


def turned_back(found: list[str], allowed: int) -> str | None:
    """Say what is wrong with a ratchet: more offences than allowed, or fewer than the table still allows."""
    if len(found) > allowed:
        return "\n".join([f"{len(found)} offences, {allowed} before; all of them:", *found])
    if len(found) < allowed:
        return f"{len(found)} offences, {allowed} before: lower the number in RATCHETS"
    return None


@pytest.mark.parametrize("rule", RATCHETS, ids=lambda rule: rule.__name__)
def test_a_rule_that_is_not_kept_yet_is_broken_no_more_often_than_before(rule):
    assert turned_back(rule(sources()), RATCHETS[rule]) is None


def test_a_ratchet_turns_neither_back_nor_unseen():
    assert turned_back(["one", "two"], 2) is None
    assert "two" in turned_back(["one", "two"], 1)
    assert "lower the number" in turned_back(["one"], 2)


@pytest.mark.parametrize(
    ("rule", "module", "text"),
    [
        pytest.param(foreign_assignments, "_evidence.search", "def f(study):\n    study.verdict = 1", id="set"),
        pytest.param(foreign_assignments, "_evidence.search", "def f(self):\n    self.engine.n += 1", id="counted up"),
        pytest.param(foreign_assignments, "_evidence.search", "def f(a):\n    a.x, b = 1, 2", id="unpacked"),
        pytest.param(questions_to_claims, "_evidence.search", "isinstance(c, (VjpClaim, JvpClaim))", id="a claim"),
        pytest.param(
            questions_to_claims, "_evidence.search", "class A(VjpClaim): pass\nisinstance(c, A)", id="a claim's child"
        ),
        pytest.param(verdicts_made_elsewhere, "_evidence.search", "a = Verdict.WRONG", id="a verdict"),
        pytest.param(verdicts_made_elsewhere, "_evidence.search", "f(v=Verdict.WRONG if x else None)", id="given on"),
        pytest.param(verdicts_made_elsewhere, "_evidence.search", "return_ = Report(verdict=v)", id="a report"),
        pytest.param(long_files, "_evidence.search", "a = 1\n" * 451, id="a file"),
        pytest.param(long_classes, "_evidence.search", "class A:\n" + "    a = 1\n" * 300, id="a class"),
        pytest.param(
            long_functions, "_evidence.search", "def f():\n    '''F.'''\n" + "    a = 1\n" * 60, id="a function"
        ),
        pytest.param(files_without_a_unit_test, "_evidence.nothing", "", id="a file without a test"),
        pytest.param(numbers_without_a_docstring, "_evidence.search", "MANY: Final = 8", id="a number"),
        pytest.param(
            names_with_two_values,
            "_evidence.search",
            "MANY = 8\n'''.'''\nMANY = 9.5\n'''.'''",
            id="a name with two numbers",
        ),
    ],
)
def test_each_ratchet_notices_an_offender(rule, module, text):
    assert rule(INNOCENT) == []
    assert len(rule(INNOCENT | {module: text})) == 1


@pytest.mark.parametrize(
    ("rule", "module", "text"),
    [
        (foreign_assignments, "_evidence.search", "def f(self):\n    self.a = b.c\n    b['k'] = 1"),
        (foreign_assignments, "_examination.study", "def f(study):\n    study.verdict = 1"),
        (questions_to_claims, "_evidence.search", "isinstance(claim, np.ndarray)"),
        (verdicts_made_elsewhere, "_evidence.search", "a = v is Verdict.WRONG or {Verdict.WRONG: 1}[v]"),
        (verdicts_made_elsewhere, "_evidence.search", "a = max(v, key=[Verdict.CORRECT, Verdict.WRONG].index)"),
        (verdicts_made_elsewhere, "_evidence.evidence", "a = Verdict.WRONG"),
        (long_files, "_evidence.search", "a = 1\n" * 450),
        (long_classes, "_evidence.search", "class A:\n" + "    a = 1\n" * 299),
        (long_functions, "_evidence.search", "def f():\n    '''F.'''\n" + "    a = 1\n" * 59),
        (files_without_a_unit_test, "_evidence.evidence", ""),
        (
            numbers_without_a_docstring,
            "_evidence.search",
            "MANY: Final = 8\n'''Of them.'''\nFloats = NDArray[np.float64]",
        ),
        (names_with_two_values, "_evidence.search", "MANY = 8\nMANY = 8"),
    ],
)
def test_what_a_ratchet_does_not_count(rule, module, text):
    assert rule(INNOCENT | {module: text}) == []


# --- what `import gradproof` loads ------------------------------------------------------------------------------------


def loaded_by(statements: str, *, path: Path | None = None) -> set[str]:
    """Run statements in a fresh interpreter and return the modules it has loaded then."""
    code = f"import sys\n{f'sys.path.insert(0, {str(path)!r})' if path else ''}\n{statements}\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines())


AT_ONCE = {
    "_words",
    "_words.vectors",
    "_words.precision",
    "_words.errors",
    "_words.settings",
    "_words.directions",
    "_words.events",
    "_words.codec",
    "_words.results",
    "adapters",
    "adapters._containers",
    "_problem",
    "_problem.blocks",
    "_problem.problem",
    "_problem.taps",
    "_verbs",
    "_verbs.assertions",
    "_verbs.gradient",
    "_verbs.maps",
    "_verbs.adjoint",
    "_verbs.derivatives",
    "_verbs.scipy",
}
"""What of gradproof `import gradproof` loads; the method is loaded by the first check."""


def heavy(modules: set[str]) -> set[str]:
    """Pick the modules that `import gradproof` shall not load: frameworks, SciPy's submodules, other dependencies."""
    late = {"optree", "rich", "typer", *FRAMEWORKS}
    return {name for name in modules if name.split(".")[0] in late or name.startswith("scipy.")}


def method(modules: set[str]) -> set[str]:
    """Pick the modules of gradproof that are to be loaded where they are used."""
    return {name for module in modules if (name := own(module)) not in {None, "__init__", *AT_ONCE}}


def test_importing_gradproof_loads_no_framework_and_no_scipy_submodule():
    modules = loaded_by("import gradproof")
    assert "gradproof._verbs.gradient" in modules
    assert heavy(modules) == set()


def test_importing_gradproof_does_not_load_the_method():
    assert method(loaded_by("import gradproof")) == set()


def test_that_proof_can_fail_for_scipy():
    assert "scipy.special" in heavy(loaded_by("import gradproof, scipy.special"))


def test_that_proof_can_fail_for_the_method():
    check = "import gradproof; gradproof.check_gradient(lambda x: x * x, 1.0, 2.0, seed=0)"
    modules = loaded_by(check)
    assert {"_evaluation.engine", "_numerics.lines", "_examination.examination"} <= method(modules)
    assert "optree" in heavy(modules)


def test_that_proof_can_fail_for_a_framework(tmp_path):
    (tmp_path / "torch.py").write_text("")
    assert heavy(loaded_by("import gradproof, torch", path=tmp_path)) == {"torch"}


# --- ARCHITECTURE.md --------------------------------------------------------------------------------------------------


def written_floors(text: str) -> list[set[str]]:
    """Read the table of floors, bottom up: lines of a number, names one blank apart, and words after two blanks."""
    lines = re.findall(r"^ *(\d+)  (\w+(?: \w+)*)(?:  .*)?$", text, re.MULTILINE)
    return [set(names.split()) for _, names in sorted(lines, key=lambda line: int(line[0]))]


def written_tree(text: str) -> dict[str, list[str]]:
    """Read the tree: what is said of each entry of the package, and the files of a room in their order."""
    tree: dict[str, list[str]] = {}
    for inner, name in re.findall(r"^    │   (│?   )?[├└]── (\w+)(?:\.py|/) +\S", text, re.MULTILINE):
        if inner:
            tree[list(tree)[-1]].append(name)
        else:
            tree[name] = []
    return tree


def architecture() -> str:
    return (SOURCE.parents[1] / "ARCHITECTURE.md").read_text("utf-8")


def test_the_table_of_floors_is_the_one_of_the_architecture():
    assert written_floors(architecture()) == [set(names.split()) for names in BOTTOM_UP]


def test_every_room_and_every_file_of_a_private_room_has_its_line_in_the_tree_in_its_order():
    tree = written_tree(architecture())
    assert set(tree) == {"__main__", *FLOORS}
    private = {name: order.split() for name, order in ORDER.items() if name.startswith("_")}
    private["_command_line"].remove("__main__")
    assert {name: files for name, files in tree.items() if files} == private


@pytest.mark.parametrize("name", [name for name in ORDER if name.startswith("_")])
def test_a_private_room_says_its_order_at_its_entrance(name):
    text = " ".join(sources()[name].split())
    assert re.findall(r"\w+", text.rpartition("Order:")[2]) == [
        file for file in ORDER[name].split() if file != "__main__"
    ]


def test_no_floor_and_no_order_names_what_is_not_there():
    modules = set(sources())
    assert set(FLOORS) - {room(module) for module in modules} == set()
    assert {(here, file) for here, files in ORDER.items() for file in files.split()} == {
        (room(module), place(module))
        for module in modules
        if room(module) in ORDER and not (module in ORDER and module.startswith("_"))
    }


def test_a_changed_table_is_noticed():
    text = "    1  _b _c      what\n    0  _a\n"
    assert written_floors(text) == [{"_a"}, {"_b", "_c"}]
    assert written_floors(text.replace("_c", "_d")) == [{"_a"}, {"_b", "_d"}]


def test_a_changed_tree_is_noticed():
    text = "    │   ├── _a/   what\n    │   │   ├── b.py   what\n    │   │   └── c.py   what\n    │   └── d.py   what\n"
    assert written_tree(text) == {"_a": ["b", "c"], "d": []}
    assert written_tree(text.replace("b.py   what", "b.py")) == {"_a": ["c"], "d": []}


# --- docs/constants.md ------------------------------------------------------------------------------------------------


def written_numbers(page: str) -> dict[str, str]:
    """Read the tables of numbers: `file.NAME` and its value, of those lines that say where it comes from."""
    return dict(re.findall(r"^\| `(\w+\.\w+)` \| `(.+?)` \| \S.* \|$", page, re.MULTILINE))


def constants_violations(texts: dict[str, str], page: str) -> list[str]:
    """Find numbers of the numerics and the evidence without a line, lines without a number, and other values."""
    numbers = {
        f"{place(module)}.{name}": value
        for module, text in texts.items()
        if room(module) in {"_numerics", "_evidence"}
        for name, value, _, _ in _numbers(text)
        if name.isupper()
    }
    written = written_numbers(page)
    return [
        *(f"{name} = {numbers[name]} has no line" for name in numbers.keys() - written.keys()),
        *(f"{name} has a line, and is not there" for name in written.keys() - numbers.keys()),
        *(
            f"{name} is {numbers[name]}, written is {written[name]}"
            for name in numbers.keys() & written.keys()
            if numbers[name] != written[name]
        ),
    ]


def test_every_number_of_the_method_has_its_line():
    page = (SOURCE.parents[1] / "docs" / "constants.md").read_text("utf-8")
    assert constants_violations(sources(), page) == []
    assert len(written_numbers(page)) > 100


def test_a_number_without_its_line_is_noticed():
    texts, page = {"_evidence.search": "MANY: Final = 8"}, "| `search.MANY` | `8` | not measured |\n"
    assert constants_violations(texts, page) == []
    assert "no line" in constants_violations(texts, "")[0]
    assert "no line" in constants_violations(texts, page.replace("not measured", ""))[0]
    assert "is not there" in constants_violations({}, page)[0]
    assert "is 8, written is 9" in constants_violations(texts, page.replace("8", "9"))[0]


# --- who calls the cost -----------------------------------------------------------------------------------------------


def callers_of_the_cost(check) -> set[str]:
    """Run check(cost, point) with a cost that notes which module of ours is nearest on the stack at each call."""
    callers = set()

    def cost(point):
        frame = sys._getframe(1)
        while frame is not None and not frame.f_globals.get("__name__", "").startswith(f"{PACKAGE}."):
            frame = frame.f_back
        callers.add("none of ours" if frame is None else frame.f_globals["__name__"])
        return float(np.sum(np.sin(point["a"])) + np.sum(point["b"] ** 2))

    check(cost, {"a": np.array([0.3, -0.7]), "b": np.array([[1.5]])})
    return callers


def gradient(point):
    return {"a": np.cos(point["a"]), "b": 2 * point["b"]}


@pytest.mark.parametrize("strategy", ["coordinates", "certificate", "auto"])
@pytest.mark.parametrize("factor", [1, 2])
def test_only_the_engine_calls_the_cost(strategy, factor):
    import gradproof

    def check(cost, point):
        claimed = {name: factor * value for name, value in gradient(point).items()}
        gradproof.check_gradient(cost, point, claimed, strategy=strategy, seed=1)

    assert callers_of_the_cost(check) == {"gradproof._evaluation.engine", "gradproof._evaluation.site"}


def test_that_proof_can_fail_for_another_caller():
    namespace = {"__name__": "gradproof._evidence.evidence"}
    exec("def check(cost, point):\n    cost(point)", namespace)
    assert callers_of_the_cost(namespace["check"]) == {"gradproof._evidence.evidence"}
