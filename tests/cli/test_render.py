"""The formats: plain tables that fit, Markdown, JSON, NDJSON, YAML, JUnit."""

import json
import xml.etree.ElementTree as ET

import pytest

from ringctl.cli import invocation, machine, render, style
from ringctl.cli.invocation import Invocation
from ringctl.cli.machine import Case, Suite
from ringctl.cli.render import Busy, Grid, Line, View, cell, columns, emit, grid_lines, markdown, note, plain
from ringctl.cli.style import Painter, width
from ringctl.core.errors import UsageError

PLAIN = Painter(on=False)
GRID = Grid(columns=columns("NAME", ">COUNT", "~WHY"), rows=[["a", "1", "x" * 200], ["東京", "12,000", "-"]])


def test_tables_line_up_and_fit() -> None:
    lines = list(grid_lines(GRID, PLAIN, 60))
    assert max(map(width, lines)) <= 60
    assert lines[0].startswith("  NAME   COUNT  WHY")
    assert lines[1].startswith("  a          1  xxx")
    assert lines[1].endswith("…")
    assert lines[2] == "  東京  12,000  -"


def test_a_table_that_cannot_shrink_is_left_wide() -> None:
    lines = list(grid_lines(Grid(columns=columns("A"), rows=[["x" * 80]]), PLAIN, 40))
    assert lines[1] == "  " + "x" * 80


def test_rows_and_lines_are_coloured_when_asked_for() -> None:
    grid = Grid(columns=columns("A"), rows=[["x"]], styles={0: "bold red"})
    text = "\n".join(plain([grid, Line(text="t", style="green"), "p"], Painter(on=True)))
    assert "\x1b[1;31mx\x1b[0m" in text
    assert "\x1b[32mt\x1b[0m\np" in text


def test_markdown_escapes_what_acts() -> None:
    text = markdown(
        [Grid(columns=columns("A", ">B"), rows=[["a|b<c>`d`*", "1"]]), Line(text="# x"), "", "y_z"]
    )
    assert text == "| A | B |\n| --- | ---: |\n| a\\|b\\<c\\>\\`d\\`\\* | 1 |\n\n\\# x\n\ny\\_z\n"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(None, "-"), ("", "-"), (True, "yes"), (False, "no"), (12000, "12,000"), (1.23456, "1.235"),
     (123456.7, "123,457"), ("a\nb", "a\\nb")],
)  # fmt: skip
def test_cells(value: object, wanted: str) -> None:
    assert cell(value) == wanted


HOSTILE = "a\x1b\x7f\x9b\u202e\u2028\ud800\U000e0041é東"


def test_json_is_exact_and_acts_on_no_terminal() -> None:
    text = machine.json_text({"k": HOSTILE})
    assert json.loads(text) == {"k": HOSTILE}
    assert text.encode()
    assert not set("\x1b\x7f\x9b\u202e\u2028\ud800\U000e0041") & set(text)
    assert "é東" in text


def test_json_has_no_nan_and_no_foreign_values() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        machine.json_text(float("nan"))
    with pytest.raises(TypeError, match="no JSON for object"):
        machine.json_text(object())
    assert machine.json_text({"s": frozenset({"b", "a"}), "t": (1, 2), "r": range(2)}) == (
        '{"s": ["a", "b"], "t": [1, 2], "r": [0, 1]}'
    )


def test_yaml_is_ascii() -> None:
    text = machine.dumped({"schema": "x/v1", "k": "\u202eé"}, "yaml")
    assert text == 'schema: x/v1\nk: "\\u202E\\xE9"\n'


def test_junit_tells_failed_silent_and_waiting_apart() -> None:
    cases = [
        Case(name="a"), Case(name="b", failure='no <b> "x"\n\x1b'), Case(name="c", error="no data"),
        Case(name="d", waiting="later", message="m"),
    ]  # fmt: skip
    root = ET.fromstring(machine.junit([Suite(name="r&1", cases=cases)]))
    suite = root[0]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        "r&1",
        "4",
        "1",
        "1",
    )
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"], ["skipped"]]
    assert suite[1][0].text == 'no <b> "x"\n\\x1b'
    assert suite[3][0].get("message") == "m"


def show(output: str, capsys: pytest.CaptureFixture[str], **more: object) -> str:
    invocation.use(Invocation(output=output))
    emit(View(document=lambda: {"schema": "x/v1"}, blocks=lambda: ["text", GRID], **more))  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_emit_writes_the_format_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("json", capsys) == '{\n  "schema": "x/v1"\n}\n'
    assert show("yaml", capsys) == "schema: x/v1\n"
    assert show("ndjson", capsys) == '{"schema": "x/v1"}\n'
    assert show("ndjson", capsys, records=lambda: [{"a": 1}, {"a": 2}]) == '{"a": 1}\n{"a": 2}\n'
    assert show("markdown", capsys).startswith("text\n\n| NAME | COUNT |")
    assert show("table", capsys).startswith("text\n  NAME ")
    assert "<testsuites>" in show("junit", capsys, suites=lambda: [Suite(name="s")])


def test_emit_refuses_a_format_that_a_command_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="no -o junit"):
        show("junit", capsys)


def test_notes_are_silent_under_q(capsys: pytest.CaptureFixture[str]) -> None:
    note("a")
    invocation.use(Invocation(quiet=True))
    note("b")
    assert capsys.readouterr().err == "a\n"


def test_busy_says_nothing_of_quick_work_and_something_of_long_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Busy("planning"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for live, wanted in ((False, "planning ...\n"), (True, "planning ...\r\x1b[K")):
        busy = Busy("planning")
        busy.live = live
        with busy:
            busy._say()
        assert capsys.readouterr().err == wanted
    invocation.use(Invocation(quiet=True))
    with Busy("planning"):
        pass
    assert capsys.readouterr().err == ""


def test_a_file_that_cannot_be_written_is_a_usage_error(tmp_path: object) -> None:
    render.write_file(f"{tmp_path}/x", "a\ud800")
    with pytest.raises(UsageError, match=r"cannot write .*: Is a directory"):
        render.write_file(str(tmp_path), "x")


def test_columns_fall_back_to_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setattr("os.get_terminal_size", lambda _: os.terminal_size((72, 20)))
    assert style.columns_of({}) == 72
    monkeypatch.setattr("os.get_terminal_size", lambda _: os.terminal_size((0, 0)))
    assert style.columns_of({}) == 100
