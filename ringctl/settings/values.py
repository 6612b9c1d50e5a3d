"""Core values to plain JSON and back, exactly.

Stored policies and bundles are read back by any later version: a field that is absent takes its default,
a field that is not known is refused. The digest of a stored document is over the document itself, so
that a field added later does not change what was pinned.
"""

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Value = TypeVar("Value")


class Misfit(ValueError):
    """A plain value does not fit the type it is meant for."""


def to_plain(value: object) -> object:
    """Dataclasses, tuples and mappings as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: to_plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [to_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    return value


def from_plain(wanted: type[Value], value: object) -> Value:
    """The value of that type. Raises Misfit, naming the place."""
    fitted: Value = _fit(wanted, value, "document")
    return fitted


@cache
def _hints(wanted: type) -> Mapping[str, Any]:
    return get_type_hints(wanted)


def _fit(wanted: Any, value: object, where: str) -> Any:
    if wanted is object:
        return value
    origin = get_origin(wanted)
    if dataclasses.is_dataclass(wanted):
        return _fit_fields(wanted, value, where)
    if origin in {Union, types.UnionType}:
        return _fit_union(get_args(wanted), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise Misfit(f"{where} is no list")
        item = get_args(wanted)[0]
        return tuple(_fit(item, one, f"{where}[{place}]") for place, one in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise Misfit(f"{where} is no mapping")
        item = get_args(wanted)[1]
        return {key: _fit(item, one, f"{where}.{key}") for key, one in value.items()}
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise Misfit(f"{where} is not of type {getattr(wanted, '__name__', wanted)}")
    return value


def _fit_fields(wanted: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise Misfit(f"{where} is no mapping")
    hints = _hints(wanted)
    names = {one.name for one in dataclasses.fields(wanted)}
    unknown = sorted(str(key) for key in value.keys() - names)
    if unknown:
        raise Misfit(f"{where} has unknown fields: {', '.join(unknown)[:200]}")
    fitted = {key: _fit(hints[key], one, f"{where}.{key}") for key, one in value.items()}
    try:
        return wanted(**fitted)
    except TypeError:
        raise Misfit(f"{where} lacks fields") from None


def _fit_union(options: tuple[Any, ...], value: object, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    for option in options:  # an exact type first: 1 is an int, not a float
        if option is type(value):
            return value
    for option in options:
        if option is type(None):
            continue
        try:
            return _fit(option, value, where)
        except Misfit:
            continue
    raise Misfit(f"{where} fits none of its types")
