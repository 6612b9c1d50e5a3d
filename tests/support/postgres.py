"""The real PostgreSQL of the tests: the demo's own server."""

from ringctl.demo.postgres import PostgresServer, PostgresUnavailable, installed_programs
from ringctl.demo.processes import free_port

__all__ = ["PostgresServer", "PostgresUnavailable", "free_port", "installed_programs"]
