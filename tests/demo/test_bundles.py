"""The demo's upgrade for real: the window of 2017, closing it, and going on from every half-done state."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from ringctl.demo.accounts import HOSTILE_NAMES, definition_names, encoded
from ringctl.demo.database import connect
from ringctl.demo.inspect import Sight, ledger, look, total
from ringctl.demo.material import READERS, STORIES, bundle_text, write_bundle, write_policy
from ringctl.demo.service import Service
from ringctl.demo.world import World
from ringctl.settings.policy import policy_from_text

TABLES = {"encode": ("build", "build_id"), "definitions": ("definition", "definition_id")}
# (batches of encode, batches of definitions): None is all of them
HALF_DONE = [(0, 0), (1, 0), (3, 0), (None, 0), (None, 1), (None, None)]


class Hands:
    """Runs steps of a bundle on the world's account, as far as asked."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.account = world.accounts[0]
        self.database = connect(self.account.database)

    def file(self, bundle: str, name: str) -> None:
        self.database.script(bundle_text(bundle, name))

    def batches(self, bundle: str, step: str, most: int | None, *, size: int = 7) -> None:
        table, key = TABLES[step]
        text = bundle_text(bundle, f"{step}.sql")
        [(last,)] = self.database.query(f"SELECT max({key}) FROM {table}")
        for done, low in enumerate(range(1, last + 1, size)):
            if most is not None and done >= most:
                return
            values = {":lo": str(low), ":hi": str(min(last, low + size - 1))}
            statement = text
            for name, value in values.items():
                statement = statement.replace(name, value)
            self.database.script(statement)

    def upgrade(self, bundle: str, encode: int | None = None, names: int | None = None) -> None:
        self.file(bundle, "readers.sql")
        self.batches(bundle, "encode", encode)
        self.batches(bundle, "definitions", names)

    def sight(self) -> Sight:
        return look(self.account)


@pytest.fixture
def hands(world: World) -> Iterator[Hands]:
    both = Hands(world)
    yield both
    both.database.close()


def test_before_the_upgrade_everything_is_there(hands: Hands) -> None:
    sight = hands.sight()
    assert sight.whole
    assert not sight.upgraded
    assert (sight.definitions, sight.builds) == (30, 200)
    names = definition_names(hands.account)
    assert all(any(name.endswith(hostile) for name in names) for hostile in HOSTILE_NAMES)


@pytest.mark.parametrize(("encode", "names"), HALF_DONE[:4])
def test_r1_opens_the_window_and_close_ends_it(hands: Hands, encode: int | None, names: int | None) -> None:
    service = Service(hands.world)
    before = service.get("acc-001", "")
    hands.upgrade("r1-window", encode, names)
    during = service.get("acc-001", "")
    assert (before.status, during.status) == (200, 200)
    assert before.items == 30 + 25
    assert json.loads(during.body) == {"definitions": [], "builds": []}
    assert during.queries == 2
    sight = hands.sight()
    assert (sight.missing_definitions, sight.missing_builds) == (30, 200)
    service.queue("acc-001", b'{"definition_id": 3, "name": "into the window "}')
    assert service.get("acc-001", "builds").items == 0, "a write must not end the emptiness"
    hands.file("r1-window", "close.sql")
    assert hands.sight().whole
    assert hands.sight().added_builds == 1
    shown = json.loads(service.get("acc-001", "builds").body)["builds"]
    assert shown[0]["name"] == "into the window "
    service.close()


def test_r1_carried_on_to_its_end_loses_nothing_for_good(hands: Hands) -> None:
    hands.upgrade("r1-window")
    assert hands.sight().whole
    assert hands.sight().upgraded


