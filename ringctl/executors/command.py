"""`command`: a program with arguments, never a shell, under a shim that kills it when the right ends."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ringctl.core.bundle import StepSpec
from ringctl.core.errors import ExternalError, Finding, InvalidInput
from ringctl.core.placeholders import expand_argv, expand_line
from ringctl.executors.options import bad_placeholders, finding, probe_options, texts_of, unknown
from ringctl.executors.rivals import Rival, double_claim
from ringctl.executors.running import Running, running
from ringctl.executors.supervised import Command, End, supervise
from ringctl.executors.watch import NOTHING, ended
from ringctl.ports.executor import Control, Fencing, Order, Outcome, Probed, Ran

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OUTPUT_BYTES: Final = 1024 * 1024
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHELL: Final = re.compile(r"\||&&|;|>|<|`|\$\(|\$[A-Za-z_{]|\*")
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash"})
_CUT_SHORT: Final = frozenset({"lease", "stop", "node"})
_KILLED: Final = {
    "lease": "killed: the lease ended",
    "step": "killed: the step's time-out ended",
    "stop": "killed: a stop was requested",
    "node": "killed: the node let go of it",
}


class CommandExecutor:
    """Runs argv in the bundle's verified copy; `kill_grace_s` lies between TERM and KILL.

    Output is kept in `output_dir` when that is given, else it ends with the run; its first lines and
    its tail are in the task's log either way.
    """

    kind = "command"
    fencing = Fencing.SHIM

    def __init__(
        self,
        *,
        kill_grace_s: float = 5.0,
        output_bytes: int = OUTPUT_BYTES,
        output_dir: Path | None = None,
    ) -> None:
        self._kill_grace_s = kill_grace_s
        self._output_bytes = output_bytes
        self._output_dir = output_dir

    def check(self, spec: StepSpec, files: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
        """Options of the step and of its probe."""
        return (
            *unknown(spec, ("argv", "env"), spec.options),
            *_argv_findings(spec, "argv", spec.options.get("argv")),
            *_env_findings(spec, spec.options.get("env", ())),
            *_probe_findings(spec),
        )

    def run(self, order: Order, control: Control) -> Ran:
        """Run it: exit 0 is done, another exit failed, a kill leaves the outcome unknown."""
        why = ended(control)
        if why is not None:
            return Ran(outcome=Outcome.STOPPED, reason=f"nothing was started: {why}", numbers=NOTHING)
        argv = texts_of(order.step.options.get("argv"))
        with running(order) as mine:
            if mine.rival is not None:
                return _refused(order, control, mine.rival)
            found = self._supervised(order, control, argv, order.step.options, mine)
            ran = found if isinstance(found, Ran) else _outcome(found)
            mine.ended(order, str(ran.outcome))
        return ran

    def probe(self, order: Order, control: Control) -> Probed:
        """Run the step's probe: exit 0 took effect, 1 did not, anything else nobody knows. Raises ExternalError when
        the right to run ended before it had answered: that says nothing, and it is asked again."""
        probe = probe_options(order.step, "command") or {}
        argv = texts_of(probe.get("argv"))
        if not argv:
            return Probed.UNKNOWN
        found = self._supervised(order, control, argv, probe)
        if isinstance(found, Ran):
            control.log(f"probe: {found.reason}")
            return Probed.UNKNOWN
        if found.late or found.killed in _CUT_SHORT:
            raise ExternalError(
                f"the probe of {order.step.id} on {order.account} was cut short", code="RC6018"
            )
        if found.killed or found.signal or found.lost:
            return Probed.UNKNOWN
        return {0: Probed.TOOK_EFFECT, 1: Probed.DID_NOT}.get(
            -1 if found.code is None else found.code, Probed.UNKNOWN
        )

    def _supervised(
        self,
        order: Order,
        control: Control,
        argv: tuple[str, ...],
        options: Mapping[str, object],
        mine: Running | None = None,
    ) -> End | Ran:
        """How it ended, or the outcome when nothing could be started."""
        if not argv:
            return Ran(outcome=Outcome.FAILED, reason="RC6008: there is no program to run")
        try:
            expanded = expand_argv(argv, order.placeholders)
            env = _environment(order, texts_of(options.get("env", ())))
        except InvalidInput as error:
            return Ran(outcome=Outcome.FAILED, reason=f"{error.code}: {error.message}")
        if not order.files.is_dir():
            return Ran(outcome=Outcome.UNREACHABLE, reason="the bundle's copy is not there")
        with tempfile.TemporaryDirectory(prefix="ringctl-step-", ignore_cleanup_errors=True) as scratch:
            folder = self._output_dir or Path(scratch)
            command = Command(
                argv=expanded,
                env=env,
                cwd=order.files.resolve(),
                output=folder / f"{_safe(order.claim)}-{_safe(order.step.id)}.log",
                cap_bytes=self._output_bytes,
                grace_s=self._kill_grace_s,
                running=mine or Running(),
            )
            try:
                return supervise(command, control)
            except OSError as error:
                return Ran(outcome=Outcome.UNREACHABLE, reason=f"the shim could not be started: {error}")


def _refused(order: Order, control: Control, rival: Rival) -> Ran:
    """Another run is alive on this host, or a newer claim was here: a second body is not started. What became of
    the other one's effect is not known to this one."""
    where = "still runs on this host" if rival.alive else "ran on this host"
    by = f" (claim {rival.claim}, fence {rival.fence})" if rival.claim else ""
    return Ran(
        outcome=Outcome.UNKNOWN,
        reason=f"RC6017: nothing was started: another run of this step {where}{by}",
        numbers=double_claim(order, control, rival),
    )


