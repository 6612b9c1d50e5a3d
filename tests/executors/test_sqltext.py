"""Statements, words and parameters are found in code only."""

import pytest

from ringctl.executors.sqltext import (
    POSTGRESQL,
    SQLITE,
    for_psycopg,
    forbidden,
    parameters,
    pieces,
    split,
)

TRIGGER = """
-- a comment; with a semicolon
CREATE TRIGGER t AFTER INSERT ON a BEGIN
  UPDATE a SET x = CASE WHEN x = ';' THEN 1 ELSE 2 END;
  DELETE FROM b;
END;
INSERT INTO a VALUES ('it''s; fine', "odd;name", `x;`, [y;]); /* ; */ SELECT 1
"""


def test_sqlite_statements_keep_triggers_whole() -> None:
    found = split(TRIGGER, SQLITE)
    assert [statement.words[0] for statement in found] == ["CREATE", "INSERT", "SELECT"]
    assert [statement.line for statement in found] == [2, 7, 7]
    assert "".join(statement.text for statement in found) == TRIGGER


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("SELECT $$ ; $$; SELECT $a$ ; $b$ ; $a$", 2),
        (r"SELECT E'\'; '; SELECT ';'", 2),
        ("/* ; /* ; */ ; */ SELECT 1", 1),
        ("SELECT $1; SELECT a$b$c;", 2),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3", 2),
        (" ; ;; -- nothing\n", 3),
        ("DO $$ BEGIN PERFORM 1; END $$", 1),
    ],
)  # fmt: skip
def test_postgresql_statements(text: str, count: int) -> None:
    assert len(split(text, POSTGRESQL)) == count or (count == 3 and len(split(text, POSTGRESQL)) == 0)


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL])
@pytest.mark.parametrize(
    "text", [TRIGGER, "", "'", '"', "/*", "--", "$$", "E'\\", "a'b", "$x$ $y$", "[", "`"]
)
def test_pieces_leave_no_gap(dialect: str, text: str) -> None:
    assert "".join(text[piece.start : piece.end] for piece in pieces(text, dialect)) == text


@pytest.mark.parametrize(
    "text",
    [
        "BEGIN", "begin immediate;", "UPDATE a SET b = 1; COMMIT;", "/* x */ END", "-- y\nROLLBACK", "ROLLBACK;",
        "ATTACH 'x' AS y", "DETACH y", "VACUUM", "PRAGMA journal_mode = wal", "PRAGMA main.synchronous=0",
    ],
)  # fmt: skip
def test_sqlite_refuses(text: str) -> None:
    assert [found.code for found in forbidden(text, SQLITE)] == ["RC6005"]


@pytest.mark.parametrize(
    "text",
    [
        "START TRANSACTION",
        "ABORT",
        "END;",
        "PREPARE TRANSACTION 'x'",
        "VACUUM a",
        "select 1; commit and chain",
    ],
)
def test_postgresql_refuses(text: str) -> None:
    assert [found.code for found in forbidden(text, POSTGRESQL)] == ["RC6005"]


def test_what_only_looks_like_a_transaction_is_allowed() -> None:
    text = "SAVEPOINT a; ROLLBACK TO a; RELEASE a; SELECT 'COMMIT;'; SELECT \"BEGIN\" -- COMMIT;\n; EXPLAIN SELECT 1"
    assert forbidden(text, SQLITE) == ()
    assert forbidden(text, POSTGRESQL) == ()
    assert forbidden("PRAGMA defer_foreign_keys = on; PRAGMA user_version = 3;" + TRIGGER, SQLITE) == ()
    assert forbidden("PREPARE p AS SELECT 1; DO $$ BEGIN NULL; END $$", POSTGRESQL) == ()


def test_finding_says_where() -> None:
    (found,) = forbidden("SELECT 1;\n\n  COMMIT;\n", SQLITE)
    assert (found.line, found.text) == (3, "COMMIT;")


def test_parameters_are_translated_in_code_only() -> None:
    text = (
        "UPDATE t SET a = ':lo', b = x::int, c = d % 2, e = '5%' -- :hi\n"
        "WHERE k BETWEEN :lo AND :hi AND z[1:hi] = :zz"
    )
    names = ("lo", "hi")
    assert for_psycopg(text, names) == (
        "UPDATE t SET a = ':lo', b = x::int, c = d %% 2, e = '5%%' -- :hi\n"
        "WHERE k BETWEEN %(lo)s AND %(hi)s AND z[1:hi] = :zz"
    )
    assert parameters(text, POSTGRESQL) == ("lo", "hi", "zz")
