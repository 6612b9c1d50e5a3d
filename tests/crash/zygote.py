"""The process that the crashes come from: it has loaded everything, forks for each point, and judges what is left.

`python -m tests.crash.zygote [BUG]`, with the failing disk preloaded. One JSON order a line comes in, one answer goes
out. The process that crashes, the judgement and the restart are a child each.
"""

import ctypes
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ringctl.core.errors import ExternalError
from ringctl.core.states import RolloutState
from tests.crash.oracle import problems, unfinished
from tests.crash.rollout import Run, prepare, read

MODES = {"count": 1, "kill": 2, "torn": 3, "fail": 4, "power": 5}
KILLED = 9
GAVE_UP = 3


def main() -> None:
    """Answer orders until there are no more."""
    bug = sys.argv[1] if len(sys.argv) > 1 else ""
    shared = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as scratch:
        prepare(template := Path(scratch) / "template")
        reference: dict[int, int] = {}
        for number, line in enumerate(sys.stdin):
            directory = Path(scratch) / f"point-{number}"
            shutil.copytree(template, directory)
            order = json.loads(line)
            answer = point(directory, order, bug, reference)
            if order["mode"] == "count":
                facts = read(directory / "acknowledged")
                reference = {fact[2]: fact[3] for fact in facts if fact[0] == "version"}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
            shutil.rmtree(directory)


def point(directory: Path, order: dict[str, Any], bug: str, reference: dict[int, int]) -> dict[str, Any]:
    """Run until the disk fails; judge, go on with a healthy disk and judge again."""
    status = forked(lambda: first_life(directory, order, bug), directory)
    calls, wrong = directory / "calls", []
    if status not in {0, -KILLED, GAVE_UP}:
        wrong.append(f"the first process ended with {status}: {trouble(directory)}")
    acknowledged = len(read(directory / "acknowledged"))
    # a process that went on after an error has a history of its own
    undisturbed = {} if order["mode"] == "fail" else reference
    after = forked(lambda: next_life(directory, undisturbed), directory)
    if after:
        wrong.append(f"the restart ended with {after}: {trouble(directory)}")
    else:
        wrong += json.loads((directory / "wrong").read_text())
    return {
        "status": status,
        "acknowledged": acknowledged,
        "calls": int(calls.read_text()) if calls.exists() else 0,
        "wrong": wrong,
    }


def first_life(directory: Path, order: dict[str, Any], bug: str) -> int:
    """The process to which it happens."""
    disk = ctypes.CDLL(None)
    disk.faults_arm(
        os.fsencode(directory / "ringctl.db"),
        MODES[order["mode"]],
        ctypes.c_long(order["at"]),
        order["errno"],
    )
    try:
        Run(directory, 0, bug).to_the_end(patient=order["patient"])
    except ExternalError:
        return GAVE_UP
    (directory / "calls").write_text(str(disk.faults_calls()))
    return 0


def next_life(directory: Path, reference: dict[int, int]) -> int:
    """The restart: it finds everything well, carries the rollout to its end, and leaves everything well."""
    wrong = problems(directory, reference)
    try:
        rollout = Run(directory, 1).to_the_end(patient=False)
        if rollout.state is not RolloutState.SUCCEEDED:
            wrong.append(f"it ended {rollout.state}")
        wrong += problems(directory, {}) + unfinished(directory)
    except Exception:  # what was found before says why
        if not wrong:
            raise
    (directory / "wrong").write_text(json.dumps(wrong))
    return 0


def forked(work: Callable[[], int], directory: Path) -> int:
    """Its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        status = 70
        try:
            status = work()
        except BaseException:  # noqa: BLE001 - a child must not go on as its parent
            (directory / "trouble").write_text(traceback.format_exc())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def trouble(directory: Path) -> str:
    """What a child could still say."""
    said = directory / "trouble"
    return said.read_text() if said.exists() else "nothing said"


if __name__ == "__main__":
    main()
