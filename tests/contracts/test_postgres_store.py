"""PostgreSQL: the conformance suite."""

from collections.abc import Iterator

import pytest

from ringctl.stores.postgres import PostgresStore
from ringctl.testing.store_scene import StoreFactory
from ringctl.testing.store_suite import StoreSuite
from ringctl.testing.values import TestClock, bundle_of, policy_of


@pytest.mark.postgres
class TestPostgres(StoreSuite):
    @pytest.fixture
    def make_store(self, postgres_database: str) -> Iterator[StoreFactory]:
        made: list[PostgresStore] = []

        def make(clock: TestClock) -> PostgresStore:
            store = PostgresStore(
                postgres_database, decode_policy=policy_of, decode_bundle=bundle_of, clock=clock
            )
            made.append(store)
            return store

        yield make
        for store in made:
            store.close()