def _outcome(end: End) -> Ran:
    numbers: dict[str, object] = {} if end.code is None else {"exit": end.code}
    if end.left:
        numbers["left_behind"] = end.left
    if end.late:
        reason = "nothing was started: the right to run had ended"
        return Ran(outcome=Outcome.STOPPED, reason=reason, numbers=NOTHING)
    if end.noexec:
        return Ran(outcome=Outcome.FAILED, reason=f"could not be started: {end.noexec}")
    if end.killed:
        return Ran(outcome=Outcome.UNKNOWN, reason=_KILLED.get(end.killed, end.killed), numbers=numbers)
    if end.lost:
        reason = "the shim vanished or did not answer; the step was killed"
        return Ran(outcome=Outcome.UNKNOWN, reason=reason)
    if end.signal:
        reason = f"ended by signal {end.signal} from elsewhere (out of memory?)"
        return Ran(outcome=Outcome.UNKNOWN, reason=reason, numbers={**numbers, "signal": end.signal})
    if end.code == 0:
        return Ran(outcome=Outcome.DONE, numbers=numbers)
    return Ran(outcome=Outcome.FAILED, reason=f"exit {end.code}", numbers=numbers)


def _environment(order: Order, allowed: tuple[str, ...]) -> dict[str, str]:
    """Only what the step lists, a fixed search path, and what ringctl tells every step."""
    told = {
        "RINGCTL_TASK_KEY": order.key,
        "RINGCTL_TASK_TOKEN": order.placeholders.get("task.token", order.claim),
        "RINGCTL_ACCOUNT": order.account,
        "RINGCTL_ROLLOUT": order.rollout,
        "RINGCTL_REVISION": order.revision,
    }
    for value in told.values():  # the same rule as for placeholders
        expand_line("{task.key}", {"task.key": value})
    passed = {name: os.environ[name] for name in allowed if name in os.environ}
    return {"PATH": PATH, **passed, **told}


def _safe(name: str) -> str:
    """A text as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", name)[:80] or "_"


def _argv_findings(spec: StepSpec, where: str, value: object) -> Iterator[Finding]:
    argv = texts_of(value)
    if not argv or not argv[0]:
        yield finding(
            spec, "RC6008", f"{where} must be a list of texts that begins with a program", text=where
        )
        return
    yield from bad_placeholders(spec, where, *argv)
    program = argv[0]
    if "{" in program:
        yield finding(spec, "RC6008", f"the program of {where} may not be a placeholder", text=program)
    if program.startswith("./") and program.removeprefix("./") not in spec.files:
        message = f"the bundle has no file {program.removeprefix('./')!r}"
        yield finding(spec, "RC6004", message, text=program, hint="name it in the step's files")
    shell = program.rpartition("/")[2] in _SHELLS and "-c" in argv
    for element in () if shell else argv:
        if _SHELL.search(element):
            yield Finding(
                code="RC6009",
                message=f"step {spec.id!r}: {element!r} looks like shell text, and there is no shell",
                line=spec.line,
                text=element,
                hint="put it into a script of the bundle and run that",
                severity="hint",
            )


def _env_findings(spec: StepSpec, value: object) -> Iterator[Finding]:
    names = texts_of(value)
    if not isinstance(value, list | tuple) or len(names) != len(value):
        yield finding(spec, "RC6003", "env must be a list of variable names", text="env")
        return
    for name in names:
        if not _ENV_NAME.fullmatch(name) or name.startswith("RINGCTL_"):
            yield finding(
                spec, "RC6013", f"{name!r} is no variable that may be passed on", text=name,
                hint="names only, values come from the worker; RINGCTL_* is ringctl's own",
            )  # fmt: skip


def _probe_findings(spec: StepSpec) -> Iterator[Finding]:
    if spec.probe is None:
        return
    probe = probe_options(spec, "command")
    if probe is None:
        yield finding(spec, "RC6012", "the probe of a command is a command", hint="{command: [./is-done.sh]}")
        return
    yield from unknown(spec, ("argv", "env"), probe)
    yield from _argv_findings(spec, "probe", probe.get("argv"))
    yield from _env_findings(spec, probe.get("env", ()))
