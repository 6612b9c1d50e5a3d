"""Files with one mistake each: `«` marks where it stands."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from ringctl.core.errors import Finding, InvalidInput
from ringctl.settings import LoadedBundle, load_bundle, policy_from_text

MARK = "«"

POLICY = """\
apiVersion: ringctl/v1
kind: Policy
metadata: {name: sprint-upgrade, owner: build-team}
inventory: {source: csv, path: accounts.csv, size: builds, traits: [region], target: [database]}
metrics:
  prom: {type: prometheus, url: "http://127.0.0.1:9090", token: {file: prom.token}}
  edge: {type: scrape, url: "http://127.0.0.1:9100/metrics"}
gates:
  errors:
    source: prom
    bad: {counter: http_requests_total, match: {code: "5.."}}
    all: {counter: http_requests_total}
    compare: canary-vs-control
    fail_if: {increase: 100%}
  answers:
    source: edge
    value: {ratio: [{counter: items_total}, {counter: queries_total}]}
    fail_if: {becomes_empty: true, shift: 50%}
  slow: {source: steps, value: duration, fail_if: {p95: 15m}}
defaults: {every: 1m, false_alarm: 1%, gates: [errors, answers]}
rings:
  - name: internal
    select: {ring: 0}
    canary: {accounts: 2}
    bake: {min: 15m, activity: 200, max: 4h}
  - name: customers
    select: {ring: {gte: 1}}
    canary: {accounts: 1%, at_most: 20, prefer: {optin: true}}
    waves: [5%, 25%, 100%]
    max_failures: 0.5%
    gates: [errors, answers, slow]
limits: {size_factor: 4}
requalify: {accounts: 5, share: 1%, bake: {min: 45m}, reserve: 20%}
"""

BUNDLE = """\
apiVersion: ringctl/v1
kind: Bundle
metadata: {name: encode-names, version: "2017.9.29", component: build, author: build-oncall}
steps:
  - {id: readers, sql: 01_readers.sql, database: "{account.target.database}", timeout: 30s, undo: {sql: undo.sql}}
  - id: encode
    batched_sql: 02_encode.sql
    database: "{account.target.database}"
    table: build
    key: build_id
    batch: {target: 50ms, max_rows: 5000, pause: 20ms}
    timeout: 20m
    forward_only: true
  - id: warm
    command: [./warm.sh, "{account.id}"]
    env: [LANG]
    idempotent: true
    probe: {command: [./is-warm.sh, "{account.id}"]}
  - id: announce
    http: {url: "http://127.0.0.1:8000/{account.id}", headers: {X-Revision: "{revision}"}, expect: [200, 202]}
    probe: {http: {url: "http://127.0.0.1:8000/{account.id}"}}
live: {old_until: readers, new_from: readers}
close_window: {sql: close.sql}
budget: {window: 30s}
from_step: {readers: encode, older: encode}
"""

FILES = {
    "01_readers.sql": b"select 1;\n",
    "02_encode.sql": b"update build set name = name where build_id between :lo and :hi;\n",
    "undo.sql": b"select 2;\n",
    "close.sql": b"select 3;\n",
    "warm.sh": b"#!/bin/sh\n",
    "is-warm.sh": b"#!/bin/sh\n",
    "lib/helper.py": b"print()\n",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A text, and where its mistake stands."""

    text: str
    line: int
    column: int


def marked(base: str, old: str, new: str) -> Marked:
    """`base` with `old` replaced by `new`, in which `«` marks the mistake's place."""
    assert base.count(old) >= 1, old
    text = base.replace(old, new, 1)
    before, _, after = text.partition(MARK)
    assert MARK not in after
    lines = before.split("\n")
    return Marked(text=before + after, line=len(lines), column=len(lines[-1]) + 1)


def policy_findings(text: str | bytes) -> tuple[Finding, ...]:
    """What is wrong with a policy."""
    content = text.encode() if isinstance(text, str) else text
    with pytest.raises(InvalidInput) as caught:
        policy_from_text(content, "policy.yaml")
    return caught.value.findings


def write_bundle(directory: Path, manifest: str = BUNDLE) -> Path:
    """A bundle with all its files."""
    for name, content in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (directory / "bundle.yaml").write_text(manifest)
    return directory


def loaded(directory: Path, manifest: str = BUNDLE) -> LoadedBundle:
    """The bundle of that manifest."""
    return load_bundle(write_bundle(directory, manifest))


def bundle_findings(directory: Path) -> tuple[Finding, ...]:
    """What is wrong with a bundle."""
    with pytest.raises(InvalidInput) as caught:
        load_bundle(directory)
    return caught.value.findings


def expect_at(findings: tuple[Finding, ...], code: str, place: Marked, text: str) -> None:
    """One of the findings has this code, stands at the mark and says this; all can be shown."""
    said = "\n".join(f"{one.code} {one.position} {one.message} | {one.hint}" for one in findings)
    assert any(
        one.code == code
        and (one.line, one.column) == (place.line, place.column)
        and text in f"{one.message} {one.hint}"
        for one in findings
    ), f"wanted {code} at {place.line}:{place.column} with {text!r}, got:\n{said}"
    for one in findings:
        assert one.path.endswith(".yaml")
        assert one.message
        assert one.line == 0 or one.source_line or "token" in one.message or "password" in one.message
