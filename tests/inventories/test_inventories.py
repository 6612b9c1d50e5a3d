"""The whole fleet, or every mistake with its place."""

import json
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringctl.core.errors import ExternalError, Finding, InvalidInput
from ringctl.core.fleet import Fleet
from ringctl.core.policy import InventorySpec
from ringctl.inventories import files
from ringctl.inventories.csv_file import CsvInventory
from ringctl.inventories.ndjson_file import NdjsonInventory

SPEC = InventorySpec(source="csv", path="accounts", traits=("region",), target=("database",))
CSV = """\
account_id,ring,size,region,database
a-1,0,10,eu,/d/a1.db
a-2,1,2.5e3,us,/d/a2.db
"""
ROWS = [
    {"account_id": "a-1", "ring": 0, "size": 10, "region": "eu", "database": "/d/a1.db"},
    {"account_id": "a-2", "ring": 1, "size": 2500.0, "region": "us", "database": "/d/a2.db"},
]


def read(tmp_path: Path, content: str | bytes, spec: InventorySpec = SPEC) -> Fleet:
    (tmp_path / "accounts").write_bytes(content.encode() if isinstance(content, str) else content)
    return CsvInventory().read(spec, tmp_path)


def read_ndjson(tmp_path: Path, content: str | bytes, spec: InventorySpec = SPEC) -> Fleet:
    (tmp_path / "accounts").write_bytes(content.encode() if isinstance(content, str) else content)
    return NdjsonInventory().read(spec, tmp_path)


def findings(tmp_path: Path, content: str | bytes, spec: InventorySpec = SPEC) -> tuple[Finding, ...]:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, content, spec)
    return caught.value.findings


def ndjson(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_csv_file_is_a_fleet(tmp_path: Path) -> None:
    fleet = read(tmp_path, CSV)
    assert [one.id for one in fleet.accounts] == ["a-1", "a-2"]
    assert [one.size for one in fleet.accounts] == [10.0, 2500.0]
    assert dict(fleet.accounts[0].columns) == {"ring": "0", "region": "eu", "database": "/d/a1.db"}
    assert (fleet.traits, fleet.target, fleet.source) == (("region",), ("database",), "csv")
    assert fleet.accounts[0].columns.get("absent") is None


def test_both_forms_are_the_same_fleet(tmp_path: Path) -> None:
    assert read_ndjson(tmp_path, ndjson(*ROWS)).digest == read(tmp_path, CSV).digest


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + CSV,
        CSV.replace("\n", "\r\n"),
        CSV + "\n\n",
        CSV.removesuffix("\n"),
        CSV.replace("a-1,", '"a-1",'),
    ],
)
def test_other_spellings_of_the_same_csv(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content).digest == read(tmp_path, CSV).digest


MISTAKES = [
    ("RC7001", CSV + "a-1,0,1,eu,/d/x.db\n", 4, 1, "stands in 2 rows"),
    ("RC7002", CSV.replace("a-2,1", ",1"), 3, 1, "no id"),
    ("RC7002", CSV.replace("a-2,1", "  ,1"), 3, 1, "no id"),
    ("RC7003", CSV.replace("size", "siez"), 1, 1, "no column `size`"),
    ("RC7003", CSV.replace("region", "regoin"), 1, 1, "`inventory.traits`"),
    ("RC7003", CSV.replace("account_id", "account"), 1, 1, "`inventory.id`"),
    ("RC7004", CSV.replace("2.5e3", "nan"), 3, 7, "`nan`"),
    ("RC7004", CSV.replace("2.5e3", "-1"), 3, 7, "`-1`"),
    ("RC7004", CSV.replace("2.5e3", "many"), 3, 7, "`many`"),
    ("RC7004", CSV.replace("2.5e3", "1e999"), 3, 7, "`1e999`"),
    ("RC7004", CSV.replace("2.5e3", "1_0"), 3, 7, "`1_0`"),
    ("RC7004", CSV.replace("2.5e3", "٣"), 3, 7, "not a number"),
    ("RC7004", CSV.replace("2.5e3", ""), 3, 7, "empty"),
    ("RC7004", CSV.replace("a-2,1,2.5e3", '"a-2","1,",x'), 3, 12, "`x`"),
    ("RC7005", CSV + "a-3,1\n", 4, 1, "2 cells, the header has 5"),
    ("RC7005", CSV + "a-3,1,5,eu,/d/,x.db\n", 4, 1, "6 cells"),
    ("RC7007", CSV.replace("a-2,1", "a\x1b[2J,1"), 3, 1, "control character"),
    ("RC7007", CSV.replace("a-2,1", "a\u202e2,1"), 3, 1, "control character"),
    ("RC7007", CSV.replace("a-2,1", '"a\n2",1'), 3, 1, "control character"),
    ("RC7007", CSV.replace("a-2,1", "x" * 257 + ",1"), 3, 1, "at most 256"),
    ("RC7007", CSV.replace("a-2,1", " a-2,1"), 3, 1, "blank"),
    ("RC7007", CSV.replace("/d/a2.db", "/d/a\x002.db"), 3, 16, "a target"),
    ("RC7008", "account_id,ring,size,region,database\n", 0, 0, "no accounts"),
    ("RC7008", "", 0, 0, "empty"),
    ("RC7009", CSV.replace("ring", "region"), 1, 24, "two columns"),
    ("RC7009", CSV.replace("ring", ""), 1, 12, "no name"),
    ("RC7010", CSV.replace("a2.db", "a1.db"), 3, 1, "belongs to 2 accounts"),
    ("RC7011", CSV + '"a-3,1,5,eu,x\n', 4, 1, "not CSV"),
    ("RC7011", CSV.replace(",", ";"), 1, 1, "one column"),
]


