"""`ringctl` on PostgreSQL with the seeded bug of Octopus Server 2023.3: `-m tests.multinode.contend_node WORDS`.

The claim has lost its locks and its second look at the task's state; between its look at the queue and its taking of
tasks it pauses, as a busy machine may make it. The bug lives here alone.
"""

import sys
from unittest import mock

from ringctl.__main__ import main
from ringctl.stores.statements import Statements

GUARDS = {
    "lock_admitting_wave": {"for no key update": "", "for share": ""},
    "claim_tasks": {
        "coalesce(sum(running), 0) as": "coalesce(sum(running), 0) + (select 0 from pg_sleep(0.15)) as",
        "for update skip locked": "",
        "and state = 'pending'\n  returning": "returning",
    },
}
load = Statements.load


def unguarded(engine: str) -> Statements:
    """The statements of a store that claims without its guards."""
    found = load(engine)
    texts = {name: found[name] for name in found}
    for name, guards in GUARDS.items():
        for guard, instead in guards.items():
            assert guard in texts[name], f"{name} has no {guard!r} to remove"
            texts[name] = texts[name].replace(guard, instead)
    return Statements(texts)


if __name__ == "__main__":
    with mock.patch.object(Statements, "load", unguarded):
        sys.exit(main(sys.argv[1:]))
