"""Pause, abort, `abort --now` and the stop file end in bounded time (I8, I10), whoever is dead or silent."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ringctl.core.states import TaskState
from tests.support.books import Book, stay_fleet
from tests.support.command_line import CommandLine, Node, eventually
from tests.support.proxy import Proxy

LEASE_S = 2.0
KILL_S = 5.0
"""Between TERM and KILL of a step."""
GRACE_S = 7.0
"""After a dead node's lease, before anybody takes over."""
WIDENING_S = LEASE_S + KILL_S + 1.0
SETTLED_S = LEASE_S + GRACE_S + KILL_S + 4.0
"""Lease, grace, kill wait and a tick: 25 s with a lease of 15 s less the difference."""
ENDS = {TaskState.DONE, TaskState.FAILED, TaskState.UNKNOWN, TaskState.CANCELLED}


def running(ringctl: CommandLine, rollout: str) -> set[str]:
    with ringctl.looking() as parts:
        return {row.account for row in parts.store.tasks(rollout, states=[TaskState.RUNNING])}


def begin(ringctl: CommandLine, *nodes: str, tenths: int = 300, accounts: int = 12) -> tuple[Book, str]:
    """A rollout, and nodes with accounts in hand."""
    book = stay_fleet(ringctl.directory, tenths=tenths, accounts=accounts, parallel=6)
    rollout = ringctl.start("b1")
    for words in nodes:
        ringctl.node(*words.split())
    return book, rollout


def stop_file(ringctl: CommandLine) -> Path:
    return ringctl.directory / "STOP"


def say(ringctl: CommandLine, act: str, rollout: str) -> float:
    """Do it; the moment at which it was acknowledged."""
    if act == "stop file":
        stop_file(ringctl).touch()
    else:
        ringctl.good(*act.split(), rollout, "--reason", "enough")
    return time.time()


def go_on_and_abort(ringctl: CommandLine, rollout: str) -> None:
    """Without the stop file a node finds what the stopped ones left; aborted, so that nothing more begins."""
    stop_file(ringctl).unlink()
    ringctl.good("abort", "--now", rollout, "--reason", "enough")
    ringctl.node("work")


def check_bounds(book: Book, said: float, *, kills: bool) -> None:
    """No account is touched for the first time after the bound; with `kills` what ran is dead by then."""
    eventually(lambda: time.time() > said + WIDENING_S, WIDENING_S + 5, "the bound is over")
    if kills:
        assert book.alive() == set()
    seen = book.begun()
    eventually(lambda: time.time() > said + WIDENING_S + 3, 10, "a while more")
    assert book.begun_after(said + WIDENING_S) == set()
    assert book.begun() == seen


def settled(ringctl: CommandLine, rollout: str, *, ended: bool) -> Callable[[], bool]:
    """Whether nothing is under way; with `ended` every account has its end."""

    def look() -> bool:
        with ringctl.looking() as parts:
            states = {row.state for row in parts.store.tasks(rollout)}
        return states <= ENDS if ended else TaskState.RUNNING not in states

    return look


@pytest.mark.parametrize("act", ["pause", "abort", "abort --now", "stop file"])
def test_with_every_controller_dead(ringctl: CommandLine, act: str) -> None:
    """Only `work` nodes are left, in the middle of the canary: they hear it from the store, or see the file."""
    tenths = 300 if act in {"abort --now", "stop file"} else 25
    book, rollout = begin(ringctl, tenths=tenths)
    controller = ringctl.node("run", "--workers", "1", "--stop-file", "STOP")
    eventually(lambda: running(ringctl, rollout), 30, "a wave is open")
    workers = [ringctl.node("work", "--stop-file", "STOP") for _ in range(2)]
    eventually(lambda: len(book.alive()) >= 2, 30, "two accounts in hand")
    controller.kill()
    said = say(ringctl, act, rollout)
    check_bounds(book, said, kills=act in {"abort --now", "stop file"})
    if act == "stop file":
        assert [node.ends(10) for node in workers] == [4, 4]
        assert any("half-way: " in node.said() for node in workers)
        go_on_and_abort(ringctl, rollout)
    eventually(settled(ringctl, rollout, ended=act != "pause"), SETTLED_S, "all have settled")


DEAF = "from ringctl.engine.guard import Guard; Guard.tell = lambda *_, **__: None; "
BLIND = "from ringctl.engine.stopping import StopSwitch; StopSwitch.__call__ = lambda _: False; "
MAIN = "import sys; from ringctl.__main__ import main; sys.exit(main())"


@pytest.mark.parametrize(("act", "bug"), [("abort --now", DEAF), ("stop file", BLIND)], ids=["deaf", "blind"])
def test_a_node_that_does_not_listen_is_found(ringctl: CommandLine, act: str, bug: str) -> None:
    """Seeded bugs: the test above must be able to go red."""
    book, rollout = begin(ringctl)
    ringctl.node("run", "--stop-file", "STOP", command=("-c", bug + MAIN))
    eventually(lambda: len(book.alive()) >= 2, 30, "accounts in hand")
    said = say(ringctl, act, rollout)
    with pytest.raises(AssertionError):
        check_bounds(book, said, kills=True)