@pytest.mark.parametrize("close", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize(("encode", "names"), HALF_DONE)
@pytest.mark.parametrize("fault", ["window", "errors"])
def test_r2_finishes_whole_from_every_half_done_state(
    hands: Hands, fault: str, encode: int | None, names: int | None, close: bool
) -> None:
    first, second = STORIES[fault]
    service = Service(hands.world)
    hands.upgrade(first, encode, names)
    service.queue("acc-001", b'{"definition_id": 1, "name": "C:\\\\queued \'under\' r1~0 "}')
    if close:
        hands.file(first, "close.sql")
        assert hands.sight().whole
    hands.file(second, "readers.sql")
    assert hands.sight().whole, "readers of both forms end any window"
    for step in ("encode", "definitions"):
        hands.batches(second, step, 2)
        assert hands.sight().whole
        hands.batches(second, step, None)
        assert hands.sight().whole
    sight = hands.sight()
    assert sight.upgraded
    assert sight.added_builds == 1
    newest = json.loads(service.get("acc-001", "builds").body)["builds"][0]
    assert newest["name"] == "C:\\queued 'under' r1~0 "
    assert total([sight]).whole == total([sight]).upgraded == 1
    service.close()


def test_closing_is_harmless_at_any_time_and_twice(hands: Hands) -> None:
    for _ in range(2):
        hands.file("r1-window", "close.sql")
        assert hands.sight().whole
    hands.upgrade("r2-fixed")
    hands.file("r1-window", "close.sql")
    assert hands.sight().whole


def test_r1_errors_breaks_full_lists_only(hands: Hands) -> None:
    service = Service(hands.world)
    hands.file("r1-errors", "readers.sql")
    answers = {page: service.get("acc-001", page) for page in ("", "definitions", "builds")}
    assert {page: answer.status for page, answer in answers.items()} == {
        "": 200, "definitions": 200, "builds": 500,
    }  # fmt: skip
    assert b"requested_for" in answers["builds"].body
    assert answers[""].items == 55, "nothing is missing: only the error gate can see it"
    assert "requested_for" in hands.sight().broken
    hands.file("r1-errors", "close.sql")
    assert service.get("acc-001", "builds").status == 200
    service.close()


def test_new_builds_are_written_in_the_installed_form(hands: Hands) -> None:
    service = Service(hands.world)
    order = json.dumps({"definition_id": 2, "name": "a/b 'c' ~"}).encode()
    stored = "SELECT name, fmt FROM build ORDER BY build_id DESC LIMIT 1"
    assert service.queue("acc-001", order).status == 201
    assert hands.database.query(stored) == [("a/b 'c' ~", 0)]
    hands.file("r2-fixed", "readers.sql")
    assert service.queue("acc-001", order).status == 201
    assert hands.database.query(stored) == [(encoded("a/b 'c' ~"), 1)]
    service.close()


def test_ledger_is_read_where_there_is_one(hands: Hands) -> None:
    assert ledger(hands.account) == ()
    hands.database.script(
        "CREATE TABLE ringctl_ledger (step TEXT, fence BIGINT, cursor TEXT);"
        " INSERT INTO ringctl_ledger VALUES ('readers', 7, '')"
    )
    assert ledger(hands.account) == ({"step": "readers", "fence": 7, "cursor": ""},)


@hypothesis.given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
        | st.text("~0123456 \\/'\"%:?", max_size=12),
        min_size=1,
        max_size=20,
    )
)
def test_any_name_comes_back_as_it_was(names: list[str]) -> None:
    schema = Path(__file__).parents[2] / "ringctl/demo/sql/schema.sql"
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema.read_text())
    connection.executemany("INSERT INTO definition (name) VALUES (?)", [(name,) for name in names])
    text = bundle_text("r2-fixed", "definitions.sql")
    assert connection.execute(text, {"lo": 1, "hi": len(names)}).rowcount == len(names)
    stored = [row[0] for row in connection.execute("SELECT name FROM definition ORDER BY 1")]
    assert stored == sorted(encoded(name) for name in names)
    for readers in ("r1-window", "r2-fixed"):
        connection.executescript(bundle_text(readers, "readers.sql"))
        shown = connection.execute("SELECT name FROM definition_view ORDER BY definition_id")
        assert [row[0] for row in shown] == names
    connection.close()


@pytest.mark.parametrize("name", READERS)
def test_written_bundle_holds_every_file_it_names(tmp_path: Path, name: str) -> None:
    folder = write_bundle(tmp_path, name)
    manifest = yaml.safe_load((folder / "bundle.yaml").read_text())
    named = {step.get("sql") or step.get("batched_sql") for step in manifest["steps"]}
    if "close_window" in manifest:
        named.add(manifest["close_window"]["sql"])
    assert {path.name for path in folder.iterdir()} == named | {"bundle.yaml"}
    steps = [step["id"] for step in manifest["steps"]]
    assert steps == ["readers", "encode", "definitions"]
    assert set(manifest.get("from_step", {})) in (set(), set(steps))
    first = {name for name, _ in STORIES.values()}
    assert ("from_step" in manifest) == (name not in first)


def test_throttled_window_outlasts_the_gate_on_the_smallest_account(tmp_path: Path) -> None:
    for name in ("r1-window", "r1-errors"):
        manifest = yaml.safe_load(bundle_text(name, "bundle.yaml"))
        batch = manifest["steps"][1]["batch"]
        pauses = -(-40 // batch["max_rows"]) - 1
        assert pauses * int(batch["pause"].removesuffix("s")) >= 15


@pytest.mark.parametrize(
    ("kind", "url"), [("scrape", "http://127.0.0.1:1/metrics"), ("prometheus", "http://127.0.0.1:1")]
)
def test_policy_names_its_source(tmp_path: Path, kind: str, url: str) -> None:
    path = write_policy(tmp_path, kind, "http://127.0.0.1:1")
    assert policy_from_text(path.read_bytes(), str(path))[1] == (), "lint has nothing to say"
    policy = yaml.safe_load(path.read_text())
    assert policy["metrics"]["service"] == {"type": kind, "url": url, "timeout": "3s"}
    assert [ring["select"]["ring"] for ring in policy["rings"]] == [0, 1, 2]
