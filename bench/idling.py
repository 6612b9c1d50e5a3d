"""What a node asks of the server while it has nothing to do."""

import subprocess
import sys
import time
from pathlib import Path

from bench import server
from bench.processes import environment
from bench.tables import Table
from bench.worlds import ONE_RING, write_world
from ringctl.demo.postgres import PostgresServer

SETTINGS = {"shared_preload_libraries": "pg_stat_statements", "track_commit_timestamp": "on"}
"""What a server needs for this and for `pausing`."""
SETTLE_S = 5.0
PATIENCE_S = 30.0
STATEMENTS = """
select coalesce(sum(calls), 0) from pg_stat_statements s join pg_database d on d.oid = s.dbid
 where d.datname = '{name}'
"""
TOP = """
select sum(calls)::bigint, left(regexp_replace(query, E'\\\\s+', ' ', 'g'), 60) as text
  from pg_stat_statements s join pg_database d on d.oid = s.dbid
 where d.datname = '{name}' and query not like '%ringctl.%' group by text order by 1 desc limit 3
"""


def idle(running: PostgresServer, folder: Path, seconds: float) -> Table:
    """`ringctl run` beside no rollout, and beside one that a person has paused."""
    table = Table(
        "exclusive execution: idle nodes",
        f"Statements that reach the server from one `ringctl run`, counted by pg_stat_statements over {seconds:.0f} "
        "s (BEGIN and COMMIT count too). To reach: under 1 a second.",
        ("beside", "statements/s", "most of them"),
    )
    server.ask(running.dsn(), "create extension if not exists pg_stat_statements")
    for number, (name, held) in enumerate((("no rollout", False), ("a paused rollout", True))):
        database = f"idle_{number}"
        world = write_world(folder / database, 50, traits=2, rings=ONE_RING)
        state = running.create_database(database)
        _ringctl(world, state, "db", "migrate")
        if held:
            _ringctl(world, state, "start", "--policy", "policy.yaml", "--bundle", "bundle")
            _ringctl(world, state, "pause", "last", "--reason", "bench")
        words = (sys.executable, "-m", "ringctl", "--state", state, "run")
        node = subprocess.Popen(words, cwd=world, env=environment(), stdout=subprocess.DEVNULL)
        try:
            _until_it_lives(state)
            time.sleep(SETTLE_S)  # until it has found that there is nothing to do
            before = server.number(running.dsn(), STATEMENTS.format(name=database))
            began = time.monotonic()
            time.sleep(seconds)
            count = server.number(running.dsn(), STATEMENTS.format(name=database)) - before
            rate = count / (time.monotonic() - began)
        finally:
            node.terminate()
            node.wait()
        top = server.ask(running.dsn(), TOP.format(name=database))
        table.rows.append((name, f"{rate:.1f}", "; ".join(f"{text}" for _, text in top)))
    return table


def _until_it_lives(url: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not server.number(url, "select count(*) from ringctl.node_session where dead = 0"):
        if time.monotonic() > until:
            raise RuntimeError("the node opened no session")
        time.sleep(0.1)


def _ringctl(world: Path, state: str, *words: str) -> None:
    command = [sys.executable, "-m", "ringctl", "--state", state, "-y", *words]
    done = subprocess.run(command, cwd=world, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ringctl {' '.join(words)}: {done.stdout}{done.stderr}")
