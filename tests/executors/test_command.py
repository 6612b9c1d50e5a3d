"""`command` with real processes under the real shim."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ringctl.executors import supervised
from ringctl.executors.command import CommandExecutor
from ringctl.ports.executor import Outcome, Probed
from tests.executors.kit import Hand, order, spec, wait_until
from tests.support.scale import scaled

ROOT = Path(__file__).resolve().parents[2]
EXECUTOR = CommandExecutor(kill_grace_s=0.3)
# A step with a child in its group, a double-forked daemon in a session of its own, and one that ignores TERM.
FAMILY = """\
import os, signal, sys, time
folder = sys.argv[1]
def live(name, ignore=False):
    if ignore:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(os.path.join(folder, name + ".part"), "w") as file:
        file.write(str(os.getpid()))
    os.rename(os.path.join(folder, name + ".part"), os.path.join(folder, name + ".pid"))
    while True:
        time.sleep(0.05)
if os.fork() == 0:
    live("child")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        live("daemon", ignore=True)
    os._exit(0)
live("step")
"""
NAMES = ("child", "daemon", "step")


def script(bundle: Path, text: str, name: str = "run.sh") -> None:
    (bundle / name).write_text(text)
    (bundle / name).chmod(0o755)


def command(bundle: Path, *argv: str, **more: Any) -> Any:
    options = {"argv": list(argv), "env": more.pop("env", [])}
    return spec("command", options, bundle, step="warm", **more)


def alive(pid: int) -> bool:
    """Whether the process lives (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def family(folder: Path) -> list[int]:
    return [int((folder / f"{name}.pid").read_text()) for name in NAMES]


def all_up(folder: Path) -> bool:
    return all((folder / f"{name}.pid").exists() for name in NAMES)


def test_exit_codes_and_output(bundle: Path) -> None:
    script(bundle, "#!/bin/sh\necho one; echo two >&2; exit $1\n")
    hand = Hand()
    ran = EXECUTOR.run(order(command(bundle, "./run.sh", "0"), bundle), hand)
    assert (ran.outcome, ran.numbers["exit"]) == (Outcome.DONE, 0)
    assert "\n".join(hand.lines) == "one\ntwo"
    ran = EXECUTOR.run(order(command(bundle, "./run.sh", "3"), bundle), Hand())
    assert (ran.outcome, ran.reason) == (Outcome.FAILED, "exit 3")


def test_arguments_stay_arguments(bundle: Path) -> None:
    script(bundle, '#!/bin/sh\nprintf "%s|" "$@"; pwd\n')
    hand = Hand()
    hostile = "a b; $(touch pwned) `x` 'y' \"z\" * | > &"
    task = order(
        command(bundle, "./run.sh", "{account.id}", "x={account.id}"),
        bundle,
        placeholders={"account.id": hostile},
    )
    assert EXECUTOR.run(task, hand).outcome is Outcome.DONE
    assert "\n".join(hand.lines) == f"{hostile}|x={hostile}|{bundle.resolve()}"
    for refused in ("-rf", "a\nb", "a\0b"):
        ran = EXECUTOR.run(order(task.step, bundle, placeholders={"account.id": refused}), Hand())
        assert (ran.outcome, ran.reason.startswith("RC6016")) == (Outcome.FAILED, True)


def test_environment_is_an_allow_list(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("PATH", "/nonsense:" + os.environ["PATH"])
    script(bundle, "#!/bin/sh\n/usr/bin/env\n")
    hand = Hand()
    assert (
        EXECUTOR.run(order(command(bundle, "./run.sh", env=["LANG", "NOT_SET"]), bundle), hand).outcome
        is Outcome.DONE
    )
    found = dict(line.split("=", 1) for line in "\n".join(hand.lines).splitlines())
    for name in ("PWD", "SHLVL", "_", "OLDPWD"):  # the shell's own
        found.pop(name, None)
    assert found == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
        "RINGCTL_TASK_KEY": "key-1", "RINGCTL_TASK_TOKEN": "c1.10", "RINGCTL_ACCOUNT": "a1",
        "RINGCTL_ROLLOUT": "ro1", "RINGCTL_REVISION": "r1",
    }  # fmt: skip


def test_step_sees_no_file_of_ours_and_no_input(bundle: Path) -> None:
    script(bundle, "#!/bin/sh\nls /proc/self/fd | wc -l; cat; echo end\n")
    hand = Hand()
    assert EXECUTOR.run(order(command(bundle, "./run.sh"), bundle), hand).outcome is Outcome.DONE
    assert "\n".join(hand.lines).split() == ["4", "end"]  # 0, 1, 2 and the one that `ls` reads


def test_what_cannot_be_started_failed_for_certain(bundle: Path) -> None:
    (bundle / "plain.txt").write_text("x")
    for argv, why in (
        (["./gone.sh"], "No such file"),
        (["./plain.txt"], "Permission denied"),
        (["no-such-program-anywhere"], "No such file"),
        ([], "RC6008"),
    ):
        ran = EXECUTOR.run(order(command(bundle, *argv), bundle), Hand())
        assert ran.outcome is Outcome.FAILED
        assert why in ran.reason
    ran = EXECUTOR.run(order(command(bundle, "true"), bundle / "gone"), Hand())
    assert ran.outcome is Outcome.UNREACHABLE


def test_output_is_capped_with_a_note(bundle: Path, tmp_path: Path) -> None:
    script(bundle, "#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' x; echo; echo last\n")
    hand = Hand()
    executor = CommandExecutor(output_bytes=100_000, output_dir=tmp_path)
    assert executor.run(order(command(bundle, "./run.sh"), bundle), hand).outcome is Outcome.DONE
    kept = (tmp_path / "c1-warm.log").read_bytes()
    assert len(kept) < 100_200
    assert kept.endswith(b"[ringctl: output cut, 2900006 bytes more]\n")
    assert "not shown" in "\n".join(hand.lines)
    assert len("\n".join(hand.lines)) < 50_000


def test_time_out_stop_and_lease_end_kill_and_leave_it_unknown(bundle: Path, tmp_path: Path) -> None:
    (bundle / "family.py").write_text(FAMILY)
    for case, why in (("step", "time-out"), ("stop", "stop was requested"), ("lease", "lease ended")):
        folder = tmp_path / case
        folder.mkdir()
        hand = Hand(**{"step": {"step_s": 1.5}, "lease": {"lease_s": 1.5}}.get(case, {}))
        if case == "stop":
            threading.Thread(
                target=lambda f=folder, h=hand: wait_until(lambda: all_up(f)) and h.stop.set()
            ).start()
        ran = EXECUTOR.run(order(command(bundle, sys.executable, "family.py", str(folder)), bundle), hand)
        assert (ran.outcome, why in ran.reason) == (Outcome.UNKNOWN, True)
        assert all_up(folder)
        assert not [pid for pid in family(folder) if alive(pid)]


def test_lease_is_extended_as_it_is_renewed(bundle: Path) -> None:
    script(bundle, "#!/bin/sh\nsleep 1.5\n")
    hand = Hand(lease_s=0.5)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(0.1):
            hand.lease_at = time.monotonic() + 0.5

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        assert EXECUTOR.run(order(command(bundle, "./run.sh"), bundle), hand).outcome is Outcome.DONE
    finally:
        stop.set()
        thread.join()


def test_what_a_done_step_leaves_behind_is_killed(bundle: Path, tmp_path: Path) -> None:
    script(bundle, f"#!/bin/sh\nsetsid sleep 60 & echo $! > {tmp_path}/pid; exit 0\n")
    began = time.monotonic()
    ran = EXECUTOR.run(order(command(bundle, "./run.sh"), bundle), Hand())
    assert (ran.outcome, ran.numbers["left_behind"]) == (Outcome.DONE, 1)
    assert not alive(int((tmp_path / "pid").read_text()))
    assert time.monotonic() - began < 5


def test_foreign_signal_is_unknown(bundle: Path) -> None:
    script(bundle, "#!/bin/sh\nkill -9 $$\n")
    ran = EXECUTOR.run(order(command(bundle, "./run.sh"), bundle), Hand())
    assert (ran.outcome, ran.numbers) == (Outcome.UNKNOWN, {"signal": 9})


@pytest.mark.parametrize("turn", range(scaled(5, 50)))
def test_killed_shim_takes_the_step_with_it(bundle: Path, tmp_path: Path, turn: int) -> None:
    script(
        bundle, f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/child; echo $PPID > {tmp_path}/shim; sleep 60\n"
    )
    found: list[Any] = []
    task = order(command(bundle, "./run.sh"), bundle)
    thread = threading.Thread(target=lambda: found.append(EXECUTOR.run(task, Hand())))
    thread.start()
    assert wait_until(lambda: (tmp_path / "shim").exists() and (tmp_path / "shim").read_text().strip())
    os.kill(int((tmp_path / "shim").read_text()), signal.SIGKILL)
    thread.join(10)
    assert (found[0].outcome, "shim vanished" in found[0].reason) == (Outcome.UNKNOWN, True)
    assert wait_until(lambda: not alive(int((tmp_path / "child").read_text())), 2)


def test_probe(bundle: Path) -> None:
    script(bundle, "#!/bin/sh\nexit $1\n", "is.sh")
    answers = {"0": Probed.TOOK_EFFECT, "1": Probed.DID_NOT, "2": Probed.UNKNOWN}
    for code, wanted in answers.items():
        for probe in (
            {"command": ["./is.sh", code]},
            {"executor": "command", "options": {"argv": ["./is.sh", code], "env": []}},
        ):
            task = order(command(bundle, "true", probe=probe), bundle)
            assert EXECUTOR.check(task.step) == ()
            assert EXECUTOR.probe(task, Hand()) is wanted
    assert EXECUTOR.probe(order(command(bundle, "true"), bundle), Hand()) is Probed.UNKNOWN
    gone = order(command(bundle, "true", probe={"command": ["./gone"]}), bundle)
    assert EXECUTOR.probe(gone, Hand()) is Probed.UNKNOWN
    slow = order(command(bundle, "true", probe={"command": ["sleep", "60"]}), bundle)
    assert EXECUTOR.probe(slow, Hand(step_s=0.3)) is Probed.UNKNOWN


def test_check_lists_everything(bundle: Path) -> None:
    def codes(step: Any) -> list[str]:
        return [found.code for found in EXECUTOR.check(step)]

    assert codes(command(bundle)) == ["RC6008"]
    assert codes(command(bundle, "./gone.sh", "{nope}")) == ["RC6001", "RC6004"]
    assert codes(command(bundle, "{account.id}")) == ["RC6008"]
    hints = EXECUTOR.check(command(bundle, "cat", "a | b"))
    assert [(found.code, found.severity) for found in hints] == [("RC6009", "hint")]
    assert codes(command(bundle, "sh", "-c", "a | b")) == []
    assert codes(command(bundle, "x", env=["A B", "RINGCTL_TASK_KEY", "LANG"])) == ["RC6013", "RC6013"]
    assert codes(command(bundle, "x", env="LANG")) == ["RC6003"]
    assert codes(command(bundle, "x", probe={"http": "http://h/"})) == ["RC6012"]
    assert codes(spec("command", {"argv": ["x"], "shell": True}, bundle)) == ["RC6002"]


NODE = """\
import sys, time
from pathlib import Path
from ringctl.executors import supervised
from ringctl.executors.command import CommandExecutor
from tests.executors.kit import Hand, order, spec
bundle, folder, lease, shim = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), Path(sys.argv[4])
supervised.SHIM = shim
step = spec("command", {"argv": [sys.executable, "family.py", folder]}, bundle)
CommandExecutor(kill_grace_s=0.3).run(order(step, bundle), Hand(lease_s=lease))
"""


def orphans_after(bundle: Path, folder: Path, number: int, shim: Path) -> tuple[list[int], float]:
    """A node that starts the family gets `number`; who lives 1 s after the end of its lease, and the kill grace."""
    folder.mkdir()
    (bundle / "family.py").write_text(FAMILY)
    lease = 1.5
    with subprocess.Popen(
        [sys.executable, "-c", NODE, str(bundle), str(folder), str(lease), str(shim)], cwd=ROOT
    ) as node:
        began = time.monotonic()
        assert wait_until(lambda: all_up(folder))
        node.send_signal(number)
        members = family(folder)
        gone = wait_until(lambda: not any(alive(pid) for pid in members), lease + 0.3 + 1.0)
        took = time.monotonic() - began
        left = [] if gone else [pid for pid in members if alive(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        node.kill()
    return left, took


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["paused", "killed"])
@pytest.mark.parametrize("turn", range(scaled(10, 50)))
def test_no_orphan_when_the_node_is_paused_or_dies(
    bundle: Path, tmp_path: Path, number: int, turn: int
) -> None:
    left, took = orphans_after(bundle, tmp_path / "family", number, supervised.SHIM)
    assert left == []
    assert took < 4.0


def seeded(tmp_path: Path, old: str, new: str) -> Path:
    """The shim with one line changed."""
    text = supervised.SHIM.read_text()
    assert text.count(old) == 1
    path = tmp_path / "shim_with_a_bug.py"
    path.write_text(text.replace(old, new))
    return path


def test_without_the_kill_at_the_deadline_there_are_orphans(bundle: Path, tmp_path: Path) -> None:
    """Seeded bug: the test above must be able to go red."""
    shim = seeded(tmp_path, "            if why:\n                return why\n", "")
    left, _ = orphans_after(bundle, tmp_path / "family", signal.SIGSTOP, shim)
    assert len(left) == 3


def late_start(bundle: Path, shim: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Outcome, bool]:
    """The lease ends while the shim is being started; the outcome, and whether the step ran all the same."""
    script(bundle, "#!/bin/sh\ntouch began\n")
    monkeypatch.setattr(supervised, "SHIM", shim)
    hand = Hand()
    plain = supervised._order

    def slow(*arguments: Any) -> bytes:
        hand.lease_at = time.monotonic() + 0.05
        made = plain(*arguments)
        time.sleep(0.2)  # the node was paused here
        return made

    monkeypatch.setattr(supervised, "_order", slow)
    ran = EXECUTOR.run(order(command(bundle, "./run.sh"), bundle), hand)
    return ran.outcome, (bundle / "began").exists()


def test_late_start_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert late_start(bundle, supervised.SHIM, monkeypatch) == (Outcome.STOPPED, False)
    ran = EXECUTOR.run(order(command(bundle, "./run.sh"), bundle), Hand(lease_s=-1))
    assert (ran.outcome, ran.reason) == (Outcome.STOPPED, "nothing was started: the lease ended")


def test_without_the_start_check_a_late_step_begins(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded bug: the test above must be able to go red. (The kill at the deadline is taken away as well,
    else it is a race which of the two is quicker.)"""
    shim = seeded(
        tmp_path, '        if self.right_ended():\n            report("late")\n            return\n', ""
    )
    text = shim.read_text().replace("            if why:\n                return why\n", "")
    shim.write_text(text)
    assert late_start(bundle, shim, monkeypatch)[1] is True


def test_shim_imports_almost_nothing() -> None:
    listed = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "importtime", str(supervised.SHIM)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    ).stderr  # fmt: skip
    names = {line.rpartition("|")[2].strip() for line in listed.splitlines()}
    assert "ctypes" in names
    assert not names & {"re", "json", "subprocess", "threading", "ringctl", "typing", "logging", "site"}


def test_shim_that_cannot_start_is_unreachable(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/python")
    ran = EXECUTOR.run(order(command(bundle, "true"), bundle), Hand())
    assert (ran.outcome, "could not be started" in ran.reason) == (Outcome.UNREACHABLE, True)
    assert shutil.which("true")
