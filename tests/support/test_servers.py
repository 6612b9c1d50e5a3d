"""The harnesses themselves: a real PostgreSQL and a real Prometheus come up, answer and go."""

import json
import os
import time
import urllib.parse
import urllib.request
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import PostgresServer
from tests.support.prometheus import PrometheusServer, scrape_config


@pytest.mark.postgres
def test_postgres_database_is_empty_and_writable(postgres_database: str) -> None:
    with psycopg.connect(postgres_database) as connection:
        tables = connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
        assert tables == (0,)
        connection.execute("create table account (id text primary key)")


@pytest.mark.postgres
def test_postgres_keeps_committed_rows_over_a_crash(postgres: PostgresServer, postgres_database: str) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("create table account (id text primary key)")
        connection.execute("insert into account values ('a')")
    postgres.restart("immediate")
    with psycopg.connect(postgres_database) as connection:
        assert connection.execute("select id from account").fetchall() == [("a",)]


@pytest.mark.postgres
def test_postgres_refuses_a_wrong_password(postgres: PostgresServer) -> None:
    stranger = postgres.dsn().replace(postgres.password, "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stranger)


@pytest.mark.needs("prometheus")
def test_prometheus_scrapes_and_answers(tmp_path: Path) -> None:
    with PrometheusServer(tmp_path, scrape_config({"idle": ["127.0.0.1:9"]})) as server:
        query = urllib.parse.urlencode({"query": 'up{job="idle"}'})
        samples: list[object] = []
        deadline = time.monotonic() + 20
        while not samples and time.monotonic() < deadline:
            with urllib.request.urlopen(f"{server.url}/api/v1/query?{query}", timeout=5) as answer:
                samples = json.load(answer)["data"]["result"]
            time.sleep(0.1)
        assert samples, "the target was never scraped"
        pid = server.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
