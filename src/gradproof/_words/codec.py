"""Frozen dataclasses to JSON and back, by their annotations; NaN and infinities are spelled as strings."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import types
import typing
from typing import Any, TypeVar

SCHEMA = 1
T = TypeVar("T")


def dumps(value: Any) -> str:
    """Serialise a dataclass instance, with the schema number beside its fields."""
    return json.dumps({"schema": SCHEMA, **_encode(value)}, ensure_ascii=False, indent=1, allow_nan=False)


def loads(kind: type[T], text: str) -> T:
    """Rebuild an instance of `kind` from what `dumps` wrote.

    Raises
    ------
    ValueError
        Where the text is no JSON object, its schema is unknown, or a field is missing.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        msg = f"this is no {kind.__name__} of schema {SCHEMA} (found {found!r})"
        raise ValueError(msg)
    result: T = _decode(kind, data)
    return result


def _encode(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, float) and not math.isfinite(value):
        return repr(float(value))
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return value


def _decode(kind: Any, data: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        (inner,) = (arm for arm in typing.get_args(kind) if arm is not type(None))
        return _decode(inner, data)
    if origin is tuple:
        return tuple(_decode(typing.get_args(kind)[0], item) for item in data)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        known = {field.name for field in dataclasses.fields(kind)}
        try:
            return kind(**{name: _decode(hints[name], item) for name, item in data.items() if name in known})  # type: ignore[operator]
        except (TypeError, KeyError) as error:
            msg = f"a field of {getattr(kind, '__name__', kind)} is missing or not understood: {error}"
            raise ValueError(msg) from error
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind[data]
    return float(data) if kind is float else data
