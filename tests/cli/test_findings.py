"""Findings as people read them (snapshots) and as machines do."""

import pytest

from ringctl.cli import failures, findings
from ringctl.cli.invocation import Invocation
from ringctl.cli.style import Painter, width
from ringctl.core.errors import Finding, InvalidInput, NotFound, UnsafePlan

PLAIN = Painter(on=False)
UNKNOWN_KEY = Finding(
    code="RC3001",
    message="unknown key `drops` in gates.payload-size.fail_if",
    path="policies/sprint-upgrade.yaml",
    line=36,
    column=15,
    text="drops",
    source_line="    fail_if: {drops: 30%, confidence: 95%}",
    known=("above", "confidence", "drop", "increase", "p95"),
)


def test_a_finding_looks_as_promised() -> None:
    assert (
        findings.render([UNKNOWN_KEY], PLAIN)
        == """\
error[RC3001]: unknown key `drops` in gates.payload-size.fail_if
  --> policies/sprint-upgrade.yaml:36:15
36 |     fail_if: {drops: 30%, confidence: 95%}
   |               ^^^^^ did you mean `drop`?
   = known here: above, confidence, drop, increase, p95        more: ringctl explain RC3001
"""
    )


def test_a_finding_about_a_whole_file_has_no_source() -> None:
    finding = Finding(code="RC3012", message="no such file", path="x.yaml", hint="check the path")
    assert (
        findings.render([finding], PLAIN)
        == """\
error[RC3012]: no such file
  --> x.yaml
   = check the path
   = more: ringctl explain RC3012
"""
    )


def test_a_warning_says_so_and_lists_items() -> None:
    finding = Finding(code="RC2103", message="m", severity="warning", items=("a", "b\x1b[0m"))
    assert (
        findings.render([finding], PLAIN)
        == """\
warning[RC2103]: m
   = 2: a, b\\x1b[0m
   = more: ringctl explain RC2103
"""
    )


def test_many_items_are_cut_with_the_way_to_all_of_them() -> None:
    finding = Finding(code="RC7020", message="m", items=tuple(f"a{number}" for number in range(500)))
    text = findings.render([finding], PLAIN)
    assert "500: a0, a1" in text
    assert "300 more (-o json lists every one)" in " ".join(text.split())
    assert len(findings.as_json(finding)["items"]) == 500  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [40, 60, 100])
@pytest.mark.parametrize("column", [1, 50, 300, 900])
def test_long_lines_are_cut_around_the_mark(columns: int, column: int) -> None:
    source = "".join(chr(97 + number % 26) for number in range(1000))
    marked = source[column - 1 : column + 5]
    finding = Finding(
        code="RC3001",
        message="m",
        path="p",
        line=1234,
        column=column,
        text=marked,
        source_line=source,
        hint="h " * 60,
    )
    lines = findings.render([finding], PLAIN, columns).splitlines()
    shown, under = lines[2], lines[3]
    assert max(map(width, lines)) <= columns
    at = under.index("^")
    assert shown[at : at + len(marked)] == marked
    assert under.count("^") == len(marked)


def test_carets_stand_under_wide_and_escaped_characters() -> None:
    source = "東\t\x1b: bad"
    finding = Finding(code="RC3001", message="m", path="p", line=1, column=6, text="bad", source_line=source)
    lines = findings.render([finding], PLAIN).splitlines()
    assert lines[2] == "1 | 東\\t\\x1b: bad"
    assert lines[3].index("^") == width(lines[2][: lines[2].index("bad")])


def test_a_column_beyond_the_line_still_points() -> None:
    finding = Finding(code="RC3001", message="m", path="p", line=1, column=99, text="x", source_line="ab")
    assert "^" in findings.render([finding], PLAIN)


def test_known_names_wrap() -> None:
    finding = Finding(code="RC3001", message="m", known=tuple(f"name{number}" for number in range(40)))
    assert max(map(width, findings.render([finding], PLAIN, 60).splitlines())) <= 60


def test_colour_is_on_only_when_asked_for() -> None:
    assert "\x1b[" in findings.render([UNKNOWN_KEY], Painter(on=True))
    assert "\x1b[" not in findings.render([UNKNOWN_KEY], PLAIN)


def test_summary_counts_errors_and_warnings() -> None:
    warning = Finding(code="RC3020", message="m", severity="warning")
    assert findings.summary([UNKNOWN_KEY], 1) == "1 error in 1 file, nothing was changed"
    assert findings.summary([UNKNOWN_KEY, UNKNOWN_KEY, warning], 2, "") == "2 errors and 1 warning in 2 files"
    assert findings.summary([], 1, "") == "no errors in 1 file"
    assert findings.summary([warning], 0, "") == "1 warning"


def test_an_error_prints_all_its_findings() -> None:
    out, err = failures.rendered(InvalidInput([UNKNOWN_KEY, UNKNOWN_KEY]), Invocation(output="json"))
    assert err.count("error[RC3001]") == 2
    assert err.endswith("2 errors in 1 file, nothing was changed\n")
    assert out.count('"code": "RC3001"') == 3
    _, unsafe = failures.rendered(UnsafePlan([Finding(code="RC2101", message="m")]), Invocation())
    assert unsafe.startswith("error[RC2101]: m")


def test_an_error_without_findings_names_its_page() -> None:
    _, err = failures.rendered(NotFound("no\x1b x", hint="look"), Invocation())
    assert err == "error[RC2404]: no\\x1b x\n   = look\n   = more: ringctl explain RC2404\n"


@pytest.mark.parametrize("columns", range(9, 40))
def test_a_number_stays_with_its_unit(columns):
    lines = list(findings.wrapped("", "share 0.0083 % after 3.0 s or 1 d 04 h, of 12 accounts s", columns))
    assert (
        " ".join(line.strip() for line in lines) == "share 0.0083 % after 3.0 s or 1 d 04 h, of 12 accounts s"
    )
    for kept in ("0.0083 %", "3.0 s", "1 d", "04 h,"):
        assert any(kept in line for line in lines)
    assert columns < 12 or max(map(len, lines)) <= columns
