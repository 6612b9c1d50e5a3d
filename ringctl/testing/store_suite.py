"""The conformance suite of the state store. Every engine passes it; a new one is written against it.

    from ringctl.testing.store_suite import StoreSuite

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda clock: MyStore(tmp_path / "state", clock=clock, ...)

`make_store` may be called several times in one test: the stores it makes share their state. Policies and
bundles of the suite are those of `ringctl.testing.values` (`policy_of`, `bundle_of`).
"""

from ringctl.testing.store_claims import ClaimSuite
from ringctl.testing.store_looks import LookSuite
from ringctl.testing.store_resolving import ResolveSuite
from ringctl.testing.store_rollouts import RolloutSuite


class StoreSuite(RolloutSuite, ClaimSuite, ResolveSuite, LookSuite):
    """All of it."""
