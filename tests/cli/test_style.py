"""Foreign text on a terminal: nothing of it acts."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringctl.cli.style import CAP, Painter, clip, columns_of, pad, show, wants_color, width

HOSTILE = [
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]8;;http://x\x07link\x1b]8;;\x07", "\x1b[2J\x1b[H",
    "\x1b[1A\x1b[2K", "\x1bPq\x1b\\", "\x1b_G\x1b\\", "\x1b^x\x1b\\", "\x1b[6n", "\x1b[?1049h",
    "\x9b31m", "\x9d0;t\x9c", "\x90q\x9c", "a\rb", "a\nb", "a\r\nb", "a\tb", "a\x0bb", "a\x0cb",
    "a\x08b", "a\x00b", "a\x7fb", "\x07", "\x05", "\x0e\x0f", "a\x85b", "a\u2028b", "a\u2029b",
    "\u202egnp.exe", "\u202dx", "\u202ax\u202c", "\u2066x\u2069", "\u2067x", "\u2068x", "\u200e",
    "\u200f", "\u061c", "a\u200bb", "a\u200cb", "a\u200db", "a\u2060b", "\ufeff", "a\u00adb",
    "a\u00a0b", "a\u2003b", "a\u3000b", "\u3164", "\u115f\u1160", "\uffa0", "\u2800", "\u034f",
    "\ue000", "\U000f0000", "\U0010ffff", "\ud800", "\udfff", "\U000e0041\U000e0042",
    "x" + "\u0301" * 50, "a\ufe0f", "\u180e", "\ufff9x\ufffb", "\ufffe", "error[RC0001]: \nok\x1b[32m",
    "x" * 100_000, "\x1b" * 5000, "\U000e0100",
]  # fmt: skip
ALLOWED_MARKS = 2


def is_harmless(text: str) -> bool:
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if category in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} or marks > ALLOWED_MARKS:
            return False
        if category == "Zs" and char != " ":
            return False
    return True


def test_there_are_sixty_hostile_texts() -> None:
    assert len(set(HOSTILE)) >= 60


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_text_is_one_harmless_line(text: str) -> None:
    shown = show(text)
    assert is_harmless(shown)
    assert shown.encode()
    assert shown != text
    assert len(shown) <= 10 * CAP + 20


@given(st.text(max_size=400))
def test_no_text_at_all_acts(text: str) -> None:
    assert is_harmless(show(text))


@pytest.mark.parametrize(
    "text", ["acct-1", "Müller & Söhne", "東京", "a.b-c_d:e/f", "Ångström", "naïve", "100 %"]
)
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert show(text) == text


def test_long_text_says_how_much_was_cut() -> None:
    assert show("x" * 300) == "x" * CAP + "…(+60)"


def test_numbers_and_nothing_are_shown() -> None:
    assert (show(5), show(None)) == ("5", "None")


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("東京", 4), ("e\u0301", 1), ("", 0)])
def test_width_counts_columns(text: str, columns: int) -> None:
    assert width(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "wanted"),
    [("abcdef", 4, "abc…"), ("abc", 3, "abc"), ("東京都", 4, "東…"), ("abc", 1, "…"), ("abc", 0, "")],
)
def test_clip_keeps_to_the_columns(text: str, columns: int, wanted: str) -> None:
    assert clip(text, columns) == wanted
    assert width(clip(text, columns)) <= columns


def test_pad_fills_left_or_right() -> None:
    assert (pad("東", 4), pad("1", 3, right=True), pad("long", 2)) == ("東  ", "  1", "long")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("when", "environ", "wanted"),
    [
        ("auto", {}, True),
        ("auto", {"NO_COLOR": "1"}, False),
        ("auto", {"NO_COLOR": ""}, True),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ("auto", {"TERM": "dumb"}, False),
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
    ],
)
def test_color_on_a_terminal(when: str, environ: dict[str, str], wanted: bool) -> None:
    assert wants_color(when, Terminal(), environ) is wanted


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "0"}, False), ({"FORCE_COLOR": ""}, False),
     ({"CLICOLOR_FORCE": "1"}, True)],
)  # fmt: skip
def test_color_in_a_pipe(environ: dict[str, str], wanted: bool) -> None:
    assert wants_color("auto", io.StringIO(), environ) is wanted


def test_painter_paints_only_when_on() -> None:
    assert Painter(on=True)("x", "bold", "red") == "\x1b[1;31mx\x1b[0m"
    assert Painter(on=False)("x", "red") == Painter(on=True)("x") == "x"


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ("80", 80),
        ("20", 40),
        ("500", 100),
        ("0", 100),
        ("-3", 100),
        ("abc", 100),
        ("²", 100),
        ("9" * 5000, 100),
    ],
)
def test_columns_are_forty_to_a_hundred(columns: str, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: int) -> None:
        raise OSError

    monkeypatch.setattr("os.get_terminal_size", none)
    assert columns_of({"COLUMNS": columns}) == wanted
