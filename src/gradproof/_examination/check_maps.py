"""`check_vjp`, `check_jvp`, `check_jacobian`, `check_hvp`, `check_hessian`: the whole flow on one page."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from gradproof._evaluation.engine import BudgetSpent, Engine
from gradproof._evaluation.supply import Means
from gradproof._evidence.zero import ROUNDED
from gradproof._examination.certification import ALONE, JOINTLY, certify_groups, certify_zeros
from gradproof._examination.conclusion import assemble, nothing_report
from gradproof._examination.dot_test import dot_test
from gradproof._examination.enumeration import look_below
from gradproof._examination.map_columns import EVALUATIONS, Columns
from gradproof._examination.map_faults import FaultFinder
from gradproof._examination.map_groups import ColumnGroups
from gradproof._examination.map_hypotheses import MapClaim, certified, explain_whole
from gradproof._examination.map_report import report_non_finite
from gradproof._examination.map_tests import (
    Tested,
    asymmetry_of_matrix,
    asymmetry_of_product,
    find_non_finite,
    linearity_of,
    non_finite_of_ones,
)
from gradproof._examination.maps import MapStudy
from gradproof._examination.study import NonFiniteClaim
from gradproof._numerics.steps import FIRST_STEP
from gradproof._problem.answers import NamedOutputs
from gradproof._problem.blocks import NothingThere
from gradproof._problem.called import Called
from gradproof._problem.claims import EXPLICIT_SIZE, FEW, JvpClaim, MatrixClaim, VjpClaim, lowest_precision, written_out
from gradproof._problem.held import HeldEntries, HoldingProblem
from gradproof._problem.jacobians import is_operator, read_jacobian, wrong_shape
from gradproof._problem.outputs import LONE_OUTPUT, real_pairs
from gradproof._problem.problem import Problem
from gradproof._problem.structure import Structure
from gradproof._words.errors import NonFinitePoint, UsageError
from gradproof._words.events import Evaluated, Observer, Phase, Settled
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof._words.results import Cause, CoordinateResult, Diagnosis, Reason, Report, Verdict
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
    claimed_precision: str = "float64"
    """In which the claim was worked out, where that is below the point's."""
    call: str = ""
    """How the call of the claim reads to people, where a front end made it for this point; it is given no point then."""
    problem: Callable[..., Problem] = Problem
    """Makes the problem: that of δ = 0 in a tangent space knows the lengths of its zeros."""


def make_task(
    verb: str,
    function: Any,
    claimed: Any,
    point: Any,
    options: dict[str, Any],
    *,
    symmetric: bool = False,
    call: str = "",
    claimed_precision: str = "float64",
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
        diagnose=given["diagnose"],
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
        claimed_precision,
        call,
    )


def holding(task: Task, refusal: NonFinitePoint) -> tuple[Task, str]:
    """Return the task with the entries of the point held that are not finite, and the note for its report.

    Raises
    ------
    NonFinitePoint
        Where the claim is a matrix: its columns of these entries would be its own to leave out.
    """
    if task.verb not in {"check_vjp", "check_jvp", "check_hvp"} or task.problem is not Problem:
        raise refusal
    held = HeldEntries(task.point)
    claimed = task.claimed

    def pulled(point: Any, cotangent: Any) -> Any:
        return held.zeroed(claimed(point if task.call else held.restored(point), cotangent))

    def pushed(point: Any, tangent: Any) -> Any:
        return claimed(point if task.call else held.restored(point), held.zeroed(tangent))

    held_task = replace(
        task,
        function=held.function(task.function),
        claimed=pulled if task.verb == "check_vjp" else pushed,
        point=held.finite,
        problem=partial(HoldingProblem, refusal),
    )
    return held_task, held.note


OPTIONS: dict[str, Any] = {
    "tolerance": None,
    "confidence": DEFAULT_CONFIDENCE,
    "strategy": "auto",
    "budget": None,
    "seed": None,
    "diagnose": True,
    "only": None,
    "exclude": None,
    "convention": "torch",
    "observer": None,
}


