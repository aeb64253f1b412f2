"""The function in double precision, at the same values: it judges a derivative that was worked out in a lower one.

Nothing of the user's is converted. While the function runs, every operation is given its low-precision tensors in double
precision (captured inputs and constants too), and a cast to a lower precision is left out: what is differentiated is the
function that the program approximates, without its roundings.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from gradproof._words.errors import UsageError
from gradproof._words.precision import UNIT_ROUNDOFF
from gradproof.adapters._torch import ADAPTER, PRECISIONS
from gradproof.torch._randomness import Generators

Reference = Literal["auto", "float64"] | None
REFERENCES: Final = ("auto", "float64", None)
T = TypeVar("T")

DOUBLE: Final = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
    torch.complex32: torch.complex128,
}
CASTS: Final = {getattr(torch.Tensor, name) for name in ("float", "half", "bfloat16", "cfloat", "chalf")}
"""Methods that round to a lower precision."""
SAME: Final = 1.0e3
LARGEST: Final = 0.05
"""The function in double precision is the same one where it differs by no more than so many roundings of its own
precision, and by no more than this share of its values: another mask of a dropout, or a kernel that reads other bytes,
is told from rounding."""
JUDGED: Final = (
    "Judged by a reference: the {} was evaluated in float64 at the same values; what it judges was worked out in {}."
)
FOLDERS: Final = tuple(str(Path(module).parent) for module in (torch.__file__, __file__))


def validate(reference: Any) -> None:
    """Refuse what is no reference.

    Raises
    ------
    UsageError
    """
    if reference not in REFERENCES:
        raise UsageError(
            f"reference is {reference!r}", remedy='Choose "auto", "float64", or None for the function\'s own precision'
        )


class Doubled(TorchFunctionMode):
    """Within it operations are given double precision, and round to no lower one.

    A tensor that is met again in the same call is the same double-precision tensor: what is written into it stays there
    for that call, and never reaches the user's own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget the tensors of this call."""
        super().__exit__(kind, error, trace)
        self.known.clear()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call one of PyTorch's functions."""
        del types
        if func in CASTS:
            return self.doubled(args[0])
        args, kwargs = self.doubled(args), self.doubled(kwargs or {})
        if func is not torch.Tensor.view and any(isinstance(a, torch.Tensor) for a in (*args, *kwargs.values())):
            args = tuple(_wider(a) for a in args)
            kwargs = {name: _wider(a) for name, a in kwargs.items()}
        return self.doubled(func(*args, **kwargs), keep=False)

    def doubled(self, value: Any, *, keep: bool = True) -> Any:
        """Return a tensor, or a container of some, in double precision: the very same where it is so already."""
        if isinstance(value, torch.Tensor):
            kind = DOUBLE.get(value.dtype)
            if kind is None:
                return value
            if not keep:
                return value.to(kind)
            found = self.known.get(id(value))
            if found is None or (value.requires_grad and torch.is_grad_enabled() and not found[1].requires_grad):
                found = self.known[id(value)] = value, value.to(kind)
            return found[1]
        if type(value) is tuple or type(value) is list:
            parts = [self.doubled(part, keep=keep) for part in value]
            return value if all(a is b for a, b in zip(parts, value, strict=True)) else type(value)(parts)
        if type(value) is dict:
            return {name: self.doubled(part, keep=keep) for name, part in value.items()}
        return value


def _wider(argument: Any) -> Any:
    """Return double precision in the place of a lower one that a cast, a sum, a softmax is asked for."""
    return DOUBLE.get(argument, argument) if isinstance(argument, torch.dtype) else argument


