"""Every mistake in a bundle is answered with its place, its code and the way out."""

import os
from pathlib import Path

import pytest

from ringctl.core.errors import Finding, InvalidInput
from ringctl.settings import load_bundle
from tests.settings.support import (
    BUNDLE,
    MARK,
    bundle_findings,
    expect_at,
    marked,
    write_bundle,
)

CASES = [
    ("RC3001", "forward_only: true", "«forward_onli: true", "did you mean `forward_only`"),
    ("RC3001", "env: [LANG]", "env: [LANG]\n    «table: build", "not for `command`"),
    ("RC3001", "timeout: 30s", "«idempotent: true", "not for `sql`"),
    ("RC3001", "timeout: 30s", "«probe: {}", "not for `sql`"),
    ("RC3001", "{target: 50ms", "{«taget: 50ms", "did you mean `target`"),
    ("RC3002", "id: encode", "id: encode\n    «id: encode", "given twice"),
    ("RC3003", '"2017.9.29"', "«2017", 'write "2017"'),
    ("RC3003", '[./warm.sh, "{account.id}"]', "«./warm.sh now", "[./warm.sh now]?"),
    ("RC3003", '"{account.id}"]\n    env', "«7]\n    env", 'write "7"'),
    ("RC3003", "idempotent: true", "idempotent: «yes", "true?"),
    ("RC3003", "undo: {sql: undo.sql}", "undo: «undo.sql", "{sql: undo.sql}"),
    ("RC3004", "timeout: 20m", "timeout: «20", "20s? 20m?"),
    ("RC3004", "window: 30s", "window: «30 sec", "30s?"),
    ("RC3006", "component: build, ", "", "`component` is missing in metadata"),
    ("RC3006", "    table: build\n", "", "`table` is missing in steps[1]"),
    ("RC3006", 'sql, database: "{account.target.database}", ', "sql, ", "`database` is missing"),
    ("RC3006", "    batched_sql: 02_encode.sql\n", "", "does not say what runs"),
    ("RC3006", "{sql: close.sql}", "«{timeout: 3s}", "needs one of command, http, sql"),
    ("RC3006", "undo: {sql: undo.sql}", "undo: «{}", "needs one of"),
    ("RC3007", "batched_sql: 02", "«bathed_sql: 02", "did you mean `batched_sql`"),
    ("RC3007", "http: {url", "«kubernetes: {url", "there is no executor `kubernetes`"),
    ("RC3007", "new_from: readers", "new_from: «reders", "did you mean `readers`"),
    ("RC3007", "older: encode", "older: «encoding", "did you mean `encode`"),
    (
        "RC3007",
        'url: "http://127.0.0.1:8000/{account.id}", headers',
        'method: «post, url: "http://a/", headers',
        "POST",
    ),
    ("RC3010", "id: warm", "id: «encode", "two steps are called `encode`"),
    ("RC3010", "id: warm", "id: «close_window", "that name is taken"),
    ("RC3012", "02_encode.sql", "«02_encod.sql", "did you mean `02_encode.sql`"),
    ("RC3012", "[./warm.sh", "[«./warn.sh", "did you mean `warm.sh`"),
    ("RC3012", "{sql: close.sql}", "{sql: «shut.sql}", "no file `shut.sql`"),
    ("RC3012", "env: [LANG]", "files: [«.hidden]", "hidden files"),
    ("RC3013", "02_encode.sql", "«../02_encode.sql", "leads out of the bundle"),
    ("RC3013", "02_encode.sql", "«/etc/passwd", "not a path inside the bundle"),
    ("RC3013", "[./warm.sh", "[«./../warm.sh", "leads out"),
    ("RC3013", "02_encode.sql", "«lib/../../x.sql", "leads out"),
    ("RC3015", './warm.sh, "{account.id}"', './warm.sh, «"{account.name}"', "{account.name}"),
    ("RC3015", '"{revision}"', '«"{env.HOME}"', "is no placeholder"),
    ("RC3015", './warm.sh, "{account.id}"', './warm.sh, «"{ account.id }"', "write {account.id}"),
    ("RC3015", './warm.sh, "{account.id}"', './warm.sh, «"{account.id"', "not closed"),
    ("RC3015", "[./warm.sh, ", '[«"{account.target.program}", ', "decide what runs"),
    ("RC3015", './warm.sh, "{account.id}"', './warm.sh, «"./{account.id}.sh"', "decide what runs"),
    (
        "RC3015",
        'database: "{account.target.database}"\n',
        'database: «"{account.database}"\n',
        "no placeholder",
    ),
    ("RC3016", "key: build_id", 'key: «"build_id; drop"', "a plain SQL name"),
    ("RC3016", "max_rows: 5000", "max_rows: «0", "1 to 10000000"),
    ("RC3016", "timeout: 20m", "timeout: «8d", "100ms to 7d"),
    ("RC3016", "expect: [200, 202]", "expect: [«99]", "a status code"),
    ("RC3016", "expect: [200, 202]", "expect: «[]", "is empty"),
    ("RC3016", "env: [LANG]", "env: [«LANG=C]", "environment variable"),
    ("RC3016", '"http://127.0.0.1:8000/{account.id}", headers', "«file:///etc, headers", "http or https"),
    ("RC3016", "X-Revision", '«"X Revision"', "a header name"),
    ("RC3016", '{url: "http://127.0.0.1:8000/{account.id}"}', '«{url: "http://a/", absent: [200]}', "both"),
    ("RC3016", '[./warm.sh, "{account.id}"]', "«[]", "names no program"),
    ("RC3017", "sql: 01_readers.sql,", "sql: 01_readers.sql, «noop: {},", "two executors"),
    ("RC3017", "{sql: close.sql}", "«{sql: close.sql, command: [true]}", "needs one of"),
    ("RC3018", "apiVersion", "«probes: p.py\napiVersion", "no rehearsal yet"),
    ("RC3018", "apiVersion", "«fixtures: {}\napiVersion", "not supported"),
    ("RC3018", "{window: 30s}", "{window: 30s, «stall: 3ms}", "not supported"),
    ("RC3018", "{window: 30s}", "{window: 30s, «statement: 1s}", "not supported"),
    ("RC3018", "author: build-oncall", "«flags: [x]", "not supported"),
    ("RC3018", "id: warm", "id: warm\n    scope: «database", "not supported"),
    ("RC3018", "apiVersion", "reapply: «always\napiVersion", "not supported"),
]