@pytest.mark.parametrize(("code", "content", "line", "column", "said"), MISTAKES)
def test_mistake_is_answered_in_its_place(
    tmp_path: Path, code: str, content: str, line: int, column: int, said: str
) -> None:
    found = findings(tmp_path, content)
    assert [(one.code, one.line, one.column) for one in found if one.code == code] == [(code, line, column)]
    assert said in " ".join(one.message for one in found)


def test_duplicates_name_all_their_lines(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, CSV + "a-1,0,1,eu,\n\na-1,0,1,eu,\n")
    assert found.items == ("line 2", "line 4", "line 6")


def test_every_mistake_is_said_at_once(tmp_path: Path) -> None:
    found = findings(tmp_path, CSV + ",0,x,eu,/d/a1.db\nb\n")
    assert [one.code for one in found] == ["RC7002", "RC7010", "RC7004", "RC7005"]
    assert found[2].source_line == ",0,x,eu,/d/a1.db"


def test_a_missing_column_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, CSV.replace("size", "siez"))
    assert found.known == ("account_id", "ring", "siez", "region", "database")
    assert found.hint == "did you mean `siez`?"
    (found,) = findings(tmp_path, CSV.replace("size", "rows"))
    assert "size: false" in found.hint


def test_accounts_may_have_no_size(tmp_path: Path) -> None:
    spec = InventorySpec(source="csv", path="accounts", size="")
    fleet = read(tmp_path, CSV.replace("size", "rows"), spec)
    assert fleet.accounts[0].size == 0.0
    assert fleet.accounts[0].columns["rows"] == "10"


def test_an_empty_database_is_no_shared_one(tmp_path: Path) -> None:
    assert len(read(tmp_path, CSV.replace("/d/a1.db", "").replace("/d/a2.db", "")).accounts) == 2


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (CSV.encode() + b"a-3,0,1,\xe4,x\n", 4, 9),
        (b"\xff\xfe" + CSV.encode("utf-16-le"), 1, 1),
        (b"\xe4", 1, 1),
    ],
)
def test_bytes_that_are_not_utf_8_are_refused(tmp_path: Path, content: bytes, line: int, column: int) -> None:
    (found,) = findings(tmp_path, content)
    assert (found.code, found.line, found.column) == ("RC7006", line, column)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        CsvInventory().read(SPEC, tmp_path)
    assert caught.value.code == "RC7012"
    (tmp_path / "accounts").mkdir()
    with pytest.raises(InvalidInput) as caught:
        CsvInventory().read(SPEC, tmp_path)
    assert caught.value.code == "RC7012"