def double(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor without its graph, in double precision."""
    return tensor.detach().to(DOUBLE.get(tensor.dtype, tensor.dtype))


def lowest_precision(answers: Sequence[torch.Tensor], leaves: Sequence[torch.Tensor]) -> str:
    """Return the lowest precision at work: of leaves, answers, and of all that autograd has recorded between them.

    Autocast shows in the graph only: leaves and answers are of single precision there.
    """
    kinds = {tensor.dtype for tensor in (*answers, *leaves)}
    waiting, seen = [answer.grad_fn for answer in answers], set[Any]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        kinds |= {each.dtype for each in getattr(node, "_input_metadata", ())}
        waiting += [before for before, _ in node.next_functions]
    real = {torch.complex64: torch.float32, torch.complex32: torch.float16}
    names = {PRECISIONS.get(real.get(kind, kind), "float64") for kind in kinds}
    return max(names, key=UNIT_ROUNDOFF.__getitem__)


def judged_in_double(reference: Reference, precision: str, checked: Sequence[torch.Tensor]) -> bool:
    """Say whether a reference is asked for: something that is checked is of a lower precision than double."""
    return reference is not None and precision != "float64" and any(tensor.dtype in DOUBLE for tensor in checked)


def narrowed(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return a tensor in the precision of another one, in its own memory layout: backward passes break in some."""
    made = tensor.to(like.dtype)
    if made.stride() == tensor.stride():
        return made
    laid: torch.Tensor = ADAPTER.laid_out(made, "expanded" if ADAPTER.overlaps(tensor) else "strided")
    return laid


@contextmanager
def doubling() -> Iterator[None]:
    """Run a function in double precision."""
    with eager(), Doubled():
        yield


@contextmanager
def eager() -> Iterator[None]:
    """Run compiled functions as they were written: compiling them again in double precision would take minutes."""
    dynamo = torch.compiler if "_dynamo" in vars(torch) else None
    if dynamo is None:
        yield
        return
    with dynamo.set_stance("force_eager"):
        yield


def tried(
    evaluate: Callable[..., T],
    off: Callable[[T], float],
    *,
    reference: Reference,
    precision: str,
    noun: str,
    drawn: Generators | None,
    notes: list[str],
) -> T | None:
    """Evaluate in double precision for the first time; None, and a note, where that cannot judge.

    Parameters
    ----------
    evaluate
        At the point; ``with_gradients=True`` where the function differentiates something itself.
    off
        By how much an answer differs from the one that was differentiated, relatively.
    reference
        As given: "float64" makes an error of what is a note otherwise.
    precision, noun
        The function's own, and what it is called.
    drawn
        The generators after the function's own call, where they are put back before each; as many numbers must be drawn.
    notes
        Are added to.

    Raises
    ------
    UsageError
    """
    why = ""
    for with_gradients in (False, True):
        try:
            answer = evaluate(with_gradients=with_gradients)
        except Exception as error:  # whatever it has against double precision, or against having no graph
            said = f"{type(error).__name__}: {_first_line(error)}{_culprit(error)}"
            why = f"the {noun} cannot be evaluated in float64: {said}"
            continue
        distance = off(answer)
        if distance > min(SAME * UNIT_ROUNDOFF[precision], LARGEST):
            why = f"in float64 the {noun} has another value (by {distance:.1e}, relatively, more than rounding makes)"
        elif drawn is not None and drawn.moved():
            why = f"the {noun} draws other random numbers in float64"
        else:
            notes.append(JUDGED.format(noun, precision))
            return answer
    if reference == "float64":
        raise UsageError(
            why,
            where='reference="float64"',
            meaning=f"It cannot judge what was worked out in {precision}",
            remedy=f'Make it run in float64, or give reference="auto": then it is checked in {precision}',
        )
    notes.append(f"Not judged by a reference: {why}. It was checked in its own precision, {precision}.")
    return None


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else "no message"


def _culprit(error: BaseException) -> str:
    """Name the user's innermost function on the way to an error, and its line."""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if not code.co_filename.startswith(FOLDERS) and Path(code.co_filename).name != "contextlib.py":
            found = f" (in {code.co_qualname}, line {line} of {Path(code.co_filename).name})"
    return found


class DoubledModule:
    """A module on loan in double precision.

    Parameters
    ----------
    replaced
        Context manager: puts other tensors in the places of a module's own, by their identity.
    tensors, checked
        All parameters and buffers; the parameters that are displaced.
    scripted
        Some module is a script.
    """

    def __init__(
        self,
        replaced: Callable[[Mapping[int, torch.Tensor]], Any],
        tensors: Any,
        checked: Sequence[torch.Tensor],
        *,
        scripted: bool,
    ) -> None:
        self.replaced = replaced
        self.scripted = scripted
        self.checked = list(checked)
        ids = {id(tensor) for tensor in self.checked}
        held = [tensor for tensor in tensors if id(tensor) not in ids]
        self.buffers = [tensor for tensor in held if not isinstance(tensor, torch.nn.Parameter)]
        self.frozen = {id(t): _parameter(double(t), t) for t in held if isinstance(t, torch.nn.Parameter)}

    @contextmanager
    def lend(self, values: Sequence[torch.Tensor]) -> Iterator[Self]:
        """Give the parameters these values, and the buffers copies of their own, for the time of one call."""
        if self.scripted:
            raise TypeError("parameters of a torch.jit script cannot be given another precision for one call")
        instead = {id(p): _parameter(value, p) for p, value in zip(self.checked, values, strict=True)}
        buffers = {id(buffer): double(buffer.clone()) for buffer in self.buffers}
        mode = Doubled()
        by_id = {**self.frozen, **instead, **buffers}
        # Whoever holds a parameter itself, and not by its module, is given the displaced values, too.
        mode.known.update({id(t): (t, by_id[id(t)]) for t in (*self.checked, *self.buffers) if t.dtype in DOUBLE})
        with self.replaced(by_id), eager(), mode:
            yield self


def _parameter(value: torch.Tensor, like: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(value, requires_grad=like.requires_grad)
