"""Every built-in source on a stage of the conformance suite, with what can go wrong beneath it."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from pathlib import Path

import psycopg

from ringctl.metrics.exposition import escaped
from ringctl.metrics.http import Http
from ringctl.metrics.prometheus import Prometheus
from ringctl.metrics.scrape import Scrape
from ringctl.metrics.sql import Sql
from ringctl.testing.source_suite import EVERY, HOSTILE, Fault, Rows, Stage
from tests.metrics.faulty import Answer, Asked, FaultServer, Handler, success
from tests.support.proxy import Proxy

NOW = 1_700_000_000.25
SECRET = "s3cret-token"
HUGE = 33 * 1024 * 1024
QUERY = "SELECT account, total FROM counters"
MATCHED = re.compile(r'account=~"((?:[^"\\]|\\.)*)"')


def fixed(answer: Answer) -> Callable[[Asked, Handler], Answer]:
    return lambda *_: answer


def shortened(asked: Asked, before: Handler) -> Answer:
    """The real answer, ended in the middle of a text, as by a proxy that does not know the whole length."""
    answer = before(asked)
    body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    return replace(answer, body=body[: body.rindex(b'"')])


def padded(asked: Asked, before: Handler) -> Answer:
    answer = before(asked)
    body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    return replace(answer, body=body + b" " * HUGE)


def delayed(asked: Asked, before: Handler) -> Answer:
    return replace(before(asked), delay_s=1.5)


HTTP_FAULTS: Mapping[str, tuple[str, Callable[[Asked, Handler], Answer]]] = {
    "500": ("RC8005", fixed(Answer(status=500, body="\x1b[31moops\x00" + "x" * 5000))),
    "503 of a proxy": ("RC8005", fixed(Answer(status=503, body="<html>no upstream</html>"))),
    "not found": ("RC8005", fixed(Answer(status=404))),
    "no content": ("RC8005", fixed(Answer(status=204))),
    "redirect": ("RC8005", fixed(Answer(status=302, headers={"Location": "/login?" + "n" * 5000}))),
    "expired token": ("RC8002", fixed(Answer(status=401, body="expired"))),
    "forbidden": ("RC8002", fixed(Answer(status=403))),
    "login page": (
        "RC8003",
        fixed(Answer(body="<!DOCTYPE html><p>sign in</p>", headers={"Content-Type": "text/html"})),
    ),
    "empty": ("RC8003", fixed(Answer(body="", length=1))),
    "truncated": ("RC8003", shortened),
    "cut short": ("RC8003", fixed(Answer(body="{", length=1000))),
    "gzip garbage": ("RC8003", fixed(Answer(body=b"\x1f\x8b\x08no", headers={"Content-Encoding": "gzip"}))),
    "not UTF-8": ("RC8003", fixed(Answer(body=b'{"a": "\xff\xfe"}'))),
    "huge": ("RC8003", padded),
}


def http_faults(server: FaultServer) -> dict[str, Fault]:
    def happens(change: Callable[[Asked, Handler], Answer]) -> Callable[[], AbstractContextManager[object]]:
        return lambda: server.answering(change)

    found = {name: Fault(code=code, happen=happens(change)) for name, (code, change) in HTTP_FAULTS.items()}
    return {
        "stopped": Fault(code="RC8001", happen=server.down),
        "slow": Fault(code="RC8004", happen=lambda: server.answering(delayed), timeout_s=0.3),
        **found,
    }


# -- scrape ------------------------------------------------------------------------------------------
def exposition(rows: Rows) -> str:
    lines = (f'requests_total{{account="{escaped(name)}"}} {value}\n' for name, value in rows)
    return "".join(lines)


def scrape(server: FaultServer, _: Path) -> Stage:
    def show(rows: Rows) -> None:
        server.handler = lambda _: Answer(body=exposition(rows))

    faults = http_faults(server)
    faults["huge"] = Fault(code="RC8003", happen=lambda: server.answering(padded))
    return Stage(source=Scrape("s", {"url": server.url}), show=show, faults=faults, can=EVERY - {"nothing"})


# -- http --------------------------------------------------------------------------------------------
def http(server: FaultServer, folder: Path) -> Stage:
    (folder / "token").write_text(SECRET)

    def show(rows: Rows) -> None:
        tenants = [
            {"id": name} if value is None else {"id": name, "n": {"requests": value}} for name, value in rows
        ]
        body = json.dumps({"data": {"tenants": tenants}})
        server.handler = lambda _: Answer(body=body, headers={"Date": formatdate(NOW, usegmt=True)})

    def more(asked: Asked, before: Handler) -> Answer:
        answer = before(asked)
        return replace(answer, headers={**answer.headers, "Link": '</s?page=2>; rel="next"'})

    def kept(asked: Asked, before: Handler) -> Answer:
        answer = before(asked)
        return replace(answer, headers={**answer.headers, "Age": "61"})

    place = {"items": "/data/tenants", "account": "/id", "value": "/n/requests"}
    options = {"url": server.url, "token": {"file": "token"}, "counters": {"requests_total": place}}
    odd = {
        "a list": "[]",
        "no list": '{"data": {"tenants": 5}}',
        "other items": '{"data": {"tenants": [{}]}}',
    }
    faults = {
        **http_faults(server),
        "next page": Fault(code="", happen=lambda: server.answering(more)),
        "out of a cache": Fault(code="RC8007", happen=lambda: server.answering(kept)),
    }
    for name, body in odd.items():
        change = fixed(Answer(body=body))
        faults[name] = Fault(code="RC8003", happen=partial(server.answering, change))
    return Stage(source=Http("h", options, folder=folder), show=show, faults=faults, secret=SECRET)


# -- prometheus --------------------------------------------------------------------------------------
def picked(query: str, rows: Rows, cohort: frozenset[str]) -> Rows:
    """What a query's matcher or join leaves, understood by another way than the one that made it."""
    if " and on " in query:
        return [row for row in rows if row[0] in cohort]
    matched = MATCHED.search(query)
    if matched is None:
        return rows
    text = matched[1].replace("\\\\", "\0").replace('\\"', '"').replace("\\n", "\n").replace("\0", "\\")
    pattern = re.compile(text, re.DOTALL)
    return [row for row in rows if pattern.fullmatch(row[0])]