def test_a_file_that_changes_meanwhile_is_no_fleet(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    path.write_text(CSV)

    def read_while_somebody_writes() -> None:
        with files.opened(path) as file:
            file.read()
            with path.open("a") as more:
                more.write("a-3,0,1,eu,x\n")

    with pytest.raises(ExternalError, match="changed while it was read"):
        read_while_somebody_writes()


NDJSON_MISTAKES = [
    ("RC7001", ndjson(*ROWS, {**ROWS[0], "database": ""}), 3, 1, "stands in 2 rows"),
    ("RC7002", ndjson({**ROWS[0], "account_id": None}), 1, 2, "no id"),
    ("RC7003", ndjson(ROWS[0], {"account_id": "x", "size": 1}), 2, 1, "no column `region`"),
    ("RC7004", ndjson({**ROWS[0], "size": "big"}), 1, 34, "`big`"),
    ("RC7004", ndjson({**ROWS[0], "size": -1}), 1, 34, "`-1`"),
    ("RC7004", ndjson({**ROWS[0], "size": True}), 1, 34, "`true`"),
    ("RC7009", '{"a": 1, "a": 2}\n', 1, 3, "given twice"),
    ("RC7011", '{"size": NaN}\n', 1, 10, "`NaN`"),
    ("RC7011", "[1]\n", 1, 1, "not a JSON object"),
    ("RC7011", ndjson({**ROWS[0], "region": ["eu"]}), 1, 47, "not a single value"),
    ("RC7011", ndjson({**ROWS[0], "region": "\ud800"}), 1, 47, "half a character"),
    ("RC7011", ndjson({**ROWS[0], "\ud800": ""}), 1, 1, "half a character"),
    ("RC7011", ndjson(*ROWS) + '{"account_id": "a-', 3, 16, "not JSON"),
    ("RC7011", "[" * 200_000, 1, 1, "deep"),
    ("RC7011", " " * 2_000_000, 1, 1, "characters"),
    ("RC7008", "\n\n", 0, 0, "no accounts"),
]


@pytest.mark.parametrize(("code", "content", "line", "column", "said"), NDJSON_MISTAKES)
def test_ndjson_mistake_is_answered_in_its_place(
    tmp_path: Path, code: str, content: str, line: int, column: int, said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_ndjson(tmp_path, content)
    found = [one for one in caught.value.findings if one.code == code]
    assert (found[0].line, found[0].column) == (line, column)
    assert said in found[0].message


def test_ndjson_numbers_are_kept_as_written(tmp_path: Path) -> None:
    text = '{"account_id": 7, "size": 1, "region": 1.50, "database": null, "ha": true}\n'
    (account,) = read_ndjson(tmp_path, text).accounts
    assert account.id == "7"
    assert dict(account.columns) == {"region": "1.50", "database": "", "ha": "true"}


def test_ndjson_rows_may_have_further_keys(tmp_path: Path) -> None:
    fleet = read_ndjson(tmp_path, ndjson(ROWS[0], {"extra": "x", **ROWS[1]}))
    assert [one.columns.get("extra") for one in fleet.accounts] == [None, "x"]


@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@pytest.mark.parametrize("inventory", [CsvInventory(), NdjsonInventory()], ids=["csv", "ndjson"])
def test_arbitrary_files_raise_nothing_but_invalid_input(
    tmp_path_factory: pytest.TempPathFactory, inventory: CsvInventory, content: bytes
) -> None:
    base = tmp_path_factory.mktemp("any")
    for start in (b"", b"account_id,size,region,database\n"):
        (base / "accounts").write_bytes(start + content)
        try:
            fleet = inventory.read(SPEC, base)
        except InvalidInput:
            continue
        assert fleet.accounts


@pytest.mark.parametrize("inventory", [CsvInventory(), NdjsonInventory()], ids=["csv", "ndjson"])
def test_a_hundred_thousand_accounts(tmp_path: Path, inventory: CsvInventory) -> None:
    count = 100_000
    with (tmp_path / "accounts").open("w") as file:
        if inventory.name == "csv":
            file.write("account_id,ring,size,region,database\n")
            file.writelines(f"a-{n:06},{n % 5},{n},eu-{n % 7},/d/{n:06}.db\n" for n in range(count))
        else:
            file.writelines(
                f'{{"account_id":"a-{n:06}","ring":{n % 5},"size":{n},"region":"eu-{n % 7}","database":"{n}"}}\n'
                for n in range(count)
            )
    began = time.process_time()
    fleet = inventory.read(SPEC, tmp_path)
    assert len(fleet.accounts) == count
    assert time.process_time() - began < 6, "usually under 1.5 s"
    del fleet
    tracemalloc.start()
    part = (tmp_path / "accounts").read_text().splitlines(keepends=True)[:10_001]
    (tmp_path / "accounts").write_text("".join(part))
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    fleet = inventory.read(SPEC, tmp_path)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert held / len(fleet.accounts) < 800, "bytes an account"
