"""What the values of the files look like in the JSON Schema; the parsers are in `units`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from ringctl.settings import units
from ringctl.settings.keys import key_of

Fragment = Mapping[str, object]


@dataclass(frozen=True, slots=True, eq=False)  # a mapping has no hash
class Shown:
    """A piece of JSON Schema that stands for an annotated type (read by pydantic, which is not needed here)."""

    fragment: Fragment

    def __get_pydantic_json_schema__(self, _core: object, _handler: object) -> dict[str, object]:
        """The piece, as pydantic asks for it."""
        return dict(self.fragment)


def _pattern(pattern: str) -> Fragment:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


def _either(*fragments: Fragment) -> Fragment:
    return {"anyOf": [dict(one) for one in fragments]}


def _choice(*options: str) -> Fragment:
    return {"type": "string", "enum": list(options)}


_TEXT: Fragment = {"type": "string", "minLength": 1}
_COUNT: Fragment = {"type": "integer", "minimum": 0}
_NUMBER: Fragment = {"type": "number", "minimum": 0}
_SHARE = _pattern(r"[0-9]+(\.[0-9]+)?%")
_SPAN = _pattern(r"(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?")
_SCALAR: Fragment = {"type": ["string", "number", "boolean"]}
_MANY: Fragment = {"type": "array", "items": _SCALAR, "minItems": 1}
_BOUNDS: Fragment = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "in": _MANY,
        "not": _either(_SCALAR, _MANY),
        **{op: {"type": "number"} for op in ("gte", "gt", "lte", "lt")},
    },
}

Text = Annotated[str, Shown(_TEXT)]
Name = Annotated[str, Shown(_pattern(units.NAME))]
Metric = Annotated[str, Shown(_pattern(units.METRIC))]
Label = Annotated[str, Shown(_pattern(units.LABEL))]
Identifier = Annotated[str, Shown(_pattern(units.IDENTIFIER))]
Variable = Annotated[str, Shown(_pattern(units.VARIABLE))]
Duration = Annotated[str, Shown(_SPAN)]
Share = Annotated[str, Shown(_SHARE)]
Count = Annotated[int, Shown(_COUNT)]
Amount = Annotated[int | str, Shown(_either(_COUNT, _SHARE))]
Ceiling = Annotated[float | str, Shown(_either(_NUMBER, _SHARE, _SPAN))]
P95 = Annotated[float | str, Shown(_either(_NUMBER, _SPAN))]
Size = Annotated[str | bool, Shown(_either(_TEXT, {"const": False}))]
Selection = Annotated[
    Mapping[str, object],
    Shown({"type": "object", "additionalProperties": _either(_SCALAR, _BOUNDS)}),
]
Expect = Annotated[
    tuple[int, ...],
    Shown({"type": "array", "items": {"type": "integer", "minimum": 100, "maximum": 599}, "minItems": 1}),
]
Body = Annotated[object, Shown({"type": ["string", "object", "array"]})]
Empty = Annotated[
    Mapping[str, object] | None,
    Shown({"type": ["object", "null"], "maxProperties": 0}),
]
ApiVersion = Annotated[str, Shown({"const": "ringctl/v1"})]
Version = Annotated[str, Shown(_pattern(r"[^\s{}]{1,100}"))]
PolicyKind = Annotated[str, Shown({"const": "Policy"})]
BundleKind = Annotated[str, Shown({"const": "Bundle"})]
Pointer = Annotated[str, Shown(_pattern(units.POINTER))]
Accounts = Annotated[str, Shown(_choice(*units.ACCOUNTS))]
Compare = Annotated[str, Shown(_choice("canary-vs-control", "before-vs-after", "unchanged", "threshold"))]
WithoutControl = Annotated[str, Shown(_choice("before-vs-after", "threshold"))]
Silence = Annotated[str, Shown(_choice("hold", "fail"))]
Cohorts = Annotated[str, Shown(_choice("learnt", "alike"))]
Builtin = Annotated[str, Shown(_choice("overshoot", "recreated"))]
Unassigned = Annotated[str, Shown(_choice("error", "last-ring", "ignore"))]
Promote = Annotated[str, Shown(_choice("auto"))]
Reapply = Annotated[str, Shown(_choice("never"))]
Scope = Annotated[str, Shown(_choice("account"))]
Method = Annotated[str, Shown(_choice("GET", "POST", "PUT", "PATCH", "DELETE"))]


class Shape:
    """Base of all shapes: no key but the fields', docstrings as descriptions."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {
        "extra": "forbid",
        "use_attribute_docstrings": True,
        "alias_generator": key_of,
    }


def exactly_one(*names: str) -> Callable[[dict[str, Any]], None]:
    """Adds to a schema that exactly one of these keys is there."""

    def extend(schema: dict[str, Any]) -> None:
        schema["oneOf"] = [{"required": [name]} for name in names]

    return extend