def answered(asked: Asked, rows: Rows, cohort: frozenset[str]) -> Answer:
    query = asked.form["query"]
    if query == "time()":
        return success("scalar", [NOW, str(NOW)])
    if query.startswith("max by (account) (ringctl_cohort_info"):
        found: Rows = [(name, 1.0) for name in sorted(cohort)]
    elif "timestamp(" in query:
        found = [(name, NOW - 1) for name, _ in picked(query, rows, cohort)]
    else:
        found = picked(query, rows, cohort)
    vector = [{"metric": {"account": name}, "value": [NOW, spelt(value)]} for name, value in found]
    return success("vector", vector)


def spelt(value: float | None) -> str:
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(value), repr(value))


def beside(**fields: object) -> Callable[[Asked, Handler], Answer]:
    """The real answer, with more in it."""

    def change(asked: Asked, before: Handler) -> Answer:
        answer = before(asked)
        return replace(answer, body=json.dumps({**json.loads(answer.body), **fields}))

    return change


def prometheus_faults(server: FaultServer) -> dict[str, Fault]:
    def api(**fields: object) -> Callable[[], AbstractContextManager[object]]:
        return lambda: server.answering(fixed(Answer(body=json.dumps(fields))))

    return {
        **http_faults(server),
        "warnings": Fault(code="", happen=lambda: server.answering(beside(warnings=["a store\x1b is gone"]))),
        "execution": Fault(code="RC8005", happen=api(status="error", errorType="execution", error="\x07no")),
        "timed out": Fault(code="RC8004", happen=api(status="error", errorType="timeout", error="slow")),
        "no data": Fault(code="RC8003", happen=api(status="success")),
        "no vector": Fault(
            code="RC8003", happen=api(status="success", data={"resultType": "matrix", "result": []})
        ),
    }


def prometheus(way: str) -> Callable[[FaultServer, Path], Stage]:
    def make(server: FaultServer, folder: Path) -> Stage:
        (folder / "token").write_text(SECRET)
        cohort = frozenset(HOSTILE[::3])

        def show(rows: Rows) -> None:
            server.handler = lambda asked: answered(asked, rows, cohort)

        options = {"url": server.url, "token": {"file": "token"}, "accounts": way}
        source = Prometheus("p", options, folder=folder)
        stage = Stage(
            source=source,
            show=show,
            faults=prometheus_faults(server),
            secret=SECRET,
            can=EVERY - {"nothing"},
        )
        if way != "cohort":
            return stage
        return replace(stage, source=AskedForAll(source))

    return make


class AskedForAll:
    """A source asked for everybody by name where nobody is named: a cohort has only its members."""

    def __init__(self, source: Prometheus) -> None:
        self.name = source.name
        self._source = source
        self._extra = [*HOSTILE, *"abcdef", "idle", "busy", "sound", "split", "other", "gone"]
        self._extra += [f"odd-{kind}" for kind in EVERY] + [f"a{place}" for place in range(50)]

    def read(self, counters, timeout_s, *, accounts=None):
        return self._source.read(counters, timeout_s, accounts=self._extra if accounts is None else accounts)