@contextmanager
def through_proxy(directory: Path, url: str) -> Iterator[tuple[Proxy, CommandLine, CommandLine]]:
    """A proxy before the database, the command line through it, and one that goes round it."""
    address = url.rsplit("@", 1)[1].split("/", maxsplit=1)[0].split(":")
    with Proxy((address[0], int(address[1]))) as proxy:
        far, near = CommandLine(directory, state=proxy.url(url)), CommandLine(directory, state=url)
        near.good("db", "migrate")
        try:
            yield proxy, far, near
        finally:
            proxy.heal()
            far.end()
            near.end()


@pytest.mark.parametrize("act", ["pause", "abort --now", "stop file"])
def test_with_a_store_that_is_gone(tmp_path: Path, postgres_database: str, act: str) -> None:
    """The nodes' connections hang right after it was said. Nobody renews, so what runs is dead when the lease is
    over; the stop file works at once. When the store answers again everything comes to its end."""
    with through_proxy(tmp_path, postgres_database) as (proxy, far, near):
        book, rollout = begin(near)
        nodes = [far.node("run", "--stop-file", "STOP"), far.node("work", "--stop-file", "STOP")]
        eventually(lambda: len(book.alive()) >= 2, 30, "two accounts in hand")
        if act == "stop file":
            proxy.partition()
        said = say(near, act, rollout)
        proxy.partition()
        check_bounds(book, said, kills=True)
        if act == "stop file":
            assert [node.ends(20) for node in nodes] == [4, 4]
            said_by_them = "".join(node.said() for node in nodes)
            assert "the store did not answer: when the lease is over others take up" in said_by_them
        proxy.heal()
        if act == "stop file":
            go_on_and_abort(near, rollout)
        ended = act != "pause"
        eventually(settled(near, rollout, ended=ended), SETTLED_S + 20, "all have settled")
        if ended:
            assert near("wait", rollout).code == 15


def test_with_a_slow_store(tmp_path: Path, postgres_database: str) -> None:
    """Every answer takes 100 ms longer."""
    with through_proxy(tmp_path, postgres_database) as (proxy, far, near):
        book, rollout = begin(near)
        far.node("run")
        eventually(lambda: len(book.alive()) >= 2, 30, "two accounts in hand")
        proxy.delay(0.1)
        said = say(near, "abort --now", rollout)
        check_bounds(book, said, kills=True)
        eventually(settled(near, rollout, ended=True), SETTLED_S, "all have settled")


class Metrics(BaseHTTPRequestHandler):
    """Counters of every account that rise by a hundred a second; no answer at all once `deaf` is set."""

    deaf = threading.Event()
    over = threading.Event()
    accounts: tuple[str, ...] = ()

    def do_GET(self) -> None:
        """Answer, or do not."""
        if self.deaf.is_set():
            self.over.wait(60)
            return
        count = int(time.monotonic() * 100)
        lines = [f'all{{account="{one}"}} {count}\nbad{{account="{one}"}} 0\n' for one in self.accounts]
        body = "".join(["# TYPE all counter\n# TYPE bad counter\n", *lines]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silence."""


def test_with_metrics_that_hang(ringctl: CommandLine) -> None:
    """The source takes requests and never answers: the observer waits, the workers hear all the same."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as source:
        source.daemon_threads = True
        threading.Thread(target=source.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        book, rollout = begin_watched(ringctl, source.server_port)
        ringctl.node("run")
        eventually(book.alive, 40, "the canary in hand")
        Metrics.deaf.set()
        said = say(ringctl, "abort --now", rollout)
        check_bounds(book, said, kills=True)
        eventually(settled(ringctl, rollout, ended=True), SETTLED_S, "all have settled")
        Metrics.over.set()
        source.shutdown()


def begin_watched(ringctl: CommandLine, port: int) -> tuple[Book, str]:
    """The same fleet under a gate whose source is at that port. The canary is no quick one: nobody else begins before
    the gate has passed it."""
    book = stay_fleet(ringctl.directory, tenths=300, accounts=12, parallel=6)
    Metrics.accounts = book.fleet.accounts
    (ringctl.directory / "targets" / "first").mkdir()
    policy = ringctl.directory / "policy.yaml"
    text = policy.read_text()
    before, _, rest = text.partition("gates: ")
    _, _, after = rest.partition("\n")
    source = f'metrics: {{app: {{type: scrape, url: "http://127.0.0.1:{port}/metrics"}}}}\n'
    gate = (
        "gates: {slow: {source: app, bad: {counter: bad}, all: {counter: all}, compare: threshold,"
        " fail_if: {above: 5%}, every: 1s, baseline: 2s, min_samples: 1}}\n"
    )
    policy.write_text(before + source + gate + after)
    return book, ringctl.start("b1")


def test_a_drained_node_finishes_and_ends(ringctl: CommandLine) -> None:
    """`nodes drain --wait`: what it holds is finished, another node goes on, nothing is rescued."""
    book, rollout = begin(ringctl, tenths=20)
    first: Node = ringctl.node("run")
    eventually(book.alive, 30, "an account in hand")
    name = ringctl.good("nodes", "ls", "-o", "json").json["nodes"][0]["node"]
    held = running(ringctl, rollout)
    assert ringctl.good("nodes", "drain", name, "--wait").out.strip() == f"{name} has ended"
    assert first.ends(10) == 143
    assert all(book.done(account) == 1 for account in held)
    assert running(ringctl, rollout) == set()
    ringctl.node("run")
    assert ringctl("wait", rollout, "--timeout", "90s").code == 0
    assert "rescued" not in {event["kind"] for event in ringctl.events(rollout)}
    assert [account for account in book.fleet.accounts if book.done(account) != 1] == []