class MapCheck:
    """One check: from the task to the report."""

    def __init__(self, task: Task, means: Means | None = None) -> None:
        self.task = task
        self.means = means
        self.started = time.perf_counter()
        self.nothing = ""
        """Why there is nothing to check: arrays of size 0 only."""
        try:
            self.begin()
        except NothingThere as nothing:
            self.nothing = nothing.meaning

    def begin(self) -> None:
        """Take in the task and evaluate the point: everything that can be wrong with the input is found here."""
        self.notes: list[str] = []
        try:
            problem = self.problem_of(self.task)
        except NonFinitePoint as error:
            self.task, note = holding(self.task, error)
            problem = self.problem_of(self.task)
            self.notes.append(note)
        task = self.task
        answers, source = NamedOutputs("point" if task.symmetric else LONE_OUTPUT), None
        if self.means is not None:
            given = {"verb": task.verb, "place": 0, "function": task.function, "claim": task.claimed}
            source = self.means.source(problem, answers, task.settings, **given)
        self.phase: Phase = "lines"
        self.engine = Engine(
            problem, answers, budget=task.settings.allowance, on_evaluated=self.on_evaluated, source=source
        )
        self.engine.evaluate_point()
        self.structure = Structure(task.point, [block.name for block in problem.blocks])
        self.diagnoses: list[Diagnosis] = []
        self.wrong = False
        self.tests = Tested()
        self.operator: Any = None

    def problem_of(self, task: Task) -> Problem:
        """Return the problem of a task, complex numbers being pairs."""
        real, self.restore, self.complex_names = real_pairs(task.point)
        function, restore = task.function, self.restore  # nothing more of the task travels to workers
        return task.problem(
            lambda p: function(restore(p)),
            real,
            claimed=True,
            only=task.only,
            exclude=task.exclude,
            claimed_precision=task.claimed_precision,
        )

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
        if self.nothing:
            return self.finished(nothing_report(self.task.settings, self.nothing, self.task.verb))
        claim = self.claim(conjugate=self.task.convention == "jax")
        where = find_non_finite(claim, self.engine, self.structure)
        if where:
            return self.finished(self.non_finite(where))
        asked, claim = claim, self.tested(claim)
        if not self.tests.finite and isinstance(asked, VjpClaim):
            where = non_finite_of_ones(asked, self.engine, self.structure)
            if where:
                return self.finished(self.non_finite(where))
        if self.random():
            return self.finished(self.undecided(claim))
        if single is not None and not self.diagnoses and not self.tests.unsteady:
            return self.joined(single(), claim)
        try:
            study = MapStudy(self.engine, claim, self.task.settings)
            self.certify(study)
        except NonFiniteClaim as pair:
            return self.finished(self.non_finite(f"a product of {pair} has NaN or infinite entries"))
        self.judge_tests(study)
        study.excuse(self.tests.hidden)
        finder = FaultFinder(study)
        known = bool(study.faulty) and not study.settings.diagnose
        if not known and not self.explained_as_a_whole(study):
            self.columns(study, finder)
            masked = isinstance(study.claim, MatrixClaim) and not self.tests.unsteady
            if masked or study.faulty:
                self.phase = "search"
                finder.run()
        finder.tidy()
        self.conclude_unsteady(study, finder)
        if self.operator is not None:
            self.test_operator()
        if self.task.symmetric:
            self.symmetry(study)
        self.notes += [*claim.notes, *finder.found.notes]
        if self.is_complex:
            names = {"torch": "g = ∂/∂Re + i ∂/∂Im", "jax": "g = ∂/∂Re − i ∂/∂Im"}
            self.notes.append(
                f"Complex numbers are pairs of reals (last index 0: real part, 1: imaginary part), in the convention of {self.task.convention}: {names[self.task.convention]}."
            )
        return self.finished(self.report(study, finder.found.entries, finder.found.diagnoses))

    def certify(self, study: MapStudy) -> None:
        """Certify by lines; where every column is to be measured, claims of zero only, of which no column tells."""
        claim = study.claim
        # Lines alone see what a pattern lacks; and what counts as zero at a minimum, where the values are none.
        sparse = isinstance(claim, MatrixClaim) and claim.sparse
        small = any(pair.norm * pair.scale > study.sizes[pair.output] for pair in study.every_pair)
        # And whether a product is linear is judged by the tolerance that they come to.
        if self.task.settings.strategy != "coordinates" or sparse or small or self.tests.diagnoses:
            study.certify()
            return
        try:
            certify_zeros(study, [pair for pair in study.every_pair if pair.zero], JOINTLY, ALONE)
        except BudgetSpent:
            study.run_out()

    def judge_tests(self, study: MapStudy) -> None:
        """Judge linearity by the tolerance that the values allow: what rounding there costs, it may cost the claim."""
        before = self.tests.diagnoses
        self.tests = self.tests.judged_by(max(pair.tolerance for pair in study.every_pair))
        if self.tests.diagnoses and self.within_rounding(study):
            self.tests = replace(self.tests, diagnoses=())
        self.diagnoses = [d for d in self.diagnoses if d in self.tests.diagnoses or d not in before]
        self.wrong = bool(self.tests.diagnoses)

    def within_rounding(self, study: MapStudy) -> bool:
        """Say whether all that is claimed is the rounding of a function that cancels: of that no product is linear."""
        try:
            return all(pair.norm * pair.scale <= study.hidden(pair.output) for pair in study.every_pair)
        except BudgetSpent:
            return False

    def report(self, study: MapStudy, entries: Sequence[CoordinateResult], diagnoses: Sequence[Diagnosis]) -> Report:
        """Return the report."""
        return assemble(
            study,
            diagnoses=[*self.diagnoses, *diagnoses],
            notes=self.notes,
            coordinates=sorted(entries, key=lambda entry: -abs(entry.claimed - entry.numerical)),
            wrong=self.wrong,
            verb=self.task.verb,
        )

    def joined(self, single: Report, claim: MapClaim) -> Report:
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

    def claim(self, *, conjugate: bool, fresh: int = 0) -> MapClaim:
        """Make the claim of the task; `fresh` cotangents and tangents for the claim that replaces it."""
        task, outputs, structure = self.task, self.engine.outputs, self.structure
        seed = task.settings.seed + fresh
        if task.verb == "check_vjp":
            called = self.called(task.call or "vjp(point, cotangent)")
            return VjpClaim(called, outputs, structure, conjugate=conjugate, seed=seed)
        scales = [size or 1.0 for size in self.engine.problem.sizes]
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

    def tested(self, claim: MapClaim) -> MapClaim:
        """Test a product's linearity once, and write small claims out as matrices."""
        if isinstance(claim, MatrixClaim):
            return claim
        self.tests = linearity_of(claim, self.task.settings.tolerance, self.least(claim))
        self.diagnoses += self.tests.diagnoses
        self.wrong = self.wrong or bool(self.tests.diagnoses)
        if self.task.settings.strategy == "certificate":
            # In low precision a dozen cotangents are needed anyway, and whole rows tell noise from mistakes better.
            low = self.tests.precision != "float64"
            return written_out(claim, most=EXPLICIT_SIZE if low else FEW) or claim
        forced = self.task.settings.strategy == "coordinates"
        few_columns = EXHAUSTIVE_EVALUATIONS // EVALUATIONS
        return written_out(claim, forced=forced, few_columns=few_columns, most=EXPLICIT_SIZE) or claim

    def least(self, claim: VjpClaim | JvpClaim) -> float:
        """Return the norm of a product below which it changes no output by more than what counts as zero."""
        precisions = lowest_precision(claim.outputs, claim.structure), self.task.claimed_precision
        roundoff = max(UNIT_ROUNDOFF[kind] for kind in precisions)
        scale = max(self.engine.problem.sizes) or 1.0
        per_unit = 1.0 if isinstance(claim, JvpClaim) else scale  # tangents come in the parameters' scales already
        return float(ROUNDED * roundoff * norm(self.engine.base) / per_unit)

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

    def undecided(self, claim: MapClaim) -> Report:
        """Report that nothing could be said."""
        study = MapStudy(self.engine, claim, self.task.settings)
        for pair in study.every_pair:
            pair.hold(Reason.RANDOM)
        self.notes += claim.notes
        return self.report(study, (), ())

    def non_finite(self, where: str) -> Report:
        s, engine = self.task.settings, self.engine
        given = (s.tolerance, s.confidence, s.strategy, s.seed, s.stated_budget)
        norm = float(np.linalg.norm(engine.base))
        name = engine.outputs.blocks[0].name if len(engine.outputs.blocks) == 1 else "the claim"
        return report_non_finite(
            self.task.verb, where, settings=given, evaluations=engine.evaluations, cost=norm, name=name
        )

    # -- after the lines ---------------------------------------------------------------------------------------------

    def columns(self, study: MapStudy, finder: FaultFinder) -> None:
        """Measure every column, or every entry of a pattern, where that is asked for, or cheap."""
        claim = study.claim
        if not isinstance(claim, MatrixClaim):
            return
        every = self.task.settings.strategy == "coordinates"
        if self.task.settings.strategy == "certificate" or (self.tests.unsteady and not every):
            return  # single entries of a claim that differs from call to call are known less well than their norm
        left = self.engine.budget - self.engine.evaluations - SPARE
        # Where no random line could be evaluated single columns may be, on one side.
        at_edge = any(pair.reason is Reason.DOMAIN for pair in study.every_pair)
        self.phase = "coordinates"
        if claim.sparse:
            if not study.faulty:
                most = int(left if every else min(EXHAUSTIVE_EVALUATIONS, left)) // EVALUATIONS
                ColumnGroups(study, finder, most).run()
        elif every or EVALUATIONS * self.structure.size <= (left if at_edge else min(EXHAUSTIVE_EVALUATIONS, left)):
            Columns(study, finder).run(conclude=every)
            if every:
                self.certify_what_noise_left_open(study)
                look_below(study, FIRST_STEP)

    def certify_what_noise_left_open(self, study: MapStudy) -> None:
        """Ask random lines about pairs whose single columns drown in noise: a line moves all of them at once."""
        open_ = [pair.block for pair in study.open if pair.reason in {Reason.NOISE, Reason.BORDER} and not pair.zero]
        if open_ and not study.spent:
            try:
                certify_groups(study, open_, JOINTLY, ALONE)
            except BudgetSpent:
                study.run_out()

    def conclude_unsteady(self, study: MapStudy, finder: FaultFinder) -> None:
        """Say by how much the claim differs from call to call, and what that leaves open."""
        if not self.tests.unsteady:
            return
        excused = study.excuse(self.tests.hidden)
        finder.found.entries = [entry for entry in finder.found.entries if entry.block not in excused]
        finder.found.diagnoses = [d for d in finder.found.diagnoses if d.block not in excused]
        open_ = [pair for pair in study.every_pair if pair.reason is Reason.CLAIM]
        if open_:
            self.diagnoses.append(self.tests.diagnosis(max(pair.difference.upper for pair in open_)))
        else:
            self.notes.append(self.tests.seen())

    def explained_as_a_whole(self, study: MapStudy) -> bool:
        """Say whether a wrong claim needs no search: it is not linear, or one remedy mends it all."""
        if any(d.cause in {Cause.NOT_LINEAR, Cause.NON_DETERMINISTIC_CLAIM} for d in self.diagnoses):
            return True
        if not study.faulty:
            return False
        self.phase = "diagnosis"
        try:
            # A claim that is diagonal in complex numbers looks transposed, too, in the other convention.
            whole = self.other_convention(study) or explain_whole(study, self.fresh_claim)
        except BudgetSpent:
            return False
        self.diagnoses += whole
        return bool(whole)

    def fresh_claim(self) -> MapClaim:
        """Return the claim with cotangents or tangents of its own, for what replaces it."""
        return self.claim(conjugate=self.task.convention == "jax", fresh=1)

    def other_convention(self, study: MapStudy) -> list[Diagnosis]:
        """Try the other convention for complex numbers."""
        if not self.is_complex or self.task.verb not in {"check_vjp", "check_jacobian"}:
            return []
        other = "torch" if self.task.convention == "jax" else "jax"
        to = certified(study, self.claim(conjugate=other == "jax", fresh=1))
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

    def symmetry(self, study: MapStudy) -> None:
        """Measure by how much a Hessian differs from its transpose."""
        claim, engine = study.claim, self.engine
        same = [(b.name, b.shape) for b in engine.outputs.blocks] == [(b.name, b.shape) for b in engine.problem.blocks]
        if not same or self.is_complex:
            return
        tolerance = max(pair.tolerance for pair in study.every_pair)
        if isinstance(claim, MatrixClaim):
            size, where = asymmetry_of_matrix(claim, engine.outputs)
            limit = tolerance
        else:
            size, where = asymmetry_of_product(claim, engine, self.task.settings.seed, study.scales)
            limit = 10 * tolerance
        if size <= limit:
            return
        agrees = study.verdict is Verdict.CORRECT
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
