"""A TCP proxy before a PostgreSQL server that does damage at a chosen point of the conversation.

It knows where a transaction's end is: in an answered COMMIT, or in a writing statement that is a transaction of
its own. `cut_after_commit` closes the connection when the server has done it and before the client hears of it;
`cut_before_commit` before the server hears of it. For the client both look the same. `partition` holds bytes back
in one direction or both, as a network does that loses packets: `heal` delivers them if both ends are still there.

One thread a connection; every control may be called from any thread and is in force when it returns.
"""

import contextlib
import re
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from tests.support.wire import GSS_REQUEST, SSL_REQUEST, Backend, Exchange, Frontend

Direction = Literal["both", "to_server", "to_client"]
CHUNK = 65536
MOST_KEPT = 4 * 1024 * 1024
SEND_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What the proxy saw and did."""

    connections: int = 0
    refused: int = 0
    statements: int = 0
    commits: int = 0
    cut_after: int = 0
    cut_before: int = 0
    closed: int = 0
    held_bytes: int = 0
    delayed: int = 0


@dataclass(slots=True)
class Rule:
    """A cut: at every `every`-th point that fits, at most `times` times. `hits` are the statements cut at."""

    after: bool
    every: int
    times: int
    text: re.Pattern[str] | None
    seen: int = 0
    hits: list[str] = field(default_factory=list)

    @property
    def spent(self) -> bool:
        return len(self.hits) >= self.times

    def fits(self, statement: str) -> bool:
        """Whether this point is one to cut at: counts it."""
        self.seen += 1
        if self.spent or self.seen % self.every:
            return False
        self.hits.append(statement)
        return True


class Proxy:
    """Listens on a loopback port and passes on to `target`, which may be changed (a writer's endpoint moves)."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self._lock = threading.Condition()
        self._counts = Counts()
        self._rules: list[Rule] = []
        self._held: set[str] = set()
        self._delay_s = 0.0
        self._refusing = False
        self._connections: set[_Connection] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self._ending = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, name="proxy-accept", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, url: str) -> str:
        """The same database, through the proxy."""
        return re.sub(r"@[^/]+/", f"@127.0.0.1:{self.port}/", url, count=1)

    # -- controls ---------------------------------------------------------------------------------
    def cut_after_commit(
        self, n: int = 1, *, times: int = 1, every: int | None = None, text: str = ""
    ) -> Rule:
        """Cut at the n-th transaction's end from now on, executed but unanswered; with `every`, at each n-th.

        `text`: a pattern; counted are exchanges that ran such a statement, whether or not they ended a
        transaction that wrote.
        """
        return self._add(Rule(True, every or n, times if every or times > 1 else 1, _pattern(text)))

    def cut_before_commit(
        self, n: int = 1, *, times: int = 1, every: int | None = None, text: str = ""
    ) -> Rule:
        """The same, before the server hears of it: it is not executed."""
        return self._add(Rule(False, every or n, times if every or times > 1 else 1, _pattern(text)))

    def partition(self, direction: Direction = "both") -> None:
        """Deliver nothing any more in one direction or both, on connections old and new."""
        with self._lock:
            self._held |= {"to_server", "to_client"} if direction == "both" else {direction}
        self._wake()

    def delay(self, seconds: float) -> None:
        """Pass on every piece so much later; 0 for at once."""
        with self._lock:
            self._delay_s = seconds

    def refuse(self) -> None:
        """Close every connection, and new ones at once, until `heal`."""
        with self._lock:
            self._refusing = True
        self.close_all()

    def heal(self) -> None:
        """Deliver again, without delay, and cut no more."""
        with self._lock:
            self._held.clear()
            self._rules.clear()
            self._delay_s, self._refusing = 0.0, False
        self._wake()

    def close_all(self) -> int:
        """Reset every connection; how many there were."""
        with self._lock:
            open_now = list(self._connections)
        for one in open_now:
            one.end.set()
            one.wake()
        self.wait(lambda: not self._connections & set(open_now), 2 * SEND_SECONDS)
        self._count(closed=len(open_now))
        return len(open_now)

    def close(self) -> None:
        """Stop listening and reset everything."""
        self._ending.set()
        self._acceptor.join(timeout=10)
        self._listener.close()
        self.close_all()

    # -- looking ----------------------------------------------------------------------------------
    @property
    def counts(self) -> Counts:
        """What it saw and did so far."""
        with self._lock:
            return self._counts

    def wait(self, holds: Callable[[], object], seconds: float = 30.0) -> bool:
        """Wait until `holds` is true after something happened here; whether it became so."""
        with self._lock:
            return bool(self._lock.wait_for(holds, seconds))

    def wait_for_cut(self, rule: Rule, seconds: float = 30.0) -> bool:
        """Wait until a rule has done all it may."""
        return self.wait(lambda: rule.spent, seconds)

    # -- for the connections ----------------------------------------------------------------------
    def holds(self, direction: str) -> bool:
        with self._lock:
            return direction in self._held

    @property
    def delay_s(self) -> float:
        with self._lock:
            return self._delay_s

    def cuts_before(self, statement: str, *, ends: bool) -> bool:
        """Whether to cut instead of passing a statement on; `ends`: it ends a transaction that wrote."""
        return self._cut(False, [statement], ends=ends)

    def cuts_after(self, exchange: Exchange) -> bool:
        """Whether to cut instead of passing an answer on."""
        self._count(statements=len(exchange.texts), commits=int(exchange.committed))
        return not exchange.failed and self._cut(True, exchange.texts, ends=exchange.committed)

    def _cut(self, after: bool, texts: list[str] | tuple[str, ...], *, ends: bool) -> bool:
        with self._lock:
            for rule in self._rules:
                fitting = [text for text in texts if rule.text is not None and rule.text.search(text)]
                if rule.after is not after or not (fitting if rule.text else ends):
                    continue
                if rule.fits((fitting or [*texts, ""])[0]):
                    self._add_up(cut_after=int(after), cut_before=int(not after))
                    return True
        return False

    def gone(self, connection: "_Connection") -> None:
        with self._lock:
            self._connections.discard(connection)
            self._lock.notify_all()

    def held(self, size: int) -> None:
        self._count(held_bytes=size)

    def delayed(self) -> None:
        self._count(delayed=1)

    # -- inside -----------------------------------------------------------------------------------
    def _add(self, rule: Rule) -> Rule:
        with self._lock:
            self._rules.append(rule)
        return rule

    def _count(self, **more: int) -> None:
        with self._lock:
            self._add_up(**more)

    def _add_up(self, **more: int) -> None:
        self._counts = replace(self._counts, **{n: getattr(self._counts, n) + m for n, m in more.items()})
        self._lock.notify_all()

    def _wake(self) -> None:
        with self._lock:
            open_now = list(self._connections)
        for one in open_now:
            one.wake()

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self._refusing:
                self._count(refused=1)
                reset(client)
                continue
            connection = _Connection(self, client)
            with self._lock:
                self._connections.add(connection)
                self._add_up(connections=1)
            connection.thread.start()


