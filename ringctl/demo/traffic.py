"""The demo's users, in a process of their own: a steady stream of requests over all accounts.

`python -m ringctl.demo.traffic --dir D --url U --rate 240`. Which account asks for what, and when, is a
function of the request's number alone: every account is served evenly, and each of its looks of one
second holds a home page and a list. What the users saw goes to `D/traffic.json` each second.
"""

import argparse
import http.client
import json
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ringctl.demo.accounts import DemoAccount
from ringctl.demo.processes import Child, start_module, until_told, write_ready
from ringctl.demo.world import load_world

MODULE = "ringctl.demo.traffic"
REPORT_FILE = "traffic.json"
# A judge of one-second looks wants three answered lists in each, from every account. 240 requests a
# second are five lists a second and account in a fleet of 60, and a quarter of one core for both sides.
RATE, RATE_PER_ACCOUNT, MOST_RATE = 240.0, 3.8, 900.0
CONNECTIONS = 4
GIANT_WEIGHT = 4
TIMEOUT_SECONDS = 5.0
LATE_SECONDS = 1.0
# Every other request is the home page (two lists). Of 20: 10 home, 8 builds, 1 definitions, 1 queues.
HOME, BUILDS, DEFINITIONS, QUEUE = "", "/builds", "/definitions", "+"
CYCLE = (HOME, BUILDS) * 4 + (HOME, DEFINITIONS) + (HOME, BUILDS) * 4 + (HOME, QUEUE)


def default_rate(accounts: int) -> float:
    """Requests per second for that many accounts: 240, and up to 900 where each would get under 3.8."""
    return min(MOST_RATE, max(RATE, RATE_PER_ACCOUNT * (accounts + GIANT_WEIGHT - 1)))


def turns(accounts: Sequence[DemoAccount]) -> tuple[tuple[int, int, int], ...]:
    """One round of all accounts as (account's place, turn of this account, its turns), evenly spread.

    The giant, whose users are many, has four turns.
    """
    spread: list[tuple[float, int, int, int]] = []
    for place, account in enumerate(accounts):
        weight = GIANT_WEIGHT if account.giant else 1
        for turn in range(weight):
            # one turn each in order; further turns of the giant stand evenly between them
            at = place / len(accounts) if weight == 1 else (turn + 0.5) / weight
            spread.append((at, place, turn, weight))
    return tuple((place, turn, weight) for _, place, turn, weight in sorted(spread))


@dataclass(slots=True, kw_only=True)
class Seen:
    """What the users of one account saw."""

    requests: int = 0
    errors: int = 0
    empty: int = 0
    most_missing: int = 0
    missing_seconds: float = 0.0
    missing_since: float | None = None


@dataclass(slots=True, kw_only=True)
class Book:
    """What all users saw; safe to write from several threads."""

    accounts: Sequence[DemoAccount]
    seen: dict[str, Seen] = field(init=False)
    codes: Counter[int] = field(default_factory=Counter)
    late: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.seen = {account.id: Seen() for account in self.accounts}

    def note(self, account: DemoAccount, status: int, body: bytes, now: float) -> None:
        """Count one answer; status 0 stands for none."""
        lists = json.loads(body) if status == 200 else None
        with self.lock:
            seen = self.seen[account.id]
            seen.requests += 1
            self.codes[status] += 1
            seen.errors += status == 0 or status >= 500
            if lists is None:
                return
            seen.empty += not any(lists.values())
            if "definitions" not in lists:
                return
            missing = max(0, account.definitions - len(lists["definitions"]))
            seen.most_missing = max(seen.most_missing, missing)
            if seen.missing_since is not None:
                seen.missing_seconds += now - seen.missing_since
            seen.missing_since = now if missing else None

    def report(self, seconds: float) -> dict[str, object]:
        """Everything so far, ready for JSON."""
        with self.lock:
            return {
                "seconds": round(seconds, 3),
                "requests": sum(self.codes.values()),
                "codes": {str(code): count for code, count in sorted(self.codes.items())},
                "late": self.late,
                "empty": sum(seen.empty for seen in self.seen.values()),
                "accounts": {
                    key: {
                        "requests": seen.requests,
                        "errors": seen.errors,
                        "empty": seen.empty,
                        "most_missing": seen.most_missing,
                        "missing_now": seen.missing_since is not None,
                        "missing_seconds": round(seen.missing_seconds, 3),
                    }
                    for key, seen in self.seen.items()
                },
            }


