"""A node that is stopped or killed leaves no running step and no orphan after its lease (DESIGN 7, I1).

The step ignores TERM and has a child in a session of its own; both sign their account's book of life.
"""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ringctl.core.timing import SECOND
from ringctl.executors import supervised
from tests.support.books import Book, stay_fleet
from tests.support.command_line import CommandLine, Node, eventually

LEASE_S = 2.0
KILL_S = 5.0
GRACE_S = 7.0
"""After the lease, before anybody takes over: the kill grace and a margin."""
SIGNED_S = 0.5
"""A sign of life is at most so old when it is written, on a busy machine."""

MAIN = "import sys; from ringctl.__main__ import main; sys.exit(main())"


def lease_end(ringctl: CommandLine, node: Node) -> float:
    """When the store's lease of the node's session ends, as wall time of this host."""
    with ringctl.looking() as parts:
        return max(
            row.lease_until_us / SECOND for row in parts.store.nodes() if row.node.endswith(f"-{node.pid}")
        )


def in_hand(ringctl: CommandLine, node: Node, book: Book) -> set[str]:
    """Two accounts at least whose step and child are alive in the node's hand."""
    del ringctl, node
    alive = book.alive()
    return alive if len(alive) >= 2 else set()


def begun(ringctl: CommandLine, *, shim: str = "", tenths: int = 400) -> tuple[Book, str, Node, set[str]]:
    """A rollout and a node with two accounts in hand; `shim` is another one than the product's."""
    book = stay_fleet(ringctl.directory, tenths=tenths, accounts=6, parallel=3, lease="2s")
    rollout = ringctl.start("b1")
    bug = f"from ringctl.executors import supervised; from pathlib import Path; supervised.SHIM = Path({shim!r}); "
    node = ringctl.node("run", "--workers", "3", command=("-c", (bug if shim else "") + MAIN))
    held = eventually(lambda: in_hand(ringctl, node, book), 60, "two accounts in hand")
    return book, rollout, node, held


def stop_node(ringctl: CommandLine, node: Node, number: int) -> float:
    """Send it the signal, outside its write transactions (a stopped one would keep every other node out of a SQLite
    file); the end of its lease."""
    if number == signal.SIGKILL:
        node.kill()
        return lease_end(ringctl, node)
    while True:
        node.signal(number)
        try:
            with ringctl.looking() as parts:
                parts.store.add_tally("test", 0)
            return lease_end(ringctl, node)
        except Exception:  # noqa: BLE001 - caught inside a transaction
            node.signal(signal.SIGCONT)
            time.sleep(0.1)


def outlived(ringctl: CommandLine, book: Book, node: Node, held: set[str], number: int) -> dict[str, float]:
    """Accounts whose step or child gave a sign of life after lease end + kill wait, with how much later."""
    end = stop_node(ringctl, node, number)
    bound = end + KILL_S + SIGNED_S
    eventually(lambda: time.time() > bound + 1.0, LEASE_S + KILL_S + 10, "the bound is over")
    late = {account: book.last_sign(account) - bound for account in held}
    return {account: seconds for account, seconds in late.items() if seconds > 0}


@pytest.mark.multinode
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_no_step_outlives_its_lease_and_nobody_begins_before(ringctl: CommandLine, number: int) -> None:
    """The other node takes over only when the last sign of life is long past, and each account is done once."""
    book, rollout, node, held = begun(ringctl, tenths=60)
    other = ringctl.node("run", "--workers", "3")
    assert outlived(ringctl, book, node, held, number) == {}
    signs = {account: book.last_sign(account) for account in held}
    eventually(
        lambda: all(len(book.tokens(one)) >= 2 for one in held if not book.done(one)), 60, "taken over"
    )
    for account in held:
        first, *later = book.starts()[account]
        assert all(at > signs[account] or at == first for at in later), "two bodies at once"
        assert book.tokens(account) == sorted(book.tokens(account))
    if number == signal.SIGSTOP:
        node.signal(signal.SIGCONT)
    waited = ringctl("wait", rollout, "--timeout", "90s")
    assert waited.code == 0, waited.out + ringctl("why", rollout).out + other.said()
    assert {book.done(account) for account in book.fleet.accounts} == {1}


def changed(directory: Path, *changes: tuple[str, str]) -> str:
    """A copy of the shim with parts of it replaced; each part has to be there."""
    text = supervised.SHIM.read_text()
    for old, new in changes:
        assert text.count(old) >= 1, f"the shim has no {old!r} any more: this seeded bug must follow it"
        text = text.replace(old, new)
    path = directory / "shim_with_a_bug.py"
    path.write_text(text)
    return str(path)


LATE = ('self.lease = float(order["lease"][0])', 'self.lease = float(order["lease"][0]) + 15')
ALONE = (
    ("quietly(os.killpg, self.pid, number)", "quietly(os.kill, self.pid, number)"),
    ("for pid in self.children():\n            quietly(os.kill, pid, number)", "pass"),
    ("return self.dead and not self.children()", "return self.dead"),
)
"""Only the step's own process is killed, neither its group nor what it left behind."""


@pytest.mark.multinode
@pytest.mark.parametrize("changes", [(LATE,), ALONE], ids=["late-deadline", "no-group-kill"])
def test_a_shim_with_a_bug_is_found(ringctl: CommandLine, changes: tuple[tuple[str, str], ...]) -> None:
    """Seeded bugs: the test above must be able to go red."""
    book, _, node, held = begun(ringctl, shim=changed(ringctl.directory, *changes))
    try:
        assert outlived(ringctl, book, node, held, signal.SIGSTOP) != {}
    finally:
        book.close()


LAG = "import time; from ringctl.executors import supervised; plain = supervised._order; "
SLOW = "supervised._order = lambda *given: (plain(*given), time.sleep(4))[0]; "
"""The node is stopped between taking its deadline and starting the step: as long as a lease and more."""
SILENT = "from ringctl.engine.node import Node; beat = Node.beat; Node.beat = lambda self: None; "
"""It does not renew."""


def late_starts(ringctl: CommandLine, shim: str) -> int:
    """How many steps began though the lease their node knew of was over."""
    book = stay_fleet(ringctl.directory, tenths=3, accounts=3, parallel=1, lease="2s")
    ringctl.start("b1")
    bug = f"from pathlib import Path; supervised.SHIM = Path({shim!r}); " if shim else ""
    node = ringctl.node("run", "--workers", "1", command=("-c", LAG + SLOW + SILENT + bug + MAIN))
    has_claimed: Callable[[], bool] = lambda: "claimed" in tried(ringctl)  # noqa: E731
    eventually(has_claimed, 30, "an intent")
    time.sleep(6)  # the step's start lies 4 s after its deadline was taken
    node.kill()
    return sum(len(times) for times in book.starts().values())


def tried(ringctl: CommandLine) -> set[str]:
    """Whether any step has an intent."""
    with ringctl.looking() as parts:
        rollout = parts.store.rollouts()[0].id
        return {"claimed" for row in parts.store.tasks(rollout) if row.steps}


@pytest.mark.multinode
def test_a_step_is_not_started_after_the_deadline(ringctl: CommandLine) -> None:
    assert late_starts(ringctl, "") == 0


@pytest.mark.multinode
def test_without_the_start_check_it_is(ringctl: CommandLine) -> None:
    """Seeded bug: no look at the deadline before the start, and (else it is a race) none right after."""
    check = '        if self.right_ended():\n            report("late")\n            return\n'
    shim = changed(ringctl.directory, (check, ""), ("            if why:\n                return why\n", ""))
    assert late_starts(ringctl, shim) > 0
