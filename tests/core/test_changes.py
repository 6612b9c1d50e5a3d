"""The class of a change: in doubt the higher one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from ringctl.core.bundle import Bundle, Live, StepSpec, step_digest
from ringctl.core.changes import BundleChange, StepChange, change_class, compare, highest
from ringctl.core.digests import digest, sha256_hex

UPDATE = b"update build set name = 'x' where id between :lo and :hi;\n"
READ = b"select count(*) from build;\n"


def step(step_id: str, file: str, executor: str = "sql", **more: Any) -> StepSpec:
    more.setdefault("options", {"file": file, "database": "d"})
    return StepSpec(id=step_id, executor=executor, files=(file,), **more)


def bundle(
    *steps: StepSpec, contents: Mapping[str, bytes], **more: Any
) -> tuple[Bundle, Mapping[str, bytes]]:
    files = {path: sha256_hex(content) for path, content in contents.items()}
    digested = tuple(replace(one, digest=step_digest(one, files)) for one in steps)
    said = {name: str(value) for name, value in more.items()}
    fields = {"name": "b", "version": "1", "component": "build", "author": "a", **more}
    whole = digest([[one.digest for one in digested], files, said])
    return Bundle(steps=digested, files=files, document={}, digest=whole, **fields), contents


def diff(old: tuple[Bundle, Mapping[str, bytes]], new: tuple[Bundle, Mapping[str, bytes]]) -> BundleChange:
    return compare(old[0], new[0], old[1], new[1])


def changed(old: bytes, new: bytes, executor: str = "sql") -> BundleChange:
    return diff(
        bundle(step("a", "a.sql", executor), contents={"a.sql": old}),
        bundle(step("a", "a.sql", executor), contents={"a.sql": new}),
    )


def test_same_digest_is_none() -> None:
    one = bundle(step("a", "a.sql"), contents={"a.sql": UPDATE})
    found = diff(one, one)
    assert found == BundleChange(steps=(StepChange(step="a", kind="same"),), parts=(), change="none")


@pytest.mark.parametrize(
    ("old", "new", "executor", "wanted"),
    [
        (UPDATE, b"-- why\n" + UPDATE, "batched_sql", "cosmetic"),
        (READ, b"select max(id) from build;", "sql", "code"),
        (READ, UPDATE, "sql", "data-shape"),
        (UPDATE, READ, "sql", "data-shape"),
        (UPDATE, b"\xff\xfe", "sql", "data-shape"),
        (b"'open", READ, "sql", "data-shape"),
        (b"echo", b"echo # x", "command", "data-shape"),
    ],
)
def test_a_changed_file_has_the_class_of_what_it_does(
    old: bytes, new: bytes, executor: str, wanted: str
) -> None:
    found = changed(old, new, executor)
    assert found.change == wanted
    assert found.steps == (StepChange(step="a", kind="changed", parts=("a.sql",), change=wanted),)


@pytest.mark.parametrize(
    ("more", "part", "wanted"),
    [
        ({"timeout_us": 5}, "timeout", "timing"),
        ({"idempotent": True}, "idempotent", "code"),
        ({"forward_only": True}, "forward_only", "code"),
        ({"scope": "database"}, "scope", "code"),
        ({"probe": {"sql": "p.sql"}}, "probe", "probe"),
        ({"undo": {"sql": "u.sql"}}, "undo", "data-shape"),
        ({"options": {"file": "a.sql", "database": "d", "batch": {"max_rows": 5}}}, "batch", "timing"),
        ({"options": {"file": "a.sql", "database": "other"}}, "database", "data-shape"),
    ],
)
def test_a_changed_part_has_its_class(more: dict[str, Any], part: str, wanted: str) -> None:
    old = bundle(step("a", "a.sql"), contents={"a.sql": UPDATE})
    new = bundle(step("a", "a.sql", **more), contents={"a.sql": UPDATE})
    found = diff(old, new)
    assert found.steps == (StepChange(step="a", kind="changed", parts=(part,), change=wanted),)
    assert found.change == wanted


def test_another_executor_is_data_shape() -> None:
    old = bundle(step("a", "a.sql"), contents={"a.sql": UPDATE})
    new = bundle(step("a", "a.sql", "batched_sql"), contents={"a.sql": UPDATE})
    assert diff(old, new).steps[0].parts == ("executor",)
    assert diff(old, new).change == "data-shape"


def test_a_probe_s_own_file_is_probe() -> None:
    files = ("a.sh", "is-warm.sh")
    probe = {"command": ["./is-warm.sh", "{account.id}"], "timeout": 5}
    spec = StepSpec(id="a", executor="command", options={}, files=files, probe=probe)
    old = bundle(spec, contents={"a.sh": b"1", "is-warm.sh": b"1"})
    new = bundle(spec, contents={"a.sh": b"1", "is-warm.sh": b"2"})
    assert diff(old, new).change == "probe"


def test_a_file_that_a_step_begins_to_list_is_a_change() -> None:
    contents = {"a.sql": UPDATE, "b.sql": UPDATE}
    one = StepSpec(id="a", executor="sql", options={}, files=("a.sql",))
    old, new = (
        bundle(one, contents=contents),
        bundle(replace(one, files=("a.sql", "b.sql")), contents=contents),
    )
    assert diff(old, new).steps[0].parts == ("b.sql",)
    assert diff(old, new).change == "data-shape"


@pytest.mark.parametrize(
    ("content", "executor", "wanted"),
    [(READ, "sql", "code"), (UPDATE, "sql", "data-shape"), (READ, "http", "data-shape")],
)
def test_added_and_removed_steps_have_the_class_of_what_they_do(
    content: bytes, executor: str, wanted: str
) -> None:
    contents = {"a.sql": UPDATE, "b.sql": content}
    short = bundle(step("a", "a.sql"), contents={"a.sql": UPDATE})
    long = bundle(step("a", "a.sql"), step("b", "b.sql", executor), contents=contents)
    added, removed = diff(short, long), diff(long, short)
    assert added.steps[1] == StepChange(step="b", kind="added", parts=("step",), change=wanted)
    assert removed.steps[1] == StepChange(step="b", kind="removed", parts=("step",), change=wanted)
    assert added.change == removed.change == wanted


def test_another_order_is_data_shape() -> None:
    contents = {"a.sql": READ, "b.sql": READ, "c.sql": READ}
    a, b, c = (step(name, f"{name}.sql") for name in "abc")
    found = diff(bundle(a, b, c, contents=contents), bundle(b, a, c, contents=contents))
    assert [(one.step, one.kind) for one in found.steps] == [("b", "moved"), ("a", "moved"), ("c", "same")]
    assert found.change == "data-shape"


@pytest.mark.parametrize(
    ("more", "part", "wanted"),
    [
        ({"version": "2"}, "metadata", "cosmetic"),
        ({"component": "other"}, "component", "data-shape"),
        ({"window_us": 5}, "budget", "timing"),
        ({"live": Live(old_until="a")}, "live", "code"),
        ({"reapply": "always"}, "reapply", "code"),
        ({"from_step": {"a": "a"}}, "from_step", "code"),
        ({"flags": ("x",)}, "flags", "code"),
        ({"close_window": step("close_window", "a.sql")}, "close_window", "data-shape"),
    ],
)
def test_what_belongs_to_no_step_has_its_class(more: dict[str, Any], part: str, wanted: str) -> None:
    old = bundle(step("a", "a.sql"), contents={"a.sql": UPDATE})
    found = diff(old, bundle(step("a", "a.sql"), contents={"a.sql": UPDATE}, **more))
    assert (found.parts, found.change) == ((part,), wanted)


def test_a_changed_close_window_is_compared_as_a_step() -> None:
    def with_closer(content: bytes) -> tuple[Bundle, Mapping[str, bytes]]:
        closer = step("close_window", "close.sql")
        contents = {"a.sql": READ, "close.sql": content}
        return bundle(step("a", "a.sql"), contents=contents, close_window=closer)

    found = diff(with_closer(UPDATE), with_closer(UPDATE + b"-- said\n"))
    assert (found.parts, found.change) == (("close_window.close.sql",), "cosmetic")


@pytest.mark.parametrize(("executor", "wanted"), [("sql", "cosmetic"), ("command", "data-shape")])
def test_a_file_that_no_step_lists_counts_where_commands_run(executor: str, wanted: str) -> None:
    def with_readme(content: bytes) -> tuple[Bundle, Mapping[str, bytes]]:
        contents = {"a.sql": UPDATE, "lib.sh": content, "bundle.yaml": content, "same": b""}
        return bundle(step("a", "a.sql", executor), contents=contents)

    found = diff(with_readme(b"1"), with_readme(b"2"))
    assert (found.parts, found.change) == (("lib.sh",), wanted)


def test_other_bytes_are_never_less_than_cosmetic() -> None:
    old = bundle(step("a", "a.sql"), contents={"a.sql": UPDATE, "bundle.yaml": b"a: 1"})
    new = bundle(step("a", "a.sql"), contents={"a.sql": UPDATE, "bundle.yaml": b"a:  1"})
    assert diff(old, new).change == "cosmetic"


def test_change_class_is_the_highest() -> None:
    old = bundle(step("a", "a.sql"), contents={"a.sql": READ})
    new = bundle(step("a", "a.sql", timeout_us=5), contents={"a.sql": UPDATE})
    assert change_class(old[0], new[0], old[1], new[1]) == "data-shape"


def test_highest_of_nothing_is_none() -> None:
    assert highest([]) == "none"
    assert highest(["timing", "data-shape", "cosmetic"]) == "data-shape"