# -- sql ---------------------------------------------------------------------------------------------
def sqlite(_: FaultServer, folder: Path) -> Stage:
    path = folder / "reports.db"
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE counters (account TEXT, total REAL)")

    def show(rows: Rows) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM counters")
            connection.executemany("INSERT INTO counters VALUES (?, ?)", rows)

    @contextmanager
    def moved() -> Iterator[None]:
        path.rename(folder / "away.db")
        try:
            yield
        finally:
            (folder / "away.db").rename(path)

    @contextmanager
    def garbage() -> Iterator[None]:
        with moved():
            path.write_bytes(b"<!DOCTYPE html>" * 1000)
            yield

    @contextmanager
    def held(statement: str, undone: str) -> Iterator[None]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(statement)
            yield
            connection.execute(undone)

    faults = {
        "not there": Fault(code="RC8001", happen=moved),
        "not a database": Fault(code="RC8003", happen=garbage),
        "locked": Fault(code="RC8004", happen=lambda: held("BEGIN EXCLUSIVE", "ROLLBACK"), timeout_s=0.3),
        "renamed": Fault(
            code="RC8005",
            happen=lambda: held("ALTER TABLE counters RENAME TO c", "ALTER TABLE c RENAME TO counters"),
        ),
    }
    options = {"url": "sqlite:///reports.db", "queries": {"requests_total": QUERY}}
    return Stage(source=Sql("db", options, folder=folder), show=show, faults=faults, can=EVERY - {"nan"})


def postgresql(url: str, proxy: Proxy, folder: Path) -> Stage:
    """Through a proxy, as a user who may only read."""
    password = url.rpartition("@")[0].rpartition(":")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE counters (account text, total float8)")
        connection.execute("DROP ROLE IF EXISTS gate")
        connection.execute(f"CREATE ROLE gate LOGIN PASSWORD '{password}'")
        connection.execute("GRANT SELECT ON counters TO gate")
    (folder / "url").write_text(proxy.url(url).replace("//postgres:", "//gate:"))

    def show(rows: Rows) -> None:
        with psycopg.connect(url) as other, other.cursor() as cursor:
            cursor.execute("DELETE FROM counters")
            cursor.executemany("INSERT INTO counters VALUES (%s, %s)", rows)

    @contextmanager
    def meanwhile(statement: str, undone: str = "SELECT 1", *, commit: bool = True) -> Iterator[None]:
        with psycopg.connect(url, autocommit=commit) as other:
            other.execute(statement)
            yield
            other.execute(undone)

    @contextmanager
    def network(breaks: Callable[[], None]) -> Iterator[None]:
        breaks()
        yield
        proxy.heal()
        proxy.close_all()

    @contextmanager
    def wrong_password() -> Iterator[None]:
        right = (folder / "url").read_text()
        (folder / "url").write_text(right.replace(password, password[::-1]))
        yield
        (folder / "url").write_text(right)

    def other(code: str, statement: str, undone: str) -> Fault:
        return Fault(code=code, happen=lambda: meanwhile(statement, undone))

    faults = {
        "gone": Fault(code="RC8001", happen=lambda: network(proxy.refuse)),
        "silent network": Fault(code="RC8004", happen=lambda: network(proxy.partition), timeout_s=2.0),
        "locked": Fault(
            code="RC8004",
            happen=lambda: meanwhile("LOCK counters IN ACCESS EXCLUSIVE MODE", commit=False),
            timeout_s=0.5,
        ),
        "wrong password": Fault(code="RC8002", happen=wrong_password),
        "no right": other(
            "RC8002", "REVOKE SELECT ON counters FROM gate", "GRANT SELECT ON counters TO gate"
        ),
        "no login": other("RC8002", "ALTER ROLE gate NOLOGIN", "ALTER ROLE gate LOGIN"),
        "renamed": other("RC8005", "ALTER TABLE counters RENAME TO c", "ALTER TABLE c RENAME TO counters"),
        "a text": other(
            "RC8005", "ALTER TABLE counters RENAME account TO b", "ALTER TABLE counters RENAME b TO account"
        ),
    }
    options = {"url": {"file": "url"}, "queries": {"requests_total": QUERY}}
    source = Sql("db", options, folder=folder)
    return Stage(source=source, show=show, faults=faults, secret=password)
