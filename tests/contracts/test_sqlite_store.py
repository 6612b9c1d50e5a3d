"""SQLite: the conformance suite, and what is SQLite's own."""

from pathlib import Path

import pytest

from ringctl.stores.sqlite import SQLiteStore
from ringctl.testing.store_scene import StoreFactory
from ringctl.testing.store_suite import StoreSuite
from ringctl.testing.values import TestClock, bundle_of, policy_of


class TestSQLite(StoreSuite):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> StoreFactory:
        def make(clock: TestClock) -> SQLiteStore:
            return SQLiteStore(
                tmp_path / "ringctl.db", decode_policy=policy_of, decode_bundle=bundle_of, clock=clock
            )

        return make
