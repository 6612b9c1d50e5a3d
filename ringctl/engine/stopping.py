"""The stop that needs neither store nor controller: a file, or `RINGCTL_STOP` (DESIGN 4, 12.8).

Every worker looks before each claim, before each step and while a step runs. It carries nothing on: what runs is
stopped, nothing new begins, and what stands half-way is listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ringctl.ports.clock import Clock

STOP_NAME = "STOP"
"""The file's name beside the verified copies of bundles, where no other is given."""
LOOK_EVERY_S = 0.25
"""Many workers ask often; the file is looked for at most this often."""


def stop_file(given: str, environ: Mapping[str, str], work_dir: Path) -> Path:
    """The stop file's path: as given, else `RINGCTL_STOP_FILE`, else `STOP` beside the copies below `work_dir`."""
    named = given or environ.get("RINGCTL_STOP_FILE", "")
    return Path(named).absolute() if named else work_dir.parent.absolute() / STOP_NAME


@dataclass(slots=True)
class StopSwitch:
    """Called, it says whether to stop. Once true it stays true: who took the file away again starts a new node.

    A file that cannot be looked for (its directory cannot be read) counts as there: an emergency stop errs that way.
    """

    path: Path
    environ: Mapping[str, str]
    clock: Clock
    why: str = ""
    _looked: float = field(default=float("-inf"))

    def __call__(self) -> bool:
        """Whether to stop. Costs a look at the file at most four times a second."""
        now = self.clock.monotonic()
        if not self.why and now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            self.why = self._found()
        return bool(self.why)

    def _found(self) -> str:
        if self.environ.get("RINGCTL_STOP", "") not in {"", "0"}:
            return "RINGCTL_STOP is set"
        try:
            self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            return f"the stop file {self.path} cannot be looked for: {error.strerror or error}"
        return f"the stop file {self.path} is there"
