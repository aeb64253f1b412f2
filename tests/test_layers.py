"""The house rules that a machine can see: imports point strictly down, and each side effect has one door.

The layers are those of ARCHITECTURE.md. Every rule is a function from sources to sentences about what breaks it, and
each is fed a synthetic offender, so that a rule which has gone blind is noticed.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

PACKAGE = "gradproof"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE

BOTTOM_UP = [  # the same table stands in ARCHITECTURE.md, and a test compares them
    "_errors",
    # words, pure mathematics and the nouns
    "_settings _directions _statistics _transformations _containers _codec _events _column_groups",
    "_results",
    # what reads claims and measurements that there are: not one of them evaluates anything
    "_noise _decision _search _diagnosis _mutations _gallery _comparison _assertions",
    # the derivative of φ: ℝ → ℝ
    "_tables",
    "_stepping",
    "_differences",
    # the user's problem
    "adapters",
    "_blocks _conformance _outputs",
    "_problem",
    # the method, for a cost
    "_engine _scales _batches",
    "_certificate _coordinates _coordinate_lines",
    "_study _measurement",
    "_certification _explanation _self_test",
    "_enumeration _conclusion",
    "_examination",
    # the method, for a function with many outputs
    "_map_engine _dot_test",
    "_linear_claims _vector_lines _map_batches",
    "_jacobians _vector_tables _vector_kinks _linearity _map_nearby",
    "_line_reader _matrix_evidence _map_tests",
    "_map_examination",
    "_map_faults _map_hypotheses _map_report",
    "_map_columns",
    "_map_groups",
    # the flow, and the verbs
    "_check _check_maps _adjoint _derivatives",
    "_map_verbs _modes",
    "_scipy_pairs",
    # what people see
    "reports",
    "course jax monitor testing torch",
    "__init__",
    "_problem_file _demo",
    "__main__",
]
LAYERS = {name: layer for layer, names in enumerate(BOTTOM_UP) for name in names.split()}

LAZY = {("_results", "reports")}
"""The one declared import against the direction, made inside a function: print(report)."""

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


def unit(module: str) -> str:
    """Return what carries a layer: the top-level module or package."""
    return module.split(".", maxsplit=1)[0]


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


def layer_violations(texts: dict[str, str]) -> list[str]:
    """Find modules without a layer, and imports that do not point strictly down."""
    found = []
    for module, text in texts.items():
        here = unit(module)
        if here not in LAYERS:
            found.append(f"{module} has no layer: add it to the table here and in ARCHITECTURE.md")
            continue
        for item in imports(module, text, set(texts)):
            target = own(item.module)
            if target is None or item.typing_only or unit(target) == here:
                continue
            if item.lazy and (here, unit(target)) in LAZY:
                continue
            if LAYERS.get(unit(target), 99) >= LAYERS[here]:
                found.append(f"{module}:{item.line} imports {target}, which is not below it")
    return found


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
        and unit(module) != root
    ]


def closeness_violations(texts: dict[str, str]) -> list[str]:
    """Find any mention of the comparisons that hide their tolerance."""
    return [
        f"{module} has {match[0]}"
        for module, text in texts.items()
        for match in re.finditer(r"\w*(?:all|is)close\b", text)
    ]


def clock_violations(texts: dict[str, str]) -> list[str]:
    """Find modules below the surfaces, other than _check and reports, that read a clock."""
    return [
        f"{module}:{item.line} imports {item.module}"
        for module, text in texts.items()
        for item in imports(module, text, set(texts))
        if item.module.split(".")[0] in {"time", "datetime"} and LAYERS.get(unit(module), 0) < LAYERS["_check"]
    ]


def terminal_violations(texts: dict[str, str]) -> list[str]:
    """Find modules below the reports that print, or open a file."""
    return [
        f"{module}:{node.lineno} prints, or opens a file"
        for module, text in texts.items()
        if LAYERS.get(unit(module), 0) < LAYERS["reports"]
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
        if module not in {"_engine", "_map_engine"}
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
    layer_violations,
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
    assert {"__init__", "_errors", "_results", "course", "adapters", "reports"} <= set(texts)
    seen = {own(item.module) for item in imports("course", texts["course"], set(texts))}
    assert {"_errors", "_results", "_check"} <= seen


@pytest.mark.parametrize(
    ("rule", "module", "text"),
    [
        pytest.param(layer_violations, "_errors", "from gradproof._results import Report", id="upwards"),
        pytest.param(layer_violations, "_errors", "import gradproof._results", id="upwards, plain import"),
        pytest.param(layer_violations, "_errors", "from gradproof import _results", id="upwards, from the package"),
        pytest.param(layer_violations, "_errors", "from . import _results", id="upwards, relative"),
        pytest.param(layer_violations, "_errors", "from ._results import Report", id="upwards, relative module"),
        pytest.param(layer_violations, "adapters._numpy", "from .._engine import x", id="upwards, out of a package"),
        pytest.param(layer_violations, "_decision", "from gradproof._engine import Engine", id="sideways"),
        pytest.param(layer_violations, "_check", "def f():\n    from gradproof import reports", id="upwards, lazily"),
        pytest.param(layer_violations, "_results", "from gradproof import reports", id="the lazy one, not lazily"),
        pytest.param(layer_violations, "_engine", "from gradproof import check_gradient", id="the public names"),
        pytest.param(layer_violations, "_utils", "", id="a module without a layer"),
        pytest.param(layer_violations, "_errors", "from gradproof._utils import x", id="an import without a layer"),
        pytest.param(
            layer_violations,
            "_errors",
            "if TYPE_CHECKING:\n    pass\nelse:\n    from gradproof import _results",
            id="the other branch",
        ),
        pytest.param(cycles, "_errors", "from gradproof import _loop", id="a cycle"),
        pytest.param(framework_violations, "_check", "import torch.nn", id="a framework"),
        pytest.param(framework_violations, "_check", "def f():\n    from jax import numpy", id="a framework, lazily"),
        pytest.param(framework_violations, "adapters._torch", "import jax", id="another adapter's framework"),
        pytest.param(closeness_violations, "_decision", "np.testing.assert_allclose(a, b)", id="assert_allclose"),
        pytest.param(closeness_violations, "_decision", "from math import isclose", id="isclose"),
        pytest.param(clock_violations, "_engine", "from time import perf_counter", id="a clock"),
        pytest.param(terminal_violations, "_engine", "print(1)", id="print"),
        pytest.param(terminal_violations, "_check", "sys.stdout.write('')", id="stdout"),
        pytest.param(terminal_violations, "_results", "Path('x').write_text('')", id="a file"),
        pytest.param(randomness_violations, "_noise", "np.random.default_rng()", id="no seed"),
        pytest.param(randomness_violations, "_noise", "default_rng(seed)", id="the users' own stream"),
        pytest.param(randomness_violations, "_noise", "np.random.rand(3)", id="the global generator"),
        pytest.param(door_violations, "_certificate", "def f(problem):\n    problem.cost(0)", id="the cost"),
        pytest.param(door_violations, "_certificate", "def f(self):\n    self.problem.claimed(0)", id="the claim"),
    ],
)
def test_each_rule_notices_an_offender(rule, module, text):
    innocent = dict.fromkeys(
        ["__init__", "_errors", "_results", "_engine", "reports", "adapters", "adapters._numpy"], ""
    )
    if rule is cycles:
        innocent["_loop"] = "import gradproof._errors"
    assert rule(innocent) == []
    assert len(rule(innocent | {module: text})) >= 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("_results", "from gradproof import _errors"),
        ("_results", "def f():\n    from gradproof.reports import to_text"),
        ("_errors", "if TYPE_CHECKING:\n    from gradproof._results import Report"),
        ("_errors", "if typing.TYPE_CHECKING:\n    import torch"),
        ("adapters._numpy", "from gradproof.adapters import Adapter"),
        ("adapters._torch", "import torch"),
        ("adapters._jax", "import jaxlib"),
        ("_engine", "import concurrent.futures"),
        ("_engine", "def f(problem):\n    problem.cost(0)"),
        ("_map_faults", "def f(problem):\n    return lambda p: 2 * problem.cost(p)"),
        ("_noise", "np.random.default_rng([seed, 7])"),
        ("course", "np.random.RandomState(1)"),
        ("__main__", "from gradproof import check_gradient, course"),
    ],
)
def test_what_is_allowed_is_not_complained_about(module, text):
    texts = {"_errors": "", "_results": "", "reports": "", "adapters": "", "adapters._numpy": "", "course": ""}
    assert [sentence for rule in RULES for sentence in rule(texts | {module: text})] == []


# --- what `import gradproof` loads ------------------------------------------------------------------------------------


def loaded_by(statements: str, *, path: Path | None = None) -> set[str]:
    """Run statements in a fresh interpreter and return the modules it has loaded then."""
    code = f"import sys\n{f'sys.path.insert(0, {str(path)!r})' if path else ''}\n{statements}\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines())


AT_ONCE = {
    "_errors",
    "_settings",
    "_directions",
    "_containers",
    "_codec",
    "_events",
    "_results",
    "_assertions",
    "adapters",
    "_blocks",
    "_problem",
    "_check",
    "_adjoint",
    "_derivatives",
    "_map_verbs",
    "_scipy_pairs",
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
    assert "gradproof._check" in modules
    assert heavy(modules) == set()


def test_importing_gradproof_does_not_load_the_method():
    assert method(loaded_by("import gradproof")) == set()


def test_that_proof_can_fail_for_scipy():
    assert "scipy.special" in heavy(loaded_by("import gradproof, scipy.special"))


def test_that_proof_can_fail_for_the_method():
    check = "import gradproof; gradproof.check_gradient(lambda x: x * x, 1.0, 2.0, seed=0)"
    modules = loaded_by(check)
    assert {"_engine", "_differences", "_examination"} <= method(modules)
    assert "optree" in heavy(modules)


def test_that_proof_can_fail_for_a_framework(tmp_path):
    (tmp_path / "torch.py").write_text("")
    assert heavy(loaded_by("import gradproof, torch", path=tmp_path)) == {"torch"}


# --- ARCHITECTURE.md --------------------------------------------------------------------------------------------------


def written_layers(text: str) -> list[set[str]]:
    """Read the table of layers, bottom up: lines of a number, names one blank apart, and words after two blanks."""
    lines = re.findall(r"^ *(\d+)  (\w+(?: \w+)*)(?:  .*)?$", text, re.MULTILINE)
    return [set(names.split()) for _, names in sorted(lines, key=lambda line: int(line[0]))]


def test_the_table_of_layers_is_the_one_of_the_architecture():
    text = (SOURCE.parents[1] / "ARCHITECTURE.md").read_text("utf-8")
    assert written_layers(text) == [set(names.split()) for names in BOTTOM_UP]


def test_every_module_has_its_line_in_the_tree_of_the_architecture():
    text = (SOURCE.parents[1] / "ARCHITECTURE.md").read_text("utf-8")
    described = set(re.findall(r"^[│├└─ ]*─ (\w+)(?:\.py|/) +\S", text, re.MULTILINE))
    assert {unit(module) for module in sources()} - described == set()


def test_no_layer_names_a_module_that_is_not_there():
    assert set(LAYERS) - {unit(module) for module in sources()} == set()


def test_a_changed_table_is_noticed():
    text = "    1  _b _c      what\n    0  _a\n"
    assert written_layers(text) == [{"_a"}, {"_b", "_c"}]
    assert written_layers(text.replace("_c", "_d")) == [{"_a"}, {"_b", "_d"}]


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

    assert callers_of_the_cost(check) == {"gradproof._engine"}


def test_that_proof_can_fail_for_another_caller():
    namespace = {"__name__": "gradproof._decision"}
    exec("def check(cost, point):\n    cost(point)", namespace)
    assert callers_of_the_cost(namespace["check"]) == {"gradproof._decision"}
