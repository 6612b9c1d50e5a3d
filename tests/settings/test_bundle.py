"""What a bundle means, what its digest covers, and that it survives the store."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringctl.core.bundle import Bundle, Live
from ringctl.core.digests import sha256_hex
from ringctl.core.errors import InvalidInput
from ringctl.core.timing import MINUTE, SECOND
from ringctl.settings import bundle_from_manifest, load_bundle, manifest_text
from tests.settings.support import BUNDLE, FILES, loaded, write_bundle

DATABASE = "{account.target.database}"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return loaded(tmp_path).bundle


def test_steps_have_one_normal_form(bundle: Bundle) -> None:
    readers, encode, warm, announce = bundle.steps
    assert readers.options == {"file": "01_readers.sql", "database": DATABASE}
    assert readers.undo == {"sql": "undo.sql", "database": DATABASE}
    assert readers.files == ("01_readers.sql", "undo.sql")
    assert (readers.timeout_us, readers.line) == (30 * SECOND, 5)
    assert encode.options == {
        "file": "02_encode.sql",
        "database": DATABASE,
        "table": "build",
        "key": "build_id",
        "batch": {"target_us": 50_000, "max_rows": 5000, "pause_us": 20_000},
    }
    assert (encode.timeout_us, encode.forward_only) == (20 * MINUTE, True)
    assert warm.options == {"argv": ["./warm.sh", "{account.id}"], "env": ["LANG"]}
    assert warm.probe == {"command": ["./is-warm.sh", "{account.id}"], "env": []}
    assert warm.idempotent
    assert announce.options == {
        "url": "http://127.0.0.1:8000/{account.id}",
        "method": "POST",
        "headers": {"X-Revision": "{revision}"},
        "expect": [200, 202],
    }
    assert announce.probe == {
        "http": {
            "url": "http://127.0.0.1:8000/{account.id}",
            "method": "GET",
            "expect": [200],
            "absent": [404],
        }
    }


def test_the_rest_of_the_manifest(bundle: Bundle) -> None:
    assert (bundle.name, bundle.version, bundle.component, bundle.author) == (
        "encode-names",
        "2017.9.29",
        "build",
        "build-oncall",
    )
    assert bundle.live == Live(old_until="readers", new_from="readers")
    assert bundle.window_us == 30 * SECOND
    assert bundle.from_step == {"readers": "encode", "older": "encode"}
    close = bundle.close_window
    assert close is not None
    assert (close.id, close.executor) == ("close_window", "sql")
    assert close.options == {"file": "close.sql", "database": DATABASE}, "the steps' own database"
    assert close.digest


def test_a_command_may_read_every_file_that_no_step_names(bundle: Bundle) -> None:
    assert bundle.step("warm").files == ("is-warm.sh", "lib/helper.py", "warm.sh")
    assert bundle.step("encode").files == ("02_encode.sql",)
    assert bundle.files == {name: sha256_hex(content) for name, content in FILES.items()}


def test_contents_are_the_bytes_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    for name in (".git/config", "__pycache__/x.pyc", "lib/.hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert loaded(tmp_path).contents == FILES


def test_defaults_and_other_forms(tmp_path: Path) -> None:
    text = """\
apiVersion: ringctl/v1
kind: Bundle
metadata: {name: a, version: "1", component: c}
steps:
  - {id: one, noop: }
  - {id: two, noop: {}}
  - {id: three, command: [python3, ./lib/../warm.sh, "--id={account.id}", ""]}
  - {id: four, sql: ./01_readers.sql, database: "a/{account.id}.db", params: {account: "{account.id}"}}
  - {id: five, http: {url: "{account.target.url}/x", body: {"a{": ["{task.key}", 1, null]}}}