@pytest.mark.parametrize(
    ("code", "old", "new", "said"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)]
)
def test_mistake_is_answered_in_its_place(tmp_path: Path, code: str, old: str, new: str, said: str) -> None:
    if MARK in new:
        place = marked(BUNDLE, old, new)
        expect_at(bundle_findings(write_bundle(tmp_path, place.text)), code, place, said)
    else:
        findings = bundle_findings(write_bundle(tmp_path, BUNDLE.replace(old, new, 1)))
        assert any(one.code == code and said in one.message for one in findings), findings


def test_a_bundle_without_steps_is_refused(tmp_path: Path) -> None:
    head, tail = BUNDLE.index("steps:"), BUNDLE.index("live:")
    text = BUNDLE[:head] + "steps: []\n" + BUNDLE[tail:]
    assert "RC3006" in {one.code for one in bundle_findings(write_bundle(tmp_path, text))}


def test_an_absent_directory_or_manifest_is_refused(tmp_path: Path) -> None:
    assert [one.code for one in bundle_findings(tmp_path / "nothing")] == ["RC3012"]
    (tmp_path / "a.sql").write_text("select 1")
    (finding,) = bundle_findings(tmp_path)
    assert (finding.code, finding.known) == ("RC3012", ("a.sql",))


def test_links_and_pipes_are_refused_even_where_nothing_names_them(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (tmp_path / "outside.sql").write_text("select 1")
    (bundle / "link.sql").symlink_to(tmp_path / "outside.sql")
    (bundle / "folder").symlink_to(tmp_path)
    os.mkfifo(bundle / "pipe")
    findings = bundle_findings(bundle)
    assert [one.code for one in findings] == ["RC3013"] * 3
    assert {Path(one.path).name for one in findings} == {"link.sql", "folder", "pipe"}


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    Path(os.fsdecode(os.fsencode(bundle) + b"/\xff.sql")).write_bytes(b"")
    (bundle / "line\nbreak").write_bytes(b"")
    assert [one.code for one in bundle_findings(bundle)] == ["RC3013", "RC3013"]


def test_a_bundle_over_the_cap_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    for name in ("a", "b"):
        with (bundle / f"{name}.bin").open("wb") as file:
            file.truncate(40 * 1024 * 1024)
    (finding,) = bundle_findings(bundle)
    assert finding.code == "RC3014"
    assert finding.path.endswith("b.bin")


def test_executors_say_what_is_wrong_with_their_own_steps(tmp_path: Path) -> None:
    wrong = Finding(code="RC6003", message="not like this")
    hint = Finding(code="RC6009", message="have a look", severity="hint")
    text = BUNDLE.replace('http: {url: "http://127.0.0.1:8000/{account.id}"', "queue: {topic: x", 1)
    start, end = text.index("  - id: announce"), text.index("live:")
    text = text[:start] + "  - {id: announce, queue: {topic: x}, size: 5}\n" + text[end:]
    bundle = write_bundle(tmp_path, text)
    known = {**dict.fromkeys(("sql", "batched_sql", "command")), "queue": lambda spec: (wrong,)}
    with pytest.raises(InvalidInput) as caught:
        load_bundle(bundle, known)
    (finding,) = caught.value.findings
    assert (finding.code, finding.line, finding.path) == ("RC6003", 19, str(bundle / "bundle.yaml"))
    loaded = load_bundle(bundle, {**known, "queue": lambda spec: (hint,)})
    assert loaded.warnings[0].message == "have a look"
    assert loaded.bundle.step("announce").options == {"topic": "x", "size": 5}
