"""The tiny parent of a step's process: it owns the deadline, and kills the step when the right ends.

Run as `python -I -S shim.py`; a program of its own that imports almost nothing and nothing of ringctl.
A paused or dead node does not stop its children, so this process does (DESIGN 7): it refuses to start
after the deadline, and kills the step's process group and every descendant when the node dies (end of
file on standard input), when the lease ends, at the step's time-out, and on `stop`.

Standard input: first the order, fields ended by NUL (`name=value`; `argv` and `env` may repeat), ended
by an empty field; then lines `extend SECONDS` and `stop`. All times are CLOCK_MONOTONIC, which is one
clock for all processes of the host. Standard output: lines `started PID`, `late`, `noexec TEXT`,
`exit CODE`, `signal NUMBER`, `killed WHY`, `left COUNT`; the last one is `end`.
"""

import ctypes
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CHUNK = 65536
KILL_SECONDS = 5.0


def main() -> None:
    """Read the order, run the step, report."""
    order, rest = read_order()
    Shim(order, rest).run()
    report("end")


def quietly(call: "Callable[..., object]", *arguments: object) -> bool:
    """Whether the call worked; a target that is gone, or a call that this system has not, is none."""
    try:
        call(*arguments)
    except (OSError, AttributeError):
        return False
    return True


def report(line: str) -> None:
    """One line to the node; a node that is gone is no reason to stop."""
    quietly(os.write, 1, line.replace("\n", " ").encode(errors="replace") + b"\n")


def read_order() -> tuple[dict[str, list[str]], bytes]:
    """The fields of the order, and what came behind them."""
    data = b""
    while b"\0\0" not in data:
        chunk = os.read(0, CHUNK)
        if not chunk:
            sys.exit(0)  # the node died before it asked for anything
        data += chunk
    head, _, rest = data.partition(b"\0\0")
    order: dict[str, list[str]] = {}
    for field in head.split(b"\0"):
        name, _, value = field.partition(b"=")
        order.setdefault(name.decode(), []).append(os.fsdecode(value))
    return order, rest


def prctl(option: int, value: int) -> None:
    """Set a Linux process attribute; elsewhere there is none."""
    quietly(lambda: ctypes.CDLL(None).prctl(option, value, 0, 0, 0))