"""
    bundle = loaded(tmp_path, text).bundle
    one, _, three, four, five = bundle.steps
    assert one.options == {}
    assert one.timeout_us == 60 * SECOND
    assert three.options["argv"] == ["python3", "./warm.sh", "--id={account.id}", ""]
    assert four.options == {
        "file": "01_readers.sql",
        "database": "a/{account.id}.db",
        "params": {"account": "{account.id}"},
    }
    assert five.options["body"] == {"a{": ["{task.key}", 1, None]}
    assert bundle.author == ""
    assert bundle.close_window is None
    assert bundle.live == Live()


def test_close_window_and_undo_may_be_any_action(tmp_path: Path) -> None:
    text = BUNDLE.replace("{sql: close.sql}", "{command: [./is-warm.sh], timeout: 5s}")
    text = text.replace("undo: {sql: undo.sql}", 'undo: {http: {url: "http://a/", method: DELETE}}')
    bundle = loaded(tmp_path, text).bundle
    close = bundle.close_window
    assert close is not None
    assert close.options == {"argv": ["./is-warm.sh"], "env": []}
    assert close.timeout_us == 5 * SECOND
    assert {"close.sql", "lib/helper.py"} < set(close.files), "a command may read what no step names"
    assert bundle.steps[0].undo == {"http": {"url": "http://a/", "method": "DELETE"}}
    other = loaded(tmp_path / "b", BUNDLE.replace("{sql: close.sql}", '{http: {url: "http://a/"}}')).bundle
    assert other.close_window is not None
    assert other.close_window.options == {"url": "http://a/", "method": "POST"}
    assert bundle_from_manifest(manifest_text(other)) == other


def test_a_bundle_survives_the_store(bundle: Bundle) -> None:
    again = bundle_from_manifest(manifest_text(bundle))
    assert again == bundle
    assert again.digest == bundle.digest
    assert manifest_text(again) == manifest_text(bundle)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"executor":"batched_sql"', '"executor":"sql"'),
        (DATABASE, "{account.target.other}"),
        ('"timeout_us":30000000', '"timeout_us":30000001'),
        (sha256_hex(FILES["warm.sh"]), sha256_hex(b"other")),
        ('"files":{', '"filed":{'),
        ('"max_rows":5000', '"max_rows":1e999'),
    ],
)
def test_an_altered_manifest_is_refused(bundle: Bundle, old: str, new: str) -> None:
    text = manifest_text(bundle)
    assert old in text
    with pytest.raises(InvalidInput) as caught:
        bundle_from_manifest(text.replace(old, new, 1))
    assert caught.value.code == "RC3019"


@given(st.one_of(st.text(max_size=200), st.integers(0, 20_000).map(lambda n: "[" * n)))
def test_arbitrary_manifests_raise_nothing_but_invalid_input(text: str) -> None:
    with pytest.raises(InvalidInput):
        bundle_from_manifest(text)


@given(data=st.data())
def test_mangled_manifests_raise_nothing_but_invalid_input(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = write_bundle(tmp_path_factory.mktemp("bundle"))
    start = data.draw(st.integers(0, len(BUNDLE)))
    end = data.draw(st.integers(start, min(len(BUNDLE), start + 40)))
    middle = data.draw(
        st.sampled_from(["", "{", "}", "[", "]", "- ", "x: ", "~", "5", "'", '"', "{}", "[]", "\n"])
    )
    (directory / "bundle.yaml").write_text(BUNDLE[:start] + middle + BUNDLE[end:])
    try:
        bundle = load_bundle(directory).bundle
    except InvalidInput:
        return
    assert bundle_from_manifest(manifest_text(bundle)) == bundle


def test_what_does_not_act_does_not_change_the_digest(tmp_path: Path, bundle: Bundle) -> None:
    other = tmp_path / "other"
    for text in (
        "# hello\n" + BUNDLE,
        BUNDLE.replace("author: build-oncall", "author: somebody"),
        BUNDLE.replace("timeout: 20m\n    forward_only: true", "forward_only: true\n    timeout: 1200s"),
        BUNDLE.replace("{older: encode", "{older: encode").replace("table: build", "table: 'build'"),
        BUNDLE.replace("[200, 202]", "[202, 200]"),
    ):
        assert loaded(other, text).bundle.digest == bundle.digest


CHANGES = [
    ("encode-names", "other"),
    ("2017.9.29", "2017.9.30"),
    ("component: build", "component: test"),
    ("id: warm", "id: warmer"),
    ("01_readers.sql, ", "undo.sql, "),
    ("close.sql}", f'close.sql, database: "{DATABASE}/x"}}'),
    ("timeout: 30s", "timeout: 31s"),
    ("undo: {sql: undo.sql}", "undo: {sql: close.sql}"),
    (", undo: {sql: undo.sql}", ""),
    ("table: build\n", "table: builds\n"),
    ("key: build_id", "key: id"),
    ("target: 50ms", "target: 51ms"),
    ("max_rows: 5000", "max_rows: 5001"),
    ("pause: 20ms", "pause: 0ms"),
    ("    forward_only: true\n", ""),
    ('warm.sh, "{account.id}"]\n    env', 'warm.sh, "{account.size}"]\n    env'),
    ("env: [LANG]", "env: [TZ]"),
    ("    idempotent: true\n", ""),
    ('is-warm.sh, "{account.id}"', "is-warm.sh"),
    ("{revision}", "{task.key}"),
    ("[200, 202]", "[200]"),
    ("live: {old_until: readers, new_from: readers}", "live: {new_from: readers}"),
    ("new_from: readers", "new_from: encode"),
    ("close_window: {sql: close.sql}", "close_window: {sql: undo.sql}"),
    ("close_window: {sql: close.sql}\n", ""),
    ("window: 30s", "window: 31s"),
    ("readers: encode", "readers: warm"),
    (", older: encode", ""),
]


@pytest.mark.parametrize(("old", "new"), CHANGES, ids=[f"{old}-{new}"[:60] for old, new in CHANGES])
def test_every_acting_setting_changes_the_digest(tmp_path: Path, bundle: Bundle, old: str, new: str) -> None:
    assert old in BUNDLE
    assert loaded(tmp_path / "other", BUNDLE.replace(old, new, 1)).bundle.digest != bundle.digest


@pytest.mark.parametrize("name", FILES)
def test_every_acting_byte_changes_the_digest(tmp_path: Path, bundle: Bundle, name: str) -> None:
    directory = write_bundle(tmp_path / "other")
    content = bytearray(FILES[name])
    content[-1] ^= 1
    (directory / name).write_bytes(content)
    assert load_bundle(directory).bundle.digest != bundle.digest


def test_the_order_of_steps_and_a_new_file_change_the_digest(tmp_path: Path, bundle: Bundle) -> None:
    directory = write_bundle(tmp_path / "other")
    (directory / "new.txt").write_text("a command may read it")
    assert load_bundle(directory).bundle.digest != bundle.digest
    two = "steps:\n  - {id: a, noop: {}}\n  - {id: b, noop: {}}\n"
    head = BUNDLE[: BUNDLE.index("steps:")]
    first = loaded(tmp_path / "first", head + two).bundle
    second = loaded(
        tmp_path / "second",
        head + two.replace("id: b", "id: c").replace("id: a", "id: b").replace("id: c", "id: a"),
    ).bundle
    assert first.digest != second.digest


def test_warnings_name_what_deserves_a_second_look(tmp_path: Path) -> None:
    text = BUNDLE.replace("close_window: {sql: close.sql}\n", "").replace("    idempotent: true\n", "")
    text = text.replace('    probe: {command: [./is-warm.sh, "{account.id}"]}\n', "")
    said = " ".join(one.message for one in loaded(tmp_path, text).warnings)
    for words in ("between two versions", "no `close_window`", "nobody can find out"):
        assert words in said
    assert loaded(tmp_path).warnings == ()
