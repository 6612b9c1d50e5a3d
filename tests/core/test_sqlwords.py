"""Comments and layout are no change; whatever dialects disagree on is."""

import pytest

from ringctl.core.sqlwords import rewrites_stored_rows, tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select 1", "  SELECT_ ".replace("SELECT_", "select") + "\n\t1 "),
        ("select a from t", "select a -- why\nfrom /* here */ t\n"),
        ("select a=b", "select a = b"),
        ("update t set x = 1;", "-- head\n\nupdate t\n   set x = 1 ;\n"),
        ("select :lo, @a, $1", "select :lo , @a ,\n$1"),
        ("select a::int", "select a :: int"),
    ],
)
def test_layout_and_comments_do_not_count(one: str, other: str) -> None:
    assert tokens(one) == tokens(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select 'a b'", "select 'a  b'"),
        ("select 'x -- y'", "select 'x '"),
        ("select /*+ seq */ 1", "select 1"),
        ("select /*! 1 */ 1", "select 1"),
        ("select --+ full\n 1", "select 1"),
        ("select 5--3\n", "select 5\n"),
        ("select 1e-5", "select 1e - 5"),
        ("select $$a b$$", "select $$a  b$$"),
        ("select $t$a$t$", "select $u$a$u$"),
        ('select "a b"', 'select "a  b"'),
        ("select `a b`", "select `a  b`"),
        ("select [a b]", "select [a  b]"),
        ("select e'a\\'b'", "select e'a\\' b'"),
        ("select 'a'\n'b'", "select 'a' 'b'"),
        ("select 'a' -- x\n'b'", "select 'a' 'b'"),
        ("select 'it''s'", "select 'it' 's'"),
        ("select a < = b", "select a <= b"),
        ("select X", "select x"),
    ],
)
def test_what_acts_counts(one: str, other: str) -> None:
    assert tokens(one) is not None
    assert tokens(other) is not None
    assert tokens(one) != tokens(other)


@pytest.mark.parametrize(
    "text",
    [
        "select 'it\\'s'",
        "select 'open",
        "/* outer /* inner */ */ select 1",
        "/*+ hint /* inner */ */ select 1",
        "\\copy t from 'x'",
        "select \x00",
        'select "open',
    ],
)
def test_what_dialects_disagree_on_is_not_read(text: str) -> None:
    assert tokens(text) is None
    assert rewrites_stored_rows(text)


@pytest.mark.parametrize(
    "text",
    [
        "update t set x = 1",
        "select 1; delete from t",
        "with x as (select 1) insert into t select * from x",
        "create view v as select 1",
        "select * into t from u",
        "select my_function(1)",
        'select "My Function"(1)',
        "do $$ begin end $$",
        "call p()",
        "pragma user_version = 3",
        "backfill t",
    ],
)
def test_writing_is_seen(text: str) -> None:
    assert rewrites_stored_rows(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-- nothing",
        "select count(*), max(x) from t where a in (1, 2) and not (b = 3);",
        "with x as (select 1) select * from x; explain select 1",
        "select ((1 + 2) * 3)",
    ],
)
def test_reading_is_seen(text: str) -> None:
    assert not rewrites_stored_rows(text)
