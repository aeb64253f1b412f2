"""`check_vjp`, `check_jvp`, `check_jacobian`, `check_hvp`, `check_hessian`: the whole flow on one page."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from gradproof._evaluation.engine import BudgetSpent
from gradproof._evaluation.map_engine import MapEngine
from gradproof._evidence.zero import NEGLIGIBLE
from gradproof._examination.dot_test import dot_test
from gradproof._examination.map_columns import EVALUATIONS, Columns
from gradproof._examination.map_examination import MapExamination, NonFiniteClaim
from gradproof._examination.map_faults import FaultFinder
from gradproof._examination.map_groups import ColumnGroups
from gradproof._examination.map_hypotheses import certified, explain_whole
from gradproof._examination.map_report import map_report, report_non_finite
from gradproof._examination.map_tests import (
    Tested,
    asymmetry_of_matrix,
    asymmetry_of_product,
    find_non_finite,
    linearity_of,
)
from gradproof._problem.claims import (
    EXPLICIT_SIZE,
    FEW,
    Called,
    Claim,
    JvpClaim,
    MatrixClaim,
    Structure,
    VjpClaim,
    lowest_precision,
    written_out,
)
from gradproof._problem.jacobians import is_operator, read_jacobian, wrong_shape
from gradproof._problem.outputs import LONE_OUTPUT, real_pairs
from gradproof._problem.problem import Problem
from gradproof._words.errors import UsageError
from gradproof._words.events import Evaluated, Observer, Settled
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Cause, Diagnosis, Reason, Report, Verdict
from gradproof._words.settings import DEFAULT_CONFIDENCE, EXHAUSTIVE_EVALUATIONS, Convention, Settings
from gradproof._words.vectors import norm
from gradproof.adapters._containers import flatten

RANDOM = 1e-6
"""Two calls that differ by less, relatively, are those of a noisy function rather than of a random one."""
SPARE = 60
"""Evaluations that are left to the search when every column is measured."""


@dataclass(slots=True)
class Task:
    """What is to be checked, and how."""

    verb: str
    function: Callable[[Any], Any]
    claimed: Any
    point: Any
    settings: Settings
    only: str | Sequence[str] | None
    exclude: str | Sequence[str] | None
    convention: Convention
    observer: Observer | None
    symmetric: bool = False
    call: str = ""
    """How the call of the claim reads to people, where a front end made it for this point; it is given no point then."""


def make_task(
    verb: str,
    function: Any,
    claimed: Any,
    point: Any,
    options: dict[str, Any],
    *,
    symmetric: bool = False,
    call: str = "",
) -> Task:
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise UsageError(f"{verb} has no option {unknown[0]}", remedy=f"Its options are {', '.join(OPTIONS)}")
    given = {**OPTIONS, **options}
    if given["convention"] not in {"torch", "jax"}:
        raise UsageError(f"convention is {given['convention']!r}", remedy='Choose "torch" or "jax"')
    name = "gradient" if symmetric else "function"
    if not callable(function):
        raise UsageError(f"{name} is {type(function).__name__}", remedy=f"Give a callable: {name}(point)")
    seed = given["seed"]
    settings = Settings(
        tolerance=given["tolerance"],
        confidence=given["confidence"],
        strategy=given["strategy"],
        budget=given["budget"],
        seed=secrets.randbits(32) if seed is None else seed,
    )
    return Task(
        verb,
        function,
        claimed,
        point,
        settings,
        given["only"],
        given["exclude"],
        given["convention"],
        given["observer"],
        symmetric,
        call,
    )


OPTIONS: dict[str, Any] = {
    "tolerance": None,
    "confidence": DEFAULT_CONFIDENCE,
    "strategy": "auto",
    "budget": None,
    "seed": None,
    "only": None,
    "exclude": None,
    "convention": "torch",
    "observer": None,
}


class MapCheck:
    """One check: from the task to the report."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.started = time.perf_counter()
        real, self.restore, self.complex_names = real_pairs(task.point)
        restore = self.restore
        problem = Problem(lambda p: task.function(restore(p)), real, claimed=True, only=task.only, exclude=task.exclude)
        lone = "point" if task.symmetric else LONE_OUTPUT
        self.engine = MapEngine(problem, budget=task.settings.allowance, lone=lone)
        self.phase: Literal["lines", "coordinates", "search", "diagnosis"] = "lines"
        self.engine.on_evaluated = self.on_evaluated
        self.engine.evaluate_point()
        self.structure = Structure(task.point, [block.name for block in problem.blocks])
        self.notes: list[str] = []
        self.diagnoses: list[Diagnosis] = []
        self.wrong = False
        self.tests = Tested()
        self.operator: Any = None

    def on_evaluated(self, count: int) -> None:
        """Tell the observer."""
        if self.task.observer is not None:
            self.task.observer(Evaluated(count, int(self.engine.budget), self.phase))

    @property
    def is_complex(self) -> bool:
        """Some number is complex."""
        return bool(self.complex_names) or any(block.is_complex for block in self.engine.outputs.blocks)

    def run(self, single: Callable[[], Report] | None = None) -> Report:
        """Run it.

        Parameters
        ----------
        single
            Measures the coordinates of a function of one number, which is what they are measured best of; asked for in
            the place of lines, once the product itself has passed its tests.
        """
        claim = self.claim(conjugate=self.task.convention == "jax")
        where = find_non_finite(claim, self.engine, self.structure)
        if where:
            return self.finished(self.non_finite(where))
        claim = self.tested(claim)
        if self.random():
            return self.finished(self.undecided(claim))
        if single is not None and not self.diagnoses and not self.tests.unsteady:
            return self.joined(single(), claim)
        sparse = isinstance(claim, MatrixClaim) and claim.sparse
        try:
            examination = MapExamination(self.engine, claim, self.task.settings)
            if self.task.settings.strategy != "coordinates" or sparse:
                examination.run()  # lines alone see what a pattern lacks
        except NonFiniteClaim as pair:
            return self.finished(self.non_finite(f"a product of {pair} has NaN or infinite entries"))
        examination.excuse(self.tests.hidden)
        finder = FaultFinder(examination)
        if not self.explained_as_a_whole(examination):
            self.columns(examination, finder)
            masked = isinstance(claim, MatrixClaim) and not self.tests.unsteady
            if masked or _any_wrong(examination):
                self.phase = "search"
                finder.run()
        finder.tidy()
        self.conclude_unsteady(examination, finder)
        if self.operator is not None:
            self.test_operator()
        if self.task.symmetric:
            self.symmetry(examination)
        self.notes += [*examination.notes, *claim.notes, *finder.found.notes]
        if self.is_complex:
            names = {"torch": "g = ∂/∂Re + i ∂/∂Im", "jax": "g = ∂/∂Re − i ∂/∂Im"}
            self.notes.append(
                f"Complex numbers are pairs of reals (last index 0: real part, 1: imaginary part), in the convention of {self.task.convention}: {names[self.task.convention]}."
            )
        report = map_report(
            examination,
            verb=self.task.verb,
            strategy=self.task.settings.strategy,
            entries=finder.found.entries,
            diagnoses=[*self.diagnoses, *finder.found.diagnoses],
            notes=self.notes,
            wrong=self.wrong,
        )
        return self.finished(report)

    def joined(self, single: Report, claim: Claim) -> Report:
        """Return the report on single coordinates, with what the tests before it took and noted."""
        return replace(
            single,
            evaluations=self.engine.evaluations + single.evaluations,
            notes=tuple(dict.fromkeys([*self.notes, *claim.notes, *single.notes])),
            seconds=time.perf_counter() - self.started,
        )

    def finished(self, report: Report) -> Report:
        """Add the time; tell the observer."""
        if self.task.observer is not None:
            self.task.observer(Settled(report.verdict))
        return replace(report, seconds=time.perf_counter() - self.started)

    # -- the claim ---------------------------------------------------------------------------------------------------

    def claim(self, *, conjugate: bool, fresh: int = 0) -> Claim:
        """Make the claim of the task; `fresh` cotangents and tangents for the claim that replaces it."""
        task, outputs, structure = self.task, self.engine.outputs, self.structure
        seed = task.settings.seed + fresh
        if task.verb == "check_vjp":
            called = self.called(task.call or "vjp(point, cotangent)")
            return VjpClaim(called, outputs, structure, conjugate=conjugate, seed=seed)
        scales = [float(np.sqrt(np.mean(v**2))) or 1.0 for v in self.engine.problem.values]
        if task.verb in {"check_jvp", "check_hvp"}:
            kind, name = ("JVP", "jvp(point, tangent)") if task.verb == "check_jvp" else ("HVP", "hvp(point, vector)")
            called = self.called(task.call or name)
            return JvpClaim(called, outputs, structure, kind=kind, seed=seed, scales=scales)
        kind = "Jacobian" if task.verb == "check_jacobian" else "Hessian"
        value = self.matrix_value(kind)
        if is_operator(value):
            return self.operator_claim(value, kind, scales)
        matrix, notes = read_jacobian(value, outputs, structure, task.point, conjugate=conjugate)
        self.notes += [note for note in notes if note not in self.notes]
        return MatrixClaim(matrix, outputs, structure, kind=kind)

    def called(self, name: str) -> Called:
        """Return the product that is claimed."""
        return Called(self.task.claimed, self.engine.problem, self.restore, name, given_point=not self.task.call)

    def matrix_value(self, kind: str) -> Any:
        """Return the claimed matrix, called for if it is a function."""
        value = self.task.claimed
        if value is None:
            raise UsageError(
                f"the claimed {kind} is None",
                remedy="Give an array, nested blocks, a sparse matrix, a LinearOperator, or a callable",
            )
        if callable(value) and not is_operator(value):
            name = kind.lower()
            value = Called(
                lambda point, _: self.task.claimed(point), self.engine.problem, self.restore, f"{name}(point)"
            )(None)
        return value

    def operator_claim(self, operator: Any, kind: str, scales: Sequence[float]) -> JvpClaim:
        """Take a linear operator by its matvec."""
        outputs, structure = self.engine.outputs, self.structure
        self.operator = operator

        def product(_: Any, tangent: Any) -> Any:
            _, leaves, _ = flatten(tangent)
            return outputs.numbers(
                operator.matvec(np.concatenate([np.ravel(leaf) for leaf in leaves])), "operator.matvec"
            )

        rows = sum(b.size // (1 + b.is_complex) for b in outputs.blocks)
        columns = sum(b.size // (1 + b.is_complex) for b in structure.leaves.blocks)
        if tuple(operator.shape) != (rows, columns):
            raise wrong_shape(tuple(operator.shape), (rows, columns), [], "operator")
        return JvpClaim(
            Called(product, self.engine.problem, self.restore, "operator.matvec"),
            outputs,
            structure,
            kind=kind,
            seed=self.task.settings.seed,
            scales=scales,
        )

    def test_operator(self) -> None:
        """An operator's rmatvec is a claim, too: it must be the adjoint of its matvec."""
        report = dot_test(self.operator, self.task.settings.seed)
        if report is None:
            self.notes.append("The operator's rmatvec was not checked: it has none that can be called.")
        elif report.verdict is Verdict.WRONG:
            self.wrong = True
            self.diagnoses += [
                replace(
                    d,
                    cause=Cause.NOT_ADJOINT,
                    block="",
                    sentence=f"Its rmatvec is not the adjoint of its matvec. {d.sentence}",
                )
                for d in report.diagnoses
            ]

    def tested(self, claim: Claim) -> Claim:
        """Test a product's linearity once, and write small claims out as matrices."""
        if isinstance(claim, MatrixClaim):
            return claim
        assert isinstance(claim, (VjpClaim, JvpClaim))  # noqa: S101  # there is no other
        self.tests = linearity_of(claim, self.task.settings.tolerance, self.least(claim))
        self.diagnoses += self.tests.diagnoses
        self.wrong = self.wrong or bool(self.tests.diagnoses)
        if self.task.settings.strategy == "certificate":
            # In low precision a dozen cotangents are needed anyway, and whole rows tell noise from mistakes better.
            low = lowest_precision(claim.outputs, claim.structure) != "float64"
            return written_out(claim, most=EXPLICIT_SIZE if low else FEW) or claim
        forced = self.task.settings.strategy == "coordinates"
        few_columns = EXHAUSTIVE_EVALUATIONS // EVALUATIONS
        return written_out(claim, forced=forced, few_columns=few_columns, most=EXPLICIT_SIZE) or claim

    def least(self, claim: VjpClaim | JvpClaim) -> float:
        """Return the norm of a product below which it changes no output by more than what counts as zero."""
        roundoff = UNIT_ROUNDOFF[lowest_precision(claim.outputs, claim.structure)]
        scale = max(float(np.sqrt(np.mean(v**2))) for v in self.engine.problem.values) or 1.0
        per_unit = 1.0 if isinstance(claim, JvpClaim) else scale  # tangents come in the parameters' scales already
        return float(roundoff**NEGLIGIBLE * norm(self.engine.base) / per_unit)

    def random(self) -> bool:
        """Say whether the function itself differs from call to call, as its claim does: then nothing can be compared."""
        if not any(d.cause is Cause.NON_DETERMINISTIC_CLAIM for d in self.diagnoses):
            return False
        change = self.engine.repeat()
        if change is None or norm(change) <= RANDOM * norm(self.engine.base):
            return False
        self.diagnoses = [
            Diagnosis(
                cause=Cause.NON_DETERMINISTIC_COST,
                block="",
                coefficient=norm(change) / (norm(self.engine.base) or 1.0),
                sentence=f"Two calls of the function at the same point differ by {norm(change) / (norm(self.engine.base) or 1.0):.1e}, relatively, and so do two of its derivative: random numbers are drawn.",
                remedy="draw the same ones at each call: fix the seed inside the function and its derivative",
            )
        ]
        self.wrong = False
        return True

    def undecided(self, claim: Claim) -> Report:
        """Report that nothing could be said."""
        examination = MapExamination(self.engine, claim, self.task.settings)
        for row in examination.pairs:
            for pair in row:
                pair.verdict, pair.reason = Verdict.INCONCLUSIVE, Reason.RANDOM
        return map_report(
            examination,
            verb=self.task.verb,
            strategy=self.task.settings.strategy,
            entries=(),
            diagnoses=self.diagnoses,
            notes=[*self.notes, *claim.notes],
            wrong=False,
        )

    def non_finite(self, where: str) -> Report:
        s, engine = self.task.settings, self.engine
        given = (s.tolerance, s.confidence, s.strategy, s.seed, s.stated_budget)
        norm = float(np.linalg.norm(engine.base))
        name = engine.outputs.blocks[0].name if len(engine.outputs.blocks) == 1 else "the claim"
        return report_non_finite(
            self.task.verb, where, settings=given, evaluations=engine.evaluations, cost=norm, name=name
        )

    # -- after the lines ---------------------------------------------------------------------------------------------

    def columns(self, examination: MapExamination, finder: FaultFinder) -> None:
        """Measure every column, or every entry of a pattern, where that is asked for, or cheap."""
        claim = examination.claim
        if not isinstance(claim, MatrixClaim):
            return
        every = self.task.settings.strategy == "coordinates"
        if self.task.settings.strategy == "certificate" or (self.tests.unsteady and not every):
            return  # single entries of a claim that differs from call to call are known less well than their norm
        left = self.engine.budget - self.engine.evaluations - SPARE
        # Where no random line could be evaluated single columns may be, on one side.
        at_edge = any(pair.reason is Reason.DOMAIN for row in examination.pairs for pair in row)
        self.phase = "coordinates"
        if claim.sparse:
            if not _any_wrong(examination):
                most = int(left if every else min(EXHAUSTIVE_EVALUATIONS, left)) // EVALUATIONS
                ColumnGroups(examination, finder, most).run()
        elif every or EVALUATIONS * self.structure.size <= (left if at_edge else min(EXHAUSTIVE_EVALUATIONS, left)):
            if every and examination.base_is_small:
                examination.reconsider()
            Columns(examination, finder).run(conclude=every)

    def conclude_unsteady(self, examination: MapExamination, finder: FaultFinder) -> None:
        """Say by how much the claim differs from call to call, and what that leaves open."""
        if not self.tests.unsteady:
            return
        excused = examination.excuse(self.tests.hidden)
        finder.found.entries = [entry for entry in finder.found.entries if entry.block not in excused]
        finder.found.diagnoses = [d for d in finder.found.diagnoses if d.block not in excused]
        open_ = [pair for row in examination.pairs for pair in row if pair.reason is Reason.CLAIM]
        if open_:
            self.diagnoses.append(self.tests.diagnosis(max(pair.difference.upper for pair in open_)))
        else:
            self.notes.append(self.tests.seen())

    def explained_as_a_whole(self, examination: MapExamination) -> bool:
        """Say whether a wrong claim needs no search: it is not linear, or one remedy mends it all."""
        if any(d.cause in {Cause.NOT_LINEAR, Cause.NON_DETERMINISTIC_CLAIM} for d in self.diagnoses):
            return True
        if not _any_wrong(examination):
            return False
        self.phase = "diagnosis"
        try:
            # A claim that is diagonal in complex numbers looks transposed, too, in the other convention.
            whole = self.other_convention(examination) or explain_whole(examination, self.fresh_claim)
        except BudgetSpent:
            return False
        self.diagnoses += whole
        return bool(whole)

    def fresh_claim(self) -> Claim:
        """Return the claim with cotangents or tangents of its own, for what replaces it."""
        return self.claim(conjugate=self.task.convention == "jax", fresh=1)

    def other_convention(self, examination: MapExamination) -> list[Diagnosis]:
        """Try the other convention for complex numbers."""
        if not self.is_complex or self.task.verb not in {"check_vjp", "check_jacobian"}:
            return []
        other = "torch" if self.task.convention == "jax" else "jax"
        to = certified(examination, self.claim(conjugate=other == "jax", fresh=1))
        if to is None:
            return []
        return [
            Diagnosis(
                cause=Cause.CONVENTION,
                block="",
                sentence=f"The claim follows the convention of {other}, not that of {self.task.convention}: the imaginary parts have the other sign.",
                remedy=f'convention="{other}", or the complex conjugate',
                certified_remedy=f'convention="{other}"',
                certified_to=to,
            )
        ]

    def symmetry(self, examination: MapExamination) -> None:
        """Measure by how much a Hessian differs from its transpose."""
        claim, engine = examination.claim, self.engine
        same = [(b.name, b.shape) for b in engine.outputs.blocks] == [(b.name, b.shape) for b in engine.problem.blocks]
        if not same or self.is_complex:
            return
        tolerance = max(pair.tolerance for row in examination.pairs for pair in row)
        if isinstance(claim, MatrixClaim):
            size, where = asymmetry_of_matrix(claim, engine.outputs)
            limit = tolerance
        else:
            size, where = asymmetry_of_product(claim, engine, self.task.settings.seed, examination.plain_scales)
            limit = 10 * tolerance
        if size <= limit:
            return
        agrees = all(pair.verdict is Verdict.CORRECT for row in examination.pairs for pair in row)
        why = (
            " It agrees with the gradient's own Jacobian: then the gradient is not that of any cost." if agrees else ""
        )
        self.wrong = True
        self.diagnoses.append(
            Diagnosis(
                cause=Cause.NOT_SYMMETRIC,
                block="",
                coefficient=size,
                where=where,
                sentence=f"The claimed Hessian is not symmetric: ‖H − Hᵀ‖ / 2‖H‖ is {size:.2g}{f', most at {where}' if where else ''}.{why}",
                remedy="make what fills one triangle fill the other, too",
            )
        )


def _any_wrong(examination: MapExamination) -> bool:
    return any(pair.verdict is Verdict.WRONG for row in examination.pairs for pair in row)
