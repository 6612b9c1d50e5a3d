"""The JSON Schemas say what the readers read."""

import dataclasses
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
import yaml

from ringctl.settings import bundle_fields, bundle_schema, policy_fields, policy_schema
from ringctl.settings.shown import Shape
from tests.settings.support import BUNDLE, POLICY
from tests.settings.test_policy import SMALLEST

SCHEMAS: dict[str, dict[str, Any]] = {"policy": dict(policy_schema()), "bundle": dict(bundle_schema())}


def wrong(kind: str, text: str) -> list[str]:
    validator = jsonschema.Draft7Validator(SCHEMAS[kind])
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schema_is_draft_07(kind: str) -> None:
    schema = SCHEMAS[kind]
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "$defs" not in repr(schema)
    assert "'null'" not in repr(
        {**schema, "definitions": {k: v for k, v in schema["definitions"].items() if k != "StepFields"}}
    )


@pytest.mark.parametrize(("kind", "text"), [("policy", POLICY), ("policy", SMALLEST), ("bundle", BUNDLE)])
def test_schema_accepts_what_loads(kind: str, text: str) -> None:
    assert wrong(kind, text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("limits: {size_factor", "limits: {size_facter"), ("min: 15m", "min: 15"), ("increase: 100%", "increase: 1"),
        ("metadata: {name: sprint-upgrade, owner", "metadata: {owner"), ("kind: Policy", "kind: Bundle"),
        ("accounts: 1%", "accounts: 0.1"), ("{gte: 1}", "{gth: 1}"), ("rings:", "windows: {}\nrings:"),
        ("min: 15m", 'min: ""'), ("owner: build-team", "owner: ~"), ("bake: {min: 15m", "bake: {min: [15m]"),
    ],
)  # fmt: skip
def test_schema_refuses_what_the_reader_refuses(old: str, new: str) -> None:
    assert old in POLICY
    assert wrong("policy", POLICY.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sql: 01_readers.sql, ", ""),
        ("id: warm\n", "id: warm\n    noop: {}\n"),
        ("timeout: 20m", "timeout: 20"),
    ],
)
def test_schema_knows_that_a_step_has_one_executor(old: str, new: str) -> None:
    assert old in BUNDLE
    assert wrong("bundle", BUNDLE.replace(old, new, 1))


def shapes() -> list[type]:
    return [
        shape
        for module in (policy_fields, bundle_fields)
        for shape in vars(module).values()
        if isinstance(shape, type) and issubclass(shape, Shape) and shape is not Shape
    ]


@pytest.mark.parametrize("shape", shapes(), ids=lambda shape: shape.__name__)
def test_every_key_is_described(shape: type) -> None:
    described = {**SCHEMAS["policy"]["definitions"], **SCHEMAS["bundle"]["definitions"]}
    described |= {"PolicyFields": SCHEMAS["policy"], "BundleFields": SCHEMAS["bundle"]}
    found = described[shape.__name__]
    assert found["description"]
    assert len(found["properties"]) == len(dataclasses.fields(shape))
    for name, piece in found["properties"].items():
        assert piece.get("description") or "$ref" in piece, f"{name} has no docstring"
    refused = getattr(shape, "REFUSED", {})
    assert not refused.keys() & found["properties"].keys()


def test_reading_a_policy_imports_no_pydantic() -> None:
    code = (
        "import sys, ringctl.settings as s\n"
        f"s.policy_from_text({SMALLEST.encode()!r}, 'p')\n"
        "print(sorted({'pydantic', 'httpx', 'rich', 'importlib.metadata'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