class Users:
    """The stream of requests: connection `w` of 4 sends the requests whose number is `w` modulo 4."""

    def __init__(self, book: Book, url: str, rate: float, told: threading.Event) -> None:
        self._book = book
        self._host = urllib.parse.urlsplit(url).netloc
        self._rate = rate
        self._told = told
        self._turns = turns(book.accounts)
        self._started = time.monotonic()

    def run(self, worker: int) -> None:
        """Send one connection's share, on time, until told to stop."""
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)
        number = worker
        while not self._told.is_set():
            wait = self._started + number / self._rate - time.monotonic()
            if wait > 0 and self._told.wait(wait):
                break
            if wait < -LATE_SECONDS:  # do not make up for a stall with a burst
                skipped = int(-wait * self._rate / CONNECTIONS)
                number += skipped * CONNECTIONS
                with self._book.lock:
                    self._book.late += skipped
            self._send(connection, number)
            number += CONNECTIONS
        connection.close()

    def _send(self, connection: http.client.HTTPConnection, number: int) -> None:
        around, place = divmod(number, len(self._turns))
        index, turn, weight = self._turns[place]
        account = self._book.accounts[index]
        # neighbours begin at different places of the cycle
        nth = around * weight + turn + 2 * index
        page = CYCLE[nth % len(CYCLE)]
        try:
            if page == QUEUE:
                name = f"20170930.{nth} queued by 'traffic' "
                order = json.dumps({"definition_id": 1 + nth % account.definitions, "name": name})
                connection.request("POST", f"/accounts/{account.id}/builds", order)
            else:
                connection.request("GET", f"/accounts/{account.id}{page}")
            answer = connection.getresponse()
            body = answer.read()
            self._book.note(account, answer.status, body, time.monotonic())
        except (http.client.HTTPException, OSError):
            connection.close()  # the next request opens it again
            self._book.note(account, 0, b"", time.monotonic())
            self._told.wait(0.05)


def start(directory: Path, url: str, *, rate: float | None = None) -> Child:
    """Start the users of a demo directory as a child."""
    arguments = ["--dir", str(directory), "--url", url]
    if rate is not None:
        arguments += ["--rate", str(rate)]
    child, _ = start_module(MODULE, arguments, directory=directory)
    return child


def main() -> int:
    """Send requests until SIGTERM, Ctrl-C or the parent's end."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="The demo's users.")
    parser.add_argument("--dir", type=Path, required=True, help="the demo's directory")
    parser.add_argument("--url", required=True, help="the service's base address")
    parser.add_argument("--rate", type=float, help="requests per second in all (default: by accounts)")
    parser.add_argument("--ready-file", type=Path, help="where to say that requests are being sent")
    parser.add_argument("--until-eof", action="store_true", help="end with standard input")
    arguments = parser.parse_args()
    told = until_told(until_eof=arguments.until_eof)
    accounts = load_world(arguments.dir).accounts
    rate = arguments.rate or default_rate(len(accounts))
    book = Book(accounts=accounts)
    users = Users(book, arguments.url, rate, told)
    begun = time.monotonic()
    workers = [threading.Thread(target=users.run, args=(number,)) for number in range(CONNECTIONS)]
    for worker in workers:
        worker.start()
    write_ready(arguments.ready_file, {"rate": rate})
    while not told.wait(1.0):
        write_ready(arguments.dir / REPORT_FILE, book.report(time.monotonic() - begun))
    for worker in workers:
        worker.join()
    write_ready(arguments.dir / REPORT_FILE, book.report(time.monotonic() - begun))
    return 0


if __name__ == "__main__":
    sys.exit(main())
