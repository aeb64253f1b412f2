"""Taking nested containers apart, and naming what is in them as Python would write the path to it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from gradproof._words.errors import UsageError

if TYPE_CHECKING:
    import optree  # at run time it is loaded by the first container: imports stay cheap

NAMESPACE: Final = "gradproof"
LONE_NAME: Final = "point"


class Named(dict[str, Any]):
    """A flat container whose keys are the names of its leaves in full: a front end that knows better names gives them."""


class Spec(Protocol):
    """Puts the leaves of a container together again."""

    def unflatten(self, leaves: Iterable[Any], /) -> Any:
        """Return a container with these leaves."""


@dataclasses.dataclass(frozen=True, slots=True)
class NamedSpec:
    """Puts named leaves together again."""

    names: tuple[str, ...]

    def unflatten(self, leaves: Iterable[Any], /) -> Named:
        """Return them by name."""
        return Named(zip(self.names, leaves, strict=True))


def flatten(tree: Any, *, what: str = "point", none_is_leaf: bool = False) -> tuple[list[str], list[Any], Spec]:
    """Take a nested container apart.

    Parameters
    ----------
    tree
        Nested dict, list, tuple, namedtuple or dataclass, or `Named`; anything else is a leaf.
    what
        What it is, for error messages.
    none_is_leaf
        None is a leaf; otherwise it is a place without a parameter, part of the container.

    Returns
    -------
    list of str
        Names: paths as Python would write them; "point" for a lone leaf.
    list
        The leaves.
    Spec
        Puts leaves together again.

    Raises
    ------
    UsageError
        Where the container contains itself, or two of its paths read alike.
    """
    if type(tree) is Named:
        return list(tree), list(tree.values()), NamedSpec(tuple(tree))
    known = _lone.get((type(tree), none_is_leaf))
    if known is not None:
        return [LONE_NAME], [tree], known

    import optree

    _register_dataclasses(tree)
    try:
        with optree.dict_insertion_ordered(True, namespace=NAMESPACE):  # noqa: FBT003  # positional only
            accessors, leaves, treespec = optree.tree_flatten_with_accessor(
                tree, none_is_leaf=none_is_leaf, namespace=NAMESPACE
            )
    except RecursionError as error:
        raise UsageError(
            f"the {what} is a container that contains itself",
            meaning="It has no end to take it apart to",
            remedy="Give a tree of arrays",
        ) from error
    names = [_name(accessor) for accessor in accessors]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(
            f"two different keys of the {what} are written alike",
            where=twice,
            meaning="A block is known by its name",
            remedy="Use keys that can be told apart, such as strings or whole numbers",
        )
    if names == [LONE_NAME] and leaves[0] is tree:
        _lone[type(tree), none_is_leaf] = treespec  # whether a type is a leaf does not depend on its instance
    return names, leaves, treespec


_lone: Final[dict[tuple[type, bool], Spec]] = {}
"""Types that were found to be leaves."""


def below(name: str, path: str) -> str:
    """Return the name of what lies at a path within something that has a name."""
    if path == LONE_NAME:
        return name
    return f"{name}{path}" if path.startswith("[") else f"{name}.{path}"


def unknown_container(leaf: Any) -> str:
    """Return how to turn a leaf that is a container of an unknown kind into a known one; "" where it is none."""
    kind = type(leaf).__name__
    if isinstance(leaf, Mapping):
        return f"Convert the {kind} with dict(…)"
    if isinstance(leaf, (list, tuple, set, frozenset)):
        return f"Convert the {kind} with list(…)"
    return ""


def _register_dataclasses(tree: Any) -> None:
    """Teach optree, in our own namespace, each dataclass that occurs: its fields are its children."""
    stack, seen = [tree], set[int]()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, (list, tuple)):
            stack.extend(node)
        elif dataclasses.is_dataclass(node) and not isinstance(node, type):
            _register(type(node))
            stack.extend(getattr(node, field.name) for field in dataclasses.fields(node))


_registered: set[type] = set()


def _register(kind: type) -> None:
    if kind in _registered:
        return
    import optree

    names = tuple(field.name for field in dataclasses.fields(kind))

    def take_apart(instance: Any) -> tuple[tuple[Any, ...], Any, tuple[str, ...]]:
        return tuple(getattr(instance, name) for name in names), instance, names

    def put_together(original: Any, children: Iterable[Any]) -> Any:
        # A copy keeps what __post_init__ made beside the fields; its checks need not understand displaced values.
        instance = copy.copy(original)
        for name, child in zip(names, children, strict=True):
            object.__setattr__(instance, name, child)
        return instance

    optree.register_pytree_node(
        kind, take_apart, put_together, path_entry_type=optree.GetAttrEntry, namespace=NAMESPACE
    )
    _registered.add(kind)


def _name(accessor: optree.PyTreeAccessor) -> str:
    """Write a path as Python would, identifiers without quotes: ``encoder.layers[0].weight``."""
    if not len(accessor):
        return LONE_NAME
    import optree

    parts: list[str] = []
    for entry in accessor:
        if isinstance(entry, (optree.NamedTupleEntry, optree.StructSequenceEntry)):
            key: Any = entry.field
        elif isinstance(entry, optree.GetAttrEntry):
            key = entry.name
        else:
            key = entry.entry
        if isinstance(key, str) and key.isidentifier():
            parts.append(f".{key}" if parts else key)
        else:
            parts.append(f"[{key!r}]")
    return "".join(parts)
