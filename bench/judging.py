"""(e) What a look costs: counters folded and judged, and one exposition page read."""

import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.tables import Table, spread
from bench.worlds import policy_text
from ringctl.bootstrap import Judges
from ringctl.core.digests import canonical
from ringctl.core.observing import Watch, fold
from ringctl.core.policy import Check, Counter, Ratio
from ringctl.core.timing import SECOND
from ringctl.metrics.exposition import parse
from ringctl.metrics.scrape import Scrape
from ringctl.ports.metrics import Reading
from ringctl.settings import policy_from_text

GATES = """\
metrics:
  service: {type: scrape, url: "http://127.0.0.1:9/metrics"}
gates:
  errors:
    source: service
    bad: {counter: http_requests_total, match: {code: "5.."}, account: account}
    all: {counter: http_requests_total, account: account}
    compare: canary-vs-control
    fail_if: {increase: 300%}
    min_samples: 25
    baseline: 60s
  answers:
    source: service
    value: {ratio: [{counter: items_total, account: account}, {counter: queries_total, account: account}]}
    compare: before-vs-after
    fail_if: {becomes_empty: true, shift: 50%}
    min_samples: 15
    baseline: 60s
"""
START = 1_800_000_000 * SECOND
MINUTE = 60 * SECOND


def gates(folder: Path, runs: int, accounts: int) -> Table:
    """Looks over a wave of that many accounts, and a page of that many series."""
    del folder
    table = Table(
        "a look",
        "Two checks (canary-vs-control; becomes-empty and shift): the reading differenced, "
        "judged, and the state written as "
        "JSON. The first looks are before the accounts are touched, the later ones after. A "
        "scrape reads one page over "
        "loopback, its server in the same process.",
        ("what", "of", "ms", "us each"),
    )
    found = _looks(accounts, runs)
    table.rows.append(
        _row(f"look of 2 checks, {len(found)} looks", f"{accounts:,} accounts", found, accounts)
    )
    page = _page(accounts)
    found = [_timed(lambda: parse(page)) for _ in range(runs)]
    table.rows.append(_row("exposition parsed", f"{accounts:,} series", found, accounts))
    found = _scrapes(page, runs)
    table.rows.append(_row("scrape", f"{accounts:,} series", found, accounts))
    return table


def _row(what: str, of: str, seconds: Sequence[float], count: int) -> Sequence[str]:
    return (
        what,
        of,
        spread([one * 1e3 for one in seconds], 0),
        spread([one / count * 1e6 for one in seconds], 1),
    )


def _timed(call: Any) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _looks(accounts: int, runs: int) -> list[float]:
    policy, _ = policy_from_text(policy_text(2, GATES, "errors, answers").encode(), "policy.yaml")
    names = [f"acct-{number:07d}" for number in range(accounts)]
    control = [f"ctrl-{number:07d}" for number in range(min(500, accounts))]
    states: dict[str, Any] = {}
    found = []
    for look in range(2 * runs):
        begun = START + (runs - 1) * MINUTE + SECOND if look >= runs else None
        watch = Watch(touched=dict.fromkeys(names, begun), control=control)
        reading = _reading(policy.checks.values(), [*names, *control], look)
        found.append(_timed(lambda w=watch, r=reading: _one_look(policy.checks.values(), r, w, states)))
    return found


def _one_look(checks: Any, reading: Reading, watch: Watch, states: dict[str, Any]) -> None:
    assert reading.at_us is not None
    for check in checks:
        before = states.get(check.name, {"fold": {}, "judges": {}})
        folded, evidence = fold(check, before["fold"], reading, watch, reading.at_us)
        judges = {}
        for name, judge in Judges().items():
            if judge.applies(check):
                judges[name], _ = judge.look(check, before["judges"].get(name, {}), evidence)
        states[check.name] = {"fold": folded, "judges": judges}
        canonical(states[check.name])


def _reading(checks: Any, names: Sequence[str], look: int) -> Reading:
    values: dict[Counter, dict[str, float]] = {}
    for check in checks:
        assert isinstance(check, Check)
        assert isinstance(check.measure, Ratio)
        values[check.measure.n] = {name: 1000.0 + 40 * look + place % 7 for place, name in enumerate(names)}
        share = 0.1 if check.name == "errors" else 3.0
        values[check.measure.y] = dict.fromkeys(names, share * (900.0 + 40 * look) // 1)
    return Reading(at_us=START + look * MINUTE, values=values, oldest_us=START + look * MINUTE)


def _page(series: int) -> bytes:
    lines = ["# TYPE http_requests_total counter"]
    lines += [
        f'http_requests_total{{account="acct-{n:07d}",code="{200 + n % 2}"}} {n}' for n in range(series)
    ]
    return "\n".join([*lines, ""]).encode()


def _scrapes(page: bytes, runs: int) -> list[float]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        source = Scrape("service", {"url": f"http://127.0.0.1:{server.server_port}/metrics"})
        counter = Counter(name="http_requests_total")
        return [_timed(lambda: source.read((counter,), 30.0)) for _ in range(runs)]
    finally:
        server.shutdown()
        server.server_close()