class Shim:
    """One step's process and its descendants."""

    def __init__(self, order: dict[str, list[str]], rest: bytes) -> None:
        self.order = order
        self.pending = rest
        self.lease = float(order["lease"][0])
        self.step = float(order["step"][0])
        self.grace = float(order["grace"][0])
        self.cap = int(order["cap"][0])
        self.pid = 0
        self.dead = False
        self.written = self.dropped = 0
        self.wake_read, wake_write = os.pipe()
        os.set_blocking(self.wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.terminated)
        self.stopping = ""
        for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(ignored, signal.SIG_IGN)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.sink = os.open(order["output"][0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self.output = -1

    def terminated(self, *_: object) -> None:
        """Somebody ends the shim: the step goes with it."""
        self.stopping = "stop"

    def right_ended(self) -> str:
        """Why the step may not run (any more); '' while it may."""
        now = time.monotonic()
        if self.stopping:
            return self.stopping
        if now >= self.lease:
            return "lease"
        if now >= self.step:
            return "step"
        return ""

    def run(self) -> None:
        """Start, watch, kill, tidy up."""
        if self.right_ended():
            report("late")
            return
        if not self.start():
            return
        why = self.watch()
        if why:
            report("killed " + why)
            self.kill_all(self.grace)
        left = self.children()
        if left and not why:
            report(f"left {len(left)}")
            self.kill_all(self.grace)
        self.drain()
        if self.dropped:
            os.write(self.sink, f"\n[ringctl: output cut, {self.dropped} bytes more]\n".encode())
        status = os.waitpid(self.pid, os.WNOHANG)[1] if self.dead else signal.SIGKILL
        if os.WIFSIGNALED(status):
            report(f"signal {os.WTERMSIG(status)}")
        else:
            report(f"exit {os.WEXITSTATUS(status)}")

    def start(self) -> bool:
        """Fork and execute; False when that did not work, and then nothing has run."""
        self.output, output_write = os.pipe()
        error_read, error_write = os.pipe()
        go_read, go_write = os.pipe()
        shim = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(go_write)
            self.become(shim, go_read, output_write, error_write)
        for end in (output_write, error_write, go_read):
            os.close(end)
        report(f"started {self.pid}")  # before it can do anything: the node must know whom to kill
        quietly(os.write, go_write, b"g")
        os.close(go_write)
        failure = os.read(error_read, CHUNK)
        os.close(error_read)
        if failure:
            os.waitpid(self.pid, 0)
            report("noexec " + failure.decode(errors="replace"))
            return False
        os.set_blocking(self.output, False)
        return True

    def become(self, shim: int, go: int, output: int, error: int) -> None:
        """In the child: a session of its own, death with the shim, clean descriptors, then the program."""
        try:
            os.setsid()
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != shim or not os.read(go, 1):
                os._exit(127)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.chdir(self.order["cwd"][0])
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            env = dict(item.split("=", 1) for item in self.order.get("env", []))
            os.execvpe(self.order["argv"][0], self.order["argv"], env)  # noqa: S606  argv is the point
        except OSError as failure:
            os.write(error, (failure.strerror or "failed").encode())
        finally:
            os._exit(127)

    def watch(self) -> str:
        """Until the step ends ('') or must be killed (why)."""
        while True:
            self.reap()
            if self.dead:
                return ""
            why = self.right_ended()
            if why:
                return why
            wait = max(0.0, min(self.lease, self.step) - time.monotonic())
            sources = [0, self.wake_read] + ([self.output] if self.output >= 0 else [])
            ready = select.select(sources, [], [], min(wait, 60.0))[0]
            if self.wake_read in ready:
                self.read_wake()
            if self.output in ready:
                self.copy_output()
            if 0 in ready and not self.read_commands():
                return "node"

    def read_commands(self) -> bool:
        """Take `extend` and `stop`; False when the node is gone."""
        data = os.read(0, CHUNK)
        lines = (self.pending + data).split(b"\n")
        self.pending = lines.pop()
        for line in lines:
            word, _, value = line.partition(b" ")
            if word == b"extend":
                self.lease = max(self.lease, float(value))
            elif word == b"stop":
                self.stopping = "stop"
        return bool(data)

    def read_wake(self) -> None:
        """Empty the pipe that signals write to."""
        quietly(os.read, self.wake_read, CHUNK)

    def copy_output(self) -> bool:
        """Copy what is there, up to the cap; False when there is nothing more for now, or for ever."""
        try:
            data = os.read(self.output, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            os.close(self.output)
            self.output = -1
            return False
        kept = data[: max(0, self.cap - self.written)]
        self.dropped += len(data) - len(kept)
        while kept:
            count = os.write(self.sink, kept)
            self.written += count
            kept = kept[count:]
        return True

    def drain(self) -> None:
        """What the dead left in the pipe, at most a pipe's worth."""
        for _ in range(64):
            if self.output < 0 or not self.copy_output():
                return

    def reap(self) -> None:
        """Collect adopted dead, and notice the step's own death without collecting it: as long as it
        is a zombie its number, and its group's, belong to nobody else."""
        while not self.dead:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                return
            if found.si_pid == self.pid:
                self.dead = True
            else:
                os.waitpid(found.si_pid, os.WNOHANG)

    def children(self) -> list[int]:
        """Living children, the adopted ones too (Linux)."""
        me = str(os.getpid())
        try:
            with open(f"/proc/self/task/{me}/children", encoding="ascii") as listed:
                names = listed.read().split()
        except OSError:
            names = [name for name in os.listdir("/proc") if name.isdigit()] if os.path.isdir("/proc") else []
        return [int(name) for name in names if parent_of(name) == me]

    def kill_all(self, grace: float) -> None:
        """TERM, and after the grace KILL, until nothing of the step lives; children of the dead come
        to us, so that killing what we have until there is nothing reaches every depth."""
        self.signal_all(signal.SIGTERM)
        self.signal_all(signal.SIGCONT)
        end = time.monotonic() + grace
        while time.monotonic() < end and not self.all_gone():
            self.nap(0.01)
        end = time.monotonic() + KILL_SECONDS
        while time.monotonic() < end and not self.all_gone():
            self.signal_all(signal.SIGKILL)
            self.nap(0.005)

    def all_gone(self) -> bool:
        """Whether nothing lives: an orphan of a dead child is our child, so no child means none."""
        self.reap()
        return self.dead and not self.children()

    def signal_all(self, number: int) -> None:
        """To the group, in which the step's own process at least lies dead, and to every child."""
        quietly(os.killpg, self.pid, number)
        for pid in self.children():
            quietly(os.kill, pid, number)

    def nap(self, seconds: float) -> None:
        """Wait, but keep the pipe empty: a step that cannot write cannot end in good order."""
        sources = [self.output] if self.output >= 0 else []
        if select.select(sources, [], [], seconds)[0]:
            self.copy_output()


def parent_of(pid: str) -> str:
    """The parent's process id, from /proc; '' when the process is gone or dead already."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == b"Z" else fields[1].decode()


if __name__ == "__main__":
    main()