class _Connection:
    """One client, its server, and the thread between them."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self.proxy = proxy
        self.client = client
        self.server = client  # until it is connected
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._run, name="proxy-connection", daemon=True)
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._frontend = Frontend()
        self._backend = Backend()
        self._running: list[str] = []
        self._answer = b""
        self._pending = {"to_server": b"", "to_client": b""}
        self._over: set[str] = set()

    def wake(self) -> None:
        """Make the thread look at the controls anew."""
        with contextlib.suppress(OSError):
            self._waker.send(b".")

    def _run(self) -> None:
        try:
            self.server = socket.create_connection(self.proxy.target, timeout=SEND_SECONDS)
            self.client.settimeout(SEND_SECONDS)
            for one in (self.client, self.server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._converse()
        except OSError:
            pass
        finally:
            for one in {self.client, self.server, self._woken, self._waker}:
                reset(one)
            self.proxy.gone(self)

    def _converse(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ, "")
            selector.register(self.client, selectors.EVENT_READ, "to_server")
            selector.register(self.server, selectors.EVENT_READ, "to_client")
            while not self.end.is_set() and self._deliver():
                for key, _ in selector.select():
                    if not key.data:
                        self._woken.recv(CHUNK)
                    elif not self._take(key.data):
                        selector.unregister(key.fileobj)

    def _take(self, direction: str) -> bool:
        """Read what came; False when that side has ended."""
        source = self.client if direction == "to_server" else self.server
        try:
            data = source.recv(CHUNK)
        except ConnectionError:
            data = b""
        self._pending[direction] += data
        if self.proxy.holds(direction):
            self.proxy.held(len(data))
        elif data and (pause := self.proxy.delay_s) > 0:
            self.proxy.delayed()
            self.end.wait(pause)
        if not data:
            self._over.add(direction)
        return bool(data)

    def _deliver(self) -> bool:
        """Pass on what may be passed on; False when the conversation is over."""
        for direction, pass_on in (("to_server", self._to_server), ("to_client", self._to_client)):
            if self.proxy.holds(direction):
                continue
            data, self._pending[direction] = self._pending[direction], b""
            if data and not pass_on(data):
                return False
            if direction in self._over:
                if direction == "to_client" and self._answer:
                    self.client.sendall(self._answer)
                return False
        return True

    def _to_server(self, data: bytes) -> bool:
        for message in self._frontend.feed(data):
            if not message.kind and message.request in {SSL_REQUEST, GSS_REQUEST}:
                self.client.sendall(b"N")  # in clear, or nothing could be seen
                continue
            statement = self._frontend.runs(message)
            if statement is not None:
                self._running.append(statement)
                if self.proxy.cuts_before(statement, ends=self._frontend.ends(statement)):
                    return False
            if message.kind in {"Q", "S"}:
                self._backend.expect(tuple(self._running))
                self._running.clear()
            self.server.sendall(message.raw)
        return True

    def _to_client(self, data: bytes) -> bool:
        for message in self._backend.feed(data):
            waiting = self._backend.answering
            exchange = self._backend.see(message)
            self._answer += message.raw
            if exchange is not None and self.proxy.cuts_after(exchange):
                return False
            # an answer is kept back until it is whole; a question back (COPY) and a notice to nobody are not
            if exchange is not None or not waiting or message.kind in "GHW" or len(self._answer) > MOST_KEPT:
                self.client.sendall(self._answer)
                self._answer = b""
        return True


def reset(one: socket.socket) -> None:
    """Close at once: the other end gets a reset, not an orderly end."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def _pattern(text: str) -> re.Pattern[str] | None:
    return re.compile(text, re.IGNORECASE) if text else None
