"""The "builds" service: what the demo's users call, in a process of its own.

`python -m ringctl.demo.service --dir D --port 0 --ready-file F`. It reads each account's database only
through the views there, which are the installed version of the product, and counts what it answered:

    build_queries_total{account}          lists answered (a page may hold two)
    build_items_returned_total{account}   definitions and builds in those answers
    build_response_bytes_total{account}   their bytes
    http_requests_total{account,code}     requests by status
"""

import argparse
import contextlib
import json
import resource
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from ringctl.demo.accounts import DemoAccount, encoded
from ringctl.demo.database import Database, DatabaseBusy, DatabaseError, connect, is_postgres
from ringctl.demo.processes import Child, start_module, until_told, write_ready
from ringctl.demo.world import World, load_world

MODULE = "ringctl.demo.service"
# One request in 67 (1.5 %) of every account is turned away, upgrade or not: a base rate for the gates.
TURNED_AWAY_EVERY = 67
GOLDEN = 0.618034
CONNECTIONS_KEPT = 120
DESCRIPTORS_WANTED = 8192
LARGEST_BODY = 65_536
CODES = (200, 201, 400, 500, 503)

DEFINITIONS = "SELECT definition_id, name FROM definition_view ORDER BY definition_id"
LATEST = "SELECT build_id, name, status FROM build_view ORDER BY build_id DESC LIMIT 25"
BUILDS = (
    "SELECT build_id, definition_id, name, status, requested_for FROM build_view"
    " ORDER BY build_id DESC LIMIT 25"
)
# Reads the form to write in the very statement that writes: an upgrade cannot come in between.
QUEUE = (
    "INSERT INTO build (build_id, definition_id, name, fmt, status, requested_for)"
    " SELECT (SELECT coalesce(max(build_id), 0) + 1 FROM build), ?,"
    " CASE value WHEN 1 THEN ? ELSE ? END, value, 'queued', 'traffic'"
    " FROM settings WHERE name = 'write_form'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back: a status, a body, and how much of the product's data is in it."""

    status: int
    body: bytes
    queries: int = 0
    items: int = 0


def _json(status: int, document: object, *, queries: int = 0, items: int = 0) -> Answer:
    body = json.dumps(document, ensure_ascii=False).encode()
    return Answer(status=status, body=body, queries=queries, items=items)


Page = Callable[[Database], Answer]


@dataclass(slots=True, kw_only=True)
class Desk:
    """One account: its connection, its counters, and the lock that keeps two requests apart."""

    account: DemoAccount
    phase: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    database: Database | None = None
    requests: int = 0
    queries: int = 0
    items: int = 0
    size: int = 0
    codes: Counter[int] = field(default_factory=Counter)


class Service:
    """The product: pages and lists per account, and the counters."""

    def __init__(self, world: World) -> None:
        # phases lie apart, so that a few accounts are not turned away all at the same time
        self._desks = {
            account.id: Desk(account=account, phase=int(place * GOLDEN % 1 * TURNED_AWAY_EVERY))
            for place, account in enumerate(world.accounts)
        }
        self._kept = 0
        self._write = QUEUE + (" FOR SHARE" if world.engine == "postgresql" else "")

    def get(self, account_id: str, page: str) -> Answer:
        """Answer a read: `` (the account's home page), `definitions` or `builds`."""
        pages = {"": self._home, "definitions": self._definitions, "builds": self._builds}
        desk = self._desks.get(account_id)
        if desk is None or page not in pages:
            return _json(404, {"error": "there is no such page"})
        return self._serve(desk, pages[page])

    def queue(self, account_id: str, body: bytes) -> Answer:
        """Queue a build: `{"definition_id": 1, "name": "..."}`, stored in the installed version's form."""
        desk = self._desks.get(account_id)
        if desk is None:
            return _json(404, {"error": "there is no such account"})

        def insert(database: Database) -> Answer:
            try:
                order = json.loads(body)
                definition, name = int(order["definition_id"]), str(order["name"])
            except (ValueError, TypeError, KeyError):
                return _json(400, {"error": 'wanted: {"definition_id": 1, "name": "..."}'})
            database.query(self._write, (definition, encoded(name), name))
            return _json(201, {"queued": name})

        return self._serve(desk, insert)

    def metrics(self) -> bytes:
        """All counters in the Prometheus text format."""
        desks = self._desks.items()
        lines = []
        for name, attribute, said in (
            ("build_queries_total", "queries", "Lists of definitions or builds answered."),
            ("build_items_returned_total", "items", "Definitions and builds in those lists."),
            ("build_response_bytes_total", "size", "Bytes of answered reads."),
        ):
            lines += [f"# HELP {name} {said}", f"# TYPE {name} counter"]
            lines += [f'{name}{{account="{key}"}} {getattr(desk, attribute)}' for key, desk in desks]
        lines += ["# HELP http_requests_total Requests by status.", "# TYPE http_requests_total counter"]
        lines += [
            f'http_requests_total{{account="{key}",code="{code}"}} {desk.codes[code]}'
            for key, desk in desks
            for code in CODES
        ]
        return "\n".join([*lines, ""]).encode()

    def close(self) -> None:
        """Close every connection."""
        for desk in self._desks.values():
            with desk.lock:
                self._drop(desk)

    def _serve(self, desk: Desk, page: Page) -> Answer:
        with desk.lock:
            desk.requests += 1
            if (desk.requests + desk.phase) % TURNED_AWAY_EVERY == 0:
                answer = _json(503, {"error": "too busy, try again"})
            else:
                answer = self._ask(desk, page)
            desk.codes[answer.status] += 1
            desk.queries += answer.queries
            desk.items += answer.items
            desk.size += len(answer.body) if answer.queries else 0
        return answer

    def _ask(self, desk: Desk, page: Page) -> Answer:
        try:
            with self._opened(desk) as database:
                return page(database)
        except DatabaseBusy as error:
            self._drop(desk)
            return _json(503, {"error": str(error)})
        except DatabaseError as error:
            return _json(500, {"error": str(error)})

    @contextlib.contextmanager
    def _opened(self, desk: Desk) -> Iterator[Database]:
        if desk.database is None:
            desk.database = connect(desk.account.database)
            self._kept += 1
        yield desk.database
        if self._kept > CONNECTIONS_KEPT and is_postgres(desk.account.database):
            self._drop(desk)

    def _drop(self, desk: Desk) -> None:
        if desk.database is not None:
            desk.database.close()
            desk.database = None
            self._kept -= 1

    def _home(self, database: Database) -> Answer:
        definitions = _records(database, DEFINITIONS, ("id", "name"))
        latest = _records(database, LATEST, ("id", "name", "status"))
        document = {"definitions": definitions, "builds": latest}
        return _json(200, document, queries=2, items=len(definitions) + len(latest))

    def _definitions(self, database: Database) -> Answer:
        found = _records(database, DEFINITIONS, ("id", "name"))
        return _json(200, {"definitions": found}, queries=1, items=len(found))

    def _builds(self, database: Database) -> Answer:
        keys = ("id", "definition_id", "name", "status", "requested_for")
        found = _records(database, BUILDS, keys)
        return _json(200, {"builds": found}, queries=1, items=len(found))


def _records(database: Database, sql: str, keys: tuple[str, ...]) -> list[dict[str, object]]:
    return [dict(zip(keys, row, strict=True)) for row in database.query(sql)]


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with connections that stay open; one write per answer, at once."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60
    service: ClassVar[Service]

    def do_GET(self) -> None:
        """Answer a read: the counters, a health check, or a page of an account."""
        if self.path == "/metrics":
            self._send(200, self.service.metrics(), "text/plain; version=0.0.4; charset=utf-8")
        elif self.path == "/health":
            self._answer(_json(200, {"status": "ok"}))
        else:
            self._answer(self.service.get(*self._place()))

    def do_POST(self) -> None:
        """Queue a build."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            self.close_connection = True
            self._answer(_json(400, {"error": "the body is too long, or its length is missing"}))
            return
        body = self.rfile.read(int(length))
        account, page = self._place()
        if page == "builds":
            self._answer(self.service.queue(account, body))
        else:
            self._answer(_json(404, {"error": "there is no such page"}))

    def log_message(self, *_: object, **__: object) -> None:
        """Nothing: the counters say it."""

    def _place(self) -> tuple[str, str]:
        """`/accounts/ID/PAGE` as (ID, PAGE); what has another form names no account."""
        match self.path.split("/"):
            case ["", "accounts", account]:
                return account, ""
            case ["", "accounts", account, page] if page:
                return account, page
        return "", ""

    def _answer(self, answer: Answer) -> None:
        self._send(answer.status, answer.body, "application/json; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        head = f"HTTP/1.1 {status} {self.responses[status][0]}\r\nContent-Type: {kind}\r\n"
        head += f"Content-Length: {len(body)}\r\n"
        if self.close_connection:
            head += "Connection: close\r\n"
        self.wfile.write(head.encode() + b"\r\n" + body)


class Server(ThreadingHTTPServer):
    """One thread per connection; a client that goes away in the middle is no news."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep the log for what is wrong with the service."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def start(directory: Path, *, port: int = 0) -> tuple[Child, str]:
    """Start the service of a demo directory as a child; the child and the service's base address."""
    arguments = ("--dir", str(directory), "--port", str(port))
    child, said = start_module(MODULE, arguments, directory=directory)
    return child, str(said["url"])


def main() -> int:
    """Serve until SIGTERM, Ctrl-C or the parent's end."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="The demo's service.")
    parser.add_argument("--dir", type=Path, required=True, help="the demo's directory")
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0: a free one")
    parser.add_argument("--ready-file", type=Path, help="where to say the address once it serves")
    parser.add_argument("--until-eof", action="store_true", help="end with standard input")
    arguments = parser.parse_args()
    told = until_told(until_eof=arguments.until_eof)
    _allow_many_files()
    Handler.service = Service(load_world(arguments.dir))
    with Server(("127.0.0.1", arguments.port), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        write_ready(arguments.ready_file, {"url": url})
        told.wait()
        server.shutdown()
    Handler.service.close()
    return 0


def _allow_many_files() -> None:
    """A SQLite database takes three descriptors: ask for more than the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
